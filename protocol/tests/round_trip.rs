//! What is written is read as it was meant, whatever it holds; and no bytes whatever upset a reader.

mod common;

use std::time::Duration;

use common::distribution;
use onrush_protocol::{
    EndReason, Heartbeat, LatencyMs, Measured, Metrics, NodeId, NodeState, Participant, Refusal, Register, SessionId,
    Share, TestConfig, TestId, TestType, Trigger, limits,
};
use onrush_stats::{
    ByName, Counts, Distribution, Examples, FailureCause, NameStats, Number, SecondStats, Totals, Unit,
};
use proptest::prelude::*;

fn name() -> impl Strategy<Value = String> {
    let plain = "[a-zA-Z0-9._-]{1,40}";
    let odd = r#"[\PC&&[^\pZ]][\PC]{0,30}[\PC&&[^\pZ]]"#;
    prop_oneof![4 => plain, 1 => odd].prop_filter("a name", |text| NodeId::new(text.clone()).is_some())
}

fn node_id() -> impl Strategy<Value = NodeId> {
    name().prop_map(|text| NodeId::new(text).expect("filtered"))
}

fn test_id() -> impl Strategy<Value = TestId> {
    name().prop_map(|text| TestId::new(text).expect("filtered"))
}

fn session_id() -> impl Strategy<Value = SessionId> {
    name().prop_map(|text| SessionId::new(text).expect("filtered"))
}

fn maybe<S: Strategy>(strategy: S) -> impl Strategy<Value = Option<S::Value>> {
    prop::option::of(strategy)
}

/// Up to thirty days, to the nanosecond.
fn duration() -> impl Strategy<Value = Duration> {
    prop_oneof![
        (0u64..2_592_000).prop_map(Duration::from_secs),
        (0u64..2_592_000_000_000_000).prop_map(Duration::from_nanos)
    ]
}

fn milliseconds() -> impl Strategy<Value = f64> {
    0.0f64..2e12
}

fn values() -> impl Strategy<Value = Vec<u64>> {
    prop::collection::vec(prop_oneof![0u64..3, 0u64..10_000, 0u64..5_000_000_000, 0u64..10_000_000_000_000], 0..40)
}

fn distributions() -> impl Strategy<Value = Distribution> {
    values().prop_map(|values| distribution(&values))
}

prop_compose! {
    fn register()(
        node_id in node_id(), node_ip in maybe(".{0,20}"), session_id in maybe(session_id()),
        hostname in maybe(".{0,20}"), version in maybe(".{0,20}"), cpus in maybe("[0-9,-]{0,9}"),
    ) -> Register {
        Register { node_id, node_ip, session_id, hostname, version, cpus }
    }
}

prop_compose! {
    fn trigger()(
        test_id in test_id(), start in any::<bool>(), start_at_unix_ms in maybe(milliseconds()),
        clock_offsets_ms in prop::collection::btree_map(node_id(), -1e9..1e9f64, 0..3),
    ) -> Trigger {
        Trigger { test_id, start, start_at_unix_ms, clock_offsets_ms }
    }
}

prop_compose! {
    fn heartbeat()(
        node_id in node_id(), alive in any::<bool>(), timestamp_unix_ms in maybe(milliseconds()),
        session_id in maybe(session_id()), test_id in maybe(test_id()),
        state in maybe(prop::sample::select(vec![NodeState::Idle, NodeState::Armed, NodeState::Running])),
        refusal in maybe((test_id(), ".{0,40}").prop_map(|(test_id, reason)| Refusal { test_id, reason })),
        reports_waiting in maybe(any::<u64>()), messages_skipped in maybe(any::<u64>()),
        cpu_s in maybe(milliseconds()), memory_bytes in maybe(any::<u64>()),
        share in maybe((any::<u32>(), any::<u32>()).prop_map(|(index, of)| Share { index, of })),
        amended_at in prop::collection::vec(maybe(any::<u64>()), 0..4),
    ) -> Heartbeat {
        Heartbeat {
            node_id, alive, timestamp_unix_ms, session_id, state, test_id, refusal, reports_waiting, messages_skipped,
            cpu_s, memory_bytes, share, amended_at,
        }
    }
}

prop_compose! {
    fn shape()(
        test_id in test_id(), test_type in prop::sample::select(vec![TestType::Avalanche, TestType::Tsunami]),
        delay in duration(), count_per_driver in maybe(1u64..limits::MAX_COUNT),
        duration in maybe(duration().prop_filter("not zero", |d| !d.is_zero())),
        target_throughput_per_s in maybe(0.001f64..1e7), connections in maybe(1u32..),
        timeout in duration(), connect_timeout in duration(),
    ) -> TestConfig {
        let delay = if test_type == TestType::Avalanche { Duration::ZERO } else { delay };
        TestConfig {
            delay, count_per_driver, duration, target_throughput_per_s, connections, timeout, connect_timeout,
            ..TestConfig::new(test_id, test_type)
        }
    }
}

