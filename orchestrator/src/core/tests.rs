use std::time::{Duration, Instant};

use onrush_protocol::{EndReason, Heartbeat, Metrics, NodeState, TestConfig, Trigger};

mod late;

use super::*;
use crate::clock::Clock;
use crate::handle::NewTest;
use crate::target_check::{Counters, Probe};
use crate::testing::{SimDriver, config, node, stats, test_id};
use crate::view::{ParticipantState, TestState, Verdict};

/// The orchestrator's mind on simulated time, with drivers that do as they are told.
struct World {
    core: Core,
    now: Now,
    effects: Vec<Effect>,
    configs: Vec<TestConfig>,
    triggers: Vec<Trigger>,
    answers: Vec<Result<(), Problem>>,
    ended: Vec<TestRecord>,
    sealed: Vec<SealedSecond>,
    amended: Vec<(TestRecord, Totals)>,
    /// Since when the broker answers; `None`: always.
    reached: Option<Instant>,
}

impl World {
    fn new() -> Self {
        let now = Now::read();
        Self {
            core: Core::new(Seats { min: 2, max: 8 }, Vec::new(), Vec::new(), 0, now),
            now,
            effects: Vec::new(),
            configs: Vec::new(),
            triggers: Vec::new(),
            answers: Vec::new(),
            ended: Vec::new(),
            sealed: Vec::new(),
            amended: Vec::new(),
            reached: None,
        }
    }

    fn settle(&mut self) {
        let reached = self.reached.unwrap_or(self.now.mono - Duration::from_secs(3600));
        self.core.settle(Some(reached), true, self.now);
        for effect in self.core.take_effects().0 {
            match effect {
                Effect::Publish { topic: Topic::TestConfig, payload, .. } => {
                    self.configs.push(TestConfig::read(&payload).unwrap());
                }
                Effect::Publish { payload, .. } => self.triggers.push(Trigger::read(&payload).unwrap()),
                Effect::TriggerAnswer(_, answer) => self.answers.push(answer),
                Effect::Ended(test) => self.ended.push(test.record),
                Effect::Sealed(_, second) => self.sealed.push(second),
                Effect::Amended(amended) => self.amended.push(*amended),
                other => self.effects.push(other),
            }
        }
    }

    fn pass_ms(&mut self, ms: u64) {
        self.now = self.now.plus_ms(ms);
        self.settle();
    }

    fn hear(&mut self, heartbeat: Heartbeat) {
        self.core.take(Topic::Heartbeat, Ok(Message::Heartbeat(heartbeat)), self.now.mono, self.now);
        self.settle();
    }

    fn idle(&mut self, driver: &SimDriver) {
        self.core.take(Topic::Register, Ok(Message::Register(driver.register())), self.now.mono, self.now);
        self.hear(driver.heartbeat(NodeState::Idle, None));
    }

    fn armed(&mut self, driver: &SimDriver, test: &str) {
        self.hear(driver.heartbeat(NodeState::Armed, Some(test)));
    }

    fn report(&mut self, metrics: Metrics) {
        self.core.take(Topic::Metrics, Ok(Message::Metrics(metrics)), self.now.mono, self.now);
        self.settle();
    }

    fn create(&mut self, id: &str, trigger: bool) -> Result<(), Problem> {
        let made = self.core.create(NewTest { config: config(id, 3), name: None, trigger }, self.now);
        self.settle();
        made
    }

    fn trigger(&mut self, id: &str) -> Result<(), Problem> {
        let begun = self.core.trigger(&test_id(id), self.now);
        self.settle();
        begun
    }

    fn record(&self, id: &str) -> &TestRecord {
        match self.core.test(&test_id(id)) {
            Some(test) => &test.record,
            None => self.ended.iter().find(|record| record.test_id == test_id(id)).unwrap(),
        }
    }

    fn state(&self, id: &str) -> TestState {
        self.record(id).state
    }

    fn participants(&self, id: &str) -> Vec<(&str, ParticipantState)> {
        self.record(id).participants.iter().map(|p| (p.node_id.as_str(), p.state)).collect()
    }

