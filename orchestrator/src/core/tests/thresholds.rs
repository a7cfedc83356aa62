//! Thresholds are held against every sealed second, and may end the test.

use std::time::Duration;

use onrush_protocol::threshold::Breach;
use onrush_stats::SecondStats;

use super::*;

const MS: u64 = 1_000_000;

/// Two drivers that run `t` with these thresholds.
fn running_with(thresholds: &[&str], abort_after_s: Option<u64>) -> (World, SimDriver, SimDriver) {
    let (mut world, a, b) = World::with_two();
    let mut new = NewTest { config: config("t", 100_000), name: None, trigger: false };
    new.config.thresholds = thresholds.iter().map(|text| text.parse().unwrap()).collect();
    new.config.abort_on_fail = abort_after_s.map(Duration::from_secs);
    world.core.create(new, &Actor::NOBODY, world.now).unwrap();
    world.settle();
    world.armed(&a, "t");
    world.armed(&b, "t");
    world.trigger("t").unwrap();
    (world, a, b)
}

/// 100 responses, the slowest after so many milliseconds.
fn second(slowest_ms: u64) -> SecondStats {
    stats(&(1..=100).map(|n| n * slowest_ms * MS / 100).collect::<Vec<_>>())
}

/// Nothing but what was due.
fn silence() -> SecondStats {
    let mut stats = SecondStats::default();
    (stats.counts.due, stats.counts.sent) = (100, 8);
    stats
}

fn both(
    world: &mut World,
    drivers: &mut [SimDriver; 2],
    second_index: u64,
    stats: &SecondStats,
    end: Option<EndReason>,
) {
    for driver in drivers {
        let metrics = driver.report("t", second_index, stats.clone(), end.clone());
        world.report(metrics);
    }
}

fn stops(world: &World) -> usize {
    world.triggers.iter().filter(|trigger| !trigger.start).count()
}

fn details(record: &TestRecord, kind: TestEvent) -> Vec<&str> {
    record.events.kept().iter().filter(|event| event.kind == kind).map(|event| event.detail.as_str()).collect()
}

#[test]
fn a_window_that_is_too_slow_ends_the_test_and_the_reason_stands() {
    let (mut world, a, b) = running_with(&["max<=200ms over 2s", "failed<1%"], Some(1));
    let mut drivers = [a, b];
    // Too slow before the thresholds are enforced; the window of the next second still holds it.
    both(&mut world, &mut drivers, 0, &second(500), None);
    assert_eq!(stops(&world), 0);
    both(&mut world, &mut drivers, 1, &second(100), None);
    assert_eq!(stops(&world), 1);
    let words = "max<=200ms over 2s was 500.0 ms at second 1";
    let record = world.record("t");
    assert_eq!(record.state, TestState::Running, "final reports are waited for");
    assert_eq!(record.reason.as_deref(), Some(format!("stopping: {words}: waiting for the final reports").as_str()));
    assert_eq!(details(record, TestEvent::Threshold), [format!("not kept: {words}")]);
    assert_eq!(details(record, TestEvent::Stop), [format!("the drivers were told to stop: {words}")]);
    both(&mut world, &mut drivers, 2, &second(50), Some(EndReason::Stopped));
    let record = world.record("t");
    assert_eq!((record.state, record.outcome), (TestState::Stopped, Some(Outcome::Exact)));
    assert_eq!(record.reason.as_deref(), Some(format!("stopped: {words}").as_str()));
    let [slow, failed] = &record.standings[..] else { panic!("two thresholds: {:?}", record.standings) };
    let breach = Breach { second_index: 1, value: Some("500.0 ms".into()), ended_test: true };
    assert_eq!((slow.kept, &slow.breach), (Some(false), &Some(breach)));
    assert_eq!((failed.kept, failed.value.as_deref()), (Some(true), Some("0.000 %")));
    assert_eq!(stops(&world), 1, "it is told once");
}

