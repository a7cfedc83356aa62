//! Asks a target for its own counters, as the bundled one has them.

use serde::Deserialize;
use url::Url;

use crate::target_check::{Counters, Probe, TIMEOUT};

/// The name that the bundled target gives itself.
const SERVER: &str = "onrush-target";
/// A server that answers a million requests a second needs 285 years for so many.
const MAX_COUNTED: u64 = 1 << 53;
const MAX_BYTES: u64 = 1024 * 1024;

#[derive(Deserialize)]
struct Answer {
    server: String,
    instance: String,
    endpoints: Vec<Endpoint>,
}

#[derive(Deserialize)]
struct Endpoint {
    path: String,
    requests: u64,
}

/// Reads the counters. Blocks, at most [`TIMEOUT`].
pub fn ask_target(address: &Url) -> Probe {
    const NONE: &str = "the target has no counters of this kind";
    let agent = ureq::Agent::config_builder().timeout_global(Some(TIMEOUT)).max_redirects(0).build().new_agent();
    let answer = agent.get(address.as_str()).header("Accept", "application/json").call();
    let mut answer = match answer {
        Ok(answer) => answer,
        Err(ureq::Error::StatusCode(_)) => return Probe::Unknown(NONE.into()),
        Err(e) => return Probe::Unknown(format!("the target's counters could not be read at {address}: {e}")),
    };
    let body = answer.body_mut().with_config().limit(MAX_BYTES).read_to_string();
    match body.ok().and_then(|text| serde_json::from_str::<Answer>(&text).ok()) {
        Some(answer) if answer.endpoints.iter().any(|endpoint| endpoint.requests > MAX_COUNTED) => {
            Probe::Unknown("the target counts more requests than any server answers".into())
        }
        Some(answer) if answer.server == SERVER => Probe::Counters(Counters {
            instance: answer.instance,
            requests: answer.endpoints.into_iter().map(|endpoint| (endpoint.path, endpoint.requests)).collect(),
        }),
        _ => Probe::Unknown(NONE.into()),
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpListener;

    use super::*;

    /// A server that gives one answer to one request.
    fn answering(answer: String) -> Url {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut head = Vec::new();
            let mut byte = [0];
            while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).unwrap_or(0) > 0 {
                head.push(byte[0]);
            }
            let _ = stream.write_all(answer.as_bytes());
        });
        Url::parse(&format!("http://{address}/metrics")).unwrap()
    }

    fn with_body(body: &str) -> String {
        format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len())
    }

    #[test]
    fn the_bundled_targets_counters_are_read() {
        let body = r#"{"server":"onrush-target","instance":"abc","endpoints":[
            {"path":"/ping","requests":123,"responses":{"200":123}}]}"#;
        let expected = Counters { instance: "abc".into(), requests: [("/ping".to_owned(), 123)].into() };
        assert_eq!(ask_target(&answering(with_body(body))), Probe::Counters(expected));
    }

    #[test]
    fn counters_that_no_server_reaches_are_unknown() {
        for requests in ["9007199254740993", "9223372036854775808", "18446744073709551615", "1e300", "-1"] {
            let body = format!(
                r#"{{"server":"onrush-target","instance":"abc","endpoints":[{{"path":"/ping","requests":{requests}}}]}}"#
            );
            assert!(matches!(ask_target(&answering(with_body(&body))), Probe::Unknown(_)), "{requests}");
        }
    }

    #[test]
    fn another_targets_answer_is_unknown() {
        let other = r#"{"server":"another","instance":"abc","endpoints":[]}"#;
        let not_found = "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".to_owned();
        for answer in [with_body(other), with_body("# TYPE x counter"), not_found, "no HTTP".to_owned()] {
            assert!(matches!(ask_target(&answering(answer)), Probe::Unknown(_)));
        }
        let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        assert!(matches!(ask_target(&Url::parse(&format!("http://{nobody}/metrics")).unwrap()), Probe::Unknown(_)));
    }
}
