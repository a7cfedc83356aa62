//! The brain: one thread that owns every test and every driver.
//!
//! It takes what comes (commands, heartbeats, reports, the clock), lets [`Core`] decide, and makes the decisions of
//! each batch one transaction. Where the store fails, everything in memory is thrown away and built anew from the
//! store: the batch did not happen, and its messages are read again from the offsets that are stored.

mod ask_target;
mod command;
mod commit;
mod deleting;
mod places;
mod waiting;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use onrush_api::TestView;
use onrush_bus::{BrokerWatch, BusConfig, BusError, Place, Producer, Start};
use onrush_protocol::{TestId, Topic};
use rusqlite::Connection;
use tokio::sync::{broadcast, mpsc, oneshot};
use tokio::time::{MissedTickBehavior, interval, timeout};

pub use command::{Command, Totalled};

use crate::actor::Actor;
use crate::capacity::{CapacitySearch, SearchedSecond};
use crate::clock::{Clock, Now};
use crate::core::{Core, DriverMessage, Seats, StoredTest};
use crate::export::{Export, Live, TestSeries};
use crate::intake::{Intake, News};
use crate::problem::Problem;
use crate::state::TestState;
use crate::store::{self, Retention, Store, StoreError, Stored, StoredSearch};
use crate::trouble::Trouble;
use crate::updates::Update;

/// How often the passing of time is noticed.
const TICK: Duration = Duration::from_millis(100);
/// Messages in one transaction.
const BATCH: usize = 64;
/// Pause before everything is built anew.
const RETRY: Duration = Duration::from_secs(1);
/// How long the broker is waited for when joining the topics, which it has just answered about.
const JOIN_TIMEOUT: Duration = Duration::from_secs(5);
/// Heartbeats that lie at the broker for so long and are not read are no silence.
const DEAF_AFTER: Duration = Duration::from_secs(4);
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
    #[error("cannot start the orchestrator's main loop: {0}")]
    Runtime(std::io::Error),
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
    /// Which tests are kept.
    pub retention: Retention,
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

use command::Held;
use deleting::Cleaning;
use places::Places;

/// What was read of which partition: the next offset.
type Offsets = HashMap<(Topic, Arc<str>, i32), i64>;

type TriggerWaiter = oneshot::Sender<Result<TestView, Problem>>;

