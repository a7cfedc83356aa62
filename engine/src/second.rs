//! What a run reports: its seconds, the last of which says how it ended.

use std::time::{Duration, Instant};

use onrush_stats::{SecondStats, Totals};

/// What one second of a run measured.
#[derive(Clone, Debug, PartialEq)]
pub struct SecondReport {
    /// Which second, from 0.
    pub index: u64,
    /// One second, or less for the last.
    pub length: Duration,
    /// What it measured.
    pub stats: SecondStats,
    /// What the run counted so far, this second included; counted apart from `stats`, so that each proves the other.
    pub totals: Totals,
    /// For how much of the run so far requests were sent, which is what a throughput is over; what is waited for afterwards
    /// is not in it.
    pub sending: Duration,
    /// When the threads really began, the latest of them.
    pub started: Instant,
    /// Set on the last second.
    pub end: Option<End>,
}

/// Why a run ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// Count reached or duration over, and every answer is in, has failed or has timed out.
    Completed,
    /// Stopped.
    Stopped,
    /// The engine could not go on, and why.
    Failed(String),
}
