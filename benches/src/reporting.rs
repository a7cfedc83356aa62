//! What reporting costs: the engine with a report taken, merged and written as a message every second, beside the same
//! run that nobody looks at until its end.

use serde_json::json;

use crate::Problem;
use crate::clients::{self, Cost, Kind, Reports};
use crate::machine::Cpus;
use crate::record::{Output, Record};
use crate::summary::{median, number, table, with_range};
use crate::target::Served;

/// How to compare.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Connections
    #[arg(long, default_value_t = 64)]
    connections: usize,
    /// How often each of the two runs
    #[arg(long, default_value_t = 40)]
    pairs: usize,
    /// How long each run lasts
    #[arg(long, default_value_t = 2.5)]
    seconds: f64,
    #[command(flatten)]
    cpus: Cpus,
    #[command(flatten)]
    output: Output,
}

/// Runs all pairs and writes the table.
pub fn run(args: &Args) -> Result<(), Problem> {
    let target = Served::start(args.cpus.target_cpu, None)?;
    let mut record = Record::create(&args.output, "reporting", "Reporting on and off")?;
    record.say(&format!(
        "{} connections, {} pairs of {} s each, the engine on CPU {}, the target and the reports on CPU {}. Median \
         (least–greatest).\n",
        args.connections, args.pairs, args.seconds, args.cpus.engine_cpu, args.cpus.target_cpu
    ));
    let mut pairs = Vec::new();
    for pair in 0..args.pairs {
        // Neither is always the first.
        let mut kinds = [Reports::Written, Reports::AtTheEnd];
        kinds.rotate_left(pair % 2);
        let mut runs = Vec::with_capacity(2);
        for reports in kinds {
            let run = one(args, &target, reports)?;
            record
                .line(&json!({"reporting": reports == Reports::Written, "pair": pair, "requests_per_s": run.per_s,
                "cpu_us_per_request": run.cpu_us}))?;
            runs.push(run);
        }
        runs.rotate_left(pair % 2);
        pairs.push((runs[0], runs[1]));
    }
    let row = |name: &str, pick: fn(&(Cost, Cost)) -> Cost| {
        let of = |value: fn(Cost) -> f64| pairs.iter().map(|pair| value(pick(pair))).collect::<Vec<_>>();
        vec![name.to_owned(), with_range(&of(|run| run.per_s), 0), with_range(&of(|run| run.cpu_us), 2)]
    };
    let rows = [row("a report every second", |(on, _)| *on), row("none until the end", |(_, off)| *off)];
    record.say(&table(&["reporting", "requests/s", "CPU µs/request"], &rows));
    let ratios = |value: fn(Cost) -> f64| pairs.iter().map(|(on, off)| value(*on) / value(*off)).collect::<Vec<_>>();
    let (rates, costs) = (ratios(|run| run.per_s), ratios(|run| run.cpu_us));
    let said = |ratios: &[f64]| {
        let (low, high) = interval(ratios);
        format!("{} ({} to {})", number(median(ratios.iter().copied()), 4), number(low, 4), number(high, 4))
    };
    record.say(&format!(
        "On to off, the median of the pairs' ratios with its 95 % confidence interval: requests/s {}, CPU per request {}.\n",
        said(&rates),
        said(&costs)
    ));
    record.finish()
}

/// The 95 % confidence interval of a median: the two values that it lies between whatever the distribution, by the
/// normal approximation of the binomial one.
fn interval(values: &[f64]) -> (f64, f64) {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    let (n, half_width) = (values.len() as f64, 0.98 * (values.len() as f64).sqrt());
    let at = |rank: f64| values.get((rank.round().max(1.0) as usize).min(values.len()) - 1).copied();
    (at(n / 2.0 - half_width).unwrap_or(f64::NAN), at(n / 2.0 + 1.0 + half_width).unwrap_or(f64::NAN))
}

fn one(args: &Args, target: &Served, reports: Reports) -> Result<Cost, Problem> {
    let Args { connections, seconds, cpus: Cpus { engine_cpu: cpu, target_cpu: reports_cpu }, .. } = *args;
    let (kind, address) = (Kind::Engine, target.address());
    let (cost, _) = clients::measure(clients::Args { kind, address, connections, seconds, cpu, reports, reports_cpu })?;
    Ok(cost)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_interval_holds_the_median() {
        let values: Vec<f64> = (1..=40).map(f64::from).collect();
        assert_eq!(interval(&values), (14.0, 27.0));
        assert_eq!(interval(&[3.0]), (3.0, 3.0));
        let (low, high) = interval(&[2.0, 1.0]);
        assert_eq!((low, high), (1.0, 2.0));
    }
}