prop_compose! {
    fn config()(
        shape in shape(), target_url in maybe("http://[a-z]{1,9}/[ -~]{0,20}"), method in "[A-Z]{1,9}",
        headers in prop::collection::vec(("[A-Za-z-]{1,9}", "[ -~]{0,20}"), 0..4),
        body in maybe(prop_oneof![prop::collection::vec(any::<u8>(), 0..50), ".{0,50}".prop_map(String::into_bytes)]),
        keepalive in any::<bool>(),
        participants in maybe(prop::collection::vec((node_id(), maybe(session_id())), 0..4)),
    ) -> TestConfig {
        let participants = participants.map(|list: Vec<_>| {
            list.into_iter().map(|(node_id, session_id)| Participant { node_id, session_id }).collect()
        });
        TestConfig { target_url, method, headers, body, keepalive, participants, ..shape }
    }
}

/// Any numbers within their limits.
fn numbers<S: Clone + std::fmt::Debug>(numbers: &'static [Number<S>], empty: S) -> impl Strategy<Value = S> {
    let value = |number: &Number<S>| match (number.unit, number.implied(&empty)) {
        (_, Some(_)) => 0u64..9,
        (Unit::Events, None) => 0..limits::MAX_COUNT,
        (Unit::Bytes | Unit::Nanoseconds, None) => 0..1 << 53,
    };
    numbers.iter().map(value).collect::<Vec<_>>().prop_map(move |values| {
        let mut filled = empty.clone();
        numbers.iter().zip(values).for_each(|(number, n)| *number.of_mut(&mut filled) = n);
        filled
    })
}

prop_compose! {
    fn counts()(
        numbers in numbers(Counts::NUMBERS, Counts::default()),
        addresses in prop::collection::btree_map("[ -~]{1,20}", 1u64..1000, 0..4),
        statuses in prop::collection::btree_map(100u16..1000, 1u64..1000, 0..4),
        failures in prop::collection::btree_map(prop::sample::select(FailureCause::ALL), 1u64..1000, 0..4),
    ) -> Counts {
        Counts { statuses, failures, addresses, ..numbers }
    }
}

prop_compose! {
    fn examples()(list in prop::collection::vec((prop::sample::select(FailureCause::ALL), ".{0,40}"), 0..4)) -> Examples {
        let mut examples = Examples::default();
        list.iter().for_each(|(cause, text)| examples.note(*cause, text));
        examples
    }
}

prop_compose! {
    fn by_name()(
        list in prop::collection::vec((r"[a-z /]{1,20}", 0..limits::MAX_COUNT, 0u64..9, 0u64..9, distributions()), 0..4),
    ) -> ByName {
        let mut by_name = ByName::default();
        for (name, sent, answered, timed_out, latency) in &list {
            let statuses = [(200, *answered)].into_iter().filter(|_| *answered > 0).collect();
            let failures = [(FailureCause::Timeout, *timed_out)].into_iter().filter(|_| *timed_out > 0).collect();
            by_name.add(name, &NameStats { sent: *sent, statuses, failures, latency: latency.into() });
        }
        by_name
    }
}

prop_compose! {
    fn measured()(
        session_id in session_id(), sequence in 0u64..1_000_000, second_index in 0u64..1_000_000, length_s in 0.0f64..=1.0,
        started_at_unix_ms in milliseconds(), counts in counts(), latency in distributions(),
        service_time in distributions(), schedule_error in distributions(),
        end in maybe(prop_oneof![
            Just(EndReason::Completed), Just(EndReason::Stopped), "no .{0,40}".prop_map(EndReason::Failed),
        ]),
        engine in maybe(".{0,40}"),
        totals in numbers(Totals::NUMBERS, Totals::default()), sending_s in maybe(0.0f64..1e6),
        (examples, by_name) in (examples(), by_name()),
    ) -> Measured {
        let stats = SecondStats { counts, latency, service_time, schedule_error, examples, by_name };
        Measured { session_id, sequence, second_index, length_s, sending_s, started_at_unix_ms, stats, totals, end, engine }
    }
}

prop_compose! {
    fn metrics()(
        node_id in node_id(), test_id in test_id(), report_id in maybe(".{0,40}"), latency in distributions(),
        measured in maybe(measured().prop_map(Box::new)),
    ) -> Metrics {
        Metrics { node_id, test_id, report_id, latency: LatencyMs::of(&latency), measured }
    }
}

