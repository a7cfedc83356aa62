//! A threshold that is not kept ends the test.

use onrush_api::{Outcome, TestState, TestView};
use serde_json::json;

use super::checks::{assert_consistent, tsunami};
use crate::harness::{Broker, Process, System, alone, beside_others};

/// Milliseconds between two moments of REST.
fn between_ms(from: &str, to: &str) -> i64 {
    let at = |text: &str| text.parse::<jiff::Timestamp>().expect("a moment").as_millisecond();
    at(to) - at(from)
}

/// It was ended by its first threshold, and is exact as far as a target that stalls can be asked; in which second, and what is said of it.
fn ended_by_threshold(test: &TestView) -> (u64, String) {
    assert_eq!((test.state, test.outcome), (TestState::Stopped, Some(Outcome::Exact)), "{test:#?}");
    let threshold = &test.thresholds[0];
    assert!(threshold.ended_test && threshold.kept == Some(false), "{test:#?}");
    let second = threshold.broken_at_second.expect("a second");
    let value = threshold.broken_value.as_deref().expect("a value");
    let words = format!("{} was {value} at second {second}", threshold.threshold);
    assert_eq!(test.reason.as_deref(), Some(format!("stopped: {words}").as_str()));
    assert!(test.events.iter().any(|event| event.kind == "threshold" && event.detail.contains(&words)), "{test:#?}");
    (second, words)
}

pub fn a_target_that_stalls_ends_the_test(broker: &Broker) {
    let _machine = alone();
    let system = System::new(broker);
    let (orchestrator, _drivers) = system.with_drivers(2);
    // It answers for six seconds from its start, and then for half a minute not.
    let target = system.target(&["--stall", "30s/36s"]);
    let url = target.url();
    let args = [
        &["test", "--orchestrator", orchestrator.base(), "start", &url, "-d", "60s", "-R", "100"][..],
        &["--timeout", "500ms", "--threshold", "p99<200ms over 2s,failed<90%", "--abort-on-fail=1s"],
    ];
    let output = Process::command(&args.concat()).output().expect("the binary starts");
    let said = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (out, err) = (said(&output.stdout), said(&output.stderr));
    assert_eq!(output.status.code(), Some(99), "{out}{err}");

    let test = orchestrator.test(&orchestrator.tests()[0].test_id);
    let (second, words) = ended_by_threshold(&test);
    assert!(err.contains(&format!("the test was stopped: {words}")), "{err}");
    assert!(out.contains("threshold p99<200ms over 2s: NOT KEPT (") && out.contains("which ended the test"), "{out}");
    assert!(out.contains("threshold failed<90%: kept ("), "{out}");
    let (start_at, ended_at) = (test.start_at.as_deref().expect("it ran"), test.ended_at.as_deref().expect("it ended"));
    let ended_ms = between_ms(start_at, ended_at);
    let broken_ms = (second as i64 + 1) * 1000;
    assert!((broken_ms..broken_ms + 2000).contains(&ended_ms), "broken at {broken_ms} ms, ended at {ended_ms} ms");
    assert_consistent(&orchestrator, &test.test_id);
    // Somebody who looks later is told the same.
    let args = ["test", "--orchestrator", orchestrator.base(), "show", &test.test_id];
    let shown = said(&Process::command(&args).output().expect("the binary starts").stdout);
    assert!(shown.contains(&words) && shown.contains("NOT KEPT"), "{shown}");
    assert_eq!(test.config.others["thresholds"], json!(["p99<200ms over 2s", "failed<90%"]));
    assert_eq!(test.config.others["abort_on_fail_s"], json!(1.0));
}

pub fn a_threshold_outlives_the_orchestrator(broker: &Broker) {
    let _machine = beside_others();
    let system = System::new(broker);
    let (mut orchestrator, _drivers) = system.with_drivers(2);
    let target = system.target(&["--stall", "40s/52s"]);
    let mut test = tsunami(&target.url(), 100_000, "10ms");
    test["timeout"] = "1s".into();
    test["thresholds"] = json!(["p99<200ms over 3s", "rate>=1"]);
    test["abort_on_fail"] = true.into();
    let test_id = orchestrator.start(&test);
    orchestrator.wait_for_seconds(&test_id, 2);
    orchestrator.process.kill();
    drop(orchestrator);
    orchestrator = system.orchestrator();
    let test = orchestrator.test(&test_id);
    assert_eq!(test.state, TestState::Running, "killed too late for this test to mean anything");
    let test = orchestrator.wait_for_end(&test_id);
    let (second, _) = ended_by_threshold(&test);
    assert!((3..20).contains(&second), "{test:#?}");
    let (kept, value) = (test.thresholds[1].kept, test.thresholds[1].value.as_deref().unwrap_or_default());
    assert!(kept == Some(true) && value.ends_with("responses/s"), "{test:#?}");
    assert_consistent(&orchestrator, &test_id);
}
