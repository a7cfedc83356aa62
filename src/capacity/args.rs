//! The command line of `onrush capacity`, and the test that it runs. Pure, but for reading files that it names.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use onrush_api::{NewSearch, orchestrator_url};
use onrush_protocol::{TestConfig, human};
use onrush_search::{Criterion, Goal};
use url::Url;

use crate::args::{AskArgs, EngineArgs};
use crate::error::Error;
use crate::parse::{self, Cpus};
use crate::request::{OptionArgs, TypeArg};
use crate::result::OutputFormat;

/// Connections where none are given: as many as requests overlap at 2,500 a second with 100 ms each.
pub const DEFAULT_CONNECTIONS: u32 = 256;
/// After a change of rate so many seconds do not count: it takes effect at the second after the next one, and queues and caches
/// have to follow it.
const WARM_UP_S: usize = 5;

/// Options of `onrush capacity`.
#[derive(Clone, Debug, Args)]
#[command(after_long_help = "\
Examples:
  How much it takes with 99 % of the responses within 50 ms, as far as five minutes tell:
    onrush capacity http://web:8080/ --slo 'p99<50ms,failed<0.1%'
  Arrivals as those of many independent users, an interval of 2 %, half an hour at most:
    onrush capacity http://web:8080/ --slo 'p99<200ms' --arrivals poisson --width 2% --budget 30m

  The same over all drivers of an orchestrator together:
    onrush capacity http://web:8080/ --slo 'p99<50ms' --orchestrator http://127.0.0.1:7400

The rate is doubled until the SLO is broken, then narrowed, at last held once more; connections stay open. The rate that
is found is an interval with a confidence. A second that this machine spoilt (its CPU full, its ports used up) says nothing of
the server and is repeated; if that does not help, the result is what the server takes at least.

Give as many --connections as requests overlap (rate x latency): one that finds none free counts as too slow.

Exit codes:
  0    a rate was found that keeps the SLO
  1    it could not start, or no rate was found that keeps it
  2    the command line is wrong
  130  ended by Ctrl-C before it started, or by a second one")]
pub struct CapacityArgs {
    /// Where the requests go [over drivers: each one's own --target-url]
    #[arg(env = "ONRUSH_BENCH_URL", required_unless_present_any = ["targets", "orchestrator"])]
    url: Option<String>,

    /// What must be kept: quantiles of the latency from the moment a request was due (p99<50ms, p99.9<1s), and the share that
    /// failed (failed<0.1%); several with commas
    #[arg(
        long, value_name = "LIMITS", value_parser = onrush_api::criterion, value_delimiter = ',', required = true,
        env = "ONRUSH_CAPACITY_SLO", help_heading = "Search"
    )]
    slo: Vec<Criterion>,
    /// How long the search may take
    #[arg(
        long, value_name = "DURATION", value_parser = human::duration, default_value = "5m",
        env = "ONRUSH_CAPACITY_BUDGET", help_heading = "Search"
    )]
    budget: Duration,
    /// How narrow the interval is to be
    #[arg(
        long, value_name = "PERCENT", value_parser = percent, default_value = "5%", env = "ONRUSH_CAPACITY_WIDTH",
        help_heading = "Search"
    )]
    width: f64,
    /// The first rate
    #[arg(
        long, value_name = "RATE", value_parser = human::rate, default_value = "100", env = "ONRUSH_CAPACITY_START",
        help_heading = "Search"
    )]
    start: f64,
    /// The highest rate that may be asked for
    #[arg(
        long, value_name = "RATE", value_parser = human::rate, default_value = "1M", env = "ONRUSH_CAPACITY_MAX",
        help_heading = "Search"
    )]
    max: f64,
    /// Search over the drivers of this orchestrator, whose rates add up, and not from this machine
    #[arg(
        long, value_name = "URL", value_parser = orchestrator_url, env = "ONRUSH_CAPACITY_ORCHESTRATOR",
        conflicts_with_all = ["cpus", "wait", "io", "local_addresses"], help_heading = "Search"
    )]
    pub orchestrator: Option<Url>,
    /// By what token it is asked.
    #[command(flatten)]
    pub ask: AskArgs,
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
    #[arg(short, long, value_name = "FILE", env = "ONRUSH_CAPACITY_OUTPUT", help_heading = "Result")]
    pub output: Option<PathBuf>,
    /// Draw the curve of latency over load into this file, as a picture (SVG)
    #[arg(long, value_name = "FILE", env = "ONRUSH_CAPACITY_CHART", help_heading = "Result")]
    pub chart: Option<PathBuf>,
}

