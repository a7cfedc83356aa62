//! Death and restart, on the store and without Kafka: whatever is killed when, the result is the same to the digit.

use std::path::Path;

use onrush_protocol::{Metrics, NodeState};
use onrush_stats::{Outcome, SecondStats};
use proptest::prelude::*;

use super::*;
use crate::aggregate::Parts;
use crate::core::DriverMessage;
use crate::core::NewTest;
use crate::record::TestRecord;
use crate::second::SecondNumbers;
use crate::state::TestState;
use crate::store::{Durability, StoreReader};
use crate::testing::{SimDriver, config, node, reports, test_id};

const SEATS: Seats = Seats { min: 2, max: 8 };

fn open(path: &Path, now: Now) -> (Store, Core, usize) {
    let store = Store::open(path).unwrap();
    let connection = store.connection();
    let (mut watches, mut limits) = (Vec::new(), Vec::new());
    let tests = store::open_tests(connection).unwrap().into_iter().map(Stored::record).map(|record| {
        let aggregate = store::open_aggregate(connection, &record, now, |_, _| ()).unwrap();
        let watch = store::watch(connection, &record, &aggregate).unwrap();
        watches.extend(watch.map(|watch| (record.test_id.clone(), watch)));
        let found = store::limits(connection, &record).unwrap();
        limits.extend(found.map(|found| (record.test_id.clone(), found)));
        (record, aggregate)
    });
    let tests = tests.collect();
    let mut core = Core::new(SEATS, store::drivers(connection).unwrap(), tests, 0, now);
    watches.into_iter().for_each(|(test_id, watch)| core.watch_from(&test_id, watch));
    limits.into_iter().for_each(|(test_id, limits)| core.limits_from(&test_id, limits));
    let here = ("here".to_owned(), "metrics".to_owned(), 0);
    let next = store::all_offsets(connection).unwrap().get(&here).copied().unwrap_or(0);
    (store, core, usize::try_from(next).unwrap())
}

fn settle_and_commit(store: &mut Store, core: &mut Core, next_offset: Option<usize>, with_snapshot: bool, now: Now) {
    core.settle(Some(now.mono - Duration::from_secs(3600)), true, now);
    let (effects, unsaved) = core.take_effects(now);
    let transaction = store.begin(Durability::Process).unwrap();
    let after = commit::apply(&transaction, core, effects, &unsaved, now).unwrap();
    for test_id in after.reported.iter().filter(|_| with_snapshot) {
        if let Some(test) = core.test(test_id) {
            store::save_snapshot(&transaction, test_id, &test.aggregate).unwrap();
        }
    }
    if let Some(next) = next_offset {
        store::save_offset(&transaction, "here", Topic::Metrics, 0, next as i64).unwrap();
    }
    transaction.commit().unwrap();
}

