use std::collections::BTreeMap;

use onrush_protocol::{EndReason, LatencyMs};
use onrush_stats::{FailureCause, FoundLimit, LimitedBy, Outcome, Resource, SecondStats, Verdict};
use tempfile::TempDir;

use super::coding::StatsColumns;
use super::*;
use crate::aggregate::{Aggregate, Entered};
use crate::clock::Now;
use crate::core::EnteredReport;
use crate::event::TestEvent;
use crate::proof::{Check, Conservation};
use crate::record::{ParticipantRecord, TestRecord};
use crate::second::SecondNumbers;
use crate::state::{ParticipantState, TestState};
use crate::target_check::{Counters, Probe};
use crate::testing::{SimDriver, node, running, stats};

fn folder() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("onrush.db");
    (folder, path)
}

fn save(store: &mut Store, record: &TestRecord) {
    let transaction = store.begin(Durability::Process).unwrap();
    save_test(&transaction, record).unwrap();
    transaction.commit().unwrap();
}

#[test]
fn a_store_of_a_later_version_is_refused_in_words() {
    let (_folder, path) = folder();
    Store::open(&path).unwrap().connection.pragma_update(None, "user_version", 99).unwrap();
    let refused = Store::open(&path).map(drop).unwrap_err().to_string();
    assert!(refused.contains("later version") && refused.contains("99"), "{refused}");
}

#[test]
fn another_programs_database_is_refused_and_untouched() {
    let (_folder, path) = folder();
    Connection::open(&path).unwrap().execute_batch("CREATE TABLE cats (name TEXT)").unwrap();
    assert!(matches!(Store::open(&path), Err(StoreError::Foreign)));
    std::fs::write(&path, "this is no database, but it is long enough to be taken for one".repeat(20)).unwrap();
    assert!(matches!(Store::open(&path), Err(StoreError::Sqlite(_))));
}

#[test]
fn only_its_owner_can_read_the_store() {
    use std::os::unix::fs::PermissionsExt;
    let (folder, path) = folder();
    let modes = || {
        let files = std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap());
        let mode = |entry: &std::fs::DirEntry| entry.metadata().unwrap().permissions().mode() & 0o777;
        files.map(|entry| (entry.file_name().into_string().unwrap(), mode(&entry))).collect::<BTreeMap<_, _>>()
    };
    let all: BTreeMap<String, u32> =
        ["", "-wal", "-shm", ".lock"].iter().map(|suffix| (format!("onrush.db{suffix}"), 0o600)).collect();
    let lock = StoreLock::take(&path).unwrap();
    let mut store = Store::open(&path).unwrap();
    save(&mut store, &running("t", 1, &[]));
    let _reader = StoreReader::open(&path).unwrap();
    assert_eq!(modes(), all);
    // As an earlier version left them.
    drop((store, lock));
    for entry in std::fs::read_dir(folder.path()).unwrap() {
        std::fs::set_permissions(entry.unwrap().path(), std::fs::Permissions::from_mode(0o644)).unwrap();
    }
    let _lock = StoreLock::take(&path).unwrap();
    let mut store = Store::open(&path).unwrap();
    save(&mut store, &running("u", 1, &[]));
    assert_eq!(modes(), all);
    // What is not ours stays as it is.
    let other = folder.path().join("other");
    Connection::open(&other).unwrap().execute_batch("CREATE TABLE cats (name TEXT)").unwrap();
    std::fs::set_permissions(&other, std::fs::Permissions::from_mode(0o644)).unwrap();
    assert!(Store::open(&other).is_err());
    assert_eq!(modes()["other"], 0o644);
}

#[test]
fn a_second_orchestrator_on_the_same_file_is_refused() {
    let (_folder, path) = folder();
    let first = StoreLock::take(&path).unwrap();
    let refused = StoreLock::take(&path).unwrap_err().to_string();
    assert!(refused.contains("another orchestrator is running on"), "{refused}");
    drop(first);
    StoreLock::take(&path).unwrap();
}

