use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use onrush_protocol::{EndReason, Metrics, NodeId};
use onrush_stats::SecondStats;
use proptest::prelude::*;

use super::*;
use crate::testing::{SimDriver, node, reports, stats};
use onrush_api::ScopeView;

fn enter(aggregate: &mut Aggregate, metrics: &Metrics, now: Instant) -> Result<Entered, &'static str> {
    aggregate.enter(&metrics.node_id, metrics.measured.as_deref().unwrap(), now)
}

fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

fn indices(sealed: &[SealedSecond]) -> Vec<u64> {
    sealed.iter().map(|second| second.second_index).collect()
}

type Outcome = (BTreeMap<NodeId, DriverTotal>, SecondStats);

fn totals(aggregate: &Aggregate) -> Outcome {
    (aggregate.drivers().clone(), aggregate.all().clone())
}

#[test]
fn a_second_is_sealed_as_soon_as_every_driver_reported_it() {
    let now = Instant::now();
    let both = [node("a"), node("b")];
    let mut aggregate = Aggregate::default();
    let reports = reports("t", &["a", "b"], 2, 3);
    enter(&mut aggregate, &reports[0], now).unwrap();
    assert!(aggregate.seal(&both, false, now).is_empty());
    enter(&mut aggregate, &reports[1], now).unwrap();
    let sealed = aggregate.seal(&both, false, now);
    assert_eq!(indices(&sealed), [0]);
    assert!(sealed[0].missing.is_empty());
    assert_eq!(sealed[0].all().stats.counts.sent, 6);
}

#[test]
fn a_second_waits_two_seconds_for_a_silent_driver_and_names_it() {
    let now = Instant::now();
    let both = [node("a"), node("b")];
    let mut aggregate = Aggregate::default();
    let reports = reports("t", &["a", "b"], 3, 3);
    enter(&mut aggregate, &reports[0], now).unwrap();
    assert!(aggregate.seal(&both, false, now + ms(1999)).is_empty());
    let sealed = aggregate.seal(&both, false, now + ms(2000));
    assert_eq!(indices(&sealed), [0]);
    assert_eq!(sealed[0].missing, [node("b")]);
    // What comes now is late: it enters the totals.
    assert_eq!(enter(&mut aggregate, &reports[1], now + ms(2100)), Ok(Entered::Late));
    assert_eq!(aggregate.driver(&node("b")).unwrap().part.stats.counts.sent, 3);
    assert!(!aggregate.is_open());
}

#[test]
fn a_driver_is_not_expected_after_its_final_report() {
    let now = Instant::now();
    let both = [node("a"), node("b")];
    let mut aggregate = Aggregate::default();
    let (mut a, mut b) = (SimDriver::new("a", "s"), SimDriver::new("b", "s"));
    enter(&mut aggregate, &a.report("t", 0, stats(&[5]), Some(EndReason::Completed)), now).unwrap();
    enter(&mut aggregate, &b.report("t", 0, stats(&[5]), None), now).unwrap();
    enter(&mut aggregate, &b.report("t", 1, stats(&[5]), None), now).unwrap();
    let sealed = aggregate.seal(&both, false, now);
    assert_eq!(indices(&sealed), [0, 1]);
    assert!(sealed[1].missing.is_empty());
}

#[test]
fn seconds_are_sealed_in_order_and_a_second_without_any_report_is_waited_for() {
    let now = Instant::now();
    let only = [node("a")];
    let mut aggregate = Aggregate::default();
    let reports = reports("t", &["a"], 3, 3);
    enter(&mut aggregate, &reports[1], now).unwrap();
    assert!(aggregate.seal(&only, false, now).is_empty(), "second 0 may still come");
    enter(&mut aggregate, &reports[0], now + ms(100)).unwrap();
    assert_eq!(indices(&aggregate.seal(&only, false, now + ms(100))), [0, 1]);
    let mut never = Aggregate::default();
    enter(&mut never, &reports[1], now).unwrap();
    assert_eq!(indices(&never.seal(&only, false, now + ms(2000))), [1]);
    assert_eq!(enter(&mut never, &reports[0], now), Ok(Entered::Late));
}

