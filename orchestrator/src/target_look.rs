//! Asks for the CPU time of a test's target while it is loaded: the bundled target itself, or a page of metrics of its machine.

use std::time::Duration;

use onrush_stats::TargetTime;
use serde::Deserialize;
use url::Url;

use crate::target_check::TimeSource;
use crate::target_metrics::cpu_time;

/// The name that the bundled target gives itself.
const SERVER: &str = "onrush-target";
/// The bundled target's counters are some kilobytes.
const MAX_COUNTERS_BYTES: u64 = 1024 * 1024;
/// A node_exporter's page is some hundred kilobytes.
const MAX_METRICS_BYTES: u64 = 4 * 1024 * 1024;
/// The next look is a second later.
const TIMEOUT: Duration = Duration::from_millis(800);

/// Reads the target's CPU time. Blocks, less than a second.
///
/// # Errors
/// Why nothing is known, in words.
pub fn look_at_target(source: &TimeSource) -> Result<TargetTime, String> {
    match source {
        TimeSource::Bundled(address) => {
            let page = ask(address, "application/json", MAX_COUNTERS_BYTES)?;
            own_time(&page).ok_or_else(|| format!("{address} is not the bundled target"))
        }
        TimeSource::Metrics(address) => {
            let page = ask(address, "text/plain;version=0.0.4", MAX_METRICS_BYTES)?;
            cpu_time(&page).map_err(|problem| format!("{address} {problem}"))
        }
    }
}

fn ask(address: &Url, accept: &str, max_bytes: u64) -> Result<String, String> {
    let agent = ureq::Agent::config_builder().timeout_global(Some(TIMEOUT)).max_redirects(0).build().new_agent();
    let mut answer = match agent.get(address.as_str()).header("Accept", accept).call() {
        Ok(answer) => answer,
        Err(ureq::Error::StatusCode(status)) => return Err(format!("{address} answers {status}")),
        Err(error) => return Err(format!("{address} could not be read: {error}")),
    };
    if !answer.status().is_success() {
        return Err(format!("{address} answers {}", answer.status().as_u16()));
    }
    match answer.body_mut().with_config().limit(max_bytes).read_to_string() {
        Ok(page) => Ok(page),
        Err(ureq::Error::BodyExceedsLimit(_)) => Err(format!("{address} has more than {max_bytes} bytes")),
        Err(error) => Err(format!("{address} could not be read: {error}")),
    }
}

/// What the bundled target tells of its CPU time beside its counters.
#[derive(Deserialize)]
struct Times {
    server: String,
    uptime_s: f64,
    cpu_s: f64,
    cpu_wait_s: f64,
    cores: u64,
}

fn own_time(page: &str) -> Option<TargetTime> {
    let Times { server, uptime_s, cpu_s, cpu_wait_s, cores } = serde_json::from_str(page).ok()?;
    let is_plausible = server == SERVER && cores > 0 && [uptime_s, cpu_s, cpu_wait_s].iter().all(|s| *s >= 0.0);
    is_plausible.then_some(TargetTime { uptime_s, cpu_s, cpu_wait_s, cores })
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpListener;

    use super::*;

    /// A server that gives one answer to one request.
    fn answering(head: &str, body: String) -> TimeSource {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("it has one");
        let answer = format!("{head}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len());
        std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().expect("somebody comes");
            let (mut head, mut byte) = (Vec::new(), [0]);
            while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).unwrap_or(0) > 0 {
                head.push(byte[0]);
            }
            let _ = stream.write_all(answer.as_bytes());
        });
        TimeSource::Metrics(Url::parse(&format!("http://{address}/metrics")).expect("a URL"))
    }

    fn problem(head: &str, body: impl Into<String>) -> String {
        look_at_target(&answering(head, body.into())).expect_err("nothing is known")
    }

    #[test]
    fn a_page_of_metrics_tells_the_cpu_time_of_a_machine() {
        let page =
            "node_cpu_seconds_total{cpu=\"0\",mode=\"idle\"} 6\nnode_cpu_seconds_total{cpu=\"0\",mode=\"user\"} 4\n";
        let time = look_at_target(&answering("HTTP/1.1 200 OK", page.into()));
        assert_eq!(time, Ok(TargetTime { uptime_s: 10.0, cpu_s: 4.0, cpu_wait_s: 0.0, cores: 1 }));
    }

    #[test]
    fn what_is_no_page_of_metrics_is_said_in_words() {
        for (head, body, says) in [
            ("HTTP/1.1 200 OK", "<html>", "has no node_cpu_seconds_total"),
            ("HTTP/1.1 404 Not Found", "", "answers 404"),
            // Whoever redirects names another address, which nobody asked us to ask.
            ("HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:9/", "", "302"),
            ("no HTTP", "", "could not be read"),
        ] {
            let problem = problem(head, body);
            assert!(problem.contains(says) && problem.starts_with("http://127.0.0.1:"), "{head}: {problem}");
        }
        let long = "#".repeat(MAX_METRICS_BYTES as usize + 1);
        assert!(problem("HTTP/1.1 200 OK", long).contains("more than 4194304 bytes"));
        let nobody = TcpListener::bind("127.0.0.1:0").expect("a free port").local_addr().expect("it has one");
        let source = TimeSource::Metrics(Url::parse(&format!("http://{nobody}/")).expect("a URL"));
        assert!(look_at_target(&source).expect_err("nobody is there").contains("could not be read"));
    }
}
