//! The bytes of every answer that is known beforehand, so that a request costs one copy and no allocation.

use crate::counters::malformed_status;
use crate::request::{Malformed, Persistence, Request};

/// What the target calls itself.
pub const SERVER: &str = "onrush-target";
/// Tells a client to send the body that it holds back.
pub const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

const JSON: &str = "application/json";

/// One answer with what can follow it.
#[derive(Debug)]
pub struct Answer {
    /// Its status.
    pub status: u16,
    keep: Wire,
    keep_told: Wire,
    close: Wire,
}

#[derive(Debug)]
struct Wire {
    bytes: Vec<u8>,
    head_length: usize,
}

impl Wire {
    fn new(status: u16, extra: &str, persistence: Persistence, content_type: &str, body: &str) -> Self {
        let reason = match status {
            200 => "OK",
            400 => "Bad Request",
            404 => "Not Found",
            405 => "Method Not Allowed",
            431 => "Request Header Fields Too Large",
            501 => "Not Implemented",
            _ => "HTTP Version Not Supported",
        };
        let connection = match persistence {
            Persistence::Keep => "",
            Persistence::KeepTold => "Connection: keep-alive\r\n",
            Persistence::Close => "Connection: close\r\n",
        };
        let head = format!(
            "HTTP/1.1 {status} {reason}\r\nServer: {SERVER}\r\nContent-Type: {content_type}\r\n\
             Content-Length: {}\r\n{extra}{connection}\r\n",
            body.len()
        );
        let head_length = head.len();
        Self { bytes: (head + body).into_bytes(), head_length }
    }

    fn append(&self, without_body: bool, out: &mut Vec<u8>) {
        let length = if without_body { self.head_length } else { self.bytes.len() };
        out.extend_from_slice(&self.bytes[..length]);
    }
}

impl Answer {
    fn new(status: u16, extra: &str, body: &str) -> Self {
        let wire = |persistence| Wire::new(status, extra, persistence, JSON, body);
        Self {
            status,
            keep: wire(Persistence::Keep),
            keep_told: wire(Persistence::KeepTold),
            close: wire(Persistence::Close),
        }
    }

    /// Appends this answer to `request`.
    pub fn append(&self, request: &Request, out: &mut Vec<u8>) {
        let wire = match request.persistence {
            Persistence::Keep => &self.keep,
            Persistence::KeepTold => &self.keep_told,
            Persistence::Close => &self.close,
        };
        wire.append(request.is_head, out);
    }

    /// Appends this answer as the last one of its connection.
    pub fn append_last(&self, without_body: bool, out: &mut Vec<u8>) {
        self.close.append(without_body, out);
    }
}

/// All answers that are known beforehand.
#[derive(Debug)]
pub struct Answers {
    /// To `/ping`.
    pub pong: Answer,
    /// To a path that is not served.
    pub not_found: Answer,
    /// To a method that `/metrics` does not know.
    pub method_not_allowed: Answer,
    syntax: Answer,
    head_too_large: Answer,
    transfer_coding: Answer,
    version: Answer,
}

impl Answers {
    /// Writes them once.
    pub fn new() -> Self {
        let malformed = |malformed, message: &str| {
            Answer::new(malformed_status(malformed), "", &format!("{{\"message\":\"{message}\"}}"))
        };
        Self {
            pong: Answer::new(200, "", r#"{"message":"pong"}"#),
            not_found: Answer::new(404, "", r#"{"message":"not found"}"#),
            method_not_allowed: Answer::new(405, "Allow: GET, HEAD\r\n", r#"{"message":"method not allowed"}"#),
            syntax: malformed(Malformed::Syntax, "malformed request"),
            head_too_large: malformed(Malformed::HeadTooLarge, "request head too large"),
            transfer_coding: malformed(Malformed::TransferCoding, "transfer coding not understood"),
            version: malformed(Malformed::Version, "HTTP/1.0 or HTTP/1.1 expected"),
        }
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

/// Appends an answer 200 whose body was written just now.
pub fn append_fresh(request: &Request, content_type: &str, body: &str, out: &mut Vec<u8>) {
    let wire = Wire::new(200, "Vary: Accept\r\n", request.persistence, content_type, body);
    wire.append(request.is_head, out);
}
