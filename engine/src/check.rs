//! What a response must be like beyond being HTTP: pure, fed with the body as it comes.

use std::sync::Arc;

use simd_json::OwnedValue;
use simd_json::prelude::*;

use crate::decode::{Decoder, MAX_JSON_BODY_BYTES};
use crate::http::{Coding, Sink};

/// How much of a body that is not as it must be is shown to people.
const SHOWN_BYTES: usize = 60;

/// One condition on a response.
#[derive(Clone, Debug, PartialEq)]
pub enum Check {
    /// The status is within one of these ranges, bounds included.
    Status(Vec<(u16, u16)>),
    /// The body holds these bytes somewhere.
    BodyContains(Vec<u8>),
    /// The body is JSON of at most [`MAX_JSON_BODY_BYTES`] bytes, and has this value there. Numbers are equal by their value.
    Json {
        /// Where, as a JSON pointer (RFC 6901): `/items/0/name`; the empty string is the whole.
        pointer: String,
        /// What must be there.
        value: OwnedValue,
    },
}

impl Check {
    fn looks_at_the_body(&self) -> bool {
        !matches!(self, Check::Status(_))
    }
}

/// The conditions on the response to one request: those of the whole test and its own. Both are shared, for requests may be
/// many.
#[derive(Clone, Debug, Default)]
pub struct Checks {
    /// Of every request of the test.
    pub common: Arc<[Check]>,
    /// Of this request alone.
    pub own: Arc<[Check]>,
}

impl Checks {
    /// Each of them, those of the whole test first.
    pub fn iter(&self) -> impl Iterator<Item = &Check> {
        self.common.iter().chain(&*self.own)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.common.len() + self.own.len()
    }

    /// Whether any response will do.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// The same checks in the same order, wherever they are kept.
impl PartialEq for Checks {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl<const N: usize> From<[Check; N]> for Checks {
    fn from(own: [Check; N]) -> Self {
        Self { own: own.into(), ..Self::default() }
    }
}

/// What one connection has seen of a response's body so far.
#[derive(Debug, Default)]
pub(crate) struct Judge {
    /// For each [`Check::BodyContains`]: whether it was found.
    found: Vec<bool>,
    /// The last bytes of the body: what is looked for may be cut in two by a read.
    tail: Vec<u8>,
    /// The body, where a check wants it as JSON; at most [`MAX_JSON_BODY_BYTES`] bytes of it and one more.
    kept: Vec<u8>,
    /// Where the body is compressed and a check looks at it.
    decoder: Option<Decoder>,
    /// Why the body cannot be looked at.
    unreadable: Option<String>,
}

/// The checks of one request, and who judges its response.
pub(crate) struct Judging<'a> {
    pub judge: &'a mut Judge,
    pub checks: &'a Checks,
}

impl Sink for Judging<'_> {
    fn coding(&mut self, coding: Coding) {
        let Self { judge, checks } = self;
        if !checks.iter().any(Check::looks_at_the_body) {
            return;
        }
        judge.decoder = match coding {
            Coding::Identity => None,
            Coding::Gzip | Coding::Deflate => Some(Decoder::new(coding)),
            Coding::Other(_) => {
                let name = coding.name();
                judge.unreadable = Some(format!(
                    "the body has the Content-Encoding {name}, which is not decoded; gzip and deflate are"
                ));
                None
            }
        };
    }

    fn body(&mut self, piece: &[u8]) {
        let Self { judge, checks } = self;
        if judge.unreadable.is_some() {
            return;
        }
        match judge.decoder.take() {
            None => judge.look(checks, piece),
            Some(mut decoder) => {
                let decoded = decoder.decode(piece, |plain| judge.look(checks, plain));
                judge.unreadable = decoded.err();
                judge.decoder = Some(decoder);
            }
        }
    }
}

impl Judge {
    /// Gets ready for the next response.
    pub fn reset(&mut self, checks: &Checks) {
        let Self { found, tail, kept, decoder, unreadable } = self;
        found.clear();
        found.resize(checks.len(), false);
        tail.clear();
        kept.clear();
        (*decoder, *unreadable) = (None, None);
    }

    /// Takes the next piece of the decoded body.
    fn look(&mut self, checks: &Checks, piece: &[u8]) {
        let mut longest = 0;
        for (check, found) in checks.iter().zip(&mut self.found) {
            let Check::BodyContains(wanted) = check else { continue };
            longest = longest.max(wanted.len());
            if !*found {
                let seam = wanted.len().saturating_sub(1);
                let before = &self.tail[self.tail.len().saturating_sub(seam)..];
                *found = contains(piece, wanted) || {
                    let across: Vec<u8> = before.iter().chain(piece.iter().take(seam)).copied().collect();
                    contains(&across, wanted)
                };
            }
        }
        if longest > 1 {
            let keep = longest - 1;
            let from_piece = &piece[piece.len().saturating_sub(keep)..];
            let surplus = (self.tail.len() + from_piece.len()).saturating_sub(keep);
            self.tail.drain(..surplus.min(self.tail.len()));
            self.tail.extend_from_slice(from_piece);
        }
        if checks.iter().any(|check| matches!(check, Check::Json { .. })) {
            let room = (MAX_JSON_BODY_BYTES + 1).saturating_sub(self.kept.len());
            self.kept.extend_from_slice(&piece[..piece.len().min(room)]);
        }
    }

