//! The command line of `onrush compare`.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};
use onrush_api::orchestrator_url;
use onrush_compare::Gate;
use onrush_protocol::human;
use url::Url;

use crate::args::AskArgs;

/// Options of `onrush compare`.
#[derive(Clone, Debug, Args)]
#[command(after_long_help = "\
Examples:
  Two results of bench, of which the first five seconds do not count:
    onrush bench http://web:8080/ -R 2k -d 60s --output-format json -o before.json
    onrush compare before.json after.json --skip 5s
  A build that fails where the 99th percentile is proven to be more than 5 % higher:
    onrush compare before.json after.json --gate 'p99<+5%'
  Two tests, by the first characters of their ids, as a table for a pull request:
    onrush compare 20261127-1 20261127-2 --output-format markdown

A difference is said as `8.0 % ± 3.1 % higher`: with 95 % confidence it is from 4.9 % to 11.1 %. It is called proven where that
holds for all rows of the table together, so that eight rows do not cry wolf where one would not.
Quantiles are over everything that was due: what got no response is slower than all.
Two runs at different times also differ in what else the machines did then; `onrush ab` takes turns and so leaves that out.

Exit codes:
  0    the results were compared, and no gate is proven to be broken
  1    they cannot be compared
  2    the command line is wrong
  99   a gate is proven to be broken")]
pub struct CompareArgs {
    /// The first result: a test, by its id or its first characters, or a file that `onrush bench --output-format json` wrote
    #[arg(env = "ONRUSH_COMPARE_A")]
    pub a: String,
    /// The second result, which is told against the first
    #[arg(env = "ONRUSH_COMPARE_B")]
    pub b: String,
    /// Where the orchestrator is, for tests
    #[arg(
        long, value_name = "URL", default_value = "http://127.0.0.1:7400", value_parser = orchestrator_url,
        env = "ONRUSH_ORCHESTRATOR", help_heading = "Orchestrator"
    )]
    pub orchestrator: Url,
    /// By what token it is asked.
    #[command(flatten)]
    pub ask: AskArgs,
    /// How much at the beginning of each does not count, in whole seconds
    #[arg(
        long, value_name = "DURATION", value_parser = whole_seconds, default_value = "0s", env = "ONRUSH_COMPARE_SKIP",
        help_heading = "Result"
    )]
    pub skip: Duration,
    /// How the result looks and what it must keep.
    #[command(flatten)]
    pub result: GateArgs,
}

/// How a comparison looks, and what it must keep.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Result")]
pub struct GateArgs {
    /// What the difference may be, else the exit code is 99; repeatable. For instance 'p99<+5%' (at most 5 % higher in B),
    /// 'rate>-3%' (at most 3 % lower), 'failed<+0.5%' (at most half a percentage point more). Broken only where that is proven;
    /// quantities: p1 to p99.99, median, rate, failed
    #[arg(long = "gate", value_name = "QUANTITY<LIMIT", value_delimiter = ',', env = "ONRUSH_GATE")]
    pub gates: Vec<Gate>,
    /// How the result looks
    #[arg(long, value_enum, default_value = "text", env = "ONRUSH_COMPARE_OUTPUT_FORMAT")]
    pub output_format: CompareFormat,
    /// Write the result to this file in the --output-format; the terminal still gets the table
    #[arg(short, long, value_name = "FILE", env = "ONRUSH_COMPARE_OUTPUT")]
    pub output: Option<PathBuf>,
}

/// How a comparison looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum CompareFormat {
    /// A table for people.
    Text,
    /// The same values for machines.
    Json,
    /// A table for a pull request.
    Markdown,
    /// JUnit XML for CI systems: a test case for each gate.
    Junit,
}

/// Seconds cannot be cut.
pub fn whole_seconds(text: &str) -> Result<Duration, String> {
    let duration = human::duration(text)?;
    if duration.subsec_nanos() > 0 {
        Err(format!("{text:?} is no whole number of seconds; write 5s"))
    } else {
        Ok(duration)
    }
}
