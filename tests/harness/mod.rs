//! What the end-to-end tests stand on: real processes, a broker, a REST client, and waiting with a deadline.

#![allow(dead_code, unused_imports, reason = "each test binary uses its part")]

pub mod broker;
pub mod kafka;
pub mod peer;
pub mod process;
pub mod recorder;
pub mod rest;
pub mod system;

use std::sync::{Once, OnceLock, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::{Duration, Instant};

pub use broker::Broker;
pub use peer::{Peer, read_json};
pub use process::Process;
pub use rest::{Refusal, Rest};
pub use system::{Orchestrator, System, Target};

/// For whatever takes no longer than a moment on an idle machine. Generous: a test waits so long only when it fails.
pub const SOON: Duration = Duration::from_secs(30);
/// For a whole test to end.
pub const TEST_END: Duration = Duration::from_secs(90);
/// How often a condition is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(25);

/// Looks until there is a value, and returns it; fails with what was there instead.
#[track_caller]
pub fn wait_for<T>(what: &str, at_most: Duration, mut look: impl FnMut() -> Result<T, String>) -> T {
    let deadline = Instant::now() + at_most;
    loop {
        match look() {
            Ok(value) => return value,
            Err(instead) if Instant::now() >= deadline => panic!("{what}: not within {at_most:?}; at last: {instead}"),
            Err(_) => std::thread::sleep(LOOK_EVERY),
        }
    }
}

static MACHINE: RwLock<()> = RwLock::new(());

/// Held by a test that measures time or loads the whole machine: nothing else runs beside it.
pub fn alone() -> RwLockWriteGuard<'static, ()> {
    MACHINE.write().unwrap_or_else(PoisonError::into_inner)
}

/// Held by a test that only counts: others may run beside it.
pub fn beside_others() -> RwLockReadGuard<'static, ()> {
    MACHINE.read().unwrap_or_else(PoisonError::into_inner)
}

/// Gives the nodes of this run a runtime folder of their own, so that they find neither nodes of the user nor
/// are found by them. Called first by every test.
pub fn set_up() {
    static DONE: Once = Once::new();
    static FOLDER: OnceLock<tempfile::TempDir> = OnceLock::new();
    DONE.call_once(|| {
        let folder = FOLDER.get_or_init(|| tempfile::tempdir().expect("a temporary folder"));
        // SAFETY: every test waits here before it does anything, so nothing but std, whose access to the environment is
        // locked, reads it meanwhile.
        unsafe { std::env::set_var("ONRUSH_RUNTIME_DIR", folder.path()) };
    });
}
