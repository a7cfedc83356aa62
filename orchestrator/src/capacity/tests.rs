//! Simulated seconds of two drivers, whose target breaks the SLO the more often the higher the rate.

use onrush_protocol::{Profile, RateOf};
use onrush_search::{Criterion, Ended, Verdict};
use onrush_stats::{Distribution, SecondStats};

use super::*;
use crate::aggregate::{DriverPart, SealedSecond};
use crate::record::TestRecord;
use crate::second::SecondNumbers;
use crate::testing::{node, running};

const MS: u64 = 1_000_000;
/// Where one in a hundred requests takes longer than 50 ms.
const CAPACITY_PER_S: f64 = 150.0;
/// A change takes effect so many seconds after the one that led to it.
const AHEAD_S: u64 = 3;

struct World {
    record: TestRecord,
    search: CapacitySearch,
    /// What was sealed, as the store has it.
    stored: Vec<(SecondNumbers, Distribution)>,
    /// By how many seconds the second driver makes each change too late.
    late_s: u64,
    /// Requests that were due, and that took too long, in fractions that no second has had yet.
    owed: [f64; 2],
}

fn goal(budget_s: u64) -> Goal {
    let slo = vec![Criterion::quantile(0.99, Duration::from_millis(50))];
    let (start_per_s, width) = (20.0, 0.1);
    Goal { start_per_s, width, budget: Duration::from_secs(budget_s), ..Goal::new(slo) }
}

impl World {
    fn new(budget_s: u64) -> Self {
        let mut record = running("t", 1, &["a", "b"]);
        (record.config.count_per_driver, record.config.total_throughput_per_s) = (None, Some(20.0));
        let search = CapacitySearch::new(goal(budget_s)).expect("it can be searched for");
        Self { record, search, stored: Vec::new(), late_s: 0, owed: [0.0; 2] }
    }

    /// What a driver is asked for in a second.
    fn rate_per_s(&self, driver: usize, second: u64) -> f64 {
        let made = |place: usize| self.record.participants[driver].amended_at.get(place).copied().flatten();
        let in_effect = |(place, _): &(usize, &Amendment)| made(*place).is_some_and(|at| at <= second);
        match self.record.config.amendments.iter().enumerate().rfind(in_effect) {
            Some((_, amendment)) => amendment.profile.rate_at(Duration::ZERO).expect("a rate"),
            None => 20.0,
        }
    }

    /// Half of the load, as one driver sends it.
    fn part(&mut self, rate_per_s: f64) -> DriverPart {
        let share = (0.01 * ((rate_per_s - CAPACITY_PER_S) / 10.0).exp()).min(1.0);
        let mut whole = |place: usize, more: f64| {
            self.owed[place] += more;
            let now = self.owed[place].floor();
            self.owed[place] -= now;
            now as u64
        };
        let due = whole(0, rate_per_s / 2.0);
        let slow = whole(1, due as f64 * share).min(due);
        let mut stats = SecondStats::default();
        (stats.counts.due, stats.counts.sent) = (due, due);
        stats.counts.statuses.insert(200, due);
        for k in 0..due {
            stats.latency.record(if k < slow { 80 * MS } else { 10 * MS });
            stats.service_time.record(10 * MS);
            stats.schedule_error.record(1_000);
        }
        DriverPart { length_ns: 1_000_000_000, sending_ns: 1_000_000_000, stats }
    }

    fn seal(&mut self, drivers: usize) {
        let second = self.stored.len() as u64;
        let parts = ["a", "b"].into_iter().take(drivers).enumerate();
        let parts = parts.map(|(place, name)| (node(name), self.part(self.rate_per_s(place, second)))).collect();
        let sealed = SealedSecond {
            second_index: second,
            missing: Vec::new(),
            late_reports: 0,
            sealable_since: None,
            parts,
            target: None,
        };
        let all = sealed.all();
        self.stored.push((SecondNumbers::of(&sealed, &all, 0.0), all.stats.latency.clone()));
        self.search.enter(SearchedSecond::of_sealed(&self.record, self.search.slo(), &sealed));
    }

