//! A second of the engine as the search takes it. Pure.

use onrush_engine::SecondReport;
use onrush_search::{Block, Criterion, Spoilt};
use onrush_stats::{DriverFigures, FoundLimit, LimitWatch, TargetCpu};

/// Makes blocks of the seconds of one run.
pub struct Blocks {
    slo: Vec<Criterion>,
    connections: u64,
    sending_ns: u64,
    limits: LimitWatch,
}

impl Blocks {
    /// Of a run with so many connections, for a search with that SLO.
    pub fn new(slo: &[Criterion], connections: u32) -> Self {
        Self { slo: slo.to_vec(), connections: connections.into(), sending_ns: 0, limits: LimitWatch::default() }
    }

    /// The next second, and what the target used of its CPUs since the last second of which that is known.
    pub fn block(&mut self, second: &SecondReport, target: Option<TargetCpu>) -> Block {
        let SecondReport { index, length, stats, sending, .. } = second;
        let ns = |time: &std::time::Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        let (length_ns, sending_ns) = (ns(length), ns(sending));
        let counts = &stats.counts;
        let figures = DriverFigures {
            name: String::new(),
            length_ns,
            sending_ns: sending_ns.saturating_sub(self.sending_ns),
            counts: counts.clone(),
            service_time: stats.service_time.summary(),
            schedule_error: stats.schedule_error.summary(),
            connections: self.connections,
            is_paced: true,
        };
        self.sending_ns = sending_ns;
        self.limits.second(*index, vec![figures.clone()], target);
        let sent_later_than = |ns| {
            let in_time = stats.schedule_error.histogram().map_or(0, |errors| errors.count_between(0, ns));
            stats.schedule_error.count().saturating_sub(in_time)
        };
        let void = Spoilt::of_second(figures, &self.slo, sent_later_than);
        Block::of_second(length_ns, counts, stats.latency.clone(), void)
    }

    /// Who was the limit where the run was limited: at its end, or for a fifth of it.
    pub fn limit(&self) -> FoundLimit {
        self.limits.whole()
    }
}
