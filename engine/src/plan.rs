//! What is to be sent, how much of it and when: pure values, and the rules they must keep.

use std::path::PathBuf;
use std::time::Duration;

use onrush_stats::default_name;

use crate::check::Checks;
use crate::order::Order;
use crate::plan_error::PlanError;
use crate::profile::{Arrivals, Phase, Share};
use crate::trust::Tls;

/// A plan has at most this many different requests.
pub const MAX_REQUESTS: usize = 10_000;
/// The slowest target throughput: one request in an hour.
pub const MIN_RATE_PER_S: f64 = 1.0 / 3600.0;
/// The fastest: the schedule counts whole nanoseconds.
pub const MAX_RATE_PER_S: f64 = 1e9;

/// How requests are spaced.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Mode {
    /// Every request goes out as soon as a connection is free.
    Avalanche,
    /// Request *k* is due at `start + k × delay`, whatever the responses do.
    Tsunami {
        /// The time between two due moments.
        delay: Duration,
    },
}

/// A server that requests go to.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Server {
    /// Whether it is spoken to by TLS.
    pub tls: bool,
    /// Its name or address, without brackets; an IPv6 address may have a zone (`fe80::1%eth0`).
    pub host: String,
    /// Its port.
    pub port: u16,
}

impl Server {
    /// The host without a zone, in brackets where it is an IPv6 address; with the port where it is not the usual one. What
    /// a Host header says.
    pub fn authority(&self) -> String {
        let name = self.name();
        let host = if name.contains(':') { format!("[{name}]") } else { name.to_owned() };
        let usual = if self.tls { 443 } else { 80 };
        if self.port == usual { host } else { format!("{host}:{}", self.port) }
    }

    /// The host without a zone, which means something on this machine only.
    pub(crate) fn name(&self) -> &str {
        self.host.split('%').next().unwrap_or_default()
    }
}

/// Where connections to a server go in place of where its name leads; as curl's `--connect-to`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// The server's host that is meant; `None`: any.
    pub host: Option<String>,
    /// The server's port that is meant; `None`: any.
    pub port: Option<u16>,
    /// The name or address to connect to; `None`: the server's own.
    pub to_host: Option<String>,
    /// The port to connect to; `None`: the server's own.
    pub to_port: Option<u16>,
}

impl Route {
    pub(crate) fn is_about(&self, server: &Server) -> bool {
        self.host.as_ref().is_none_or(|host| *host == server.host) && self.port.is_none_or(|port| port == server.port)
    }
}

/// One request, as the test describes it.
#[derive(Clone, Debug, PartialEq)]
pub struct Request {
    /// Where it goes.
    pub server: Server,
    /// Path and query, as they are sent.
    pub target: String,
    /// GET, POST and so on.
    pub method: http::Method,
    /// Headers beside those that the engine writes (Host, Content-Length, Connection).
    pub headers: Vec<(String, String)>,
    /// The body; empty: none.
    pub body: Vec<u8>,
    /// How often it is sent compared with the others of its plan; at least 1.
    pub weight: u32,
    /// What its response must be like; one that is not makes the request a failed one.
    pub checks: Checks,
    /// The name that its figures stand under; `None`: method and path.
    pub name: Option<String>,
}

impl Request {
    /// A GET without headers of its own, body or checks.
    pub fn get(server: Server, target: impl Into<String>) -> Self {
        let (headers, body, checks) = (Vec::new(), Vec::new(), Checks::default());
        Self { server, target: target.into(), method: http::Method::GET, headers, body, weight: 1, checks, name: None }
    }

    /// The name that its figures stand under.
    pub(crate) fn name(&self) -> String {
        self.name.clone().unwrap_or_else(|| default_name(self.method.as_str(), &self.target))
    }
}

