//! A sealed second in numbers, as people are shown it and as it is stored: what was counted, and summaries of what was
//! measured.

use std::collections::BTreeMap;

use onrush_protocol::NodeId;
use onrush_stats::{Counts, DueSummary, Examples, NameSummary, SecondStats, Summary, TargetCpu};

use crate::aggregate::{DriverPart, SealedSecond};

/// A sealed second.
#[derive(Clone, Debug, PartialEq)]
pub struct SecondNumbers {
    /// Which second.
    pub second_index: u64,
    /// When it was sealed.
    pub sealed_unix_ms: f64,
    /// Drivers that were expected and had not reported it.
    pub missing: Vec<NodeId>,
    /// Reports that came after it was sealed.
    pub late_reports: u64,
    /// All drivers merged.
    pub all: PartNumbers,
    /// Each driver.
    pub drivers: Vec<(NodeId, PartNumbers)>,
    /// What the target used of its CPUs, as in [`SealedSecond`].
    pub target: Option<TargetCpu>,
}

/// One driver's part of it, or all drivers merged.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs, reason = "named as in `DriverPart` and `SecondStats`")]
pub struct PartNumbers {
    pub length_ns: u64,
    pub sending_ns: u64,
    pub counts: Counts,
    pub examples: Examples,
    /// `None`: nothing was measured.
    pub latency: Option<Summary>,
    pub latency_of_due: DueSummary,
    pub service_time: Option<Summary>,
    pub schedule_error: Option<Summary>,
    /// Of all drivers merged alone: names and drivers together would make a second as large as one likes.
    pub by_name: BTreeMap<String, NameSummary>,
}

impl SecondNumbers {
    /// The numbers of a second; `all` are its drivers merged.
    pub fn of(sealed: &SealedSecond, all: &DriverPart, sealed_unix_ms: f64) -> Self {
        let SealedSecond { second_index, missing, late_reports, sealable_since: _, parts, target } = sealed;
        Self {
            second_index: *second_index,
            sealed_unix_ms,
            missing: missing.clone(),
            late_reports: *late_reports,
            all: PartNumbers { by_name: all.stats.by_name.summaries(), ..PartNumbers::of(all) },
            drivers: parts.iter().map(|(node_id, part)| (node_id.clone(), PartNumbers::of(part))).collect(),
            target: *target,
        }
    }
}

impl PartNumbers {
    /// The numbers of a part, without names.
    pub fn of(part: &DriverPart) -> Self {
        let DriverPart { length_ns, sending_ns, stats } = part;
        let SecondStats { counts, latency, service_time, schedule_error, examples, by_name: _ } = stats;
        Self {
            length_ns: *length_ns,
            sending_ns: *sending_ns,
            counts: counts.clone(),
            examples: examples.clone(),
            latency: latency.summary(),
            latency_of_due: latency.summary_of_due(counts.due),
            service_time: service_time.summary(),
            schedule_error: schedule_error.summary(),
            by_name: BTreeMap::new(),
        }
    }
}
