//! The head of a response (RFC 9112): its status, and the few of its lines that matter.
//!
//! What says where the response ends is read strictly: two readers that disagree about it take one response for two.
//! Every other line is of no consequence here, and whatever browsers and curl forgive in one must not cost the response:
//! folded lines, spaces before the colon, odd bytes in names and values.

use super::{Coding, Malformed};

/// What a head says about the response and its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Head {
    pub status: u16,
    /// Whether the server may keep the connection open, by version and headers.
    pub persistent: bool,
    pub length: Option<u64>,
    pub transfer: Option<Transfer>,
    /// How the body is coded (Content-Encoding).
    pub coding: Coding,
    /// Seconds after which the server closes an idle connection (`Keep-Alive: timeout=`).
    pub keep_alive_s: Option<u32>,
}

/// The last transfer coding, which is the one on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Transfer {
    Chunked,
    Other,
}

pub(super) const VERSION_PREFIX: &[u8] = b"HTTP/1.";
/// What a TLS alert begins with: its type, and the major version.
const TLS_ALERT: [u8; 2] = [0x15, 0x03];

/// Tells another protocol from its first bytes, without waiting for an empty line that may never come.
pub(super) fn check_version(head: &[u8]) -> Result<(), Malformed> {
    let begin = &head[..head.len().min(VERSION_PREFIX.len())];
    if VERSION_PREFIX.starts_with(begin) {
        return Ok(());
    }
    let tls = head.starts_with(&TLS_ALERT) || (head.len() == 1 && head[0] == TLS_ALERT[0]);
    Err(Malformed::at(
        if tls { "the port speaks TLS: give https://" } else { "does not begin with HTTP/1." },
        first_line(head),
    ))
}

/// Reads a complete head, its empty line included.
pub(super) fn read(head: &[u8]) -> Result<Head, Malformed> {
    check_version(head)?;
    let has_nul = memchr::memchr(0, head).is_some();
    let mut lines = Lines(head);
    let line = lines.next().unwrap_or_default();
    let (minor, status) = status_line(line)?;
    let mut head =
        Head { status, persistent: false, length: None, transfer: None, coding: Coding::Identity, keep_alive_s: None };
    let (mut last, mut connection) = (None, Connection::default());
    for line in lines {
        if line.is_empty() {
            break;
        }
        if has_nul && line.contains(&0) {
            return Err(Malformed::at("a header line has a NUL", line));
        }
        if matches!(line[0], b' ' | b'\t') {
            // The line before goes on (obs-fold).
            match last {
                None => return Err(Malformed::at("a space stands before the first header", line)),
                Some(name) if frames(name) => return Err(Malformed::at("a header that frames is folded", line)),
                Some(_) => continue,
            }
        }
        let Some(colon) = memchr::memchr(b':', line) else {
            return Err(Malformed::at("a header line has no colon", line));
        };
        let (name, value) = (line[..colon].trim_ascii_end(), line[colon + 1..].trim_ascii());
        last = Some(name);
        head.take(name, value, &mut connection).map_err(|why| Malformed::at(why, line))?;
    }
    head.persistent = match minor {
        // Version 1.0 knows no transfer codings: who sends them is not to be trusted with another request (RFC 9112 6.1).
        0 => connection.keep_alive && !connection.close && head.transfer.is_none(),
        // A length beside a coding may be an attempt to smuggle.
        _ => !(connection.close || head.transfer.is_some() && head.length.is_some()),
    };
    Ok(head)
}

/// The options of the Connection header that are about the connection (RFC 9112 9.3).
#[derive(Default)]
struct Connection {
    close: bool,
    keep_alive: bool,
}

