//! What becomes of messages that a client was given: confirmed, refused, or given up.

use std::ffi::CStr;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError, Weak};
use std::time::Instant;

use rdkafka::ClientContext;
use rdkafka::bindings as sys;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, DeliveryResult};
use rdkafka::producer::ProducerContext;

use crate::producer::Shared;
use crate::stamp::{Refused, Stamp};

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
    fn refused(&self, owner: &Shared, error: &KafkaError, message: &BorrowedMessage<'_>) {
        if error.rdkafka_error_code() != Some(RDKafkaErrorCode::InvalidTimestamp) {
            return self.give_up(&error.to_string());
        }
        let words = words_of(message);
        let outcome = owner.lock().stamp.refused(&words, Stamp::now());
        let seconds = |ms: i64| ms.unsigned_abs().div_ceil(1000);
        match outcome {
            Refused::Corrected => self.give_up("the clock of this machine was set"),
            Refused::Wrong { ahead_ms } => {
                let way = if ahead_ms > 0 { "ahead of" } else { "behind" };
                self.give_up(&format!(
                    "the clock of this machine is at least {} s {way} what the broker accepts: set it right (NTP); \
                     messages get a time-stamp that is accepted",
                    seconds(ahead_ms)
                ));
            }
            Refused::Unknown => self.give_up(&format!(
                "the broker refuses the clock of this machine ({words}): set it right (NTP), or the broker's"
            )),
        }
    }
}

/// What the broker said of a message.
fn words_of(message: &BorrowedMessage<'_>) -> String {
    // SAFETY: the message lives, and the text as long as it; it may be null.
    unsafe {
        let words = sys::rd_kafka_message_produce_errstr(message.ptr());
        if words.is_null() { "invalid time-stamp".into() } else { CStr::from_ptr(words).to_string_lossy().into_owned() }
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
                state.last_progress = Instant::now();
                state.was_confirmed = true;
            }
            // Of a client that was replaced: its successor sends this message.
            Err(_) if owner.lock().generation != self.generation => return,
            Err((error, message)) => match error.rdkafka_error_code() {
                Some(RDKafkaErrorCode::PurgeQueue | RDKafkaErrorCode::PurgeInflight) => return,
                Some(RDKafkaErrorCode::MessageSizeTooLarge) => owner.drop_impossible(&mut owner.lock(), number),
                // One of them tells all.
                _ if self.has_given_up() => return,
                _ => self.refused(&owner, error, message),
            },
        }
        owner.tell_if_empty();
    }
}
