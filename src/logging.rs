//! The log: tracing on standard error, as text for people or as JSON for machines. An event is one line, whatever
//! stands in what it speaks of.

use std::fmt;

use clap::ValueEnum;
use onrush_api::escape::escaped;
use tracing::Level;
use tracing::field::{Field, Visit};
use tracing_subscriber::field::RecordFields;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::FormatFields;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, Registry};

use crate::console::Console;

/// How a log line looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

impl LogFormat {
    /// As the flag names it.
    pub fn name(self) -> &'static str {
        match self {
            LogFormat::Text => "text",
            LogFormat::Json => "json",
        }
    }
}

/// Starts logging at the level of `RUST_LOG`, or where that says nothing at `default`.
pub fn start(format: LogFormat, default: Level, console: &Console) {
    let (filter, unreadable) = filter(std::env::var("RUST_LOG").ok().as_deref(), default);
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(console.log_writer())
        .with_ansi(console.stderr_has_colour())
        .with_target(format == LogFormat::Json);
    let lines: Box<dyn Layer<Registry> + Send + Sync> = match format {
        LogFormat::Text => lines.fmt_fields(OneLine).boxed(),
        LogFormat::Json => lines.json().boxed(),
    };
    tracing_subscriber::registry().with(lines.with_filter(filter)).init();
    if let Some(why) = unreadable {
        tracing::warn!("RUST_LOG is ignored: {why}");
    }
}

/// Writes what an event says on one line, whatever it says: much of it comes from other nodes, and none of them may make lines
/// of its own here or steer the terminal.
struct OneLine;

impl<'writer> FormatFields<'writer> for OneLine {
    fn format_fields<R: RecordFields>(&self, writer: Writer<'writer>, fields: R) -> fmt::Result {
        let mut visitor = OneLineVisitor { writer, is_first: true, result: Ok(()) };
        fields.record(&mut visitor);
        visitor.result
    }
}

struct OneLineVisitor<'writer> {
    writer: Writer<'writer>,
    is_first: bool,
    result: fmt::Result,
}

impl OneLineVisitor<'_> {
    fn write(&mut self, name: &str, value: &dyn fmt::Debug) -> fmt::Result {
        if !std::mem::take(&mut self.is_first) {
            self.writer.write_char(' ')?;
        }
        match name {
            "message" => {}
            _ if self.writer.has_ansi_escapes() => write!(self.writer, "\x1b[3m{name}\x1b[0m\x1b[2m=\x1b[0m")?,
            _ => write!(self.writer, "{name}=")?,
        }
        self.writer.write_str(&escaped(&format!("{value:?}")))
    }
}

impl Visit for OneLineVisitor<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if self.result.is_ok() {
            self.result = self.write(field.name(), value);
        }
    }
}

fn filter(wanted: Option<&str>, default: Level) -> (Targets, Option<String>) {
    let default = || Targets::new().with_default(default);
    match wanted.map(str::trim).filter(|text| !text.is_empty()) {
        None => (default(), None),
        Some(text) => match text.parse::<Targets>() {
            Ok(filter) => (filter, None),
            Err(error) => (default(), Some(error.to_string())),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_one_line_whatever_it_says() {
        use std::sync::{Arc, Mutex};
        #[derive(Clone, Default)]
        struct Lines(Arc<Mutex<Vec<u8>>>);
        impl std::io::Write for Lines {
            fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
                self.0.lock().expect("nobody panics").extend(bytes);
                Ok(bytes.len())
            }
            fn flush(&mut self) -> std::io::Result<()> {
                Ok(())
            }
        }
        for ansi in [false, true] {
            let lines = Lines::default();
            let writer = lines.clone();
            let layer = tracing_subscriber::fmt::layer().with_ansi(ansi).with_writer(move || writer.clone());
            let layer = layer.without_time().with_target(false).with_level(false).fmt_fields(OneLine);
            tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), || {
                let evil = "a\nERROR forged\r\x1b[31m\u{9b}2J\u{202e}\t\u{0}";
                tracing::info!(driver = %evil, quoted = evil, n = 5, "ü {evil}");
            });
            let text = String::from_utf8(lines.0.lock().expect("nobody panics").clone()).expect("a text");
            let text = text.replace("\x1b[3m", "").replace("\x1b[2m", "").replace("\x1b[0m", "");
            let seen = "a\\nERROR forged\\r\\x1b[31m\\u{9b}2J\\u{202e}\\t\\x00";
            let (message, fields) = text.split_once(" driver=").expect("a field");
            assert_eq!(message, format!("ü {seen}"));
            assert!(fields.starts_with(seen) && fields.ends_with(" n=5\n"), "{fields:?}");
            assert_eq!(text.chars().filter(|c| c.is_control()).collect::<String>(), "\n");
        }
    }

    #[test]
    fn the_level_comes_from_the_environment_else_from_the_command() {
        assert_eq!(filter(None, Level::WARN).0.to_string(), "warn");
        assert_eq!(filter(Some(" "), Level::INFO).0.to_string(), "info");
        assert_eq!(filter(Some("debug"), Level::WARN).0.to_string(), "debug");
        assert!(
            filter(Some("warn,onrush_bus=debug"), Level::WARN).0.would_enable("onrush_bus::producer", &Level::DEBUG)
        );
        let (fallback, why) = filter(Some("a=b=c"), Level::INFO);
        assert_eq!(fallback.to_string(), "info");
        assert!(why.is_some());
    }
}
