//! What Onrush costs beside what others cost, and beside what its own parts could cost at least.
//!
//! `runtimes` compares the engine with the least that the kernel's interface allows, `peers` compares `onrush bench`
//! with other load tools, `tsunami` says how late the engine sends. Every run has a process and a CPU of its own
//! (`process` starts it), every target a CPU of its own (`target`, `server`). The smallest pieces are measured by the
//! criterion benches beside this. docs/BENCHMARKS.md says how to read it all.

mod clients;
mod latency;
mod load;
mod machine;
mod memory;
mod peers;
mod process;
mod record;
mod reporting;
mod runtimes;
mod server;
mod summary;
mod target;
mod throughput;
mod tsunami;

use std::process::ExitCode;

use clap::Parser;

/// Whatever stops a benchmark, in words.
pub type Problem = Box<dyn std::error::Error + Send + Sync>;

/// Compares Onrush with other load tools and other runtimes, on this machine and over loopback.
#[derive(Debug, Parser)]
enum Command {
    /// The engine beside raw io_uring, monoio and glommio: CPU time per request
    Runtimes(runtimes::Args),
    /// `onrush bench` beside other load tools: requests/s, CPU time per request, evenness at a set rate
    Peers(peers::Args),
    /// How late the engine sends: schedule error at several rates, polling and on a shared core
    Tsunami(tsunami::Args),
    /// Whether a target throughput is held, from one request a second to more than the machine can do
    Throughput(throughput::Args),
    /// Whether latency is true: the engine beside a target whose every delay is known
    Latency(latency::Args),
    /// What a report every second costs
    Reporting(reporting::Args),
    /// What an idle connection takes of memory
    Memory(memory::Args),
    /// One process that holds connections
    #[command(hide = true)]
    Hold(memory::HoldArgs),
    /// One run of one client, in a process of its own
    #[command(hide = true)]
    Client(clients::Args),
    /// The engine with the flags of `onrush bench`, where that is not there
    #[command(hide = true)]
    Load(load::Args),
}

fn main() -> ExitCode {
    let done = match Command::parse() {
        Command::Runtimes(args) => runtimes::run(&args),
        Command::Peers(args) => peers::run(&args),
        Command::Tsunami(args) => tsunami::run(&args),
        Command::Throughput(args) => throughput::run(&args),
        Command::Latency(args) => latency::run(&args),
        Command::Reporting(args) => reporting::run(&args),
        Command::Memory(args) => memory::run(&args),
        Command::Hold(args) => memory::hold(&args),
        Command::Client(args) => clients::run(&args),
        Command::Load(args) => load::run(&args),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            eprintln!("error: {problem}");
            ExitCode::FAILURE
        }
    }
}
