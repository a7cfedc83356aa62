//! Asks the bundled target for its CPU time, while a test runs.

use onrush_protocol::TestConfig;
use onrush_stats::TargetTime;
use serde::Deserialize;
use url::Url;

use crate::target_check::{self, TIMEOUT};

/// The name that the bundled target gives itself.
const SERVER: &str = "onrush-target";
const MAX_BYTES: u64 = 1024 * 1024;

/// A look at the CPU time of the target of a test, where it can be the bundled one: blocks, at most a second. `None`: it does not
/// tell, or not in time.
pub fn target_look(config: &TestConfig) -> Option<TargetTime> {
    look_at_target(&target_check::address(config).ok()?)
}

/// What the bundled target tells of its CPU time beside its counters.
#[derive(Deserialize)]
struct Times {
    server: String,
    uptime_s: f64,
    cpu_s: f64,
    cpu_wait_s: f64,
    cores: u64,
}

/// Reads the target's CPU time. Blocks, at most [`TIMEOUT`]; `None`: it does not answer in time, or does not tell.
pub fn look_at_target(address: &Url) -> Option<TargetTime> {
    let agent = ureq::Agent::config_builder().timeout_global(Some(TIMEOUT)).max_redirects(0).build().new_agent();
    let mut answer = agent.get(address.as_str()).header("Accept", "application/json").call().ok()?;
    let body = answer.body_mut().with_config().limit(MAX_BYTES).read_to_string().ok()?;
    let Times { server, uptime_s, cpu_s, cpu_wait_s, cores } = serde_json::from_str(&body).ok()?;
    let is_plausible = server == SERVER && cores > 0 && [uptime_s, cpu_s, cpu_wait_s].iter().all(|s| *s >= 0.0);
    is_plausible.then_some(TargetTime { uptime_s, cpu_s, cpu_wait_s, cores })
}
