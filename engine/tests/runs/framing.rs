//! Where a response ends and whether its connection carries another: every rule of RFC 9112 6.3 and 9.3 with every other, over
//! real connections, with curl for a second opinion where it is installed.

use std::process::Command;
use std::time::Duration;

use http::Method;
use onrush_engine::Plan;

use crate::harness::{Run, plan, run};
use crate::server::{Reaction, Server};

const VERSIONS: [&str; 2] = ["1.1", "1.0"];

/// Header lines about the connection, and whether they ask for it to close, or to stay (which version 1.0 must be told).
const CONNECTION: [(&str, Option<bool>); 7] = [
    ("", None),
    ("Connection: keep-alive\r\n", Some(true)),
    ("Connection: Keep-Alive, Te\r\n", Some(true)),
    ("Connection: close\r\n", Some(false)),
    ("connection: x, CLOSE\r\n", Some(false)),
    ("Connection: keep-alive\r\nConnection: close\r\n", Some(false)),
    ("Proxy-Connection: close\r\n", None),
];

/// How a body's end is told.
struct Body {
    status: &'static str,
    lines: &'static str,
    bytes: &'static str,
    end: BodyEnd,
}

#[derive(Clone, Copy, PartialEq)]
enum BodyEnd {
    /// It is known.
    Known,
    /// It is known, but two headers tell it: a server that does so is not to be trusted with another request (6.1).
    Doubtful,
    /// It is the connection's.
    Close,
}

const fn body(status: &'static str, lines: &'static str, bytes: &'static str, end: BodyEnd) -> Body {
    Body { status, lines, bytes, end }
}

const BODIES: &[Body] = &[
    body("200 OK", "Content-Length: 2\r\n", "ok", BodyEnd::Known),
    body("200 OK", "Content-Length: 0\r\n", "", BodyEnd::Known),
    body("404 Not Found", "Content-Length: 2, 2\r\n", "ok", BodyEnd::Known),
    body("500 Oh", "Content-Length: 0002\r\nContent-Length: 2\r\n", "ok", BodyEnd::Known),
    body("200 OK", "Transfer-Encoding: chunked\r\n", "2\r\nok\r\n0\r\n\r\n", BodyEnd::Known),
    body("200 OK", "Transfer-Encoding: gzip, Chunked\r\n", "2\r\nok\r\n0\r\nX: y\r\n\r\n", BodyEnd::Known),
    body("200 OK", "Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n", BodyEnd::Known),
    body("200 OK", "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", "0\r\n\r\n", BodyEnd::Doubtful),
    body("200 OK", "", "as long as it lasts", BodyEnd::Close),
    body("200 OK", "Transfer-Encoding: gzip\r\n", "ok", BodyEnd::Close),
    body("204 No Content", "", "", BodyEnd::Known),
    body("204 No Content", "Content-Length: 5\r\n", "", BodyEnd::Known),
    body("304 Not Modified", "Content-Length: 5\r\n", "", BodyEnd::Known),
    body("304 Not Modified", "Transfer-Encoding: chunked\r\n", "", BodyEnd::Known),
    body("100 Continue\r\n\r\nHTTP/1.1 200 OK", "Content-Length: 2\r\n", "ok", BodyEnd::Known),
    body("103 Early\r\nLink: x\r\n\r\nHTTP/1.1 200 OK", "Content-Length: 0\r\n", "", BodyEnd::Known),
];

/// A response, and what is right for it.
struct Case {
    method: Method,
    response: String,
    status: u16,
    /// Whether the server closes: where only that ends the body.
    closes: bool,
    reusable: bool,
    /// curl decides otherwise, and may.
    is_left_to_choice: bool,
}

fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for method in [Method::GET, Method::HEAD] {
        for version in VERSIONS {
            for (connection, asked) in CONNECTION {
                cases.extend(BODIES.iter().map(|body| case(&method, version, connection, asked, body)));
            }
        }
    }
    cases
}