#[test]
fn at_the_end_everything_is_sealed() {
    let now = Instant::now();
    let mut aggregate = Aggregate::default();
    for report in &reports("t", &["a", "b"], 4, 1)[..5] {
        enter(&mut aggregate, report, now).unwrap();
    }
    let sealed = aggregate.seal(&[node("a"), node("b")], true, now);
    assert_eq!(indices(&sealed), [0, 1, 2]);
    assert_eq!(sealed[2].missing, [node("b")]);
}

#[test]
fn absurd_reports_are_refused_and_memory_stays_bounded() {
    let now = Instant::now();
    let mut aggregate = Aggregate::default();
    let mut driver = SimDriver::new("a", "s");
    let mut odd = |change: &dyn Fn(&mut onrush_protocol::Measured)| {
        let mut metrics = driver.report("t", 0, stats(&[1]), None);
        change(metrics.measured.as_mut().unwrap());
        metrics
    };
    let far = odd(&|report| report.second_index = 1_000_000_000_000_000_000);
    assert!(enter(&mut aggregate, &far, now).is_err());
    let far = odd(&|report| report.sequence = u64::MAX);
    assert!(enter(&mut aggregate, &far, now).is_err());
    let huge = odd(&|report| {
        report.sequence = 5;
        report.length_s = 0.0;
        report.stats.counts.sent = u64::MAX;
        report.stats.counts.statuses.insert(200, u64::MAX);
        report.totals.sent = u64::MAX;
    });
    assert_eq!(enter(&mut aggregate, &huge, now), Ok(Entered::InTime));
    let again = odd(&|report| {
        report.sequence = 6;
        report.stats.counts.sent = u64::MAX;
    });
    enter(&mut aggregate, &again, now).unwrap();
    assert_eq!(aggregate.all().counts.sent, u64::MAX, "saturated, not wrapped");
    // Every second of a driver that leaps on stays open for a moment: only so many.
    for i in 0..200 {
        let leap = odd(&|report| (report.sequence, report.second_index) = (10 + 2 * i, 100 + 50 * i));
        enter(&mut aggregate, &leap, now).unwrap();
        aggregate.seal(&[node("a"), node("b")], false, now);
        assert!(aggregate.open.len() <= MAX_OPEN_SECONDS);
    }
}

