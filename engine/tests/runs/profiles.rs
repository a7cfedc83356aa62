//! Rates that change, as planned and while a run is under way.

use std::time::{Duration, Instant};

use onrush_engine::{AmendError, Arrivals, Mode, Phase, Plan, Shape, Share, Wait};

use crate::harness::{Run, arm, finish, plan, run, run_with, tsunami};
use crate::server::{Server, after_ms, ok};

fn phase(length_ms: u64, shape: Shape) -> Phase {
    Phase { length: Duration::from_millis(length_ms), shape }
}

fn constant(length_ms: u64, rate_per_s: f64) -> Phase {
    phase(length_ms, Shape::Constant { rate_per_s })
}

fn profiled(url: &str, mode: Mode, phases: &[Phase]) -> Plan {
    Plan { mode, profile: Some(phases.to_vec()), count: None, connections: 16, ..plan(url) }
}

const TSUNAMI: Mode = Mode::Tsunami { delay: Duration::ZERO };

/// What was due in each second; what was waited for at the end is in no second of its own.
fn due(run: &Run) -> Vec<u64> {
    let mut due: Vec<_> = run.seconds.iter().map(|second| second.stats.counts.due).collect();
    while due.last() == Some(&0) {
        due.pop();
    }
    due
}

#[test]
fn a_profile_makes_due_what_its_integral_has_in_each_second() {
    let phases = [
        constant(1_000, 200.0),
        phase(2_000, Shape::Ramp { from_per_s: 200.0, to_per_s: 1_000.0 }),
        phase(1_000, Shape::Pause),
        phase(500, Shape::Ramp { from_per_s: 400.0, to_per_s: 0.0 }),
    ];
    for (mode, wait) in [(Mode::Avalanche, Wait::Timer), (TSUNAMI, Wait::Poll)] {
        let server = Server::start(|_| ok());
        let run = run_with(profiled(&server.url(), mode, &phases), wait);
        assert_eq!(due(&run), [200, 400, 800, 0, 100], "{mode:?}");
        let totals = run.totals();
        assert_eq!((totals.due, totals.answered), (1_500, server.requests()));
        assert!(totals.dropped == 0 || mode == Mode::Avalanche, "{totals:?}");
        assert!(run.length() >= Duration::from_millis(4_400), "{:?}", run.length());
    }
}

#[test]
fn a_run_lasts_as_long_as_its_profile() {
    let server = Server::start(|_| ok());
    let phases = [constant(500, 10.0), phase(1_500, Shape::Pause)];
    let run = run(profiled(&server.url(), Mode::Avalanche, &phases));
    assert_eq!((run.totals().due, run.length()), (5, Duration::from_secs(2)));
}

#[test]
fn free_time_sends_as_connections_allow_and_a_pause_nothing() {
    for mode in [Mode::Avalanche, TSUNAMI] {
        let server = Server::start(|_| after_ms(10, ok()));
        let free = phase(1_000, Shape::Free);
        let phases = [constant(1_000, 20.0), free, phase(1_000, Shape::Pause), constant(1_000, 20.0)];
        let run = run(profiled(&server.url(), mode, &phases));
        let due = due(&run);
        assert_eq!([due[0], due[2], due[3]], [20, 0, 20]);
        // 16 connections of 10 ms: 1,600 at most.
        assert!((200..=1_600).contains(&due[1]), "{due:?}");
        assert_eq!(run.totals().sent, server.requests());
        assert!(run.seconds[2].stats.counts.sent <= 1, "what a wake-up made late at most");
    }
}

#[test]
fn a_count_ends_a_profile() {
    for mode in [Mode::Avalanche, TSUNAMI] {
        let server = Server::start(|_| ok());
        let plan = profiled(&server.url(), mode, &[constant(200, 100.0), phase(60_000, Shape::Free)]);
        let run = run(Plan { count: Some(500), ..plan });
        assert_eq!((run.totals().due, run.totals().answered, server.requests()), (500, 500, 500));
        assert!(run.length() < Duration::from_secs(30));
    }
}

