//! What a test ends with: exact counts and numbers that agree wherever they are shown.

use onrush_api::{LimitedBy, Outcome, SecondView, TestState};
use serde_json::json;

use super::checks::{assert_consistent, assert_exact, assert_proved, avalanche, tsunami};
use crate::harness::{Broker, System, alone, beside_others};

pub fn avalanche_and_tsunami_are_exact(broker: &Broker) {
    let _machine = alone();
    let system = System::new(broker);
    let target = system.target(&[]);
    let (orchestrator, _drivers) = system.with_drivers(2);

    let test_id = orchestrator.start(&avalanche(&target.url(), 20_000));
    orchestrator.wait_for_end(&test_id);
    let metrics = assert_exact(&orchestrator, &test_id, 2, 20_000);
    assert_eq!(target.counted(), (40_000, 40_000), "the target counts for itself");
    assert_eq!(metrics.all.statuses, [(200, 40_000)].into());

    let test_id = orchestrator.start(&tsunami(&target.url(), 500, "2ms"));
    orchestrator.wait_for_end(&test_id);
    let metrics = assert_exact(&orchestrator, &test_id, 2, 500);
    assert_eq!(target.counted(), (41_000, 41_000), "the target counts for itself");
    // 499 intervals of 2 ms lie between the first and the last request.
    for scope in &metrics.drivers {
        assert!(scope.elapsed_s.is_some_and(|s| s >= 0.998), "{scope:#?}");
        assert!(scope.note.is_none(), "{scope:#?}");
    }
}

/// Several requests with weights, and answers that one of the checks refuses: all of it is counted, here and there.
pub fn several_requests_and_their_checks_are_exact(broker: &Broker) {
    let _machine = beside_others();
    let system = System::new(broker);
    let target = system.target(&[]);
    let (orchestrator, _drivers) = system.with_drivers(2);
    let test_id = orchestrator.start(&json!({
        "test_type": "TSUNAMI", "delay": "500us", "requests": 800, "connections": 8, "target_url": target.url(),
        "targets": [{"weight": 3}, {"expect": ["body~something else"]}], "expect": ["status=2xx"],
    }));
    let test = orchestrator.wait_for_end(&test_id);
    assert_eq!((test.state, test.outcome), (TestState::Completed, Some(Outcome::Exact)), "{test:#?}");
    assert_proved(&test);
    assert_eq!(target.counted(), (1_600, 1_600), "what fails a check was answered all the same");
    let targets = test.config.others["targets"].as_array().expect("a list");
    assert_eq!((targets.len(), &targets[0]["weight"]), (2, &json!(3)));
    let metrics = orchestrator.metrics(&test_id);
    for scope in &metrics.drivers {
        assert_eq!((scope.sent, scope.answered, scope.failed), (Some(800), Some(600), Some(200)), "{scope:#?}");
        assert_eq!(scope.failures, [("check_failed".to_owned(), 200)].into());
        assert_eq!((scope.responses, &scope.statuses), (Some(800), &[(200, 800)].into()), "{scope:#?}");
        assert!(scope.examples["check_failed"].contains("something else"), "{scope:#?}");
    }
    assert_consistent(&orchestrator, &test_id);
}

pub fn two_tests_in_a_row(broker: &Broker) {
    let _machine = beside_others();
    let system = System::new(broker);
    let target = system.target(&[]);
    let (orchestrator, _drivers) = system.with_drivers(2);
    // Shorter than a second: the partial second is reported too.
    let ids = [1, 7, 300].map(|count| {
        let test_id = orchestrator.start(&avalanche(&target.url(), count));
        orchestrator.wait_for_end(&test_id);
        assert_exact(&orchestrator, &test_id, 2, count);
        test_id
    });
    assert_eq!(target.counted(), (616, 616));
    let listed: Vec<String> = orchestrator.tests().into_iter().map(|test| test.test_id).collect();
    assert_eq!(listed, [&ids[2], &ids[1], &ids[0]].map(String::clone), "the newest first");
}

/// The target goes away after the drivers have armed: every request fails by name and is counted.
pub fn a_refused_connection_is_a_failure_with_a_name(broker: &Broker) {
    let _machine = beside_others();
    let system = System::new(broker);
    let mut target = system.target(&[]);
    let (orchestrator, _drivers) = system.with_drivers(2);
    let test = orchestrator.create(&tsunami(&target.url(), 200, "1ms")).expect("a good test");
    orchestrator.wait_for_test(&test.test_id, "armed", |test| test.state == TestState::Armed);
    target.process.kill();
    orchestrator.trigger(&test.test_id).expect("armed drivers start");
    let test = orchestrator.wait_for_end(&test.test_id);
    assert_eq!((test.state, test.outcome), (TestState::Completed, Some(Outcome::Exact)), "{test:#?}");
    let metrics = orchestrator.metrics(&test.test_id);
    for scope in &metrics.drivers {
        assert_eq!((scope.sent, scope.answered, scope.failed), (Some(200), Some(0), Some(200)), "{scope:#?}");
        let named = scope.failures.get("connect_refused").copied().unwrap_or(0);
        assert!(named > 0, "nothing was refused: {:?}", scope.failures);
    }
    assert_consistent(&orchestrator, &test.test_id);
}

/// Who was the limit is shown while a test runs, and is the same after it: in REST, in `/metrics`, and from the store.
pub fn the_limit_is_shown_live_and_kept(broker: &Broker) {
    const TRIES: usize = 3;
    let _machine = alone();
    let system = System::new(broker);
    let target = system.target(&["--delay", "20ms"]);
    let (orchestrator, _drivers) = system.with_drivers(2);
    let mut seen = Vec::new();
    // A machine that others use, too, may make the drivers the limit.
    let test_id = (0..TRIES).find_map(|_| {
        let test_id = orchestrator.start(&json!({
            "test_type": "AVALANCHE", "target_url": target.url(), "duration": "6s", "connections": 4,
        }));
        let live = orchestrator
            .wait_for_test(&test_id, "limited while it runs", |test| test.limit.is_some() || test.state.is_end());
        assert_eq!(live.state, TestState::Running, "it is known before the end");
        let limit = orchestrator.wait_for_end(&test_id).limit.expect("a test that ran has a limit");
        let is_target = limit.limited_by == LimitedBy::Target && limit.resource.as_deref() == Some("response_time");
        seen.push(limit.line);
        is_target.then_some(test_id)
    });
    let test_id = test_id.unwrap_or_else(|| panic!("in none of {TRIES} runs was the target named: {seen:#?}"));
    let line = seen.pop().expect("one run was good");
    assert!(line.contains("8 connections × 1/2") && line.contains("its CPU had"), "{line}");
    let (_, page) = orchestrator.try_get("/metrics").expect("it answers");
    let gauge = format!("onrush_test_limit{{test=\"{test_id}\",limit=\"target\"}} 1");
    assert!(page.lines().any(|line| line == gauge), "{gauge}:\n{page}");
    let of_target = |second: &SecondView| second.target_cpu;
    let used: Vec<_> = orchestrator.series(&test_id).iter().filter_map(of_target).collect();
    assert!(used.len() >= 3, "so few of the seconds have the target's CPU: {used:?}");
    assert!(used.iter().all(|cpu| cpu.cores >= 1 && (0.0..0.9).contains(&cpu.used_share)), "{used:?}");
    drop(orchestrator);
    let orchestrator = system.orchestrator();
    assert_eq!(orchestrator.test(&test_id).limit.expect("it is stored").line, line);
    assert_eq!(orchestrator.series(&test_id).iter().filter_map(of_target).collect::<Vec<_>>(), used);
}
