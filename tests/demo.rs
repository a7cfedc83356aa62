//! `onrush demo`: everything by one command, proved, and nothing left behind.

mod harness;

use std::path::Path;
use std::time::Duration;

use harness::{Process, SOON, wait_for};

/// The processes whose parent is `parent`.
fn children_of(parent: u32) -> Vec<u32> {
    let entries = std::fs::read_dir("/proc").expect("Linux has /proc").flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    pids.filter(|pid| stat(*pid).is_some_and(|(_, ppid)| ppid == parent)).collect()
}

/// State and parent of a process; `None` where there is none.
fn stat(pid: u32) -> Option<(char, u32)> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name stands in brackets and may hold anything.
    let mut fields = text.rsplit_once(')')?.1.split_whitespace();
    Some((fields.next()?.chars().next()?, fields.next()?.parse().ok()?))
}

#[track_caller]
fn wait_until_gone(pids: &[u32]) {
    wait_for("every child to be gone", SOON, || {
        // What nobody has waited for yet is as dead as can be.
        let alive: Vec<_> = pids.iter().filter(|pid| stat(**pid).is_some_and(|(state, _)| state != 'Z')).collect();
        if alive.is_empty() { Ok(()) } else { Err(format!("{alive:?} live")) }
    });
}

/// A demo that has its three children: target and two drivers.
fn demo_with_children() -> (Process, Vec<u32>) {
    let demo = Process::onrush("demo", &["demo", "--requests", "1M"]);
    let children = wait_for("the demo's children", SOON, || {
        let children = children_of(demo.id());
        if children.len() == 3 { Ok(children) } else { Err(format!("{children:?}")) }
    });
    (demo, children)
}

#[test]
fn both_tests_are_run_and_proved() {
    harness::set_up();
    let _machine = harness::alone();
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (store, report) = (folder.path().join("demo.db"), folder.path().join("demo.html"));
    let [store_path, report_path] = [&store, &report].map(|path| path.to_str().expect("plain"));
    let args = ["demo", "--requests", "20k", "--store", store_path, "--report", report_path];
    let mut demo = Process::onrush("demo", &args);
    let status = demo.wait_for_end(Duration::from_secs(120));
    let output = demo.output();
    assert!(status.success(), "{status}:\n{output}");
    let proofs = demo.said().iter().filter(|line| line.starts_with("conservation: exact")).count();
    assert_eq!(proofs, 2, "{output}");
    for word in ["AVALANCHE", "TSUNAMI"] {
        assert!(output.to_uppercase().contains(word), "{word} is not in:\n{output}");
    }
    for number in ["40,000", "20,000", "2,000", "1,000"] {
        assert!(output.contains(number), "{number} is not in:\n{output}");
    }
    for column in ["sent", "answered", "failed", "mean", "median", "min", "max", "p90", "p95", "p99", "p99.9"] {
        assert!(output.contains(column), "{column} is not in:\n{output}");
    }
    assert!(Path::new(&store).exists(), "the store was asked for");
    let html = std::fs::read_to_string(&report).expect("the report was asked for");
    assert!(html.starts_with("<!DOCTYPE html>") && html.contains("\"sent\":40000"), "it is the Avalanche's");
}

#[test]
fn killed_it_leaves_no_process() {
    harness::set_up();
    let _machine = harness::alone();
    let (mut demo, children) = demo_with_children();
    demo.kill();
    wait_until_gone(&children);
}

#[test]
fn interrupted_it_leaves_no_process() {
    harness::set_up();
    let _machine = harness::alone();
    let (mut demo, children) = demo_with_children();
    demo.interrupt();
    let status = demo.wait_for_end(SOON);
    assert_ne!(status.code(), Some(0), "an interrupted demo has proved nothing");
    wait_until_gone(&children);
}
