//! The capacity search over drivers, against a target whose capacity is arithmetic: a queue with one server.

use onrush_api::{Outcome, SearchState, SearchSummary, SearchView, TestState};
use onrush_protocol::Topic;
use serde_json::{Value, json};

use super::checks::assert_consistent;
use crate::harness::{Broker, Orchestrator, Peer, Process, System, TEST_END, alone, beside_others, wait_for};

fn search(orchestrator: &Orchestrator, search_id: &str) -> SearchView {
    orchestrator.get(&format!("/v1/searches/{search_id}"))
}

fn start(orchestrator: &Orchestrator, body: &Value) -> SearchView {
    let made = orchestrator.post("/v1/searches", body.to_string().as_bytes());
    made.unwrap_or_else(|refusal| panic!("{body}: {refusal:?}"))
}

fn wait_for_search(orchestrator: &Orchestrator, search_id: &str, is: impl Fn(&SearchView) -> bool) -> SearchView {
    wait_for(&format!("the search {search_id}"), TEST_END, || {
        let (status, text) = orchestrator.try_get(&format!("/v1/searches/{search_id}"))?;
        let now: SearchView = serde_json::from_str(&text).map_err(|e| format!("{status}: {e} in {text}"))?;
        if is(&now) { Ok(now) } else { Err(format!("{now:#?}")) }
    })
}

/// Bounds that theory allows: 200 a second are served, and the search never claims more than that. What the machine spoils leaves
/// a bound open, and none wrong.
fn assert_bounds(found: &Value) {
    let lower = found["lower_per_s"].as_f64().unwrap_or_else(|| panic!("no lower bound: {found:#}"));
    assert!((20.0..=205.0).contains(&lower), "{found:#}");
    let upper = found["upper_per_s"].as_f64();
    assert!(upper.is_none_or(|upper| (lower..=450.0).contains(&upper)), "{found:#}");
    let trials = found["trials"].as_array().expect("its trials");
    assert!(trials.iter().any(|trial| trial["verdict"] == "good"), "{found:#}");
    assert!(!found["curve"].as_array().expect("a curve").is_empty(), "{found:#}");
}

pub fn the_capacity_of_a_queue_is_found_over_drivers(broker: &Broker) {
    let _machine = alone();
    let system = System::new(broker);
    let target = system.target(&["--queue", "1", "--service", "fixed:5ms"]);
    let (orchestrator, _drivers) = system.with_drivers(2);
    let url = target.url();
    let args = [
        &["capacity", &url, "--orchestrator", orchestrator.base(), "--slo", "p99<100ms,failed<5%"][..],
        &["--budget", "60s", "--start", "100", "--width", "30%", "--arrivals", "poisson", "--output-format", "json"],
    ];
    let output = Process::command(&args.concat()).output().expect("the binary starts");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let found: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|e| panic!("{e}: {said}"));
    assert_eq!(output.status.code(), Some(0), "{said}: {found:#}");
    assert_bounds(&found);

    let listed: Vec<SearchSummary> = orchestrator.get("/v1/searches");
    assert_eq!(listed.len(), 1, "{listed:#?}");
    let kept = search(&orchestrator, &listed[0].search_id);
    assert_eq!((kept.state, kept.reason.as_deref(), kept.trying_per_s), (SearchState::Completed, None, None));
    assert_eq!((kept.slo.join(","), kept.arrivals.as_str()), ("p99<100ms,failed<5%".into(), "poisson"));
    assert_eq!(serde_json::to_value(&kept.found.trials).expect("JSON"), found["trials"]);
    assert_eq!(kept.found.lower_per_s, found["lower_per_s"].as_f64());
    // Connections stayed open, every change was made by both at its second, and every request is accounted for.
    let test = orchestrator.test(&kept.test_id);
    assert_eq!(test.state, TestState::Stopped, "{test:#?}");
    assert!(matches!(test.outcome, Some(Outcome::Exact | Outcome::Unproved)), "{test:#?}");
    assert!(!test.amendments.is_empty(), "{test:#?}");
    assert_consistent(&orchestrator, &kept.test_id);
    let all = orchestrator.metrics(&kept.test_id).all;
    let left_out = all.skipped.unwrap_or(0) + all.dropped.unwrap_or(0);
    assert_eq!(all.due, all.sent.map(|sent| sent + left_out), "{all:#?}");
    assert_eq!(Some(target.counted().0), all.sent);
}