#[test]
fn rates_are_over_the_time_of_sending_second_by_second_and_in_all() {
    let now = Instant::now();
    let mut aggregate = Aggregate::default();
    let (mut a, mut plain) = (SimDriver::new("a", "s"), SimDriver::new("plain", "s"));
    // It sends for 1.5 s and waits for what is under way for 1.8 s more.
    let seconds = [(1.0, None), (1.5, None), (1.5, None), (1.5, Some(EndReason::Completed))];
    for (index, (sending_s, end)) in (0..).zip(seconds) {
        let mut metrics = a.report("t", index, stats(&[5; 3]), end.clone());
        metrics.measured.as_mut().unwrap().sending_s = Some(sending_s);
        enter(&mut aggregate, &metrics, now).unwrap();
        // One that does not say so sends all the time.
        enter(&mut aggregate, &plain.report("t", index, stats(&[5]), end), now).unwrap();
    }
    let sealed = aggregate.seal(&[node("a"), node("plain")], false, now);
    let sending = |name: &str| sealed.iter().map(|second| second.parts[&node(name)].sending_ns).collect::<Vec<_>>();
    assert_eq!(sending("a"), [1_000_000_000, 500_000_000, 0, 0]);
    assert_eq!(sending("plain"), [1_000_000_000, 1_000_000_000, 1_000_000_000, 300_000_000]);
    assert_eq!(sealed[1].all().sending_ns, 1_000_000_000, "the longest of all");
    let total = |name: &str| aggregate.driver(&node(name)).unwrap().part.clone();
    let in_all = |name: &str| (total(name).length_ns, total(name).sending_ns);
    assert_eq!(in_all("a"), (3_300_000_000, 1_500_000_000));
    assert_eq!(in_all("plain"), (3_300_000_000, 3_300_000_000));
    // What is shown: 12 responses in 1.5 s of sending; 3 in half a second, 3 in none.
    let rate = |part: &DriverPart| ScopeView::of(&part.stats, 3.3, part.sending_ns as f64 / 1e9).responses_per_s;
    assert_eq!(rate(&total("a")), Some(8.0));
    let seconds: Vec<_> = sealed.iter().map(|second| rate(&second.parts[&node("a")])).collect();
    assert_eq!(seconds, [Some(3.0), Some(6.0), None, None]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Shuffled, repeated, sealed at any time: the totals and what the seconds add up to are the same.
    #[test]
    fn order_and_repetition_change_nothing(
        order in Just((0..30usize).collect::<Vec<_>>()).prop_shuffle(),
        repeated in prop::collection::vec(0..30usize, 0..10),
        pauses_ms in prop::collection::vec(0u64..3000, 40),
    ) {
        let names = ["a", "b", "c"];
        let all = reports("t", &names, 10, 4);
        let expected = names.map(node);
        let mut straight = Aggregate::default();
        let mut now = Instant::now();
        for report in &all {
            enter(&mut straight, report, now).unwrap();
        }
        let mut shuffled = Aggregate::default();
        let mut seconds = SecondStats::default();
        let mut late = SecondStats::default();
        let mut last_sealed = None;
        for (i, pick) in order.iter().chain(&repeated).enumerate() {
            now += ms(pauses_ms[i]);
            let entered = enter(&mut shuffled, &all[*pick], now).unwrap();
            prop_assert_eq!(entered == Entered::Duplicate, i >= 30);
            if entered == Entered::Late {
                late.prepend(&all[*pick].measured.as_ref().unwrap().stats);
            }
            for second in shuffled.seal(&expected, i == 29, now) {
                prop_assert!(last_sealed.is_none_or(|last| last < second.second_index), "in order");
                last_sealed = Some(second.second_index);
                seconds.prepend(&second.all().stats);
            }
        }
        prop_assert_eq!(totals(&straight), totals(&shuffled));
        seconds.prepend(&late);
        prop_assert_eq!(&seconds, straight.all());
        for driver in shuffled.drivers().values() {
            prop_assert!(driver.without_gap());
            prop_assert_eq!(driver.reports(), 10);
        }
    }
}

#[test]
fn any_number_of_reports_after_a_gap_is_taken() {
    let mut driver = SimDriver::new("a", "s");
    let mut aggregate = Aggregate::default();
    let now = Instant::now();
    let first = driver.report("t", 0, stats(&[1]), None);
    for second in 1..6_000 {
        let metrics = driver.report("t", second, SecondStats::default(), None);
        let entered = aggregate.enter(&metrics.node_id, metrics.measured.as_ref().unwrap(), now);
        assert!(entered.is_ok(), "report {second}: {entered:?}");
        aggregate.seal(&[], true, now);
    }
    let total = aggregate.driver(&node("a")).unwrap();
    assert_eq!((total.reports(), total.expected_reports(), total.without_gap()), (5_999, 6_000, false));
    aggregate.enter(&first.node_id, first.measured.as_ref().unwrap(), now).unwrap();
    let total = aggregate.driver(&node("a")).unwrap();
    assert_eq!((total.reports(), total.without_gap(), total.part.stats.counts.sent), (6_000, true, 1));
}

/// 10,000 names of a driver that makes them up as it goes are bounded, and what it measured of them is not lost.
#[test]
fn a_flood_of_names_is_bounded() {
    use onrush_stats::{MAX_NAMES, NameStats};

    let now = Instant::now();
    let mut aggregate = Aggregate::default();
    let mut all = reports("t", &["a"], 160, 64);
    for (second, metrics) in all.iter_mut().enumerate() {
        let by_name = &mut metrics.measured.as_mut().unwrap().stats.by_name;
        for name in 0..64 {
            let mut of_name = NameStats { sent: 1, statuses: [(200, 1)].into(), ..NameStats::default() };
            of_name.latency.record(1_000_000);
            by_name.add(&format!("{:04}", (second * 64 + name) * 7_919 % 10_240), &of_name);
        }
        enter(&mut aggregate, metrics, now).unwrap();
        aggregate.seal(&[node("a")], false, now);
    }
    for stats in [aggregate.all(), &aggregate.driver(&node("a")).unwrap().part.stats] {
        assert_eq!(stats.by_name.iter().len(), MAX_NAMES + 1);
        let whole = stats.by_name.whole();
        assert_eq!((whole.sent, whole.latency.count()), (10_240, 10_240));
        assert_eq!(stats.by_name.iter().next().map(|(name, _)| name), Some("0000"));
    }
}
