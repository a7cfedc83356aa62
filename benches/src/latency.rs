//! Whether latency is true: the engine beside a target whose every delay is known beforehand.
//!
//! The delays are drawn from a seed, so those of a run are known one by one, and their quantiles are exact: no share of
//! a difference is the luck of a draw. The server polls, so that it is late by no wake-up. What is left is the way there
//! and back, and whatever the engine gets wrong.

use std::time::{Duration, Instant};

use onrush_engine::{Armed, Io, Mode, Options, Wait};
use onrush_target::Delay;
use serde_json::json;

use crate::load::{finish, plan};
use crate::record::{Output, Record};
use crate::server::{Config, Server};
use crate::summary::{number, table};
use crate::target::url;
use crate::{Problem, machine};

const QUANTILES: [(&str, f64); 4] = [("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p99.9", 0.999)];
/// What a measured quantile may be off by: a share of the true one, and a little.
const TOLERANCE: f64 = 0.01;
const TOLERANCE_US: f64 = 50.0;
const SEED: u64 = 7;

/// What to measure.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Requests per second
    #[arg(long, default_value_t = 2_000)]
    rate: u32,
    /// Connections: more than requests overlap
    #[arg(long, default_value_t = 512)]
    connections: u32,
    /// Runs with each distribution; all are shown
    #[arg(long, default_value_t = 3)]
    runs: usize,
    /// How long each run lasts
    #[arg(long, default_value_t = 10)]
    seconds: u32,
    /// The target's CPU
    #[arg(long, default_value_t = 0)]
    target_cpu: usize,
    /// The engine's CPU
    #[arg(long, default_value_t = 1)]
    engine_cpu: usize,
    #[command(flatten)]
    output: Output,
}

/// Measures all and writes the table.
pub fn run(args: &Args) -> Result<(), Problem> {
    let mut record = Record::create(&args.output, "latency", "Latency beside known delays")?;
    record.say(&format!(
        "{} requests/s for {} s over {} connections; the engine on CPU {}, the target on CPU {}. The difference is \
         measured minus true, of each run.\n",
        args.rate, args.seconds, args.connections, args.engine_cpu, args.target_cpu
    ));
    let ms = Duration::from_millis;
    let delays = [
        ("10 ms", Delay::Fixed(ms(10))),
        ("uniform, 1 to 20 ms", Delay::Uniform { low: ms(1), high: ms(20) }),
        ("exponential, mean 5 ms", Delay::Exponential { mean: ms(5) }),
    ];
    let mut rows = Vec::new();
    for (name, delay) in delays {
        let mut differences_us = [const { Vec::new() }; QUANTILES.len()];
        for run in 0..args.runs {
            for ((quantile, _), (measured_us, true_us)) in QUANTILES.into_iter().zip(one(args, delay)?) {
                record.line(&json!({"delay": name, "run": run, "quantile": quantile, "measured_us": measured_us,
                    "true_us": true_us}))?;
                let index = QUANTILES.iter().position(|(name, _)| *name == quantile).unwrap_or_default();
                differences_us[index].push((measured_us - true_us, true_us));
            }
        }
        for ((quantile, _), differences_us) in QUANTILES.into_iter().zip(differences_us) {
            let true_us = differences_us.first().map_or(f64::NAN, |(_, true_us)| *true_us);
            let allowed_us = true_us * TOLERANCE + TOLERANCE_US;
            let within = differences_us.iter().filter(|(difference_us, _)| difference_us.abs() <= allowed_us).count();
            let each: Vec<_> = differences_us.iter().map(|(difference_us, _)| number(*difference_us, 0)).collect();
            rows.push(vec![
                name.to_owned(),
                quantile.to_owned(),
                number(true_us, 0),
                each.join(", "),
                number(allowed_us, 0),
                format!("{within} of {}", args.runs),
            ]);
        }
    }
    let head = ["delay", "quantile", "true, µs", "difference, µs", "allowed (1 % + 50 µs), µs", "within"];
    record.say(&table(&head, &rows));
    record.finish()
}

/// Each quantile in microseconds: measured, and of the very delays that the target drew.
fn one(args: &Args, delay: Delay) -> Result<[(f64, f64); QUANTILES.len()], Problem> {
    let config = Config { cpu: args.target_cpu, body_bytes: 18, arrivals_max: 0, delay: Some((delay, SEED)) };
    let target = Server::start(config)?;
    let duration = Duration::from_secs(args.seconds.into());
    let mode = Mode::Tsunami { delay: Duration::try_from_secs_f64(1.0 / f64::from(args.rate))? };
    let plan = plan(&url(target.address()), mode, None, args.connections, duration)?;
    let options = Options { cpus: vec![args.engine_cpu], wait: Wait::Poll, io: Io::IoUring };
    let armed = Armed::new(plan, options)?;
    machine::pin(args.target_cpu)?;
    let ran = finish(armed.start(Instant::now() + Duration::from_millis(20)))?;
    if ran.totals.answered == 0 || ran.totals.answered < ran.totals.sent {
        return Err(format!("{} of {} requests were answered", ran.totals.answered, ran.totals.sent).into());
    }
    let mut drawn: Vec<Duration> = (0..ran.totals.answered).map(|index| delay.draw(SEED, index)).collect();
    drawn.sort_unstable();
    Ok(QUANTILES.map(|(_, quantile)| {
        let rank = (quantile * drawn.len() as f64).ceil() as usize;
        let measured_us = ran.stats.latency.quantile_ns(quantile).map_or(f64::NAN, |ns| ns as f64 / 1e3);
        (measured_us, drawn[rank.clamp(1, drawn.len()) - 1].as_secs_f64() * 1e6)
    }))
}