pub fn a_search_goes_on_after_the_death_of_the_orchestrator_and_is_stopped(broker: &Broker) {
    let _machine = alone();
    let system = System::new(broker);
    let target = system.target(&["--queue", "1", "--service", "fixed:5ms"]);
    let (mut orchestrator, _drivers) = system.with_drivers(2);
    let asked = json!({"slo": "p99<100ms", "target_url": target.url(), "start": 100, "budget": "2m"});
    let search_id = start(&orchestrator, &asked).search_id;
    let before = wait_for_search(&orchestrator, &search_id, |now| !now.found.trials.is_empty());
    assert_eq!(before.state, SearchState::Running, "{before:#?}");
    let patched = orchestrator.patch(&format!("/v1/tests/{search_id}"), &json!({"pause": true}));
    let refused = patched.expect_err("the search decides");
    assert!(refused.status == 409 && refused.detail().contains("capacity search"), "{refused:?}");
    orchestrator.process.kill();
    drop(orchestrator);
    orchestrator = system.orchestrator();
    let after = wait_for_search(&orchestrator, &search_id, |now| {
        now.state.is_end() || now.found.trials.len() > before.found.trials.len()
    });
    assert_eq!(after.state, SearchState::Running, "{after:#?}");
    assert_eq!(after.found.trials[..before.found.trials.len()], before.found.trials, "{after:#?}");

    let path = format!("/v1/searches/{search_id}/stop");
    let stopped: SearchView = orchestrator.post(&path, b"").unwrap_or_else(|refusal| panic!("{refusal:?}"));
    assert_eq!((stopped.state, stopped.trying_per_s), (SearchState::Stopped, None), "{stopped:#?}");
    // A few seconds may prove no bound.
    assert!(stopped.found.lower_per_s.is_none_or(|lower| lower <= 205.0), "{stopped:#?}");
    assert!(!stopped.found.trials.is_empty(), "{stopped:#?}");
    let test = orchestrator.wait_for_end(&search_id);
    assert_eq!(test.state, TestState::Stopped, "{test:#?}");
    assert_consistent(&orchestrator, &search_id);
    let again = orchestrator.post::<SearchView>(&path, b"").expect_err("it has ended");
    assert!(again.status == 409 && again.detail().contains("STOPPED"), "{again:?}");
}

pub fn a_search_that_cannot_be_is_refused_in_words(broker: &Broker) {
    let _machine = beside_others();
    let system = System::new(broker);
    let orchestrator = system.orchestrator();
    let refused = |body: &Value| {
        let made = orchestrator.post::<SearchView>("/v1/searches", body.to_string().as_bytes());
        made.expect_err("it cannot be")
    };
    for (body, field, says) in [
        (json!({"slo": "p99"}), "slo", "write a quantile"),
        (json!({"target_url": "http://127.0.0.1:1/"}), "slo", "is missing"),
        (json!({"slo": "p99<1s", "width": "0%"}), "width", "0.1%"),
        (json!({"slo": "p99<1s", "duration": "5s"}), "duration", "decided by the search"),
        (json!({"slo": "p99<1s", "conections": 5}), "conections", "did you mean connections?"),
    ] {
        let refusal = refused(&body);
        assert!(refusal.status == 422 && refusal.detail().contains(says), "{body}: {refusal:?}");
        assert_eq!(refusal.fields(), [field], "{body}");
    }
    let right = json!({"slo": "p99<1s", "target_url": "http://127.0.0.1:1/", "budget": "5s"});
    let too_few = refused(&right);
    assert!(too_few.status == 409 && too_few.detail().contains("2 are missing"), "{too_few:?}");

    let _drivers: Vec<Process> = (1..=2).map(|n| system.driver(&format!("driver-{n}"), &[])).collect();
    orchestrator.wait_for_idle(2);
    let plain = Peer::new(broker);
    let register = json!({"node_id": "plain", "node_IP": "10.1.2.3", "message_type": "DRIVER_NODE_REGISTER"});
    plain.send_json(Topic::Register, &register);
    let beat = || plain.send_json(Topic::Heartbeat, &json!({"node_id": "plain", "heartbeat": "YES", "timestamp": 1}));
    beat();
    orchestrator.wait_for_driver("plain", "taking part", |driver| {
        beat();
        driver.state == onrush_api::DriverState::Alive
    });
    let with_plain = refused(&right);
    assert!(with_plain.status == 409 && with_plain.detail().contains("specification"), "{with_plain:?}");
    assert!(orchestrator.get::<Vec<SearchSummary>>("/v1/searches").is_empty());
    let nobody = orchestrator.post::<SearchView>("/v1/searches/none/stop", b"").expect_err("there is none");
    assert_eq!(nobody.status, 404, "{nobody:?}");
}
