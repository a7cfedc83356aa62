//! A finished run in one shape, whether a bench or the orchestrator made it: what every document about it is drawn from. Pure.

use onrush_api::{MetricsView, TestView, ThresholdView};

use crate::report;

/// A run that is over, and what is said of it.
pub struct Finished<'a> {
    /// What was asked for and what became of it.
    pub test: &'a TestView,
    /// What was measured.
    pub metrics: &'a MetricsView,
    /// What became of each threshold.
    pub thresholds: &'a [ThresholdView],
    /// What was asked for, in one line.
    pub settings: String,
    /// What a reader must know beside the numbers.
    pub remarks: Vec<String>,
    /// What is wrong with it, in words; `None`: nothing.
    pub trouble: Option<String>,
}

impl<'a> Finished<'a> {
    /// A test of the orchestrator.
    pub fn of_test(
        test: &'a TestView,
        metrics: &'a MetricsView,
        thresholds: &'a [ThresholdView],
        trouble: Option<String>,
    ) -> Self {
        let remarks = report::remarks(test, metrics).iter().map(|remark| plain(remark)).collect();
        Self { test, metrics, thresholds, settings: report::settings(test, metrics), remarks, trouble }
    }

    /// The label, or the id where there is none.
    pub fn name(&self) -> &str {
        self.test.name.as_deref().unwrap_or(&self.test.test_id)
    }

    /// Where the requests went, for people.
    pub fn target(&self) -> &str {
        self.test.config.target_url.as_deref().unwrap_or("each driver's own target")
    }
}

/// Without colours.
pub fn plain(text: &str) -> String {
    anstream::adapter::strip_str(text).to_string()
}
