//! The log: tracing on standard error, as text for people or as JSON for machines. An event is one line, whatever
//! stands in what it speaks of.

use clap::ValueEnum;
use tracing::Level;
use tracing_subscriber::field::MakeExt;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::FormatFields;
use tracing_subscriber::fmt::format::debug_fn;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, Registry};

use crate::console::Console;
use crate::text::escaped;

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
        LogFormat::Text => lines.fmt_fields(one_line()).boxed(),
        LogFormat::Json => lines.json().boxed(),
    };
    tracing_subscriber::registry().with(lines.with_filter(filter)).init();
    if let Some(why) = unreadable {
        tracing::warn!("RUST_LOG is ignored: {why}");
    }
}

/// The message and `name=value` for each field, control characters escaped.
fn one_line() -> impl for<'a> FormatFields<'a> + Send + Sync + 'static {
    let field = |writer: &mut tracing_subscriber::fmt::format::Writer<'_>,
                 field: &tracing::field::Field,
                 value: &dyn std::fmt::Debug| {
        let value = format!("{value:?}");
        match field.name() {
            "message" => write!(writer, "{}", escaped(&value)),
            name => write!(writer, "{name}={}", escaped(&value)),
        }
    };
    debug_fn(field).delimited(" ")
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
    use std::io::Write;
    use std::sync::{Arc, Mutex};

    use super::*;

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

    #[test]
    fn an_event_is_one_line_whatever_it_speaks_of() {
        #[derive(Clone, Default)]
        struct Kept(Arc<Mutex<Vec<u8>>>);
        impl Write for Kept {
            fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
                self.0.lock().expect("one thread").extend_from_slice(bytes);
                Ok(bytes.len())
            }
            fn flush(&mut self) -> std::io::Result<()> {
                Ok(())
            }
        }
        let kept = Kept::default();
        let writer = kept.clone();
        let lines = tracing_subscriber::fmt::layer().with_writer(move || writer.clone()).with_ansi(false);
        let subscriber = Registry::default().with(lines.without_time().with_target(false).fmt_fields(one_line()));
        let (node, reason) = ("a\x1b[2Jb", "gone\nconservation: exact");
        tracing::subscriber::with_default(subscriber, || {
            tracing::info!(%node, number = 7, text = "two words", "node {node} left: {reason}");
        });
        let text = String::from_utf8(kept.0.lock().expect("one thread").clone()).expect("text");
        let expected =
            " INFO node a\\x1b[2Jb left: gone\\nconservation: exact node=a\\x1b[2Jb number=7 text=\"two words\"\n";
        assert_eq!(text, expected);
    }
}
