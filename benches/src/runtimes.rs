//! The engine beside other foundations: the same closed loop, in rounds that take turns.

use std::collections::BTreeMap;

use clap::ValueEnum;
use serde_json::json;

use crate::Problem;
use crate::clients::{self, Cost, Kind, Reports};
use crate::record::{Output, Record};
use crate::summary::{median, number, table, with_range};
use crate::target::Served;

/// How to compare.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Connections of each client
    #[arg(long, default_value_t = 64)]
    connections: usize,
    /// How often each client runs
    #[arg(long, default_value_t = 7)]
    rounds: usize,
    /// How long each run lasts
    #[arg(long, default_value_t = 5.0)]
    seconds: f64,
    /// The target's CPU
    #[arg(long, default_value_t = 0)]
    target_cpu: usize,
    /// The clients' CPU
    #[arg(long, default_value_t = 1)]
    client_cpu: usize,
    #[command(flatten)]
    output: Output,
}

/// Runs all rounds and writes the table.
pub fn run(args: &Args) -> Result<(), Problem> {
    let target = Served::start(args.target_cpu, None)?;
    let mut record = Record::create(&args.output, "runtimes", "Runtimes")?;
    record.say(&format!(
        "{} connections, {} rounds of {} s, clients on CPU {}, the target on CPU {}. Median (least–greatest).\n",
        args.connections, args.rounds, args.seconds, args.client_cpu, args.target_cpu
    ));
    let kinds = Kind::value_variants();
    let mut rounds: Vec<BTreeMap<String, Cost>> = Vec::new();
    let mut problems: BTreeMap<String, String> = BTreeMap::new();
    for round in 0..args.rounds {
        let mut runs = BTreeMap::new();
        for turn in 0..kinds.len() {
            // Nobody is always the first.
            let kind = kinds[(round + turn) % kinds.len()];
            let name = kind.name();
            if problems.contains_key(&name) {
                continue;
            }
            let Args { connections, seconds, client_cpu: cpu, .. } = *args;
            let (address, reports, reports_cpu) = (target.address(), Reports::Merged, cpu);
            match clients::measure(clients::Args { kind, address, connections, seconds, cpu, reports, reports_cpu }) {
                Ok((run, said)) => {
                    record.line(&json!({"client": name, "round": round, "cpu_us_per_request": run.cpu_us,
                        "requests_per_s": run.per_s, "busy": run.busy, "run": said}))?;
                    runs.insert(name, run);
                }
                Err(problem) => {
                    record.line(&json!({"client": name, "round": round, "problem": problem.to_string()}))?;
                    problems.insert(name, problem.to_string());
                }
            }
        }
        rounds.push(runs);
    }

    let floor = Kind::Raw.name();
    let rows: Vec<Vec<String>> = kinds
        .iter()
        .map(|kind| {
            let name = kind.name();
            if let Some(problem) = problems.get(&name) {
                return vec![name, "-".into(), "-".into(), "-".into(), "-".into(), problem.clone()];
            }
            let of = |pick: fn(&Cost) -> f64| rounds.iter().filter_map(|r| r.get(&name)).map(pick).collect::<Vec<_>>();
            // Runs of one round stand close in time: their ratio holds where the machine's speed drifts.
            let ratios: Vec<f64> =
                rounds.iter().filter_map(|r| Some(r.get(&name)?.cpu_us / r.get(&floor)?.cpu_us)).collect();
            vec![
                name.clone(),
                with_range(&of(|run| run.cpu_us), 2),
                with_range(&of(|run| run.per_s), 0),
                with_range(&ratios, 3),
                number(100.0 * median(of(|run| run.busy)), 0),
                String::new(),
            ]
        })
        .collect();
    let head = ["client", "CPU µs/request", "requests/s", "CPU, ratio to raw", "busy %", "notes"];
    record.say(&table(&head, &rows));
    record.say(
        "The engine reads every answer and records three distributions; that cannot be switched off, so its cost is\n\
         within the engine's row. The others only count bytes.\n",
    );
    record.finish()?;
    match problems.get(&Kind::Engine.name()) {
        Some(problem) => Err(format!("the engine did not run: {problem}").into()),
        None => Ok(()),
    }
}
