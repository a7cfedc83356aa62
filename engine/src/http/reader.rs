//! Answers, read in whatever pieces they come: pure, from bytes to events.
//!
//! A body is counted by its bytes and never kept; a head is kept only while it is incomplete.

use std::mem::MaybeUninit;

use super::chunked::Chunked;

/// A longer head is refused, which bounds the memory of a connection.
const LONGEST_HEAD: usize = 64 * 1024;
const MOST_HEADERS: usize = 256;
const VERSION_PREFIX: &[u8] = b"HTTP/1.";

/// The bytes are not an HTTP/1.1 answer, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed(pub &'static str);

/// A complete answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answer {
    pub status: u16,
    /// Whether the connection may carry another request.
    pub reusable: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Head,
    Length {
        answer: Answer,
        left: u64,
    },
    Chunks {
        answer: Answer,
        chunked: Chunked,
    },
    /// The body ends where the connection does.
    UntilClose {
        answer: Answer,
    },
}

/// Reads one answer after another. After an error, or after an answer that is not reusable, it wants a reset.
#[derive(Debug)]
pub struct Reader {
    state: State,
    /// A head that has begun and is not complete.
    head: Vec<u8>,
    /// A HEAD request's answer has no body, whatever its headers say.
    head_request: bool,
}

impl Reader {
    pub fn new(head_request: bool) -> Self {
        Self { state: State::Head, head: Vec::new(), head_request }
    }

    /// Gets ready for a new connection.
    pub fn reset(&mut self) {
        self.state = State::Head;
        self.head.clear();
    }

    /// Says whether the answer to come is that of a HEAD request.
    pub fn expect_head(&mut self, head_request: bool) {
        self.head_request = head_request;
    }

    /// Reads on; `None`: the answer is not complete yet.
    ///
    /// Bytes behind the answer's end belong to nothing that was asked for: the connection is then not reusable.
    pub fn read(&mut self, bytes: &[u8]) -> Result<Option<Answer>, Malformed> {
        self.read_body(bytes, |_| ())
    }

    /// The same, and shows the body to `body`, a piece at a time.
    pub fn read_body(&mut self, mut bytes: &[u8], mut body: impl FnMut(&[u8])) -> Result<Option<Answer>, Malformed> {
        while !bytes.is_empty() {
            let complete = match &mut self.state {
                State::Head => self.read_head(&mut bytes)?,
                State::Length { answer, left } => {
                    let piece = bytes.len().min(usize::try_from(*left).unwrap_or(usize::MAX));
                    body(&bytes[..piece]);
                    bytes = &bytes[piece..];
                    *left -= piece as u64;
                    (*left == 0).then_some(*answer)
                }
                State::Chunks { answer, chunked } => {
                    let (used, complete) = chunked.read(bytes, &mut body)?;
                    bytes = &bytes[used..];
                    complete.then_some(*answer)
                }
                State::UntilClose { .. } => {
                    body(bytes);
                    return Ok(None);
                }
            };
            if let Some(answer) = complete {
                self.state = State::Head;
                return Ok(Some(Answer { reusable: answer.reusable && bytes.is_empty(), ..answer }));
            }
        }
        Ok(None)
    }

    /// The connection was closed by its other end. Completes an answer whose body ends there.
    pub fn close(&mut self) -> Option<Answer> {
        match self.state {
            State::UntilClose { answer } => Some(answer),
            _ => None,
        }
    }

