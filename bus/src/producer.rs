//! Sending without waiting and without losing: everything is kept until the broker has confirmed it.
//!
//! librdkafka sends in order and retries by itself for as long as it takes. What it gives up on nevertheless (a
//! fatal error, a topic that was away for long) is sent again by a new client, from the oldest that is
//! unconfirmed. So a receiver may see a message twice.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use onrush_protocol::Topic;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::DeliveryResult;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _, ProducerContext};
use rdkafka::{ClientConfig, ClientContext};

use crate::client::{settings, with_options};
use crate::outbox::{Message, Outbox};
use crate::{BusConfig, BusError};

/// How long the background thread listens to librdkafka before it looks at the outbox again. Not shorter than need be:
/// rdkafka spins through the last millisecond of each such wait.
const LISTEN: Duration = Duration::from_millis(200);
/// Between the end of one client and the start of the next.
const REBUILD_PAUSE: Duration = Duration::from_millis(500);
/// Messages that wait this long without any confirmation are worth a warning.
const PATIENCE: Duration = Duration::from_secs(3);

type Client = BaseProducer<Events>;

/// Sends, and keeps what it sends until the broker has confirmed it, however long that takes, in order and
/// without waiting. It survives the broker's death and librdkafka's fatal errors (by starting anew and sending
/// again: receivers must not mind a message twice). Messages that wait are bounded by `max_waiting`.
///
/// Dropping it forgets what is unconfirmed: [`flush`](Self::flush) first.
pub struct Producer {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

struct Shared {
    settings: ClientConfig,
    address: String,
    topic_prefix: String,
    state: Mutex<State>,
    /// Told when the outbox became empty.
    empty: Condvar,
    stop: AtomicBool,
}

struct State {
    outbox: Outbox,
    client: Option<Arc<Client>>,
    /// Counts the clients: what an earlier one still reports is known by its number.
    generation: u64,
    /// The last confirmation, or when the outbox began to fill.
    last_progress: Instant,
}

impl Producer {
    /// A producer; the broker may come later.
    pub fn new(config: &BusConfig, max_waiting: usize) -> Result<Self, BusError> {
        let state =
            State { outbox: Outbox::new(max_waiting), client: None, generation: 0, last_progress: Instant::now() };
        let shared = Arc::new(Shared {
            settings: producer_settings(config),
            address: config.brokers.address.clone(),
            topic_prefix: config.topic_prefix.clone(),
            state: Mutex::new(state),
            empty: Condvar::new(),
            stop: AtomicBool::new(false),
        });
        // The first client is made here, so that a wrong setting is an error of this call.
        let client = shared.new_client(0)?;
        shared.lock().client = Some(Arc::new(client));
        let theirs = shared.clone();
        let run = move || theirs.run();
        let thread = std::thread::Builder::new().name("bus-producer".into()).spawn(run).map_err(BusError::Thread)?;
        Ok(Self { shared, thread: Some(thread) })
    }

    /// Takes a message. It fails only where `max_waiting` messages wait already; the message is then not taken.
    pub fn send(&self, topic: Topic, key: &str, payload: Vec<u8>) -> Result<(), BusError> {
        let mut state = self.shared.lock();
        if state.outbox.len() == 0 {
            state.last_progress = Instant::now();
        }
        let message = Message { topic, key: key.into(), payload };
        if !state.outbox.take(message) {
            return Err(BusError::OutboxFull { address: self.shared.address.clone(), waiting: state.outbox.len() });
        }
        self.shared.hand_over(&mut state);
        Ok(())
    }

    /// Messages that the broker has not confirmed.
    pub fn waiting(&self) -> usize {
        self.shared.lock().outbox.len()
    }

