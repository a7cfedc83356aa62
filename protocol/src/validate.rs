//! What a test must be to run: the same rules for whoever writes a test (REST) and whoever runs it (a driver).

use onrush_stats::{MAX_NAME_BYTES, MAX_NAMES, Names, OTHER, default_name};

use crate::fields::{MAX_MESSAGE_BYTES, quoted};
use crate::ids::MAX_ID_BYTES;
use crate::options::{Kind, MessageWriter, OPTIONS, Pem, Rate, TestOption};
use crate::{Arrivals, Expect, RequestConfig, TargetUrl, TestConfig, TestType};

/// What a participant takes of a message at most: two names, each character of which JSON may have to escape, and what
/// stands around them.
const MAX_PARTICIPANT_BYTES: usize = 2 * 2 * MAX_ID_BYTES + 40;
/// A broker counts the key and its own framing into the size of a message.
const FRAMING_BYTES: usize = 1024;

/// The limits of a test.
pub mod limits {
    use std::time::Duration;

    /// Requests per driver.
    pub const MAX_COUNT: u64 = 1_000_000_000_000;
    /// Connections per driver.
    pub const MAX_CONNECTIONS: u32 = 100_000;
    /// Requests per second and driver.
    pub const MAX_THROUGHPUT_PER_S: f64 = 10_000_000.0;
    /// Phases of a profile.
    pub const MAX_PHASES: usize = 64;
    /// Changes of a test's load while it runs.
    pub const MAX_AMENDMENTS: usize = 64;
    /// Phases of a profile and steps within them, together.
    pub const MAX_STEPS: u32 = 1000;
    /// The slowest rate: one request in an hour.
    pub const MIN_THROUGHPUT_PER_S: f64 = 1.0 / 3600.0;
    /// The shortest time between two due moments.
    pub const MIN_DELAY: Duration = Duration::from_nanos(100);
    /// The longest time between two due moments.
    pub const MAX_DELAY: Duration = Duration::from_secs(3600);
    // The slowest rate and the longest delay are one bound.
    const _: () = assert!(MIN_THROUGHPUT_PER_S == 1.0 / MAX_DELAY.as_secs() as f64);
    /// How long a test may run.
    pub const MAX_DURATION: Duration = Duration::from_secs(30 * 86_400);
    /// The longest rest of a connection.
    pub const MAX_THINK_TIME: Duration = Duration::from_secs(3600);
    /// The shortest time-out.
    pub const MIN_TIMEOUT: Duration = Duration::from_millis(1);
    /// The longest time-out; longer latencies would not fit the histograms.
    pub const MAX_TIMEOUT: Duration = Duration::from_secs(3600);
    /// The target's URL, in bytes.
    pub const MAX_URL_BYTES: usize = 16 * 1024;
    /// The method, in bytes.
    pub const MAX_METHOD_BYTES: usize = 64;
    /// All headers together, in bytes.
    pub const MAX_HEADERS_BYTES: usize = 64 * 1024;
    /// The body, in bytes: it travels in a message.
    pub const MAX_BODY_BYTES: usize = 512 * 1024;
    /// Different requests of one test.
    pub const MAX_REQUESTS: usize = 10_000;
    /// URLs, headers and bodies of several requests together, in bytes: they travel in one message.
    pub const MAX_REQUESTS_BYTES: usize = 512 * 1024;
    /// Weights of all requests together, with their common divisor taken out: the length of one round.
    pub const MAX_ROUND: u64 = 1_000_000;
    /// Rules of `connect_to`.
    pub const MAX_CONNECT_TO: usize = 100;
    /// The path of a Unix socket, in bytes: the kernel's limit, less its end.
    pub const MAX_UNIX_SOCKET_BYTES: usize = 107;
    /// Checks of the test, and of each of its requests.
    pub const MAX_CHECKS: usize = 100;
    /// All checks of a test and its requests together, as text, in bytes.
    pub const MAX_CHECKS_BYTES: usize = 64 * 1024;
    /// Thresholds of a test.
    pub const MAX_THRESHOLDS: usize = 20;
    /// A threshold, in bytes.
    pub const MAX_THRESHOLD_BYTES: usize = 200;
    /// The seconds that a threshold looks back.
    pub const MAX_THRESHOLD_WINDOW: Duration = Duration::from_secs(3600);
    /// A certificate with those above it, or a key, in bytes.
    pub const MAX_PEM_BYTES: usize = 64 * 1024;
    /// The authorities that targets are trusted by, in bytes: the bundle of a whole system has some 250 KiB.
    pub const MAX_CA_PEM_BYTES: usize = 512 * 1024;
}

