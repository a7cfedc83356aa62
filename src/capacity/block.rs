//! A second of the engine as the search takes it. Pure.

use onrush_engine::SecondReport;
use onrush_search::{Block, Spoilt};
use onrush_stats::DriverFigures;

/// Makes blocks of the seconds of one run.
pub struct Blocks {
    connections: u64,
    sending_ns: u64,
}

impl Blocks {
    /// Of a run with so many connections.
    pub fn new(connections: u32) -> Self {
        Self { connections: connections.into(), sending_ns: 0 }
    }

    /// The next second.
    pub fn block(&mut self, second: &SecondReport) -> Block {
        let SecondReport { length, stats, sending, .. } = second;
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
        Block::of_second(length_ns, counts, stats.latency.clone(), Spoilt::of_second(figures))
    }
}
