//! Producer, consumer, topics and watch against the broker within this process.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use onrush_bus::{
    BrokerWatch, Brokers, BusConfig, BusError, Consumer, EmbeddedBroker, Producer, Record, Start, ensure_topics,
};
use onrush_protocol::Topic;

const LONG: Duration = Duration::from_secs(30);

/// A runtime folder for this test process, so that it neither finds nor disturbs other brokers.
fn isolated() -> &'static Path {
    static DIR: OnceLock<tempfile::TempDir> = OnceLock::new();
    let dir = DIR.get_or_init(|| {
        let dir = tempfile::tempdir().unwrap();
        // SAFETY: every test calls this first, and the others wait here meanwhile; nothing else in this process
        // changes the environment.
        unsafe { std::env::set_var("ONRUSH_RUNTIME_DIR", dir.path()) };
        dir
    });
    dir.path()
}

fn start(prefix: &str) -> (EmbeddedBroker, BusConfig) {
    isolated();
    let broker = EmbeddedBroker::start(prefix).unwrap();
    let brokers = Brokers { address: broker.address().into(), embedded: true };
    let config = BusConfig { brokers, topic_prefix: prefix.into(), client_id: "test".into(), options: Vec::new() };
    (broker, config)
}

fn eventually(what: &str, condition: impl Fn() -> bool) {
    let deadline = Instant::now() + LONG;
    while !condition() {
        assert!(Instant::now() < deadline, "not in time: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn read(consumer: &Consumer, count: usize) -> Vec<Record> {
    let deadline = Instant::now() + LONG;
    let mut records = Vec::new();
    while records.len() < count {
        records.extend(consumer.poll(Duration::from_millis(100)));
        assert!(Instant::now() < deadline, "{} of {count} messages came", records.len());
    }
    records
}

fn texts(records: &[Record]) -> Vec<String> {
    records.iter().map(|r| String::from_utf8(r.payload.clone()).unwrap()).collect()
}

fn send_numbers(producer: &Producer, numbers: std::ops::Range<usize>) {
    for n in numbers {
        producer.send(Topic::Metrics, "key", n.to_string().into_bytes()).unwrap();
    }
}

#[test]
fn messages_come_in_order_from_now_on_or_from_the_oldest() {
    let (_broker, config) = start("");
    let producer = Producer::new(&config, 1000).unwrap();
    send_numbers(&producer, 0..10);
    assert!(producer.flush(LONG));
    assert_eq!(producer.waiting(), 0);
    let now = Consumer::new(&config, &[Topic::Metrics, Topic::Trigger], |_, _| Start::Now, LONG).unwrap();
    send_numbers(&producer, 10..20);
    let records = read(&now, 10);
    assert_eq!(texts(&records), (10..20).map(|n| n.to_string()).collect::<Vec<_>>());
    assert_eq!((records[0].topic, records[0].partition, records[0].offset), (Topic::Metrics, 0, 10));
    assert!(records[0].timestamp_unix_ms.is_some());

    let all = Consumer::new(&config, &[Topic::Metrics], |_, _| Start::Oldest, LONG).unwrap();
    assert_eq!(texts(&read(&all, 20)), (0..20).map(|n| n.to_string()).collect::<Vec<_>>());
    let some = Consumer::new(&config, &[Topic::Metrics], |_, _| Start::At(15), LONG).unwrap();
    assert_eq!(texts(&read(&some, 5)), (15..20).map(|n| n.to_string()).collect::<Vec<_>>());
    assert!(some.poll(Duration::from_millis(50)).is_none());
}

#[test]
fn an_offset_that_the_broker_does_not_have_means_the_oldest() {
    let (_broker, config) = start("");
    let producer = Producer::new(&config, 1000).unwrap();
    send_numbers(&producer, 0..3);
    assert!(producer.flush(LONG));
    for offset in [-1, i64::MIN, 99, i64::MAX - 1] {
        let consumer = Consumer::new(&config, &[Topic::Metrics], |_, _| Start::At(offset), LONG).unwrap();
        assert_eq!(texts(&read(&consumer, 3)), ["0", "1", "2"], "from offset {offset}");
    }
}

#[test]
fn an_outage_loses_nothing_and_keeps_the_order() {
    let (broker, config) = start("");
    let consumer = Consumer::new(&config, &[Topic::Metrics], |_, _| Start::Now, LONG).unwrap();
    let producer = Producer::new(&config, 2000).unwrap();
    send_numbers(&producer, 0..100);
    eventually("the first messages are confirmed", || producer.waiting() < 100);
    broker.set_up(false).unwrap();
    let down = Instant::now();
    let mut sent = 100;
    while down.elapsed() < Duration::from_secs(2) || sent < 1000 {
        let asked = Instant::now();
        send_numbers(&producer, sent..sent + 1);
        sent += 1;
        assert!(asked.elapsed() < Duration::from_millis(500), "send waited");
        if sent >= 1000 {
            std::thread::sleep(Duration::from_millis(20));
        }
    }
    assert!(producer.waiting() >= 900);
    assert!(!producer.flush(Duration::from_millis(50)));
    broker.set_up(true).unwrap();
    assert!(producer.flush(LONG));
    let mut texts = texts(&read(&consumer, sent));
    texts.dedup();
    assert_eq!(texts, (0..sent).map(|n| n.to_string()).collect::<Vec<_>>());
}

#[test]
fn a_full_outbox_refuses_in_words_and_an_unreachable_broker_holds_nobody_up() {
    isolated();
    let brokers = Brokers { address: "127.0.0.1:1".into(), embedded: false };
    let config = BusConfig { brokers, topic_prefix: String::new(), client_id: "test".into(), options: Vec::new() };
    let begun = Instant::now();
    let producer = Producer::new(&config, 5).unwrap();
    send_numbers(&producer, 0..5);
    let full = producer.send(Topic::Metrics, "key", Vec::new()).unwrap_err();
    assert!(matches!(full, BusError::OutboxFull { waiting: 5, .. }), "{full}");
    drop(producer);
    let Err(error) = Consumer::new(&config, &[Topic::Trigger], |_, _| Start::Now, Duration::from_millis(300)) else {
        panic!("a consumer without a broker");
    };
    assert!(matches!(&error, BusError::Unreachable { address, .. } if address == "127.0.0.1:1"), "{error}");
    let error = ensure_topics(&config, Duration::from_millis(300)).unwrap_err();
    assert!(error.to_string().contains("127.0.0.1:1"), "{error}");
    let watch = BrokerWatch::start(&config).unwrap();
    assert!(watch.reachable_since().is_none());
    drop(watch);
    assert!(begun.elapsed() < LONG, "took {:?}", begun.elapsed());
}

#[test]
fn a_consumer_and_a_producer_can_be_dropped_while_the_broker_is_away() {
    let (broker, config) = start("");
    let consumer = Consumer::new(&config, &Topic::ALL, |_, _| Start::Now, LONG).unwrap();
    let producer = Producer::new(&config, 10).unwrap();
    send_numbers(&producer, 0..1);
    read(&consumer, 1);
    broker.set_up(false).unwrap();
    send_numbers(&producer, 0..5);
    let begun = Instant::now();
    drop(producer);
    drop(consumer);
    assert!(begun.elapsed() < Duration::from_secs(15), "took {:?}", begun.elapsed());
}

#[test]
fn topics_are_created_once_by_whoever_comes_first() {
    let (_broker, config) = start("ours.");
    ensure_topics(&config, LONG).unwrap();
    // Another prefix: these topics do not exist yet.
    let config = BusConfig { topic_prefix: "other.".into(), ..config };
    std::thread::scope(|scope| {
        let ensure = || ensure_topics(&config, LONG);
        let nodes = [scope.spawn(ensure), scope.spawn(ensure)];
        nodes.into_iter().for_each(|node| node.join().unwrap().unwrap());
    });
    let consumer = Consumer::new(&config, &Topic::ALL, |_, _| Start::Now, LONG).unwrap();
    let producer = Producer::new(&config, 10).unwrap();
    producer.send(Topic::Register, "", b"hello".to_vec()).unwrap();
    let records = read(&consumer, 1);
    assert_eq!((records[0].topic, texts(&records)), (Topic::Register, vec!["hello".to_owned()]));
}

#[test]
fn a_consumer_of_a_topic_that_does_not_exist_is_told_so() {
    let (_broker, config) = start("a.");
    let config = BusConfig { topic_prefix: "b.".into(), ..config };
    let error = Consumer::new(&config, &[Topic::Metrics], |_, _| Start::Now, Duration::from_millis(200)).err().unwrap();
    assert!(matches!(&error, BusError::Topic { topic, .. } if topic == "b.metrics"), "{error}");
}

#[test]
fn a_message_of_20_megabytes_harms_nobody_but_its_sender() {
    let (_broker, config) = start("");
    let consumer = Consumer::new(&config, &[Topic::Metrics], |_, _| Start::Now, LONG).unwrap();
    let mut careless = config.clone();
    careless.options.push(("message.max.bytes".into(), "30000000".into()));
    let careless = Producer::new(&careless, 10).unwrap();
    careless.send(Topic::Metrics, "key", vec![b'x'; 20_000_000]).unwrap();
    let producer = Producer::new(&config, 1000).unwrap();
    send_numbers(&producer, 0..100);
    assert!(producer.flush(LONG));
    assert_eq!(read(&consumer, 100).len(), 100);
    // More than the broker keeps: it drops the oldest, never the newest.
    for _ in 0..10 {
        producer.send(Topic::Metrics, "key", vec![b'y'; 1_000_000]).unwrap();
        assert_eq!(read(&consumer, 1)[0].payload.len(), 1_000_000);
    }
}

#[test]
fn a_message_that_no_broker_takes_does_not_stop_the_others() {
    let (_broker, mut config) = start("");
    config.options.push(("message.max.bytes".into(), "2000".into()));
    let consumer = Consumer::new(&config, &[Topic::Metrics], |_, _| Start::Now, LONG).unwrap();
    let producer = Producer::new(&config, 10).unwrap();
    producer.send(Topic::Metrics, "key", vec![b'x'; 10_000]).unwrap();
    send_numbers(&producer, 0..1);
    assert!(producer.flush(LONG));
    assert_eq!(texts(&read(&consumer, 1)), ["0"]);
}

#[test]
fn a_wrong_setting_is_named() {
    let (_broker, mut config) = start("");
    config.options.push(("no.such.setting".into(), "1".into()));
    let errors = [
        Producer::new(&config, 1).err().unwrap(),
        Consumer::new(&config, &[Topic::Trigger], |_, _| Start::Now, LONG).err().unwrap(),
        ensure_topics(&config, LONG).err().unwrap(),
        BrokerWatch::start(&config).err().unwrap(),
    ];
    for error in errors {
        assert!(matches!(&error, BusError::Setting { key, .. } if key == "no.such.setting"), "{error}");
    }
}

#[test]
fn no_error_and_no_log_shows_a_password() {
    let (_broker, config) = start("");
    // What this build of librdkafka does not have, what it does not know, and what it knows and cannot take.
    for key in ["ssl.key.password", "sasl.pasword", "sasl.password", "ssl.ca.location", "acks", "client.rack"] {
        let mut config = config.clone();
        config.options.push((key.into(), "hunter2 is secret".into()));
        let shown = format!("{config:?}");
        assert!(shown.contains(key) && !shown.contains("hunter2"), "{shown}");
        let errors = [
            Producer::new(&config, 1).err(),
            Consumer::new(&config, &[Topic::Trigger], |_, _| Start::Now, LONG).err(),
            ensure_topics(&config, LONG).err(),
        ];
        for error in errors.into_iter().flatten() {
            let shown = format!("{error} {error:?}");
            // The value of a setting with a few possible words may be repeated; that is no secret.
            assert!(shown.contains(key) && (key == "acks" || !shown.contains("hunter2")), "{shown}");
        }
    }
}

#[test]
fn a_prefix_that_kafka_refuses_is_called_that_before_the_broker_is_asked() {
    isolated();
    let brokers = Brokers { address: "127.0.0.1:1".into(), embedded: false };
    for prefix in ["prod/", "a b", &"x".repeat(300)] {
        let brokers = brokers.clone();
        let config = BusConfig { brokers, topic_prefix: prefix.into(), client_id: "test".into(), options: Vec::new() };
        let errors = [
            Producer::new(&config, 1).err().unwrap(),
            Consumer::new(&config, &[Topic::Trigger], |_, _| Start::Now, LONG).err().unwrap(),
            ensure_topics(&config, LONG).err().unwrap(),
            EmbeddedBroker::start(prefix).err().unwrap(),
        ];
        for error in errors {
            assert!(matches!(&error, BusError::TopicPrefix { .. }), "{error}");
            assert!(error.to_string().contains("--topic-prefix"), "{error}");
        }
    }
}

#[test]
fn the_watch_sees_the_broker_go_and_come_back() {
    let (broker, config) = start("");
    let watch = BrokerWatch::start(&config).unwrap();
    eventually("the broker is seen", || watch.reachable_since().is_some());
    let first = watch.reachable_since().unwrap();
    broker.set_up(false).unwrap();
    eventually("its absence is seen", || watch.reachable_since().is_none());
    broker.set_up(true).unwrap();
    eventually("its return is seen", || watch.reachable_since().is_some_and(|since| since > first));
}

#[test]
fn a_running_broker_is_found_until_it_is_dropped() {
    let (broker, config) = start("");
    let found = Brokers::discover(Some(broker.address())).unwrap();
    assert_eq!(found, config.brokers);
    // Other tests of this process run brokers too.
    let listed = |address: &str| match Brokers::discover(None) {
        Ok(found) => found.address == address,
        Err(BusError::SeveralBrokers(all)) => all.iter().any(|live| live == address),
        Err(BusError::NoBroker) => false,
        Err(other) => panic!("{other}"),
    };
    let address = broker.address().to_owned();
    assert!(listed(&address));
    drop(broker);
    assert!(!listed(&address));
    assert!(!Brokers::discover(Some(&address)).unwrap().embedded);
}

#[test]
fn two_consumers_read_the_same() {
    let (_broker, config) = start("");
    let consumers: Vec<Consumer> =
        (0..2).map(|_| Consumer::new(&config, &[Topic::Metrics], |_, _| Start::Now, LONG).unwrap()).collect();
    let producer = Producer::new(&config, 100).unwrap();
    send_numbers(&producer, 0..50);
    let seen: BTreeSet<Vec<String>> = consumers.iter().map(|consumer| texts(&read(consumer, 50))).collect();
    assert_eq!(seen.len(), 1);
}
