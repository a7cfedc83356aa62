//! Messages: reading and writing each of the topics.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use onrush_protocol::{Heartbeat, Metrics, Register, TestConfig, Trigger};

const REGISTER: &[u8] = br#"{"node_id":"driver-1","node_IP":"10.0.0.7","message_type":"DRIVER_NODE_REGISTER","schema":1,"session_id":"s-1","hostname":"blue","version":"0.1.0","cpus":"2-3"}"#;
const TEST_CONFIG: &[u8] = br#"{"test_id":"test-1","test_type":"TSUNAMI","test_message_delay":0.0025,"message_count_per_driver":1000,"schema":1,"target_url":"http://127.0.0.1:8080/ping","method":"POST","headers":[["X-One","1"],["X-One","2"]],"body":"hello","duration_s":30,"target_throughput_per_s":500.0,"connections":16,"timeout_s":2,"connect_timeout_s":1.5,"keepalive":false,"participants":[{"node_id":"driver-1","session_id":"s-1"},{"node_id":"driver-2"}]}"#;
const TRIGGER: &[u8] = br#"{"test_id":"test-1","trigger":"YES","schema":1,"start_at":1700000000123.5}"#;
const HEARTBEAT: &[u8] =
    br#"{"node_id":"driver-1","heartbeat":"YES","timestamp":1700000000123.5,"schema":1,"session_id":"s-1"}"#;

/// A full second of a driver.
fn metrics() -> Vec<u8> {
    use onrush_protocol::{LatencyMs, Measured, NodeId, SessionId, TestId};
    use onrush_stats::{SecondStats, Totals};
    let mut stats = SecondStats::default();
    for k in 0..20_000u64 {
        let spread = k.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 44;
        stats.latency.record(50_000 + spread / 8);
        stats.service_time.record(45_000 + spread / 8);
        stats.schedule_error.record(spread / 1000);
    }
    (stats.counts.sent, stats.counts.due) = (20_000, 20_000);
    stats.counts.statuses.insert(200, 20_000);
    let totals = Totals { sent: 20_000, answered: 20_000, due: 20_000, ..Totals::default() };
    Metrics {
        node_id: NodeId::new("driver-1").expect("a name"),
        test_id: TestId::new("test-1").expect("a name"),
        report_id: Some("r-0".into()),
        latency: LatencyMs::of(&stats.latency),
        measured: Some(Box::new(Measured {
            session_id: SessionId::new("s-1").expect("a name"),
            sequence: 0,
            second_index: 0,
            length_s: 1.0,
            started_at_unix_ms: 1_700_000_000_123.5,
            stats,
            totals,
            sending_s: Some(1.0),
            end: None,
            engine: Some("io_uring".into()),
        })),
    }
    .write()
}

macro_rules! both_ways {
    ($criterion:expr, $message:ty, $payload:expr) => {{
        let payload: &[u8] = $payload;
        let message = <$message>::read(payload).expect("well formed");
        let mut group = $criterion.benchmark_group(stringify!($message));
        group.throughput(Throughput::Bytes(payload.len() as u64));
        group.bench_function("read", |bencher| bencher.iter(|| <$message>::read(black_box(payload))));
        group.bench_function("write", |bencher| bencher.iter(|| black_box(&message).write()));
        group.finish();
    }};
}

fn messages(criterion: &mut Criterion) {
    both_ways!(criterion, Register, REGISTER);
    both_ways!(criterion, TestConfig, TEST_CONFIG);
    both_ways!(criterion, Trigger, TRIGGER);
    both_ways!(criterion, Heartbeat, HEARTBEAT);
    both_ways!(criterion, Metrics, &metrics());
}

criterion_group!(benches, messages);
criterion_main!(benches);
