//! What a search is fed with: what a second or so at one rate measured.

use std::fmt;

use onrush_stats::Distribution;

/// What a stretch of time at one rate measured. A second is a good length.
///
/// A request counts as due in the block of its due moment, and its end in the block in which it ended, so that due less the ends
/// of all blocks so far are in flight. Blocks follow one another without a gap.
#[derive(Clone, Debug, Default)]
pub struct Block {
    /// How long it was, in nanoseconds.
    pub length_ns: u64,
    /// Requests that were due in it, whatever became of them.
    pub due: u64,
    /// Requests that failed in it, were skipped or dropped: whatever their response was, or without one.
    pub failed: u64,
    /// Of these the ones that got no response and never will.
    pub without_response: u64,
    /// The latency of every response that ended in it.
    pub latency: Distribution,
    /// Why the generator spoilt it; `None`: it did not, and the block speaks of the target.
    pub void: Option<Spoilt>,
}

/// What the generator lacked. Such a block says nothing of the target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spoilt {
    /// Requests went out too late.
    ScheduleError,
    /// Its CPUs were full.
    Cpu,
    /// Its local ports were used up.
    Ports,
    /// Its descriptors were used up.
    Descriptors,
    /// The machine under it was busy elsewhere: stolen time, or throttling.
    StolenTime,
    /// A generator was lost.
    Lost,
}

impl fmt::Display for Spoilt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ScheduleError => "requests were sent too late",
            Self::Cpu => "the generator's CPUs were full",
            Self::Ports => "the generator's ports were used up",
            Self::Descriptors => "the generator's descriptors were used up",
            Self::StolenTime => "the generator's machine took its CPU time away",
            Self::Lost => "a generator was lost",
        })
    }
}
