//! A run as one file: what is in it can be proved, and nothing in it can be changed unseen.

use std::fs::File;
use std::io::{Read, Seek, Write};
use std::path::PathBuf;

use flate2::read::GzDecoder;
use onrush_stats::NameStats;
use rusqlite::Connection;

use super::*;
use crate::run_file::{self, RunFile, RunFileError, Verified};

/// A second of ten requests, of which three are named `login` and seven `search`.
fn named(second: u64) -> SecondStats {
    let mut all = stats(&(1..=10).map(|k| k * 100_000 + second).collect::<Vec<u64>>());
    for (name, latencies) in [("login", 1..=3), ("search", 4..=10)] {
        let SecondStats { counts, latency, .. } = stats(&latencies.map(|k| k * 100_000 + second).collect::<Vec<u64>>());
        let latency = (&latency).into();
        all.by_name
            .add(name, &NameStats { sent: counts.sent, statuses: counts.statuses, failures: counts.failures, latency });
    }
    all
}

/// A run of two drivers and three seconds, as it is exported.
async fn exported(folder: &Path) -> Vec<u8> {
    let broker = EmbeddedBroker::start("").unwrap();
    let orchestrator = orchestrator(&broker, &folder.join("onrush.db")).await;
    let handle = orchestrator.handle();
    let _drivers = ["a", "b"].map(|name| Driver::measuring(&broker, name, 3, named));
    until_registered(&handle, 2).await;
    handle.create(NewTest { trigger: false, ..new("t", 30) }).await.unwrap();
    let path = "/v1/tests/t/export";
    let early = http::get(orchestrator.address(), path);
    assert!(early.status == 409 && early.detail().contains("not over"), "{}", early.detail());
    handle.trigger(test_id("t")).await.unwrap();
    assert_eq!(until_ended(&handle, "t").await.outcome, Some(Outcome::Exact));
    // Another one is not in it.
    handle.create(new("u", 30)).await.unwrap();
    until_ended(&handle, "u").await;
    let answer = http::get(orchestrator.address(), path);
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("content-type"), Some("application/vnd.onrush.run"));
    assert_eq!(http::get(orchestrator.address(), "/v1/tests/v/export").status, 404);
    let mut file = handle.run_file(test_id("t")).await.unwrap();
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes).unwrap();
    let length = answer.header("content-length").map(|length| length.parse().unwrap());
    assert_eq!(length, Some(bytes.len()));
    let left: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(left.iter().all(|name| name.to_str().unwrap().starts_with("onrush.db")), "{left:?}");
    orchestrator.shutdown().await;
    bytes
}

fn open(folder: &Path, bytes: &[u8]) -> Result<RunFile, RunFileError> {
    let path = folder.join("run.onrush");
    std::fs::write(&path, bytes).unwrap();
    RunFile::open(&path, folder)
}

fn verified(folder: &Path, bytes: &[u8]) -> Result<Verified, RunFileError> {
    open(folder, bytes)?.verify()
}

