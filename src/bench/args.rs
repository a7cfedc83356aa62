//! The command line of `onrush bench`, and the test that it asks for. Pure, but for reading the body's file.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};
use onrush_protocol::TestConfig;

use crate::args::EngineArgs;
use crate::error::Error;
use crate::parse::{self, Cpus};
use crate::request::{OptionArgs, TypeArg};
use crate::threshold::{self, Threshold};

/// How long it loads where neither a duration nor a number of requests is given.
const DEFAULT_DURATION: Duration = Duration::from_secs(10);
/// Connections where none are given: the same for both types, as the flag's help says.
pub const DEFAULT_CONNECTIONS: u32 = 64;

/// Options of `onrush bench`.
#[derive(Clone, Debug, Args)]
#[command(after_long_help = "\
Examples:
  As fast as 64 connections go, for ten seconds:
    onrush bench http://127.0.0.1:8080/ping
  Exactly 100,000 requests over 128 connections:
    onrush bench http://127.0.0.1:8080/ping -n 100k -c 128
  2,000 requests a second, whatever the answers do. Latency counts from the moment a request was due,
  so a server that stands still shows; give as many connections as requests overlap (rate x latency):
    onrush bench http://web:8080/ --type tsunami -R 2k -d 30s -c 256
  A build that fails on a slow server, with the result as a file:
    onrush bench http://web:8080/ -R 500 --threshold 'p99<200ms,failed<=0' -o result.json --output-format json
  The same with charts, for whoever asks:
    onrush bench http://web:8080/ -R 500 --report report.html
  Every second's distributions, for the tools of HdrHistogram:
    onrush bench http://web:8080/ -d 1m --hdr run.hlog
    (HistogramLogProcessor -i run.hlog shows latency; -tag service_time and -tag schedule_error the others)
  Several requests, and what their answers must be like:
    onrush bench --targets requests.jsonl --expect status=2xx
    (a line: {\"url\": \"http://web:8080/login\", \"method\": \"POST\", \"body\": \"x\", \"weight\": 3, \"expect\": [\"json:/ok=true\"]})
  On CPUs of its own, on time to the microsecond:
    onrush bench http://web:8080/ --cpus 2-3 -R 10k

It is the engine of `onrush driver`, with the same recorder; no Kafka, orchestrator or other machine is needed.
Ctrl-C ends it early and shows what was measured; a second Ctrl-C leaves at once.

Exit codes:
  0    it ran to its end, and a response came that passed its checks
  1    it could not start, no such response came, it was stopped, or its counts do not add up
  2    the command line is wrong
  99   the result is sound, and a --threshold is not kept
  130  ended by Ctrl-C before it started, or by a second one")]
pub struct BenchArgs {
    /// Where the requests go
    #[arg(env = "ONRUSH_BENCH_URL", required_unless_present = "targets")]
    url: Option<String>,

    /// How requests are spaced [default: tsunami with --delay, else avalanche]
    #[arg(long = "type", value_enum, env = "ONRUSH_BENCH_TYPE", help_heading = "Load")]
    test_type: Option<TypeArg>,
    /// The options of the test.
    #[command(flatten)]
    options: OptionArgs<true>,

    /// The CPUs that make the load, one thread on each [default: all that this process may use]
    #[arg(long, value_name = "LIST", value_parser = parse::cpus, env = "ONRUSH_BENCH_CPUS", help_heading = "Engine")]
    pub cpus: Option<Cpus>,
    /// How the load is made.
    #[command(flatten)]
    pub engine: EngineArgs,

    /// How the result looks
    #[arg(long, value_enum, default_value = "text", env = "ONRUSH_BENCH_OUTPUT_FORMAT", help_heading = "Result")]
    pub output_format: BenchFormat,
    /// Write the result to this file in the --output-format; the terminal still gets the table
    #[arg(short, long, value_name = "FILE", env = "ONRUSH_BENCH_OUTPUT", help_heading = "Result")]
    pub output: Option<PathBuf>,
    /// Write the distributions of every second to this file, in HdrHistogram's interval log format
    #[arg(long, value_name = "FILE", env = "ONRUSH_BENCH_HDR", help_heading = "Result")]
    pub hdr: Option<PathBuf>,
    /// Write the result with its charts to this HTML file, which needs no network
    #[arg(long, value_name = "FILE", env = "ONRUSH_BENCH_REPORT", help_heading = "Result")]
    pub report: Option<PathBuf>,
    /// What the result must keep, else the exit code is 99; repeatable. For instance 'p99<200ms' (99 % of what was due got
    /// its response within 200 ms), 'failed<1%', 'rate>=10k', 'p99<200ms over 10s' (in any ten seconds of it); metrics:
    /// mean, median, p50, p90, p95, p99, p99.9, min, max (with response_ in front: over the responses alone; with service_
    /// or schedule_error_: of those times), failed, skipped, dropped, rate; {NAME} behind it looks at
    /// the requests of one name ('p99{login}<200ms')
    #[arg(
        long = "threshold", value_name = "METRIC<LIMIT", value_parser = threshold::parse, value_delimiter = ',',
        env = "ONRUSH_BENCH_THRESHOLD", help_heading = "Result"
    )]
    pub thresholds: Vec<Threshold>,
}

/// How a result looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum BenchFormat {
    /// A table for people.
    Text,
    /// One object with everything, each second included.
    Json,
    /// A line for each second.
    Csv,
    /// JUnit XML for CI systems: a test case for each threshold and each check.
    Junit,
    /// A summary for a pull request.
    Markdown,
}

impl BenchArgs {
    /// The test that the command line asks for, as a driver would get it.
    pub fn config(&self) -> Result<TestConfig, Error> {
        let mut config = self.options.test(self.test_type, self.url.as_deref())?;
        config.connections.get_or_insert(DEFAULT_CONNECTIONS);
        config.thresholds.clone_from(&self.thresholds);
        if config.count_per_driver.is_none() && config.profile.is_none() {
            config.duration.get_or_insert(DEFAULT_DURATION);
        }
        Ok(config)
    }
}
