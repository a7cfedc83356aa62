//! Histograms from outside: what is forged, cut short or inflated is refused before it costs memory; what another
//! library recorded is taken over.

mod common;

use std::io::{Read, Write};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use common::distribution;
use flate2::Compression;
use flate2::read::ZlibDecoder;
use flate2::write::ZlibEncoder;
use hdrhistogram::Histogram;
use hdrhistogram::serialization::{Serializer, V2DeflateSerializer, V2Serializer};
use onrush_protocol::{
    CodingError, decode_base64, decode_bytes, decode_own_bytes, encode_base64, encode_bytes, limits,
};
use onrush_stats::{Distribution, empty_histogram, same_layout};
use proptest::prelude::*;

fn zlib(plain: &[u8]) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(plain).expect("a Vec takes every byte");
    encoder.finish().expect("a Vec takes every byte")
}

/// The outer header with the right cookie around compressed bytes.
fn wrap(plain: &[u8]) -> Vec<u8> {
    let packed = zlib(plain);
    let mut bytes = 0x1c84_9314u32.to_be_bytes().to_vec();
    bytes.extend((packed.len() as u32).to_be_bytes());
    bytes.extend(packed);
    bytes
}

/// The V2 bytes within a coded distribution.
fn plain(distribution: &Distribution) -> Vec<u8> {
    let mut plain = Vec::new();
    ZlibDecoder::new(&encode_bytes(distribution)[8..]).read_to_end(&mut plain).expect("our own");
    plain
}

fn v2(digits: u32, lowest: u64, highest: u64, counts: &[u8]) -> Vec<u8> {
    let mut bytes = 0x1c84_9313u32.to_be_bytes().to_vec();
    bytes.extend((counts.len() as u32).to_be_bytes());
    bytes.extend(0u32.to_be_bytes());
    bytes.extend(digits.to_be_bytes());
    bytes.extend(lowest.to_be_bytes());
    bytes.extend(highest.to_be_bytes());
    bytes.extend(1.0f64.to_be_bytes());
    bytes.extend(counts);
    bytes
}

#[test]
fn nothing_is_an_empty_histogram() {
    assert_eq!(encode_base64(&Distribution::default()), "");
    assert_eq!(encode_base64(&Distribution::preallocated()), "");
    for text in ["", " ", "\n"] {
        let histogram = decode_base64(text).expect("empty");
        assert!(histogram.is_empty() && same_layout(&histogram));
    }
}

#[test]
fn what_is_no_base64_or_no_histogram() {
    let good = encode_base64(&distribution(&[1, 2, 3_000_000]));
    for text in ["!", "AAA", "ÄÖÜ=", &good[..good.len() - 1], &format!("{good}=")] {
        assert_eq!(decode_base64(text), Err(CodingError::NotBase64), "{text}");
    }
    for bytes in [b"x".as_slice(), b"01234567", &[0; 100], &[0xff; 100], &zlib(b"hello")] {
        assert_eq!(decode_bytes(bytes), Err(CodingError::NotV2Compressed));
    }
}

#[test]
fn one_cut_short_at_any_byte() {
    let bytes = encode_bytes(&distribution(&[1, 77, 3_000_000, 9_999_999_999]));
    for length in 1..bytes.len() {
        let result = decode_bytes(&bytes[..length]);
        assert!(result.is_err(), "{length} of {} bytes were taken for a whole histogram", bytes.len());
    }
}

#[test]
fn a_compressed_bomb() {
    // 200 MB of zeros, or of a valid histogram's beginning, in some 200 KB.
    assert_eq!(decode_bytes(&wrap(&vec![0; 200_000_000])), Err(CodingError::TooLarge));
    let mut inflated = plain(&distribution(&[5]));
    inflated.resize(100_000_000, 1);
    assert_eq!(decode_bytes(&wrap(&inflated)), Err(CodingError::TooLarge));
}

#[test]
fn a_forged_header() {
    // Each asks for far more memory than its few bytes hold.
    assert_eq!(decode_bytes(&wrap(&v2(5, 1, u64::MAX / 2, &[2]))), Err(CodingError::TooFine));
    assert_eq!(decode_bytes(&wrap(&v2(3, 1, u64::MAX, &[2]))), Err(CodingError::TooFine));
    assert_eq!(decode_bytes(&wrap(&v2(u32::MAX, 1, 1000, &[2]))), Err(CodingError::TooFine));
    let mut long = v2(3, 1, 3_600_000_000_000, &[2]);
    long[4..8].copy_from_slice(&u32::MAX.to_be_bytes());
    assert_eq!(decode_bytes(&wrap(&long)), Err(CodingError::NotV2Compressed));
    // Bounds that contradict each other, a shifted histogram, a count and a run of zeros at the end of all numbers.
    for bytes in [
        v2(3, 0, 1000, &[2]),
        v2(3, 1000, 1, &[2]),
        v2(3, 1 << 59, 1 << 60, &[2; 9]),
        v2(3, 1, 3_600_000_000_000, &[0xff; 9]),
        v2(3, 1, 3_600_000_000_000, &[0xff; 18]),
        v2(3, 1, 1000, &[2; 200_000]),
    ] {
        // What is taken holds no more than it may; most are refused.
        if let Ok(histogram) = decode_bytes(&wrap(&bytes)) {
            assert!(same_layout(&histogram) && histogram.len() <= limits::MAX_COUNT);
        }
    }
    let most = [0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff];
    assert_eq!(decode_bytes(&wrap(&v2(3, 1, 3_600_000_000_000, &most))), Err(CodingError::TooMany));
}