#[test]
fn nodes_share_one_schedule_and_random_arrivals_too() {
    for arrivals in [Arrivals::Even, Arrivals::Poisson { seed: 5 }] {
        let server = Server::start(|_| ok());
        let of_node = |index, of| {
            let plan = profiled(&server.url(), TSUNAMI, &[constant(1_000, 500.0)]);
            run(Plan { arrivals, share: Share { index, of }, ..plan }).totals().due
        };
        let whole = of_node(0, 1);
        assert_eq!((0..3).map(|index| of_node(index, 3)).sum::<u64>(), whole, "{arrivals:?}");
        assert!(arrivals != Arrivals::Even || whole == 500);
    }
}

/// Waits until a second of a run that began then is under way; a busy machine may make it a later one.
fn wait_for(second: u64, begun: Instant) {
    std::thread::sleep(Duration::from_millis(second * 1_000 + 300).saturating_sub(begun.elapsed()));
}

#[test]
fn a_rate_is_changed_under_load_at_the_second_that_was_named() {
    const COUNT: u64 = 7_750;
    let long = Duration::from_secs(60);
    let server = Server::start(|_| ok());
    let timed = Plan { count: None, duration: Some(long), connections: 16, ..plan(&server.url()) };
    let rate = Plan { target_throughput_per_s: Some(1_000.0), ..timed.clone() };
    let endless = Plan { duration: None, count: Some(COUNT), ..rate.clone() };
    let every_ms = Plan { mode: Mode::Tsunami { delay: Duration::from_millis(1) }, ..timed };
    for plan in [rate.clone(), Plan { mode: TSUNAMI, ..rate }, endless, every_ms] {
        let before = server.requests();
        let counted = plan.count.is_some();
        let begun = Instant::now();
        let running = arm(plan).start(begun);
        wait_for(1, begun);
        let last = if counted { Duration::MAX } else { Duration::from_millis(1_500) };
        let fast = constant(60_000, 4_000.0);
        // At second 2, or the next whole one where that has come meanwhile; so with the one after it.
        let faster_at = running.amend_soon(2, &[fast]).expect("it runs");
        wait_for(faster_at, begun);
        let refused = running.amend(faster_at, &[fast]).expect_err("that second has begun");
        assert!(
            matches!(refused, AmendError::Begun { at_second, first_second } if at_second == faster_at && first_second > faster_at),
            "{refused:?}"
        );
        let slower_at =
            running.amend_soon(faster_at + 1, &[Phase { length: last, ..constant(1, 500.0) }]).expect("it runs");
        assert!(faster_at >= 2 && slower_at > faster_at, "{faster_at} and {slower_at}");
        let run = finish(running);
        let due = due(&run);
        let rate_in = |second: u64| match second {
            _ if second < faster_at => 1_000,
            _ if second < slower_at => 4_000,
            _ => 500,
        };
        let expected: Vec<u64> = (0..=slower_at).map(rate_in).collect();
        let until_slower: u64 = (0..slower_at).map(rate_in).sum();
        // A number of requests may end a run before it is changed for the second time, if that comes late.
        if !counted || until_slower + 500 <= COUNT {
            assert_eq!(due[..expected.len()], expected);
        }
        let totals = run.totals();
        assert_eq!(totals.due, if counted { totals.sent + totals.dropped } else { until_slower + 750 });
        assert_eq!(totals.sent, server.requests() - before);
        assert!(!counted || totals.sent == COUNT);
        let least = Duration::from_secs(slower_at) + Duration::from_millis(1_400);
        assert!(counted || (least..least + Duration::from_secs(6)).contains(&run.length()), "{:?}", run.length());
    }
}

#[test]
fn a_run_that_is_over_or_stopped_is_not_changed() {
    let server = Server::start(|_| ok());
    let phases = [constant(1_000, 10.0)];
    let mut done = arm(tsunami(&server.url(), Duration::from_millis(1))).start(Instant::now());
    while done.next_second(Duration::from_secs(1)).is_none_or(|second| second.end.is_none()) {}
    assert_eq!(done.amend(60, &phases), Err(AmendError::Over));
    let plan = Plan { count: None, duration: Some(Duration::from_secs(60)), ..plan(&server.url()) };
    let running = arm(plan).start(Instant::now());
    let beyond = AmendError::BeyondEnd { at_second: 60, end: Duration::from_secs(60) };
    assert_eq!(running.amend(60, &phases), Err(beyond));
    running.stopper().stop();
    assert_eq!(running.amend(5, &phases), Err(AmendError::Over));
    finish(running);
}
