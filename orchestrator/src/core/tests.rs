use std::time::{Duration, Instant};

use onrush_protocol::{EndReason, Heartbeat, Metrics, NodeState, TestConfig, Trigger};
use onrush_stats::Outcome;

mod ends;
mod late;
mod plain;
mod searches;
mod target;
mod thresholds;
mod trigger;

use super::*;
use crate::actor::Actor;
use crate::clock::Clock;
use crate::event::TestEvent;
use crate::state::ParticipantState;
use crate::target_check::{Counters, Probe};
use crate::testing::{SimDriver, config, node, stats, test_id};

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
    amended: Vec<(TestRecord, Parts)>,
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
        for effect in self.core.take_effects(self.now).0 {
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
        self.core.take(Topic::Heartbeat, Ok(DriverMessage::Heartbeat(heartbeat)), self.now.mono, self.now);
        self.settle();
    }

    fn idle(&mut self, driver: &SimDriver) {
        self.core.take(Topic::Register, Ok(DriverMessage::Register(driver.register())), self.now.mono, self.now);
        self.hear(driver.heartbeat(NodeState::Idle, None));
    }

    fn armed(&mut self, driver: &SimDriver, test: &str) {
        self.hear(driver.heartbeat(NodeState::Armed, Some(test)));
    }

    fn report(&mut self, metrics: Metrics) {
        self.core.take(Topic::Metrics, Ok(DriverMessage::Metrics(metrics)), self.now.mono, self.now);
        self.settle();
    }

    fn create(&mut self, id: &str, trigger: bool) -> Result<(), Problem> {
        let made = self.core.create(NewTest { config: config(id, 3), name: None, trigger }, &Actor::NOBODY, self.now);
        self.settle();
        made
    }

    fn trigger(&mut self, id: &str) -> Result<(), Problem> {
        let begun = self.core.trigger(&test_id(id), &Actor::NOBODY, self.now);
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
    assert_eq!(record.outcome, Some(Outcome::Exact));
    assert_eq!(world.sealed.len(), 2);
    // What comes after the end changes nothing.
    world.report(a.report("t", 2, stats(&[4]), None));
    assert_eq!(world.core.skips.counts(), [("metrics: of no open test".to_owned(), 1)].into());
}

#[test]
fn who_joins_before_the_trigger_takes_part_and_who_joins_later_waits() {
    let (mut world, a, b) = World::with_running();
    let late = SimDriver::new("late", "s");
    world.idle(&late);
    assert_eq!(world.participants("t").len(), 2);
    world.core.stop(&test_id("t"), &Actor::NOBODY, world.now).unwrap();
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
    assert_eq!(world.record("t").events.kept().iter().filter(|event| event.kind == TestEvent::Skipped).count(), 2);
}

#[test]
fn the_target_is_looked_at_before_the_trigger_and_after_the_end() {
    let (mut world, mut a, mut b) = World::with_two();
    let mut new = NewTest { config: config("t", 1), name: None, trigger: true };
    new.config.target_url = Some("http://127.0.0.1:9/ping".into());
    world.core.create(new, &Actor::NOBODY, world.now).unwrap();
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
    assert_eq!(world.record("t").outcome, Some(Outcome::Invalid), "it counted 3, and 2 were sent");
}

#[test]
fn a_target_that_never_answers_holds_nothing_up() {
    let (mut world, mut a, mut b) = World::with_two();
    let mut new = NewTest { config: config("t", 1), name: None, trigger: true };
    new.config.target_url = Some("http://127.0.0.1:9/ping".into());
    world.core.create(new, &Actor::NOBODY, world.now).unwrap();
    world.armed(&a, "t");
    world.armed(&b, "t");
    world.pass_ms(3100);
    assert_eq!(world.state("t"), TestState::Running);
    for driver in [&mut a, &mut b] {
        let metrics = driver.report("t", 0, stats(&[1]), DONE);
        world.report(metrics);
    }
    assert_eq!(world.record("t").outcome, Some(Outcome::Exact));
}

#[test]
fn an_ordinary_report_is_stored_at_once_and_nothing_else_is_looked_at() {
    let (mut world, mut a, mut b) = World::with_running();
    let take = |world: &mut World, metrics: Metrics| {
        world.core.take(Topic::Metrics, Ok(DriverMessage::Metrics(metrics)), world.now.mono, world.now);
        world.core.settle(Some(world.now.mono), true, world.now);
        world.core.take_effects(world.now)
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
