//! What we write, frozen letter by letter, and what other people's nodes write, read as they mean it.
//!
//! A test that fails here says that nodes of two versions may no longer understand each other.

mod common;

use std::time::Duration;

use common::{id, mask_histograms, measured_second, node, session, text};
use onrush_protocol::{
    Arrivals, EndReason, Heartbeat, LatencyMs, Measured, Metrics, NodeState, Participant, Refusal, Register,
    RequestConfig, RequestOrder, TestConfig, TestType, Trigger,
};
use onrush_stats::{Counts, FailureCause, NameStats, OTHER, SecondStats, Totals};

#[test]
fn register() {
    let message = Register {
        node_id: node("driver-1"),
        node_ip: Some("10.0.0.7".into()),
        session_id: Some(session("s-1")),
        hostname: Some("blue".into()),
        version: Some("0.1.0".into()),
        cpus: Some("2-3".into()),
    };
    let golden = r#"{"node_id":"driver-1","node_IP":"10.0.0.7","message_type":"DRIVER_NODE_REGISTER","schema":1,"session_id":"s-1","hostname":"blue","version":"0.1.0","cpus":"2-3"}"#;
    assert_eq!(text(message.write()), golden);
    assert_eq!(Register::read(golden.as_bytes()), Ok(message));
}

#[test]
fn test_config() {
    let message = TestConfig {
        delay: Duration::from_micros(2500),
        count_per_driver: Some(1000),
        duration: Some(Duration::from_secs(30)),
        target_url: Some("http://127.0.0.1:8080/ping".into()),
        method: "POST".into(),
        headers: vec![("X-One".into(), "1".into()), ("X-One".into(), "2".into())],
        body: Some(b"hello".to_vec()),
        target_throughput_per_s: Some(500.0),
        connections: Some(16),
        timeout: Duration::from_secs(2),
        connect_timeout: Duration::from_millis(1500),
        keepalive: false,
        participants: Some(vec![
            Participant { node_id: node("driver-1"), session_id: Some(session("s-1")) },
            Participant { node_id: node("driver-2"), session_id: None },
        ]),
        ..TestConfig::new(id("test-1"), TestType::Tsunami)
    };
    let golden = r#"{"test_id":"test-1","test_type":"TSUNAMI","test_message_delay":0.0025,"message_count_per_driver":1000,"schema":1,"target_url":"http://127.0.0.1:8080/ping","method":"POST","headers":[["X-One","1"],["X-One","2"]],"body":"hello","duration_s":30,"target_throughput_per_s":500.0,"connections":16,"timeout_s":2,"connect_timeout_s":1.5,"keepalive":false,"participants":[{"node_id":"driver-1","session_id":"s-1"},{"node_id":"driver-2"}]}"#;
    assert_eq!(text(message.write()), golden);
    assert_eq!(TestConfig::read(golden.as_bytes()), Ok(message));
}

