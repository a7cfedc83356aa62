//! Which requests of a block broke a criterion, although responses are known only when they end.

use crate::block::{Block, Spoilt};
use crate::goal::Criterion;

/// What is in flight, and how much of it is known to be late already.
///
/// Due less those that ended is in flight, exactly. Not more of it than was due within the limit can still be in time, so the rest is
/// overdue and counts as broken at once: a target that has stopped answering is seen, and one request more or fewer
/// in flight is not.
#[derive(Clone, Debug)]
pub struct Ledger {
    in_flight: i64,
    /// By criterion.
    overdue: Vec<i64>,
}

fn signed(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

impl Ledger {
    /// Nothing is in flight.
    pub fn new(criteria: usize) -> Self {
        Self { in_flight: 0, overdue: vec![0; criteria] }
    }

    /// Whether more than one request has been in flight for longer than a criterion allows: what an overload left behind is not served yet.
    pub fn is_behind(&self) -> bool {
        self.overdue.iter().any(|overdue| *overdue > 1)
    }

    /// How many requests of a block broke each criterion. Below 0 where those counted as overdue ended otherwise.
    pub fn take(&mut self, slo: &[Criterion], block: &Block) -> Vec<i64> {
        if block.void == Some(Spoilt::Lost) {
            // What a lost generator had in flight never ends.
            *self = Self::new(slo.len());
            return vec![0; slo.len()];
        }
        let ended = signed(block.latency.count()).saturating_add(signed(block.without_response));
        self.in_flight = self.in_flight.saturating_add(signed(block.due)).saturating_sub(ended).max(0);
        let of = |(criterion, overdue): (&Criterion, &mut i64)| match criterion {
            Criterion::Failed { .. } => signed(block.failed),
            Criterion::Latency { limit_ns, .. } => {
                let within = block.latency.histogram().map_or(0, |histogram| histogram.count_between(0, *limit_ns));
                let late = signed(block.latency.count().saturating_sub(within));
                let still_in_time = block.due as f64 * (*limit_ns as f64 / block.length_ns.max(1) as f64);
                let before = *overdue;
                *overdue = self.in_flight.saturating_sub(still_in_time.ceil() as i64).max(0);
                late.saturating_add(signed(block.without_response)).saturating_add(*overdue - before)
            }
        };
        slo.iter().zip(&mut self.overdue).map(of).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SLO: [Criterion; 2] =
        [Criterion::Latency { limit_ns: 50_000_000, share: 0.01 }, Criterion::Failed { share: 0.001 }];

    /// A second in which so many were due, and so many ended after so many milliseconds.
    fn second(due: u64, ended: u64, ms: u64) -> Block {
        let mut block = Block { length_ns: 1_000_000_000, due, ..Block::default() };
        (0..ended).for_each(|_| block.latency.record(ms * 1_000_000));
        block
    }

    #[test]
    fn what_is_in_flight_in_time_is_not_broken() {
        let mut ledger = Ledger::new(2);
        for (due, ended) in [(100, 97), (100, 102), (100, 96), (100, 103)] {
            assert_eq!(ledger.take(&SLO, &second(due, ended, 10)), [0, 0]);
        }
    }

    #[test]
    fn a_target_that_stops_answering_breaks_what_is_due_and_each_request_once() {
        let mut ledger = Ledger::new(2);
        assert_eq!(ledger.take(&SLO, &second(100, 100, 10)), [0, 0]);
        // 5 of each 100 can be younger than 50 ms.
        assert_eq!(ledger.take(&SLO, &second(100, 0, 0)), [95, 0]);
        assert_eq!(ledger.take(&SLO, &second(100, 0, 0)), [100, 0]);
        // All are answered, late: 5 were not counted yet, and the 10 that are new.
        assert_eq!(ledger.take(&SLO, &second(10, 210, 900)), [15, 0]);
    }

    #[test]
    fn what_ends_without_a_response_is_broken_and_fails() {
        let mut ledger = Ledger::new(2);
        let block = Block { failed: 7, without_response: 4, ..second(100, 96, 10) };
        assert_eq!(ledger.take(&SLO, &block), [4, 7]);
    }

    #[test]
    fn a_lost_generator_takes_what_it_had_in_flight_with_it() {
        let mut ledger = Ledger::new(2);
        ledger.take(&SLO, &second(1_000, 0, 0));
        ledger.take(&SLO, &Block { void: Some(Spoilt::Lost), ..second(500, 0, 0) });
        assert_eq!(ledger.take(&SLO, &second(100, 100, 10)), [0, 0]);
    }
}
