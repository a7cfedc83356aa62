//! The checks of what lies between machines: ports, queues, clocks, broker, target. Pure.

use super::facts::{Broker, Drivers, Facts, Load, Target};
use super::finding::Finding;
use crate::report::grouped;

/// How long the kernel keeps a closed connection's port for the same target.
const TIME_WAIT_S: f64 = 60.0;
/// From this part of a limit on it is close.
const CLOSE_TO: f64 = 0.8;
/// The start of a test is a moment on the wall clock, so clocks that differ start apart.
const OFFSET_WARN_MS: f64 = 50.0;
/// Slower than this, one request to an idle target is worth a look.
const SLOW_ANSWER_S: f64 = 1.0;
const SYSCTL_PORTS: &str = "sysctl -w net.ipv4.ip_local_port_range='1024 65535'";

/// Ephemeral ports: each connection to the same address and port needs one.
pub fn ports(facts: &Facts, load: &Load) -> Option<Finding> {
    const CHECK: &str = "ports";
    let (first, last) = facts.ports?;
    let count = u64::from(last.saturating_sub(first)) + 1;
    let range = format!("{} ports ({first}-{last})", grouped(count));
    let connections = grouped(load.connections);
    if load.connections > count {
        let reason = format!("{range} for one target address, and {connections} connections are asked for");
        return Some(Finding::fail(CHECK, reason, SYSCTL_PORTS));
    }
    if load.keepalive {
        return Some(if load.connections as f64 > count as f64 * CLOSE_TO {
            let reason = format!("{range} for {connections} connections, and reconnecting takes further ones");
            Finding::warn(CHECK, reason, SYSCTL_PORTS)
        } else {
            Finding::ok(CHECK, format!("{range} for {connections} connections"))
        });
    }
    let loopback = facts.target.as_ref().is_some_and(|target| target.loopback);
    // 1: a port is free again after a second; 2: on loopback only.
    if matches!((facts.tw_reuse, loopback), (Some(1), _) | (Some(2), true)) {
        let reason = format!("{range}; without keep-alive each is used again after a second (tcp_tw_reuse)");
        return Some(within(CHECK, &reason, load.rate_per_s, count as f64, SYSCTL_PORTS.into()));
    }
    let waiting = facts.time_wait.map_or(String::new(), |n| format!(", {} now in TIME_WAIT", grouped(n)));
    let reason = format!("{range}{waiting}; without keep-alive each is taken for {TIME_WAIT_S} s");
    let fix = format!("sysctl -w net.ipv4.tcp_tw_reuse=1; {SYSCTL_PORTS}    (or more addresses of the target)");
    Some(within(CHECK, &reason, load.rate_per_s, count as f64 / TIME_WAIT_S, fix))
}

/// A rate against the new connections per second that the ports allow.
fn within(check: &'static str, reason: &str, rate_per_s: Option<f64>, most_per_s: f64, fix: String) -> Finding {
    let most = format!("{reason}: {} new connections/s for one target address", grouped(most_per_s as u64));
    match rate_per_s {
        Some(rate) if rate > most_per_s => {
            Finding::fail(check, format!("{most}, and {} are asked for", grouped(rate as u64)), fix)
        }
        Some(rate) if rate > most_per_s * CLOSE_TO => {
            Finding::warn(check, format!("{most}, close to the {} asked for", grouped(rate as u64)), fix)
        }
        Some(_) => Finding::ok(check, most),
        None => Finding::warn(check, format!("{most}; without a rate a test reaches that"), fix),
    }
}

/// The queue of connections that a server on this machine has not accepted yet.
pub fn accept_queue(facts: &Facts, load: &Load) -> Option<Finding> {
    const CHECK: &str = "accept queue";
    let longest = facts.somaxconn?;
    if longest >= load.connections {
        return Some(Finding::ok(CHECK, format!("a server here may let {} connections wait", grouped(longest))));
    }
    let reason = format!(
        "a server here may let {} connections wait; {} that come together lose a second or more",
        grouped(longest),
        grouped(load.connections)
    );
    let fix = format!("sysctl -w net.core.somaxconn={0} net.ipv4.tcp_max_syn_backlog={0}", load.connections);
    Some(Finding::warn(CHECK, reason, fix))
}

