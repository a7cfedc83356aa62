//! What keeps the orchestrator from its work, for those who wait for it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The trouble that there is, if any. Cheap to clone; all clones speak of the same.
#[derive(Clone, Debug, Default)]
pub struct Trouble(Arc<Mutex<Option<String>>>);

impl Trouble {
    fn lock(&self) -> MutexGuard<'_, Option<String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes what is wrong, and logs it where that is new: it is found again every second.
    pub fn note(&self, error: &dyn std::error::Error) {
        let why = error.to_string();
        let mut known = self.lock();
        if known.as_ref() != Some(&why) {
            tracing::error!("{why}; trying again every second");
            *known = Some(why);
        }
    }

    /// Notes that nothing is wrong any more.
    pub fn is_over(&self) {
        if self.lock().take().is_some() {
            tracing::info!("what was wrong is over: everything goes on");
        }
    }

    /// What is wrong.
    pub fn text(&self) -> Option<String> {
        self.lock().clone()
    }
}
