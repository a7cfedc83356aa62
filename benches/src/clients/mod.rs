//! The same closed loop on several foundations: C connections, each sends `GET /ping` as soon as its answer is in.
//!
//! All but the engine know the length of the answer beforehand and look at nothing else: they cost what their
//! foundation costs. The engine reads every answer, keeps its schedule and records three distributions.

mod engine;
mod glommio;
mod monoio;
mod raw;

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::Command;
use std::time::{Duration, Instant};

use clap::ValueEnum;
use serde_json::{Value, json};

use crate::Problem;
use crate::machine::{self, Whose};
use crate::process;

/// What each client sends.
const REQUEST: &[u8] = b"GET /ping HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n";
/// How much a client reads at once.
const INPUT_BYTES: usize = 4096;

/// A foundation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Kind {
    /// io_uring by hand: multishot receive, provided buffers, fixed files, DEFER_TASKRUN
    Raw,
    /// The monoio runtime, with the ring's flags of the engine
    Monoio,
    /// The glommio runtime
    Glommio,
    /// The engine, with everything that a test of Onrush does
    Engine,
}

impl Kind {
    /// Its name in tables and on the command line.
    pub fn name(self) -> String {
        name(self)
    }
}

fn name(value: impl ValueEnum) -> String {
    value.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned())
}

/// What becomes of the engine's reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Reports {
    /// Each is taken and merged when its second is over
    Merged,
    /// The same, and each is written as the message that a driver sends
    Written,
    /// Nobody looks before the run is over
    AtTheEnd,
}

/// One run.
#[derive(Clone, Copy, Debug, clap::Args)]
pub struct Args {
    #[arg(long, value_enum)]
    pub kind: Kind,
    #[arg(long)]
    pub address: SocketAddr,
    #[arg(long)]
    pub connections: usize,
    #[arg(long)]
    pub seconds: f64,
    #[arg(long)]
    pub cpu: usize,
    #[arg(long, value_enum)]
    pub reports: Reports,
    /// Where reports are taken
    #[arg(long)]
    pub reports_cpu: usize,
}

/// What a run came to, seen from outside.
#[derive(Clone, Copy, Debug)]
pub struct Cost {
    /// Requests per second.
    pub per_s: f64,
    /// CPU time per request.
    pub cpu_us: f64,
    /// Of one CPU, between 0 and 1.
    pub busy: f64,
}

/// Runs one client in a process of its own; with what it said.
pub fn measure(args: Args) -> Result<(Cost, Value), Problem> {
    let Args { kind, address, connections, seconds, cpu, reports, reports_cpu } = args;
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["client", "--kind", &name(kind), "--reports", &name(reports), "--address", &address.to_string()]);
    command.args(["--connections", &connections.to_string(), "--seconds", &seconds.to_string()]);
    command.args(["--cpu", &cpu.to_string(), "--reports-cpu", &reports_cpu.to_string()]);
    let limit = Duration::try_from_secs_f64(seconds)? + Duration::from_secs(30);
    let said = process::ask(&mut command, cpu, limit)?;
    let part = |key: &str| said[key].as_f64().ok_or_else(|| format!("the client says no {key}"));
    let (requests, elapsed_s, cpu_s) = (part("requests")?, part("elapsed_s")?, part("cpu_s")?);
    if requests == 0.0 {
        return Err("no request was answered".into());
    }
    let cost = Cost { per_s: requests / elapsed_s, cpu_us: cpu_s * 1e6 / requests, busy: cpu_s / elapsed_s };
    Ok((cost, said))
}

/// What a client is to do.
#[derive(Clone, Copy, Debug)]
struct Job {
    address: SocketAddr,
    connections: usize,
    duration: Duration,
    cpu: usize,
    reports: Reports,
    reports_cpu: usize,
    /// The length of each answer, its head included.
    answer_bytes: usize,
}

/// Runs one client in this process and says what it did, as one line of JSON.
pub fn run(args: &Args) -> Result<(), Problem> {
    let Args { kind, address, connections, seconds, cpu, reports, reports_cpu } = *args;
    let (duration, answer_bytes) = (Duration::try_from_secs_f64(seconds)?, answer_bytes(address)?);
    let job = Job { address, connections, duration, cpu, reports, reports_cpu, answer_bytes };
    let Measured { requests, elapsed, cpu } = match kind {
        Kind::Raw => raw::run(job)?,
        Kind::Monoio => monoio::run(job)?,
        Kind::Glommio => glommio::run(job)?,
        Kind::Engine => engine::run(job)?,
    };
    println!("{}", json!({"requests": requests, "elapsed_s": elapsed.as_secs_f64(), "cpu_s": cpu.as_secs_f64()}));
    Ok(())
}

/// What a run came to.
#[derive(Debug)]
struct Measured {
    requests: u64,
    elapsed: Duration,
    cpu: Duration,
}

/// From the first request on: what came before is not measured.
struct Meter {
    began: Instant,
    cpu_before: Duration,
}

impl Meter {
    fn start() -> Self {
        Self { cpu_before: machine::cpu_time(Whose::Own), began: Instant::now() }
    }

    fn stop(self, requests: u64) -> Measured {
        let elapsed = self.began.elapsed();
        Measured { requests, elapsed, cpu: machine::cpu_time(Whose::Own) - self.cpu_before }
    }
}

/// Asks once, and measures the answer.
fn answer_bytes(address: SocketAddr) -> Result<usize, Problem> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    stream.write_all(REQUEST)?;
    let mut answer = Vec::new();
    loop {
        let mut piece = [0; INPUT_BYTES];
        let length = stream.read(&mut piece)?;
        if length == 0 {
            return Err("the target closed the connection instead of answering".into());
        }
        answer.extend_from_slice(&piece[..length]);
        if let Some(end) = answer.windows(4).position(|four| four == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&answer[..end]).to_ascii_lowercase();
            let length =
                head.lines().find_map(|line| line.strip_prefix("content-length:")?.trim().parse::<usize>().ok());
            return Ok(end + 4 + length.ok_or("the target's answer has no Content-Length")?);
        }
    }
}

/// Takes the bytes that came off an answer; true: the answer is complete.
fn complete(left: &mut usize, came: usize, answer_bytes: usize) -> io::Result<bool> {
    if came == 0 {
        return Err(io::Error::other("the target closed a connection"));
    }
    *left = left.checked_sub(came).ok_or_else(|| io::Error::other("an answer was longer than the first one"))?;
    let is_complete = *left == 0;
    if is_complete {
        *left = answer_bytes;
    }
    Ok(is_complete)
}
