//! The command line of `onrush ab`, and the two tests that it asks for. Pure, but for reading files that it names.

use std::time::Duration;

use clap::builder::{OsStr, Resettable};
use clap::{Args, FromArgMatches};
use onrush_engine::{Mode, Plan, Shape};
use onrush_protocol::human;

use super::turns::Turns;
use super::words::words;
use crate::args::{EngineArgs, WaitArg};
use crate::bench::{DEFAULT_CONNECTIONS, plan_of};
use crate::compare::GateArgs;
use crate::error::Error;
use crate::parse::{self, Cpus};
use crate::request::{OptionArgs, TypeArg};

/// How long it takes where nothing else is asked for.
const DEFAULT_DURATION: Duration = Duration::from_secs(60);
/// The longest run: a profile has no more phases than this many turns.
const MAX_PAIRS: u64 = 450;

/// Options of `onrush ab`.
#[derive(Clone, Debug, Args)]
#[command(after_long_help = "\
Examples:
  Which of two servers is faster, at 500 requests a second, in a minute:
    onrush ab http://old:8080/ http://new:8080/ -R 500
  What a header costs on one server; a build that fails where more than 5 % is proven:
    onrush ab http://web:8080/ http://web:8080/ --b '-H \"Accept-Encoding: gzip\"' -R 500 --gate 'p99<+5%'

A and B are loaded in turn, in the order ABBA, over connections that stay open: what the machine or the network does meanwhile
meets both. The first second of a turn does not count. Whoever loads one server with both should give a --rate that it serves with
ease: what one turn leaves in its queues the next one pays for.
`onrush compare --help` says what is proven when.

Exit codes:
  0    both were loaded and compared, and no gate is proven to be broken
  1    it could not start, was stopped too early, or got no response
  2    the command line is wrong
  99   a gate is proven to be broken
  130  ended by Ctrl-C before it started, or by a second one")]
pub struct AbArgs {
    /// Where the requests of A go
    #[arg(env = "ONRUSH_AB_URL_A")]
    pub url_a: String,
    /// Where the requests of B go
    #[arg(env = "ONRUSH_AB_URL_B")]
    pub url_b: String,
    /// How requests are spaced [default: tsunami with --delay, else avalanche]
    #[arg(long = "type", value_enum, env = "ONRUSH_BENCH_TYPE", help_heading = "Load")]
    test_type: Option<TypeArg>,
    /// Options for A alone, as one text: '-H \"X: y\"'; they replace those that both have
    #[arg(
        long,
        value_name = "OPTIONS",
        default_value = "",
        hide_default_value = true,
        allow_hyphen_values = true,
        env = "ONRUSH_AB_A",
        help_heading = "Turns"
    )]
    a: String,
    /// Options for B alone
    #[arg(
        long,
        value_name = "OPTIONS",
        default_value = "",
        hide_default_value = true,
        allow_hyphen_values = true,
        env = "ONRUSH_AB_B",
        help_heading = "Turns"
    )]
    b: String,
    /// How long one sends before the other does, in whole seconds, 2s at least
    #[arg(
        long, value_name = "DURATION", value_parser = human::duration, default_value = "2s", env = "ONRUSH_AB_TURN",
        help_heading = "Turns"
    )]
    turn: Duration,
    /// The options of both tests.
    #[command(flatten)]
    options: OptionArgs<true>,

    /// The CPUs that make the load, one thread of each run on each [default: all that this process may use]
    #[arg(long, value_name = "LIST", value_parser = parse::cpus, env = "ONRUSH_BENCH_CPUS", help_heading = "Engine")]
    pub cpus: Option<Cpus>,
    /// How the load is made.
    #[command(flatten)]
    pub engine: EngineArgs,
    /// How the result looks and what it must keep.
    #[command(flatten)]
    pub result: GateArgs,
}

/// What both runs do.
pub struct Asked {
    /// The plans of A and of B.
    pub plans: [Plan; 2],
    /// When each of them sends.
    pub turns: Turns,
}

