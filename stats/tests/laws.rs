//! Merging is a law: order and grouping do not matter, and nothing is lost.

use onrush_stats::{
    ByName, Counts, Distribution, Examples, FailureCause, Kind, MAX_NAMES, NameStats, NarrowRecorder, OTHER,
    SecondStats, SparseDistribution, Totals,
};
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
        numbers in prop::collection::vec(0u64..1_000_000_000, Counts::NUMBERS.len()),
        addresses in prop::collection::btree_map("[a-c]:1", 1u64..1000, 0..3),
        statuses in prop::collection::btree_map(100u16..600, 1u64..1000, 0..4),
        failures in prop::collection::btree_map(prop::sample::select(FailureCause::ALL), 1u64..1000, 0..4),
    ) -> Counts {
        let mut counts = Counts { statuses, failures, addresses, ..Counts::default() };
        Counts::NUMBERS.iter().zip(numbers).for_each(|(number, n)| *number.of_mut(&mut counts) = n);
        counts
    }
}

prop_compose! {
    fn examples()(list in prop::collection::vec((prop::sample::select(FailureCause::ALL), ".{0,9}"), 0..5)) -> Examples {
        let mut examples = Examples::default();
        list.iter().for_each(|(cause, text)| examples.note(*cause, text));
        examples
    }
}

fn sparse(values: &[u64]) -> SparseDistribution {
    (&distribution(values)).into()
}

prop_compose! {
    fn name_stats()(
        sent in 1u64..1000,
        statuses in prop::collection::btree_map(100u16..600, 1u64..1000, 0..3),
        failures in prop::collection::btree_map(prop::sample::select(FailureCause::ALL), 1u64..1000, 0..3),
        values in values(),
    ) -> NameStats {
        NameStats { sent, statuses, failures, latency: sparse(&values) }
    }
}

/// Of few names, so that some are in several, and now and then of more than are told apart.
fn by_name() -> impl Strategy<Value = ByName> {
    let few = prop::collection::vec(("[a-d]|other", name_stats()), 0..6);
    let many = prop::collection::vec(("[a-e][a-z]", name_stats()), 0..2 * MAX_NAMES);
    prop_oneof![4 => few, 1 => many].prop_map(|list| {
        let mut by_name = ByName::default();
        list.iter().for_each(|(name, stats)| by_name.add(name, stats));
        by_name
    })
}

prop_compose! {
    fn second()(
        counts in counts(), examples in examples(), by_name in by_name(), a in values(), b in values(), c in values(),
    ) -> SecondStats {
        SecondStats {
            by_name,
            counts,
            latency: distribution(&a),
            service_time: distribution(&b),
            schedule_error: distribution(&c),
            examples,
        }
    }
}

fn dense_buckets(distribution: &Distribution) -> Vec<(u16, u64)> {
    SparseDistribution::from(distribution).buckets().to_vec()
}

