//! The target's CPU time, once a second while this process makes load: it tells whether the target was the limit. It is asked for
//! where the user says (`--target-metrics`), or else of a bundled target on this machine: another server gets nothing but the
//! load.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::{Duration, Instant};

use onrush_orchestrator::{TimeSource, look_at_target, time_source};
use onrush_protocol::{TargetUrl, TestConfig};
use onrush_stats::{TargetCpu, TargetLooks, TargetTime};

use crate::local_target;

const EVERY: Duration = Duration::from_secs(1);
/// A second's look is made so much before its end: what it tells is there when the second comes.
const BEFORE_END: Duration = Duration::from_millis(150);
/// Looks that nobody has taken; more are dropped.
const MAX_WAITING: usize = 16;

/// Asks on a thread of its own, until it is dropped.
pub struct TargetWatch {
    heard: Receiver<Result<TargetTime, String>>,
    looks: TargetLooks,
    /// Whether the user asked for it, and is to hear why nothing is known.
    is_asked_for: bool,
    problem: Option<String>,
    over: Arc<AtomicBool>,
}

impl TargetWatch {
    /// Begins, if there is something to ask. Blocks, less than a second.
    pub fn begin(config: &TestConfig) -> Option<Self> {
        let source = source(config)?;
        let is_asked_for = config.target_metrics.is_some();
        let first = look_at_target(&source);
        if first.is_err() && !is_asked_for {
            return None;
        }
        let (tell, heard) = sync_channel(MAX_WAITING);
        let over = Arc::new(AtomicBool::new(false));
        let ended = over.clone();
        let mut watch = Self { heard, looks: TargetLooks::default(), is_asked_for, problem: None, over };
        watch.take_in(first);
        let ask = move || {
            let mut next = Instant::now() + EVERY - BEFORE_END;
            while !ended.load(Ordering::Relaxed) {
                std::thread::sleep(next.saturating_duration_since(Instant::now()));
                next = (next + EVERY).max(Instant::now());
                // Nobody listens after the run.
                let _ = tell.try_send(look_at_target(&source));
            }
        };
        std::thread::Builder::new().name("target".into()).spawn(ask).ok()?;
        Some(watch)
    }

    /// What the target used of its CPUs since the last call, as far as it is known by now.
    pub fn used(&mut self) -> Option<TargetCpu> {
        while let Ok(seen) = self.heard.try_recv() {
            self.take_in(seen);
        }
        self.looks.take()
    }

    /// Why a look that the user asked for told nothing: the first one that did not.
    pub fn problem(&self) -> Option<&str> {
        self.problem.as_deref()
    }

    fn take_in(&mut self, seen: Result<TargetTime, String>) {
        match seen {
            Ok(time) => self.looks.look(time),
            Err(problem) if self.is_asked_for && self.problem.is_none() => self.problem = Some(problem),
            Err(_) => {}
        }
    }
}

fn source(config: &TestConfig) -> Option<TimeSource> {
    let is_own = |url: TargetUrl| !url.tls && local_target::listens_on(url.port);
    let target = config.target_url.as_deref().and_then(|url| TargetUrl::parse(url).ok());
    time_source(config, target.is_some_and(is_own))
}

impl Drop for TargetWatch {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
    }
}