    /// Whether the complete response is as it must be; otherwise what is wrong, for people.
    pub fn verdict(&mut self, checks: &Checks, status: u16) -> Result<(), String> {
        if let Some(decoder) = &mut self.decoder
            && self.unreadable.is_none()
        {
            self.unreadable = decoder.finish().err();
        }
        // The parser works in place: what it left is of no more use.
        let mut parsed = None;
        for (check, found) in checks.iter().zip(&self.found) {
            match (check, &self.unreadable) {
                (Check::Status(ranges), _) => {
                    if !ranges.iter().any(|(first, last)| (*first..=*last).contains(&status)) {
                        return Err(format!("the status is {status}"));
                    }
                }
                (Check::BodyContains(_), _) if *found => {}
                (_, Some(why)) => return Err(why.clone()),
                (Check::BodyContains(wanted), None) => {
                    if !wanted.is_empty() {
                        return Err(format!("the body does not hold {:?}", String::from_utf8_lossy(wanted)));
                    }
                }
                (Check::Json { pointer, value }, None) => {
                    let document = parsed.get_or_insert_with(|| parse(&mut self.kept)).as_ref();
                    let there = at(document.map_err(Clone::clone)?, pointer);
                    if !there.is_some_and(|there| equal(there, value)) {
                        let there = there.map_or("nothing".to_owned(), |there| there.encode());
                        return Err(format!("at {pointer:?} the body has {there}, not {}", value.encode()));
                    }
                }
            }
        }
        Ok(())
    }
}

fn contains(body: &[u8], wanted: &[u8]) -> bool {
    memchr::memmem::find(body, wanted).is_some()
}

fn parse(body: &mut [u8]) -> Result<OwnedValue, String> {
    const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";
    if body.len() > MAX_JSON_BODY_BYTES {
        return Err(format!("the body has more than {MAX_JSON_BODY_BYTES} bytes, too many to be read as JSON"));
    }
    let start = if body.starts_with(BYTE_ORDER_MARK) { BYTE_ORDER_MARK.len() } else { 0 };
    let body = &mut body[start..];
    // The parser spoils what it reads.
    let mut begin = [0; SHOWN_BYTES];
    let shown = body.len().min(SHOWN_BYTES);
    begin[..shown].copy_from_slice(&body[..shown]);
    let whole = body.len() <= SHOWN_BYTES;
    simd_json::to_owned_value(body).map_err(|_| match shown {
        0 => "the body is empty, not JSON".into(),
        _ => {
            let text = String::from_utf8_lossy(&begin[..shown]);
            format!("the body is not JSON: {text}{}", if whole { "" } else { "..." })
        }
    })
}

/// Whether two values are the same; numbers by their value, so that 1, 1.0 and 1e0 are.
fn equal(a: &OwnedValue, b: &OwnedValue) -> bool {
    match (a, b) {
        (OwnedValue::Array(a), OwnedValue::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b.iter()).all(|(a, b)| equal(a, b))
        }
        (OwnedValue::Object(a), OwnedValue::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(key, a)| b.get(key).is_some_and(|b| equal(a, b)))
        }
        // Whole numbers to the digit; others as what a float can tell apart.
        (a, b) => a == b || (a.cast_f64().is_some() && a.cast_f64() == b.cast_f64() && !(is_whole(a) && is_whole(b))),
    }
}

fn is_whole(value: &OwnedValue) -> bool {
    value.is_i64() || value.is_u64()
}

