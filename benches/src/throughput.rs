//! Whether a target throughput is held: from one request a second to more than the machine can do.

use std::time::Duration;

use onrush_engine::{Mode, SecondReport, Wait};
use serde_json::json;

use crate::Problem;
use crate::load::{plan, run_on};
use crate::machine::Cpus;
use crate::record::{Output, Record};
use crate::summary::table;
use crate::target::Served;

/// What to measure.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Target throughputs; the last should be beyond the machine
    #[arg(long, value_delimiter = ',', default_values_t = [1, 10, 100, 1_000, 10_000, 20_000, 50_000, 1_000_000])]
    rates: Vec<u32>,
    /// Connections
    #[arg(long, default_value_t = 64)]
    connections: u32,
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
    let target = Served::start(args.cpus.target_cpu, None)?;
    let mut record = Record::create(&args.output, "throughput", "Target throughput: is it held?")?;
    record.say(&format!(
        "{} s each over {} connections, the target on CPU {}, the engine on CPU {}. Asked for: the target throughput × \
         the duration.\n",
        args.seconds, args.connections, args.cpus.target_cpu, args.cpus.engine_cpu
    ));
    let mut rows = Vec::new();
    for rate_per_s in args.rates.iter().copied() {
        for (type_name, mode) in [("Avalanche", Mode::Avalanche), ("Tsunami", Mode::Tsunami { delay: Duration::ZERO })]
        {
            for (wait_name, wait) in [("polling", Wait::Poll), ("timer", Wait::Timer)] {
                let duration = Duration::from_secs(args.seconds.into());
                let plan = plan(&target.url(), mode, Some(rate_per_s.into()), args.connections, duration)?;
                let mut fullest = 0;
                let look = |second: &SecondReport| fullest = fullest.max(second.stats.counts.sent);
                let ran = run_on(args.cpus.engine_cpu, args.cpus.target_cpu, plan, wait, look)?;
                let asked = u64::from(rate_per_s) * u64::from(args.seconds);
                let (sent, skipped, failed) = (ran.totals.sent, ran.totals.skipped, ran.totals.failed);
                let short = asked.cast_signed() - sent.cast_signed();
                record.line(&json!({"rate_per_s": rate_per_s, "type": type_name, "wait": wait_name, "asked": asked,
                    "sent": sent, "skipped": skipped, "failed": failed, "fullest_second": fullest}))?;
                let exceeded = if fullest > u64::from(rate_per_s) { " (too many)" } else { "" };
                rows.push(vec![
                    rate_per_s.to_string(),
                    format!("{type_name}, {wait_name}"),
                    asked.to_string(),
                    sent.to_string(),
                    short.to_string(),
                    skipped.to_string(),
                    format!("{fullest}{exceeded}"),
                ]);
            }
        }
    }
    let head = ["rate/s", "type", "asked for", "sent", "short of it", "skipped", "fullest second"];
    record.say(&table(&head, &rows));
    record.finish()
}
