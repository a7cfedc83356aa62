//! The log: tracing on standard error, as text for people or as JSON for machines.

use clap::ValueEnum;
use tracing_subscriber::EnvFilter;

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
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(console.log_writer())
        .with_ansi(console.stderr_has_colour())
        .with_target(false);
    match format {
        LogFormat::Text => builder.init(),
        LogFormat::Json => builder.json().with_target(true).init(),
    }
    if let Some(why) = unreadable {
        tracing::warn!("RUST_LOG is ignored: {why}");
    }
}

fn filter(wanted: Option<&str>, quiet: bool) -> (EnvFilter, Option<String>) {
    let default = || EnvFilter::new(if quiet { "warn" } else { "info" });
    match wanted.map(str::trim).filter(|text| !text.is_empty()) {
        None => (default(), None),
        Some(text) => match EnvFilter::try_new(text) {
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
        let (fallback, why) = filter(Some("a=b=c"), false);
        assert_eq!(fallback.to_string(), "info");
        assert!(why.is_some());
    }
}
