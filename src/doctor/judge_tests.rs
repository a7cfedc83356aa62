//! Tables: a machine, changed in one thing, and what the doctor says of it.

use std::time::Duration;

use super::super::facts::{Broker, DriverClock, Drivers, Target};
use super::super::finding::Level;
use super::*;

fn machine() -> Facts {
    Facts {
        kernel: "6.1.0-18-amd64".into(),
        ring: Ring::Deferred,
        io_uring_disabled: Some(0),
        seccomp: false,
        locked_memory: Limit { soft: Some(8 << 20), hard: Some(8 << 20) },
        descriptors: Limit { soft: Some(1024), hard: Some(524_288) },
        ports: Some((32_768, 60_999)),
        tw_reuse: Some(2),
        time_wait: Some(12),
        somaxconn: Some(4096),
        cpus: vec![0, 1, 2, 3],
        quota: None,
        governors: Vec::new(),
        clock_source: Some("tsc".into()),
        clock_sources: vec!["tsc".into(), "hpet".into()],
        clock_synchronized: Some(true),
        broker: Some(Broker { address: "kafka:9092".into(), answer: Ok(Duration::from_millis(12)) }),
        target: Some(target(Ok((200, Duration::from_millis(1))), false)),
        drivers: Some(drivers(&[("a", Some(-1.0)), ("b", Some(2.0))])),
    }
}

fn target(answer: Result<(u16, Duration), String>, loopback: bool) -> Target {
    Target { url: "http://web/".into(), loopback, answer }
}

fn drivers(clocks: &[(&str, Option<f64>)]) -> Drivers {
    let clock = |(node_id, offset_ms): &(&str, Option<f64>)| DriverClock {
        node_id: (*node_id).to_owned(),
        offset_ms: *offset_ms,
    };
    Drivers {
        orchestrator: "http://control:7400".into(),
        clocks: Ok(clocks.iter().map(clock).collect()),
        wants_token: false,
    }
}

fn load() -> Load {
    Load { connections: 64, rate_per_s: Some(1000.0), keepalive: true, cpus: Some(vec![1, 2, 3]) }
}

/// The finding of a check, on the machine and the load as changed.
fn found(check: &str, change: impl FnOnce(&mut Facts, &mut Load)) -> (Level, String) {
    let (mut facts, mut load) = (machine(), load());
    change(&mut facts, &mut load);
    let findings = judge(&facts, &load);
    let finding = findings.iter().find(|finding| finding.check == check).expect("there is such a check");
    assert_eq!(finding.level == Level::Ok, finding.fix.is_none(), "what is not well comes with a fix: {finding:?}");
    (finding.level, format!("{} → {}", finding.reason, finding.fix.as_deref().unwrap_or("nothing")))
}

#[track_caller]
fn expect(check: &str, level: Level, words: &str, change: impl FnOnce(&mut Facts, &mut Load)) {
    let (found, text) = found(check, change);
    assert!(found == level && text.contains(words), "{level:?} with {words:?} expected, {found:?}: {text}");
}

#[test]
fn a_good_machine_has_nothing_but_ok() {
    let findings = judge(&machine(), &load());
    assert_eq!(findings.len(), 12);
    assert!(findings.iter().all(|finding| finding.level == Level::Ok && finding.fix.is_none()), "{findings:#?}");
}

#[test]
fn who_refuses_rings_is_named() {
    let refused = |code| Ring::Refused(code, "no".into());
    expect("io_uring", Level::Ok, "plain", |f, _| f.ring = Ring::Plain);
    expect("io_uring", Level::Warn, "sysctl -w kernel.io_uring_disabled=0", |f, _| {
        (f.ring, f.io_uring_disabled) = (refused(EPERM), Some(2));
    });
    expect("io_uring", Level::Warn, "seccomp=docker/seccomp.json", |f, _| f.ring = refused(EPERM));
    expect("io_uring", Level::Warn, "seccomp=docker/seccomp.json", |f, _| (f.ring, f.seccomp) = (refused(38), true));
    expect("io_uring", Level::Warn, "by epoll, which takes more CPU time → boot a kernel of 5.11", |f, _| {
        f.ring = refused(38)
    });
    expect("io_uring", Level::Fail, "memlock", |f, _| f.ring = refused(ENOMEM));
}

#[test]
fn limits_are_held_against_what_the_test_needs() {
    let memory = |bytes| Limit { soft: Some(bytes), hard: Some(bytes) };
    expect("locked memory", Level::Ok, "do not count", |f, _| f.locked_memory = memory(65_536));
    expect("locked memory", Level::Fail, "ulimit -l 1536", |f, _| {
        (f.kernel, f.locked_memory) = ("5.10.0-1".into(), memory(65_536));
    });
    expect("locked memory", Level::Ok, "unlimited", |f, _| f.locked_memory = Limit { soft: None, hard: None });

    expect("descriptors", Level::Ok, "1,024 may be open", |_, l| l.connections = 896);
    expect("descriptors", Level::Ok, "raises its limit", |_, l| l.connections = 897);
    expect("descriptors", Level::Fail, "LimitNOFILE=600128", |_, l| l.connections = 600_000);
    expect("descriptors", Level::Ok, "unlimited", |f, _| f.descriptors = Limit { soft: None, hard: None });
}