#[test]
fn one_without_the_outer_compression_is_refused() {
    let mut bytes = Vec::new();
    let distribution = distribution(&[1, 2, 3]);
    V2Serializer::new().serialize(distribution.histogram().expect("three values"), &mut bytes).expect("serializes");
    assert_eq!(decode_bytes(&bytes), Err(CodingError::NotV2Compressed));
}

fn foreign(mut histogram: Histogram<u64>, values: &[u64]) -> Histogram<u64> {
    values.iter().for_each(|value| histogram.record(*value).expect("in range"));
    let mut bytes = Vec::new();
    V2DeflateSerializer::new().serialize(&histogram, &mut bytes).expect("serializes");
    decode_base64(&BASE64_STANDARD.encode(bytes)).expect("a histogram of another layout")
}

#[test]
fn one_of_another_layout_is_taken_over() {
    let values: Vec<u64> = (1..=1000).map(|k| k * 1_000_000).collect();
    for histogram in [
        Histogram::new(2).expect("two digits"),
        Histogram::new(3).expect("three digits"),
        Histogram::new_with_bounds(1000, 3_600_000_000_000, 2).expect("from a microsecond"),
        Histogram::new_with_bounds(1, 1_000_000_000_000_000, 3).expect("a higher range"),
    ] {
        let digits = histogram.sigfig();
        let ours = foreign(histogram, &values);
        assert!(same_layout(&ours));
        assert_eq!(ours.len(), 1000);
        let share = if digits == 2 { 0.011 } else { 0.002 };
        for quantile in [0.1, 0.5, 0.9, 0.99, 1.0] {
            let (got, truth) = (ours.value_at_quantile(quantile) as f64, quantile * 1e9);
            assert!((got - truth).abs() <= truth * share, "{digits} digits, {quantile}: {got} is not {truth}");
        }
    }
}

proptest! {
    #[test]
    fn no_bytes_upset_the_decoder(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = decode_bytes(&bytes);
        let _ = decode_bytes(&wrap(&bytes));
    }

    #[test]
    fn no_damage_within_upsets_the_decoder(
        values in prop::collection::vec(0u64..5_000_000_000, 1..20),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
    ) {
        let mut bytes = plain(&distribution(&values));
        for (at, byte) in damage {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        if let Ok(histogram) = decode_bytes(&wrap(&bytes)) {
            prop_assert!(same_layout(&histogram));
            let mut sum = Distribution::from_parts(histogram.clone(), u64::MAX, 0, u64::MAX);
            sum.merge(&Distribution::from_parts(histogram, 0, u64::MAX, 0));
            prop_assert!(sum.summary().is_none_or(|s| s.min_ms <= s.median_ms && s.median_ms <= s.max_ms));
        }
    }

    #[test]
    fn no_counts_upset_the_decoder(digits in 0u32..5, lowest in 0u64..10, highest in any::<u64>(), counts in prop::collection::vec(prop_oneof![any::<u8>(), Just(0xff)], 0..100)) {
        if let Ok(histogram) = decode_bytes(&wrap(&v2(digits, lowest, highest, &counts))) {
            prop_assert!(same_layout(&histogram));
            prop_assert!(histogram.len() <= limits::MAX_COUNT);
        }
    }
}

#[test]
fn what_many_reports_add_up_to_comes_back_from_the_store() {
    let many = |counts: &[(u64, u64)]| {
        let mut histogram = empty_histogram();
        counts.iter().for_each(|(value, count)| histogram.saturating_record_n(*value, *count));
        Distribution::from_parts(histogram, u64::MAX, 1, u64::MAX)
    };
    let sum = many(&[(1000, limits::MAX_COUNT), (2_000_000, limits::MAX_COUNT)]);
    assert_eq!(decode_bytes(&encode_bytes(&sum)), Err(CodingError::TooMany), "no one report holds so many");
    assert_eq!(decode_own_bytes(&encode_bytes(&sum)).as_ref(), Ok(sum.histogram().expect("it is not empty")));
    // The format ends at half of what a counter takes.
    let most = many(&[(1000, u64::MAX), (2000, 5)]);
    let read = decode_own_bytes(&encode_bytes(&most)).expect("our own");
    assert_eq!((read.count_at(1000), read.count_at(2000)), (i64::MAX.unsigned_abs(), 5));
}
