//! Who is there: registrations, heartbeats, liveness and seats. Pure: time is given.
//!
//! A driver is its name; a life of it is its session. Silence counts only while this process listens: from its start
//! on, while the broker can be reached, and not for a pause of its own. Heartbeats are judged by when they came; what a
//! driver's own clock says is compared with ours and shown, and nothing depends on it. Bounded by [`MAX_ENTRIES`].

mod beat;
mod driver;
mod offset;
mod show;

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use onrush_protocol::{Heartbeat, NodeId, Register, SessionId, TestId};

pub use driver::{Driver, Identity};
pub use show::{DriverStatus, Glimpse, clock_warning};

use self::offset::MAX_OFFSET_MS;
use crate::clock::Now;

/// A lost driver is forgotten after this.
pub const FORGOTTEN_AFTER: Duration = Duration::from_secs(600);
/// A second process of the same name is forgotten this long after its last heartbeat.
const RIVAL_FORGOTTEN_AFTER: Duration = Duration::from_secs(10);
/// Drivers and rivals known at most.
pub const MAX_ENTRIES: usize = 1_000;
/// Processes known at most under the name of a driver that lives.
const MAX_RIVALS_PER_NAME: usize = 8;
/// When the broker is back, its clients notice within this time at the latest: their requests have to time out first.
const RECONNECTED_WITHIN: Duration = Duration::from_secs(10);
/// Drivers that are known and not heard yet are waited for this long, from when they could be heard.
const RETURN_PATIENCE: Duration = Duration::from_secs(5);
/// A driver that was lost longer ago than this is not expected back.
const EXPECTED_BACK: Duration = Duration::from_secs(60);

/// What changed in the registry, for those who take part in tests and for the store.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    /// It is new, its identity changed, or its seat.
    Identity(NodeId),
    /// It went silent for too long, or said goodbye.
    Lost(NodeId),
    /// It is forgotten: it was long gone, or there were too many.
    Forgotten(NodeId),
    /// Its wall clock went wrong, or right again: by how many milliseconds it is wrong now.
    Clock(NodeId, Option<f64>),
}

/// What became of drivers for which there was no room.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Crowding {
    /// They are not known.
    pub refused: u64,
    /// Others were forgotten for them.
    pub forgotten: u64,
}

/// Every driver that is known.
pub struct Registry {
    max_drivers: usize,
    drivers: BTreeMap<NodeId, Driver>,
    /// Other processes under the name of a driver that lives.
    rivals: BTreeMap<(NodeId, Option<SessionId>), Driver>,
    started: Instant,
    /// When the last pause of our own ended.
    woke: Option<Instant>,
    /// Whether the broker answers, as of the last tick.
    is_reachable: bool,
    /// Since when it does, or did last; `None`: it was not reached yet.
    reached: Option<Instant>,
    /// The same, if it had been away before.
    returned: Option<Instant>,
    crowding: Crowding,
    changes: Vec<Change>,
}

impl Registry {
    /// Begins with the drivers of the store; they get the time of a fresh heartbeat to be heard again.
    pub fn new(max_drivers: usize, mut stored: Vec<Identity>, now: Now) -> Self {
        // Whatever was stored under other limits: those with a seat, and the newest.
        stored.sort_by(|a, b| b.admitted.cmp(&a.admitted).then(b.registered_unix_ms.total_cmp(&a.registered_unix_ms)));
        let beyond = stored.split_off(stored.len().min(MAX_ENTRIES));
        let changes = beyond.into_iter().map(|identity| Change::Forgotten(identity.register.node_id)).collect();
        let known = |identity: Identity| (identity.register.node_id.clone(), Driver::stored(identity, now));
        Self {
            max_drivers,
            drivers: stored.into_iter().map(known).collect(),
            rivals: BTreeMap::new(),
            started: now.mono,
            woke: None,
            is_reachable: false,
            reached: None,
            returned: None,
            crowding: Crowding::default(),
            changes,
        }
    }

    /// A driver announced itself. It counts from its first heartbeat on: the announcement may be an old one.
    pub fn register(&mut self, register: Register, now: Now) {
        let name = register.node_id.clone();
        let announced = |register| Driver::announced(register, now);
        let Some(driver) = self.drivers.get_mut(&name) else {
            if self.make_room() {
                self.drivers.insert(name.clone(), announced(register));
                self.changes.push(Change::Identity(name));
            }
            return;
        };
        if driver.identity.register.session_id == register.session_id {
            driver.registered = true;
            if driver.identity.register != register {
                driver.identity.register = register;
                self.changes.push(Change::Identity(name));
            }
            return;
        }
        let key = (name.clone(), register.session_id.clone());
        if driver.last.is_none() && !driver.from_store {
            *driver = announced(register);
            self.changes.push(Change::Identity(name));
        } else if let Some(rival) = self.rivals.get_mut(&key) {
            rival.registered = true;
            rival.identity.register = register;
        } else if self.make_room_for_rival(&name) {
            // Who it is will matter when it is heard.
            self.rivals.insert(key, announced(register));
        }
    }

