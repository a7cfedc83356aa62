//! The screen: results on standard output; progress, notes and the log on standard error, so that they never
//! run into each other nor into a result that is piped elsewhere.
//!
//! On a terminal the progress line is rewritten in place; elsewhere, and on one that cannot do so, each is a line of its
//! own. What is written is what the locale can show, and no terminal gets an escape sequence that it did not ask for.

use std::io::{self, IsTerminal, Write};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use onrush_api::escape::escaped_lines;
use tracing_subscriber::fmt::MakeWriter;
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use crate::error::Error;
use crate::text::for_locale;

/// The screen. Cheap to clone.
#[derive(Clone)]
pub struct Console {
    /// Nothing but results and errors.
    quiet: bool,
    /// Whether the progress line can be rewritten in place.
    rewrites: bool,
    /// The progress line on the terminal now; empty: none.
    shown: Arc<Mutex<String>>,
}

impl Console {
    /// The screen of this process; a quiet one shows results and errors alone.
    pub fn new(quiet: bool) -> Self {
        let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        if dumb {
            // Whatever else asks for colours: this terminal has none.
            anstream::ColorChoice::Never.write_global();
        }
        Self { quiet, rewrites: io::stderr().is_terminal() && !dumb, shown: Arc::default() }
    }

    /// Whether notes may be coloured: a terminal, and no wish against it (`NO_COLOR`).
    pub fn stderr_has_colour(&self) -> bool {
        anstream::AutoStream::choice(&io::stderr()) != anstream::ColorChoice::Never
    }

    /// Writes a result to standard output, its colours removed where they are not wanted.
    pub fn result(&self, text: &str) -> Result<(), Error> {
        self.end_progress();
        let mut out = anstream::stdout().lock();
        out.write_all(for_locale(text).as_bytes()).and_then(|()| out.flush()).map_err(|e| Error::output(&e))
    }

    /// Shows how far it has come: in place of the last progress line, or below it where that cannot be.
    pub fn progress(&self, line: &Line) {
        if self.quiet {
            return;
        }
        let mut shown = self.lock();
        let mut err = io::stderr().lock();
        // What cannot be shown is no reason to stop.
        let _ = if self.rewrites {
            let columns = columns_of(io::stderr()).unwrap_or(80).saturating_sub(1);
            let next = fit(&for_locale(&line.within(columns)), columns);
            // Blanks where the last line was longer: the way to erase that every terminal knows.
            let rest = shown.width().saturating_sub(next.width()).min(columns.saturating_sub(next.width()));
            *shown = next;
            write!(err, "\r{shown}{:rest$}", "").and_then(|()| err.flush())
        } else {
            writeln!(err, "{}", for_locale(&line.within(usize::MAX)))
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
        if !self.quiet {
            let _ = self.above_progress(format!("{}\n", escaped_lines(line)).as_bytes());
        }
    }

    /// What went wrong. A quiet screen shows it, too.
    pub fn error(&self, words: &str) {
        let _ = self.above_progress(format!("error: {}\n", escaped_lines(words)).as_bytes());
    }

    /// Where the log goes.
    pub fn log_writer(&self) -> LogWriter {
        LogWriter(self.clone())
    }

    fn above_progress(&self, text: &[u8]) -> io::Result<()> {
        let shown = self.lock();
        let mut err = io::stderr().lock();
        if !shown.is_empty() {
            write!(err, "\r{:width$}\r", "", width = shown.width())?;
        }
        err.write_all(for_locale(&String::from_utf8_lossy(text)).as_bytes())?;
        err.write_all(shown.as_bytes())?;
        err.flush()
    }

    fn lock(&self) -> MutexGuard<'_, String> {
        self.shown.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A line of parts, of which those that matter less are left out where it would not fit.
#[derive(Clone, Debug, Default)]
pub struct Line(Vec<Span>);

#[derive(Clone, Debug)]
struct Span {
    /// The longest first.
    forms: Vec<String>,
    importance: u8,
}

impl Line {
    /// The line with one more part: its forms, the longest first, and how much it matters beside the others.
    pub fn with(mut self, importance: u8, forms: impl IntoIterator<Item = String>) -> Self {
        self.0.push(Span { forms: forms.into_iter().collect(), importance });
        self
    }

    /// As much of it as these columns hold: each part in the longest form that fits, the more important ones first.
    pub fn within(&self, columns: usize) -> String {
        let mut by_importance: Vec<usize> = (0..self.0.len()).collect();
        by_importance.sort_by_key(|index| std::cmp::Reverse(self.0[*index].importance));
        let mut left = columns;
        let mut chosen = vec![""; self.0.len()];
        for index in by_importance {
            if let Some(form) = self.0[index].forms.iter().find(|form| form.width() <= left) {
                left -= form.width();
                chosen[index] = form;
            }
        }
        chosen.concat()
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
    fn what_matters_less_is_left_out_of_a_narrow_line() {
        let texts = |forms: &[&str]| forms.iter().map(|form| (*form).to_owned()).collect::<Vec<_>>();
        let line = Line::default()
            .with(3, texts(&["time"]))
            .with(1, texts(&["  rate"]))
            .with(4, texts(&["  failed 1"]))
            .with(2, texts(&["  without a, b, c", "  without 3"]));
        assert_eq!(line.within(usize::MAX), "time  rate  failed 1  without a, b, c");
        assert_eq!(line.within(31), "time  failed 1  without a, b, c");
        assert_eq!(line.within(30), "time  failed 1  without 3");
        assert_eq!(line.within(20), "time  rate  failed 1");
        assert_eq!(line.within(14), "time  failed 1");
        assert_eq!((line.within(10).as_str(), line.within(3).as_str()), ("  failed 1", ""));
    }

    #[test]
    fn a_progress_line_never_wraps() {
        assert_eq!(fit("short", 10), "short");
        assert_eq!(fit("exactly ten", 7), "exactly");
        assert_eq!(fit("宽宽宽", 5), "宽宽");
    }
}
