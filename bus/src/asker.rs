//! Who asks the broker, once a second, whether it lives, which topics it has and where they end.
//!
//! Producers, consumers and watches with the same settings share one, with a thread and a client of its own. It is what
//! they are judged by: who hears nothing while the asker sees that there is something to hear has a client that is
//! stuck, and gets a new one. The asker's own client is replaced as soon as a few questions in a row got no answer.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime};

use onrush_protocol::Topic;
use rdkafka::consumer::BaseConsumer;
use rdkafka::error::KafkaError;

use crate::admin::{self, Described, Oracle};
use crate::bell::Bell;
use crate::client::{Context, asking_client, bury};
use crate::topics::create;
use crate::{BusConfig, BusError};

/// Between two questions, and the longest wait for an answer.
const PERIOD: Duration = Duration::from_secs(1);
/// Questions in a row without an answer after which the asker's own client is replaced.
const MAX_FAILURES: u32 = 3;
/// Questions in a row without an answer before that is said: a single late answer is no outage.
const WORTH_SAYING: u32 = 2;
/// The wall clock was set back when it shows so much less than it should.
const SETBACK: Duration = Duration::from_millis(1_500);
/// A topic that was there is created again when it has been missing for so long: somebody may be about to do it.
const MISSING_AT_MOST: Duration = Duration::from_secs(2);
/// Between two attempts to create a topic again.
const CREATE_AGAIN: Duration = Duration::from_secs(10);

/// What the broker said last.
#[derive(Clone, Debug, Default)]
pub(crate) struct View {
    /// Where it is.
    pub address: String,
    /// Counts the brokers: an embedded one that is started again is another, somewhere else.
    pub broker: u64,
    /// How often the wall clock was set back: librdkafka's own waits that were under way then take so much longer, so
    /// that a client from before is as good as stuck.
    pub clock_setbacks: u64,
    /// Since when it has answered without a break; `None` while it does not.
    pub reachable_since: Option<Instant>,
    /// The topics that are there.
    pub topics: HashMap<Topic, TopicView>,
    /// When these were asked for.
    pub topics_asked: Option<Instant>,
    /// The offset that comes next in each partition that somebody reads.
    pub ends: HashMap<(Topic, i32), i64>,
    /// When these were asked for: everything that was sent before is below them.
    pub ends_asked: Option<Instant>,
}

/// A topic at the broker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TopicView {
    /// Which topic of this name it is; empty where the broker does not tell.
    pub id: Arc<str>,
    pub partitions: i32,
}

/// Asks until the last of its users drops it.
pub(crate) struct Asker {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

struct Shared {
    config: BusConfig,
    view: Mutex<Arc<View>>,
    /// Whose ends are asked for: topics, by who reads them.
    readers: Mutex<HashMap<u64, Vec<Topic>>>,
    next_reader: AtomicU64,
    stop: AtomicBool,
    /// Somebody cannot wait for the next question.
    hurry: AtomicBool,
    /// The broker refuses this machine's clock: by how much it is wrong is to be said.
    clock_doubted: AtomicBool,
    bell: Arc<Bell>,
}

/// Those that run in this process.
static ASKERS: Mutex<Vec<Weak<Asker>>> = Mutex::new(Vec::new());

impl Asker {
    /// The one for these settings.
    pub fn of(config: &BusConfig) -> Result<Arc<Self>, BusError> {
        let mut askers = ASKERS.lock().unwrap_or_else(PoisonError::into_inner);
        askers.retain(|asker| asker.strong_count() > 0);
        let found = askers.iter().filter_map(Weak::upgrade).find(|asker| asker.shared.config == *config);
        if let Some(found) = found {
            return Ok(found);
        }
        let asker = Arc::new(Self::start(config)?);
        askers.push(Arc::downgrade(&asker));
        Ok(asker)
    }

    fn start(config: &BusConfig) -> Result<Self, BusError> {
        let client = asking_client(config, false)?;
        let view = View { address: config.brokers.address.clone(), ..View::default() };
        let shared = Arc::new(Shared {
            config: config.clone(),
            view: Mutex::new(Arc::new(view)),
            readers: Mutex::default(),
            next_reader: AtomicU64::new(0),
            stop: AtomicBool::new(false),
            hurry: AtomicBool::new(false),
            clock_doubted: AtomicBool::new(false),
            bell: Arc::default(),
        });
        let mut asking = Asking::new(shared.clone(), client);
        let run = move || asking.run();
        let thread = std::thread::Builder::new().name("kafka-asker".into()).spawn(run).map_err(BusError::thread)?;
        Ok(Self { shared, thread: Some(thread) })
    }

    /// What the broker said last.
    pub fn view(&self) -> Arc<View> {
        self.shared.lock_view().clone()
    }

    /// The settings, with the address where the broker is now.
    pub fn config(&self) -> BusConfig {
        self.shared.config_at(&self.view().address)
    }

    /// Asks at once, or as soon as the present question is over.
    pub fn ask_now(&self) {
        self.shared.hurry.store(true, Relaxed);
        self.shared.bell.ring();
    }

