//! What becomes of a consumer's positions when topics change and when nothing comes.

use std::time::Instant;

use super::*;
use crate::asker::TopicView;

const TOPIC: Topic = Topic::Metrics;

fn view(id: &str, ends: &[i64]) -> View {
    let topic = TopicView { id: id.into(), partitions: ends.len() as i32 };
    View {
        reachable_since: Some(Instant::now()),
        topics: [(TOPIC, topic)].into(),
        ends: ends.iter().enumerate().map(|(n, end)| ((TOPIC, n as i32), *end)).collect(),
        ..View::default()
    }
}

fn at(next: &[i64]) -> Positions {
    let partition = |(n, next): (usize, &i64)| Partition::new(TOPIC, n as i32, "id".into(), *next);
    Positions::new(next.iter().enumerate().map(partition).collect(), 0)
}

fn nexts(positions: &Positions) -> Vec<i64> {
    positions.partitions.iter().map(|p| p.next).collect()
}

fn drained() -> Look<'static> {
    Look { is_drained: true, is_after_outage: false, met_too_large: false, fetched_up_to: &|_| None }
}

/// How many looks it takes to find a remedy, of at most 10,000.
fn looks(positions: &mut Positions, view: &View, look: &Look<'_>) -> Option<(u32, Remedy)> {
    (1..10_000).find_map(|n| positions.look(view, look).map(|remedy| (n, remedy)))
}

#[test]
fn new_partitions_are_read_from_their_beginning_and_the_others_go_on() {
    let mut positions = at(&[7]);
    assert_eq!(positions.follow(&view("id", &[9])), []);
    assert_eq!(positions.follow(&view("id", &[9, 3, 0])), [Change::Grown { topic: TOPIC, before: 1, partitions: 3 }]);
    assert_eq!(nexts(&positions), [7, 0, 0]);
    assert_eq!(positions.follow(&view("id", &[9, 3, 0])), []);
}

#[test]
fn a_topic_that_took_the_name_of_another_is_read_from_its_beginning() {
    let mut positions = at(&[7, 8]);
    assert_eq!(positions.follow(&view("other", &[9])), [Change::Replaced { topic: TOPIC }]);
    assert_eq!(nexts(&positions), [0]);
    assert_eq!(*positions.partitions[0].topic_id, *"other");
    assert_eq!(positions.follow(&view("other", &[9])), []);
    // A topic that is missing for a while, or a broker that gives no ids, changes nothing.
    assert_eq!(positions.follow(&View { topics: Default::default(), ..view("", &[]) }), []);
    assert_eq!(positions.follow(&view("", &[9])), []);
    assert_eq!(positions.follow(&view("other", &[9])), []);
}

#[test]
fn at_another_broker_everything_is_read_from_its_beginning_though_its_topics_are_not_known_yet() {
    let mut positions = at(&[7, 8]);
    let unknown = View { broker: 1, ..View::default() };
    assert_eq!(positions.follow(&unknown), [Change::Replaced { topic: TOPIC }]);
    assert_eq!(positions.follow(&unknown), []);
    assert_eq!(nexts(&positions), [0, 0]);
    let known = View { broker: 1, ..view("theirs", &[5]) };
    assert_eq!(positions.follow(&known), []);
    assert_eq!((nexts(&positions), &*positions.partitions[0].topic_id), (vec![0], "theirs"));
    positions.read(TOPIC, 0, 4);
    assert_eq!(positions.follow(&View { broker: 2, ..view("theirs", &[5]) }), [Change::Replaced { topic: TOPIC }]);
    assert_eq!(nexts(&positions), [0], "the broker counts, whatever it calls its topics");
}

#[test]
fn a_client_that_gives_nothing_though_there_is_something_is_replaced_sooner_after_an_outage() {
    let behind = view("id", &[9]);
    let remedy = Remedy::NewClient { topic: TOPIC, partition: 0, next: 7, end: 9 };
    assert_eq!(looks(&mut at(&[7]), &behind, &drained()), Some((PATIENCE_LOOKS, remedy.clone())));
    let after_outage = Look { is_after_outage: true, ..drained() };
    assert_eq!(looks(&mut at(&[7]), &behind, &after_outage), Some((PATIENCE_LOOKS_AFTER_OUTAGE, remedy)));
    // In vain: less and less often, until a message comes.
    let mut positions = at(&[7]);
    let mut waits: Vec<u32> = (0..8).map(|_| looks(&mut positions, &behind, &drained()).unwrap().0).collect();
    assert_eq!(waits.remove(1), 2 * PATIENCE_LOOKS);
    assert_eq!(waits.pop(), Some(PATIENCE_LOOKS << MAX_DOUBLINGS));
    positions.read(TOPIC, 0, 7);
    assert_eq!(looks(&mut positions, &behind, &drained()).unwrap().0, PATIENCE_LOOKS);
}

#[test]
fn a_client_is_left_alone_while_there_is_nothing_to_read_or_nobody_to_ask() {
    let silent = |view: &View, look: &Look<'_>| assert_eq!(looks(&mut at(&[7]), view, look), None);
    silent(&view("id", &[7]), &drained());
    silent(&view("id", &[3]), &drained());
    silent(&View { reachable_since: None, ..view("id", &[9]) }, &drained());
    silent(&View { ends: Default::default(), ..view("id", &[9]) }, &drained());
    // It has something that was not taken yet; or what is there was fetched and holds no message.
    silent(&view("id", &[9]), &Look { is_drained: false, ..drained() });
    silent(&view("id", &[9]), &Look { fetched_up_to: &|_| Some(9), ..drained() });
    // Now and then a message comes.
    let mut positions = at(&[0]);
    for offset in 0..100 {
        assert!((1..PATIENCE_LOOKS).all(|_| positions.look(&view("id", &[1000]), &drained()).is_none()));
        positions.read(TOPIC, 0, offset);
    }
}

#[test]
fn what_can_never_be_received_is_passed_over_in_growing_steps_and_never_beyond_the_end() {
    let too_large = Look { met_too_large: true, ..drained() };
    let mut positions = at(&[7]);
    let behind = view("id", &[12]);
    let step = |positions: &mut Positions| looks(positions, &behind, &too_large).map(|(_, remedy)| remedy);
    assert_eq!(step(&mut positions), Some(Remedy::NewClient { topic: TOPIC, partition: 0, next: 7, end: 12 }));
    let passed = |from, to| Some(Remedy::PassOver { topic: TOPIC, partition: 0, from, to });
    assert_eq!(step(&mut positions), passed(7, 8));
    assert_eq!(step(&mut positions), passed(8, 10));
    assert_eq!(step(&mut positions), passed(10, 12));
    assert_eq!(step(&mut positions), None);
}

#[test]
fn it_is_up_to_the_end_when_every_partition_is() {
    let is_up_to = |next: &[i64], ends: &[i64]| at(next).is_up_to(&view("id", ends), &drained());
    assert!(is_up_to(&[7, 0], &[7, 0]) && is_up_to(&[9, 0], &[7, 0]));
    assert!(!is_up_to(&[7, 0], &[7, 1]) && !is_up_to(&[7, 0], &[7]));
}
