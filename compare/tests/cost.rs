//! What a comparison of long runs costs.

use std::time::{Duration, Instant};

use onrush_compare::{Comparison, MAX_STRETCHES, Settings, Stretch, Timeline};

/// Two hours, a second at a time, each with a thousand buckets that others do not all have.
fn two_hours(seed: u64) -> Timeline {
    let mut random = fastrand::Rng::with_seed(seed);
    let second = |index: u64| {
        let shift = random.u64(0..50);
        let latency: Vec<(u64, u64)> =
            (0..1_000).map(|bucket| (1_000 * (bucket + shift) + 1, 1 + bucket % 3)).collect();
        let responses = latency.iter().map(|(_, n)| n).sum();
        let (seconds, sending_ns) = (1, 1_000_000_000);
        Stretch { first_second: index, seconds, sending_ns, responses, ended: responses, latency, ..Stretch::default() }
    };
    Timeline::of((0..7_200).map(second))
}

#[test]
fn two_hours_are_compared_within_seconds() {
    let begun = Instant::now();
    let (a, b) = (two_hours(1), two_hours(2));
    assert!(a.stretches().len() <= MAX_STRETCHES && b.stretches().len() <= MAX_STRETCHES);
    let comparison = Comparison::of_runs(a, b, &Settings::default()).expect("two whole runs");
    assert_eq!(comparison.seconds, [7_200, 7_200]);
    let took = begun.elapsed();
    eprintln!("two hours were compared in {took:?}");
    // Far more than it takes, for a machine that has much else to do.
    assert!(took < Duration::from_secs(20), "{took:?}");
}
