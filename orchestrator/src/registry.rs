//! Who is there: registrations, heartbeats, liveness and seats. Pure: time is given.
//!
//! A driver is its name; a life of it is its session. Silence counts only while the broker can be reached, from
//! this process's start on. Bounded by [`MAX_ENTRIES`].

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use onrush_protocol::{Heartbeat, NodeId, NodeState, Refusal, Register, SessionId, TestId};

use crate::clock::{Now, rfc3339};
use crate::view::{DriverState, DriverView};

/// Silence after which a driver is suspect.
pub const SUSPECT_AFTER: Duration = Duration::from_secs(3);
/// Silence after which a driver is lost.
pub const LOST_AFTER: Duration = Duration::from_secs(5);
/// Silence after which another process may take over a driver's name: it was restarted.
pub const REPLACED_AFTER: Duration = Duration::from_secs(2);
/// A lost driver is forgotten after this.
pub const FORGOTTEN_AFTER: Duration = Duration::from_secs(600);
/// A second process of the same name is forgotten this long after its last heartbeat.
const RIVAL_FORGOTTEN_AFTER: Duration = Duration::from_secs(10);
/// Drivers and rivals known at most.
pub const MAX_ENTRIES: usize = 10_000;

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
    /// Its wall clock minus ours.
    clock_offset_ms: Option<f64>,
    /// When it was last heard, or first known.
    heard_at: Instant,
    /// Since when it is lost; only a heartbeat changes that.
    lost_since: Option<Instant>,
    /// Why it has no seat.
    rejected: Option<String>,
    /// Known from the store: its session counts until its silence says otherwise.
    from_store: bool,
}

impl Driver {
    fn new(register: Register, now: Now) -> Self {
        Self {
            identity: Identity { register, registered_unix_ms: now.unix_ms, admitted: false },
            last: None,
            clock_offset_ms: None,
            heard_at: now.mono,
            lost_since: None,
            rejected: None,
            from_store: false,
        }
    }

    /// This life of it.
    pub fn session_id(&self) -> Option<&SessionId> {
        self.identity.register.session_id.as_ref()
    }

    /// Whether it takes part in the next test: it has been heard (if before a restart of ours, it has a few seconds
    /// to be heard again), is not lost, and has a seat.
    pub fn is_live(&self) -> bool {
        (self.last.is_some() || self.from_store) && self.lost_since.is_none() && self.identity.admitted
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

    /// Its refusal of this test.
    pub fn refusal_of(&self, test_id: &TestId) -> Option<&Refusal> {
        self.last.as_ref()?.refusal.as_ref().filter(|refusal| refusal.test_id == *test_id)
    }

    /// Whether anything may follow from it, except that the driver is not silent.
    fn hear(&mut self, heartbeat: Heartbeat, at: Instant, unix_ms: f64) -> bool {
        let says_the_same = |last: &Heartbeat| {
            (last.alive, last.state, &last.test_id, &last.refusal)
                == (heartbeat.alive, heartbeat.state, &heartbeat.test_id, &heartbeat.refusal)
        };
        let is_news = self.lost_since.is_some() || !self.last.as_ref().is_some_and(says_the_same);
        self.heard_at = self.heard_at.max(at);
        self.clock_offset_ms = heartbeat.timestamp_unix_ms.map(|theirs| theirs - unix_ms);
        self.lost_since = if heartbeat.alive { None } else { Some(at) };
        self.from_store = false;
        self.last = Some(heartbeat);
        is_news
    }
}

/// What Prometheus shows of a driver.
#[derive(Clone, Debug)]
pub struct Glimpse {
    /// Its name.
    pub node_id: NodeId,
    /// What it is doing.
    pub state: DriverState,
    /// When it was last heard.
    pub heard_at: Instant,
    /// Its wall clock minus ours.
    pub clock_offset_ms: Option<f64>,
    /// Reports that it has not delivered.
    pub reports_waiting: Option<u64>,
    /// CPU time of its process since its start.
    pub cpu_s: Option<f64>,
    /// Resident memory of its process.
    pub memory_bytes: Option<u64>,
}

/// What changed in the registry, for those who take part in tests and for the store.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    /// It is new, its identity changed, or its seat.
    Identity(NodeId),
    /// It went silent for too long, or said goodbye.
    Lost(NodeId),
    /// It was long gone and is forgotten.
    Forgotten(NodeId),
}

