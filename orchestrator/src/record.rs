//! A test as it is stored: what must survive a restart, except what was measured.

use onrush_protocol::threshold::Standing;
use onrush_protocol::{LatencyMs, NodeId, SessionId, TestConfig, TestId};
use onrush_stats::{FoundLimit, Outcome};

use crate::actor::Actor;
use crate::clock::Now;
use crate::event::{EventLog, EventRecord, TestEvent};
use crate::proof::Conservation;
use crate::state::{ParticipantState, TestState};
use crate::target_check::Probe;

/// A driver's name, and the life of it that is meant.
pub type DriverLife = (NodeId, Option<SessionId>);

/// A test and its participants.
#[derive(Clone, Debug, PartialEq)]
pub struct TestRecord {
    /// Its name in every message.
    pub test_id: TestId,
    /// Its label.
    pub name: Option<String>,
    /// What was asked for, without participants.
    pub config: TestConfig,
    /// Where it is in its life.
    pub state: TestState,
    /// Why it ended as it did, or what it waits for.
    pub reason: Option<String>,
    /// When it was made.
    pub created_unix_ms: f64,
    /// When it was triggered.
    pub triggered_unix_ms: Option<f64>,
    /// The start moment that the drivers were given.
    pub start_at_unix_ms: Option<f64>,
    /// When it reached its end state.
    pub ended_unix_ms: Option<f64>,
    /// Somebody stopped it while it ran.
    pub stop_requested: bool,
    /// It is triggered as soon as its drivers are armed, because it was made so.
    pub trigger_when_armed: bool,
    /// Which publication of a config its last one was, counted over all tests; 0: none yet.
    pub published_order: i64,
    /// How far its result can be trusted; `None` before the end.
    pub outcome: Option<Outcome>,
    /// The proof, from the end on.
    pub conservation: Option<Conservation>,
    /// Who was the limit: of its newest seconds while it runs, as it was when it last changed; of all of it from the end on.
    pub limit: Option<FoundLimit>,
    /// The target's counters just before the trigger.
    pub target_before: Option<Probe>,
    /// The drivers that take part, in the order of their names.
    pub participants: Vec<ParticipantRecord>,
    /// What became of each threshold, in the order of the config; empty: none was judged yet.
    pub standings: Vec<Standing>,
    /// What happened, in order.
    pub events: EventLog,
}

/// A driver's part in a test.
#[derive(Clone, Debug, PartialEq)]
pub struct ParticipantRecord {
    /// The driver.
    pub node_id: NodeId,
    /// The life of it that takes part; `None`: it speaks only the specification.
    pub session_id: Option<SessionId>,
    /// Where its part is.
    pub state: ParticipantState,
    /// Why it refused, failed or is lost.
    pub reason: Option<String>,
    /// Its measured start.
    pub started_at_unix_ms: Option<f64>,
    /// Reports that entered the totals.
    pub reports: u64,
    /// Those of them that came after their second was sealed.
    pub late_reports: u64,
    /// The engine's input and output and its way of waiting.
    pub engine: Option<String>,
    /// The seconds at which the amendments of the test took effect on it; `None`: one that it could not take.
    pub amended_at: Vec<Option<u64>>,
    /// The newest four numbers of a driver that reports no more than them.
    pub plain: Option<LatencyMs>,
}

impl ParticipantRecord {
    /// A part that begins.
    pub fn new(node_id: NodeId, session_id: Option<SessionId>) -> Self {
        Self {
            node_id,
            session_id,
            state: ParticipantState::Pending,
            reason: None,
            started_at_unix_ms: None,
            reports: 0,
            late_reports: 0,
            engine: None,
            amended_at: Vec::new(),
            plain: None,
        }
    }

    /// The name and the life of it.
    pub fn life(&self) -> DriverLife {
        (self.node_id.clone(), self.session_id.clone())
    }

    /// Whether nothing more is expected of it.
    pub fn is_over(&self) -> bool {
        use ParticipantState as S;
        match self.state {
            S::Refused | S::Completed | S::Stopped | S::Failed | S::Lost => true,
            S::Pending | S::Armed | S::Running => false,
        }
    }

    /// Whether something of its part is missing from the result; `stop_requested`: somebody stopped the test.
    pub fn is_missing(&self, stop_requested: bool) -> bool {
        use ParticipantState as S;
        match self.state {
            S::Lost | S::Failed | S::Refused => true,
            S::Stopped => !stop_requested,
            S::Pending | S::Armed | S::Running | S::Completed => false,
        }
    }

    /// Whether it speaks only the specification: it says neither what it is doing nor when it is done.
    pub fn is_plain(&self) -> bool {
        self.session_id.is_none()
    }
}

impl TestRecord {
    /// A test that was just asked for; `trigger`: to be started as soon as its drivers are armed.
    pub fn created(mut config: TestConfig, name: Option<String>, trigger: bool, by: &Actor, now: Now) -> Self {
        // Who takes part is decided here.
        config.participants = None;
        let mut record = Self {
            test_id: config.test_id.clone(),
            name,
            config,
            state: TestState::Configured,
            reason: trigger.then(|| "it starts when its drivers are armed".into()),
            created_unix_ms: now.unix_ms,
            triggered_unix_ms: None,
            start_at_unix_ms: None,
            ended_unix_ms: None,
            stop_requested: false,
            trigger_when_armed: trigger,
            published_order: 0,
            outcome: None,
            conservation: None,
            limit: None,
            target_before: None,
            participants: Vec::new(),
            standings: Vec::new(),
            events: EventLog::default(),
        };
        record.event(now, TestEvent::Created, None, format!("the test is stored{}", by.note("created")));
        record
    }

    /// Notes what happened, in the test and in the log.
    pub fn event(&mut self, now: Now, kind: TestEvent, node_id: Option<&NodeId>, detail: impl Into<String>) {
        let detail = detail.into();
        tracing::info!(test = %self.test_id, driver = node_id.map(NodeId::as_str), "{}: {detail}", kind.name());
        self.events.push(EventRecord { at_unix_ms: now.unix_ms, kind, node_id: node_id.cloned(), detail });
    }

    /// Which threshold ended it, with its value and its second; `None`: none did.
    pub fn why_ended(&self) -> Option<String> {
        self.config
            .thresholds
            .iter()
            .zip(&self.standings)
            .find_map(|(threshold, standing)| standing.why_ended(threshold))
    }

    /// Whether no part of its result is missing.
    pub fn is_complete(&self) -> bool {
        !self.participants.iter().any(|p| p.is_missing(self.stop_requested))
    }

    /// The participant of that name.
    pub fn participant(&self, node_id: &NodeId) -> Option<&ParticipantRecord> {
        self.participants.get(self.position(node_id)?)
    }

    /// The participant of that name, to be changed.
    pub fn participant_mut(&mut self, node_id: &NodeId) -> Option<&mut ParticipantRecord> {
        let position = self.position(node_id)?;
        self.participants.get_mut(position)
    }

    fn position(&self, node_id: &NodeId) -> Option<usize> {
        self.participants.binary_search_by(|p| p.node_id.cmp(node_id)).ok()
    }

    /// The names of participants in a state, for a sentence.
    pub fn names(&self, which: impl Fn(&ParticipantRecord) -> bool) -> Vec<&str> {
        self.participants.iter().filter(|p| which(p)).map(|p| p.node_id.as_str()).collect()
    }
}
