//! The brain: one thread that owns every test and every driver.
//!
//! It takes what comes (commands, heartbeats, reports, the clock), lets [`Core`] decide, and makes the decisions of
//! each batch one transaction. Where the store fails, everything in memory is thrown away and built anew from the
//! store: the batch did not happen, and its messages are read again from the offsets that are stored.

mod command;
mod commit;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use onrush_bus::{BrokerWatch, BusConfig, BusError, Producer, Start};
use onrush_protocol::{TestId, Topic};
use tokio::sync::{broadcast, mpsc, oneshot};
use tokio::time::{MissedTickBehavior, interval, timeout};

pub use command::{Command, Totalled};

use crate::clock::Now;
use crate::core::{Core, Seats};
use crate::export::{Export, Live, TestSeries};
use crate::handle::{Problem, Update};
use crate::intake::{Arrived, Intake};
use crate::store::{self, Store, StoreError, Stored};
use crate::trouble::Trouble;
use crate::view::{TestState, TestView};

/// How often the passing of time is noticed.
const TICK: Duration = Duration::from_millis(100);
/// Messages in one transaction.
const BATCH: usize = 64;
/// Pause before everything is built anew.
const RETRY: Duration = Duration::from_secs(1);
/// How long the broker is waited for when joining the topics.
const JOIN_TIMEOUT: Duration = Duration::from_secs(30);
/// What the broker has not confirmed at the end is waited for this long; the outbox keeps it.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(3);
/// Messages that the producer holds; more wait in the outbox.
const MAX_WAITING: usize = 10_000;

/// What ends a life of the brain.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the messages say it")]
pub enum BrainError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Bus(#[from] BusError),
    #[error("the thread that reads the topics ended")]
    IntakeEnded,
}

/// How the brain runs.
#[derive(Clone, Debug)]
pub struct BrainConfig {
    /// The topics.
    pub bus: BusConfig,
    /// The SQLite file.
    pub store: PathBuf,
    /// How many drivers.
    pub seats: Seats,
    /// Where it says what keeps it from its work.
    pub trouble: Trouble,
}

impl BrainConfig {
    /// Tells this broker's offsets from another's. A broker within a process begins anew on another port.
    fn source(&self) -> String {
        let broker = if self.bus.brokers.embedded { self.bus.brokers.address.as_str() } else { "kafka" };
        format!("{broker}/{}", self.bus.topic_prefix)
    }
}

type TriggerWaiter = oneshot::Sender<Result<TestView, Problem>>;

/// The brain's thread.
pub struct Brain {
    config: BrainConfig,
    source: String,
    producer: Producer,
    watch: BrokerWatch,
    /// The messages of the outbox up to here were handed to the producer.
    sent: i64,
    /// The messages of the outbox up to here are confirmed and gone.
    confirmed: i64,
    /// Whether the outbox may hold messages behind `sent`.
    unsent: bool,
    /// When the next snapshot of a running test is due.
    snapshots: HashMap<TestId, Instant>,
    updates: HashMap<TestId, broadcast::Sender<Update>>,
    waiters: HashMap<TestId, TriggerWaiter>,
    commands: mpsc::Receiver<Command>,
    /// For the threads that ask targets.
    own_commands: mpsc::Sender<Command>,
    /// What Prometheus is shown.
    export: Export,
    stop: Arc<AtomicBool>,
}

/// What one life of the brain owns.
struct Life {
    store: Store,
    core: Core,
    reports: Intake,
    heartbeats: Intake,
}

impl Brain {
    /// Joins the topics as a sender. Blocks.
    pub fn new(
        config: BrainConfig,
        commands: (mpsc::Sender<Command>, mpsc::Receiver<Command>),
        export: Export,
        stop: Arc<AtomicBool>,
    ) -> Result<Self, BrainError> {
        Ok(Self {
            source: config.source(),
            producer: Producer::new(&config.bus, MAX_WAITING)?,
            watch: BrokerWatch::start(&config.bus)?,
            config,
            sent: 0,
            confirmed: 0,
            unsent: true,
            snapshots: HashMap::new(),
            updates: HashMap::new(),
            waiters: HashMap::new(),
            own_commands: commands.0,
            commands: commands.1,
            export,
            stop,
        })
    }

