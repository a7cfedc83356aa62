//! Why a command did not do what it was asked for, and the exit code that says so.

use std::io;
use std::process::ExitCode;

use onrush_api::ClientError;

/// The result is not what was asked for: a failed, stopped, incomplete or invalid test, or no test at all.
pub const EXIT_FAILED: u8 = 1;
/// The command line is wrong (clap uses the same number).
pub const EXIT_USAGE: u8 = 2;
/// The test is sound and a threshold is not kept.
pub const EXIT_THRESHOLD: u8 = 99;
/// Ended by Ctrl-C, as shells count it: 128 + SIGINT.
pub const EXIT_INTERRUPTED: u8 = 130;

/// Why a command ended early.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The command line asks for something impossible that clap cannot see.
    #[error("{0}")]
    Usage(String),
    /// What happened, in words.
    #[error("{0}")]
    Failed(String),
    /// The orchestrator could not be asked, or said no.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// Nobody reads the output any more (`… | head`).
    #[error("the reader of the output is gone")]
    OutputClosed,
    /// Ctrl-C.
    #[error("interrupted")]
    Interrupted,
}

impl Error {
    /// `doing: error`.
    pub fn failed(doing: impl std::fmt::Display, error: impl std::fmt::Display) -> Self {
        Self::Failed(format!("{doing}: {error}"))
    }

    /// An error of writing the output.
    pub fn output(error: &io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Self::OutputClosed,
            _ => Self::failed("cannot write the output", error),
        }
    }

    /// What to tell the user; `None`: the user knows.
    pub fn words(&self) -> Option<String> {
        (!matches!(self, Self::OutputClosed | Self::Interrupted)).then(|| self.to_string())
    }

    /// The exit code of the process.
    pub fn exit_code(&self) -> ExitCode {
        ExitCode::from(match self {
            Self::Usage(_) => EXIT_USAGE,
            Self::Failed(_) | Self::Client(_) => EXIT_FAILED,
            // `onrush test list | head` is a success.
            Self::OutputClosed => 0,
            Self::Interrupted => EXIT_INTERRUPTED,
        })
    }
}
