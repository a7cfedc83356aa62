//! What happens to a real Kafka and its topics, and what producers and consumers make of it. Needs the feature
//! `kafka-suite`, Java and Maven.

#[path = "../../tests/harness/kafka.rs"]
mod kafka;
mod proxy;

use std::sync::{Mutex, OnceLock};
use std::time::{Duration, Instant};

use kafka::Kafka;
use onrush_bus::{BrokerWatch, Brokers, BusConfig, Consumer, Producer, Record, Start, ensure_topics};
use onrush_protocol::Topic;
use proxy::Proxy;
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewPartitions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use rdkafka::types::RDKafkaErrorCode;
use rustix::process::Signal;

const LONG: Duration = Duration::from_secs(60);

fn config(address: &str, topic_prefix: &str) -> BusConfig {
    let brokers = Brokers { address: address.into(), embedded: false };
    BusConfig { brokers, topic_prefix: topic_prefix.into(), client_id: "test".into(), options: Vec::new() }
}

/// The Kafka that the tests share which do not harm it, with topics of a test's own.
fn shared(topic_prefix: &str) -> BusConfig {
    static SHARED: OnceLock<Kafka> = OnceLock::new();
    let config = config(&SHARED.get_or_init(Kafka::start).address, topic_prefix);
    ensure_topics(&config, LONG).unwrap();
    config
}

fn admin(config: &BusConfig) -> AdminClient<DefaultClientContext> {
    ClientConfig::new().set("bootstrap.servers", &config.brokers.address).create().unwrap()
}

fn name(config: &BusConfig, topic: Topic) -> String {
    topic.full_name(&config.topic_prefix)
}

fn delete(config: &BusConfig, topic: Topic) {
    let (admin, name) = (admin(config), name(config, topic));
    pollster::block_on(admin.delete_topics(&[&name], &AdminOptions::new())).unwrap().pop().unwrap().unwrap();
}