/// The value at a JSON pointer.
fn at<'a>(document: &'a OwnedValue, pointer: &str) -> Option<&'a OwnedValue> {
    let mut steps = pointer.split('/');
    // What stands before the first slash is empty.
    steps.next();
    steps.try_fold(document, |value, step| {
        let step = step.replace("~1", "/").replace("~0", "~");
        match value {
            OwnedValue::Object(object) => object.get(step.as_str()),
            OwnedValue::Array(list) => list.get(step.parse::<usize>().ok()?),
            OwnedValue::Static(_) | OwnedValue::String(_) => None,
        }
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn judged(checks: &[Check], status: u16, pieces: &[&[u8]]) -> Result<(), String> {
        judged_coded(checks, status, Coding::Identity, pieces)
    }

    fn judged_coded(checks: &[Check], status: u16, coding: Coding, pieces: &[&[u8]]) -> Result<(), String> {
        // Wherever they are divided between the test and the request, they are the same checks.
        let [first, last] = [0, checks.len()].map(|at| {
            let (common, own) = checks.split_at(at);
            judged_by(&Checks { common: common.into(), own: own.into() }, status, coding, pieces)
        });
        assert_eq!(first, last);
        first
    }

    fn judged_by(checks: &Checks, status: u16, coding: Coding, pieces: &[&[u8]]) -> Result<(), String> {
        let mut judge = Judge::default();
        judge.reset(checks);
        let mut judging = Judging { judge: &mut judge, checks };
        judging.coding(coding);
        pieces.iter().for_each(|piece| judging.body(piece));
        judge.verdict(checks, status)
    }

    fn json(pointer: &str, value: &str) -> Check {
        let value = simd_json::to_owned_value(&mut value.as_bytes().to_vec()).expect("JSON");
        Check::Json { pointer: pointer.into(), value }
    }

    #[test]
    fn a_status_is_within_a_range() {
        let checks = [Check::Status(vec![(200, 299), (304, 304)])];
        for (status, fits) in [(200, true), (299, true), (304, true), (199, false), (300, false), (500, false)] {
            assert_eq!(judged(&checks, status, &[]).is_ok(), fits, "{status}");
        }
    }

    #[test]
    fn json_is_compared_as_values() {
        let body: &[&[u8]] = &[b"{\"a/b\": [1, {\"x\": \"y\"}], ", b"\"ok\" : true, \"n\": 1.50}"];
        let equal = [
            ("/ok", "true"),
            ("/a~1b/0", "1"),
            ("/a~1b/0", "1.0"),
            ("/a~1b", "[1.0, {\"x\": \"y\"}]"),
            ("/a~1b/1/x", "\"y\""),
            ("/n", "1.5"),
            ("/n", "15e-1"),
        ];
        for (pointer, value) in equal {
            assert_eq!(judged(&[json(pointer, value)], 200, body), Ok(()), "{pointer}");
        }
        let different = [
            ("/ok", "false"),
            ("/ok", "1"),
            ("/nowhere", "1"),
            ("/a~1b/9", "1"),
            ("/a~1b/0", "\"1\""),
            ("/ok/deeper", "1"),
            ("/n", "1"),
        ];
        for (pointer, value) in different {
            assert!(judged(&[json(pointer, value)], 200, body).is_err(), "{pointer}");
        }
        let wrong = judged(&[json("/ok", "true")], 200, &[b"<html>"]).expect_err("no JSON");
        assert_eq!(wrong, "the body is not JSON: <html>");
        assert_eq!(judged(&[json("/ok", "true")], 200, &[b"\xef\xbb\xbf{\"ok\":", b"true}"]), Ok(()));
        let (large, next) = (json("", "9007199254740993"), json("", "9007199254740992"));
        assert_eq!(judged(std::slice::from_ref(&large), 200, &[b"9007199254740993"]), Ok(()));
        assert!(judged(&[next], 200, &[b"9007199254740993"]).is_err(), "whole numbers are compared to the digit");
    }

    #[test]
    fn a_compressed_body_is_decoded_or_its_coding_named() {
        let body = b"{\"message\":\"pong\"}";
        let mut gzip = Vec::new();
        std::io::Read::read_to_end(&mut flate2::bufread::GzEncoder::new(&body[..], Default::default()), &mut gzip)
            .expect("memory can be read");
        let checks = [Check::BodyContains(b"pong".to_vec()), json("/message", "\"pong\"")];
        let (begin, end) = gzip.split_at(20);
        assert_eq!(judged_coded(&checks, 200, Coding::Gzip, &[begin, end]), Ok(()));
        assert!(judged_coded(&checks, 200, Coding::Gzip, &[begin]).is_err_and(|why| why.contains("gzip")));
        let brotli = Coding::named(b"br");
        assert!(judged_coded(&checks, 200, brotli, &[b"\x8b"]).is_err_and(|why| why.contains("Content-Encoding br")));
        assert_eq!(judged_coded(&[Check::Status(vec![(200, 200)])], 200, brotli, &[b"\x8b"]), Ok(()));
    }

    #[test]
    fn a_body_beyond_the_bound_is_not_kept() {
        let piece = vec![b' '; 64 * 1024];
        let checks = Checks::from([json("", "1")]);
        let mut judge = Judge::default();
        judge.reset(&checks);
        for _ in 0..100 {
            Judging { judge: &mut judge, checks: &checks }.body(&piece);
        }
        assert_eq!(judge.kept.len(), MAX_JSON_BODY_BYTES + 1);
        assert!(judge.verdict(&checks, 200).expect_err("too long").contains("too many"));
    }

    proptest! {
        #[test]
        fn what_is_looked_for_is_found_however_it_is_cut(
            body in "[ab]{0,40}", wanted in "[ab]{1,6}", mut cuts in prop::collection::vec(0..40usize, 0..6)
        ) {
            let bytes = body.as_bytes();
            cuts.retain(|cut| *cut <= bytes.len());
            cuts.sort_unstable();
            let mut from = 0;
            let mut pieces = Vec::new();
            for cut in cuts {
                pieces.push(&bytes[from..cut]);
                from = cut;
            }
            pieces.push(&bytes[from..]);
            let checks = [Check::BodyContains(wanted.clone().into_bytes()), Check::BodyContains(b"b".to_vec())];
            let expected = body.contains(&wanted) && body.contains('b');
            prop_assert_eq!(judged(&checks, 200, &pieces).is_ok(), expected);
        }
    }
}
