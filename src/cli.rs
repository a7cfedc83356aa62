//! What can be asked for on the command line. Every flag can also be given by an environment variable.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::builder::{BoolishValueParser, RangedU64ValueParser};
use clap::{Args, Parser, Subcommand};
use onrush_target::{Delay, Stall};

use crate::ab::AbArgs;
use crate::args::{EngineArgs, IoArg, TopicArgs};
use crate::bench::BenchArgs;
use crate::capacity::CapacityArgs;
use crate::compare::CompareArgs;
use crate::doctor::{DoctorArgs, HealthArgs};
use crate::logging::LogFormat;
use crate::parse::{self, Cpus};
use crate::sweep::SweepArgs;
use crate::test_command::TestArgs;
use crate::token::TokenArgs;
use crate::verify::VerifyArgs;

const EXAMPLES: &str = "\
Examples:
  onrush demo                                 all of it at work on this machine, in a minute

  onrush bench http://web:8080/ -d 30s        one machine loads a web server, nothing else needed
  onrush capacity http://web:8080/ --slo 'p99<50ms'   how much it takes
  onrush ab http://old:8080/ http://new:8080/         which of two is faster
  onrush compare before.json after.json               two results of bench, or of tests

  onrush orchestrator --brokers kafka:9092    once; dashboard on http://127.0.0.1:7400
  onrush driver --brokers kafka:9092          on each machine that makes load
  onrush test start http://web:8080/ -n 10k   from where the orchestrator can be reached

  onrush orchestrator --brokers embedded      the same on one machine, without Kafka:
  onrush driver                               drivers there find the embedded broker

Every flag can be given by its environment variable instead; the flag wins.

Exit codes:
  0    done, and the result is exact or unproved
  1    it did not work, or a test failed, was stopped, is incomplete or invalid
  2    the command line is wrong
  99   the test is sound, and a --threshold is not kept, or a --gate is proven to be broken
  130  ended by Ctrl-C";

/// A distributed HTTP load tester whose results can be proved.
///
/// One orchestrator and 2 to 8 drivers meet on Kafka topics. The drivers load a web server together, the
/// orchestrator merges what they measured second by second, and every result carries the proof that nothing was lost.
#[derive(Debug, Parser)]
#[command(name = "onrush", version, arg_required_else_help = true, after_long_help = EXAMPLES)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
    /// How log lines look; RUST_LOG sets what is logged (error, warn, info, debug)
    #[arg(long, global = true, value_enum, default_value = "text", env = "ONRUSH_LOG_FORMAT", help_heading = "Log")]
    pub log_format: LogFormat,
    /// The result and errors alone: no progress, no notes, no warnings
    #[arg(short, long, global = true, value_parser = BoolishValueParser::new(), env = "ONRUSH_QUIET", help_heading = "Log")]
    pub quiet: bool,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run everything on this machine: broker, orchestrator, drivers, target and two tests
    Demo(DemoArgs),
    /// Start, list, show, watch and stop tests
    Test(TestArgs),
    /// Run the orchestrator: it controls tests, merges and stores what the drivers measure
    Orchestrator(OrchestratorArgs),
    /// Make tokens for those who may use an orchestrator
    Token(TokenArgs),
    /// Run a driver: it makes the load
    Driver(DriverArgs),
    /// Run the sample web server: something to load
    Target(TargetArgs),
    /// Load a web server from this machine alone, without Kafka
    Bench(Box<BenchArgs>),
    /// Find the highest rate at which a web server keeps a limit on its latency, from this machine alone
    Capacity(Box<CapacityArgs>),
    /// Measure the latency of a web server at rates that rise in steps, from this machine alone
    Sweep(Box<SweepArgs>),
    /// Compare two results: how large the differences are, and which are proven
    Compare(CompareArgs),
    /// Load two web servers in turn from this machine alone, and compare them
    Ab(Box<AbArgs>),
    /// Recompute an exported run from its raw seconds, and say whether its result is true
    Verify(VerifyArgs),
    /// Check this machine before a test, and say what to do
    Doctor(DoctorArgs),
    /// Ask whether a node answers, for health checks
    Health(HealthArgs),
}