impl CapacityArgs {
    /// What is looked for.
    pub fn goal(&self) -> Goal {
        Goal {
            width: self.width,
            budget: self.budget,
            start_per_s: self.start,
            max_per_s: self.max,
            warm_up_blocks: WARM_UP_S,
            ..Goal::new(self.slo.clone())
        }
    }

    /// The test without its load. What it cannot send in time it drops: a backlog would be sent at the rates that follow.
    fn test(&self) -> Result<TestConfig, Error> {
        let mut config = self.options.test(Some(TypeArg::Avalanche), self.url.as_deref())?;
        config.connections.get_or_insert(DEFAULT_CONNECTIONS);
        Ok(config)
    }

    /// The search over drivers.
    pub fn new_search(&self) -> Result<NewSearch, Error> {
        Ok(NewSearch {
            config: self.test()?,
            slo: self.slo.iter().map(ToString::to_string).collect(),
            width: self.width,
            budget: self.budget,
            start_per_s: self.start,
            max_per_s: self.max,
        })
    }

    /// The test that begins with a rate, and ends after a time at the latest.
    pub fn config(&self, rate_per_s: f64, longest: Duration) -> Result<TestConfig, Error> {
        let mut config = self.test()?;
        (config.target_throughput_per_s, config.duration) = (Some(rate_per_s), Some(longest));
        Ok(config)
    }
}

/// `2%`, `0.5 %`.
fn percent(text: &str) -> Result<f64, String> {
    let number = text.trim().strip_suffix('%').and_then(human::number).filter(|percent| *percent > 0.0);
    number.map(|percent| percent / 100.0).ok_or_else(|| "write a share like 2% or 0.5%".into())
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use onrush_protocol::TestType;

    use super::*;
    use crate::cli::{Cli, Command};

    fn parse(args: &[&str]) -> Result<CapacityArgs, String> {
        let line = ["onrush", "capacity"].iter().chain(args);
        match Cli::try_parse_from(line).map_err(|e| e.to_string())?.command {
            Command::Capacity(args) => Ok(*args),
            other => panic!("not a capacity: {other:?}"),
        }
    }

    #[test]
    fn a_url_and_an_slo_are_enough() {
        let args = parse(&["http://web/", "--slo", "p99<50ms,failed<0.1%"]).expect("a right command line");
        let goal = args.goal();
        assert_eq!((goal.slo.len(), goal.width, goal.budget), (2, 0.05, Duration::from_secs(300)));
        let config = args.config(10.0, Duration::from_secs(360)).expect("a right test");
        assert_eq!((config.test_type, config.target_throughput_per_s), (TestType::Avalanche, Some(10.0)));
        assert!(config.problems().is_empty(), "{:?}", config.problems());
    }

    #[test]
    fn over_drivers_the_engine_is_not_here() {
        let args =
            parse(&["--orchestrator", "127.0.0.1:7400", "--slo", "p99<50ms,failed<0.1%", "--arrivals", "poisson"]);
        let new = args.expect("a right command line").new_search().expect("a right search");
        assert_eq!((new.slo, new.start_per_s), (vec!["p99<50ms".to_owned(), "failed<0.1%".to_owned()], 100.0));
        assert_eq!((new.config.connections, new.config.target_url), (Some(256), None));
        for engine in [["--cpus", "0"], ["--io", "epoll"]] {
            let line = [&["--orchestrator", "127.0.0.1:7400", "--slo", "p99<50ms"][..], &engine].concat();
            assert!(parse(&line).expect_err("no engine here").contains("cannot be used with"));
        }
    }

    #[test]
    fn what_the_search_decides_is_no_flag() {
        for flag in ["--rate", "--duration", "--requests", "--delay", "--profile", "--total-rate", "--abort-on-fail"] {
            let error = parse(&["http://web/", "--slo", "p99<50ms", flag, "5"]).expect_err(flag);
            assert!(error.contains("unexpected argument"), "{flag}: {error}");
        }
        assert!(parse(&["http://web/"]).expect_err("no SLO").contains("--slo"));
        assert!(parse(&["http://web/", "--slo", "p99<50"]).is_ok(), "a bare number is seconds, as everywhere");
        assert!(parse(&["http://web/", "--slo", "p99<50ms", "--width", "2"]).expect_err("no share").contains("2%"));
    }
}
