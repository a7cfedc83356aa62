//! A test that runs: who is lost, back, or done without saying so. Pure: time and registry are given.

use std::time::Duration;

use onrush_protocol::NodeState;

use super::{GOODBYE_PATIENCE, IDLE_PATIENCE, OpenTest, PLAIN_NEVER, PLAIN_QUIET, RETURN_PATIENCE};
use crate::clock::Now;
use crate::event::TestEvent;
use crate::record::ParticipantRecord;
use crate::registry::Registry;
use crate::state::ParticipantState;

/// What becomes of a driver's part, the kind of the event, and why.
type Conclusion = (ParticipantState, TestEvent, String);

impl OpenTest {
    /// While it runs: who is lost, back, or done without saying so. `caught_up`: no reports wait to be read, so
    /// that silence is silence. Whether anything changed.
    pub fn watch(&mut self, registry: &Registry, caught_up: bool, now: Now) -> bool {
        let before: Vec<ParticipantState> = self.record.participants.iter().map(|p| p.state).collect();
        for i in 0..self.record.participants.len() {
            let node_id = self.record.participants[i].node_id.clone();
            self.conclude(&node_id, now);
            if let Some((state, kind, reason)) = self.verdict(i, registry, caught_up, now) {
                let gone = registry.is_gone_for_good(&node_id, self.record.participants[i].session_id.as_ref());
                let may_return = state == ParticipantState::Lost && !gone;
                let clock = self.clocks.entry(node_id.clone()).or_default();
                clock.may_return_until = may_return.then(|| now.mono + RETURN_PATIENCE);
                let participant = &mut self.record.participants[i];
                participant.state = state;
                participant.reason = (state != ParticipantState::Running).then(|| reason.clone());
                self.record.event(now, kind, Some(&node_id), reason);
            }
        }
        let changed = self.record.participants.iter().map(|p| p.state).ne(before);
        if changed {
            self.reporting = None;
        }
        self.note_amended(registry, now) || changed
    }

    /// Takes over from the heartbeats which amendments took effect, and when; whether there are news.
    fn note_amended(&mut self, registry: &Registry, now: Now) -> bool {
        let record = &mut self.record;
        let mut news = Vec::new();
        for participant in &mut record.participants {
            let heard = registry.get(&participant.node_id);
            let heard = heard.filter(|driver| driver.session_id() == participant.session_id.as_ref());
            let taken = heard.map_or(&[][..], |driver| driver.amended_at(&record.test_id));
            let known = participant.amended_at.len();
            let both = taken.iter().copied().zip(&record.config.amendments).enumerate().skip(known);
            for (place, (took_effect, amendment)) in both {
                participant.amended_at.push(took_effect);
                let (number, asked) = (place + 1, amendment.at_second);
                news.push((
                    participant.node_id.clone(),
                    match took_effect {
                        Some(second) if second == asked => format!("change {number} takes effect at second {second}"),
                        Some(second) => format!("change {number} takes effect at second {second} in place of {asked}"),
                        None => format!("change {number} cannot take effect"),
                    },
                ));
            }
        }
        for (node_id, detail) in &news {
            record.event(now, TestEvent::Amended, Some(node_id), detail);
        }
        !news.is_empty()
    }

