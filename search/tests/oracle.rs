//! The search against queues whose capacity is known by theory, in simulated time.
//!
//! `cargo test -p onrush-search --test oracle -- --nocapture` prints what was measured.

mod queue;

use std::time::Duration;

use onrush_search::{Criterion, Ended, Found, Goal, Verdict};
use queue::{Queue, SERVED_PER_S, Service, capacity_per_s, fixed_share_above, searched};

const RUNS: u64 = 40;
/// How close the capacity must come to theory…
const CLOSE: f64 = 0.03;
/// …in how many of the runs.
const ENOUGH: usize = 38;

fn goal(limit_ms: u64) -> Goal {
    let slo = vec![Criterion::quantile(0.99, Duration::from_millis(limit_ms))];
    // An interval of 6 % at 95 % claims what bisection is asked for: within 3 % in 38 of 40 runs.
    Goal { width: 0.06, budget: Duration::from_secs(7_200), ..Goal::new(slo) }
}

/// What a search finds, and how many seconds it takes.
fn search(queue: &mut Queue, goal: Goal) -> (Found, f64) {
    let search = searched(queue, goal, |_, _| {});
    (search.found().expect("it is done").clone(), search.elapsed().as_secs_f64())
}

/// Doubling and then bisection to 2 %, each load held as long; a load is good if its share is below the limit. What every script does.
/// Each trial finds an empty queue, for nothing: else what an overload left behind would decide the next ones.
fn bisect(service: Service, seed: u64, limit_ms: u64, trial_s: usize) -> (f64, f64) {
    const WARM_UP_S: usize = 3;
    let mut elapsed_s = 0;
    let mut trials = 0;
    let mut is_good = |rate_per_s: f64| {
        trials += 1;
        let mut queue = Queue::new(service, seed + 1_000 * trials);
        elapsed_s += WARM_UP_S + trial_s;
        for _ in 0..WARM_UP_S {
            queue.run(rate_per_s);
        }
        let (mut due, mut within) = (0, 0);
        for _ in 0..trial_s {
            let block = queue.run(rate_per_s);
            due += block.due;
            within += block.latency.histogram().map_or(0, |histogram| histogram.count_between(0, limit_ms * 1_000_000));
        }
        (due.saturating_sub(within) as f64) < 0.01 * due as f64
    };
    let (mut low, mut high) = (10.0, 20.0);
    while is_good(high) {
        (low, high) = (high, 2.0 * high);
    }
    while high / low > 1.02 {
        let middle = (high * low).sqrt();
        if is_good(middle) {
            low = middle;
        } else {
            high = middle;
        }
    }
    ((high * low).sqrt(), elapsed_s as f64)
}

/// How long bisection takes on average with the shortest trials that come as close as often, by doubling; or with the longest that are tried,
/// which then is less than it would need.
const MAX_TRIAL_S: usize = 1_920;

fn bisection_s(service: Service, limit_ms: u64, theory: f64) -> (usize, f64) {
    let mut trial_s = 120;
    loop {
        let runs: Vec<(f64, f64)> = (0..RUNS).map(|seed| bisect(service, seed, limit_ms, trial_s)).collect();
        let close = runs.iter().filter(|(found, _)| (found / theory - 1.0).abs() <= CLOSE).count();
        if close >= ENOUGH || trial_s >= MAX_TRIAL_S {
            return (trial_s, runs.iter().map(|(_, elapsed_s)| elapsed_s).sum::<f64>() / RUNS as f64);
        }
        trial_s *= 2;
    }
}

/// How often tests may refuse intervals that are what they claim.
const LEVEL: f64 = 0.05;
/// So many queues are searched: all of them together may refuse so often (Bonferroni).
const QUEUES: f64 = 6.0;

/// The fewest of so many 95 % intervals that may hold the capacity: with fewer, a binomial test refuses at this level that they are what they
/// claim.
fn fewest_that_hold(intervals: u64, level: f64) -> usize {
    let (n, confidence) = (intervals as f64, 0.95_f64);
    // P(none), and from it each P(k), up to where their sum reaches the level.
    let mut exactly = (1.0 - confidence).powf(n);
    let (mut at_most, mut k) = (exactly, 0);
    while at_most < level {
        exactly *= (n - f64::from(k)) / f64::from(k + 1) * confidence / (1.0 - confidence);
        at_most += exactly;
        k += 1;
    }
    k as usize
}

