use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::profile::Arrivals;
use crate::schedule::slots::Slots;

fn constant(seconds: f64, rate_per_s: f64) -> Phase {
    Phase { length: Duration::from_secs_f64(seconds), shape: Shape::Constant { rate_per_s } }
}

fn ramp(seconds: f64, from_per_s: f64, to_per_s: f64) -> Phase {
    Phase { length: Duration::from_secs_f64(seconds), shape: Shape::Ramp { from_per_s, to_per_s } }
}

fn pause(seconds: f64) -> Phase {
    Phase { length: Duration::from_secs_f64(seconds), shape: Shape::Pause }
}

fn slots(curve: Curve) -> Slots {
    Slots::new(Arc::new(curve), Arrivals::Even)
}

fn of_phases(phases: &[Phase]) -> Slots {
    slots(Curve::of_phases(phases))
}

fn in_second(slots: &mut Slots, second: u64) -> u64 {
    slots.first_from((second + 1) * SECOND_NS) - slots.first_from(second * SECOND_NS)
}

#[test]
fn a_whole_rate_has_exactly_its_slots_in_every_second() {
    for rate in [1u32, 3, 7, 100, 333, 20_000, 1_000_003] {
        let mut slots = slots(Curve::per_second(f64::from(rate), None));
        for second in [0, 1, 2, 59, 86_399] {
            assert_eq!(in_second(&mut slots, second), u64::from(rate), "second {second}");
        }
    }
}

#[test]
fn a_slow_rate_is_its_interval_to_a_few_millionths() {
    for (rate_per_s, interval_s) in [(1.0 / 3600.0, 3600), (1.0 / 60.0, 60), (0.5, 2)] {
        let due_ns = slots(Curve::per_second(rate_per_s, None)).due_ns(1);
        let asked_ns = interval_s * SECOND_NS;
        assert!((asked_ns..=asked_ns + asked_ns / 200_000).contains(&due_ns), "{rate_per_s}: {due_ns} ns");
    }
}

#[test]
fn the_longer_interval_wins() {
    let (ten_ms, rate_50) = (Curve::every(Duration::from_millis(10), None), Curve::per_second(50.0, None));
    assert_eq!(ten_ms.clone().slower(rate_50.clone()), rate_50);
    assert_eq!(ten_ms.clone().slower(Curve::per_second(200.0, None)), ten_ms);
}

#[test]
fn a_profile_has_in_each_second_what_the_integral_gives() {
    let mut slots = of_phases(&[constant(5.0, 1_000.0), ramp(10.0, 1_000.0, 5_000.0), ramp(5.0, 5_000.0, 0.0)]);
    assert_eq!(slots.first_from(u64::MAX), 47_500);
    let rate = |t: f64| match t {
        t if t < 5.0 => 1_000.0,
        t if t < 15.0 => 1_000.0 + 400.0 * (t - 5.0),
        t => 5_000.0 - 1_000.0 * (t - 15.0),
    };
    for second in 0..20 {
        // A straight line's mean is its middle.
        let expected = rate(second as f64 + 0.5);
        assert!((in_second(&mut slots, second) as f64 - expected).abs() <= 1.0, "second {second}");
    }
    assert_eq!(slots.due_ns(0), 0);
    assert_eq!(slots.due_ns(5_000), 5 * SECOND_NS);
    assert!(slots.due_ns(47_499) < 20 * SECOND_NS);
    assert_eq!(slots.due_ns(47_500), u64::MAX);
    assert_eq!(slots.curve().end_ns(), Some(20 * SECOND_NS));
}

#[test]
fn a_slot_at_the_edge_of_a_pause_is_due_after_it() {
    let mut slots = of_phases(&[pause(1.0), constant(1.0, 10.0), pause(2.0), constant(1.0, 10.0)]);
    assert_eq!(
        [0, 1, 9, 10, 11].map(|k| slots.due_ns(k)),
        [1_000, 1_100, 1_900, 4_000, 4_100].map(|ms| ms * 1_000_000)
    );
    assert_eq!([0, 1, 2, 3, 4].map(|second| in_second(&mut slots, second)), [0, 10, 0, 0, 10]);
}

#[test]
fn fractions_of_slots_are_carried_over_phases() {
    // Three slots in ten phases of 0.3 each.
    let mut slots = of_phases(&[constant(0.1, 3.0); 10]);
    assert_eq!([0, 1, 2, 3].map(|k| slots.due_ns(k)), [0, 333_333_333, 666_666_666, u64::MAX]);
}