    /// Two drivers, test `t` running on them.
    fn with_running() -> (Self, SimDriver, SimDriver) {
        let (mut world, a, b) = Self::with_two();
        world.create("t", false).unwrap();
        world.armed(&a, "t");
        world.armed(&b, "t");
        world.trigger("t").unwrap();
        assert_eq!(world.state("t"), TestState::Running);
        (world, a, b)
    }

    fn with_two() -> (Self, SimDriver, SimDriver) {
        let (mut world, a, b) = (Self::new(), SimDriver::new("a", "s"), SimDriver::new("b", "s"));
        world.idle(&a);
        world.idle(&b);
        (world, a, b)
    }

    /// Both live on and run `t` for that many seconds.
    fn run_s(&mut self, drivers: &[&SimDriver], seconds: u64) {
        for _ in 0..seconds {
            for driver in drivers {
                self.hear(driver.heartbeat(NodeState::Running, Some("t")));
            }
            self.pass_ms(1000);
        }
    }
}

const DONE: Option<EndReason> = Some(EndReason::Completed);

#[test]
fn a_test_from_its_making_to_its_end() {
    let (mut world, mut a, mut b) = World::with_two();
    world.create("t", false).unwrap();
    assert_eq!(world.state("t"), TestState::Configured);
    let names: Vec<_> = world.configs[0].participants.as_ref().unwrap().iter().map(|p| p.node_id.as_str()).collect();
    assert_eq!(names, ["a", "b"]);
    world.armed(&a, "t");
    assert_eq!(world.participants("t"), [("a", ParticipantState::Armed), ("b", ParticipantState::Pending)]);
    world.armed(&b, "t");
    assert_eq!(world.state("t"), TestState::Armed);
    world.trigger("t").unwrap();
    assert_eq!(world.configs.len(), 1, "all were armed for it: nothing to publish again");
    assert!(world.triggers[0].start && world.triggers[0].start_at_unix_ms.unwrap() > world.now.unix_ms + 400.0);
    assert_eq!(world.answers, [Ok(())]);
    for driver in [&mut a, &mut b] {
        let metrics = driver.report("t", 0, stats(&[1, 2]), None);
        world.report(metrics);
    }
    world.report(a.report("t", 1, stats(&[3]), DONE));
    assert_eq!(world.state("t"), TestState::Running);
    world.report(b.report("t", 1, stats(&[3]), DONE));
    assert_eq!(world.state("t"), TestState::Completed);
    let record = world.record("t");
    assert_eq!((record.complete, record.valid), (Some(true), Some(true)));
    assert_eq!(record.conservation.as_ref().unwrap().verdict, Verdict::Exact);
    assert_eq!(world.sealed.len(), 2);
    // What comes after the end changes nothing.
    world.report(a.report("t", 2, stats(&[4]), None));
    assert_eq!(world.core.skips.counts(), [("metrics: of no open test".to_owned(), 1)].into());
}

#[test]
fn too_few_drivers_are_counted_in_words() {
    let mut world = World::new();
    world.idle(&SimDriver::new("a", "s"));
    let problem = world.create("t", true).unwrap_err();
    assert_eq!(
        (problem.status, problem.detail.as_str()),
        (409, "1 of at least 2 drivers are registered; 1 is missing")
    );
    assert!(world.core.test(&test_id("t")).is_none(), "nothing was made");
    world.create("t", false).unwrap();
    assert_eq!(world.trigger("t").unwrap_err().status, 409);
    assert_eq!(world.state("t"), TestState::Configured);
    assert_eq!(world.trigger("unknown").unwrap_err().status, 404);
}