/// Options of `onrush orchestrator`.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  onrush orchestrator --brokers kafka1:9092,kafka2:9092 --store /var/lib/onrush/onrush.db
  onrush orchestrator --brokers embedded      all nodes on this machine, no Kafka needed
  onrush orchestrator --brokers kafka:9092 --kafka-option broker.address.family=v4
  onrush orchestrator --brokers kafka:9092 --listen 0.0.0.0:7400 --token-file /etc/onrush/tokens

Tests and results are in the --store file: an orchestrator that is killed and started again goes on
where it was. Open http://127.0.0.1:7400 in a browser, or use `onrush test`.")]
pub struct OrchestratorArgs {
    /// The Kafka brokers, several with commas; `embedded`: a broker within this process, for nodes on this
    /// machine. Without it: the embedded broker that is running on this machine
    #[arg(long, value_name = "HOST:PORT|embedded", env = "ONRUSH_BROKERS", help_heading = "Kafka")]
    pub brokers: Option<String>,
    /// How to reach Kafka.
    #[command(flatten)]
    pub topics: TopicArgs,
    /// Where the REST interface and the dashboard listen; port 0: a free one
    #[arg(
        long,
        value_name = "ADDRESS",
        default_value = "127.0.0.1:7400",
        env = "ONRUSH_ORCHESTRATOR_LISTEN",
        help_heading = "Orchestrator"
    )]
    pub listen: SocketAddr,
    /// The file that keeps tests and results (SQLite)
    #[arg(long, value_name = "FILE", default_value = "onrush.db", env = "ONRUSH_STORE", help_heading = "Orchestrator")]
    pub store: PathBuf,
    /// A test needs at least this many drivers
    #[arg(
        long, value_name = "N", default_value_t = 2, value_parser = drivers,
        env = "ONRUSH_MIN_DRIVERS", help_heading = "Orchestrator"
    )]
    pub min_drivers: usize,
    /// One driver more is shown as rejected and takes no part
    #[arg(
        long, value_name = "N", default_value_t = 8, value_parser = drivers,
        env = "ONRUSH_MAX_DRIVERS", help_heading = "Orchestrator"
    )]
    pub max_drivers: usize,
    /// Delete tests that ended longer ago than this (90d, 12h, 2w) [default: all are kept]
    #[arg(long, value_name = "AGE", value_parser = parse::age, env = "ONRUSH_KEEP", help_heading = "Orchestrator")]
    pub keep: Option<Duration>,
    /// Keep so many tests that are over, the newest, and delete the others [default: all are kept]
    #[arg(
        long, value_name = "N", value_parser = RangedU64ValueParser::<u64>::new().range(1..), env = "ONRUSH_KEEP_TESTS",
        help_heading = "Orchestrator"
    )]
    pub keep_tests: Option<u64>,
    /// A name by which the REST interface may be asked, repeatable. Addresses, `localhost` and this machine's own name
    /// always may; requests for any other name are refused, so that no web site can reach it through a browser
    #[arg(
        long = "allow-host", value_name = "NAME", value_parser = onrush_orchestrator::allowed_host, value_delimiter = ',',
        env = "ONRUSH_ALLOW_HOST", help_heading = "Orchestrator"
    )]
    pub allow_hosts: Vec<String>,
    /// Serve only those who have a token of this file. A line of it is a role (view, control or scrape), a name, and a token or its
    /// SHA-256 in hexadecimal digits: `onrush token new` writes one; # begins a comment. SIGHUP reads it again
    #[arg(long, value_name = "FILE", env = "ONRUSH_ORCHESTRATOR_TOKEN_FILE", help_heading = "Access")]
    pub token_file: Option<PathBuf>,
    /// Listen beyond this machine though nobody needs a token: whoever reaches it can start load
    #[arg(
        long, value_parser = BoolishValueParser::new(), env = "ONRUSH_INSECURE_NO_AUTH", help_heading = "Access"
    )]
    pub insecure_no_auth: bool,
}

/// Options of `onrush driver`.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  onrush driver --brokers kafka:9092 --cpus 2-7    six threads, each pinned to its CPU
  onrush driver --brokers kafka:9092 --wait poll   on time to the microsecond; keeps its CPUs busy
  onrush driver                                    joins the embedded broker of this machine

