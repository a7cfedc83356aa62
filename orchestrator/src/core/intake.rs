//! What the drivers say.

use std::time::Instant;

use onrush_protocol::{Heartbeat, Metrics, ReadError, Register, Topic};

use super::{Core, Effect};
use crate::clock::Now;
use crate::lifecycle::{Taken, Turn};
use crate::store::ReportRow;

/// A message from a driver.
#[derive(Debug)]
pub enum Message {
    /// A driver announced itself.
    Register(Register),
    /// A driver lives, or ends.
    Heartbeat(Heartbeat),
    /// A driver measured.
    Metrics(Metrics),
}

impl Message {
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

impl Core {
    /// Takes what a driver said; `at`: when it came.
    pub fn take(&mut self, topic: Topic, message: Result<Message, ReadError>, at: Instant, now: Now) {
        match message {
            Err(error) => {
                self.reports.skipped += u64::from(topic == Topic::Metrics);
                self.skips.unreadable(topic, &error);
            }
            Ok(Message::Register(register)) => {
                self.registry.register(register, now);
                self.unsettled = true;
            }
            Ok(Message::Heartbeat(heartbeat)) => self.unsettled |= self.registry.heartbeat(heartbeat, at, now),
            Ok(Message::Metrics(metrics)) => self.take_metrics(metrics, now),
        }
    }

    fn take_metrics(&mut self, metrics: Metrics, now: Now) {
        let Some(test) = self.tests.get_mut(&metrics.test_id) else {
            let detail = format!("{} reports on test {}, which is over or unknown", metrics.node_id, metrics.test_id);
            self.reports.skipped += 1;
            self.skips.add(Topic::Metrics, "of no open test", &detail);
            return;
        };
        match test.take(&metrics, now) {
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
                self.effects.push(Effect::Report(ReportRow { test_id, node_id, late, report }));
                self.reports.accepted += u64::from(!late);
                self.reports.late += u64::from(late);
            }
            Err(why) => {
                let detail = format!("a report of {} was skipped: {why}", metrics.node_id);
                // People hear of it once per driver and kind; strangers could fill the list of events.
                let known = test.record.events.iter().any(|event| event.kind == "skipped" && event.detail == detail);
                if !known && test.record.participant(&metrics.node_id).is_some() {
                    test.record.event(now, "skipped", None, detail.clone());
                    self.save(&metrics.test_id);
                }
                self.reports.skipped += 1;
                self.skips.add(Topic::Metrics, why, &detail);
            }
        }
    }
}
