//! Compressed bodies, decoded as they come and no further than a bound: a few hundred bytes may claim to hold gigabytes.

use std::io::{self, Write};

use flate2::write::MultiGzDecoder;
use flate2::{Decompress, FlushDecompress, Status};

use crate::http::Coding;

/// A longer body is not read as JSON, and no more than this of a compressed body is decoded, which bounds the memory and
/// the time of a connection.
pub const MAX_JSON_BODY_BYTES: usize = 1024 * 1024;

/// Decodes one body that is coded by gzip or deflate.
pub(crate) struct Decoder {
    coding: Coding,
    /// `None`: a deflate body of which nothing has come.
    inflate: Option<Box<dyn Inflate>>,
}

trait Inflate {
    /// Decodes a piece into [`Inflate::plain`].
    fn decode(&mut self, piece: &[u8]) -> io::Result<()>;
    /// What was decoded and not taken yet.
    fn plain(&mut self) -> &mut Plain;
    /// Whether the body is whole.
    fn finish(&mut self) -> io::Result<()>;
}

/// Takes what is decoded, within the bound.
struct Plain {
    bytes: Vec<u8>,
    room: usize,
}

impl Plain {
    fn new() -> Self {
        Self { bytes: Vec::new(), room: MAX_JSON_BODY_BYTES }
    }
}

/// The bound is reached: nothing is wrong with the body.
#[derive(Debug, thiserror::Error)]
#[error("only its first {MAX_JSON_BODY_BYTES} decoded bytes are looked at")]
struct TooLong;

impl Write for Plain {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let taken = bytes.len().min(self.room);
        if taken == 0 && !bytes.is_empty() {
            return Err(io::Error::other(TooLong));
        }
        self.room -= taken;
        self.bytes.extend_from_slice(&bytes[..taken]);
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Inflate for MultiGzDecoder<Plain> {
    fn decode(&mut self, piece: &[u8]) -> io::Result<()> {
        self.write_all(piece)?;
        self.flush()
    }

    fn plain(&mut self) -> &mut Plain {
        self.get_mut()
    }

    fn finish(&mut self) -> io::Result<()> {
        self.try_finish()
    }
}

/// zlib, or deflate without a frame.
struct Deflate {
    state: Decompress,
    plain: Plain,
    ended: bool,
}

impl Inflate for Deflate {
    fn decode(&mut self, piece: &[u8]) -> io::Result<()> {
        let begun = self.state.total_in();
        let mut buffer = [0; 16 * 1024];
        while !self.ended {
            let used = (self.state.total_in() - begun) as usize;
            let before = self.state.total_out();
            let status = self.state.decompress(&piece[used..], &mut buffer, FlushDecompress::None)?;
            let made = (self.state.total_out() - before) as usize;
            self.plain.write_all(&buffer[..made])?;
            self.ended = status == Status::StreamEnd;
            let stuck = made == 0 && (self.state.total_in() - begun) as usize == used;
            if stuck || (made < buffer.len() && (self.state.total_in() - begun) as usize == piece.len()) {
                break;
            }
        }
        Ok(())
    }

    fn plain(&mut self) -> &mut Plain {
        &mut self.plain
    }

    fn finish(&mut self) -> io::Result<()> {
        if self.ended { Ok(()) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
    }
}

impl Decoder {
    /// A decoder of gzip, or else of deflate.
    pub fn new(coding: Coding) -> Self {
        let gzip = || Box::new(MultiGzDecoder::new(Plain::new())) as Box<dyn Inflate>;
        Self { coding, inflate: (coding == Coding::Gzip).then(gzip) }
    }

    /// Decodes the next piece and gives what comes of it to `take`. The error says why no more of the body is seen.
    pub fn decode(&mut self, piece: &[u8], mut take: impl FnMut(&[u8])) -> Result<(), String> {
        let Some(first) = piece.first() else { return Ok(()) };
        // Deflate is zlib by the book (RFC 9110 8.4.1.2), and comes without its frame from some servers. Zlib's first byte
        // names deflate in its low half (RFC 1950 2.2).
        let zlib = first & 0x0f == 8;
        let deflate = || Box::new(Deflate { state: Decompress::new(zlib), plain: Plain::new(), ended: false });
        let inflate = self.inflate.get_or_insert_with(|| deflate());
        let decoded = inflate.decode(piece);
        let plain = inflate.plain();
        take(&plain.bytes);
        plain.bytes.clear();
        decoded.map_err(|error| problem(self.coding, &error))
    }

