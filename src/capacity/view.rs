//! What a capacity search found, as one value: what is written as JSON, and what the tables are drawn from. Pure.

use onrush_protocol::TestConfig;
use onrush_search::{CURVE_QUANTILES, Ended, Found, Goal, Verdict};
use serde::Serialize;

use crate::report::numbers::rate;
use crate::report::{grouped, line};
use crate::table::{Column, Group, draw};

/// What a search found.
#[derive(Debug, Serialize)]
pub struct CapacityView {
    url: Option<String>,
    slo: Vec<String>,
    connections: u32,
    arrivals: &'static str,
    /// The server keeps the SLO at least up to this rate; `null`: at no rate that was tried.
    lower_per_s: Option<f64>,
    /// It does not from this rate on; `null`: no rate was shown to break it.
    upper_per_s: Option<f64>,
    best_per_s: Option<f64>,
    confidence: f64,
    is_confirmed: bool,
    /// Why the search ended, in words.
    ended: String,
    /// The engine could not go on, and why.
    error: Option<String>,
    trials: Vec<TrialView>,
    curve: Vec<CurveView>,
}

#[derive(Debug, Serialize)]
struct TrialView {
    rate_per_s: f64,
    verdict: String,
    is_clear: bool,
    is_set_aside: bool,
    from_s: f64,
    length_s: f64,
    due: u64,
    /// By criterion, in the order of the SLO: the share that broke it, and its interval.
    broken: Vec<ShareView>,
}

#[derive(Debug, Serialize)]
struct ShareView {
    share: f64,
    lower: f64,
    upper: f64,
}

#[derive(Debug, Serialize)]
struct CurveView {
    rate_per_s: f64,
    due: u64,
    quantiles: Vec<QuantileView>,
}

/// A latency in milliseconds with its interval; `null`: among the requests that got no response.
#[derive(Debug, Serialize)]
struct QuantileView {
    quantile: f64,
    value_ms: Option<f64>,
    lower_ms: Option<f64>,
    upper_ms: Option<f64>,
}

impl CapacityView {
    /// The result of a search; `error`: why the engine could not go on.
    pub fn new(config: &TestConfig, goal: &Goal, found: &Found, error: Option<String>) -> Self {
        let trials = found.trials.iter().map(|trial| TrialView {
            rate_per_s: trial.rate_per_s,
            verdict: verdict(trial.verdict),
            is_clear: trial.is_clear,
            is_set_aside: trial.is_set_aside,
            from_s: trial.from.as_secs_f64(),
            length_s: trial.length.as_secs_f64(),
            due: trial.due,
            broken: trial.broken.iter().map(|b| ShareView { share: b.share, lower: b.lower, upper: b.upper }).collect(),
        });
        let ms = |ns: Option<u64>| ns.map(|ns| ns as f64 / 1e6);
        let curve = found.curve.iter().map(|point| CurveView {
            rate_per_s: point.rate_per_s,
            due: point.due,
            quantiles: CURVE_QUANTILES
                .into_iter()
                .zip(&point.quantiles)
                .map(|(quantile, found)| QuantileView {
                    quantile,
                    value_ms: ms(found.value_ns),
                    lower_ms: ms(found.lower_ns),
                    upper_ms: ms(found.upper_ns),
                })
                .collect(),
        });
        Self {
            url: config.target_url.clone(),
            slo: goal.slo.iter().map(ToString::to_string).collect(),
            connections: config.connections.unwrap_or_default(),
            arrivals: config.arrivals.name(),
            lower_per_s: found.lower_per_s,
            upper_per_s: found.upper_per_s,
            best_per_s: found.best_per_s,
            confidence: found.confidence,
            is_confirmed: found.is_confirmed,
            ended: ended(&found.ended),
            error,
            trials: trials.collect(),
            curve: curve.collect(),
        }
    }

    /// Why this is no result that can be relied on, if it is not.
    pub fn trouble(&self) -> Option<String> {
        match (&self.error, self.lower_per_s) {
            (Some(error), _) => Some(format!("the engine could not go on: {error}")),
            (None, None) => Some(format!("no rate was found that keeps the SLO: {}", self.ended)),
            (None, Some(_)) => None,
        }
    }

