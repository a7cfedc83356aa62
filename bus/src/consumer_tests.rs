//! Clients that are stuck, and messages that cannot be received, with librdkafka's in-process cluster.

use onrush_protocol::MAX_MESSAGE_BYTES;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::mocking::MockCluster;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};

use super::*;
use crate::Brokers;
use crate::client::{Context, settings, with_options};

const LONG: Duration = Duration::from_secs(60);

fn config(cluster: &MockCluster<'_, impl rdkafka::ClientContext>) -> BusConfig {
    let brokers = Brokers { address: cluster.bootstrap_servers(), embedded: true };
    BusConfig { brokers, topic_prefix: String::new(), client_id: "test".into(), options: Vec::new() }
}

/// Sends large messages too, unlike ours.
fn sender(config: &BusConfig) -> impl Fn(&[u8]) + use<> {
    let mut settings = with_options(settings(config), config);
    let producer: BaseProducer = settings.set("message.max.bytes", "30000000").create().unwrap();
    move |payload| {
        producer.send(BaseRecord::to("metrics").key("").payload(payload)).map_err(|(error, _)| error).unwrap();
        producer.flush(LONG).unwrap();
    }
}

fn next(consumer: &Consumer) -> Record {
    let deadline = Instant::now() + LONG;
    loop {
        assert!(Instant::now() < deadline, "not in time");
        if let Some(record) = consumer.poll(Duration::from_millis(50)) {
            return record;
        }
    }
}

#[test]
fn a_client_that_went_deaf_is_replaced_and_nothing_is_lost_or_repeated() {
    let cluster = MockCluster::new(1).unwrap();
    cluster.create_topic("metrics", 1, 1).unwrap();
    let config = config(&cluster);
    let consumer = Consumer::new(&config, &[Topic::Metrics], |_, _| Start::Now, LONG).unwrap();
    let send = sender(&config);
    let mut sent = 0;
    for round in 0..3 {
        for n in sent..sent + 5 {
            send(n.to_string().as_bytes());
        }
        for n in sent..sent + 5 {
            assert_eq!(String::from_utf8(next(&consumer).payload).unwrap(), n.to_string(), "round {round}");
        }
        sent += 5;
        // What a stuck client looks like from here: it lives, and gives nothing.
        let state = consumer.lock();
        let client = &state.client.as_ref().unwrap().inner;
        client.pause(&client.assignment().unwrap()).unwrap();
    }
    assert!(consumer.skipped().is_empty());
}

#[test]
fn what_is_larger_than_a_client_takes_is_passed_over_and_holds_nothing_up() {
    // A broker that takes such messages, unlike the embedded one.
    let cluster = MockCluster::new(1).unwrap();
    cluster.create_topic("metrics", 1, 1).unwrap();
    let config = config(&cluster);
    let send = sender(&config);
    let consumer = Consumer::new(&config, &[Topic::Metrics], |_, _| Start::Now, LONG).unwrap();
    send(&vec![b'x'; 20_000_000]);
    let deadline = Instant::now() + LONG;
    let skipped = loop {
        assert!(Instant::now() < deadline && consumer.poll(Duration::from_millis(50)).is_none());
        if let Some(skipped) = consumer.skipped().pop() {
            break skipped;
        }
    };
    assert_eq!(skipped, Skipped { topic: Topic::Metrics, partition: 0, from: 0, to: 1 });
    // This broker loses the message after such a one, so there are several.
    (0..3).for_each(|_| send(b"after"));
    assert_eq!(next(&consumer).payload, b"after");
    assert!(consumer.skipped().is_empty(), "told once");
}

#[test]
fn of_a_message_that_nobody_reads_no_more_is_copied_than_tells_that_it_is_too_long() {
    let cluster = MockCluster::new(1).unwrap();
    cluster.create_topic("metrics", 1, 1).unwrap();
    let config = config(&cluster);
    let send = sender(&config);
    let consumer = Consumer::new(&config, &[Topic::Metrics], |_, _| Start::Now, LONG).unwrap();
    send(&vec![b'x'; 3_000_000]);
    assert_eq!(next(&consumer).payload.len(), MAX_MESSAGE_BYTES + 1);
    send(&vec![b'x'; MAX_MESSAGE_BYTES]);
    assert_eq!(next(&consumer).payload.len(), MAX_MESSAGE_BYTES);
}

#[test]
fn it_says_as_of_when_everything_was_read() {
    let cluster = MockCluster::new(1).unwrap();
    cluster.create_topic("metrics", 1, 1).unwrap();
    let config = config(&cluster);
    let consumer = Consumer::new(&config, &[Topic::Metrics], |_, _| Start::Now, LONG).unwrap();
    let current = |asked: Instant, at_most: Duration| {
        let deadline = Instant::now() + at_most;
        while consumer.current_as_of() < asked && Instant::now() < deadline {
            assert!(consumer.poll(Duration::from_millis(20)).is_none());
        }
        consumer.current_as_of() >= asked
    };
    assert!(current(Instant::now(), LONG));
    let client = |act: &dyn Fn(&BaseConsumer<Context>)| act(&consumer.lock().client.as_ref().unwrap().inner);
    client(&|client| client.pause(&client.assignment().unwrap()).unwrap());
    sender(&config)(b"unheard");
    assert!(!current(Instant::now() + Duration::from_millis(1), Duration::from_millis(2_500)));
    client(&|client| client.resume(&client.assignment().unwrap()).unwrap());
    next(&consumer);
    assert!(current(Instant::now(), LONG));
}