    /// Finds out and says by how much this machine's clock differs from that of the others.
    pub fn doubt_clock(&self) {
        self.shared.clock_doubted.store(true, Relaxed);
    }

    /// Asks for the ends of these topics for as long as the result lives.
    pub fn read(self: Arc<Self>, topics: &[Topic]) -> Reading {
        let number = self.shared.next_reader.fetch_add(1, Relaxed);
        self.shared.readers.lock().unwrap_or_else(PoisonError::into_inner).insert(number, topics.to_vec());
        Reading { asker: self, number }
    }
}

impl Drop for Asker {
    fn drop(&mut self) {
        self.shared.stop.store(true, Relaxed);
        self.shared.bell.ring();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Somebody reads topics.
pub(crate) struct Reading {
    asker: Arc<Asker>,
    number: u64,
}

impl std::ops::Deref for Reading {
    type Target = Asker;

    fn deref(&self) -> &Asker {
        &self.asker
    }
}

impl Drop for Reading {
    fn drop(&mut self) {
        self.asker.shared.readers.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.number);
    }
}

impl Shared {
    fn lock_view(&self) -> MutexGuard<'_, Arc<View>> {
        self.view.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn config_at(&self, address: &str) -> BusConfig {
        let mut config = self.config.clone();
        config.brokers.address = address.into();
        config
    }
}

/// The thread's own.
struct Asking {
    shared: Arc<Shared>,
    client: BaseConsumer<Context>,
    oracle: Oracle,
    /// Whether it ever answered.
    has_answered: bool,
    /// The full name of every topic.
    names: Vec<(Topic, String)>,
    failures: u32,
    /// One moment on both clocks.
    clocks: (Instant, SystemTime),
    /// Since when the broker has not answered, once that was said.
    away: Option<Instant>,
    /// Topics that were there and are not: since when, and when to create them (again).
    missing: HashMap<Topic, Instant>,
}

impl Asking {
    fn new(shared: Arc<Shared>, client: BaseConsumer<Context>) -> Self {
        let name = |topic: Topic| (topic, topic.full_name(&shared.config.topic_prefix));
        let names = Topic::ALL.into_iter().map(name).collect();
        let oracle = Oracle::of(&shared.config);
        let clocks = (Instant::now(), SystemTime::now());
        let (has_answered, failures, away, missing) = (false, 0, None, HashMap::new());
        Self { shared, client, oracle, has_answered, names, failures, clocks, away, missing }
    }

    fn run(&mut self) {
        while !self.shared.stop.load(Relaxed) {
            self.compare_clocks();
            let asked = Instant::now();
            match self.ask() {
                Ok((topics, ends)) => self.answered(asked, &topics, ends),
                Err(error) => self.unanswered(asked, &error),
            }
            let next = asked + PERIOD;
            let is_wanted = || self.shared.stop.load(Relaxed) || self.shared.hurry.swap(false, Relaxed);
            while !is_wanted() && Instant::now() < next {
                self.shared.bell.wait(next.saturating_duration_since(Instant::now()));
            }
        }
    }

    fn compare_clocks(&mut self) {
        let now = (Instant::now(), SystemTime::now());
        let (then, wall_then) = std::mem::replace(&mut self.clocks, now);
        let expected = wall_then + now.0.saturating_duration_since(then);
        let Ok(back) = expected.duration_since(now.1) else { return };
        if back > SETBACK {
            tracing::warn!("the wall clock was set back by {} s", back.as_secs());
            let mut view = self.shared.lock_view();
            let clock_setbacks = view.clock_setbacks + 1;
            *view = Arc::new(View { clock_setbacks, ..View::clone(&view) });
            drop(view);
            self.replace_client();
        }
    }

    fn ask(&self) -> Result<(Vec<Described>, Ends), KafkaError> {
        let names: Vec<String> = self.names.iter().map(|(_, name)| name.clone()).collect();
        let topics = admin::describe(&self.client, self.oracle, &names, PERIOD, &self.shared.bell)?;
        let read: Vec<Topic> = {
            let readers = self.shared.readers.lock().unwrap_or_else(PoisonError::into_inner);
            Topic::ALL.into_iter().filter(|topic| readers.values().flatten().any(|read| read == topic)).collect()
        };
        let is_read = |found: &&Described| {
            found.usable && self.names.iter().any(|(topic, name)| *name == found.name && read.contains(topic))
        };
        let partitions = partitions_of(topics.iter().filter(is_read));
        let asked = Instant::now();
        // Without them the broker lives all the same.
        let ends = admin::ends(&self.client, &partitions, PERIOD, &self.shared.bell)
            .inspect_err(|error| tracing::debug!(broker = self.address(), "where topics end: {error}"));
        Ok((topics, ends.ok().map(|ends| (asked, ends))))
    }

    fn address(&self) -> String {
        self.shared.lock_view().address.clone()
    }

