//! From the engine's seconds to the messages that carry them: pure values.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use onrush_engine::{End, SecondReport};
use onrush_protocol::{EndReason, LatencyMs, Measured, Metrics, NodeId, SessionId, TestId};
use onrush_stats::Distribution;

/// One moment on both clocks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clocks {
    pub monotonic: Instant,
    pub unix_ms: f64,
}

impl Clocks {
    /// Both within some microseconds: where this thread is held up between the two, they are read again, and the closest of
    /// a few counts.
    pub fn now() -> Self {
        const CLOSE: Duration = Duration::from_micros(5);
        const TRIES: usize = 8;
        let mut closest = Self::read();
        for _ in 1..TRIES {
            if closest.1 <= CLOSE {
                break;
            }
            let again = Self::read();
            if again.1 < closest.1 {
                closest = again;
            }
        }
        closest.0
    }

    /// Both, and within what time.
    fn read() -> (Self, Duration) {
        let before = Instant::now();
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let apart = before.elapsed();
        (Self { monotonic: before + apart / 2, unix_ms: unix_ms(wall) }, apart)
    }

    /// The wall clock's time of a monotonic moment.
    pub fn to_unix_ms(self, moment: Instant) -> f64 {
        let ahead = moment.saturating_duration_since(self.monotonic);
        let behind = self.monotonic.saturating_duration_since(moment);
        self.unix_ms + (ahead.as_nanos() as f64 - behind.as_nanos() as f64) / 1e6
    }
}

/// Milliseconds since 1970, to the microsecond.
fn unix_ms(since_1970: Duration) -> f64 {
    since_1970.as_micros() as f64 / 1e3
}

/// Makes the reports of one test.
#[derive(Debug)]
pub(crate) struct Reporter {
    pub node_id: NodeId,
    pub session_id: SessionId,
    pub test_id: TestId,
    /// The engine and its way of waiting, for people; known when the run starts.
    pub engine: String,
    sequence: u64,
    /// Latency over the whole test so far.
    latency: Distribution,
    /// Taken with the first report and kept, so that all say the same.
    started_at_unix_ms: Option<f64>,
}

impl Reporter {
    pub fn new(node_id: NodeId, session_id: SessionId, test_id: TestId) -> Self {
        Self {
            node_id,
            session_id,
            test_id,
            engine: String::new(),
            sequence: 0,
            latency: Distribution::default(),
            started_at_unix_ms: None,
        }
    }

    /// The report of the next second.
    pub fn report(&mut self, second: SecondReport, clocks: Clocks) -> Metrics {
        let SecondReport { index, length, stats, totals, sending, started, end } = second;
        self.latency.merge(&stats.latency);
        let sequence = self.sequence;
        self.sequence += 1;
        let started_at_unix_ms = *self.started_at_unix_ms.get_or_insert_with(|| clocks.to_unix_ms(started));
        Metrics {
            node_id: self.node_id.clone(),
            test_id: self.test_id.clone(),
            report_id: Some(format!("{}/{}/{sequence}", self.node_id, self.test_id)),
            latency: LatencyMs::of(&self.latency),
            measured: Some(Box::new(Measured {
                session_id: self.session_id.clone(),
                sequence,
                second_index: index,
                length_s: length.as_secs_f64(),
                sending_s: Some(sending.as_secs_f64()),
                started_at_unix_ms,
                stats,
                totals,
                end: end.map(end_reason),
                engine: Some(self.engine.clone()),
            })),
        }
    }
}

fn end_reason(end: End) -> EndReason {
    match end {
        End::Completed => EndReason::Completed,
        End::Stopped => EndReason::Stopped,
        End::Failed(reason) => EndReason::Failed(reason),
    }
}

#[cfg(test)]
mod tests {
    use onrush_stats::{SecondStats, Totals};

    use super::*;

    fn second(index: u64, latency_ns: u64, started: Instant, end: Option<End>) -> SecondReport {
        let mut stats = SecondStats::default();
        stats.latency.record(latency_ns);
        let (length, totals, sending) = (Duration::from_secs(1), Totals::default(), Duration::from_millis(500));
        SecondReport { index, length, stats, totals, sending, started, end }
    }

    #[test]
    fn reports_are_numbered_and_speak_of_the_whole_test() {
        let clocks = Clocks { monotonic: Instant::now(), unix_ms: 5_000.0 };
        let name = |text: &str| text.to_owned();
        let mut reporter = Reporter::new(
            NodeId::new(name("n")).unwrap(),
            SessionId::new(name("s")).unwrap(),
            TestId::new(name("t")).unwrap(),
        );
        let started = clocks.monotonic - Duration::from_micros(1_500);
        let first = reporter.report(second(0, 1_000_000, started, None), clocks);
        let later = Clocks { unix_ms: 9_999.0, ..clocks };
        let last = reporter.report(second(1, 3_000_000, started, Some(End::Failed("why".into()))), later);
        assert_eq!(last.report_id.as_deref(), Some("n/t/1"));
        assert_eq!((last.latency.min, last.latency.max, last.latency.mean), (Some(1.0), Some(3.0), Some(2.0)));
        let (first, last) = (first.measured.unwrap(), last.measured.unwrap());
        assert_eq!((first.sequence, last.sequence, last.second_index), (0, 1, 1));
        assert_eq!((first.started_at_unix_ms, last.started_at_unix_ms), (4_998.5, 4_998.5));
        assert_eq!((first.end, last.end), (None, Some(EndReason::Failed("why".into()))));
        assert_eq!(last.stats.latency.count(), 1);
    }
}
