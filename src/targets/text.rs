//! From the bytes of a text file to its lines, whatever wrote them. Pure.

use super::Fault;

const BYTE_ORDER_MARK: char = '\u{feff}';

/// The text: UTF-8, or UTF-16 with a byte order mark.
pub(super) fn decode(bytes: &[u8]) -> Result<String, Fault> {
    match bytes {
        [0xff, 0xfe, 0, 0, ..] | [0, 0, 0xfe, 0xff, ..] => Err(Fault::whole("is UTF-32; save it as UTF-8")),
        [0xff, 0xfe, rest @ ..] => utf_16(rest, u16::from_le_bytes),
        [0xfe, 0xff, rest @ ..] => utf_16(rest, u16::from_be_bytes),
        [0, _, ..] | [_, 0, ..] => Err(Fault::whole("looks like UTF-16 without its byte order mark; save it as UTF-8")),
        _ => utf_8(bytes),
    }
}

fn utf_16(bytes: &[u8], unit: fn([u8; 2]) -> u16) -> Result<String, Fault> {
    let wrong = || Fault::whole("begins like UTF-16 and is not; save it as UTF-8");
    let pairs = bytes.chunks_exact(2);
    if !pairs.remainder().is_empty() {
        return Err(wrong());
    }
    let units = pairs.map(|pair| unit([pair[0], pair[1]]));
    char::decode_utf16(units).collect::<Result<_, _>>().map_err(|_| wrong())
}

fn utf_8(bytes: &[u8]) -> Result<String, Fault> {
    let error = match std::str::from_utf8(bytes) {
        Ok(text) => return Ok(text.to_owned()),
        Err(error) => error,
    };
    let (valid, rest) = bytes.split_at(error.valid_up_to());
    let valid = String::from_utf8_lossy(valid);
    let (number, last) = (1..).zip(valid.split('\n')).last().unwrap_or((1, ""));
    let byte = rest.first().copied().unwrap_or_default();
    Err(Fault {
        line: Some(number),
        column: Some(last.trim_start_matches(BYTE_ORDER_MARK).chars().count() + 1),
        problem: format!("the byte {byte:#04x} is not UTF-8; save the file as UTF-8 (iconv -f latin1 -t utf-8)"),
    })
}

/// The lines that say something, with their numbers: neither blank nor a comment.
pub(super) fn lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    // Where there is no other end of line, it is the one of old.
    let end = if text.contains('\n') { '\n' } else { '\r' };
    let lines = text.split(end).map(|line| line.trim_start_matches(BYTE_ORDER_MARK).trim_end());
    (1..).zip(lines).filter(|(_, line)| !line.is_empty() && !line.trim_start().starts_with('#'))
}
