//! A capacity search: what was looked for, what is known by now, and every trial that led there.

use onrush_protocol::human::rate_text;
use onrush_search as search;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::Outcome;

/// The options of a test that a search decides by itself: how much load, in what way, and when it ends.
pub const DECIDED_BY_SEARCH: [&str; 9] = [
    "test_type",
    "trigger",
    "test_message_delay",
    "message_count_per_driver",
    "duration",
    "target_throughput",
    "total_throughput",
    "profile",
    "abort_on_fail",
];

/// A capacity search. Its id is that of the test that it runs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct SearchView {
    /// Its name; the test that it runs has the same.
    pub search_id: String,
    /// The test that makes its load.
    pub test_id: String,
    /// Its label.
    pub name: Option<String>,
    /// Where it is in its life.
    pub state: SearchState,
    /// Why it could not go on; `null`: it goes on, or ended as a search does.
    pub reason: Option<String>,
    /// When it was made.
    pub created_at: String,
    /// When it ended.
    pub ended_at: Option<String>,
    /// Where the requests go; `null`: to several URLs, or to each driver's own.
    pub url: Option<String>,
    /// The SLO: each criterion as it is written.
    pub slo: Vec<String>,
    /// The same criteria in numbers.
    pub criteria: Vec<CriterionView>,
    /// The goal width: the upper bound is to be at most this share above the lower one.
    pub width: f64,
    /// How long it may take.
    pub budget_s: f64,
    /// Its first rate, over all drivers.
    pub start_per_s: f64,
    /// The highest rate that it may ask for, over all drivers.
    pub max_per_s: f64,
    /// Connections of each driver.
    pub connections: u32,
    /// How requests are spaced: `even` or `poisson`.
    pub arrivals: String,
    /// How far the result of its test can be trusted; `null` before that has ended.
    pub outcome: Option<Outcome>,
    /// How long it has taken.
    pub elapsed_s: f64,
    /// The rate that it asks for now, over all drivers; `null`: it has ended.
    pub trying_per_s: Option<f64>,
    /// What it found, or knows so far.
    #[serde(flatten)]
    pub found: FoundView,
}

/// Where a search is in its life. The last three never change again; what is known is kept in each of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum SearchState {
    /// It searches, or waits for its drivers.
    Running,
    /// It ended as a search does: `ended` says why.
    Completed,
    /// It was stopped.
    Stopped,
    /// Its test could not start, or could not go on.
    Failed,
}

impl SearchState {
    /// Whether the search is over.
    pub fn is_end(self) -> bool {
        !matches!(self, Self::Running)
    }
}

/// A search in the list; `GET /v1/searches/{id}` shows all of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct SearchSummary {
    /// Its name; the test that it runs has the same.
    pub search_id: String,
    /// The test that makes its load.
    pub test_id: String,
    /// Its label.
    pub name: Option<String>,
    /// Where it is in its life.
    pub state: SearchState,
    /// When it was made.
    pub created_at: String,
    /// When it ended.
    pub ended_at: Option<String>,
    /// Where the requests go.
    pub url: Option<String>,
    /// The SLO: each criterion as it is written.
    pub slo: Vec<String>,
    /// The target keeps the SLO at least up to this rate; `null`: at no rate that was tried.
    pub lower_per_s: Option<f64>,
    /// It does not from this rate on; `null`: no rate was shown to break it.
    pub upper_per_s: Option<f64>,
    /// Why it ended, in words; `null`: it has not.
    pub ended: Option<String>,
}

/// A criterion of an SLO in numbers: the share of the requests due that break it must stay below `share`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct CriterionView {
    /// As it is written: `p99<50ms`.
    pub criterion: String,
    /// The quantile that is limited: 0.99 for a p99; `null`: the criterion is about failures.
    pub quantile: Option<f64>,
    /// Its limit; `null`: the criterion is about failures.
    pub limit_ms: Option<f64>,
    /// The share that must not be reached.
    pub share: f64,
}

impl From<&search::Criterion> for CriterionView {
    fn from(criterion: &search::Criterion) -> Self {
        // A share that was made of a quantile is not exact.
        let rounded = |share: f64| (share * 1e8).round() / 1e8;
        let (quantile, limit_ms) = match criterion {
            search::Criterion::Latency { limit_ns, share } => {
                (Some(rounded(1.0 - share)), Some(*limit_ns as f64 / 1e6))
            }
            search::Criterion::Failed { .. } => (None, None),
        };
        Self { criterion: criterion.to_string(), quantile, limit_ms, share: rounded(criterion.share()) }
    }
}

