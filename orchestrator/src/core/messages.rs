//! What the drivers say.

use std::time::Instant;

use onrush_bus::Skipped;
use onrush_protocol::{Heartbeat, Metrics, NodeState, ReadError, Register, TestId, Topic};

use super::{Core, Effect, EnteredReport, Unsaved};
use crate::clock::Now;
use crate::event::TestEvent;
use crate::lifecycle::{Taken, Turn};
use crate::registry::Registry;
use crate::state::TestState;

/// A message from a driver.
#[derive(Debug)]
pub enum DriverMessage {
    /// A driver announced itself.
    Register(Register),
    /// A driver lives, or ends.
    Heartbeat(Heartbeat),
    /// A driver measured.
    Metrics(Metrics),
}

impl DriverMessage {
    /// Reads what came on a topic; `None`: that topic is not for us.
    pub fn read(topic: Topic, payload: &[u8]) -> Option<Result<Self, ReadError>> {
        match topic {
            Topic::Register => Some(Register::read(payload).map(Self::Register)),
            Topic::Heartbeat => Some(Heartbeat::read(payload).map(Self::Heartbeat)),
            Topic::Metrics => Some(Metrics::read(payload).map(Self::Metrics)),
            Topic::TestConfig | Topic::Trigger => None,
        }
    }
}

impl DriverMessage {
    /// The test about which something must be known to take this.
    pub fn speaks_of(&self) -> Option<&TestId> {
        match self {
            Self::Register(_) => None,
            Self::Heartbeat(heartbeat) => {
                heartbeat.test_id.as_ref().filter(|_| heartbeat.state == Some(NodeState::Running))
            }
            Self::Metrics(metrics) => Some(&metrics.test_id),
        }
    }
}

impl Core {
    /// Takes what a driver said; `at`: when it came.
    pub fn take(&mut self, topic: Topic, message: Result<DriverMessage, ReadError>, at: Instant, now: Now) {
        match message {
            Err(error) => {
                self.reports.skipped += u64::from(topic == Topic::Metrics);
                self.skips.unreadable(topic, &error);
            }
            Ok(DriverMessage::Register(register)) => {
                self.registry.register(register, now);
                self.unsettled = true;
            }
            Ok(DriverMessage::Heartbeat(heartbeat)) => {
                self.hear_late_runner(&heartbeat, now);
                self.unsettled |= self.registry.heartbeat(heartbeat, at, now);
            }
            Ok(DriverMessage::Metrics(metrics)) => self.take_metrics(metrics, now),
        }
    }

    /// Messages were given up that nobody can receive.
    pub fn give_up(&mut self, skipped: &Skipped, now: Now) {
        let Skipped { topic, partition, from, to } = skipped;
        let count = u64::try_from(to.saturating_sub(*from)).unwrap_or(0);
        let detail = format!(
            "{count} messages of topic {} (partition {partition}, from offset {from}) cannot be received and were passed over",
            topic.name()
        );
        self.skips.add_many(*topic, "given up unread", &detail, count);
        for test in self.tests.values_mut().filter(|test| test.record.state == TestState::Running) {
            test.record.event(now, TestEvent::PassedOver, None, detail.clone());
            self.unsaved.insert(test.record.test_id.clone(), Unsaved::Everything);
        }
        self.unsettled = true;
    }

    fn take_metrics(&mut self, metrics: Metrics, now: Now) {
        let Some(test) = self.tests.get_mut(&metrics.test_id) else { return self.take_late(metrics, now) };
        let wrong_by_ms = clock_wrong_by_ms(&self.registry, &metrics);
        match test.take(&metrics, wrong_by_ms, now) {
            Ok(Taken::Duplicate) => self.reports.duplicate += 1,
            Ok(Taken::Plain) => {
                self.reports.accepted += 1;
                self.unsettled = true;
                self.unshown.insert(metrics.test_id.clone());
                self.save_participant(&metrics.test_id, metrics.node_id);
            }
            Ok(Taken::Entered { late, turn }) => {
                let Metrics { node_id, test_id, measured, .. } = metrics;
                let Some(report) = measured else { return };
                match turn {
                    Turn::Began => drop(self.unshown.insert(test_id.clone())),
                    Turn::Changed => {
                        self.unsettled = true;
                        self.unshown.insert(test_id.clone());
                    }
                    Turn::None => {}
                }
                self.save_participant(&test_id, node_id.clone());
                self.reported.insert(test_id.clone());
                self.effects.push(Effect::Report(EnteredReport { test_id, node_id, late, report }));
                self.reports.accepted += u64::from(!late);
                self.reports.late += u64::from(late);
            }
            Err(why) => {
                let detail = format!("a report of {} was skipped: {why}", metrics.node_id);
                // People hear of it once per driver and kind; strangers could fill the list of events.
                let mut kept = test.record.events.kept().iter();
                let known = kept.any(|event| event.kind == TestEvent::Skipped && event.detail == detail);
                if !known && test.record.participant(&metrics.node_id).is_some() {
                    test.record.event(now, TestEvent::Skipped, None, detail.clone());
                    self.save(&metrics.test_id);
                }
                self.reports.skipped += 1;
                self.skips.add(Topic::Metrics, why, &detail);
            }
        }
    }
}

/// By how much the clock that a report was written by is known to be wrong.
pub(super) fn clock_wrong_by_ms(registry: &Registry, metrics: &Metrics) -> f64 {
    let session_id = metrics.measured.as_ref().map(|report| &report.session_id);
    registry.clock_wrong_by_ms(&metrics.node_id, session_id).unwrap_or(0.0)
}
