//! `--threshold 'p99<200ms'`: what a result must keep to be good enough. Pure.

use onrush_orchestrator::view::{ScopeView, SummaryView};
use serde::Serialize;

use crate::parse;
use crate::report::{grouped, milliseconds};

const HELP: &str = "write METRIC<LIMIT with mean, median, p50, p90, p95, p99, p99.9, min or max and a duration \
    (p99<200ms), failed and a share or number (failed<1%, failed<=0), or rate and requests per second (rate>=10k)";

/// What is limited.
#[derive(Clone, Copy, Debug)]
enum Metric {
    /// A latency, in milliseconds.
    Latency(fn(&SummaryView) -> Option<f64>),
    /// Failed requests, in percent of those sent.
    FailedPercent,
    /// Failed requests.
    Failed,
    /// Requests per second.
    Rate,
}

/// On which side of the limit it must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Comparison {
    Below,
    AtMost,
    Above,
    AtLeast,
}

/// One threshold.
#[derive(Clone, Debug)]
pub struct Threshold {
    text: String,
    metric: Metric,
    comparison: Comparison,
    /// In the metric's unit.
    limit: f64,
}

/// What became of a threshold.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Outcome {
    /// As it was written.
    pub threshold: String,
    /// The value, with its unit; `null`: it is not known.
    pub value: Option<String>,
    /// Whether it is kept. What is not known is not kept.
    pub kept: bool,
}

impl Threshold {
    /// Reads one.
    pub fn parse(text: &str) -> Result<Self, String> {
        let wrong = |why: &str| format!("{text:?} is no threshold: {why}; {HELP}");
        let at = text.find(['<', '>']).ok_or_else(|| wrong("it has no < or >"))?;
        let (name, rest) = text.split_at(at);
        let (comparison, limit) = match rest.as_bytes() {
            [b'<', b'=', ..] => (Comparison::AtMost, &rest[2..]),
            [b'<', ..] => (Comparison::Below, &rest[1..]),
            [_, b'=', ..] => (Comparison::AtLeast, &rest[2..]),
            _ => (Comparison::Above, &rest[1..]),
        };
        let limit = limit.trim();
        let name = name.trim().to_ascii_lowercase();
        let number = |text: &str| text.trim().parse::<f64>().ok().filter(|n| n.is_finite() && *n >= 0.0);
        let (metric, limit) = match name.as_str() {
            "failed" => match limit.strip_suffix('%') {
                Some(percent) => {
                    (Metric::FailedPercent, number(percent).ok_or_else(|| wrong("the share is no number"))?)
                }
                None => (Metric::Failed, number(limit).ok_or_else(|| wrong("the limit is no number"))?),
            },
            "rate" => (Metric::Rate, parse::rate(limit).map_err(|e| wrong(&e))?),
            name => {
                let metric = Metric::Latency(latency(name).ok_or_else(|| wrong("its metric is unknown"))?);
                if number(limit).is_some() {
                    return Err(wrong("a latency needs a unit"));
                }
                (metric, parse::duration(limit).map_err(|e| wrong(&e))?.as_nanos() as f64 / 1e6)
            }
        };
        Ok(Self { text: text.trim().to_owned(), metric, comparison, limit })
    }

    /// Holds it against a result.
    pub fn check(&self, all: &ScopeView) -> Outcome {
        let value = match self.metric {
            Metric::Latency(read) => read(&all.latency),
            Metric::Failed => all.failed.map(|failed| failed as f64),
            Metric::FailedPercent => {
                let sent = all.sent.filter(|sent| *sent > 0);
                all.failed.zip(sent).map(|(failed, sent)| failed as f64 * 100.0 / sent as f64)
            }
            Metric::Rate => all.requests_per_s,
        };
        let kept = value.is_some_and(|value| match self.comparison {
            Comparison::Below => value < self.limit,
            Comparison::AtMost => value <= self.limit,
            Comparison::Above => value > self.limit,
            Comparison::AtLeast => value >= self.limit,
        });
        let value = value.map(|value| match self.metric {
            Metric::Latency(_) => milliseconds(value),
            Metric::Failed => grouped(value as u64),
            Metric::FailedPercent => format!("{value:.3} %"),
            Metric::Rate => format!("{value:.1} requests/s"),
        });
        Outcome { threshold: self.text.clone(), value, kept }
    }
}

fn latency(name: &str) -> Option<fn(&SummaryView) -> Option<f64>> {
    Some(match name {
        "mean" => |summary| summary.mean_ms,
        "median" | "p50" => |summary| summary.median_ms,
        "p90" => |summary| summary.p90_ms,
        "p95" => |summary| summary.p95_ms,
        "p99" => |summary| summary.p99_ms,
        "p99.9" | "p999" => |summary| summary.p999_ms,
        "min" => |summary| summary.min_ms,
        "max" => |summary| summary.max_ms,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::sample_metrics;

    fn check(text: &str) -> (bool, Option<String>) {
        let outcome = Threshold::parse(text).expect(text).check(&sample_metrics().all);
        (outcome.kept, outcome.value)
    }

    #[test]
    fn thresholds_are_held_against_the_result_of_all() {
        assert_eq!(check("p99<200ms"), (true, Some("2.105 ms".into())));
        assert_eq!(check("p99.9 <= 6321us"), (true, Some("6.321 ms".into())));
        assert!(!check("p99.9 < 6321us").0);
        assert_eq!(check("median<700us"), (false, Some("721.1 µs".into())));
        assert_eq!((check("p50>0.7ms").0, check("mean>=1s").0, check("MAX < 1m").0), (true, false, true));
        assert_eq!(check("failed<1%"), (true, Some("0.000 %".into())));
        assert_eq!(check("failed<=0"), (true, Some("0".into())));
        assert!(!check("failed<0").0);
        assert_eq!(check("rate>=80k"), (true, Some("86430.2 requests/s".into())));
        assert!(!check("rate>90k").0);
    }

    #[test]
    fn what_is_not_known_is_not_kept() {
        let mut metrics = sample_metrics();
        metrics.all.latency.p99_ms = None;
        metrics.all.sent = None;
        for text in ["p99<200ms", "p99>0s", "failed<100%"] {
            let outcome = Threshold::parse(text).expect(text).check(&metrics.all);
            assert_eq!((outcome.kept, outcome.value), (false, None), "{text}");
        }
    }

    #[test]
    fn a_wrong_threshold_says_what_is_right() {
        for text in
            ["", "p99", "p98<1s", "p99<", "p99<200", "p99<-1s", "failed<x", "failed<-1%", "rate>fast", "<1s", "p99=1s"]
        {
            assert!(Threshold::parse(text).is_err_and(|e| e.contains("p99<200ms")), "{text}");
        }
    }
}
