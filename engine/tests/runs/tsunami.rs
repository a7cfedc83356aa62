//! Requests at their due moments, whatever the answers do.

use std::time::Duration;

use onrush_engine::{Plan, Wait};

use crate::harness::{run, run_with, tsunami};
use crate::server::{Reaction, Server, after_ms, ok};

const MS: u64 = 1_000_000;

#[test]
fn slow_answers_do_not_move_the_sends() {
    for wait in [Wait::Timer, Wait::Poll] {
        let server = Server::start(|_| after_ms(200, ok()));
        let plan = Plan { count: Some(200), connections: 100, ..tsunami(&server.url(), Duration::from_millis(5)) };
        let run = run_with(plan, wait);
        assert_eq!(run.totals().answered, 200);
        // The last is due at 995 ms. Were answers waited for, 100 connections would take twice 200 ms and more.
        assert!(
            run.length() >= Duration::from_millis(1_195) && run.length() < Duration::from_secs(10),
            "{:?}",
            run.length()
        );
        let late_ns = run.stats().schedule_error.quantile_ns(0.5).expect("requests were sent");
        assert!(late_ns < 100 * MS, "half of the requests are up to {late_ns} ns late");
    }
}

#[test]
fn an_answer_is_timed_when_it_comes_and_not_when_the_next_request_is_due() {
    for wait in [Wait::Timer, Wait::Poll] {
        let server = Server::start(|_| after_ms(20, ok()));
        let plan = Plan { count: Some(8), connections: 4, ..tsunami(&server.url(), Duration::from_millis(300)) };
        let run = run_with(plan, wait);
        let latency = run.stats().latency;
        assert!(latency.min_ns() >= Some(20 * MS), "{wait:?}: {:?}", latency.summary());
        // Half of the answers at least come in a moment of rest, 280 ms before the next request is due.
        assert!(latency.quantile_ns(0.5) < Some(200 * MS), "{wait:?}: {:?}", latency.summary());
    }
}

#[test]
fn the_wait_for_a_connection_belongs_to_the_latency() {
    // One connection, 10 ms apart, 100 ms each: request k waits k × 90 ms.
    let server = Server::start(|_| after_ms(100, ok()));
    let run = run(Plan { count: Some(5), ..tsunami(&server.url(), Duration::from_millis(10)) });
    let stats = run.stats();
    assert!(stats.service_time.min_ns() >= Some(100 * MS));
    assert!(stats.latency.sum_ns() - stats.service_time.sum_ns() >= 900 * MS);
    assert_eq!(stats.latency.sum_ns() - stats.service_time.sum_ns(), stats.schedule_error.sum_ns());
}

#[test]
fn exactly_the_count_is_sent_over_all_threads() {
    for (count, wait) in [(1, Wait::Timer), (333, Wait::Timer), (2_000, Wait::Poll)] {
        let server = Server::start(|_| ok());
        let plan = Plan { count: Some(count), connections: 5, ..tsunami(&server.url(), Duration::from_micros(500)) };
        let run = run_with(plan, wait);
        assert_eq!((run.totals().answered, server.requests()), (count, count));
        assert_eq!(run.totals().skipped, 0);
    }
}

#[test]
fn what_is_due_is_told_second_by_second_whatever_becomes_of_it() {
    let server = Server::start(|_| after_ms(300, ok()));
    let plan = Plan {
        count: None,
        duration: Some(Duration::from_millis(2_500)),
        ..tsunami(&server.url(), Duration::from_millis(10))
    };
    let run = run(plan);
    let due: Vec<u64> = run.seconds.iter().map(|second| second.stats.counts.due).filter(|due| *due > 0).collect();
    assert_eq!(due, [100, 100, 50]);
    let totals = run.totals();
    assert!(totals.sent < 20 && totals.sent + totals.skipped == 250, "{totals:?}");
}

#[test]
fn what_was_due_and_found_no_connection_is_skipped() {
    let server = Server::start(|_| Reaction::Silence);
    let plan = Plan {
        count: None,
        duration: Some(Duration::from_secs(1)),
        connections: 2,
        timeout: Duration::from_millis(1_500),
        ..tsunami(&server.url(), Duration::from_millis(10))
    };
    let run = run(plan);
    let totals = run.totals();
    assert_eq!((totals.sent, totals.failed, totals.skipped), (2, 2, 98));
    assert_eq!(run.seconds[0].stats.counts.skipped, 98, "they belong to the second in which the test ended");
}

#[test]
fn a_duration_of_whole_seconds_gives_as_many_reports() {
    let server = Server::start(|_| ok());
    let plan = Plan {
        count: None,
        duration: Some(Duration::from_secs(2)),
        ..tsunami(&server.url(), Duration::from_millis(100))
    };
    let run = run(plan);
    assert_eq!(run.totals().sent + run.totals().skipped, 20);
    assert_eq!(run.seconds[0].length, Duration::from_secs(1));
    // On a busy machine the last request may be late; then its answer has a second of its own.
    if run.totals().skipped == 0 && run.seconds[1].stats.counts.in_flight == 0 {
        assert_eq!((run.seconds.len(), run.length()), (2, Duration::from_secs(2)));
    }
}

#[test]
fn the_target_throughput_spaces_a_tsunami() {
    let server = Server::start(|_| ok());
    let plan = Plan { count: Some(150), connections: 4, ..tsunami(&server.url(), Duration::from_millis(1)) };
    let run = run(Plan { target_throughput_per_s: Some(100.0), ..plan });
    assert_eq!(run.totals().answered, 150);
    assert!(run.seconds.iter().all(|second| second.stats.counts.sent <= 100));
    assert!(run.length() >= Duration::from_millis(1_490));
}

#[test]
fn a_connection_that_was_closed_while_idle_is_replaced_silently() {
    let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\npong";
    let server = Server::start(|_| Reaction::SendAndClose(answer.to_vec()));
    let run = run(Plan { count: Some(4), ..tsunami(&server.url(), Duration::from_millis(300)) });
    assert_eq!(run.totals().answered, 4);
    assert_eq!(server.connections(), 4);
}
