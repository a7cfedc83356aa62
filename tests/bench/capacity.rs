//! `onrush capacity` against a target whose capacity is arithmetic: a queue with one server of 5 ms takes 200 a second at most.

use std::process::Command;

use serde_json::Value;

use super::target;
use crate::harness::alone;

/// What a search of twenty seconds finds.
fn found(url: &str, slo: &str) -> (Option<i32>, Value, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_onrush"));
    command.args(["capacity", url, "--slo", slo, "--budget", "20s", "--start", "50", "--output-format", "json"]);
    let output = command.output().expect("the binary starts");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    (output.status.code(), serde_json::from_slice(&output.stdout).unwrap_or(Value::Null), said)
}

#[test]
fn the_capacity_of_a_queue_is_below_what_its_server_can_serve() {
    let _machine = alone();
    let target = target(&["--queue", "1", "--service", "fixed:5ms"]);
    let (code, found, said) = found(&target.url(), "p99<100ms,failed<1%");
    assert_eq!(code, Some(0), "{said}: {found:#}");
    // Evenly spaced requests wait for nobody up to 200 a second; what the machine spoils leaves a bound open, and none wrong.
    let lower = found["lower_per_s"].as_f64().unwrap_or_else(|| panic!("no lower bound: {found:#}"));
    assert!((40.0..=205.0).contains(&lower), "{found:#}");
    let upper = found["upper_per_s"].as_f64();
    assert!(upper.is_none_or(|upper| (lower..=410.0).contains(&upper)), "{found:#}");
    let curve = found["curve"].as_array().expect("a curve");
    let trials = found["trials"].as_array().expect("its trials");
    assert!(!curve.is_empty() && trials.iter().any(|trial| trial["verdict"] == "good"), "{found:#}");
    let total: u64 = target.counted().0;
    let due: u64 = trials.iter().filter_map(|trial| trial["due"].as_u64()).sum();
    assert!(total >= due / 2, "the target counted {total} of {due} due");
}

#[test]
fn a_server_that_never_keeps_the_slo_has_no_capacity() {
    let _machine = alone();
    let target = target(&["--delay", "50ms"]);
    let (code, found, said) = found(&target.url(), "p99<10ms");
    assert_eq!(code, Some(1), "{said}: {found:#}");
    assert!(
        found["lower_per_s"].is_null() && said.contains("no rate was found that keeps the SLO"),
        "{said}: {found:#}"
    );
}
