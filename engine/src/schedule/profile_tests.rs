//! Profiles and shares of a schedule on simulated time.

use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;

use super::curve::Curve;
use super::*;
use crate::amend_error::AmendError;
use crate::clock::SECOND_NS;
use crate::plan::Mode;
use crate::plan::tests::plan;
use crate::profile::{Arrivals, Phase, Shape, Share};
use crate::schedule::slots::Slots;

const MS: u64 = 1_000_000;
const POISSON: Arrivals = Arrivals::Poisson { seed: 11 };

fn phase(length_ms: u64, shape: Shape) -> Phase {
    Phase { length: Duration::from_millis(length_ms), shape }
}

fn constant(length_ms: u64, rate_per_s: f64) -> Phase {
    phase(length_ms, Shape::Constant { rate_per_s })
}

fn ramp(length_ms: u64, from_per_s: f64, to_per_s: f64) -> Phase {
    phase(length_ms, Shape::Ramp { from_per_s, to_per_s })
}

fn profiled(tsunami: bool, phases: &[Phase]) -> Plan {
    let mode = if tsunami { Mode::Tsunami { delay: Duration::ZERO } } else { Mode::Avalanche };
    Plan { mode, profile: Some(phases.to_vec()), count: None, ..plan("http://localhost/") }
}

/// What became of a run.
#[derive(Debug, Default)]
struct Outcome {
    /// (sent, due), in order.
    sends: Vec<(u64, u64)>,
    due: u64,
    dropped: u64,
    skipped: u64,
}

impl Outcome {
    fn sent_in(&self, from_ms: u64, to_ms: u64) -> u64 {
        self.sends.iter().filter(|(sent, _)| (from_ms * MS..to_ms * MS).contains(sent)).count() as u64
    }

    fn sent_per_second(&self, seconds: u64) -> Vec<u64> {
        (0..seconds).map(|second| self.sent_in(second * 1_000, (second + 1) * 1_000)).collect()
    }
}

/// One thread with one connection.
struct Runner {
    schedule: Schedule,
    now_ns: u64,
    second: u64,
    sent: u64,
    dropped: u64,
    due: u64,
}

impl Runner {
    /// One step in time; false: it is over.
    fn step(&mut self, sends: &mut Vec<(u64, u64)>, busy_ns: &mut impl FnMut(u64) -> u64, late_ns: u64) -> bool {
        let now_ns = self.now_ns;
        let over = self.schedule.is_over(now_ns);
        let end_ns = self.schedule.end_ns().unwrap_or(u64::MAX);
        while now_ns.min(end_ns) / SECOND_NS > self.second {
            self.second += 1;
            let so_far = self.schedule.due_before(self.second * SECOND_NS).expect("slots");
            assert!(so_far >= self.due && so_far >= self.sent + self.dropped, "second {}: {so_far} due", self.second);
            self.due = so_far;
        }
        if over {
            return false;
        }
        match self.schedule.claim(now_ns) {
            Claim::Send { due_ns } => {
                assert!(due_ns <= now_ns);
                sends.push((now_ns, due_ns));
                self.sent += 1;
                self.now_ns += busy_ns(now_ns);
            }
            Claim::Over => {}
            Claim::Wait => {
                // As the pacer: it wakes up at seconds' ends and at the run's, too.
                let next_second_ns = (now_ns / SECOND_NS + 1) * SECOND_NS;
                let wake_ns = self.schedule.next_wake_ns(now_ns).expect("slots");
                assert!(wake_ns > now_ns, "a wake-up must lie ahead");
                let wake_ns = wake_ns.min(end_ns.max(now_ns + 1)).min(next_second_ns);
                self.now_ns = wake_ns + late_ns;
            }
        }
        self.dropped += self.schedule.take_dropped();
        true
    }
}