#[test]
fn who_joins_before_the_trigger_takes_part_and_who_joins_later_waits() {
    let (mut world, a, b) = World::with_running();
    let late = SimDriver::new("late", "s");
    world.idle(&late);
    assert_eq!(world.participants("t").len(), 2);
    world.core.stop(&test_id("t"), world.now).unwrap();
    for mut driver in [a, b] {
        let metrics = driver.report("t", 0, stats(&[1]), Some(EndReason::Stopped));
        world.report(metrics);
    }
    assert_eq!(world.state("t"), TestState::Stopped);
    world.create("next", false).unwrap();
    assert_eq!(world.participants("next").len(), 3);
    let published = world.configs.len();
    world.idle(&SimDriver::new("later", "s"));
    assert_eq!(world.configs.len(), published + 1);
    assert_eq!(world.configs.last().unwrap().participants.as_ref().unwrap().len(), 4);
    world.hear(late.goodbye());
    assert_eq!(world.participants("next").len(), 3);
    assert_eq!(world.configs.len(), published + 1, "those who stay need no new config");
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
    assert!(world.trigger("two").unwrap_err().detail.contains("test one is about to start"));
    world.armed(&a, "one");
    world.armed(&b, "one");
    assert_eq!(world.answers, [Ok(())]);
    assert!(world.trigger("two").unwrap_err().detail.contains("test one is running"));
    let published = world.configs.len();
    world.create("three", false).unwrap();
    assert_eq!(world.configs.len(), published, "a running test is not disturbed by preparing another");
    world.core.stop(&test_id("one"), world.now).unwrap();
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
    assert_eq!(problem.detail, "b refuses the test: no route to the target");
    world.trigger("t").unwrap();
    for _ in 0..11 {
        world.armed(&a, "t");
        world.idle(&b);
        world.pass_ms(1000);
    }
    let problem = world.answers.pop().unwrap().unwrap_err();
    assert_eq!(problem.detail, "not armed within 10 seconds: b");
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
    assert_eq!((record.state, record.complete, record.valid), (TestState::Completed, Some(false), Some(true)));
    assert!(record.reason.as_ref().unwrap().contains("b was lost: no heartbeat for 5 seconds"));
    assert_eq!(record.conservation.as_ref().unwrap().verdict, Verdict::Unknown);
}

#[test]
fn a_driver_that_returns_is_lost_no_more() {
    let (mut world, mut a, mut b) = World::with_running();
    world.run_s(&[&a], 7);
    assert_eq!(world.participants("t")[1].1, ParticipantState::Lost);
    world.report(b.report("t", 0, stats(&[1, 2, 3]), DONE));
    world.report(a.report("t", 0, stats(&[1, 2, 3]), DONE));
    let record = world.record("t");
    assert_eq!((record.state, record.complete), (TestState::Completed, Some(true)), "{:?}", record.reason);
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
        assert_eq!((record.state, record.complete), (TestState::Completed, Some(true)), "{:?}", record.reason);
        assert!(!record.events.iter().any(|event| event.kind == "lost"), "{:?}", record.events);
    }
}

#[test]
fn when_all_are_lost_the_test_ends() {
    let (mut world, ..) = World::with_running();
    for _ in 0..15 {
        world.pass_ms(1000);
    }
    assert_eq!((world.state("t"), world.record("t").complete), (TestState::Completed, Some(false)));
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
    world.core.stop(&test_id("t"), world.now).unwrap();
    world.settle();
    assert!(!world.triggers.last().unwrap().start);
    world.report(a.report("t", 0, stats(&[1]), Some(EndReason::Stopped)));
    world.run_s(&[&a, &b], 29);
    assert_eq!(world.state("t"), TestState::Running);
    world.run_s(&[&a, &b], 2);
    assert_eq!((world.state("t"), world.record("t").complete), (TestState::Stopped, Some(false)));
    world.create("u", false).unwrap();
    world.core.stop(&test_id("u"), world.now).unwrap();
    world.settle();
    assert_eq!(world.state("u"), TestState::Stopped);
    // Whatever is asked for again, the drivers are told again: one that did not hear of it may run it.
    for id in ["u", "t", "never"] {
        let told = world.triggers.len();
        assert_eq!(world.core.stop(&test_id(id), world.now).unwrap_err().status, 404, "it is open no more");
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
    let stopped = world.core.stop_all(world.now);
    world.settle();
    let names = ["t", "u", "somebody else's"].map(test_id);
    assert_eq!(stopped, names);
    assert!(world.triggers.iter().all(|trigger| !trigger.start));
    assert_eq!(world.triggers.iter().map(|trigger| trigger.test_id.clone()).collect::<Vec<_>>(), names);
    assert!(world.record("t").stop_requested);
    assert_eq!(world.state("u"), TestState::Stopped);
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
        world.core.take_effects();
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
    world.core.stop(&test_id("t"), world.now).unwrap();
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
    assert_eq!((record.state, record.complete), (TestState::Completed, Some(true)));
    assert_eq!(crate::views::test(record).start_skew_ms, Some(3.0));
    let clock = record.events.iter().find(|event| event.kind == "clock").unwrap();
    assert!(clock.node_id == Some(node("b")) && clock.detail.contains("60.0 min ahead"), "{clock:?}");
}

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
    let view = crate::views::metrics(&test.record, &crate::views::Totals::new());
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
    assert_eq!((record.state, record.complete), (TestState::Completed, Some(true)), "{:?}", record.reason);
    assert_eq!(record.conservation.as_ref().unwrap().verdict, Verdict::Unknown);
}

