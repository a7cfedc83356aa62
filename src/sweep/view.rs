//! What a sweep measured, as one value: what is written as JSON, and what the table is drawn from. Pure.

use onrush_api::CurvePointView;
use onrush_protocol::TestConfig;
use onrush_search::CurvePoint;
use serde::Serialize;

use super::Step;
use crate::capacity::{Chart, curve_table};
use crate::report::line;
use crate::report::numbers::{number_of, rate};

/// How sure the intervals are.
const CONFIDENCE: f64 = 0.95;

/// What a sweep measured.
#[derive(Debug, Serialize)]
pub struct SweepView {
    url: Option<String>,
    connections: u32,
    arrivals: &'static str,
    confidence: f64,
    /// The engine could not go on, and why.
    error: Option<String>,
    steps: Vec<StepView>,
}

#[derive(Debug, Serialize)]
struct StepView {
    /// Seconds that count.
    seconds: u64,
    /// Seconds that this machine spoilt.
    void_seconds: u64,
    /// Requests that failed, or that no connection was free for.
    failed: u64,
    #[serde(flatten)]
    point: CurvePointView,
}

impl SweepView {
    /// The result; `error`: why the engine could not go on.
    pub fn new(config: &TestConfig, rates_per_s: &[f64], steps: &[Step], error: Option<String>) -> Self {
        let step = |(rate_per_s, step): (&f64, &Step)| StepView {
            seconds: step.blocks.len() as u64,
            void_seconds: step.void_seconds,
            failed: step.blocks.iter().map(|block| block.failed).sum(),
            point: (&CurvePoint::of_blocks(*rate_per_s, &step.blocks, CONFIDENCE)).into(),
        };
        Self {
            url: config.target_url.clone(),
            connections: config.connections.unwrap_or_default(),
            arrivals: config.arrivals.name(),
            confidence: CONFIDENCE,
            error,
            steps: rates_per_s.iter().zip(steps).map(step).collect(),
        }
    }

    /// Why this is not all that was asked for, if it is not.
    pub fn trouble(&self) -> Option<String> {
        if let Some(error) = &self.error {
            return Some(format!("the engine could not go on: {error}"));
        }
        let missing: Vec<String> =
            self.steps.iter().filter(|step| step.seconds == 0).map(|step| rate(step.point.rate_per_s)).collect();
        (!missing.is_empty()).then(|| format!("nothing was measured at {}/s", missing.join(", ")))
    }

    /// The curve as a picture.
    pub fn chart(&self) -> Chart<'_> {
        Chart { title: self.title().into(), curve: self.curve(), ..Chart::default() }
    }

    fn title(&self) -> &str {
        self.url.as_deref().unwrap_or("several URLs")
    }

    fn curve(&self) -> Vec<&CurvePointView> {
        self.steps.iter().map(|step| &step.point).filter(|point| point.due > 0).collect()
    }

    /// As people read it.
    pub fn text(&self, max_columns: Option<usize>) -> String {
        let mut text = String::new();
        line(&mut text, self.title());
        text += &curve_table(&self.curve(), max_columns);
        for step in &self.steps {
            let at = rate(step.point.rate_per_s);
            if step.failed > 0 {
                line(
                    &mut text,
                    format!("at {at}/s {} failed, or found no free connection", number_of(step.failed, "request")),
                );
            }
            if step.void_seconds > 0 {
                let seconds = number_of(step.void_seconds, "second");
                line(&mut text, format!("at {at}/s this machine spoilt {seconds}, which are left out"));
            }
        }
        text
    }
}
