//! The driver, driven over the embedded broker as an orchestrator would, against a small HTTP server.

mod common;

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use common::{LONG, Server, Stage, config, conserved, measured, tsunami};
use onrush_engine::Wait;
use onrush_host::cpus::{self, Claim};
use onrush_protocol::{EndReason, NodeId, NodeState, Participant, Topic, Trigger};

#[test]
fn tests_are_armed_triggered_and_reported_one_after_the_other() {
    let server = Server::start();
    let mut stage = Stage::start(None);
    stage.send_config(&config("first", 1000, &server));
    stage.armed("first");
    let start_at = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as f64 + 300.0;
    let trigger = Trigger::start(common::id("first"), Some(start_at));
    stage.send(Topic::Trigger, trigger.write());
    stage.running("first");
    let reports = stage.reports("first");
    assert_eq!(conserved(&reports), 1000);
    assert_eq!(server.count(), 1000);
    let last = measured(reports.last().unwrap());
    assert_eq!(last.end, Some(EndReason::Completed));
    assert!(last.engine.as_deref().unwrap().contains("timer"));
    assert!(last.started_at_unix_ms >= start_at - 1.0, "{} before {start_at}", last.started_at_unix_ms);
    assert!(last.started_at_unix_ms < start_at + LONG.as_secs_f64() * 1e3);
    let idle = stage.heartbeat("IDLE again", |h| h.state == Some(NodeState::Idle));
    assert!(idle.cpu_s.is_some_and(|cpu_s| cpu_s > 0.0) && idle.memory_bytes.is_some_and(|n| n > 0), "{idle:?}");

    // More than a second, so that there are several reports.
    stage.send_config(&tsunami("second", 130, 10, &server));
    stage.armed("second");
    stage.trigger("second");
    let reports = stage.reports("second");
    assert!(reports.len() >= 2, "{}", reports.len());
    assert_eq!(conserved(&reports), 130);
    assert_eq!(server.count(), 1130);
    stage.end();
}

#[test]
fn a_trigger_before_its_config_is_held() {
    let server = Server::start();
    let mut stage = Stage::start(None);
    stage.trigger("early");
    // Another test's whole life between them: the trigger was surely read first.
    stage.send_config(&config("other", 1, &server));
    stage.trigger("other");
    assert_eq!(conserved(&stage.reports("other")), 1);
    stage.send_config(&config("early", 10, &server));
    assert_eq!(conserved(&stage.reports("early")), 10);
}

/// What was said before a driver lived is nothing to it: its orchestrator says it again where it is still true.
#[test]
fn a_driver_reads_what_comes_from_its_start_on() {
    let server = Server::start();
    let mut stage = Stage::start(None);
    stage.send_config(&config("of-before", 3, &server));
    stage.armed("of-before");
    stage.restart_driver();
    // Read by a driver that lives, this would start it.
    stage.trigger("of-before");
    stage.send_config(&config("of-now", 2, &server));
    stage.trigger("of-now");
    assert_eq!(conserved(&stage.reports("of-now")), 2);
    assert_eq!(server.count(), 2);
    stage.send_config(&config("of-before", 3, &server));
    assert_eq!(conserved(&stage.reports("of-before")), 3, "the trigger was held, the config was not read");
    stage.end();
}

