//! `onrush doctor`: checks a machine before a test, and says what to do. `onrush health`: whether a node answers.
//!
//! `look` gathers facts at the edge, `judge` turns them into findings (pure), `show` writes them.

mod facts;
mod finding;
mod judge;
mod judge_network;
mod look;
mod show;

use std::process::ExitCode;

use clap::Args;
use clap::builder::BoolishValueParser;
use onrush_api::orchestrator_url;
use url::Url;

use crate::args::{AskArgs, TopicArgs};
use crate::console::Console;
use crate::error::{EXIT_FAILED, Error};
use crate::parse::{self, Cpus};
use finding::Level;

/// Options of `onrush doctor`.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  onrush doctor                                                 this machine, for a usual test
  onrush doctor -c 10k -R 50k --disable-keepalive               for the test that it is to make
  onrush doctor --brokers kafka:9092 --target-url http://web/   and what it is to reach
  onrush doctor --orchestrator http://control:7400              and the clocks of all drivers

Each line says OK, WARN (a test runs, and may measure this machine) or FAIL (it cannot be made like
this), why, and what to do. Nothing is changed.

Exit codes:
  0    no FAIL
  1    a FAIL
  2    the command line is wrong")]
pub struct DoctorArgs {
    /// The connections of a driver on this machine
    #[arg(
        short = 'c', long, value_name = "N", default_value = "64", value_parser = parse::connections,
        env = "ONRUSH_DOCTOR_CONNECTIONS", help_heading = "The test"
    )]
    pub connections: u32,
    /// Its requests per second (10k, 60/m) [default: as many as it can]
    #[arg(
        short = 'R', long, value_name = "RATE", value_parser = parse::rate, env = "ONRUSH_DOCTOR_RATE",
        help_heading = "The test"
    )]
    pub rate: Option<f64>,
    /// A new connection for each request
    #[arg(
        long, value_parser = BoolishValueParser::new(), env = "ONRUSH_DOCTOR_DISABLE_KEEPALIVE",
        help_heading = "The test"
    )]
    pub disable_keepalive: bool,
    /// The CPUs of its engine [default: all that this process may use]
    #[arg(
        long, value_name = "LIST", value_parser = parse::cpus, env = "ONRUSH_DRIVER_CPUS", help_heading = "The test"
    )]
    pub cpus: Option<Cpus>,
    /// Asked for one GET
    #[arg(long, value_name = "URL", value_parser = target_url, env = "ONRUSH_TARGET_URL", help_heading = "What it reaches")]
    pub target_url: Option<Url>,
    /// The Kafka brokers, several with commas. Without it: the embedded broker, where one runs on this machine
    #[arg(long, value_name = "HOST:PORT", env = "ONRUSH_BROKERS", help_heading = "What it reaches")]
    pub brokers: Option<String>,
    /// Asked for the clocks of the drivers
    #[arg(
        long, value_name = "URL", value_parser = orchestrator_url, env = "ONRUSH_ORCHESTRATOR",
        help_heading = "What it reaches"
    )]
    pub orchestrator: Option<Url>,
    /// By what token it is asked.
    #[command(flatten)]
    pub ask: AskArgs,
    /// How to reach Kafka.
    #[command(flatten)]
    pub topics: TopicArgs,
    /// Write JSON
    #[arg(long, value_parser = BoolishValueParser::new(), env = "ONRUSH_DOCTOR_JSON", help_heading = "Result")]
    pub json: bool,
}

/// Options of `onrush health`.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  onrush health http://127.0.0.1:7400/healthz    the orchestrator
  onrush health http://127.0.0.1:8080/metrics    a target; its /ping counts for the test's proof

Exit code 0: it answered 2xx within 5 s. Made for the health checks of containers and services.")]
pub struct HealthArgs {
    /// What to ask by one GET
    #[arg(value_name = "URL", value_parser = target_url, env = "ONRUSH_HEALTH_URL")]
    pub url: Url,
}

/// `onrush doctor`.
pub fn run(args: DoctorArgs, console: &Console) -> Result<ExitCode, Error> {
    let load = facts::Load {
        connections: args.connections.into(),
        rate_per_s: args.rate,
        keepalive: !args.disable_keepalive,
        cpus: args.cpus.clone().map(|cpus| cpus.0),
    };
    args.topics.check()?;
    let facts = look::look(&args)?;
    let findings = judge::judge(&facts, &load);
    let text = if args.json { show::json(&findings)? } else { show::text(&findings, &show::unasked(&facts)) };
    console.result(&text)?;
    let failed = findings.iter().any(|finding| finding.level == Level::Fail);
    Ok(ExitCode::from(if failed { EXIT_FAILED } else { 0 }))
}

/// `onrush health`.
pub fn health(args: HealthArgs) -> Result<ExitCode, Error> {
    match look::get(&args.url) {
        Ok((200..=299, _)) => Ok(ExitCode::SUCCESS),
        Ok((status, _)) => Err(Error::Failed(format!("{} answers {status}", args.url))),
        Err(problem) => Err(Error::Failed(format!("{} does not answer: {problem}", args.url))),
    }
}

/// A URL that can be loaded.
fn target_url(text: &str) -> Result<Url, String> {
    let url = Url::parse(text.trim()).ok().filter(|url| url.scheme() == "http" && url.has_host());
    url.ok_or_else(|| {
        format!("{text:?} is not an http URL, which is all that can be asked here; write http://HOST:PORT/PATH")
    })
}