/// Runs a test over these reports in batches; `deaths`: before which batches the process dies, and how many reports
/// it had taken into an uncommitted transaction when it did; `snapshot_every`: after how many batches one is stored.
fn run(
    log: &[Metrics],
    batch: usize,
    deaths: &[(usize, usize)],
    snapshot_every: usize,
) -> (TestRecord, Parts, SecondStats) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("onrush.db");
    let now = Now::read();
    let (mut store, mut core, mut next) = open(&path, now);
    let drivers = ["a", "b"].map(|name| SimDriver::new(name, "s"));
    let hear = |core: &mut Core, state| {
        for driver in &drivers {
            core.take(Topic::Register, Ok(DriverMessage::Register(driver.register())), now.mono, now);
            let heartbeat = driver.heartbeat(state, Some("t"));
            core.take(Topic::Heartbeat, Ok(DriverMessage::Heartbeat(heartbeat)), now.mono, now);
        }
    };
    hear(&mut core, NodeState::Armed);
    core.settle(Some(now.mono), true, now);
    let mut config = config("t", 40);
    let thresholds =
        ["max<1h over 3s", "mean<800us over 2s", "service_p50>300us over 4s", "rate>=8 over 2s", "p99<1ms"];
    config.thresholds = thresholds.map(|text| text.parse().unwrap()).into();
    core.create(NewTest { config, name: None, trigger: true }, &Actor::NOBODY, now).unwrap();
    settle_and_commit(&mut store, &mut core, None, false, now);
    let take = |core: &mut Core, metrics: &Metrics| {
        core.take(Topic::Metrics, Ok(DriverMessage::Metrics(metrics.clone())), now.mono, now);
    };
    let mut batches = 0;
    while next < log.len() {
        if let Some((_, taken)) = deaths.iter().find(|(at, _)| *at == batches) {
            for metrics in log[next..].iter().take(*taken) {
                take(&mut core, metrics);
            }
            core.settle(Some(now.mono), true, now);
            let (effects, unsaved) = core.take_effects(now);
            let transaction = store.begin(Durability::Process).unwrap();
            commit::apply(&transaction, &core, effects, &unsaved, now).unwrap();
            // Dead before the commit.
            drop(transaction);
            drop((store, core));
            (store, core, next) = open(&path, now);
            hear(&mut core, NodeState::Running);
        }
        let end = (next + batch).min(log.len());
        for metrics in &log[next..end] {
            take(&mut core, metrics);
        }
        settle_and_commit(&mut store, &mut core, Some(end), batches % snapshot_every == 0, now);
        next = end;
        batches += 1;
    }
    let reader = StoreReader::open(&path).unwrap();
    let (record, totals) = reader.totals("t").unwrap().unwrap();
    let (_, page) = reader.seconds("t", 0, 1000, usize::MAX).unwrap().unwrap();
    assert_eq!(page.seconds.len(), 10);
    assert_eq!(page.seconds.iter().map(|second| second.all.counts.sent).sum::<u64>(), 80);
    let mut merged = SecondStats::default();
    for second_index in 0..10 {
        let (second, _) = store::second_of(store.connection(), &test_id("t"), second_index).unwrap();
        merged.append(&second.all().stats);
    }
    (record.record(), totals, merged)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn deaths_and_redelivery_change_no_digit(
        batch in 1usize..6,
        deaths in prop::collection::vec((0usize..20, 0usize..8), 0..4),
        repeated in prop::collection::vec(0usize..20, 0..6),
        snapshot_every in 1usize..5,
    ) {
        let log = reports("t", &["a", "b"], 10, 4);
        let (expected_record, expected, expected_seconds) = run(&log, log.len(), &[], 1);
        let mut redelivered = log.clone();
        // Before the last, which ends the test.
        for again in repeated {
            redelivered.insert(19, log[again.min(18)].clone());
        }
        let (record, totals, seconds) = run(&redelivered, batch, &deaths, snapshot_every);
        prop_assert_eq!((record.state, record.outcome), (TestState::Completed, Some(Outcome::Exact)));
        prop_assert_eq!(record.participants.iter().map(|p| p.reports).collect::<Vec<_>>(), vec![10, 10]);
        prop_assert_eq!(&record.standings, &expected_record.standings);
        // The seconds before a death count, too.
        prop_assert!(record.limit.is_some());
        prop_assert_eq!(&record.limit, &expected_record.limit);
        let kept: Vec<_> = record.standings.iter().map(|standing| standing.kept.unwrap()).collect();
        prop_assert_eq!((kept.len(), kept[0], kept[4]), (5, true, false));
        prop_assert_eq!(&totals, &expected);
        prop_assert_eq!(totals[&node("a")].stats.counts.sent, 40);
        prop_assert_eq!(seconds, expected_seconds);
    }
}

