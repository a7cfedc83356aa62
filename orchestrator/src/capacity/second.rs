//! A sealed second as a search goes by it.

use onrush_protocol::NodeId;
use onrush_search::{Block, Criterion, Spoilt, later_by_summary};
use onrush_stats::{Distribution, DriverFigures};

use crate::aggregate::SealedSecond;
use crate::record::TestRecord;
use crate::second::{PartNumbers, SecondNumbers};

/// A sealed second.
#[derive(Clone, Debug)]
pub struct SearchedSecond {
    /// Which second.
    pub index: u64,
    /// Whether every driver had reported it when it was sealed.
    pub is_whole: bool,
    /// What all drivers measured.
    pub block: Block,
}

impl SearchedSecond {
    /// A second that was just sealed.
    pub fn of_sealed(record: &TestRecord, slo: &[Criterion], sealed: &SealedSecond) -> Self {
        let all = sealed.all();
        Self::of(record, slo, &SecondNumbers::of(sealed, &all, 0.0), all.stats.latency)
    }

    /// A second in numbers, and the latencies of all its drivers. A report that came late is in a second that is stored, and was not
    /// when the search looked at it.
    pub fn of(record: &TestRecord, slo: &[Criterion], second: &SecondNumbers, latency: Distribution) -> Self {
        let SecondNumbers { second_index, late_reports, all, drivers, .. } = second;
        let is_whole = *late_reports == 0 && drivers.len() == record.participants.len();
        if !is_whole {
            return Self::missing(*second_index, second_index.saturating_add(1));
        }
        // The search counts a second as void that any of its generators spoilt.
        let void = drivers.iter().find_map(|(name, part)| {
            Spoilt::of_second(figures(record, name, part), slo, later_by_summary(part.schedule_error))
        });
        Self { index: *second_index, is_whole, block: Block::of_second(all.length_ns, &all.counts, latency, void) }
    }

    /// Seconds that some driver is missing from, from `index` to before `end`: nothing is known of them.
    pub fn missing(index: u64, end: u64) -> Self {
        let length_ns = end.saturating_sub(index).saturating_mul(1_000_000_000);
        Self { index, is_whole: false, block: Block { length_ns, void: Some(Spoilt::Lost), ..Block::default() } }
    }
}

/// What tells whether a driver was the limit.
fn figures(record: &TestRecord, name: &NodeId, part: &PartNumbers) -> DriverFigures {
    let config = &record.config;
    DriverFigures {
        name: name.to_string(),
        length_ns: part.length_ns,
        sending_ns: part.sending_ns,
        counts: part.counts.clone(),
        service_time: part.service_time,
        schedule_error: part.schedule_error,
        connections: config
            .connections
            .unwrap_or(onrush_protocol::TestConfig::default_connections(config.test_type))
            .into(),
        is_paced: true,
    }
}
