//! The command line of `onrush test`, and the test that it asks for.

use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use clap::builder::{BoolishValueParser, RangedU64ValueParser};
use clap::{ArgGroup, Args, Subcommand};
use onrush_api::{NewLoad, NewTest, orchestrator_url};
use onrush_protocol::{Profile, human};
use url::Url;

use crate::args::AskArgs;
use crate::error::Error;
use crate::request::{OptionArgs, TypeArg};
use crate::result::{OutputFormat, ResultArgs};

/// The orchestrator lists no more tests at once.
pub const MAX_LISTED: usize = 500;

/// Options of `onrush test`.
#[derive(Debug, Args)]
#[command(after_long_help = "\
A TEST is named by its id, or by as many of its first characters as make it unique.

Exit codes:
  0    done, and the result is exact or unproved
  1    it did not work, or the test failed, was stopped, is incomplete or invalid
  2    the command line is wrong
  99   the result is sound, and a threshold is not kept or stopped the test")]
pub struct TestArgs {
    /// Where the orchestrator is
    #[arg(
        long, global = true, value_name = "URL", default_value = "http://127.0.0.1:7400",
        value_parser = orchestrator_url, env = "ONRUSH_ORCHESTRATOR", help_heading = "Orchestrator"
    )]
    pub orchestrator: Url,
    /// By what token it is asked.
    #[command(flatten)]
    pub ask: AskArgs,
    /// What to do.
    #[command(subcommand)]
    pub command: TestCommand,
}

/// What to do with tests.
#[derive(Debug, Subcommand)]
pub enum TestCommand {
    /// Start a test and follow it to its end
    Start(Box<StartArgs>),
    /// List the tests, the newest first
    List(ListArgs),
    /// Show a test: its settings, its numbers, its proof and what happened
    Show(ShowArgs),
    /// Start a test that was made with --no-trigger
    Trigger(NamedArgs),
    /// Change the load of a running test, on all drivers at the same second
    Set(SetArgs),
    /// Stop a test, or all; what was measured so far is kept
    Stop(StopArgs),
    /// Delete tests that are over, and everything that was measured in them
    Delete(DeleteArgs),
    /// Follow a running test to its end
    Watch(ShowArgs),
    /// Write everything of a test to one file, which `onrush verify` can prove
    Export(ExportArgs),
    /// Give the orchestrator a run that was exported elsewhere, which it verifies first
    Import(ImportArgs),
    /// Write a test's report to one HTML file, which needs no network
    Report(ReportArgs),
}

/// Options of `onrush test start`.
#[derive(Debug, Args)]
#[command(
    group = ArgGroup::new("amount").args(["message_count_per_driver", "duration", "profile"]).multiple(true).required(true),
    after_long_help = "\
Examples:
  An Avalanche, as fast as 64 connections per driver go:
    onrush test start http://127.0.0.1:8080/ping -n 100k
  A Tsunami, a request every 2 ms on each driver, whatever the answers do:
    onrush test start http://web:8080/ -n 1000 --delay 2ms
  5,000 requests per second and driver for 30 seconds, with limits that a build can rely on:
    onrush test start http://web:8080/ -d 30s -R 5k --threshold 'p99<200ms,failed<0.1%'
  A ramp, a peak and what comes after it, over all drivers together:
    onrush test start http://web:8080/ --profile 'total: 1m@1k..10k, 30s@40k, 1m@1k'
  The same, stopped as soon as ten seconds of it are too slow, but not within the first five:
    onrush test start http://web:8080/ -d 5m -R 5k --threshold 'p99<200ms over 10s' --abort-on-fail=5s
  A body, and the result as a file:
    onrush test start http://web:8080/login -n 1k -m POST -H 'Content-Type: application/json' \\
        --body '{\"a\":1}' -o result.json --output-format json

Ctrl-C stops the test and shows what it measured so far.

Exit codes:
  0    the test completed, and its result is exact or unproved
  1    the test was refused, failed or stopped, or its result is incomplete or invalid
  2    the command line is wrong
  99   the result is sound, and a --threshold is not kept or stopped the test")]
pub struct StartArgs {
    /// Where the requests go [default: each driver's own --target-url]
    #[arg(env = "ONRUSH_TEST_URL")]
    url: Option<String>,

