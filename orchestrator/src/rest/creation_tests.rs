use proptest::prelude::*;
use serde_json::json;

use super::*;

fn read(value: Value) -> Result<NewTest, Vec<FieldError>> {
    let Value::Object(fields) = value else { panic!("the tests give objects") };
    parse(&fields, TestId::new("t1").expect("a name"), 8).map_err(|errors| errors.shown().to_vec())
}

fn valid(value: Value) -> TestConfig {
    read(value.clone()).unwrap_or_else(|errors| panic!("{value}: {errors:?}")).config
}

/// A test without errors, with some fields replaced.
fn with(changes: Value) -> Value {
    let mut fields = json!({"test_type": "TSUNAMI", "delay": "10ms", "requests": 100, "target_url": "http://h/"});
    let (Some(all), Value::Object(changes)) = (fields.as_object_mut(), changes) else { panic!("objects") };
    for (key, value) in changes {
        for other in ["delay", "requests", "target_url"] {
            if field_named(&key).is_some_and(|name| Some(name) == field_named(other)) {
                all.remove(other);
            }
        }
        all.insert(key, value);
    }
    fields
}

#[test]
fn every_field_is_understood_under_every_name() {
    let test = read(json!({
        "Type": "tsunami", "url": " http://h:1/x ", "method": "post", "headers": ["A: 1:2", ["B", 3]], "body": "hällo",
        "count": "10k", "durationS": "1m 30s", "message_delay": 0.002, "rate": "2.5k", "connections": "8",
        "timeout": "250ms", "connect_timeout_s": 2, "thinkTime": "1.5s", "keep_alive": "NO", "name": " n ", "trigger": "YES"
    }))
    .expect("a test");
    let TestConfig { test_type, target_url, method, headers, body, .. } = &test.config;
    assert_eq!(*test_type, TestType::Tsunami);
    assert_eq!(target_url.as_deref(), Some("http://h:1/x"));
    assert_eq!(method, "POST");
    assert_eq!(*headers, [("A".to_owned(), "1:2".to_owned()), ("B".to_owned(), "3".to_owned())]);
    assert_eq!(body.as_deref(), Some("hällo".as_bytes()));
    assert_eq!(test.config.count_per_driver, Some(10_000));
    assert_eq!(test.config.duration, Some(Duration::from_secs(90)));
    assert_eq!(test.config.delay, Duration::from_millis(2));
    assert_eq!(test.config.target_throughput_per_s, Some(2500.0));
    assert_eq!(test.config.connections, Some(8));
    assert_eq!(test.config.timeout, Duration::from_millis(250));
    assert_eq!(test.config.think_time, Duration::from_millis(1500));
    assert_eq!(test.config.connect_timeout, Duration::from_secs(2));
    assert!(!test.config.keepalive);
    assert_eq!(test.name.as_deref(), Some("n"));
    assert!(test.trigger);
}

#[test]
fn what_is_missing_has_its_default() {
    let test = read(json!({"test_type": "AVALANCHE", "requests": 5, "duration": null, "name": " "})).expect("a test");
    let mut expected = TestConfig::new(TestId::new("t1").expect("a name"), TestType::Avalanche);
    expected.count_per_driver = Some(5);
    assert_eq!(test.config, expected);
    assert_eq!((test.name, test.trigger), (None, false));
    // A Tsunami is spaced by its delay or by the target throughput.
    assert_eq!(valid(json!({"type": "TSUNAMI", "rate": 10, "duration": 1})).delay, Duration::ZERO);
    assert_eq!(valid(with(json!({"headers": {"X": "y"}}))).headers, [("X".to_owned(), "y".to_owned())]);
    assert_eq!(valid(with(json!({"body_base64": "AP8="}))).body, Some(vec![0, 255]));
    assert_eq!(valid(with(json!({"method": "purge"}))).method, "purge");
}

