//! Who has a connection, and who must give his up.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use tokio::sync::Notify;

use super::Limits;

/// The places for connections. Cheap to clone.
#[derive(Clone)]
pub(super) struct Places(Arc<Shared>);

struct Shared {
    limits: Limits,
    inner: Mutex<Inner>,
    /// A connection has come to wait, or has gone.
    changed: Notify,
}

#[derive(Default)]
struct Inner {
    next_number: u64,
    taken: HashMap<u64, Taken>,
    /// Requests that are served.
    served: usize,
}

struct Taken {
    /// Since when it has no request under way; `None`: it has one.
    waiting_since: Option<Instant>,
    /// It has not read what was sent to it.
    writing: bool,
    told: Arc<Notify>,
}

impl Places {
    pub(super) fn new(limits: Limits) -> Self {
        Self(Arc::new(Shared { limits, inner: Mutex::default(), changed: Notify::new() }))
    }

    /// A place: a free one, or that of the connection that has waited longest. Where all of them are serving it waits for
    /// the first that does not.
    pub(super) async fn take(&self) -> Place {
        loop {
            if let Some(place) = self.try_take() {
                return place;
            }
            self.0.changed.notified().await;
        }
    }

    fn try_take(&self) -> Option<Place> {
        let mut inner = self.lock();
        if inner.taken.len() >= self.0.limits.connections {
            let longest = inner.taken.iter().filter_map(|(number, taken)| {
                // Who does not read what was asked for is still better off than who asks for nothing.
                Some((taken.writing, taken.waiting_since?, *number))
            });
            let (.., number) = longest.min()?;
            inner.taken.remove(&number)?.told.notify_one();
        }
        let number = inner.next_number;
        inner.next_number += 1;
        let told = Arc::new(Notify::new());
        let taken = Taken { waiting_since: Some(Instant::now()), writing: false, told: told.clone() };
        inner.taken.insert(number, taken);
        Some(Place { places: self.clone(), number, told })
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Whoever panicked while he held it left nothing half done.
        self.0.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A connection's place, until it is dropped or taken away.
pub(super) struct Place {
    places: Places,
    number: u64,
    told: Arc<Notify>,
}

impl Place {
    /// Returns when another connection has the place.
    pub(super) async fn taken(&self) {
        self.told.notified().await;
    }

    /// A request is under way until what this returns is dropped.
    pub(super) fn serve(self: &Arc<Self>) -> Serving {
        let mut inner = self.places.lock();
        if let Some(taken) = inner.taken.get_mut(&self.number) {
            taken.waiting_since = None;
        }
        inner.served += 1;
        let one_too_many = inner.served > self.places.0.limits.requests;
        Serving { place: self.clone(), one_too_many }
    }

    /// Notes whether the client has something to read that it does not read.
    pub(super) fn set_writing(&self, writing: bool) {
        if let Some(taken) = self.places.lock().taken.get_mut(&self.number) {
            taken.writing = writing;
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.places.lock().taken.remove(&self.number);
        self.places.0.changed.notify_one();
    }
}

/// A request that is served.
pub(super) struct Serving {
    place: Arc<Place>,
    one_too_many: bool,
}

impl Serving {
    /// Whether more are served than should be.
    pub(super) fn one_too_many(&self) -> bool {
        self.one_too_many
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        let mut inner = self.place.places.lock();
        inner.served -= 1;
        if let Some(taken) = inner.taken.get_mut(&self.place.number) {
            taken.waiting_since = Some(Instant::now());
        }
        drop(inner);
        self.place.places.0.changed.notify_one();
    }
}