    /// How requests are spaced [default: tsunami with --delay, else avalanche]
    #[arg(long = "type", value_enum, env = "ONRUSH_TEST_TYPE", help_heading = "Load")]
    test_type: Option<TypeArg>,
    /// The options of the test.
    #[command(flatten)]
    options: OptionArgs<false>,

    /// A label for people
    #[arg(long, env = "ONRUSH_TEST_NAME")]
    name: Option<String>,
    /// Only make the test and print its id; `onrush test trigger` starts it
    #[arg(
        long, value_parser = BoolishValueParser::new(), conflicts_with = "no_wait", env = "ONRUSH_TEST_NO_TRIGGER"
    )]
    pub no_trigger: bool,
    /// Start the test and print its id, without following it
    #[arg(long, value_parser = BoolishValueParser::new(), env = "ONRUSH_TEST_NO_WAIT")]
    pub no_wait: bool,

    /// What becomes of the result.
    #[command(flatten)]
    pub result: ResultArgs,
}

/// Options of `onrush test list`.
#[derive(Debug, Args)]
pub struct ListArgs {
    /// How the list looks
    #[arg(long, value_enum, default_value = "text", env = "ONRUSH_OUTPUT_FORMAT")]
    pub output_format: OutputFormat,
    /// At most so many tests
    #[arg(
        short = 'l', long, value_name = "N", default_value_t = 50, env = "ONRUSH_LIST_LIMIT",
        value_parser = RangedU64ValueParser::<usize>::new().range(1..=MAX_LISTED as u64)
    )]
    pub limit: usize,
    /// Only tests whose name has this in it, in whatever case
    #[arg(long, value_name = "PART", env = "ONRUSH_LIST_NAME")]
    pub name: Option<String>,
    /// Only tests in this state (running, completed, stopped, failed, configured, armed)
    #[arg(long, env = "ONRUSH_LIST_STATE")]
    pub state: Option<String>,
}

/// Options of `onrush test show` and `watch`.
#[derive(Debug, Args)]
pub struct ShowArgs {
    /// The test's id, or the start of it [default: the newest test]
    #[arg(value_name = "TEST")]
    pub test_id: Option<String>,
    /// What becomes of the result.
    #[command(flatten)]
    pub result: ResultArgs,
}

/// Options of `onrush test stop`.
#[derive(Debug, Args)]
pub struct StopArgs {
    /// The test's id, or the start of it
    #[arg(value_name = "TEST", required_unless_present = "all", conflicts_with = "all")]
    pub test_id: Option<String>,
    /// Everything: open tests, and what drivers run though nobody here knows of it
    #[arg(long, env = "ONRUSH_TEST_STOP_ALL", value_parser = BoolishValueParser::new())]
    pub all: bool,
}

/// Options of `onrush test delete`.
#[derive(Debug, Args)]
pub struct DeleteArgs {
    /// The tests' ids, or the start of each
    #[arg(value_name = "TEST", required = true)]
    pub test_ids: Vec<String>,
}

/// Options of `onrush test set`.
#[derive(Debug, Args)]
#[command(
    group = ArgGroup::new("change").args(["rate", "profile", "pause", "resume"]).required(true),
    after_long_help = "\
Examples:
  Twice as much, on a test with 1,000 requests per second and driver:
    onrush test set 20261127 -R 2k
  Another end, from 10 seconds from now on:
    onrush test set 20261127 --profile '1m@2k..5k, 30s@5k' --in 10s

A change takes effect at a whole second of the run, the same on all drivers; `onrush test show` names it."
)]
pub struct SetArgs {
    /// The test's id, or the start of it [default: the newest test]
    #[arg(value_name = "TEST")]
    pub test_id: Option<String>,
    /// Another rate for the rest of the test: per driver, or in total where the test was started so (500, 10k, 60/m)
    #[arg(short = 'R', long, value_name = "RATE", value_parser = human::rate, env = "ONRUSH_TEST_SET_RATE")]
    pub rate: Option<f64>,
    /// Another profile in place of the rest (30s@1k, 1m@1k..10k, 10s@max, 5s@pause); the test ends with it
    #[arg(long, value_name = "PHASES", value_parser = Profile::from_str, env = "ONRUSH_TEST_SET_PROFILE")]
    pub profile: Option<Profile>,
    /// Send nothing until the load is resumed; time goes on
    #[arg(long, env = "ONRUSH_TEST_SET_PAUSE", value_parser = BoolishValueParser::new())]
    pub pause: bool,
    /// Send again what was asked for before the pause
    #[arg(long, env = "ONRUSH_TEST_SET_RESUME", value_parser = BoolishValueParser::new())]
    pub resume: bool,
    /// How soon: at the first whole second of the run that begins no sooner [default: 3s]
    #[arg(long = "in", value_name = "DURATION", value_parser = human::duration, env = "ONRUSH_TEST_SET_IN")]
    pub effective_in: Option<Duration>,
}

