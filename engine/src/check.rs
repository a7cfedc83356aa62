//! What an answer must be like beyond being HTTP: pure, fed with the body as it comes.

use simd_json::OwnedValue;
use simd_json::prelude::*;

/// A longer body is not read as JSON, which bounds the memory of a connection.
pub const JSON_BODY_MAX: usize = 1024 * 1024;

/// One condition on an answer.
#[derive(Clone, Debug, PartialEq)]
pub enum Check {
    /// The status is within one of these ranges, bounds included.
    Status(Vec<(u16, u16)>),
    /// The body holds these bytes somewhere.
    BodyContains(Vec<u8>),
    /// The body is JSON of at most [`JSON_BODY_MAX`] bytes, and has this value there.
    Json {
        /// Where, as a JSON pointer (RFC 6901): `/items/0/name`; the empty text is the whole.
        pointer: String,
        /// What must be there.
        value: OwnedValue,
    },
}

/// The checks of one request, and what one connection has seen of the body so far.
#[derive(Debug, Default)]
pub(crate) struct Judge {
    /// For each [`Check::BodyContains`]: whether it was found.
    found: Vec<bool>,
    /// The last bytes of the body: what is looked for may be cut in two by a read.
    tail: Vec<u8>,
    /// The body, where a check wants it as JSON; at most [`JSON_BODY_MAX`] bytes of it and one more.
    kept: Vec<u8>,
}

impl Judge {
    /// Gets ready for the next answer.
    pub fn reset(&mut self, checks: &[Check]) {
        self.found.clear();
        self.found.resize(checks.len(), false);
        self.tail.clear();
        self.kept.clear();
    }

    /// Takes the next piece of the body.
    pub fn body(&mut self, checks: &[Check], piece: &[u8]) {
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
            let room = (JSON_BODY_MAX + 1).saturating_sub(self.kept.len());
            self.kept.extend_from_slice(&piece[..piece.len().min(room)]);
        }
    }

    /// Whether the complete answer is as it must be; otherwise what is wrong, for people.
    pub fn verdict(&mut self, checks: &[Check], status: u16) -> Result<(), String> {
        // The parser works in place: what it left is of no more use.
        let mut parsed = None;
        for (check, found) in checks.iter().zip(&self.found) {
            match check {
                Check::Status(ranges) => {
                    if !ranges.iter().any(|(first, last)| (*first..=*last).contains(&status)) {
                        return Err(format!("the status is {status}"));
                    }
                }
                Check::BodyContains(wanted) => {
                    if !found && !wanted.is_empty() {
                        return Err(format!("the body does not hold {:?}", String::from_utf8_lossy(wanted)));
                    }
                }
                Check::Json { pointer, value } => {
                    let document = parsed.get_or_insert_with(|| parse(&mut self.kept)).as_ref();
                    let there = at(document.map_err(Clone::clone)?, pointer);
                    if there != Some(value) {
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
    if body.len() > JSON_BODY_MAX {
        return Err(format!("the body has more than {JSON_BODY_MAX} bytes, too many to be read as JSON"));
    }
    simd_json::to_owned_value(body).map_err(|error| format!("the body is no JSON: {error}"))
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
        let mut judge = Judge::default();
        // What another answer left does not count.
        judge.reset(checks);
        judge.body(checks, b"{\"a\": needle");
        judge.reset(checks);
        for piece in pieces {
            judge.body(checks, piece);
        }
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
        for (pointer, value) in [("/ok", "true"), ("/a~1b/0", "1"), ("/a~1b/1/x", "\"y\""), ("/n", "1.5")] {
            assert_eq!(judged(&[json(pointer, value)], 200, body), Ok(()), "{pointer}");
        }
        for (pointer, value) in [("/ok", "false"), ("/nowhere", "1"), ("/a~1b/9", "1"), ("/ok/deeper", "1")] {
            assert!(judged(&[json(pointer, value)], 200, body).is_err(), "{pointer}");
        }
        let wrong = judged(&[json("/ok", "true")], 200, &[b"<html>"]).expect_err("no JSON");
        assert!(wrong.contains("no JSON"), "{wrong}");
    }

    #[test]
    fn a_body_beyond_the_bound_is_not_kept() {
        let piece = vec![b' '; 64 * 1024];
        let checks = [json("", "1")];
        let mut judge = Judge::default();
        judge.reset(&checks);
        for _ in 0..100 {
            judge.body(&checks, &piece);
        }
        assert_eq!(judge.kept.len(), JSON_BODY_MAX + 1);
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
