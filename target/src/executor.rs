//! How the threads reach the network: by io_uring, or by epoll where that is refused.

use std::future::Future;
use std::io;

use monoio::time::TimeDriver;
use monoio::{IoUringDriver, LegacyDriver, Runtime, RuntimeBuilder};
use rustix::io::Errno;

/// How many operations a thread hands to the kernel at once.
const RING_ENTRIES: u32 = 1024;

/// How the target reaches the network.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Io {
    /// By io_uring, or by epoll where the kernel or a container's profile refuses it; a warning says so then.
    #[default]
    Auto,
    /// By io_uring or not at all.
    IoUring,
    /// By epoll.
    Epoll,
}

impl Io {
    /// What is used here in place of [`Io::Auto`].
    pub(crate) fn usable(self) -> Self {
        match (self, io_uring::IoUring::new(2)) {
            (Io::Auto, Err(error)) if is_refusal(&error) => {
                tracing::warn!("io_uring is refused ({error}): the target serves by epoll, which takes more CPU time");
                Io::Epoll
            }
            (Io::Auto, _) => Io::IoUring,
            (asked, _) => asked,
        }
    }
}

fn is_refusal(error: &io::Error) -> bool {
    matches!(error.raw_os_error().map(Errno::from_raw_os_error), Some(Errno::PERM | Errno::ACCESS | Errno::NOSYS))
}

/// The runtime of one thread, with a timer.
pub(crate) enum Executor {
    IoUring(Runtime<TimeDriver<IoUringDriver>>),
    Epoll(Runtime<TimeDriver<LegacyDriver>>),
}

impl Executor {
    /// Opens it, on the thread that it is for.
    pub fn open(io: Io) -> io::Result<Self> {
        if io == Io::Epoll {
            return RuntimeBuilder::<LegacyDriver>::new().enable_timer().build().map(Executor::Epoll);
        }
        let mut builder = io_uring::IoUring::builder();
        // Completions wait for the thread to ask for them instead of interrupting it; kernels before 6.1 refuse that.
        builder.setup_single_issuer().setup_defer_taskrun();
        let build = |builder| {
            let runtime = RuntimeBuilder::<IoUringDriver>::new().with_entries(RING_ENTRIES).uring_builder(builder);
            runtime.enable_timer().build().map(Executor::IoUring)
        };
        match build(builder) {
            Err(error) if error.raw_os_error() == Some(Errno::INVAL.raw_os_error()) => {
                build(io_uring::IoUring::builder())
            }
            built => built,
        }
    }

    pub fn block_on<F: Future>(&mut self, future: F) -> F::Output {
        match self {
            Executor::IoUring(runtime) => runtime.block_on(future),
            Executor::Epoll(runtime) => runtime.block_on(future),
        }
    }
}
