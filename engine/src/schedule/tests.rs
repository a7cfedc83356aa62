//! The schedule on simulated time: caps, counts, drift and backlogs.

use std::time::Duration;

use proptest::prelude::*;

use std::sync::Arc;

use super::curve::Curve;
use super::slots::Slots;
use super::*;
use crate::clock::SECOND_NS;
use crate::plan::Mode;
use crate::plan::tests::plan;
use crate::profile::Arrivals;

const MS: u64 = 1_000_000;

pub(super) fn schedules(plan: &Plan, threads: u64) -> Vec<Schedule> {
    Schedule::for_threads(plan, &Arc::new(Course::of(plan, threads)), threads)
}

fn tsunami(delay_ms: u64) -> Plan {
    Plan { mode: Mode::Tsunami { delay: Duration::from_millis(delay_ms) }, ..plan("http://localhost/") }
}

fn avalanche(rate_per_s: f64) -> Plan {
    Plan { target_throughput_per_s: Some(rate_per_s), count: None, ..plan("http://localhost/") }
}

/// Lets every thread wake at its moments, each late by what `lateness_ns` says, and gives (sent, due) in order.
fn run(plan: &Plan, threads: u64, until_ns: u64, mut lateness_ns: impl FnMut() -> u64) -> Vec<(u64, u64)> {
    let mut sends = Vec::new();
    for mut schedule in schedules(plan, threads) {
        let mut now_ns = 0;
        while now_ns < until_ns && !schedule.is_over(now_ns) {
            while let Claim::Send { due_ns } = schedule.claim(now_ns) {
                sends.push((now_ns, due_ns));
            }
            let wake_ns = schedule.next_wake_ns(now_ns).expect("a paced schedule");
            assert!(wake_ns > now_ns, "a wake-up must lie ahead");
            now_ns = wake_ns + lateness_ns();
        }
    }
    sends.sort_unstable();
    sends
}

/// Slots that were due before this time and that nothing became of.
fn left_before(schedule: &mut Schedule, time_ns: u64) -> u64 {
    schedule.due_before(time_ns).expect("a paced schedule") - schedule.decided().expect("a paced schedule")
}

fn sends_per_second(sends: &[(u64, u64)]) -> Vec<u64> {
    let mut seconds = vec![0; sends.last().map_or(0, |(sent, _)| sent / SECOND_NS + 1) as usize];
    for (sent, _) in sends {
        seconds[(sent / SECOND_NS) as usize] += 1;
    }
    seconds
}

#[test]
fn a_tsunami_never_drifts() {
    let plan = Plan { count: Some(10_000), ..tsunami(3) };
    let sends = run(&plan, 3, u64::MAX, || 0);
    let expected: Vec<_> = (0..10_000).map(|k| (k * 3 * MS, k * 3 * MS)).collect();
    assert_eq!(sends, expected);
}

#[test]
fn a_tsunami_keeps_its_due_moments_through_a_stall() {
    let plan = Plan { count: None, duration: Some(Duration::from_secs(10)), ..tsunami(5) };
    let mut schedule = schedules(&plan, 1).remove(0);
    assert_eq!(schedule.claim(0), Claim::Send { due_ns: 0 });
    let stalled_until_ns = 2_000 * MS;
    for k in 1..=400 {
        assert_eq!(schedule.claim(stalled_until_ns), Claim::Send { due_ns: k * 5 * MS });
    }
    assert_eq!(schedule.claim(stalled_until_ns), Claim::Wait);
    assert_eq!(schedule.next_wake_ns(stalled_until_ns), Some(2_005 * MS));
}

#[test]
fn what_a_tsunami_could_not_send_is_skipped() {
    let plan = Plan { count: None, duration: Some(Duration::from_millis(100)), ..tsunami(10) };
    let mut schedule = schedules(&plan, 1).remove(0);
    assert!(matches!(schedule.claim(0), Claim::Send { .. }));
    assert_eq!(schedule.claim(100 * MS), Claim::Over);
    assert_eq!(left_before(&mut schedule, 100 * MS), 9, "slots 10 to 90 ms; the one at 100 ms is not of this test");

    let few = Plan { count: Some(4), ..plan };
    assert_eq!(left_before(&mut schedules(&few, 1)[0], 100 * MS), 4);
}

