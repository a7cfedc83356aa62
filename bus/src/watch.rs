//! Whether the broker lives.

use std::sync::Arc;
use std::time::Instant;

use crate::asker::Asker;
use crate::{BusConfig, BusError};

/// Knows whether the broker lives: it is asked once a second, on a thread of its own.
pub struct BrokerWatch {
    asker: Arc<Asker>,
}

impl BrokerWatch {
    /// Starts asking.
    pub fn start(config: &BusConfig) -> Result<Self, BusError> {
        Ok(Self { asker: Asker::of(config)? })
    }

    /// Since when the broker has answered without a break; `None` while it does not.
    pub fn reachable_since(&self) -> Option<Instant> {
        self.asker.view().reachable_since
    }

    /// Where the broker is: as configured, or where the embedded one is that took its place.
    pub fn address(&self) -> String {
        self.asker.view().address.clone()
    }
}
