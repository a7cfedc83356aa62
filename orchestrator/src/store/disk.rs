//! Where a file is, for the message that says that there is no room for it.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// The disk of a file, in words: `the disk /dev/sdb1 (mounted on /var)`.
pub(super) fn name(path: &Path) -> String {
    let mounts = std::fs::read("/proc/self/mountinfo").unwrap_or_default();
    let absolute = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    match mount_of(&mounts, &absolute) {
        Some((device, mount)) => format!("the disk {device} (mounted on {})", mount.display()),
        None => "the disk".to_owned(),
    }
}

/// Whether the file system of a file has no room left.
pub(super) fn is_full(path: &Path) -> bool {
    rustix::fs::statvfs(path).is_ok_and(|system| system.f_bavail == 0 || (system.f_files > 0 && system.f_favail == 0))
}

/// The device and the place of the innermost mount that holds the path. See proc(5).
fn mount_of(mountinfo: &[u8], path: &Path) -> Option<(String, PathBuf)> {
    let mounts = mountinfo.split(|byte| *byte == b'\n').filter_map(|line| {
        let fields: Vec<&[u8]> = line.split(|byte| *byte == b' ').collect();
        let mount = PathBuf::from(OsStr::from_bytes(&unescaped(fields.get(4)?)));
        let end = fields.iter().position(|field| *field == b"-")?;
        let device = String::from_utf8_lossy(&unescaped(fields.get(end + 2)?)).into_owned();
        path.starts_with(&mount).then_some((device, mount))
    });
    // Of several mounts on one place, the last is the one that is seen.
    mounts.max_by_key(|(_, mount)| mount.components().count())
}

/// Blanks and the like are written as `\040`.
fn unescaped(field: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((&byte, behind)) = rest.split_first() {
        let code = rest.get(1..4).and_then(|digits| std::str::from_utf8(digits).ok());
        match code.and_then(|digits| u8::from_str_radix(digits, 8).ok()).filter(|_| byte == b'\\') {
            Some(escaped) => {
                bytes.push(escaped);
                rest = &rest[4..];
            }
            None => {
                bytes.push(byte);
                rest = behind;
            }
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_innermost_mount_is_named() {
        let mounts = b"22 27 0:21 / / rw - ext4 /dev/vda rw\n\
            23 22 0:22 / /var rw shared:1 - xfs /dev/vdb rw\n\
            24 23 0:23 / /var/my\\040data rw - tmpfs tmpfs rw\n\
            garbage\n";
        let found =
            |path: &str| mount_of(mounts, Path::new(path)).map(|(device, mount)| (device, mount.display().to_string()));
        let is = |device: &str, mount: &str| Some((device.to_owned(), mount.to_owned()));
        assert_eq!(found("/home/onrush.db"), is("/dev/vda", "/"));
        assert_eq!(found("/var/onrush.db"), is("/dev/vdb", "/var"));
        assert_eq!(found("/variable/onrush.db"), is("/dev/vda", "/"));
        assert_eq!(found("/var/my data/onrush.db"), is("tmpfs", "/var/my data"));
        assert!(name(&std::env::temp_dir()).contains("mounted on /"));
    }
}