#[test]
fn the_fields_of_the_specification_are_enough() {
    let server = Server::start();
    let mut stage = Stage::start(Some(server.url()));
    let config = r#"{"test_id": "plain", "test_type": "avalanche", "test_message_delay": "0", "message_count_per_driver": "200"}"#;
    stage.send(Topic::TestConfig, config.into());
    stage.send(Topic::Trigger, br#"{"test_id": "plain", "trigger": "YES"}"#.to_vec());
    assert_eq!(conserved(&stage.reports("plain")), 200);
    let config =
        r#"{"test_id": "slow", "test_type": "TSUNAMI", "test_message_delay": 0.001, "message_count_per_driver": 50}"#;
    stage.send(Topic::TestConfig, config.into());
    stage.send(Topic::Trigger, br#"{"test_id": "slow", "trigger": "YES"}"#.to_vec());
    assert_eq!(conserved(&stage.reports("slow")), 50);
    assert_eq!(server.count(), 250);
}

#[test]
fn what_cannot_be_run_is_refused_with_the_reason() {
    let server = Server::start();
    let mut stage = Stage::start(None);
    let mut nowhere = config("nowhere", 1, &server);
    nowhere.target_url = None;
    stage.send_config(&nowhere);
    let reason = stage.refused("nowhere");
    assert!(reason.contains("no target") && reason.contains("--target-url"), "{reason}");

    let mut endless = config("endless", 1, &server);
    endless.count_per_driver = None;
    stage.send_config(&endless);
    assert!(stage.refused("endless").contains("message_count_per_driver"));

    stage.send(Topic::TestConfig, br#"{"test_id": "odd", "test_type": "FLOOD"}"#.to_vec());
    assert!(stage.refused("odd").contains("FLOOD"));

    // A port that was free a moment ago: nobody listens there.
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let mut closed = config("closed", 1, &server);
    closed.target_url = Some(format!("http://{free}/"));
    stage.send_config(&closed);
    let reason = stage.refused("closed");
    assert!(reason.contains(&free.to_string()), "{reason}");

    // None of this keeps it from the next.
    stage.send_config(&config("fine", 5, &server));
    stage.trigger("fine");
    assert_eq!(conserved(&stage.reports("fine")), 5);
}

#[test]
fn what_cannot_be_read_is_counted_and_skipped() {
    let server = Server::start();
    let mut stage = Stage::start(None);
    let absurd: [&[u8]; 5] = [b"", b"not JSON", b"[1]", br#"{"test_id": ""}"#, br#"{"trigger": "YES"}"#];
    for payload in absurd {
        stage.send(Topic::TestConfig, payload.to_vec());
        stage.send(Topic::Trigger, payload.to_vec());
    }
    stage.send(Topic::TestConfig, vec![b'x'; 1_900_000]);
    stage.heartbeat("a heartbeat that counts", |h| h.messages_skipped == Some(11));
    stage.send_config(&config("fine", 5, &server));
    stage.trigger("fine");
    assert_eq!(conserved(&stage.reports("fine")), 5);
}

#[test]
fn only_participants_take_part() {
    let server = Server::start();
    let mut stage = Stage::start(None);
    let participants = |names: &[&str]| {
        let participant = |name: &&str| Participant { node_id: NodeId::new(*name).unwrap(), session_id: None };
        Some(names.iter().map(participant).collect::<Vec<_>>())
    };
    let mut theirs = config("theirs", 10, &server);
    theirs.participants = participants(&["somebody", "else"]);
    stage.send_config(&theirs);
    stage.trigger("theirs");
    let mut ours = config("ours", 10, &server);
    ours.participants = participants(&["somebody", "node"]);
    stage.send_config(&ours);
    stage.armed("ours");
    // Left out and taken in again.
    ours.participants = participants(&["somebody"]);
    stage.send_config(&ours);
    stage.heartbeat("IDLE", |h| h.state == Some(NodeState::Idle));
    ours.participants = participants(&["node"]);
    stage.send_config(&ours);
    stage.armed("ours");
    stage.trigger("ours");
    assert_eq!(conserved(&stage.reports("ours")), 10);
    assert_eq!(server.count(), 10);
}

#[test]
fn a_stop_ends_a_test_and_its_reports_come_all_the_same() {
    let server = Server::start();
    let mut stage = Stage::start(None);
    let mut long = tsunami("long", 1, 5, &server);
    long.count_per_driver = None;
    long.duration = Some(Duration::from_secs(600));
    stage.send_config(&long);
    stage.armed("long");
    stage.trigger("long");
    stage.running("long");
    let begun = Instant::now();
    while server.count() < 10 {
        assert!(begun.elapsed() < LONG);
        std::thread::sleep(Duration::from_millis(5));
    }
    stage.stop_test("long");
    let reports = stage.reports("long");
    assert_eq!(conserved(&reports), server.count());
    assert_eq!(measured(reports.last().unwrap()).end, Some(EndReason::Stopped));
}

#[test]
fn a_driver_that_ends_stops_its_test_and_delivers_its_reports_first() {
    let server = Server::start();
    let mut stage = Stage::start(None);
    stage.send_config(&tsunami("long", 1_000_000, 5, &server));
    stage.trigger("long");
    stage.running("long");
    stage.ask_to_end();
    let reports = stage.reports("long");
    assert_eq!(measured(reports.last().unwrap()).end, Some(EndReason::Stopped));
    conserved(&reports);
    stage.end();
}

#[test]
fn an_outage_of_the_broker_in_mid_test_loses_nothing_and_slows_nothing() {
    let server = Server::start();
    let mut stage = Stage::start(None);
    stage.send_config(&tsunami("outage", 500, 10, &server));
    stage.armed("outage");
    stage.trigger("outage");
    stage.running("outage");
    stage.broker.set_up(false).unwrap();
    // The test goes on meanwhile: requests arrive while nobody can be told.
    let (begun, before) = (Instant::now(), server.count());
    while begun.elapsed() < Duration::from_secs(3) || server.count() < before + 200 {
        assert!(begun.elapsed() < LONG, "{} requests", server.count());
        std::thread::sleep(Duration::from_millis(20));
    }
    stage.broker.set_up(true).unwrap();
    let reports = stage.reports("outage");
    assert_eq!(conserved(&reports), 500);
    assert_eq!(server.count(), 500);
    assert_eq!(measured(reports.last().unwrap()).end, Some(EndReason::Completed));
    stage.next_register();
    stage.end();
}

#[test]
fn the_engine_waits_as_asked_and_never_polls_on_a_cpu_that_somebody_else_claims() {
    let server = Server::start();
    let own = cpus::allowed().unwrap()[..1].to_vec();
    let _other = Claim::new(&own).unwrap();
    for (wait, engine) in [(Some(Wait::Poll), "io_uring, poll"), (None, "io_uring, timer")] {
        let mut stage = Stage::start_with(Some(server.url()), Some(own.clone()), wait);
        stage.send_config(&tsunami("own", 50, 1, &server));
        stage.trigger("own");
        let reports = stage.reports("own");
        assert_eq!(conserved(&reports), 50);
        assert_eq!(measured(&reports[0]).engine.as_deref(), Some(engine));
        stage.end();
    }
}
