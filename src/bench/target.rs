//! The bundled target's CPU time, once a second while a bench runs: it tells whether the target was the limit. Only one of this
//! machine is asked: another server gets nothing but the load.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::{Duration, Instant};

use onrush_orchestrator::target_look;
use onrush_protocol::{TargetUrl, TestConfig};
use onrush_stats::TargetTime;

use crate::local_target;

const EVERY: Duration = Duration::from_secs(1);
/// Looks that nobody has taken; more are dropped.
const MAX_WAITING: usize = 16;

/// Asks on a thread of its own, until it is dropped.
pub struct TargetWatch {
    looks: Receiver<TargetTime>,
    over: Arc<AtomicBool>,
}

impl TargetWatch {
    /// Begins, if the target of this test is a bundled one on this machine. Blocks, at most a second.
    pub fn begin(config: &TestConfig) -> Option<Self> {
        let url = TargetUrl::parse(config.target_url.as_deref()?).ok()?;
        if url.tls || !local_target::listens_on(url.port) {
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
