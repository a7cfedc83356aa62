//! Every benchmark at its smallest: whether it runs to its end and finds what it should, not how fast.

use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

fn run(directory: &Path, arguments: &[&str]) -> (String, Vec<Value>) {
    let Output { status, stdout, stderr } = Command::new(env!("CARGO_BIN_EXE_benches"))
        .args(arguments)
        .args(["--target-cpu", "0", "--out"])
        .arg(directory)
        .output()
        .expect("it starts");
    let (stdout, stderr) = (String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
    assert!(status.success(), "{arguments:?}: {stdout}\n{stderr}");
    let lines = std::fs::read_to_string(directory.join(arguments[0]).with_extension("jsonl")).expect("a record");
    let table = std::fs::read_to_string(directory.join(arguments[0]).with_extension("md")).expect("a table");
    assert!(stdout.contains(table.trim_end()), "what is shown is what is written");
    (table, lines.lines().map(|line| serde_json::from_str(line).expect("a line of JSON")).collect())
}

fn directory(name: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join(name)
}

#[test]
fn runtimes() {
    let arguments = ["runtimes", "--client-cpu", "0", "--rounds", "2", "--seconds", "0.1", "--connections", "3"];
    let (table, lines) = run(&directory("runtimes"), &arguments);
    for client in ["raw", "monoio", "glommio", "engine"] {
        assert!(table.contains(&format!("| {client} |")), "{table}");
        let of: Vec<&Value> = lines.iter().filter(|line| line["client"] == client).collect();
        // A kernel or a limit may refuse the others; that is said, and the engine must run.
        let refused = client != "engine" && of.iter().any(|line| line["problem"].is_string());
        let measured = of.iter().all(|line| line["cpu_us_per_request"].as_f64().is_some_and(|us| us > 0.0));
        assert!(refused || (of.len() == 2 && measured), "{client}: {of:?}");
    }
}

#[test]
fn peers_without_any_peer_measure_the_gaps_of_onrush() {
    // `wrk2` is hardly anywhere; where it is, it is measured.
    let arguments = [
        "peers",
        "--tool-cpu",
        "0",
        "--only",
        "wrk2",
        "--pairs",
        "1",
        "--seconds",
        "1",
        "--rate",
        "100",
        "--rate-runs",
        "1",
        "--rate-connections",
        "2",
        "--sizes",
        "10",
    ];
    let (table, lines) = run(&directory("peers"), &arguments);
    assert!(table.contains("| onrush |"), "{table}");
    let gaps = lines.iter().find(|line| line["tool"] == "onrush" && line["arrivals"].is_object());
    let gaps = gaps.unwrap_or_else(|| panic!("no gaps: {lines:?}"));
    assert!(gaps["arrivals"]["count"].as_u64().is_some_and(|count| count > 2 && count <= 100), "{gaps}");
}

#[test]
fn tsunami() {
    let arguments = ["tsunami", "--engine-cpu", "0", "--rates", "50,100", "--runs", "2", "--seconds", "0.5"];
    let (table, lines) = run(&directory("tsunami"), &arguments);
    assert_eq!(table.matches("own core, polling").count(), 2, "{table}");
    let runs: Vec<&Value> = lines.iter().filter(|line| line["rate_per_s"].is_u64()).collect();
    assert_eq!(runs.len(), 2 * 2 * 2);
    assert!(runs.iter().all(|run| run["sent_per_s"].as_f64().is_some_and(|sent| sent > 0.0)), "{runs:?}");
}

#[test]
fn throughput() {
    let arguments = ["throughput", "--engine-cpu", "0", "--rates", "20,1000000", "--seconds", "1"];
    let (table, lines) = run(&directory("throughput"), &arguments);
    assert!(!table.contains("too many"), "{table}");
    let runs: Vec<&Value> = lines.iter().filter(|line| line["rate_per_s"].is_u64()).collect();
    assert_eq!(runs.len(), 2 * 2 * 2);
    for run in runs {
        let part = |key: &str| run[key].as_u64().unwrap_or_else(|| panic!("no {key} in {run}"));
        assert!(part("sent") > 0 && part("sent") <= part("asked") && part("fullest_second") <= part("rate_per_s"));
        // A Tsunami tells of each that it could not send.
        assert!(run["type"] == "Avalanche" || part("sent") + part("skipped") == part("asked"), "{run}");
    }
}

#[test]
fn latency() {
    let arguments =
        ["latency", "--engine-cpu", "0", "--rate", "100", "--connections", "50", "--runs", "1", "--seconds", "1"];
    let (table, lines) = run(&directory("latency"), &arguments);
    assert_eq!(table.matches("| p99.9 |").count(), 3, "{table}");
    let measured: Vec<&Value> = lines.iter().filter(|line| line["quantile"].is_string()).collect();
    assert_eq!(measured.len(), 3 * 4);
    for line in measured {
        let part = |key: &str| line[key].as_f64().unwrap_or_else(|| panic!("no {key} in {line}"));
        // No answer comes before its time, whatever this machine does; a thousandth is the recorder's own precision.
        assert!(part("measured_us") >= 0.999 * part("true_us"), "{line}");
    }
}

#[test]
fn reporting() {
    let arguments = ["reporting", "--engine-cpu", "0", "--pairs", "2", "--seconds", "0.2", "--connections", "3"];
    let (table, lines) = run(&directory("reporting"), &arguments);
    assert!(table.contains("confidence interval"), "{table}");
    let with = |on: bool| lines.iter().filter(|line| line["reporting"] == on).count();
    assert_eq!((with(true), with(false)), (2, 2), "{lines:?}");
}

#[test]
fn memory() {
    let arguments = ["memory", "--engine-cpu", "0", "--connections", "10,300"];
    let (table, lines) = run(&directory("memory"), &arguments);
    assert!(table.contains("| 300 | 300 |"), "{table}");
    assert!(lines.iter().filter(|line| line["anonymous_bytes"].as_u64() > Some(0)).count() == 2, "{lines:?}");
}