/// Each wrong value, the name under which it must be reported, and a word of what would be right.
#[test]
fn each_wrong_field_is_named_as_the_client_spelled_it() {
    let cases: Vec<(Value, &str, &str)> = vec![
        (json!({"test_type": "FLOOD"}), "test_type", "AVALANCHE"),
        (json!({"test_type": 1}), "test_type", "AVALANCHE"),
        (json!({"target_url": "http//localhost"}), "target_url", "http://localhost"),
        (json!({"target_url": "8080"}), "target_url", "localhost:8080"),
        (json!({"url": "ftp://h/"}), "url", "http"),
        (json!({"expect": "200"}), "expect", "status=200"),
        (json!({"expect": ["status=2xx", 7]}), "expect", "status=200"),
        (json!({"targets": {"url": "http://h/"}}), "targets", "list"),
        (json!({"targets": []}), "targets", "at least one"),
        (json!({"targets": [{"url": "http://h/"}, 7]}), "targets", "place 2"),
        (json!({"targets": [{"uri": "http://h/"}]}), "targets", "uri"),
        (json!({"targets": [{"url": "ftp://h/"}]}), "targets", "place 1"),
        (json!({"targets": [{"url": "http://h/", "weight": 0}]}), "targets", "at least 1"),
        (json!({"targets": [{"url": " "}]}), "targets", "leave it out"),
        (json!({"targets": [{"url": "http://h/", "method": 7}]}), "targets", "method is 7"),
        (json!({"targets": [{"url": "http://h/", "body": true}]}), "targets", "a text"),
        (json!({"targets": [{"url": "http://h/", "weight": 1.5}]}), "targets", "whole number"),
        (json!({"order": "backwards"}), "order", "in_turn"),
        (json!({"seed": "x"}), "seed", "whole number"),
        (json!({"insecure": "perhaps"}), "insecure", "true or false"),
        (json!({"cacert": "nothing"}), "cacert", "PEM"),
        (json!({"target": 5}), "target", "URL"),
        (json!({"target": ""}), "target", "http://"),
        (json!({"method": "GE T"}), "method", "GET"),
        (json!({"method": "connect"}), "method", "GET"),
        (json!({"method": ["GET"]}), "method", "GET"),
        (json!({"headers": "A: 1"}), "headers", "list"),
        (json!({"headers": ["no colon"]}), "headers", "Name: value"),
        (json!({"headers": [["A"]]}), "headers", "place 1"),
        (json!({"headers": {"A": null}}), "headers", "text"),
        (json!({"headers": {"A B": "1"}}), "headers", "header name"),
        (json!({"headers": {"A": "1\r\nB: 2"}}), "headers", "one line"),
        (json!({"headers": {"Content-Length": 5}}), "headers", "leave it out"),
        (json!({"headers": {"A": "x".repeat(70_000)}}), "headers", "bytes"),
        (json!({"body": {"a": 1}}), "body", "text"),
        (json!({"body": "x".repeat(600_000)}), "body", "bytes"),
        (json!({"body_base64": "%"}), "body_base64", "base64"),
        (json!({"body_base64": 1}), "body_base64", "base64"),
        (json!({"body": "a", "body_base64": "AA=="}), "body_base64", "one of them"),
        (json!({"message_count_per_driver": 0}), "message_count_per_driver", "from 1"),
        (json!({"requests": -1}), "requests", "from 1"),
        (json!({"requests": 1.5}), "requests", "whole number"),
        (json!({"count": "many"}), "count", "10k"),
        (json!({"count": 1e300}), "count", "1000000000000"),
        (json!({"count": 18_446_744_073_709_551_615_u64}), "count", "1000000000000"),
        (json!({"requests": true}), "requests", "whole number"),
        (json!({"duration": 0}), "duration", "more than 0"),
        (json!({"duration": -1}), "duration", "10ms"),
        (json!({"duration": "NaN"}), "duration", "10ms"),
        (json!({"duration": ""}), "duration", "10ms"),
        (json!({"duration": 1e300}), "duration", "10ms"),
        (json!({"duration": "10000h"}), "duration", "at most"),
        (json!({"duration": ["1s"]}), "duration", "10ms"),
        (json!({"delay": 0}), "delay", "TSUNAMI"),
        (json!({"delay": "-1ms"}), "delay", "10ms"),
        (json!({"delay": "10 parsecs"}), "delay", "10ms"),
        (json!({"test_message_delay": 4000}), "test_message_delay", "3600s"),
        (json!({"test_message_delay": null}), "test_message_delay", "missing"),
        (json!({"test_type": "AVALANCHE", "delay": 1}), "delay", "target_throughput"),
        (json!({"rate": 0}), "rate", "a second"),
        (json!({"throughput": -5}), "throughput", "a second"),
        (json!({"target_throughput": 1e300}), "target_throughput", "10000000"),
        (json!({"target_throughput": "fast"}), "target_throughput", "10k"),
        (json!({"connections": 0}), "connections", "1 to 100000"),
        (json!({"connections": 4_294_967_297_u64}), "connections", "1 to 100000"),
        (json!({"connections": "NaN"}), "connections", "1 to 100000"),
        (json!({"think_time": "2h"}), "think_time", "3600s"),
        (json!({"timeout": 0}), "timeout", "1ms"),
        (json!({"timeout": "2h"}), "timeout", "3600s"),
        (json!({"timeout": {}}), "timeout", "10ms"),
        (json!({"connect_timeout": "soon"}), "connect_timeout", "10ms"),
        (json!({"keepalive": "maybe"}), "keepalive", "true or false"),
        (json!({"keep_alive": 2}), "keep_alive", "true or false"),
        (json!({"name": "x".repeat(201)}), "name", "200"),
        (json!({"name": "a\nb"}), "name", "one line"),
        (json!({"name": 5}), "name", "text"),
        (json!({"trigger": 1}), "trigger", "true or false"),
        (json!({"trigger": null}), "trigger", "true or false"),
        (json!({"conections": 5}), "conections", "did you mean connections?"),
        (json!({"xyzzy": 5}), "xyzzy", "there are test_type,"),
        (json!({"test_id": "mine"}), "test_id", "orchestrator"),
        (json!({"": 5}), "", "unknown"),
        (json!({"url": "http://h/", "target": "http://h/"}), "url", "one of them"),
    ];
    for (changes, field, right) in cases {
        let errors = read(with(changes.clone())).expect_err(&changes.to_string());
        let names: Vec<&str> = errors.iter().map(|e| e.field.as_str()).collect();
        assert_eq!(names, [field], "{changes}: {errors:?}");
        assert!(errors[0].problem.contains(right), "{changes}: {errors:?}");
        assert!(errors[0].problem.len() < 500, "{changes}: {errors:?}");
    }
}

