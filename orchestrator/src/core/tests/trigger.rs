//! From a trigger to the start, whatever stands in the way.

use super::*;

#[test]
fn too_few_drivers_are_counted_in_words() {
    let mut world = World::new();
    world.idle(&SimDriver::new("a", "s"));
    let too_few = Err(Problem::conflict("1 of at least 2 drivers are registered; 1 is missing"));
    assert_eq!(world.create("t", true), too_few);
    assert!(world.core.test(&test_id("t")).is_none(), "nothing was made");
    world.create("t", false).unwrap();
    assert_eq!(world.trigger("t"), too_few);
    assert_eq!(world.state("t"), TestState::Configured);
    assert_eq!(world.trigger("unknown"), Err(Problem::no_such_test(&test_id("unknown"))));
}

#[test]
fn the_trigger_arms_drivers_that_prepared_for_another_test() {
    let (mut world, a, b) = World::with_two();
    world.create("one", false).unwrap();
    world.create("two", false).unwrap();
    world.armed(&a, "two");
    world.armed(&b, "two");
    assert_eq!((world.state("one"), world.state("two")), (TestState::Configured, TestState::Armed));
    world.trigger("one").unwrap();
    assert_eq!(world.configs.last().unwrap().test_id, test_id("one"));
    assert!(world.answers.is_empty());
    assert!(world.trigger("two").unwrap_err().to_string().contains("test one is about to start"));
    world.armed(&a, "one");
    world.armed(&b, "one");
    assert_eq!(world.answers, [Ok(())]);
    assert!(world.trigger("two").unwrap_err().to_string().contains("test one is running"));
    let published = world.configs.len();
    world.create("three", false).unwrap();
    assert_eq!(world.configs.len(), published, "a running test is not disturbed by preparing another");
    world.core.stop(&test_id("one"), &Actor::NOBODY, world.now).unwrap();
    for mut driver in [a, b] {
        let metrics = driver.report("one", 0, stats(&[1]), Some(EndReason::Stopped));
        world.report(metrics);
    }
    assert_eq!(world.configs.last().unwrap().test_id, test_id("three"));
}

#[test]
fn a_refusal_and_a_slow_driver_are_named() {
    let (mut world, a, b) = World::with_two();
    world.create("t", false).unwrap();
    world.armed(&a, "t");
    world.hear(b.refusal("t", "no route to the target"));
    assert_eq!(world.participants("t")[1].1, ParticipantState::Refused);
    // Asked again, the driver gets a moment to think again.
    world.trigger("t").unwrap();
    world.hear(b.refusal("t", "no route to the target"));
    assert!(world.answers.is_empty());
    for _ in 0..3 {
        world.pass_ms(1000);
        world.armed(&a, "t");
        world.hear(b.refusal("t", "no route to the target"));
    }
    let problem = world.answers.pop().unwrap().unwrap_err();
    assert_eq!(problem.to_string(), "b refuses the test: no route to the target");
    world.trigger("t").unwrap();
    for _ in 0..11 {
        world.armed(&a, "t");
        world.idle(&b);
        world.pass_ms(1000);
    }
    let problem = world.answers.pop().unwrap().unwrap_err();
    assert_eq!(problem.to_string(), "not armed within 10 seconds: b");
    assert_eq!(world.state("t"), TestState::Configured, "it can be triggered again");
}

#[test]
fn a_test_that_was_to_start_by_itself_fails_with_the_reason() {
    let (mut world, a, b) = World::with_two();
    world.create("t", true).unwrap();
    world.armed(&a, "t");
    world.hear(b.refusal("t", "no route to the target"));
    assert_eq!(world.state("t"), TestState::Failed);
    assert_eq!(world.record("t").reason.as_deref(), Some("b refuses the test: no route to the target"));
    assert!(!world.triggers[0].start, "the others need not stay armed");
    world.create("u", true).unwrap();
    world.armed(&a, "u");
    world.armed(&b, "u");
    assert_eq!(world.state("u"), TestState::Running);
}

