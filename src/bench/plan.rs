//! From a test to the plan that the engine runs, by the rules that a driver goes by. Pure.

use onrush_engine::{Mode, Plan, Request};
use onrush_protocol::{TestConfig, TestType};

use crate::error::Error;

/// The plan of a test; the error names the flag at fault, its value and what would be right.
pub fn plan_of(config: &TestConfig) -> Result<Plan, Error> {
    let problems = config.problems();
    if !problems.is_empty() {
        let words: Vec<String> = problems.iter().map(|p| in_words(p.field, &p.problem)).collect();
        return Err(Error::Usage(words.join("\n")));
    }
    let usage = |field: &str, problem: String| Error::Usage(in_words(field, &problem));
    let url = config.target_url.as_deref().unwrap_or_default();
    let url = url::Url::parse(url).map_err(|e| usage("target_url", format!("{url:?} is no URL ({e})")))?;
    let method = http::Method::from_bytes(config.method.as_bytes());
    let method = method.map_err(|_| usage("method", format!("{:?} is no HTTP method", config.method)))?;
    let plan = Plan {
        mode: match config.test_type {
            TestType::Avalanche => Mode::Avalanche,
            TestType::Tsunami => Mode::Tsunami { delay: config.delay },
        },
        max_rate_per_s: config.target_throughput_per_s,
        count: config.count_per_driver,
        duration: config.duration,
        connections: config.connections.unwrap_or_else(|| TestConfig::default_connections(config.test_type)),
        keepalive: config.keepalive,
        timeout: config.timeout,
        connect_timeout: config.connect_timeout,
        request: Request {
            url,
            method,
            headers: config.headers.clone(),
            body: config.body.clone().unwrap_or_default(),
        },
    };
    plan.validate().map_err(|e| usage(e.field, e.problem))?;
    Ok(plan)
}

/// A problem of a field, as one of the flag that sets it.
fn in_words(field: &str, problem: &str) -> String {
    let flag = match field {
        "target_url" | "url" => "URL:",
        "test_message_delay" | "delay" => "--delay",
        "message_count_per_driver" | "count" => "--requests",
        "duration" => "--duration",
        "target_throughput" | "max_rate_per_s" => "--rate",
        "connections" => "--connections",
        "method" => "--method",
        "headers" => "--header:",
        "body" => "the body (--body, --body-file)",
        "timeout" => "--timeout",
        "connect_timeout" => "--connect-timeout",
        "cpus" => "--cpus:",
        other => other,
    };
    // The messages are shared with tests on several drivers.
    format!("{flag} {}", problem.replace(" per driver", ""))
}