#[test]
fn all_errors_come_at_once() {
    let wrong = json!({
        "test_type": "x", "url": "ftp://x", "method": "", "headers": 1, "body": 1, "requests": "x", "duration": "x", "delay": "x",
        "rate": "x", "connections": "x", "timeout": "x", "connect_timeout": "x", "keepalive": "x", "name": 1,
        "resend": "x", "connect_to": "x", "unix_socket": 1, "trigger": "x", "zzz": 1
    });
    let mut expected: Vec<&str> = wrong.as_object().expect("an object").keys().map(String::as_str).collect();
    let errors = read(wrong.clone()).expect_err("all wrong");
    let mut names: Vec<&str> = errors.iter().map(|e| e.field.as_str()).collect();
    names.sort_unstable();
    expected.sort_unstable();
    assert_eq!(names, expected, "{errors:?}");
}

#[test]
fn however_much_is_wrong_little_is_said() {
    let unknown = |key: String| (key, json!(1));
    // Nothing like a field, like one, the same field over and over, and names without end.
    let bodies: [serde_json::Map<_, _>; 5] = [
        (0..100_000).map(|n| unknown(format!("k{n}"))).collect(),
        (0..50_000).map(|n| unknown(format!("conections{n}"))).collect(),
        (0..2000).map(|n| unknown(format!("connections{}", "_".repeat(n)))).collect(),
        (0..100).map(|n| unknown(format!("{n}{}", "x".repeat(10_000)))).collect(),
        [
            ("targets".to_owned(), json!([{"y".repeat(500_000): 1}])),
            ("url".to_owned(), json!(format!("{}:", "z".repeat(9000)))),
        ]
        .into_iter()
        .collect(),
    ];
    for (index, fields) in bodies.into_iter().enumerate() {
        let errors = parse(&fields, TestId::new("t1").expect("a name"), 8).expect_err("nothing is right");
        assert!(errors.shown().len() <= 20, "{index}");
        let said = serde_json::to_string(errors.shown()).expect("texts");
        assert!(said.len() < 10_000, "{index}: {} bytes", said.len());
        assert!(said.matches("message_count_per_driver, duration").count() <= 1, "{index}: {said}");
    }
}

#[test]
fn what_is_missing_is_named_once() {
    let fields_of = |value: Value| -> Vec<String> {
        read(value).expect_err("something is missing").into_iter().map(|e| e.field).collect()
    };
    assert_eq!(fields_of(json!({})), ["test_type", "message_count_per_driver"]);
    assert_eq!(fields_of(json!({"type": "TSUNAMI", "requests": 1})), ["test_message_delay"]);
    assert_eq!(fields_of(json!({"type": "AVALANCHE"})), ["message_count_per_driver"]);
    // What cannot be read is not also called missing, nor is its alternative.
    assert_eq!(fields_of(json!({"type": "TSUNAMI", "requests": 1, "delay": "x"})), ["delay"]);
    assert_eq!(fields_of(json!({"type": "TSUNAMI", "requests": 1, "rate": "x"})), ["rate"]);
    assert_eq!(fields_of(json!({"type": "AVALANCHE", "duration": "x"})), ["duration"]);
}

#[test]
fn the_config_that_is_shown_can_be_sent_again() {
    let shown = json!({
        "test_type": "AVALANCHE", "target_url": "http://h/", "method": "GET", "headers": [["a", "b"]], "body": null,
        "message_count_per_driver": 5, "duration_s": 1.5, "test_message_delay_s": 0.0, "target_throughput_per_s": 10.0,
        "connections": 64, "timeout_s": 10.0, "connect_timeout_s": 5.0, "keepalive": true
    });
    assert_eq!(valid(shown).duration, Some(Duration::from_millis(1500)));
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".{0,12}".prop_map(Value::from),
        "-?[0-9]{1,25}(\\.[0-9]{1,3})?(ns|us|ms|s|m|h|k|M|e9)?".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 16, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map(".{0,6}", inner, 0..4).prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

fn any_key() -> impl Strategy<Value = String> {
    let names = names().chain(OPTIONS.iter().flat_map(TestOption::spellings));
    let names: Vec<String> = names.map(str::to_owned).collect();
    prop_oneof![4 => prop::sample::select(names), 1 => ".{0,20}".prop_map(String::from)]
}

proptest! {
    #[test]
    fn no_json_breaks_the_reader(fields in prop::collection::vec((any_key(), any_json()), 0..8)) {
        let fields: Map<String, Value> = fields.into_iter().collect();
        match parse(&fields, TestId::new("t1").expect("a name"), 8) {
            Ok(test) => prop_assert!(test.config.problems().is_empty()),
            Err(errors) => prop_assert!(!errors.is_empty()),
        }
    }
}