    /// Waits until everything is confirmed, at most `timeout`; whether it is.
    pub fn flush(&self, timeout: Duration) -> bool {
        let state = self.shared.lock();
        let waited = self.shared.empty.wait_timeout_while(state, timeout, |state| state.outbox.len() > 0);
        waited.unwrap_or_else(PoisonError::into_inner).0.outbox.len() == 0
    }
}

impl Drop for Producer {
    fn drop(&mut self) {
        self.shared.stop.store(true, Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        // A panic elsewhere leaves nothing half done here.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn new_client(self: &Arc<Self>, generation: u64) -> Result<Client, BusError> {
        let events = Events {
            owner: Arc::downgrade(self),
            generation,
            address: self.address.clone(),
            given_up: AtomicBool::new(false),
            last_error: Mutex::default(),
        };
        self.settings.create_with_context(events).map_err(BusError::client)
    }

    /// Gives the client what it does not have yet, as far as it takes it. Never waits.
    fn hand_over(&self, state: &mut State) {
        let Some(client) = state.client.clone() else { return };
        while let Some((number, message)) = state.outbox.to_hand_over() {
            let topic = message.topic.full_name(&self.topic_prefix);
            let record = BaseRecord::with_opaque_to(&topic, number).key(&message.key).payload(&message.payload);
            let Err((error, _)) = client.send(record) else {
                state.outbox.handed_over(number);
                continue;
            };
            match error.rdkafka_error_code() {
                // The background thread goes on when the client has room again.
                Some(RDKafkaErrorCode::QueueFull) => return,
                Some(RDKafkaErrorCode::MessageSizeTooLarge) => self.drop_impossible(state, number),
                _ => {
                    client.context().give_up(&error.to_string());
                    return;
                }
            }
        }
    }

    /// No broker would ever take this message, and everything behind it would wait for ever.
    fn drop_impossible(&self, state: &mut State, number: usize) {
        state.outbox.done(number);
        tracing::error!(broker = self.address, "a message is larger than a broker takes and is lost");
    }

    /// The background thread.
    fn run(self: &Arc<Self>) {
        let mut warned = false;
        while !self.stop.load(Relaxed) {
            let client = self.lock().client.clone();
            match client {
                Some(client) if !client.context().given_up.load(Relaxed) => {
                    client.poll(LISTEN);
                    let mut state = self.lock();
                    self.hand_over(&mut state);
                    let stalled = state.outbox.len() > 0 && state.last_progress.elapsed() > PATIENCE;
                    self.say(stalled, &mut warned, state.outbox.len(), client.context());
                }
                _ => self.rebuild(),
            }
        }
        // Dropped without the lock: what the client reports last needs it.
        let client = self.lock().client.take();
        drop(client);
    }

    fn say(&self, stalled: bool, warned: &mut bool, waiting: usize, events: &Events) {
        if stalled && !*warned {
            let last = events.last_error.lock().unwrap_or_else(PoisonError::into_inner).clone();
            let reason = last.unwrap_or_else(|| "no answer".into());
            tracing::warn!(broker = self.address, waiting, "the broker confirms nothing ({reason}); messages are kept");
        } else if !stalled && *warned {
            tracing::info!(broker = self.address, waiting, "the broker confirms messages again");
        }
        *warned = stalled;
    }

    /// A new client in the old one's place; everything unconfirmed is for it.
    fn rebuild(self: &Arc<Self>) {
        let (old, generation) = {
            let mut state = self.lock();
            state.generation += 1;
            (state.client.take(), state.generation)
        };
        // Without the lock: what it reports last needs it.
        drop(old);
        std::thread::sleep(REBUILD_PAUSE);
        match self.new_client(generation) {
            Ok(client) => {
                let mut state = self.lock();
                state.outbox.start_over();
                state.client = Some(Arc::new(client));
                self.hand_over(&mut state);
            }
            Err(error) => tracing::error!("cannot start the Kafka client anew, trying again: {error}"),
        }
    }
}

/// Hears what becomes of messages, for one client.
pub(crate) struct Events {
    /// Weak: the owner holds the client, which holds this.
    owner: Weak<Shared>,
    generation: u64,
    address: String,
    /// The client cannot go on.
    given_up: AtomicBool,
    last_error: Mutex<Option<String>>,
}

impl Events {
    /// For clients that send nothing.
    pub fn deaf(address: &str) -> Self {
        Self {
            owner: Weak::new(),
            generation: 0,
            address: address.into(),
            given_up: AtomicBool::new(false),
            last_error: Mutex::default(),
        }
    }

