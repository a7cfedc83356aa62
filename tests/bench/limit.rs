//! Who was the limit, on real processes: each is made to be the limit in turn. A machine that others use, too, may make the
//! generator one; what is wrong never makes the target one that has time left.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::{Bench, Ended, some_run_is, target};
use crate::harness::{alone, beside_others};

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

/// What a node_exporter says of a machine whose two CPUs are full; with how often it was asked.
fn full_machine() -> (String, Arc<AtomicU64>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let url = format!("http://{}", listener.local_addr().expect("it has an address"));
    let asked = Arc::new(AtomicU64::new(0));
    let (count, started) = (asked.clone(), Instant::now());
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let (mut head, mut byte) = (Vec::new(), [0]);
            while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).unwrap_or(0) > 0 {
                head.push(byte[0]);
            }
            assert!(head.starts_with(b"GET /metrics HTTP/1.1\r\n"), "{}", String::from_utf8_lossy(&head));
            count.fetch_add(1, Ordering::Relaxed);
            let seconds = 1e3 + started.elapsed().as_secs_f64();
            let of_cpu = |cpu| {
                format!(
                    "node_cpu_seconds_total{{cpu=\"{cpu}\",mode=\"idle\"}} 5e3\n\
                     node_cpu_seconds_total{{cpu=\"{cpu}\",mode=\"user\"}} {seconds}\n"
                )
            };
            let page = of_cpu(0) + &of_cpu(1);
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", page.len());
            let _ = stream.write_all((head + &page).as_bytes());
        }
    });
    (url, asked)
}

#[test]
fn a_target_is_judged_by_the_metrics_of_its_machine() {
    let _machine = alone();
    let target = target(&["--delay", "20ms"]);
    some_run_names("target", "cpu", || {
        let (metrics, asked) = full_machine();
        let json = Bench::run(&[&target.url(), "-c", "4", "-d", "3s", "--target-metrics", &metrics]).ok().json();
        assert_eq!(json["asked"]["target_metrics"], format!("{metrics}/metrics"));
        let asked = asked.load(Ordering::Relaxed);
        assert!((2..=5).contains(&asked), "it was asked {asked} times in 3 s");
        let used = json["seconds"].as_array().expect("a list").iter().map(|second| &second["target_cpu"]);
        let full = used.filter(|cpu| cpu["cores"] == 2 && cpu["used_share"].as_f64().is_some_and(|used| used > 0.99));
        assert!(full.count() >= 1, "{}", json["seconds"]);
        json["limit"].clone()
    });
}

#[test]
fn metrics_that_are_none_are_one_remark() {
    let _machine = beside_others();
    let target = target(&[]);
    // Its answer is no page of metrics.
    let bench = Bench::run(&[&target.url(), "-n", "20", "-R", "100", "--target-metrics", &target.url()]).ok();
    let json = bench.json();
    let problem = json["target_metrics_problem"].as_str().expect("a problem").to_owned();
    assert_eq!(problem, format!("{} has no node_cpu_seconds_total, which a node_exporter has", target.url()));
    let remark = format!("target metrics: {problem}; the verdict goes on without the target's CPU");
    assert!(bench.output.contains(&remark), "{}", bench.output);
    // The machine that runs this may be one; a target of which nothing is known is none.
    assert!(["none", "generator"].iter().any(|limit| json["limit"]["limited_by"] == *limit), "{}", json["limit"]);
}