/// What one node sends in one test.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// How requests are spaced.
    pub mode: Mode,
    /// Never more than this many requests in a second.
    pub target_throughput_per_s: Option<f64>,
    /// Exactly this many requests.
    pub count: Option<u64>,
    /// No request is sent after this time.
    pub duration: Option<Duration>,
    /// The rate over time, phase by phase, in place of a target throughput, a delay and a duration; the run ends with it.
    pub profile: Option<Vec<Phase>>,
    /// Which slots of the schedule this node serves; without a rate it means nothing.
    pub share: Share,
    /// How the due moments lie; anything but even needs a rate.
    pub arrivals: Arrivals,
    /// Connections, over all threads.
    pub connections: u32,
    /// How long a connection rests after a response or a failure before it may send again.
    pub think_time: Duration,
    /// Whether a connection serves more than one request.
    pub keepalive: bool,
    /// Whether a request of an idempotent method is sent once more where a connection that served before ended without one
    /// byte of response (RFC 9112 9.3.1).
    pub resend: bool,
    /// From the send to the last byte of the response.
    pub timeout: Duration,
    /// For opening a connection.
    pub connect_timeout: Duration,
    /// What is sent; at least one, at most [`MAX_REQUESTS`].
    pub requests: Vec<Request>,
    /// Which of them is sent when.
    pub order: Order,
    /// How the targets that are spoken to by TLS are trusted.
    pub tls: Tls,
    /// Where connections go; the first one that is about a server decides, together with all that are written alike.
    pub routes: Vec<Route>,
    /// The Unix socket that every connection goes to.
    pub unix_socket: Option<PathBuf>,
}

impl Plan {
    /// One round of the requests in their order, as indices into them.
    pub(crate) fn round(&self) -> Result<Vec<u32>, PlanError> {
        let weights: Vec<u32> = self.requests.iter().map(|request| request.weight).collect();
        self.order.slots(&weights)
    }

    /// Checks everything that can be checked without a network.
    pub fn validate(&self) -> Result<(), PlanError> {
        let wrong = |field, problem: &str| Err(PlanError::new(field, problem));
        if self.connections == 0 {
            return wrong("connections", "at least 1 connection is needed");
        }
        if self.count == Some(0) {
            return wrong("count", "a count must be at least 1; give none to run for a duration");
        }
        if self.duration == Some(Duration::ZERO) {
            return wrong("duration", "a duration must be greater than 0; give none to send a count");
        }
        if let Some(phases) = &self.profile {
            Phase::validate(phases)?;
            if self.target_throughput_per_s.is_some() {
                return wrong(
                    "target_throughput_per_s",
                    "cannot be combined with a profile, which has rates of its own",
                );
            }
            if self.duration.is_some() {
                return wrong("duration", "cannot be combined with a profile, which ends with its last phase");
            }
            if matches!(self.mode, Mode::Tsunami { delay } if !delay.is_zero()) {
                return wrong("delay", "cannot be combined with a profile, which has rates of its own");
            }
            if self.count.is_none() && Phase::total_ns(phases) == u64::MAX {
                return wrong("profile", "the test would never end; give its last phase a shorter length, or a count");
            }
        } else if self.count.is_none() && self.duration.is_none() {
            return wrong("count", "the test would never end; give a count, a duration or both");
        }
        if let Some(rate) = self.target_throughput_per_s
            && !(MIN_RATE_PER_S..=MAX_RATE_PER_S).contains(&rate)
        {
            let problem = format!("{rate} is not a rate; give one request an hour to {MAX_RATE_PER_S} a second");
            return wrong("target_throughput_per_s", &problem);
        }
        if self.share.index >= self.share.of {
            let Share { index, of } = self.share;
            let problem =
                format!("{index} of {of} is not a share; nodes are numbered from 0, below how many there are");
            return wrong("share", &problem);
        }
        let has_rate = self.target_throughput_per_s.is_some() || self.profile.is_some();
        if self.arrivals != Arrivals::Even && self.mode == Mode::Avalanche && !has_rate {
            return wrong("arrivals", "arrivals at random need a rate; give a target throughput or a profile");
        }
        if self.mode == (Mode::Tsunami { delay: Duration::ZERO }) && !has_rate {
            return wrong("delay", "a Tsunami needs a delay above 0, a target throughput, both, or a profile");
        }
        if self.timeout.is_zero() {
            return wrong("timeout", "a time-out must be greater than 0");
        }
        if self.connect_timeout.is_zero() {
            return wrong("connect_timeout", "a time-out must be greater than 0");
        }
        if self.requests.is_empty() {
            return wrong("requests", "there is nothing to send; give at least one request");
        }
        if self.requests.len() > MAX_REQUESTS {
            let problem = format!("{} requests are too many; give at most {MAX_REQUESTS}", self.requests.len());
            return wrong("requests", &problem);
        }
        for (index, request) in self.requests.iter().enumerate() {
            request.validate(self.keepalive).map_err(|error| match self.requests.len() {
                1 => error,
                _ => PlanError::new(error.field, format!("request {}: {}", index + 1, error.problem)),
            })?;
        }
        self.round().map(|_| ())?;
        self.tls.validate()
    }
}

