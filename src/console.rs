//! The screen: results on standard output; progress, notes and the log on standard error, so that they never
//! run into each other nor into a result that is piped elsewhere.
//!
//! On a terminal the progress line is rewritten in place; elsewhere each is a line of its own.

use std::io::{self, IsTerminal, Write};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tracing_subscriber::fmt::MakeWriter;
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use crate::error::Error;

/// Carriage return and "erase to the end of the line".
const ERASE_LINE: &str = "\r\x1b[K";

/// The screen. Cheap to clone.
#[derive(Clone)]
pub struct Console {
    stderr_is_terminal: bool,
    /// The progress line on the terminal now; empty: none.
    shown: Arc<Mutex<String>>,
}

impl Console {
    /// The screen of this process.
    pub fn new() -> Self {
        Self { stderr_is_terminal: io::stderr().is_terminal(), shown: Arc::default() }
    }

    /// Whether notes may be coloured: a terminal, and no wish against it (`NO_COLOR`).
    pub fn stderr_has_colour(&self) -> bool {
        anstream::AutoStream::choice(&io::stderr()) != anstream::ColorChoice::Never
    }

    /// Writes a result to standard output, its colours removed where they are not wanted.
    pub fn result(&self, text: &str) -> Result<(), Error> {
        self.end_progress();
        let mut out = anstream::stdout().lock();
        out.write_all(text.as_bytes()).and_then(|()| out.flush()).map_err(|e| Error::output(&e))
    }

    /// Shows how far it has come: in place of the last progress line, or below it where there is no terminal.
    pub fn progress(&self, line: &str) {
        let mut shown = self.lock();
        let mut err = io::stderr().lock();
        // What cannot be shown is no reason to stop.
        let _ = if self.stderr_is_terminal {
            let columns = columns_of(io::stderr()).unwrap_or(80);
            *shown = fit(line, columns.saturating_sub(1));
            write!(err, "{ERASE_LINE}{shown}").and_then(|()| err.flush())
        } else {
            writeln!(err, "{line}")
        };
    }

    /// Leaves the last progress line standing and goes on below it.
    pub fn end_progress(&self) {
        let mut shown = self.lock();
        if !shown.is_empty() {
            shown.clear();
            let _ = writeln!(io::stderr());
        }
    }

    /// A line for people, above the progress line.
    pub fn note(&self, line: &str) {
        let _ = self.above_progress(format!("{line}\n").as_bytes());
    }

    /// Where the log goes.
    pub fn log_writer(&self) -> LogWriter {
        LogWriter(self.clone())
    }

    fn above_progress(&self, text: &[u8]) -> io::Result<()> {
        let shown = self.lock();
        let mut err = io::stderr().lock();
        if !shown.is_empty() {
            err.write_all(ERASE_LINE.as_bytes())?;
        }
        err.write_all(text)?;
        err.write_all(shown.as_bytes())?;
        err.flush()
    }

    fn lock(&self) -> MutexGuard<'_, String> {
        self.shown.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The log's way to standard error. tracing writes an event in one piece.
#[derive(Clone)]
pub struct LogWriter(Console);

impl Write for LogWriter {
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        self.0.above_progress(event).map(|()| event.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for LogWriter {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

/// The columns of the terminal that standard output is; `None` where it is none.
pub fn stdout_columns() -> Option<usize> {
    columns_of(io::stdout())
}

fn columns_of(stream: impl std::os::fd::AsFd) -> Option<usize> {
    let (terminal_size::Width(columns), _) = terminal_size::terminal_size_of(stream)?;
    Some(usize::from(columns)).filter(|columns| *columns > 0)
}

/// Whether someone sits before standard output and standard input.
pub fn is_interactive() -> bool {
    io::stdout().is_terminal() && io::stdin().is_terminal()
}

/// As much of the line as the columns hold: a wrapped line could not be rewritten in place.
fn fit(line: &str, columns: usize) -> String {
    if line.width() <= columns {
        return line.to_owned();
    }
    let mut used = 0;
    line.chars()
        .take_while(|c| {
            used += c.width().unwrap_or(0);
            used <= columns
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_progress_line_never_wraps() {
        assert_eq!(fit("short", 10), "short");
        assert_eq!(fit("exactly ten", 7), "exactly");
        assert_eq!(fit("宽宽宽", 5), "宽宽");
    }
}
