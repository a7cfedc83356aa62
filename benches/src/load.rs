//! The engine by itself, with the flags of `onrush bench`: the stand-in where that is not built.

use std::time::{Duration, Instant};

use onrush_engine::{
    Armed, Arrivals, End, Io, Mode, Options, Order, Plan, Request, Running, SecondReport, Server, Share, Tls, Wait,
};
use onrush_protocol::TargetUrl;
use onrush_stats::{SecondStats, Totals};
use serde_json::json;

use crate::{Problem, machine};

/// As `onrush bench` has them.
#[derive(Debug, clap::Args)]
pub struct Args {
    url: String,
    #[arg(short)]
    connections: u32,
    /// Seconds, with or without an `s`.
    #[arg(short, value_parser = parse_seconds)]
    duration: Duration,
    #[arg(short = 'R')]
    rate_per_s: Option<f64>,
    #[arg(long = "type", default_value = "avalanche")]
    test_type: String,
    #[arg(long)]
    cpus: usize,
    #[arg(long, default_value = "timer")]
    wait: String,
    #[arg(long)]
    output_format: Option<String>,
}

fn parse_seconds(text: &str) -> Result<Duration, String> {
    let seconds = text.trim_end_matches('s').parse().map_err(|_| "give seconds, as in 5s")?;
    Duration::try_from_secs_f64(seconds).map_err(|e| e.to_string())
}

/// Runs it and says in JSON what it did.
pub fn run(args: &Args) -> Result<(), Problem> {
    let per_request = |rate_per_s: f64| Duration::try_from_secs_f64(1.0 / rate_per_s);
    let (mode, target_throughput_per_s) = match (args.test_type.as_str(), args.rate_per_s) {
        ("avalanche", rate_per_s) => (Mode::Avalanche, rate_per_s),
        ("tsunami", Some(rate_per_s)) => (Mode::Tsunami { delay: per_request(rate_per_s)? }, None),
        _ => return Err("give --type avalanche, or --type tsunami with a rate -R".into()),
    };
    let wait = match args.wait.as_str() {
        "poll" => Wait::Poll,
        "timer" => Wait::Timer,
        _ => return Err("--wait: poll or timer".into()),
    };
    let plan = plan(&args.url, mode, target_throughput_per_s, args.connections, args.duration)?;
    let armed =
        Armed::new(plan, Options { cpus: vec![args.cpus], wait, io: Io::IoUring, local_addresses: Vec::new() })?;
    let Ran { totals, stats } = finish(armed.start(Instant::now()))?;
    let quantile_us = |quantile| stats.latency.quantile_ns(quantile).map(|ns| ns as f64 / 1e3);
    println!(
        "{}",
        json!({
            "sent": totals.sent, "answered": totals.answered, "failed": totals.failed, "skipped": totals.skipped,
            "latency_p50_us": quantile_us(0.5), "latency_p99_us": quantile_us(0.99),
        })
    );
    Ok(())
}

/// A plan with nothing unusual: `GET`, keep-alive.
pub fn plan(
    url: &str,
    mode: Mode,
    target_throughput_per_s: Option<f64>,
    connections: u32,
    duration: Duration,
) -> Result<Plan, Problem> {
    let TargetUrl { tls, host, port, request_target } = TargetUrl::parse(url)?;
    Ok(Plan {
        mode,
        target_throughput_per_s,
        count: None,
        duration: Some(duration),
        profile: None,
        share: Share::default(),
        arrivals: Arrivals::Even,
        connections,
        think_time: Duration::ZERO,
        keepalive: true,
        timeout: Duration::from_secs(10),
        connect_timeout: Duration::from_secs(5),
        resend: true,
        requests: vec![Request::get(Server { tls, host, port }, request_target)],
        order: Order::InTurn,
        tls: Tls::default(),
        routes: Vec::new(),
        unix_socket: None,
    })
}

/// What a whole run measured.
#[derive(Debug)]
pub struct Ran {
    /// Its counts.
    pub totals: Totals,
    /// Its distributions.
    pub stats: SecondStats,
}

/// Runs a plan on one CPU while its reports are read on another, with a look at each second as it comes.
pub fn run_on(
    engine_cpu: usize,
    reports_cpu: usize,
    plan: Plan,
    wait: Wait,
    look: impl FnMut(&SecondReport),
) -> Result<Ran, Problem> {
    let armed =
        Armed::new(plan, Options { cpus: vec![engine_cpu], wait, io: Io::IoUring, local_addresses: Vec::new() })?;
    machine::pin(reports_cpu)?;
    // A start a little ahead costs the run nothing of what comes before it.
    follow(armed.start(Instant::now() + Duration::from_millis(20)), look)
}

/// Follows a run to its end.
pub fn finish(running: Running) -> Result<Ran, Problem> {
    follow(running, |_| ())
}

/// The same, with a look at each second as it comes.
pub fn follow(mut running: Running, mut look: impl FnMut(&SecondReport)) -> Result<Ran, Problem> {
    let mut stats = SecondStats::default();
    loop {
        let Some(second) = running.next_second(Duration::from_secs(30)) else {
            return Err("the engine reported nothing for 30 s".into());
        };
        look(&second);
        stats.append(&second.stats);
        match second.end {
            None => (),
            Some(End::Failed(reason)) => return Err(reason.into()),
            Some(End::Completed | End::Stopped) => return Ok(Ran { totals: second.totals, stats }),
        }
    }
}