impl SetArgs {
    /// The change that the command line asks for.
    pub fn change(&self) -> NewLoad {
        let Self { test_id: _, rate, profile, pause, resume, effective_in } = self;
        NewLoad {
            rate_per_s: *rate,
            profile: profile.clone(),
            pause: *pause,
            resume: *resume,
            effective_in: *effective_in,
        }
    }
}

/// Options of `onrush test export`.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  onrush test export                      the newest test, as TEST.onrush
  onrush test export 20261127 -o run.onrush
  onrush verify run.onrush                anywhere: recomputes everything in it

The file has the settings (without private keys; headers and bodies as they were), every report of every driver with its
histograms, the seconds, the events and the proof.")]
pub struct ExportArgs {
    /// The test's id, or the start of it [default: the newest test]
    #[arg(value_name = "TEST")]
    pub test_id: Option<String>,
    /// Where the file goes [default: TEST.onrush in this folder]
    #[arg(short, long, value_name = "FILE", env = "ONRUSH_OUTPUT")]
    pub output: Option<PathBuf>,
}

/// Options of `onrush test import`.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  onrush test export 20261127 -o run.onrush                     from one orchestrator
  onrush test import run.onrush --orchestrator http://other:7400    to another

The orchestrator recomputes everything in the file before it takes it. It refuses a run that differs from what its reports add up
to, and one that it has already.")]
pub struct ImportArgs {
    /// The file of `onrush test export`
    #[arg(value_name = "FILE", env = "ONRUSH_IMPORT_FILE")]
    pub file: PathBuf,
}

/// Options of `onrush test report`.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  onrush test report                      the newest test, as TEST.html
  onrush test report 20261127 -o report.html

The file has the verdict, the figures, the charts, all settings (the values of secret headers hidden), the machines, the events and the
checks, reads well on a screen and on paper, and loads nothing.")]
pub struct ReportArgs {
    /// The test's id, or the start of it [default: the newest test]
    #[arg(value_name = "TEST")]
    pub test_id: Option<String>,
    /// Where the file goes [default: TEST.html in this folder]
    #[arg(short, long, value_name = "FILE", env = "ONRUSH_OUTPUT")]
    pub output: Option<PathBuf>,
}

/// Options of `onrush test trigger`.
#[derive(Debug, Args)]
pub struct NamedArgs {
    /// The test's id, or the start of it
    #[arg(value_name = "TEST")]
    pub test_id: String,
}

