//! A second of one generator or several as a search takes it.

use onrush_stats::{Counts, Distribution, DriverFigures, LimitWatch, LimitedBy, Resource};

use crate::block::{Block, Spoilt};

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
    /// What a generator lacked in a second, if it was the limit in it.
    pub fn of_second(figures: DriverFigures) -> Option<Self> {
        let mut watch = LimitWatch::default();
        watch.second(0, vec![figures]);
        let found = watch.whole();
        let is_ours = found.limited_by == LimitedBy::Generator;
        is_ours.then_some(match found.resource {
            Some(Resource::Ports) => Self::Ports,
            Some(Resource::Descriptors) => Self::Descriptors,
            Some(Resource::Cpu) => Self::Cpu,
            _ => Self::ScheduleError,
        })
    }
}