/// Every driver that is known.
pub struct Registry {
    max_drivers: usize,
    drivers: BTreeMap<NodeId, Driver>,
    /// Other processes under the name of a driver that lives.
    rivals: BTreeMap<(NodeId, Option<SessionId>), Driver>,
    started: Instant,
    /// Since when the broker has been reachable, as of the last tick.
    reachable_since: Option<Instant>,
    changes: Vec<Change>,
}

impl Registry {
    /// Begins with the drivers of the store; they get the time of a fresh heartbeat to be heard again.
    pub fn new(max_drivers: usize, stored: Vec<Identity>, now: Now) -> Self {
        let known = |identity: Identity| {
            let name = identity.register.node_id.clone();
            let driver = Driver { from_store: true, identity: identity.clone(), ..Driver::new(identity.register, now) };
            (name, driver)
        };
        Self {
            max_drivers,
            drivers: stored.into_iter().map(known).collect(),
            rivals: BTreeMap::new(),
            started: now.mono,
            reachable_since: Some(now.mono),
            changes: Vec::new(),
        }
    }

    /// A driver announced itself. It counts from its first heartbeat on: the announcement may be an old one.
    pub fn register(&mut self, register: Register, now: Now) {
        let name = register.node_id.clone();
        let is_full = self.is_full();
        let Some(driver) = self.drivers.get(&name) else {
            if !is_full {
                self.drivers.insert(name.clone(), Driver::new(register, now));
                self.changes.push(Change::Identity(name));
            }
            return;
        };
        if driver.identity.register.session_id == register.session_id {
            if driver.identity.register != register {
                let driver = self.drivers.get_mut(&name).expect("it was found a line above");
                driver.identity.register = register;
                self.changes.push(Change::Identity(name));
            }
            return;
        }
        let key = (name.clone(), register.session_id.clone());
        if driver.last.is_none() && !driver.from_store {
            self.drivers.insert(name.clone(), Driver::new(register, now));
            self.changes.push(Change::Identity(name));
        } else if let Some(rival) = self.rivals.get_mut(&key) {
            rival.identity.register = register;
        } else if !is_full {
            // Who it is will matter when it is heard.
            self.rivals.insert(key, Driver::new(register, now));
        }
    }

    /// A driver said that it lives, or that it ends; `at` is when that came. Whether anything may follow from it,
    /// except that the driver is not silent.
    pub fn heartbeat(&mut self, heartbeat: Heartbeat, at: Instant, now: Now) -> bool {
        let name = heartbeat.node_id.clone();
        let session_id = heartbeat.session_id.clone();
        let implied = || Register {
            node_id: name.clone(),
            node_ip: None,
            session_id: session_id.clone(),
            hostname: None,
            version: None,
            cpus: None,
        };
        let is_full = self.is_full();
        let Some(driver) = self.drivers.get_mut(&name) else {
            if !is_full && heartbeat.alive {
                let mut driver = Driver::new(implied(), now);
                driver.hear(heartbeat, at, now.unix_ms);
                self.drivers.insert(name.clone(), driver);
                self.changes.push(Change::Identity(name));
            }
            return true;
        };
        if driver.identity.register.session_id == session_id {
            let said_goodbye = !heartbeat.alive && driver.lost_since.is_none();
            let is_news = driver.hear(heartbeat, at, now.unix_ms);
            if said_goodbye {
                self.lose(&name);
            }
            return is_news;
        }
        let key = (name.clone(), session_id.clone());
        if !heartbeat.alive {
            self.rivals.remove(&key);
            return true;
        }
        let gone = driver.lost_since.is_some()
            || (driver.last.is_none() && !driver.from_store)
            || silence(driver, self.started, self.reachable_since, at) >= REPLACED_AFTER;
        if gone {
            let mut successor = self.rivals.remove(&key).unwrap_or_else(|| Driver::new(implied(), now));
            successor.identity.registered_unix_ms = now.unix_ms;
            // It sits where its former life sat.
            successor.identity.admitted = driver.identity.admitted;
            successor.hear(heartbeat, at, now.unix_ms);
            *driver = successor;
            self.changes.push(Change::Identity(name));
        } else if let Some(rival) = self.rivals.get_mut(&key) {
            rival.hear(heartbeat, at, now.unix_ms);
        } else if !is_full {
            let mut rival = Driver::new(implied(), now);
            rival.hear(heartbeat, at, now.unix_ms);
            self.rivals.insert(key, rival);
        }
        true
    }

