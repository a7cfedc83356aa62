//! The `onrush` command: it reads the command line, starts what was asked for and turns the outcome into an exit code.
//!
//! Reading order: `cli` (what can be asked for), `nodes` (orchestrator, driver, target), `test` (the REST client's
//! commands), `bench`, `doctor`, `demo`. This package refuses to know how load is made, merged or stored.

mod ab;
mod args;
mod bench;
mod capacity;
mod cli;
mod compare;
mod console;
mod demo;
mod doctor;
mod error;
#[cfg(test)]
#[path = "../tests/examples/reader.rs"]
mod examples;
mod file;
mod follow;
mod local_target;
mod logging;
mod nodes;
mod parse;
mod report;
mod request;
mod result;
mod signals;
mod sweep;
mod table;
mod targets;
mod test_command;
mod text;
mod threshold;
mod token;
mod usage;
mod verify;

use std::process::ExitCode;

use tracing::Level;

use crate::cli::{Cli, Command};

fn main() -> ExitCode {
    let Cli { command, log_format, quiet } = match usage::read() {
        Ok(cli) => cli,
        Err(code) => return code,
    };
    let console = console::Console::new(quiet);
    // The nodes have nothing but their log to show; the others have a screen of their own.
    let is_node = matches!(command, Command::Orchestrator(_) | Command::Driver(_) | Command::Target(_));
    let level = match (quiet, is_node) {
        (true, _) => Level::ERROR,
        (false, true) => Level::INFO,
        (false, false) => Level::WARN,
    };
    logging::start(log_format, level, &console);
    let outcome = match command {
        Command::Demo(args) => demo::run(args, log_format, &console),
        Command::Test(args) => test_command::run(args, &console),
        Command::Orchestrator(args) => nodes::orchestrator(args),
        Command::Token(args) => token::run(&args, &console),
        Command::Driver(args) => nodes::driver(args),
        Command::Target(args) => nodes::target(args),
        Command::Bench(args) => bench::run(*args, &console),
        Command::Capacity(args) => capacity::run(*args, &console),
        Command::Sweep(args) => sweep::run(*args, &console),
        Command::Compare(args) => compare::run(args, &console),
        Command::Ab(args) => ab::run(*args, &console),
        Command::Verify(args) => verify::run(&args, &console),
        Command::Doctor(args) => doctor::run(args, &console),
        Command::Health(args) => doctor::health(args),
    };
    console.end_progress();
    match outcome {
        Ok(code) => code,
        Err(error) => {
            if let Some(words) = error.words() {
                console.error(&words);
            }
            error.exit_code()
        }
    }
}
