//! Sending without waiting and without losing: everything is kept until the broker has confirmed it.
//!
//! librdkafka sends in order and retries by itself for as long as it takes. What it gives up on nevertheless (a
//! fatal error, a topic that was away for long) is sent again by a new client, from the oldest that is
//! unconfirmed; and so is what it goes on waiting for though the broker answers others. So a receiver may see a message
//! twice.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use onrush_protocol::Topic;
use rdkafka::ClientConfig;
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};

use crate::asker::{Asker, View};
use crate::bell::{Bell, RingingQueue};
use crate::client::{Burial, bury, settings, with_options};
use crate::delivery::Events;
use crate::outbox::{Outbox, OutgoingMessage};
use crate::stamp::Stamp;
use crate::{BusConfig, BusError};

/// What all messages that wait may take together.
const MAX_WAITING_BYTES: usize = 256 * 1024 * 1024;
/// How long the background thread waits for librdkafka before it looks at the outbox again.
const LISTEN: Duration = Duration::from_millis(200);
/// Between the end of one client and the start of the next; doubled for each in a row that gets nothing confirmed.
const REBUILD_PAUSE: Duration = Duration::from_millis(100);
const MAX_REBUILD_PAUSE: Duration = Duration::from_secs(10);
/// Messages that wait this long without any confirmation are worth a warning.
const PATIENCE: Duration = Duration::from_secs(3);
/// A client that lived through an outage and gets nothing confirmed for so long is replaced.
const STUCK_AFTER_OUTAGE: Duration = Duration::from_secs(1);
/// The same where the broker was not away since; doubled for each in a row that gets nothing confirmed.
const STUCK: Duration = Duration::from_secs(10);
const MAX_DOUBLINGS: u32 = 7;

/// Sends, and keeps what it sends until the broker has confirmed it, however long that takes, in order and
/// without waiting. It survives the broker's death, its topics' and librdkafka's fatal errors (by starting anew and
/// sending again: receivers must not mind a message twice). Messages that wait are bounded by `max_waiting`, and by
/// 256 MiB.
///
/// Dropping it forgets what is unconfirmed: [`flush`](Self::flush) first.
pub struct Producer {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

pub(crate) struct Shared {
    asker: Arc<Asker>,
    topic_prefix: String,
    state: Mutex<State>,
    /// Told when the outbox became empty.
    empty: Condvar,
    /// Rung by librdkafka, and at the end.
    bell: Arc<Bell>,
    stop: AtomicBool,
}

pub(crate) struct State {
    pub outbox: Outbox,
    client: Option<Arc<Client>>,
    /// Counts the clients: what an earlier one still reports is known by its number.
    pub generation: u64,
    /// Something was confirmed since the last client was made.
    pub was_confirmed: bool,
    pub stamp: Stamp,
}

struct Client {
    /// Before the client: it is one of its queues.
    queue: RingingQueue,
    inner: BaseProducer<Events>,
    /// Which broker it is for, as [`View::broker`] counts.
    broker: u64,
    /// As [`View::clock_setbacks`] counts.
    clock_setbacks: u64,
    since: Instant,
}

impl Producer {
    /// A producer; the broker may come later.
    pub fn new(config: &BusConfig, max_waiting: usize) -> Result<Self, BusError> {
        crate::check_topic_prefix(&config.topic_prefix)?;
        Self::bounded(config, max_waiting, MAX_WAITING_BYTES)
    }

    fn bounded(config: &BusConfig, max_waiting: usize, max_bytes: usize) -> Result<Self, BusError> {
        let state = State {
            outbox: Outbox::new(max_waiting, max_bytes),
            client: None,
            generation: 0,
            was_confirmed: false,
            stamp: Stamp::now(),
        };
        let shared = Arc::new(Shared {
            asker: Asker::of(config)?,
            topic_prefix: config.topic_prefix.clone(),
            state: Mutex::new(state),
            empty: Condvar::new(),
            bell: Arc::default(),
            stop: AtomicBool::new(false),
        });
        // The first client is made here, so that a wrong setting is an error of this call.
        let client = shared.new_client(0)?;
        shared.lock().client = Some(Arc::new(client));
        let theirs = shared.clone();
        let run = move || theirs.run();
        let thread = std::thread::Builder::new().name("bus-producer".into()).spawn(run).map_err(BusError::thread)?;
        Ok(Self { shared, thread: Some(thread) })
    }

