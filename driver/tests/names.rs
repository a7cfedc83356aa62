//! Two drivers under one name, and one that comes back.

#[allow(dead_code, reason = "each test binary uses its part")]
mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

use common::{LONG, Stage, bus_of, driver_config};
use onrush_driver::{DriverError, run};
use onrush_protocol::{Heartbeat, NodeId, NodeState, SessionId, Topic};

/// Runs one more driver under this name, until it ends by itself; `None`: it still lived after `at_most`, and was told
/// to stop.
fn another(stage: &Stage, name: &str, at_most: Duration) -> Option<DriverError> {
    let stop = Arc::new(AtomicBool::new(false));
    let (config, theirs) = (driver_config(&bus_of(&stage.broker), name), stop.clone());
    let driver = std::thread::spawn(move || run(config, theirs));
    let begun = Instant::now();
    while !driver.is_finished() && begun.elapsed() < at_most {
        std::thread::sleep(Duration::from_millis(20));
    }
    stop.store(true, Relaxed);
    driver.join().unwrap().err()
}

fn beat(session: &str, alive: bool) -> Vec<u8> {
    let heartbeat = Heartbeat {
        node_id: NodeId::new("revenant").unwrap(),
        alive,
        timestamp_unix_ms: None,
        session_id: SessionId::new(session),
        state: Some(NodeState::Idle),
        test_id: None,
        share: None,
        amended_at: Vec::new(),
        refusal: None,
        reports_waiting: None,
        messages_skipped: None,
        cpu_s: None,
        memory_bytes: None,
    };
    heartbeat.write()
}

#[test]
fn a_name_that_a_living_driver_has_is_refused_in_words_and_not_registered() {
    let mut stage = Stage::start(None);
    let first = stage.heartbeat("a heartbeat", |h| h.alive).session_id;
    let error = another(&stage, "node", LONG).expect("the second ends");
    assert!(matches!(error, DriverError::NameTaken { .. }), "{error}");
    let said = error.to_string();
    assert!(said.contains("node") && said.contains("--node-id"), "{said}");
    // The first lives on, and nothing was heard of the second.
    for _ in 0..3 {
        assert_eq!(stage.heartbeat("the first", |h| h.alive).session_id, first);
    }
    stage.end();
}

#[test]
fn of_two_that_start_at_once_one_lives_on() {
    let stage = Stage::start(None);
    let stop = Arc::new(AtomicBool::new(false));
    let drivers: Vec<_> = (0..2)
        .map(|_| {
            let (config, stop) = (driver_config(&bus_of(&stage.broker), "twin"), stop.clone());
            std::thread::spawn(move || run(config, stop))
        })
        .collect();
    let begun = Instant::now();
    while drivers.iter().all(|driver| !driver.is_finished()) {
        assert!(begun.elapsed() < LONG, "both live on");
        std::thread::sleep(Duration::from_millis(20));
    }
    std::thread::sleep(Duration::from_secs(3));
    assert_eq!(drivers.iter().filter(|driver| driver.is_finished()).count(), 1, "neither lives on");
    stop.store(true, Relaxed);
    let ended: Vec<_> = drivers.into_iter().map(|driver| driver.join().unwrap()).collect();
    assert!(ended.iter().any(|end| matches!(end, Err(DriverError::NameTaken { .. }))), "{ended:?}");
    assert!(ended.iter().any(Result::is_ok), "{ended:?}");
}

#[test]
fn who_comes_back_after_kill_9_is_taken_again_in_a_moment() {
    let mut stage = Stage::start(None);
    // A former life that beat a moment ago and beats no more.
    stage.send(Topic::Heartbeat, beat("former life", true));
    assert!(stage.producer.flush(LONG));
    let stop = Arc::new(AtomicBool::new(false));
    let (config, theirs) = (driver_config(&bus_of(&stage.broker), "revenant"), stop.clone());
    let begun = Instant::now();
    let driver = std::thread::spawn(move || run(config, theirs));
    assert_eq!(stage.next_register().node_id.as_str(), "revenant");
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    stop.store(true, Relaxed);
    driver.join().unwrap().unwrap();
    // One that said goodbye is not waited for.
    let begun = Instant::now();
    assert!(another(&stage, "revenant", Duration::from_secs(4)).is_none());
    stage.next_register();
    assert!(begun.elapsed() < Duration::from_secs(10));
}