    /// Runs until it is told to stop. `ready` hears whether it could begin.
    pub async fn run(mut self, ready: oneshot::Sender<Result<(), BrainError>>) {
        let mut ready = Some(ready);
        loop {
            let ended = match self.begin() {
                Ok(life) => {
                    self.config.trouble.is_over();
                    if let Some(ready) = ready.take() {
                        let _ = ready.send(Ok(()));
                    }
                    self.live(life).await
                }
                Err(error) => Err(error),
            };
            let Err(error) = ended else { return };
            if let Some(ready) = ready.take() {
                let _ = ready.send(Err(error));
                return;
            }
            self.config.trouble.note(&error);
            self.waiters.clear();
            if self.pause().await {
                return;
            }
        }
    }

    /// Lets questions go unanswered for a while; whether it was told to stop.
    async fn pause(&mut self) -> bool {
        let deadline = tokio::time::Instant::now() + RETRY;
        while let Ok(Some(command)) = tokio::time::timeout_at(deadline, self.commands.recv()).await {
            if matches!(command, Command::Shutdown) {
                return true;
            }
        }
        self.stop.load(Ordering::Relaxed)
    }

    /// Builds everything from the store, and reads on from the stored offsets.
    fn begin(&mut self) -> Result<Life, BrainError> {
        let named = |error: StoreError| error.of_file(&self.config.store);
        let mut store = Store::open(&self.config.store).map_err(named)?;
        if self.config.trouble.text().is_some() {
            store.try_writing().map_err(named)?;
        }
        self.begin_with(store)
    }

    fn begin_with(&mut self, mut store: Store) -> Result<Life, BrainError> {
        let now = Now::read();
        let mut tests = Vec::new();
        for stored in store::open_tests(store.connection())? {
            let record = match stored {
                Stored::Whole(record) => *record,
                Stored::Unreadable(record) => {
                    store.give_up(&record.test_id, record.reason.as_deref().unwrap_or_default(), now)?;
                    continue;
                }
            };
            let mut series = TestSeries::new(&record, now.mono);
            let aggregate = store::open_aggregate(store.connection(), &record, now, |node_id, stats| {
                series.add([(node_id, stats)], stats);
            });
            let aggregate = match aggregate {
                Err(error) if error.is_unreadable() => {
                    store.give_up(&record.test_id, &store::reason(&error), now)?;
                    continue;
                }
                aggregate => aggregate?,
            };
            series.update_medians(|node_id| aggregate.driver(node_id).map(|driver| &driver.part));
            if record.state == TestState::Running {
                self.export.resume(series, &record);
            }
            tests.push((record, aggregate));
        }
        let connection = store.connection();
        let published = store::last_published_order(connection)?;
        let any_open = !tests.is_empty();
        let core = Core::new(self.config.seats, store::drivers(connection)?, tests, published, now);
        let mut stored = HashMap::new();
        for topic in [Topic::Register, Topic::Metrics] {
            stored.insert(topic, store::offsets(connection, &self.source, topic)?);
        }
        let start = |topic: Topic, partition: i32| match stored.get(&topic).and_then(|offsets| offsets.get(&partition))
        {
            Some(next) => Start::At(*next),
            // Who registered before us shows up at once. Reports matter only to a test of ours; if there is one and
            // no offset, then nothing of it was read.
            None if topic == Topic::Register || any_open => Start::Oldest,
            None => Start::Now,
        };
        let bus = &self.config.bus;
        let heartbeats = Intake::start(bus, &[Topic::Heartbeat], |_, _| Start::Now, JOIN_TIMEOUT)?;
        let reports = Intake::start(bus, &[Topic::Register, Topic::Metrics], start, JOIN_TIMEOUT)?;
        Ok(Life { store, core, reports, heartbeats })
    }

