//! Profiles and shares of a schedule on simulated time.

use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::clock::SECOND_NS;
use crate::plan::tests::plan;
use crate::plan::{Arrivals, Share};
use crate::profile::{Phase, Shape};

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

/// Lets every thread send over one connection, which each request keeps for as long as `busy_ns` says, and wakes it late by
/// `late_ns`. Conservation is checked at the end of every second and of the run.
fn run(plan: &Plan, threads: u64, mut busy_ns: impl FnMut(u64) -> u64, mut late_ns: impl FnMut() -> u64) -> Outcome {
    let mut outcome = Outcome::default();
    for mut schedule in Schedule::for_threads(plan, threads) {
        let (mut now_ns, mut second) = (0u64, 0);
        let (mut sent, mut dropped, mut due) = (0, 0, 0);
        loop {
            let over = schedule.is_over(now_ns);
            let end_ns = schedule.end_ns().unwrap_or(u64::MAX);
            while now_ns.min(end_ns) / SECOND_NS > second {
                second += 1;
                let so_far = schedule.due_before(second * SECOND_NS).expect("a paced schedule");
                assert!(so_far >= due && so_far >= sent + dropped, "second {second}: {so_far} due, {sent} sent");
                due = so_far;
            }
            if over {
                break;
            }
            match schedule.claim(now_ns) {
                Claim::Send { due_ns } => {
                    assert!(due_ns <= now_ns);
                    outcome.sends.push((now_ns, due_ns));
                    sent += 1;
                    now_ns += busy_ns(now_ns);
                }
                Claim::Over => {}
                Claim::Wait => {
                    let wake_ns = schedule.next_wake_ns(now_ns).expect("a paced schedule").min(end_ns.max(now_ns + 1));
                    assert!(wake_ns > now_ns, "a wake-up must lie ahead");
                    now_ns = wake_ns.saturating_add(late_ns());
                }
            }
            dropped += schedule.take_dropped();
        }
        let decided = schedule.decided().expect("a paced schedule");
        assert_eq!(decided, sent + dropped);
        let due = if schedule.is_spent() { decided } else { schedule.due_before(now_ns).expect("a paced schedule") };
        outcome.due += due;
        if schedule.keeps_backlog() {
            outcome.skipped += due - decided
        } else {
            dropped += due - decided
        }
        outcome.dropped += dropped;
    }
    outcome.sends.sort_unstable();
    assert_eq!(outcome.sends.len() as u64 + outcome.dropped + outcome.skipped, outcome.due);
    outcome
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
            let whole = Course::of(&plan).slots().first_from(u64::MAX);
            prop_assert!(outcome.due <= whole.div_ceil(of.into()));
        }
    }
}
