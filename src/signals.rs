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
        register(&flag, &[SIGINT, SIGTERM, SIGHUP]).map_err(cannot_handle)?;
        Ok(Self(flag))
    }

    /// The same for a process that a hang-up does not end: it can ask for it.
    pub fn on_signals_but_hang_up() -> Result<(Self, HangUp), Error> {
        let (flag, hang_up) = <(Arc<AtomicBool>, HangUp)>::default();
        register(&flag, &[SIGINT, SIGTERM]).map_err(cannot_handle)?;
        flag::register(SIGHUP, Arc::clone(&hang_up.0)).map_err(cannot_handle)?;
        Ok((Self(flag), hang_up))
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

/// Set by each hang-up.
#[derive(Clone, Debug, Default)]
pub struct HangUp(Arc<AtomicBool>);

impl HangUp {
    /// Whether one came since this was last asked.
    pub fn came(&self) -> bool {
        self.0.swap(false, Ordering::Relaxed)
    }
}

fn cannot_handle(error: io::Error) -> Error {
    Error::failed("cannot handle signals", error)
}

/// The order matters: at the first signal the flag is not yet set when the shutdown is considered.
fn register(stop: &Arc<AtomicBool>, signals: &[i32]) -> io::Result<()> {
    for &signal in signals {
        flag::register_conditional_shutdown(signal, i32::from(EXIT_INTERRUPTED), Arc::clone(stop))?;
        flag::register(signal, Arc::clone(stop))?;
    }
    Ok(())
}
