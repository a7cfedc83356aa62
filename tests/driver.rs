//! A driver as a process: what it makes of standing still, of its name, of its broker's new address, and what it says.

mod harness;

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use harness::{Broker, Peer, Process, SOON, System, Target, beside_others, wait_for};
use onrush_protocol::Topic;
use serde_json::{Value, json};

fn config(test_id: &str, node_id: &str, target: &Target, more: Value) -> Value {
    let mut config = json!({
        "test_id": test_id, "test_type": "TSUNAMI", "test_message_delay": 0.001, "target_url": target.url(),
        "connections": 8, "participants": [{ "node_id": node_id }],
    });
    let fields = config.as_object_mut().expect("an object");
    fields.extend(more.as_object().expect("an object").clone());
    config
}

fn unix_ms() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("it is later than 1970").as_secs_f64() * 1e3
}

#[track_caller]
fn armed(peer: &Peer, test_id: &str) {
    peer.hear_until("ARMED", SOON, |topic, message| {
        let is_armed = topic == Topic::Heartbeat && message["state"] == "ARMED" && message["test_id"] == test_id;
        is_armed.then_some(())
    });
}

/// The reason of a refusal, as heartbeats tell it.
#[track_caller]
fn refusal(peer: &Peer, test_id: &str) -> String {
    peer.hear_until("a refusal", SOON, |topic, message| {
        let is_of_test = topic == Topic::Heartbeat && message["refused_test_id"] == test_id;
        is_of_test.then(|| message["refusal_reason"].as_str().unwrap_or_default().to_owned())
    })
}

/// Waits, for a purpose: something must have become old.
fn grow_old(by: Duration) {
    std::thread::sleep(by);
}

#[test]
fn a_driver_that_stood_still_until_its_test_was_over_starts_nothing() {
    let _machine = beside_others();
    let broker = Broker::embedded();
    let system = System::new(&broker);
    let target = system.target(&[]);
    let peer = Peer::new(&broker);
    // One gets a start moment, the other a plain trigger.
    let mut drivers = ["timed", "plain"].map(|name| system.driver(name, &[]));
    for (name, driver) in ["timed", "plain"].into_iter().zip(&mut drivers) {
        driver.wait_for_line("announced as");
        let more = json!({"message_count_per_driver": 5_000});
        peer.send_json(Topic::TestConfig, &config(&format!("of-{name}"), name, &target, more));
        armed(&peer, &format!("of-{name}"));
        driver.pause();
    }
    peer.send_json(Topic::Trigger, &json!({"test_id": "of-timed", "trigger": "YES", "start_at": unix_ms() + 300.0}));
    peer.send_json(Topic::Trigger, &json!({"test_id": "of-plain", "trigger": "YES"}));
    grow_old(Duration::from_secs(13));
    drivers.iter().for_each(Process::resume);
    for name in ["timed", "plain"] {
        let reason = refusal(&peer, &format!("of-{name}"));
        assert!(reason.contains("read more than 10 s late starts nothing"), "{reason}");
    }
    for driver in &mut drivers {
        driver.wait_for_line("stood still");
        driver.wait_for_line("is refused");
    }
    assert_eq!(target.counted(), (0, 0));
    // They are as good as new.
    for name in ["timed", "plain"] {
        let test_id = format!("again-{name}");
        peer.send_json(Topic::TestConfig, &config(&test_id, name, &target, json!({"message_count_per_driver": 50})));
        peer.send_json(Topic::Trigger, &json!({"test_id": test_id, "trigger": "YES", "start_at": unix_ms() + 300.0}));
        peer.hear_until("the last report", SOON, |topic, message| {
            (topic == Topic::Metrics && message["test_id"] == test_id.as_str() && message["end"].is_string())
                .then_some(())
        });
    }
    assert_eq!(target.counted(), (100, 100));
}

