//! What the nodes on one machine leave for one another to find: files that live as long as their process.
//!
//! Such a file is locked by the process that made it. The kernel lets go of the lock when the process ends,
//! however it ends, so a file whose lock can be had is stale: whoever finds it removes it.

use std::fs::{self, DirBuilder, File};
use std::io::{Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};

use crate::HostError;

/// The largest file that is read: they hold one line.
const MAX_FILE_BYTES: u64 = 4096;

/// The folder for what nodes on this machine tell one another, created if missing: `$ONRUSH_RUNTIME_DIR`, else
/// `$XDG_RUNTIME_DIR/onrush`, else `/tmp/onrush-<uid>`. It must be ours and closed to other users' writing.
pub fn runtime_dir() -> Result<PathBuf, HostError> {
    let uid = rustix::process::getuid().as_raw();
    let named = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let dir = named("ONRUSH_RUNTIME_DIR")
        .or_else(|| named("XDG_RUNTIME_DIR").filter(|dir| dir.is_dir()).map(|dir| dir.join("onrush")))
        .unwrap_or_else(|| PathBuf::from(format!("/tmp/onrush-{uid}")));
    private_dir(&dir, uid)?;
    Ok(dir)
}

fn private_dir(dir: &Path, uid: u32) -> Result<(), HostError> {
    let failed = |problem: std::io::Error| HostError::runtime_dir(dir, problem);
    DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(failed)?;
    // Not followed: in /tmp, another user could have put a link there.
    let found = fs::symlink_metadata(dir).map_err(failed)?;
    if !found.is_dir() {
        return Err(HostError::runtime_dir(dir, "it is not a folder"));
    }
    if found.uid() != uid {
        return Err(HostError::runtime_dir(dir, format!("it belongs to the user {}", found.uid())));
    }
    if found.permissions().mode() & 0o022 != 0 {
        return Err(HostError::runtime_dir(dir, "other users may write there"));
    }
    Ok(())
}

/// A file that is there as long as this value, or at most as long as this process.
#[derive(Debug)]
pub struct LiveFile {
    path: PathBuf,
    /// Holds the lock.
    _file: File,
}

impl LiveFile {
    /// Creates a file with a name of its own in `dir`.
    pub fn create(dir: &Path, content: &str) -> Result<Self, HostError> {
        let failed = |problem: std::io::Error| HostError::runtime_dir(dir, problem);
        DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(failed)?;
        let name = format!("{}-{:016x}", std::process::id(), fastrand::u64(..));
        // Locked and written under a hidden name first: who finds the final one finds it whole and locked.
        let (hidden, path) = (dir.join(format!(".{name}")), dir.join(name));
        let mut file = File::create_new(&hidden).map_err(failed)?;
        flock(&file, FlockOperation::NonBlockingLockExclusive).map_err(|e| failed(e.into()))?;
        file.write_all(content.as_bytes()).map_err(failed)?;
        fs::rename(&hidden, &path).map_err(failed)?;
        Ok(Self { path, _file: file })
    }

    /// The folder that it is in.
    pub fn folder(&self) -> Option<&Path> {
        self.path.parent()
    }

    /// What the live files in `dir` hold, `except` one of our own. Stale files are removed.
    pub fn live(dir: &Path, except: Option<&LiveFile>) -> Vec<String> {
        let Ok(entries) = fs::read_dir(dir) else { return Vec::new() };
        let paths = entries.flatten().map(|entry| entry.path());
        let shown =
            paths.filter(|path| !path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b".")));
        shown
            .filter(|path| except.is_none_or(|own| own.path != *path))
            .filter_map(|path| content_if_live(&path))
            .collect()
    }
}

fn content_if_live(path: &Path) -> Option<String> {
    let file = File::open(path).ok().filter(|file| file.metadata().is_ok_and(|m| m.is_file()))?;
    if flock(&file, FlockOperation::NonBlockingLockShared).is_ok() {
        // Names are never used again, so this removes the stale file and no other.
        let _ = fs::remove_file(path);
        return None;
    }
    let mut content = String::new();
    (&file).take(MAX_FILE_BYTES).read_to_string(&mut content).ok()?;
    Some(content)
}

impl Drop for LiveFile {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_live_until_it_is_dropped() {
        let dir = tempfile::tempdir().unwrap();
        let ours = LiveFile::create(dir.path(), "ours").unwrap();
        let theirs = LiveFile::create(dir.path(), "theirs").unwrap();
        assert_eq!(LiveFile::live(dir.path(), Some(&ours)), ["theirs"]);
        assert_eq!(LiveFile::live(dir.path(), None).len(), 2);
        drop(theirs);
        assert!(LiveFile::live(dir.path(), Some(&ours)).is_empty());
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_file_whose_process_is_gone_is_removed() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("4242-0"), "stale").unwrap();
        assert!(LiveFile::live(dir.path(), None).is_empty());
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_folder_that_others_may_write_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let uid = rustix::process::getuid().as_raw();
        private_dir(dir.path(), uid).unwrap();
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o777)).unwrap();
        assert!(private_dir(dir.path(), uid).unwrap_err().to_string().contains("may write"));
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o700)).unwrap();
        let link = dir.path().join("link");
        std::os::unix::fs::symlink(dir.path(), &link).unwrap();
        assert!(private_dir(&link, uid).is_err());
    }
}