#[test]
fn a_target_that_stalls_ends_the_test_at_the_next_second() {
    let (mut world, a, b) = running_with(&["p99<200ms over 3s"], Some(0));
    let mut drivers = [a, b];
    for second_index in 0..4 {
        both(&mut world, &mut drivers, second_index, &second(20), None);
    }
    both(&mut world, &mut drivers, 4, &silence(), None);
    assert_eq!(stops(&world), 0, "what was due within the last second may still be in time");
    both(&mut world, &mut drivers, 5, &silence(), None);
    assert_eq!(stops(&world), 1);
    let reason = world.record("t").reason.clone().unwrap();
    assert!(
        reason.contains("p99<200ms over 3s was > 1.000 s, 200 of 400 due have no response at second 5"),
        "{reason}"
    );
}

#[test]
fn without_an_abort_a_broken_window_is_noted_and_the_test_goes_on() {
    let (mut world, a, b) = running_with(&["max<100ms over 1s", "max<100ms", "p99<1s"], None);
    let mut drivers = [a, b];
    both(&mut world, &mut drivers, 0, &second(150), None);
    for second_index in 1..3 {
        both(&mut world, &mut drivers, second_index, &second(10), None);
    }
    let record = world.record("t");
    assert_eq!(details(record, TestEvent::Threshold).len(), 1, "{record:#?}");
    assert_eq!((record.state, stops(&world)), (TestState::Running, 0));
    both(&mut world, &mut drivers, 3, &second(10), DONE);
    let record = world.record("t");
    assert_eq!((record.state, record.reason.as_deref()), (TestState::Completed, None));
    assert_eq!(record.standings.iter().map(|s| s.kept).collect::<Vec<_>>(), [Some(false), Some(false), Some(true)]);
    assert_eq!(record.standings[1].breach, None);
}

#[test]
fn what_is_stopped_or_over_is_ended_by_no_threshold() {
    let (mut world, a, b) = running_with(&["max<100ms over 1s"], Some(0));
    let mut drivers = [a, b];
    both(&mut world, &mut drivers, 0, &second(10), None);
    world.core.stop(&test_id("t"), &Actor::NOBODY, world.now).unwrap();
    both(&mut world, &mut drivers, 1, &second(500), None);
    both(&mut world, &mut drivers, 2, &second(10), Some(EndReason::Stopped));
    let record = world.record("t");
    assert_eq!((record.state, record.reason.as_deref()), (TestState::Stopped, Some("stopped on request")));
    assert!(record.standings[0].breach.is_none());
}

#[test]
fn a_test_with_a_driver_that_counts_nothing_is_not_judged_while_it_runs() {
    let (mut world, mut a, plain) = (World::new(), SimDriver::new("a", "s"), SimDriver::plain("plain"));
    world.idle(&a);
    world.idle(&plain);
    let mut new = NewTest { config: config("t", 100), name: None, trigger: true };
    new.config.thresholds = vec!["p99<1ms".parse().unwrap(), "response_p99<1s".parse().unwrap()];
    new.config.abort_on_fail = Some(Duration::ZERO);
    world.core.create(new, &Actor::NOBODY, world.now).unwrap();
    world.settle();
    world.armed(&a, "t");
    world.report(a.report("t", 0, second(500), None));
    world.report(plain.plain_report("t", 1.0));
    assert_eq!((world.state("t"), stops(&world)), (TestState::Running, 0));
    world.report(a.report("t", 1, second(500), DONE));
    for _ in 0..12 {
        world.idle(&a);
        world.idle(&plain);
        world.pass_ms(1000);
    }
    let record = world.record("t");
    assert_eq!(record.state, TestState::Completed, "{record:#?}");
    // Of what was due nobody knows; of the responses that are known, all.
    assert_eq!(record.standings.iter().map(|s| s.kept).collect::<Vec<_>>(), [Some(false), Some(true)]);
}