/// What a search of a queue must show: close, its intervals honest, and at most half of the time that bisection takes for the same closeness
/// (`is_quick`).
fn comes_close(service: Service, limit_ms: u64, is_quick: bool) {
    let theory = capacity_per_s(service, limit_ms as f64 / 1e3);
    let runs: Vec<(Found, f64)> =
        (0..RUNS).map(|seed| search(&mut Queue::new(service, seed), goal(limit_ms))).collect();
    for (seed, (found, elapsed_s)) in runs.iter().enumerate() {
        if found.best_per_s.is_none_or(|best| (best / theory - 1.0).abs() > CLOSE) {
            println!("seed {seed}: {found} after {elapsed_s:.0} s, most likely {:?}", found.best_per_s);
        }
    }
    let errors = || runs.iter().map(|(found, _)| found.best_per_s.unwrap_or(0.0) / theory - 1.0);
    let close = errors().filter(|error| error.abs() <= CLOSE).count();
    let covers = |found: &Found| {
        found.lower_per_s.is_some_and(|lower| lower <= theory) && found.upper_per_s.is_some_and(|upper| theory <= upper)
    };
    let covered = runs.iter().filter(|(found, _)| covers(found)).count();
    let rms = (errors().map(|error| error * error).sum::<f64>() / RUNS as f64).sqrt();
    let mean_s = runs.iter().map(|(_, elapsed_s)| elapsed_s).sum::<f64>() / RUNS as f64;
    let (trial_s, bisection_s) = bisection_s(service, limit_ms, theory);
    println!(
        "{service:?}, p99<{limit_ms}ms: capacity {theory:.2}/s; {close} of {RUNS} within 3 %, {covered} intervals hold it, \
         error {:.2} % rms; {mean_s:.0} s on average, bisection with trials of {trial_s} s {bisection_s:.0} s",
        rms * 100.0
    );
    assert!(close >= ENOUGH, "{close} of {RUNS} are close");
    assert!(covered >= fewest_that_hold(RUNS, LEVEL / QUEUES), "{covered} of {RUNS} intervals hold the capacity");
    assert!(!is_quick || mean_s <= 0.5 * bisection_s, "{mean_s} s, bisection {bisection_s} s");
}

#[test]
fn exponential_service_50_ms() {
    comes_close(Service::Exponential, 50, true);
}

#[test]
fn exponential_service_100_ms() {
    comes_close(Service::Exponential, 100, true);
}

#[test]
fn exponential_service_200_ms() {
    comes_close(Service::Exponential, 200, true);
}

#[test]
fn fixed_service_50_ms() {
    comes_close(Service::Fixed, 50, true);
}

#[test]
fn fixed_service_100_ms() {
    comes_close(Service::Fixed, 100, true);
}

// Not quick yet: bursts come minutes apart, and the interval waits for several of them. Bisection claims no interval, and takes 1,353 s
// with trials of two minutes; the search took 1,221 s.
#[test]
fn fixed_service_200_ms() {
    comes_close(Service::Fixed, 200, false);
}

#[test]
fn the_fewest_that_hold_are_those_of_the_binomial_distribution() {
    // P(at most 35 of 40) is 4.80 %, P(at most 36) 13.81 %; P(at most 184 of 200) 4.5 %, P(at most 185) 7.8 %.
    assert_eq!((fewest_that_hold(40, LEVEL), fewest_that_hold(200, LEVEL)), (36, 185));
    // P(at most 33 of 40) is 0.34 %, P(at most 34) 1.39 %; a sixth of 5 % lies between.
    assert_eq!(fewest_that_hold(40, LEVEL / QUEUES), 34);
}

#[test]
fn theory_agrees_with_itself() {
    // The share that waits at all is the load.
    assert!((fixed_share_above(0.5, 1) - 0.5).abs() < 1e-12);
    // Crommelin's series with its alternating signs, where few terms leave it exact.
    let crommelin = |load: f64, waits: u32| {
        let term = |k: u32| {
            let x = load * f64::from(waits - k);
            let factorial: f64 = (1..=k).map(f64::from).product();
            x.exp() * (-x).powi(k as i32) / factorial
        };
        1.0 - (1.0 - load) * (0..=waits).map(term).sum::<f64>()
    };
    for (load, services) in [(0.3, 2), (0.7, 4), (0.9, 9), (0.95, 11)] {
        let (one, other) = (fixed_share_above(load, services as usize), crommelin(load, services - 1));
        assert!((one - other).abs() < 1e-7, "{load} {services}: {one} {other}");
    }
}

#[test]
fn a_short_budget_gives_a_wide_interval_that_says_so() {
    let theory = capacity_per_s(Service::Exponential, 0.1);
    let mut held = 0;
    for seed in 0..RUNS {
        let goal = Goal { budget: Duration::from_secs(300), width: 0.02, ..goal(100) };
        let (found, elapsed_s) = search(&mut Queue::new(Service::Exponential, seed), goal);
        assert!(elapsed_s <= 300.0, "{elapsed_s}");
        assert!(found.ended == Ended::Budget || found.ended == Ended::Width, "{found}");
        let above = found.lower_per_s.is_some_and(|lower| lower > theory);
        let below = found.upper_per_s.is_some_and(|upper| upper < theory);
        held += usize::from(!above && !below);
    }
    println!("five minutes: {held} of {RUNS} intervals hold the capacity");
    assert!(held >= fewest_that_hold(RUNS, LEVEL), "{held} of {RUNS}");
}

