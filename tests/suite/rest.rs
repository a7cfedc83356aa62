//! REST as a client meets it: refusals that name the field, states that are final, a stream without gaps.

use onrush_api::{SecondView, TestState, TestSummary, TestView};
use serde_json::{Value, json};

use super::checks::{assert_exact, avalanche, tsunami};
use crate::harness::{Broker, Process, System, beside_others};

/// Each wrong in turn, with the field that the refusal must name.
fn wrong_fields() -> Vec<(&'static str, Value)> {
    let absurd = [json!(-1), json!(1e300), json!("NaN"), json!([1]), json!({"a": 1})];
    let numbers = [
        "message_count_per_driver",
        "duration",
        "test_message_delay",
        "target_throughput",
        "connections",
        "timeout",
        "connect_timeout",
    ];
    let mut wrong: Vec<(&str, Value)> =
        numbers.iter().flat_map(|field| absurd.iter().map(|value| (*field, value.clone()))).collect();
    wrong.extend([
        ("test_type", json!("EARTHQUAKE")),
        ("test_type", json!(7)),
        ("test_type", Value::Null),
        ("target_url", json!("8080")),
        ("target_url", json!("http//127.0.0.1/ping")),
        ("target_url", json!("ftp://127.0.0.1/")),
        ("targets", json!([{"url": "8080"}])),
        ("connect_to", json!(["web:80"])),
        ("unix_socket", json!("")),
        ("resend", json!("perhaps")),
        ("expect", json!(["perhaps"])),
        ("thresholds", json!(["p98<1s"])),
        ("thresholds", json!(["p99<1s over 2h"])),
        ("thresholds", json!(vec!["p99<1s"; 21])),
        ("abort_on_fail", json!("perhaps")),
        // There is nothing that could fail.
        ("abort_on_fail", json!(true)),
        ("tls_ca_pem", json!("x")),
        ("target_url", json!(7)),
        ("method", json!("GET /")),
        ("method", json!([])),
        ("headers", json!("X")),
        ("headers", json!({"a b": "c"})),
        ("headers", json!({"Content-Length": "5"})),
        ("body", json!([1])),
        ("body", json!("x".repeat(600 * 1024))),
        ("body_base64", json!("no base64!")),
        ("message_count_per_driver", json!(0)),
        ("message_count_per_driver", json!(1.5)),
        ("message_count_per_driver", Value::Null),
        ("connections", json!(0)),
        ("connections", json!(1_000_000)),
        ("duration", json!("5 parsecs")),
        ("test_message_delay", json!("soon")),
        ("target_throughput", json!(0)),
        ("timeout", json!("0ms")),
        ("keepalive", json!("perhaps")),
        ("trigger", json!("perhaps")),
        ("name", json!(["a"])),
        ("name", json!("x".repeat(100_000))),
        ("no_such_field", json!(1)),
    ]);
    wrong
}

