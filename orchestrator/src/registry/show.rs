//! Drivers as REST and Prometheus show them.

use std::time::Instant;

use onrush_api::{DriverState, DriverView};
use onrush_protocol::{Heartbeat, NodeId, NodeState};

use super::{Driver, Identity, Registry};
use crate::clock::{Now, rfc3339};

/// Drivers that Prometheus is shown at most: each has a dozen series.
pub const MAX_GLIMPSES: usize = 100;

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
            _ if silent >= driver.patience().suspect => DriverState::Suspect,
            Some(Heartbeat { state: Some(NodeState::Idle), .. }) => DriverState::Idle,
            Some(Heartbeat { state: Some(NodeState::Armed), .. }) => DriverState::Armed,
            Some(Heartbeat { state: Some(NodeState::Running), .. }) => DriverState::Running,
            Some(Heartbeat { state: None, .. }) => DriverState::Alive,
        }
    }

    fn view(&self, driver: &Driver, now: Now, rejected: Option<String>) -> DriverView {
        let Driver { identity: Identity { register, registered_unix_ms, .. }, last, .. } = driver;
        let state = self.state(driver, now, rejected.is_some());
        let waits = || match last {
            None => Some("no heartbeat yet".to_owned()),
            Some(_) if driver.lost_since.is_none() && !driver.may_sit() => {
                Some("not registered; it takes part from its second heartbeat on".to_owned())
            }
            Some(_) => None,
        };
        DriverView {
            node_id: register.node_id.to_string(),
            session_id: register.session_id.as_ref().map(ToString::to_string),
            state,
            reason: rejected.or_else(waits),
            warnings: driver.clock_offset.wrong_by_ms().map(clock_warning).into_iter().collect(),
            test_id: last.as_ref().and_then(|last| last.test_id.as_ref()).map(ToString::to_string),
            node_ip: register.node_ip.clone(),
            hostname: register.hostname.clone(),
            version: register.version.clone(),
            cpus: register.cpus.clone(),
            registered_at: rfc3339(*registered_unix_ms),
            heartbeat_age_s: (now.since(driver.heard_at).as_secs_f64() * 1e3).round() / 1e3,
            clock_offset_ms: driver.clock_offset.estimate_ms(),
            reports_waiting: last.as_ref().and_then(|last| last.reports_waiting),
            messages_skipped: last.as_ref().and_then(|last| last.messages_skipped),
            cpu_s: last.as_ref().and_then(|last| last.cpu_s),
            memory_bytes: last.as_ref().and_then(|last| last.memory_bytes),
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
