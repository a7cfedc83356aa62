//! Arming, starting, stopping, dropping.

use std::time::{Duration, Instant};

use onrush_engine::{Armed, End, Plan, Wait};

use crate::harness::{arm, finish, options, plan, run, tsunami};
use crate::server::{Reaction, Server, after_ms, ok};

#[test]
fn connections_are_open_before_the_start() {
    let server = Server::start(|_| ok());
    let armed = arm(Plan { connections: 300, count: Some(300), ..plan(&server.url()) });
    assert_eq!(armed.connections_open(), 300);
    let run = finish(armed.start(Instant::now()));
    assert_eq!(run.totals().answered, 300);
}

#[test]
fn a_run_starts_at_its_moment() {
    for wait in [Wait::Timer, Wait::Poll] {
        let server = Server::start(|_| ok());
        let plan = Plan { count: Some(3), ..tsunami(&server.url(), Duration::from_millis(1)) };
        let armed = Armed::new(plan, options(wait)).expect("the plan can be armed");
        let at = Instant::now() + Duration::from_millis(150);
        let run = finish(armed.start(at));
        let started = run.last().started;
        // The two clock readings that a conversion takes lie some nanoseconds apart.
        assert!(started + Duration::from_millis(1) >= at && started < at + Duration::from_millis(500));
        assert!(server.arrivals()[0].at + Duration::from_millis(1) >= at);
    }
}

#[test]
fn a_stop_ends_an_avalanche_at_once() {
    let server = Server::start(|_| ok());
    let running =
        arm(Plan { count: None, duration: Some(Duration::from_secs(60)), connections: 4, ..plan(&server.url()) })
            .start(Instant::now());
    let stopper = running.stopper();
    let thread = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(300));
        stopper.stop();
        stopper.stop();
    });
    let run = finish(running);
    thread.join().expect("stopping does not panic");
    assert_eq!(run.end(), &End::Stopped);
    assert!(run.length() >= Duration::from_millis(290) && run.length() < Duration::from_secs(5));
    assert_eq!(run.totals().answered, server.requests());
}

#[test]
fn a_stop_skips_what_was_due() {
    let server = Server::start(|_| after_ms(600, ok()));
    let running =
        arm(Plan { count: Some(1_000), ..tsunami(&server.url(), Duration::from_millis(10)) }).start(Instant::now());
    std::thread::sleep(Duration::from_millis(250));
    running.stopper().stop();
    let run = finish(running);
    let totals = run.totals();
    assert_eq!((totals.sent, totals.answered), (1, 1), "what was on its way may arrive");
    assert!((20..200).contains(&totals.skipped), "{totals:?}");
    assert_eq!(run.end(), &End::Stopped);
}

#[test]
fn a_stop_before_the_start_gives_one_empty_report() {
    let server = Server::start(|_| ok());
    let running = arm(Plan { connections: 4, ..plan(&server.url()) }).start(Instant::now() + Duration::from_secs(30));
    running.stopper().stop();
    let run = finish(running);
    assert_eq!(run.seconds.len(), 1);
    assert_eq!((run.length(), run.end()), (Duration::ZERO, &End::Stopped));
    assert_eq!((run.totals(), server.requests()), (Default::default(), 0));
}

#[test]
fn dropping_leaves_nothing_behind() {
    let server = Server::start(|_| Reaction::Silence);
    let endless =
        || Plan { count: None, duration: Some(Duration::from_secs(600)), connections: 8, ..plan(&server.url()) };
    let begun = Instant::now();
    drop(arm(endless()));
    drop(arm(endless()).start(Instant::now() + Duration::from_secs(60)));
    let running = arm(endless()).start(Instant::now());
    while server.requests() < 8 {
        assert!(begun.elapsed() < Duration::from_secs(20), "the requests do not arrive");
        std::thread::sleep(Duration::from_millis(1));
    }
    drop(running);
    assert!(begun.elapsed() < Duration::from_secs(20));
}

#[test]
fn descriptors_do_not_leak_from_run_to_run() {
    let server = Server::start(|_| ok());
    // Other tests of this process open descriptors of their own: what counts is that a hundred runs' worth of
    // connections, rings and timers are not there any more.
    let descriptors = || std::fs::read_dir("/proc/self/fd").expect("a process may look at itself").count();
    let before = descriptors();
    for _ in 0..25 {
        assert_eq!(run(Plan { count: Some(40), connections: 40, ..plan(&server.url()) }).totals().answered, 40);
    }
    let deadline = Instant::now() + Duration::from_secs(20);
    while descriptors() > before + 700 {
        assert!(Instant::now() < deadline, "{before} descriptors before, {} after", descriptors());
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn an_owner_that_comes_late_finds_every_second() {
    let server = Server::start(|_| ok());
    let plan = Plan {
        count: None,
        duration: Some(Duration::from_secs(3)),
        ..tsunami(&server.url(), Duration::from_millis(100))
    };
    let running = arm(plan).start(Instant::now());
    std::thread::sleep(Duration::from_millis(3_300));
    let run = finish(running);
    assert!(run.seconds.len() >= 3);
    assert_eq!(run.totals().sent + run.totals().skipped, 30);
}
