//! What is stored and cannot be used takes nothing else down.

use serde_json::json;

use super::*;
use crate::record::TestRecord;
use crate::state;
use crate::store::{Durability, Store, save_test};
use crate::testing::running;

pub(super) fn save(path: &Path, records: &[TestRecord]) {
    let mut store = Store::open(path).unwrap();
    let transaction = store.begin(Durability::Process).unwrap();
    records.iter().for_each(|record| save_test(&transaction, record).unwrap());
    transaction.commit().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_test_whose_message_no_driver_would_read_is_not_made() {
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("onrush.db");
    let broker = EmbeddedBroker::start("").unwrap();
    let first = orchestrator(&broker, &store).await;
    let base = json!({"test_type": "AVALANCHE", "target_url": "http://127.0.0.1:1/", "requests": 1});
    // In a message each header takes a quarter more than here.
    let header = |byte: u8| (char::from(byte).to_string(), json!(""));
    let headers: serde_json::Map<_, _> = (b'a'..=b'z').chain(b'0'..=b'9').map(header).collect();
    let changes = [
        ("expect", json!({"expect": format!("status={}", vec!["2xx"; 200_000].join(","))})),
        ("expect", json!({"expect": vec!["status=200"; 101]})),
        ("targets", json!({"targets": [{"url": "http://h/", "expect": vec!["status=200"; 101]}]})),
        ("targets", json!({"targets": vec![json!({"url": "http://h/", "headers": headers}); 3500]})),
    ];
    for (field, change) in changes {
        let mut body = base.clone();
        body.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        let refused = http::post(first.address(), "/v1/tests", &body.to_string());
        assert_eq!(refused.status, 422, "{field}: {}", refused.detail());
        assert_eq!(refused.json()["errors"][0]["field"], field, "{}", refused.detail());
        assert_eq!(http::get(first.address(), "/v1/tests").json(), json!([]));
    }
    first.shutdown().await;
    orchestrator(&broker, &store).await.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_seed_comes_back_as_it_was_given() {
    let folder = tempfile::tempdir().unwrap();
    let broker = EmbeddedBroker::start("").unwrap();
    let orchestrator = orchestrator(&broker, &folder.path().join("onrush.db")).await;
    let url = "http://127.0.0.1:1/";
    for (given, shown) in
        [(json!({"seed": 0}), 0), (json!({"seed": 7}), 7), (json!({"seed": u64::MAX}), u64::MAX), (json!({}), 0)]
    {
        for order in ["in_turn", "shuffled"] {
            let mut body = json!({"test_type": "AVALANCHE", "requests": 1, "targets": [{"url": url}], "order": order});
            body.as_object_mut().unwrap().extend(given.as_object().unwrap().clone());
            let made = http::post(orchestrator.address(), "/v1/tests", &body.to_string());
            let id = made.json()["test_id"].as_str().unwrap().to_owned();
            assert_eq!(made.json()["config"]["seed"], shown, "{body}");
            http::post(orchestrator.address(), &format!("/v1/tests/{id}/stop"), "");
            let stored = http::get(orchestrator.address(), &format!("/v1/tests/{id}"));
            assert_eq!(stored.json()["config"]["seed"], shown, "{body}");
        }
    }
    orchestrator.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_cannot_be_read_take_neither_the_list_nor_the_start_down() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("onrush.db");
    // As a version without limits would have stored it.
    let mut long = running("long", 1, &[]);
    long.state = state::TestState::Configured;
    long.config.expect = vec![onrush_protocol::Expect::Status(vec![(200, 299); 200_000])];
    let mut ended = running("ended", 1, &["a"]);
    ended.state = state::TestState::Completed;
    save(&path, &[running("garbage", 1, &["a"]), running("report", 1, &["a"]), ended, running("state", 1, &[]), long]);
    let store = rusqlite::Connection::open(&path).unwrap();
    store
        .execute_batch(
            "UPDATE tests SET config = x'ff', listed = NULL WHERE test_id IN ('garbage', 'ended');
             UPDATE tests SET reason = 5, conservation = '{', listed = '{' WHERE test_id = 'state';
             INSERT INTO driver_seconds VALUES ('report', 'a', 's', 0, 0, 1.0, 0, 1.0, NULL, '?', '?', '', '', '', NULL);
             INSERT INTO drivers VALUES (' ', 's', NULL, NULL, NULL, NULL, 1.0, 1);
             INSERT INTO seconds VALUES ('ended', 0, '?', '', '', '');
             INSERT INTO outbox (topic, key, payload) VALUES ('nowhere', 'k', 'p');",
        )
        .unwrap();
    drop(store);

    let broker = EmbeddedBroker::start("").unwrap();
    let orchestrator = orchestrator(&broker, &path).await;
    let address = orchestrator.address();
    let _drivers = [Driver::start(&broker, "a", 2), Driver::start(&broker, "b", 2)];
    let listed = until("all of them are over", async || {
        let list = http::get(address, "/v1/tests");
        assert_eq!(list.status, 200, "{}", list.detail());
        let tests = list.json().as_array().unwrap().clone();
        tests.iter().all(|test| ["FAILED", "COMPLETED"].iter().any(|state| test["state"] == *state)).then_some(tests)
    })
    .await;
    let ids: Vec<&str> = listed.iter().map(|test| test["test_id"].as_str().unwrap()).collect();
    assert_eq!(ids, ["long", "state", "ended", "report", "garbage"]);
    for (id, why) in [
        ("garbage", "cannot be read"),
        ("report", "cannot be read"),
        ("ended", "cannot be read"),
        ("state", "cannot be read"),
        ("long", "drivers read at most"),
    ] {
        let shown = http::get(address, &format!("/v1/tests/{id}"));
        assert_eq!(shown.status, 200, "{id}: {}", shown.detail());
        let shown = shown.json();
        assert!(shown["reason"].as_str().is_some_and(|reason| reason.contains(why)), "{id}: {shown}");
        for what in ["metrics", "series", "histogram"] {
            assert_eq!(http::get(address, &format!("/v1/tests/{id}/{what}")).status, 200, "{id} {what}");
        }
        for what in ["trigger", "stop"] {
            assert_eq!(http::post(address, &format!("/v1/tests/{id}/{what}"), "").status, 409, "{id} {what}");
        }
    }
    // And everything else works.
    let handle = orchestrator.handle();
    until_registered(&handle, 2).await;
    handle.create(new("t", 20)).await.unwrap();
    assert_eq!(until_ended(&handle, "t").await.state, TestState::Completed);
    orchestrator.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_is_named_and_room_on_it_is_enough() {
    let folder = tempfile::tempdir().unwrap();
    power::watch(folder.path());
    let path = folder.path().join("onrush.db");
    let broker = EmbeddedBroker::start("").unwrap();
    let orchestrator = orchestrator(&broker, &path).await;
    let (address, handle) = (orchestrator.address(), orchestrator.handle());
    let _drivers = [Driver::start(&broker, "a", 30), Driver::start(&broker, "b", 30)];
    until_registered(&handle, 2).await;
    handle.create(new("t", 300)).await.unwrap();
    until("some reports are in", async || {
        let metrics = handle.metrics(test_id("t")).await.ok()?;
        metrics.all.sent.is_some_and(|sent| sent >= 40).then_some(())
    })
    .await;

    power::set_full(folder.path(), true);
    let names_it = |answer: &http::Answer| {
        let detail = answer.detail();
        detail.contains("is full") && detail.contains("mounted on /") && detail.contains(path.to_str().unwrap())
    };
    let body = r#"{"test_type": "AVALANCHE", "requests": 1}"#;
    for _ in 0..5 {
        let refused = http::post(address, "/v1/tests", body);
        assert!(refused.status == 503 && names_it(&refused), "{}: {}", refused.status, refused.detail());
        assert!(refused.header("retry-after").is_some());
    }
    let health = http::get(address, "/healthz");
    assert!(health.status == 503 && names_it(&health), "{}: {}", health.status, health.detail());
    // What is stored can be read.
    assert_eq!(http::get(address, "/v1/tests").status, 200);
    let other = folder.path().join("other.db");
    let refused = Orchestrator::start(config_of(&broker, &other)).await.map(drop).unwrap_err().to_string();
    assert!(refused.contains("is full") && refused.contains("other.db"), "{refused}");

    power::set_full(folder.path(), false);
    until("it works again", async || (http::get(address, "/healthz").status == 200).then_some(())).await;
    let view = until_ended(&handle, "t").await;
    assert_eq!((view.state, view.outcome), (TestState::Completed, Some(Outcome::Exact)), "{:?}", view.reason);
    assert_eq!(http::post(address, "/v1/tests", body).status, 201);
    orchestrator.shutdown().await;
}
