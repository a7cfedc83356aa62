//! Clients that fail or are stuck, and messages that are too many.

use std::collections::BTreeSet;
use std::ffi::CString;

use super::*;
use crate::{Brokers, Consumer, EmbeddedBroker, Start};

const LONG: Duration = Duration::from_secs(30);

fn start(prefix: &str) -> (EmbeddedBroker, BusConfig) {
    crate::testing::isolated();
    let broker = EmbeddedBroker::start(prefix).unwrap();
    let brokers = Brokers { address: broker.address().into(), embedded: true };
    let config = BusConfig { brokers, topic_prefix: prefix.into(), client_id: "test".into(), options: Vec::new() };
    (broker, config)
}

fn send(producer: &Producer, numbers: std::ops::Range<u8>) {
    numbers.for_each(|n| producer.send(Topic::Metrics, "", vec![n]).unwrap());
}

/// Waits until so many different messages came.
fn read(consumer: &Consumer, count: usize) {
    let deadline = Instant::now() + LONG;
    let mut seen = BTreeSet::new();
    while seen.len() < count {
        seen.extend(consumer.poll(Duration::from_millis(100)).map(|record| record.payload));
        assert!(Instant::now() < deadline, "{} of {count} came", seen.len());
    }
}

#[test]
fn a_fatal_error_loses_nothing() {
    let (_broker, config) = start("fatal.");
    let consumer = Consumer::new(&config, &[Topic::Metrics], |_, _| Start::Now, LONG).unwrap();
    let producer = Producer::new(&config, 1000).unwrap();
    send(&producer, 0..10);
    let client = producer.shared.lock().client.clone().unwrap();
    let reason = CString::new("made up").unwrap();
    // SAFETY: the client lives, the text ends with a zero byte; the call only raises the error.
    unsafe {
        rdkafka::bindings::rd_kafka_test_fatal_error(
            client.inner.client().native_ptr(),
            rdkafka::types::RDKafkaRespErr::RD_KAFKA_RESP_ERR_OUT_OF_ORDER_SEQUENCE_NUMBER,
            reason.as_ptr(),
        );
    }
    drop(client);
    send(&producer, 10..20);
    assert!(producer.flush(LONG));
    read(&consumer, 20);
}

#[test]
fn a_client_that_is_stuck_after_an_outage_is_replaced_a_second_or_two_after_the_broker_is_back() {
    let (broker, config) = start("stuck.");
    let consumer = Consumer::new(&config, &[Topic::Metrics], |_, _| Start::Now, LONG).unwrap();
    let producer = Producer::new(&config, 1000).unwrap();
    send(&producer, 0..10);
    assert!(producer.flush(LONG));
    // One that will never find a broker again.
    let mut lost = producer_settings(&config);
    let events = Events::new(Arc::downgrade(&producer.shared), 0, "nowhere");
    let inner = lost.set("bootstrap.servers", "127.0.0.1:1").create_with_context(events).unwrap();
    let inner: BaseProducer<Events> = inner;
    // SAFETY: the queue stands before the client in the value that is made here.
    let queue = unsafe { RingingQueue::main(inner.client().native_ptr(), &producer.shared.bell) };
    let lost = Arc::new(Client { queue, inner, broker: 0, clock_setbacks: 0, since: Instant::now() });
    let healthy = producer.shared.lock().client.replace(lost);
    drop(healthy);
    send(&producer, 10..20);
    let is_reachable = || producer.shared.asker.view().reachable_since.is_some();
    broker.set_up(false).unwrap();
    let deadline = Instant::now() + LONG;
    while is_reachable() {
        assert!(Instant::now() < deadline, "the outage was not noticed");
        std::thread::sleep(Duration::from_millis(20));
    }
    broker.set_up(true).unwrap();
    let back = Instant::now();
    assert!(producer.flush(LONG));
    assert!(back.elapsed() < Duration::from_secs(5), "took {:?}", back.elapsed());
    read(&consumer, 20);
}

#[test]
fn a_client_is_taken_for_stuck_soon_after_an_outage_and_late_without_one() {
    let now = Instant::now();
    let ago = |ms: u64| now - Duration::from_millis(ms);
    let stuck = |back: Option<u64>, oldest: u64, made: u64, vain| {
        let view = View { reachable_since: back.map(ago), ..View::default() };
        is_stuck(&view, ago(oldest), ago(made), vain, now)
    };
    assert!(!stuck(None, 60_000, 60_000, 0), "nobody can be reached");
    assert!(stuck(Some(1_000), 8_000, 60_000, 0) && !stuck(Some(900), 8_000, 60_000, 0));
    // It went on after the outage, and got stuck then.
    assert!(stuck(Some(30_000), 1_000, 60_000, 0) && !stuck(Some(30_000), 900, 60_000, 0));
    // One that was made since, or never lived through an outage.
    assert!(stuck(Some(60_000), 10_000, 50_000, 0) && !stuck(Some(60_000), 9_000, 50_000, 0));
    assert!(stuck(Some(60_000), 50_000, 10_000, 0) && !stuck(Some(60_000), 50_000, 9_000, 0));
    assert!(!stuck(Some(60_000), 19_000, 50_000, 1) && stuck(Some(60_000), 20_000, 50_000, 1));
}

#[test]
fn messages_that_wait_are_bounded_in_bytes() {
    crate::testing::isolated();
    let brokers = Brokers { address: "127.0.0.1:1".into(), embedded: false };
    let config = BusConfig { brokers, topic_prefix: String::new(), client_id: "test".into(), options: Vec::new() };
    let producer = Producer::bounded(&config, usize::MAX, 1_000_000).unwrap();
    let taken = (0..1000).take_while(|_| producer.send(Topic::Metrics, "key", vec![0; 50_000]).is_ok()).count();
    assert_eq!(taken, 19);
    let full = producer.send(Topic::Metrics, "key", vec![0; 50_000]).unwrap_err().to_string();
    assert!(full.contains("19 messages") && full.contains("127.0.0.1:1"), "{full}");
}
