//! A chunked body, read a piece at a time and thrown away.

use super::Malformed;

/// Chunk extensions and trailers are skipped, up to so many bytes of a line and of all trailers together.
const LONGEST_LINE: u32 = 4 * 1024;
const LONGEST_TRAILERS: u32 = 64 * 1024;

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
            used += 1;
            match self.step(byte)? {
                Some(next) => *self = next,
                None => return Ok((used, true)),
            }
        }
        Ok((used, false))
    }

    /// Reads a byte outside of data; `None`: it was the body's last.
    fn step(self, byte: u8) -> Result<Option<Self>, Malformed> {
        let next = match (self, byte) {
            (Self::Size { size, digits }, b'0'..=b'9' | b'a'..=b'f' | b'A'..=b'F') => {
                let digit = char::from(byte).to_digit(16).unwrap_or_default();
                // 15 digits: no sum of sizes in a test's lifetime overflows.
                if digits == 15 {
                    return Err(Malformed("a chunk size has more than 15 digits"));
                }
                Self::Size { size: size * 16 + u64::from(digit), digits: digits + 1 }
            }
            (Self::Size { digits: 0, .. }, _) => return Err(Malformed("a chunk does not begin with its size")),
            (Self::Size { size, .. } | Self::Extension { size, .. }, b'\r') => Self::SizeEnd { size },
            (Self::Size { size, .. }, b';' | b' ' | b'\t') => Self::Extension { size, length: 1 },
            (Self::Size { .. }, _) => return Err(Malformed("a chunk size is not a hexadecimal number")),
            (Self::Extension { length, .. }, _) if length == LONGEST_LINE => {
                return Err(Malformed("a chunk extension is too long"));
            }
            (Self::Extension { .. }, b'\n') => return Err(Malformed("a chunk size ends in a bare line feed")),
            (Self::Extension { size, length }, _) => Self::Extension { size, length: length + 1 },
            (Self::SizeEnd { size: 0 }, b'\n') => Self::Trailers { line_is_empty: true, return_seen: false, length: 0 },
            (Self::SizeEnd { size }, b'\n') => Self::Data { left: size },
            (Self::DataEnd { return_seen: false }, b'\r') => Self::DataEnd { return_seen: true },
            (Self::DataEnd { return_seen: true }, b'\n') => Self::START,
            (Self::SizeEnd { .. } | Self::DataEnd { .. }, _) => {
                return Err(Malformed("a chunk is not closed by a line end"));
            }
            (Self::Trailers { length, .. }, _) if length == LONGEST_TRAILERS => {
                return Err(Malformed("the trailers are too long"));
            }
            (Self::Trailers { line_is_empty: true, return_seen: true, .. }, b'\n') => return Ok(None),
            (Self::Trailers { line_is_empty: false, return_seen: true, length }, b'\n') => {
                Self::Trailers { line_is_empty: true, return_seen: false, length: length + 1 }
            }
            (Self::Trailers { return_seen: true, .. }, _) | (Self::Trailers { .. }, b'\n') => {
                return Err(Malformed("a trailer is not closed by a line end"));
            }
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
