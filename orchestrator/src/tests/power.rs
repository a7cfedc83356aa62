//! A machine whose power can be cut and whose disk can be full: of each file of a store it remembers what was synced last, and
//! nothing else is left after the power was cut.

use std::collections::HashMap;
use std::ffi::{CStr, c_char, c_int};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, OnceLock, PoisonError};

use rusqlite::ffi;
use tempfile::TempDir;

/// What is known of one file.
#[derive(Clone, Default)]
struct Synced {
    times: usize,
    bytes: Vec<u8>,
}

#[derive(Default)]
struct Machine {
    /// Folders whose files are remembered.
    folders: Vec<PathBuf>,
    /// Those of them whose disk is full.
    full: Vec<PathBuf>,
    /// The path of each file that SQLite has open, by its handle.
    open: HashMap<usize, PathBuf>,
    files: HashMap<PathBuf, Synced>,
}

static MACHINE: Mutex<Option<Machine>> = Mutex::new(None);

fn machine<T>(use_it: impl FnOnce(&mut Machine) -> T) -> T {
    use_it(MACHINE.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert_default())
}

/// Remembers what is synced of the files in this folder, from now on.
pub fn watch(folder: &Path) {
    static ONCE: OnceLock<()> = OnceLock::new();
    ONCE.get_or_init(install);
    machine(|machine| machine.folders.push(folder.to_owned()));
}

/// Whether there is room on the disk of this folder, which is watched.
pub fn set_full(folder: &Path, full: bool) {
    machine(|machine| {
        machine.full.retain(|other| other != folder);
        machine.full.extend(full.then(|| folder.to_owned()));
    });
}

/// How often any of a store's files was synced.
pub fn syncs(store: &Path) -> usize {
    machine(|machine| files_of(machine, store).map(|(_, synced)| synced.times).sum())
}

/// The store as it is found after the power was cut now.
pub fn cut(store: &Path) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    machine(|machine| {
        for (path, synced) in files_of(machine, store) {
            std::fs::write(folder.path().join(path.file_name().unwrap()), &synced.bytes).unwrap();
        }
    });
    let path = folder.path().join(store.file_name().unwrap());
    (folder, path)
}

fn files_of<'a>(machine: &'a Machine, store: &'a Path) -> impl Iterator<Item = (&'a PathBuf, &'a Synced)> {
    let name = store.as_os_str().as_bytes();
    machine.files.iter().filter(move |(path, _)| path.as_os_str().as_bytes().starts_with(name))
}

/// SQLite's own way to open a file, and what it does with files.
struct Original {
    open:
        unsafe extern "C" fn(*mut ffi::sqlite3_vfs, *const c_char, *mut ffi::sqlite3_file, c_int, *mut c_int) -> c_int,
    sync: OnceLock<unsafe extern "C" fn(*mut ffi::sqlite3_file, c_int) -> c_int>,
    write: OnceLock<Write>,
}

type Write = unsafe extern "C" fn(*mut ffi::sqlite3_file, *const std::ffi::c_void, c_int, i64) -> c_int;

static ORIGINAL: OnceLock<Original> = OnceLock::new();

fn install() {
    // SAFETY: the default system exists for as long as the process; a copy of it, whose name lives as long, is registered
    // once.
    unsafe {
        let default = ffi::sqlite3_vfs_find(std::ptr::null());
        let mut own = *default;
        own.pNext = std::ptr::null_mut();
        own.zName = c"remembers what is synced".as_ptr();
        let original = Original { open: own.xOpen.unwrap(), sync: OnceLock::new(), write: OnceLock::new() };
        assert!(ORIGINAL.set(original).is_ok());
        own.xOpen = Some(open);
        assert_eq!(ffi::sqlite3_vfs_register(Box::leak(Box::new(own)), 1), ffi::SQLITE_OK);
    }
}

/// Opens a file as always; the files of a store get a sync that is noted.
///
/// # Safety
/// To be called by SQLite, as its interface says.
unsafe extern "C" fn open(
    vfs: *mut ffi::sqlite3_vfs,
    name: *const c_char,
    file: *mut ffi::sqlite3_file,
    flags: c_int,
    out_flags: *mut c_int,
) -> c_int {
    let original = ORIGINAL.get().unwrap();
    // SAFETY: the arguments are SQLite's own.
    let code = unsafe { (original.open)(vfs, name, file, flags, out_flags) };
    let is_stores = flags & (ffi::SQLITE_OPEN_MAIN_DB | ffi::SQLITE_OPEN_WAL) != 0;
    if code != ffi::SQLITE_OK || !is_stores || name.is_null() {
        return code;
    }
    // SAFETY: a name that is not null is a text with an end; a file that was opened has its methods, which never go away.
    let (path, theirs) = unsafe {
        let path = Path::new(std::ffi::OsStr::from_bytes(CStr::from_ptr(name).to_bytes())).to_owned();
        (path, &*(*file).pMethods)
    };
    if machine(|machine| !machine.folders.iter().any(|folder| path.starts_with(folder))) {
        return code;
    }
    // A database and its journal have different methods, and the same sync.
    let own = ffi::sqlite3_io_methods { xSync: Some(sync), xWrite: Some(write), ..*theirs };
    original.write.get_or_init(|| theirs.xWrite.unwrap());
    assert_eq!(*original.sync.get_or_init(|| theirs.xSync.unwrap()) as usize, theirs.xSync.unwrap() as usize);
    machine(|machine| machine.open.insert(file as usize, path));
    // SAFETY: the file is SQLite's own, and these methods do with it what its own do; they never go away.
    unsafe { (*file).pMethods = Box::leak(Box::new(own)) };
    code
}

/// Syncs a file as always, and remembers what is in it then.
///
/// # Safety
/// To be called by SQLite with a file that [`open`] opened.
unsafe extern "C" fn sync(file: *mut ffi::sqlite3_file, flags: c_int) -> c_int {
    let original = ORIGINAL.get().and_then(|original| original.sync.get()).unwrap();
    // SAFETY: the arguments are SQLite's own.
    let code = unsafe { original(file, flags) };
    if code == ffi::SQLITE_OK {
        machine(|machine| {
            let Some(path) = machine.open.get(&(file as usize)).cloned() else { return };
            let Ok(bytes) = std::fs::read(&path) else { return };
            let synced = machine.files.entry(path).or_default();
            *synced = Synced { times: synced.times + 1, bytes };
        });
    }
    code
}

/// Writes to a file as always, where there is room.
///
/// # Safety
/// To be called by SQLite with a file that [`open`] opened.
unsafe extern "C" fn write(
    file: *mut ffi::sqlite3_file,
    bytes: *const std::ffi::c_void,
    count: c_int,
    offset: i64,
) -> c_int {
    let is_full = machine(|machine| {
        let path = machine.open.get(&(file as usize));
        path.is_some_and(|path| machine.full.iter().any(|folder| path.starts_with(folder)))
    });
    if is_full {
        return ffi::SQLITE_FULL;
    }
    let original = ORIGINAL.get().and_then(|original| original.write.get()).unwrap();
    // SAFETY: the arguments are SQLite's own.
    unsafe { original(file, bytes, count, offset) }
}
