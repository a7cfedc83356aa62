//! Reads requests from a stream of bytes, wherever the stream is cut.
//!
//! No sockets and no clocks: bytes go in, what they mean comes out. A body is read to its end and discarded.
//! Memory: the caller's buffer, at most [`MAX_HEAD_BYTES`] of it for a head; nothing is kept here but the state.

use std::mem::MaybeUninit;

use crate::accept::prefers_json;

/// A longer head is refused.
pub const MAX_HEAD_BYTES: usize = 16 * 1024;
/// A head with more fields than this is refused like a longer one.
const MAX_FIELDS: usize = 100;
/// A partial head up to this length is looked at with every new byte, so that garbage is refused at once. A longer
/// one is looked at again only when a line has ended: otherwise a client that sends single bytes costs the square.
const MAX_EAGER_BYTES: usize = 512;
/// The longest line of a chunked body that is not data: a size with its extensions, or a trailer field.
const MAX_CHUNK_LINE_BYTES: u32 = 4 * 1024;
/// All trailer fields of a chunked body together.
const MAX_TRAILER_BYTES: u32 = 16 * 1024;

/// What a request asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route {
    /// `/ping`
    Ping,
    /// `/metrics`
    Metrics,
    /// Any other path.
    Other,
}

/// What becomes of the connection after the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Persistence {
    /// It stays open, as HTTP/1.1 has it unless told otherwise.
    Keep,
    /// It stays open because an HTTP/1.0 client asked for it, who must be told so.
    KeepTold,
    /// It is closed.
    Close,
}

/// A request whose head is complete.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request {
    /// What it asks for.
    pub route: Route,
    /// GET or HEAD.
    pub is_read: bool,
    /// HEAD: the answer has no body.
    pub is_head: bool,
    /// The client speaks HTTP/1.0, which knows no chunks.
    pub is_http_10: bool,
    /// What becomes of the connection.
    pub persistence: Persistence,
    /// The client waits for `100 Continue` before it sends the body.
    pub expects_continue: bool,
    /// JSON is wanted rather than text.
    pub prefers_json: bool,
}

/// Why a request cannot be answered properly. The connection ends with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Malformed {
    /// Not a request, or one that contradicts itself: 400.
    Syntax,
    /// The head is longer than [`MAX_HEAD_BYTES`] or has too many fields: 431.
    HeadTooLarge,
    /// A transfer coding other than chunked: 501.
    TransferCoding,
    /// Neither HTTP/1.0 nor HTTP/1.1: 505.
    Version,
}

/// What the bytes so far amount to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// More bytes are needed.
    NeedMore,
    /// A head is complete. Its end follows, at once if it has no body.
    Head(Request),
    /// The request is complete and its answer is due.
    End,
    /// Nothing sensible can follow.
    Malformed(Malformed),
}

/// Reads the requests of one connection.
#[derive(Debug, Default)]
pub struct RequestReader {
    state: State,
}

#[derive(Clone, Copy, Debug)]
enum State {
    /// In a head of which this many bytes are known to be incomplete.
    Head { seen: usize },
    /// In a body of which this many bytes are missing; 0 where there is none.
    Counted { missing: u64 },
    /// In a chunked body.
    Chunked(Chunked),
    /// After something malformed.
    Broken(Malformed),
}

impl Default for State {
    fn default() -> Self {
        Self::Head { seen: 0 }
    }
}

impl RequestReader {
    /// Looks at `input`, which begins with the first byte not consumed yet, and says how many bytes of it are consumed
    /// by what happened.
    pub fn next(&mut self, input: &[u8]) -> (usize, Event) {
        match &mut self.state {
            State::Head { seen } => {
                let fresh = input.get(*seen..).unwrap_or_default();
                if fresh.is_empty() {
                    return (0, Event::NeedMore);
                }
                let worth_parsing =
                    input.len() <= MAX_EAGER_BYTES || input.len() >= MAX_HEAD_BYTES || fresh.contains(&b'\n');
                let parsed = if worth_parsing { parse_head(input) } else { Ok(None) };
                match parsed {
                    Ok(None) if input.len() < MAX_HEAD_BYTES => {
                        *seen = input.len();
                        (0, Event::NeedMore)
                    }
                    Ok(None) => self.broken(Malformed::HeadTooLarge),
                    Ok(Some((length, ..))) if length > MAX_HEAD_BYTES => self.broken(Malformed::HeadTooLarge),
                    Ok(Some((length, request, body))) => {
                        self.state = body;
                        (length, Event::Head(request))
                    }
                    Err(malformed) => self.broken(malformed),
                }
            }
            State::Counted { missing } => {
                let taken = usize::try_from(*missing).unwrap_or(usize::MAX).min(input.len());
                *missing -= taken as u64;
                if *missing == 0 {
                    self.state = State::default();
                    (taken, Event::End)
                } else {
                    (taken, Event::NeedMore)
                }
            }
            State::Chunked(chunked) => match chunked.take(input) {
                (taken, Ok(false)) => (taken, Event::NeedMore),
                (taken, Ok(true)) => {
                    self.state = State::default();
                    (taken, Event::End)
                }
                (_, Err(malformed)) => self.broken(malformed),
            },
            State::Broken(malformed) => (0, Event::Malformed(*malformed)),
        }
    }

