//! Absurd messages on every topic: each is refused in words, and none stops a reader.

mod common;

use std::fmt::Debug;

use common::{id, measured_second, node, session};
use onrush_protocol::{
    EndReason, ErrorKind, Heartbeat, LatencyMs, MAX_MESSAGE_BYTES, Measured, Metrics, ReadError, Register, TestConfig,
    Trigger,
};
use onrush_stats::{MAX_NAME_BYTES, MAX_NAMES, NameStats, OTHER, SecondStats, SparseDistribution};
use serde_json::{Value, json};

/// Reads a payload as each of the five messages.
fn read_all(payload: &[u8]) -> [(&'static str, Result<(), ReadError>); 5] {
    [
        ("register", Register::read(payload).map(drop)),
        ("test_config", TestConfig::read(payload).map(drop)),
        ("trigger", Trigger::read(payload).map(drop)),
        ("metrics", Metrics::read(payload).map(drop)),
        ("heartbeat", Heartbeat::read(payload).map(drop)),
    ]
}

#[track_caller]
fn assert_all_refuse(payload: &[u8], kind: ErrorKind) {
    let shown = String::from_utf8_lossy(&payload[..payload.len().min(80)]);
    for (message, result) in read_all(payload) {
        let error = result.expect_err(&format!("{message} read {shown}"));
        assert_eq!(error.kind, kind, "{message} of {shown}: {error}");
        assert!(error.to_string().len() < 400, "{message}: the error repeats the message: {error}");
    }
}

#[track_caller]
fn assert_field<T: Debug>(result: Result<T, ReadError>, field: &str, kind: ErrorKind, test_id: Option<&str>) {
    let error = result.expect_err(field);
    assert_eq!((error.field, error.kind), (Some(field), kind), "{error}");
    assert_eq!(error.test_id.as_ref().map(|id| id.as_str()), test_id, "{error}");
    assert!(error.to_string().starts_with(field), "{error} does not begin with its field");
}

#[test]
fn what_is_no_json_object() {
    for payload in [
        b"".as_slice(),
        b" ",
        b"\0",
        b"null",
        b"7",
        b"\"text\"",
        b"[]",
        b"[{\"node_id\":\"n\",\"test_id\":\"t\"}]",
        b"{",
        b"{\"node_id\":\"n\",\"test_id\":\"t\"",
        b"{\"node_id\":\"n\",\"test_id\":\"t\"}}",
        b"{node_id:\"n\"}",
        b"{\"node_id\":NaN,\"test_id\":\"t\"}",
        b"{\"node_id\":Infinity}",
        b"<xml/>",
        b"\xff\xfe\x00\x01",
        b"{\"node_id\":\"\xff\xfe\",\"test_id\":\"t\",\"test_type\":\"AVALANCHE\"}",
        b"{\"node_id\":\"\\ud800\",\"test_id\":\"t\",\"test_type\":\"AVALANCHE\"}",
    ] {
        assert_all_refuse(payload, ErrorKind::NotJson);
    }
}

#[test]
fn what_is_too_large_or_too_deep() {
    let huge = format!(r#"{{"node_id":"n","test_id":"t","filler":"{}"}}"#, "x".repeat(20_000_000));
    assert_all_refuse(huge.as_bytes(), ErrorKind::TooLarge);
    assert_all_refuse(&vec![b'['; MAX_MESSAGE_BYTES + 1], ErrorKind::TooLarge);
    assert_all_refuse(&vec![b'['; 1_000_000], ErrorKind::NotJson);
    assert_all_refuse("{\"a\":".repeat(200_000).as_bytes(), ErrorKind::NotJson);
    let nested = format!(r#"{{"node_id":"n","test_id":"t","deep":{}{}}}"#, "[".repeat(1000), "]".repeat(1000));
    assert_all_refuse(nested.as_bytes(), ErrorKind::NotJson);
    // Brackets within a text are no nesting.
    let text = format!(r#"{{"node_id":"n","test_id":"t","test_type":"AVALANCHE","note":"\"{}"}}"#, "[".repeat(1000));
    for (message, result) in read_all(text.as_bytes()) {
        assert_eq!(result, Ok(()), "{message}");
    }
}

#[test]
fn a_long_text_where_a_short_one_belongs() {
    let long = "x".repeat(450_000);
    let payload = json!({"node_id": long, "test_id": long, "test_type": "AVALANCHE"}).to_string();
    assert_all_refuse(payload.as_bytes(), ErrorKind::BadField);
}

#[test]
fn a_later_schema_is_refused_in_words() {
    for schema in ["2", "\"2\"", "2.0", "9007199254740992", "18446744073709551615"] {
        let payload = format!(r#"{{"node_id":"n","test_id":"t","test_type":"AVALANCHE","schema":{schema}}}"#);
        assert_all_refuse(payload.as_bytes(), ErrorKind::UnknownSchema);
        let error = Trigger::read(payload.as_bytes()).expect_err("a later schema");
        assert!(error.to_string().contains("update this node"), "{error}");
    }
    for schema in ["0", "1", "\"1\"", "null"] {
        let payload = format!(r#"{{"node_id":"n","test_id":"t","test_type":"AVALANCHE","schema":{schema}}}"#);
        for (message, result) in read_all(payload.as_bytes()) {
            assert_eq!(result, Ok(()), "{message} with schema {schema}");
        }
    }
}

#[test]
fn the_last_of_duplicate_keys_counts() {
    let message = Register::read(br#"{"node_id":"a","node_id":"b"}"#).expect("reads");
    assert_eq!(message.node_id.as_str(), "b");
    let message = Trigger::read(br#"{"test_id":"a","trigger":"YES","trigger":"NO"}"#).expect("reads");
    assert!(!message.start);
}

#[test]
fn names_that_are_none() {
    for name in [
        json!(""),
        json!(" "),
        json!(" n"),
        json!("a\nb"),
        json!("a\u{0}"),
        json!("x".repeat(201)),
        json!([]),
        json!({"a": 1}),
    ] {
        let payload = json!({"node_id": name, "test_id": "t"}).to_string();
        assert_field(Register::read(payload.as_bytes()), "node_id", ErrorKind::BadField, None);
        assert_field(Heartbeat::read(payload.as_bytes()), "node_id", ErrorKind::BadField, None);
        assert_field(Metrics::read(payload.as_bytes()), "node_id", ErrorKind::BadField, Some("t"));
        let payload = json!({"node_id": "n", "test_id": name, "test_type": "AVALANCHE"}).to_string();
        assert_field(TestConfig::read(payload.as_bytes()), "test_id", ErrorKind::BadField, None);
        assert_field(Trigger::read(payload.as_bytes()), "test_id", ErrorKind::BadField, None);
        assert_field(Metrics::read(payload.as_bytes()), "test_id", ErrorKind::BadField, None);
    }
}

#[test]
fn what_is_missing_is_named() {
    let payload = b"{}";
    assert_field(Register::read(payload), "node_id", ErrorKind::MissingField, None);
    assert_field(Heartbeat::read(payload), "node_id", ErrorKind::MissingField, None);
    assert_field(TestConfig::read(payload), "test_id", ErrorKind::MissingField, None);
    assert_field(Trigger::read(payload), "test_id", ErrorKind::MissingField, None);
    assert_field(Metrics::read(payload), "test_id", ErrorKind::MissingField, None);
    assert_field(Metrics::read(br#"{"test_id":"t"}"#), "node_id", ErrorKind::MissingField, Some("t"));
    assert_field(TestConfig::read(br#"{"test_id":"t"}"#), "test_type", ErrorKind::MissingField, Some("t"));
}

/// Values that are no number at all, or none that a duration, a rate or a count could have.
fn absurd_numbers() -> [Value; 9] {
    [
        json!(-1),
        json!("-1"),
        json!("NaN"),
        json!("inf"),
        json!("-Infinity"),
        json!("1e999"),
        json!("twelve"),
        json!([1]),
        json!({"n": 1}),
    ]
}

#[test]
fn each_number_of_a_config_in_turn() {
    let fields = [
        "test_message_delay",
        "message_count_per_driver",
        "duration_s",
        "target_throughput_per_s",
        "connections",
        "timeout_s",
        "connect_timeout_s",
    ];
    for field in fields {
        let with = |value: &Value| {
            let mut config =
                json!({"test_id": "t", "test_type": "TSUNAMI", "test_message_delay": 1, "message_count_per_driver": 1});
            config[field] = value.clone();
            TestConfig::read(config.to_string().as_bytes())
        };
        for value in absurd_numbers().iter().chain([&json!(true)]) {
            assert_field(with(value), field, ErrorKind::BadField, Some("t"));
        }
        // A number beyond all measure is either no value of this field, or one that no test can have.
        match with(&json!(1e300)) {
            Err(error) => assert_eq!(error.field, Some(field), "{error}"),
            Ok(config) => assert_eq!(config.problems().len(), 1, "{field} of 1e300: {:?}", config.problems()),
        }
    }
    for count in ["0.5", "1e-3"] {
        let payload = json!({"test_id": "t", "test_type": "AVALANCHE", "message_count_per_driver": count}).to_string();
        let result = TestConfig::read(payload.as_bytes());
        assert_field(result, "message_count_per_driver", ErrorKind::BadField, Some("t"));
    }
}

#[test]
fn each_other_field_of_a_config_in_turn() {
    for (field, value) in [
        ("test_type", json!("EARTHQUAKE")),
        ("test_type", json!("")),
        ("test_type", json!(["AVALANCHE"])),
        ("target_url", json!({"host": "a"})),
        ("method", json!(["GET"])),
        ("headers", json!("Accept: text/plain")),
        ("headers", json!([["only a name"]])),
        ("headers", json!([["a", "b", "c"]])),
        ("headers", json!([["a", 1]])),
        ("headers", json!({"a": {"b": "c"}})),
        ("body", json!([1, 2, 3])),
        ("body_base64", json!("not base64!")),
        ("keepalive", json!("perhaps")),
        ("participants", json!("all")),
        ("participants", json!([1, 2])),
        ("participants", json!(["a", ""])),
    ] {
        let mut config = json!({"test_id": "t", "test_type": "AVALANCHE"});
        config[field] = value;
        assert_field(TestConfig::read(config.to_string().as_bytes()), field, ErrorKind::BadField, Some("t"));
    }
    let both = json!({"test_id": "t", "test_type": "AVALANCHE", "body": "a", "body_base64": "YQ=="}).to_string();
    assert_field(TestConfig::read(both.as_bytes()), "body_base64", ErrorKind::BadField, Some("t"));
}

#[test]
fn each_field_of_the_small_messages_in_turn() {
    let kind = json!({"node_id": "n", "message_type": "SOMETHING_ELSE"}).to_string();
    assert_field(Register::read(kind.as_bytes()), "message_type", ErrorKind::BadField, None);
    for value in [json!("perhaps"), json!(2), json!([])] {
        let trigger = json!({"test_id": "t", "trigger": value}).to_string();
        assert_field(Trigger::read(trigger.as_bytes()), "trigger", ErrorKind::BadField, Some("t"));
        let heartbeat = json!({"node_id": "n", "heartbeat": value}).to_string();
        assert_field(Heartbeat::read(heartbeat.as_bytes()), "heartbeat", ErrorKind::BadField, None);
    }
    for value in absurd_numbers() {
        let trigger = json!({"test_id": "t", "start_at": value}).to_string();
        assert_field(Trigger::read(trigger.as_bytes()), "start_at", ErrorKind::BadField, Some("t"));
        for field in ["reports_waiting", "messages_skipped"] {
            let mut heartbeat = json!({"node_id": "n"});
            heartbeat[field] = value.clone();
            assert_field(Heartbeat::read(heartbeat.to_string().as_bytes()), field, ErrorKind::BadField, None);
        }
        // The time of a heartbeat is of many forms elsewhere: a strange one must not make its node look dead.
        let heartbeat = json!({"node_id": "n", "timestamp": value}).to_string();
        assert_eq!(Heartbeat::read(heartbeat.as_bytes()).expect("reads").timestamp_unix_ms, None, "{heartbeat}");
        // Nor must what is only displayed.
        let heartbeat = json!({"node_id": "n", "cpu_s": value, "memory_bytes": value}).to_string();
        let read = Heartbeat::read(heartbeat.as_bytes()).expect("reads");
        assert_eq!((read.cpu_s, read.memory_bytes), (None, None), "{heartbeat}");
    }
    let state = json!({"node_id": "n", "state": "DANCING"}).to_string();
    assert_field(Heartbeat::read(state.as_bytes()), "state", ErrorKind::BadField, None);
}

#[test]
fn each_latency_of_a_plain_report_in_turn() {
    for field in ["mean_latency", "median_latency", "min_latency", "max_latency"] {
        for value in absurd_numbers().iter().chain([&json!(1e300), &json!("1e300"), &json!(1e13)]) {
            let nested = json!({"node_id": "n", "test_id": "t", "metrics": {field: value}}).to_string();
            assert_field(Metrics::read(nested.as_bytes()), field, ErrorKind::BadField, Some("t"));
            let flat = json!({"node_id": "n", "test_id": "t", field: value}).to_string();
            assert_field(Metrics::read(flat.as_bytes()), field, ErrorKind::BadField, Some("t"));
        }
    }
    let payload = json!({"node_id": "n", "test_id": "t", "metrics": [1, 2]}).to_string();
    assert_field(Metrics::read(payload.as_bytes()), "metrics", ErrorKind::BadField, Some("t"));
}

fn full_report() -> Value {
    let stats = measured_second();
    let message = Metrics {
        node_id: node("n"),
        test_id: id("t"),
        report_id: Some("r".into()),
        latency: LatencyMs::of(&stats.latency),
        measured: Some(Box::new(Measured {
            session_id: session("s"),
            sequence: 0,
            second_index: 0,
            length_s: 1.0,
            sending_s: Some(1.0),
            started_at_unix_ms: 1.7e12,
            totals: stats.counts.totals(),
            stats,
            end: Some(EndReason::Stopped),
            engine: None,
        })),
    };
    serde_json::from_slice(&message.write()).expect("what we write is JSON")
}

/// Reads our own report with one value replaced (`None`: taken out).
fn report_with(pointer: &str, value: Option<Value>) -> Result<Metrics, ReadError> {
    let mut report = full_report();
    match value {
        Some(value) => *report.pointer_mut(pointer).expect(pointer) = value,
        None => {
            let (parent, key) = pointer.rsplit_once('/').expect("a pointer has a slash");
            report.pointer_mut(parent).and_then(Value::as_object_mut).and_then(|o| o.remove(key)).expect(pointer);
        }
    }
    Metrics::read(report.to_string().as_bytes())
}

#[test]
fn each_number_of_our_report_in_turn() {
    for pointer in [
        "/sequence",
        "/second_index",
        "/length_s",
        "/started_at",
        "/counts/sent",
        "/counts/skipped",
        "/counts/in_flight",
        "/counts/bytes_sent",
        "/counts/bytes_received",
        "/totals/sent",
        "/totals/answered",
        "/totals/failed",
        "/totals/skipped",
    ] {
        let field = pointer.rsplit('/').next().expect("a name");
        for value in absurd_numbers() {
            assert_field(report_with(pointer, Some(value)), field, ErrorKind::BadField, Some("t"));
        }
        if !matches!(field, "length_s" | "started_at") {
            for value in [json!(1e300), json!(u64::MAX), json!(0.5)] {
                assert_field(report_with(pointer, Some(value)), field, ErrorKind::BadField, Some("t"));
            }
        }
    }
    for (pointer, value) in [
        ("/counts/statuses/200", json!(-1)),
        ("/counts/statuses", json!({"99": 1})),
        ("/counts/statuses", json!({"OK": 1})),
        ("/counts/statuses", json!([200])),
    ] {
        assert_field(report_with(pointer, Some(value)), "statuses", ErrorKind::BadField, Some("t"));
    }
    for value in [json!({"bad luck": 1}), json!({"timeout": 1e300}), json!("timeout")] {
        assert_field(report_with("/counts/failures", Some(value)), "failures", ErrorKind::BadField, Some("t"));
    }
}

#[test]
fn what_our_report_lacks_is_named() {
    for pointer in [
        "/session_id",
        "/second_index",
        "/started_at",
        "/counts",
        "/counts/sent",
        "/totals",
        "/totals/sent",
        "/totals/answered",
        "/totals/failed",
        "/totals/skipped",
        "/latency",
        "/service_time",
        "/schedule_error",
    ] {
        let field = pointer.rsplit('/').next().expect("a name");
        assert_field(report_with(pointer, None), field, ErrorKind::MissingField, Some("t"));
    }
    // Without a sequence it is a report of a node that knows only the specification.
    assert_eq!(report_with("/sequence", None).expect("reads").measured, None);
}

#[test]
fn each_distribution_of_our_report_in_turn() {
    for (field, value) in [
        ("latency", json!({"count": 3, "histogram": "no base64!"})),
        ("latency", json!({"count": 3, "histogram": ""})),
        ("latency", json!({"count": 0, "histogram": full_report()["latency"]["histogram"]})),
        ("latency", json!({"count": 3, "histogram": "AAAA"})),
        ("latency", json!([])),
        ("schedule_error", json!({"histogram": "HISTFAAA"})),
        ("service_time", json!(7)),
    ] {
        let result = report_with(&format!("/{field}"), Some(value));
        assert_field(result, field, ErrorKind::BadField, Some("t"));
    }
    let result = report_with("/latency/sum_ns", Some(json!(-1)));
    assert_field(result, "sum_ns", ErrorKind::BadField, Some("t"));
}

#[test]
fn a_contradictory_distribution_is_brought_to_order() {
    for value in [json!(0), json!(null), json!(u64::MAX)] {
        for part in ["sum_ns", "min_ns", "max_ns"] {
            let report = report_with(&format!("/latency/{part}"), Some(value.clone())).expect("reads");
            let latency = report.measured.expect("ours").stats.latency;
            let (min, max) = (latency.min_ns().expect("some") as f64, latency.max_ns().expect("some") as f64);
            let mean = latency.mean_ns().expect("some");
            assert!(min <= mean && mean <= max, "{part} of {value}: {min} <= {mean} <= {max}");
            assert!(min >= 0.99e6 && max <= 3.01e6, "{part} of {value}: {min} to {max}");
        }
    }
}

#[test]
fn an_end_is_known_in_any_case() {
    for (text, end) in [
        ("completed", EndReason::Completed),
        (" Stopped", EndReason::Stopped),
        ("no memory", EndReason::Failed("no memory".into())),
    ] {
        let report = report_with("/end", Some(json!(text))).expect("reads");
        assert_eq!(report.measured.expect("ours").end, Some(end));
    }
}

#[test]
fn what_a_driver_says_of_itself_is_cut() {
    let (exact, long) = ("x".repeat(200), "ü".repeat(100_000));
    let fields =
        json!({"node_id": "n", "node_IP": long, "hostname": long, "version": exact, "cpus": format!("{exact}y")});
    let register = Register::read(fields.to_string().as_bytes()).unwrap();
    for text in [&register.node_ip, &register.hostname, &register.cpus] {
        let text = text.as_deref().unwrap();
        assert!((190..=200).contains(&text.len()) && text.ends_with('…'), "{} bytes", text.len());
    }
    assert_eq!(register.version, Some(exact));
}

/// Names are read with bounds: what is beyond those that are told apart is counted together, and a flood is no report.
#[test]
fn names_of_requests_are_read_with_bounds() {
    let report = |names: Vec<String>| {
        let distribution = r#"{"histogram":""}"#;
        let text = format!(
            r#"{{"node_id":"n","test_id":"t","session_id":"s","sequence":0,"second_index":0,"started_at":0,
            "counts":{{"sent":0}},"totals":{{"sent":0,"answered":0,"failed":0,"skipped":0}},"latency":{distribution},
            "service_time":{distribution},"schedule_error":{distribution},"Names":[{}]}}"#,
            names.join(",")
        );
        Metrics::read(text.as_bytes()).map(|metrics| metrics.measured.expect("it has a sequence").stats.by_name)
    };
    let flood = |n: usize| (0..n).map(|k| format!(r#"{{"name":"{k:05}","sent":1}}"#)).collect::<Vec<_>>();
    let read = report(flood(200)).expect("a good report");
    assert_eq!(read.iter().len(), MAX_NAMES + 1);
    assert_eq!((read.whole().sent, read.get(OTHER).map(|other| other.sent)), (200, Some(136)));
    let error = report(flood(10_000)).expect_err("a flood");
    assert!(error.field == Some("names") && error.problem.contains("more than 256 names"), "{error}");
    // What is long, odd or missing is read as well as it can be.
    let odd = [
        format!(r#"{{"name":"{}","sent":"2"}}"#, "x".repeat(5_000)),
        r#"{"sent":3}"#.into(),
        r#"{"name":"\u001b[2J"}"#.into(),
    ];
    let read = report(odd.to_vec()).expect("a good report");
    let names: Vec<(&str, u64)> = read.iter().map(|(name, stats)| (name, stats.sent)).collect();
    assert_eq!((names[0], names[1]), (("\\u{1b}[2J", 0), ("other", 3)));
    assert!(names[2].0.len() <= MAX_NAME_BYTES && names[2].1 == 2, "{names:?}");
    for (wrong, field) in [
        (r#"{"name":"a","sent":-1}"#, "sent"),
        (r#"{"name":"a","statuses":{"20":1}}"#, "statuses"),
        (r#"{"name":"a","failures":{"bad luck":1}}"#, "failures"),
        (r#"{"name":"a","latency":{"histogram":"!"}}"#, "names"),
        ("7", "names"),
    ] {
        assert_eq!(report(vec![wrong.into()]).expect_err(wrong).field, Some(field), "{wrong}");
    }
}

/// A report of many names that no broker would take is written with their figures folded into one.
#[test]
fn a_report_that_would_be_too_long_folds_its_names() {
    let mut stats = SecondStats::default();
    // Marsaglia's xorshift.
    let mut state = 1_u64;
    let mut noise = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    for name in 0..64_u64 {
        // Noise, which cannot be packed well.
        let buckets = (0..33_000_u16).map(|bucket| (bucket, 1 + noise() % 60));
        let latency = SparseDistribution::from_parts(buckets.collect(), 1 << 50, 0, 1 << 41).expect("in order");
        stats.by_name.add(&name.to_string(), &NameStats { sent: 20_000, latency, ..NameStats::default() });
    }
    let whole = stats.by_name.whole();
    let message = Metrics {
        node_id: node("n"),
        test_id: id("t"),
        report_id: None,
        latency: LatencyMs::default(),
        measured: Some(Box::new(Measured {
            session_id: session("s"),
            sequence: 0,
            second_index: 0,
            length_s: 1.0,
            sending_s: None,
            started_at_unix_ms: 0.0,
            totals: stats.counts.totals(),
            stats,
            end: None,
            engine: None,
        })),
    };
    let written = message.write();
    assert!(written.len() < MAX_MESSAGE_BYTES, "{} bytes", written.len());
    let read = Metrics::read(&written).expect("our own").measured.expect("it has a second").stats.by_name;
    let other = read.get(OTHER).expect("all of them");
    assert_eq!((read.iter().len(), other.sent), (1, whole.sent));
    assert_eq!(other.latency.buckets(), whole.latency.buckets());
}
