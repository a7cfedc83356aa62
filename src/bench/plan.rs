//! From a test to the plan that the engine runs, by the rules that a driver goes by. Pure.

use onrush_engine::Plan;
use onrush_protocol::{TestConfig, TestOption};

use crate::error::Error;
use crate::request::about_alone;

/// The plan of a test; the error names the flag at fault, its value and what would be right.
pub fn plan_of(config: &TestConfig) -> Result<Plan, Error> {
    onrush_driver::plan_of(config, None).map_err(|problems| {
        let words: Vec<String> = problems.iter().map(|p| in_words(p.field, &p.problem)).collect();
        Error::Usage(words.join("\n"))
    })
}

/// A problem of a field, as one of the flag that sets it.
fn in_words(field: &str, problem: &str) -> String {
    // The engine has names of its own.
    let name = match field {
        "requests" | "weight" => "targets",
        "target_throughput_per_s" => "target_throughput",
        "ca" => "tls_ca_pem",
        other => other,
    };
    let problem = about_alone(problem);
    let joined = |name: &str| format!("{name}{} {problem}", if problem.starts_with("is ") { "" } else { ":" });
    match TestOption::named(name) {
        Some(option) if option.name == "target_url" => joined("URL"),
        Some(TestOption { flag: Some(flag), .. }) => joined(&format!("--{}", flag.long)),
        _ => joined(name),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use clap::Parser;
    use onrush_engine::{Arrivals, Check, Mode, Order, Request, Server, Share, Tls};

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
            target_throughput_per_s: None,
            count: None,
            duration: Some(Duration::from_secs(10)),
            profile: None,
            share: Share::default(),
            arrivals: Arrivals::Even,
            connections: 64,
            think_time: Duration::ZERO,
            keepalive: true,
            timeout: Duration::from_secs(10),
            connect_timeout: Duration::from_secs(5),
            resend: true,
            requests: vec![Request::get(Server { tls: false, host: "127.0.0.1".into(), port: 8080 }, "/ping")],
            order: Order::InTurn,
            tls: Tls::default(),
            routes: Vec::new(),
            unix_socket: None,
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
            --connect-timeout 500ms --disable-keepalive --expect status=2xx -k";
        let mut args: Vec<&str> = line.split_whitespace().collect();
        args.extend(["-H", "A: b, c", "-H", "D: e"]);
        let expected = Plan {
            mode: Mode::Tsunami { delay: Duration::from_micros(250) },
            target_throughput_per_s: Some(2_000.0),
            count: Some(1_000_000),
            duration: Some(Duration::from_secs(60)),
            connections: 10,
            keepalive: false,
            timeout: Duration::from_secs(1),
            connect_timeout: Duration::from_millis(500),
            requests: vec![Request {
                method: http::Method::POST,
                headers: vec![("A".into(), "b, c".into()), ("D".into(), "e".into())],
                body: b"x".to_vec(),
                checks: [Check::Status(vec![(200, 299)])].into(),
                ..Request::get(Server { tls: false, host: "h".into(), port: 80 }, "/")
            }],
            tls: Tls { insecure: true, ..Tls::default() },
            ..plain()
        };
        assert_eq!(planned(&args), Ok(expected));
    }

    #[test]
    fn the_body_may_come_from_a_file_as_it_is() {
        let folder = tempfile::tempdir().expect("a folder for the test");
        let path = folder.path().join("body");
        std::fs::write(&path, [0u8, 255]).expect("the folder can be written");
        let plan = planned(&["h", "--body-file", &path.to_string_lossy()]).expect("a right command line");
        assert_eq!(plan.requests[0].body, [0, 255]);
        let missing = planned(&["h", "--body-file", "/nowhere/body"]);
        assert!(missing.is_err_and(|e| e.contains("/nowhere/body")));
    }

    #[test]
    fn several_requests_come_from_a_file() {
        let folder = tempfile::tempdir().expect("a folder for the test");
        let path = folder.path().join("requests.jsonl");
        let write = |text: &str| std::fs::write(&path, text).expect("the folder can be written");
        let file = path.to_string_lossy().into_owned();
        write("{\"url\": \"http://a/\", \"weight\": 2}\n\n{\"method\": \"POST\", \"expect\": \"status=201\"}\n");
        let plan = planned(&["http://b/x", "--targets", &file, "--order", "shuffled", "--seed", "9"]).expect("right");
        assert_eq!(plan.order, Order::Shuffled { seed: 9 });
        assert_eq!((plan.requests[0].weight, plan.requests[0].server.host.as_str()), (2, "a"));
        let second = &plan.requests[1];
        assert_eq!(
            (&second.method, second.server.host.as_str(), second.target.as_str()),
            (&http::Method::POST, "b", "/x")
        );
        assert_eq!(plan.requests[1].checks, [Check::Status(vec![(201, 201)])].into());
        // Where the second has no URL either, that is said.
        assert!(planned(&["--targets", &file]).is_err_and(|e| e.contains("URL")));
        write("{\"url\": \"http://a/\"}\n{\"weight\": -1}\n");
        assert!(planned(&["--targets", &file]).is_err_and(|e| e.contains("line 2") && e.contains("weight")));
    }

    #[test]
    fn a_tsunami_takes_its_rate_from_either_flag() {
        let rate = |args: &[&str]| config(args).expect("a right command line").asked_rate_per_s(1);
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
            (&["h", "-c", "0"], &["--connections", "'0'", "from 1 to 100000"]),
            (&["h", "-d", "0"], &["--duration", "0ns", "more than 0"]),
            (&["h", "-R", "99M"], &["--rate", "99000000", "give"]),
            (&["h", "-n", "0"], &["--requests", "'0'", "from 1 to"]),
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