/// Creates a topic, again and again while Kafka is still deleting one of that name. Clients of ours that miss it may be
/// faster: theirs will do where no settings are asked for.
fn create(config: &BusConfig, topic: Topic, settings: &[(&str, &str)]) {
    let name = name(config, topic);
    let mut new = NewTopic::new(&name, 1, TopicReplication::Fixed(1));
    for (key, value) in settings {
        new = new.set(key, value);
    }
    let deadline = Instant::now() + LONG;
    loop {
        match pollster::block_on(admin(config).create_topics([&new], &AdminOptions::new())).unwrap().remove(0) {
            Ok(_) => return,
            Err((_, RDKafkaErrorCode::TopicAlreadyExists)) if settings.is_empty() => return,
            Err((_, code)) => assert!(Instant::now() < deadline, "{name} cannot be created: {code}"),
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn consumer(config: &BusConfig, topics: &[Topic]) -> Consumer {
    Consumer::new(config, topics, |_, _| Start::Now, LONG).unwrap()
}

/// The next message.
#[track_caller]
fn next(consumer: &Consumer, at_most: Duration) -> Record {
    let asked = Instant::now();
    while asked.elapsed() < at_most {
        if let Some(record) = consumer.poll(Duration::from_millis(50)) {
            return record;
        }
    }
    panic!("nothing came within {at_most:?}");
}

/// Polls until these texts came, each at least once and in this order; what came.
#[track_caller]
fn read(consumer: &Consumer, expected: &[&str]) -> Vec<Record> {
    let mut records: Vec<Record> = Vec::new();
    for text in expected {
        while records.last().is_none_or(|last| last.payload != text.as_bytes()) {
            records.push(next(consumer, LONG));
        }
    }
    records
}

fn send(producer: &Producer, text: &str) {
    producer.send(Topic::Metrics, "key", text.into()).unwrap();
}

/// Sends to a partition of choice, as a foreign client may.
fn send_to(config: &BusConfig, partition: i32, text: &str) {
    let producer: BaseProducer =
        ClientConfig::new().set("bootstrap.servers", &config.brokers.address).create().unwrap();
    let name = name(config, Topic::Metrics);
    let record = BaseRecord::to(&name).key("").payload(text).partition(partition);
    producer.send(record).map_err(|(error, _)| error).unwrap();
    producer.flush(LONG).unwrap();
}

#[test]
fn every_consumer_hears_again_after_a_broker_that_stood_still_20_times() {
    let kafka = Kafka::start();
    let config = config(&kafka.address, "");
    ensure_topics(&config, LONG).unwrap();
    let consumers: Vec<Consumer> = (0..12).map(|_| consumer(&config, &[Topic::TestConfig, Topic::Trigger])).collect();
    let producer = Producer::new(&config, 1000).unwrap();
    for round in 0..20 {
        kafka.signal(Signal::STOP);
        // Longer than the controller's patience: the broker is fenced when it wakes.
        std::thread::sleep(Duration::from_millis(3_500));
        kafka.signal(Signal::CONT);
        let text = format!("{round}");
        producer.send(Topic::Trigger, "key", text.clone().into()).unwrap();
        for (n, consumer) in consumers.iter().enumerate() {
            // What the producer had to send twice in the round before may come only now.
            let mut heard = next(consumer, Duration::from_secs(20));
            while round > 0 && heard.payload == format!("{}", round - 1).into_bytes() {
                heard = next(consumer, Duration::from_secs(20));
            }
            assert_eq!(String::from_utf8_lossy(&heard.payload), text, "consumer {n}");
            // Nothing comes twice but what the producer had to send twice.
            while let Some(more) = consumer.poll(Duration::from_millis(1)) {
                assert_eq!(String::from_utf8_lossy(&more.payload), text, "consumer {n}");
            }
        }
        assert!(producer.flush(LONG));
    }
}

#[test]
fn after_a_cut_of_8_seconds_messages_flow_again_a_few_seconds_after_its_end() {
    let port = kafka::free_port();
    let kafka = Kafka::start_behind(Some(port));
    let proxy = Proxy::start(port, kafka.port());
    let config = config(&kafka.address, "");
    ensure_topics(&config, LONG).unwrap();
    let consumer = consumer(&config, &[Topic::Metrics]);
    let producer = Producer::new(&config, 1000).unwrap();
    let watch = BrokerWatch::start(&config).unwrap();
    for round in 0..3 {
        let (before, during) = (format!("{round} before"), format!("{round} during"));
        send(&producer, &before);
        read(&consumer, &[&before]);
        proxy.cut();
        let cut = Instant::now();
        for _ in 0..10 {
            send(&producer, &during);
        }
        while cut.elapsed() < Duration::from_secs(8) {
            assert!(consumer.poll(Duration::from_millis(100)).is_none());
        }
        assert!(watch.reachable_since().is_none());
        proxy.heal();
        let healed = Instant::now();
        assert!(producer.flush(LONG));
        assert!(healed.elapsed() < Duration::from_secs(5), "confirmed only after {:?}", healed.elapsed());
        read(&consumer, &[&during]);
        assert!(healed.elapsed() < Duration::from_secs(8), "heard only after {:?}", healed.elapsed());
        while consumer.poll(Duration::from_millis(500)).is_some() {}
    }
}

#[test]
fn partitions_that_are_added_are_read_from_their_beginning() {
    let config = shared("grown.");
    let producer = Producer::new(&config, 1000).unwrap();
    send(&producer, "old");
    assert!(producer.flush(LONG));
    let consumer = consumer(&config, &[Topic::Metrics, Topic::Register]);
    let name = name(&config, Topic::Metrics);
    let (admin, three) = (admin(&config), [NewPartitions::new(&name, 3)]);
    pollster::block_on(admin.create_partitions(&three, &AdminOptions::new())).unwrap().pop().unwrap().unwrap();
    for partition in [2, 1, 0] {
        let text = format!("to {partition}");
        send_to(&config, partition, &text);
        let record = next(&consumer, Duration::from_secs(10));
        assert_eq!((record.partition, String::from_utf8(record.payload).unwrap()), (partition, text));
        assert_eq!(record.topic_id, consumer.topic_id(Topic::Metrics));
    }
    // Our producer goes on, wherever its key leads now.
    send(&producer, "new");
    read(&consumer, &["new"]);
}

#[test]
fn a_topic_that_is_deleted_and_created_anew_is_read_from_its_beginning() {
    let config = shared("anew.");
    let producer = Producer::new(&config, 1000).unwrap();
    ["1", "2", "3"].iter().for_each(|text| send(&producer, text));
    let consumer = Consumer::new(&config, &[Topic::Metrics], |_, _| Start::Oldest, LONG).unwrap();
    let old = read(&consumer, &["1", "2", "3"]).pop().unwrap();
    assert!(!old.topic_id.is_empty());
    delete(&config, Topic::Metrics);
    create(&config, Topic::Metrics, &[]);
    // As many as the old one had, and more: the old place would be somewhere among them.
    let texts = ["a", "b", "c", "d", "e"];
    texts.iter().for_each(|text| send_to(&config, 0, text));
    let new = read(&consumer, &texts);
    let last = new.last().unwrap();
    assert!(last.topic_id != old.topic_id && last.topic_id == consumer.topic_id(Topic::Metrics));
    assert_eq!(last.offset, 4);
    // Who kept a place in the old one is told that this is another.
    let start = |place: &onrush_bus::Place<'_>| {
        assert_eq!(place.topic_id, &*last.topic_id);
        Start::Oldest
    };
    let resumed = Consumer::resume(&config, &[Topic::Metrics], start, None, LONG).unwrap();
    read(&resumed, &texts);
}

#[test]
fn a_topic_that_vanished_is_created_again_and_what_was_sent_meanwhile_arrives() {
    let config = shared("gone.");
    let producer = Producer::new(&config, 1000).unwrap();
    let consumer = consumer(&config, &[Topic::Metrics]);
    send(&producer, "1");
    read(&consumer, &["1"]);
    delete(&config, Topic::Metrics);
    let gone = Instant::now();
    send(&producer, "2");
    send(&producer, "3");
    read(&consumer, &["2", "3"]);
    assert!(gone.elapsed() < Duration::from_secs(20), "took {:?}", gone.elapsed());
    assert!(producer.flush(LONG));
    // The other topics were not held up by it.
    producer.send(Topic::Heartbeat, "key", "alive".into()).unwrap();
    assert!(producer.flush(LONG));
}

#[test]
fn a_broker_that_lost_everything_gets_its_topics_again_and_all_that_was_not_confirmed() {
    let kafka = Kafka::start();
    let config = config(&kafka.address, "");
    ensure_topics(&config, LONG).unwrap();
    let producer = Producer::new(&config, 1000).unwrap();
    let consumer = consumer(&config, &[Topic::Metrics, Topic::Register]);
    send(&producer, "1");
    let old = read(&consumer, &["1"]).pop().unwrap();
    kafka.wipe();
    send(&producer, "2");
    read(&consumer, &["2"]);
    // What is heard before the first look at the new topic counts as the old one's, and is heard again.
    let asked = Instant::now();
    while consumer.topic_id(Topic::Metrics) == old.topic_id {
        assert!(asked.elapsed() < LONG, "it is the old topic still");
        let _ = consumer.poll(Duration::from_millis(50));
    }
    send(&producer, "3");
    read(&consumer, &["3"]);
    assert!(producer.flush(LONG));
    // All five are there.
    Consumer::new(&config, &Topic::ALL, |_, _| Start::Now, Duration::from_secs(20)).unwrap();
}

/// Sends what unpacks to so many megabytes.
fn send_packed(config: &BusConfig, megabytes: usize) -> Result<(), String> {
    let mut settings = ClientConfig::new();
    settings.set("bootstrap.servers", &config.brokers.address).set("compression.type", "gzip");
    settings.set("message.max.bytes", "1000000000").set("queue.buffering.max.kbytes", "2000000");
    let producer: BaseProducer<Outcome> = settings.create_with_context(Outcome::default()).unwrap();
    let (name, payload) = (name(config, Topic::Metrics), vec![b' '; megabytes * 1_000_000]);
    producer.send(BaseRecord::to(&name).key("").payload(&payload)).map_err(|(error, _)| error).unwrap();
    producer.flush(LONG).unwrap();
    producer.context().0.lock().unwrap().clone().expect("it was flushed")
}

#[derive(Default)]
struct Outcome(Mutex<Option<Result<(), String>>>);

impl rdkafka::ClientContext for Outcome {}

impl rdkafka::producer::ProducerContext for Outcome {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &rdkafka::message::DeliveryResult<'_>, (): ()) {
        *self.0.lock().unwrap() = Some(result.as_ref().map(|_| ()).map_err(|(error, _)| error.to_string()));
    }
}

#[test]
fn what_unpacks_to_more_than_a_message_may_have_is_refused_by_the_topics_that_we_create() {
    let config = shared("packed.");
    let consumer = consumer(&config, &[Topic::Metrics]);
    let refused = send_packed(&config, 100).unwrap_err();
    assert!(refused.contains("MessageSizeTooLarge"), "{refused}");
    // The largest legal message is taken, and so is what is packed and small.
    let producer = Producer::new(&config, 10).unwrap();
    let largest = vec![b'x'; onrush_protocol::MAX_MESSAGE_BYTES];
    producer.send(Topic::Metrics, &"k".repeat(200), largest.clone()).unwrap();
    assert!(next(&consumer, LONG).payload == largest);
    send_packed(&config, 1).unwrap();
    assert_eq!(next(&consumer, LONG).payload.len(), 1_000_000);
}

/// In a process of its own (see below): reads on from an offset, and is killed for its memory as the system would.
#[test]
fn reader_with_little_memory() {
    let Some(address) = std::env::var_os("READER_BROKER") else { return };
    let marker = std::env::var_os("READER_MARKER").unwrap();
    std::thread::spawn(|| {
        loop {
            if onrush_host::Usage::read().resident_bytes.is_some_and(|bytes| bytes > 200_000_000) {
                std::process::abort();
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    });
    let config = config(address.to_str().unwrap(), "killer.");
    let reader = Consumer::resume(&config, &[Topic::Metrics], |_| Start::At(1), Some(marker.as_ref()), LONG).unwrap();
    println!("skipped {:?}", reader.skipped());
    println!("read {}", String::from_utf8(next(&reader, LONG).payload).unwrap());
}

#[test]
fn what_ended_two_readers_is_passed_over_by_the_third() {
    let config = shared("killer.");
    // As somebody else may have created it.
    delete(&config, Topic::Metrics);
    create(&config, Topic::Metrics, &[]);
    let producer = Producer::new(&config, 10).unwrap();
    send(&producer, "before");
    assert!(producer.flush(LONG));
    send_packed(&config, 400).unwrap();
    send(&producer, "after");
    assert!(producer.flush(LONG));
    let folder = tempfile::tempdir().unwrap();
    let marker = folder.path().join("reading");
    let read = || {
        let mut reader = std::process::Command::new(std::env::current_exe().unwrap());
        reader.args(["--exact", "reader_with_little_memory", "--nocapture"]);
        reader.env("READER_BROKER", &config.brokers.address).env("READER_MARKER", &marker);
        reader.output().unwrap()
    };
    for life in 1..=2 {
        let killed = read();
        assert!(!killed.status.success(), "life {life} should have ended: {killed:?}");
    }
    let third = read();
    let said = String::from_utf8_lossy(&third.stdout);
    assert!(third.status.success() && said.contains("read after") && said.contains("from: 1, to: 2"), "{third:?}");
}

#[test]
fn a_topic_that_refuses_every_time_stamp_gets_messages_without_one() {
    let config = shared("clock.");
    // Nothing is ever young enough.
    delete(&config, Topic::Metrics);
    create(
        &config,
        Topic::Metrics,
        &[("message.timestamp.before.max.ms", "0"), ("message.timestamp.after.max.ms", "0")],
    );
    let consumer = consumer(&config, &[Topic::Heartbeat, Topic::Metrics]);
    let producer = Producer::new(&config, 100).unwrap();
    send(&producer, "refused");
    producer.send(Topic::Heartbeat, "key", "not held up".into()).unwrap();
    let mut seen =
        [next(&consumer, LONG), next(&consumer, LONG)].map(|record| (record.payload, record.timestamp_unix_ms));
    seen.sort();
    assert_eq!(seen[1], (b"refused".to_vec(), None));
    assert_eq!(seen[0].0, b"not held up");
    assert!(producer.flush(LONG));
}
