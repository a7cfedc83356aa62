//! Answers from a hostile server: the reader never panics, and it reads pieces as it reads the whole.
#![no_main]

use libfuzzer_sys::fuzz_target;
use onrush_engine::internals::{Answer, Reader};

/// What came of a connection.
#[derive(Debug, PartialEq)]
enum Outcome {
    Complete(Answer),
    Malformed,
    Incomplete,
}

/// Reads one answer out of pieces, followed by the connection's close.
fn read<'a>(pieces: impl IntoIterator<Item = &'a [u8]>, head_request: bool) -> Outcome {
    let mut reader = Reader::new(head_request);
    let mut pieces = pieces.into_iter();
    while let Some(piece) = pieces.next() {
        match reader.read(piece) {
            Ok(None) => (),
            Err(_) => return Outcome::Malformed,
            Ok(Some(answer)) => {
                // Bytes that come in a later piece are surplus just as those in this one.
                let reusable = answer.reusable && pieces.all(<[u8]>::is_empty);
                return Outcome::Complete(Answer { reusable, ..answer });
            }
        }
    }
    reader.close().map_or(Outcome::Incomplete, Outcome::Complete)
}

/// Pieces of 1 to 64 bytes, mostly short, as `seed` has it.
fn pieces(mut bytes: &[u8], seed: u8) -> Vec<&[u8]> {
    let mut pieces = Vec::new();
    let mut state = u32::from(seed) | 0x9e37_7900;
    while !bytes.is_empty() {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        let longest = if state & 0x100 == 0 { 4 } else { 64 };
        let (piece, rest) = bytes.split_at(bytes.len().min(1 + (state >> 16) as usize % longest));
        pieces.push(piece);
        bytes = rest;
    }
    pieces
}

fuzz_target!(|input: &[u8]| {
    let [flags, seed, bytes @ ..] = input else { return };
    let head_request = flags & 1 == 1;
    let whole = read([bytes], head_request);
    assert_eq!(read(pieces(bytes, *seed), head_request), whole, "in pieces");
    assert_eq!(read(bytes.chunks(1), head_request), whole, "byte by byte");

    // A reader that was reset is as good as a new one, whatever it was in the middle of.
    let mut reader = Reader::new(head_request);
    let _before = reader.read(bytes);
    reader.reset();
    let pong = reader.read(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    assert_eq!(pong, Ok(Some(Answer { status: 200, reusable: true })));
});