    /// A driver said that it lives, or that it ends; `at` is when that came. Whether anything may follow from it,
    /// except that the driver is not silent.
    pub fn heartbeat(&mut self, heartbeat: Heartbeat, at: Instant, now: Now) -> bool {
        let name = heartbeat.node_id.clone();
        let session_id = heartbeat.session_id.clone();
        let unknown = || {
            let register = Register {
                node_id: name.clone(),
                node_ip: None,
                session_id: session_id.clone(),
                hostname: None,
                version: None,
                cpus: None,
            };
            Driver::new(register, now)
        };
        let listening_since = self.listening_since();
        let Some(driver) = self.drivers.get_mut(&name) else {
            if heartbeat.alive && self.make_room() {
                let mut driver = unknown();
                driver.hear(heartbeat, at, listening_since, now.unix_ms);
                self.drivers.insert(name.clone(), driver);
                self.changes.push(Change::Identity(name));
            }
            return true;
        };
        if driver.identity.register.session_id == session_id {
            let said_goodbye = !heartbeat.alive && driver.lost_since.is_none();
            let is_news = driver.hear(heartbeat, at, listening_since, now.unix_ms);
            if said_goodbye {
                self.lose(&name);
            } else {
                self.watch_clock(&name);
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
            || driver.silence(listening_since, at) >= driver.patience().replaced;
        if gone {
            let mut successor = self.rivals.remove(&key).unwrap_or_else(unknown);
            successor.identity.registered_unix_ms = now.unix_ms;
            // It sits where its former life sat.
            successor.identity.admitted = driver.identity.admitted;
            successor.hear(heartbeat, at, listening_since, now.unix_ms);
            *driver = successor;
            self.changes.push(Change::Identity(name));
        } else if let Some(rival) = self.rivals.get_mut(&key) {
            rival.hear(heartbeat, at, listening_since, now.unix_ms);
        } else if self.make_room_for_rival(&name) {
            let mut rival = unknown();
            rival.hear(heartbeat, at, listening_since, now.unix_ms);
            self.rivals.insert(key, rival);
        }
        true
    }

    /// This process did not run for a while and does again: nobody could be heard meanwhile.
    pub fn woke(&mut self, now: Now) {
        self.woke = Some(now.mono);
    }

    /// Time passes: who is lost, who gets a seat, who is forgotten. `in_use`: takes part in a test that is open.
    pub fn tick(&mut self, now: Now, reachable_since: Option<Instant>, in_use: impl Fn(&NodeId) -> bool) {
        self.note_reachable(reachable_since);
        let listening_since = self.listening_since();
        let names: Vec<NodeId> = self.drivers.keys().cloned().collect();
        for name in names {
            let Some(driver) = self.drivers.get_mut(&name) else { continue };
            if let Some(since) = driver.lost_since {
                if now.since(since) >= FORGOTTEN_AFTER && !in_use(&name) {
                    self.forget(name);
                }
            } else if driver.silence(listening_since, now.mono) >= driver.patience().lost {
                driver.lost_since = Some(now.mono);
                self.lose(&name);
            }
        }
        self.rivals.retain(|_, rival| now.since(rival.heard_at) < RIVAL_FORGOTTEN_AFTER);
        self.seat();
    }

    fn note_reachable(&mut self, reachable_since: Option<Instant>) {
        if let Some(since) = reachable_since {
            if self.reached.is_some_and(|before| before != since) {
                self.returned = Some(since);
            }
            self.reached = Some(since);
        }
        self.is_reachable = reachable_since.is_some();
    }

    fn lose(&mut self, name: &NodeId) {
        if let Some(driver) = self.drivers.get_mut(name) {
            driver.identity.admitted = false;
            driver.rejected = None;
        }
        self.changes.push(Change::Lost(name.clone()));
    }

    fn forget(&mut self, name: NodeId) {
        self.drivers.remove(&name);
        self.changes.push(Change::Forgotten(name));
    }

    /// Says what became of a driver's clock, once per change.
    fn watch_clock(&mut self, name: &NodeId) {
        let Some(driver) = self.drivers.get_mut(name) else { return };
        let is_right = driver.clock_offset.estimate_ms().is_some_and(|ms| ms.abs() < MAX_OFFSET_MS / 2.0);
        let wrong_by_ms = driver.clock_offset.wrong_by_ms();
        let is_change = match (driver.offset_said_ms, wrong_by_ms) {
            (None, None) => false,
            (None, Some(_)) => true,
            (Some(said), Some(ms)) => (said - ms).abs() > MAX_OFFSET_MS,
            (Some(_), None) => is_right,
        };
        if is_change {
            driver.offset_said_ms = wrong_by_ms;
            self.changes.push(Change::Clock(name.clone(), wrong_by_ms));
        }
    }

    /// Gives free seats to those who came first.
    fn seat(&mut self) {
        let taken = self.drivers.values().filter(|d| d.identity.admitted).count();
        let mut free = self.max_drivers.saturating_sub(taken);
        let mut waiting: Vec<&mut Driver> =
            self.drivers.values_mut().filter(|d| d.may_sit() && !d.identity.admitted).collect();
        waiting.sort_by(|a, b| a.identity.registered_unix_ms.total_cmp(&b.identity.registered_unix_ms));
        for driver in waiting {
            if free > 0 {
                free -= 1;
                driver.identity.admitted = true;
                driver.rejected = None;
                self.changes.push(Change::Identity(driver.node_id().clone()));
            } else if driver.rejected.is_none() {
                driver.rejected = Some(format!(
                    "{max} drivers are registered already, and --max-drivers is {max}; it takes part when one of them leaves",
                    max = self.max_drivers
                ));
                self.changes.push(Change::Identity(driver.node_id().clone()));
            }
        }
    }

    fn make_room_for_rival(&mut self, name: &NodeId) -> bool {
        let of_name = self.rivals.range((name.clone(), None)..).take_while(|((rival, _), _)| rival == name).count();
        if of_name >= MAX_RIVALS_PER_NAME {
            self.crowding.refused += 1;
            return false;
        }
        self.make_room()
    }

    /// Whether there is room for one more: where the table is full, one is forgotten that has no seat, the never heard
    /// first, then those heard but once, the lost, and the longest silent.
    fn make_room(&mut self) -> bool {
        if self.drivers.len() + self.rivals.len() < MAX_ENTRIES {
            return true;
        }
        let rank = |driver: &Driver| {
            let lives = driver.may_sit() && driver.lost_since.is_none();
            (driver.last.is_some() || driver.from_store, lives || driver.lost_since.is_some(), lives, driver.heard_at)
        };
        let least = self.drivers.iter().filter(|(_, driver)| !driver.identity.admitted);
        let least = least.min_by_key(|(_, driver)| rank(driver)).map(|(name, driver)| (name.clone(), rank(driver)));
        let rival = self.rivals.iter().min_by_key(|(_, rival)| rank(rival));
        let rival = rival.map(|(key, rival)| (key.clone(), rank(rival)));
        match (least, rival) {
            (Some((_, rank)), Some((key, rival_rank))) if rival_rank <= rank => drop(self.rivals.remove(&key)),
            (Some((name, _)), _) => self.forget(name),
            (None, Some((key, _))) => drop(self.rivals.remove(&key)),
            (None, None) => {
                self.crowding.refused += 1;
                return false;
            }
        }
        self.crowding.forgotten += 1;
        true
    }

    /// What changed since the last call.
    pub fn take_changes(&mut self) -> Vec<Change> {
        std::mem::take(&mut self.changes)
    }

    /// What became of drivers for which there was no room, since the last call.
    pub fn take_crowding(&mut self) -> Crowding {
        std::mem::take(&mut self.crowding)
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

    /// The tests that drivers say they are armed for or run, whoever made them.
    pub fn tests_of_drivers(&self) -> BTreeSet<TestId> {
        let lives = self.drivers.values().chain(self.rivals.values()).filter(|driver| driver.lost_since.is_none());
        lives.filter_map(|driver| driver.last.as_ref()?.test_id.clone()).collect()
    }

    /// By how much the clock of this life of a driver is wrong, where it is.
    pub fn clock_wrong_by_ms(&self, node_id: &NodeId, session_id: Option<&SessionId>) -> Option<f64> {
        let driver = self.drivers.get(node_id).filter(|driver| driver.session_id() == session_id)?;
        driver.clock_offset.wrong_by_ms()
    }

    /// Since when drivers can be heard without a break; `None` while the broker is away. After an outage its clients
    /// have some time to notice that it is back, so that this may lie ahead.
    pub fn listening_since(&self) -> Option<Instant> {
        let reached = self.reached.filter(|_| self.is_reachable)?;
        let reconnected = self.returned.map(|at| at + RECONNECTED_WITHIN);
        [Some(self.started), Some(reached), self.woke, reconnected].into_iter().flatten().max()
    }

    /// How many more drivers may be back in a moment: known ones that could hardly be heard yet, because this process
    /// has just started or woken, or the broker is away or has just come back.
    pub fn expected_back(&self, now: Now) -> usize {
        if self.listening_since().is_some_and(|since| now.mono >= since + RETURN_PATIENCE) {
            return 0;
        }
        let returns = |driver: &&Driver| match driver.lost_since {
            Some(since) => !driver.said_goodbye() && now.since(since) <= EXPECTED_BACK,
            None => !driver.is_live() && driver.rejected.is_none(),
        };
        self.drivers.values().filter(returns).count()
    }

    /// Whether this life of a driver said goodbye, or another one took its place: nobody need wait for a heartbeat.
    pub fn is_gone_for_good(&self, node_id: &NodeId, session_id: Option<&SessionId>) -> bool {
        let Some(driver) = self.drivers.get(node_id) else { return false };
        driver.session_id() != session_id || driver.said_goodbye()
    }
}

#[cfg(test)]
mod tests;