#[test]
fn a_test_comes_back_as_it_was_stored() {
    let (_folder, path) = folder();
    let mut record = running("t", 1000, &["a", "b"]);
    record.name = Some("a name".into());
    record.config.body = Some(vec![0, 159, 146, 150]);
    record.config.timeout = Duration::from_micros(123_457);
    record.target_before = Some(Probe::Counters(Counters { instance: "x".into(), requests: BTreeMap::new() }));
    record.participants.push(ParticipantRecord {
        plain: Some(LatencyMs { mean: Some(1.25), ..LatencyMs::default() }),
        state: ParticipantState::Lost,
        reason: Some("silence".into()),
        ..ParticipantRecord::new(node("plain"), None)
    });
    record.event(Now::read(), TestEvent::Created, None, "first");
    let mut store = Store::open(&path).unwrap();
    save(&mut store, &record);
    record.event(Now::read(), TestEvent::Lost, Some(&node("plain")), "second");
    record.state = TestState::Armed;
    record.published_order = 7;
    save(&mut store, &record);
    drop(store);
    let store = Store::open(&path).unwrap();
    assert_eq!(open_tests(store.connection()).unwrap(), [Stored::Whole(Box::new(record.clone()))]);
    assert_eq!(last_published_order(store.connection()).unwrap(), 7);

    let mut store = store;
    record.state = TestState::Completed;
    let check = |verdict, node_id| Check {
        name: "sent = answered + failed".into(),
        node_id,
        verdict,
        expected: Some(u64::MAX),
        actual: None,
        detail: "in words".into(),
    };
    let checks =
        vec![check(Verdict::Exact, Some(node("a"))), check(Verdict::Unknown, None), check(Verdict::Breach, None)];
    record.conservation = Some(Conservation { line: "line".into(), checks });
    record.limit = Some(FoundLimit {
        limited_by: LimitedBy::Network,
        resource: Some(Resource::Loss),
        reasons: "why".into(),
        since_second: Some(31),
    });
    (record.outcome, record.ended_unix_ms) = (Some(Outcome::Invalid), Some(5000.0));
    save(&mut store, &record);
    assert!(open_tests(store.connection()).unwrap().is_empty());
    assert_eq!(StoreReader::open(&path).unwrap().test("t").unwrap(), Some(Stored::Whole(Box::new(record))));
}

#[test]
fn tests_are_listed_newest_first_by_pages() {
    let (_folder, path) = folder();
    let mut store = Store::open(&path).unwrap();
    for i in 0..5 {
        save(&mut store, &running(&format!("t{i}"), 1, &["a"]));
    }
    let reader = StoreReader::open(&path).unwrap();
    let page = |before: Option<&str>, max_bytes| {
        let page = reader.tests(&ListFilter::default(), 2, before, max_bytes).unwrap()?;
        Some((page.tests.into_iter().map(|test| test.test_id).collect::<Vec<_>>(), page.more))
    };
    let names = |names: &[&str]| names.iter().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(page(None, usize::MAX).unwrap(), (names(&["t4", "t3"]), true));
    assert_eq!(page(Some("t2"), usize::MAX).unwrap(), (names(&["t1", "t0"]), false));
    assert_eq!(page(Some("t0"), usize::MAX).unwrap(), (names(&[]), false));
    assert_eq!(page(Some("unheard of"), usize::MAX), None);
    // However small a page must be, it goes on.
    assert_eq!(page(None, 1).unwrap(), (names(&["t4"]), true));
}

#[test]
fn the_list_can_be_asked_for_names_and_states() {
    let (_folder, path) = folder();
    let mut store = Store::open(&path).unwrap();
    for (id, name, state) in [
        ("t0", Some("Login, nightly"), TestState::Completed),
        ("t1", Some("checkout"), TestState::Completed),
        ("t2", None, TestState::Completed),
        ("t3", Some("NIGHTLY 100%"), TestState::Failed),
    ] {
        save(&mut store, &TestRecord { name: name.map(Into::into), state, ..running(id, 1, &["a"]) });
    }
    let reader = StoreReader::open(&path).unwrap();
    let found = |name_part: Option<&str>, state| {
        let filter = ListFilter { name_part: name_part.map(Into::into), state };
        let page = reader.tests(&filter, 9, None, usize::MAX).unwrap().unwrap();
        page.tests.into_iter().map(|test| test.test_id).collect::<Vec<_>>()
    };
    assert_eq!(found(Some("nightly"), None), ["t3", "t0"]);
    assert_eq!(found(Some("nightly"), Some(TestState::Completed)), ["t0"]);
    assert_eq!(found(None, Some(TestState::Failed)), ["t3"]);
    // Neither a pattern nor SQL.
    assert_eq!(found(Some("%"), None), ["t3"]);
    assert!(found(Some("' OR 1"), None).is_empty() && found(Some("_"), None).is_empty());
}

