//! `onrush capacity` against a target whose capacity is arithmetic: a queue with one server of 5 ms takes 200 a second at most.

use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::Value;

use super::{Ended, some_run_is, target};
use crate::harness::alone;

/// What a search of so long finds.
fn found(url: &str, slo: &str, budget: &str) -> (Option<i32>, Value, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_onrush"));
    command.args(["capacity", url, "--slo", slo, "--budget", budget, "--start", "50", "--output-format", "json"]);
    let output = command.output().expect("the binary starts");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    (output.status.code(), serde_json::from_slice(&output.stdout).unwrap_or(Value::Null), said)
}

#[test]
fn the_capacity_of_a_queue_is_below_what_its_server_can_serve() {
    let _machine = alone();
    let target = target(&["--queue", "1", "--service", "fixed:5ms"]);
    let (code, found, said) = found(&target.url(), "p99<100ms,failed<1%", "60s");
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
    let (code, found, said) = found(&target.url(), "p99<10ms", "20s");
    assert_eq!(code, Some(1), "{said}: {found:#}");
    assert!(
        found["lower_per_s"].is_null() && said.contains("no rate was found that keeps the SLO"),
        "{said}: {found:#}"
    );
}

/// Something that wants all of a CPU.
fn busy(cpu: usize) -> Ended {
    let mut command = Command::new("taskset");
    command.args(["-c", &cpu.to_string(), "sh", "-c", "while :; do :; done"]);
    Ended(command.stdout(Stdio::null()).spawn().expect("taskset is there"))
}

#[test]
fn an_engine_that_gets_a_tenth_of_a_cpu_bounds_the_target_from_below_alone() {
    let _machine = alone();
    let cpu = onrush_host::cpus::allowed().expect("a process may ask for its own CPUs")[0].to_string();
    let target = target(&[]);
    some_run_is("is the generator the limit, with a lower bound", || {
        // A niceness of 10 has a weight of 110 beside 1,024 (sched(7)): a tenth of the CPU once something else wants all of it.
        let mut command = Command::new("nice");
        command.args([
            "-n",
            "10",
            env!("CARGO_BIN_EXE_onrush"),
            "capacity",
            &target.url(),
            "--slo",
            "p99<100ms,failed<1%",
        ]);
        command.args(["--cpus", &cpu, "--start", "400", "--budget", "45s", "--output-format", "json"]);
        let search = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the binary starts");
        // The first load has its trial before; what comes later is the generator's.
        std::thread::sleep(Duration::from_secs(10));
        let busy = busy(cpu.parse().expect("a number"));
        let output = search.wait_with_output().expect("it ends");
        drop(busy);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        let found: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("no result: {said}"));
        // What the generator spoilt never counts against the target, which can do many times as much.
        assert!(found["upper_per_s"].is_null() && found["best_per_s"].is_null(), "{found:#}");
        let is_generator = found["ended"].as_str().is_some_and(|ended| ended.starts_with("the generator ends at"));
        let has_lower = found["lower_per_s"].as_f64().is_some_and(|lower| (300.0..20_000.0).contains(&lower));
        let trials = found["trials"].as_array().map_or(0, Vec::len);
        (is_generator && has_lower, format!("{} of {trials} trials: {}", found["lower_per_s"], found["ended"]))
    });
}