    /// As people read it.
    pub fn text(&self, max_columns: Option<usize>) -> String {
        let mut text = String::new();
        line(&mut text, format!("{}: {}", self.url.as_deref().unwrap_or("several URLs"), self.slo.join(", ")));
        line(&mut text, self.headline());
        line(&mut text, format!("ended: {}", self.ended));
        line(&mut text, "");
        text += &self.trials_table(max_columns);
        line(&mut text, "");
        text += &self.curve_table(max_columns);
        text
    }

    fn headline(&self) -> String {
        let percent = self.confidence * 100.0;
        let best = self.best_per_s.map_or(String::new(), |best| format!(", most likely {}/s", rate(best)));
        match (self.lower_per_s, self.upper_per_s) {
            (Some(lower), Some(upper)) => {
                format!("capacity: {}/s to {}/s (confidence {percent} %){best}", rate(lower), rate(upper))
            }
            (Some(lower), None) => format!("capacity: at least {}/s (confidence {percent} %)", rate(lower)),
            (None, Some(upper)) => format!("capacity: less than {}/s (confidence {percent} %)", rate(upper)),
            (None, None) => "capacity: not known".into(),
        }
    }

    fn trials_table(&self, max_columns: Option<usize>) -> String {
        let of = |cell: &dyn Fn(&TrialView) -> String| self.trials.iter().map(cell).collect::<Vec<_>>();
        let mut columns = vec![
            Column::numbers(&["seconds"], of(&|trial| format!("{:.0}", trial.length_s))),
            Column::numbers(&["due"], of(&|trial| grouped(trial.due))),
        ];
        for (place, criterion) in self.slo.iter().enumerate() {
            let share = |trial: &TrialView| {
                let broken = trial.broken.get(place);
                broken.map_or("—".into(), |b| {
                    format!("{:.3} % ({:.3} to {:.3})", b.share * 1e2, b.lower * 1e2, b.upper * 1e2)
                })
            };
            columns.push(Column::numbers(&[&format!("beyond {criterion}")], of(&share)));
        }
        let aside = |trial: &TrialView| trial.verdict.clone() + if trial.is_set_aside { ", set aside" } else { "" };
        columns.push(Column::text("verdict", of(&aside)));
        draw(
            &Column::numbers(&["rate/s"], of(&|trial| rate(trial.rate_per_s))),
            &[Group::new("trials", columns)],
            max_columns,
            false,
        )
    }

    fn curve_table(&self, max_columns: Option<usize>) -> String {
        let of = |cell: &dyn Fn(&CurveView) -> String| self.curve.iter().map(cell).collect::<Vec<_>>();
        let quantile = |place: usize| {
            let cell = move |point: &CurveView| {
                let ms = |ms: Option<f64>| ms.map_or("—".into(), |ms| format!("{ms:.2}"));
                let found = &point.quantiles[place];
                format!("{} ({} to {})", ms(found.value_ms), ms(found.lower_ms), ms(found.upper_ms))
            };
            Column::numbers(&[&format!("p{}", CURVE_QUANTILES[place] * 100.0)], of(&cell))
        };
        let columns = (0..CURVE_QUANTILES.len()).map(quantile).collect();
        let label = Column::numbers(&["rate/s"], of(&|point| rate(point.rate_per_s)));
        draw(&label, &[Group::new("latency of what was due, ms", columns)], max_columns, false)
    }
}

/// A verdict in one word, or a few.
pub fn verdict(verdict: Verdict) -> String {
    match verdict {
        Verdict::Good => "good".into(),
        Verdict::Bad => "bad".into(),
        Verdict::Void(spoilt) => format!("void: {spoilt}"),
    }
}

fn ended(ended: &Ended) -> String {
    match ended {
        Ended::Width => "the interval is as narrow as was asked for, and its lower end was held once more".into(),
        Ended::Budget => "the budget was spent; more time makes the interval narrower".into(),
        Ended::Generator { ends_at_per_s, spoilt } => {
            format!(
                "the generator ends at {}/s: {spoilt}; the server takes at least the lower bound",
                rate(*ends_at_per_s)
            )
        }
        Ended::MaxRate => "the highest rate that may be asked for keeps the SLO; give a higher --max".into(),
        Ended::MinRate => "the lowest rate breaks the SLO already".into(),
        Ended::Unconfirmed => {
            "the rate that was found broke the SLO when it was held, twice: the server changes meanwhile".into()
        }
    }
}