/// Lets every thread send over one connection, which each request keeps for as long as `busy_ns` says, and wakes it late by
/// `late_ns`. Conservation is checked at the end of every second and of the run. `look` is called whenever time goes on.
fn run_with(
    plan: &Plan,
    threads: u64,
    mut busy_ns: impl FnMut(u64) -> u64,
    mut late_ns: impl FnMut() -> u64,
    mut look: impl FnMut(u64, &Course),
) -> Outcome {
    let mut outcome = Outcome::default();
    let course = Arc::new(Course::of(plan, threads));
    let runner = |schedule| Runner { schedule, now_ns: 0, second: 0, sent: 0, dropped: 0, due: 0 };
    let mut runners: Vec<_> = Schedule::for_threads(plan, &course, threads).into_iter().map(runner).collect();
    while let Some(index) = (0..runners.len()).min_by_key(|index| runners[*index].now_ns) {
        look(runners[index].now_ns, &course);
        if runners[index].step(&mut outcome.sends, &mut busy_ns, late_ns()) {
            continue;
        }
        let Runner { mut schedule, now_ns, sent, mut dropped, .. } = runners.swap_remove(index);
        schedule.leave();
        let decided = schedule.decided().expect("slots");
        assert_eq!(decided, sent + dropped);
        let due = if schedule.is_spent() { decided } else { schedule.due_before(now_ns).expect("slots") };
        outcome.due += due;
        if schedule.keeps_backlog() {
            outcome.skipped += due - decided;
        } else {
            dropped += due - decided;
        }
        outcome.dropped += dropped;
    }
    outcome.sends.sort_unstable();
    assert_eq!(outcome.sends.len() as u64 + outcome.dropped + outcome.skipped, outcome.due);
    outcome
}

fn run(plan: &Plan, threads: u64, busy_ns: impl FnMut(u64) -> u64, late_ns: impl FnMut() -> u64) -> Outcome {
    run_with(plan, threads, busy_ns, late_ns, |_, _| ())
}

#[test]
fn a_profile_is_sent_to_the_request_second_by_second() {
    let phases = [constant(5_000, 1_000.0), ramp(10_000, 1_000.0, 5_000.0), ramp(5_000, 5_000.0, 0.0)];
    for tsunami in [false, true] {
        for threads in [1, 3] {
            let mut late_us = (0..900).cycle();
            let outcome = run(&profiled(tsunami, &phases), threads, |_| 0, || late_us.next().unwrap_or(0) * 1_000);
            assert_eq!((outcome.sends.len(), outcome.due), (47_500, 47_500));
            for (second, sent) in (0..).zip(outcome.sent_per_second(20)) {
                let middle = f64::from(second) + 0.5;
                let expected = match second {
                    0..5 => 1_000.0,
                    5..15 => 1_000.0 + 400.0 * (middle - 5.0),
                    _ => 5_000.0 - 1_000.0 * (middle - 15.0),
                };
                // A wake-up of 0.9 ms carries as many over the end of a second.
                assert!((sent as f64 - expected).abs() <= 5.0, "{tsunami} {threads} second {second}: {sent}");
            }
        }
    }
}

#[test]
fn what_is_late_by_a_wake_up_goes_out_even_into_a_pause_and_after_the_end() {
    let phases = [constant(1_000, 1_000.0), phase(1_500, Shape::Pause), constant(500, 1_000.0)];
    for tsunami in [false, true] {
        let outcome = run(&profiled(tsunami, &phases), 1, |_| 0, || 1_500_000);
        assert_eq!((outcome.sends.len(), outcome.due), (1_500, 1_500));
        assert!(outcome.sent_in(1_000, 2_500) <= 2, "{:?}", outcome.sent_per_second(4));
    }
}

