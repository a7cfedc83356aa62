//! `onrush verify`: proves a run that somebody exported, from nothing but what its drivers reported.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use onrush_orchestrator::{RunFile, Verified};
use serde::Serialize;

use crate::console::Console;
use crate::error::{EXIT_FAILED, Error};
use crate::result::{OutputFormat, json};

/// Options of `onrush verify`.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  onrush test export 20261127 -o run.onrush
  onrush verify run.onrush

Every total, every second, every distribution and every check of the proof is computed anew from the drivers' reports in the
file, and compared with what the result says. Nothing is asked of the network.

Exit codes:
  0    what the result says is what its reports add up to
  1    it is not, or the file was changed or is no run
  2    the command line is wrong")]
pub struct VerifyArgs {
    /// The file of `onrush test export`
    #[arg(value_name = "FILE", env = "ONRUSH_VERIFY_FILE")]
    pub file: PathBuf,
    /// How the answer is written
    #[arg(long, value_enum, default_value = "text", env = "ONRUSH_OUTPUT_FORMAT")]
    pub output_format: OutputFormat,
}

/// The answer for programs.
#[derive(Serialize)]
struct Answer<'a> {
    exact: bool,
    test_id: &'a str,
    name: Option<&'a str>,
    outcome: Option<&'a str>,
    conservation: &'a str,
    drivers: usize,
    reports: u64,
    seconds: u64,
    checks: usize,
    differences: &'a [String],
    more_differences: usize,
}

/// `onrush verify`.
pub fn run(args: &VerifyArgs, console: &Console) -> Result<ExitCode, Error> {
    let failed = |error| Error::failed(format!("cannot verify {}", args.file.display()), error);
    let verified = RunFile::open(&args.file, &std::env::temp_dir()).and_then(|run| run.verify()).map_err(failed)?;
    let exact = verified.differences.is_empty();
    console.result(&match args.output_format {
        OutputFormat::Text => text(&verified),
        OutputFormat::Json => json(&Answer {
            exact,
            test_id: verified.test_id.as_str(),
            name: verified.name.as_deref(),
            outcome: verified.outcome.map(onrush_stats::Outcome::name),
            conservation: &verified.line,
            drivers: verified.drivers,
            reports: verified.reports,
            seconds: verified.seconds,
            checks: verified.checks,
            differences: &verified.differences,
            more_differences: verified.more,
        })?,
    })?;
    Ok(if exact { ExitCode::SUCCESS } else { ExitCode::from(EXIT_FAILED) })
}

fn text(verified: &Verified) -> String {
    let Verified { test_id, name, outcome, line, drivers, reports, seconds, checks, differences, more } = verified;
    let name = name.as_ref().map(|name| format!(" {name:?}")).unwrap_or_default();
    let outcome = outcome.map_or("no outcome", onrush_stats::Outcome::name);
    let counted =
        |n: u64, noun: &str| format!("{} {noun}{}", onrush_stats::thousands(n), if n == 1 { "" } else { "s" });
    let what = format!(
        "{}, {}, {}, {}",
        counted(*drivers as u64, "driver"),
        counted(*reports, "report"),
        counted(*seconds, "second"),
        counted(*checks as u64, "check"),
    );
    let mut text = format!("test {test_id}{name}: {outcome}\n{line}\n");
    if differences.is_empty() {
        text += &format!("verified: {what}, all recomputed and the same to the digit\n");
        return text;
    }
    let all = differences.len() + more;
    text += &format!("not verified: {what} recomputed, {}\n", counted(all as u64, "difference"));
    differences.iter().for_each(|difference| text += &format!("  {difference}\n"));
    if *more > 0 {
        text += &format!("  and {more} more\n");
    }
    text
}
