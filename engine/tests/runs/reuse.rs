//! Which connection a request takes, and what becomes of it there: servers that close unasked, answer unasked, answer early.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use http::Method;
use onrush_engine::{Io, Mode, Options, Plan, Wait};
use onrush_stats::{FailureCause, SecondStats};

use crate::harness::{Run, options, plan, run, run_on, tsunami};
use crate::server::{Arrival, OK, Reaction, Server, after_ms, ok, ok_and_after_ms};

/// So far apart that the server has done what it does between two requests, even on a busy machine.
const APART: Duration = Duration::from_millis(150);

const IOS: [Io; 2] = [Io::IoUring, Io::Epoll];

/// On one thread.
fn run_by(io: Io, plan: &Plan) -> Run {
    let mut options = options(Wait::Timer);
    options.cpus.truncate(1);
    run_on(plan.clone(), Options { io, ..options })
}

/// Runs a plan whose requests are `APART`, against new servers until nobody was late: a machine that stands still lets two
/// of them fall together, and then nobody could notice anything in between.
fn run_apart(io: Io, serve: impl Fn() -> Server, plan: impl Fn(&str) -> Plan) -> (Run, Server) {
    const TRIES: usize = 20;
    // Sent, read and served so late at most, there is time left before the next.
    let late = APART / 4;
    for _ in 0..TRIES {
        let server = serve();
        let run = run_by(io, &plan(&server.url()));
        let SecondStats { latency, schedule_error, .. } = run.stats();
        let max_ms = [latency, schedule_error].map(|times| times.summary().map_or(f64::MAX, |times| times.max_ms));
        let served = |arrival: &Arrival| arrival.done.is_some_and(|done| done - arrival.at < late);
        // Nothing follows the last.
        let is_served = server.arrivals().split_last().is_some_and(|(_, before)| before.iter().all(served));
        if max_ms.iter().all(|max_ms| *max_ms < late.as_secs_f64() * 1e3) && is_served {
            return (run, server);
        }
    }
    panic!("in none of {TRIES} runs came the requests apart");
}

fn all_answered(run: &Run, count: u64) {
    assert_eq!((run.totals().answered, run.failures()), (count, [].into()), "{:?}", run.stats().examples);
}

#[test]
fn a_close_without_a_word_fails_nobody() {
    for connections in [1, 4] {
        let server = Server::start(|_| Reaction::SendAndClose(OK.to_vec()));
        let run = run(Plan { count: Some(300), connections, ..plan(&server.url()) });
        all_answered(&run, 300);
        // A request that met a closing connection was not read by the server, and was sent again.
        assert_eq!(server.requests(), 300);
        assert!(run.stats().counts.connects >= 300 - u64::from(connections), "{:?}", run.stats().counts);
    }
}

#[test]
fn a_close_between_two_requests_is_noticed_and_nothing_is_sent_twice() {
    for (method, io) in [(Method::GET, Io::IoUring), (Method::POST, Io::IoUring), (Method::POST, Io::Epoll)] {
        let serve = || Server::start(|_| Reaction::SendAndClose(OK.to_vec()));
        let (run, server) = run_apart(io, serve, |url| {
            let mut plan = Plan { count: Some(8), ..tsunami(url, APART) };
            plan.requests[0].method = method.clone();
            plan
        });
        all_answered(&run, 8);
        assert_eq!((run.totals().resent, server.requests()), (0, 8), "{io:?}");
        assert_eq!(run.stats().counts.connects, 7, "the first was open before the start");
    }
}

/// Every second request of a connection is read and gets no response.
fn swallowing() -> Server {
    Server::start(|number| if number % 2 == 0 { ok() } else { Reaction::Close })
}

#[test]
fn an_idempotent_request_is_sent_again_once_and_told() {
    let server = swallowing();
    let run = run(Plan { count: Some(10), ..plan(&server.url()) });
    all_answered(&run, 10);
    // Requests 1, 3, 5 … at the server: the second of each connection.
    assert_eq!((run.totals().resent, server.requests()), (9, 19));
    assert_eq!(run.totals().sent, 10, "one that is sent again counts once");
}

