//! Responses from a hostile server: the reader never panics, and it reads pieces as it reads the whole.
#![no_main]

use libfuzzer_sys::fuzz_target;
use onrush_engine::internals::{Coding, ResponseReader, Response, Sink};

/// What came of a connection.
#[derive(Debug, PartialEq)]
enum Outcome {
    Complete(Response, Brought),
    Malformed(&'static str),
    Incomplete,
}

/// What a response brought besides its framing.
#[derive(Debug, Default, PartialEq)]
struct Brought {
    coding: Option<Coding>,
    body: Vec<u8>,
}

impl Sink for Brought {
    fn coding(&mut self, coding: Coding) {
        self.coding = Some(coding);
    }

    fn body(&mut self, piece: &[u8]) {
        self.body.extend_from_slice(piece);
    }
}

/// Reads one response out of pieces, followed by the connection's close.
fn read<'a>(pieces: impl IntoIterator<Item = &'a [u8]>, head_request: bool) -> Outcome {
    let (mut reader, mut brought) = (ResponseReader::new(head_request), Brought::default());
    let mut pieces = pieces.into_iter();
    while let Some(piece) = pieces.next() {
        match reader.read(piece, &mut brought) {
            Ok(None) => (),
            Err(malformed) => return Outcome::Malformed(malformed.why),
            Ok(Some(mut response)) => {
                // Bytes that come in a later piece are surplus just as those in this one.
                if pieces.any(|piece| !piece.is_empty()) {
                    (response.surplus, response.reusable) = (true, false);
                }
                return Outcome::Complete(response, brought);
            }
        }
    }
    match reader.close() {
        Some(response) => Outcome::Complete(response, brought),
        None => Outcome::Incomplete,
    }
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
    let mut reader = ResponseReader::new(head_request);
    let _before = reader.read(bytes, &mut ());
    reader.reset();
    let pong = reader.read(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", &mut ());
    assert_eq!(pong, Ok(Some(Response { status: 200, reusable: true, surplus: false, keep_alive_s: None })));
});
