//! The flags that say what is sent and how, shared by every command that makes load; and the type that they amount to.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::builder::BoolishValueParser;
use clap::{Args, ValueEnum};
use onrush_protocol::{TestType, limits};

use crate::error::Error;
use crate::parse::{self, duration};

/// How requests are spaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum TypeArg {
    /// Every request goes out as soon as a connection is free.
    Avalanche,
    /// A request every --delay, whatever the answers do.
    Tsunami,
}

/// What is sent.
#[derive(Clone, Debug, Args)]
pub struct RequestArgs {
    /// The request's method [default: GET]
    #[arg(short, long, env = "ONRUSH_TEST_METHOD", help_heading = "Request")]
    pub method: Option<String>,
    /// A header, repeatable; in the environment, one a line
    #[arg(
        short = 'H', long = "header", value_name = "NAME: VALUE", value_parser = parse::header, value_delimiter = '\n',
        env = "ONRUSH_TEST_HEADER", hide_env_values = true, help_heading = "Request"
    )]
    pub headers: Vec<(String, String)>,
    /// The request's body
    #[arg(long, value_name = "TEXT", conflicts_with = "body_file", env = "ONRUSH_TEST_BODY", help_heading = "Request")]
    pub body: Option<String>,
    /// The file that is the request's body
    #[arg(long, value_name = "FILE", env = "ONRUSH_TEST_BODY_FILE", help_heading = "Request")]
    pub body_file: Option<PathBuf>,
    /// From a request's send to the last byte of its answer [default: 10s]
    #[arg(
        long, value_name = "DURATION", value_parser = duration,
        env = "ONRUSH_TEST_TIMEOUT", help_heading = "Request"
    )]
    pub timeout: Option<Duration>,
    /// For opening a connection [default: 5s]
    #[arg(
        long, value_name = "DURATION", value_parser = duration,
        env = "ONRUSH_TEST_CONNECT_TIMEOUT", help_heading = "Request"
    )]
    pub connect_timeout: Option<Duration>,
    /// A new connection for each request
    #[arg(
        long, value_parser = BoolishValueParser::new(),
        env = "ONRUSH_TEST_DISABLE_KEEPALIVE", help_heading = "Request"
    )]
    pub disable_keepalive: bool,
}

/// The type of a test: the one that was asked for, or the one that its other flags make it.
pub fn test_type(asked: Option<TypeArg>, delay: Option<Duration>, rate: Option<f64>) -> Result<TestType, Error> {
    match (asked, delay) {
        (Some(TypeArg::Avalanche), Some(_)) => {
            let problem =
                "--delay is for --type tsunami; an avalanche sends as soon as a connection is free, --rate slows it";
            Err(Error::Usage(problem.into()))
        }
        (Some(TypeArg::Avalanche), None) | (None, None) => Ok(TestType::Avalanche),
        (Some(TypeArg::Tsunami), None) if rate.is_none() => {
            Err(Error::Usage("a tsunami needs --delay, the time between two requests (2ms, 250us), or --rate".into()))
        }
        (Some(TypeArg::Tsunami), _) | (None, Some(_)) => Ok(TestType::Tsunami),
    }
}

/// `localhost:8080/ping` is as good as `http://localhost:8080/ping`.
pub fn with_scheme(url: &str) -> String {
    if url.contains("://") { url.to_owned() } else { format!("http://{url}") }
}

/// The bytes of a file that is to be sent.
pub fn body_of_file(path: &Path) -> Result<Vec<u8>, Error> {
    let cannot =
        |problem: String| Error::Failed(format!("cannot use --body-file {} as the body: {problem}", path.display()));
    let bytes = std::fs::read(path).map_err(|e| cannot(e.to_string()))?;
    if bytes.len() > limits::MAX_BODY_BYTES {
        return Err(cannot(format!("it has {} bytes; at most {} fit", bytes.len(), limits::MAX_BODY_BYTES)));
    }
    Ok(bytes)
}