    fn broken(&mut self, malformed: Malformed) -> (usize, Event) {
        self.state = State::Broken(malformed);
        (0, Event::Malformed(malformed))
    }
}

/// The head's length, the request and the state its body begins with; `None` if the head is not complete.
fn parse_head(input: &[u8]) -> Result<Option<(usize, Request, State)>, Malformed> {
    let mut fields = [const { MaybeUninit::<httparse::Header<'_>>::uninit() }; MAX_FIELDS];
    let mut head = httparse::Request::new(&mut []);
    let length = match head.parse_with_uninit_headers(input, &mut fields) {
        Ok(httparse::Status::Complete(length)) => length,
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(httparse::Error::TooManyHeaders) => return Err(Malformed::HeadTooLarge),
        Err(httparse::Error::Version) if asks_for_other_version(input) => return Err(Malformed::Version),
        Err(_) => return Err(Malformed::Syntax),
    };
    let (Some(method), Some(target), Some(minor_version)) = (head.method, head.path, head.version) else {
        return Err(Malformed::Syntax);
    };
    let is_http_10 = minor_version == 0;

    let mut hosts = 0;
    let mut length_declared: Option<u64> = None;
    let mut chunked = false;
    let mut asks_close = false;
    let mut asks_keep = false;
    let mut expects_continue = false;
    for field in head.headers.iter() {
        let name = field.name;
        if name.eq_ignore_ascii_case("host") {
            hosts += 1;
        } else if name.eq_ignore_ascii_case("content-length") {
            let declared = parse_length(field.value).ok_or(Malformed::Syntax)?;
            if length_declared.is_some_and(|other| other != declared) {
                return Err(Malformed::Syntax);
            }
            length_declared = Some(declared);
        } else if name.eq_ignore_ascii_case("transfer-encoding") {
            // A coding before or after chunked would have to be undone to find the end: none is understood.
            if chunked || is_http_10 {
                return Err(Malformed::Syntax);
            }
            if !field.value.trim_ascii().eq_ignore_ascii_case(b"chunked") {
                return Err(Malformed::TransferCoding);
            }
            chunked = true;
        } else if name.eq_ignore_ascii_case("connection") {
            for option in field.value.split(|byte| *byte == b',') {
                let option = option.trim_ascii();
                asks_close |= option.eq_ignore_ascii_case(b"close");
                asks_keep |= option.eq_ignore_ascii_case(b"keep-alive");
            }
        } else if name.eq_ignore_ascii_case("expect") {
            expects_continue |= field.value.trim_ascii().eq_ignore_ascii_case(b"100-continue");
        }
    }
    // Two lengths, or two hosts, are how requests are smuggled past a proxy.
    if (chunked && length_declared.is_some()) || hosts > 1 || (hosts == 0 && !is_http_10) {
        return Err(Malformed::Syntax);
    }

    let route = route(target);
    let has_body = chunked || length_declared.is_some_and(|declared| declared > 0);
    let request = Request {
        route,
        is_read: matches!(method, "GET" | "HEAD"),
        is_head: method == "HEAD",
        is_http_10,
        persistence: match (is_http_10, asks_close, asks_keep) {
            (_, true, _) | (true, false, false) => Persistence::Close,
            (true, false, true) => Persistence::KeepTold,
            (false, false, _) => Persistence::Keep,
        },
        expects_continue: expects_continue && has_body && !is_http_10,
        prefers_json: route == Route::Metrics
            && prefers_json(
                head.headers.iter().filter(|field| field.name.eq_ignore_ascii_case("accept")).map(|field| field.value),
            ),
    };
    let body = if chunked {
        State::Chunked(Chunked::default())
    } else {
        State::Counted { missing: length_declared.unwrap_or(0) }
    };
    Ok(Some((length, request, body)))
}

/// Whether the request line names a version of HTTP at all: `HTTP/2.0` is refused otherwise than `FOO`.
fn asks_for_other_version(input: &[u8]) -> bool {
    let line = input.trim_ascii_start().split(|byte| matches!(byte, b'\r' | b'\n')).next().unwrap_or_default();
    let version = line.rsplit(|byte| *byte == b' ').next().unwrap_or_default();
    matches!(version.strip_prefix(b"HTTP/"), Some([b'0'..=b'9', rest @ ..]) if rest.iter().all(|byte| matches!(byte, b'.' | b'0'..=b'9')))
}

fn parse_length(value: &[u8]) -> Option<u64> {
    let digits = value.trim_ascii();
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(digits).ok()?.parse().ok()
}

/// The route of a request target: a path with its query, or a whole URL as one sends it to a proxy.
fn route(target: &str) -> Route {
    let after_scheme = target.strip_prefix("http://").or_else(|| target.strip_prefix("https://"));
    let path = match after_scheme {
        Some(rest) => rest.find('/').map_or("/", |slash| &rest[slash..]),
        None => target,
    };
    match path.split(['?', '#']).next() {
        Some("/ping") => Route::Ping,
        Some("/metrics") => Route::Metrics,
        _ => Route::Other,
    }
}

/// Where in a chunked body the reader is.
#[derive(Clone, Copy, Debug, Default)]
struct Chunked {
    part: ChunkedPlace,
    /// The chunk's size while it is read, then its bytes that are missing.
    chunk_bytes: u64,
    /// Bytes of the current line that is not data.
    line_bytes: u32,
    /// Bytes of all trailer fields.
    trailer_bytes: u32,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum ChunkedPlace {
    #[default]
    Size,
    Extension,
    SizeLf,
    Data,
    DataCr,
    DataLf,
    /// At the beginning of a line after the last chunk: a trailer field, or the end.
    TrailerStart,
    Trailer,
    TrailerLf,
    EndLf,
}

impl Chunked {
    /// Consumes bytes; true once the body has ended.
    fn take(&mut self, input: &[u8]) -> (usize, Result<bool, Malformed>) {
        let mut at = 0;
        while let Some(byte) = input.get(at).copied() {
            if self.part == ChunkedPlace::Data {
                let taken = usize::try_from(self.chunk_bytes).unwrap_or(usize::MAX).min(input.len() - at);
                self.chunk_bytes -= taken as u64;
                at += taken;
                if self.chunk_bytes == 0 {
                    self.part = ChunkedPlace::DataCr;
                }
                continue;
            }
            at += 1;
            match self.step(byte) {
                Ok(false) => {}
                ended => return (at, ended),
            }
        }
        (at, Ok(false))
    }

    /// One byte that is not data.
    fn step(&mut self, byte: u8) -> Result<bool, Malformed> {
        self.line_bytes += 1;
        if self.line_bytes > MAX_CHUNK_LINE_BYTES {
            return Err(Malformed::Syntax);
        }
        let next = match (self.part, byte) {
            (ChunkedPlace::Size, b'0'..=b'9' | b'a'..=b'f' | b'A'..=b'F') => {
                let digit = u64::from((byte as char).to_digit(16).unwrap_or(0));
                if self.chunk_bytes >> 60 != 0 {
                    return Err(Malformed::Syntax);
                }
                self.chunk_bytes = self.chunk_bytes << 4 | digit;
                ChunkedPlace::Size
            }
            // Without a single digit there is no size.
            (ChunkedPlace::Size, _) if self.line_bytes == 1 => return Err(Malformed::Syntax),
            (ChunkedPlace::Size, b';' | b' ' | b'\t') => ChunkedPlace::Extension,
            (ChunkedPlace::Size | ChunkedPlace::Extension, b'\r') => ChunkedPlace::SizeLf,
            (ChunkedPlace::Extension, b' '..=b'~' | b'\t' | 0x80..) => ChunkedPlace::Extension,
            (ChunkedPlace::SizeLf, b'\n') => {
                self.line_bytes = 0;
                if self.chunk_bytes == 0 { ChunkedPlace::TrailerStart } else { ChunkedPlace::Data }
            }
            (ChunkedPlace::DataCr, b'\r') => ChunkedPlace::DataLf,
            (ChunkedPlace::DataLf, b'\n') => {
                self.line_bytes = 0;
                ChunkedPlace::Size
            }
            (ChunkedPlace::TrailerStart, b'\r') => ChunkedPlace::EndLf,
            (ChunkedPlace::TrailerStart | ChunkedPlace::Trailer, b' '..=b'~' | b'\t' | 0x80..) => ChunkedPlace::Trailer,
            (ChunkedPlace::Trailer, b'\r') => ChunkedPlace::TrailerLf,
            (ChunkedPlace::TrailerLf, b'\n') => {
                self.trailer_bytes += self.line_bytes;
                self.line_bytes = 0;
                if self.trailer_bytes > MAX_TRAILER_BYTES {
                    return Err(Malformed::Syntax);
                }
                ChunkedPlace::TrailerStart
            }
            (ChunkedPlace::EndLf, b'\n') => return Ok(true),
            _ => return Err(Malformed::Syntax),
        };
        self.part = next;
        Ok(false)
    }
}

#[cfg(test)]
#[path = "request_tests.rs"]
mod tests;
