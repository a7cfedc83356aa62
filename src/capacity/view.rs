//! What a capacity search found, as one value: what is written as JSON, and what the tables are drawn from. Pure.

use onrush_api::{CriterionView, CurvePointView, FoundView, LimitView, SearchView, TrialView, ended_text};
use onrush_protocol::TestConfig;
use onrush_search::{CURVE_QUANTILES, Found, Goal};
use onrush_stats::FoundLimit;
use serde::Serialize;

use super::Chart;
use crate::report::numbers::rate;
use crate::report::remarks::without_target;
use crate::report::{grouped, line};
use crate::table::{Column, Group, draw};

/// What a search found.
#[derive(Debug, Serialize)]
pub struct CapacityView {
    url: Option<String>,
    slo: Vec<String>,
    #[serde(skip)]
    criteria: Vec<CriterionView>,
    connections: u32,
    arrivals: String,
    #[serde(flatten)]
    found: FoundView,
    /// Who was the limit, where the metrics of the target's machine were asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    limit: Option<LimitView>,
    /// Why a look at them told nothing, if one did not.
    #[serde(skip_serializing_if = "Option::is_none")]
    target_metrics_problem: Option<String>,
    /// It could not go on, and why.
    error: Option<String>,
    /// Who could not.
    #[serde(skip)]
    maker: &'static str,
}

impl CapacityView {
    /// The result of a search on this machine; `error`: why the engine could not go on.
    pub fn new(config: &TestConfig, goal: &Goal, found: &Found, error: Option<String>) -> Self {
        Self {
            url: config.target_url.clone(),
            slo: goal.slo.iter().map(ToString::to_string).collect(),
            criteria: goal.slo.iter().map(CriterionView::from).collect(),
            connections: config.connections.unwrap_or_default(),
            arrivals: config.arrivals.name().into(),
            found: FoundView::of(found, Some(ended_text(&found.ended))),
            limit: None,
            target_metrics_problem: None,
            error,
            maker: "the engine",
        }
    }

    /// Adds who was the limit, as far as the metrics of the target's machine tell, and why a look at them told nothing.
    pub fn of_target(&mut self, limit: &FoundLimit, problem: Option<&str>) {
        self.limit = Some(limit.into());
        self.target_metrics_problem = problem.map(Into::into);
    }

    /// The result of a search over drivers.
    pub fn of_drivers(search: SearchView) -> Self {
        let SearchView { url, slo, criteria, connections, arrivals, found, reason: error, .. } = search;
        let (limit, target_metrics_problem) = (None, None);
        let maker = "the search";
        Self { url, slo, criteria, connections, arrivals, found, limit, target_metrics_problem, error, maker }
    }

    /// Why this is no result that can be relied on, if it is not.
    pub fn trouble(&self) -> Option<String> {
        match (&self.error, self.found.lower_per_s) {
            (Some(error), _) => Some(format!("{} could not go on: {error}", self.maker)),
            (None, None) => Some(match self.kept_in_a_trial_per_s() {
                Some(kept) => format!(
                    "no rate was proved to keep the SLO: {}/s kept it in a trial that is too short to prove it; give a longer --budget, \
                     or a limit that more requests are allowed to break",
                    rate(kept)
                ),
                None => format!("no rate was found that keeps the SLO: {}", self.ended()),
            }),
            (None, Some(_)) => None,
        }
    }

    /// Its curve, with the limits and the bounds.
    pub fn chart(&self) -> Chart<'_> {
        let limit = |view: &CriterionView| view.limit_ms.map(|ms| (view.criterion.clone(), ms));
        Chart {
            title: self.title(),
            curve: self.found.curve.iter().collect(),
            limits: self.criteria.iter().filter_map(limit).collect(),
            lower_per_s: self.found.lower_per_s,
            upper_per_s: self.found.upper_per_s,
        }
    }

    fn title(&self) -> String {
        format!("{}: {}", self.url.as_deref().unwrap_or("several URLs"), self.slo.join(", "))
    }

    /// As people read it.
    pub fn text(&self, max_columns: Option<usize>) -> String {
        let mut text = String::new();
        line(&mut text, self.title());
        line(&mut text, self.headline());
        line(&mut text, format!("ended: {}", self.ended()));
        self.target_metrics_problem.iter().for_each(|problem| line(&mut text, without_target(problem)));
        self.limit.iter().for_each(|limit| line(&mut text, &limit.line));
        line(&mut text, "");
        text += &self.trials_table(max_columns);
        line(&mut text, "");
        text += &curve_table(&self.found.curve.iter().collect::<Vec<_>>(), max_columns);
        text
    }

    /// The highest rate that was good when it was tried, below the bound from which the SLO is broken.
    fn kept_in_a_trial_per_s(&self) -> Option<f64> {
        let good = self.found.trials.iter().filter(|trial| trial.verdict == "good" && !trial.is_set_aside);
        let rates = good.map(|trial| trial.rate_per_s);
        rates.filter(|rate| self.found.upper_per_s.is_none_or(|upper| *rate < upper)).max_by(f64::total_cmp)
    }

    fn ended(&self) -> &str {
        self.found.ended.as_deref().unwrap_or("before its time")
    }

    fn headline(&self) -> String {
        let FoundView { lower_per_s, upper_per_s, best_per_s, confidence, .. } = &self.found;
        let percent = confidence * 100.0;
        let best = best_per_s.map_or(String::new(), |best| format!(", most likely {}/s", rate(best)));
        match (*lower_per_s, *upper_per_s) {
            (Some(lower), Some(upper)) => {
                format!("capacity: {}/s to {}/s (confidence {percent} %){best}", rate(lower), rate(upper))
            }
            (Some(lower), None) => format!("capacity: at least {}/s (confidence {percent} %)", rate(lower)),
            (None, Some(upper)) => format!("capacity: less than {}/s (confidence {percent} %)", rate(upper)),
            (None, None) => "capacity: not known".into(),
        }
    }

    fn trials_table(&self, max_columns: Option<usize>) -> String {
        let of = |cell: &dyn Fn(&TrialView) -> String| self.found.trials.iter().map(cell).collect::<Vec<_>>();
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
}

/// The curve of latency over load.
pub fn curve_table(curve: &[&CurvePointView], max_columns: Option<usize>) -> String {
    let of = |cell: &dyn Fn(&CurvePointView) -> String| curve.iter().map(|point| cell(point)).collect::<Vec<_>>();
    let quantile = |place: usize| {
        let cell = move |point: &CurvePointView| {
            let ms = |ms: Option<f64>| ms.map_or("—".into(), |ms| format!("{ms:.2}"));
            // Another version may know fewer.
            let Some(found) = point.quantiles.get(place) else { return "—".into() };
            format!("{} ({} to {})", ms(found.value_ms), ms(found.lower_ms), ms(found.upper_ms))
        };
        Column::numbers(&[&format!("p{}", CURVE_QUANTILES[place] * 100.0)], of(&cell))
    };
    let columns = (0..CURVE_QUANTILES.len()).map(quantile).collect();
    let label = Column::numbers(&["rate/s"], of(&|point| rate(point.rate_per_s)));
    draw(&label, &[Group::new("latency of what was due, ms", columns)], max_columns, false)
}