/// A test on one driver of ours and a plain one, both armed, of so many requests 10 ms apart.
fn with_a_plain_one(count: u64) -> (World, SimDriver, SimDriver) {
    let (mut world, a, plain) = (World::new(), SimDriver::new("a", "s"), SimDriver::plain("plain"));
    world.idle(&a);
    world.idle(&plain);
    let mut new = NewTest { config: config("t", count), name: None, trigger: true };
    (new.config.test_type, new.config.delay) = (onrush_protocol::TestType::Tsunami, Duration::from_millis(10));
    world.core.create(new, world.now).unwrap();
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
        assert_eq!((record.state, record.complete), (TestState::Completed, Some(true)), "{:?}", record.reason);
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

#[test]
fn foreign_and_second_hand_reports_are_skipped() {
    let (mut world, mut a, _) = World::with_running();
    let mut stranger = SimDriver::new("stranger", "s");
    let mut other_life = SimDriver::new("a", "another life");
    world.report(stranger.report("t", 0, stats(&[1]), DONE));
    world.report(other_life.report("t", 0, stats(&[1]), DONE));
    world.report(a.plain_report("t", 1.0));
    assert_eq!(world.core.skips.counts().len(), 3);
    let report = a.report("t", 0, stats(&[1]), None);
    world.report(report.clone());
    world.report(report);
    assert_eq!(world.record("t").participants[0].reports, 1);
    assert_eq!(world.core.test(&test_id("t")).unwrap().aggregate.all().counts.sent, 1);
    assert_eq!(world.record("t").events.iter().filter(|event| event.kind == "skipped").count(), 2);
}

#[test]
fn messages_that_nobody_can_receive_are_said() {
    let (mut world, ..) = World::with_running();
    world.core.give_up(&onrush_bus::Skipped { topic: Topic::Metrics, partition: 2, from: 7, to: 11 }, world.now);
    world.settle();
    assert_eq!(world.core.skips.counts(), [("metrics: given up unread".to_owned(), 4)].into());
    let event = world.record("t").events.last().unwrap();
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
    assert_eq!((record.state, record.complete, record.valid), (TestState::Completed, Some(false), Some(false)));
    let line = &record.conservation.as_ref().unwrap().line;
    assert!(line.contains("BREACH") && line.contains("b: a report was refused"), "{line}");
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
        assert_eq!((record.state, record.complete, record.valid), (state, Some(false), Some(true)));
        assert_eq!(record.conservation.as_ref().unwrap().verdict, Verdict::Exact, "what was sent adds up");
        let reason = record.reason.as_ref().unwrap();
        for name in ["a", "b"] {
            let words =
                format!("{name} was stopped early, by somebody else than this orchestrator: after 0 s, with 1 of 3");
            assert_eq!(reason.contains(&words), stopped.contains(&name), "{reason}");
        }
    }
}