    /// Time passes: who is lost, who gets a seat, who is forgotten. `in_use`: takes part in a test that is open.
    pub fn tick(&mut self, now: Now, reachable_since: Option<Instant>, in_use: impl Fn(&NodeId) -> bool) {
        self.reachable_since = reachable_since;
        let started = self.started;
        let names: Vec<NodeId> = self.drivers.keys().cloned().collect();
        for name in names {
            let driver = &self.drivers[&name];
            if let Some(since) = driver.lost_since {
                if now.since(since) >= FORGOTTEN_AFTER && !in_use(&name) {
                    self.drivers.remove(&name);
                    self.changes.push(Change::Forgotten(name));
                }
            } else if silence(driver, started, reachable_since, now.mono) >= LOST_AFTER {
                self.drivers.get_mut(&name).expect("its name was just listed").lost_since = Some(now.mono);
                self.lose(&name);
            }
        }
        self.rivals.retain(|_, rival| now.since(rival.heard_at) < RIVAL_FORGOTTEN_AFTER);
        self.seat();
    }

    fn lose(&mut self, name: &NodeId) {
        if let Some(driver) = self.drivers.get_mut(name) {
            driver.identity.admitted = false;
            driver.rejected = None;
        }
        self.changes.push(Change::Lost(name.clone()));
    }

    /// Gives free seats to those who came first.
    fn seat(&mut self) {
        let taken = self.drivers.values().filter(|d| d.identity.admitted).count();
        let mut free = self.max_drivers.saturating_sub(taken);
        let mut waiting: Vec<&mut Driver> = self
            .drivers
            .values_mut()
            .filter(|d| d.last.is_some() && d.lost_since.is_none() && !d.identity.admitted)
            .collect();
        waiting.sort_by(|a, b| a.identity.registered_unix_ms.total_cmp(&b.identity.registered_unix_ms));
        for driver in waiting {
            if free > 0 {
                free -= 1;
                driver.identity.admitted = true;
                driver.rejected = None;
                self.changes.push(Change::Identity(driver.identity.register.node_id.clone()));
            } else if driver.rejected.is_none() {
                driver.rejected = Some(format!(
                    "{max} drivers are registered already, and --max-drivers is {max}; it takes part when one of them leaves",
                    max = self.max_drivers
                ));
            }
        }
    }

    fn is_full(&self) -> bool {
        self.drivers.len() + self.rivals.len() >= MAX_ENTRIES
    }

    /// What changed since the last call.
    pub fn take_changes(&mut self) -> Vec<Change> {
        std::mem::take(&mut self.changes)
    }

    /// A driver.
    pub fn get(&self, node_id: &NodeId) -> Option<&Driver> {
        self.drivers.get(node_id)
    }

    /// The drivers that take part in the next test, by name.
    pub fn live(&self) -> impl Iterator<Item = &Driver> {
        self.drivers.values().filter(|driver| driver.is_live())
    }

    /// Whether this life of a driver goes on. A name that nobody knows is as good as lost.
    pub fn is_alive(&self, node_id: &NodeId, session_id: Option<&SessionId>) -> bool {
        let same = |driver: &&Driver| driver.session_id() == session_id && driver.lost_since.is_none();
        self.drivers.get(node_id).filter(same).is_some()
    }

    /// Since when the broker answers; `None` while it does not.
    pub fn reachable_since(&self) -> Option<Instant> {
        self.reachable_since
    }

    /// Whether this life of a driver said goodbye, or another one took its place: nobody need wait for a heartbeat.
    pub fn is_gone_for_good(&self, node_id: &NodeId, session_id: Option<&SessionId>) -> bool {
        let Some(driver) = self.drivers.get(node_id) else { return false };
        driver.session_id() != session_id || driver.said_goodbye()
    }