#[test]
fn a_start_that_was_missed_while_standing_still_is_stopped() {
    let _machine = beside_others();
    let broker = Broker::embedded();
    let system = System::new(&broker);
    let target = system.target(&[]);
    let peer = Peer::new(&broker);
    let mut driver = system.driver("sleeper", &[]);
    driver.wait_for_line("announced as");
    peer.send_json(
        Topic::TestConfig,
        &config("long", "sleeper", &target, json!({"message_count_per_driver": 600_000})),
    );
    armed(&peer, "long");
    peer.send_json(Topic::Trigger, &json!({"test_id": "long", "trigger": "YES", "start_at": unix_ms() + 3_000.0}));
    driver.wait_for_line("test long starts in");
    driver.pause();
    assert_eq!(target.counted(), (0, 0), "paused too late for this test to mean anything");
    grow_old(Duration::from_secs(15));
    driver.resume();
    driver.wait_for_line("its start moment passed");
    driver.wait_for_line("test long ended (Stopped)");
}

#[test]
fn a_second_driver_of_the_same_name_ends_and_says_what_to_do() {
    let _machine = beside_others();
    let broker = Broker::embedded();
    let system = System::new(&broker);
    let mut first = system.driver("twin", &[]);
    first.wait_for_line("announced as twin");
    let mut second = system.driver("twin", &[]);
    let status = second.wait_for_end(SOON);
    let said = second.output();
    assert_eq!(status.code(), Some(1), "{said}");
    assert!(said.contains("twin") && said.contains("--node-id") && !said.contains("announced as"), "{said}");
    // Killed without a word, the first is followed by another life of it in a moment.
    first.kill();
    let killed = Instant::now();
    let mut third = system.driver("twin", &[]);
    third.wait_for_line("announced as twin");
    assert!(killed.elapsed() < Duration::from_secs(10), "{:?}", killed.elapsed());
    // Without a name of their own there is nothing to be confused.
    let node = ["--brokers", broker.address(), "--topic-prefix", broker.prefix()];
    let mut nameless = [0, 1].map(|_| Process::onrush("nameless", &[&["driver"], &node[..]].concat()));
    nameless.iter_mut().for_each(|driver| drop(driver.wait_for_line("announced as")));
}

#[test]
fn who_is_not_among_the_participants_says_so() {
    let _machine = beside_others();
    let broker = Broker::embedded();
    let system = System::new(&broker);
    let target = system.target(&[]);
    let peer = Peer::new(&broker);
    let mut driver = system.driver("bystander", &[]);
    driver.wait_for_line("announced as");
    let others = config("of-others", "somebody-else", &target, json!({"message_count_per_driver": 1}));
    peer.send_json(Topic::TestConfig, &others);
    let line = driver.wait_for_line("not among the participants");
    assert!(line.contains("of-others") && line.contains("WARN"), "{line}");
}

#[test]
fn drivers_follow_an_embedded_broker_to_its_new_address() {
    let _machine = beside_others();
    harness::set_up();
    // A runtime folder of their own: the drivers look for the one embedded broker of the machine.
    let folder = tempfile::tempdir().expect("a temporary folder");
    let store = folder.path().join("onrush.db");
    let node = |name: &str, args: &[&str]| Process::onrush_in(folder.path(), name, args);
    let orchestrator = |listen: &str| {
        let store = store.to_str().expect("a plain name");
        let args = ["orchestrator", "--brokers", "embedded", "--listen", listen, "--store", store];
        let mut process = node("orchestrator", &args);
        let address = process.wait_for_address();
        (process, address)
    };
    let (mut first, address) = orchestrator("127.0.0.1:0");
    let mut drivers = ["a", "b"].map(|name| node(name, &["driver", "--node-id", name]));
    drivers.iter_mut().for_each(|driver| drop(driver.wait_for_line("announced as")));
    let idle = |address: &str| {
        let rest = harness::Rest::new(address);
        wait_for("two idle drivers", SOON, || {
            let drivers = rest.try_drivers()?;
            let idle = drivers.iter().filter(|driver| format!("{:?}", driver.state) == "Idle").count();
            if idle == 2 { Ok(()) } else { Err(format!("{drivers:#?}")) }
        });
        rest
    };
    idle(&address);
    // Killed and started again it is somewhere else.
    for _ in 0..2 {
        first.kill();
        grow_old(Duration::from_secs(1));
        let (again, address) = orchestrator("127.0.0.1:0");
        first = again;
        let rest = idle(&address);
        let target = Target::start(&[]);
        let test = json!({"test_type": "AVALANCHE", "target_url": target.url(), "message_count_per_driver": 100});
        let test_id = rest.start(&test);
        rest.wait_for_end(&test_id);
        assert_eq!(target.counted(), (200, 200));
    }
    drivers.iter_mut().for_each(|driver| drop(driver.wait_for_line("taking the new one")));
}

