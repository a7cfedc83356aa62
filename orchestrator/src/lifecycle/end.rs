//! How a test ends, and what still enters it afterwards. Pure.
//!
//! A test ends without what it waited for long enough. Reports that come later, from a driver that was cut off and kept
//! them, enter the stored result for as long as a part of it is missing; its state stays, its outcome becomes what it
//! then is.

use onrush_protocol::{Metrics, NodeId};
use onrush_stats::{Outcome, Verdict};

use super::{OpenTest, STOP_PATIENCE, Taken};
use crate::clock::Now;
use crate::conservation;
use crate::event::TestEvent;
use crate::proof::TARGET_CHECK;
use crate::record::ParticipantRecord;
use crate::state::{ParticipantState, TestState};
use crate::target_check::Probe;

impl OpenTest {
    /// Whether nothing more is expected.
    pub fn is_done(&self, now: Now) -> bool {
        let patience_over = self.stopped_at.is_some_and(|at| now.since(at) >= STOP_PATIENCE);
        let may_return = |p: &ParticipantRecord| {
            let until = self.clocks.get(&p.node_id).and_then(|clock| clock.may_return_until);
            p.state == ParticipantState::Lost && until.is_some_and(|until| now.mono < until)
        };
        patience_over || self.record.participants.iter().all(|p| p.is_over() && !may_return(p))
    }

    /// Ends it: its end state, its outcome, and what it lacks.
    pub fn end(&mut self, target_after: &Probe, now: Now) {
        use ParticipantState as S;
        for participant in &mut self.record.participants {
            if !participant.is_over() {
                participant.state = S::Lost;
                participant.reason = Some("no final report within 30 seconds of the stop".into());
            }
        }
        let asked = self.record.stop_requested;
        let stopped = |p: &ParticipantRecord| p.state == S::Stopped;
        // All stopped, and nobody asked us for that: the test was stopped all the same.
        let all_stopped = !self.record.participants.is_empty() && self.record.participants.iter().all(stopped);
        self.record.state = if asked || all_stopped { TestState::Stopped } else { TestState::Completed };
        self.record.ended_unix_ms = Some(now.unix_ms);
        self.conclude_thresholds();
        let is_complete = self.find_lacks();
        let record = &mut self.record;
        let kind = if record.state == TestState::Stopped { TestEvent::Stopped } else { TestEvent::Completed };
        let detail = record.reason.clone().unwrap_or_else(|| "every final report is in".into());
        record.event(now, kind, None, detail);
        let (outcome, conservation) = conservation::check(record, &self.aggregate, is_complete, target_after);
        record.event(now, TestEvent::Checked, None, conservation.line.clone());
        (record.outcome, record.conservation) = (Some(outcome), Some(conservation));
        record.limit = Some(self.limits.whole());
    }

    /// Says what the result lacks; whether that is nothing.
    fn find_lacks(&mut self) -> bool {
        use ParticipantState as S;
        let mut reasons = Vec::new();
        for participant in self.record.participants.iter().filter(|p| p.is_missing(self.record.stop_requested)) {
            let what = match participant.state {
                S::Stopped => {
                    reasons.push(self.stopped_unasked(participant));
                    continue;
                }
                S::Lost => "was lost",
                S::Refused => "refused",
                _ => "failed",
            };
            let reason = participant.reason.as_deref().unwrap_or("no reason given");
            reasons.push(format!("{} {what}: {reason}", participant.node_id));
        }
        let record = &mut self.record;
        let is_complete = reasons.is_empty();
        let why_ended = record.why_ended().map(|why| format!("stopped: {why}"));
        record.reason = match (is_complete, record.stop_requested) {
            (true, true) => why_ended.or_else(|| Some("stopped on request".into())),
            (true, false) => None,
            (false, _) => {
                reasons.extend(why_ended);
                Some(format!("{}: {}", Outcome::Incomplete.name(), reasons.join("; ")))
            }
        };
        is_complete
    }

