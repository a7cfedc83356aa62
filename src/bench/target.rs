//! The bundled target's CPU time, once a second while a bench runs: it tells whether the target was the limit. Another target is asked
//! once, before the run, and only where the path is that of the bundled one.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::{Duration, Instant};

use onrush_orchestrator::target_look;
use onrush_protocol::TestConfig;
use onrush_stats::TargetTime;

/// The one path of the bundled target that is loaded.
const PATH: &str = "/ping";
const EVERY: Duration = Duration::from_secs(1);
/// Looks that nobody has taken; more are dropped.
const MAX_WAITING: usize = 16;

/// Asks on a thread of its own, until it is dropped.
pub struct TargetWatch {
    looks: Receiver<TargetTime>,
    over: Arc<AtomicBool>,
}

impl TargetWatch {
    /// Begins, if the target of this test is the bundled one. Blocks, at most a second.
    pub fn begin(config: &TestConfig) -> Option<Self> {
        let url = config.target_url.as_deref()?;
        let is_plain_http = !url.starts_with("https:");
        let path = url.split(['?', '#']).next().unwrap_or_default();
        if !(path.ends_with(PATH) && is_plain_http && config.requests.len() <= 1) {
            return None;
        }
        let first = target_look(config)?;
        let (tell, looks) = sync_channel(MAX_WAITING);
        let over = Arc::new(AtomicBool::new(false));
        let (config, ended) = (config.clone(), over.clone());
        // Nobody listens after the run.
        let _ = tell.try_send(first);
        let ask = move || {
            let mut next = Instant::now() + EVERY;
            while !ended.load(Ordering::Relaxed) {
                std::thread::sleep(next.saturating_duration_since(Instant::now()));
                next = (next + EVERY).max(Instant::now());
                if let Some(time) = target_look(&config) {
                    let _ = tell.try_send(time);
                }
            }
        };
        std::thread::Builder::new().name("target".into()).spawn(ask).ok()?;
        Some(Self { looks, over })
    }

    /// What came since the last call.
    pub fn looks(&self) -> impl Iterator<Item = TargetTime> {
        self.looks.try_iter()
    }
}

impl Drop for TargetWatch {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
    }
}
