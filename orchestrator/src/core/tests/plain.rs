//! Nodes of other make that send only the fields of the specification.

use super::*;

#[test]
fn drivers_of_the_specification_only_take_part() {
    let mut world = World::new();
    let (a, b) = (SimDriver::plain("a"), SimDriver::plain("b"));
    world.idle(&a);
    world.idle(&b);
    world.create("t", true).unwrap();
    assert_eq!(world.state("t"), TestState::Running, "they do not say that they are armed");
    for _ in 0..3 {
        world.pass_ms(1000);
        world.report(a.plain_report("t", 4.0));
        world.idle(&a);
        world.idle(&b);
    }
    world.report(b.plain_report("t", 2.0));
    let test = world.core.test(&test_id("t")).unwrap();
    let view = crate::views::metrics(&test.record, &Parts::new());
    assert_eq!((view.all.sent, view.all.latency.mean_ms), (None, Some(3.0)));
    assert_eq!((view.all.latency.min_ms, view.all.latency.max_ms), (Some(1.0), Some(8.0)));
    assert_eq!((view.drivers[0].latency.median_ms, view.drivers[0].answered), (Some(4.0), None));
    assert!(view.all.note.is_some() && view.drivers[0].note.is_some());
    for _ in 0..11 {
        world.idle(&a);
        world.idle(&b);
        world.pass_ms(1000);
    }
    let record = world.record("t");
    assert_eq!((record.state, record.outcome), (TestState::Completed, Some(Outcome::Unproved)), "{:?}", record.reason);
}

/// A test on one driver of ours and a plain one, both armed, of so many requests 10 ms apart.
fn with_a_plain_one(count: u64) -> (World, SimDriver, SimDriver) {
    let (mut world, a, plain) = (World::new(), SimDriver::new("a", "s"), SimDriver::plain("plain"));
    world.idle(&a);
    world.idle(&plain);
    let mut new = NewTest { config: config("t", count), name: None, trigger: true };
    (new.config.test_type, new.config.delay) = (onrush_protocol::TestType::Tsunami, Duration::from_millis(10));
    world.core.create(new, &Actor::NOBODY, world.now).unwrap();
    world.armed(&a, "t");
    assert_eq!(world.state("t"), TestState::Running);
    (world, a, plain)
}

#[test]
fn a_plain_node_that_leaves_after_its_last_report_is_done() {
    for says_goodbye in [false, true] {
        let (mut world, mut a, plain) = with_a_plain_one(300);
        for second in 0..3 {
            world.pass_ms(1000);
            world.report(plain.plain_report("t", 4.0));
            world.idle(&plain);
            let end = if second == 2 { DONE } else { None };
            let metrics = a.report("t", second, stats(&[1; 100]), end);
            world.report(metrics);
        }
        if says_goodbye {
            world.hear(plain.goodbye());
        }
        for _ in 0..70 {
            world.idle(&a);
            world.pass_ms(1000);
        }
        let record = world.record("t");
        assert_eq!(
            (record.state, record.outcome),
            (TestState::Completed, Some(Outcome::Unproved)),
            "{:?}",
            record.reason
        );
        assert_eq!(record.participants[1].state, ParticipantState::Completed);
        let end = record.ended_unix_ms.unwrap() - record.triggered_unix_ms.unwrap();
        assert!(end < if says_goodbye { 8_000.0 } else { 20_000.0 }, "{end} ms");
    }
}

#[test]
fn a_plain_node_that_dies_in_the_middle_is_lost() {
    let (mut world, a, plain) = with_a_plain_one(6_000);
    for _ in 0..5 {
        world.pass_ms(1000);
        world.report(plain.plain_report("t", 4.0));
        world.hear(plain.heartbeat(NodeState::Running, None));
        world.hear(a.heartbeat(NodeState::Running, Some("t")));
    }
    world.run_s(&[&a], 20);
    let part = &world.record("t").participants[1];
    assert_eq!(part.state, ParticipantState::Lost);
    assert!(part.reason.as_ref().unwrap().contains("5 of its reports are in"), "{:?}", part.reason);
}

#[test]
fn a_trigger_between_two_slow_heartbeats_finds_the_node() {
    let (mut world, a, slow) = (World::new(), SimDriver::new("a", "s"), SimDriver::plain("slow"));
    world.idle(&slow);
    for second in 0..60 {
        if second % 5 == 0 {
            world.hear(slow.heartbeat(NodeState::Idle, None));
        }
        world.idle(&a);
        world.pass_ms(1000);
        assert!(world.core.enough_drivers().is_ok(), "in second {second}");
    }
    for _ in 0..4 {
        world.pass_ms(1000);
        world.idle(&a);
    }
    assert_eq!(world.create("t", true), Ok(()));
}
