//! How late the engine sends: schedule error at several rates, on a core of its own and on one shared with the target.

use std::time::Duration;

use onrush_engine::{Mode, Wait};
use serde_json::json;

use crate::Problem;
use crate::load::{plan, run_on};
use crate::machine::Cpus;
use crate::record::{Output, Record};
use crate::summary::{number, table, with_range};
use crate::target::Served;

/// What to measure.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Requests per second
    #[arg(long, value_delimiter = ',', default_values_t = [100, 1_000, 10_000, 50_000])]
    rates: Vec<u32>,
    /// Connections
    #[arg(long, default_value_t = 64)]
    connections: u32,
    /// Runs of each kind; all are shown
    #[arg(long, default_value_t = 5)]
    runs: usize,
    /// How long each run lasts
    #[arg(long, default_value_t = 5.0)]
    seconds: f64,
    #[command(flatten)]
    cpus: Cpus,
    #[command(flatten)]
    output: Output,
}

struct Setting {
    name: &'static str,
    cpu: usize,
    wait: Wait,
}

struct Run {
    p50_us: f64,
    p99_us: f64,
    sent_per_s: f64,
    skipped: u64,
}

/// Measures all and writes the table.
pub fn run(args: &Args) -> Result<(), Problem> {
    let target = Served::start(args.cpus.target_cpu, None)?;
    let mut record = Record::create(&args.output, "tsunami", "Tsunami: schedule error")?;
    record.say(&format!(
        "{} connections, {} runs of {} s, the target on CPU {}. Each run, in order; median (least–greatest).\n",
        args.connections, args.runs, args.seconds, args.cpus.target_cpu
    ));
    let settings = [
        Setting { name: "own core, polling", cpu: args.cpus.engine_cpu, wait: Wait::Poll },
        Setting { name: "shared core, timer", cpu: args.cpus.target_cpu, wait: Wait::Timer },
    ];
    let mut rows = Vec::new();
    for rate_per_s in args.rates.iter().copied() {
        for setting in &settings {
            let mut runs = Vec::new();
            for number in 0..args.runs {
                let run = one(args, &target, setting, rate_per_s)?;
                record.line(&json!({"rate_per_s": rate_per_s, "setting": setting.name, "run": number,
                    "schedule_error_p50_us": run.p50_us, "schedule_error_p99_us": run.p99_us,
                    "sent_per_s": run.sent_per_s, "skipped": run.skipped}))?;
                runs.push(run);
            }
            let cell = |pick: fn(&Run) -> f64| {
                let values: Vec<f64> = runs.iter().map(pick).collect();
                let each: Vec<String> = values.iter().map(|value| number(*value, 2)).collect();
                format!("{}: {}", with_range(&values, 2), each.join(", "))
            };
            let sent: Vec<f64> = runs.iter().map(|run| run.sent_per_s).collect();
            let skipped: u64 = runs.iter().map(|run| run.skipped).sum();
            let row = [cell(|run| run.p50_us), cell(|run| run.p99_us), with_range(&sent, 0), skipped.to_string()];
            rows.push([vec![rate_per_s.to_string(), setting.name.into()], row.to_vec()].concat());
        }
    }
    let head = ["rate/s", "engine", "schedule error p50, µs", "schedule error p99, µs", "sent/s", "skipped"];
    record.say(&table(&head, &rows));
    record.finish()
}

fn one(args: &Args, target: &Served, setting: &Setting, rate_per_s: u32) -> Result<Run, Problem> {
    let delay = Duration::try_from_secs_f64(1.0 / f64::from(rate_per_s))?;
    let duration = Duration::try_from_secs_f64(args.seconds)?;
    let plan = plan(&target.url(), Mode::Tsunami { delay }, None, args.connections, duration)?;
    let ran = run_on(setting.cpu, args.cpus.target_cpu, plan, setting.wait, |_| ())?;
    if ran.totals.failed > 0 {
        return Err(format!("{} requests failed at {rate_per_s}/s", ran.totals.failed).into());
    }
    let error_us = |quantile| ran.stats.schedule_error.quantile_ns(quantile).map_or(f64::NAN, |ns| ns as f64 / 1e3);
    Ok(Run {
        p50_us: error_us(0.5),
        p99_us: error_us(0.99),
        sent_per_s: ran.totals.sent as f64 / args.seconds,
        skipped: ran.totals.skipped,
    })
}