proptest! {
    #[test]
    fn register_comes_back(message in register()) {
        prop_assert_eq!(Register::read(&message.write()), Ok(message));
    }

    #[test]
    fn trigger_comes_back(message in trigger()) {
        prop_assert_eq!(Trigger::read(&message.write()), Ok(message));
    }

    #[test]
    fn heartbeat_comes_back(message in heartbeat()) {
        prop_assert_eq!(Heartbeat::read(&message.write()), Ok(message));
    }

    #[test]
    fn config_comes_back(message in config()) {
        prop_assert_eq!(TestConfig::read(&message.write()), Ok(message));
    }

    #[test]
    fn metrics_come_back(message in metrics()) {
        prop_assert_eq!(Metrics::read(&message.write()), Ok(message));
    }

    #[test]
    fn merging_after_the_wire_equals_one_recorder(parts in prop::collection::vec(values(), 1..5)) {
        let mut merged = Distribution::default();
        for part in &parts {
            let sent = distribution(part);
            let text = onrush_protocol::encode_base64(&sent);
            let histogram = onrush_protocol::decode_base64(&text).expect("our own");
            let (min_ns, max_ns) = (sent.min_ns().unwrap_or(0), sent.max_ns().unwrap_or(0));
            merged.merge(&Distribution::from_parts(histogram, sent.sum_ns(), min_ns, max_ns));
        }
        prop_assert_eq!(merged, distribution(&parts.concat()));
    }
}

fn read_everything(payload: &[u8]) {
    let _ = Register::read(payload);
    let _ = Trigger::read(payload);
    let _ = Heartbeat::read(payload);
    let _ = Metrics::read(payload);
    if let Ok(config) = TestConfig::read(payload) {
        let _ = config.problems();
        // What was read can be written and read again.
        assert_eq!(TestConfig::read(&config.write()).as_ref(), Ok(&config));
    }
}

const KEYS: &[&str] = &[
    "node_id",
    "test_id",
    "test_type",
    "test_message_delay",
    "message_count_per_driver",
    "duration_s",
    "target_url",
    "method",
    "headers",
    "body",
    "body_base64",
    "target_throughput_per_s",
    "connections",
    "timeout_s",
    "connect_timeout_s",
    "keepalive",
    "participants",
    "trigger",
    "start_at",
    "heartbeat",
    "timestamp",
    "state",
    "session_id",
    "refused_test_id",
    "refusal_reason",
    "reports_waiting",
    "messages_skipped",
    "cpu_s",
    "memory_bytes",
    "metrics",
    "mean_latency",
    "max_latency",
    "sequence",
    "second_index",
    "length_s",
    "started_at",
    "end",
    "engine",
    "counts",
    "totals",
    "latency",
    "service_time",
    "schedule_error",
    "sent",
    "answered",
    "failed",
    "skipped",
    "statuses",
    "failures",
    "count",
    "sum_ns",
    "min_ns",
    "max_ns",
    "histogram",
    "schema",
    "message_type",
    "node_IP",
    "200",
    "timeout",
];

/// JSON that uses our keys in all the wrong places.
fn json() -> impl Strategy<Value = serde_json::Value> {
    use serde_json::{Number, Value};
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        (0u64..3).prop_map(Value::from),
        any::<f64>().prop_map(|n| Number::from_f64(n).map_or(Value::Null, Value::Number)),
        prop::sample::select(vec![
            "AVALANCHE",
            "TSUNAMI",
            "YES",
            "NO",
            "1",
            "0.5",
            "-1",
            "NaN",
            "1e300",
            "",
            "IDLE",
            "t"
        ])
        .prop_map(Value::from),
        ".{0,20}".prop_map(Value::from),
    ];
    let object_of = |inner: BoxedStrategy<Value>| {
        prop::collection::hash_map(prop::sample::select(KEYS), inner, 0..12)
            .prop_map(|map| map.into_iter().map(|(k, v)| (k.to_owned(), v)).collect::<serde_json::Map<_, _>>())
    };
    let nested = leaf.prop_recursive(4, 64, 8, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::Array),
            object_of(inner.boxed()).prop_map(Value::Object)
        ]
    });
    (object_of(nested.boxed()), any::<bool>()).prop_map(|(mut map, named)| {
        if named {
            map.insert("node_id".into(), "n".into());
            map.insert("test_id".into(), "t".into());
            map.insert("test_type".into(), "tsunami".into());
        }
        Value::Object(map)
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn no_bytes_upset_a_reader(payload in prop::collection::vec(any::<u8>(), 0..300)) {
        read_everything(&payload);
    }

    #[test]
    fn no_json_upsets_a_reader(payload in json()) {
        read_everything(payload.to_string().as_bytes());
    }

    #[test]
    fn no_damage_to_a_good_report_upsets_a_reader(message in metrics(), at in any::<prop::sample::Index>(), byte in any::<u8>(), cut in any::<bool>()) {
        let mut payload = message.write();
        let at = at.index(payload.len());
        payload[at] = byte;
        if cut {
            payload.truncate(at);
        }
        read_everything(&payload);
    }
}
