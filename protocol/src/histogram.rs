//! Histograms as bytes and text: HdrHistogram's V2 compressed format, base64 in messages.
//!
//! The format is that of the Java, C and Rust HdrHistogram libraries ("V2 compressed": a header with the cookie
//! `0x1c849314`, then zlib of a V2 histogram with the cookie `0x1c849313`). Bytes from outside are measured before
//! they are unpacked: a few hundred bytes may claim to hold gigabytes.

use std::io::Read;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use flate2::read::ZlibDecoder;
use hdrhistogram::Histogram;
use hdrhistogram::serialization::{Deserializer, Serializer, V2DeflateSerializer, V2Serializer};
use onrush_stats::{Distribution, empty_histogram, same_layout};
use serde::Serialize;

use crate::limits;

/// A full histogram of ours has 34,816 counts of at most nine bytes each.
const MAX_UNPACKED_BYTES: u64 = 512 * 1024;
const COMPRESSED_COOKIE: u32 = 0x1c84_9314;
/// Cookie, length of the payload, normalising offset, significant digits, lowest, highest, ratio: see
/// HdrHistogram's `V2Header`.
const V2_HEADER_BYTES: usize = 40;
/// Histograms of more significant digits than this take megabytes.
const MAX_FOREIGN_DIGITS: u32 = 3;

/// Why a histogram could not be decoded.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs, reason = "the messages say it")]
pub enum CodingError {
    #[error("is not base64")]
    NotBase64,
    #[error("is not an HdrHistogram in V2 compressed format")]
    NotV2Compressed,
    #[error("would take more than {MAX_UNPACKED_BYTES} bytes")]
    TooLarge,
    #[error("holds more than {} values", limits::MAX_COUNT)]
    TooMany,
    #[error("has more than {MAX_FOREIGN_DIGITS} significant digits or a range beyond 2^60")]
    TooFine,
}

/// The bytes of a histogram; empty for an empty distribution.
pub fn encode_bytes(distribution: &Distribution) -> Vec<u8> {
    let mut bytes = Vec::new();
    if let Some(histogram) = distribution.histogram()
        && V2DeflateSerializer::new().serialize(histogram, &mut bytes).is_err()
    {
        // The format has no counts above this.
        let most = i64::MAX.unsigned_abs();
        let mut fits = empty_histogram();
        for value in histogram.iter_recorded() {
            fits.saturating_record_n(value.value_iterated_to(), value.count_at_value().min(most));
        }
        bytes.clear();
        V2DeflateSerializer::new().serialize(&fits, &mut bytes).expect("a Vec takes every byte, and the counts fit");
    }
    bytes
}

/// The text of a histogram; empty for an empty distribution.
pub fn encode_base64(distribution: &Distribution) -> String {
    BASE64_STANDARD.encode(encode_bytes(distribution))
}

/// The histogram of [`encode_base64`]. One of another layout is re-recorded into ours.
pub fn decode_base64(text: &str) -> Result<Histogram<u64>, CodingError> {
    decode_bytes(&BASE64_STANDARD.decode(text.trim()).map_err(|_| CodingError::NotBase64)?)
}

/// The histogram of [`encode_bytes`]. One of another layout is re-recorded into ours.
pub fn decode_bytes(bytes: &[u8]) -> Result<Histogram<u64>, CodingError> {
    let histogram = decode_own_bytes(bytes)?;
    if histogram.len() > limits::MAX_COUNT { Err(CodingError::TooMany) } else { Ok(histogram) }
}

/// The same of bytes that this node wrote: what many reports add up to may hold more than any one of them.
pub fn decode_own_bytes(bytes: &[u8]) -> Result<Histogram<u64>, CodingError> {
    if bytes.is_empty() {
        return Ok(empty_histogram());
    }
    let Some((head, packed)) = bytes.split_at_checked(8) else { return Err(CodingError::NotV2Compressed) };
    if be_u32(head, 0) != Some(COMPRESSED_COOKIE) {
        return Err(CodingError::NotV2Compressed);
    }
    let mut plain = Vec::new();
    let unpacked = ZlibDecoder::new(packed).take(MAX_UNPACKED_BYTES + 1).read_to_end(&mut plain);
    unpacked.map_err(|_| CodingError::NotV2Compressed)?;
    if plain.len() as u64 > MAX_UNPACKED_BYTES {
        return Err(CodingError::TooLarge);
    }
    check_header(&plain)?;
    let histogram: Histogram<u64> =
        Deserializer::new().deserialize(&mut plain.as_slice()).map_err(|_| CodingError::NotV2Compressed)?;
    if same_layout(&histogram) {
        return Ok(histogram);
    }
    let mut ours = empty_histogram();
    for value in histogram.iter_recorded() {
        ours.saturating_record_n(value.value_iterated_to(), value.count_at_value());
    }
    Ok(ours)
}

/// The layout and the length that the header claims decide how much memory decoding takes.
fn check_header(plain: &[u8]) -> Result<(), CodingError> {
    let Some((_, counts)) = plain.split_at_checked(V2_HEADER_BYTES) else { return Err(CodingError::NotV2Compressed) };
    let claimed_bytes = be_u32(plain, 4).and_then(|n| usize::try_from(n).ok());
    if claimed_bytes.is_none_or(|n| n > counts.len()) {
        return Err(CodingError::NotV2Compressed);
    }
    // This spells i64::MIN, which the decoder cannot negate. No count and no run of zeros comes near it.
    if counts.windows(9).any(|bytes| bytes == [0xff; 9]) {
        return Err(CodingError::NotV2Compressed);
    }
    let digits = be_u32(plain, 12).ok_or(CodingError::NotV2Compressed)?;
    let highest = u64::from(be_u32(plain, 24).unwrap_or(u32::MAX)) << 32;
    if digits > MAX_FOREIGN_DIGITS || highest > 1 << 60 { Err(CodingError::TooFine) } else { Ok(()) }
}

/// The bytes of a histogram without compression: ten times as fast to write, for what is soon written anew. `None`: it has
/// counts that the format cannot hold.
pub fn encode_plain(distribution: &Distribution) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    if let Some(histogram) = distribution.histogram() {
        V2Serializer::new().serialize(histogram, &mut bytes).ok()?;
    }
    Some(bytes)
}

/// The histogram of [`encode_plain`].
pub fn decode_plain(bytes: &[u8]) -> Result<Histogram<u64>, CodingError> {
    if bytes.is_empty() {
        return Ok(empty_histogram());
    }
    check_header(bytes)?;
    let histogram: Result<Histogram<u64>, _> = Deserializer::new().deserialize(&mut &bytes[..]);
    histogram.ok().filter(same_layout).ok_or(CodingError::NotV2Compressed)
}

fn be_u32(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..at + 4).and_then(|b| b.try_into().ok()).map(u32::from_be_bytes)
}

/// The JSON text of a message of ours.
pub(crate) fn to_json(message: &impl Serialize) -> Vec<u8> {
    simd_json::to_vec(message).expect("our messages have text keys and finite numbers")
}