#[test]
fn the_target_is_looked_at_before_the_trigger_and_after_the_end() {
    let (mut world, mut a, mut b) = World::with_two();
    let mut new = NewTest { config: config("t", 1), name: None, trigger: true };
    new.config.target_url = Some("http://127.0.0.1:9/ping".into());
    world.core.create(new, world.now).unwrap();
    world.armed(&a, "t");
    world.armed(&b, "t");
    let asked = |world: &mut World| {
        let n = world.effects.iter().filter(|effect| matches!(effect, Effect::AskTarget(..))).count();
        world.effects.clear();
        n
    };
    assert_eq!((asked(&mut world), world.state("t")), (1, TestState::Armed));
    let counters = |n| Probe::Counters(Counters { instance: "x".into(), requests: [("/ping".to_owned(), n)].into() });
    world.core.target_read(&test_id("t"), counters(5), world.now);
    world.settle();
    assert_eq!(world.state("t"), TestState::Running);
    for driver in [&mut a, &mut b] {
        let metrics = driver.report("t", 0, stats(&[1]), DONE);
        world.report(metrics);
    }
    assert_eq!((asked(&mut world), world.state("t")), (1, TestState::Running));
    world.core.target_read(&test_id("t"), counters(8), world.now);
    world.settle();
    let conservation = world.record("t").conservation.as_ref().unwrap();
    assert_eq!(conservation.verdict, Verdict::Breach, "it counted 3, and 2 were sent");
    assert_eq!(world.record("t").valid, Some(false));
}

#[test]
fn a_target_that_never_answers_holds_nothing_up() {
    let (mut world, mut a, mut b) = World::with_two();
    let mut new = NewTest { config: config("t", 1), name: None, trigger: true };
    new.config.target_url = Some("http://127.0.0.1:9/ping".into());
    world.core.create(new, world.now).unwrap();
    world.armed(&a, "t");
    world.armed(&b, "t");
    world.pass_ms(3100);
    assert_eq!(world.state("t"), TestState::Running);
    for driver in [&mut a, &mut b] {
        let metrics = driver.report("t", 0, stats(&[1]), DONE);
        world.report(metrics);
    }
    assert_eq!(world.record("t").conservation.as_ref().unwrap().verdict, Verdict::Exact);
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
    assert_eq!(world.record("t").conservation.as_ref().unwrap().verdict, Verdict::Exact);
}

#[test]
fn a_report_that_never_comes_breaches_the_proof() {
    let (mut world, mut a, mut b) = World::with_running();
    drop(a.report("t", 0, stats(&[1, 2]), None));
    world.report(a.report("t", 1, stats(&[3]), DONE));
    world.report(b.report("t", 0, stats(&[1, 2, 3]), DONE));
    world.run_s(&[&a, &b], 6);
    let record = world.record("t");
    assert_eq!((record.state, record.valid), (TestState::Completed, Some(false)));
}

#[test]
fn an_ordinary_report_is_stored_at_once_and_nothing_else_is_looked_at() {
    let (mut world, mut a, mut b) = World::with_running();
    let take = |world: &mut World, metrics: Metrics| {
        world.core.take(Topic::Metrics, Ok(Message::Metrics(metrics)), world.now.mono, world.now);
        world.core.settle(Some(world.now.mono), true, world.now);
        world.core.take_effects()
    };
    let is_change = |effect: &Effect| matches!(effect, Effect::Changed(_));
    world.effects.clear();
    let (effects, unsaved) = take(&mut world, a.report("t", 0, stats(&[1]), None));
    assert!(matches!(effects[..], [Effect::Report(_)]), "{effects:?}");
    assert_eq!(unsaved, [(test_id("t"), Unsaved::Participants([a.node_id.clone()].into()))].into());
    let (effects, _) = take(&mut world, b.report("t", 0, stats(&[1]), None));
    assert!(matches!(effects[..], [Effect::Report(_), Effect::Sealed(..)]), "{effects:?}");
    // That the drivers began is shown with what the passing of time brings.
    world.pass_ms(100);
    assert_eq!(world.effects.iter().filter(|effect| is_change(effect)).count(), 1);
    // What ends a part is concluded at once.
    let (effects, _) = take(&mut world, a.report("t", 1, stats(&[1]), DONE));
    assert!(effects.iter().any(is_change), "{effects:?}");
}
