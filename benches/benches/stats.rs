//! Distributions: recording, merging, and their way into bytes and back.

use std::hint::black_box;

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use onrush_protocol::{decode_base64, encode_base64};
use onrush_stats::Distribution;

/// Latencies as a loaded server has them: most close together, a long tail, the same at every run.
fn distribution(values: u64) -> Distribution {
    let mut distribution = Distribution::preallocated();
    for k in 0..values {
        let spread = k.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 44;
        distribution.record(50_000 + spread / 8 + if k % 100 == 0 { spread * 20 } else { 0 });
    }
    distribution
}

fn merge(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("distribution");
    let ours = distribution(10_000);
    group.bench_function("record", |bencher| {
        let mut into = Distribution::preallocated();
        let mut value_ns = 50_000;
        bencher.iter(|| {
            value_ns = (value_ns + 977) & 0xf_ffff;
            into.record(black_box(value_ns));
        });
    });
    group.bench_function("merge", |bencher| {
        bencher.iter_batched_ref(|| distribution(100), |into| into.merge(&ours), BatchSize::LargeInput);
    });
    group.bench_function("summary", |bencher| bencher.iter(|| black_box(&ours).summary()));
    group.finish();
}

fn coding(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("histogram coding");
    for values in [100, 10_000, 200_000] {
        let distribution = distribution(values);
        let text = encode_base64(&distribution);
        group.bench_function(format!("encode {values} values"), |bencher| {
            bencher.iter(|| encode_base64(black_box(&distribution)));
        });
        group.bench_function(format!("decode {values} values"), |bencher| {
            bencher.iter(|| decode_base64(black_box(&text)).expect("our own"));
        });
    }
    group.finish();
}

criterion_group!(benches, merge, coding);
criterion_main!(benches);