    fn answered(&mut self, asked: Instant, topics: &[Described], ends: Ends) {
        (self.failures, self.has_answered) = (0, true);
        let before = self.shared.lock_view().clone();
        if let Some(since) = self.away.take() {
            let away_s = since.elapsed().as_secs();
            tracing::info!(broker = before.address, "the broker answers again, after {away_s} s");
        }
        let topic_of = |name: &str| self.names.iter().find(|(_, full)| full == name).map(|(topic, _)| *topic);
        let mut view = View::clone(&before);
        view.reachable_since = view.reachable_since.or(Some(asked));
        view.topics = topics
            .iter()
            .filter(|found| found.partitions > 0)
            .filter_map(|found| {
                let partitions = i32::try_from(found.partitions).unwrap_or(i32::MAX);
                Some((topic_of(&found.name)?, TopicView { id: found.id.as_str().into(), partitions }))
            })
            .collect();
        view.topics_asked = Some(asked);
        if let Some((asked, ends)) = ends {
            let end = |(name, partition, end): (String, i32, i64)| Some(((topic_of(&name)?, partition), end));
            view.ends = ends.into_iter().filter_map(end).collect();
            view.ends_asked = Some(asked);
        }
        for topic in before.topics.keys() {
            self.missing.entry(*topic).or_insert(asked + MISSING_AT_MOST);
        }
        // What may not be asked for may well be there.
        let refused: Vec<Topic> =
            topics.iter().filter(|t| t.refused.is_some()).filter_map(|t| topic_of(&t.name)).collect();
        self.missing.retain(|topic, _| !view.topics.contains_key(topic) && !refused.contains(topic));
        *self.shared.lock_view() = Arc::new(view);
        self.create_missing();
        if self.shared.clock_doubted.swap(false, Relaxed) {
            self.judge_clock(topics);
        }
    }

    /// Compares this machine's clock with the latest time-stamp of all messages.
    fn judge_clock(&self, topics: &[Described]) {
        let partitions = partitions_of(topics.iter().filter(|found| found.usable));
        let latest = admin::latest_time_stamp(&self.client, &partitions, PERIOD, &self.shared.bell).ok().flatten();
        let Some(latest_ms) = latest else { return };
        let now_ms = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_millis() as i64;
        let seconds = now_ms.abs_diff(latest_ms).div_ceil(1000);
        let more = if now_ms > latest_ms { "more" } else { "less" };
        let broker = self.address();
        tracing::warn!(
            broker,
            "the clock of this machine shows {seconds} s {more} than the latest message in the topics"
        );
    }

    /// Creates topics that have been missing for long enough.
    fn create_missing(&mut self) {
        let now = Instant::now();
        let is_due = |(topic, _): &&(Topic, String)| self.missing.get(topic).is_some_and(|at| *at <= now);
        let names: Vec<String> = self.names.iter().filter(is_due).map(|(_, name)| name.clone()).collect();
        if names.is_empty() {
            return;
        }
        let config = self.shared.config_at(&self.address());
        let (broker, list) = (&config.brokers.address, names.join(", "));
        match create(&config, &names) {
            Ok(_) => tracing::warn!(broker, "these topics were gone and are created again: {list}"),
            Err(error) => tracing::error!(broker, "these topics are gone: {list}; {error}"),
        }
        for at in self.missing.values_mut().filter(|at| **at <= now) {
            *at = Instant::now() + CREATE_AGAIN;
        }
    }

    fn unanswered(&mut self, asked: Instant, error: &KafkaError) {
        self.failures += 1;
        if !self.has_answered {
            self.oracle = self.oracle.other();
        }
        let before = self.shared.lock_view().clone();
        if before.reachable_since.is_some() {
            *self.shared.lock_view() = Arc::new(View { reachable_since: None, ..View::clone(&before) });
        }
        tracing::debug!(broker = before.address, "no answer: {error}");
        if self.failures == WORTH_SAYING {
            let reason = self.client_trouble().unwrap_or_else(|| "it does not answer".into());
            tracing::warn!(broker = before.address, "no connection to the broker ({reason}); waiting for it");
            self.away = Some(asked);
        }
        let moved = self.shared.config.brokers.successor(&before.address);
        if let Some(address) = &moved {
            tracing::warn!(broker = address, "the embedded broker at {} is gone; taking the new one", before.address);
            let (address, broker) = (address.clone(), before.broker + 1);
            let clock_setbacks = before.clock_setbacks;
            *self.shared.lock_view() = Arc::new(View { address, broker, clock_setbacks, ..View::default() });
        }
        if moved.is_some() || self.failures.is_multiple_of(MAX_FAILURES) {
            self.replace_client();
        }
    }

    fn client_trouble(&self) -> Option<String> {
        use rdkafka::consumer::Consumer as _;
        self.client.context().trouble()
    }

    fn replace_client(&mut self) {
        match asking_client(&self.shared.config_at(&self.address()), false) {
            Ok(client) => drop(bury(std::mem::replace(&mut self.client, client))),
            Err(error) => tracing::debug!("no new client: {error}"),
        }
    }
}

fn partitions_of<'a>(topics: impl Iterator<Item = &'a Described>) -> Vec<(String, i32)> {
    topics.flat_map(|found| (0..found.partitions as i32).map(|partition| (found.name.clone(), partition))).collect()
}

/// When ends were asked for, and what was found.
type Ends = Option<(Instant, Vec<(String, i32, i64)>)>;