    fn give_up(&self, reason: &str) {
        if !self.given_up.swap(true, Relaxed) {
            tracing::warn!(broker = self.address, "the Kafka client cannot go on ({reason}); a new one sends the rest");
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
        let reason = if away { "no connection" } else { reason };
        *self.last_error.lock().unwrap_or_else(PoisonError::into_inner) = Some(reason.into());
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
        let mut state = owner.lock();
        match result {
            Ok(_) => {
                state.outbox.done(number);
                state.last_progress = Instant::now();
            }
            // Of a client that was replaced: its successor sends this message.
            Err(_) if state.generation != self.generation => return,
            Err((error, _)) => match error.rdkafka_error_code() {
                Some(RDKafkaErrorCode::PurgeQueue | RDKafkaErrorCode::PurgeInflight) => return,
                Some(RDKafkaErrorCode::MessageSizeTooLarge) => owner.drop_impossible(&mut state, number),
                _ => self.give_up(&error.to_string()),
            },
        }
        if state.outbox.len() == 0 {
            owner.empty.notify_all();
        }
    }
}

fn producer_settings(config: &BusConfig) -> ClientConfig {
    let mut settings = settings(config);
    settings
        .set("enable.idempotence", "true")
        .set("acks", "all")
        // Never given up for being late.
        .set("message.timeout.ms", "0")
        .set("request.timeout.ms", "10000")
        .set("retry.backoff.ms", "50")
        .set("retry.backoff.max.ms", "500")
        .set("linger.ms", "5")
        // What waits beyond this waits in the outbox alone, so that long outages need the memory once.
        .set("queue.buffering.max.messages", "20000")
        .set("queue.buffering.max.kbytes", "65536")
        // Twice what any node reads; the embedded broker takes no more than that.
        .set("message.max.bytes", "2000000");
    with_options(settings, config)
}

#[cfg(test)]
mod tests {
    use std::ffi::CString;

    use rdkafka::mocking::MockCluster;

    use super::*;
    use crate::{Brokers, Consumer, Start};

    #[test]
    fn a_fatal_error_loses_nothing() {
        let cluster = MockCluster::new(1).unwrap();
        cluster.create_topic("metrics", 1, 1).unwrap();
        let brokers = Brokers { address: cluster.bootstrap_servers(), embedded: true };
        let config = BusConfig { brokers, topic_prefix: String::new(), client_id: "test".into(), options: Vec::new() };
        let long = Duration::from_secs(30);
        let consumer = Consumer::new(&config, &[Topic::Metrics], |_, _| Start::Now, long).unwrap();
        let producer = Producer::new(&config, 1000).unwrap();
        let send =
            |numbers: std::ops::Range<u8>| numbers.for_each(|n| producer.send(Topic::Metrics, "", vec![n]).unwrap());
        send(0..10);
        let client = producer.shared.lock().client.clone().unwrap();
        let reason = CString::new("made up").unwrap();
        // SAFETY: the client lives, the text ends with a zero byte; the call only raises the error.
        unsafe {
            rdkafka::bindings::rd_kafka_test_fatal_error(
                client.client().native_ptr(),
                rdkafka::types::RDKafkaRespErr::RD_KAFKA_RESP_ERR_OUT_OF_ORDER_SEQUENCE_NUMBER,
                reason.as_ptr(),
            );
        }
        drop(client);
        send(10..20);
        assert!(producer.flush(long));
        let deadline = Instant::now() + long;
        let mut seen = std::collections::BTreeSet::new();
        while seen.len() < 20 {
            seen.extend(consumer.poll(Duration::from_millis(100)).map(|record| record.payload));
            assert!(Instant::now() < deadline, "{} of 20 came", seen.len());
        }
    }
}