/// One thing that is wrong with a test.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldProblem {
    /// The field, as the message names it.
    pub field: &'static str,
    /// What is wrong, and what would be right.
    pub problem: String,
}

impl FieldProblem {
    /// A problem with a field.
    pub fn new(field: &'static str, problem: impl Into<String>) -> Self {
        Self { field, problem: problem.into() }
    }
}

fn not_both(other: &str) -> String {
    format!("cannot be combined with {other}; give one of them")
}

impl std::fmt::Display for FieldProblem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.field, self.problem)
    }
}

impl TestConfig {
    /// Everything that keeps this test from running, with what would be right; empty when it can run.
    ///
    /// A missing `target_url` is no problem here: a driver may have one of its own.
    pub fn problems(&self) -> Vec<FieldProblem> {
        let problem =
            |option: &TestOption| option.problem(self).map(|problem| FieldProblem { field: option.name, problem });
        OPTIONS.iter().filter_map(problem).collect()
    }

    /// What keeps the message of this test from being read where it names so many drivers as participants; `None`: it fits.
    pub fn message_problem(&self, drivers: usize) -> Option<FieldProblem> {
        let most = MAX_MESSAGE_BYTES.saturating_sub(FRAMING_BYTES + drivers.saturating_mul(MAX_PARTICIPANT_BYTES));
        let bytes = Self { participants: None, ..self.clone() }.write().len();
        if bytes <= most {
            return None;
        }
        let (field, part) = self.largest_field();
        let problem = format!(
            "takes {part} of the {bytes} bytes of the test's message; at most {most} fit beside the names of {drivers} \
             drivers; make it shorter"
        );
        Some(FieldProblem { field, problem })
    }

