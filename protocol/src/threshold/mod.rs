//! `p99<200ms over 10s`: what a test must keep to be good enough. Pure.
//!
//! A threshold speaks of everything that was due: `p99<200ms` means that 99 % of the requests that were due got their response
//! within 200 ms. What failed, was skipped or was dropped did not; so a server that stops answering cannot look fast.
//!
//! One reader ([`Threshold`]), one judge ([`Threshold::judge`]) and one set of numbers ([`Figures`]) serve everybody who has
//! thresholds. [`Watch`] makes those numbers second by second, [`Standing`] keeps what became of a threshold.

mod figures;
mod standing;
mod watch;

use std::fmt::{Display, Formatter};
use std::str::FromStr;

use onrush_stats::{DueSummary, thousands};

pub use figures::Figures;
pub use standing::{Breach, Standing};
pub use watch::{Watch, WatchedSecond};

use crate::human::{self, milliseconds};
use crate::limits;

const HELP: &str = "write METRIC<LIMIT with mean, median, p50, p90, p95, p99, p99.9, min or max and a duration \
    (p99<200ms; response_p99<200ms looks at the responses alone, service_p99 and schedule_error_p99 at those times), failed, \
    skipped or dropped and a share or number (failed<1%, failed<=0), or rate and responses per second (rate>=10k); \
    over 10s behind it looks at the last ten seconds at every second of the test; {NAME} behind the metric looks at the \
    requests of one name (p99{login}<200ms)";

/// So much of a text that is not a threshold is repeated.
const MAX_SHOWN_CHARS: usize = 100;

/// One threshold, as it was written.
#[derive(Clone, Debug, PartialEq)]
pub struct Threshold {
    text: String,
    metric: Metric,
    comparison: Comparison,
    /// In milliseconds, percent, requests or responses per second.
    limit: f64,
    window_s: Option<u64>,
    /// The requests that it looks at; `None`: all.
    name: Option<String>,
}

/// What is limited.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Metric {
    /// A duration in milliseconds.
    Time(Measure, Statistic),
    /// Requests that were due, in percent of them.
    Percent(Fate),
    /// The same requests, in number.
    Number(Fate),
    /// Responses per second of sending.
    Rate,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Measure {
    /// Latency over everything that was due.
    LatencyOfDue,
    /// Latency over the responses.
    Latency,
    ServiceTime,
    ScheduleError,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Statistic {
    Mean,
    Median,
    P90,
    P95,
    P99,
    P999,
    Min,
    Max,
}

/// What becomes of requests that were due.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Fate {
    /// They got no response that passed its checks.
    Failed,
    Skipped,
    Dropped,
}

/// On which side of the limit it must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Comparison {
    Below,
    AtMost,
    Above,
    AtLeast,
}

/// What became of a threshold when it was held against figures.
#[derive(Clone, Debug, PartialEq)]
pub struct Judgement {
    /// The value, for people; `None`: it is not known.
    pub value: Option<String>,
    /// Whether it is kept. What is not known is not kept.
    pub kept: bool,
}