/// The drivers' clocks against one another.
pub fn drivers(facts: &Facts) -> Option<Finding> {
    const CHECK: &str = "drivers' clocks";
    let Drivers { orchestrator, clocks, wants_token } = facts.drivers.as_ref()?;
    let clocks = match clocks {
        Ok(clocks) => clocks,
        Err(problem) => {
            let fix = match wants_token {
                true => "--token-file FILE, or ONRUSH_TOKEN".to_owned(),
                false => format!("onrush orchestrator --listen ADDRESS    ({orchestrator} was asked)"),
            };
            return Some(Finding::fail(CHECK, problem, fix));
        }
    };
    let known: Vec<(&str, f64)> = clocks.iter().filter_map(|c| Some((c.node_id.as_str(), c.offset_ms?))).collect();
    let earliest = known.iter().min_by(|a, b| a.1.total_cmp(&b.1));
    let latest = known.iter().max_by(|a, b| a.1.total_cmp(&b.1));
    let (Some((slow, earliest)), Some((fast, latest))) = (earliest, latest) else {
        let reason = format!("no driver at {orchestrator} tells its time");
        return Some(Finding::warn(CHECK, reason, "start the drivers, then ask again"));
    };
    let furthest = earliest.abs().max(latest.abs());
    let spread = latest - earliest;
    let untold = clocks.len() - known.len();
    let untold = if untold == 0 { String::new() } else { format!(" ({untold} more do not tell)") };
    let count = known.len();
    if spread.max(furthest) < OFFSET_WARN_MS {
        let reason =
            format!("{count} drivers within {spread:.1} ms, at most {furthest:.1} ms from the orchestrator{untold}");
        return Some(Finding::ok(CHECK, reason));
    }
    let reason = format!(
        "{count} drivers from {earliest:+.1} ms ({slow}) to {latest:+.1} ms ({fast}) of the orchestrator's clock, a \
         heartbeat's delivery included{untold}: they may start apart by as much"
    );
    let fix = "on every machine: apt-get install chrony; chronyc waitsync";
    Some(Finding::warn(CHECK, reason, fix))
}

/// Whether the broker answers.
pub fn broker(facts: &Facts) -> Option<Finding> {
    const CHECK: &str = "broker";
    let Broker { address, answer } = facts.broker.as_ref()?;
    Some(match answer {
        Ok(took) => Finding::ok(CHECK, format!("{address} answers, {:.0} ms from nothing", took.as_secs_f64() * 1e3)),
        Err(problem) => Finding::fail(
            CHECK,
            problem,
            "start it, or give its address: --brokers HOST:PORT    (it also must advertise one that this machine reaches)",
        ),
    })
}

/// Whether the target answers.
pub fn target(facts: &Facts) -> Option<Finding> {
    const CHECK: &str = "target";
    let Target { url, answer, .. } = facts.target.as_ref()?;
    let (status, took) = match answer {
        Ok(answer) => *answer,
        Err(problem) => {
            let fix = format!("curl -v {url}");
            return Some(Finding::fail(CHECK, format!("{url} does not answer: {problem}"), fix));
        }
    };
    let seen = format!("{url} answers {status} in {:.1} ms", took.as_secs_f64() * 1e3);
    Some(if status >= 400 {
        let reason = format!("{seen}: a load of such answers measures the way to an error");
        Finding::warn(CHECK, reason, "give a URL that answers 2xx or 3xx")
    } else if took.as_secs_f64() > SLOW_ANSWER_S {
        let reason = format!("{seen} while it is idle");
        Finding::warn(CHECK, reason, format!("curl -v -o /dev/null -w '%{{time_namelookup}} %{{time_total}}\\n' {url}"))
    } else {
        Finding::ok(CHECK, seen)
    })
}
