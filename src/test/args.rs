//! The command line of `onrush test`, and the test that it asks for.

use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use clap::builder::{BoolishValueParser, RangedU64ValueParser};
use clap::{ArgGroup, Args, Subcommand};
use onrush_api::{NewTest, orchestrator_url};
use onrush_protocol::{TestConfig, TestId};
use url::Url;

use crate::error::Error;
use crate::parse::{self, duration};
use crate::request::{RequestArgs, TypeArg, test_type};
use crate::result::{OutputFormat, ResultArgs};

/// The orchestrator lists no more tests at once.
pub const MAX_LISTED: usize = 500;

/// Options of `onrush test`.
#[derive(Debug, Args)]
#[command(after_long_help = "\
A TEST is named by its id, or by as many of its first characters as make it unique.

Exit codes:
  0    done, and the result is sound
  1    it did not work, or the test failed, was stopped, is incomplete or invalid
  2    the command line is wrong
  99   the result is sound, and a --threshold is not kept")]
pub struct TestArgs {
    /// Where the orchestrator is
    #[arg(
        long, global = true, value_name = "URL", default_value = "http://127.0.0.1:7400",
        value_parser = orchestrator_url, env = "ONRUSH_ORCHESTRATOR", help_heading = "Orchestrator"
    )]
    pub orchestrator: Url,
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
    /// Stop a test, or all; what was measured so far is kept
    Stop(StopArgs),
    /// Follow a running test to its end
    Watch(ShowArgs),
}

/// Options of `onrush test start`.
#[derive(Debug, Args)]
#[command(
    group = ArgGroup::new("amount").args(["requests", "duration"]).multiple(true).required(true),
    after_long_help = "\
Examples:
  An Avalanche, as fast as 64 connections per driver go:
    onrush test start http://127.0.0.1:8080/ping -n 100k
  A Tsunami, a request every 2 ms on each driver, whatever the answers do:
    onrush test start http://web:8080/ -n 1000 --delay 2ms
  5,000 requests per second and driver for 30 seconds, with limits that a build can rely on:
    onrush test start http://web:8080/ -d 30s -R 5k --threshold 'p99<200ms,failed<0.1%'
  A body, and the result as a file:
    onrush test start http://web:8080/login -n 1k -m POST -H 'Content-Type: application/json' \\
        --body '{\"a\":1}' -o result.json --output-format json

Ctrl-C stops the test and shows what it measured so far.

Exit codes:
  0    the test completed, and its result is complete and valid
  1    the test was refused, failed or stopped, or its result is incomplete or invalid
  2    the command line is wrong
  99   the result is sound, and a --threshold is not kept")]
pub struct StartArgs {
    /// Where the requests go [default: each driver's own --target-url]
    #[arg(env = "ONRUSH_TEST_URL")]
    url: Option<String>,

