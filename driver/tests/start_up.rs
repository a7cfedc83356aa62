//! A driver whose broker is not there, and settings that cannot be.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

use onrush_bus::{Brokers, BusConfig, BusError};
use onrush_driver::{DriverConfig, DriverError, run};
use onrush_protocol::NodeId;

fn config() -> DriverConfig {
    let brokers = Brokers { address: "127.0.0.1:1".into(), embedded: false };
    DriverConfig {
        bus: BusConfig { brokers, topic_prefix: String::new(), client_id: "test".into(), options: Vec::new() },
        node_id: NodeId::new("node").unwrap(),
        node_ip: None,
        cpus: None,
        wait: None,
        io: onrush_engine::Io::Auto,
        local_addresses: Vec::new(),
        target_url: None,
    }
}

#[test]
fn it_waits_for_its_broker_until_it_is_told_to_stop() {
    let stop = Arc::new(AtomicBool::new(false));
    let theirs = stop.clone();
    let driver = std::thread::spawn(move || run(config(), theirs));
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_millis(1500) {
        assert!(!driver.is_finished(), "it gave up");
        std::thread::sleep(Duration::from_millis(20));
    }
    stop.store(true, Relaxed);
    driver.join().unwrap().unwrap();
}

#[test]
fn what_can_never_work_is_said_at_once() {
    let run = |config| run(config, Arc::new(AtomicBool::new(false))).unwrap_err();
    let target = run(DriverConfig { target_url: Some("8080".into()), ..config() });
    assert!(target.to_string().contains("--target-url"), "{target}");
    let cpu = run(DriverConfig { cpus: Some(vec![1023]), ..config() });
    assert!(matches!(cpu, DriverError::Cpu { cpu: 1023, .. }), "{cpu}");
    let mut wrong = config();
    wrong.bus.options.push(("no.such.setting".into(), "1".into()));
    let setting = run(wrong);
    assert!(matches!(setting, DriverError::Bus(BusError::Setting { .. })), "{setting}");
}
