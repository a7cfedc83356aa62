//! The command line as it was typed: read, or answered with help, version or what is wrong with it.

use std::io::{self, Write};
use std::process::ExitCode;

use clap::Parser;
use clap::error::{ContextKind, ContextValue};

use crate::cli::Cli;
use crate::error::EXIT_USAGE;
use crate::text::for_locale;

/// Flags whose values are not repeated when they are wrong: they may be passwords.
const SECRET_FLAGS: [&str; 3] = ["--kafka-option", "--header", "--body"];

/// The command line of this process; otherwise help, version or what is wrong with it has been shown, and this is
/// the exit code.
pub fn read() -> Result<Cli, ExitCode> {
    Cli::try_parse().map_err(|error| {
        let text = without_secrets(error);
        // Nobody may be reading.
        let _ = show(&text);
        u8::try_from(text.exit_code()).map_or(ExitCode::from(EXIT_USAGE), ExitCode::from)
    })
}

fn without_secrets(mut error: clap::Error) -> clap::Error {
    let flag = match error.get(ContextKind::InvalidArg) {
        Some(ContextValue::String(flag)) => flag.as_str(),
        _ => "",
    };
    let is_secret = SECRET_FLAGS.iter().any(|secret| flag.split([' ', '=']).next() == Some(secret));
    if is_secret && error.get(ContextKind::InvalidValue).is_some() {
        error.insert(ContextKind::InvalidValue, ContextValue::String("...".into()));
    }
    error
}

/// As clap shows it, within what the locale can show.
fn show(error: &clap::Error) -> io::Result<()> {
    let text = error.render().ansi().to_string();
    let text = for_locale(&text);
    if error.use_stderr() {
        anstream::stderr().lock().write_all(text.as_bytes())
    } else {
        let mut out = anstream::stdout().lock();
        out.write_all(text.as_bytes()).and_then(|()| out.flush())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_not_repeated_when_they_are_wrong() {
        for line in [
            &["onrush", "orchestrator", "--kafka-option", "sasl.password:hunter2"][..],
            &["onrush", "driver", "--kafka-option", "=hunter2"],
            &["onrush", "bench", "u", "-H", "Authorization hunter2"],
            &["onrush", "bench", "u", "--header=Bearer hunter2"],
        ] {
            let text = without_secrets(Cli::try_parse_from(line).expect_err("it is wrong")).render().to_string();
            assert!(!text.contains("hunter2") && text.contains("write "), "{text}");
        }
        let text =
            without_secrets(Cli::try_parse_from(["onrush", "bench", "u", "-n", "many"]).expect_err("it is wrong"));
        assert!(text.render().to_string().contains("'many'"));
    }
}