#[test]
fn a_duration_lasts_though_no_slot_is_left_in_it() {
    let plan = Plan { count: None, duration: Some(Duration::from_secs(25)), ..tsunami(10_000) };
    let mut schedule = schedules(&plan, 1).remove(0);
    for due_s in [0, 10, 20] {
        assert_eq!(schedule.claim(due_s * SECOND_NS), Claim::Send { due_ns: due_s * SECOND_NS });
    }
    assert!(!schedule.is_over(24 * SECOND_NS) && schedule.is_over(25 * SECOND_NS));
}

#[test]
fn a_tsunami_with_a_target_throughput_takes_the_longer_interval_and_drains_within_the_cap() {
    let plan = Plan { count: Some(1_000), target_throughput_per_s: Some(200.0), ..tsunami(10) };
    let mut first = true;
    // A stall of three seconds right after the first slot: 300 slots behind, drained at 200 a second.
    let sends = run(&plan, 1, u64::MAX, || if std::mem::take(&mut first) { 3_000 * MS } else { 0 });
    assert_eq!(sends_per_second(&sends), vec![1, 0, 0, 200, 200, 199, 100, 100, 100, 100]);
    assert!(sends.iter().enumerate().all(|(k, (_, due))| *due == k as u64 * 10 * MS));
}

#[test]
fn an_avalanche_drops_a_backlog_when_its_second_is_over() {
    let plan = avalanche(100.0);
    let mut schedule = schedules(&plan, 1).remove(0);
    assert_eq!(schedule.claim(0), Claim::Send { due_ns: 0 });
    // Nothing until 3.5 s: the third second's missed slots are caught up at once, older ones within the grace only.
    let mut sent = 0;
    let mut oldest = u64::MAX;
    while let Claim::Send { due_ns } = schedule.claim(3_500 * MS) {
        oldest = oldest.min(due_ns);
        sent += 1;
    }
    assert_eq!(sent, 51 + 5);
    assert_eq!(oldest, 2_950 * MS);
}

#[test]
fn an_avalanche_with_a_target_throughput_sends_its_count_exactly() {
    let plan = Plan { count: Some(250), ..avalanche(100.0) };
    let mut stalls = [0, 1_500 * MS].into_iter();
    let sends = run(&plan, 1, u64::MAX, || stalls.next().unwrap_or(0));
    assert_eq!(sends.len(), 250);
}

#[test]
fn a_carried_backlog_is_worked_off() {
    let plan = Plan { duration: Some(Duration::from_secs(30)), ..avalanche(10_000.0) };
    let mut schedule = schedules(&plan, 1).remove(0);
    let (mut now_ns, mut late_per_second) = (0, [0u64; 30]);
    while now_ns < 30 * SECOND_NS {
        while let Claim::Send { due_ns } = schedule.claim(now_ns) {
            late_per_second[(now_ns / SECOND_NS) as usize] += u64::from(due_ns < now_ns);
        }
        let wake_ns = schedule.next_wake_ns(now_ns).expect("a paced schedule");
        // One stall of 10 ms over the first boundary: 100 slots late.
        now_ns = if wake_ns == 995 * MS { 1_005 * MS } else { wake_ns };
    }
    // All but what is late by two milliseconds, which stays: dropping it would cost counts.
    assert!(late_per_second[1] >= 50 && late_per_second[20..].iter().all(|late| *late <= 20), "{late_per_second:?}");
}

#[test]
fn a_rate_without_lateness_is_met_exactly() {
    for (rate, threads) in [(100.0, 1), (1_000.0, 2), (20_000.0, 3), (7.0, 2)] {
        let plan = Plan { duration: Some(Duration::from_secs(4)), ..avalanche(rate) };
        let sends = run(&plan, threads, u64::MAX, || 0);
        assert_eq!(sends_per_second(&sends), [rate as u64; 4], "{rate}/s");
    }
}