    /// The field that takes the most room in the message, and how many bytes that is.
    fn largest_field(&self) -> (&'static str, usize) {
        let bytes = |option: &'static TestOption| {
            let mut message = MessageWriter::begin();
            option.write(self, &mut message);
            (option.name, message.end().len().saturating_sub(option.name.len()))
        };
        let told = OPTIONS.iter().filter(|option| option.is_for_drivers);
        told.map(bytes).max_by_key(|(_, bytes)| *bytes).unwrap_or_default()
    }

    pub(crate) fn delay_problem(&self) -> Option<String> {
        match self.test_type {
            TestType::Avalanche => None,
            TestType::Tsunami if self.delay.is_zero() && self.has_rate() => None,
            TestType::Tsunami => {
                let (low, high) = (limits::MIN_DELAY, limits::MAX_DELAY);
                let fits = (low..=high).contains(&self.delay);
                (!fits).then(|| {
                    format!("is {:?}; a TSUNAMI needs the time between two requests, {low:?} to {high:?}", self.delay)
                })
            }
        }
    }

    /// Whether something beside a delay says when requests are due.
    pub fn has_rate(&self) -> bool {
        self.target_throughput_per_s.is_some() || self.total_throughput_per_s.is_some() || self.profile.is_some()
    }

    /// Whether a schedule says what is due; otherwise a request is due when it is sent.
    pub fn is_paced(&self) -> bool {
        self.has_rate() || !self.delay.is_zero()
    }

    pub(crate) fn total_throughput_problem(&self) -> Option<String> {
        if let Some(problem) = Rate.problem(&self.total_throughput_per_s?) {
            return Some(problem);
        }
        let given = [
            ("target_throughput", self.target_throughput_per_s.is_some()),
            ("test_message_delay", !self.delay.is_zero()),
        ];
        given.into_iter().find(|(_, is_given)| *is_given).map(|(other, _)| not_both(other))
    }

    pub(crate) fn profile_problem(&self) -> Option<String> {
        if let Some(problem) = self.profile.as_ref()?.problem() {
            return Some(problem);
        }
        let given = [
            ("target_throughput", self.target_throughput_per_s.is_some()),
            ("total_throughput", self.total_throughput_per_s.is_some()),
            ("duration", self.duration.is_some()),
            ("test_message_delay", !self.delay.is_zero()),
        ];
        let (other, _) = given.into_iter().find(|(_, is_given)| *is_given)?;
        Some(not_both(other) + ": the phases have rates and lengths of their own")
    }

    pub(crate) fn arrivals_problem(&self) -> Option<String> {
        (self.arrivals == Arrivals::Poisson && !self.is_paced())
            .then(|| "is poisson, but nothing says how many requests are due; give a rate or a profile".into())
    }

    pub(crate) fn count_problem(&self) -> Option<String> {
        match self.count_per_driver {
            None if self.duration.is_none() && self.profile.is_none() => {
                Some("is missing; give a number of requests, or a duration".into())
            }
            Some(n) if n == 0 || n > limits::MAX_COUNT => Some(format!("is {n}; give 1 to {}", limits::MAX_COUNT)),
            _ => None,
        }
    }

    pub(crate) fn requests_problem(&self) -> Option<String> {
        let Self { requests, method, headers, body, .. } = self;
        if requests.is_empty() {
            return None;
        }
        if method != "GET" || !headers.is_empty() || body.is_some() {
            return Some("stand beside method, headers or body; give these with each request".into());
        }
        if requests.len() > limits::MAX_REQUESTS {
            return Some(format!("are {}; at most {} fit", requests.len(), limits::MAX_REQUESTS));
        }
        let bytes: usize = requests.iter().map(request_bytes).sum();
        if bytes > limits::MAX_REQUESTS_BYTES {
            return Some(format!("have {bytes} bytes together; at most {} fit", limits::MAX_REQUESTS_BYTES));
        }
        let checks: usize = self.expect.iter().map(check_bytes).sum();
        let all_checks = checks + requests.iter().flat_map(|request| &request.expect).map(check_bytes).sum::<usize>();
        if checks <= limits::MAX_CHECKS_BYTES && all_checks > limits::MAX_CHECKS_BYTES {
            let most = limits::MAX_CHECKS_BYTES;
            return Some(format!(
                "have checks of {all_checks} bytes together with those of the test; at most {most} fit"
            ));
        }
        let base = self.target_url.as_deref().and_then(|url| TargetUrl::parse(url).ok());
        let mut problems = requests.iter().map(|request| request.problem(base.as_ref()));
        let wrong = (1..).zip(&mut problems).find_map(|(place, problem)| Some((place, problem?)));
        match wrong {
            Some((place, problem)) => Some(format!("in place {place}: {problem}")),
            None => round_problem(requests),
        }
    }

    pub(crate) fn connect_to_problem(&self) -> Option<String> {
        let n = self.connect_to.len();
        if n > 0 && self.unix_socket.is_some() {
            return Some("cannot be combined with unix_socket, which takes every connection".into());
        }
        (n > limits::MAX_CONNECT_TO).then(|| format!("has {n} rules; at most {} fit", limits::MAX_CONNECT_TO))
    }

    pub(crate) fn thresholds_problem(&self) -> Option<String> {
        let (n, most) = (self.thresholds.len(), limits::MAX_THRESHOLDS);
        if n > most {
            return Some(format!("has {n} thresholds; at most {most} fit"));
        }
        let wanted = || self.thresholds.iter().filter_map(|threshold| Some((threshold, threshold.name()?)));
        wanted().next()?;
        let names = self.names()?;
        let (threshold, name) = wanted().find(|(_, name)| !names.told.iter().any(|told| told == name))?;
        Some(if names.told.is_empty() {
            format!("{threshold} asks for {}, but all requests have one name; leave {{{name}}} out", quoted(name))
        } else {
            let known: Vec<String> = names.told.iter().take(5).map(|name| quoted(name)).collect();
            let more = if names.told.len() > known.len() { ", …" } else { "" };
            format!(
                "{threshold} asks for {}, which no request is named; there are {}{more}",
                quoted(name),
                known.join(", ")
            )
        })
    }

    /// The names that its requests are counted under; `None`: the paths of some are known to the drivers alone.
    fn names(&self) -> Option<Names> {
        let base = self.target_url.as_deref().map(TargetUrl::parse).transpose().ok()?;
        let name_of = |request: &RequestConfig| match &request.name {
            Some(name) => Some(name.clone()),
            None => {
                let url = match &request.url {
                    Some(url) => TargetUrl::parse_beside(base.as_ref(), url).ok()?,
                    None => base.clone()?,
                };
                Some(default_name(&request.method, &url.request_target))
            }
        };
        let names = self.requests.iter().map(name_of).collect::<Option<Vec<_>>>()?;
        Some(Names::of(names.into_iter()))
    }

    pub(crate) fn abort_problem(&self) -> Option<String> {
        let after = self.abort_on_fail?;
        if self.thresholds.is_empty() {
            return Some("needs thresholds; without one there is nothing that could fail".into());
        }
        (after > limits::MAX_DURATION).then(|| format!("is {after:?}; give at most {:?}", limits::MAX_DURATION))
    }

    pub(crate) fn certificate_problem(&self) -> Option<String> {
        if self.tls_cert_pem.is_none() && self.tls_key_pem.is_some() {
            return Some("is missing; a key needs its certificate".into());
        }
        Pem { max_bytes: limits::MAX_PEM_BYTES }.problem(&self.tls_cert_pem)
    }

    pub(crate) fn key_problem(&self) -> Option<String> {
        if self.tls_key_pem.is_none() && self.tls_cert_pem.is_some() {
            return Some("is missing; a certificate needs its private key".into());
        }
        Pem { max_bytes: limits::MAX_PEM_BYTES }.problem(&self.tls_key_pem)
    }
}