#[test]
fn what_may_not_be_sent_again_fails_by_name() {
    let server = swallowing();
    let mut post = Plan { count: Some(10), ..plan(&server.url()) };
    post.requests[0].method = Method::POST;
    let failed = run(post);
    assert_eq!((failed.totals().answered, failed.totals().resent), (5, 0));
    assert_eq!(failed.failures(), [(FailureCause::ClosedEarly, 5)].into());

    let server = swallowing();
    let failed = run(Plan { count: Some(10), resend: false, ..plan(&server.url()) });
    assert_eq!((failed.totals().answered, failed.totals().resent, server.requests()), (5, 0, 10));
}

#[test]
fn a_new_connection_that_ends_without_a_response_is_not_tried_again() {
    let server = Server::start(|_| Reaction::Close);
    let run = run(Plan { count: Some(6), ..plan(&server.url()) });
    assert_eq!(run.failures(), [(FailureCause::ClosedEarly, 6)].into());
    assert_eq!((run.totals().resent, server.requests()), (0, 6));
}

#[test]
fn the_latency_of_what_is_sent_again_begins_when_it_was_due() {
    let swallow = Reaction::After(Duration::from_millis(80), Box::new(Reaction::Close));
    let server = Server::start(move |number| if number == 1 { swallow.clone() } else { ok() });
    let run = run(Plan { count: Some(2), ..tsunami(&server.url(), Duration::from_millis(1)) });
    all_answered(&run, 2);
    let longest = run.stats().latency.summary().expect("two values").max_ms;
    assert!((80.0..5_000.0).contains(&longest), "{longest}");
}

#[test]
fn what_comes_unasked_ends_the_connection_and_is_no_response() {
    let request_timeout: &[u8] = b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n";
    for io in IOS {
        for (unasked, closes) in [(OK, false), (request_timeout, true), (b"x", false)] {
            let serve = || {
                Server::start(move |_| {
                    let next = if closes { Reaction::SendAndClose } else { Reaction::Send };
                    ok_and_after_ms(5, next(unasked.to_vec()))
                })
            };
            let (run, server) = run_apart(io, serve, |url| Plan { count: Some(6), ..tsunami(url, APART) });
            all_answered(&run, 6);
            let counts = run.stats().counts;
            assert_eq!(counts.statuses, [(200, 6)].into(), "{io:?}");
            assert!((5..=6).contains(&counts.unsolicited), "the last one need not be seen: {counts:?}");
            assert_eq!((counts.connects, server.requests()), (5, 6), "each response belongs to a request");
        }
    }
}

#[test]
fn what_comes_behind_a_response_is_not_the_next_ones() {
    let twice = [OK, OK].concat();
    let server = Server::start(move |_| Reaction::Send(twice.clone()));
    let run = run(Plan { count: Some(20), ..plan(&server.url()) });
    all_answered(&run, 20);
    assert_eq!((run.totals().unsolicited, server.requests()), (20, 20));
}

/// What an endless upload meets: a response after its head, and nobody who reads on.
fn refusing(response: &'static [u8], closes: bool) -> std::net::SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port on loopback");
    let address = listener.local_addr().expect("a bound listener has an address");
    std::thread::spawn(move || {
        for stream in listener.incoming().take(100) {
            std::thread::spawn(move || refuse(stream.expect("a connection"), response, closes));
        }
    });
    address
}

fn refuse(mut stream: TcpStream, response: &[u8], closes: bool) {
    // A connection that the run never used ends here.
    if stream.read(&mut [0; 300]).is_ok_and(|length| length > 0) {
        let _ = stream.write_all(response);
        if !closes {
            // Until the process ends.
            std::mem::forget(stream);
        }
    }
}