It uses io_uring, or epoll where io_uring is refused (--io). It runs any number of tests, until
Ctrl-C.")]
pub struct DriverArgs {
    /// The Kafka brokers, several with commas. Without it: the embedded broker that is running on this machine
    #[arg(long, value_name = "HOST:PORT", env = "ONRUSH_BROKERS", help_heading = "Kafka")]
    pub brokers: Option<String>,
    /// How to reach Kafka.
    #[command(flatten)]
    pub topics: TopicArgs,
    /// This driver's name, unique among all drivers [default: the machine's name, the process number
    /// and a few random digits]
    #[arg(long, value_name = "NAME", env = "ONRUSH_NODE_ID", help_heading = "Driver")]
    pub node_id: Option<String>,
    /// The address that it registers with, for people to read [default: the one it reaches the broker from]
    #[arg(long, value_name = "IP", env = "ONRUSH_NODE_IP", help_heading = "Driver")]
    pub node_ip: Option<String>,
    /// The CPUs that make the load, one thread on each [default: all that this process may use]
    #[arg(long, value_name = "LIST", value_parser = parse::cpus, env = "ONRUSH_DRIVER_CPUS", help_heading = "Engine")]
    pub cpus: Option<Cpus>,
    /// How the load is made.
    #[command(flatten)]
    pub engine: EngineArgs,
    /// Where requests go in tests that name no URL
    #[arg(long, value_name = "URL", env = "ONRUSH_TARGET_URL", help_heading = "Driver")]
    pub target_url: Option<String>,
}

/// Options of `onrush target`.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  onrush target                                    http://127.0.0.1:8080/ping, and /metrics
  onrush target --delay 10ms                       each response takes 10 ms
  onrush target --delay exp:5ms --seed 7           mostly short, now and then long; the same every time
  onrush target --queue 1 --service exp:5ms        one server with a queue: M/M/1, 200 requests per second at most
  onrush target --stall 1s/10s                     the last second of every ten, nothing is answered
  onrush target --body-size 64KiB --chunked        long responses, in chunks
  onrush target --listen 0.0.0.0:8080 --cpus 0-3   for drivers on other machines

The first line on standard output is `listening on http://ADDRESS`.")]
pub struct TargetArgs {
    /// Where it listens; port 0: a free one
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8080", env = "ONRUSH_TARGET_LISTEN")]
    pub listen: SocketAddr,
    /// The CPUs that serve, one thread on each [default: all that this process may use]
    #[arg(long, value_name = "LIST", value_parser = parse::cpus, env = "ONRUSH_TARGET_CPUS")]
    pub cpus: Option<Cpus>,
    /// Each response of /ping waits this long: always the same (10ms), evenly spread between two (uniform:1ms-9ms), or
    /// exponentially distributed around a mean (exp:5ms)
    #[arg(
        long, value_name = "DELAY", default_value = "0s", value_parser = parse::delay,
        env = "ONRUSH_TARGET_DELAY"
    )]
    pub delay: Delay,
    /// Which delays are drawn where they vary: the k-th request waits as long in every run with the same seed
    #[arg(long, value_name = "NUMBER", default_value_t = 0, env = "ONRUSH_TARGET_SEED")]
    pub seed: u64,
    /// Put requests for /ping through one queue before N servers, first come, first served; --service says how long each is
    /// served. Requests of one connection follow one another, so N servers need more than N connections
    #[arg(
        long, value_name = "N", requires = "service", env = "ONRUSH_TARGET_QUEUE",
        value_parser = clap::builder::RangedU64ValueParser::<usize>::new().range(1..=onrush_target::MAX_SERVERS as u64)
    )]
    pub queue: Option<usize>,
    /// How long a server of the queue takes for a request: always the same (fixed:5ms), exponentially distributed around a
    /// mean (exp:5ms), or evenly spread between two (uniform:1ms-9ms)
    #[arg(
        long, value_name = "TIME", requires = "queue", value_parser = parse::service, env = "ONRUSH_TARGET_SERVICE"
    )]
    pub service: Option<Delay>,
    /// Which service times are drawn where they vary: the k-th request takes as long in every run with the same seed
    #[arg(long, value_name = "NUMBER", default_value_t = 0, env = "ONRUSH_TARGET_SERVICE_SEED")]
    pub service_seed: u64,
    /// So many requests wait in the queue at most; one that finds it full is answered 503 at once
    #[arg(
        long, value_name = "N", default_value_t = 100_000, env = "ONRUSH_TARGET_QUEUE_LIMIT",
        value_parser = clap::builder::RangedU64ValueParser::<usize>::new().range(0..=onrush_target::MAX_QUEUE as u64)
    )]
    pub queue_limit: usize,
    /// Answer nothing, on any path, for LENGTH at the end of each PERIOD, counted from the target's start; what
    /// comes meanwhile is answered when the period is over. 1s/10s: up for 9 s, then still for 1 s, and so on
    #[arg(long, value_name = "LENGTH/PERIOD", value_parser = parse::stall, env = "ONRUSH_TARGET_STALL")]
    pub stall: Option<Stall>,
    /// How long the body of a response of /ping is, in bytes (suffixes KiB, MiB) [default: 18, its message alone]
    #[arg(long, value_name = "BYTES", value_parser = parse::size, env = "ONRUSH_TARGET_BODY_SIZE")]
    pub body_size: Option<usize>,
    /// Answer /ping in chunks (Transfer-Encoding: chunked), except to clients of HTTP/1.0
    #[arg(long, value_parser = BoolishValueParser::new(), env = "ONRUSH_TARGET_CHUNKED")]
    pub chunked: bool,
    /// How its threads reach the network
    #[arg(long, value_enum, default_value = "auto", env = "ONRUSH_IO")]
    pub io: IoArg,
}

