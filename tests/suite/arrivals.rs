//! Arrivals as a target sees them: random ones pass a test of being so, even ones fail it.

use serde_json::json;

use crate::harness::recorder::Recorder;
use crate::harness::{Broker, Orchestrator, System, alone};

const TOTAL_PER_S: f64 = 250.0;
/// Kolmogorov–Smirnov: for a law that is known, √n × D is above this in one of 1,000 samples (the limit distribution's quantile).
const ONE_IN_1000: f64 = 1.95;
/// A machine that stands still for a moment moves what should have come meanwhile.
const TRIES: usize = 4;

pub fn random_arrivals_are_a_poisson_process_at_the_target(broker: &Broker) {
    let _machine = alone();
    let system = System::new(broker);
    let target = Recorder::start();
    let orchestrator = system.orchestrator_with(&["--min-drivers", "1"]);
    let first = system.driver("driver-1", &[]);
    let second = system.driver("driver-2", &[]);
    orchestrator.wait_for_idle(2);
    assert!(!is_random(&arrivals_s(&orchestrator, &target, "even")), "even arrivals pass as random ones");
    let of_two = random_arrivals_s(&orchestrator, &target);
    drop(second);
    orchestrator.wait_for_idle(1);
    let of_one = random_arrivals_s(&orchestrator, &target);
    drop(first);
    // The same seed: the same process, whoever sends it.
    let mut apart_s: Vec<f64> = of_one.iter().zip(&of_two).map(|(a, b)| (a - b).abs()).collect();
    apart_s.sort_by(f64::total_cmp);
    let median_s = apart_s[apart_s.len() / 2];
    assert!(of_one.len().abs_diff(of_two.len()) * 100 <= of_one.len(), "{} and {}", of_one.len(), of_two.len());
    assert!(median_s < 0.005, "the moments of one driver and of two are {median_s} s apart");
}

/// The moments of a run that passes.
fn random_arrivals_s(orchestrator: &Orchestrator, target: &Recorder) -> Vec<f64> {
    let mut seen = Vec::new();
    let found = (0..TRIES).find_map(|_| {
        let arrivals_s = arrivals_s(orchestrator, target, "poisson");
        seen.push(statistic(&arrivals_s));
        is_random(&arrivals_s).then_some(arrivals_s)
    });
    found.unwrap_or_else(|| panic!("in none of {TRIES} runs did the gaps pass: √n × D is {seen:?}"))
}

fn is_random(arrivals_s: &[f64]) -> bool {
    statistic(arrivals_s) < ONE_IN_1000
}

/// When the target saw the requests of a test, in seconds since the first.
fn arrivals_s(orchestrator: &Orchestrator, target: &Recorder, arrivals: &str) -> Vec<f64> {
    target.take();
    let test_id = orchestrator.start(&json!({
        "test_type": "TSUNAMI", "target_url": target.url(), "total_throughput": TOTAL_PER_S, "duration": "4s",
        "arrivals": arrivals, "seed": 11, "connections": 16,
    }));
    orchestrator.wait_for_end(&test_id);
    let arrivals_ns = target.take();
    assert!(arrivals_ns.len() > 500, "{} requests came", arrivals_ns.len());
    arrivals_ns.iter().map(|at_ns| (at_ns - arrivals_ns[0]) as f64 / 1e9).collect()
}

/// √n × D of Kolmogorov and Smirnov: how far the gaps are from an exponential law with the asked rate.
fn statistic(arrivals_s: &[f64]) -> f64 {
    let mut gaps_s: Vec<f64> = arrivals_s.windows(2).map(|pair| pair[1] - pair[0]).collect();
    gaps_s.sort_by(f64::total_cmp);
    let n = gaps_s.len() as f64;
    let distance = |(index, gap_s): (usize, &f64)| {
        let below = 1.0 - (-TOTAL_PER_S * gap_s).exp();
        (below - index as f64 / n).max((index + 1) as f64 / n - below)
    };
    n.sqrt() * gaps_s.iter().enumerate().map(distance).fold(0.0, f64::max)
}