impl Head {
    fn take(&mut self, name: &[u8], value: &[u8], connection: &mut Connection) -> Result<(), &'static str> {
        // Few lengths are of interest, and comparing them is cheap.
        match name.len() {
            14 if name.eq_ignore_ascii_case(b"content-length") => {
                for value in list(value) {
                    let length = whole_number(value).ok_or("a Content-Length is not a number")?;
                    if self.length.is_some_and(|other| other != length) {
                        return Err("the Content-Lengths contradict each other");
                    }
                    self.length = Some(length);
                }
            }
            17 if name.eq_ignore_ascii_case(b"transfer-encoding") => {
                for value in list(value).filter(|value| !value.is_empty()) {
                    let coding = value.split(|&byte| byte == b';').next().unwrap_or_default().trim_ascii();
                    // Identity was a coding once, and never changed anything.
                    if !coding.eq_ignore_ascii_case(b"identity") {
                        let chunked = coding.eq_ignore_ascii_case(b"chunked");
                        self.transfer = Some(if chunked { Transfer::Chunked } else { Transfer::Other });
                    }
                }
            }
            10 if name.eq_ignore_ascii_case(b"connection") => {
                for option in list(value) {
                    connection.close |= option.eq_ignore_ascii_case(b"close");
                    connection.keep_alive |= option.eq_ignore_ascii_case(b"keep-alive");
                }
            }
            10 if name.eq_ignore_ascii_case(b"keep-alive") => {
                let timeout = list(value).find_map(|value| {
                    let (name, seconds) = value.split_at_checked(8)?;
                    let seconds = name.eq_ignore_ascii_case(b"timeout=").then_some(seconds)?;
                    u32::try_from(whole_number(seconds.trim_ascii())?).ok()
                });
                self.keep_alive_s = timeout.or(self.keep_alive_s);
            }
            16 if name.eq_ignore_ascii_case(b"content-encoding") => {
                for value in list(value).filter(|value| !value.is_empty()) {
                    self.coding = self.coding.followed_by(Coding::named(value));
                }
            }
            _ => {}
        }
        Ok(())
    }
}

/// Whether a header says where the response ends or how it is coded.
fn frames(name: &[u8]) -> bool {
    name.eq_ignore_ascii_case(b"content-length") || name.eq_ignore_ascii_case(b"transfer-encoding")
}

/// The minor version and the status of `HTTP/1.x NNN reason`.
fn status_line(line: &[u8]) -> Result<(u8, u16), Malformed> {
    let wrong = |why| Malformed::at(why, line);
    let (&minor, rest) = line[VERSION_PREFIX.len().min(line.len())..].split_first().unwrap_or((&b'?', &[]));
    let digits = rest.trim_ascii_start();
    if !minor.is_ascii_digit() || digits.len() == rest.len() {
        return Err(wrong("the status line is not one of HTTP/1.1"));
    }
    let Some((digits, reason)) = digits.split_at_checked(3) else {
        return Err(wrong("the status has fewer than three digits"));
    };
    let status =
        digits.iter().try_fold(0, |sum, &digit| digit.is_ascii_digit().then(|| sum * 10 + u16::from(digit - b'0')));
    match status {
        Some(status) if matches!(reason.first(), None | Some(b' ' | b'\t')) => {
            if status < 100 {
                Err(wrong("the status is not between 100 and 999"))
            } else {
                Ok((minor - b'0', status))
            }
        }
        _ => Err(wrong("the status is not a number of three digits")),
    }
}

/// Lines without their ends, which are CRLF or LF alone.
struct Lines<'a>(&'a [u8]);

impl<'a> Iterator for Lines<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        if self.0.is_empty() {
            return None;
        }
        let end = memchr::memchr(b'\n', self.0).unwrap_or(self.0.len());
        let line = &self.0[..end];
        self.0 = self.0.get(end + 1..).unwrap_or_default();
        Some(line.strip_suffix(b"\r").unwrap_or(line))
    }
}

fn first_line(bytes: &[u8]) -> &[u8] {
    Lines(bytes).next().unwrap_or_default()
}

fn list(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|&byte| byte == b',').map(<[u8]>::trim_ascii)
}

/// Digits only: no sign, nothing around them, no overflow.
fn whole_number(digits: &[u8]) -> Option<u64> {
    let add = |sum: u64, digit: &u8| {
        digit.is_ascii_digit().then(|| sum.checked_mul(10)?.checked_add(u64::from(digit - b'0'))).flatten()
    };
    if digits.is_empty() { None } else { digits.iter().try_fold(0, add) }
}
