//! A capacity search decides the load of its test, and ends with it.

use onrush_protocol::Shape;
use onrush_search::{Criterion, Goal};
use onrush_stats::SecondStats;

use super::*;
use crate::amend::LoadChange;
use crate::capacity::{SearchEnd, SearchRecord};

const MS: u64 = 1_000_000;

fn new_search(budget_s: u64) -> NewSearch {
    let slo = vec![Criterion::quantile(0.99, Duration::from_millis(50))];
    let goal = Goal { start_per_s: 100.0, budget: Duration::from_secs(budget_s), width: 0.1, ..Goal::new(slo) };
    let mut test = NewTest { config: config("t", 1), name: None, trigger: true };
    test.config.count_per_driver = None;
    test.config.duration = Some(Duration::from_secs(budget_s + 10));
    test.config.total_throughput_per_s = Some(100.0);
    NewSearch { test, goal }
}

/// Two drivers that run a search.
fn searching(budget_s: u64) -> (World, [SimDriver; 2]) {
    let (mut world, a, b) = World::with_two();
    world.core.create_search(new_search(budget_s), &Actor::NOBODY, world.now).unwrap();
    world.settle();
    for (index, driver) in [&a, &b].into_iter().enumerate() {
        let share = Some(onrush_protocol::Share { index: index as u32, of: 2 });
        world.hear(Heartbeat { share, ..driver.heartbeat(NodeState::Armed, Some("t")) });
    }
    assert_eq!(world.state("t"), TestState::Running);
    // The start lies a little ahead.
    world.now = world.now.plus_ms(510);
    (world, [a, b])
}

/// The newest of what is stored of the search.
fn stored(world: &World) -> &SearchRecord {
    let of_search = |effect: &Effect| matches!(effect, Effect::Search(_));
    match world.effects.iter().rev().find(|effect| of_search(effect)) {
        Some(Effect::Search(record)) => record,
        _ => panic!("nothing is stored of the search"),
    }
}

/// One second: the drivers make the changes that they heard of, and send; requests are late from 400 a second on.
fn second(world: &mut World, drivers: &mut [SimDriver; 2], second_index: u64, end: Option<EndReason>) {
    world.now = world.now.plus_ms(1000);
    let record = world.record("t");
    let made: Vec<Option<u64>> = record.config.amendments.iter().map(|made| Some(made.at_second)).collect();
    let asked = record.config.amendments.iter().rfind(|made| made.at_second <= second_index);
    let rate_per_s = asked.map_or(100.0, |made| match made.profile.phases[0].shape {
        Shape::Constant { rate_per_s } => rate_per_s,
        other => panic!("no rate: {other:?}"),
    });
    let latency_ns = if rate_per_s < 400.0 { 10 * MS } else { 90 * MS };
    let stats: SecondStats = stats(&vec![latency_ns; (rate_per_s / 2.0).round() as usize]);
    for driver in drivers.iter_mut() {
        let heartbeat = Heartbeat { amended_at: made.clone(), ..driver.heartbeat(NodeState::Running, Some("t")) };
        world.hear(heartbeat);
        let report = driver.report("t", second_index, stats.clone(), end.clone());
        world.report(report);
    }
}

#[test]
fn a_search_changes_its_test_and_ends_it() {
    let (mut world, mut drivers) = searching(300);
    assert_eq!((stored(&world).end.clone(), stored(&world).trying_per_s), (None, 100.0));
    let mut index = 0;
    while stored(&world).end.is_none() {
        second(&mut world, &mut drivers, index, None);
        index += 1;
        assert!(index < 320, "it does not end");
    }
    let found = stored(&world).found.clone().unwrap();
    assert_eq!(stored(&world).end, Some(SearchEnd::Found));
    let (lower, upper) = (found.lower_per_s.unwrap(), found.upper_per_s.unwrap());
    assert!((300.0..=405.0).contains(&lower) && (390.0..450.0).contains(&upper), "{found}");
    let record = world.record("t");
    assert!(record.stop_requested && record.config.amendments.len() > 3, "{record:?}");
    // Each change was told to the drivers in time: from the next second but one on.
    assert_eq!(world.configs.last().unwrap().amendments, record.config.amendments);
    assert!(!world.triggers.last().unwrap().start);
    second(&mut world, &mut drivers, index, Some(EndReason::Stopped));
    world.pass_ms(6000);
    let record = world.record("t");
    assert_eq!((record.state, record.outcome), (TestState::Stopped, Some(Outcome::Exact)), "{record:?}");
}

#[test]
fn nobody_else_changes_its_load_and_a_stop_ends_both() {
    let (mut world, mut drivers) = searching(300);
    (0..12).for_each(|index| second(&mut world, &mut drivers, index, None));
    let change = world.core.amend(&test_id("t"), &LoadChange::Pause, Duration::from_secs(3), &Actor::NOBODY, world.now);
    assert!(change.unwrap_err().to_string().contains("a capacity search decides"));
    world.core.stop_search(&test_id("t"), &Actor::NOBODY, world.now).unwrap();
    world.settle();
    let record = stored(&world);
    assert_eq!((&record.end, record.ended_unix_ms), (&Some(SearchEnd::Stopped), Some(world.now.unix_ms)));
    let found = record.found.clone().unwrap();
    assert!(found.lower_per_s.is_none_or(|lower| lower <= 200.0) && found.upper_per_s.is_none(), "{found}");
    assert!(world.record("t").stop_requested);
    let again = world.core.stop_search(&test_id("none"), &Actor::NOBODY, world.now);
    assert!(matches!(again, Err(Problem::NotFound(_))));
}

#[test]
fn a_test_that_ends_before_its_search_ends_that_in_words() {
    let (mut world, mut drivers) = searching(300);
    (0..12).for_each(|index| second(&mut world, &mut drivers, index, None));
    second(&mut world, &mut drivers, 12, Some(EndReason::Failed("no more memory".into())));
    world.pass_ms(6000);
    let record = stored(&world);
    assert!(world.record("t").state.is_end());
    assert!(matches!(&record.end, Some(SearchEnd::Failed(why)) if why.contains("no more memory")), "{:?}", record.end);
    assert!(record.found.as_ref().is_some_and(|found| found.upper_per_s.is_none()));
}

#[test]
fn a_search_that_cannot_start_is_refused_or_fails_in_words() {
    let mut world = World::new();
    let refused = world.core.create_search(new_search(60), &Actor::NOBODY, world.now).unwrap_err().to_string();
    assert!(refused.contains("2 are missing"), "{refused}");
    let (mut world, _, _) = World::with_two();
    world.idle(&SimDriver::plain("p"));
    world.settle();
    if world.core.registry.live().any(|driver| driver.session_id().is_none()) {
        let refused = world.core.create_search(new_search(60), &Actor::NOBODY, world.now).unwrap_err().to_string();
        assert!(refused.contains("p speaks only the specification"), "{refused}");
    }
    let (mut world, a, _) = World::with_two();
    world.core.create_search(new_search(60), &Actor::NOBODY, world.now).unwrap();
    world.settle();
    world.pass_ms(3000);
    world.hear(a.refusal("t", "too few descriptors"));
    world.pass_ms(3000);
    world.hear(a.refusal("t", "too few descriptors"));
    assert_eq!(world.state("t"), TestState::Failed);
    let record = stored(&world);
    assert!(matches!(&record.end, Some(SearchEnd::Failed(why)) if why.contains("too few descriptors")), "{record:?}");
}
