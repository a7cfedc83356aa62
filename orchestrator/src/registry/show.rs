//! Drivers as people see them.

use std::time::{Duration, Instant};

use onrush_protocol::{Heartbeat, NodeId, NodeState, Register};

use super::{Driver, Identity, Registry};
use crate::clock::Now;
use crate::state::DriverState;

/// Drivers that Prometheus is shown at most: each has a dozen series.
pub const MAX_GLIMPSES: usize = 100;

/// What is known of a driver.
#[derive(Clone, Debug)]
pub struct DriverStatus {
    /// What it said when it registered.
    pub register: Register,
    /// When that was.
    pub registered_unix_ms: f64,
    /// What it is doing, or what is wrong with it.
    pub state: DriverState,
    /// Why it takes no part.
    pub reason: Option<String>,
    /// Its wall clock minus ours.
    pub clock_offset_ms: Option<f64>,
    /// The same where it is so much that people are told.
    pub clock_wrong_by_ms: Option<f64>,
    /// How long ago it was heard.
    pub heard_before: Duration,
    /// Its newest heartbeat.
    pub last: Option<Heartbeat>,
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

impl Registry {
    /// Each driver, then the processes that were rejected for its name.
    pub fn statuses(&self, now: Now) -> Vec<DriverStatus> {
        let mut statuses = Vec::with_capacity(self.drivers.len());
        for (name, driver) in &self.drivers {
            statuses.push(self.status(driver, now, driver.rejected.clone()));
            let rivals = self.rivals.range((name.clone(), None)..).take_while(|((rival, _), _)| rival == name);
            let reason = format!("another driver named {name} is already registered; give this one another --node-id");
            let heard = rivals.filter(|(_, rival)| rival.last.is_some());
            statuses.extend(heard.map(|(_, rival)| self.status(rival, now, Some(reason.clone()))));
        }
        statuses
    }

    /// As Prometheus shows them: drivers that were heard and did not say goodbye, those with a seat first.
    pub fn glimpses(&self, now: Now) -> Vec<Glimpse> {
        let heard = || self.drivers.values().filter(|driver| driver.last.as_ref().is_some_and(|last| last.alive));
        let sits = |driver: &&Driver| driver.identity.admitted;
        let shown = heard().filter(sits).chain(heard().filter(|driver| !sits(driver))).take(MAX_GLIMPSES);
        let glimpse = |driver: &Driver| Glimpse {
            node_id: driver.node_id().clone(),
            state: self.state(driver, now, driver.rejected.is_some()),
            heard_at: driver.heard_at,
            clock_offset_ms: driver.clock_offset.estimate_ms(),
            reports_waiting: driver.last.as_ref().and_then(|last| last.reports_waiting),
            cpu_s: driver.last.as_ref().and_then(|last| last.cpu_s),
            memory_bytes: driver.last.as_ref().and_then(|last| last.memory_bytes),
        };
        shown.map(glimpse).collect()
    }

    fn state(&self, driver: &Driver, now: Now, rejected: bool) -> DriverState {
        let silent = driver.silence(self.listening_since(), now.mono);
        match &driver.last {
            _ if driver.lost_since.is_some() => DriverState::Lost,
            _ if rejected => DriverState::Rejected,
            None => DriverState::Suspect,
            // It may be anybody's message: who is shown as idle takes part in the next test.
            Some(_) if !driver.is_live() => DriverState::Suspect,
            _ if silent >= driver.patience().suspect => DriverState::Suspect,
            Some(Heartbeat { state: Some(NodeState::Idle), .. }) => DriverState::Idle,
            Some(Heartbeat { state: Some(NodeState::Armed), .. }) => DriverState::Armed,
            Some(Heartbeat { state: Some(NodeState::Running), .. }) => DriverState::Running,
            Some(Heartbeat { state: None, .. }) => DriverState::Alive,
        }
    }

    fn status(&self, driver: &Driver, now: Now, rejected: Option<String>) -> DriverStatus {
        let Driver { identity: Identity { register, registered_unix_ms, .. }, last, clock_offset, .. } = driver;
        let state = self.state(driver, now, rejected.is_some());
        let waits = || match last {
            None => Some("no heartbeat yet".to_owned()),
            Some(_) if driver.lost_since.is_none() && !driver.is_live() => {
                Some("not registered; it takes part from its second heartbeat on".to_owned())
            }
            Some(_) => None,
        };
        DriverStatus {
            register: register.clone(),
            registered_unix_ms: *registered_unix_ms,
            state,
            reason: rejected.or_else(waits),
            clock_offset_ms: clock_offset.estimate_ms(),
            clock_wrong_by_ms: clock_offset.wrong_by_ms(),
            heard_before: now.since(driver.heard_at),
            last: last.clone(),
        }
    }
}

/// What is said of a clock that is wrong.
pub fn clock_warning(offset_ms: f64) -> String {
    let direction = if offset_ms > 0.0 { "ahead of" } else { "behind" };
    let by = readable(offset_ms.abs() / 1e3);
    format!(
        "its wall clock is {by} {direction} the orchestrator's; synchronise the clocks; its starts are corrected meanwhile"
    )
}

/// Seconds in the unit in which people think of so many.
fn readable(seconds: f64) -> String {
    match seconds {
        ..120.0 => format!("{seconds:.1} s"),
        ..7200.0 => format!("{:.1} min", seconds / 60.0),
        ..172_800.0 => format!("{:.1} h", seconds / 3600.0),
        _ => format!("{:.1} days", seconds / 86_400.0),
    }
}

#[cfg(test)]
mod tests {
    use super::clock_warning;

    #[test]
    fn a_wrong_clock_is_said_with_its_size() {
        for (ms, words) in [
            (20_000.0, "20.0 s ahead of"),
            (-700.0, "0.7 s behind"),
            (3_600_000.0, "60.0 min ahead of"),
            (-1.8e12, "20833.3 days behind"),
        ] {
            assert!(clock_warning(ms).contains(words), "{}", clock_warning(ms));
        }
    }
}
