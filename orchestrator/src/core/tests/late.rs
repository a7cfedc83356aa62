//! Tests that are over: reports that come late, and drivers that still run them.

use super::*;
use crate::proof::Conservation;

/// Test `t` on two drivers, each of which sends 3 requests in two reports; `b` was cut off after its first report, and
/// the test has ended without it. What `b` has still to deliver comes with it.
fn ended_without_b(stopped: bool) -> (World, SimDriver, SimDriver, Vec<Metrics>) {
    let (mut world, mut a, mut b) = World::with_running();
    world.report(b.report("t", 0, stats(&[1, 2]), None));
    let end = if stopped { EndReason::Stopped } else { EndReason::Completed };
    let kept = vec![b.report("t", 1, stats(&[3]), None), b.report("t", 2, stats(&[]), Some(end.clone()))];
    world.report(a.report("t", 0, stats(&[1, 2]), None));
    if stopped {
        world.core.stop(&test_id("t"), &Actor::NOBODY, world.now).unwrap();
    }
    world.report(a.report("t", 1, stats(&[3]), Some(end)));
    for _ in 0..35 {
        world.idle(&a);
        world.pass_ms(1000);
    }
    let record = world.record("t");
    assert_eq!(record.outcome, Some(Outcome::Incomplete), "{record:?}");
    assert_eq!(world.participants("t")[1].1, ParticipantState::Lost);
    (world, a, b, kept)
}

fn stored(record: TestRecord, aggregate: Option<Aggregate>) -> Option<StoredTest> {
    Some(StoredTest { record, aggregate, followed: false })
}

fn conservation(record: &TestRecord) -> &Conservation {
    record.conservation.as_ref().unwrap()
}

fn kinds(record: &TestRecord) -> Vec<&str> {
    record.events.kept().iter().map(|event| event.kind.name()).collect()
}

#[test]
fn what_was_missing_at_the_end_enters_the_result_when_it_comes() {
    for stopped in [false, true] {
        let (mut world, _, _, kept) = ended_without_b(stopped);
        let (state, ended) = (world.state("t"), world.record("t").ended_unix_ms);
        assert_eq!(state, if stopped { TestState::Stopped } else { TestState::Completed });
        world.pass_ms(60_000);
        let sealed = world.sealed.len();
        world.report(kept[0].clone());
        let (record, totals) = world.amended.last().unwrap();
        assert_eq!(
            (record.outcome, totals[&node("b")].stats.counts.sent),
            (Some(Outcome::Incomplete), 3),
            "not whole yet"
        );
        assert_eq!(kinds(record).iter().filter(|kind| **kind == "late").count(), 1);
        world.report(kept[1].clone());
        let (record, totals) = world.amended.last().unwrap();
        assert_eq!((record.state, record.ended_unix_ms), (state, ended), "an end state never changes");
        assert_eq!(record.outcome, Some(Outcome::Exact), "{record:?}");
        assert_eq!(record.reason.as_deref(), stopped.then_some("stopped on request"));
        assert_eq!(kinds(record).last(), Some(&"completed late"));
        assert_eq!(record.participants[1].reports, 3);
        assert_eq!(totals.values().map(|total| total.stats.latency.count()).sum::<u64>(), 6);
        // A second that nobody else had is sealed now; the one that was sealed is merged anew from the store.
        assert_eq!(world.sealed[sealed..].iter().map(|second| second.second_index).collect::<Vec<_>>(), [2]);
        let stored = |effect: &&Effect| matches!(effect, Effect::Report(_));
        assert_eq!(world.effects.iter().filter(stored).count(), 5);
        // And now nothing more enters it.
        let amended = world.amended.len();
        world.report(kept[0].clone());
        world.report(SimDriver::new("b", "s").report("t", 7, stats(&[9]), None));
        assert_eq!(world.amended.len(), amended);
    }
}