impl FromStr for Threshold {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let shown = crate::options::people::short(text, MAX_SHOWN_CHARS);
        let wrong = |why: &str| format!("{shown:?} is not a threshold: {why}; {HELP}");
        let text = text.trim();
        if text.len() > limits::MAX_THRESHOLD_BYTES {
            return Err(wrong("it is too long"));
        }
        // A name may hold a < of its own.
        let named = text.rfind('}').map_or(0, |end| end + 1);
        let at = text[named..].find(['<', '>']).ok_or_else(|| wrong("it has no < or >"))? + named;
        let (name, rest) = text.split_at(at);
        let (name, of) = match name.split_once('{') {
            None => (name, None),
            Some((metric, of)) => {
                let of = of.trim_end().strip_suffix('}').map(str::trim).filter(|of| !of.is_empty());
                (metric, Some(of.ok_or_else(|| wrong("it names no request between { and }"))?))
            }
        };
        let (comparison, rest) = match rest.as_bytes() {
            [b'<', b'=', ..] => (Comparison::AtMost, &rest[2..]),
            [b'<', ..] => (Comparison::Below, &rest[1..]),
            [_, b'=', ..] => (Comparison::AtLeast, &rest[2..]),
            _ => (Comparison::Above, &rest[1..]),
        };
        let (limit, window) = match rest.split_once(" over ") {
            Some((limit, window)) => (limit.trim(), Some(window)),
            None => (rest.trim(), None),
        };
        let window_s = window.map(window_s).transpose().map_err(|why| wrong(&why))?;
        let number = |text: &str| text.trim().parse::<f64>().ok().filter(|n| n.is_finite() && *n >= 0.0);
        let name = name.trim().to_ascii_lowercase();
        let (metric, limit) = if let Some(fate) = fate(&name) {
            match limit.strip_suffix('%') {
                Some(share) => {
                    (Metric::Percent(fate), number(share).ok_or_else(|| wrong("the share is not a number"))?)
                }
                None => (Metric::Number(fate), number(limit).ok_or_else(|| wrong("the limit is not a number"))?),
            }
        } else if name == "rate" {
            let rate = human::rate(limit).map_err(|right| wrong(&format!("{limit:?} is not a rate ({right})")))?;
            (Metric::Rate, rate)
        } else {
            let (measure, statistic) = time(&name).ok_or_else(|| wrong("its metric is unknown"))?;
            if number(limit).is_some() {
                return Err(wrong("a duration needs a unit"));
            }
            let limit = human::duration(limit);
            let limit = limit.map_err(|right| wrong(&format!("its limit is not a duration ({right})")))?;
            (Metric::Time(measure, statistic), limit.as_nanos() as f64 / 1e6)
        };
        if of.is_some() {
            let is_told = match metric {
                Metric::Time(measure, _) => matches!(measure, Measure::LatencyOfDue | Measure::Latency),
                Metric::Percent(fate) | Metric::Number(fate) => fate == Fate::Failed,
                Metric::Rate => true,
            };
            if !is_told {
                return Err(wrong("of one name it is not measured; latencies, failed and rate are"));
            }
            if window_s.is_some() {
                return Err(wrong("a name is looked at over the whole test; leave out what begins with over"));
            }
        }
        Ok(Self { text: text.to_owned(), metric, comparison, limit, window_s, name: of.map(str::to_owned) })
    }
}

impl Display for Threshold {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.text)
    }
}

impl Threshold {
    /// Over how many of the last seconds it is judged, at every second of a test; `None`: over the whole test.
    pub fn window_s(&self) -> Option<u64> {
        self.window_s
    }

    /// The name of the requests that it looks at; `None`: all requests.
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// After how many seconds a request that is not answered cannot keep it any more; `None`: that says nothing about it.
    fn late_after_s(&self) -> Option<u64> {
        let is_upper = matches!(self.comparison, Comparison::Below | Comparison::AtMost);
        let seconds = (self.limit / 1e3).ceil().max(1.0);
        let is_told = |seconds: &f64| *seconds <= watch::MAX_LATE_S as f64;
        match self.metric {
            Metric::Time(..) if is_upper => Some(seconds).filter(is_told).map(|seconds| seconds as u64),
            _ => None,
        }
    }

    /// The distribution that it looks at.
    fn measure(&self) -> Option<Measure> {
        match self.metric {
            Metric::Time(measure, _) => Some(measure),
            Metric::Percent(_) | Metric::Number(_) | Metric::Rate => None,
        }
    }

