//! Who was the limit, on real processes: each is made to be the limit in turn. A machine that others use, too, may make the
//! generator one; what is wrong never makes the target one that has time left.

use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::Value;

use super::{Bench, Ended, some_run_is, target};
use crate::harness::alone;

/// Tries until a run names this limit, by the word and the resource.
fn some_run_names(limited_by: &str, resource: &str, mut run: impl FnMut() -> Value) {
    some_run_is(&format!("is the limit {limited_by}, {resource}"), || {
        let limit = run();
        let resource_is = limit["resource"].as_str().unwrap_or_default() == resource;
        (limit["limited_by"] == limited_by && resource_is, limit["line"].to_string())
    });
}

fn limit_of(args: &[&str]) -> Value {
    Bench::run(args).json()["limit"].clone()
}

#[test]
fn a_rate_that_is_reached_has_no_limit() {
    let _machine = alone();
    let target = target(&[]);
    some_run_names("none", "", || limit_of(&[&target.url(), "-c", "16", "-R", "200", "-d", "4s"]));
}

#[test]
fn a_target_that_waits_is_named_with_its_response_time() {
    let _machine = alone();
    let target = target(&["--delay", "20ms"]);
    some_run_names("target", "response_time", || limit_of(&[&target.url(), "-c", "4", "-d", "4s"]));
}

#[test]
fn a_target_that_stalls_is_named() {
    let _machine = alone();
    let target = target(&["--stall", "700ms/1s"]);
    some_run_names("target", "stall", || limit_of(&[&target.url(), "-c", "8", "-d", "4s"]));
}

#[test]
fn a_generator_without_cpu_is_named_and_its_figures_are_a_lower_bound() {
    let _machine = alone();
    let cpu = onrush_host::cpus::allowed().expect("a process may ask for its own CPUs")[0];
    let target = target(&["--delay", "1ms"]);
    // What the engine gets of its CPU is a part of it.
    let busy = || {
        let mut command = Command::new("taskset");
        command.args(["-c", &cpu.to_string(), "sh", "-c", "while :; do :; done"]);
        Ended(command.stdout(Stdio::null()).spawn().expect("taskset is there"))
    };
    let _busy: Vec<Ended> = (0..4).map(|_| busy()).collect();
    some_run_names("generator", "cpu", || {
        let limit = limit_of(&[&target.url(), "-c", "64", "-d", "4s", "--cpus", &cpu.to_string()]);
        let is_generator = limit["limited_by"] == "generator";
        assert_eq!(limit["is_lower_bound"], is_generator, "{limit}");
        limit
    });
}

#[test]
fn descriptors_that_run_out_are_named() {
    let _machine = alone();
    let target = target(&[]);
    some_run_names("generator", "descriptors", || {
        let (mut process, folder) = Bench::start(&[&target.url(), "-c", "64", "-d", "4s", "--disable-keepalive"]);
        std::thread::sleep(Duration::from_millis(1_500));
        let limited = Command::new("prlimit").args(["--pid", &process.id().to_string(), "--nofile=20:20"]).status();
        assert!(limited.expect("prlimit is there").success());
        let status = process.wait_for_end(super::TEST_END);
        Bench { status, output: process.output(), folder }.json()["limit"].clone()
    });
}