impl Request {
    fn validate(&self, keepalive: bool) -> Result<(), PlanError> {
        let wrong = |field, problem: String| Err(PlanError::new(field, problem));
        if self.server.host.is_empty() || self.server.port == 0 {
            return wrong("url", "names no host, or the port 0; give http://HOST:PORT/PATH".into());
        }
        if !self.target.starts_with('/') || !self.target.bytes().all(|byte| byte.is_ascii_graphic()) {
            return wrong("url", format!("{:?} is not a path; a path begins with / and is visible ASCII", self.target));
        }
        if self.method == http::Method::CONNECT {
            return wrong(
                "method",
                "CONNECT opens a tunnel; give GET, POST or another method that has a response".into(),
            );
        }
        if self.weight == 0 {
            return wrong("weight", "a weight of 0 is never sent; give at least 1, or leave the request out".into());
        }
        for (name, value) in &self.headers {
            if http::HeaderName::from_bytes(name.as_bytes()).is_err() {
                return wrong("headers", format!("{name:?} is not a header name; letters, digits and - are safe"));
            }
            if http::HeaderValue::from_str(value).is_err() {
                return wrong("headers", format!("the value of {name} has characters that no header may carry"));
            }
            if name.eq_ignore_ascii_case("transfer-encoding") {
                return wrong(
                    "headers",
                    "Transfer-Encoding: a body is sent with its Content-Length; leave this one out".into(),
                );
            }
            if name.eq_ignore_ascii_case("content-length") && value.trim() != self.body.len().to_string() {
                let problem = format!(
                    "Content-Length is written from the body, which has {} bytes; leave it out",
                    self.body.len()
                );
                return wrong("headers", problem);
            }
            if name.eq_ignore_ascii_case("connection") && !keepalive {
                return wrong("headers", "Connection is written as close where keep-alive is off; leave it out".into());
            }
        }
        Ok(())
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::profile::Shape;

    /// A server and a path out of a plain URL.
    pub(crate) fn request(url: &str) -> Request {
        let (scheme, rest) = url.split_once("://").expect("a test's URL");
        let (authority, path) = rest.split_once('/').expect("a test's URL has a path");
        let tls = scheme == "https";
        let (host, port) = match authority.rsplit_once(':').filter(|_| !authority.ends_with(']')) {
            Some((host, port)) => (host, port.parse().expect("a port")),
            None => (authority, if tls { 443 } else { 80 }),
        };
        let host = host.trim_matches(['[', ']']).to_owned();
        Request::get(Server { tls, host, port }, format!("/{path}"))
    }

    pub(crate) fn plan(url: &str) -> Plan {
        Plan {
            mode: Mode::Avalanche,
            target_throughput_per_s: None,
            count: Some(1),
            duration: None,
            profile: None,
            share: Share::default(),
            arrivals: Arrivals::Even,
            connections: 1,
            think_time: Duration::ZERO,
            keepalive: true,
            resend: true,
            timeout: Duration::from_secs(1),
            connect_timeout: Duration::from_secs(1),
            requests: vec![request(url)],
            order: Order::InTurn,
            tls: Tls::default(),
            routes: Vec::new(),
            unix_socket: None,
        }
    }

    #[test]
    fn a_plain_plan_is_accepted() {
        assert_eq!(plan("http://[::1]:8080/ping?a=b").validate(), Ok(()));
    }

    #[test]
    fn each_wrong_field_is_named() {
        type Spoil = fn(&mut Plan);
        let header = |p: &mut Plan, name: &str, value: &str| p.requests[0].headers.push((name.into(), value.into()));
        let cases: &[(&str, Spoil)] = &[
            ("connections", |p| p.connections = 0),
            ("count", |p| p.count = Some(0)),
            ("count", |p| p.count = None),
            ("duration", |p| p.duration = Some(Duration::ZERO)),
            ("target_throughput_per_s", |p| p.target_throughput_per_s = Some(0.0)),
            ("target_throughput_per_s", |p| p.target_throughput_per_s = Some(-1.0)),
            ("target_throughput_per_s", |p| p.target_throughput_per_s = Some(f64::NAN)),
            ("target_throughput_per_s", |p| p.target_throughput_per_s = Some(f64::INFINITY)),
            ("delay", |p| p.mode = Mode::Tsunami { delay: Duration::ZERO }),
            ("share", |p| p.share = Share { index: 2, of: 2 }),
            ("share", |p| p.share.of = 0),
            ("arrivals", |p| p.arrivals = Arrivals::Poisson { seed: 1 }),
            ("timeout", |p| p.timeout = Duration::ZERO),
            ("connect_timeout", |p| p.connect_timeout = Duration::ZERO),
            ("url", |p| p.requests[0].server.host.clear()),
            ("url", |p| p.requests[0].server.port = 0),
            ("url", |p| p.requests[0].target = "ping".into()),
            ("url", |p| p.requests[0].target = "/a b".into()),
            ("requests", |p| p.requests.clear()),
            ("weight", |p| p.requests[0].weight = 0),
            ("method", |p| p.requests[0].method = http::Method::CONNECT),
        ];
        for (field, spoil) in cases {
            let mut plan = plan("http://localhost/");
            spoil(&mut plan);
            assert_eq!(plan.validate().expect_err(field).field, *field);
        }
        for (name, value) in
            [("a b", "c"), ("a", "c\r\nd: e"), ("Content-Length", "7"), ("Transfer-Encoding", "chunked")]
        {
            let mut plan = plan("http://localhost/");
            header(&mut plan, name, value);
            assert_eq!(plan.validate().expect_err(name).field, "headers");
        }
    }

    #[test]
    fn a_profile_stands_in_place_of_a_rate_a_delay_and_a_duration() {
        let length = Duration::from_secs(1);
        let phases = vec![Phase { length, shape: Shape::Constant { rate_per_s: 1.0 } }];
        let tsunami = Mode::Tsunami { delay: Duration::ZERO };
        let profiled = Plan { profile: Some(phases), count: None, ..plan("http://localhost/") };
        for mode in [Mode::Avalanche, tsunami] {
            assert_eq!(Plan { mode, ..profiled.clone() }.validate(), Ok(()));
            assert_eq!(Plan { mode, count: Some(1), ..profiled.clone() }.validate(), Ok(()));
        }
        let endless = vec![Phase { length: Duration::MAX, shape: Shape::Free }];
        assert_eq!(Plan { profile: Some(endless.clone()), count: Some(1), ..profiled.clone() }.validate(), Ok(()));
        for (field, wrong) in [
            ("target_throughput_per_s", Plan { target_throughput_per_s: Some(1.0), ..profiled.clone() }),
            ("duration", Plan { duration: Some(length), ..profiled.clone() }),
            ("delay", Plan { mode: Mode::Tsunami { delay: length }, ..profiled.clone() }),
            ("profile", Plan { profile: Some(Vec::new()), ..profiled.clone() }),
            ("profile", Plan { profile: Some(endless), ..profiled.clone() }),
        ] {
            assert_eq!(wrong.validate().expect_err(field).field, field);
        }
    }

    #[test]
    fn a_tsunami_may_take_its_interval_from_the_target_throughput() {
        let mut plan = plan("http://localhost/");
        plan.mode = Mode::Tsunami { delay: Duration::ZERO };
        plan.target_throughput_per_s = Some(10.0);
        assert_eq!(plan.validate(), Ok(()));
    }
}
