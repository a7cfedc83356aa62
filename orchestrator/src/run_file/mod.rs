//! One run as one file: it can be given to somebody else, who can prove what it says.
//!
//! `onrush-run 1 sha256=<64 hexadecimal digits>` and a line end; then, compressed by gzip, a store file with the one test in it:
//! its settings, every report of every driver with its histograms, every second, the events and the proof. The digest is that of
//! everything behind the first line, so that any change of a byte is seen before anything is read.

mod verify;

use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, Read, Seek, SeekFrom, Write};
use std::path::Path;

use flate2::Compression;
use flate2::bufread::GzDecoder;
use flate2::write::GzEncoder;
use sha2::{Digest, Sha256};

pub use self::verify::{Verified, verify};
use crate::store::{OneTest, StoreError, copy_test};

const MAGIC: &str = "onrush-run ";
const VERSION: &str = "1";
/// The first line is shorter than this.
const MAX_LINE_BYTES: u64 = 200;
/// What unpacks to more than this is not a run of ours: a day of eight busy drivers has a hundredth of it.
const MAX_UNPACKED_BYTES: u64 = 256 << 30;

/// Why a file is not a run, or could not be read.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the messages say it")]
pub enum RunFileError {
    #[error("it is no exported run: it does not begin with \"onrush-run\"; `onrush test export` makes one")]
    Foreign,
    #[error("it is a run of a later version of onrush (format {0}; this one knows {VERSION}): update onrush")]
    Newer(String),
    #[error("it was changed or cut short: its digest is not the one that it says")]
    Changed,
    #[error("it unpacks to more than {0} GiB, which no run does")]
    TooLarge(u64),
    #[error("what is in it is no run: {0}")]
    Content(StoreError),
    #[error("{0}")]
    Io(#[from] io::Error),
}

/// Writes the test of a store to a file of its own, whose place is the beginning; `None`: there is no such test. The folder is for
/// what lies between.
pub fn export(store: &Path, test_id: &str, folder: &Path) -> Result<Option<File>, StoreError> {
    let failed = |error: io::Error| StoreError::Export { folder: folder.to_owned(), error };
    let plain = tempfile::NamedTempFile::new_in(folder).map_err(failed)?;
    if !copy_test(store, test_id, plain.path()).map_err(|error| error.of_file(plain.path()))? {
        return Ok(None);
    }
    let mut packed = tempfile::tempfile_in(folder).map_err(failed)?;
    pack(File::open(plain.path()).map_err(failed)?, &mut packed).map_err(failed)?;
    Ok(Some(packed))
}

/// Packs a store file of one test.
pub fn pack(mut plain: File, packed: &mut File) -> io::Result<()> {
    let first_line = |digest: &str| format!("{MAGIC}{VERSION} sha256={digest}\n");
    let mut out = BufWriter::new(&mut *packed);
    out.write_all(first_line(&"0".repeat(64)).as_bytes())?;
    let mut encoder = GzEncoder::new(Digested { inner: out, digest: Sha256::new() }, Compression::default());
    io::copy(&mut plain, &mut encoder)?;
    let Digested { mut inner, digest } = encoder.finish()?;
    inner.flush()?;
    drop(inner);
    packed.seek(SeekFrom::Start(0))?;
    packed.write_all(first_line(&hex(digest)).as_bytes())?;
    packed.seek(SeekFrom::Start(0))?;
    Ok(())
}

/// A run that was unpacked, for as long as this value lives.
pub struct RunFile {
    test: OneTest,
    plain: tempfile::NamedTempFile,
}

impl RunFile {
    /// Reads a run; the folder is for what it unpacks to.
    pub fn open(path: &Path, folder: &Path) -> Result<Self, RunFileError> {
        Self::open_within(path, folder, MAX_UNPACKED_BYTES)
    }

    /// The same of one that unpacks to no more than that.
    pub fn open_within(path: &Path, folder: &Path, max_bytes: u64) -> Result<Self, RunFileError> {
        let mut file = BufReader::new(File::open(path)?);
        let mut line = String::new();
        let read = (&mut file).take(MAX_LINE_BYTES).read_line(&mut line);
        // What is no text is no line of ours.
        let line = read.ok().and_then(|_| line.strip_prefix(MAGIC)?.strip_suffix('\n'));
        let (version, digest) = line.and_then(|rest| rest.split_once(" sha256=")).ok_or(RunFileError::Foreign)?;
        if version != VERSION {
            return Err(RunFileError::Newer(version.to_owned()));
        }
        let begin = file.stream_position()?;
        let mut found = Digested { inner: io::sink(), digest: Sha256::new() };
        io::copy(&mut file, &mut found)?;
        if hex(found.digest) != digest {
            return Err(RunFileError::Changed);
        }
        file.seek(SeekFrom::Start(begin))?;
        let mut plain = tempfile::NamedTempFile::new_in(folder)?;
        let mut unpacked = GzDecoder::new(file).take(max_bytes + 1);
        if io::copy(&mut unpacked, &mut plain)? > max_bytes {
            return Err(RunFileError::TooLarge(max_bytes >> 30));
        }
        let test = OneTest::open(plain.path()).map_err(RunFileError::Content)?;
        Ok(Self { test, plain })
    }

    /// Refuses one that would take more memory than a test does.
    pub fn check_size(&self) -> Result<(), RunFileError> {
        self.test.check_size().map_err(RunFileError::Content)
    }

    /// The store file that it was unpacked to.
    pub(crate) fn path(&self) -> &Path {
        self.plain.path()
    }

    /// Recomputes everything.
    pub fn verify(&self) -> Result<Verified, RunFileError> {
        verify(&self.test).map_err(RunFileError::Content)
    }
}

fn hex(digest: Sha256) -> String {
    digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Computes the digest of what it passes on.
struct Digested<W> {
    inner: W,
    digest: Sha256,
}

impl<W: Write> Write for Digested<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let n = self.inner.write(bytes)?;
        self.digest.update(&bytes[..n]);
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}