#[test]
fn the_largest_numbers_neither_overflow_nor_lose_a_slot() {
    const MONTH_S: u64 = 30 * 86_400;
    let month = MONTH_S as f64;
    let mut most = of_phases(&[constant(month, 1e9)]);
    assert_eq!(most.first_from(u64::MAX), MONTH_S * SECOND_NS);
    assert_eq!(most.due_ns(MONTH_S * SECOND_NS - 1), MONTH_S * SECOND_NS - 1);
    for (from, to) in [(0.0, 1e9), (1e9, 0.0)] {
        let mut slots = of_phases(&[ramp(month, from, to)]);
        assert_eq!(slots.first_from(u64::MAX), MONTH_S * SECOND_NS / 2);
        let middle = slots.first_from(MONTH_S * SECOND_NS / 2);
        assert_eq!(middle, if from == 0.0 { MONTH_S * SECOND_NS / 8 } else { MONTH_S * SECOND_NS / 8 * 3 });
    }
    let endless = |shape| Phase { length: Duration::MAX, shape };
    for shape in [Shape::Constant { rate_per_s: 1e9 }, Shape::Ramp { from_per_s: 1e9, to_per_s: 1.0 }, Shape::Free] {
        let phases = [constant(month, 1e9), endless(shape), endless(shape)];
        let mut slots = of_phases(&phases);
        assert_eq!(slots.curve().end_ns(), None);
        for time_ns in [0, 1, u64::MAX / 2, u64::MAX - 1, u64::MAX] {
            let k = slots.first_from(time_ns);
            assert!(slots.due_ns(k) >= time_ns || time_ns == u64::MAX);
        }
        assert_eq!(slots.due_ns(u64::MAX), u64::MAX);
    }
    for delay in [Duration::from_nanos(1), Duration::MAX] {
        let mut slots = slots(Curve::every(delay, None));
        assert_eq!((slots.due_ns(0), slots.due_ns(1)), (0, as_ns(delay)));
        assert!(slots.due_ns(u64::MAX) >= u64::MAX - 1);
    }
}

#[test]
fn an_amendment_changes_nothing_before_its_moment_and_carries_on() {
    let mut before = slots(Curve::per_second(1_000.0, Some(10 * SECOND_NS)));
    let amended = before.curve().amended(3 * SECOND_NS, &[constant(2.0, 4_000.0), constant(5.0, 500.0)]);
    assert_eq!(amended.end_ns(), Some(10 * SECOND_NS));
    let again = amended.amended(4 * SECOND_NS, &[pause(1.0)]);
    let (mut amended, mut again) = (slots(amended), slots(again));
    assert!((0..3_000).all(|k| amended.due_ns(k) == before.due_ns(k) && again.due_ns(k) == before.due_ns(k)));
    assert_eq!((amended.due_ns(3_000), amended.due_ns(3_001)), (3 * SECOND_NS, 3 * SECOND_NS + 250_000));
    assert_eq!([2, 3, 4, 5, 9, 10].map(|second| in_second(&mut amended, second)), [1_000, 4_000, 4_000, 500, 500, 0]);
    assert_eq!([3, 4, 5].map(|second| in_second(&mut again, second)), [4_000, 0, 0]);
    // Before everything, and after the last piece.
    assert_eq!(before.curve().amended(0, &[pause(1.0)]), Curve::of_phases(&[pause(1.0)]));
    let later = Curve::of_phases(&[constant(1.0, 1.0)]).amended(SECOND_NS, &[constant(1.0, 2.0)]);
    assert_eq!(later, Curve::of_phases(&[constant(1.0, 1.0), constant(1.0, 2.0)]));
}

#[test]
fn free_time_is_found() {
    let free = Phase { length: Duration::from_secs(1), shape: Shape::Free };
    let curve = Curve::of_phases(&[constant(1.0, 1.0), free, constant(1.0, 1.0), free]);
    let s = SECOND_NS;
    assert_eq!([0, s, 2 * s - 1].map(|at| curve.free_from(at)), [Some((s, 2 * s)); 3]);
    assert_eq!([2 * s, 3 * s, 4 * s].map(|at| curve.free_from(at)), [Some((3 * s, 4 * s)), Some((3 * s, 4 * s)), None]);
}

