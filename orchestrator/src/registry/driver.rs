//! One driver, as far as its own messages tell. Pure.

use std::time::{Duration, Instant};

use onrush_protocol::{Heartbeat, NodeId, NodeState, Refusal, Register, SessionId, Share, TestId};

use super::beat::{Beat, Patience};
use super::offset::ClockOffset;
use crate::clock::Now;

/// Times from 1973 to 5138, where they are milliseconds since 1970.
const MILLISECONDS: std::ops::Range<f64> = 1e11..1e14;

/// What a driver said about itself when it registered; this much is stored.
#[derive(Clone, Debug, PartialEq)]
pub struct Identity {
    /// Its message, or what a heartbeat showed of it.
    pub register: Register,
    /// When that came.
    pub registered_unix_ms: f64,
    /// Whether it has a seat.
    pub admitted: bool,
}

/// A driver.
#[derive(Clone, Debug)]
pub struct Driver {
    /// Who it is.
    pub identity: Identity,
    /// Its newest heartbeat.
    pub last: Option<Heartbeat>,
    /// Its wall clock beside ours.
    pub clock_offset: ClockOffset,
    /// By how much its clock was wrong when that was said last.
    pub(super) offset_said_ms: Option<f64>,
    /// When it was last heard, or first known.
    pub(super) heard_at: Instant,
    beat: Beat,
    /// Its heartbeats so far.
    beats: u64,
    /// It announced itself.
    pub(super) registered: bool,
    /// Since when it is lost; only a heartbeat changes that.
    pub(super) lost_since: Option<Instant>,
    /// Why it has no seat.
    pub(super) rejected: Option<String>,
    /// Known from the store: its session counts until its silence says otherwise.
    pub(super) from_store: bool,
}

impl Driver {
    /// One that is not heard yet.
    pub(super) fn new(register: Register, now: Now) -> Self {
        Self {
            beat: Beat::new(register.session_id.is_none()),
            identity: Identity { register, registered_unix_ms: now.unix_ms, admitted: false },
            last: None,
            clock_offset: ClockOffset::default(),
            offset_said_ms: None,
            heard_at: now.mono,
            beats: 0,
            registered: false,
            lost_since: None,
            rejected: None,
            from_store: false,
        }
    }

    /// One that announced itself and is not heard yet.
    pub(super) fn announced(register: Register, now: Now) -> Self {
        Self { registered: true, ..Self::new(register, now) }
    }

    /// One that a former life of this process knew.
    pub(super) fn stored(identity: Identity, now: Now) -> Self {
        let identity = Identity { register: identity.register.shortened(), ..identity };
        let driver = Self::new(identity.register.clone(), now);
        Self { from_store: true, registered: true, identity, ..driver }
    }

    /// This life of it.
    pub fn session_id(&self) -> Option<&SessionId> {
        self.identity.register.session_id.as_ref()
    }

    /// Its name.
    pub fn node_id(&self) -> &NodeId {
        &self.identity.register.node_id
    }

    /// Whether it takes part in the next test: it has been heard (if before a restart of ours, it has a few seconds
    /// to be heard again), is not lost, and has a seat.
    pub fn is_live(&self) -> bool {
        (self.last.is_some() || self.from_store) && self.lost_since.is_none() && self.identity.admitted
    }

    /// Why it has no seat, where there is none for it.
    pub fn rejection(&self) -> Option<&str> {
        self.rejected.as_deref()
    }

    /// Whether it was heard, and more than once: a single heartbeat without a registration may be anybody's message.
    pub fn is_established(&self) -> bool {
        self.last.is_some() && (self.registered || self.beats >= 2)
    }

    /// Whether a seat may be given to it.
    pub(super) fn may_sit(&self) -> bool {
        self.is_established() && self.lost_since.is_none()
    }

    /// Whether it ended in good order.
    pub fn said_goodbye(&self) -> bool {
        self.last.as_ref().is_some_and(|last| !last.alive)
    }

    /// Whether it is ready for exactly this test.
    pub fn is_armed_for(&self, test_id: &TestId) -> bool {
        let armed = |last: &Heartbeat| last.state == Some(NodeState::Armed) && last.test_id.as_ref() == Some(test_id);
        self.last.as_ref().is_some_and(armed)
    }

    /// Which share of a schedule it says it is armed with.
    pub fn share(&self) -> Option<Share> {
        self.last.as_ref()?.share
    }

    /// When the amendments of this test took effect, as it says.
    pub fn amended_at(&self, test_id: &TestId) -> &[Option<u64>] {
        let last = self.last.as_ref().filter(|last| last.test_id.as_ref() == Some(test_id));
        last.map_or(&[], |last| &last.amended_at)
    }

    /// Its refusal of this test.
    pub fn refusal_of(&self, test_id: &TestId) -> Option<&Refusal> {
        self.last.as_ref()?.refusal.as_ref().filter(|refusal| refusal.test_id == *test_id)
    }

    /// What its silence means when.
    pub fn patience(&self) -> Patience {
        self.beat.patience()
    }

    /// Takes a heartbeat that came at `at`; `listening_since`: since when it could have been heard without a break
    /// (`None`: it cannot). Whether anything may follow from it, except that the driver is not silent.
    pub(super) fn hear(
        &mut self,
        heartbeat: Heartbeat,
        at: Instant,
        listening_since: Option<Instant>,
        unix_ms: f64,
    ) -> bool {
        let says_the_same = |last: &Heartbeat| {
            (last.alive, last.state, &last.test_id, &last.refusal)
                == (heartbeat.alive, heartbeat.state, &heartbeat.test_id, &heartbeat.refusal)
        };
        let is_news = self.lost_since.is_some() || !self.last.as_ref().is_some_and(says_the_same) || self.beats < 2;
        if self.beats > 0 && listening_since.is_some_and(|since| since <= self.heard_at) {
            let interval = at.saturating_duration_since(self.heard_at);
            self.beat.heard(interval, self.lost_since.is_some() && !self.said_goodbye());
        }
        self.beats += 1;
        self.heard_at = self.heard_at.max(at);
        // Other people's nodes write seconds or what they like; ours may have a clock that was never set.
        let is_ms = |theirs: &f64| heartbeat.session_id.is_some() || MILLISECONDS.contains(theirs);
        if let Some(theirs) = heartbeat.timestamp_unix_ms.filter(is_ms) {
            self.clock_offset.sample(theirs - unix_ms, at);
        }
        self.lost_since = if heartbeat.alive { None } else { Some(at) };
        self.from_store = false;
        self.last = Some(heartbeat);
        is_news
    }

    /// How long it could have been heard and was not.
    pub(super) fn silence(&self, listening_since: Option<Instant>, at: Instant) -> Duration {
        listening_since.map_or(Duration::ZERO, |since| at.saturating_duration_since(self.heard_at.max(since)))
    }
}