/// One brain's life on real moments: the clock it reads, and a broker that has always been there.
fn turn(world: &mut World, clock: &mut Clock, real: Instant, unix_ms: f64) {
    world.now = clock.at(real, unix_ms);
    if let Some(gap) = clock.take_gap() {
        world.core.woke(gap, world.now);
    }
    world.settle();
}

#[test]
fn our_own_pause_neither_loses_drivers_nor_lets_a_patience_run_out() {
    // Paused while idle, while arming and while the test runs.
    for paused_in in 0..3 {
        let (mut world, mut a, mut b) = World::with_two();
        let (mut clock, mut real) = (Clock::starting(world.now.mono), world.now.mono);
        let unix_ms = world.now.unix_ms;
        let mut pass_ms = |world: &mut World, ms: u64| {
            real += Duration::from_millis(ms);
            turn(world, &mut clock, real, unix_ms);
        };
        let mut pause = |world: &mut World, at: i32| {
            if at == paused_in {
                pass_ms(world, 60_000);
            }
            for _ in 0..40 {
                pass_ms(world, 100);
            }
        };
        pause(&mut world, 0);
        world.idle(&a);
        world.idle(&b);
        assert_eq!(world.create("t", true), Ok(()), "paused in {paused_in}");
        world.armed(&a, "t");
        pause(&mut world, 1);
        world.armed(&a, "t");
        world.armed(&b, "t");
        assert_eq!(world.state("t"), TestState::Running, "paused in {paused_in}: {:?}", world.record("t").reason);
        world.report(a.report("t", 0, stats(&[1]), None));
        pause(&mut world, 2);
        assert!(world.record("t").participants.iter().all(|p| p.state == ParticipantState::Running));
        for driver in [&mut a, &mut b] {
            world.hear(driver.heartbeat(NodeState::Running, Some("t")));
        }
        world.report(a.report("t", 1, stats(&[1, 2]), DONE));
        world.report(b.report("t", 0, stats(&[1, 2, 3]), DONE));
        let record = world.record("t");
        assert_eq!((record.state, record.outcome), (TestState::Completed, Some(Outcome::Exact)), "{:?}", record.reason);
        assert!(!record.events.kept().iter().any(|event| event.kind == TestEvent::Lost), "{:?}", record.events);
    }
}

#[test]
fn a_test_that_was_to_start_by_itself_does_not_start_long_after() {
    // How long ago it was made when this process starts again, and whether it then still starts.
    for (age_ms, starts) in [(3_000, true), (11_000, false), (3 * 86_400_000, false)] {
        let (mut world, a, b) = World::with_two();
        world.create("t", true).unwrap();
        let record = world.record("t").clone();
        let drivers = ["a", "b"].map(|name| world.core.registry.get(&node(name)).unwrap().identity.clone());
        world.now = world.now.plus_ms(age_ms);
        let tests = vec![(record, Aggregate::default())];
        world.core = Core::new(Seats { min: 2, max: 8 }, drivers.into(), tests, 1, world.now);
        world.settle();
        world.triggers.clear();
        world.armed(&a, "t");
        world.armed(&b, "t");
        assert_eq!(world.triggers.iter().any(|trigger| trigger.start), starts, "{age_ms} ms");
        if !starts {
            let record = world.record("t");
            assert_eq!(record.state, TestState::Failed);
            assert!(record.reason.as_ref().unwrap().starts_with("not armed within 10 seconds"), "{:?}", record.reason);
        }
    }
}

#[test]
fn a_trigger_says_whom_it_waits_for() {
    let (mut world, a, _) = World::with_two();
    world.create("t", false).unwrap();
    world.trigger("t").unwrap();
    let reason = |world: &World| world.record("t").reason.clone().unwrap_or_default();
    assert!(reason(&world).ends_with("waiting for a, b"), "{}", reason(&world));
    world.armed(&a, "t");
    assert!(reason(&world).ends_with("waiting for b"), "{}", reason(&world));
}

