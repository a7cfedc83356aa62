//! The store's files are their owner's alone: tests hold keys and passwords.

use std::fs::{OpenOptions, Permissions};
use std::io::ErrorKind;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use super::StoreError;

const OWNER_ONLY: u32 = 0o600;

/// For a file that is made where it is missing.
pub(super) fn options() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.create(true).write(true).mode(OWNER_ONLY);
    options
}

/// Makes the file where it is missing, before SQLite does: what SQLite makes beside it has the same permissions.
pub(super) fn create(path: &Path) -> Result<(), StoreError> {
    match options().create_new(true).open(path) {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(StoreError::Lock { path: path.to_owned(), error }),
    }
}

/// Takes from everybody else what an earlier version let them read.
pub(super) fn tighten(path: &Path) {
    for suffix in ["", "-wal", "-shm"] {
        let mut name = path.as_os_str().to_owned();
        name.push(suffix);
        tighten_one(&PathBuf::from(name));
    }
}

/// The same of one file, where it is there.
pub(super) fn tighten_one(path: &Path) {
    let Ok(metadata) = path.metadata() else { return };
    if metadata.permissions().mode() & 0o777 & !OWNER_ONLY == 0 {
        return;
    }
    if let Err(error) = std::fs::set_permissions(path, Permissions::from_mode(OWNER_ONLY)) {
        tracing::warn!(path = %path.display(), %error, "others may read this file, and it cannot be kept from them");
    }
}