/// Options of `onrush demo`.
#[derive(Debug, Args)]
#[command(after_long_help = "\
It starts an in-process broker, the orchestrator, a target and the drivers, runs an Avalanche (as
fast as possible) and a Tsunami (1,000 requests per driver, 2 ms apart), and prints both results. On
a terminal it then stays up until Ctrl-C, with the dashboard's address; otherwise it exits 0, or 1
with the reason if anything did not hold. Ports that are taken are replaced by free ones. Nothing is
left behind: no process, and no file but the one of --store.

Examples:
  onrush demo
  onrush demo --drivers 4 --requests 10k
  onrush demo --store demo.db         keeps the results, to be shown later by:
  onrush orchestrator --brokers embedded --store demo.db")]
pub struct DemoArgs {
    /// How many drivers
    #[arg(
        long, value_name = "N", default_value_t = 2, env = "ONRUSH_DEMO_DRIVERS",
        value_parser = clap::builder::RangedU64ValueParser::<usize>::new().range(2..=8)
    )]
    pub drivers: usize,
    /// Requests per driver in the Avalanche
    #[arg(
        short = 'n', long, value_name = "N", default_value = "100k", value_parser = parse::count,
        env = "ONRUSH_DEMO_REQUESTS"
    )]
    pub requests: u64,
    /// Keep the results in this file [default: a temporary file, removed at the end]
    #[arg(long, value_name = "FILE", env = "ONRUSH_DEMO_STORE")]
    pub store: Option<PathBuf>,
    /// Write the Avalanche's report to this HTML file, which needs no network
    #[arg(long, value_name = "FILE", env = "ONRUSH_DEMO_REPORT")]
    pub report: Option<PathBuf>,
}

