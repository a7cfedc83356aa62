//! How the threads reach the network: by io_uring, or by epoll where that is refused.

use std::io;

use monoio::{IoUringDriver, LegacyDriver, Runtime, RuntimeBuilder};

/// Entries of the submission queue: one for each connection, within these bounds.
const RING_ENTRIES: std::ops::RangeInclusive<u32> = 1024..=4096;

/// How the engine reaches the network.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Io {
    /// By io_uring, or by epoll where the kernel or a container's profile refuses it; a warning says so then.
    #[default]
    Auto,
    /// By io_uring or not at all.
    IoUring,
    /// By epoll: more CPU time a request.
    Epoll,
}

impl Io {
    /// The name that people and results use.
    pub const fn name(self) -> &'static str {
        match self {
            Io::Auto => "auto",
            Io::IoUring => "io_uring",
            Io::Epoll => "epoll",
        }
    }

    /// What is really used here; the error says why io_uring is not.
    pub(crate) fn usable(self) -> io::Result<Self> {
        match (self, io_uring::IoUring::new(2)) {
            (Io::Epoll, _) => Ok(Io::Epoll),
            (Io::Auto | Io::IoUring, Ok(_)) => Ok(Io::IoUring),
            (Io::Auto, Err(error)) if is_refusal(&error) => {
                static ONCE: std::sync::Once = std::sync::Once::new();
                ONCE.call_once(|| {
                    tracing::warn!("requests are sent by epoll, which takes more CPU time: {}", explain(&error));
                });
                Ok(Io::Epoll)
            }
            (Io::Auto | Io::IoUring, Err(error)) => Err(io::Error::new(error.kind(), explain(&error))),
        }
    }
}

/// Whether the kernel or a profile will have none of io_uring; a want of memory or descriptors is another matter.
fn is_refusal(error: &io::Error) -> bool {
    use rustix::io::Errno;
    matches!(error.raw_os_error().map(Errno::from_raw_os_error), Some(Errno::PERM | Errno::ACCESS | Errno::NOSYS))
}

fn explain(error: &io::Error) -> String {
    if !is_refusal(error) {
        return error.to_string();
    }
    format!(
        "io_uring is refused ({error}); the kernel must be 5.11 or later with kernel.io_uring_disabled = 0, and in a \
         container the seccomp profile must allow io_uring_setup, io_uring_enter and io_uring_register"
    )
}

/// A runtime on a ring of its own. With `polls` the thread never waits in the kernel while something is due.
pub(crate) fn ring(connections: usize, polls: bool) -> io::Result<Runtime<IoUringDriver>> {
    let wanted = u32::try_from(connections).unwrap_or(u32::MAX).clamp(*RING_ENTRIES.start(), *RING_ENTRIES.end());
    let build = |builder: io_uring::Builder| {
        RuntimeBuilder::<IoUringDriver>::new().with_entries(wanted.next_power_of_two()).uring_builder(builder).build()
    };
    // With DEFER_TASKRUN completions come only to a thread that waits for them, which one that polls does not.
    let plain = io_uring::IoUring::builder;
    let mut waiting = plain();
    waiting.setup_single_issuer().setup_defer_taskrun();
    let built = if polls { build(plain()) } else { build(waiting).or_else(|_| build(plain())) };
    built.map_err(|error| io::Error::new(error.kind(), explain(&error)))
}

/// A runtime on epoll.
pub(crate) fn epoll() -> io::Result<Runtime<LegacyDriver>> {
    RuntimeBuilder::<LegacyDriver>::new().build()
}
