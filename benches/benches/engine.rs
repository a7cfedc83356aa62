//! The engine's insides: reading responses, recording what was measured.

use std::hint::black_box;
use std::sync::Arc;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use onrush_engine::internals::{Breakdown, Exchange, Recorder, ResponseReader, SecondRecord};
use onrush_stats::SecondStats;

const PONG: &[u8] = b"HTTP/1.1 200 OK\r\nServer: onrush-target\r\nContent-Type: application/json\r\n\
    Content-Length: 18\r\n\r\n{\"message\":\"pong\"}";
const CHUNKED: &[u8] = b"HTTP/1.1 200 OK\r\nServer: somebody\r\nTransfer-Encoding: chunked\r\n\r\n\
    9\r\n{\"message\r\n9\r\n\":\"pong\"}\r\n0\r\n\r\n";

fn reader(criterion: &mut Criterion) {
    let many_headers = {
        let headers: String = (0..20).map(|k| format!("X-Header-{k}: {}\r\n", "v".repeat(30))).collect();
        format!("HTTP/1.1 200 OK\r\n{headers}Content-Length: 18\r\n\r\n{{\"message\":\"pong\"}}").into_bytes()
    };
    let mut group = criterion.benchmark_group("reader");
    for (name, response) in [("pong", PONG), ("chunked", CHUNKED), ("20 headers", &many_headers)] {
        group.throughput(Throughput::Bytes(response.len() as u64));
        let mut reader = ResponseReader::new(false);
        group.bench_function(name, |bencher| {
            bencher.iter(|| reader.read(black_box(response), &mut ()).expect("well formed").expect("complete"));
        });
        let mut reader = ResponseReader::new(false);
        group.bench_function(format!("{name}, cut in the head"), |bencher| {
            bencher.iter(|| {
                let (first, second) = black_box(response).split_at(20);
                assert_eq!(reader.read(first, &mut ()), Ok(None));
                reader.read(second, &mut ()).expect("well formed").expect("complete")
            });
        });
    }
    group.finish();
}

/// Hands the same record back, empty: what the engine's threads and their owner do together.
struct Recycle;

impl Exchange for Recycle {
    fn exchange(&mut self, record: &mut Box<SecondRecord>) {
        record.clear();
    }
}

/// One address, one name.
const ONE: Breakdown = Breakdown { addresses: 1, names: 0 };

fn recorder(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("recorder");
    let mut recorder = Recorder::new(Recycle, ONE, Arc::default());
    let mut now_ns = 0;
    group.throughput(Throughput::Elements(1));
    group.bench_function("one request", |bencher| {
        bencher.iter(|| {
            now_ns += 5_000;
            recorder.sent(black_box(now_ns), now_ns - 300, 0);
            recorder.responded(now_ns + 70_000, now_ns - 300, now_ns, 0, 200, true);
            recorder.bytes(60, 130);
        });
    });
    // Once a second, whatever the load; emptying is really the owner's work, on another CPU.
    let mut second_ns = now_ns;
    group.bench_function("a second handed over and emptied", |bencher| {
        bencher.iter(|| {
            second_ns += 1_000_000_000;
            recorder.advance(black_box(second_ns));
        });
    });
    let full = || {
        let mut recorder = Recorder::new(Recycle, ONE, Arc::default());
        for k in 0..10_000 {
            recorder.sent(k * 90_000, k * 90_000, 0);
            recorder.responded(k * 90_000 + 40_000 + k, k * 90_000, k * 90_000, 0, 200, true);
        }
        recorder.finish(900_000_000)
    };
    let record = full();
    group.bench_function("a second into another", |bencher| {
        bencher.iter_batched_ref(SecondStats::default, |stats| record.add_to(stats, &[], &[]), BatchSize::LargeInput);
    });
    group.finish();
}

criterion_group!(benches, reader, recorder);
criterion_main!(benches);