/// What the tables hold of a test.
fn rows_of(store: &Store, test_id: &str) -> i64 {
    let tables = ["tests", "participants", "events", "driver_seconds", "seconds", "totals", "snapshots", "searches"]
        .map(|table| {
            let sql = format!("SELECT count(*) FROM {table} WHERE test_id = ?1");
            store.connection().query_row(&sql, [test_id], |row| row.get::<_, i64>(0)).unwrap()
        });
    tables.iter().sum()
}

#[test]
fn nothing_is_left_of_a_deleted_test_but_that_there_was_one() {
    let (_folder, path) = folder();
    let mut store = Store::open(&path).unwrap();
    measured(&mut store, 700, 650);
    let mut record = running("other", 1, &["a"]);
    save(&mut store, &record);
    assert!(!store.delete_test("t").unwrap(), "it is not over");
    record = test(store.connection(), "t").unwrap().unwrap().record();
    (record.state, record.triggered_unix_ms, record.published_order) = (TestState::Completed, Some(7_000.0), 12);
    save(&mut store, &record);
    let (before, other) = (rows_of(&store, "t"), rows_of(&store, "other"));
    assert!(before > 2_000, "{before}");
    assert!(store.delete_test("t").unwrap());
    assert!(!store.delete_test("t").unwrap() && !store.delete_test("never").unwrap());
    assert!(!exists(store.connection(), "t").unwrap() && was_deleted(store.connection(), "t").unwrap());
    // A restart in the middle of it.
    assert!(store.sweep().unwrap());
    drop(store);
    let mut store = Store::open(&path).unwrap();
    let mut sweeps = 0;
    while store.sweep().unwrap() {
        sweeps += 1;
    }
    assert!((2..10).contains(&sweeps), "{sweeps}");
    assert_eq!((rows_of(&store, "t"), rows_of(&store, "other")), (0, other));
    assert!(triggered_since(store.connection(), Some(6_999.0)).unwrap(), "the target counts its requests all the same");
    assert!(!triggered_since(store.connection(), Some(7_000.0)).unwrap());
    assert_eq!(last_published_order(store.connection()).unwrap(), 12);
    // What refers to nothing is refused again.
    let orphan = "INSERT INTO events (test_id, position, at_unix_ms, kind, detail) VALUES ('t', 0, 1, 'created', '')";
    assert!(store.connection().execute(orphan, []).is_err());
}

#[test]
fn what_is_kept_is_what_is_young_or_among_the_newest() {
    let (_folder, path) = folder();
    let mut store = Store::open(&path).unwrap();
    for i in 0..6 {
        let ended_unix_ms = Some(f64::from(i) * 1_000.0);
        save(
            &mut store,
            &TestRecord { state: TestState::Stopped, ended_unix_ms, ..running(&format!("t{i}"), 1, &["a"]) },
        );
    }
    save(&mut store, &running("open", 1, &["a"]));
    let expired = |max_age_ms, max_tests, limit| {
        expired(store.connection(), Retention { max_age_ms, max_tests }, 6_000.0, limit).unwrap()
    };
    assert!(expired(None, None, 9).is_empty());
    assert_eq!(expired(Some(3_500.0), None, 9), ["t0", "t1", "t2"]);
    assert_eq!(expired(None, Some(4), 9), ["t0", "t1"]);
    assert_eq!(expired(Some(3_500.0), Some(1), 9), ["t0", "t1", "t2", "t3", "t4"]);
    assert_eq!(expired(Some(0.5), None, 2), ["t0", "t1"]);
    assert!(expired(Some(1e12), Some(u64::MAX), 9).is_empty());
}

#[test]
fn what_was_measured_comes_back_to_the_digit() {
    let mut extreme = stats(&[0, 1, 999, 1_000_000_007, 3_600_000_000_001, u64::MAX]);
    extreme.counts.sent = u64::MAX;
    extreme.counts.failures.insert(FailureCause::Dns, u64::MAX - 1);
    for stats in [SecondStats::default(), stats(&[1, 2, 3]), extreme] {
        assert_eq!(StatsColumns::of(&stats).stats().unwrap(), stats);
    }
}

