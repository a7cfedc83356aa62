//! `--threshold 'p99<200ms'`: what a result must keep to be good enough. Pure.
//!
//! A threshold speaks of everything that was due: `p99<200ms` means that 99 % of the requests that were due got their response
//! within 200 ms. What failed, was skipped or was dropped did not; so a server that stops answering cannot look fast.

use onrush_api::{ScopeView, SummaryView};
use serde::Serialize;

use crate::parse;
use crate::report::{grouped, milliseconds};

const HELP: &str = "write METRIC<LIMIT with mean, median, p50, p90, p95, p99, p99.9, min or max and a duration \
    (p99<200ms; response_p99<200ms looks at the responses alone), failed and a share or number (failed<1%, failed<=0), or \
    rate and responses per second (rate>=10k)";

/// What is limited.
#[derive(Clone, Copy, Debug)]
enum Metric {
    /// A latency in milliseconds, over everything that was due.
    Latency(Pick),
    /// A latency in milliseconds, over the responses.
    ResponseLatency(Pick),
    /// Requests that were due and got no response that passed its checks, in percent of those that were due.
    FailedPercent,
    /// The same requests, in number.
    Failed,
    /// Responses per second of sending.
    Rate,
}

type Pick = fn(&SummaryView) -> Option<f64>;

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
    /// As it was written.
    text: String,
    metric: Metric,
    comparison: Comparison,
    limit: f64,
}

/// What became of a threshold.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ThresholdResult {
    /// The threshold, as it was written.
    pub threshold: String,
    /// The value, for people; `None`: it is not known.
    pub value: Option<String>,
    /// Whether it is kept. What is not known is not kept.
    pub kept: bool,
}

impl Threshold {
    /// Reads one.
    pub fn parse(text: &str) -> Result<Self, String> {
        let wrong = |why: &str| format!("{text:?} is not a threshold: {why}; {HELP}");
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
                    (Metric::FailedPercent, number(percent).ok_or_else(|| wrong("the share is not a number"))?)
                }
                None => (Metric::Failed, number(limit).ok_or_else(|| wrong("the limit is not a number"))?),
            },
            "rate" => (Metric::Rate, parse::rate(limit).map_err(|e| wrong(&e))?),
            name => {
                let unknown = || wrong("its metric is unknown");
                let metric = match name.strip_prefix("response_") {
                    Some(name) => Metric::ResponseLatency(latency(name).ok_or_else(unknown)?),
                    None => Metric::Latency(latency(name).ok_or_else(unknown)?),
                };
                if number(limit).is_some() {
                    return Err(wrong("a latency needs a unit"));
                }
                (metric, parse::duration(limit).map_err(|e| wrong(&e))?.as_nanos() as f64 / 1e6)
            }
        };
        Ok(Self { text: text.trim().to_owned(), metric, comparison, limit })
    }

    /// Holds it against a result, whose requests had `timeout_s` for their response.
    pub fn check(&self, all: &ScopeView, timeout_s: f64) -> ThresholdResult {
        let not_passed = || Some(all.due?.saturating_sub(all.answered?));
        let value = match self.metric {
            Metric::Latency(pick) => pick(&all.latency_of_due),
            Metric::ResponseLatency(pick) => pick(&all.latency),
            Metric::Failed => not_passed().map(|n| n as f64),
            Metric::FailedPercent => {
                let due = all.due.filter(|due| *due > 0);
                not_passed().zip(due).map(|(n, due)| n as f64 * 100.0 / due as f64)
            }
            Metric::Rate => all.responses_per_s,
        };
        let kept = value.is_some_and(|value| match self.comparison {
            Comparison::Below => value < self.limit,
            Comparison::AtMost => value <= self.limit,
            Comparison::Above => value > self.limit,
            Comparison::AtLeast => value >= self.limit,
        });
        let shown = value.map(|value| match self.metric {
            Metric::Latency(_) | Metric::ResponseLatency(_) => milliseconds(value),
            Metric::Failed => grouped(value as u64),
            Metric::FailedPercent => format!("{value:.3} %"),
            Metric::Rate => format!("{value:.1} responses/s"),
        });
        let value = match (shown, self.metric) {
            (None, Metric::Latency(_)) => among_the_missing(all, timeout_s),
            (shown, Metric::Failed | Metric::FailedPercent) => shown.map(|shown| shown + &never_sent(all)),
            (shown, _) => shown,
        };
        ThresholdResult { threshold: self.text.clone(), value, kept }
    }
}

