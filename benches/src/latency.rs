//! Whether latency is true: the engine beside a server whose every delay is known.
//!
//! The server draws its delays, polls so that no wake-up makes it late, and notes how long each answer really waited:
//! where the machine takes its CPU away, too. So no share of a difference is the luck of a draw or the server's fault.
//! What is left is the way there and back, and whatever the engine gets wrong.

use std::time::Duration;

use onrush_engine::{Mode, Wait};
use onrush_target::Delay;
use serde_json::json;

use crate::Problem;
use crate::load::{plan, run_on};
use crate::machine::Cpus;
use crate::record::{Output, Record};
use crate::server::{Config, Server};
use crate::summary::{median, number, table};
use crate::target::url;

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
    #[command(flatten)]
    cpus: Cpus,
    #[command(flatten)]
    output: Output,
}

/// Measures all and writes the table.
pub fn run(args: &Args) -> Result<(), Problem> {
    let mut record = Record::create(&args.output, "latency", "Latency beside known delays")?;
    record.say(&format!(
        "{} requests/s for {} s over {} connections; the engine on CPU {}, the target on CPU {}. The difference is \
         measured minus true, of each run.\n",
        args.rate, args.seconds, args.connections, args.cpus.engine_cpu, args.cpus.target_cpu
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
            let quantiles = QUANTILES.into_iter().zip(one(args, delay)?).zip(&mut differences_us);
            for (((quantile, _), (measured_us, true_us)), differences_us) in quantiles {
                record.line(&json!({"delay": name, "run": run, "quantile": quantile, "measured_us": measured_us,
                    "true_us": true_us}))?;
                differences_us.push((measured_us - true_us, true_us));
            }
        }
        for ((quantile, _), differences_us) in QUANTILES.into_iter().zip(differences_us) {
            let allowed_us = |true_us: f64| true_us * TOLERANCE + TOLERANCE_US;
            let is_near = |(difference_us, true_us): &&(f64, f64)| difference_us.abs() <= allowed_us(*true_us);
            let within = differences_us.iter().filter(is_near).count();
            let true_us = median(differences_us.iter().map(|(_, true_us)| *true_us));
            let each: Vec<_> = differences_us.iter().map(|(difference_us, _)| number(*difference_us, 0)).collect();
            rows.push(vec![
                name.to_owned(),
                quantile.to_owned(),
                number(true_us, 0),
                each.join(", "),
                number(allowed_us(true_us), 0),
                format!("{within} of {}", args.runs),
            ]);
        }
    }
    let head = ["delay", "quantile", "true, µs", "difference, µs", "allowed (1 % + 50 µs), µs", "within"];
    record.say(&table(&head, &rows));
    record.finish()
}

/// Each quantile in microseconds: measured, and of the delays as they were.
fn one(args: &Args, delay: Delay) -> Result<[(f64, f64); QUANTILES.len()], Problem> {
    let recorded_max = args.rate as usize * args.seconds as usize;
    let config = Config { cpu: args.cpus.target_cpu, body_bytes: 18, recorded_max, delay: Some((delay, SEED)) };
    let target = Server::start(config)?;
    let duration = Duration::from_secs(args.seconds.into());
    let mode = Mode::Tsunami { delay: Duration::try_from_secs_f64(1.0 / f64::from(args.rate))? };
    let plan = plan(&url(target.address()), mode, None, args.connections, duration)?;
    let ran = run_on(args.cpus.engine_cpu, args.cpus.target_cpu, plan, Wait::Poll, |_| ())?;
    if ran.totals.answered == 0 || ran.totals.answered < ran.totals.sent {
        return Err(format!("{} of {} requests were answered", ran.totals.answered, ran.totals.sent).into());
    }
    let mut delays_ns = target.stop()?.delays_ns;
    if delays_ns.len() as u64 != ran.totals.answered {
        return Err(format!("the server delayed {} answers of {}", delays_ns.len(), ran.totals.answered).into());
    }
    delays_ns.sort_unstable();
    Ok(QUANTILES.map(|(_, quantile)| {
        let rank = (quantile * delays_ns.len() as f64).ceil() as usize;
        let measured_us = ran.stats.latency.quantile_ns(quantile).map_or(f64::NAN, |ns| ns as f64 / 1e3);
        (measured_us, delays_ns[rank.clamp(1, delays_ns.len()) - 1] as f64 / 1e3)
    }))
}