#[test]
fn a_generator_at_its_limit_gives_a_lower_bound_alone() {
    for (seed, generator_per_s) in [(1, 60.0), (2, 100.0), (3, 33.0), (4, 129.0)] {
        let mut queue = Queue::new(Service::Exponential, seed);
        queue.generator_per_s = generator_per_s;
        let (found, _) = search(&mut queue, goal(100));
        println!("a generator of {generator_per_s}/s: {found}");
        assert_eq!(found.upper_per_s, None, "{found}");
        assert_eq!(found.best_per_s, None, "{found}");
        let lower = found.lower_per_s.expect("what was held is known to be good");
        assert!(lower <= generator_per_s && lower >= 0.9 * generator_per_s, "{found}");
        let Ended::Generator { ends_at_per_s, .. } = found.ended else { panic!("{found}") };
        assert!(ends_at_per_s > generator_per_s && ends_at_per_s < 1.06 * generator_per_s, "{found}");
    }
}

#[test]
fn a_generator_beyond_the_targets_capacity_does_not_matter() {
    // Doubling finds the generator's end first, and the target's below it.
    let mut queue = Queue::new(Service::Fixed, 5);
    queue.generator_per_s = 230.0;
    let theory = capacity_per_s(Service::Fixed, 0.05);
    let (found, _) = search(&mut queue, Goal { start_per_s: 9.0, ..goal(50) });
    let best = found.best_per_s.expect("it is bounded on both sides");
    assert!((best / theory - 1.0).abs() < 0.04, "{found} {theory}");
    assert!(found.trials.iter().any(|trial| matches!(trial.verdict, Verdict::Void(_))));
}

#[test]
fn one_hiccup_does_not_decide() {
    let theory = capacity_per_s(Service::Fixed, 0.05);
    for seed in 0..10 {
        // While the rate is still doubled: everything stands still for two seconds.
        let mut queue = Queue::new(Service::Fixed, seed);
        queue.hiccup_at_s = Some((15.0 + seed as f64, 2.0));
        let (found, _) = search(&mut queue, goal(50));
        let best = found.best_per_s.expect("it is bounded on both sides");
        assert!((best / theory - 1.0).abs() < 0.04, "seed {seed}: {found}, theory {theory}");
    }
}

#[test]
fn the_strictest_criterion_decides() {
    let slow = capacity_per_s(Service::Fixed, 0.05);
    let slo = vec![
        Criterion::quantile(0.5, Duration::from_secs(1)),
        Criterion::quantile(0.99, Duration::from_millis(50)),
        Criterion::Failed { share: 0.01 },
    ];
    let (found, _) = search(&mut Queue::new(Service::Fixed, 3), Goal { slo, ..goal(50) });
    let best = found.best_per_s.expect("it is bounded on both sides");
    assert!((best / slow - 1.0).abs() < 0.04, "{found}");
    // The share that fails grows with the rate and reaches 1 % at 80/s.
    let slo = vec![Criterion::quantile(0.99, Duration::from_millis(50)), Criterion::Failed { share: 0.01 }];
    let mut queue = Queue::new(Service::Fixed, 3);
    queue.failed_share_per_s = 0.01 / 80.0;
    let (found, _) = search(&mut queue, Goal { slo, ..goal(50) });
    println!("{found}");
    let best = found.best_per_s.expect("it is bounded on both sides");
    let (lower, upper) = (found.lower_per_s.expect("bounded"), found.upper_per_s.expect("bounded"));
    assert!(lower <= best && best <= upper && (best / 80.0 - 1.0).abs() < 0.15, "{found}");
}

#[test]
fn the_curve_rises_with_the_load() {
    let (found, _) = search(&mut Queue::new(Service::Exponential, 1), goal(100));
    let loads: Vec<f64> = found.curve.iter().map(|point| point.rate_per_s).collect();
    assert!(loads.is_sorted() && loads.len() > 8, "{loads:?}");
    // Where much was measured, the median is that of theory: ln 2 / (μ - λ).
    let most =
        found.curve.iter().filter(|point| point.rate_per_s < 170.0).max_by_key(|point| point.due).expect("a load");
    let median_s = most.quantiles[0].value_ns.expect("it is known") as f64 / 1e9;
    let theory_s = 2_f64.ln() / (SERVED_PER_S - most.rate_per_s);
    assert!((median_s / theory_s - 1.0).abs() < 0.15, "{most:?} {theory_s}");
}

#[test]
fn what_is_never_good_and_what_is_never_bad() {
    let never = Goal { slo: vec![Criterion::quantile(0.99, Duration::from_millis(4))], ..goal(4) };
    let (found, _) = search(&mut Queue::new(Service::Fixed, 1), never);
    assert_eq!((found.lower_per_s, found.ended), (None, Ended::MinRate), "{found}");
    let always = Goal { max_per_s: 50.0, ..goal(100) };
    let (found, _) = search(&mut Queue::new(Service::Fixed, 1), always);
    assert_eq!((found.upper_per_s, found.ended), (None, Ended::MaxRate), "{found}");
    assert!(found.lower_per_s.is_some_and(|lower| lower > 45.0) && found.is_confirmed, "{found}");
}
