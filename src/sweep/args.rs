//! The command line of `onrush sweep`, and the test that it runs. Pure, but for reading files that it names.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use onrush_protocol::{Phase, Profile, RateOf, Shape, TestConfig, human, limits};

use super::WARM_UP_S;
use crate::args::EngineArgs;
use crate::capacity::DEFAULT_CONNECTIONS;
use crate::error::Error;
use crate::parse::{self, Cpus};
use crate::request::{OptionArgs, TypeArg};
use crate::result::OutputFormat;

/// The fewest seconds of a step that count.
const MIN_COUNTED_S: u64 = 3;

/// Options of `onrush sweep`.
#[derive(Clone, Debug, Args)]
#[command(after_long_help = "\
Examples:
  Latency at ten rates from 1,000 to 20,000 a second, ten seconds each:
    onrush sweep http://web:8080/ --rates 1k..20k/10 --for 10s
  The same for a program, with arrivals as those of many independent users:
    onrush sweep http://web:8080/ --rates 100..1k/5 --arrivals poisson --output-format json

Connections stay open between the steps. Of each step the first two seconds do not count, nor do seconds that this machine
spoilt (its CPU full, its ports used up). `onrush capacity` finds the rate that keeps a limit.

Exit codes:
  0    every step was measured
  1    it could not start, was stopped, or a step was not measured
  2    the command line is wrong
  130  ended by Ctrl-C before it started, or by a second one")]
pub struct SweepArgs {
    /// Where the requests go
    #[arg(env = "ONRUSH_BENCH_URL", required_unless_present = "targets")]
    url: Option<String>,

    /// The rates: from, to, and how many steps (1k..20k/10)
    #[arg(long, value_name = "FROM..TO/STEPS", value_parser = steps, env = "ONRUSH_SWEEP_RATES", help_heading = "Sweep")]
    pub rates: Steps,
    /// How long each rate is held, in whole seconds
    #[arg(
        long = "for", value_name = "DURATION", value_parser = whole_seconds, default_value = "10s",
        env = "ONRUSH_SWEEP_FOR", help_heading = "Sweep"
    )]
    pub each: Duration,
    /// The options of the test.
    #[command(flatten)]
    options: OptionArgs<true, true>,

    /// The CPUs that make the load, one thread on each [default: all that this process may use]
    #[arg(long, value_name = "LIST", value_parser = parse::cpus, env = "ONRUSH_BENCH_CPUS", help_heading = "Engine")]
    pub cpus: Option<Cpus>,
    /// How the load is made.
    #[command(flatten)]
    pub engine: EngineArgs,

    /// How the result looks
    #[arg(long, value_enum, default_value = "text", env = "ONRUSH_OUTPUT_FORMAT", help_heading = "Result")]
    pub output_format: OutputFormat,
    /// Write the result to this file in the --output-format; the terminal still gets the table
    #[arg(short, long, value_name = "FILE", env = "ONRUSH_SWEEP_OUTPUT", help_heading = "Result")]
    pub output: Option<PathBuf>,
    /// Draw the curve of latency over load into this file, as a picture (SVG)
    #[arg(long, value_name = "FILE", env = "ONRUSH_SWEEP_CHART", help_heading = "Result")]
    pub chart: Option<PathBuf>,
}

/// Rates in equal steps.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Steps {
    from_per_s: f64,
    to_per_s: f64,
    steps: u32,
}

impl Steps {
    /// The rate of each step.
    pub fn rates_per_s(&self) -> Vec<f64> {
        let Self { from_per_s, to_per_s, steps } = *self;
        let last = f64::from(steps - 1);
        (0..steps).map(|step| from_per_s + (to_per_s - from_per_s) * f64::from(step) / last).collect()
    }
}

impl SweepArgs {
    /// The test: one profile of all steps. What it cannot send in time it drops: a backlog would be sent at the rates that follow.
    pub fn config(&self) -> Result<TestConfig, Error> {
        if self.options.has("target_metrics") {
            let problem = "--target-metrics is not for sweep, which judges no limit; give it to capacity or bench";
            return Err(Error::Usage(problem.into()));
        }
        let mut config = self.options.test(Some(TypeArg::Avalanche), self.url.as_deref())?;
        config.connections.get_or_insert(DEFAULT_CONNECTIONS);
        let Steps { from_per_s, to_per_s, steps } = self.rates;
        let length = self.each.saturating_mul(steps);
        let shape = Shape::Steps { from_per_s, to_per_s, steps };
        config.profile = Some(Profile { of: RateOf::Driver, phases: vec![Phase { length, shape }] });
        Ok(config)
    }
}

/// `1k..20k/10`.
fn steps(text: &str) -> Result<Steps, String> {
    let wrong = || format!("{text:?}: write FROM..TO/STEPS with 2 to {} steps, like 1k..20k/10", limits::MAX_STEPS);
    let (rates, steps) = text.split_once('/').ok_or_else(wrong)?;
    let (from, to) = rates.split_once("..").ok_or_else(wrong)?;
    let steps = steps.trim().parse().ok().filter(|steps| (2..=limits::MAX_STEPS).contains(steps)).ok_or_else(wrong)?;
    Ok(Steps { from_per_s: human::rate(from)?, to_per_s: human::rate(to)?, steps })
}

fn whole_seconds(text: &str) -> Result<Duration, String> {
    let length = human::duration(text)?;
    let least = WARM_UP_S + MIN_COUNTED_S;
    let is_right = length.subsec_nanos() == 0 && length.as_secs() >= least;
    if is_right { Ok(length) } else { Err(format!("give whole seconds, at least {least}")) }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::cli::{Cli, Command};

    fn parse(args: &[&str]) -> Result<SweepArgs, String> {
        match Cli::try_parse_from(["onrush", "sweep"].iter().chain(args)).map_err(|e| e.to_string())?.command {
            Command::Sweep(args) => Ok(*args),
            other => panic!("not a sweep: {other:?}"),
        }
    }

    #[test]
    fn the_rates_are_one_profile() {
        let args = parse(&["http://web/", "--rates", "1k..20k/3", "--for", "5s"]).expect("a right command line");
        assert_eq!(args.rates.rates_per_s(), [1_000.0, 10_500.0, 20_000.0]);
        let config = args.config().expect("a right test");
        assert_eq!(config.profile.as_ref().expect("a profile").to_string(), "15s@1k..20k/3");
        assert!(config.problems().is_empty(), "{:?}", config.problems());
    }

    #[test]
    fn what_is_no_sweep_is_refused_in_words() {
        for (rates, each, says) in [
            ("1k", "10s", "FROM..TO/STEPS"),
            ("1k..2k", "10s", "FROM..TO/STEPS"),
            ("1k..2k/1", "10s", "2 to"),
            ("1k..x/5", "10s", "per second"),
            ("1k..2k/5", "4s", "at least 5"),
            ("1k..2k/5", "5500ms", "whole seconds"),
        ] {
            let error = parse(&["http://web/", "--rates", rates, "--for", each]).expect_err("it is wrong");
            assert!(error.contains(says), "{rates} {each}: {error}");
        }
    }
}