/// A number of drivers.
fn drivers(text: &str) -> Result<usize, String> {
    const MAX: usize = 1000;
    let number = text.trim().parse().ok().filter(|n| (1..=MAX).contains(n));
    number.ok_or_else(|| format!("{text:?} is not a number of drivers; write 1 to {MAX}"))
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;
    use crate::args::WaitArg;
    use crate::examples;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_example_of_the_documents_is_accepted() {
        use clap::error::ErrorKind;
        let mut accepted = 0;
        for document in examples::documents() {
            for example in examples::examples(&document, &["onrush"]) {
                let read = Cli::try_parse_from(&example.words).map(drop);
                let refused = read.err().filter(|error| error.kind() != ErrorKind::DisplayHelp);
                assert!(refused.is_none(), "{}: {:?}: {}", example.place, example.words, refused.expect("it is there"));
                accepted += 1;
            }
        }
        assert!(accepted >= 25, "the documents have {accepted} examples");
    }

    #[test]
    fn every_flag_has_an_environment_variable_and_help() {
        fn check(command: &clap::Command, path: &str) {
            let path = format!("{path} {}", command.get_name());
            for arg in command
                .get_arguments()
                .filter(|arg| !["help", "version", "test_id", "test_ids"].contains(&arg.get_id().as_str()))
            {
                let env = arg.get_env().map(|env| env.to_string_lossy().into_owned()).unwrap_or_default();
                assert!(env.starts_with("ONRUSH_"), "{path}: {} has no variable", arg.get_id());
                assert!(arg.get_help().is_some(), "{path}: {} has no help", arg.get_id());
            }
            command.get_subcommands().for_each(|sub| check(sub, &path));
        }
        check(&Cli::command(), "");
    }

    /// The examples of all help texts, as words.
    fn examples() -> Vec<Vec<String>> {
        fn of(command: &clap::Command, found: &mut Vec<Vec<String>>) {
            let text = command.get_after_long_help().map(ToString::to_string).unwrap_or_default().replace("\\\n", " ");
            for line in text.lines().map(str::trim).filter(|line| line.starts_with("onrush ")) {
                // What stands behind three blanks says what it is for.
                let line = line.split("   ").next().unwrap_or_default();
                let words = line.split('\'').enumerate().flat_map(|(index, part)| match index % 2 {
                    0 => part.split_whitespace().map(str::to_owned).collect::<Vec<_>>(),
                    _ => vec![part.to_owned()],
                });
                found.push(words.collect());
            }
            command.get_subcommands().for_each(|sub| of(sub, found));
        }
        let mut found = Vec::new();
        of(&Cli::command(), &mut found);
        found
    }

    #[test]
    fn every_example_in_the_help_is_a_right_command_line() {
        let examples = examples();
        assert!(examples.len() > 25, "{examples:?}");
        for example in examples {
            let read = Cli::try_parse_from(&example);
            let Ok(cli) = read else {
                panic!("{example:?}: {}", read.err().map(|e| e.to_string()).unwrap_or_default())
            };
            let Command::Orchestrator(args) = cli.command else { continue };
            let brokers = onrush_bus::Brokers { address: "127.0.0.1:9".into(), embedded: false };
            let (topic_prefix, client_id) = (String::new(), "test".into());
            let config = onrush_bus::BusConfig { brokers, topic_prefix, client_id, options: args.topics.kafka_options };
            assert!(onrush_bus::BrokerWatch::start(&config).is_ok(), "{example:?}");
        }
    }

    #[test]
    fn nodes_are_read_with_their_defaults() {
        let cli = Cli::try_parse_from(["onrush", "driver", "--brokers", "k:9092", "--cpus", "2-3", "--wait", "timer"]);
        let Ok(Cli { command: Command::Driver(driver), .. }) = cli else { panic!("a driver: {cli:?}") };
        assert_eq!(driver.cpus, Some(Cpus(vec![2, 3])));
        assert_eq!((driver.engine.wait, driver.brokers.as_deref()), (WaitArg::Timer, Some("k:9092")));

        let cli = Cli::try_parse_from(["onrush", "orchestrator", "--kafka-option", "a=b", "--kafka-option", "c=d,e=f"]);
        let Ok(Cli { command: Command::Orchestrator(args), .. }) = cli else { panic!("an orchestrator: {cli:?}") };
        assert_eq!(args.topics.kafka_options, [("a".into(), "b".into()), ("c".into(), "d,e=f".into())]);
        assert_eq!((args.min_drivers, args.max_drivers, args.listen.port()), (2, 8, 7400));

        let cli = Cli::try_parse_from(["onrush", "demo", "--drivers", "9"]);
        assert!(cli.is_err_and(|e| e.to_string().contains("2..=8")));
    }
}