/// The brain's thread.
pub struct Brain {
    config: BrainConfig,
    source: String,
    producer: Producer,
    watch: BrokerWatch,
    clock: Clock,
    /// Since when the broker answers, as the watch says it and on this clock.
    reachable: Option<(Instant, Instant)>,
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
    held: Vec<Held>,
    cleaning: Cleaning,
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
            clock: Clock::start(),
            reachable: None,
            config,
            sent: 0,
            confirmed: 0,
            unsent: true,
            snapshots: HashMap::new(),
            updates: HashMap::new(),
            waiters: HashMap::new(),
            held: Vec::new(),
            cleaning: Cleaning::default(),
            own_commands: commands.0,
            commands: commands.1,
            export,
            stop,
        })
    }

    /// Runs until it is told to stop. `ready` hears that it began, or that it waits for the broker, or why it cannot.
    pub async fn run(mut self, ready: oneshot::Sender<Result<(), BrainError>>) {
        let (mut ready, mut has_begun, mut is_away) = (Some(ready), false, true);
        // Nobody may be waiting for this any more.
        let mut tell = |result| ready.take().is_some_and(|ready| ready.send(result).is_ok());
        loop {
            let is_there = match is_away {
                true => self.await_broker(|| _ = tell(Ok(()))).await,
                false => Ok(true),
            };
            let ended = match is_there {
                Ok(false) => return,
                Err(error) => Err(error),
                Ok(true) => match self.begin() {
                    Ok(life) => {
                        self.config.trouble.is_over();
                        has_begun = true;
                        tell(Ok(()));
                        self.live(life).await
                    }
                    Err(error) => Err(error),
                },
            };
            let Err(error) = ended else { return };
            is_away = matches!(&error, BrainError::Bus(error) if waiting::may_pass(error));
            if is_away {
                // It went away between two questions.
                tell(Ok(()));
                tracing::warn!("waiting for the broker: {error}");
                continue;
            }
            let problem = Problem::Unavailable(format!(
                "{error}; the orchestrator begins anew from its store, try again in a moment"
            ));
            if !has_begun {
                tracing::error!("the orchestrator cannot begin: {error}");
                tell(Err(error));
                return;
            }
            self.config.trouble.note(&error);
            self.waiters.clear();
            if self.pause(RETRY, &problem).await {
                return;
            }
        }
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
        let now = self.clock.now();
        let (mut tests, mut watches, mut limits) = (Vec::new(), Vec::new(), Vec::new());
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
            watches.extend(
                store::watch(store.connection(), &record, &aggregate)?.map(|watch| (record.test_id.clone(), watch)),
            );
            limits.extend(store::limits(store.connection(), &record)?.map(|limits| (record.test_id.clone(), limits)));
            series.update_medians(|node_id| aggregate.driver(node_id).map(|driver| &driver.part));
            if record.state == TestState::Running {
                self.export.resume(series);
            }
            tests.push((record, aggregate));
        }
        let connection = store.connection();
        let published = store::last_published_order(connection)?;
        let any_open = !tests.is_empty();
        let mut core = Core::new(self.config.seats, store::drivers(connection)?, tests, published, now);
        watches.into_iter().for_each(|(test_id, watch)| core.watch_from(&test_id, watch));
        limits.into_iter().for_each(|(test_id, limits)| core.limits_from(&test_id, limits));
        resume_searches(&mut store, &mut core, now)?;
        let connection = store.connection();
        let places = Places::read(connection, &self.source, any_open)?;
        let bus = &self.config.bus;
        let heartbeats = Intake::start(bus, &[Topic::Heartbeat], |_| Start::Now, None, JOIN_TIMEOUT)?;
        let mut marker = self.config.store.as_os_str().to_owned();
        marker.push(".reading");
        let topics = [Topic::Register, Topic::Metrics];
        let start = |place: &Place<'_>| places.start(place);
        let reports = Intake::start(bus, &topics, start, Some(Path::new(&marker)), JOIN_TIMEOUT)?;
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
                    Some(command) => self.command_or_hold(&mut life, command)?,
                },
                heartbeat = life.heartbeats.messages.recv() => {
                    let heartbeat = heartbeat.ok_or(BrainError::IntakeEnded)?;
                    self.take(&mut life, heartbeat, &mut Offsets::new())?;
                }
                report = life.reports.messages.recv() => batch.push(report.ok_or(BrainError::IntakeEnded)?),
                _ = ticks.tick() => {
                    if self.stop.load(Ordering::Relaxed) {
                        return self.finish(life);
                    }
                    self.confirm(&mut life)?;
                    self.release_held(&mut life)?;
                    let now = self.now(&mut life);
                    self.clean_up(&mut life, now)?;
                    self.show(&life);
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

    /// Reads the clock; where this thread did not run for a while, nobody is judged by that time.
    fn now(&mut self, life: &mut Life) -> Now {
        let now = self.clock.now();
        if let Some(gap) = self.clock.take_gap() {
            life.core.woke(gap, now);
        }
        now
    }

    /// Since when the broker answers, on this thread's clock; `None` also while heartbeats that it has are not read, for
    /// whatever reason: nobody is silent then.
    fn reachable_since(&mut self, life: &Life) -> Option<Instant> {
        let since = self.watch.reachable_since()?;
        if life.heartbeats.current_as_of().elapsed() > DEAF_AFTER {
            return None;
        }
        // One outage has one end, however much is left out of the clock afterwards.
        match self.reachable {
            Some((known, own)) if known == since => Some(own),
            _ => {
                let own = self.clock.own(since);
                self.reachable = Some((since, own));
                Some(own)
            }
        }
    }

    /// Shows Prometheus what changes with time.
    fn show(&mut self, life: &Life) {
        let now = self.clock.now();
        let mut drivers = life.core.registry.glimpses(now);
        drivers.iter_mut().for_each(|driver| driver.heard_at = self.clock.real(driver.heard_at));
        self.export.live(Live {
            drivers,
            reports: life.core.reports,
            skipped: life.core.skips.iter().collect(),
            broker_reachable: self.watch.reachable_since().is_some(),
        });
    }

    /// Takes what the broker brought, and notes the offset behind it.
    fn take(&mut self, life: &mut Life, news: News, offsets: &mut Offsets) -> Result<(), BrainError> {
        let now = self.now(life);
        let arrived = match news {
            News::Skipped(skipped) => {
                life.core.give_up(&skipped, now);
                return Ok(());
            }
            News::Arrived(arrived) => arrived,
        };
        offsets.insert((arrived.topic, arrived.topic_id, arrived.partition), arrived.offset + 1);
        if arrived.topic == Topic::Metrics
            && let Some(sent_unix_ms) = arrived.timestamp_unix_ms
        {
            self.export.delivered(now.unix_ms - sent_unix_ms as f64);
        }
        if let Some(test_id) = arrived.message.as_ref().ok().and_then(DriverMessage::speaks_of)
            && life.core.lacks(test_id)
        {
            recall(life, &test_id.clone(), now)?;
        }
        life.core.take(arrived.topic, arrived.message, self.clock.own(arrived.at), now);
        Ok(())
    }

    /// Takes a batch, draws the conclusions, makes it one transaction.
    fn step(&mut self, life: &mut Life, batch: Vec<News>) -> Result<(), BrainError> {
        // Whoever was heard meanwhile is not silent. Nobody reads heartbeats on from where he was.
        for _ in 0..BATCH {
            let Ok(heartbeat) = life.heartbeats.messages.try_recv() else { break };
            self.take(life, heartbeat, &mut Offsets::new())?;
        }
        let mut offsets = Offsets::new();
        for report in batch {
            self.take(life, report, &mut offsets)?;
        }
        let caught_up = life.reports.messages.is_empty() && life.heartbeats.messages.is_empty();
        let now = self.now(life);
        let reachable_since = self.reachable_since(life);
        life.core.settle(reachable_since, caught_up, now);
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

/// Makes the capacity searches anew of the sealed seconds of their tests. One that cannot be ends with its test.
fn resume_searches(store: &mut Store, core: &mut Core, now: Now) -> Result<(), StoreError> {
    for (test_id, stored) in store::open_searches(store.connection())? {
        let why = match resumed_search(store.connection(), core, &test_id, stored) {
            Ok(search) => {
                core.search_from(test_id, search);
                continue;
            }
            Err(StoreError::BadValue(why)) => why,
            Err(error) if error.is_unreadable() => store::reason(&error),
            Err(error) => return Err(error),
        };
        store.give_up_search(&test_id, &why, now)?;
        if core.test(&test_id).is_some() {
            // It is open, so that nothing is refused.
            let _ = core.stop(&test_id, &Actor::NOBODY, now);
        }
    }
    Ok(())
}

fn resumed_search(
    connection: &Connection,
    core: &Core,
    test_id: &TestId,
    stored: StoredSearch,
) -> Result<CapacitySearch, StoreError> {
    let bad = |why: &str| StoreError::BadValue(why.to_owned());
    let test = core.test(test_id).ok_or_else(|| bad("its test is over"))?;
    let goal = stored.goal.ok_or_else(|| bad(stored.reason.as_deref().unwrap_or("its goal cannot be read")))?;
    let mut search = CapacitySearch::new(goal).map_err(|error| bad(&error.to_string()))?;
    store::each_second(connection, test_id.as_str(), |second, latency| {
        search.enter(SearchedSecond::of(&test.record, search.slo(), second, latency));
        // What it wanted then is among the changes of its test; what it wants now is asked for when the test goes on.
        search.advance(&test.record);
    })?;
    Ok(search)
}

/// Reads from the store what it has of a test that is not open.
fn recall(life: &mut Life, test_id: &TestId, now: Now) -> Result<(), BrainError> {
    let stored = match past_test(life.store.connection(), test_id, now) {
        // Reading it again would bring nothing else, and must not keep the brain from everything else.
        Err(error) if error.is_unreadable() => {
            tracing::error!(test = %test_id, %error, "what the store has of it cannot be read; reports of it are skipped");
            None
        }
        read => read?,
    };
    life.core.recall(test_id, stored, now);
    Ok(())
}

/// A test that is over.
fn past_test(connection: &Connection, test_id: &TestId, now: Now) -> Result<Option<StoredTest>, StoreError> {
    let Some(Stored::Whole(record)) = store::test(connection, test_id.as_str())? else { return Ok(None) };
    let followed = store::triggered_since(connection, record.triggered_unix_ms)?;
    let aggregate = match Core::may_lack_reports(&record) {
        true => Some(store::open_aggregate(connection, &record, now, |_, _| ())?),
        false => None,
    };
    Ok(Some(StoredTest { record: *record, aggregate, followed }))
}

/// Runs the brain on the thread that calls this.
pub fn run(
    config: BrainConfig,
    commands: (mpsc::Sender<Command>, mpsc::Receiver<Command>),
    export: Export,
    stop: Arc<AtomicBool>,
    ready: oneshot::Sender<Result<(), BrainError>>,
) {
    // Nothing but a timer.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().map_err(BrainError::Runtime);
    let begun = runtime.and_then(|runtime| Ok((runtime, Brain::new(config, commands, export, stop)?)));
    match begun {
        Ok((runtime, brain)) => runtime.block_on(brain.run(ready)),
        Err(error) => drop(ready.send(Err(error))),
    }
}

/// Waits for an answer of the brain.
pub async fn answer<T>(reply: oneshot::Receiver<T>, patience: Duration) -> Option<T> {
    timeout(patience, reply).await.ok()?.ok()
}

#[cfg(test)]
mod tests;
