//! `onrush token new`: a token for somebody who may use an orchestrator.

use std::process::ExitCode;

use clap::{Args, Subcommand};
use onrush_api::TokenRole;
use onrush_orchestrator::{new_token, token_line};

use crate::console::Console;
use crate::error::Error;

/// Options of `onrush token`.
#[derive(Debug, Args)]
pub struct TokenArgs {
    /// What to do.
    #[command(subcommand)]
    pub command: TokenCommand,
}

/// What to do with tokens.
#[derive(Debug, Subcommand)]
pub enum TokenCommand {
    /// Make a random token, and the line that lets an orchestrator know it
    New(NewTokenArgs),
}

/// Options of `onrush token new`.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  onrush token new --role control --name ci
  onrush token new --role scrape --name prometheus

Two lines go to standard output. The first is the token: give it to whoever it is for, by a file for --token-file or by
ONRUSH_TOKEN; it is shown this once and stored nowhere. The second is for the orchestrator's --token-file; it has the token's hash and
is no secret.

Roles:
  scrape    GET /metrics
  view      that, and everything else that is shown: REST by GET, streams, the page
  control   everything: also make, start, change and stop tests")]
pub struct NewTokenArgs {
    /// What its owner may do: view, control or scrape
    #[arg(long, value_name = "ROLE", env = "ONRUSH_TOKEN_ROLE")]
    pub role: TokenRole,
    /// Whose it is, as events name whoever did something: letters, digits and -_.@
    #[arg(long, value_name = "NAME", env = "ONRUSH_TOKEN_NAME")]
    pub name: String,
}

/// `onrush token`.
pub fn run(args: &TokenArgs, console: &Console) -> Result<ExitCode, Error> {
    let TokenCommand::New(NewTokenArgs { role, name }) = &args.command;
    let token = new_token().map_err(|e| Error::failed("cannot make a token", e))?;
    let line =
        token_line(*role, name, &token).map_err(|problem| Error::Usage(format!("--name {name:?}: {problem}")))?;
    console.note("the token, shown this once, and the line for the orchestrator's --token-file:");
    console.result(&format!("{}\n{line}\n", token.reveal()))?;
    Ok(ExitCode::SUCCESS)
}
