//! Options that several commands share.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use onrush_api::{Client, Token};
use url::Url;

use crate::error::Error;
use crate::file;
use crate::parse::{self, LocalAddresses};

/// How to reach Kafka, beside its address.
#[derive(Debug, Args)]
#[command(next_help_heading = "Kafka")]
pub struct TopicArgs {
    /// Put before each topic's name; all nodes that are to meet need the same
    #[arg(long, value_name = "TEXT", default_value = "", env = "ONRUSH_TOPIC_PREFIX")]
    pub topic_prefix: String,
    /// A setting of the Kafka library (librdkafka, built without TLS and SASL), repeatable; in the environment, one a
    /// line
    #[arg(
        long = "kafka-option", value_name = "NAME=VALUE", value_parser = parse::option, value_delimiter = '\n',
        env = "ONRUSH_KAFKA_OPTION", hide_env_values = true
    )]
    pub kafka_options: Vec<(String, String)>,
}

impl TopicArgs {
    /// What is wrong with these flags, whatever the broker says.
    pub fn check(&self) -> Result<(), Error> {
        onrush_bus::check_topic_prefix(&self.topic_prefix).map_err(|e| Error::Usage(e.to_string()))
    }
}

/// By what token an orchestrator is asked.
#[derive(Clone, Debug, Default, Args)]
pub struct AskArgs {
    /// A file with the token that the orchestrator wants, and nothing else. Without it: ONRUSH_TOKEN, the token itself
    #[arg(long, global = true, value_name = "FILE", env = "ONRUSH_TOKEN_FILE", help_heading = "Orchestrator")]
    pub token_file: Option<PathBuf>,
}

impl AskArgs {
    /// A client of the orchestrator at this URL.
    pub fn client(&self, url: Url) -> Result<Client, Error> {
        const VARIABLE: &str = "ONRUSH_TOKEN";
        const MAX_FILE_BYTES: usize = 4096;
        let (from, text) = match &self.token_file {
            Some(path) => {
                let bytes = file::read_bytes("--token-file", path, MAX_FILE_BYTES)?;
                (format!("--token-file {}", path.display()), String::from_utf8_lossy(&bytes).into_owned())
            }
            None => match std::env::var(VARIABLE) {
                Ok(text) if !text.trim().is_empty() => (VARIABLE.to_owned(), text),
                Err(std::env::VarError::NotUnicode(_)) => return Err(Error::Usage(format!("{VARIABLE} is not text"))),
                _ => return Ok(Client::new(url)),
            },
        };
        let token = Token::read(&text).map_err(|problem| Error::Usage(format!("cannot use {from}: {problem}")))?;
        Ok(Client::with_token(url, &token))
    }
}

/// How the engine makes the load.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Engine")]
pub struct EngineArgs {
    /// How a thread waits for the moment that a request is due
    #[arg(long, value_enum, default_value = "auto", env = "ONRUSH_WAIT")]
    pub wait: WaitArg,
    /// How requests reach the network
    #[arg(long, value_enum, default_value = "auto", env = "ONRUSH_IO")]
    pub io: IoArg,
    /// An address of this machine that connections come from, or a range (10.0.0.5-10.0.0.9), in turn; repeatable. Each has
    /// some 28,000 ports for every address of a target
    #[arg(
        long = "local-address", value_name = "IP", value_parser = parse::local_addresses, value_delimiter = ',',
        env = "ONRUSH_LOCAL_ADDRESS"
    )]
    pub local_addresses: Vec<LocalAddresses>,
}

/// How requests reach the network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum IoArg {
    /// io_uring, or epoll where io_uring is refused
    Auto,
    /// io_uring or nothing: refuses to start without it
    #[value(name = "io_uring")]
    IoUring,
    /// epoll: more CPU time per request
    Epoll,
}

impl From<IoArg> for onrush_engine::Io {
    fn from(io: IoArg) -> Self {
        match io {
            IoArg::Auto => Self::Auto,
            IoArg::IoUring => Self::IoUring,
            IoArg::Epoll => Self::Epoll,
        }
    }
}

impl From<IoArg> for onrush_target::Io {
    fn from(io: IoArg) -> Self {
        match io {
            IoArg::Auto => Self::Auto,
            IoArg::IoUring => Self::IoUring,
            IoArg::Epoll => Self::Epoll,
        }
    }
}

/// How a driver's threads wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum WaitArg {
    /// Poll where the CPUs are the driver's own, else sleep.
    Auto,
    /// Keep polling: below a microsecond late, and the CPU is busy all the time.
    Poll,
    /// Sleep on a timer: right where CPUs are shared.
    Timer,
}
