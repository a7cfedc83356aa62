//! Reading whole topics from chosen places, without a consumer group: every node reads everything.

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use onrush_protocol::Topic;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use crate::asker::{Asker, Reading, View};
use crate::bell::Bell;
use crate::client::{Burial, bury};
use crate::joining::join;
use crate::marker::Marker;
use crate::place::{Place, Record, Skipped, Start};
use crate::positions::{Change, Look, Partition, Positions, Remedy};
use crate::reader::{Client, Copied, MAX_ANSWER_BYTES, Next, new_client};
use crate::{BusConfig, BusError};

/// Between two looks whether the client is stuck and the topics are what they were.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// What librdkafka has to say before the next message may take so much longer than was allowed.
const GRACE: Duration = Duration::from_millis(100);
/// Between two looks whether a client that is ending has ended.
const BURIAL_PAUSE: Duration = Duration::from_millis(20);

/// Reads whole topics, all partitions, from chosen places. One thread polls it.
///
/// It looks after itself: a client that is stuck is replaced by one that reads on at the same place; partitions that are
/// added are read from their beginning, and so is a topic that takes the place of another; what cannot be received is
/// passed over. Each of these is said in the log.
///
/// Memory: librdkafka fetches at most 4 MiB ahead, in answers of at most 2 MiB (8 MiB where a single batch is as large;
/// a larger one is passed over). A batch that was compressed counts as what it unpacks to only after it was unpacked:
/// whoever may write to the topics can make that cost a thousand times its size.
pub struct Consumer {
    /// Before the asker: its client goes first.
    state: Mutex<State>,
    asker: Reading,
    topic_prefix: String,
}

struct State {
    /// `None` while its predecessor is ending.
    client: Option<Client>,
    burial: Option<Burial>,
    bell: Arc<Bell>,
    positions: Positions,
    next_look: Instant,
    /// The next client waits for what the broker says of its topics after this moment.
    resume_after: Option<Instant>,
    /// Everything that was sent before was read.
    current_as_of: Instant,
    /// Partitions that had something at the start, and where they ended.
    was_there: Vec<(Topic, i32, i64)>,
    marker: Option<Marker>,
    skipped: Vec<Skipped>,
    /// No new client could be started, and that was said.
    said_impossible: bool,
}

impl Consumer {
    /// A consumer of the topics; `start` says where each partition begins. Blocks until the broker answered, so
    /// that [`Start::Now`] means now; at most `timeout`.
    pub fn new(
        config: &BusConfig,
        topics: &[Topic],
        start: impl Fn(Topic, i32) -> Start,
        timeout: Duration,
    ) -> Result<Self, BusError> {
        Self::resume(config, topics, |place| start(place.topic, place.partition), None, timeout)
    }