#[test]
fn reports_rebuild_what_was_measured() {
    let (_folder, path) = folder();
    let mut store = Store::open(&path).unwrap();
    let record = running("t", 9, &["a"]);
    save(&mut store, &record);
    let now = Now::read();
    let mut driver = SimDriver::new("a", "s");
    let mut straight = Aggregate::default();
    for second in 0..4 {
        let end = (second == 3).then(|| EndReason::Failed("no more ports".into()));
        let metrics = driver.report("t", second, stats(&[second + 1, 1 << (second * 9)]), end);
        let report = metrics.measured.unwrap();
        assert_eq!(straight.enter(&metrics.node_id, &report, now.mono), Ok(Entered::InTime));
        let row = EnteredReport { test_id: metrics.test_id, node_id: metrics.node_id, late: false, report };
        let transaction = store.begin(Durability::Process).unwrap();
        save_report(&transaction, &row).unwrap();
        save_report(&transaction, &row).unwrap();
        transaction.commit().unwrap();
    }
    let rebuilt = open_aggregate(store.connection(), &record, now, |_, _| ()).unwrap();
    assert_eq!(rebuilt.drivers(), straight.drivers());
    assert_eq!(rebuilt.all(), straight.all());
}

/// Stores `seconds` seconds of reports of two drivers, the newest two unsealed, as the brain would; `at`: when the snapshot is
/// taken.
fn measured(store: &mut Store, seconds: u64, at: u64) -> Aggregate {
    let record = running("t", 9, &["a", "b"]);
    save(store, &record);
    let now = Now::read();
    let mut aggregate = Aggregate::default();
    let mut drivers = ["a", "b"].map(|name| SimDriver::new(name, "s"));
    for second in 0..seconds {
        let transaction = store.begin(Durability::Process).unwrap();
        for driver in &mut drivers {
            let metrics = driver.report("t", second, stats(&[second + 1, 1 << (second % 30)]), None);
            let report = metrics.measured.unwrap();
            aggregate.enter(&metrics.node_id, &report, now.mono).unwrap();
            save_report(
                &transaction,
                &EnteredReport { test_id: metrics.test_id, node_id: metrics.node_id, late: false, report },
            )
            .unwrap();
        }
        let waiting = [node("a"), node("b"), node("late")];
        // The third driver is waited for: the newest seconds are open until then.
        let sealed = if second + 1 < seconds { aggregate.seal(&waiting, second >= 20, now.mono) } else { Vec::new() };
        for sealed in &sealed {
            let numbers = SecondNumbers::of(sealed, &sealed.all(), 1000.0);
            save_sealed(&transaction, &record.test_id, &numbers, &sealed.all()).unwrap();
        }
        if second == at {
            save_snapshot(&transaction, &record.test_id, &aggregate).unwrap();
        }
        transaction.commit().unwrap();
    }
    aggregate
}

/// What is read, and the sum of what is told to be sealed.
fn read_back(store: &Store) -> (Aggregate, BTreeMap<NodeId, SecondStats>) {
    let record = running("t", 9, &["a", "b"]);
    let mut sealed = BTreeMap::<NodeId, SecondStats>::new();
    let aggregate = open_aggregate(store.connection(), &record, Now::read(), |node_id, stats| {
        sealed.entry(node_id.clone()).or_default().append(stats);
    });
    (aggregate.unwrap(), sealed)
}

#[test]
fn a_snapshot_and_the_reports_behind_it_are_the_same_as_all_reports() {
    // Seconds are open when it is taken; open ones have been sealed since; nothing lies behind it.
    for (seconds, at) in [(18, 5), (18, 15), (18, 17), (40, 10), (40, 25), (40, 39), (3, 0)] {
        let (_folder, path) = folder();
        let mut store = Store::open(&path).unwrap();
        measured(&mut store, seconds, at);
        let with = read_back(&store);
        store.connection.execute("DELETE FROM snapshots", []).unwrap();
        let without = read_back(&store);
        let case = format!("{at} of {seconds}");
        assert_eq!(with.0.drivers(), without.0.drivers(), "{case}");
        assert_eq!(with.0.all(), without.0.all(), "{case}");
        let open = |aggregate: &Aggregate| -> Vec<(u64, BTreeMap<NodeId, crate::aggregate::DriverPart>)> {
            let snapshot = aggregate.snapshot();
            snapshot.open.into_iter().map(|(second, parts)| (second, parts.clone())).collect()
        };
        assert!(open(&with.0) == open(&without.0), "{case}: other seconds are open");
        assert_eq!(with.0.snapshot().next, without.0.snapshot().next, "{case}");
        for (node_id, expected) in &without.1 {
            assert_eq!(with.1[node_id].counts, expected.counts, "{case}: {node_id}");
            assert_eq!(with.1[node_id].latency.histogram(), expected.latency.histogram(), "{case}: {node_id}");
            assert_eq!(with.1[node_id].latency.sum_ns(), expected.latency.sum_ns(), "{case}: {node_id}");
        }
    }
}