#[test]
fn a_pause_sends_nothing_and_a_tsunami_owes_over_it_what_an_avalanche_drops() {
    let phases = [constant(2_000, 100.0), phase(2_000, Shape::Pause), constant(2_000, 200.0)];
    // The first request keeps the connection for the rest of its phase.
    let stalls = |now_ns| if now_ns == 0 { 1_990 * MS } else { MS };
    let avalanche = run(&profiled(false, &phases), 1, stalls, || 0);
    assert_eq!(avalanche.sent_in(2_000, 4_000), 0);
    assert_eq!(avalanche.dropped + avalanche.sends.len() as u64, 600);
    assert!(avalanche.dropped > 90, "{}", avalanche.dropped);
    let tsunami = run(&profiled(true, &phases), 1, stalls, || 0);
    assert_eq!(tsunami.sent_in(2_000, 4_000), 0);
    assert_eq!((tsunami.dropped, tsunami.sends.len() as u64 + tsunami.skipped), (0, 600));
    // What is owed comes first, within the cap of each second.
    let after: Vec<_> = tsunami.sends.iter().filter(|(sent, _)| *sent >= 4_000 * MS).collect();
    assert!(after[0].1 < 2_000 * MS);
    assert_eq!([tsunami.sent_in(4_000, 5_000), tsunami.sent_in(5_000, 6_000)], [200, 200]);
}

#[test]
fn free_time_takes_what_is_owed_first_and_then_whatever_a_connection_can_send() {
    let phases = [constant(1_000, 100.0), phase(1_500, Shape::Free), constant(1_500, 100.0), phase(500, Shape::Free)];
    for threads in [1, 2] {
        let per_thread = |seconds: f64| (seconds * 500.0 * threads as f64) as u64;
        let plan = profiled(true, &phases);
        // Nothing until 0.9 s; then 2 ms for each request.
        let outcome = run(&plan, threads, |now_ns| if now_ns < 100 * MS { 900 * MS } else { 2 * MS }, || 0);
        let owed = outcome.sends.iter().filter(|(sent, due)| *sent >= 1_000 * MS && *due < 1_000 * MS).count();
        assert!(owed > 0, "{owed}");
        let last_owed = outcome.sends.iter().rposition(|(_, due)| *due < 1_000 * MS).expect("some were owed");
        let mut freely = outcome.sends.iter().filter(|(_, due)| (1_000 * MS..2_500 * MS).contains(due));
        assert!(freely.all(|(sent, due)| sent == due) && outcome.sends[last_owed].0 < 1_200 * MS);
        assert!(
            outcome.sent_in(1_000, 2_500).abs_diff(per_thread(1.5)) <= 2 * threads,
            "{:?}",
            outcome.sent_per_second(5)
        );
        assert!(outcome.sent_in(2_500, 4_000).abs_diff(150) <= threads);
        assert!(outcome.sent_in(4_000, 4_500).abs_diff(per_thread(0.5)) <= 2 * threads);
        assert_eq!(outcome.skipped, 0);
    }
}

#[test]
fn a_count_ends_a_profile_early() {
    let phases = [ramp(2_000, 0.0, 100.0), phase(2_000, Shape::Free), constant(10_000, 10.0)];
    for tsunami in [false, true] {
        for (count, threads) in [(50, 1), (333, 2), (400, 3)] {
            let plan = Plan { count: Some(count), ..profiled(tsunami, &phases) };
            let outcome = run(&plan, threads, |_| 4 * MS, || 0);
            assert_eq!(outcome.sends.len() as u64, count, "{tsunami} {threads}");
        }
    }
}

/// The due moments of all nodes' threads together, for a run in which nothing is late.
fn union(plan: &Plan, nodes: u32, threads: u64) -> Vec<u64> {
    let of_node = |index| {
        let plan = Plan { share: Share { index, of: nodes }, ..plan.clone() };
        run(&plan, threads, |_| 0, || 0).sends.into_iter().map(|(_, due)| due).collect::<Vec<_>>()
    };
    let mut all: Vec<u64> = (0..nodes).flat_map(of_node).collect();
    all.sort_unstable();
    all
}