    /// Whether the body was whole.
    pub fn finish(&mut self) -> Result<(), String> {
        let finished = match &mut self.inflate {
            Some(inflate) => inflate.finish(),
            None => Err(io::ErrorKind::UnexpectedEof.into()),
        };
        finished.map_err(|_| format!("the {} body is cut short or damaged", self.coding.name()))
    }
}

impl std::fmt::Debug for Decoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Decoder").field("coding", &self.coding).finish_non_exhaustive()
    }
}

fn problem(coding: Coding, error: &io::Error) -> String {
    let too_long = error.get_ref().and_then(|inner| inner.downcast_ref::<TooLong>());
    match too_long {
        Some(too_long) => format!("the {} body is long: {too_long}", coding.name()),
        None => format!("the body is not {}, as its Content-Encoding says: {error}", coding.name()),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use flate2::Compression;
    use flate2::bufread::{DeflateEncoder, GzEncoder, ZlibEncoder};
    use proptest::prelude::*;

    use super::*;

    fn all(mut from: impl Read) -> Vec<u8> {
        let mut bytes = Vec::new();
        from.read_to_end(&mut bytes).expect("memory can be read");
        bytes
    }

    fn coded(kind: usize, plain: &[u8]) -> (Coding, Vec<u8>) {
        match kind {
            0 => (Coding::Gzip, all(GzEncoder::new(plain, Compression::fast()))),
            1 => (Coding::Deflate, all(ZlibEncoder::new(plain, Compression::fast()))),
            _ => (Coding::Deflate, all(DeflateEncoder::new(plain, Compression::fast()))),
        }
    }

    fn decode(coding: Coding, bytes: &[u8], piece: usize) -> Result<Vec<u8>, String> {
        let (mut decoder, mut plain) = (Decoder::new(coding), Vec::new());
        for piece in bytes.chunks(piece) {
            decoder.decode(piece, |bytes| plain.extend_from_slice(bytes))?;
        }
        decoder.finish().map(|()| plain)
    }

    #[test]
    fn a_bomb_is_decoded_to_its_bound_only() {
        for kind in 0..3 {
            let (coding, bytes) = coded(kind, &vec![b'x'; 40 * 1024 * 1024]);
            let (mut decoder, mut seen) = (Decoder::new(coding), 0);
            let error = decoder.decode(&bytes, |plain| seen += plain.len()).expect_err("too long");
            assert_eq!(seen, MAX_JSON_BODY_BYTES);
            assert!(error.contains("1048576 decoded bytes"), "{error}");
        }
    }

    #[test]
    fn what_is_not_whole_or_not_compressed_is_said() {
        let plain = b"{\"message\": \"pong\", \"ok\": true}";
        for kind in 0..3 {
            let (coding, bytes) = coded(kind, plain);
            for cut in [0, 1, bytes.len() / 2, bytes.len() - 1] {
                let error = decode(coding, &bytes[..cut], 7).expect_err("cut short");
                assert!(error.contains(&coding.name()), "{error}");
            }
        }
        assert!(decode(Coding::Gzip, plain, 100).expect_err("plain").contains("gzip"));
    }

    proptest! {
        #[test]
        fn whatever_pieces_it_comes_in(plain in "[ab]{0,300}", kind in 0..3usize, piece in 1..50usize) {
            let (coding, bytes) = coded(kind, plain.as_bytes());
            prop_assert_eq!(decode(coding, &bytes, piece), Ok(plain.into_bytes()));
        }

        #[test]
        fn garbage_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..300), piece in 1..50usize, gzip in any::<bool>()) {
            let _ = decode(if gzip { Coding::Gzip } else { Coding::Deflate }, &bytes, piece);
        }
    }
}
