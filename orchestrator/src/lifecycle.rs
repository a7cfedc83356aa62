//! One test: who takes part, who is ready, what is taken from whom. Pure: time and registry are given.
//! [`watch`] has what follows from silence, [`judge`] what its thresholds say, [`look`] what its target tells, [`end`] how it
//! ends and what enters it afterwards.

mod end;
mod judge;
mod look;
mod plausible;
mod watch;

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use onrush_protocol::threshold::Watch;
use onrush_protocol::{EndReason, Metrics, NodeId, Share, TestConfig};
use onrush_stats::{Counts, DriverFigures, LimitWatch, Outcome, Summary};

use crate::actor::Actor;
use crate::aggregate::{Aggregate, DriverPart, Entered, SealedSecond};
use crate::clock::Now;
use crate::event::TestEvent;
use crate::record::{DriverLife, ParticipantRecord, TestRecord};
use crate::registry::{Registry, clock_warning};
use crate::state::{ParticipantState, TestState};

use look::Looks;

pub use judge::Finding;

/// After a stop, final reports are waited for this long.
pub const STOP_PATIENCE: Duration = Duration::from_secs(30);
/// A driver that is gone for good is lost this long after its last report: reports may still be under way.
const GOODBYE_PATIENCE: Duration = Duration::from_secs(2);
/// A test does not end for the silence of its last driver before this is over: a network may come back.
const RETURN_PATIENCE: Duration = Duration::from_secs(5);
/// A driver that lives, is idle and reports nothing for this long does not run the test.
const IDLE_PATIENCE: Duration = Duration::from_secs(15);
/// A report that overtook an earlier one waits this long for it.
const GAP_PATIENCE: Duration = Duration::from_secs(5);
/// A driver that speaks only the specification is done after this silence.
const PLAIN_QUIET: Duration = Duration::from_secs(10);
/// The same where it never reported at all.
const PLAIN_NEVER: Duration = Duration::from_secs(30);
/// A refusal that was there before the config was published again is believed only after this.
const REFUSAL_RENEWED: Duration = Duration::from_millis(2500);

/// Why a driver that speaks only the specification cannot take part in a test with more in it.
const PLAIN_REFUSAL: &str =
    "it speaks only the specification: it knows no profile, no total throughput and no random arrivals";

#[derive(Clone, Copy, Debug, Default)]
struct PartClock {
    /// It is lost, but the test does not end for that before this.
    may_return_until: Option<Instant>,
    last_report: Option<Instant>,
    final_at: Option<Instant>,
}

/// A test that is not over.
#[derive(Clone, Debug)]
pub struct OpenTest {
    /// What is stored of it.
    pub record: TestRecord,
    /// What was measured.
    pub aggregate: Aggregate,
    /// When it began to run, or was found running after a restart.
    running_since: Option<Instant>,
    stopped_at: Option<Instant>,
    /// When the target's counters were asked for after the end.
    pub asked_target: Option<Instant>,
    /// What the target tells of its CPU time.
    looks: Looks,
    /// Who is the limit.
    limits: LimitWatch,
    clocks: BTreeMap<NodeId, PartClock>,
    /// By how much drivers' wall clocks were wrong when it was triggered, where they were.
    pub clock_offsets_ms: BTreeMap<NodeId, f64>,
    /// The drivers that are expected to report seconds; `None`: to be listed anew.
    reporting: Option<Vec<NodeId>>,
    /// Who was named in the config when it was last published, and when that was.
    published: BTreeSet<DriverLife>,
    published_at: Option<Instant>,
    /// Who had refused it before that.
    refused_before: BTreeSet<NodeId>,
    /// Holds its thresholds against its seconds.
    thresholds: Watch,
}

/// What became of a report.
pub enum Taken {
    /// It was there already.
    Duplicate,
    /// It entered; `late`: after its second was sealed.
    Entered {
        /// Its second was sealed before.
        late: bool,
        /// What it means for its driver's part.
        turn: Turn,
    },
    /// It is of the specification only; nothing but the newest numbers is kept.
    Plain,
}

/// What a report says of its driver's part, beside what it measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// Nothing: it goes on.
    None,
    /// It is the first.
    Began,
    /// The part is over, may be over, or goes on again.
    Changed,
}

/// The share of the schedule that the participant in this place sends, where the drivers send one together.
fn share_of(record: &TestRecord, place: usize) -> Option<Share> {
    let share =
        || Some(Share { index: u32::try_from(place).ok()?, of: u32::try_from(record.participants.len()).ok()? });
    record.config.is_shared().then(share).flatten()
}