#[test]
fn any_number_of_nodes_serves_one_schedule() {
    for (tsunami, arrivals) in [(false, Arrivals::Even), (true, Arrivals::Even), (false, POISSON), (true, POISSON)] {
        let phases = [constant(1_000, 10_000.0), ramp(1_050, 10_000.0, 33.3), constant(777, 1.7)];
        let plan = Plan { arrivals, ..profiled(tsunami, &phases) };
        let whole = union(&plan, 1, 1);
        assert!(whole.windows(2).all(|pair| pair[0] <= pair[1]) && whole.len() > 14_500, "{}", whole.len());
        for (nodes, threads) in [(1, 3), (2, 1), (2, 2), (5, 1), (8, 2)] {
            assert!(union(&plan, nodes, threads) == whole, "{nodes} nodes of {threads} threads");
        }
    }
}

#[test]
fn what_is_late_by_a_wake_up_keeps_a_poisson_process_whole() {
    for tsunami in [false, true] {
        for threads in [1, 2] {
            let plan = Plan { arrivals: POISSON, ..profiled(tsunami, &[constant(20_000, 1_000.0)]) };
            let mut late_us = (0..900).cycle();
            let outcome = run(&plan, threads, |_| 0, || late_us.next().unwrap_or(0) * 1_000);
            assert_eq!((outcome.dropped, outcome.skipped), (0, 0));
            assert!(outcome.due.abs_diff(20_000) < 4 * 142, "{}", outcome.due);
        }
    }
}

#[test]
fn a_count_is_each_nodes_own() {
    let delay = Duration::from_millis(1);
    for mode in [Mode::Avalanche, Mode::Tsunami { delay: Duration::ZERO }, Mode::Tsunami { delay }] {
        let rate = (mode != Mode::Tsunami { delay }).then_some(1_000.0);
        for (nodes, threads) in [(1, 1), (3, 2), (8, 1)] {
            let plan = Plan { mode, target_throughput_per_s: rate, count: Some(125), ..plan("http://localhost/") };
            let all = union(&plan, nodes, threads);
            assert_eq!(all.len() as u64, 125 * u64::from(nodes));
            if mode != Mode::Avalanche {
                assert_eq!(all, (0..125 * u64::from(nodes)).map(|k| k * MS).collect::<Vec<_>>());
            }
        }
    }
}

fn phases() -> impl Strategy<Value = Vec<Phase>> {
    let rate = prop_oneof![Just(0.0), (1..2_000u32).prop_map(f64::from), 0.1..300.0f64];
    let shape = prop_oneof![
        (0.1..2_000.0f64).prop_map(|rate_per_s| Shape::Constant { rate_per_s }),
        (rate.clone(), rate).prop_map(|(from_per_s, to_per_s)| Shape::Ramp { from_per_s, to_per_s }),
        Just(Shape::Pause),
        Just(Shape::Free),
    ];
    prop::collection::vec((1..2_500u64, shape).prop_map(|(length_ms, shape)| phase(length_ms, shape)), 1..6)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn what_a_profile_makes_due_is_sent_or_given_up(
        phases in phases(),
        (tsunami, poisson) in any::<(bool, bool)>(),
        count in prop::option::of(1..5_000u64),
        threads in 1..4u64,
        (index, of) in (1..4u32).prop_flat_map(|of| (0..of, Just(of))),
        busy_ms in prop::collection::vec(prop_oneof![9 => 1..3u64, 1 => 0..900u64], 1..60),
        late_us in prop::collection::vec(prop_oneof![9 => 0..300u64, 1 => 0..1_500_000u64], 1..60),
    ) {
        let arrivals = if poisson { POISSON } else { Arrivals::Even };
        let plan = Plan { count, arrivals, share: Share { index, of }, ..profiled(tsunami, &phases) };
        let mut busy_ms = busy_ms.into_iter().chain([1]).cycle();
        let mut late_us = late_us.into_iter().cycle();
        // The laws are checked within.
        let outcome = run(&plan, threads, |_| busy_ms.next().unwrap_or(1) * MS, || late_us.next().unwrap_or(0) * 1_000);
        prop_assert!(count.is_none_or(|count| outcome.sends.len() as u64 <= count));
        prop_assert!(!tsunami || outcome.dropped == 0);
        if !phases.iter().any(|phase| phase.shape == Shape::Free) {
            let whole = Slots::new(Course::of(&plan, 1).current().curve, plan.arrivals).first_from(u64::MAX);
            prop_assert!(outcome.due <= whole.div_ceil(of.into()));
        }
    }
}

