//! What an idle connection costs: user memory of the engine, with many connections open and hardly a request.

use std::net::SocketAddr;
use std::process::Command;
use std::time::{Duration, Instant};

use onrush_engine::{Armed, Io, Mode, Options, Wait};
use serde_json::json;

use crate::load::{finish, plan};
use crate::machine::Cpus;
use crate::record::{Output, Record};
use crate::summary::{number, table};
use crate::target::{Served, url};
use crate::{Problem, machine, process};

/// How long the connections are held: long enough for the memory to be looked at.
const HELD: Duration = Duration::from_secs(2);

/// What to measure.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Connections; each number has a process of its own
    #[arg(long, value_delimiter = ',', default_values_t = [100, 1_000, 10_000])]
    connections: Vec<u32>,
    #[command(flatten)]
    cpus: Cpus,
    #[command(flatten)]
    output: Output,
}

/// One process that holds its connections.
#[derive(Debug, clap::Args)]
pub struct HoldArgs {
    #[arg(long)]
    address: SocketAddr,
    #[arg(long)]
    connections: u32,
    #[arg(long)]
    cpu: usize,
}

/// Measures all and writes the table.
pub fn run(args: &Args) -> Result<(), Problem> {
    let target = Served::start(args.cpus.target_cpu, None)?;
    let mut record = Record::create(&args.output, "memory", "Memory of idle connections")?;
    record.say(&format!(
        "One engine thread on CPU {}, ten requests a second over all connections. Anonymous memory of the process \
         (`RssAnon`), and what each further connection takes of it. The sockets' own memory is the kernel's.\n",
        args.cpus.engine_cpu
    ));
    let mut rows = Vec::new();
    let mut before: Option<(u32, f64)> = None;
    for connections in args.connections.iter().copied() {
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["hold", "--address", &target.address().to_string()]);
        command.args(["--connections", &connections.to_string(), "--cpu", &args.cpus.engine_cpu.to_string()]);
        let said = process::ask(&mut command, args.cpus.engine_cpu, HELD + Duration::from_secs(60))?;
        record.line(&said)?;
        let part = |key: &str| said[key].as_f64().ok_or_else(|| format!("the process says no {key}"));
        let (open, bytes) = (part("connections_open")?, part("anonymous_bytes")?);
        let each = before.map(|(fewer, less)| (bytes - less) / f64::from(connections - fewer.min(connections)));
        before = Some((connections, bytes));
        let mib = number(bytes / f64::from(1 << 20), 1);
        rows.push(vec![
            connections.to_string(),
            number(open, 0),
            mib,
            each.map_or_else(|| "-".into(), |bytes| number(bytes, 0)),
        ]);
    }
    let head = ["connections", "open at the start", "memory, MiB", "bytes each, beside the row above"];
    record.say(&table(&head, &rows));
    record.finish()
}

/// Holds connections and says what that takes, as one line of JSON.
pub fn hold(args: &HoldArgs) -> Result<(), Problem> {
    let HoldArgs { address, connections, cpu } = *args;
    let mode = Mode::Tsunami { delay: Duration::from_millis(100) };
    let plan = plan(&url(address), mode, None, connections, HELD)?;
    machine::pin(cpu)?;
    let armed =
        Armed::new(plan, Options { cpus: vec![cpu], wait: Wait::Timer, io: Io::IoUring, local_addresses: Vec::new() })?;
    let connections_open = armed.connections_open();
    let running = armed.start(Instant::now());
    std::thread::sleep(HELD / 2);
    let anonymous_bytes = anonymous_bytes()?;
    let ran = finish(running)?;
    println!(
        "{}",
        json!({"connections": connections, "connections_open": connections_open, "anonymous_bytes": anonymous_bytes,
            "answered": ran.totals.answered, "failed": ran.totals.failed})
    );
    Ok(())
}

/// Memory of this process that no file backs.
fn anonymous_bytes() -> Result<u64, Problem> {
    Ok(onrush_host::usage::status_bytes("RssAnon").ok_or("the kernel tells no RssAnon")?)
}
