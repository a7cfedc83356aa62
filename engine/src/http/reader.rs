//! Responses, read in whatever pieces they come: pure, from bytes to events.
//!
//! A body is counted by its bytes and never kept; a head is kept only while it is incomplete.

use super::Coding;
use super::chunked::Chunked;
use super::head::{self, Head, Transfer};

/// A longer head is refused, which bounds the memory of a connection.
const MAX_HEAD_BYTES: usize = 256 * 1024;
/// How much of the offending line is kept for people.
const SHOWN_BYTES: usize = 160;

/// The bytes are not an HTTP/1.1 response: why, and the line at fault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Malformed {
    pub why: &'static str,
    pub line: Vec<u8>,
}

impl Malformed {
    pub(super) fn at(why: &'static str, line: &[u8]) -> Self {
        Self { why, line: line[..line.len().min(SHOWN_BYTES)].to_vec() }
    }
}

impl From<&'static str> for Malformed {
    fn from(why: &'static str) -> Self {
        Self { why, line: Vec::new() }
    }
}

/// A complete response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Response {
    pub status: u16,
    /// Whether the connection may carry another request.
    pub reusable: bool,
    /// Bytes came behind the response that belong to nothing that was asked for.
    pub surplus: bool,
    /// Seconds after which the server says that it closes an idle connection.
    pub keep_alive_s: Option<u32>,
}

/// Takes what a response brings besides its framing.
pub trait Sink {
    /// The final head is read; the body, if there is one, is coded so.
    fn coding(&mut self, coding: Coding);
    /// The next piece of the body.
    fn body(&mut self, piece: &[u8]);
}

/// Wants nothing.
impl Sink for () {
    fn coding(&mut self, _: Coding) {}
    fn body(&mut self, _: &[u8]) {}
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Head,
    Length {
        response: Response,
        left: u64,
    },
    Chunks {
        response: Response,
        chunked: Chunked,
    },
    /// The body ends where the connection does.
    UntilClose {
        response: Response,
    },
}

/// Reads one response after another. After an error, or after a response that is not reusable, it wants a reset.
#[derive(Debug)]
pub struct ResponseReader {
    state: State,
    /// A head that has begun and is not complete.
    head: Vec<u8>,
    /// A HEAD request's response has no body, whatever its headers say.
    head_request: bool,
    /// Whether a byte of the present response has come.
    begun: bool,
}

impl ResponseReader {
    pub fn new(head_request: bool) -> Self {
        Self { state: State::Head, head: Vec::new(), head_request, begun: false }
    }

    /// Gets ready for a new connection.
    pub fn reset(&mut self) {
        self.state = State::Head;
        self.begun = false;
        // A long head was an exception, and its memory is wanted elsewhere.
        self.head = Vec::new();
    }

    /// Says whether the response to come is that of a HEAD request.
    pub fn expect_head(&mut self, head_request: bool) {
        self.head_request = head_request;
        self.begun = false;
    }

    /// Whether a byte of the present response has come.
    pub fn has_begun(&self) -> bool {
        self.begun
    }

    /// Reads on; `None`: the response is not complete yet.
    ///
    /// Bytes behind the response's end belong to nothing that was asked for: the connection is then not reusable.
    pub fn read(&mut self, mut bytes: &[u8], sink: &mut impl Sink) -> Result<Option<Response>, Malformed> {
        self.begun |= !bytes.is_empty();
        while !bytes.is_empty() {
            let complete = match &mut self.state {
                State::Head => self.read_head(&mut bytes, sink)?,
                State::Length { response, left } => {
                    let piece = bytes.len().min(usize::try_from(*left).unwrap_or(usize::MAX));
                    sink.body(&bytes[..piece]);
                    bytes = &bytes[piece..];
                    *left -= piece as u64;
                    (*left == 0).then_some(*response)
                }
                State::Chunks { response, chunked } => {
                    let (used, complete) = chunked.read(bytes, &mut |piece| sink.body(piece))?;
                    bytes = &bytes[used..];
                    complete.then_some(*response)
                }
                State::UntilClose { .. } => {
                    sink.body(bytes);
                    return Ok(None);
                }
            };
            if let Some(response) = complete {
                self.state = State::Head;
                let surplus = !bytes.is_empty();
                return Ok(Some(Response { reusable: response.reusable && !surplus, surplus, ..response }));
            }
        }
        Ok(None)
    }

