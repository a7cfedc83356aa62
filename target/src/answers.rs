//! The bytes of every answer that is known beforehand, so that a request costs no allocation, and a copy only where
//! that is the cheaper way.

use std::sync::Arc;

use crate::counters::malformed_status;
use crate::request::{Malformed, Persistence, Request};

/// What the target calls itself.
pub const SERVER: &str = "onrush-target";
/// Tells a client to send the body that it holds back.
pub const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// The longest body of an answer of `/ping`. It is kept up to six times, once for each way of sending it.
pub const MAX_BODY_BYTES: usize = 16 * 1024 * 1024;

const JSON: &str = "application/json";
const PONG: &str = r#"{"message":"pong"}"#;
/// A longer answer is written from where it lies; a shorter one is copied to others of its batch.
const MAX_COPIED_BYTES: usize = 512;
/// The longest chunk of a chunked body.
const CHUNK_BYTES: usize = 8 * 1024;

/// One answer with what can follow it.
#[derive(Debug)]
pub struct Answer {
    /// Its status.
    pub status: u16,
    keep: Wire,
    keep_told: Wire,
    close: Wire,
}

/// An answer as it goes over the wire.
#[derive(Debug)]
struct Wire {
    bytes: Arc<Vec<u8>>,
    head_length: usize,
}

/// How the end of a body is told.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Framing {
    Length,
    Chunked,
}

/// The bytes to send.
pub enum Bytes<'a> {
    /// Few: to be appended to what else is to be sent.
    Copy(&'a [u8]),
    /// Many: to be sent from where they lie.
    Share(Arc<Vec<u8>>),
}

impl Wire {
    fn new(
        status: u16,
        extra: &str,
        persistence: Persistence,
        content_type: &str,
        framing: Framing,
        body: &[u8],
    ) -> Self {
        let reason = match status {
            200 => "OK",
            400 => "Bad Request",
            404 => "Not Found",
            405 => "Method Not Allowed",
            431 => "Request Header Fields Too Large",
            501 => "Not Implemented",
            503 => "Service Unavailable",
            _ => "HTTP Version Not Supported",
        };
        let connection = match persistence {
            Persistence::Keep => "",
            Persistence::KeepTold => "Connection: keep-alive\r\n",
            Persistence::Close => "Connection: close\r\n",
        };
        let length = match framing {
            Framing::Length => format!("Content-Length: {}", body.len()),
            Framing::Chunked => "Transfer-Encoding: chunked".to_owned(),
        };
        let head = format!(
            "HTTP/1.1 {status} {reason}\r\nServer: {SERVER}\r\nContent-Type: {content_type}\r\n{length}\r\n\
             {extra}{connection}\r\n"
        );
        let head_length = head.len();
        let mut bytes = head.into_bytes();
        match framing {
            Framing::Length => bytes.extend_from_slice(body),
            Framing::Chunked => append_chunks(body, &mut bytes),
        }
        Self { bytes: Arc::new(bytes), head_length }
    }

    fn bytes(&self, without_body: bool) -> Bytes<'_> {
        if without_body {
            Bytes::Copy(&self.bytes[..self.head_length])
        } else if self.bytes.len() <= MAX_COPIED_BYTES {
            Bytes::Copy(&self.bytes)
        } else {
            Bytes::Share(Arc::clone(&self.bytes))
        }
    }

    fn append(&self, without_body: bool, out: &mut Vec<u8>) {
        let length = if without_body { self.head_length } else { self.bytes.len() };
        out.extend_from_slice(&self.bytes[..length]);
    }
}

/// At least two chunks where there are two bytes: a client that reads only the first is found out.
fn append_chunks(body: &[u8], out: &mut Vec<u8>) {
    let chunk_bytes = body.len().div_ceil(2).clamp(1, CHUNK_BYTES);
    for chunk in body.chunks(chunk_bytes) {
        out.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
        out.extend_from_slice(chunk);
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(b"0\r\n\r\n");
}

impl Answer {
    fn new(status: u16, extra: &str, body: &str) -> Self {
        Self::with_body(status, extra, JSON, Framing::Length, body.as_bytes())
    }

    fn with_body(status: u16, extra: &str, content_type: &str, framing: Framing, body: &[u8]) -> Self {
        let wire = |persistence| Wire::new(status, extra, persistence, content_type, framing, body);
        Self {
            status,
            keep: wire(Persistence::Keep),
            keep_told: wire(Persistence::KeepTold),
            close: wire(Persistence::Close),
        }
    }

    /// The bytes that answer `request`.
    pub fn bytes(&self, request: &Request) -> Bytes<'_> {
        let wire = match request.persistence {
            Persistence::Keep => &self.keep,
            Persistence::KeepTold => &self.keep_told,
            Persistence::Close => &self.close,
        };
        wire.bytes(request.is_head)
    }

    /// Appends this answer as the last one of its connection.
    pub fn append_last(&self, without_body: bool, out: &mut Vec<u8>) {
        self.close.append(without_body, out);
    }
}

