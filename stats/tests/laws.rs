//! Merging is a law: order and grouping do not matter, and nothing is lost.

use onrush_stats::{Counts, Distribution, FailureCause, SecondStats};
use proptest::prelude::*;

fn distribution(values: &[u64]) -> Distribution {
    let mut d = Distribution::default();
    values.iter().for_each(|v| d.record(*v));
    d
}

fn values() -> impl Strategy<Value = Vec<u64>> {
    prop::collection::vec(prop_oneof![0u64..10_000, 0u64..5_000_000_000, 0u64..10_000_000_000_000], 0..50)
}

prop_compose! {
    fn counts()(
        sent in 0u64..1_000_000, skipped in 0u64..100, in_flight in 0u64..100,
        bytes_sent in 0u64..1_000_000_000, bytes_received in 0u64..1_000_000_000,
        statuses in prop::collection::btree_map(100u16..600, 1u64..1000, 0..4),
        failures in prop::collection::btree_map(prop::sample::select(FailureCause::ALL), 1u64..1000, 0..4),
    ) -> Counts {
        Counts { sent, skipped, in_flight, bytes_sent, bytes_received, statuses, failures }
    }
}

prop_compose! {
    fn second()(counts in counts(), a in values(), b in values(), c in values()) -> SecondStats {
        SecondStats {
            counts,
            latency: distribution(&a),
            service_time: distribution(&b),
            schedule_error: distribution(&c),
        }
    }
}

fn merged(parts: &[&SecondStats]) -> SecondStats {
    let mut all = SecondStats::default();
    parts.iter().for_each(|p| all.merge(p));
    all
}

proptest! {
    #[test]
    fn merging_is_commutative_and_associative(a in second(), b in second(), c in second()) {
        prop_assert_eq!(merged(&[&a, &b]), merged(&[&b, &a]));
        let ab_c = merged(&[&merged(&[&a, &b]), &c]);
        let a_bc = merged(&[&a, &merged(&[&b, &c])]);
        prop_assert_eq!(ab_c, a_bc);
    }

    #[test]
    fn an_empty_value_changes_nothing(a in second()) {
        prop_assert_eq!(merged(&[&a]), a.clone());
        prop_assert_eq!(merged(&[&a, &SecondStats::default()]), a);
    }

    #[test]
    fn merged_parts_equal_a_single_recorder(parts in prop::collection::vec(values(), 1..6)) {
        let mut merged = Distribution::default();
        parts.iter().for_each(|p| merged.merge(&distribution(p)));
        let single = distribution(&parts.concat());
        prop_assert_eq!(merged.count(), single.count());
        prop_assert_eq!(merged, single);
    }

    #[test]
    fn what_was_added_can_be_taken_away(a in values(), b in values()) {
        let (rest, part) = (distribution(&a), distribution(&b));
        let mut sum = rest.clone();
        sum.merge(&part);
        sum.subtract(&part);
        prop_assert_eq!((sum.count(), sum.sum_ns()), (rest.count(), rest.sum_ns()));
        prop_assert_eq!(sum.histogram(), rest.histogram());
    }

    #[test]
    fn summary_is_ordered_and_exact_at_the_ends(values in values().prop_filter("not empty", |v| !v.is_empty())) {
        let d = distribution(&values);
        let s = d.summary().expect("not empty");
        prop_assert_eq!(d.min_ns(), values.iter().min().copied());
        prop_assert_eq!(d.max_ns(), values.iter().max().copied());
        prop_assert_eq!(d.sum_ns(), values.iter().sum::<u64>());
        prop_assert!(s.min_ms <= s.median_ms && s.median_ms <= s.p90_ms && s.p90_ms <= s.p95_ms);
        prop_assert!(s.p95_ms <= s.p99_ms && s.p99_ms <= s.p999_ms && s.p999_ms <= s.max_ms);
    }

    #[test]
    fn quantiles_are_within_a_thousandth(mut values in prop::collection::vec(1u64..3_600_000_000_000, 1..200), q in 0.0f64..1.0) {
        let d = distribution(&values);
        values.sort_unstable();
        let rank = ((q * values.len() as f64).ceil() as usize).clamp(1, values.len());
        let truth = values[rank - 1] as f64;
        let got = d.quantile_ns(q).expect("not empty") as f64;
        prop_assert!((got - truth).abs() <= truth * 1e-3 + 1.0, "quantile {} of {} values: {} is not {}", q, values.len(), got, truth);
    }
}

#[test]
fn clearing_forgets_everything() {
    let mut d = distribution(&[1, 2, 3]);
    d.clear();
    assert!(d.is_empty());
    assert_eq!(d.summary(), None);
    d.record(7);
    assert_eq!((d.min_ns(), d.max_ns(), d.sum_ns()), (Some(7), Some(7), 7));
}