#[test]
fn what_was_due_before_the_end_goes_out_after_it_when_only_a_wake_up_was_late() {
    for base in [avalanche(1_000.0), Plan { count: None, ..tsunami(1) }] {
        let plan = Plan { duration: Some(Duration::from_secs(1)), ..base };
        let with_last_ones_late_by = |late_ns: u64| {
            let mut schedule = schedules(&plan, 1).remove(0);
            let mut sent = 0;
            while let Claim::Send { due_ns } = schedule.claim(sent * MS) {
                assert_eq!(due_ns, sent * MS);
                sent += 1;
                if sent == 999 {
                    break;
                }
            }
            let last = schedule.claim(999 * MS + late_ns);
            (last, schedule.claim(999 * MS + late_ns), left_before(&mut schedule, SECOND_NS))
        };
        assert_eq!(with_last_ones_late_by(MS - 1), (Claim::Send { due_ns: 999 * MS }, Claim::Wait, 0));
        assert_eq!(with_last_ones_late_by(2 * MS), (Claim::Send { due_ns: 999 * MS }, Claim::Over, 0));
        assert_eq!(with_last_ones_late_by(2 * MS + 1), (Claim::Over, Claim::Over, 1));
    }
}

#[test]
fn a_connection_is_called_ahead_of_the_next_slot_and_never_of_the_end() {
    let plan = Plan { count: None, duration: Some(Duration::from_millis(20)), ..tsunami(10) };
    let mut schedule = schedules(&plan, 1).remove(0);
    assert_eq!(schedule.ready_within(0, 5), Some(0));
    assert_eq!(schedule.claim(0), Claim::Send { due_ns: 0 });
    assert_eq!(schedule.ready_within(10 * MS - 6, 5), None);
    assert_eq!(schedule.ready_within(10 * MS - 5, 5), Some(10 * MS));
    assert_eq!(schedule.claim(10 * MS - 5), Claim::Wait, "looking ahead claims nothing");
    assert_eq!(schedule.claim(10 * MS), Claim::Send { due_ns: 10 * MS });
    assert_eq!(schedule.ready_within(20 * MS - 1, 5), None);

    // The budget of a second is that of the moment, not of the moment looked at.
    let mut capped = schedules(&avalanche(1.0), 1).remove(0);
    assert_eq!(capped.claim(0), Claim::Send { due_ns: 0 });
    assert_eq!(capped.ready_within(SECOND_NS - 3, 5), Some(SECOND_NS));
    assert_eq!(capped.claim(SECOND_NS - 3), Claim::Wait);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn no_second_exceeds_the_target_throughput(
        rate in prop_oneof![0.2..30.0f64, (1..3_000u32).prop_map(f64::from)],
        threads in 1..5u64,
        delay_ms in prop::option::of(1..50u64),
        stalls_ms in prop::collection::vec(prop_oneof![9 => Just(0u64), 1 => 0..2_500u64], 1..200),
    ) {
        let base = Plan { count: None, duration: Some(Duration::from_secs(8)), target_throughput_per_s: Some(rate), ..tsunami(1) };
        let mode = delay_ms.map_or(Mode::Avalanche, |ms| Mode::Tsunami { delay: Duration::from_millis(ms) });
        let plan = Plan { mode, ..base };
        let mut stalls = stalls_ms.into_iter().cycle();
        let sends = run(&plan, threads, u64::MAX, || stalls.next().unwrap_or(0) * MS);
        for (second, sent) in sends_per_second(&sends).into_iter().enumerate() {
            prop_assert!(sent as f64 <= rate.ceil(), "{sent} in second {second} at {rate}/s");
        }
        prop_assert!(sends.iter().all(|(sent, due)| due <= sent && *due < 8 * SECOND_NS && *sent <= 8 * SECOND_NS + 2 * MS));
    }

    #[test]
    fn what_was_due_is_sent_or_given_up_or_left(
        rate in prop_oneof![0.2..30.0f64, (1..3_000u32).prop_map(f64::from)],
        threads in 1..5u64,
        tsunami in any::<bool>(),
        stalls_ms in prop::collection::vec(prop_oneof![9 => Just(0u64), 1 => 0..2_500u64], 1..200),
    ) {
        let mode = if tsunami { Mode::Tsunami { delay: Duration::ZERO } } else { Mode::Avalanche };
        let plan = Plan { mode, duration: Some(Duration::from_secs(8)), ..avalanche(rate) };
        let end_ns = 8 * SECOND_NS;
        let mut stalls = stalls_ms.into_iter().cycle();
        let (mut sent, mut dropped, mut left, mut due) = (0, 0, 0, 0);
        for mut schedule in schedules(&plan, threads) {
            let mut now_ns = 0;
            while !schedule.is_over(now_ns) {
                while let Claim::Send { .. } = schedule.claim(now_ns) {
                    sent += 1;
                }
                now_ns = schedule.next_wake_ns(now_ns).expect("a paced schedule") + stalls.next().unwrap_or(0) * MS;
            }
            dropped += schedule.take_dropped();
            due += schedule.due_before(u64::MAX).expect("a paced schedule");
            left += left_before(&mut schedule, end_ns);
            prop_assert_eq!(schedule.keeps_backlog(), tsunami);
        }
        prop_assert_eq!(due, Slots::new(Arc::new(Curve::per_second(rate, None)), Arrivals::Even).first_from(end_ns));
        prop_assert_eq!(sent + dropped + left, due);
        prop_assert!(!tsunami || dropped == 0);
    }

    #[test]
    fn lateness_below_a_millisecond_costs_not_one_request(
        rate in prop_oneof![Just(1.0), Just(100.0), Just(1_000.0), Just(20_000.0)],
        threads in 1..4u64,
        lateness_us in prop::collection::vec(0..900u64, 50..400),
        delay in prop::bool::ANY,
    ) {
        let mode = if delay { Mode::Tsunami { delay: Duration::ZERO } } else { Mode::Avalanche };
        let plan = Plan { mode, duration: Some(Duration::from_secs(5)), ..avalanche(rate) };
        let mut lateness = lateness_us.into_iter().cycle();
        let sends = run(&plan, threads, u64::MAX, || lateness.next().unwrap_or(0) * 1_000);
        prop_assert_eq!(sends.len() as f64, 5.0 * rate);
    }

    #[test]
    fn mere_lateness_costs_less_than_half_a_per_cent(
        rate in prop_oneof![Just(100.0), Just(1_000.0), Just(20_000.0)],
        threads in 1..4u64,
        lateness_us in prop::collection::vec(prop_oneof![50 => 20..300u64, 1 => 1_000..9_000u64], 50..400),
    ) {
        let plan = Plan { duration: Some(Duration::from_secs(10)), ..avalanche(rate) };
        let mut lateness = lateness_us.into_iter().cycle();
        let sends = run(&plan, threads, u64::MAX, || lateness.next().unwrap_or(0) * 1_000);
        let mean = sends.len() as f64 / 10.0;
        prop_assert!(mean <= rate && mean >= rate * 0.995, "{mean} of {rate}/s");
    }

    #[test]
    fn a_count_is_sent_exactly(count in 1..2_000u64, threads in 1..6u64, delay_us in 1..900u64, rate in prop::option::of(200.0..9e4f64)) {
        let mode = Mode::Tsunami { delay: Duration::from_micros(delay_us) };
        let plan = Plan { mode, count: Some(count), target_throughput_per_s: rate, ..tsunami(1) };
        let sends = run(&plan, threads, u64::MAX, || 70_000);
        prop_assert_eq!(sends.len() as u64, count);
        let mut schedules = schedules(&plan, threads);
        prop_assert_eq!(schedules.iter_mut().filter_map(|schedule| schedule.due_before(u64::MAX)).sum::<u64>(), count);
    }
}
