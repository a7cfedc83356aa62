//! How long a connection rests before it may send again.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use onrush_engine::{End, Plan, Wait};

use crate::harness::{arm, finish, plan, run, run_with, tsunami};
use crate::server::{Arrival, Reaction, Server, after_ms, ok};

const THINK_TIME: Duration = Duration::from_millis(50);

/// From one request to the next on the same connection, as the server saw them.
fn gaps(arrivals: &[Arrival]) -> Vec<Duration> {
    let mut last = BTreeMap::new();
    let gap = |arrival: &Arrival| last.insert(arrival.connection, arrival.at).map(|before| arrival.at - before);
    arrivals.iter().filter_map(gap).collect()
}

fn assert_rested(server: &Server, at_least: Duration, expected: usize) {
    let gaps = gaps(&server.arrivals());
    assert_eq!(gaps.len(), expected);
    assert!(gaps.iter().all(|gap| *gap >= at_least), "{gaps:?}");
}

#[test]
fn a_connection_of_an_avalanche_rests_after_each_response() {
    for wait in [Wait::Timer, Wait::Poll] {
        let server = Server::start(|_| after_ms(10, ok()));
        let run =
            run_with(Plan { count: Some(20), connections: 4, think_time: THINK_TIME, ..plan(&server.url()) }, wait);
        assert_eq!(run.totals().answered, 20);
        // The server answers 10 ms after the request came.
        assert_rested(&server, THINK_TIME + Duration::from_millis(10), 16);
        let stats = run.stats();
        assert_eq!(stats.schedule_error.max_ns(), Some(0), "a request is due when its connection is free");
        assert!(stats.latency.min_ns() >= Some(10_000_000));
        assert!(run.length() < Duration::from_secs(5), "{:?}", run.length());
    }
}

#[test]
fn a_rest_ends_when_its_time_is_over_and_not_at_the_next_look() {
    let server = Server::start(|_| ok());
    let think_time = Duration::from_millis(1);
    let run = run(Plan { count: Some(1_000), think_time, ..plan(&server.url()) });
    assert_rested(&server, think_time, 999);
    // Looks at deadlines are 5 ms apart.
    assert!((Duration::from_secs(1)..Duration::from_secs(4)).contains(&run.length()), "{:?}", run.length());
}

#[test]
fn a_connection_rests_after_a_failure() {
    let server = Server::start(|_| Reaction::Close);
    let run = run(Plan { count: Some(4), resend: false, think_time: THINK_TIME, ..plan(&server.url()) });
    assert_eq!((run.totals().failed, server.connections()), (4, 4));
    let arrivals = server.arrivals();
    assert!(arrivals.windows(2).all(|pair| pair[1].at - pair[0].at >= THINK_TIME), "{arrivals:?}");
}

#[test]
fn a_target_that_cannot_be_connected_is_tried_once_in_a_think_time() {
    let server = Server::start(|_| Reaction::Close);
    let armed = arm(Plan { count: Some(3), resend: false, think_time: THINK_TIME, ..plan(&server.url()) });
    drop(server);
    let run = finish(armed.start(Instant::now()));
    assert_eq!(run.totals().failed, 3);
    assert!(run.length() >= 2 * THINK_TIME, "{:?}", run.length());
}

#[test]
fn a_rate_finds_no_connection_that_rests() {
    for wait in [Wait::Timer, Wait::Poll] {
        let server = Server::start(|_| ok());
        let timed = Plan { count: None, duration: Some(Duration::from_secs(1)), ..plan(&server.url()) };
        let paced = Plan { target_throughput_per_s: Some(100.0), connections: 2, think_time: THINK_TIME, ..timed };
        let totals = run_with(paced, wait).totals();
        assert!((2..=40).contains(&totals.sent), "{totals:?}");
        assert_eq!(totals.due, 100, "what no connection was free for is dropped: {totals:?}");
        assert_rested(&server, THINK_TIME, totals.sent as usize - 2);
    }
}

#[test]
fn a_request_of_a_tsunami_waits_for_a_connection_that_rests() {
    for wait in [Wait::Timer, Wait::Poll] {
        let server = Server::start(|_| ok());
        let delay = Duration::from_millis(5);
        let run = run_with(
            Plan { count: Some(10), connections: 2, think_time: THINK_TIME, ..tsunami(&server.url(), delay) },
            wait,
        );
        assert_eq!(run.totals().answered, 10);
        assert_rested(&server, THINK_TIME, 8);
        // The last two are due at 40 and 45 ms, and sent after four rests.
        let latency = run.stats().latency;
        assert!(latency.max_ns() >= Some(155_000_000), "the wait belongs to the latency: {:?}", latency.summary());
    }
}

#[test]
fn a_duration_ends_although_connections_rest() {
    let server = Server::start(|_| ok());
    for rate in [None, Some(1_000.0)] {
        let resting = Plan { connections: 3, think_time: Duration::from_secs(3_600), ..plan(&server.url()) };
        let run = run(Plan {
            count: None,
            duration: Some(Duration::from_millis(300)),
            target_throughput_per_s: rate,
            ..resting
        });
        assert_eq!((run.totals().sent, run.end()), (3, &End::Completed));
        assert!((Duration::from_millis(300)..Duration::from_secs(5)).contains(&run.length()), "{:?}", run.length());
    }
}

#[test]
fn a_count_that_is_reached_waits_for_nobody_who_rests() {
    let server = Server::start(|_| ok());
    let resting = Plan { connections: 3, think_time: Duration::from_secs(3_600), ..plan(&server.url()) };
    let run = run(Plan { count: Some(3), ..resting });
    assert_eq!((run.totals().answered, run.end()), (3, &End::Completed));
    assert!(run.length() < Duration::from_secs(5), "{:?}", run.length());
}

#[test]
fn a_stop_ends_a_run_whose_connections_rest() {
    let server = Server::start(|_| ok());
    let resting = Plan { connections: 3, think_time: Duration::from_secs(3_600), ..plan(&server.url()) };
    let running = arm(Plan { count: Some(100), ..resting }).start(Instant::now());
    let deadline = Instant::now() + Duration::from_secs(30);
    while server.requests() < 3 {
        assert!(Instant::now() < deadline, "{} of 3 requests came", server.requests());
        std::thread::yield_now();
    }
    running.stopper().stop();
    let run = finish(running);
    assert_eq!((run.totals().sent, run.end()), (3, &End::Stopped));
    assert!(run.length() < Duration::from_secs(5), "{:?}", run.length());
}

#[test]
fn a_connection_that_its_server_closes_while_it_rests_is_replaced_silently() {
    let idle = Some(Duration::from_millis(20));
    let server = Server::start_idling("127.0.0.1:0", idle, |_| ok());
    let run = run(Plan { count: Some(3), think_time: THINK_TIME, ..plan(&server.url()) });
    assert_eq!((run.totals().answered, run.totals().resent), (3, 0));
    assert_eq!(server.connections(), 3);
}