    /// The same for a reader that keeps its place beyond its own life. `start` is told which topic it is (kept offsets
    /// of another mean nothing), and `marker` is a file of this reader's own, in which it is noted while something is
    /// being received for suspiciously long. If the process ends there twice, a third one begins behind it (and
    /// [`skipped`](Self::skipped) tells): a batch that unpacks to more memory than there is would otherwise end every
    /// further process as well.
    pub fn resume(
        config: &BusConfig,
        topics: &[Topic],
        start: impl Fn(&Place<'_>) -> Start,
        marker: Option<&Path>,
        timeout: Duration,
    ) -> Result<Self, BusError> {
        let asker = Asker::of(config)?;
        let config = asker.config();
        let view = asker.view();
        let client = new_client(&config)?;
        let begun = Instant::now();
        let mut joined = join(&config, &client, topics, start, timeout)?;
        let mut marker = marker.map(Marker::open);
        let skipped = marker.as_mut().map(|marker| marker.skip(&mut joined)).unwrap_or_default();
        let was_there = joined.iter().filter(|j| j.partition.next < j.end);
        let was_there = was_there.map(|j| (j.partition.topic, j.partition.partition, j.end)).collect();
        let partitions = joined.into_iter().map(|joined| joined.partition).collect();
        let positions = Positions::new(partitions, view.broker);
        let bell = Arc::default();
        let state = State {
            client: Some(Client::begin(client, &positions, &config, &bell, view.clock_setbacks)?),
            burial: None,
            bell,
            positions,
            next_look: begun + LOOK_EVERY,
            resume_after: None,
            current_as_of: begun,
            was_there,
            marker,
            skipped,
            said_impossible: false,
        };
        let topic_prefix = config.topic_prefix;
        Ok(Self { state: Mutex::new(state), asker: asker.read(topics), topic_prefix })
    }

    /// The next message; waits at most `timeout`. Trouble with the broker is logged and waited out.
    pub fn poll(&self, timeout: Duration) -> Option<Record> {
        let deadline = Instant::now() + timeout;
        let mut state = self.lock();
        loop {
            let is_drained = match state.client.as_ref().map(|client| client.next(&self.topic_prefix)) {
                Some(Next::Message(copied)) => match self.accept(&mut state, copied) {
                    Some(record) => return Some(record),
                    None => continue,
                },
                Some(Next::Error(error)) => {
                    self.note(&error);
                    false
                }
                Some(Next::Nothing { is_drained }) => is_drained,
                None => true,
            };
            let now = Instant::now();
            if now >= state.next_look {
                state.next_look = now + LOOK_EVERY;
                self.look(&mut state, is_drained);
            }
            if !is_drained && now < deadline + GRACE {
                continue;
            }
            if now >= deadline {
                return None;
            }
            let pause = if state.client.is_some() { state.next_look - now } else { BURIAL_PAUSE };
            let bell = state.bell.clone();
            bell.wait(pause.min(deadline - now));
            if state.client.is_none() {
                self.succeed(&mut state);
            }
        }
    }

    /// Messages that were given up since this was asked last.
    pub fn skipped(&self) -> Vec<Skipped> {
        std::mem::take(&mut self.lock().skipped)
    }

    /// Whether everything was returned that the topics had when this consumer was made.
    pub fn has_read_what_was_there(&self) -> bool {
        self.lock().was_there.is_empty()
    }

    /// Everything that was sent before this moment was returned by [`poll`](Self::poll), as far as is known: what is
    /// returned now is no older. Known again every second while the broker answers.
    pub fn current_as_of(&self) -> Instant {
        self.lock().current_as_of
    }

    /// Which topic of this name is read; empty where the broker does not tell, or the topic is not read.
    pub fn topic_id(&self, topic: Topic) -> Arc<str> {
        let state = self.lock();
        let found = state.positions.partitions.iter().find(|p| p.topic == topic);
        found.map(|p| p.topic_id.clone()).unwrap_or_default()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn accept(&self, state: &mut State, copied: Copied) -> Option<Record> {
        let Copied { topic, partition, offset, timestamp_unix_ms, payload } = copied;
        let (topic_id, expected) = state.positions.read(topic, partition, offset)?;
        if offset < expected {
            let name = topic.full_name(&self.topic_prefix);
            tracing::warn!("topic {name} (partition {partition}) goes on at offset {offset} where {expected} was next");
            // It lost its end, or is another topic: which of them decides where to read on.
            state.positions.go_back(topic, partition, offset);
            state.resume_after = Some(Instant::now());
            state.burial = state.client.take().map(bury);
            self.asker.ask_now();
            return None;
        }
        state.said_impossible = false;
        if !state.was_there.is_empty() {
            state.was_there.retain(|(of, n, end)| (*of, *n) != (topic, partition) || offset + 1 < *end);
        }
        if let Some(marker) = &mut state.marker {
            marker.read(topic, partition, offset);
        }
        Some(Record { topic, partition, offset, topic_id, timestamp_unix_ms, payload })
    }

    /// Looks whether topics changed and whether the client is stuck.
    fn look(&self, state: &mut State, is_drained: bool) {
        let view = self.asker.view();
        let is_set_back = state.client.as_ref().is_some_and(|client| client.clock_setbacks != view.clock_setbacks);
        let has_changed = self.follow(state, &view) || is_set_back;
        let State { client, positions, marker, .. } = state;
        let Some((context, made)) = client.as_ref().map(|client| (client.context(), client.since)) else { return };
        let fetched = |p: &Partition| context.fetched_up_to(&p.topic.full_name(&self.topic_prefix), p.partition);
        let look = Look {
            is_drained,
            is_after_outage: view.reachable_since.is_some_and(|back| back > made),
            met_too_large: context.met_too_large(),
            fetched_up_to: &fetched,
        };
        let remedy = positions.look(&view, &look);
        if let Some(marker) = marker {
            marker.look(&positions.partitions);
        }
        let is_current = is_drained && !has_changed && positions.is_up_to(&view, &look);
        if let Some(asked) = view.ends_asked.filter(|_| is_current) {
            state.current_as_of = state.current_as_of.max(asked);
        }
        if let Some(remedy) = &remedy {
            self.say_remedy(remedy, &view);
        }
        if let Some(Remedy::PassOver { topic, partition, from, to }) = remedy {
            state.skipped.push(Skipped { topic, partition, from, to });
        }
        if remedy.is_some() || has_changed {
            state.burial = state.client.take().map(bury);
        }
    }

    /// Whether the topics have become others, or have more partitions.
    fn follow(&self, state: &mut State, view: &View) -> bool {
        let changes = state.positions.follow(view);
        changes.iter().for_each(|change| self.say(change, &state.positions));
        !changes.is_empty()
    }

    /// A new client in the place of the one that is ending, as soon as that has ended.
    fn succeed(&self, state: &mut State) {
        if state.burial.as_ref().is_some_and(|burial| !burial.is_over()) {
            return;
        }
        let view = self.asker.view();
        if state.resume_after.is_some_and(|after| view.topics_asked.is_none_or(|asked| asked < after)) {
            return;
        }
        (state.burial, state.resume_after) = (None, None);
        self.follow(state, &view);
        let config = self.asker.config();
        let made = new_client(&config);
        match made.and_then(|client| Client::begin(client, &state.positions, &config, &state.bell, view.clock_setbacks))
        {
            Ok(client) => state.client = Some(client),
            Err(error) => {
                // As long as nothing is heard, once is enough.
                if !std::mem::replace(&mut state.said_impossible, true) {
                    tracing::error!("cannot start a Kafka client anew, trying again: {error}");
                }
                std::thread::sleep(LOOK_EVERY);
            }
        }
    }

    fn say(&self, change: &Change, positions: &Positions) {
        let address = &self.asker.view().address;
        match change {
            Change::Grown { topic, before, partitions } => tracing::warn!(
                broker = address,
                "topic {} has {partitions} partitions now, {before} before; the new ones are read from their beginning",
                topic.full_name(&self.topic_prefix)
            ),
            Change::Replaced { topic } => {
                let id = positions.partitions.iter().find(|p| p.topic == *topic).map(|p| p.topic_id.clone());
                tracing::warn!(
                    broker = address,
                    id = id.as_deref(),
                    "topic {} is another one of the same name now; it is read from its beginning",
                    topic.full_name(&self.topic_prefix)
                );
            }
        }
    }

    fn say_remedy(&self, remedy: &Remedy, view: &View) {
        let broker = &view.address;
        match remedy {
            Remedy::NewClient { topic, partition, next, end } => tracing::warn!(
                broker,
                "nothing is heard of topic {} (partition {partition}) though it has {} messages more; a new Kafka client \
                 reads on at offset {next}",
                topic.full_name(&self.topic_prefix),
                end - next
            ),
            Remedy::PassOver { topic, partition, from, to } => tracing::error!(
                broker,
                "topic {} (partition {partition}) has something at offset {from} that is larger than {MAX_ANSWER_BYTES} \
                 bytes; reading goes on at offset {to}",
                topic.full_name(&self.topic_prefix)
            ),
        }
    }

    /// Broker trouble and missing topics are said by the asker; what else keeps messages away is said here.
    fn note(&self, error: &KafkaError) {
        use RDKafkaErrorCode::{
            AllBrokersDown, BadMessage, BrokerTransportFailure, OperationTimedOut, Resolve, UnknownPartition,
            UnknownTopic, UnknownTopicOrPartition,
        };
        let broker = &self.asker.view().address;
        match error.rdkafka_error_code() {
            Some(
                AllBrokersDown
                | BadMessage
                | BrokerTransportFailure
                | OperationTimedOut
                | Resolve
                | UnknownPartition
                | UnknownTopic
                | UnknownTopicOrPartition,
            )
            | None => {
                tracing::debug!(broker, "reading: {error}");
            }
            Some(_) => tracing::warn!(broker, "reading: {error}"),
        }
    }
}

#[cfg(test)]
#[path = "consumer_tests.rs"]
mod tests;