#[test]
fn they_come_in_any_order_and_more_than_once() {
    let (mut world, _, _, kept) = ended_without_b(false);
    for i in [1, 1, 0, 1, 0] {
        world.report(kept[i].clone());
    }
    let (record, totals) = world.amended.last().unwrap();
    assert_eq!(record.outcome, Some(Outcome::Exact));
    assert_eq!(totals[&node("b")].stats.counts.sent, 3);
}

#[test]
fn nobody_else_can_speak_for_the_lost() {
    let (mut world, ..) = ended_without_b(false);
    world.report(SimDriver::new("b", "another life").report("t", 1, stats(&[3]), DONE));
    world.report(SimDriver::new("stranger", "s").report("t", 1, stats(&[3]), DONE));
    world.report(SimDriver::new("a", "s").report("t", 9, stats(&[3]), DONE));
    world.report(SimDriver::plain("b").plain_report("t", 3.0));
    assert!(world.amended.is_empty());
    assert_eq!(world.core.reports.skipped, 4);
}

#[test]
fn a_test_that_is_not_in_memory_comes_back_from_the_store() {
    let (mut world, _, _, kept) = ended_without_b(false);
    let record = world.record("t").clone();
    assert!(Core::may_lack_reports(&record));
    let mut aggregate = Aggregate::resumed_at(2);
    let (mut a, mut b) = (SimDriver::new("a", "s"), SimDriver::new("b", "s"));
    for metrics in [
        a.report("t", 0, stats(&[1, 2]), None),
        a.report("t", 1, stats(&[3]), DONE),
        b.report("t", 0, stats(&[1, 2]), None),
    ] {
        aggregate.enter(&metrics.node_id, &metrics.measured.unwrap(), world.now.mono).unwrap();
    }
    world.core = Core::new(Seats { min: 2, max: 8 }, Vec::new(), Vec::new(), 0, world.now);
    assert!(world.core.lacks(&test_id("t")) && world.core.lacks(&test_id("never")));
    world.core.recall(&test_id("t"), stored(record, Some(aggregate)), world.now);
    world.core.recall(&test_id("never"), None, world.now);
    assert!(!world.core.lacks(&test_id("t")) && !world.core.lacks(&test_id("never")));
    kept.into_iter().for_each(|metrics| world.report(metrics));
    let (record, _) = world.amended.last().unwrap();
    assert_eq!(record.outcome, Some(Outcome::Exact));
    assert!(!Core::may_lack_reports(record));
}

#[test]
fn only_a_few_are_kept_in_memory() {
    let (mut world, ..) = ended_without_b(false);
    let lost = world.record("t").clone();
    for i in 0..20 {
        let record = TestRecord { test_id: test_id(&format!("t{i}")), ..lost.clone() };
        world.core.recall(&record.test_id.clone(), stored(record, Some(Aggregate::default())), world.now);
        for stranger in 0..40 {
            world.core.recall(&test_id(&format!("x{i}-{stranger}")), None, world.now);
        }
    }
    let kept = |world: &World| (0..20).filter(|i| !world.core.lacks(&test_id(&format!("t{i}")))).count();
    assert_eq!(kept(&world), 4);
    assert_eq!((0..20 * 40).filter(|i| !world.core.lacks(&test_id(&format!("x{}-{}", i / 40, i % 40)))).count(), 256);
    world.pass_ms(121_000);
    assert_eq!(kept(&world), 0, "nothing came for them");
}