    fn verdict(&self, index: usize, registry: &Registry, caught_up: bool, now: Now) -> Option<Conclusion> {
        use ParticipantState as S;
        let participant = &self.record.participants[index];
        let session_id = participant.session_id.as_ref();
        let alive = registry.is_alive(&participant.node_id, session_id);
        if participant.state == S::Lost {
            return alive.then(|| (S::Running, TestEvent::Back, "it is heard again".to_owned()));
        }
        if participant.is_over() || !caught_up {
            return None;
        }
        let running_since = self.running_since.unwrap_or(now.mono);
        let clock = self.clocks.get(&participant.node_id).copied().unwrap_or_default();
        let last_report = clock.last_report.unwrap_or(running_since).max(running_since);
        // While the broker is away, and just after, silence says nothing.
        let listening_since = registry.listening_since()?;
        let quiet = now.since(last_report.max(listening_since));
        if participant.is_plain() && participant.reports > 0 {
            let reported_for = last_report.saturating_duration_since(running_since);
            return self.plain_verdict(participant, registry, quiet, reported_for);
        }
        if !alive {
            let lost = quiet >= GOODBYE_PATIENCE;
            return lost.then(|| (S::Lost, TestEvent::Lost, self.why_lost(participant, registry)));
        }
        if participant.is_plain() {
            let reason = format!("it reported nothing within {} seconds", PLAIN_NEVER.as_secs());
            return (now.since(running_since) >= PLAIN_NEVER).then_some((S::Failed, TestEvent::Failed, reason));
        }
        let last = registry.get(&participant.node_id)?.last.as_ref()?;
        if let Some(refusal) = last.refusal.as_ref().filter(|r| r.test_id == self.record.test_id)
            && participant.reports == 0
        {
            return Some((S::Refused, TestEvent::Refused, refusal.reason.clone()));
        }
        let elsewhere = last.state.is_some_and(|state| state != NodeState::Running) && last.reports_waiting == Some(0);
        (elsewhere && quiet >= IDLE_PATIENCE).then(|| {
            (
                S::Failed,
                TestEvent::Failed,
                "it lives, but does not run the test and delivered no final report".to_owned(),
            )
        })
    }

    /// One that sends only the specification's fields says neither that it is done nor, perhaps, that it leaves: what it
    /// reported is looked at before its silence is. `reported_for`: from the start to its newest report.
    fn plain_verdict(
        &self,
        participant: &ParticipantRecord,
        registry: &Registry,
        quiet: Duration,
        reported_for: Duration,
    ) -> Option<Conclusion> {
        use ParticipantState as S;
        let (name, session_id) = (&participant.node_id, participant.session_id.as_ref());
        let gone = registry.is_gone_for_good(name, session_id);
        if quiet < if gone { GOODBYE_PATIENCE } else { PLAIN_QUIET } {
            return None;
        }
        let config = &self.record.config;
        let count = u32::try_from(config.count_per_driver.unwrap_or(0)).unwrap_or(u32::MAX);
        let expected = config.delay.checked_mul(count).unwrap_or(Duration::MAX);
        let expected = config.length().map_or(expected, |duration| expected.max(duration));
        let stopped = self.record.stop_requested;
        // Its newest report may be the last of several in as many seconds.
        let whole = stopped || reported_for.saturating_add(PLAIN_QUIET) >= expected;
        if !whole && !registry.is_alive(name, session_id) {
            return Some((S::Lost, TestEvent::Lost, self.why_lost(participant, registry)));
        }
        let over = stopped || reported_for.saturating_add(quiet) >= expected;
        let others = self.record.participants.iter().filter(|p| !p.is_plain()).all(ParticipantRecord::is_over);
        let state = if stopped { S::Stopped } else { S::Completed };
        let reason = if gone {
            "it sends only the four summary latencies, and left after its last report".to_owned()
        } else {
            format!("it sends only the four summary latencies, and was quiet for {} seconds", quiet.as_secs())
        };
        (over && others).then_some((state, TestEvent::Finished, reason))
    }

    fn why_lost(&self, participant: &ParticipantRecord, registry: &Registry) -> String {
        let name = &participant.node_id;
        let silence_s = registry.get(name).map_or(5, |driver| driver.patience().lost.as_secs());
        let why = match registry.is_gone_for_good(name, participant.session_id.as_ref()) {
            true => "it ended or was started again".to_owned(),
            false => format!("no heartbeat for {silence_s} seconds"),
        };
        format!("{why}{}", self.reached(participant))
    }

    /// How far a driver got, for a sentence.
    fn reached(&self, participant: &ParticipantRecord) -> String {
        match participant.reports {
            0 => "; it had reported nothing".to_owned(),
            n => format!("; {n} of its reports are in"),
        }
    }
}