/// All answers that are known beforehand.
#[derive(Debug)]
pub struct Answers {
    pong: Answer,
    /// `None`: its body has a length, as any client knows it.
    pong_chunked: Option<Answer>,
    /// To a path that is not served.
    pub not_found: Answer,
    /// To a request that finds the queue full.
    pub queue_full: Answer,
    /// To a method that `/metrics` does not know.
    pub method_not_allowed: Answer,
    syntax: Answer,
    head_too_large: Answer,
    transfer_coding: Answer,
    version: Answer,
}

impl Answers {
    /// Writes them once. The body of `/ping` has `body_bytes`, or as many as its message takes.
    pub fn new(body_bytes: Option<usize>, chunked: bool) -> Self {
        let malformed = |malformed, message: &str| {
            Answer::new(malformed_status(malformed), "", &format!("{{\"message\":\"{message}\"}}"))
        };
        let (content_type, body) = pong_body(body_bytes.unwrap_or(PONG.len()));
        let pong = |framing| Answer::with_body(200, "", content_type, framing, &body);
        Self {
            pong: pong(Framing::Length),
            pong_chunked: chunked.then(|| pong(Framing::Chunked)),
            not_found: Answer::new(404, "", r#"{"message":"not found"}"#),
            queue_full: Answer::new(503, "", r#"{"message":"the queue is full"}"#),
            method_not_allowed: Answer::new(405, "Allow: GET, HEAD\r\n", r#"{"message":"method not allowed"}"#),
            syntax: malformed(Malformed::Syntax, "malformed request"),
            head_too_large: malformed(Malformed::HeadTooLarge, "request head too large"),
            transfer_coding: malformed(Malformed::TransferCoding, "transfer coding not understood"),
            version: malformed(Malformed::Version, "HTTP/1.0 or HTTP/1.1 expected"),
        }
    }

    /// The answer to a request for `/ping`.
    pub fn pong(&self, request: &Request) -> &Answer {
        // HTTP/1.0 knows no chunks.
        let chunked = self.pong_chunked.as_ref().filter(|_| !request.is_http_10);
        chunked.unwrap_or(&self.pong)
    }

    /// The answer to a request that was not understood.
    pub fn malformed(&self, malformed: Malformed) -> &Answer {
        match malformed {
            Malformed::Syntax => &self.syntax,
            Malformed::HeadTooLarge => &self.head_too_large,
            Malformed::TransferCoding => &self.transfer_coding,
            Malformed::Version => &self.version,
        }
    }
}

/// The message, filled up with blanks, which JSON allows after it. Where it does not fit, blanks alone.
fn pong_body(length: usize) -> (&'static str, Vec<u8>) {
    let mut body = Vec::with_capacity(length);
    let content_type = if length >= PONG.len() {
        body.extend_from_slice(PONG.as_bytes());
        JSON
    } else {
        "text/plain"
    };
    body.resize(length, b' ');
    (content_type, body)
}

/// Appends an answer 200 whose body was written just now.
pub fn append_fresh(request: &Request, content_type: &str, body: &str, out: &mut Vec<u8>) {
    let (extra, framing) = ("Vary: Accept\r\n", Framing::Length);
    let wire = Wire::new(200, extra, request.persistence, content_type, framing, body.as_bytes());
    wire.append(request.is_head, out);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_in_chunks_is_the_same_body() {
        for length in [0, 1, 2, 18, CHUNK_BYTES, 2 * CHUNK_BYTES + 1, 100_000] {
            let body: Vec<u8> = (0..length).map(|n| n as u8).collect();
            let mut wire = Vec::new();
            append_chunks(&body, &mut wire);
            let (mut rest, mut joined, mut chunks) = (wire.as_slice(), Vec::new(), 0);
            loop {
                let line_end = rest.windows(2).position(|pair| pair == b"\r\n").expect("a size line");
                let size = std::str::from_utf8(&rest[..line_end]).expect("digits");
                let size = usize::from_str_radix(size, 16).expect("a size in hexadecimal");
                let data = &rest[line_end + 2..];
                assert_eq!(&data[size..size + 2], b"\r\n", "{length}");
                joined.extend_from_slice(&data[..size]);
                rest = &data[size + 2..];
                if size == 0 {
                    break;
                }
                chunks += 1;
            }
            assert!(rest.is_empty() && joined == body, "{length}");
            assert!(chunks >= 2 || length < 2, "{length} bytes in {chunks} chunks");
        }
    }

    #[test]
    fn a_body_of_any_length_is_made() {
        assert_eq!(pong_body(PONG.len()), (JSON, PONG.as_bytes().to_vec()));
        assert_eq!(pong_body(0), ("text/plain", Vec::new()));
        let (content_type, body) = pong_body(1024);
        assert_eq!((content_type, body.len()), (JSON, 1024));
        let value: serde_json::Value = serde_json::from_slice(&body).expect("blanks may follow");
        assert_eq!(value["message"], "pong");
    }
}
