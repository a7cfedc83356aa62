//! Who ended the growth of a run: the target, the generator or the network. Pure rules over figures that were measured.
//!
//! `figures` holds what a stretch of a run measured and `target` what its target used meanwhile, `rules` draws one verdict from
//! both, and `watch` follows a run second by second.
//! Where the evidence does not suffice the verdict is *unknown*, and says what would tell.

mod figures;
mod rules;
mod target;
mod watch;

pub use figures::DriverFigures;
pub use target::{TargetCpu, TargetLooks, TargetTime};
pub use watch::LimitWatch;

/// Who was the limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum LimitedBy {
    /// What is tested.
    Target,
    /// What tests: its figures are a lower bound.
    Generator,
    /// What lies between.
    Network,
    /// Nobody: what was asked for was reached.
    None,
    /// The evidence does not suffice.
    Unknown,
}

impl LimitedBy {
    /// Every value, in the order of the enum.
    pub const ALL: [Self; 5] = [Self::Target, Self::Generator, Self::Network, Self::None, Self::Unknown];

    /// The word used in REST, in the store and in Prometheus labels.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Target => "target",
            Self::Generator => "generator",
            Self::Network => "network",
            Self::None => "none",
            Self::Unknown => "unknown",
        }
    }

    /// The value of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|limited_by| limited_by.name() == name)
    }
}

/// What of them it was: one word for each rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[allow(missing_docs, reason = "`name` says all there is")]
pub enum Resource {
    Cpu,
    AcceptQueue,
    Connecting,
    Stall,
    Failures,
    ResponseTime,
    ReceiveWindow,
    Timing,
    Ports,
    Descriptors,
    Connections,
    SendBuffer,
    Bandwidth,
    RoundTrip,
    Loss,
}

impl Resource {
    /// Every value, in the order of the enum.
    pub const ALL: [Self; 15] = [
        Self::Cpu,
        Self::AcceptQueue,
        Self::Connecting,
        Self::Stall,
        Self::Failures,
        Self::ResponseTime,
        Self::ReceiveWindow,
        Self::Timing,
        Self::Ports,
        Self::Descriptors,
        Self::Connections,
        Self::SendBuffer,
        Self::Bandwidth,
        Self::RoundTrip,
        Self::Loss,
    ];

    /// The word used in REST and in the store.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Cpu => "cpu",
            Self::AcceptQueue => "accept_queue",
            Self::Connecting => "connecting",
            Self::Stall => "stall",
            Self::Failures => "failures",
            Self::ResponseTime => "response_time",
            Self::ReceiveWindow => "receive_window",
            Self::Timing => "timing",
            Self::Ports => "ports",
            Self::Descriptors => "descriptors",
            Self::Connections => "connections",
            Self::SendBuffer => "send_buffer",
            Self::Bandwidth => "bandwidth",
            Self::RoundTrip => "round_trip",
            Self::Loss => "loss",
        }
    }

    /// The value of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|resource| resource.name() == name)
    }
}

/// A verdict with its reasons.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundLimit {
    /// Who it was.
    pub limited_by: LimitedBy,
    /// What of them; `None` where nobody was, or nobody knows.
    pub resource: Option<Resource>,
    /// Why, in one line.
    pub reasons: String,
    /// The first second of which it is true; `None`: not known.
    pub since_second: Option<u64>,
}

impl FoundLimit {
    /// Whether what was measured is only the least that the target can do.
    pub fn is_lower_bound(&self) -> bool {
        self.limited_by == LimitedBy::Generator
    }

    /// `limit: target from second 31: CPU full on 2 of 2 cores …`: the same line wherever a limit is shown.
    pub fn line(&self) -> String {
        let bound = if self.is_lower_bound() { "; the figures are a lower bound" } else { "" };
        let since = match self.since_second {
            Some(second) if second > 0 && self.resource.is_some() => format!(" from second {second}"),
            _ => String::new(),
        };
        format!("limit: {}{since}: {}{bound}", self.limited_by.name(), self.reasons)
    }
}

#[cfg(test)]
mod tests;