    /// As REST shows them: each driver, then the processes that were rejected for its name.
    pub fn views(&self, now: Now) -> Vec<DriverView> {
        let mut views = Vec::with_capacity(self.drivers.len());
        for (name, driver) in &self.drivers {
            views.push(self.view(driver, now, driver.rejected.clone()));
            let rivals = self.rivals.range((name.clone(), None)..).take_while(|((rival, _), _)| rival == name);
            let reason = format!("another driver named {name} is already registered; give this one another --node-id");
            views
                .extend(rivals.filter(|(_, r)| r.last.is_some()).map(|(_, r)| self.view(r, now, Some(reason.clone()))));
        }
        views
    }

    /// As Prometheus shows them: each driver that did not say goodbye, in a few plain values.
    pub fn glimpses(&self, now: Now) -> Vec<Glimpse> {
        let stays = |driver: &&Driver| driver.last.as_ref().is_none_or(|last| last.alive);
        let glimpse = |driver: &Driver| Glimpse {
            node_id: driver.identity.register.node_id.clone(),
            state: self.state(driver, now, driver.rejected.is_some()),
            heard_at: driver.heard_at,
            clock_offset_ms: driver.clock_offset_ms,
            reports_waiting: driver.last.as_ref().and_then(|last| last.reports_waiting),
            cpu_s: driver.last.as_ref().and_then(|last| last.cpu_s),
            memory_bytes: driver.last.as_ref().and_then(|last| last.memory_bytes),
        };
        self.drivers.values().filter(stays).map(glimpse).collect()
    }

    fn state(&self, driver: &Driver, now: Now, rejected: bool) -> DriverState {
        let silent = silence(driver, self.started, self.reachable_since, now.mono);
        match &driver.last {
            _ if driver.lost_since.is_some() => DriverState::Lost,
            _ if rejected => DriverState::Rejected,
            None => DriverState::Suspect,
            _ if silent >= SUSPECT_AFTER => DriverState::Suspect,
            Some(Heartbeat { state: Some(NodeState::Idle), .. }) => DriverState::Idle,
            Some(Heartbeat { state: Some(NodeState::Armed), .. }) => DriverState::Armed,
            Some(Heartbeat { state: Some(NodeState::Running), .. }) => DriverState::Running,
            Some(Heartbeat { state: None, .. }) => DriverState::Alive,
        }
    }

    fn view(&self, driver: &Driver, now: Now, rejected: Option<String>) -> DriverView {
        let Driver { identity: Identity { register, registered_unix_ms, .. }, last, .. } = driver;
        let state = self.state(driver, now, rejected.is_some());
        DriverView {
            node_id: register.node_id.to_string(),
            session_id: register.session_id.as_ref().map(ToString::to_string),
            state,
            reason: rejected.or_else(|| last.is_none().then(|| "no heartbeat yet".into())),
            test_id: last.as_ref().and_then(|last| last.test_id.as_ref()).map(ToString::to_string),
            node_ip: register.node_ip.clone(),
            hostname: register.hostname.clone(),
            version: register.version.clone(),
            cpus: register.cpus.clone(),
            registered_at: rfc3339(*registered_unix_ms),
            heartbeat_age_s: (now.since(driver.heard_at).as_secs_f64() * 1e3).round() / 1e3,
            clock_offset_ms: driver.clock_offset_ms,
            reports_waiting: last.as_ref().and_then(|last| last.reports_waiting),
            messages_skipped: last.as_ref().and_then(|last| last.messages_skipped),
            cpu_s: last.as_ref().and_then(|last| last.cpu_s),
            memory_bytes: last.as_ref().and_then(|last| last.memory_bytes),
        }
    }
}

/// How long a driver could have been heard and was not.
fn silence(driver: &Driver, started: Instant, reachable_since: Option<Instant>, at: Instant) -> Duration {
    let Some(reachable_since) = reachable_since else { return Duration::ZERO };
    at.saturating_duration_since(driver.heard_at.max(started).max(reachable_since))
}

#[cfg(test)]
mod tests;