pub fn each_field_wrong_in_turn(broker: &Broker) {
    let _machine = beside_others();
    let system = System::new(broker);
    let orchestrator = system.orchestrator();
    for (field, value) in wrong_fields() {
        let mut test = tsunami("http://127.0.0.1:9/ping", 10, "1ms");
        test[field] = value;
        let refusal = orchestrator.create(&test).expect_err(field);
        let shown: String = test[field].to_string().chars().take(60).collect();
        assert_eq!(refusal.status, 422, "{field} of {shown}: {refusal:?}");
        assert_eq!(refusal.content_type, "application/problem+json", "{field}");
        assert_eq!(refusal.fields(), [field], "{shown}: {refusal:?}");
        assert!(refusal.detail().contains(field) && refusal.detail().len() < 2_000, "{refusal:?}");
    }
    for body in [&b""[..], b"{", b"[]", b"7", b"\xff\xfe", b"test_type=AVALANCHE", &[b'['; 100_000]] {
        let refusal = orchestrator.post::<TestView>("/v1/tests", body).expect_err("no JSON object");
        assert_eq!(refusal.status, 400, "{:?}: {refusal:?}", &body[..body.len().min(30)]);
        assert_eq!(refusal.content_type, "application/problem+json");
    }
    let huge = format!(r#"{{"test_type":"AVALANCHE","name":"{}"}}"#, "x".repeat(20_000_000));
    let refusal = orchestrator.post::<TestView>("/v1/tests", huge.as_bytes());
    assert!(refusal.is_err_and(|refusal| matches!(refusal.status, 400 | 413 | 422)));
    assert!(orchestrator.tests().is_empty(), "something was created");

    for path in
        ["/v1/tests/nothing", "/v1/tests/nothing/metrics", "/v1/tests/nothing/series", "/v1/tests/nothing/histogram"]
    {
        let (status, text) = orchestrator.try_get(path).expect("it answers");
        assert_eq!(status, 404, "{path}: {text}");
    }
    assert_eq!(orchestrator.trigger("nothing").expect_err("no such test").status, 404);
    assert_eq!(orchestrator.stop("nothing").expect_err("no such test").status, 404);
    assert_eq!(orchestrator.try_get("/healthz").expect("it answers").0, 200);
    assert_eq!(orchestrator.try_get("/openapi.json").expect("it answers").0, 200);
}

pub fn end_states_are_final(broker: &Broker) {
    let _machine = beside_others();
    let system = System::new(broker);
    let target = system.target(&[]);
    let (orchestrator, _drivers) = system.with_drivers(2);
    let completed = orchestrator.start(&avalanche(&target.url(), 10));
    orchestrator.wait_for_end(&completed);
    let stopped = orchestrator.create(&avalanche(&target.url(), 10)).expect("a good test").test_id;
    orchestrator.stop(&stopped).expect("a test that waits can be stopped");
    orchestrator.wait_for_end(&stopped);
    for (test_id, state) in [(&completed, TestState::Completed), (&stopped, TestState::Stopped)] {
        let before = orchestrator.test(test_id);
        assert_eq!(before.state, state);
        for refusal in [orchestrator.stop(test_id), orchestrator.trigger(test_id)] {
            let refusal = refusal.expect_err("it is over");
            assert_eq!(refusal.status, 409, "{refusal:?}");
            assert!(!refusal.detail().is_empty());
        }
        assert_eq!(orchestrator.test(test_id), before);
    }
    let of_state = |state: &str| orchestrator.get::<Vec<TestSummary>>(&format!("/v1/tests?state={state}"));
    assert_eq!(of_state("STOPPED").iter().map(|test| &test.test_id).collect::<Vec<_>>(), [&stopped]);
    let deleted = Process::command(&["test", "delete", &stopped, "--orchestrator", orchestrator.base()])
        .output()
        .expect("it runs");
    assert!(deleted.status.success() && String::from_utf8_lossy(&deleted.stderr).contains("is deleted"), "{deleted:?}");
    assert_eq!(orchestrator.try_get(&format!("/v1/tests/{stopped}")).expect("it answers").0, 404);
    assert!(of_state("STOPPED").is_empty() && orchestrator.tests().len() == 1);
    assert_eq!(target.counted().0, 20, "a stopped test ran");
}

pub fn the_stream_gives_each_second_once(broker: &Broker) {
    let _machine = beside_others();
    let system = System::new(broker);
    let target = system.target(&[]);
    let (orchestrator, _drivers) = system.with_drivers(2);
    let test_id = orchestrator.start(&tsunami(&target.url(), 400, "10ms"));
    // Returns when the stream is closed.
    let live = orchestrator.stream(&test_id);
    assert!(orchestrator.test(&test_id).state.is_end(), "the stream ended before its test");
    assert_exact(&orchestrator, &test_id, 2, 400);
    let afterwards = orchestrator.stream(&test_id);
    let series = orchestrator.series(&test_id);
    for events in [live, afterwards] {
        let seconds: Vec<SecondView> = events
            .iter()
            .filter(|event| event.kind == "second")
            .map(|event| {
                let data: Value = serde_json::from_str(&event.data).expect("JSON");
                let second: SecondView = serde_json::from_value(data["second"].clone()).expect("a second");
                assert_eq!(event.id, Some(second.second_index.to_string()));
                second
            })
            .collect();
        let indices: Vec<u64> = seconds.iter().map(|second| second.second_index).collect();
        assert_eq!(indices, (0..series.len() as u64).collect::<Vec<_>>(), "each second once and in order");
        for (streamed, stored) in seconds.iter().zip(&series) {
            assert_eq!((&streamed.all.sent, &streamed.drivers.len()), (&stored.all.sent, &stored.drivers.len()));
        }
        let last_test = events.iter().rev().find(|event| event.kind == "test").expect("the test's state");
        let test: TestView = serde_json::from_str(&last_test.data).expect("a test");
        assert_eq!(test.state, TestState::Completed);
        let at = |kind: &str| events.iter().rposition(|event| event.kind == kind);
        assert!(at("totals") > at("second"), "the totals stand at the end");
        assert_eq!(events.iter().filter(|event| event.kind == "totals").count(), 1);
    }
}
