//! What becomes of messages that a client was given: confirmed, refused, or given up.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError, Weak};
use std::time::SystemTime;

use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::DeliveryResult;
use rdkafka::producer::ProducerContext;

use crate::producer::Shared;
use crate::stamp::Refused;

/// Hears what becomes of messages, for one client.
pub(crate) struct Events {
    /// Weak: the owner holds the client, which holds this.
    owner: Weak<Shared>,
    generation: u64,
    address: String,
    /// The client cannot go on, and why.
    given_up: AtomicBool,
    last_error: Mutex<Option<String>>,
}

impl Events {
    pub fn new(owner: Weak<Shared>, generation: u64, address: &str) -> Self {
        let (given_up, last_error) = (AtomicBool::new(false), Mutex::default());
        Self { owner, generation, address: address.into(), given_up, last_error }
    }

    /// For clients that send nothing.
    pub fn deaf(address: &str) -> Self {
        Self::new(Weak::new(), 0, address)
    }

    /// Whether the client cannot go on.
    pub fn has_given_up(&self) -> bool {
        self.given_up.load(Relaxed)
    }

    pub fn give_up(&self, reason: &str) {
        self.note(reason);
        self.given_up.store(true, Relaxed);
    }

    /// What went wrong last.
    pub fn last_error(&self) -> Option<String> {
        self.last_error.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn note(&self, reason: &str) {
        *self.last_error.lock().unwrap_or_else(PoisonError::into_inner) = Some(reason.into());
    }

    /// The broker did not take a message, and never will from this client.
    fn refused(&self, owner: &Shared, error: &KafkaError) {
        if error.rdkafka_error_code() != Some(RDKafkaErrorCode::InvalidTimestamp) {
            // One reason tells all.
            if !self.has_given_up() {
                self.give_up(&error.to_string());
            }
            return;
        }
        match owner.lock().stamp.refused(SystemTime::now()) {
            Refused::Corrected => self.give_up("the clock of this machine was set"),
            Refused::Wrong => {
                owner.doubt_clock();
                self.give_up(
                    "the broker refuses the clock of this machine: set it right (NTP); messages go without a time-stamp",
                );
            }
        }
    }
}

impl ClientContext for Events {
    fn log(&self, _level: RDKafkaLogLevel, facility: &str, message: &str) {
        tracing::debug!(target: "librdkafka", "{facility} {message}");
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(broker = self.address, "{error}: {reason}");
        // What librdkafka adds here counts connections, which tells a person nothing.
        let away = error.rdkafka_error_code() == Some(RDKafkaErrorCode::AllBrokersDown);
        self.note(if away { "no connection" } else { reason });
        if error.rdkafka_error_code() == Some(RDKafkaErrorCode::Fatal) {
            self.give_up(reason);
        }
    }
}

impl ProducerContext for Events {
    /// The message's number in the outbox.
    type DeliveryOpaque = usize;

    fn delivery(&self, result: &DeliveryResult<'_>, number: usize) {
        let Some(owner) = self.owner.upgrade() else { return };
        match result {
            Ok(_) => {
                let mut state = owner.lock();
                state.outbox.done(number);
                state.was_confirmed = true;
            }
            // Of a client that was replaced: its successor sends this message.
            Err(_) if owner.lock().generation != self.generation => return,
            Err((error, _)) => match error.rdkafka_error_code() {
                Some(RDKafkaErrorCode::PurgeQueue | RDKafkaErrorCode::PurgeInflight) => return,
                Some(RDKafkaErrorCode::MessageSizeTooLarge) => owner.drop_impossible(&mut owner.lock(), number),
                _ => self.refused(&owner, error),
            },
        }
        owner.tell_if_empty();
    }
}
