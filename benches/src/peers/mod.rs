//! `onrush bench` beside other load tools: each in a process on one CPU, the target on another, in turns.
//!
//! Requests are counted by the target and CPU time by the kernel, so that no tool's own words are needed.

mod report;
mod tools;

use std::time::Duration;

use serde_json::json;

use crate::Problem;
use crate::process::{self, Finished};
use crate::record::{Output, Record};
use crate::server::{self, Config, Gaps, Server};
use crate::target::{Served, url};
use report::Entry;
use tools::{Load, Tool};

/// What a tool may need beyond the time asked for: starting, connecting, summing up.
const GRACE: Duration = Duration::from_secs(60);
/// What is not looked at when gaps are measured: connecting and warming up.
const WARM_UP_NS: u64 = 500_000_000;

/// What to compare.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Connections; for each number every tool runs
    #[arg(long, value_delimiter = ',', default_values_t = [64])]
    connections: Vec<u32>,
    /// Bytes of the answers' bodies, each with the first number of --connections; without it the bundled target answers
    #[arg(long, value_delimiter = ',')]
    sizes: Vec<usize>,
    /// How often each tool takes turns with onrush
    #[arg(long, default_value_t = 7)]
    pairs: usize,
    /// How long each run lasts
    #[arg(long, default_value_t = 5)]
    seconds: u32,
    /// The set rate at which evenness is measured; 0: not at all
    #[arg(long, default_value_t = 10_000)]
    rate: u32,
    /// Connections at that rate
    #[arg(long, default_value_t = 16)]
    rate_connections: u32,
    /// How often evenness is measured
    #[arg(long, default_value_t = 3)]
    rate_runs: usize,
    /// Only these tools, as in wrk,oha
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// The binary to compare; without it the one beside this, or else the engine alone
    #[arg(long)]
    onrush: Option<std::path::PathBuf>,
    /// The target's CPU
    #[arg(long, default_value_t = 0)]
    target_cpu: usize,
    /// The tools' CPU
    #[arg(long, default_value_t = 1)]
    tool_cpu: usize,
    #[command(flatten)]
    output: Output,
}

/// One run of a tool as fast as it can.
#[derive(Clone, Copy, Debug)]
struct Run {
    per_s: f64,
    cpu_us: f64,
}

/// Measures all and writes the tables.
pub fn run(args: &Args) -> Result<(), Problem> {
    let onrush = Tool::onrush(args.onrush.as_deref())?;
    let unknown: Vec<_> = args.only.iter().filter(|name| tools::PEERS.iter().all(|peer| peer.name != **name)).collect();
    if !unknown.is_empty() {
        return Err(format!("{unknown:?}: known are {}", tools::names()).into());
    }
    let mut record = Record::create(&args.output, "peers", "Peers")?;
    let (mut peers, mut missing) = (Vec::new(), Vec::new());
    for peer in tools::PEERS.iter().filter(|peer| args.only.is_empty() || args.only.iter().any(|n| n == peer.name)) {
        match Tool::peer(peer) {
            Some(tool) => peers.push(tool),
            None => missing.push(peer),
        }
    }
    record.say(&format!(
        "Tools on CPU {}, the target on CPU {}; each run {} s. Each tool took turns with onrush, {} pairs; the ratio is \
         the median over the pairs.\n",
        args.tool_cpu, args.target_cpu, args.seconds, args.pairs
    ));
    for tool in std::iter::once(&onrush).chain(&peers) {
        record.line(&json!({"tool": tool.name, "version": tool.version, "notes": tool.notes}))?;
    }

    let spreads = evenness(args, &onrush, &peers, &mut record)?;
    let bundled = args.connections.iter().map(|connections| (*connections, None));
    let sized = args.sizes.iter().map(|size| (args.connections.first().copied().unwrap_or(64), Some(*size)));
    for (connections, body_bytes) in bundled.chain(sized) {
        let entries = compare(args, &onrush, &peers, connections, body_bytes, &mut record)?;
        let of = body_bytes.map_or_else(String::new, |bytes| format!(", answers of {bytes} bytes"));
        record.say(&format!("### {connections} connections{of}\n"));
        record.say(&report::table(&onrush, &peers, &entries, &spreads));
    }
    if args.rate > 0 {
        record.say(&format!(
            "Gaps: {} requests/s asked for over {} connections, {} runs; the standard deviation of the time between one \
             arrival and the next at a server that polls, from {} ms on.\n",
            args.rate,
            args.rate_connections,
            args.rate_runs,
            WARM_UP_NS / 1_000_000
        ));
    }
    for peer in missing {
        record.say(&format!("Not installed: {}. To install it: `{}`", peer.name, peer.install));
    }
    record.finish()
}

