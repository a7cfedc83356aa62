//! How tests end, and what is said of results that are not what was asked for.

use super::*;

#[test]
fn a_lost_driver_neither_stops_the_test_nor_hides() {
    let (mut world, mut a, mut b) = World::with_running();
    world.report(b.report("t", 0, stats(&[1]), None));
    world.run_s(&[&a], 8);
    assert_eq!(world.participants("t"), [("a", ParticipantState::Running), ("b", ParticipantState::Lost)]);
    world.report(a.report("t", 0, stats(&[1, 2, 3]), DONE));
    assert_eq!(world.state("t"), TestState::Running, "the lost one may still return");
    world.run_s(&[&a], 6);
    let record = world.record("t");
    assert_eq!((record.state, record.outcome), (TestState::Completed, Some(Outcome::Incomplete)));
    assert!(record.reason.as_ref().unwrap().contains("b was lost: no heartbeat for 5 seconds"));
    let line = &record.conservation.as_ref().unwrap().line;
    assert!(line.starts_with("conservation: incomplete (b was lost"), "{line}");
}

#[test]
fn a_driver_that_returns_is_lost_no_more() {
    let (mut world, mut a, mut b) = World::with_running();
    world.run_s(&[&a], 7);
    assert_eq!(world.participants("t")[1].1, ParticipantState::Lost);
    world.report(b.report("t", 0, stats(&[1, 2, 3]), DONE));
    world.report(a.report("t", 0, stats(&[1, 2, 3]), DONE));
    let record = world.record("t");
    assert_eq!((record.state, record.outcome), (TestState::Completed, Some(Outcome::Exact)), "{:?}", record.reason);
}

#[test]
fn a_restarted_driver_is_lost_to_the_test() {
    let (mut world, a, _) = World::with_running();
    let again = SimDriver::new("b", "another life");
    for _ in 0..4 {
        world.hear(a.heartbeat(NodeState::Running, Some("t")));
        world.idle(&again);
        world.pass_ms(1000);
    }
    assert_eq!(world.participants("t")[1].1, ParticipantState::Lost);
    assert!(world.record("t").participants[1].reason.as_ref().unwrap().contains("started again"));
}

#[test]
fn when_all_are_lost_the_test_ends() {
    let (mut world, ..) = World::with_running();
    for _ in 0..15 {
        world.pass_ms(1000);
    }
    assert_eq!((world.state("t"), world.record("t").outcome), (TestState::Completed, Some(Outcome::Incomplete)));
}

#[test]
fn a_driver_that_does_not_run_the_test_does_not_hang_it() {
    let (mut world, mut a, b) = World::with_running();
    world.report(a.report("t", 0, stats(&[1, 2, 3]), DONE));
    for _ in 0..16 {
        world.idle(&a);
        world.idle(&b);
        world.pass_ms(1000);
    }
    assert_eq!(world.participants("t"), [("a", ParticipantState::Completed), ("b", ParticipantState::Failed)]);
    assert_eq!(world.state("t"), TestState::Completed);
}

#[test]
fn a_stop_waits_for_final_reports_but_not_for_ever() {
    let (mut world, mut a, b) = World::with_running();
    world.core.stop(&test_id("t"), &Actor::NOBODY, world.now).unwrap();
    world.settle();
    assert!(!world.triggers.last().unwrap().start);
    world.report(a.report("t", 0, stats(&[1]), Some(EndReason::Stopped)));
    world.run_s(&[&a, &b], 29);
    assert_eq!(world.state("t"), TestState::Running);
    world.run_s(&[&a, &b], 2);
    assert_eq!((world.state("t"), world.record("t").outcome), (TestState::Stopped, Some(Outcome::Incomplete)));
    world.create("u", false).unwrap();
    world.core.stop(&test_id("u"), &Actor::NOBODY, world.now).unwrap();
    world.settle();
    assert_eq!(world.state("u"), TestState::Stopped);
    // Whatever is asked for again, the drivers are told again: one that did not hear of it may run it.
    for id in ["u", "t", "never"] {
        let told = world.triggers.len();
        assert_eq!(
            world.core.stop(&test_id(id), &Actor::NOBODY, world.now),
            Err(Problem::no_such_test(&test_id(id))),
            "it is open no more"
        );
        world.settle();
        let last = world.triggers.last().unwrap();
        assert_eq!((world.triggers.len(), last.start, &last.test_id), (told + 1, false, &test_id(id)));
    }
}