    /// One life, until it is told to stop or the store fails.
    async fn live(&mut self, mut life: Life) -> Result<(), BrainError> {
        let mut ticks = interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        self.unsent = true;
        loop {
            let mut batch = Vec::new();
            tokio::select! {
                command = self.commands.recv() => match command {
                    None | Some(Command::Shutdown) => return self.finish(life),
                    Some(command) => self.command(&mut life, command)?,
                },
                heartbeat = life.heartbeats.messages.recv() => {
                    let heartbeat = heartbeat.ok_or(BrainError::IntakeEnded)?;
                    life.core.take(heartbeat.topic, heartbeat.message, heartbeat.at, Now::read());
                }
                report = life.reports.messages.recv() => batch.push(report.ok_or(BrainError::IntakeEnded)?),
                _ = ticks.tick() => {
                    if self.stop.load(Ordering::Relaxed) {
                        return self.finish(life);
                    }
                    self.confirm(&mut life)?;
                    self.show(&life.core);
                }
            }
            while batch.len() < BATCH
                && let Ok(report) = life.reports.messages.try_recv()
            {
                batch.push(report);
            }
            self.step(&mut life, batch)?;
        }
    }

    /// Shows Prometheus what changes with time.
    fn show(&self, core: &Core) {
        self.export.live(Live {
            drivers: core.registry.glimpses(Now::read()),
            reports: core.reports,
            skipped: core.skips.iter().collect(),
            broker_reachable: self.watch.reachable_since().is_some(),
        });
    }

    /// Takes a batch, draws the conclusions, makes it one transaction.
    fn step(&mut self, life: &mut Life, batch: Vec<Arrived>) -> Result<(), BrainError> {
        // Whoever was heard meanwhile is not silent.
        for _ in 0..BATCH {
            let Ok(heartbeat) = life.heartbeats.messages.try_recv() else { break };
            life.core.take(heartbeat.topic, heartbeat.message, heartbeat.at, Now::read());
        }
        let mut offsets = HashMap::new();
        for arrived in batch {
            offsets.insert((arrived.topic, arrived.partition), arrived.offset + 1);
            let now = Now::read();
            if arrived.topic == Topic::Metrics
                && let Some(sent_unix_ms) = arrived.timestamp_unix_ms
            {
                self.export.delivered(now.unix_ms - sent_unix_ms as f64);
            }
            life.core.take(arrived.topic, arrived.message, arrived.at, now);
        }
        let caught_up = life.reports.messages.is_empty() && life.heartbeats.messages.is_empty();
        let now = Now::read();
        life.core.settle(self.watch.reachable_since(), caught_up, now);
        self.commit(life, offsets, now)
    }

    /// The end, in good order.
    fn finish(&mut self, mut life: Life) -> Result<(), BrainError> {
        self.step(&mut life, Vec::new())?;
        if self.producer.flush(FLUSH_TIMEOUT) {
            self.confirm(&mut life)?;
        } else {
            tracing::warn!("the broker has not confirmed every message; the rest is sent at the next start");
        }
        Ok(life.store.checkpoint()?)
    }
}

/// Runs the brain on the thread that calls this.
pub fn run(
    config: BrainConfig,
    commands: (mpsc::Sender<Command>, mpsc::Receiver<Command>),
    export: Export,
    stop: Arc<AtomicBool>,
    ready: oneshot::Sender<Result<(), BrainError>>,
) {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_time().build() {
        Ok(runtime) => runtime,
        Err(error) => unreachable!("a runtime with nothing but a timer needs nothing from outside: {error}"),
    };
    match Brain::new(config, commands, export, stop) {
        Ok(brain) => runtime.block_on(brain.run(ready)),
        Err(error) => {
            let _ = ready.send(Err(error));
        }
    }
}

/// Waits for an answer of the brain.
pub async fn answer<T>(reply: oneshot::Receiver<T>, patience: Duration) -> Option<T> {
    timeout(patience, reply).await.ok()?.ok()
}

#[cfg(test)]
mod tests;
