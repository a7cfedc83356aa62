//! What the tests of this crate share.

use std::sync::OnceLock;

/// A runtime folder for this test process, so that it neither finds nor disturbs other brokers.
pub(crate) fn isolated() {
    static DIR: OnceLock<tempfile::TempDir> = OnceLock::new();
    DIR.get_or_init(|| {
        let dir = tempfile::tempdir().unwrap();
        // SAFETY: every test that needs the folder calls this first, and the others wait here meanwhile; nothing else in
        // this process changes the environment.
        unsafe { std::env::set_var("ONRUSH_RUNTIME_DIR", dir.path()) };
        dir
    });
}