/// What is known of a number that falls among the requests without a response: they took longer than they were given.
fn among_the_missing(all: &ScopeView, timeout_s: f64) -> Option<String> {
    let (due, with_response) = (all.due?, all.latency.count?);
    let missing = due.checked_sub(with_response).filter(|missing| *missing > 0)?;
    let waited = all.failures.contains_key("timeout");
    let least = if waited { format!("> {}, ", milliseconds(timeout_s * 1e3)) } else { String::new() };
    Some(format!("{least}{} of {} due have no response", grouped(missing), grouped(due)))
}

/// How many of those that failed a gate were never sent.
fn never_sent(all: &ScopeView) -> String {
    match all.skipped.unwrap_or(0).saturating_add(all.dropped.unwrap_or(0)) {
        0 => String::new(),
        n => format!(", {} of them never sent", grouped(n)),
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
        let outcome = Threshold::parse(text).expect(text).check(&sample_metrics().all, 10.0);
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
        assert_eq!(check("rate>=80k"), (true, Some("86430.2 responses/s".into())));
        assert!(!check("rate>90k").0);
    }

    #[test]
    fn what_is_not_known_is_not_kept() {
        let mut metrics = sample_metrics();
        metrics.all.latency_of_due.p99_ms = None;
        metrics.all.due = None;
        for text in ["p99<200ms", "p99>0s", "failed<100%"] {
            let outcome = Threshold::parse(text).expect(text).check(&metrics.all, 0.3);
            assert_eq!((outcome.kept, outcome.value), (false, None), "{text}");
        }
    }

    #[test]
    fn what_was_due_and_has_no_response_was_not_in_time() {
        let mut all = sample_metrics().all;
        (all.due, all.latency.count, all.answered) = (Some(10), Some(5), Some(5));
        all.latency_of_due = SummaryView { median_ms: Some(3.0), min_ms: Some(1.0), ..SummaryView::default() };
        let check = |all: &ScopeView, text: &str| {
            let outcome = Threshold::parse(text).expect(text).check(all, 0.3);
            (outcome.kept, outcome.value.unwrap_or_default())
        };
        assert_eq!(check(&all, "median<10ms"), (true, "3.000 ms".into()));
        assert_eq!(check(&all, "p99<1h"), (false, "5 of 10 due have no response".into()));
        assert_eq!(check(&all, "response_p99<10ms"), (true, "2.105 ms".into()));
        assert_eq!(check(&all, "failed<60%"), (true, "50.000 %".into()));
        all.failures.insert("timeout".into(), 2);
        (all.skipped, all.dropped) = (Some(2), Some(1));
        for metric in ["p99", "mean", "max"] {
            let kept = check(&all, &format!("{metric}<1h"));
            assert_eq!(kept, (false, "> 300.0 ms, 5 of 10 due have no response".into()), "{metric}");
        }
        assert_eq!(check(&all, "failed<=4"), (false, "5, 3 of them never sent".into()));
    }

    #[test]
    fn a_wrong_threshold_says_what_is_right() {
        for text in [
            "",
            "p99",
            "p98<1s",
            "p99<",
            "p99<200",
            "p99<-1s",
            "failed<x",
            "failed<-1%",
            "rate>fast",
            "<1s",
            "p99=1s",
            "response_p98<1s",
        ] {
            assert!(Threshold::parse(text).is_err_and(|e| e.contains("p99<200ms")), "{text}");
        }
    }
}