/// Both are known, and the broker comes back after an outage in which nobody could be heard.
fn after_an_outage() -> (World, SimDriver, SimDriver) {
    let (mut world, a, b) = World::with_two();
    let until_settled = |world: &mut World, reachable: Option<Instant>, ms| {
        world.now = world.now.plus_ms(ms);
        world.core.settle(reachable, true, world.now);
        world.core.take_effects(world.now);
    };
    let begun = world.now.mono;
    until_settled(&mut world, Some(begun), 1000);
    until_settled(&mut world, None, 1000);
    until_settled(&mut world, None, 20_000);
    (world.reached, world.now) = (Some(world.now.mono), world.now.plus_ms(2000));
    world.settle();
    (world, a, b)
}

#[test]
fn after_an_outage_of_the_broker_a_trigger_has_patience() {
    let (mut world, a, b) = after_an_outage();
    // One of them needs until its request times out to notice.
    world.create("t", true).unwrap();
    world.armed(&a, "t");
    for _ in 0..12 {
        world.pass_ms(1000);
        world.armed(&a, "t");
        assert!(!world.state("t").is_end(), "{:?}", world.record("t").reason);
    }
    world.armed(&b, "t");
    assert_eq!(world.state("t"), TestState::Running);
}

#[test]
fn a_trigger_that_finds_too_few_waits_for_those_that_are_expected_back() {
    let (mut world, a, b) = World::with_two();
    for _ in 0..6 {
        world.pass_ms(1000);
        world.idle(&a);
    }
    assert!(!world.core.expects_enough_drivers(world.now), "b is lost, and nothing explains it");
    // This process stood still; b has time to be heard.
    world.core.woke(Duration::from_secs(8), world.now);
    assert!(world.core.expects_enough_drivers(world.now));
    world.idle(&b);
    assert!(!world.core.expects_enough_drivers(world.now), "there are enough");
    assert_eq!(world.create("t", true), Ok(()));
    world.core.stop(&test_id("t"), &Actor::NOBODY, world.now).unwrap();
    world.hear(b.goodbye());
    world.core.woke(Duration::from_secs(8), world.now);
    assert!(!world.core.expects_enough_drivers(world.now), "it left");
}

#[test]
fn a_driver_whose_clock_is_an_hour_ahead_starts_with_the_others() {
    let (mut world, mut a, mut b) = World::with_two();
    let ahead_ms = 3_600_000.0;
    world.create("t", false).unwrap();
    for _ in 0..5 {
        world.pass_ms(1000);
        for (driver, offset_ms) in [(&a, 0.0), (&b, ahead_ms)] {
            let timestamp_unix_ms = Some(world.now.unix_ms + offset_ms - 3.0);
            world.hear(Heartbeat { timestamp_unix_ms, ..driver.heartbeat(NodeState::Armed, Some("t")) });
        }
    }
    world.trigger("t").unwrap();
    assert_eq!(world.state("t"), TestState::Running);
    let trigger = &world.triggers[0];
    assert_eq!(trigger.clock_offsets_ms, [(node("b"), ahead_ms - 3.0)].into());
    // Each reports its start by its own clock.
    let start_at = trigger.start_at_unix_ms.unwrap();
    for (driver, offset_ms) in [(&mut a, 0.0), (&mut b, ahead_ms)] {
        let mut metrics = driver.report("t", 0, stats(&[1, 2, 3]), DONE);
        metrics.measured.as_mut().unwrap().started_at_unix_ms = start_at + offset_ms;
        world.report(metrics);
    }
    let record = world.record("t");
    assert_eq!((record.state, record.outcome), (TestState::Completed, Some(Outcome::Exact)));
    assert_eq!(crate::views::test(record).start_skew_ms, Some(3.0));
    let clock = record.events.kept().iter().find(|event| event.kind == TestEvent::Clock).unwrap();
    assert!(clock.node_id == Some(node("b")) && clock.detail.contains("60.0 min ahead"), "{clock:?}");
}