    /// Takes a message. It fails only where too much waits already; the message is then not taken.
    pub fn send(&self, topic: Topic, key: &str, payload: Vec<u8>) -> Result<(), BusError> {
        let mut state = self.shared.lock();
        let message = OutgoingMessage { topic, key: key.into(), payload };
        if !state.outbox.take(message) {
            let (waiting, waiting_bytes) = (state.outbox.len(), state.outbox.bytes());
            let address = self.shared.asker.view().address.clone();
            return Err(BusError::OutboxFull { address, waiting, waiting_bytes });
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
        self.shared.bell.ring();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Client {
    /// Lets librdkafka tell what became of messages.
    fn serve(&self) {
        loop {
            self.inner.poll(Duration::ZERO);
            if self.queue.is_empty() {
                return;
            }
        }
    }
}

impl Shared {
    pub fn lock(&self) -> MutexGuard<'_, State> {
        // A panic elsewhere leaves nothing half done here.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn tell_if_empty(&self) {
        if self.lock().outbox.len() == 0 {
            self.empty.notify_all();
        }
    }

    /// The broker refuses this machine's clock.
    pub fn doubt_clock(&self) {
        self.asker.doubt_clock();
    }

    fn new_client(self: &Arc<Self>, generation: u64) -> Result<Client, BusError> {
        let view = self.asker.view();
        let events = Events::new(Arc::downgrade(self), generation, &view.address);
        let settings = producer_settings(&self.asker.config());
        let inner: BaseProducer<Events> = settings.create_with_context(events).map_err(BusError::client)?;
        // SAFETY: the queue stands before the client in the value that is made here.
        let queue = unsafe { RingingQueue::main(inner.client().native_ptr(), &self.bell) };
        let (broker, clock_setbacks) = (view.broker, view.clock_setbacks);
        Ok(Client { queue, inner, broker, clock_setbacks, since: Instant::now() })
    }

    /// Gives the client what it does not have yet, as far as it takes it. Never waits.
    fn hand_over(&self, state: &mut State) {
        let Some(client) = state.client.clone() else { return };
        let stamp = state.stamp.unix_ms();
        while let Some((number, message)) = state.outbox.to_hand_over() {
            let topic = message.topic.full_name(&self.topic_prefix);
            let record = BaseRecord::with_opaque_to(&topic, number).key(&message.key).payload(&message.payload);
            let Err((error, _)) = client.inner.send(record.timestamp(stamp)) else {
                state.outbox.handed_over(number);
                continue;
            };
            match error.rdkafka_error_code() {
                // The background thread goes on when the client has room again.
                Some(RDKafkaErrorCode::QueueFull) => return,
                Some(RDKafkaErrorCode::MessageSizeTooLarge) => self.drop_impossible(state, number),
                _ => {
                    client.inner.context().give_up(&error.to_string());
                    self.bell.ring();
                    return;
                }
            }
        }
    }

    /// No broker would ever take this message, and everything behind it would wait for ever.
    pub fn drop_impossible(&self, state: &mut State, number: usize) {
        state.outbox.done(number);
        tracing::error!(broker = self.asker.view().address, "a message is larger than a broker takes and is lost");
    }

    /// The background thread.
    fn run(self: &Arc<Self>) {
        let mut voice = Voice::default();
        let mut vain = 0;
        let mut last_lap = Instant::now();
        while !self.stop.load(Relaxed) {
            if std::mem::replace(&mut last_lap, Instant::now()).elapsed() > PATIENCE {
                // It was this process that stood still, not the broker.
                self.lock().outbox.forgive();
            }
            let client = self.lock().client.clone();
            match client {
                Some(client) if !self.is_to_be_replaced(&client, vain, &mut voice) => {
                    client.serve();
                    let mut state = self.lock();
                    self.hand_over(&mut state);
                    if std::mem::take(&mut state.was_confirmed) {
                        vain = 0;
                    }
                    let stalled = state.outbox.len() > 0 && state.outbox.oldest_since().elapsed() > PATIENCE;
                    voice.say(stalled, state.outbox.len(), client.inner.context(), &self.asker);
                    drop(state);
                    self.bell.wait(LISTEN);
                }
                client => {
                    drop(client);
                    self.rebuild(vain);
                    vain += 1;
                }
            }
        }
        // Dropped without the lock: what the client reports last needs it.
        let client = self.lock().client.take();
        drop(client);
    }

    fn is_to_be_replaced(&self, client: &Client, vain: u32, voice: &mut Voice) -> bool {
        let view = self.asker.view();
        let events = client.inner.context();
        if events.has_given_up() {
            voice.give_up(&events.last_error().unwrap_or_default(), &view.address);
            return true;
        }
        if (client.broker, client.clock_setbacks) != (view.broker, view.clock_setbacks) {
            return true;
        }
        let (waiting, oldest_since) = {
            let state = self.lock();
            (state.outbox.len(), state.outbox.oldest_since())
        };
        let is_stuck = waiting > 0 && is_stuck(&view, oldest_since, client.since, vain, Instant::now());
        if is_stuck {
            voice.give_up("the broker answers, and confirms nothing", &view.address);
        }
        is_stuck
    }

    /// A new client in the old one's place; everything unconfirmed is for it.
    fn rebuild(self: &Arc<Self>, vain: u32) {
        let (old, generation) = {
            let mut state = self.lock();
            state.generation += 1;
            (state.client.take(), state.generation)
        };
        // Without the lock: what it reports last needs it.
        let burial = bury(old);
        let pause = (REBUILD_PAUSE * (1 << vain.min(MAX_DOUBLINGS))).min(MAX_REBUILD_PAUSE);
        let ready = Instant::now() + pause;
        while !self.stop.load(Relaxed) && (Instant::now() < ready || !Burial::is_over(&burial)) {
            self.bell.wait(Duration::from_millis(20));
        }
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

/// Whether a client that was made at `made` is stuck, when its oldest message is unconfirmed since `oldest_since`, given
/// what the broker says to others. One that lived through an outage may get stuck a little later: it is given less time.
fn is_stuck(view: &View, oldest_since: Instant, made: Instant, vain: u32, now: Instant) -> bool {
    match view.reachable_since {
        None => false,
        Some(back) if back > made => now.saturating_duration_since(back.max(oldest_since)) >= STUCK_AFTER_OUTAGE,
        Some(_) => now.saturating_duration_since(made.max(oldest_since)) >= STUCK * (1 << vain.min(MAX_DOUBLINGS)),
    }
}

/// What the background thread says, each once until something is confirmed.
#[derive(Default)]
struct Voice {
    stalled: bool,
    given_up: Option<String>,
}

impl Voice {
    fn say(&mut self, stalled: bool, waiting: usize, events: &Events, asker: &Asker) {
        let broker = &asker.view().address;
        if stalled && !self.stalled {
            let reason = events.last_error().unwrap_or_else(|| "no answer".into());
            tracing::warn!(broker, waiting, "the broker confirms nothing ({reason}); messages are kept");
        } else if !stalled && self.stalled {
            tracing::info!(broker, waiting, "the broker confirms messages again");
        }
        self.stalled = stalled;
        if waiting == 0 {
            self.given_up = None;
        }
    }

    fn give_up(&mut self, reason: &str, broker: &str) {
        if self.given_up.as_deref() != Some(reason) {
            tracing::warn!(broker, "the Kafka client cannot go on ({reason}); a new one sends the rest");
            self.given_up = Some(reason.into());
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
#[path = "producer_tests.rs"]
mod tests;