/// What a search found, or knows so far: the capacity as an interval, and everything that led there.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct FoundView {
    /// The target keeps the SLO at least up to this rate; `null`: at no rate that was tried.
    pub lower_per_s: Option<f64>,
    /// It does not from this rate on; `null`: no rate was shown to break it.
    pub upper_per_s: Option<f64>,
    /// The most likely capacity; `null` where a bound is missing.
    pub best_per_s: Option<f64>,
    /// How sure the interval is meant to be.
    pub confidence: f64,
    /// Whether the rate that was found was held once more and kept the SLO.
    pub is_confirmed: bool,
    /// Why the search ended, in words; `null`: it has not.
    pub ended: Option<String>,
    /// Every trial, in order.
    pub trials: Vec<TrialView>,
    /// Latency over load, by rising load.
    pub curve: Vec<CurvePointView>,
}

/// A stretch of time at one rate.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct TrialView {
    /// The rate that was asked for.
    pub rate_per_s: f64,
    /// `good`, `bad`, or `void: ` and what the generator lacked.
    pub verdict: String,
    /// Whether the intervals of its shares lie on one side of the SLO; else the verdict is that of the shares themselves.
    pub is_clear: bool,
    /// Whether it contradicts the others and was outvoted when it was repeated: it counts for no bound.
    pub is_set_aside: bool,
    /// From the start of the search to the first second that counts.
    pub from_s: f64,
    /// For how long it counted.
    pub length_s: f64,
    /// Requests due in that time.
    pub due: u64,
    /// By criterion, in the order of the SLO: the share that broke it, and its interval.
    pub broken: Vec<BrokenView>,
}

/// The share of the requests due that broke a criterion, and its interval.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct BrokenView {
    /// The share.
    pub share: f64,
    /// The lower end of its interval.
    pub lower: f64,
    /// The upper end.
    pub upper: f64,
}

/// The latency at one rate, over all trials at it that count.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct CurvePointView {
    /// The rate.
    pub rate_per_s: f64,
    /// Requests due at it.
    pub due: u64,
    /// Quantiles over everything that was due.
    pub quantiles: Vec<CurveQuantileView>,
}

/// A latency with its interval; `null`: among the requests that got no response.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct CurveQuantileView {
    /// Which quantile: 0.99 for a p99.
    pub quantile: f64,
    /// The latency.
    pub value_ms: Option<f64>,
    /// The lower end of its interval.
    pub lower_ms: Option<f64>,
    /// The upper end.
    pub upper_ms: Option<f64>,
}

impl FoundView {
    /// What a search found; `ended` says why it ended, and is `None` where it has not.
    pub fn of(found: &search::Found, ended: Option<String>) -> Self {
        Self {
            lower_per_s: found.lower_per_s,
            upper_per_s: found.upper_per_s,
            best_per_s: found.best_per_s,
            confidence: found.confidence,
            is_confirmed: found.is_confirmed,
            ended,
            trials: found.trials.iter().map(TrialView::from).collect(),
            curve: found.curve.iter().map(CurvePointView::from).collect(),
        }
    }
}

impl From<&search::Trial> for TrialView {
    fn from(trial: &search::Trial) -> Self {
        let broken = |b: &search::Broken| BrokenView { share: b.share, lower: b.lower, upper: b.upper };
        Self {
            rate_per_s: trial.rate_per_s,
            verdict: trial.verdict.to_string(),
            is_clear: trial.is_clear,
            is_set_aside: trial.is_set_aside,
            from_s: trial.from.as_secs_f64(),
            length_s: trial.length.as_secs_f64(),
            due: trial.due,
            broken: trial.broken.iter().map(broken).collect(),
        }
    }
}

impl From<&search::CurvePoint> for CurvePointView {
    fn from(point: &search::CurvePoint) -> Self {
        let ms = |ns: Option<u64>| ns.map(|ns| ns as f64 / 1e6);
        let quantile = |(quantile, found): (f64, &search::CurveQuantile)| CurveQuantileView {
            quantile,
            value_ms: ms(found.value_ns),
            lower_ms: ms(found.lower_ns),
            upper_ms: ms(found.upper_ns),
        };
        let quantiles = search::CURVE_QUANTILES.into_iter().zip(&point.quantiles).map(quantile).collect();
        Self { rate_per_s: point.rate_per_s, due: point.due, quantiles }
    }
}

/// Why a search ended, for people.
pub fn ended_text(ended: &search::Ended) -> String {
    use search::Ended;
    match ended {
        Ended::Width => "the interval is as narrow as was asked for, and its lower end was held once more".into(),
        Ended::Budget => "the budget was spent; more time makes the interval narrower".into(),
        Ended::Generator { ends_at_per_s, spoilt } => format!(
            "the generator ends at {}/s: {spoilt}; the server takes at least the lower bound",
            rate_text(*ends_at_per_s)
        ),
        Ended::MaxRate => "the highest rate that may be asked for keeps the SLO; give a higher --max".into(),
        Ended::MinRate => "the lowest rate breaks the SLO already".into(),
        Ended::TargetGone { at_per_s } => format!(
            "the server kept the SLO at {}/s before and does not recover there: it died or changed; the bounds are from before",
            rate_text(*at_per_s)
        ),
        Ended::Unconfirmed => {
            "the rate that was found broke the SLO when it was held, twice: the server changes meanwhile".into()
        }
    }
}