impl OpenTest {
    /// A test as it is stored, with what was measured so far.
    pub fn new(record: TestRecord, aggregate: Aggregate, now: Now) -> Self {
        let running = record.state == TestState::Running;
        Self {
            running_since: running.then_some(now.mono),
            stopped_at: record.stop_requested.then_some(now.mono),
            asked_target: None,
            looks: Looks::default(),
            limits: LimitWatch::default(),
            clocks: BTreeMap::new(),
            clock_offsets_ms: BTreeMap::new(),
            reporting: None,
            published: BTreeSet::new(),
            published_at: None,
            refused_before: BTreeSet::new(),
            thresholds: Watch::new(&record.config),
            record,
            aggregate,
        }
    }

    /// Makes the live drivers its participants; whether that changed anything.
    pub fn sync_participants(&mut self, registry: &Registry, now: Now) -> bool {
        let live: BTreeSet<DriverLife> = registry
            .live()
            .map(|driver| (driver.identity.register.node_id.clone(), driver.session_id().cloned()))
            .collect();
        let record = &mut self.record;
        let before: BTreeSet<DriverLife> = record.participants.iter().map(ParticipantRecord::life).collect();
        if before == live {
            return false;
        }
        record.participants.retain(|p| live.contains(&p.life()));
        for (node_id, _) in before.difference(&live) {
            record.event(now, TestEvent::Left, Some(node_id), "it takes no part: it is gone");
        }
        for (node_id, session_id) in live.difference(&before) {
            record.participants.push(ParticipantRecord::new(node_id.clone(), session_id.clone()));
            record.event(now, TestEvent::Joined, Some(node_id), "it takes part");
        }
        record.participants.sort_by(|a, b| a.node_id.cmp(&b.node_id));
        true
    }

    /// Whether its published config names every participant; where drivers share a schedule, nobody else either.
    pub fn is_published_to_all(&self) -> bool {
        let participants = &self.record.participants;
        let names_others = self.record.config.is_shared() && self.published.len() != participants.len();
        !names_others && participants.iter().all(|p| self.published.contains(&p.life()))
    }

    /// Notes that the config was published with the present participants.
    pub fn note_published(&mut self, registry: &Registry, order: i64, now: Now) {
        let record = &mut self.record;
        record.published_order = order;
        self.published = record.participants.iter().map(ParticipantRecord::life).collect();
        self.published_at = Some(now.mono);
        let refuses = |p: &&ParticipantRecord| {
            registry.get(&p.node_id).is_some_and(|driver| driver.refusal_of(&record.test_id).is_some())
        };
        self.refused_before = record.participants.iter().filter(refuses).map(|p| p.node_id.clone()).collect();
        for participant in &mut record.participants {
            if participant.state == ParticipantState::Refused {
                participant.state = ParticipantState::Pending;
                participant.reason = None;
            }
        }
    }

    /// Before the trigger: takes over from the heartbeats who is ready and who refuses. Whether anything changed.
    pub fn observe(&mut self, registry: &Registry, now: Now) -> bool {
        let record = &mut self.record;
        let renewed = self.published_at.is_none_or(|at| now.since(at) >= REFUSAL_RENEWED);
        let mut changed = false;
        for i in 0..record.participants.len() {
            let participant = &record.participants[i];
            let Some(driver) = registry.get(&participant.node_id) else { continue };
            let refusal = driver
                .refusal_of(&record.test_id)
                .filter(|_| renewed || !self.refused_before.contains(&participant.node_id));
            // Where drivers send together, those armed before somebody came or left have another share.
            let is_armed = driver.is_armed_for(&record.test_id) && driver.share() == share_of(record, i);
            let (state, reason) = if participant.is_plain() && record.config.is_beyond_the_specification() {
                (ParticipantState::Refused, Some(PLAIN_REFUSAL.to_owned()))
            } else if participant.is_plain() || is_armed {
                (ParticipantState::Armed, None)
            } else if let Some(refusal) = refusal {
                (ParticipantState::Refused, Some(refusal.reason.clone()))
            } else {
                (ParticipantState::Pending, None)
            };
            if participant.state != state {
                let node_id = participant.node_id.clone();
                match state {
                    ParticipantState::Refused => {
                        record.event(now, TestEvent::Refused, Some(&node_id), reason.clone().unwrap_or_default());
                    }
                    ParticipantState::Armed => record.event(now, TestEvent::Armed, Some(&node_id), "it is ready"),
                    _ => {}
                }
                record.participants[i].state = state;
                record.participants[i].reason = reason;
                changed = true;
            }
        }
        let all_armed = self.all_armed();
        let state = if all_armed { TestState::Armed } else { TestState::Configured };
        if self.record.state != state {
            self.record.state = state;
            changed = true;
        }
        changed
    }

    /// Whether there are participants and each is ready.
    pub fn all_armed(&self) -> bool {
        let participants = &self.record.participants;
        !participants.is_empty() && participants.iter().all(|p| p.state == ParticipantState::Armed)
    }

