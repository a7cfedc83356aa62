//! The server under load, on a CPU of its own, and what it counted.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::Duration;

use onrush_target::{Target, TargetConfig};

use crate::Problem;
use crate::server::{Config, Server};

/// A server that counts what it is asked.
#[derive(Debug)]
pub enum Served {
    /// The sample server, with its own short answer.
    Bundled(Target),
    /// Answers of a set length.
    Sized(Server),
}

impl Served {
    /// Starts the bundled target, or where a length is set the server of that length.
    pub fn start(cpu: usize, body_bytes: Option<usize>) -> Result<Self, Problem> {
        match body_bytes {
            None => Ok(Self::Bundled(bundled(cpu)?)),
            Some(body_bytes) => {
                Ok(Self::Sized(Server::start(Config { cpu, body_bytes, recorded_max: 0, delay: None })?))
            }
        }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        match self {
            Self::Bundled(target) => target.address(),
            Self::Sized(server) => server.address(),
        }
    }

    /// What to ask it for.
    pub fn url(&self) -> String {
        url(self.address())
    }

    /// Requests so far.
    pub fn requests(&self) -> Result<u64, Problem> {
        match self {
            Self::Bundled(target) => pings(target.address()),
            Self::Sized(server) => Ok(server.requests()),
        }
    }
}

/// What to ask a server at that address for.
pub fn url(address: SocketAddr) -> String {
    format!("http://{address}/ping")
}

/// The sample server on one CPU and a free port.
fn bundled(cpu: usize) -> Result<Target, Problem> {
    let listen = (Ipv4Addr::LOCALHOST, 0).into();
    Ok(Target::start(TargetConfig { cpus: Some(vec![cpu]), ..TargetConfig::new(listen) })?)
}

/// Requests for `/ping` that the bundled target counted.
fn pings(address: SocketAddr) -> Result<u64, Problem> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    let ask = "GET /metrics HTTP/1.1\r\nHost: localhost\r\nAccept: application/json\r\nConnection: close\r\n\r\n";
    stream.write_all(ask.as_bytes())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let (_, body) = answer.split_once("\r\n\r\n").ok_or("the target's /metrics has no body")?;
    let counted: serde_json::Value = serde_json::from_str(body)?;
    let endpoints = counted["endpoints"].as_array().ok_or("the target's /metrics has no endpoints")?;
    let ping = endpoints.iter().find(|endpoint| endpoint["path"] == "/ping");
    Ok(ping.and_then(|ping| ping["requests"].as_u64()).ok_or("the target's /metrics does not count /ping")?)
}