impl RequestConfig {
    /// What keeps it from being sent beside the test's own URL, with what would be right. A missing `url`, or a path, is no
    /// problem here: where the test has no URL, a driver may have one.
    pub fn problem(&self, base: Option<&TargetUrl>) -> Option<FieldProblem> {
        let Self { url, method, headers, weight, expect, name, body: _ } = self;
        let problem = |field, problem: Option<String>| problem.map(|problem| FieldProblem { field, problem });
        let url = url.as_deref().filter(|_| base.is_some() || !self.needs_base());
        problem("url", url.and_then(|url| url_problem(url, base)))
            .or_else(|| problem("method", method_problem(method)))
            .or_else(|| problem("headers", headers_problem(headers)))
            .or_else(|| problem("weight", (*weight == 0).then(|| "is 0; give at least 1".to_owned())))
            .or_else(|| problem("expect", checks_problem(expect)))
            .or_else(|| problem("name", name.as_deref().and_then(name_problem)))
    }

    /// Whether it needs a URL beside it: it has none, or a path alone.
    pub fn needs_base(&self) -> bool {
        self.url.as_deref().is_none_or(|url| url.trim_start().starts_with(['/', '?']))
    }
}

fn name_problem(name: &str) -> Option<String> {
    let unusable = |character: char| character.is_control() || matches!(character, '{' | '}' | ',');
    if name.len() > MAX_NAME_BYTES {
        return Some(format!("has {} bytes; at most {MAX_NAME_BYTES} fit", name.len()));
    }
    if name == OTHER {
        return Some(format!(
            "is {OTHER:?}, which is what names beyond the first {MAX_NAMES} are counted as; take another"
        ));
    }
    name.contains(unusable).then(|| format!("is {}; leave braces, commas and control characters out", quoted(name)))
}

