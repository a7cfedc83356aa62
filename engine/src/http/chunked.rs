//! A chunked body, read a piece at a time and thrown away. Line ends are CRLF or LF alone, as curl and browsers take them.

use super::Malformed;

/// Chunk extensions and trailers are skipped, up to so many bytes of a line and of all trailers together.
const MAX_EXTENSION_BYTES: u32 = 16 * 1024;
const MAX_TRAILERS_BYTES: u32 = 64 * 1024;
/// A size may have zeros in front, but not without end.
const MAX_DIGITS: u8 = 32;
/// Larger chunks are refused: no sum of sizes in a test's lifetime overflows.
const MAX_SIZE: u64 = 1 << 60;

/// Where in a chunked body the next byte belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Chunked {
    /// In a chunk's size; `digits` of it were read.
    Size { size: u64, digits: u8 },
    /// Between the size and the line's end.
    Extension { size: u64, length: u32 },
    /// A carriage return ended the line of the size.
    SizeEnd { size: u64 },
    /// In a chunk's data.
    Data { left: u64 },
    /// Behind a chunk's data.
    DataEnd { return_seen: bool },
    /// In the trailers, of which `length` bytes were read.
    Trailers { line_is_empty: bool, return_seen: bool, length: u32 },
}

impl Chunked {
    pub const START: Self = Self::Size { size: 0, digits: 0 };

    /// Reads on, and shows the data to `body`. Gives how many bytes were used, and whether the body is complete.
    pub fn read(&mut self, bytes: &[u8], body: &mut impl FnMut(&[u8])) -> Result<(usize, bool), Malformed> {
        let mut used = 0;
        while let Some(&byte) = bytes.get(used) {
            if let Self::Data { left } = self {
                let piece = (bytes.len() - used).min(usize::try_from(*left).unwrap_or(usize::MAX));
                body(&bytes[used..used + piece]);
                used += piece;
                *left -= piece as u64;
                if *left == 0 {
                    *self = Self::DataEnd { return_seen: false };
                }
                continue;
            }
            match self.step(byte) {
                Ok(Some(next)) => *self = next,
                Ok(None) => return Ok((used + 1, true)),
                Err(why) => return Err(Malformed::at(why, rest_of_line(&bytes[used..]))),
            }
            used += 1;
        }
        Ok((used, false))
    }

    /// Reads a byte outside of data; `None`: it was the body's last.
    fn step(self, byte: u8) -> Result<Option<Self>, &'static str> {
        let next = match (self, byte) {
            (Self::Size { size, digits }, b'0'..=b'9' | b'a'..=b'f' | b'A'..=b'F') => {
                let digit = char::from(byte).to_digit(16).unwrap_or_default();
                if digits == MAX_DIGITS || size >= MAX_SIZE / 16 {
                    return Err("a chunk size is too long");
                }
                Self::Size { size: size * 16 + u64::from(digit), digits: digits + 1 }
            }
            (Self::Size { digits: 0, .. }, _) => return Err("a chunk does not begin with its size"),
            (Self::Size { size, .. } | Self::Extension { size, .. }, b'\r') => Self::SizeEnd { size },
            (Self::Size { size, .. } | Self::Extension { size, .. } | Self::SizeEnd { size }, b'\n') => match size {
                0 => Self::Trailers { line_is_empty: true, return_seen: false, length: 0 },
                left => Self::Data { left },
            },
            (Self::Size { size, .. }, b';' | b' ' | b'\t') => Self::Extension { size, length: 1 },
            (Self::Size { .. }, _) => return Err("a chunk size is not a hexadecimal number"),
            (Self::Extension { length: MAX_EXTENSION_BYTES, .. }, _) => return Err("a chunk extension is too long"),
            (Self::Extension { size, length }, _) => Self::Extension { size, length: length + 1 },
            (Self::DataEnd { return_seen: false }, b'\r') => Self::DataEnd { return_seen: true },
            (Self::DataEnd { .. }, b'\n') => Self::START,
            (Self::SizeEnd { .. } | Self::DataEnd { .. }, _) => return Err("a chunk is not closed by a line end"),
            (Self::Trailers { length: MAX_TRAILERS_BYTES, .. }, _) => return Err("the trailers are too long"),
            (Self::Trailers { line_is_empty: true, .. }, b'\n') => return Ok(None),
            (Self::Trailers { line_is_empty: false, length, .. }, b'\n') => {
                Self::Trailers { line_is_empty: true, return_seen: false, length: length + 1 }
            }
            (Self::Trailers { return_seen: true, .. }, _) => return Err("a trailer is not closed by a line end"),
            (Self::Trailers { line_is_empty, length, .. }, b'\r') => {
                Self::Trailers { line_is_empty, return_seen: true, length: length + 1 }
            }
            (Self::Trailers { length, .. }, _) => {
                Self::Trailers { line_is_empty: false, return_seen: false, length: length + 1 }
            }
            // `read` takes data by the piece and does not come here with it.
            (Self::Data { left }, _) => Self::Data { left },
        };
        Ok(Some(next))
    }
}

fn rest_of_line(bytes: &[u8]) -> &[u8] {
    &bytes[..memchr::memchr(b'\n', bytes).unwrap_or(bytes.len())]
}