#[test]
fn everything_is_stopped_at_once() {
    let (mut world, a, b) = World::with_running();
    world.create("u", false).unwrap();
    world.hear(a.heartbeat(NodeState::Running, Some("somebody else's")));
    world.hear(b.heartbeat(NodeState::Running, Some("t")));
    world.triggers.clear();
    let stopped = world.core.stop_all(&Actor::NOBODY, world.now);
    world.settle();
    let names = ["t", "u", "somebody else's"].map(test_id);
    assert_eq!(stopped, names);
    assert!(world.triggers.iter().all(|trigger| !trigger.start));
    assert_eq!(world.triggers.iter().map(|trigger| trigger.test_id.clone()).collect::<Vec<_>>(), names);
    assert!(world.record("t").stop_requested);
    assert_eq!(world.state("u"), TestState::Stopped);
}

#[test]
fn messages_that_nobody_can_receive_are_said() {
    let (mut world, ..) = World::with_running();
    world.core.give_up(&onrush_bus::Skipped { topic: Topic::Metrics, partition: 2, from: 7, to: 11 }, world.now);
    world.settle();
    assert_eq!(world.core.skips.counts(), [("metrics: given up unread".to_owned(), 4)].into());
    let event = world.record("t").events.kept().last().unwrap();
    assert!(event.detail.contains("4 messages of topic metrics (partition 2, from offset 7)"), "{event:?}");
}

#[test]
fn absurd_reports_do_not_pass_for_a_result() {
    let (mut world, mut a, mut b) = World::with_running();
    let mut huge = stats(&[1]);
    huge.counts.sent = 1_000_000_000_000;
    huge.counts.statuses = [(200, 1_000_000_000_000)].into();
    // Four reports in the name of `b`, which is silent from now on.
    for second in 0..4 {
        let metrics = b.report("t", second, huge.clone(), None);
        world.report(metrics);
    }
    world.report(a.report("t", 0, stats(&[1, 2, 3]), DONE));
    for _ in 0..15 {
        world.idle(&a);
        world.pass_ms(1000);
    }
    let record = world.record("t");
    assert_eq!((record.state, record.outcome), (TestState::Completed, Some(Outcome::Invalid)));
    let line = &record.conservation.as_ref().unwrap().line;
    assert!(line.starts_with("conservation: invalid") && line.contains("b: a report was refused"), "{line}");
    assert_eq!(world.core.reports.skipped, 4);
}

#[test]
fn an_end_that_nobody_here_asked_for_is_said() {
    // Who is stopped by somebody else, and the state that the test has then.
    for (stopped, state) in [(&["a", "b"][..], TestState::Stopped), (&["b"], TestState::Completed)] {
        let (mut world, a, b) = World::with_running();
        for mut driver in [a, b] {
            let end =
                if stopped.contains(&driver.node_id.as_str()) { EndReason::Stopped } else { EndReason::Completed };
            let latencies: &[u64] = if end == EndReason::Completed { &[1, 2, 3] } else { &[1] };
            let metrics = driver.report("t", 0, stats(latencies), Some(end));
            world.report(metrics);
        }
        let record = world.record("t");
        assert_eq!((record.state, record.outcome), (state, Some(Outcome::Incomplete)));
        let line = &record.conservation.as_ref().unwrap().line;
        assert!(line.contains("conservation: incomplete (2 drivers: ") && line.contains("add up"), "{line}");
        let reason = record.reason.as_ref().unwrap();
        for name in ["a", "b"] {
            let words =
                format!("{name} was stopped early, by somebody else than this orchestrator: after 0 s, with 1 of 3");
            assert_eq!(reason.contains(&words), stopped.contains(&name), "{reason}");
        }
    }
}

#[test]
fn reports_that_overtake_each_other_do_not_end_a_test_early() {
    let (mut world, mut a, mut b) = World::with_running();
    let first = a.report("t", 0, stats(&[1, 2]), None);
    let last = a.report("t", 1, stats(&[3]), DONE);
    world.report(b.report("t", 0, stats(&[1, 2, 3]), DONE));
    world.report(last);
    assert_eq!(world.state("t"), TestState::Running);
    world.report(first);
    assert_eq!(world.state("t"), TestState::Completed);
    assert_eq!(world.record("t").outcome, Some(Outcome::Exact));
}

#[test]
fn a_report_that_never_comes_breaches_the_proof() {
    let (mut world, mut a, mut b) = World::with_running();
    drop(a.report("t", 0, stats(&[1, 2]), None));
    world.report(a.report("t", 1, stats(&[3]), DONE));
    world.report(b.report("t", 0, stats(&[1, 2, 3]), DONE));
    world.run_s(&[&a, &b], 6);
    let record = world.record("t");
    assert_eq!((record.state, record.outcome), (TestState::Completed, Some(Outcome::Invalid)));
}