    /// What is said of a driver whose part was stopped, though the test was not.
    fn stopped_unasked(&self, participant: &ParticipantRecord) -> String {
        let name = &participant.node_id;
        let part = self.aggregate.driver(name).map(|total| &total.part);
        let (sent, ran_s) = part.map_or((0, 0.0), |part| (part.stats.counts.sent, part.length_ns as f64 / 1e9));
        let config = &self.record.config;
        let of = match (config.length(), config.count_per_driver) {
            (Some(duration), _) => format!(" of {} s", duration.as_secs_f64()),
            (None, Some(count)) => format!(", with {sent} of {count} requests sent"),
            (None, None) => String::new(),
        };
        let by = if self.record.events.has(TestEvent::StoppedLate, name) {
            "by this orchestrator, long after the test's end"
        } else {
            "early, by somebody else than this orchestrator"
        };
        format!("{name} was stopped {by}: after {ran_s:.0} s{of}")
    }

    /// Whether everything of a driver's part is in.
    pub fn is_whole(&self, node_id: &NodeId) -> bool {
        self.aggregate.driver(node_id).is_some_and(|total| total.end.is_some() && total.without_gap())
    }

    /// Whether anything is missing that may still come.
    pub fn may_become_whole(&self) -> bool {
        let ran = self.record.triggered_unix_ms.is_some();
        ran && self.record.participants.iter().any(|p| !p.is_plain() && !self.is_whole(&p.node_id))
    }

    /// Takes a report after the test's end, or says why it cannot be one of it.
    pub fn take_late(&mut self, metrics: &Metrics, clock_wrong_by_ms: f64, now: Now) -> Result<Taken, &'static str> {
        let node_id = &metrics.node_id;
        if !self.may_become_whole() || self.is_whole(node_id) {
            return Err("the test is over, and nothing of its driver is missing");
        }
        if metrics.measured.is_none() {
            return Err("the test is over, and a report without counts cannot enter its result");
        }
        let taken = self.take_report(metrics, clock_wrong_by_ms, now)?;
        if let Taken::Entered { .. } = taken {
            self.note_once(
                TestEvent::Late,
                node_id,
                "its reports come after the test's end; they enter the result",
                now,
            );
            if self.is_whole(node_id) {
                self.end_part(node_id, now);
            }
        }
        Ok(taken)
    }

    /// A driver is told to stop this test, which has ended; whether that is new.
    pub fn note_stopped_late(&mut self, node_id: &NodeId, now: Now) -> bool {
        self.note_once(
            TestEvent::StoppedLate,
            node_id,
            "it still runs the test, which is over, and is told to stop",
            now,
        )
    }

    /// A driver says that it runs this test, which was not triggered; whether that is new.
    pub fn note_foreign_start(&mut self, node_id: &NodeId, now: Now) -> bool {
        let detail = "it runs the test, which somebody else than this orchestrator started; it is told to stop";
        self.note_once(TestEvent::Started, node_id, detail, now)
    }

    pub(super) fn note_once(&mut self, kind: TestEvent, node_id: &NodeId, detail: &str, now: Now) -> bool {
        if self.record.events.has(kind, node_id) {
            return false;
        }
        self.record.event(now, kind, Some(node_id), detail);
        true
    }

    /// What the result is by now, after late reports. The target's counters, read so much later, may have counted what
    /// others sent: what they contradict is not compared.
    pub fn amend(&mut self, target_after: &Probe, now: Now) {
        self.conclude_thresholds();
        let is_complete = self.find_lacks();
        let check = |after| conservation::check(&self.record, &self.aggregate, is_complete, after);
        let (mut outcome, mut conservation) = check(target_after);
        let breaches = || conservation.checks.iter().filter(|check| check.verdict == Verdict::Breach);
        if breaches().count() > 0 && breaches().all(|check| check.name == TARGET_CHECK) {
            let why = "its counters were read long after the test's end, and may have counted other traffic";
            (outcome, conservation) = check(&Probe::Unknown(why.into()));
        }
        let record = &mut self.record;
        if record.outcome != Some(outcome) {
            let kind = if is_complete { TestEvent::CompletedLate } else { TestEvent::Checked };
            record.event(now, kind, None, conservation.line.clone());
        }
        (record.outcome, record.conservation) = (Some(outcome), Some(conservation));
    }
}