/// Amends a run at 1.5 s from second 2 on, and gives the refusal or what became of it.
fn amended(plan: &Plan, threads: u64, phases: &[Phase]) -> Outcome {
    let mut asked = false;
    run_with(
        plan,
        threads,
        |_| 0,
        || 0,
        |now_ns, course| {
            if now_ns >= 1_500 * MS && !std::mem::replace(&mut asked, true) {
                course.amend(now_ns / SECOND_NS, 2, phases).expect("second 2 has not begun");
            }
        },
    )
}

#[test]
fn any_plan_can_be_changed_from_a_whole_second_on() {
    let rest = [constant(2_000, 4_000.0), constant(1_000, 500.0)];
    let duration = Some(Duration::from_secs(60));
    let delay = Mode::Tsunami { delay: Duration::from_millis(1) };
    let none = Mode::Tsunami { delay: Duration::ZERO };
    let base = Plan { count: None, duration, ..plan("http://localhost/") };
    let rate = Plan { target_throughput_per_s: Some(1_000.0), ..base.clone() };
    for threads in [1, 3] {
        for plan in [
            rate.clone(),
            Plan { mode: none, ..rate.clone() },
            Plan { mode: delay, ..base.clone() },
            Plan { mode: delay, target_throughput_per_s: Some(2_000.0), ..base.clone() },
            profiled(false, &[constant(60_000, 1_000.0)]),
            profiled(true, &[constant(60_000, 1_000.0)]),
        ] {
            let outcome = amended(&plan, threads, &rest);
            assert_eq!(outcome.sent_per_second(6), [1_000, 1_000, 4_000, 4_000, 500, 0], "{threads}: {plan:?}");
            assert_eq!(outcome.due, 10_500);
            assert!(outcome.sends.iter().all(|(sent, due)| sent == due));
        }
        // With a count and no end.
        let forever = [Phase { length: Duration::MAX, ..constant(1, 4_000.0) }];
        for mode in [none, Mode::Avalanche] {
            let counted = Plan { mode, duration: None, count: Some(8_000), ..rate.clone() };
            assert_eq!(amended(&counted, threads, &forever).sent_per_second(5), [1_000, 1_000, 4_000, 2_000, 0]);
        }
    }
}

#[test]
fn a_run_without_a_rate_gets_one() {
    for threads in [1, 2] {
        let plan = Plan { count: None, duration: Some(Duration::from_secs(9)), ..plan("http://localhost/") };
        let mut asked = false;
        let rest = [constant(1_000, 100.0), phase(1_000, Shape::Free), constant(1_000, 50.0)];
        let course = Arc::new(Course::of(&plan, threads));
        let mut sent = [0u64; 6];
        for mut schedule in Schedule::for_threads(&plan, &course, threads) {
            let mut now_ns = 0;
            if !std::mem::replace(&mut asked, true) {
                assert_eq!(course.amend(0, 2, &rest), Ok(()));
            }
            loop {
                match schedule.claim(now_ns) {
                    Claim::Send { .. } => {
                        sent[(now_ns / SECOND_NS) as usize] += 1;
                        now_ns += 5 * MS;
                    }
                    Claim::Wait => now_ns = schedule.next_wake_ns(now_ns).expect("slots by now").min(5 * SECOND_NS),
                    Claim::Over => break,
                }
            }
            assert_eq!(schedule.due_before(now_ns), schedule.decided());
        }
        assert_eq!(sent, [200 * threads, 200 * threads, 100, 200 * threads, 50, 0]);
    }
}