#[test]
fn test_config_with_a_profile() {
    let message = TestConfig {
        profile: Some("total: 30s@1k, 1m@0..2.5k, 10s@10..30/3, 250ms@max, 5s@pause".parse().unwrap()),
        arrivals: Arrivals::Poisson,
        seed: 7,
        ..TestConfig::new(id("test-1"), TestType::Tsunami)
    };
    let golden = r#"{"test_id":"test-1","test_type":"TSUNAMI","test_message_delay":0,"message_count_per_driver":0,"schema":1,"method":"GET","headers":[],"seed":7,"profile":"total: 30s@1k, 1m@0..2500, 10s@10..30/3, 250ms@max, 5s@pause","arrivals":"poisson","timeout_s":10,"connect_timeout_s":5,"keepalive":true}"#;
    assert_eq!(text(message.write()), golden);
    assert_eq!(TestConfig::read(golden.as_bytes()), Ok(message));
    let total = TestConfig {
        total_throughput_per_s: Some(10_000.0),
        duration: Some(Duration::from_secs(1)),
        ..TestConfig::new(id("test-1"), TestType::Tsunami)
    };
    assert!(text(total.write()).contains(r#""total_throughput_per_s":10000.0,"#));
    assert_eq!(TestConfig::read(&total.write()), Ok(total));
}

#[test]
fn test_config_with_several_requests_checks_and_tls() {
    let message = TestConfig {
        count_per_driver: Some(5),
        expect: vec!["status=2xx".parse().unwrap()],
        requests: vec![
            RequestConfig { url: Some("https://web/a".into()), weight: 3, ..RequestConfig::default() },
            RequestConfig {
                method: "POST".into(),
                headers: vec![("X-One".into(), "1".into())],
                body: Some(b"hello".to_vec()),
                expect: vec!["json:/ok=true".parse().unwrap(), "body~yes".parse().unwrap()],
                ..RequestConfig::default()
            },
        ],
        order: RequestOrder::Shuffled,
        seed: 7,
        tls_insecure: true,
        tls_ca_pem: Some("-----BEGIN CERTIFICATE-----".into()),
        tls_cert_pem: Some("-----BEGIN CERTIFICATE-----".into()),
        tls_key_pem: Some("-----BEGIN PRIVATE KEY-----".into()),
        ..TestConfig::new(id("test-1"), TestType::Avalanche)
    };
    let golden = r#"{"test_id":"test-1","test_type":"AVALANCHE","test_message_delay":0,"message_count_per_driver":5,"schema":1,"method":"GET","headers":[],"expect":["status=200-299"],"targets":[{"url":"https://web/a","method":"GET","weight":3},{"method":"POST","headers":[["X-One","1"]],"body":"hello","weight":1,"expect":["json:/ok=true","body~yes"]}],"order":"shuffled","seed":7,"tls_insecure":true,"tls_ca_pem":"-----BEGIN CERTIFICATE-----","tls_cert_pem":"-----BEGIN CERTIFICATE-----","tls_key_pem":"-----BEGIN PRIVATE KEY-----","timeout_s":10,"connect_timeout_s":5,"keepalive":true}"#;
    assert_eq!(text(message.write()), golden);
    assert_eq!(TestConfig::read(golden.as_bytes()), Ok(message));
}

#[test]
fn test_config_with_nothing_but_defaults_and_bytes_that_are_no_text() {
    let message = TestConfig {
        count_per_driver: Some(5),
        body: Some(vec![0xff, 0x00]),
        ..TestConfig::new(id("test-1"), TestType::Avalanche)
    };
    let golden = r#"{"test_id":"test-1","test_type":"AVALANCHE","test_message_delay":0,"message_count_per_driver":5,"schema":1,"method":"GET","headers":[],"body_base64":"/wA=","timeout_s":10,"connect_timeout_s":5,"keepalive":true}"#;
    assert_eq!(text(message.write()), golden);
    assert_eq!(TestConfig::read(golden.as_bytes()), Ok(message));
}

#[test]
fn think_time() {
    let think_time = Duration::from_millis(250);
    let message = TestConfig { think_time, ..TestConfig::new(id("test-1"), TestType::Avalanche) };
    let golden = r#"{"test_id":"test-1","test_type":"AVALANCHE","test_message_delay":0,"message_count_per_driver":0,"schema":1,"method":"GET","headers":[],"think_time_s":0.25,"timeout_s":10,"connect_timeout_s":5,"keepalive":true}"#;
    assert_eq!(text(message.write()), golden);
    assert_eq!(TestConfig::read(golden.as_bytes()), Ok(message));
}

#[test]
fn trigger() {
    let message = Trigger::start(id("test-1"), Some(1_700_000_000_123.5));
    let golden = r#"{"test_id":"test-1","trigger":"YES","schema":1,"start_at":1700000000123.5}"#;
    assert_eq!(text(message.write()), golden);
    assert_eq!(Trigger::read(golden.as_bytes()), Ok(message));

    let clock_offsets_ms = [(node("driver-1"), -3_600_000.5)].into();
    let message = Trigger { clock_offsets_ms, ..Trigger::start(id("test-1"), Some(1_700_000_000_123.5)) };
    let golden = r#"{"test_id":"test-1","trigger":"YES","schema":1,"start_at":1700000000123.5,"clock_offsets_ms":{"driver-1":-3600000.5}}"#;
    assert_eq!(text(message.write()), golden);
    assert_eq!(Trigger::read(golden.as_bytes()), Ok(message));

    let message = Trigger::stop(id("test-1"));
    let golden = r#"{"test_id":"test-1","trigger":"NO","schema":1}"#;
    assert_eq!(text(message.write()), golden);
    assert_eq!(Trigger::read(golden.as_bytes()), Ok(message));
}

#[test]
fn heartbeat() {
    let message = Heartbeat {
        node_id: node("driver-1"),
        alive: true,
        timestamp_unix_ms: Some(1_700_000_000_000.0),
        session_id: Some(session("s-1")),
        state: Some(NodeState::Armed),
        test_id: Some(id("test-2")),
        share: None,
        amended_at: Vec::new(),
        refusal: Some(Refusal { test_id: id("test-1"), reason: "cannot connect".into() }),
        reports_waiting: Some(3),
        messages_skipped: Some(0),
        cpu_s: Some(1.25),
        memory_bytes: Some(12_345_678),
    };
    let golden = r#"{"node_id":"driver-1","heartbeat":"YES","timestamp":1700000000000.0,"schema":1,"session_id":"s-1","state":"ARMED","test_id":"test-2","refused_test_id":"test-1","refusal_reason":"cannot connect","reports_waiting":3,"messages_skipped":0,"cpu_s":1.25,"memory_bytes":12345678}"#;
    assert_eq!(text(message.write()), golden);
    assert_eq!(Heartbeat::read(golden.as_bytes()), Ok(message));
}

#[test]
fn metrics() {
    let stats = measured_second();
    let message = Metrics {
        node_id: node("driver-1"),
        test_id: id("test-1"),
        report_id: Some("driver-1/0".into()),
        latency: LatencyMs::of(&stats.latency),
        measured: Some(Box::new(Measured {
            session_id: session("s-1"),
            sequence: 0,
            second_index: 0,
            length_s: 0.25,
            sending_s: None,
            started_at_unix_ms: 1_700_000_000_000.0,
            totals: stats.counts.totals(),
            stats,
            end: Some(EndReason::Completed),
            engine: Some("io_uring, poll".into()),
        })),
    };
    let golden = r#"{"node_id":"driver-1","test_id":"test-1","report_id":"driver-1/0","metrics":{"mean_latency":2.0,"median_latency":2.000895,"min_latency":1.0,"max_latency":3.0},"schema":1,"session_id":"s-1","sequence":0,"second_index":0,"length_s":0.25,"started_at":1700000000000.0,"end":"COMPLETED","engine":"io_uring, poll","counts":{"sent":4,"skipped":1,"in_flight":0,"bytes_sent":400,"bytes_received":300,"statuses":{"200":2,"503":1},"failures":{"timeout":1}},"totals":{"sent":4,"answered":3,"failed":1,"skipped":1},"latency":{"count":3,"sum_ns":6000000,"min_ns":1000000,"max_ns":3000000,"histogram":"HISTFAAAAD14nAEyAM3/HISTEwAAAAoAAAAAAAAAAwAAAAAAAAABAAADRjC4oAA/8AAAAAAAAMGuAQL9DwKrCAKQ5weK"},"service_time":{"count":0,"sum_ns":0,"min_ns":null,"max_ns":null,"histogram":""},"schedule_error":{"count":1,"sum_ns":0,"min_ns":0,"max_ns":0,"histogram":"HISTFAAAACJ4nJNpmSzMwMDAyAABzFAayGd2M9ixgMH+A0SACQBSqARO"}}"#;
    // The compressor's bytes may change with its version; what they unpack to may not.
    let masked = common::mask_histograms(&text(message.write()));
    assert_eq!(masked, common::mask_histograms(golden));
    assert_eq!(Metrics::read(golden.as_bytes()), Ok(message));
}

#[test]
fn what_a_driver_lacks_is_written_where_it_lacks_it() {
    let counts = Counts {
        sent: 1,
        due: 1,
        statuses: [(200, 1)].into(),
        engine_cpu_ns: 290_000_000,
        engine_wait_ns: 1_000_000,
        stolen_ns: 10_000_000,
        throttled_ns: 20_000_000,
        tcp_samples: 8,
        tcp_rtt_ns: 480_000,
        tcp_min_rtt_ns: 320_000,
        tcp_segments: 2_000,
        tcp_retransmits: 3,
        tcp_stuck: 1,
        tcp_busy_ns: 900_000_000,
        tcp_rwnd_limited_ns: 5,
        tcp_sndbuf_limited_ns: 6,
        ..Counts::default()
    };
    let stats = SecondStats { counts, ..SecondStats::default() };
    let message = Metrics {
        node_id: node("driver-1"),
        test_id: id("test-1"),
        report_id: None,
        latency: LatencyMs::default(),
        measured: Some(Box::new(Measured {
            session_id: session("s-1"),
            sequence: 0,
            second_index: 0,
            length_s: 1.0,
            sending_s: None,
            started_at_unix_ms: 1_700_000_000_000.0,
            totals: stats.counts.totals(),
            stats,
            end: None,
            engine: None,
        })),
    };
    let written = text(message.write());
    let golden = r#""counts":{"sent":1,"skipped":0,"in_flight":0,"bytes_sent":0,"bytes_received":0,"engine_cpu_ns":290000000,"engine_wait_ns":1000000,"stolen_ns":10000000,"throttled_ns":20000000,"tcp_samples":8,"tcp_rtt_ns":480000,"tcp_min_rtt_ns":320000,"tcp_segments":2000,"tcp_retransmits":3,"tcp_stuck":1,"tcp_busy_ns":900000000,"tcp_rwnd_limited_ns":5,"tcp_sndbuf_limited_ns":6,"statuses":{"200":1},"failures":{}}"#;
    assert!(written.contains(golden), "{written}");
    assert_eq!(Metrics::read(written.as_bytes()), Ok(message));
}

#[test]
fn what_seldom_happens_is_written_where_it_happened() {
    let counts = Counts {
        sent: 5,
        dropped: 2,
        resent: 1,
        unsolicited: 3,
        due: 7,
        connects: 4,
        statuses: [(200, 4)].into(),
        failures: [(FailureCause::Malformed, 1)].into(),
        addresses: [("10.0.0.1:80".into(), 2), ("10.0.0.2:80".into(), 3)].into(),
        ..Counts::default()
    };
    let mut stats = SecondStats { counts, ..SecondStats::default() };
    stats.examples.note(FailureCause::Malformed, "no colon: \"a\"");
    let message = Metrics {
        node_id: node("driver-1"),
        test_id: id("test-1"),
        report_id: None,
        latency: LatencyMs::default(),
        measured: Some(Box::new(Measured {
            session_id: session("s-1"),
            sequence: 0,
            second_index: 0,
            length_s: 1.0,
            sending_s: Some(0.75),
            started_at_unix_ms: 1_700_000_000_000.0,
            totals: stats.counts.totals(),
            stats,
            end: None,
            engine: None,
        })),
    };
    let golden = r#"{"node_id":"driver-1","test_id":"test-1","report_id":null,"metrics":{"mean_latency":null,"median_latency":null,"min_latency":null,"max_latency":null},"schema":1,"session_id":"s-1","sequence":0,"second_index":0,"length_s":1.0,"sending_s":0.75,"started_at":1700000000000.0,"counts":{"sent":5,"skipped":0,"dropped":2,"resent":1,"unsolicited":3,"connects":4,"in_flight":0,"bytes_sent":0,"bytes_received":0,"statuses":{"200":4},"failures":{"malformed":1},"addresses":{"10.0.0.1:80":2,"10.0.0.2:80":3}},"totals":{"sent":5,"answered":4,"failed":1,"skipped":0,"dropped":2,"resent":1,"unsolicited":3},"latency":{"count":0,"sum_ns":0,"min_ns":null,"max_ns":null,"histogram":""},"service_time":{"count":0,"sum_ns":0,"min_ns":null,"max_ns":null,"histogram":""},"schedule_error":{"count":0,"sum_ns":0,"min_ns":null,"max_ns":null,"histogram":""},"examples":{"malformed":"no colon: \"a\""}}"#;
    assert_eq!(text(message.write()), golden);
    assert_eq!(Metrics::read(golden.as_bytes()), Ok(message));
}

/// Figures by name are written where a test has requests of several names.
#[test]
fn what_was_measured_by_name_is_written_behind_the_rest() {
    let mut stats = SecondStats::default();
    let mut slow = NameStats { sent: 3, statuses: [(200, 2)].into(), ..NameStats::default() };
    slow.failures.insert(FailureCause::Timeout, 1);
    [1_000_000, 3_000_000].into_iter().for_each(|ns| slow.latency.record(ns));
    stats.by_name.add("GET /slow", &slow);
    stats.by_name.add(OTHER, &NameStats { sent: 1, ..NameStats::default() });
    let message = Metrics {
        node_id: node("driver-1"),
        test_id: id("test-1"),
        report_id: None,
        latency: LatencyMs::default(),
        measured: Some(Box::new(Measured {
            session_id: session("s-1"),
            sequence: 0,
            second_index: 0,
            length_s: 1.0,
            sending_s: None,
            started_at_unix_ms: 0.0,
            totals: Totals::default(),
            stats,
            end: None,
            engine: None,
        })),
    };
    let golden = r#""histogram":""},"names":[{"name":"GET /slow","sent":3,"statuses":{"200":2},"failures":{"timeout":1},"latency":{"count":2,"sum_ns":4000000,"min_ns":1000000,"max_ns":3000000,"histogram":"…"}},{"name":"other","sent":1,"latency":{"count":0,"sum_ns":0,"min_ns":null,"max_ns":null,"histogram":""}}]}"#;
    let written = text(message.write());
    assert!(mask_histograms(&written).ends_with(golden), "{written}");
    assert_eq!(Metrics::read(written.as_bytes()), Ok(message));
}

#[test]
fn a_request_has_a_name_where_it_was_given_one() {
    let request = RequestConfig { name: Some("sign in".into()), ..RequestConfig::default() };
    let message = TestConfig {
        requests: vec![request],
        count_per_driver: Some(5),
        ..TestConfig::new(id("test-1"), TestType::Avalanche)
    };
    let written = text(message.write());
    let golden = r#""targets":[{"method":"GET","weight":1,"name":"sign in"}]"#;
    assert!(written.contains(golden), "{written}");
    assert_eq!(TestConfig::read(written.as_bytes()), Ok(message));
}

/// A backlog: in such a second something else is due than is sent, skipped or dropped.
#[test]
fn what_is_due_is_written_where_it_is_not_what_the_other_numbers_say() {
    let counts = Counts { sent: 5, due: 8, ..Counts::default() };
    let totals = Totals { sent: 20, answered: 20, due: 0, ..Totals::default() };
    let stats = SecondStats { counts, ..SecondStats::default() };
    let measured = Measured {
        session_id: session("s-1"),
        sequence: 3,
        second_index: 3,
        length_s: 1.0,
        sending_s: None,
        started_at_unix_ms: 0.0,
        stats,
        totals,
        end: None,
        engine: None,
    };
    let message = Metrics {
        node_id: node("driver-1"),
        test_id: id("test-1"),
        report_id: None,
        latency: LatencyMs::default(),
        measured: Some(Box::new(measured)),
    };
    let written = text(message.write());
    let counts = r#""counts":{"sent":5,"skipped":0,"due":8,"in_flight":0,"bytes_sent":0,"#;
    let totals = r#""totals":{"sent":20,"answered":20,"failed":0,"skipped":0,"due":0}"#;
    assert!(written.contains(counts) && written.contains(totals), "{written}");
    assert_eq!(Metrics::read(written.as_bytes()), Ok(message));
}

/// Literal messages of nodes that know only the specification.
mod of_other_nodes {
    use super::*;

    #[test]
    fn register() {
        for payload in [
            r#"{"node_id":"n1","node_IP":"1.2.3.4","message_type":"DRIVER_NODE_REGISTER"}"#,
            r#"{"node_id": "n1", "node_ip": "1.2.3.4", "message_type": "driver_node_register", "extra": [1, {"a": null}]}"#,
            r#"{"nodeId":"n1","NODE_IP":"1.2.3.4"}"#,
        ] {
            let message = Register::read(payload.as_bytes()).expect(payload);
            assert_eq!((message.node_id.as_str(), message.node_ip.as_deref()), ("n1", Some("1.2.3.4")), "{payload}");
            assert_eq!((message.session_id, message.hostname, message.version), (None, None, None), "{payload}");
        }
        // A node id may be a number, an address may be unknown.
        let message = Register::read(br#"{"node_id":7,"node_IP":null}"#).expect("reads");
        assert_eq!((message.node_id.as_str(), message.node_ip), ("7", None));
    }

    #[test]
    fn test_config() {
        for payload in [
            r#"{"test_id":"t","test_type":"AVALANCHE","test_message_delay":0,"message_count_per_driver":100}"#,
            r#"{"test_id":"t","test_type":"avalanche","test_message_delay":"0","message_count_per_driver":"100"}"#,
            r#"{"test_id":"t","test_type":"Avalanche","test_message_delay":null,"message_count_per_driver":100.0}"#,
            r#"{"testId":"t","testType":"Avalanche","messageCountPerDriver":" 1e2 "}"#,
        ] {
            let expected = TestConfig { count_per_driver: Some(100), ..TestConfig::new(id("t"), TestType::Avalanche) };
            assert_eq!(TestConfig::read(payload.as_bytes()), Ok(expected), "{payload}");
        }
        for delay in ["0.002", "\"0.002\"", "2e-3"] {
            let payload = format!(
                r#"{{"test_id":"t","test_type":"tsunami","test_message_delay":{delay},"message_count_per_driver":"7"}}"#
            );
            let config = TestConfig::read(payload.as_bytes()).expect(&payload);
            assert_eq!((config.delay, config.count_per_driver), (Duration::from_millis(2), Some(7)), "{payload}");
            assert_eq!(config.problems(), [], "{payload}");
        }
    }

    #[test]
    fn trigger() {
        for (payload, start) in [
            (r#"{"test_id":"t","trigger":"YES"}"#, true),
            (r#"{"test_id":"t","trigger":"yes"}"#, true),
            (r#"{"test_id":"t","trigger":true}"#, true),
            (r#"{"test_id":"t"}"#, true),
            (r#"{"test_id":"t","trigger":"No"}"#, false),
        ] {
            let expected = if start { Trigger::start(id("t"), None) } else { Trigger::stop(id("t")) };
            assert_eq!(Trigger::read(payload.as_bytes()), Ok(expected), "{payload}");
        }
    }

    #[test]
    fn metrics() {
        let numbers = LatencyMs { mean: Some(1.5), median: Some(1.0), min: Some(0.5), max: Some(9.0) };
        for (payload, latency) in [
            (
                r#"{"node_id":"n","test_id":"t","report_id":"r","metrics":{"mean_latency":1.5,"median_latency":1,"min_latency":0.5,"max_latency":9}}"#,
                numbers,
            ),
            (
                r#"{"node_id":"n","test_id":"t","report_id":"r","metrics":{"mean_latency":"1.5","median_latency":"1.0","min_latency":".5","max_latency":"9"}}"#,
                numbers,
            ),
            (
                r#"{"node_id":"n","test_id":"t","report_id":"r","mean_latency":1.5,"medianLatency":1,"MIN_LATENCY":0.5,"max_latency":9}"#,
                numbers,
            ),
            (
                r#"{"node_id":"n","test_id":"t","report_id":"r","metrics":{"mean_latency":null,"median_latency":"","max_latency":9}}"#,
                LatencyMs { max: Some(9.0), ..LatencyMs::default() },
            ),
            (r#"{"node_id":"n","test_id":"t","report_id":"r"}"#, LatencyMs::default()),
        ] {
            let message = Metrics::read(payload.as_bytes()).expect(payload);
            assert_eq!(message.latency, latency, "{payload}");
            assert_eq!(message.measured, None, "{payload}");
        }
    }

    #[test]
    fn heartbeat() {
        for (payload, timestamp) in [
            (r#"{"node_id":"n","heartbeat":"YES","timestamp":1700000000000}"#, Some(1.7e12)),
            (r#"{"node_id":"n","heartbeat":"yes","timestamp":"1700000000000"}"#, Some(1.7e12)),
            (r#"{"node_id":"n","heartbeat":"YES","timestamp":"2024-01-01T00:00:00Z"}"#, None),
            (r#"{"node_id":"n","heartbeat":true}"#, None),
            (r#"{"node_id":"n"}"#, None),
        ] {
            let message = Heartbeat::read(payload.as_bytes()).expect(payload);
            assert!(message.alive, "{payload}");
            assert_eq!(message.timestamp_unix_ms, timestamp, "{payload}");
            assert_eq!((message.state, message.refusal, message.reports_waiting), (None, None, None), "{payload}");
        }
    }
}