fn merged(parts: &[&SecondStats]) -> SecondStats {
    let mut all = SecondStats::default();
    parts.iter().for_each(|p| all.merge_across(p));
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
    fn appending_and_prepending_are_one_and_keep_the_later_gauges(a in second(), b in second(), c in second()) {
        let appended = |earlier: &SecondStats, later: &SecondStats| {
            let mut all = earlier.clone();
            all.append(later);
            all
        };
        prop_assert_eq!(appended(&appended(&a, &b), &c), appended(&a, &appended(&b, &c)));
        let mut prepended = b.clone();
        prepended.prepend(&a);
        prop_assert_eq!(&appended(&a, &b), &prepended);
        // Of counters it is all the same which node counted them, and when.
        let mut across = merged(&[&a, &b]);
        prop_assert_eq!(across.counts.in_flight, a.counts.in_flight + b.counts.in_flight);
        prop_assert_eq!(prepended.counts.in_flight, b.counts.in_flight);
        across.counts.gather_gauges([&b.counts].into_iter());
        prop_assert_eq!(across, prepended);
    }

    #[test]
    fn counts_that_were_added_can_be_taken_away(a in counts(), b in counts()) {
        let mut rest = a.clone();
        rest.prepend(&b);
        rest.subtract(&b);
        prop_assert_eq!(rest, a);
    }

    #[test]
    fn totals_add_up_as_their_seconds_do(a in counts(), b in counts()) {
        let mut sum = a.totals();
        sum.merge(&b.totals());
        let mut counts = a.clone();
        counts.append(&b);
        // A response that failed a check is one, and another cause than a check leaves none.
        prop_assume!(a.responses() >= a.failed_by(FailureCause::CheckFailed));
        prop_assume!(b.responses() >= b.failed_by(FailureCause::CheckFailed));
        prop_assert_eq!(sum, counts.totals());
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
    fn also_the_smallest_beside_zeros(zeros in 1..9_usize, least in 1..9_u64, b in values()) {
        let values = [vec![0; zeros], b.iter().map(|value| value + 9).collect()].concat();
        let (rest, part) = (distribution(&values), distribution(&[least]));
        let mut sum = rest.clone();
        sum.merge(&part);
        sum.subtract(&part);
        prop_assert_eq!(sum.histogram(), rest.histogram());
    }

    #[test]
    fn a_sparse_distribution_is_the_same_in_less_memory(a in values(), b in values(), missing in 0..200u64) {
        let (mut both, mut dense) = (sparse(&a), distribution(&a));
        both.merge(&sparse(&b));
        dense.merge(&distribution(&b));
        prop_assert_eq!(&both, &SparseDistribution::from(&dense));
        prop_assert_eq!(&Distribution::from(&both), &dense);
        prop_assert_eq!(both.summary(), dense.summary());
        let due = dense.count() + missing;
        prop_assert_eq!(both.summary_of_due(due), dense.summary_of_due(due));
        let mut recorder = NarrowRecorder::default();
        a.iter().chain(&b).for_each(|value| recorder.record(*value));
        prop_assert_eq!(&recorder.distribution(), &both);
        recorder.clear();
        b.iter().for_each(|value| recorder.record(*value));
        prop_assert_eq!(recorder.distribution(), sparse(&b));
        both.subtract(&sparse(&b));
        let rest = sparse(&a);
        prop_assert_eq!(both.buckets(), rest.buckets());
        prop_assert_eq!((both.count(), both.sum_ns()), (a.len() as u64, a.iter().sum()));
        let parts = SparseDistribution::from_parts(dense_buckets(&dense), dense.sum_ns(), dense.min_ns().unwrap_or(0),
            dense.max_ns().unwrap_or(0));
        prop_assert_eq!(parts, Some(SparseDistribution::from(&dense)));
    }

    #[test]
    fn names_that_were_added_can_be_taken_away(a in by_name(), b in by_name()) {
        prop_assume!(a.iter().len() + b.iter().len() <= MAX_NAMES);
        let mut rest = a.clone();
        rest.merge(&b);
        rest.subtract(&b);
        let told = |all: &ByName| all.iter().map(|(name, s)| (name.to_owned(), s.sent, s.latency.buckets().to_vec())).collect::<Vec<_>>();
        prop_assert_eq!(told(&rest), told(&a));
    }

    #[test]
    fn names_are_bounded_and_nothing_is_lost(list in prop::collection::vec(("[a-z]{2}", name_stats()), 0..300)) {
        let (mut all, mut whole) = (ByName::default(), NameStats::default());
        for (name, stats) in &list {
            all.add(name, stats);
            whole.merge(stats);
        }
        prop_assert!(all.iter().len() <= MAX_NAMES + 1);
        prop_assert_eq!(all.whole(), whole);
        let names: std::collections::BTreeSet<_> = list.iter().map(|(name, _)| name).collect();
        prop_assert_eq!(all.get(OTHER).is_some(), names.len() > MAX_NAMES);
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
    fn what_has_no_response_is_beyond_every_response(
        mut values in prop::collection::vec(1u64..3_600_000_000_000, 0..200), missing in 0..200u64,
    ) {
        let d = distribution(&values);
        values.sort_unstable();
        let due = values.len() as u64 + missing;
        let summary = d.summary_of_due(due);
        let quantiles = [
            (0.5, summary.median_ms), (0.9, summary.p90_ms), (0.95, summary.p95_ms), (0.99, summary.p99_ms),
            (0.999, summary.p999_ms),
        ];
        for (quantile, got_ms) in quantiles {
            // Counted out: at least so many of those that were due.
            let wanted = (1..=due).find(|n| *n as f64 >= quantile * due as f64 - 1e-6).unwrap_or(1) as usize;
            let truth_ms = values.get(wanted - 1).map(|ns| *ns as f64 / 1e6);
            prop_assert_eq!(got_ms.is_some(), truth_ms.is_some(), "{} of {} due", quantile, due);
            if let Some((got, truth)) = got_ms.zip(truth_ms) {
                prop_assert!((got - truth).abs() <= truth * 1e-3 + 1e-6, "{} is not {}", got, truth);
            }
        }
        prop_assert_eq!(summary.max_ms.is_some(), missing == 0 && !values.is_empty());
        prop_assert_eq!(summary.mean_ms.is_some(), missing == 0 && !values.is_empty());
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
fn a_number_is_what_its_name_says() {
    let mut counts = Counts::default();
    for (n, number) in (1..).zip(Counts::NUMBERS) {
        *number.of_mut(&mut counts) = n;
    }
    let text = format!("{counts:?}");
    for (n, number) in (1..).zip(Counts::NUMBERS) {
        assert_eq!(number.of(&counts), n);
        assert!(text.contains(&format!(" {}: {n},", number.name)), "{} in {text}", number.name);
        assert!(number.series.is_none_or(|(series, _)| series.ends_with("_total") == (number.kind == Kind::Counter)));
    }
    let shared = Totals::NUMBERS.iter().filter(|total| Counts::NUMBERS.iter().any(|number| number.name == total.name));
    let totals = counts.totals();
    assert!(shared.clone().all(|number| number.of(&totals) > 0), "{totals:?}");
    assert_eq!(shared.count() + 2, Totals::NUMBERS.len(), "but answered and failed, which are sums");
    counts.clear();
    assert_eq!(counts, Counts::default());
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

#[test]
fn buckets_out_of_order_or_empty_are_no_distribution() {
    for wrong in [vec![(2, 1), (1, 1)], vec![(1, 1), (1, 1)], vec![(1, 0)], vec![(u16::MAX, 1)]] {
        assert_eq!(SparseDistribution::from_parts(wrong, 1, 1, 1), None);
    }
    assert_eq!(SparseDistribution::from_parts(Vec::new(), 9, 9, 9), Some(SparseDistribution::default()));
}