impl AbArgs {
    /// The two plans; each pauses while the other sends.
    pub fn asked(&self) -> Result<Asked, Error> {
        if self.engine.wait == WaitArg::Poll {
            let problem = "--wait poll is not for ab: the run that pauses would take the other's CPU; leave it out";
            return Err(Error::Usage(problem.into()));
        }
        if self.options.has("target_metrics") {
            return Err(Error::Usage(
                "--target-metrics is not for ab, which judges neither target; leave it out".into(),
            ));
        }
        for (name, flag) in [
            ("message_count_per_driver", "--requests"),
            ("profile", "--profile"),
            ("total_throughput", "--total-rate"),
            ("abort_on_fail", "--abort-on-fail"),
        ] {
            if [&self.options, &self.own(&self.a, "--a")?, &self.own(&self.b, "--b")?]
                .iter()
                .any(|given| given.has(name))
            {
                return Err(Error::Usage(format!(
                    "{flag} is not for ab, whose runs take turns; give --rate and --duration"
                )));
            }
        }
        let both = self.options.test(self.test_type, Some(&self.url_a))?;
        let turns = self.turns(both.duration.unwrap_or(DEFAULT_DURATION))?;
        let plan = |url: &str, own: &str, flag: &str, is_b: bool| -> Result<Plan, Error> {
            let own = self.own(own, flag)?;
            if own.has("duration") {
                return Err(Error::Usage(format!("{flag}: --duration is for both; give it outside")));
            }
            let mut config = self.options.with(&own).test(self.test_type, Some(url))?;
            config.connections.get_or_insert(DEFAULT_CONNECTIONS);
            config.duration = Some(Duration::from_secs(turns.total_s()));
            let rate_per_s = config.asked_rate_per_s(1);
            let mut plan = plan_of(&config)?;
            let load = rate_per_s.map_or(Shape::Free, |rate_per_s| Shape::Constant { rate_per_s });
            (plan.profile, plan.duration, plan.target_throughput_per_s) = (Some(turns.phases(is_b, load)), None, None);
            if let Mode::Tsunami { delay } = &mut plan.mode {
                *delay = Duration::ZERO;
            }
            Ok(plan)
        };
        let plans = [plan(&self.url_a, &self.a, "--a", false)?, plan(&self.url_b, &self.b, "--b", true)?];
        Ok(Asked { plans, turns })
    }

    fn turns(&self, duration: Duration) -> Result<Turns, Error> {
        let turn_s = self.turn.as_secs();
        if turn_s < 2 || self.turn.subsec_nanos() > 0 {
            return Err(Error::Usage("--turn must be a whole number of seconds, 2s at least".into()));
        }
        let pairs = duration.as_secs() / (2 * turn_s);
        let least = onrush_compare::MIN_STRETCHES as u64;
        if !(least..=MAX_PAIRS).contains(&pairs) {
            let (low, high) = (2 * turn_s * least, 2 * turn_s * MAX_PAIRS);
            return Err(Error::Usage(format!(
                "--duration must be {low}s to {high}s with turns of {turn_s}s, so that both have {least} turns at least"
            )));
        }
        Ok(Turns { turn_s, settle_s: 1, pairs })
    }

    /// The options of one side.
    fn own(&self, text: &str, flag: &str) -> Result<OptionArgs<true>, Error> {
        let wrong = |problem: String| Error::Usage(format!("{flag} {text:?} {problem}"));
        let words = words(text).map_err(wrong)?;
        let command = OptionArgs::<true, false>::augment_args(clap::Command::new("ab").no_binary_name(true));
        // What the environment says stands for both, and was read outside.
        let command = command.mut_args(|arg| arg.env(Resettable::<OsStr>::Reset));
        let refused = |error: clap::Error| {
            let text = error.to_string();
            let first = text.lines().next().unwrap_or_default().trim_start_matches("error: ").to_owned();
            wrong(format!("cannot be used: {first}"))
        };
        let matches = command.try_get_matches_from(words).map_err(refused)?;
        OptionArgs::from_arg_matches(&matches).map_err(refused)
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::cli::{Cli, Command};

    fn asked(args: &[&str]) -> Result<Asked, String> {
        match Cli::try_parse_from(["onrush", "ab"].iter().chain(args)).map_err(|e| e.to_string())?.command {
            Command::Ab(args) => args.asked().map_err(|e| e.to_string()),
            other => panic!("not ab: {other:?}"),
        }
    }

    #[test]
    fn both_have_what_is_common_and_each_its_own() {
        let line = ["http://a/", "http://b/x", "-R", "200", "-c", "8", "-H", "X: y", "--b", "-c 9 -H 'Z: q' -m POST"];
        let Asked { plans: [a, b], turns } = asked(&line).expect("a right command line");
        assert_eq!((turns.pairs, turns.total_s()), (15, 60));
        assert_eq!((a.connections, b.connections), (8, 9));
        let names = |plan: &Plan| plan.requests[0].headers.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>();
        assert_eq!((names(&a), names(&b)), (vec!["X".into()], vec!["X".to_owned(), "Z".to_owned()]));
        assert_eq!((b.requests[0].method.as_str(), b.requests[0].target.as_str()), ("POST", "/x"));
        for plan in [a, b] {
            let (profile, validated) = (plan.profile.clone().expect("turns"), plan.validate());
            assert!(profile.contains(&onrush_engine::Phase {
                length: Duration::from_secs(4),
                shape: Shape::Constant { rate_per_s: 200.0 }
            }));
            assert_eq!(validated, Ok(()));
        }
    }

    #[test]
    fn what_cannot_be_run_in_turns_is_refused_in_words() {
        for (more, words) in [
            (&["-n", "5"][..], "--requests"),
            (&["--profile", "10s@5"], "--profile"),
            (&["-d", "10s"], "32s to 1800s"),
            (&["--turn", "1s"], "2s at least"),
            (&["--wait", "poll"], "--wait poll"),
            (&["--a", "-H 'x"], "not closed"),
            (&["--b", "--nonsense 5"], "--nonsense"),
            (&["--a", "-d 9s"], "for both"),
        ] {
            let error = asked(&[&["http://a/", "http://b/"], more].concat()).err().unwrap_or_default();
            assert!(error.contains(words), "{more:?}: {error}");
        }
    }
}