impl StartArgs {
    /// The request for the test that the command line asks for.
    pub fn new_test(&self) -> Result<NewTest, Error> {
        let mut config = self.options.test(self.test_type, self.url.as_deref())?;
        config.thresholds.clone_from(&self.result.thresholds);
        Ok(NewTest { config, name: self.name.clone(), trigger: !self.no_trigger })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use clap::Parser;
    use onrush_protocol::{TestConfig, TestId, TestType};

    use super::*;
    use crate::cli::{Cli, Command};

    fn parse_start(args: &[&str]) -> Result<StartArgs, clap::Error> {
        let line = ["onrush", "test", "start"].iter().chain(args);
        match Cli::try_parse_from(line)?.command {
            Command::Test(TestArgs { command: TestCommand::Start(args), .. }) => Ok(*args),
            other => panic!("not a start: {other:?}"),
        }
    }

    fn asked_for(args: &[&str]) -> NewTest {
        parse_start(args).expect("a right command line").new_test().expect("a right test")
    }

    fn test(test_type: TestType) -> TestConfig {
        TestConfig::new(TestId::new("new").expect("a name"), test_type)
    }

    #[test]
    fn a_short_command_line_is_an_avalanche() {
        let config = TestConfig {
            target_url: Some("127.0.0.1:8080/ping".into()),
            count_per_driver: Some(10_000),
            ..test(TestType::Avalanche)
        };
        let expected = NewTest { config, name: None, trigger: true };
        assert_eq!(asked_for(&["127.0.0.1:8080/ping", "-n", "10k"]), expected);
    }

    #[test]
    fn every_flag_reaches_the_request() {
        let line = "http://h/ -n 1M -d 1m -R 2k --delay 250us -c 10 -m POST --body x --timeout 1s --think-time 2s \
            --connect-timeout 500ms --disable-keepalive --name night --no-trigger --expect status=2xx -k";
        let mut args: Vec<&str> = line.split_whitespace().collect();
        args.extend(["-H", "A: b, c", "-H", "D: e"]);
        let config = TestConfig {
            target_url: Some("http://h/".into()),
            method: "POST".into(),
            headers: vec![("A".into(), "b, c".into()), ("D".into(), "e".into())],
            body: Some("x".into()),
            expect: vec!["status=200-299".parse().expect("a check")],
            tls_insecure: true,
            count_per_driver: Some(1_000_000),
            duration: Some(Duration::from_secs(60)),
            delay: Duration::from_micros(250),
            target_throughput_per_s: Some(2_000.0),
            connections: Some(10),
            timeout: Duration::from_secs(1),
            think_time: Duration::from_secs(2),
            connect_timeout: Duration::from_millis(500),
            keepalive: false,
            ..test(TestType::Tsunami)
        };
        assert_eq!(asked_for(&args), NewTest { config, name: Some("night".into()), trigger: false });
    }

    #[test]
    fn what_contradicts_itself_is_refused() {
        let refused = |args: &[&str]| {
            parse_start(args).map_err(|e| e.to_string()).and_then(|args| args.new_test().map_err(|e| e.to_string()))
        };
        let cases: [(&[&str], &str); 6] = [
            (&["http://h/"], "--requests"),
            (&["http://h/", "-n", "1", "--type", "tsunami"], "--delay"),
            (&["http://h/", "-n", "1", "--type", "avalanche", "--delay", "1ms"], "--rate"),
            (&["http://h/", "-n", "1", "--body", "x", "--body-file", "y"], "--body-file"),
            (&["http://h/", "-n", "1", "--no-trigger", "--no-wait"], "--no-wait"),
            (&["http://h/", "-n", "1", "--body-file", "/nowhere/body"], "/nowhere/body"),
        ];
        for (args, expected) in cases {
            assert!(refused(args).is_err_and(|e| e.contains(expected)), "{args:?}");
        }
    }

    #[test]
    fn thresholds_may_stand_in_one_variable_or_in_many_flags() {
        let args = parse_start(&["u", "-n", "1", "--threshold", "p99<1s,failed<1%", "--threshold", "rate>1"]);
        let test = args.expect("a right command line").new_test().expect("a right test");
        assert_eq!(test.config.thresholds.len(), 3, "they are a part of the test");
    }

    #[test]
    fn a_test_may_end_by_a_threshold_at_once_or_later() {
        let after_s = |flag: &str| {
            let args = ["u", "-n", "1", "--threshold", "p99<1s over 2s", flag];
            asked_for(&args).config.abort_on_fail.map(|after| after.as_secs_f64())
        };
        assert_eq!(["--abort-on-fail", "--abort-on-fail=5s", "--no-wait"].map(after_s), [Some(0.0), Some(5.0), None]);
        assert!(parse_start(&["-n", "1", "--abort-on-fail", "http://h/"]).is_ok(), "the URL is no delay");
        assert!(parse_start(&["u", "-n", "1", "--abort-on-fail=soon"]).is_err_and(|e| e.to_string().contains("5s")));
    }

    #[test]
    fn a_body_comes_from_a_file_as_it_is() {
        let folder = tempfile::tempdir().expect("a folder for the test");
        let path = folder.path().join("body");
        std::fs::write(&path, [0u8, 255]).expect("the folder can be written");
        let path = path.to_string_lossy();
        assert_eq!(asked_for(&["u", "-n", "1", "--body-file", &path]).config.body, Some(vec![0, 255]));
    }
}