    /// The search looks at what there is, and what it asks for is done.
    fn advance(&mut self) {
        while let Some(rate_per_s) = self.search.advance(&self.record) {
            let at_second = self.stored.len() as u64 - 1 + AHEAD_S;
            let shape = Shape::Constant { rate_per_s };
            let phases = vec![onrush_protocol::Phase { length: Duration::from_secs(3600), shape }];
            let profile = Profile { of: RateOf::Total, phases };
            self.record.config.amendments.push(Amendment { at_second, profile });
            self.record.participants[0].amended_at.push(Some(at_second));
            self.record.participants[1].amended_at.push(Some(at_second + self.late_s));
        }
    }

    fn run(&mut self) -> Found {
        while self.search.end().is_none() {
            self.seal(2);
            self.advance();
        }
        self.search.search.so_far()
    }

    /// The same search as a restart makes it of what is stored.
    fn made_anew(&self) -> CapacitySearch {
        let mut search = CapacitySearch::new(self.search.goal.clone()).expect("it was searched for");
        for (second, latency) in &self.stored {
            search.enter(SearchedSecond::of(&self.record, search.slo(), second, latency.clone()));
            search.advance(&self.record);
        }
        search
    }
}

fn assert_right(found: &Found) {
    let (lower, upper) = (found.lower_per_s.expect("a lower bound"), found.upper_per_s.expect("an upper bound"));
    assert!(lower <= CAPACITY_PER_S * 1.02 && upper >= CAPACITY_PER_S * 0.98 && upper < 1.4 * lower, "{found}");
}

#[test]
fn the_load_of_a_test_is_changed_until_the_capacity_is_known() {
    let mut world = World::new(1200);
    let found = world.run();
    assert_eq!((world.search.end(), found.ended), (Some(&SearchEnd::Found), Ended::Width), "{found}");
    assert_right(&found);
    let changes = world.record.config.amendments.len();
    assert!((3..limits::MAX_AMENDMENTS).contains(&changes), "{changes} changes");
    let record = world.search.record(&world.record.test_id, 5.0);
    assert_eq!((record.ended_unix_ms, record.elapsed.as_secs()), (Some(5.0), world.stored.len() as u64));
    assert!(record.found.is_some_and(|found| found.trials.len() > 3 && !found.curve.is_empty()));
}

#[test]
fn a_restart_at_any_second_goes_on_as_if_there_had_been_none() {
    let mut world = World::new(120);
    while world.search.end().is_none() {
        world.seal(2);
        world.advance();
        let anew = world.made_anew();
        assert_eq!(format!("{anew:?}"), format!("{:?}", world.search), "after second {}", world.stored.len() - 1);
    }
}

#[test]
fn seconds_in_which_the_drivers_send_different_loads_count_for_none() {
    let mut world = World::new(600);
    world.late_s = 2;
    let found = world.run();
    assert_right(&found);
    // Every trial is about one load alone: what was due in it says so.
    for trial in &found.trials {
        let asked = trial.rate_per_s * trial.length.as_secs_f64();
        assert!((trial.due as f64 - asked).abs() <= 2.0, "{} due of {asked}", trial.due);
    }
}

#[test]
fn a_second_waits_until_every_driver_has_said_when_it_made_the_change() {
    let mut world = World::new(600);
    while world.record.config.amendments.is_empty() {
        world.seal(2);
        world.advance();
    }
    let made_at = world.record.participants[1].amended_at.pop().flatten().expect("it was made");
    let before = world.search.search.elapsed();
    for _ in 0..10 {
        world.seal(2);
        world.advance();
    }
    let looked_at = (world.search.search.elapsed() - before).as_secs();
    assert_eq!((looked_at, world.search.waiting.len()), (AHEAD_S - 1, 11 - AHEAD_S as usize));
    world.record.participants[1].amended_at.push(Some(made_at));
    world.advance();
    assert!(world.search.waiting.is_empty());
    // One that never says so ends the search, with what was known.
    world.record.participants.iter_mut().for_each(|participant| participant.amended_at.clear());
    for _ in 0..2 * MAX_WAITING {
        world.seal(2);
        world.advance();
        assert!(world.search.waiting.len() <= MAX_WAITING + 1);
    }
    let end = world.search.end().expect("it ended");
    assert!(matches!(end, SearchEnd::Failed(why) if why.starts_with("a does not say when it made change")), "{end:?}");
}