#[test]
fn a_final_response_that_comes_before_the_request_is_sent_is_the_response() {
    for (response, closes) in [
        (&b"HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno"[..], false),
        (b"HTTP/1.1 401 Who\r\nContent-Length: 0\r\n\r\n", false),
        (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n", false),
        (b"HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\nno", true),
    ] {
        let address = refusing(response, closes);
        let mut plan = Plan { count: Some(5), ..plan(&format!("http://{address}/upload")) };
        plan.requests[0].method = Method::POST;
        plan.requests[0].body = vec![b'x'; 16 << 20];
        for io in IOS {
            let run = run_by(io, &plan);
            let counts = run.stats().counts;
            let status = if response.starts_with(b"HTTP/1.1 401") { 401 } else { 413 };
            assert_eq!(counts.statuses, [(status, 5)].into(), "{io:?} {:?}", run.stats().examples);
            assert!(counts.bytes_sent < 5 << 24, "{counts:?}");
        }
    }
}

/// Sixteen connections in turn at a hundred requests a second would idle 160 ms each.
#[test]
fn open_connections_settle_at_what_the_rate_needs() {
    let server = Server::start_idling("127.0.0.1:0", Some(Duration::from_millis(100)), |_| ok());
    let run = run(Plan { count: Some(200), connections: 16, ..tsunami(&server.url(), Duration::from_millis(10)) });
    all_answered(&run, 200);
    let counts = run.stats().counts;
    assert_eq!(server.connections(), 16 + counts.connects);
    // Without that, nearly every request would find its connection closed.
    assert!(counts.connects <= 100, "{counts:?}");
}

#[test]
fn open_connections_take_turns() {
    let server = Server::start(|_| ok());
    let run = run(Plan { count: Some(160), connections: 8, ..tsunami(&server.url(), Duration::from_millis(2)) });
    all_answered(&run, 160);
    let mut served = [0; 8];
    server.arrivals().iter().for_each(|arrival| served[arrival.connection as usize] += 1);
    assert!(served.iter().all(|n| (10..=30).contains(n)), "{served:?}");
}

#[test]
fn what_a_server_says_of_its_patience_is_kept() {
    let patient = b"HTTP/1.1 200 OK\r\nKeep-Alive: timeout=1\r\nContent-Length: 0\r\n\r\n";
    let server = Server::start(|_| Reaction::Send(patient.to_vec()));
    let run = run(Plan { count: Some(3), ..tsunami(&server.url(), Duration::from_millis(950)) });
    all_answered(&run, 3);
    assert_eq!((run.totals().resent, run.stats().counts.connects), (0, 2), "each is retired before the second is over");
}

#[test]
fn what_is_waited_for_at_the_end_is_not_sending() {
    let server = Server::start(|number| if number < 9 { ok() } else { Reaction::Silence });
    let timeout = Duration::from_millis(900);
    let run = run(Plan { count: Some(10), timeout, ..tsunami(&server.url(), Duration::from_millis(20)) });
    assert_eq!((run.totals().answered, run.totals().failed), (9, 1));
    assert!(run.length() >= Duration::from_millis(1_080), "{:?}", run.length());
    let sending = run.last().sending;
    assert!(sending >= Duration::from_millis(180) && sending + timeout <= run.length() + APART, "{sending:?}");
}

#[test]
fn an_avalanche_says_what_it_gave_up() {
    let server = Server::start(|number| if number == 0 { after_ms(1_500, ok()) } else { ok() });
    let run = run(Plan {
        mode: Mode::Avalanche,
        target_throughput_per_s: Some(100.0),
        count: None,
        duration: Some(Duration::from_secs(2)),
        ..plan(&server.url())
    });
    let totals = run.totals();
    assert_eq!(totals.due, 200, "{totals:?}");
    // All but the first slot of the first second.
    assert!(totals.dropped >= 90 && (totals.failed, totals.skipped) == (0, 0), "{totals:?}");
}
