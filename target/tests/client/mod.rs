//! A client of plain sockets that reads exactly what is answered.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use onrush_target::{Delay, Target, TargetConfig};

/// A target on a free port, on every CPU.
pub fn start() -> Target {
    start_with(None, Duration::ZERO)
}

/// A target on a free port.
pub fn start_with(cpus: Option<Vec<usize>>, delay: Duration) -> Target {
    start_as(TargetConfig { cpus, delay: Delay::Fixed(delay), ..config() })
}

/// A target as described.
pub fn start_as(config: TargetConfig) -> Target {
    Target::start(config).expect("the target starts")
}

/// The usual target, on a free port.
pub fn config() -> TargetConfig {
    TargetConfig::new("127.0.0.1:0".parse().expect("an address"))
}

/// A CPU that this process may use.
pub fn a_cpu() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").expect("proc is there");
    let list = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:")).expect("it lists CPUs");
    list.trim().split([',', '-']).next().and_then(|first| first.parse().ok()).expect("it names one")
}

/// A request without a body.
pub fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: target\r\n\r\n")
}

/// What the target has counted.
pub fn scrape(target: &Target) -> serde_json::Value {
    let request = "GET /metrics HTTP/1.1\r\nHost: a\r\nAccept: application/json\r\nConnection: close\r\n\r\n";
    let response = Client::connect(target).ask(request);
    assert_eq!(response.field("content-type"), Some("application/json"));
    serde_json::from_str(&response.body).expect("it is JSON")
}

/// One answer.
pub struct Response {
    pub status: u16,
    pub body: String,
    fields: Vec<(String, String)>,
}

impl Response {
    /// Reads a head that is complete.
    pub fn parse_head(head: &str) -> Self {
        let mut lines = head.lines();
        let status = lines.next().and_then(|line| line.split(' ').nth(1)).and_then(|code| code.parse().ok());
        let fields = lines
            .filter_map(|line| line.split_once(": "))
            .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
            .collect();
        Self { status: status.unwrap_or_else(|| panic!("no status in {head:?}")), body: String::new(), fields }
    }

    /// The value of a field, named in small letters.
    pub fn field(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str())
    }
}

/// One connection.
pub struct Client {
    pub stream: TcpStream,
    reader: BufReader<TcpStream>,
}

impl Client {
    pub fn connect(target: &Target) -> Self {
        let stream = TcpStream::connect(target.address()).expect("the target accepts");
        stream.set_nodelay(true).expect("the connection is open");
        stream.set_read_timeout(Some(Duration::from_secs(30))).expect("a time-out above zero");
        let reader = BufReader::new(stream.try_clone().expect("a descriptor is left"));
        Self { stream, reader }
    }

    pub fn send(&mut self, bytes: &str) {
        self.stream.write_all(bytes.as_bytes()).expect("the target reads");
    }

    pub fn ask(&mut self, request: &str) -> Response {
        self.send(request);
        self.read()
    }

    /// Reads an answer whose body is left out or not wanted.
    pub fn read_head(&mut self) -> Response {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            let read = self.reader.read_line(&mut head).expect("the target answers");
            assert!(read > 0, "the connection ended in {head:?}");
        }
        Response::parse_head(&head)
    }

    pub fn read(&mut self) -> Response {
        let mut response = self.read_head();
        let body = if response.field("transfer-encoding") == Some("chunked") {
            self.read_chunks()
        } else {
            let length = response.field("content-length").and_then(|length| length.parse().ok());
            self.read_exactly(length.expect("a length is given"))
        };
        response.body = String::from_utf8(body).expect("it is text");
        response
    }

    fn read_chunks(&mut self) -> Vec<u8> {
        let mut body = Vec::new();
        loop {
            let mut size = String::new();
            self.reader.read_line(&mut size).expect("the target answers");
            let size = usize::from_str_radix(size.trim_end(), 16).expect("a size in hexadecimal");
            body.append(&mut self.read_exactly(size));
            assert_eq!(self.read_exactly(2), b"\r\n");
            if size == 0 {
                return body;
            }
        }
    }

    fn read_exactly(&mut self, length: usize) -> Vec<u8> {
        let mut bytes = vec![0; length];
        self.reader.read_exact(&mut bytes).expect("the body is complete");
        bytes
    }

    /// Whether the target closed the connection properly, with nothing more in it.
    pub fn is_at_end(&mut self) -> bool {
        let mut rest = Vec::new();
        matches!(self.reader.read_to_end(&mut rest), Ok(0))
    }
}