    /// The test begins: the trigger is about to be published.
    pub fn begin(&mut self, start_at_unix_ms: f64, registry: &Registry, by: &Actor, now: Now) {
        let record = &mut self.record;
        let wrong = |p: &ParticipantRecord| {
            let offset_ms = registry.clock_wrong_by_ms(&p.node_id, p.session_id.as_ref())?;
            Some((p.node_id.clone(), offset_ms))
        };
        self.clock_offsets_ms = record.participants.iter().filter_map(wrong).collect();
        record.state = TestState::Running;
        record.reason = None;
        record.triggered_unix_ms = Some(now.unix_ms);
        record.start_at_unix_ms = Some(start_at_unix_ms);
        for participant in &mut record.participants {
            participant.state = ParticipantState::Running;
        }
        self.reporting = None;
        let count = record.participants.len();
        record.event(now, TestEvent::Triggered, None, format!("{count} drivers start together{}", by.note("started")));
        for (node_id, offset_ms) in &self.clock_offsets_ms {
            record.event(now, TestEvent::Clock, Some(node_id), clock_warning(*offset_ms));
        }
        self.running_since = Some(now.mono);
    }

    /// Somebody wants it to end while it runs, or a threshold ends it for the reason `why`; whether that is new.
    pub fn request_stop(&mut self, why: Option<&str>, by: &Actor, now: Now) -> bool {
        if self.record.stop_requested {
            return false;
        }
        self.record.stop_requested = true;
        let because = why.map_or(String::new(), |why| format!(": {why}"));
        self.record.reason = Some(format!("stopping{because}: waiting for the final reports"));
        let detail = format!("the drivers were told to stop{because}{}", by.note("as asked"));
        self.record.event(now, TestEvent::Stop, None, detail);
        self.stopped_at = Some(now.mono);
        true
    }

