//! A second of one generator or several as a search takes it.

use onrush_stats::{Counts, Distribution, DriverFigures, LimitWatch, LimitedBy, Resource, Summary};

use crate::block::{Block, Spoilt};
use crate::goal::Criterion;

/// A request that was sent later than this part of a latency limit may break it by that alone.
const LATE_PART: u64 = 10;
/// While a smaller part of the connections is busy, one was free for a request that went out late.
const ALL_BUSY: f64 = 0.85;

impl Block {
    /// What a second measured in which one generator, or several together, sent at the same rate.
    pub fn of_second(length_ns: u64, counts: &Counts, latency: Distribution, void: Option<Spoilt>) -> Self {
        let given_up = counts.skipped.saturating_add(counts.dropped);
        let ended = counts.answered().saturating_add(counts.failed());
        Self {
            length_ns,
            due: counts.due,
            failed: counts.failed().saturating_add(given_up),
            without_response: ended.saturating_sub(counts.responses()).saturating_add(given_up),
            latency,
            void,
        }
    }
}

impl Spoilt {
    /// What a generator lacked in a second, if it was the limit in it, or sent so late that this could decide the SLO;
    /// `sent_later_than`: how many requests were, by so many nanoseconds at least.
    pub fn of_second(figures: DriverFigures, slo: &[Criterion], sent_later_than: impl Fn(u64) -> u64) -> Option<Self> {
        let counts = &figures.counts;
        let given_up = counts.skipped.saturating_add(counts.dropped);
        let is_late = |criterion: &Criterion| is_late(criterion, counts.due, given_up, &sent_later_than);
        let was_late = !all_busy(&figures) && slo.iter().any(is_late);
        let mut watch = LimitWatch::default();
        watch.second(0, vec![figures], None);
        let found = watch.whole();
        if found.limited_by == LimitedBy::Generator {
            return Some(match found.resource {
                Some(Resource::Ports) => Self::Ports,
                Some(Resource::Descriptors) => Self::Descriptors,
                Some(Resource::Cpu) => Self::Cpu,
                _ => Self::ScheduleError,
            });
        }
        was_late.then_some(Self::ScheduleError)
    }
}

/// How many requests were certainly sent later than so many nanoseconds, by what a summary tells of their schedule errors.
pub fn later_by_summary(schedule_error: Option<Summary>) -> impl Fn(u64) -> u64 {
    move |ns| {
        let Some(errors) = schedule_error else { return 0 };
        let Summary { count, median_ms, p90_ms, p95_ms, p99_ms, p999_ms, .. } = errors;
        let quantiles = [(0.5, median_ms), (0.9, p90_ms), (0.95, p95_ms), (0.99, p99_ms), (0.999, p999_ms)];
        let first_beyond = quantiles.iter().find(|(_, ms)| ms * 1e6 > ns as f64);
        first_beyond.map_or(0, |(quantile, _)| ((1.0 - quantile) * count as f64).round() as u64)
    }
}

/// Whether all connections may have been under way at once: a stall of the target can have taken all of them for a part of the second.
fn all_busy(figures: &DriverFigures) -> bool {
    let DriverFigures { counts, service_time, length_ns, connections, .. } = figures;
    let longest_ns = service_time.map_or(0.0, |time| time.max_ms * 1e6);
    let most_busy = counts.due as f64 * longest_ns / (*length_ns).max(1) as f64;
    most_busy.max(counts.in_flight as f64) >= ALL_BUSY * *connections as f64
}

/// Whether the requests that the generator sent too late, or not at all, could decide a criterion: half of the share that may break it,
/// and more than one. A connection was free for them, so that the target has no part in it.
fn is_late(criterion: &Criterion, due: u64, given_up: u64, sent_later_than: impl Fn(u64) -> u64) -> bool {
    let sent_late = match criterion {
        Criterion::Latency { limit_ns, .. } => sent_later_than(limit_ns / LATE_PART),
        Criterion::Failed { .. } => 0,
    };
    let late = sent_late.saturating_add(given_up);
    late > 1 && late as f64 > 0.5 * criterion.share() * due as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    const P99: Criterion = Criterion::Latency { limit_ns: 50_000_000, share: 0.01 };

    /// So many of a thousand were sent so late.
    fn errors(late: u64, ms: u64) -> impl Fn(u64) -> u64 {
        move |ns| if ms * 1_000_000 > ns { late } else { 0 }
    }

    #[test]
    fn requests_that_are_sent_late_spoil_what_they_could_decide() {
        assert!(!is_late(&P99, 1_000, 0, errors(0, 0)));
        // Two of a thousand are not half of a hundredth, 4 ms not a tenth of 50 ms.
        assert!(!is_late(&P99, 1_000, 0, errors(2, 40)));
        assert!(!is_late(&P99, 1_000, 0, errors(900, 4)));
        assert!(is_late(&P99, 1_000, 0, errors(8, 40)));
        // At low rates a single request is more than a hundredth.
        assert!(!is_late(&P99, 20, 0, errors(1, 40)));
    }

    #[test]
    fn requests_that_are_given_up_although_connections_were_free_are_not_the_targets() {
        let failed = Criterion::Failed { share: 0.01 };
        assert!(is_late(&failed, 1_000, 8, errors(0, 0)));
        assert!(!is_late(&failed, 1_000, 4, errors(500, 400)));
    }

    #[test]
    fn a_summary_never_tells_of_more_late_requests_than_there_were() {
        for late in [0_u64, 1, 5, 9, 20, 60, 400, 900, 1_000] {
            let mut errors = Distribution::default();
            (0..1_000 - late).for_each(|_| errors.record(20_000));
            (0..late).for_each(|_| errors.record(40_000_000));
            let told = later_by_summary(errors.summary())(5_000_000);
            assert!(told <= late && 5 * told + 10 >= late, "{told} of {late}");
        }
        assert_eq!(later_by_summary(None)(0), 0);
    }
}