/// Every tool in turns with onrush, as fast as they can.
fn compare(
    args: &Args,
    onrush: &Tool,
    peers: &[Tool],
    connections: u32,
    body_bytes: Option<usize>,
    record: &mut Record,
) -> Result<Vec<Entry>, Problem> {
    let target = Served::start(args.target_cpu, body_bytes)?;
    let mut entries = Vec::new();
    for peer in peers {
        let mut entry = Entry { name: peer.name, pairs: Vec::new(), problem: None };
        for pair in 0..args.pairs {
            // Neither is always the first.
            let order = if pair % 2 == 0 { [onrush, peer] } else { [peer, onrush] };
            let mut runs = Vec::with_capacity(2);
            for tool in order {
                let (url, seconds, cpu) = (target.url(), args.seconds, args.tool_cpu);
                let load = Load { url, connections, seconds, cpu, rate_per_s: None };
                let outcome = fastest(args, tool, &load, &target);
                let mut line = json!({"tool": tool.name, "beside": peer.name, "pair": pair,
                    "connections": connections, "body_bytes": body_bytes});
                match &outcome {
                    Ok(run) => {
                        line["requests_per_s"] = run.per_s.into();
                        line["cpu_us_per_request"] = run.cpu_us.into();
                    }
                    Err(problem) => line["problem"] = problem.to_string().into(),
                }
                record.line(&line)?;
                runs.push(outcome.map_err(|problem| format!("{}: {problem}", tool.name)));
            }
            if pair % 2 == 1 {
                runs.reverse();
            }
            let mut runs = runs.into_iter();
            match (runs.next(), runs.next()) {
                (Some(Ok(ours)), Some(Ok(theirs))) => entry.pairs.push((ours, theirs)),
                (Some(Err(problem)), _) | (_, Some(Err(problem))) => entry.problem = Some(problem),
                _ => (),
            }
        }
        entries.push(entry);
    }
    Ok(entries)
}

fn fastest(args: &Args, tool: &Tool, load: &Load, target: &Served) -> Result<Run, Problem> {
    let before = target.requests()?;
    let finished = start(args, tool, load)?;
    let requests = (target.requests()? - before) as f64;
    if requests == 0.0 {
        return Err(format!("no request arrived; {}", finished.complaint()).into());
    }
    Ok(Run { per_s: requests / f64::from(load.seconds), cpu_us: finished.cpu.as_secs_f64() * 1e6 / requests })
}

/// The gaps of each tool that can keep a rate: by name, all runs.
fn evenness(
    args: &Args,
    onrush: &Tool,
    peers: &[Tool],
    record: &mut Record,
) -> Result<Vec<(&'static str, Vec<Gaps>)>, Problem> {
    let mut found: Vec<(&'static str, Vec<Gaps>)> = Vec::new();
    if args.rate == 0 {
        return Ok(found);
    }
    for run in 0..args.rate_runs {
        for tool in std::iter::once(onrush).chain(peers).filter(|tool| tool.keeps_rates) {
            let outcome = paced(args, tool);
            let mut line = json!({"tool": tool.name, "rate_per_s": args.rate, "run": run,
                "connections": args.rate_connections});
            match outcome {
                Ok(gaps) => {
                    let Gaps { arrivals, rate_per_s, deviation_us, p50_us, p99_us } = gaps;
                    line["arrivals"] = json!({"count": arrivals, "per_s": rate_per_s, "gap_deviation_us": deviation_us,
                        "gap_p50_us": p50_us, "gap_p99_us": p99_us});
                    match found.iter_mut().find(|(name, _)| *name == tool.name) {
                        Some((_, all)) => all.push(gaps),
                        None => found.push((tool.name, vec![gaps])),
                    }
                }
                Err(problem) => line["problem"] = problem.to_string().into(),
            }
            record.line(&line)?;
        }
    }
    Ok(found)
}

fn paced(args: &Args, tool: &Tool) -> Result<Gaps, Problem> {
    // Twice what is asked for: a tool that sends more is not cut off.
    let recorded_max = 2 * args.rate as usize * args.seconds as usize;
    let server = Server::start(Config { cpu: args.target_cpu, body_bytes: 18, recorded_max, delay: None })?;
    let load = Load {
        url: url(server.address()),
        connections: args.rate_connections,
        seconds: args.seconds,
        cpu: args.tool_cpu,
        rate_per_s: Some(args.rate),
    };
    let finished = start(args, tool, &load)?;
    let gaps = server::gaps(&server.stop()?.arrivals_ns, WARM_UP_NS);
    Ok(gaps.ok_or_else(|| format!("too few requests arrived; {}", finished.complaint()))?)
}

/// Some tools say by their exit code what they think of the result: what arrived at the target counts, not that.
fn start(args: &Args, tool: &Tool, load: &Load) -> Result<Finished, Problem> {
    let limit = Duration::from_secs(u64::from(load.seconds)) + GRACE;
    let invocation = tool.invocation(load);
    process::run(&mut invocation.command(), args.tool_cpu, &invocation.input, limit)
}
