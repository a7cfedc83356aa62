//! A driver whose wall clock is set while it lives, or is wrong from the start.

mod harness;

use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use harness::{Broker, Peer, Process, SOON, System, beside_others};
use onrush_protocol::Topic;
use serde_json::{Value, json};

const HOUR_MS: i64 = 3_600_000;

/// The wall clock of one process.
struct WallClock {
    folder: tempfile::TempDir,
}

impl WallClock {
    fn new(shift_ms: i64) -> Self {
        let clock = Self { folder: tempfile::tempdir().expect("a temporary folder") };
        clock.set(shift_ms);
        let source = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/harness/wall_clock.c");
        let mut compiler = Command::new("cc");
        compiler.args(["-shared", "-fPIC", "-O1", "-o"]).arg(clock.file("wall_clock.so")).arg(source).arg("-ldl");
        let compiled = compiler.output().expect("cc runs");
        assert!(compiled.status.success(), "{}", String::from_utf8_lossy(&compiled.stderr));
        clock
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Sets it so far from the machine's.
    fn set(&self, shift_ms: i64) {
        // Written over: the process has this very file mapped.
        let mut file = std::fs::OpenOptions::new().create(true).truncate(false).write(true).open(self.file("shift"));
        let bytes = (shift_ms * 1_000_000).to_ne_bytes();
        std::io::Write::write_all(file.as_mut().expect("a file of ours"), &bytes).expect("there is room");
    }

    fn driver(&self, broker: &Broker, name: &str) -> Process {
        let args = ["driver", "--node-id", name, "--brokers", broker.address(), "--topic-prefix", broker.prefix()];
        let mut command = Process::command(&args);
        command.env("LD_PRELOAD", self.file("wall_clock.so")).env("WALL_CLOCK_FILE", self.file("shift"));
        Process::start(name, command)
    }
}

fn unix_ms() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("it is later than 1970").as_secs_f64() * 1e3
}

fn beat(topic: Topic, message: &Value) -> bool {
    topic == Topic::Heartbeat && message["heartbeat"] == "YES"
}

/// Hears heartbeats for a while: none is late, and their time is so far from ours.
#[track_caller]
fn beats_on(peer: &Peer, seconds: u64, shift_ms: i64) {
    let (begun, mut last) = (Instant::now(), Instant::now());
    while begun.elapsed() < Duration::from_secs(seconds) {
        let theirs = peer.hear_until("a heartbeat", SOON, |topic, message| {
            message["timestamp"].as_f64().filter(|_| beat(topic, message))
        });
        assert!(last.elapsed() < Duration::from_millis(2_500), "silent for {:?}", last.elapsed());
        last = Instant::now();
        let off_ms = theirs - unix_ms() - shift_ms as f64;
        assert!(begun.elapsed() < Duration::from_secs(3) || off_ms.abs() < 5_000.0, "off by {off_ms} ms");
    }
}

#[test]
fn a_driver_whose_clock_is_set_while_it_lives_keeps_working() {
    let _machine = beside_others();
    let broker = Broker::embedded();
    let system = System::new(&broker);
    let target = system.target(&[]);
    let peer = Peer::new(&broker);
    let clock = WallClock::new(0);
    let mut driver = clock.driver(&broker, "stepped");
    driver.wait_for_line("announced as");
    let mut sent = 0;
    for (round, shift_ms) in [-HOUR_MS, 20_000, -2 * HOUR_MS, HOUR_MS].into_iter().enumerate() {
        clock.set(shift_ms);
        beats_on(&peer, 6, shift_ms);
        let test_id = format!("test-{round}");
        let config = json!({
            "test_id": test_id, "test_type": "AVALANCHE", "target_url": target.url(), "message_count_per_driver": 100,
            "connections": 4,
        });
        peer.send_json(Topic::TestConfig, &config);
        peer.hear_until("ARMED", SOON, |topic, message| {
            (beat(topic, message) && message["state"] == "ARMED").then_some(())
        });
        // As an orchestrator does that has seen by how much the heartbeats' clock is wrong.
        let start_at = unix_ms() + 500.0;
        let offsets = json!({"stepped": shift_ms});
        let trigger = json!({"test_id": test_id, "trigger": "YES", "start_at": start_at, "clock_offsets_ms": offsets});
        peer.send_json(Topic::Trigger, &trigger);
        let started_at = peer.hear_until("the last report", SOON, |topic, message| {
            let is_last =
                topic == Topic::Metrics && message["test_id"] == test_id.as_str() && message["end"].is_string();
            is_last.then(|| message["started_at"].as_f64())
        });
        sent += 100;
        assert_eq!(target.counted(), (sent, sent));
        // It started on time, by its own clock.
        let off_ms = started_at.expect("our driver tells") - start_at - shift_ms as f64;
        assert!((-1.0..2_000.0).contains(&off_ms), "{off_ms} ms late");
    }
    // Nobody makes up for the clock: nothing is started, and the clock is named.
    peer.send_json(
        Topic::TestConfig,
        &json!({
            "test_id": "wrong", "test_type": "AVALANCHE", "target_url": target.url(), "message_count_per_driver": 100,
        }),
    );
    peer.send_json(Topic::Trigger, &json!({"test_id": "wrong", "trigger": "YES", "start_at": unix_ms() + 500.0}));
    let reason = peer.hear_until("a refusal", SOON, |topic, message| {
        (beat(topic, message) && message["refused_test_id"] == "wrong").then(|| message["refusal_reason"].to_string())
    });
    assert!(reason.contains("3600 s ago") || reason.contains("3599 s ago"), "{reason}");
    assert!(reason.contains("clock"), "{reason}");
    assert_eq!(target.counted(), (sent, sent));
    driver.assert_running();
}

/// Kafka refuses what is more than an hour ahead of its own clock.
#[cfg(feature = "kafka-suite")]
#[test]
fn a_clock_that_kafka_refuses_is_named_and_the_driver_works_all_the_same() {
    let broker = Broker::kafka();
    let peer = Peer::new(&broker);
    peer.send_json(Topic::Heartbeat, &json!({"node_id": "somebody", "heartbeat": "YES"}));
    let clock = WallClock::new(3 * HOUR_MS);
    let mut driver = clock.driver(&broker, "ahead");
    let line = driver.wait_for_line("refuses the clock of this machine");
    assert!(line.contains("NTP"), "{line}");
    driver.wait_for_line("announced as ahead");
    // Somebody else's message tells by how much.
    let line = driver.wait_for_line("the clock of this machine shows");
    let shown = line.split("shows ").nth(1).and_then(|rest| rest.split(' ').next()).and_then(|n| n.parse::<u64>().ok());
    assert!(shown.is_some_and(|seconds| (10_800..11_000).contains(&seconds)), "{line}");
    beats_on(&peer, 4, 3 * HOUR_MS);
    // Stepped while it lives it is not even refused.
    let clock = WallClock::new(0);
    let mut driver = clock.driver(&broker, "stepped");
    driver.wait_for_line("announced as stepped");
    clock.set(3 * HOUR_MS);
    std::thread::sleep(Duration::from_secs(5));
    assert!(!driver.output().contains("clock of this machine"), "{}", driver.output());
    driver.interrupt();
    assert!(driver.wait_for_end(SOON).success());
}
