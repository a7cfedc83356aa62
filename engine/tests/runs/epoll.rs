//! The same engine on epoll, as where io_uring is refused.

use std::time::{Duration, Instant};

use onrush_engine::{Armed, End, Io, Options, Plan, Wait};
use onrush_stats::FailureCause;

use crate::harness::{finish, options, plan, run_on, tsunami};
use crate::server::{Reaction, Server, ok, raw};

fn epoll(wait: Wait) -> Options {
    Options { io: Io::Epoll, ..options(wait) }
}

#[test]
fn it_says_what_it_runs_on() {
    let server = Server::start(|_| ok());
    for (asked, used) in [(Io::Epoll, Io::Epoll), (Io::IoUring, Io::IoUring), (Io::Auto, Io::IoUring)] {
        let armed = Armed::new(plan(&server.url()), Options { io: asked, ..options(Wait::Timer) });
        assert_eq!(armed.expect("it can be armed").io(), used);
    }
}

#[test]
fn an_avalanche_sends_exactly_its_count() {
    let server = Server::start(|_| ok());
    let run = run_on(Plan { count: Some(3_000), connections: 20, ..plan(&server.url()) }, epoll(Wait::Timer));
    assert_eq!((run.totals().answered, server.requests()), (3_000, 3_000));
}

#[test]
fn a_tsunami_keeps_its_schedule() {
    for wait in [Wait::Timer, Wait::Poll] {
        let server = Server::start(|_| ok());
        let plan = Plan { count: Some(200), connections: 10, ..tsunami(&server.url(), Duration::from_millis(3)) };
        let run = run_on(plan, epoll(wait));
        assert_eq!(run.totals().answered, 200);
        // The last is due at 597 ms.
        assert!(run.length() >= Duration::from_millis(597) && run.length() < Duration::from_secs(10), "{wait:?}");
    }
}

#[test]
fn large_bodies_go_both_ways() {
    let body = "x".repeat(2_000_000);
    let server = Server::start(move |_| raw(&format!("HTTP/1.1 200 OK\r\nContent-Length: 2000000\r\n\r\n{body}")));
    let mut plan = Plan { count: Some(5), connections: 2, ..plan(&server.url()) };
    plan.requests[0].method = http::Method::POST;
    plan.requests[0].body = vec![b'x'; 3_000_000];
    let counts = run_on(plan, epoll(Wait::Timer)).stats().counts;
    assert!(counts.answered() == 5 && counts.bytes_sent > 15_000_000 && counts.bytes_received > 10_000_000);
}

#[test]
fn a_time_out_and_a_stop_come_in_time() {
    let server = Server::start(|_| Reaction::Silence);
    let short = Plan { count: Some(2), timeout: Duration::from_millis(300), ..plan(&server.url()) };
    assert_eq!(run_on(short, epoll(Wait::Timer)).failures(), [(FailureCause::Timeout, 2)].into());

    let long = Plan { count: None, duration: Some(Duration::from_secs(60)), ..plan(&server.url()) };
    let running = Armed::new(long, epoll(Wait::Timer)).expect("it can be armed").start(Instant::now());
    running.stopper().stop();
    assert_eq!(*finish(running).end(), End::Stopped);
}