#[test]
fn flags_that_can_never_work_are_named_and_no_password_is_shown() {
    harness::set_up();
    let run = |args: &[&str]| {
        let mut node = Process::onrush("node", args);
        let status = node.wait_for_end(SOON);
        (status.code(), node.output())
    };
    for node in ["driver", "orchestrator"] {
        let (code, said) = run(&[node, "--brokers", "127.0.0.1:1", "--topic-prefix", "prod/"]);
        assert_eq!(code, Some(2), "{said}");
        assert!(said.contains("--topic-prefix") && said.contains("'/'"), "{said}");
        for option in ["ssl.key.password=hunter2", "sasl.pasword=hunter2", "ssl.key.password hunter2", "=hunter2"] {
            let (code, said) = run(&[node, "--brokers", "127.0.0.1:1", "--kafka-option", option]);
            assert!(matches!(code, Some(1 | 2)), "{said}");
            assert!(!said.contains("hunter2"), "{said}");
        }
    }
}

/// A driver under a limit (an argument of prlimit), as a user whose limits hold: how it ended, and what it said.
fn limited(limit: &str) -> (Option<i32>, String) {
    harness::set_up();
    let folder = tempfile::tempdir().expect("a temporary folder");
    let runtime = folder.path().join("runtime");
    let binary = folder.path().join("onrush");
    std::fs::create_dir(&runtime).expect("there is room");
    // Where the tests are built, another user may not look.
    std::fs::copy(env!("CARGO_BIN_EXE_onrush"), &binary).expect("there is room");
    let mut command = std::process::Command::new("prlimit");
    if rustix::process::getuid().is_root() {
        // Limits of processes do not hold for root.
        const USER: u32 = 54_321;
        std::os::unix::fs::chown(&runtime, Some(USER), Some(USER)).expect("root may");
        let open = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(folder.path(), open).expect("it is ours");
        command = std::process::Command::new("setpriv");
        command.args([&format!("--reuid={USER}"), &format!("--regid={USER}"), "--clear-groups", "prlimit"]);
    }
    command.arg(limit).arg(binary).args(["driver", "--brokers", "127.0.0.1:1"]);
    command.env("ONRUSH_RUNTIME_DIR", &runtime).env("RUST_LOG", "info");
    let mut driver = Process::start("limited", command);
    let status = driver.wait_for_end(SOON);
    (status.code(), driver.output())
}

#[test]
fn a_driver_without_room_says_what_it_lacks_and_ends() {
    // Some descriptors may come from whoever runs the tests, and the loader needs one.
    let limits =
        [("nproc=3", "ulimit -u"), ("nproc=12", "ulimit -u"), ("nofile=16", "ulimit -n"), ("nofile=40", "ulimit -n")];
    for (limit, advice) in limits {
        let (code, said) = limited(&format!("--{limit}"));
        assert_eq!(code, Some(1), "under {limit}: {said}");
        assert!(said.contains(advice) && !said.contains("panicked"), "under {limit}: {said}");
    }
}