fn case(method: &Method, version: &str, connection: &str, asked: Option<bool>, body: &Body) -> Case {
    let Body { status, lines, bytes, end } = body;
    let version = if status.starts_with('1') { "1.1" } else { version };
    let bytes = if *method == Method::HEAD { "" } else { bytes };
    // The last status is the final one; those before it are interim.
    let code = status.rsplit("HTTP/1.1 ").next().and_then(|status| status.get(..3)).expect("a status");
    let persists = if version == "1.1" { asked != Some(false) } else { asked == Some(true) };
    let closes = *end == BodyEnd::Close && *method != Method::HEAD;
    // Chunks are not of version 1.0: its sender does not know what it says (6.1).
    let is_strange = *end == BodyEnd::Doubtful || version == "1.0" && lines.contains("Transfer-Encoding");
    Case {
        method: method.clone(),
        response: format!("HTTP/{version} {status}\r\n{lines}{connection}\r\n{bytes}"),
        status: code.parse().expect("a number"),
        closes,
        reusable: persists && !closes && !is_strange,
        is_left_to_choice: is_strange
            || asked == Some(false) && connection.contains("keep-alive")
            || lines.matches("Transfer-Encoding").count() > 1
            || *method == Method::HEAD && *end == BodyEnd::Close,
    }
}

impl Case {
    fn server(&self) -> Server {
        let (response, closes) = (self.response.clone().into_bytes(), self.closes);
        Server::start(move |_| match closes {
            true => Reaction::SendAndClose(response.clone()),
            false => Reaction::Send(response.clone()),
        })
    }

    /// Two requests, one after the other.
    fn run(&self) -> (Run, u64) {
        let server = self.server();
        let mut plan = Plan { count: Some(2), timeout: Duration::from_secs(20), ..plan(&server.url()) };
        plan.requests[0].method = self.method.clone();
        let run = run(plan);
        (run, server.connections())
    }
}

#[test]
fn every_rule_with_every_other() {
    for case in cases() {
        let (run, connections) = case.run();
        let statuses = run.stats().counts.statuses;
        assert_eq!(statuses, [(case.status, 2)].into(), "{:?}: {:?}", case.response, run.stats().examples);
        let expected = if case.reusable { 1 } else { 2 };
        assert_eq!(connections, expected, "{} {:?}", case.method, case.response);
        assert_eq!((run.totals().resent, run.totals().unsolicited), (0, 0), "{:?}", case.response);
    }
}

#[test]
fn curl_reads_them_the_same() {
    if Command::new("curl").arg("--version").output().is_err() {
        eprintln!("curl is not installed: there is no second opinion");
        return;
    }
    let mut other = Vec::new();
    for case in cases() {
        let server = case.server();
        let url = server.url();
        let mut curl = Command::new("curl");
        curl.args(["--silent", "--http1.1", "--raw", "--max-time", "20", "--noproxy", "*"]);
        curl.args(["--output", "/dev/null", "--write-out", "%{http_code} %{num_connects} "]);
        if case.method == Method::HEAD {
            curl.arg("--head");
        }
        // An output for each URL.
        let output = curl.args(["--url", &url, "--output", "/dev/null", "--url", &url]).output().expect("curl starts");
        let said = String::from_utf8_lossy(&output.stdout);
        let words: Vec<u32> = said.split_whitespace().filter_map(|word| word.parse().ok()).collect();
        let [first, _, second, connects] = words[..] else { panic!("{said:?}, {output:?} for {:?}", case.response) };
        assert!(output.status.success(), "{output:?} for {:?}", case.response);
        assert_eq!([first, second], [u32::from(case.status); 2], "{:?}", case.response);
        if !case.is_left_to_choice && (connects == 0) != case.reusable {
            other.push(format!("{} {:?}: curl reuses it: {}", case.method, case.response, connects == 0));
        }
    }
    assert!(other.is_empty(), "{}", other.join("\n"));
}