/// Phases of any kind, of up to 5 s.
fn phases() -> impl Strategy<Value = Vec<Phase>> {
    let rate = prop_oneof![Just(0.0), 0.01..50.0f64, 50.0..2e6f64];
    let shape = prop_oneof![
        (0.01..2e6f64).prop_map(|rate_per_s| Shape::Constant { rate_per_s }),
        (rate.clone(), rate).prop_map(|(from_per_s, to_per_s)| Shape::Ramp { from_per_s, to_per_s }),
        Just(Shape::Pause),
        Just(Shape::Free),
    ];
    let length_ns = prop_oneof![1..2_000u64, 1..5 * SECOND_NS, (1..50u64).prop_map(|tenths| tenths * STAIR_NS)];
    let phase = (length_ns, shape).prop_map(|(ns, shape)| Phase { length: Duration::from_nanos(ns), shape });
    prop::collection::vec(phase, 1..8)
}

proptest! {
    #[test]
    fn one_constant_rate_has_the_moments_of_an_even_grid(
        rate in prop_oneof![0.01..2e6f64, (1..2_000_000u32).prop_map(f64::from)],
        k in prop_oneof![0..1_000u64, 0..1_000_000_000_000u64],
    ) {
        let exact = u128::from(k) * SLOT / u128::from(parts(rate));
        let due_ns = u64::try_from(exact).unwrap_or(u64::MAX);
        prop_assert_eq!(slots(Curve::per_second(rate, None)).due_ns(k), due_ns);
        let length = Duration::from_nanos(u64::MAX - 1);
        let mut profile = of_phases(&[Phase { length, shape: Shape::Constant { rate_per_s: rate } }]);
        prop_assert_eq!(profile.due_ns(k), due_ns);
        let delay_ns = parts(rate);
        let every = k.saturating_mul(delay_ns);
        let mut delayed = slots(Curve::every(Duration::from_nanos(delay_ns), None));
        prop_assert_eq!((delayed.due_ns(0), delayed.due_ns(k), delayed.due_about_now_ns(k)), (0, every, every));
    }

    #[test]
    fn first_from_is_the_inverse_of_due(
        phases in phases(), at in 0.0..1.1f64, amended_at in 0..20u64, rest in phases(), amends in any::<bool>(),
    ) {
        let mut curve = Curve::of_phases(&phases);
        if amends {
            curve = curve.amended(amended_at.min(curve.end_ns().unwrap_or(0) / SECOND_NS) * SECOND_NS, &rest);
        }
        let end_ns = curve.end_ns().expect("short phases");
        let time_ns = (end_ns as f64 * at) as u64;
        let mut slots = slots(curve);
        let k = slots.first_from(time_ns);
        prop_assert!(slots.due_ns(k) >= time_ns);
        prop_assert!(k == 0 || slots.due_ns(k - 1) < time_ns);
        // And at the very moments of slots, over phases' ends.
        let all = slots.first_from(u64::MAX);
        for k in [0, k, all / 3, all.saturating_sub(1)].into_iter().filter(|k| *k < all) {
            let due_ns = slots.due_ns(k);
            prop_assert!(due_ns < end_ns);
            prop_assert!(slots.first_from(due_ns) <= k && slots.first_from(due_ns + 1) > k);
        }
        prop_assert_eq!(slots.due_ns(all), u64::MAX);
    }

    #[test]
    fn over_whole_tenths_a_ramp_differs_from_the_integral_by_less_than_a_slot(
        tenths in 1..600u64, from in 0..1_000_000u64, to in 0..1_000_000u64, at in 0..600u64,
    ) {
        let at = at % (tenths + 1);
        let mut slots = of_phases(&[ramp(tenths as f64 / 10.0, from as f64, to as f64)]);
        // In 2 × tenths × 10 parts of a slot.
        let (from, to, tenths, at) = (i128::from(from), i128::from(to), i128::from(tenths), i128::from(at));
        let integral = 2 * from * at * tenths + (to - from) * at * at;
        let counted = i128::from(slots.first_from(at as u64 * STAIR_NS)) * 20 * tenths;
        prop_assert!((counted - integral).abs() < 20 * tenths, "{counted} for {integral}");
    }

    #[test]
    fn a_fractional_rate_never_has_more_slots_than_it_rounds_up_to(rate in 0.01..1e5f64, second in 0..100_000u64) {
        let slots = in_second(&mut slots(Curve::per_second(rate, None)), second);
        prop_assert!(slots as f64 <= rate.ceil(), "{slots} slots at {rate}/s");
    }
}
