//! What happens in a test, and what is kept of it.

use std::collections::BTreeMap;

use onrush_protocol::NodeId;

use crate::state::named;

/// Events of the kinds that may be repeated without end, kept per test; a test that flaps for days must not grow without
/// bound. Those of the others are few, and all kept.
pub const MAX_REPEATED_EVENTS: usize = 1000;

named! {
    /// What happened.
    pub enum TestEvent {
        /// The test is stored.
        Created = "created",
        /// It ran elsewhere and was taken in.
        Imported = "imported",
        /// A driver takes part.
        Joined = "joined",
        /// A driver takes no part any more.
        Left = "left",
        /// A driver is ready.
        Armed = "armed",
        /// A driver will not run the test.
        Refused = "refused",
        /// It was to be triggered, and could not be.
        NotTriggered = "not_triggered",
        /// The drivers start together.
        Triggered = "triggered",
        /// The load is to change, or a driver changed it.
        Amended = "amended",
        /// A driver's wall clock is wrong.
        Clock = "clock",
        /// A threshold is not kept.
        Threshold = "threshold",
        /// The metrics of the target's machine cannot be read.
        TargetMetrics = "target metrics",
        /// The drivers were told to stop.
        Stop = "stop",
        /// A driver is lost.
        Lost = "lost",
        /// A driver that was lost is heard again.
        Back = "back",
        /// A driver's part is over.
        Finished = "finished",
        /// A driver could not go on, or the test could not start.
        Failed = "failed",
        /// The test was stopped.
        Stopped = "stopped",
        /// The test is over.
        Completed = "completed",
        /// The proof was made.
        Checked = "checked",
        /// A driver's reports come after the end.
        Late = "late",
        /// What was missing at the end is in.
        CompletedLate = "completed late",
        /// A driver that still runs what is over is told to stop.
        StoppedLate = "stopped late",
        /// A driver runs what nobody here started.
        Started = "started",
        /// A report was skipped.
        Skipped = "skipped",
        /// Messages that nobody can receive were passed over.
        PassedOver = "passed over",
        /// A report counts what no driver can have counted.
        ImpossibleReport = "impossible report",
        /// Something that this version has no name for.
        Other = "other",
    }
}

impl TestEvent {
    /// Whether drivers or people can make it happen without end.
    fn is_repeatable(self) -> bool {
        use TestEvent as E;
        match self {
            E::Joined | E::Left | E::Armed | E::Refused | E::NotTriggered | E::Lost | E::Back => true,
            // Of whoever says so, under any name.
            E::Started | E::StoppedLate | E::Skipped | E::PassedOver | E::Other => true,
            E::Created
            | E::Imported
            | E::Triggered
            | E::Clock
            | E::Stop
            | E::Finished
            | E::Failed
            | E::Stopped
            | E::Completed => false,
            // Once for each.
            E::Threshold => false,
            // Once.
            E::TargetMetrics => false,
            // Of each driver at most as often as a load may be changed.
            E::Amended => false,
            E::Checked | E::Late | E::CompletedLate | E::ImpossibleReport => false,
        }
    }
}

/// Something that happened.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs, reason = "each name says all there is")]
pub struct EventRecord {
    pub at_unix_ms: f64,
    pub kind: TestEvent,
    pub node_id: Option<NodeId>,
    pub detail: String,
}

/// How often each kind of event happened.
pub type EventCounts = BTreeMap<TestEvent, u64>;

/// What happened in a test, in order.
#[derive(Clone, Debug, Default)]
pub struct EventLog {
    kept: Vec<EventRecord>,
    /// Of those that are kept, the ones of repeatable kinds.
    repeated: usize,
    /// What happened since it was last asked for, kept or not.
    news: EventCounts,
}

impl EventLog {
    /// What is kept.
    pub fn kept(&self) -> &[EventRecord] {
        &self.kept
    }

    /// One more.
    pub fn push(&mut self, event: EventRecord) {
        *self.news.entry(event.kind).or_default() += 1;
        let is_repeatable = event.kind.is_repeatable();
        if !is_repeatable || self.repeated < MAX_REPEATED_EVENTS {
            self.repeated += usize::from(is_repeatable);
            self.kept.push(event);
        }
    }

    /// Whether something of this kind happened to a driver.
    pub fn has(&self, kind: TestEvent, node_id: &NodeId) -> bool {
        self.kept.iter().any(|event| event.kind == kind && event.node_id.as_ref() == Some(node_id))
    }

    /// Whether something of this kind happened.
    pub fn has_any(&self, kind: TestEvent) -> bool {
        self.kept.iter().any(|event| event.kind == kind)
    }

    /// Counts what happened since the last call.
    pub fn count_news(&mut self, counts: &mut EventCounts) {
        for (kind, n) in std::mem::take(&mut self.news) {
            *counts.entry(kind).or_default() += n;
        }
    }
}

/// As it is stored: what happened before is no news.
impl FromIterator<EventRecord> for EventLog {
    fn from_iter<I: IntoIterator<Item = EventRecord>>(events: I) -> Self {
        let kept: Vec<EventRecord> = events.into_iter().collect();
        let repeated = kept.iter().filter(|event| event.kind.is_repeatable()).count();
        Self { kept, repeated, news: EventCounts::new() }
    }
}

impl PartialEq for EventLog {
    fn eq(&self, other: &Self) -> bool {
        self.kept == other.kept
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_flaps_is_bounded_and_what_ends_a_test_is_kept_and_all_is_counted() {
        let mut log = EventLog::default();
        let mut push = |kind| log.push(EventRecord { at_unix_ms: 0.0, kind, node_id: None, detail: String::new() });
        push(TestEvent::Triggered);
        for _ in 0..MAX_REPEATED_EVENTS {
            push(TestEvent::Lost);
            push(TestEvent::Back);
        }
        push(TestEvent::Completed);
        assert_eq!(log.kept().len(), MAX_REPEATED_EVENTS + 2);
        assert_eq!(log.kept().last().map(|event| event.kind), Some(TestEvent::Completed));
        let mut counts = EventCounts::new();
        log.count_news(&mut counts);
        log.count_news(&mut counts);
        let lost = MAX_REPEATED_EVENTS as u64;
        assert_eq!((counts[&TestEvent::Lost], counts[&TestEvent::Completed]), (lost, 1), "each counts once");
        // What comes back from the store is bounded by the same.
        let mut stored: EventLog = log.kept().iter().cloned().collect();
        let event = stored.kept()[1].clone();
        stored.push(event);
        assert_eq!(stored.kept().len(), log.kept().len());
    }
}