    /// How requests are spaced [default: tsunami with --delay, else avalanche]
    #[arg(long = "type", value_enum, env = "ONRUSH_TEST_TYPE", help_heading = "Load")]
    test_type: Option<TypeArg>,
    /// Exactly so many requests per driver (suffixes k, M)
    #[arg(
        short = 'n', long, value_name = "N", value_parser = parse::count,
        env = "ONRUSH_TEST_REQUESTS", help_heading = "Load"
    )]
    requests: Option<u64>,
    /// Send no request after this time (10s, 5m)
    #[arg(short, long, value_parser = duration, env = "ONRUSH_TEST_DURATION", help_heading = "Load")]
    duration: Option<Duration>,
    /// At most so many requests per second and driver (suffixes k, M), or so many in a time (60/m, 1/h)
    #[arg(
        short = 'R', long, value_name = "RATE", value_parser = parse::rate,
        env = "ONRUSH_TEST_RATE", help_heading = "Load"
    )]
    rate: Option<f64>,
    /// Tsunami: the time between two requests of a driver (2ms, 250us)
    #[arg(long, value_name = "DURATION", value_parser = duration, env = "ONRUSH_TEST_DELAY", help_heading = "Load")]
    delay: Option<Duration>,
    /// Connections per driver (suffix k) [default: 64 for avalanche, 256 for tsunami]
    #[arg(
        short, long, value_name = "N", value_parser = parse::connections,
        env = "ONRUSH_TEST_CONNECTIONS", help_heading = "Load"
    )]
    connections: Option<u32>,

    /// What is sent.
    #[command(flatten)]
    request: RequestArgs,

    /// A label for people
    #[arg(long, env = "ONRUSH_TEST_NAME")]
    name: Option<String>,
    /// Only make the test and print its id; `onrush test trigger` starts it
    #[arg(
        long, value_parser = BoolishValueParser::new(), conflicts_with_all = ["no_wait", "thresholds"],
        env = "ONRUSH_TEST_NO_TRIGGER"
    )]
    pub no_trigger: bool,
    /// Start the test and print its id, without following it
    #[arg(long, value_parser = BoolishValueParser::new(), conflicts_with = "thresholds", env = "ONRUSH_TEST_NO_WAIT")]
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
        let test_type = test_type(self.test_type, self.delay, self.rate)?;
        // What the shared flags amount to; where one is left out the orchestrator's default holds.
        let mut asked = TestConfig::new(TestId::new("new").expect("a word is a name"), test_type);
        asked.target_url.clone_from(&self.url);
        // Each driver may have a URL of its own.
        self.request.apply(&mut asked, false)?;
        let RequestArgs { method, body, body_file, timeout, connect_timeout, disable_keepalive, order, seed, .. } =
            &self.request;
        let bytes = asked.body.as_deref().filter(|_| body_file.is_some());
        let seconds = |value: Option<Duration>| value.map(|value| value.as_secs_f64());
        Ok(NewTest {
            test_type: test_type.name().into(),
            target_url: asked.target_url,
            method: method.clone(),
            headers: asked.headers,
            body: body.clone(),
            body_base64: bytes.map(|bytes| BASE64_STANDARD.encode(bytes)),
            expect: asked.expect.iter().map(ToString::to_string).collect(),
            targets: asked.requests,
            order: order.map(|order| order.name().into()),
            seed: *seed,
            tls_insecure: asked.tls_insecure.then_some(true),
            tls_ca_pem: asked.tls_ca_pem,
            tls_cert_pem: asked.tls_cert_pem,
            tls_key_pem: asked.tls_key_pem,
            message_count_per_driver: self.requests,
            duration: seconds(self.duration),
            test_message_delay: seconds(self.delay),
            target_throughput: self.rate,
            connections: self.connections,
            timeout: seconds(*timeout),
            connect_timeout: seconds(*connect_timeout),
            keepalive: disable_keepalive.then_some(false),
            resend: (!asked.resend).then_some(false),
            connect_to: asked.connect_to.iter().map(ToString::to_string).collect(),
            unix_socket: asked.unix_socket,
            name: self.name.clone(),
            trigger: !self.no_trigger,
        })
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

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

    #[test]
    fn a_short_command_line_is_an_avalanche() {
        let expected = NewTest {
            test_type: "AVALANCHE".into(),
            target_url: Some("127.0.0.1:8080/ping".into()),
            message_count_per_driver: Some(10_000),
            trigger: true,
            ..NewTest::default()
        };
        assert_eq!(asked_for(&["127.0.0.1:8080/ping", "-n", "10k"]), expected);
    }

    #[test]
    fn every_flag_reaches_the_request() {
        let line = "http://h/ -n 1M -d 1m -R 2k --delay 250us -c 10 -m POST --body x --timeout 1s \
            --connect-timeout 500ms --disable-keepalive --name night --no-trigger --expect status=2xx -k";
        let mut args: Vec<&str> = line.split_whitespace().collect();
        args.extend(["-H", "A: b, c", "-H", "D: e"]);
        let expected = NewTest {
            test_type: "TSUNAMI".into(),
            target_url: Some("http://h/".into()),
            method: Some("POST".into()),
            headers: vec![("A".into(), "b, c".into()), ("D".into(), "e".into())],
            body: Some("x".into()),
            expect: vec!["status=200-299".into()],
            tls_insecure: Some(true),
            message_count_per_driver: Some(1_000_000),
            duration: Some(60.0),
            test_message_delay: Some(0.00025),
            target_throughput: Some(2_000.0),
            connections: Some(10),
            timeout: Some(1.0),
            connect_timeout: Some(0.5),
            keepalive: Some(false),
            name: Some("night".into()),
            trigger: false,
            ..NewTest::default()
        };
        assert_eq!(asked_for(&args), expected);
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
        assert_eq!(args.expect("a right command line").result.thresholds.len(), 3);
    }

    #[test]
    fn a_body_from_a_file_travels_as_base64() {
        let folder = tempfile::tempdir().expect("a folder for the test");
        let path = folder.path().join("body");
        std::fs::write(&path, [0u8, 255]).expect("the folder can be written");
        let path = path.to_string_lossy();
        assert_eq!(asked_for(&["u", "-n", "1", "--body-file", &path]).body_base64.as_deref(), Some("AP8="));
    }
}
