//! Ctrl-C and its kin: the first asks politely, the second ends the process at once.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::flag;

use crate::error::{EXIT_INTERRUPTED, Error};

/// How often a waiting command looks whether it is to stop.
pub const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Set by the first Ctrl-C, termination or hang-up.
#[derive(Clone, Debug)]
pub struct Stop(Arc<AtomicBool>);

impl Stop {
    /// Takes over the signals from here on.
    pub fn on_signals() -> Result<Self, Error> {
        let flag = Arc::new(AtomicBool::new(false));
        register(&flag).map_err(|e| Error::failed("cannot handle signals", e))?;
        Ok(Self(flag))
    }

    /// Whether a signal came.
    pub fn requested(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// The flag itself, for those who only read it.
    pub fn flag(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.0)
    }

    /// Blocks until a signal comes.
    pub fn wait(&self) {
        while !self.requested() {
            std::thread::sleep(LOOK_EVERY);
        }
    }
}

/// The order matters: at the first signal the flag is not yet set when the shutdown is considered.
fn register(stop: &Arc<AtomicBool>) -> io::Result<()> {
    for signal in [SIGINT, SIGTERM, SIGHUP] {
        flag::register_conditional_shutdown(signal, i32::from(EXIT_INTERRUPTED), Arc::clone(stop))?;
        flag::register(signal, Arc::clone(stop))?;
    }
    Ok(())
}
