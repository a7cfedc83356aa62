//! Reads an HdrHistogram interval log, with the reader of the hdrhistogram crate.

use std::path::Path;
use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use hdrhistogram::Histogram;
use hdrhistogram::serialization::Deserializer;
use hdrhistogram::serialization::interval_log::{IntervalLogIterator, LogEntry};

/// One line of a log.
pub struct Interval {
    /// `None`: latency.
    tag: Option<String>,
    /// From the log's base time.
    pub start: Duration,
    /// As it stands beside the histogram.
    pub max_ms: f64,
    /// In nanoseconds.
    pub histogram: Histogram<u64>,
}

/// A log.
pub struct Log {
    /// Its start, in seconds since 1970.
    pub start_s: f64,
    intervals: Vec<Interval>,
}

impl Log {
    /// Reads a file.
    #[track_caller]
    pub fn read(path: &Path) -> Self {
        let bytes = std::fs::read(path).expect("the log was written");
        let (mut start, mut base, mut intervals) = (None, None, Vec::new());
        for entry in IntervalLogIterator::new(&bytes) {
            match entry.expect("every line can be read") {
                LogEntry::StartTime(time) => start = Some(time),
                LogEntry::BaseTime(time) => base = Some(time),
                LogEntry::Interval(interval) => {
                    let coded = BASE64_STANDARD.decode(interval.encoded_histogram()).expect("base64");
                    intervals.push(Interval {
                        tag: interval.tag().map(|tag| tag.to_string()),
                        start: interval.start_timestamp(),
                        max_ms: interval.max(),
                        histogram: Deserializer::new().deserialize(&mut coded.as_slice()).expect("a histogram"),
                    });
                }
            }
        }
        assert!(start.is_some() && start == base, "intervals are counted from the start");
        Self { start_s: start.map_or(0.0, |start| start.as_secs_f64()), intervals }
    }

    /// The intervals of one distribution, in order.
    pub fn of(&self, name: &str) -> Vec<&Interval> {
        let tag = Some(name).filter(|name| *name != "latency");
        self.intervals.iter().filter(|interval| interval.tag.as_deref() == tag).collect()
    }

    /// All intervals of one distribution together.
    pub fn merged(&self, name: &str) -> Histogram<u64> {
        let mut all: Option<Histogram<u64>> = None;
        for interval in self.of(name) {
            match &mut all {
                Some(all) => all.add(&interval.histogram).expect("one layout"),
                None => all = Some(interval.histogram.clone()),
            }
        }
        all.unwrap_or_else(|| panic!("no interval of {name}"))
    }
}
