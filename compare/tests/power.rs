//! How often equals are told apart, and how often a true difference is found: on simulated seconds that hang together.

use onrush_compare::{Comparison, GateVerdict, Quantity, Settings, Stretch, Timeline};
use onrush_stats::{Counts, Distribution};

const PAIRS: u64 = 200;
const SECONDS: u64 = 60;

/// A run of so many seconds.
type Run = fn(&mut fastrand::Rng, slower: f64) -> Timeline;

fn timeline(seconds: impl Iterator<Item = Vec<f64>>) -> Timeline {
    let second = |(index, latencies_ns): (u64, Vec<f64>)| {
        let mut latency = Distribution::default();
        latencies_ns.iter().for_each(|ns| latency.record(*ns as u64));
        let mut counts = Counts::default();
        counts.statuses.insert(200, latencies_ns.len() as u64);
        Stretch::of_second(index, 1_000_000_000, &counts, &latency)
    };
    Timeline::of((0..).zip(seconds).map(second))
}

fn normal(random: &mut fastrand::Rng) -> f64 {
    (-2.0 * (1.0 - random.f64()).ln()).sqrt() * (std::f64::consts::TAU * random.f64()).cos()
}

/// 1,000 requests a second around 5 ms (log-normal, sigma 0.5), whose level wanders by 2 % from second to second and remembers half
/// of it.
fn wandering(random: &mut fastrand::Rng, slower: f64) -> Timeline {
    let mut level = 0.0;
    timeline((0..SECONDS).map(|_| {
        level = 0.5 * level + 0.02 * normal(random);
        (0..1_000).map(|_| 5e6 * slower * (level + 0.5 * normal(random)).exp()).collect()
    }))
}

/// One server with a queue (M/M/1 by Lindley's recursion): 400 requests a second on average, 80 % busy. Everything in it takes
/// `slower` times as long where it is scaled, queue and all.
fn queue(random: &mut fastrand::Rng, slower: f64) -> Timeline {
    let (rate_per_s, service_s) = (400.0, 0.8 / 400.0);
    let exponential = |random: &mut fastrand::Rng, mean: f64| -mean * (1.0 - random.f64()).ln();
    let (mut at_s, mut wait_s) = (0.0, 0.0);
    let mut seconds = vec![Vec::new(); SECONDS as usize];
    while at_s < SECONDS as f64 {
        let served_s = exponential(random, service_s);
        seconds[at_s as usize].push((wait_s + served_s) * 1e9 * slower);
        let gap_s = exponential(random, 1.0 / rate_per_s);
        wait_s = f64::max(wait_s + served_s - gap_s, 0.0);
        at_s += gap_s;
    }
    timeline(seconds.into_iter())
}

fn compared(run: Run, pair: u64, slower: f64) -> Comparison {
    let mut random = fastrand::Rng::with_seed(1_000 + pair);
    let (a, b) = (run(&mut random, 1.0), run(&mut random, slower));
    let settings = Settings { gates: vec!["p99<+0%".parse().expect("a gate")], draws: 1_000, ..Settings::default() };
    Comparison::of_runs(a, b, &settings).expect("two whole runs")
}

/// How many of the pairs have a difference that is proven anywhere, one in p99, a gate that is broken, and an interval of p99 (by
/// itself) that lacks the truth.
fn counted(run: Run, slower: f64) -> [usize; 4] {
    let mut counts = [0; 4];
    for comparison in (0..PAIRS).map(|pair| compared(run, pair, slower)) {
        let p99 = comparison.rows.iter().find(|row| row.quantity == Quantity::Quantile(0.99)).expect("a row");
        let Some(interval) = p99.interval else { continue };
        let found = [
            comparison.rows.iter().any(|row| row.is_proven),
            p99.is_proven,
            comparison.gates[0].verdict == GateVerdict::Broken,
            !(interval.lower..=interval.upper).contains(&(slower - 1.0)),
        ];
        counts.iter_mut().zip(found).for_each(|(count, found)| *count += usize::from(found));
    }
    eprintln!("{slower}: any {}, p99 {}, gate {}, missed {} of {PAIRS}", counts[0], counts[1], counts[2], counts[3]);
    counts
}

/// At most 5 % of pairs of equals are told apart, with all eight rows looked at.
#[test]
fn equals_are_seldom_told_apart() {
    for run in [wandering as Run, queue] {
        let [any, _, gate, missed] = counted(run, 1.0);
        assert!(any <= PAIRS as usize / 20, "{any} false alarms");
        // One side of a 95 % interval, and both.
        assert!(gate <= PAIRS as usize / 20, "{gate} gates were broken");
        assert!(missed <= PAIRS as usize / 10, "{missed} intervals lack the truth");
    }
}

/// A p99 that is 5 % higher is found in 80 % of the pairs.
#[test]
fn a_true_difference_is_found() {
    let [_, p99, gate, missed] = counted(wandering, 1.05);
    assert!(p99 >= PAIRS as usize * 8 / 10, "found {p99} times");
    assert!(gate >= p99, "a gate looks at one row alone: {gate}");
    assert!(missed <= PAIRS as usize / 10, "{missed} intervals lack the truth");
}