/// The requests per second that the test asks for; `None`: as many as go.
pub fn asked_rate_per_s(config: &TestConfig) -> Option<f64> {
    let by_delay =
        (config.test_type == TestType::Tsunami && !config.delay.is_zero()).then(|| config.delay.as_secs_f64().recip());
    // The longer of the two intervals counts.
    [by_delay, config.target_throughput_per_s].into_iter().flatten().reduce(f64::min)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use clap::Parser;

    use super::*;
    use crate::bench::BenchArgs;
    use crate::cli::{Cli, Command};

    fn config(args: &[&str]) -> Result<TestConfig, String> {
        match Cli::try_parse_from(["onrush", "bench"].iter().chain(args)).map_err(|e| e.to_string())?.command {
            Command::Bench(args) => BenchArgs::config(&args).map_err(|e| e.to_string()),
            other => panic!("not a bench: {other:?}"),
        }
    }

    fn planned(args: &[&str]) -> Result<Plan, String> {
        plan_of(&config(args)?).map_err(|e| e.to_string())
    }

    fn plain() -> Plan {
        Plan {
            mode: Mode::Avalanche,
            max_rate_per_s: None,
            count: None,
            duration: Some(Duration::from_secs(10)),
            connections: 64,
            keepalive: true,
            timeout: Duration::from_secs(10),
            connect_timeout: Duration::from_secs(5),
            request: Request {
                url: url::Url::parse("http://127.0.0.1:8080/ping").expect("a URL"),
                method: http::Method::GET,
                headers: Vec::new(),
                body: Vec::new(),
            },
        }
    }

    #[test]
    fn a_url_is_enough() {
        assert_eq!(planned(&["127.0.0.1:8080/ping"]), Ok(plain()));
        let counted = Plan { count: Some(100_000), duration: None, ..plain() };
        assert_eq!(planned(&["http://127.0.0.1:8080/ping", "-n", "100k"]), Ok(counted));
    }

    #[test]
    fn every_flag_reaches_the_plan() {
        let line = "http://h/ -n 1M -d 1m -R 2k --delay 250us -c 10 -m POST --body x --timeout 1s \
            --connect-timeout 500ms --disable-keepalive";
        let mut args: Vec<&str> = line.split_whitespace().collect();
        args.extend(["-H", "A: b, c", "-H", "D: e"]);
        let expected = Plan {
            mode: Mode::Tsunami { delay: Duration::from_micros(250) },
            max_rate_per_s: Some(2_000.0),
            count: Some(1_000_000),
            duration: Some(Duration::from_secs(60)),
            connections: 10,
            keepalive: false,
            timeout: Duration::from_secs(1),
            connect_timeout: Duration::from_millis(500),
            request: Request {
                url: url::Url::parse("http://h/").expect("a URL"),
                method: http::Method::POST,
                headers: vec![("A".into(), "b, c".into()), ("D".into(), "e".into())],
                body: b"x".to_vec(),
            },
        };
        assert_eq!(planned(&args), Ok(expected));
    }

    #[test]
    fn the_body_may_come_from_a_file_as_it_is() {
        let folder = tempfile::tempdir().expect("a folder for the test");
        let path = folder.path().join("body");
        std::fs::write(&path, [0u8, 255]).expect("the folder can be written");
        let plan = planned(&["h", "--body-file", &path.to_string_lossy()]).expect("a right command line");
        assert_eq!(plan.request.body, [0, 255]);
        let missing = planned(&["h", "--body-file", "/nowhere/body"]);
        assert!(missing.is_err_and(|e| e.contains("/nowhere/body")));
    }

    #[test]
    fn a_tsunami_takes_its_rate_from_either_flag() {
        let rate = |args: &[&str]| asked_rate_per_s(&config(args).expect("a right command line"));
        assert_eq!(rate(&["h"]), None);
        assert_eq!(rate(&["h", "-R", "500"]), Some(500.0));
        assert_eq!(rate(&["h", "--type", "tsunami", "-R", "500"]), Some(500.0));
        assert_eq!(rate(&["h", "--delay", "10ms"]), Some(100.0));
        assert_eq!(rate(&["h", "--delay", "1ms", "-R", "500"]), Some(500.0));
        let tsunami = planned(&["h", "--type", "tsunami", "-R", "500"]).expect("a right command line");
        assert_eq!(tsunami.mode, Mode::Tsunami { delay: Duration::ZERO });
    }

    #[test]
    fn what_cannot_be_run_names_the_flag_the_value_and_what_is_right() {
        let cases: [(&[&str], &[&str]); 12] = [
            (&["h", "-c", "0"], &["--connections", "is 0", "give 1 to"]),
            (&["h", "-d", "0"], &["--duration", "0ns", "more than 0"]),
            (&["h", "-R", "99M"], &["--rate", "99000000", "give"]),
            (&["h", "-n", "0"], &["--requests", "'0'", "write 1000"]),
            (&["h", "--timeout", "2h"], &["--timeout", "7200s", "give 1ms to 3600s"]),
            (&["h", "--connect-timeout", "0"], &["--connect-timeout", "0ns"]),
            (&["ftp://h/"], &["URL", "ftp", "http"]),
            (&["http://"], &["URL", "http://"]),
            (&["h", "-m", "CONNECT"], &["--method", "CONNECT", "GET"]),
            (&["h", "-H", "a b: c"], &["--header", "a b", "letters"]),
            (&["h", "--type", "tsunami"], &["tsunami", "--delay", "--rate"]),
            (&["h", "--type", "avalanche", "--delay", "1ms"], &["--delay", "--rate"]),
        ];
        for (args, words) in cases {
            let error = planned(args).expect_err("it is wrong");
            assert!(words.iter().all(|word| error.contains(word)), "{args:?}: {error}");
            assert!(!error.contains("per driver"), "{error}");
        }
    }
}