#[test]
fn the_target_is_asked_again_unless_another_test_had_begun() {
    let counters = |n| Probe::Counters(Counters { instance: "x".into(), requests: [("/ping".to_owned(), n)].into() });
    // What it counted in all, whether another test began meanwhile, what the check says.
    for (counted, followed, words) in [
        (6, false, "target counted 6"),
        (7, false, "may have counted other traffic"),
        (6, true, "another test had begun"),
    ] {
        let (mut world, mut a, mut b) = World::with_two();
        let mut new = NewTest { config: config("t", 3), name: None, trigger: true };
        new.config.target_url = Some("http://127.0.0.1:9/ping".into());
        world.core.create(new, &Actor::NOBODY, world.now).unwrap();
        world.armed(&a, "t");
        world.armed(&b, "t");
        world.core.target_read(&test_id("t"), counters(0), world.now);
        world.settle();
        world.report(a.report("t", 0, stats(&[1, 2, 3]), DONE));
        let kept = b.report("t", 0, stats(&[1, 2, 3]), DONE);
        for _ in 0..20 {
            world.idle(&a);
            world.pass_ms(1000);
        }
        assert_eq!(world.record("t").outcome, Some(Outcome::Incomplete));
        if followed {
            world.idle(&b);
            world.create("u", true).unwrap();
            world.armed(&a, "u");
            world.armed(&b, "u");
            assert_eq!(world.state("u"), TestState::Running);
        }
        world.effects.clear();
        world.report(kept);
        let asked = world.effects.iter().any(|effect| matches!(effect, Effect::AskTarget(..)));
        assert_eq!(asked, !followed);
        world.core.target_read(&test_id("t"), counters(counted), world.now);
        world.settle();
        let (record, _) = world.amended.last().unwrap();
        let view = conservation(record);
        assert_eq!(record.outcome, Some(Outcome::Exact));
        assert!(view.line.contains(words), "{}", view.line);
    }
}

#[test]
fn a_driver_that_runs_what_is_over_is_told_to_stop() {
    let told = |world: &World| world.triggers.iter().filter(|trigger| !trigger.start).count();
    // It was cut off in the middle: it may end its part, for a minute.
    let (mut world, a, b, _) = ended_without_b(false);
    world.now.unix_ms = world.record("t").ended_unix_ms.unwrap() + 5_000.0;
    let runs = |driver: &SimDriver| driver.heartbeat(NodeState::Running, Some("t"));
    world.hear(runs(&b));
    assert_eq!(told(&world), 0);
    world.hear(runs(&a));
    assert_eq!(told(&world), 1, "its part is whole: it runs it a second time");
    world.now.unix_ms += 60_000.0;
    world.hear(runs(&b));
    world.hear(runs(&b));
    assert_eq!(told(&world), 1, "said again only after a while");
    world.pass_ms(6_000);
    world.hear(runs(&b));
    world.hear(runs(&b));
    assert_eq!(told(&world), 2);
    let mut b = SimDriver::new("b", "s");
    drop(b.report("t", 0, stats(&[1, 2]), None));
    world.report(b.report("t", 1, stats(&[]), Some(EndReason::Stopped)));
    let record = &world.amended.last().unwrap().0;
    assert_eq!(record.outcome, Some(Outcome::Incomplete));
    assert!(record.reason.as_ref().unwrap().contains("long after the test's end"), "{:?}", record.reason);

    // It started after the end; or the test was stopped; or the driver is needed; or the test is whole.
    let (mut world, ..) = ended_without_b(true);
    world.hear(runs(&b));
    assert_eq!(told(&world), 2);
    let (mut world, a, _) = World::with_running();
    world.core.recall(&test_id("whole"), stored(crate::testing::running("whole", 1, &["a"]), None), world.now);
    world.hear(a.heartbeat(NodeState::Running, Some("whole")));
    assert_eq!(told(&world), 1);
    // What nobody here knows is somebody else's.
    world.core.recall(&test_id("unknown"), None, world.now);
    world.hear(a.heartbeat(NodeState::Running, Some("unknown")));
    assert_eq!(told(&world), 1);
}

#[test]
fn a_test_that_somebody_else_started_is_stopped() {
    let (mut world, a, _) = World::with_two();
    world.create("t", false).unwrap();
    world.armed(&a, "t");
    for _ in 0..3 {
        world.hear(a.heartbeat(NodeState::Running, Some("t")));
    }
    assert_eq!(world.triggers.iter().map(|trigger| trigger.start).collect::<Vec<_>>(), [false]);
    assert_eq!(kinds(world.record("t")).iter().filter(|kind| **kind == "started").count(), 1);
}