    /// Takes a head, or as much of it as is there, off `bytes`. Gives the answer when it ends with the head.
    fn read_head(&mut self, bytes: &mut &[u8]) -> Result<Option<Answer>, Malformed> {
        let Some(end) = self.head_end(bytes) else {
            if self.head.len() + bytes.len() > LONGEST_HEAD {
                return Err(Malformed("the head is longer than 64 KiB"));
            }
            self.head.extend_from_slice(bytes);
            *bytes = &[];
            check_version(&self.head)?;
            return Ok(None);
        };
        let (rest_of_head, behind) = bytes.split_at(end);
        *bytes = behind;
        if self.head.len() + end > LONGEST_HEAD {
            return Err(Malformed("the head is longer than 64 KiB"));
        }
        let next = if self.head.is_empty() {
            interpret(rest_of_head, self.head_request)?
        } else {
            self.head.extend_from_slice(rest_of_head);
            let next = interpret(&self.head, self.head_request)?;
            self.head.clear();
            next
        };
        match next {
            Next::Head => Ok(None),
            Next::Complete(answer) => Ok(Some(answer)),
            Next::Body(state) => {
                self.state = state;
                Ok(None)
            }
        }
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
enum Next {
    /// Another head: this one was interim.
    Head,
    Complete(Answer),
    Body(State),
}

/// Tells another protocol from its first bytes, without waiting for an empty line that may never come.
fn check_version(head: &[u8]) -> Result<(), Malformed> {
    let begin = &head[..head.len().min(VERSION_PREFIX.len())];
    if VERSION_PREFIX.starts_with(begin) { Ok(()) } else { Err(Malformed("the answer does not begin with HTTP/1")) }
}

fn interpret(head: &[u8], head_request: bool) -> Result<Next, Malformed> {
    check_version(head)?;
    let mut headers = [const { MaybeUninit::uninit() }; MOST_HEADERS];
    let mut response = httparse::Response::new(&mut []);
    let parsed =
        httparse::ParserConfig::default().parse_response_with_uninit_headers(&mut response, head, &mut headers);
    match parsed {
        Ok(httparse::Status::Complete(length)) if length == head.len() => (),
        Ok(_) => return Err(Malformed("the head is cut short")),
        Err(httparse::Error::TooManyHeaders) => return Err(Malformed("the head has more than 256 headers")),
        Err(_) => return Err(Malformed("the head is not one of HTTP/1.1")),
    }
    let status = response.code.unwrap_or_default();
    if status < 100 {
        return Err(Malformed("the status is not between 100 and 999"));
    }
    let framing = Framing::of(response.headers)?;
    let reusable = response.version == Some(1) && !framing.close;
    let answer = Answer { status, reusable };
    Ok(match status {
        // Nobody speaks HTTP on the connection behind it.
        101 => Next::Complete(Answer { reusable: false, ..answer }),
        100..=199 => Next::Head,
        204 | 304 => Next::Complete(answer),
        _ if head_request => Next::Complete(answer),
        _ => match (framing.transfer_coding, framing.length) {
            // A length beside chunks may be an attempt to smuggle: the connection is not used again.
            (Some(Coding::Chunked), length) => {
                let answer = Answer { reusable: reusable && length.is_none(), ..answer };
                Next::Body(State::Chunks { answer, chunked: Chunked::START })
            }
            (Some(Coding::Other), _) | (None, None) => {
                Next::Body(State::UntilClose { answer: Answer { reusable: false, ..answer } })
            }
            (None, Some(0)) => Next::Complete(answer),
            (None, Some(left)) => Next::Body(State::Length { answer, left }),
        },
    })
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Coding {
    Chunked,
    Other,
}

/// The headers that say where an answer ends and what becomes of the connection.
struct Framing {
    length: Option<u64>,
    transfer_coding: Option<Coding>,
    close: bool,
}

impl Framing {
    fn of(headers: &[httparse::Header<'_>]) -> Result<Self, Malformed> {
        let mut framing = Self { length: None, transfer_coding: None, close: false };
        for header in headers {
            let values = || header.value.split(|&byte| byte == b',').map(<[u8]>::trim_ascii);
            if header.name.eq_ignore_ascii_case("content-length") {
                for value in values() {
                    let length = whole_number(value).ok_or(Malformed("a Content-Length is not a number"))?;
                    if framing.length.is_some_and(|other| other != length) {
                        return Err(Malformed("the Content-Lengths contradict each other"));
                    }
                    framing.length = Some(length);
                }
            } else if header.name.eq_ignore_ascii_case("transfer-encoding") {
                // The last coding is the one on the wire.
                for value in values().filter(|value| !value.is_empty()) {
                    let chunked = value.eq_ignore_ascii_case(b"chunked");
                    framing.transfer_coding = Some(if chunked { Coding::Chunked } else { Coding::Other });
                }
            } else if header.name.eq_ignore_ascii_case("connection") {
                framing.close |= values().any(|value| value.eq_ignore_ascii_case(b"close"));
            }
        }
        Ok(framing)
    }
}

/// Digits only: no sign, nothing around them, no overflow.
fn whole_number(digits: &[u8]) -> Option<u64> {
    let add = |sum: u64, digit: &u8| {
        digit.is_ascii_digit().then(|| sum.checked_mul(10)?.checked_add(u64::from(digit - b'0'))).flatten()
    };
    if digits.is_empty() { None } else { digits.iter().try_fold(0, add) }
}
