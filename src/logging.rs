//! The log: tracing on standard error, as text for people or as JSON for machines.

use clap::ValueEnum;
use tracing::Level;
use tracing_subscriber::filter::Targets;
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

/// Starts logging at the level of `RUST_LOG`; where that says nothing, warnings only for `quiet` commands, and
/// otherwise information too.
pub fn start(format: LogFormat, quiet: bool, console: &Console) {
    let (filter, unreadable) = filter(std::env::var("RUST_LOG").ok().as_deref(), quiet);
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(console.log_writer())
        .with_ansi(console.stderr_has_colour())
        .with_target(format == LogFormat::Json);
    let lines: Box<dyn Layer<Registry> + Send + Sync> = match format {
        LogFormat::Text => lines.boxed(),
        LogFormat::Json => lines.json().boxed(),
    };
    tracing_subscriber::registry().with(lines.with_filter(filter)).init();
    if let Some(why) = unreadable {
        tracing::warn!("RUST_LOG is ignored: {why}");
    }
}

fn filter(wanted: Option<&str>, quiet: bool) -> (Targets, Option<String>) {
    let default = || Targets::new().with_default(if quiet { Level::WARN } else { Level::INFO });
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
    fn the_level_comes_from_the_environment_else_from_the_command() {
        assert_eq!(filter(None, true).0.to_string(), "warn");
        assert_eq!(filter(Some(" "), false).0.to_string(), "info");
        assert_eq!(filter(Some("debug"), true).0.to_string(), "debug");
        assert!(filter(Some("warn,onrush_bus=debug"), true).0.would_enable("onrush_bus::producer", &Level::DEBUG));
        let (fallback, why) = filter(Some("a=b=c"), false);
        assert_eq!(fallback.to_string(), "info");
        assert!(why.is_some());
    }
}