#[test]
fn what_a_snapshot_covers_is_not_read_again() {
    let (_folder, path) = folder();
    let mut store = Store::open(&path).unwrap();
    let straight = measured(&mut store, 40, 35);
    // Whoever read one of these would stumble over it.
    store.connection.execute("UPDATE driver_seconds SET latency = x'00' WHERE second_index <= 35", []).unwrap();
    assert_eq!(read_back(&store).0.drivers(), straight.drivers());
}

#[test]
fn a_snapshot_that_cannot_be_used_is_thrown_away() {
    for spoilt in [
        "UPDATE snapshots SET version = 99",
        "UPDATE snapshots SET state = '{'",
        "UPDATE snapshots SET state = x'ff'",
        "UPDATE snapshots SET state = replace(state, '\"next\"', '\"nxt\"')",
        "UPDATE snapshots SET state = json_set(state, '$.added', 1)",
        "UPDATE snapshots SET histograms = x''",
        "UPDATE snapshots SET histograms = histograms || x'00'",
        "UPDATE snapshots SET histograms = x'ffffffff'",
        "UPDATE snapshots SET covered = covered - 1",
        "UPDATE snapshots SET covered = covered + 1",
        // Another program numbered the rows anew.
        "UPDATE driver_seconds SET rowid = rowid + 1000",
    ] {
        let (_folder, path) = folder();
        let mut store = Store::open(&path).unwrap();
        let straight = measured(&mut store, 30, 25);
        store.connection.execute_batch(spoilt).unwrap();
        assert_eq!(
            snapshot::snapshot(store.connection(), "t", Now::read().mono).unwrap().map(|_| ()),
            None,
            "{spoilt}"
        );
        assert_eq!(read_back(&store).0.drivers(), straight.drivers(), "{spoilt}");
    }
}

#[test]
fn the_outbox_keeps_what_is_not_confirmed() {
    let (_folder, path) = folder();
    let mut store = Store::open(&path).unwrap();
    let transaction = store.begin(Durability::Process).unwrap();
    post(&transaction, Topic::TestConfig, "t", b"config").unwrap();
    post(&transaction, Topic::Trigger, "t", b"trigger").unwrap();
    transaction.commit().unwrap();
    let transaction = store.begin(Durability::Process).unwrap();
    post(&transaction, Topic::Trigger, "t", b"never committed").unwrap();
    drop(transaction);
    drop(store);
    let mut store = Store::open(&path).unwrap();
    let messages = outbox(store.connection(), 0, 10).unwrap();
    assert_eq!(messages.iter().map(|m| m.payload.as_slice()).collect::<Vec<_>>(), [b"config".as_slice(), b"trigger"]);
    let transaction = store.begin(Durability::Process).unwrap();
    confirm(&transaction, messages[0].id).unwrap();
    transaction.commit().unwrap();
    let left = outbox(store.connection(), 0, 10).unwrap();
    assert_eq!((left.len(), left[0].topic), (1, Topic::Trigger));
}

#[test]
fn offsets_and_drivers_come_back() {
    let (_folder, path) = folder();
    let mut store = Store::open(&path).unwrap();
    let driver = Identity { register: SimDriver::new("a", "s").register(), registered_unix_ms: 12.5, admitted: true };
    let transaction = store.begin(Durability::Process).unwrap();
    save_offset(&transaction, "here", Topic::Metrics, 0, 5).unwrap();
    save_offset(&transaction, "here", Topic::Metrics, 0, 6).unwrap();
    save_offset(&transaction, "there", Topic::Metrics, 0, 99).unwrap();
    save_driver(&transaction, &driver).unwrap();
    transaction.commit().unwrap();
    let here = ("here".to_owned(), "metrics".to_owned(), 0);
    assert_eq!(all_offsets(store.connection()).unwrap().get(&here), Some(&6));
    assert_eq!(drivers(store.connection()).unwrap(), [driver]);
    let transaction = store.begin(Durability::Process).unwrap();
    remove_driver(&transaction, &node("a")).unwrap();
    transaction.commit().unwrap();
    assert!(drivers(store.connection()).unwrap().is_empty());
}
