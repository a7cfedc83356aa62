//! What an administrator does to the topics while a test runs on them: it stays exact, and the next one works.

use onrush_api::Outcome;
use onrush_protocol::Topic;
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewPartitions};
use rdkafka::client::DefaultClientContext;

use crate::harness::{Broker, Orchestrator, System, Target, beside_others};
use crate::suite::checks::{assert_exact, avalanche, tsunami};

const PER_DRIVER: u64 = 800;

fn admin(broker: &Broker) -> AdminClient<DefaultClientContext> {
    ClientConfig::new().set("bootstrap.servers", broker.address()).create().expect("good settings")
}

/// Does something in the midst of a test of 8 s, whose result must be exact, as must the next one's.
fn in_the_midst(broker: &Broker, act: impl FnOnce()) {
    let _machine = beside_others();
    let system = System::new(broker);
    let target = system.target(&[]);
    let (orchestrator, _drivers) = system.with_drivers(2);
    let test_id = orchestrator.start(&tsunami(&target.url(), PER_DRIVER, "10ms"));
    orchestrator.wait_for_seconds(&test_id, 2);
    act();
    orchestrator.wait_for_end(&test_id);
    assert_exact(&orchestrator, &test_id, 2, PER_DRIVER);
    assert_eq!(target.counted().0, 2 * PER_DRIVER);
    assert_next_is_exact(&orchestrator, &target);
}

fn assert_next_is_exact(orchestrator: &Orchestrator, target: &Target) {
    orchestrator.wait_for_idle(2);
    let next = orchestrator.start(&avalanche(&target.url(), 100));
    orchestrator.wait_for_end(&next);
    assert_exact(orchestrator, &next, 2, 100);
}

#[test]
fn topics_that_grow_lose_nothing() {
    let broker = Broker::kafka();
    in_the_midst(&broker, || {
        let names = Topic::ALL.map(|topic| topic.full_name(broker.prefix()));
        let grown = names.each_ref().map(|name| NewPartitions::new(name, 3));
        let done = pollster::block_on(admin(&broker).create_partitions(&grown, &AdminOptions::new()));
        assert!(done.expect("a broker that answers").iter().all(Result::is_ok));
    });
}

#[test]
fn topics_that_are_deleted_are_made_again() {
    let broker = Broker::kafka();
    in_the_midst(&broker, || {
        let names = [Topic::Register, Topic::TestConfig, Topic::Trigger, Topic::Heartbeat]
            .map(|topic| topic.full_name(broker.prefix()));
        let names = names.each_ref().map(String::as_str);
        let done = pollster::block_on(admin(&broker).delete_topics(&names, &AdminOptions::new()));
        assert!(done.expect("a broker that answers").iter().all(Result::is_ok));
    });
}

/// What the broker had confirmed and nobody had read is gone with it: such a report is missing, and a result must say so. The
/// time between is short, so one of a few tries is whole.
#[test]
fn a_broker_that_loses_everything_costs_no_more_than_what_it_had_alone() {
    const TRIES: usize = 4;
    let broker = Broker::own_kafka();
    let _machine = beside_others();
    let system = System::new(&broker);
    let target = system.target(&[]);
    let (orchestrator, _drivers) = system.with_drivers(2);
    let was_whole = (0..TRIES).any(|_| {
        let test_id = orchestrator.start(&tsunami(&target.url(), PER_DRIVER, "10ms"));
        orchestrator.wait_for_seconds(&test_id, 2);
        broker.wipe();
        let test = orchestrator.wait_for_end(&test_id);
        let is_whole = test.outcome == Some(Outcome::Exact);
        if is_whole {
            assert_exact(&orchestrator, &test_id, 2, PER_DRIVER);
        } else {
            // Incomplete, or invalid where a later report of the same driver arrived: the gap is then seen.
            assert!(test.outcome.is_some_and(|outcome| !outcome.is_sound()), "a report is missing: {test:#?}");
        }
        assert_next_is_exact(&orchestrator, &target);
        is_whole
    });
    assert!(was_whole, "in none of {TRIES} tests did every report arrive");
}
