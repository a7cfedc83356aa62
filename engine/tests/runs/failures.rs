//! Every way in which a request can fail has its name.

use std::net::TcpListener;
use std::time::{Duration, Instant};

use onrush_engine::{ArmError, Armed, End, Plan, Wait};
use onrush_stats::FailureCause;

use crate::harness::{arm, finish, options, plan, run, tsunami};
use crate::server::{Deaf, Reaction, Server, ok, raw};

#[test]
fn each_misbehaviour_has_its_cause() {
    let partial = b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\npong".to_vec();
    let cases = [
        (Reaction::SendAndClose(Vec::new()), FailureCause::ClosedEarly),
        (Reaction::SendAndClose(partial.clone()), FailureCause::ClosedEarly),
        (Reaction::Reset, FailureCause::Reset),
        (raw("SSH-2.0-OpenSSH_9.6\r\n"), FailureCause::Malformed),
        (raw("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n"), FailureCause::Malformed),
        (Reaction::Silence, FailureCause::Timeout),
        (Reaction::Send(partial), FailureCause::Timeout),
    ];
    for (reaction, cause) in cases {
        let server = Server::start(move |number| if number % 2 == 0 { reaction.clone() } else { ok() });
        let timeout = Duration::from_millis(600);
        let run = run(Plan { count: Some(6), timeout, resend: false, ..plan(&server.url()) });
        // Every failure costs its connection, and the next request goes out on a new one.
        assert_eq!(run.failures(), [(cause, 3)].into(), "{cause}");
        assert_eq!(run.totals().answered, 3, "{cause}");
        assert!(server.connections() >= 3, "{cause}");
    }
}

#[test]
fn a_time_out_comes_in_time() {
    let server = Server::start(|_| Reaction::Silence);
    let run = run(Plan { connections: 2, count: Some(2), timeout: Duration::from_millis(300), ..plan(&server.url()) });
    assert_eq!(run.failures(), [(FailureCause::Timeout, 2)].into());
    assert!(run.length() >= Duration::from_millis(300) && run.length() < Duration::from_secs(3), "{:?}", run.length());
}

#[test]
fn a_target_that_goes_away_refuses() {
    let server = Server::start(|_| Reaction::SendAndClose(Vec::new()));
    let armed = arm(Plan { count: Some(20), connections: 2, ..plan(&server.url()) });
    let address = server.address.to_string();
    drop(server);
    let run = finish(armed.start(Instant::now()));
    let failures = run.failures();
    assert_eq!(failures.values().sum::<u64>(), 20);
    assert!(failures[&FailureCause::ConnectRefused] >= 17, "{failures:?}");
    let examples = run.stats().examples;
    let refused = examples.iter().find(|(cause, _)| *cause == FailureCause::ConnectRefused).map(|(_, text)| text);
    assert!(refused.is_some_and(|text| text.contains(&address) && text.contains("refused")), "{refused:?}");
    // Pauses keep a dead target from burning the machine: some nine refusals per connection, 10 ms apart.
    assert!(run.length() >= Duration::from_millis(60), "{:?}", run.length());
}

#[test]
fn a_target_that_accepts_no_more_times_out() {
    let listener = Deaf::listen("127.0.0.1:0");
    let address = listener.local_addr().expect("a bound listener has an address");

    let timed =
        Plan { connect_timeout: Duration::from_millis(300), count: Some(2), ..plan(&format!("http://{address}/")) };
    let armed = arm(timed);
    let (first, _) = listener.accept().expect("the engine's connection");
    let _deaf = Deaf::fill(listener);
    drop(first);
    let run = finish(armed.start(Instant::now()));
    // The connection that was closed before the run is noticed only when it was idle for a while.
    let timeouts = run.failures().get(&FailureCause::ConnectTimeout).copied().unwrap_or(0);
    assert!(timeouts >= 1, "{:?}", run.failures());
    assert_eq!(run.totals().failed, 2);
}

#[test]
fn what_is_on_its_way_at_a_stop_is_given_a_moment_and_then_aborted() {
    let server = Server::start(|_| Reaction::Silence);
    let running =
        arm(Plan { count: Some(100), connections: 3, timeout: Duration::from_secs(30), ..plan(&server.url()) })
            .start(Instant::now());
    wait_until(|| server.requests() == 3);
    let stopped_at = Instant::now();
    running.stopper().stop();
    let run = finish(running);
    assert!(stopped_at.elapsed() >= Duration::from_millis(1_900) && stopped_at.elapsed() < Duration::from_secs(10));
    assert_eq!(run.failures(), [(FailureCause::Aborted, 3)].into());
    assert_eq!(run.end(), &End::Stopped);
}

#[test]
fn a_tsunami_to_a_dead_target_keeps_its_schedule() {
    let server = Server::start(|_| Reaction::SendAndClose(Vec::new()));
    let armed = arm(Plan { count: Some(50), connections: 2, ..tsunami(&server.url(), Duration::from_millis(5)) });
    drop(server);
    let run = finish(armed.start(Instant::now()));
    assert_eq!(run.totals().failed, 50);
    assert!(run.length() >= Duration::from_millis(245));
}

#[test]
fn a_target_that_is_not_there_cannot_be_armed() {
    let address = {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port on loopback");
        listener.local_addr().expect("a bound listener has an address")
    };
    let error =
        Armed::new(plan(&format!("http://{address}/")), options(Wait::Timer)).err().expect("nobody listens there");
    assert!(matches!(&error, ArmError::Connect { address: named, .. } if *named == address.to_string()), "{error}");
}

#[test]
fn what_cannot_be_armed_says_why() {
    let mut wrong = plan("http://127.0.0.1/");
    wrong.connections = 0;
    let error = Armed::new(wrong, options(Wait::Timer)).err().expect("no connections");
    assert!(error.to_string().contains("connections"), "{error}");

    let server = Server::start(|_| ok());
    let mut nowhere = options(Wait::Timer);
    nowhere.cpus = vec![1_000];
    let error = Armed::new(plan(&server.url()), nowhere).err().expect("no such CPU");
    assert!(matches!(error, ArmError::Thread { cpu: 1_000, .. }), "{error}");

    let mut none = options(Wait::Timer);
    none.cpus.clear();
    assert!(matches!(Armed::new(plan(&server.url()), none), Err(ArmError::Plan(_))));
}

fn wait_until(condition: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !condition() {
        assert!(Instant::now() < deadline, "what the test waits for does not happen");
        std::thread::sleep(Duration::from_millis(1));
    }
}