#[test]
fn a_driver_that_cannot_change_its_load_ends_the_search() {
    let mut world = World::new(600);
    while world.record.config.amendments.is_empty() {
        world.seal(2);
        world.advance();
    }
    world.record.participants[1].amended_at = vec![None];
    let found = world.run();
    assert_eq!(world.search.end(), Some(&SearchEnd::Failed("b could not make change 1 of the load".into())));
    assert!(found.upper_per_s.is_none(), "{found}");
}

#[test]
fn a_lost_driver_makes_seconds_void_and_no_bound_wrong() {
    let mut world = World::new(600);
    while world.record.config.amendments.len() < 2 {
        world.seal(2);
        world.advance();
    }
    while world.search.end().is_none() {
        world.seal(1);
        world.advance();
    }
    let found = world.search.search.so_far();
    assert_ne!(found.ended, Ended::Width, "{found}");
    assert!(found.upper_per_s.is_none() && found.lower_per_s.is_none_or(|lower| lower < CAPACITY_PER_S), "{found}");
    assert!(found.trials.iter().any(|trial| matches!(trial.verdict, Verdict::Void(_))));
}

#[test]
fn a_report_that_came_late_was_not_there_when_the_search_looked() {
    let mut world = World::new(600);
    for second in 0..40 {
        world.seal(if second % 7 == 3 { 1 } else { 2 });
        world.advance();
        if second % 7 == 3 {
            // It enters what is stored.
            let (numbers, _) = world.stored.last_mut().expect("a second");
            let part = numbers.drivers[0].1.clone();
            numbers.drivers.push((node("b"), part));
            numbers.late_reports = 1;
        }
    }
    assert_eq!(format!("{:?}", world.made_anew()), format!("{:?}", world.search));
}

#[test]
fn seconds_that_nobody_reported_take_time() {
    let mut world = World::new(600);
    world.seal(2);
    world.advance();
    let (numbers, latency) = world.stored[0].clone();
    let later = SecondNumbers { second_index: 9, ..numbers };
    world.search.enter(SearchedSecond::of(&world.record, world.search.slo(), &later, latency));
    world.search.advance(&world.record);
    assert_eq!(world.search.search.elapsed().as_secs(), 10);
}

#[test]
fn changes_that_its_seconds_do_not_lead_to_end_it() {
    let mut world = World::new(600);
    while world.record.config.amendments.is_empty() {
        world.seal(2);
        world.advance();
    }
    let shape = Shape::Constant { rate_per_s: 7.0 };
    world.record.config.amendments[0].profile.phases[0].shape = shape;
    let anew = world.made_anew();
    assert!(matches!(anew.end(), Some(SearchEnd::Failed(why)) if why.contains("change 1")), "{:?}", anew.end());
}

#[test]
fn a_search_ends_before_the_load_would_be_changed_too_often() {
    let mut world = World::new(600);
    for _ in 0..3 {
        world.seal(2);
        world.advance();
    }
    let amendment = Amendment { at_second: 0, profile: "1h@5".parse().expect("a profile") };
    world.record.config.amendments = vec![amendment; limits::MAX_AMENDMENTS];
    world.record.participants.iter_mut().for_each(|part| part.amended_at = vec![Some(0); limits::MAX_AMENDMENTS]);
    world.search.changes = limits::MAX_AMENDMENTS;
    let found = world.run();
    assert_eq!(world.search.end(), Some(&SearchEnd::Changes));
    assert!(!found.is_confirmed && found.upper_per_s.is_none(), "{found}");
}
