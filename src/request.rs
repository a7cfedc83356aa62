//! The flags that say what is sent and how, shared by every command that makes load; and the type that they amount to.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::builder::BoolishValueParser;
use clap::{Args, ValueEnum};
use onrush_protocol::{Expect, RequestOrder, TestConfig, TestType, TlsConfig, limits};

use crate::error::Error;
use crate::parse::{self, duration};
use crate::targets::TargetsFile;

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
    /// Several requests in place of one: a file with a URL or a JSON object on each line, with url (where it is missing:
    /// URL), method, headers, body or body_base64, weight and expect; # begins a comment
    #[arg(
        long, value_name = "FILE", conflicts_with_all = ["method", "headers", "body", "body_file"],
        env = "ONRUSH_TEST_TARGETS", help_heading = "Request"
    )]
    pub targets: Option<PathBuf>,
    /// The order of several requests: in_turn, weights spread evenly, or shuffled by --seed [default: in_turn]
    #[arg(
        long, value_parser = order, requires = "targets", env = "ONRUSH_TEST_ORDER", help_heading = "Request"
    )]
    pub order: Option<RequestOrder>,
    /// The same seed gives the same shuffled order [default: 0]
    #[arg(long, value_name = "N", requires = "order", env = "ONRUSH_TEST_SEED", help_heading = "Request")]
    pub seed: Option<u64>,
    /// What answers must be like, else they count as failed; repeatable. status=200, status=2xx, body~TEXT,
    /// json:/PATH=VALUE
    #[arg(
        long = "expect", value_name = "CHECK", value_parser = str::parse::<Expect>, value_delimiter = '\n',
        env = "ONRUSH_TEST_EXPECT", help_heading = "Request"
    )]
    pub expect: Vec<Expect>,
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
    /// Take any certificate of an https target
    #[arg(short = 'k', long, value_parser = BoolishValueParser::new(), env = "ONRUSH_TEST_INSECURE", help_heading = "TLS")]
    pub insecure: bool,
    /// The authorities that https targets are trusted by, in PEM [default: those that the system trusts]
    #[arg(long, value_name = "FILE", env = "ONRUSH_TEST_CACERT", help_heading = "TLS")]
    pub cacert: Option<PathBuf>,
    /// The certificate to show to https targets, in PEM
    #[arg(long, value_name = "FILE", requires = "key", env = "ONRUSH_TEST_CERT", help_heading = "TLS")]
    pub cert: Option<PathBuf>,
    /// Its private key, in PEM
    #[arg(long, value_name = "FILE", requires = "cert", env = "ONRUSH_TEST_KEY", help_heading = "TLS")]
    pub key: Option<PathBuf>,
}

fn order(name: &str) -> Result<RequestOrder, String> {
    RequestOrder::from_name(name).ok_or_else(|| "give in_turn or shuffled".into())
}

impl RequestArgs {
    /// Writes what is asked for into a test; reads the files that are named. `url_needed`: whoever runs the test has no
    /// URL of its own for requests that name none.
    pub fn apply(&self, config: &mut TestConfig, url_needed: bool) -> Result<(), Error> {
        let Self { method, headers, body, body_file, targets, order, seed, expect, .. } = self;
        if let Some(method) = method {
            config.method.clone_from(method);
        }
        config.headers.clone_from(headers);
        config.body = match body_file {
            Some(path) => Some(body_of_file(path)?),
            None => body.clone().map(String::into_bytes),
        };
        if let Some(path) = targets {
            config.requests = TargetsFile::read(path)?.into_requests(url_needed && config.target_url.is_none())?;
        }
        config.order = order.unwrap_or_default();
        config.seed = seed.unwrap_or(0);
        config.expect.clone_from(expect);
        let Self { timeout, connect_timeout, disable_keepalive, insecure, cacert, cert, key, .. } = self;
        config.timeout = timeout.unwrap_or(config.timeout);
        config.connect_timeout = connect_timeout.unwrap_or(config.connect_timeout);
        config.keepalive = !disable_keepalive;
        let pem = |flag, path: &Option<PathBuf>| path.as_deref().map(|path| read_text(flag, path)).transpose();
        config.tls = TlsConfig {
            insecure: *insecure,
            ca_pem: pem("--cacert", cacert)?,
            cert_pem: pem("--cert", cert)?,
            key_pem: pem("--key", key)?,
        };
        Ok(())
    }
}

fn read_text(flag: &str, path: &Path) -> Result<String, Error> {
    std::fs::read_to_string(path).map_err(|e| Error::Failed(format!("cannot use {flag} {}: {e}", path.display())))
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
