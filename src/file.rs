//! Files that a flag names: read with a bound, so that `/dev/zero` is an error and not the end of the memory; written so that one that
//! is there is whole.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use crate::error::Error;

/// The bytes of a file that is no longer than `max_bytes`; the error names the flag.
pub fn read_bytes(flag: &str, path: &Path, max_bytes: usize) -> Result<Vec<u8>, Error> {
    let cannot = |problem: String| Error::Failed(format!("cannot use {flag} {}: {problem}", path.display()));
    let file = File::open(path).map_err(|e| cannot(e.to_string()))?;
    let mut bytes = Vec::new();
    file.take(max_bytes as u64 + 1).read_to_end(&mut bytes).map_err(|e| cannot(e.to_string()))?;
    if bytes.len() > max_bytes {
        return Err(cannot(format!("it has more than {max_bytes} bytes")));
    }
    Ok(bytes)
}

/// Writes a file by `write`; one of that name is replaced when it is whole.
pub fn write_whole<T>(path: &Path, write: impl FnOnce(&mut File) -> Result<T, Error>) -> Result<T, Error> {
    let failed = |error: std::io::Error| Error::failed(format!("cannot write {}", path.display()), error);
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut file = tempfile::NamedTempFile::new_in(folder).map_err(failed)?;
    let written = write(file.as_file_mut())?;
    file.persist(path).map_err(|e| failed(e.error))?;
    Ok(written)
}