    /// The connection was closed by its other end. Completes a response whose body ends there.
    pub fn close(&mut self) -> Option<Response> {
        match self.state {
            State::UntilClose { response } => Some(response),
            _ => None,
        }
    }

    /// Takes a head, or as much of it as is there, off `bytes`. Gives the response when it ends with the head.
    fn read_head(&mut self, bytes: &mut &[u8], sink: &mut impl Sink) -> Result<Option<Response>, Malformed> {
        let Some(end) = self.head_end(bytes) else {
            if self.head.len() + bytes.len() > MAX_HEAD_BYTES {
                return Err("the head is longer than 256 KiB".into());
            }
            self.head.extend_from_slice(bytes);
            *bytes = &[];
            head::check_version(&self.head)?;
            return Ok(None);
        };
        let (rest_of_head, behind) = bytes.split_at(end);
        *bytes = behind;
        if self.head.len() + end > MAX_HEAD_BYTES {
            return Err("the head is longer than 256 KiB".into());
        }
        let head = if self.head.is_empty() {
            head::read(rest_of_head)?
        } else {
            self.head.extend_from_slice(rest_of_head);
            let read = head::read(&self.head)?;
            self.head.clear();
            read
        };
        let next = body_of(&head, self.head_request);
        if next != Next::Head {
            sink.coding(head.coding);
        }
        Ok(match next {
            Next::Head => None,
            Next::Complete(response) => Some(response),
            Next::Body(state) => {
                self.state = state;
                None
            }
        })
    }

    /// How many of `bytes` complete the head: it ends with an empty line.
    fn head_end(&self, bytes: &[u8]) -> Option<usize> {
        // The empty line may have begun in what was read before: three bytes of it at most.
        let before = &self.head[self.head.len().saturating_sub(3)..];
        let byte = |index: usize, back: usize| match index.checked_sub(back) {
            Some(index) => Some(bytes[index]),
            None => before.len().checked_sub(back - index).map(|index| before[index]),
        };
        let ends = |index: &usize| match byte(*index, 1) {
            Some(b'\r') => byte(*index, 2) == Some(b'\n'),
            last => last == Some(b'\n'),
        };
        memchr::memchr_iter(b'\n', bytes).find(ends).map(|index| index + 1)
    }
}

/// What follows a head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    /// Another head: this one was interim.
    Head,
    Complete(Response),
    Body(State),
}

/// Where the response ends (RFC 9112 6.3).
fn body_of(head: &Head, head_request: bool) -> Next {
    let Head { status, persistent, length, transfer, coding: _, keep_alive_s } = *head;
    let response = Response { status, reusable: persistent, surplus: false, keep_alive_s };
    match status {
        // Nobody speaks HTTP on the connection behind it.
        101 => Next::Complete(Response { reusable: false, ..response }),
        100..=199 => Next::Head,
        204 | 304 => Next::Complete(response),
        _ if head_request => Next::Complete(response),
        _ => match (transfer, length) {
            (Some(Transfer::Chunked), _) => Next::Body(State::Chunks { response, chunked: Chunked::START }),
            (Some(Transfer::Other), _) | (None, None) => {
                Next::Body(State::UntilClose { response: Response { reusable: false, ..response } })
            }
            (None, Some(0)) => Next::Complete(response),
            (None, Some(left)) => Next::Body(State::Length { response, left }),
        },
    }
}