/// The same run with something else in it, and the right digest.
fn forged(folder: &Path, bytes: &[u8], sql: &str) -> Vec<u8> {
    let plain: PathBuf = folder.join("plain.db");
    let begin = bytes.iter().position(|byte| *byte == b'\n').unwrap() + 1;
    let mut unpacked = Vec::new();
    GzDecoder::new(&bytes[begin..]).read_to_end(&mut unpacked).unwrap();
    File::create(&plain).unwrap().write_all(&unpacked).unwrap();
    Connection::open(&plain).unwrap().execute_batch(sql).unwrap_or_else(|e| panic!("{sql}: {e}"));
    let mut packed = tempfile::tempfile().unwrap();
    run_file::pack(File::open(&plain).unwrap(), &mut packed).unwrap();
    let mut bytes = Vec::new();
    packed.rewind().unwrap();
    packed.read_to_end(&mut bytes).unwrap();
    bytes
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_is_proved_from_its_reports_and_no_change_is_unseen() {
    let folder = tempfile::tempdir().unwrap();
    let bytes = exported(folder.path()).await;
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let found = verified(folder, &bytes).unwrap();
    assert_eq!(found.differences, Vec::<String>::new());
    assert_eq!((found.test_id.as_str(), found.drivers, found.reports, found.seconds), ("t", 2, 6, 3));
    assert!(found.line.starts_with("conservation: exact (2 drivers: 60 sent"), "{}", found.line);

    // Any byte.
    let mut rng = fastrand::Rng::with_seed(7);
    for _ in 0..400 {
        let mut changed = bytes.clone();
        let place = rng.usize(..changed.len());
        changed[place] ^= rng.u8(1..);
        assert!(open(folder, &changed).is_err(), "a change of byte {place} is not seen");
    }
    for length in [0, 5, 40, bytes.len() / 2, bytes.len() - 1] {
        assert!(open(folder, &bytes[..length]).is_err(), "{length} bytes are taken for a run");
    }
    let newer = [b"onrush-run 2 sha256=".as_slice(), &bytes[20..]].concat();
    assert!(matches!(open(folder, &newer), Err(RunFileError::Newer(version)) if version == "2"));
    assert!(matches!(open(folder, b"PK\x03\x04"), Err(RunFileError::Foreign)));
    assert!(matches!(open(folder, &[0xff; 300]), Err(RunFileError::Foreign)));

    let mut unseen = Vec::new();
    // Whoever computes the digest anew must make everything else agree, too.
    for (sql, words) in [
        ("SELECT 1", ""),
        ("UPDATE tests SET state = 'RUNNING'", "not over"),
        ("UPDATE tests SET outcome = 'unproved'", "outcome is exact"),
        ("UPDATE tests SET conservation = NULL", "no proof"),
        ("UPDATE tests SET conservation = replace(conservation, '60 sent', '61 sent')", "line"),
        ("UPDATE tests SET conservation = replace(conservation, '\"actual\":30', '\"actual\":31')", "sent = answered"),
        ("UPDATE participants SET reports = reports + 1 WHERE node_id = 'b'", "b has 3 reports"),
        ("UPDATE participants SET state = 'LOST' WHERE node_id = 'b'", "was lost"),
        ("DELETE FROM participants WHERE node_id = 'b'", "b reported"),
        ("DELETE FROM driver_seconds WHERE node_id = 'a' AND sequence = 1", "totals of a"),
        ("UPDATE driver_seconds SET second_index = 1 WHERE sequence = 2", "second 1"),
        ("UPDATE driver_seconds SET measures = replace(measures, '\"sent\":10', '\"sent\":11')", "totals of a"),
        ("UPDATE driver_seconds SET latency = service_time WHERE sequence = 0", "distribution of latency"),
        ("UPDATE driver_seconds SET totals = replace(totals, '30', '31') WHERE sequence = 2", "seconds add up"),
        ("UPDATE totals SET measures = replace(measures, '\"sent\":30', '\"sent\":31')", "totals of a"),
        ("UPDATE totals SET latency = service_time WHERE node_id = 'b'", "totals of b: the distribution of latency"),
        (
            "UPDATE driver_seconds SET measures = replace(measures, '\"sent\":3,', '\"sent\":4,') WHERE node_id = 'a' AND sequence = 1",
            "totals of a: the requests named login; 10 sent, the result says 9",
        ),
        (
            "UPDATE driver_seconds SET measures = replace(measures, '\"sum_ns\":600003,', '\"sum_ns\":600004,') WHERE node_id = 'a'",
            "totals of a: the requests named login: their statuses, causes or latencies",
        ),
        (
            "UPDATE totals SET measures = replace(measures, '\"sent\":9,', '\"sent\":8,') WHERE node_id = 'b'",
            "totals of b: the requests named login; 9 sent, the result says 8",
        ),
        (
            "UPDATE seconds SET view = replace(view, '\"sent\":14,', '\"sent\":15,') WHERE second_index = 1",
            "second 1: the requests named search; 14 sent, the result says 15",
        ),
        (
            "UPDATE seconds SET view = replace(view, '\"search\"', '\"find\"') WHERE second_index = 2",
            "second 2: the requests named find; 0 sent, the result says 14",
        ),
        (
            // Whoever makes all three agree has names that are more than the whole.
            "UPDATE driver_seconds SET measures = replace(measures, '\"sent\":3,', '\"sent\":4,') WHERE node_id = 'a' AND sequence = 1;
             UPDATE totals SET measures = replace(measures, '\"sent\":9,', '\"sent\":10,') WHERE node_id = 'a';
             UPDATE seconds SET view = replace(view, '\"sent\":6,', '\"sent\":7,') WHERE second_index = 1",
            "a, names add up to the whole: 2 names add up to 31 sent",
        ),
        ("DELETE FROM totals WHERE node_id = 'a'", "a has reports and no totals"),
        ("UPDATE seconds SET view = replace(view, '\"sent\":20', '\"sent\":21') WHERE second_index = 1", "second 1"),
        ("UPDATE seconds SET view = replace(view, 'p99_ms', 'p98_ms') WHERE second_index = 2", "second 2"),
        ("UPDATE seconds SET latency = service_time WHERE second_index = 0", "second 0: its distributions"),
        ("DELETE FROM seconds WHERE second_index = 2", "second 2"),
        ("UPDATE seconds SET second_index = 9 WHERE second_index = 2", "second 2"),
    ] {
        let told = match verified(folder, &forged(folder, &bytes, sql)) {
            Ok(found) => found.differences.join("\n"),
            Err(error) => format!("no run: {error}"),
        };
        if told.is_empty() != words.is_empty() || !told.contains(words) {
            unseen.push(format!("{sql}: {told}"));
        }
    }
    assert!(unseen.is_empty(), "{}", unseen.join("\n\n"));
    // What cannot be a run is refused in words.
    for (sql, words) in [
        (
            "DELETE FROM totals; DELETE FROM seconds; DELETE FROM driver_seconds; DELETE FROM events; DELETE FROM participants; DELETE FROM tests",
            "0 tests",
        ),
        ("UPDATE tests SET config = x'ff'", "cannot be read"),
        ("UPDATE driver_seconds SET latency = x'00'", "histogram"),
        ("UPDATE driver_seconds SET node_id = ' ' WHERE node_id = 'a'", "name"),
        ("CREATE TABLE cats (name TEXT)", "cats"),
        ("CREATE TRIGGER t AFTER UPDATE ON tests BEGIN DELETE FROM totals; END", "which no version"),
        ("CREATE VIEW v AS SELECT 1", "which no version"),
        ("PRAGMA user_version = 99", "later version"),
    ] {
        match verified(folder, &forged(folder, &bytes, sql)) {
            Err(error) if error.to_string().contains(words) => {}
            other => unseen.push(format!("{sql}: {:?}", other.map_err(|e| e.to_string()))),
        }
    }
    assert!(unseen.is_empty(), "{}", unseen.join("\n\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_is_imported_as_it_was_or_not_at_all() {
    let folder = tempfile::tempdir().unwrap();
    let bytes = exported(folder.path()).await;
    let here = tempfile::tempdir().unwrap();
    let here = here.path();
    let broker = EmbeddedBroker::start("").unwrap();
    let orchestrator = orchestrator(&broker, &here.join("onrush.db")).await;
    let (handle, address) = (orchestrator.handle(), orchestrator.address());
    let import = |bytes: &[u8]| http::ask(address, "POST", "/v1/tests/import", "", bytes);

    // What is no run, was changed or is forged, leaves nothing.
    let mut changed = bytes.clone();
    changed[bytes.len() / 2] ^= 1;
    let lie = forged(here, &bytes, "UPDATE totals SET measures = replace(measures, '\"sent\":30', '\"sent\":31')");
    let crowd = "WITH RECURSIVE n (i) AS (SELECT 1000 UNION ALL SELECT i + 1 FROM n WHERE i < 200000)
        INSERT INTO events (test_id, position, at_unix_ms, kind, detail) SELECT 't', i, 0, 'lost', '' FROM n";
    for (bytes, words) in [
        (b"PK".to_vec(), "no exported run"),
        (changed, "was changed"),
        (lie, "the totals of a"),
        (forged(here, &bytes, crowd), "events, where a test has at most"),
    ] {
        let answer = import(&bytes);
        assert!(answer.status == 422 && answer.detail().contains(words), "{words}: {}", answer.detail());
    }
    assert_eq!(http::get(address, "/v1/tests").json(), serde_json::json!([]));

    // An open test is not held up.
    let _drivers = [Driver::start(&broker, "a", 3), Driver::start(&broker, "b", 3)];
    until_registered(&handle, 2).await;
    handle.create(NewTest { trigger: false, ..new("open", 30) }).await.unwrap();
    let answer = import(&bytes);
    assert!(answer.status == 409 && answer.detail().contains("test open is open"), "{}", answer.detail());
    handle.stop(test_id("open")).await.unwrap();
    until_ended(&handle, "open").await;

    let answer = import(&bytes);
    assert_eq!((answer.status, answer.header("location")), (201, Some("/v1/tests/t")), "{:?}", answer.json());
    let imported = handle.test(test_id("t")).await.unwrap();
    assert_eq!(imported.outcome, Some(Outcome::Exact));
    assert!(imported.imported_at.is_some() && imported.events.last().is_some_and(|event| event.kind == "imported"));
    let listed = http::get(address, "/v1/tests").json();
    assert_eq!((&listed[0]["test_id"], &listed[0]["outcome"]), (&"t".into(), &"exact".into()));
    assert_eq!(handle.metrics(test_id("t")).await.unwrap().all.sent, Some(60));
    let again = import(&bytes);
    assert!(again.status == 409 && again.detail().contains("there was a test t already"), "{}", again.detail());

    // What was deleted comes back whole.
    handle.delete(test_id("t")).await.unwrap();
    assert_eq!(import(&bytes).status, 201);
    assert_eq!(handle.metrics(test_id("t")).await.unwrap().all.sent, Some(60));
    let imported = handle.test(test_id("t")).await.unwrap();

    // It can travel on, and says the same.
    let mut file = handle.run_file(test_id("t")).await.unwrap();
    let mut travelled = Vec::new();
    file.read_to_end(&mut travelled).unwrap();
    let [first, second] = [bytes, travelled].map(|bytes| verified(here, &bytes).unwrap());
    assert_eq!(first, second);
    // Nothing of the attempts is left beside the store.
    let left: Vec<_> = std::fs::read_dir(here).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    let ours = ["onrush.db", "plain.db", "run.onrush"];
    assert!(left.iter().all(|name| ours.iter().any(|ours| name.to_str().unwrap().starts_with(ours))), "{left:?}");
    orchestrator.shutdown().await;
    // A restart takes it for what it is.
    let orchestrator = self::orchestrator(&broker, &here.join("onrush.db")).await;
    assert_eq!(orchestrator.handle().test(test_id("t")).await.unwrap(), imported);
    orchestrator.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_private_key_does_not_travel_with_a_run() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("onrush.db");
    let mut record = crate::testing::running("secret", 1, &["a"]);
    record.state = crate::state::TestState::Failed;
    record.config.tls_cert_pem = Some("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n".into());
    record.config.tls_key_pem = Some("-----BEGIN PRIVATE KEY-----\nPLANTED\n-----END PRIVATE KEY-----\n".into());
    stored::save(&path, &[record]);
    let mut packed = run_file::export(&path, "secret", folder.path()).unwrap().unwrap();
    let mut bytes = Vec::new();
    packed.read_to_end(&mut bytes).unwrap();
    let begin = bytes.iter().position(|byte| *byte == b'\n').unwrap() + 1;
    let mut plain = Vec::new();
    GzDecoder::new(&bytes[begin..]).read_to_end(&mut plain).unwrap();
    let has = |text: &[u8]| plain.windows(text.len()).any(|window| window == text);
    assert!(has(b"secret") && !has(b"PLANTED"));
    assert!(open(folder.path(), &bytes).is_ok());
    assert!(run_file::export(&path, "other", folder.path()).unwrap().is_none());
}