/// Runs a test in which `b` delivers nothing from its report `cut` on until the test has ended without it; then in
/// batches. `restart`: the process dies before each of them.
fn run_cut_off(log: &[Metrics], cut: u64, batch: usize, restart: bool) -> (TestRecord, Parts, Vec<SecondNumbers>) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("onrush.db");
    let mut now = Now::read();
    let (mut store, mut core, _) = open(&path, now);
    let drivers = ["a", "b"].map(|name| SimDriver::new(name, "s"));
    let hear = |core: &mut Core, driver: &SimDriver, state, now: Now| {
        core.take(Topic::Register, Ok(DriverMessage::Register(driver.register())), now.mono, now);
        let heartbeat = driver.heartbeat(state, Some("t"));
        core.take(Topic::Heartbeat, Ok(DriverMessage::Heartbeat(heartbeat)), now.mono, now);
    };
    drivers.iter().for_each(|driver| hear(&mut core, driver, NodeState::Armed, now));
    core.settle(Some(now.mono), true, now);
    core.create(NewTest { config: config("t", 40), name: None, trigger: true }, &Actor::NOBODY, now).unwrap();
    settle_and_commit(&mut store, &mut core, None, false, now);
    let take = |store: &Store, core: &mut Core, metrics: &Metrics, now: Now| {
        if core.lacks(&metrics.test_id) {
            let stored = past_test(store.connection(), &metrics.test_id, now).unwrap();
            core.recall(&metrics.test_id, stored, now);
        }
        core.take(Topic::Metrics, Ok(DriverMessage::Metrics(metrics.clone())), now.mono, now);
    };
    let is_late = |metrics: &&Metrics| {
        metrics.node_id == node("b") && metrics.measured.as_ref().is_some_and(|report| report.sequence >= cut)
    };
    for metrics in log.iter().filter(|metrics| !is_late(metrics)) {
        take(&store, &mut core, metrics, now);
        settle_and_commit(&mut store, &mut core, None, false, now);
    }
    for _ in 0..15 {
        now = now.plus_ms(1000);
        hear(&mut core, &drivers[0], NodeState::Idle, now);
        settle_and_commit(&mut store, &mut core, None, false, now);
    }
    let reader = StoreReader::open(&path).unwrap();
    let (record, totals) = reader.totals("t").unwrap().unwrap();
    let record = record.record();
    assert_eq!((record.state, record.outcome), (TestState::Completed, Some(Outcome::Incomplete)));
    assert_eq!(totals.get(&node("b")).map_or(0, |total| total.stats.counts.sent), 4 * cut);
    let late: Vec<&Metrics> = log.iter().filter(is_late).collect();
    for reports in late.chunks(batch) {
        if restart {
            drop((store, core));
            (store, core, _) = open(&path, now);
        }
        reports.iter().for_each(|metrics| take(&store, &mut core, metrics, now));
        settle_and_commit(&mut store, &mut core, None, false, now);
    }
    let (record, totals) = reader.totals("t").unwrap().unwrap();
    let (_, page) = reader.seconds("t", 0, 1000, usize::MAX).unwrap().unwrap();
    (record.record(), totals, page.seconds)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(8))]

    #[test]
    fn what_comes_after_the_end_makes_the_same_result(cut in 0u64..10, batch in 1usize..11, restart: bool) {
        let log = reports("t", &["a", "b"], 10, 4);
        let (_, expected, expected_seconds) = run(&log, log.len(), &[], 1);
        let (record, totals, seconds) = run_cut_off(&log, cut, batch, restart);
        prop_assert_eq!((record.state, record.outcome), (TestState::Completed, Some(Outcome::Exact)));
        prop_assert_eq!(&record.reason, &None);
        prop_assert_eq!(record.participants.iter().map(|p| p.reports).collect::<Vec<_>>(), vec![10, 10]);
        prop_assert_eq!(&totals, &expected);
        prop_assert_eq!(seconds.iter().map(|second| second.all.counts.sent).collect::<Vec<_>>(), vec![8; 10]);
        prop_assert!(seconds.iter().all(|second| second.drivers.len() == 2));
        let mut all = SecondStats::default();
        totals.values().for_each(|total| all.merge_across(&total.stats));
        prop_assert_eq!(all.latency, expected_seconds.latency);
    }
}

#[test]
fn a_death_just_before_the_last_second_changes_no_value_of_a_window() {
    let log = reports("t", &["a", "b"], 10, 4);
    let (expected, ..) = run(&log, log.len(), &[], 1);
    for death in [17, 18, 19] {
        let (record, ..) = run(&log, 1, &[(death, 0)], 1);
        assert_eq!(record.standings, expected.standings, "{death}");
    }
}