#[test]
fn ports_are_held_against_connections_and_rate() {
    expect("ports", Level::Ok, "28,232 ports", |_, _| {});
    expect("ports", Level::Warn, "1024 65535", |_, l| l.connections = 25_000);
    expect("ports", Level::Fail, "1024 65535", |_, l| l.connections = 28_233);
    // 28,232 ports for 60 s each: 470 a second.
    let without = |rate: Option<f64>| move |_: &mut Facts, l: &mut Load| (l.keepalive, l.rate_per_s) = (false, rate);
    expect("ports", Level::Ok, "470 new connections/s", without(Some(300.0)));
    expect("ports", Level::Warn, "close to the 400", without(Some(400.0)));
    expect("ports", Level::Fail, "tcp_tw_reuse=1", without(Some(471.0)));
    expect("ports", Level::Warn, "without a rate", without(None));
    expect("ports", Level::Ok, "12 now in TIME_WAIT", without(Some(1.0)));
    expect("ports", Level::Ok, "28,232 new connections/s", |f, l| (f.tw_reuse, l.keepalive) = (Some(1), false));
    expect("ports", Level::Ok, "28,232 new connections/s", |f, l| {
        f.target = Some(target(Ok((200, Duration::ZERO)), true));
        (l.keepalive, l.rate_per_s) = (false, Some(20_000.0));
    });
    expect("accept queue", Level::Warn, "net.core.somaxconn=5000", |_, l| l.connections = 5000);
}

#[test]
fn cpus_are_the_engines_own_or_it_is_said() {
    expect("CPUs", Level::Ok, "1-3 for the engine, 1 for the rest", |_, _| {});
    expect("CPUs", Level::Warn, "--cpus 1-3", |_, l| l.cpus = None);
    expect("CPUs", Level::Warn, "two CPUs", |f, l| (f.cpus, l.cpus) = (vec![0], None));
    expect("CPUs", Level::Fail, "CPU 9", |_, l| l.cpus = Some(vec![3, 9]));
    expect("CPUs", Level::Warn, "time of 2 CPUs", |f, _| f.quota = Some(2));
    let governors = |name: &str| (0..4).map(|cpu| (cpu, name.to_owned())).collect();
    expect("governor", Level::Ok, "virtual", |_, _| {});
    expect("governor", Level::Ok, "performance", |f, _| f.governors = governors("performance"));
    expect("governor", Level::Warn, "cpupower -c 1-3", |f, _| f.governors = governors("powersave"));
    // Only the engine's CPUs matter.
    expect("governor", Level::Ok, "performance", |f, _| {
        f.governors = governors("performance");
        f.governors[0].1 = "powersave".into();
    });
}

#[test]
fn clocks_are_fast_and_on_time() {
    expect("clock source", Level::Ok, "kvm-clock", |f, _| f.clock_source = Some("kvm-clock".into()));
    expect("clock source", Level::Warn, "echo tsc", |f, _| f.clock_source = Some("hpet".into()));
    expect("clock source", Level::Warn, "journalctl", |f, _| {
        (f.clock_source, f.clock_sources) = (Some("acpi_pm".into()), vec!["acpi_pm".into()]);
    });
    expect("time sync", Level::Warn, "chrony", |f, _| f.clock_synchronized = Some(false));

    let clocks =
        |clocks: &'static [(&str, Option<f64>)]| move |f: &mut Facts, _: &mut Load| f.drivers = Some(drivers(clocks));
    expect("drivers' clocks", Level::Ok, "2 drivers within 3.0 ms", |_, _| {});
    expect("drivers' clocks", Level::Ok, "1 more do not tell", clocks(&[("a", Some(0.0)), ("b", None)]));
    expect("drivers' clocks", Level::Warn, "(b) to", clocks(&[("a", Some(30.0)), ("b", Some(-30.0))]));
    expect("drivers' clocks", Level::Warn, "chronyc", clocks(&[("a", Some(0.0)), ("b", Some(1500.0))]));
    expect("drivers' clocks", Level::Warn, "start the drivers", clocks(&[]));
    expect("drivers' clocks", Level::Fail, "not there", |f, _| {
        let clocks = Err("not there".into());
        f.drivers = Some(Drivers { orchestrator: "http://control".into(), clocks, wants_token: false });
    });
    expect("drivers' clocks", Level::Fail, "--token-file FILE", |f, _| {
        let clocks = Err("it wants a token".into());
        f.drivers = Some(Drivers { orchestrator: "http://control".into(), clocks, wants_token: true });
    });
}

#[test]
fn what_is_not_reached_fails() {
    expect("broker", Level::Fail, "refused", |f, _| {
        f.broker = Some(Broker { address: "k:1".into(), answer: Err("connection refused".into()) });
    });
    let answers = |answer| move |f: &mut Facts, _: &mut Load| f.target = Some(target(answer, false));
    expect("target", Level::Ok, "200 in 1.0 ms", |_, _| {});
    expect("target", Level::Fail, "curl -v", answers(Err("connection refused".into())));
    expect("target", Level::Warn, "answers 503", answers(Ok((503, Duration::ZERO))));
    expect("target", Level::Warn, "idle", answers(Ok((200, Duration::from_secs(2)))));
}

#[test]
fn what_nobody_asked_for_is_left_out() {
    let facts = Facts {
        ports: None,
        somaxconn: None,
        clock_source: None,
        clock_synchronized: None,
        broker: None,
        target: None,
        drivers: None,
        ..machine()
    };
    let checks: Vec<_> = judge(&facts, &load()).into_iter().map(|finding| finding.check).collect();
    assert_eq!(checks, ["io_uring", "locked memory", "descriptors", "CPUs", "governor"]);
}

#[test]
fn kernel_releases_are_read() {
    assert_eq!(version("6.1.0-18-amd64"), (6, 1));
    assert_eq!(version("5.12"), (5, 12));
    assert_eq!(version("odd"), (0, 0));
}
