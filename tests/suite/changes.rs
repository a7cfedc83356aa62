//! The load is changed while a test runs: at one second on all drivers, and once, whatever dies meanwhile.

use onrush_api::{Outcome, SecondView, TestState};
use serde_json::{Value, json};

use super::checks::{assert_consistent, assert_proved, of_driver};
use crate::harness::{Broker, Orchestrator, SOON, System, alone, wait_for};

const DRIVERS: [&str; 2] = ["driver-1", "driver-2"];

pub fn the_load_changes_at_the_same_second_on_every_driver(broker: &Broker) {
    let _machine = alone();
    let system = System::new(broker);
    let target = system.target(&[]);
    let (orchestrator, _drivers) = system.with_drivers(2);
    let test_id = orchestrator.start(&json!({
        "test_type": "TSUNAMI", "target_url": target.url(), "target_throughput": 100, "duration": "12s", "connections": 8,
    }));
    orchestrator.wait_for_seconds(&test_id, 1);
    let up = change(&orchestrator, &test_id, &json!({"target_throughput": 400, "effective_in": "2s"}));
    let paused = change(&orchestrator, &test_id, &json!({"pause": true, "effective_in": "4s"}));
    let resumed = change(&orchestrator, &test_id, &json!({"resume": true, "effective_in": "5s"}));
    let down = change(&orchestrator, &test_id, &json!({"profile": "2s@50", "effective_in": "6s"}));
    assert!(up < paused && paused < resumed && resumed < down, "{up}, {paused}, {resumed}, {down}");
    let test = orchestrator.wait_for_end(&test_id);
    assert_eq!((test.state, test.outcome), (TestState::Completed, Some(Outcome::Exact)), "{test:#?}");
    assert_proved(&test);
    assert_consistent(&orchestrator, &test_id);
    for (amendment, second) in test.amendments.iter().zip([up, paused, resumed, down]) {
        let took_effect = DRIVERS.map(|name| amendment.took_effect.get(name).copied().flatten());
        assert_eq!((amendment.at_second, took_effect), (second, [Some(second); 2]), "{:#?}", test.amendments);
    }
    let asked = |second: u64| match second {
        _ if second >= down + 2 => 0,
        _ if second >= down => 50,
        _ if second >= resumed => 400,
        _ if second >= paused => 0,
        _ if second >= up => 400,
        _ => 100,
    };
    assert_due(&orchestrator.series(&test_id), &asked);
    assert_eq!(Some(target.counted().0), orchestrator.metrics(&test_id).all.sent);
}

pub fn a_change_survives_the_death_of_the_orchestrator(broker: &Broker) {
    let _machine = alone();
    let system = System::new(broker);
    let target = system.target(&[]);
    let (mut orchestrator, _drivers) = system.with_drivers(2);
    let test_id = orchestrator.start(&json!({
        "test_type": "TSUNAMI", "target_url": target.url(), "target_throughput": 100, "duration": "9s", "connections": 8,
    }));
    orchestrator.wait_for_seconds(&test_id, 1);
    let second = change(&orchestrator, &test_id, &json!({"target_throughput": 300, "effective_in": "3s"}));
    orchestrator.process.kill();
    drop(orchestrator);
    orchestrator = system.orchestrator();
    let test = orchestrator.wait_for_end(&test_id);
    assert_eq!((test.state, test.outcome), (TestState::Completed, Some(Outcome::Exact)), "{test:#?}");
    assert_eq!(test.amendments.len(), 1, "{:#?}", test.amendments);
    assert_due(&orchestrator.series(&test_id), &|at| match at {
        _ if at >= 9 => 0,
        _ if at >= second => 300,
        _ => 100,
    });
}

pub fn a_change_that_cannot_be_is_refused_in_words(broker: &Broker) {
    let _machine = alone();
    let system = System::new(broker);
    let target = system.target(&[]);
    let (orchestrator, _drivers) = system.with_drivers(2);
    let asked = json!({
        "test_type": "TSUNAMI", "target_url": target.url(), "target_throughput": 10, "duration": "6s", "trigger": false,
    });
    let test_id = orchestrator.create(&asked).expect("it is created").test_id;
    let refused = |body: Value, status: u16, says: &str| {
        let refusal = orchestrator.patch(&format!("/v1/tests/{test_id}"), &body).expect_err("it cannot be");
        assert!(refusal.status == status && refusal.detail().contains(says), "{body}: {refusal:?}");
    };
    refused(json!({"target_throughput": 20}), 409, "while it runs");
    let started = wait_for("the trigger to be taken", SOON, || {
        orchestrator.trigger(&test_id).map_err(|refusal| format!("{refusal:?}"))
    });
    orchestrator.wait_for_seconds(&started.test_id, 1);
    refused(json!({"target_throughput": 20, "effective_in": "1h"}), 409, "beyond the test's end");
    refused(json!({"resume": true}), 409, "not paused");
    refused(json!({"profile": "total: 1s@5"}), 409, "each driver");
    refused(json!({"target_throughput": "1m"}), 422, "write 1M");
    refused(json!({"pause": true, "resume": true}), 422, "one");
    let test = orchestrator.wait_for_end(&test_id);
    assert!(test.amendments.is_empty() && test.outcome == Some(Outcome::Exact), "{test:#?}");
    refused(json!({"pause": true}), 409, "ended");
    let unknown = orchestrator.patch("/v1/tests/none", &json!({"pause": true})).expect_err("there is no such test");
    assert_eq!(unknown.status, 404, "{unknown:?}");
}

/// Asks for a change; the second at which it is to take effect.
fn change(orchestrator: &Orchestrator, test_id: &str, body: &Value) -> u64 {
    let test = orchestrator.patch(&format!("/v1/tests/{test_id}"), body);
    let test = test.unwrap_or_else(|refusal| panic!("{body}: {refusal:?}"));
    test.amendments.last().expect("it is listed").at_second
}

/// Each driver was asked for exactly so many requests in each second.
fn assert_due(series: &[SecondView], asked: &dyn Fn(u64) -> u64) {
    for second in series {
        for name in DRIVERS {
            let due = of_driver(second, name).and_then(|scope| scope.due).unwrap_or(0);
            assert_eq!(due, asked(second.second_index), "{name}, second {}", second.second_index);
        }
    }
}
