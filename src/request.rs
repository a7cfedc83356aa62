//! The flags that say what is sent and how, shared by every command that makes load; and the type that they amount to.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::builder::BoolishValueParser;
use clap::{Args, ValueEnum};
use onrush_protocol::{ConnectTo, Expect, RequestOrder, TestConfig, TestType, limits};

use crate::error::Error;
use crate::file::read_bytes;
use crate::parse::{self, duration};
use crate::targets::TargetsFile;

/// A bundle with the text of each certificate beside it is some ten times as long.
const MAX_PEM_FILE_BYTES: usize = 4 * 1024 * 1024;

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
    #[arg(
        long,
        value_name = "TEXT",
        conflicts_with = "body_file",
        env = "ONRUSH_TEST_BODY",
        hide_env_values = true,
        help_heading = "Request"
    )]
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
    /// What answers must be like, else they count as failed; repeatable. status=200, status=2xx,304, body~TEXT,
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
    /// Do not send a request once more when a connection that served before ends without a byte of response
    #[arg(long, value_parser = BoolishValueParser::new(), env = "ONRUSH_TEST_NO_RESEND", help_heading = "Request")]
    pub no_resend: bool,
    /// Connect to ADDRESS:PORT2 for URLs with HOST:PORT, whose Host header and TLS name stay; repeatable, several for one
    /// HOST:PORT share the connections. What is left empty means any, or the URL's own
    #[arg(
        long, value_name = "HOST:PORT:ADDRESS:PORT2", value_parser = str::parse::<ConnectTo>, value_delimiter = ',',
        env = "ONRUSH_TEST_CONNECT_TO", help_heading = "Request"
    )]
    pub connect_to: Vec<ConnectTo>,
    /// Connect to these addresses for URLs with HOST:PORT, as curl does; repeatable
    #[arg(
        long, value_name = "HOST:PORT:ADDRESS[,ADDRESS]", value_parser = ConnectTo::of_resolve,
        env = "ONRUSH_TEST_RESOLVE", help_heading = "Request"
    )]
    pub resolve: Vec<std::vec::Vec<ConnectTo>>,
    /// Connect to this Unix socket, whatever the URL says; unix:PATH in place of the URL does the same
    #[arg(long, value_name = "PATH", env = "ONRUSH_TEST_UNIX_SOCKET", help_heading = "Request")]
    pub unix_socket: Option<String>,
    /// A new connection for each request
    #[arg(
        long, value_parser = BoolishValueParser::new(),
        env = "ONRUSH_TEST_DISABLE_KEEPALIVE", help_heading = "Request"
    )]
    pub disable_keepalive: bool,
    /// Take any certificate of an https target
    #[arg(short = 'k', long, value_parser = BoolishValueParser::new(), env = "ONRUSH_TEST_INSECURE", help_heading = "TLS")]
    pub insecure: bool,
    /// The authorities that https targets are trusted by, or the targets' own certificates, in PEM [default: the
    /// authorities that the system trusts]
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
        let Self { method, headers, body, body_file, targets, order, seed, expect, unix_socket, .. } = self;
        if let Some(method) = method {
            config.method.clone_from(method);
        }
        config.headers.clone_from(headers);
        config.body = match body_file {
            Some(path) => Some(body_of_file(path)?),
            None => body.clone().map(String::into_bytes),
        };
        config.unix_socket.clone_from(unix_socket);
        if let Some(path) = config.target_url.as_deref().and_then(unix_path) {
            config.unix_socket = Some(path.to_owned());
            config.target_url = Some("http://localhost/".into());
        }
        if let Some(path) = targets {
            config.requests = TargetsFile::read(path)?.into_requests(config.target_url.as_deref(), url_needed)?;
        }
        config.order = order.unwrap_or_default();
        config.seed = seed.unwrap_or(0);
        config.expect.clone_from(expect);
        let Self { no_resend, connect_to, resolve, .. } = self;
        config.resend = !no_resend;
        config.connect_to = connect_to.iter().chain(resolve.iter().flatten()).cloned().collect();
        let Self { timeout, connect_timeout, disable_keepalive, insecure, cacert, cert, key, .. } = self;
        config.timeout = timeout.unwrap_or(config.timeout);
        config.connect_timeout = connect_timeout.unwrap_or(config.connect_timeout);
        config.keepalive = !disable_keepalive;
        let pem =
            |flag, path: &Option<PathBuf>, what| path.as_deref().map(|path| read_pem(flag, path, what)).transpose();
        config.tls_insecure = *insecure;
        config.tls_ca_pem = pem("--cacert", cacert, "certificate")?;
        config.tls_cert_pem = pem("--cert", cert, "certificate")?;
        config.tls_key_pem = pem("--key", key, "key")?;
        Ok(())
    }
}

/// The PEM in a file, which may be a system's whole bundle with comments in any coding.
fn read_pem(flag: &str, path: &Path, what: &str) -> Result<String, Error> {
    let bytes = read_bytes(flag, path, MAX_PEM_FILE_BYTES)?;
    let cannot = |problem| Error::Usage(format!("cannot use {flag} {}: it {problem}", path.display()));
    onrush_engine::pem_only(&bytes, what).map_err(cannot)
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

/// The path of `unix:PATH` and `unix://PATH`.
fn unix_path(url: &str) -> Option<&str> {
    let path = url.trim().strip_prefix("unix:")?;
    path.strip_prefix("//").filter(|path| path.starts_with('/')).or(Some(path))
}

/// The bytes of a file that is to be sent.
pub fn body_of_file(path: &Path) -> Result<Vec<u8>, Error> {
    read_bytes("--body-file", path, limits::MAX_BODY_BYTES)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pem_is_taken_out_of_whatever_stands_around_it() {
        let folder = tempfile::tempdir().expect("a folder for the test");
        let path = folder.path().join("ca.pem");
        let block = "-----BEGIN CERTIFICATE-----\nMAMCAQE=\n-----END CERTIFICATE-----\n";
        // A bundle with the text of each certificate, in Latin-1, behind a byte order mark.
        let mut bytes = b"\xef\xbb\xbf".to_vec();
        for _ in 0..200 {
            bytes.extend_from_slice(&[b"# Caf\xe9 ", "x".repeat(5000).as_bytes(), b"\r\n", block.as_bytes()].concat());
        }
        std::fs::write(&path, bytes).expect("the folder can be written");
        assert_eq!(read_pem("--cacert", &path, "certificate").expect("PEM"), block.repeat(200));
        for (bytes, says) in [(&[0x30, 0x82, 0, 0][..], "DER"), (b"hello", "-----BEGIN"), (b"", "-----BEGIN")] {
            std::fs::write(&path, bytes).expect("the folder can be written");
            let error = read_pem("--cacert", &path, "certificate").expect_err(says).to_string();
            assert!(error.contains("--cacert") && error.contains(says), "{error}");
        }
    }

    #[test]
    fn the_bundle_of_a_system_fits_into_a_test() {
        let mut config = TestConfig::new(onrush_protocol::TestId::new("t").expect("a name"), TestType::Avalanche);
        config.count_per_driver = Some(1);
        let block = format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", "A".repeat(2000));
        config.tls_ca_pem = Some(block.repeat(140));
        assert_eq!(config.problems(), []);
        config.tls_ca_pem = Some(block.repeat(300));
        assert!(config.problems().iter().any(|problem| problem.field == "tls_ca_pem"));
    }
}