#[test]
fn a_change_that_comes_too_late_or_makes_no_sense_is_refused() {
    let plan = profiled(false, &[constant(10_000, 1_000.0)]);
    let rest = [constant(1_000, 1.0)];
    let course = Arc::new(Course::of(&plan, 2));
    let mut threads = Schedule::for_threads(&plan, &course, 2);
    let begun = |at_second, first_second| Err(AmendError::Begun { at_second, first_second });
    assert_eq!(course.amend(0, 0, &rest), begun(0, 1));
    assert_eq!(course.amend(3, 3, &rest), begun(3, 4), "by the clock");
    assert!(matches!(threads[0].claim(4_200 * MS), Claim::Send { .. }));
    assert_eq!(course.amend(0, 4, &rest), begun(4, 5), "by a thread");
    let beyond = |at_second| Err(AmendError::BeyondEnd { at_second, end: Duration::from_secs(10) });
    assert_eq!(course.amend(0, 10, &rest), beyond(10));
    assert_eq!(course.amend(0, u64::MAX, &rest), beyond(u64::MAX));
    for wrong in [vec![], vec![constant(1_000, -1.0)], vec![Phase { length: Duration::MAX, ..constant(1, 1.0) }]] {
        assert!(matches!(course.amend(0, 9, &wrong), Err(AmendError::Phases(_))), "{wrong:?}");
    }
    assert_eq!(course.amend(0, 9, &rest), Ok(()));
    assert_eq!(course.amend(0, 7, &rest), Ok(()), "what has not begun can be changed again");
    assert_ne!(threads[1].claim(7 * SECOND_NS), Claim::Over);
    assert_eq!(threads[1].end_ns(), Some(8 * SECOND_NS));
    threads.iter().for_each(Schedule::leave);
    assert_eq!(course.amend(0, 7, &rest), Err(AmendError::Over));

    let counted = Plan { count: Some(10), ..profiled(true, &[constant(10_000, 1_000.0)]) };
    let free = [phase(1_000, Shape::Free)];
    assert!(matches!(Course::of(&counted, 1).amend(0, 1, &free), Err(AmendError::Phases(_))));
    // However often it is changed, its size is bounded.
    let course = Course::of(&plan, 1);
    let many = [constant(1, 1.0); 1_000];
    let refused = (1..10).map(|_| course.amend(0, 1, &many)).all(|amended| amended.is_ok());
    assert!(refused, "each replaces the one before");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn changes_keep_every_law_and_all_threads_together(
        first in phases(),
        rest in phases(),
        (tsunami, poisson) in any::<(bool, bool)>(),
        threads in 1..4u64,
        (asked_at_ms, ahead) in (0..4_000u64, 1..3u64),
        late_us in prop::collection::vec(prop_oneof![9 => 0..300u64, 1 => 0..1_500_000u64], 1..60),
    ) {
        let arrivals = if poisson { POISSON } else { Arrivals::Even };
        let plan = Plan { arrivals, ..profiled(tsunami, &first) };
        let mut late_us = late_us.into_iter().cycle();
        let (mut asked, mut effective) = (false, None);
        let look = |now_ns: u64, course: &Course| {
            if now_ns >= asked_at_ms * MS && !std::mem::replace(&mut asked, true) {
                let at_second = now_ns / SECOND_NS + ahead;
                effective = course.amend(now_ns / SECOND_NS, at_second, &rest).is_ok().then_some(at_second);
            }
        };
        let outcome = run_with(&plan, threads, |_| MS, || late_us.next().unwrap_or(0) * 1_000, look);
        let curve = Curve::of_phases(&first);
        let curve = effective.map_or(curve.clone(), |at_second| curve.amended(at_second * SECOND_NS, &rest));
        let mut slots = Slots::new(Arc::new(curve.clone()), arrivals);
        let all: Vec<u64> = (0..slots.first_from(u64::MAX)).map(|k| slots.due_ns(k)).collect();
        let is_free = |ns: u64| curve.free_from(ns).is_some_and(|free| free.0 <= ns);
        let served = outcome.sends.iter().filter(|(sent, due)| sent > due || !is_free(*due));
        prop_assert!(served.clone().all(|(_, due)| all.binary_search(due).is_ok()));
        let free = outcome.sends.len() - served.count();
        prop_assert_eq!(outcome.due, all.len() as u64 + free as u64);
    }
}