fn round_problem(requests: &[RequestConfig]) -> Option<String> {
    let divisor = requests.iter().fold(0, |divisor, request| greatest_common_divisor(divisor, request.weight)).max(1);
    let round: u64 = requests.iter().map(|request| u64::from(request.weight / divisor)).sum();
    let most = limits::MAX_ROUND;
    (round > most).then(|| format!("have weights of {round} together; give smaller ones, at most {most} in all"))
}

fn greatest_common_divisor(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { greatest_common_divisor(b, a % b) }
}

fn request_bytes(request: &RequestConfig) -> usize {
    let RequestConfig { url, method, headers, body, name, .. } = request;
    let headers: usize = headers.iter().map(|(name, value)| name.len() + value.len()).sum();
    let name = name.as_ref().map_or(0, String::len);
    name + url.as_ref().map_or(0, String::len) + method.len() + headers + body.as_ref().map_or(0, Vec::len)
}

pub(crate) fn checks_problem(checks: &[Expect]) -> Option<String> {
    if checks.len() > limits::MAX_CHECKS {
        return Some(format!("has {} checks; at most {} fit", checks.len(), limits::MAX_CHECKS));
    }
    let bytes: usize = checks.iter().map(check_bytes).sum();
    let most = limits::MAX_CHECKS_BYTES;
    (bytes > most).then(|| format!("has checks of {bytes} bytes together; at most {most} fit"))
}

/// A check as it travels.
fn check_bytes(check: &Expect) -> usize {
    check.to_string().len()
}

pub(crate) fn method_problem(method: &str) -> Option<String> {
    let unusable = match http::Method::from_bytes(method.as_bytes()) {
        Err(_) => "is not an HTTP method",
        Ok(_) if method.len() > limits::MAX_METHOD_BYTES => "is too long for a method",
        Ok(http::Method::CONNECT) => "would turn the connection into a tunnel",
        Ok(_) => return None,
    };
    Some(format!("{} {unusable}; give GET, POST, PUT, DELETE, HEAD or the like", quoted(method)))
}

pub(crate) fn url_problem(url: &str, base: Option<&TargetUrl>) -> Option<String> {
    if url.len() > limits::MAX_URL_BYTES {
        return Some(format!("has {} bytes; at most {} fit", url.len(), limits::MAX_URL_BYTES));
    }
    TargetUrl::parse_beside(base, url).err()
}

pub(crate) fn metrics_url_problem(url: &str) -> Option<String> {
    url_problem(url, None).or_else(|| TargetUrl::of_metrics(url).err())
}

pub(crate) fn unix_socket_problem(path: &str) -> Option<String> {
    if !path.starts_with('/') && !path.starts_with('@') {
        return Some(format!("is {}; give a path from the root, like /run/web.sock", quoted(path)));
    }
    (path.len() > limits::MAX_UNIX_SOCKET_BYTES || path.contains('\0')).then(|| {
        format!("has {} bytes; the path of a socket has at most {}", path.len(), limits::MAX_UNIX_SOCKET_BYTES)
    })
}

/// Headers that the engine writes itself, because they must agree with what it sends.
const OWN_HEADERS: [&str; 3] = ["content-length", "transfer-encoding", "connection"];

pub(crate) fn headers_problem(headers: &[(String, String)]) -> Option<String> {
    let bytes: usize = headers.iter().map(|(name, value)| name.len() + value.len() + 4).sum();
    if bytes > limits::MAX_HEADERS_BYTES {
        return Some(format!("have {bytes} bytes; at most {} fit", limits::MAX_HEADERS_BYTES));
    }
    headers.iter().find_map(|(name, value)| {
        if http::HeaderName::from_bytes(name.as_bytes()).is_err() {
            return Some(format!("{} is not a header name; give letters, digits and dashes", quoted(name)));
        }
        if OWN_HEADERS.iter().any(|own| own.eq_ignore_ascii_case(name)) {
            return Some(format!(
                "{name} is set by the driver itself; leave it out (keepalive: false closes connections)"
            ));
        }
        let bad = http::HeaderValue::from_str(value).is_err();
        bad.then(|| {
            format!("the value of {name} has characters that HTTP does not allow; use one line of visible ASCII")
        })
    })
}