    /// Holds it against these figures.
    pub fn judge(&self, figures: &Figures) -> Judgement {
        let fate = |fate| match fate {
            Fate::Failed => Some(figures.due?.saturating_sub(figures.answered?)),
            Fate::Skipped => figures.skipped,
            Fate::Dropped => figures.dropped,
        };
        let value = match self.metric {
            Metric::Time(Measure::LatencyOfDue, statistic) => statistic.of(&figures.latency_of_due),
            Metric::Time(Measure::Latency, statistic) => statistic.of(&figures.latency),
            Metric::Time(Measure::ServiceTime, statistic) => statistic.of(&figures.service_time),
            Metric::Time(Measure::ScheduleError, statistic) => statistic.of(&figures.schedule_error),
            Metric::Number(which) => fate(which).map(|n| n as f64),
            Metric::Percent(which) => {
                let due = figures.due.filter(|due| *due > 0);
                fate(which).zip(due).map(|(n, due)| n as f64 * 100.0 / due as f64)
            }
            Metric::Rate => figures.responses_per_s,
        };
        let kept = value.is_some_and(|value| match self.comparison {
            Comparison::Below => value < self.limit,
            Comparison::AtMost => value <= self.limit,
            Comparison::Above => value > self.limit,
            Comparison::AtLeast => value >= self.limit,
        });
        let shown = value.map(|value| match self.metric {
            Metric::Time(..) => milliseconds(value),
            Metric::Number(_) => thousands(value as u64),
            Metric::Percent(_) => format!("{value:.3} %"),
            Metric::Rate => format!("{value:.1} responses/s"),
        });
        let value = match (shown, self.metric) {
            (None, Metric::Time(Measure::LatencyOfDue, _)) => figures.among_the_missing(),
            (shown, Metric::Number(Fate::Failed) | Metric::Percent(Fate::Failed)) => {
                shown.map(|shown| shown + &figures.never_sent())
            }
            (shown, _) => shown,
        };
        Judgement { value, kept }
    }
}

impl Statistic {
    fn of(self, summary: &DueSummary) -> Option<f64> {
        match self {
            Self::Mean => summary.mean_ms,
            Self::Median => summary.median_ms,
            Self::P90 => summary.p90_ms,
            Self::P95 => summary.p95_ms,
            Self::P99 => summary.p99_ms,
            Self::P999 => summary.p999_ms,
            Self::Min => summary.min_ms,
            Self::Max => summary.max_ms,
        }
    }
}

fn fate(name: &str) -> Option<Fate> {
    match name {
        "failed" => Some(Fate::Failed),
        "skipped" => Some(Fate::Skipped),
        "dropped" => Some(Fate::Dropped),
        _ => None,
    }
}

fn time(name: &str) -> Option<(Measure, Statistic)> {
    const MEASURES: [(&str, Measure); 4] = [
        ("response_", Measure::Latency),
        ("service_", Measure::ServiceTime),
        ("schedule_error_", Measure::ScheduleError),
        ("", Measure::LatencyOfDue),
    ];
    let (statistic, measure) = MEASURES.iter().find_map(|(prefix, of)| Some((name.strip_prefix(prefix)?, *of)))?;
    let statistic = match statistic {
        "mean" => Statistic::Mean,
        "median" | "p50" => Statistic::Median,
        "p90" => Statistic::P90,
        "p95" => Statistic::P95,
        "p99" => Statistic::P99,
        "p99.9" | "p999" => Statistic::P999,
        "min" => Statistic::Min,
        "max" => Statistic::Max,
        _ => return None,
    };
    Some((measure, statistic))
}

fn window_s(text: &str) -> Result<u64, String> {
    let most = limits::MAX_THRESHOLD_WINDOW;
    let window = human::duration(text).ok().filter(|window| window.subsec_nanos() == 0);
    let window = window.filter(|window| !window.is_zero() && *window <= most);
    window.map(|window| window.as_secs()).ok_or_else(|| {
        format!("its window must be whole seconds, 1s to {}s, and not {:?}", most.as_secs(), text.trim())
    })
}

#[cfg(test)]
mod tests;