    /// Takes a report, or says why it cannot be one of this test. `clock_wrong_by_ms`: by how much its driver's wall
    /// clock is known to be wrong.
    pub fn take(&mut self, metrics: &Metrics, clock_wrong_by_ms: f64, now: Now) -> Result<Taken, &'static str> {
        if self.record.state != TestState::Running {
            return Err("the test was not triggered");
        }
        let node_id = &metrics.node_id;
        let state = |test: &Self| test.record.participant(node_id).map(|p| p.state);
        let before = state(self);
        let mut taken = self.take_report(metrics, clock_wrong_by_ms, now)?;
        if matches!(taken, Taken::Duplicate) {
            return Ok(taken);
        }
        let clock = self.clocks.entry(node_id.clone()).or_default();
        clock.last_report = Some(now.mono);
        let is_final = metrics.measured.as_ref().is_some_and(|report| report.end.is_some());
        if is_final {
            clock.final_at = Some(now.mono);
        }
        self.resume(node_id, now);
        self.conclude(node_id, now);
        if let Taken::Entered { turn, .. } = &mut taken
            && (is_final || state(self) != before)
        {
            *turn = Turn::Changed;
            self.reporting = None;
        }
        Ok(taken)
    }

    /// Takes what a report measured.
    fn take_report(&mut self, metrics: &Metrics, clock_wrong_by_ms: f64, now: Now) -> Result<Taken, &'static str> {
        let Some(participant) = self.record.participant_mut(&metrics.node_id) else {
            return Err("its driver takes no part in the test");
        };
        let Some(report) = &metrics.measured else {
            if !participant.is_plain() {
                return Err("it lacks what its driver's reports have (a sequence number)");
            }
            participant.plain = Some(metrics.latency);
            participant.reports += 1;
            return Ok(Taken::Plain);
        };
        if participant.session_id.as_ref().is_some_and(|session_id| *session_id != report.session_id) {
            return Err("it comes from another life of its driver than the one that takes part");
        }
        if let Some(why) = plausible::impossible(report) {
            self.note_once(TestEvent::ImpossibleReport, &metrics.node_id, why, now);
            return Err(why);
        }
        let entered = self.aggregate.enter(&metrics.node_id, report, now.mono)?;
        if entered == Entered::Duplicate {
            return Ok(Taken::Duplicate);
        }
        let late = entered == Entered::Late;
        let mut turn = Turn::None;
        participant.reports += 1;
        participant.late_reports += u64::from(late);
        if participant.started_at_unix_ms.is_none() {
            // What it was told at the trigger is what it started by.
            let wrong_by_ms = self.clock_offsets_ms.get(&metrics.node_id).copied().unwrap_or(clock_wrong_by_ms);
            participant.started_at_unix_ms = Some(report.started_at_unix_ms - wrong_by_ms);
            turn = Turn::Began;
        }
        if report.engine.is_some() {
            participant.engine.clone_from(&report.engine);
        }
        Ok(Taken::Entered { late, turn })
    }

    /// A report of a driver that was thought lost.
    fn resume(&mut self, node_id: &NodeId, now: Now) {
        let Some(participant) = self.record.participant_mut(node_id) else { return };
        if participant.state == ParticipantState::Lost {
            participant.state = ParticipantState::Running;
            participant.reason = None;
            self.reporting = None;
            self.record.event(now, TestEvent::Back, Some(node_id), "it is heard again");
        }
    }

    /// Ends a driver's part where its final report and all before are in.
    fn conclude(&mut self, node_id: &NodeId, now: Now) {
        let Some(total) = self.aggregate.driver(node_id).filter(|total| total.end.is_some()) else { return };
        let final_at = self.clocks.get(node_id).and_then(|clock| clock.final_at);
        let patience_over = final_at.is_none_or(|at| now.since(at) >= GAP_PATIENCE);
        if total.without_gap() || patience_over {
            self.end_part(node_id, now);
        }
    }

    /// Ends a driver's part as its final report says.
    fn end_part(&mut self, node_id: &NodeId, now: Now) {
        let end = self.aggregate.driver(node_id).and_then(|total| total.end.clone());
        let (Some((end, _)), Some(participant)) = (end, self.record.participant_mut(node_id)) else { return };
        let (state, reason) = match end {
            EndReason::Completed => (ParticipantState::Completed, None),
            EndReason::Stopped => (ParticipantState::Stopped, None),
            EndReason::Failed(reason) => (ParticipantState::Failed, Some(reason)),
        };
        if participant.state == state {
            return;
        }
        participant.state = state;
        participant.reason.clone_from(&reason);
        let (kind, detail) = match reason {
            Some(reason) => (TestEvent::Failed, reason),
            None => (TestEvent::Finished, "its final report is in".to_owned()),
        };
        self.record.event(now, kind, Some(node_id), detail);
    }

    /// Closes the seconds that can be closed; all that are open where it is `over`.
    pub fn seal(&mut self, over: bool, now: Now) -> Vec<SealedSecond> {
        let Self { record, aggregate, reporting, limits, looks, .. } = self;
        let mut sealed = aggregate.seal(reporting.get_or_insert_with(|| Self::list_reporting(record)), over, now.mono);
        if let Some(newest) = sealed.last_mut() {
            newest.target = looks.take();
        }
        for second in &sealed {
            let parts = second.parts.iter();
            let figures = |(name, part): (&NodeId, &DriverPart)| {
                let DriverPart { length_ns, sending_ns, stats } = part;
                let (service_time, schedule_error) = (stats.service_time.summary(), stats.schedule_error.summary());
                figures(&record.config, name, [*length_ns, *sending_ns], &stats.counts, [service_time, schedule_error])
            };
            limits.second(second.second_index, parts.map(figures).collect(), second.target);
        }
        if let Some(newest) = limits.newest().filter(|_| !sealed.is_empty()) {
            record.limit = Some(newest.clone());
        }
        sealed
    }

    /// Goes on looking for its limit behind what the store has of it.
    pub fn limits_from(&mut self, limits: LimitWatch) {
        self.limits = limits;
    }

    /// The drivers that are expected to report seconds.
    fn list_reporting(record: &TestRecord) -> Vec<NodeId> {
        let expected = |p: &&ParticipantRecord| !p.is_plain() && matches!(p.state, ParticipantState::Running);
        // A driver whose part is over reported up to its final report; the aggregate knows which that is.
        let finished =
            |p: &&ParticipantRecord| matches!(p.state, ParticipantState::Completed | ParticipantState::Stopped);
        record.participants.iter().filter(|p| expected(p) || finished(p)).map(|p| p.node_id.clone()).collect()
    }

    /// Ends it before it ran.
    pub fn end_unrun(&mut self, state: TestState, reason: impl Into<String>, now: Now) {
        let record = &mut self.record;
        let reason = reason.into();
        record.state = state;
        record.outcome = Some(Outcome::Incomplete);
        record.ended_unix_ms = Some(now.unix_ms);
        record.event(
            now,
            if state == TestState::Stopped { TestEvent::Stopped } else { TestEvent::Failed },
            None,
            reason.clone(),
        );
        record.reason = Some(reason);
    }
}

/// What tells of a limit in a driver's part of a second: its length and for how much of it requests were sent, what was counted,
/// service times and schedule errors.
pub(crate) fn figures(
    config: &TestConfig,
    name: &NodeId,
    [length_ns, sending_ns]: [u64; 2],
    counts: &Counts,
    [service_time, schedule_error]: [Option<Summary>; 2],
) -> DriverFigures {
    let connections = config.connections.unwrap_or(TestConfig::default_connections(config.test_type));
    DriverFigures {
        name: name.to_string(),
        length_ns,
        sending_ns,
        counts: counts.clone(),
        service_time,
        schedule_error,
        connections: connections.into(),
        is_paced: config.is_paced(),
    }
}
