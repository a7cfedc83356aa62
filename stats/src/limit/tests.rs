//! Figures → verdict.

use super::*;
use crate::{Counts, FailureCause, Summary};

fn summary(count: u64, ms: f64) -> Option<Summary> {
    Some(Summary {
        count,
        mean_ms: ms,
        min_ms: ms,
        max_ms: ms,
        median_ms: ms,
        p90_ms: ms,
        p95_ms: ms,
        p99_ms: ms,
        p999_ms: ms,
    })
}

/// A second of an Avalanche without a rate: 64 connections, 4 ms each, engine and network at ease.
fn second() -> DriverFigures {
    let mut counts = Counts { sent: 16_000, due: 16_000, in_flight: 64, ..Counts::default() };
    counts.statuses.insert(200, 16_000);
    (counts.engine_cpu_ns, counts.engine_wait_ns) = (290_000_000, 1_000_000);
    (counts.tcp_samples, counts.tcp_segments) = (8, 2_000);
    (counts.tcp_rtt_ns, counts.tcp_min_rtt_ns, counts.tcp_busy_ns) = (8 * 60_000, 8 * 40_000, 900_000_000);
    DriverFigures {
        name: String::new(),
        length_ns: 1_000_000_000,
        sending_ns: 1_000_000_000,
        counts,
        service_time: summary(16_000, 4.0),
        schedule_error: summary(16_000, 0.0002),
        connections: 64,
        is_paced: false,
    }
}

/// The same at an asked rate that few connections are needed for.
fn paced() -> DriverFigures {
    let mut second = second();
    second.is_paced = true;
    second.connections = 1_000;
    second
}

const IDLE: Option<f64> = Some(0.3);

/// Five seconds like this one, with a target of two cores that used this share of them.
fn verdict_of(target: Option<f64>, second: &DriverFigures) -> FoundLimit {
    verdict_of_each(target, std::slice::from_ref(second))
}

fn verdict_of_each(target: Option<f64>, drivers: &[DriverFigures]) -> FoundLimit {
    let mut watch = LimitWatch::default();
    let used = |share: f64| TargetCpu { available_s: 2.0, cpu_s: 2.0 * share, cpu_wait_s: 0.0, cores: 2 };
    (0..5).for_each(|index| watch.second(index, drivers.to_vec(), target.map(used)));
    watch.whole()
}

fn assert_limit(found: &FoundLimit, limited_by: LimitedBy, resource: Option<Resource>) {
    assert_eq!((found.limited_by, found.resource), (limited_by, resource), "{}", found.line());
}

#[test]
fn a_full_target_is_named_with_its_cores_and_what_the_generator_had_left() {
    let found = verdict_of(Some(0.99), &second());
    assert_limit(&found, LimitedBy::Target, Some(Resource::Cpu));
    assert_eq!(found.line(), "limit: target: CPU full on 2 of 2 cores; the generator had 71 % left");
    let found = verdict_of(Some(0.99), &DriverFigures { connections: 64, ..short(&paced(), 20_000) });
    assert_eq!(
        found.line(),
        "limit: target: CPU full on 2 of 2 cores; the generator had 71 % left, schedule error p99 0.2 µs"
    );
}

/// The same, where this many were due.
fn short(second: &DriverFigures, due: u64) -> DriverFigures {
    let mut second = second.clone();
    second.counts.due = due;
    second
}

#[test]
fn a_rate_that_is_reached_has_no_limit() {
    for target in [None, IDLE, Some(0.95)] {
        let found = verdict_of(target, &paced());
        assert_limit(&found, LimitedBy::None, None);
        assert!(found.reasons.starts_with("the asked 16,000/s were reached; "), "{}", found.line());
    }
}

#[test]
fn the_generators_cpu_is_blamed_before_the_target() {
    let held_up = |ran: u64, waited: u64| {
        let mut second = second();
        (second.counts.engine_cpu_ns, second.counts.engine_wait_ns) = (ran, waited);
        second
    };
    for (ran, waited) in [(970_000_000, 1_000_000), (500_000_000, 480_000_000), (100_000_000, 890_000_000)] {
        let found = verdict_of(IDLE, &held_up(ran, waited));
        assert_limit(&found, LimitedBy::Generator, Some(Resource::Cpu));
        assert!(found.is_lower_bound() && found.line().ends_with("the figures are a lower bound"), "{}", found.line());
    }
    // Both full, each on CPUs of its own: the target.
    assert_limit(&verdict_of(Some(1.0), &held_up(930_000_000, 0)), LimitedBy::Target, Some(Resource::Cpu));
    // Both want the same CPU: a lower bound.
    let found = verdict_of(Some(1.0), &held_up(500_000_000, 480_000_000));
    assert_limit(&found, LimitedBy::Generator, Some(Resource::Cpu));
    let mut throttled = second();
    throttled.counts.throttled_ns = 800_000_000;
    assert_limit(&verdict_of(IDLE, &throttled), LimitedBy::Generator, Some(Resource::Cpu));
    let mut stolen = second();
    stolen.counts.stolen_ns = 200_000_000;
    assert_limit(&verdict_of(IDLE, &stolen), LimitedBy::Generator, Some(Resource::Cpu));
}

#[test]
fn one_starved_driver_of_several_is_named() {
    let named = |name: &str| DriverFigures { name: name.into(), ..second() };
    let mut starved = named("driver-2");
    starved.counts.engine_cpu_ns = 990_000_000;
    let found = verdict_of_each(IDLE, &[named("driver-1"), starved]);
    assert_limit(&found, LimitedBy::Generator, Some(Resource::Cpu));
    assert!(found.reasons.contains("on driver-2"), "{}", found.line());
}

#[test]
fn a_thread_that_polls_is_judged_by_what_it_waited() {
    let mut second = short(&paced(), 20_000);
    (second.counts.engine_cpu_ns, second.connections) = (0, 64);
    assert_limit(&verdict_of(Some(0.99), &second), LimitedBy::Target, Some(Resource::Cpu));
    second.counts.engine_wait_ns = 300_000_000;
    assert_limit(&verdict_of(IDLE, &second), LimitedBy::Generator, Some(Resource::Cpu));
}

fn failing(cause: FailureCause, failed: u64) -> DriverFigures {
    let mut second = second();
    second.counts.failures.insert(cause, failed);
    second.counts.sent += failed;
    second
}

#[test]
fn what_the_system_refuses_is_named() {
    use FailureCause as F;
    for (cause, by, resource) in [
        (F::PortsExhausted, LimitedBy::Generator, Resource::Ports),
        (F::DescriptorsExhausted, LimitedBy::Generator, Resource::Descriptors),
        (F::ConnectRefused, LimitedBy::Target, Resource::Connecting),
        (F::ConnectTimeout, LimitedBy::Target, Resource::AcceptQueue),
        (F::Reset, LimitedBy::Target, Resource::Failures),
        (F::Timeout, LimitedBy::Target, Resource::Failures),
    ] {
        assert_limit(&verdict_of(IDLE, &failing(cause, 1_000)), by, Some(resource));
    }
    // Not even the system's own word counts where it was once in many.
    assert_limit(&verdict_of(Some(1.0), &failing(F::PortsExhausted, 1)), LimitedBy::Target, Some(Resource::Cpu));
}

#[test]
fn connections_that_are_not_taken_count_among_attempts_alone() {
    let mut few = failing(FailureCause::ConnectTimeout, 16);
    few.counts.connects = 4;
    assert_limit(&verdict_of(IDLE, &few), LimitedBy::Target, Some(Resource::AcceptQueue));
    few.counts.connects = 4_000;
    assert_limit(&verdict_of(IDLE, &few), LimitedBy::Target, Some(Resource::ResponseTime));
}

#[test]
fn connections_that_were_tried_again_show_a_full_accept_queue_without_a_failure() {
    let mut patient = second();
    (patient.counts.connects, patient.counts.tcp_samples, patient.counts.tcp_connect_retransmits) = (20, 10, 4);
    assert_limit(&verdict_of(IDLE, &patient), LimitedBy::Target, Some(Resource::AcceptQueue));
    // Where data is lost, too, it is the network's.
    patient.counts.tcp_retransmits = 40;
    assert_limit(&verdict_of(IDLE, &patient), LimitedBy::Network, Some(Resource::Loss));
}

#[test]
fn a_network_that_loses_is_told_from_one_that_is_full() {
    let with = |median_ms: f64, retransmits: u64| {
        let mut second = second();
        (second.counts.tcp_rtt_ns, second.counts.tcp_min_rtt_ns) = (8 * 58_000_000, 8 * 2_000_000);
        (second.counts.tcp_segments, second.counts.tcp_retransmits) = (600, retransmits);
        second.counts.statuses.insert(200, 600);
        (second.counts.sent, second.counts.due) = (600, 600);
        second.service_time = summary(600, 100.0).map(|summary| Summary { median_ms, ..summary });
        second
    };
    let mut full = with(90.0, 40);
    full.counts.tcp_rtt_ns = full.counts.tcp_min_rtt_ns;
    assert_limit(&verdict_of(IDLE, &full), LimitedBy::Network, Some(Resource::Bandwidth));
    // Most are quick, and few wait for what is sent again.
    assert_limit(&verdict_of(IDLE, &with(2.5, 40)), LimitedBy::Network, Some(Resource::Loss));
    // All wait in the same queue.
    for retransmits in [0, 40] {
        assert_limit(&verdict_of(IDLE, &with(90.0, retransmits)), LimitedBy::Network, Some(Resource::Bandwidth));
    }
}

/// Responses of 100 kB that 16 connections receive over 20 Mbit/s: each takes 640 ms, nearly all of it between its first and its
/// last byte.
fn long_responses() -> DriverFigures {
    let mut second = second();
    (second.connections, second.counts.in_flight) = (16, 16);
    second.counts.statuses.insert(200, 25);
    (second.counts.sent, second.counts.due, second.service_time) = (25, 25, summary(25, 640.0));
    (second.counts.bytes_received, second.counts.receiving_ns) = (2_500_000, 25 * 600_000_000);
    (second.counts.tcp_segments, second.counts.tcp_received, second.counts.tcp_busy_ns) = (100, 900, 300_000_000);
    (second.counts.tcp_rtt_ns, second.counts.tcp_min_rtt_ns) = (8 * 25_000_000, 8 * 100_000);
    second
}

#[test]
fn long_responses_tell_a_full_link_from_one_that_loses() {
    let full = long_responses();
    assert_limit(&verdict_of(IDLE, &full), LimitedBy::Network, Some(Resource::Bandwidth));
    // A request whose acknowledgement waits in the queue is sent again for nothing; and a full queue drops.
    let mut late = full.clone();
    (late.counts.tcp_retransmits, late.counts.tcp_needless_retransmits) = (8, 8);
    assert_limit(&verdict_of(IDLE, &late), LimitedBy::Network, Some(Resource::Bandwidth));
    late.counts.tcp_out_of_order = 60;
    assert_limit(&verdict_of(IDLE, &late), LimitedBy::Network, Some(Resource::Bandwidth));
    // Without a queue, the same is loss; and without loss, the server's pace.
    let mut lossy = late.clone();
    (lossy.counts.tcp_rtt_ns, lossy.counts.tcp_min_rtt_ns) = (8 * 10_500_000, 8 * 10_000_000);
    let found = verdict_of(IDLE, &lossy);
    assert_limit(&found, LimitedBy::Network, Some(Resource::Loss));
    assert!(found.reasons.contains("8 % of the segments were sent again, 7 % came out of order"), "{}", found.line());
    lossy.counts.tcp_out_of_order = 0;
    (lossy.counts.tcp_rtt_ns, lossy.counts.tcp_min_rtt_ns) = (8 * 300_000, 8 * 100_000);
    assert_limit(&verdict_of(IDLE, &lossy), LimitedBy::Target, Some(Resource::ResponseTime));
}

#[test]
fn long_responses_over_a_long_way_are_limited_by_its_round_trips() {
    let mut far = long_responses();
    (far.counts.tcp_rtt_ns, far.counts.tcp_min_rtt_ns) = (8 * 100_000_000, 8 * 100_000_000);
    assert_limit(&verdict_of(IDLE, &far), LimitedBy::Network, Some(Resource::RoundTrip));
}

#[test]
fn seconds_of_silence_are_the_targets_unless_nothing_is_acknowledged() {
    let mut silent = second();
    silent.counts.statuses.clear();
    (silent.counts.sent, silent.counts.due, silent.service_time) = (0, 0, None);
    silent.schedule_error = None;
    let verdict = |silent: &DriverFigures| {
        let mut watch = LimitWatch::default();
        let seconds = [second(), second(), silent.clone(), silent.clone(), second()];
        seconds.into_iter().zip(0..).for_each(|(second, index)| watch.second(index, vec![second], None));
        watch.whole()
    };
    let found = verdict(&silent);
    assert_limit(&found, LimitedBy::Target, Some(Resource::Stall));
    assert!(found.reasons.starts_with("2 of 5 s without a response"), "{}", found.line());
    (silent.counts.tcp_stuck, silent.counts.tcp_retransmits) = (8, 16);
    assert_limit(&verdict(&silent), LimitedBy::Network, Some(Resource::Loss));
}

#[test]
fn short_stalls_are_seen_by_what_usual_responses_leave_over() {
    let mut stalling = second();
    stalling.service_time = stalling.service_time.map(|summary| Summary { median_ms: 1.0, ..summary });
    assert_limit(&verdict_of(IDLE, &stalling), LimitedBy::Target, Some(Resource::Stall));
    // The same picture with data sent again is the network's.
    stalling.counts.tcp_retransmits = 40;
    assert_limit(&verdict_of(IDLE, &stalling), LimitedBy::Network, Some(Resource::Loss));
}

#[test]
fn the_network_is_named_by_its_round_trips() {
    let with_rtt = |rtt_ms: u64, min_rtt_ms: u64, service_ms: f64| {
        let mut second = second();
        (second.counts.tcp_rtt_ns, second.counts.tcp_min_rtt_ns) = (8 * rtt_ms * 1_000_000, 8 * min_rtt_ms * 1_000_000);
        let responses = (64_000.0 / service_ms) as u64;
        second.counts.statuses.insert(200, responses);
        (second.counts.sent, second.counts.due) = (responses, responses);
        second.service_time = summary(responses, service_ms);
        second
    };
    let found = verdict_of(IDLE, &with_rtt(50, 50, 51.0));
    assert_limit(&found, LimitedBy::Network, Some(Resource::RoundTrip));
    assert!(found.reasons.contains("64 connections × 1/51.0 ms = 1,254/s"), "{}", found.line());
    assert_limit(&verdict_of(IDLE, &with_rtt(400, 1, 420.0)), LimitedBy::Network, Some(Resource::Bandwidth));
    // A target that answers after 20 or 200 ms acknowledges with its response, or after 40 ms: no queue.
    for (rtt_ms, service_ms) in [(20, 20.0), (40, 200.0)] {
        let found = verdict_of(IDLE, &with_rtt(rtt_ms, 0, service_ms));
        assert_limit(&found, LimitedBy::Target, Some(Resource::ResponseTime));
    }
}

#[test]
fn a_window_that_is_shut_is_the_targets_and_a_small_send_buffer_the_generators() {
    let mut shut = second();
    shut.counts.tcp_rwnd_limited_ns = 800_000_000;
    assert_limit(&verdict_of(IDLE, &shut), LimitedBy::Target, Some(Resource::ReceiveWindow));
    let mut small = second();
    small.counts.tcp_sndbuf_limited_ns = 800_000_000;
    assert_limit(&verdict_of(IDLE, &small), LimitedBy::Generator, Some(Resource::SendBuffer));
}

#[test]
fn few_connections_to_a_fast_target_are_the_generators_limit() {
    let mut few = second();
    few.connections = 1;
    (few.counts.in_flight, few.service_time) = (1, summary(16_000, 0.0625));
    assert_limit(&verdict_of(IDLE, &few), LimitedBy::Generator, Some(Resource::Connections));
    // Of a target that tells nothing, nobody knows whether it could do more.
    assert_limit(&verdict_of(None, &few), LimitedBy::Target, Some(Resource::ResponseTime));
}

#[test]
fn late_requests_on_free_connections_are_the_generators() {
    let mut late = short(&paced(), 20_000);
    late.counts.in_flight = 20;
    late.counts.dropped = 4_000;
    assert_limit(&verdict_of(IDLE, &late), LimitedBy::Generator, Some(Resource::Timing));
    late.counts.dropped = 0;
    assert_limit(&verdict_of(IDLE, &late), LimitedBy::Unknown, None);
}

#[test]
fn the_end_of_a_run_decides_and_a_long_limit_before_it() {
    let mut watch = LimitWatch::default();
    let full = DriverFigures { connections: 64, ..short(&paced(), 20_000) };
    (0..30).for_each(|index| watch.second(index, vec![paced()], None));
    assert_limit(&watch.whole(), LimitedBy::None, None);
    (30..50).for_each(|index| watch.second(index, vec![full.clone()], None));
    let found = watch.whole();
    assert_limit(&found, LimitedBy::Target, Some(Resource::ResponseTime));
    assert!(found.since_second.is_some_and(|since| (20..=32).contains(&since)), "{found:?}");
    (50..80).for_each(|index| watch.second(index, vec![paced()], None));
    assert_limit(watch.newest().expect("many seconds"), LimitedBy::None, None);
    assert_limit(&watch.whole(), LimitedBy::Target, Some(Resource::ResponseTime));
}

#[test]
fn nothing_measured_is_unknown_and_nothing_divides_by_zero() {
    assert_limit(&LimitWatch::default().whole(), LimitedBy::Unknown, None);
    let mut empty = second();
    (empty.counts, empty.service_time, empty.schedule_error) = (Counts::default(), None, None);
    (empty.length_ns, empty.connections) = (0, 0);
    assert_limit(&verdict_of(None, &empty), LimitedBy::Unknown, None);
    let drained = DriverFigures { sending_ns: 0, ..second() };
    assert_limit(&verdict_of(None, &drained), LimitedBy::Unknown, None);
}

/// A run of one second part, with so many requests of 4 ms over one connection.
fn run_of(requests: u64, length_ms: u64) -> DriverFigures {
    let mut run = second();
    let mut counts = Counts { sent: requests, due: requests, ..Counts::default() };
    counts.statuses.insert(200, requests);
    (run.counts, run.service_time, run.connections) = (counts, summary(requests, 4.0), 1);
    (run.length_ns, run.sending_ns) = (length_ms * 1_000_000, length_ms * 1_000_000);
    run
}

fn verdict_of_run(run: DriverFigures, target: Option<TargetCpu>) -> FoundLimit {
    let mut watch = LimitWatch::default();
    watch.second(0, vec![run], target);
    watch.whole()
}

#[test]
fn a_few_requests_or_a_moment_are_too_little_to_judge_by() {
    for (requests, length_ms, words) in [
        (1, 4, "1 request in 4.0 ms; run for longer"),
        (1_000, 90, "1,000 requests in 90.0 ms; run for longer"),
        (1, 200, "1 request in 200.0 ms; send more, or run for longer"),
        (9, 1_000, "9 requests in 1.0 s; send more, or run for longer"),
    ] {
        let found = verdict_of_run(run_of(requests, length_ms), None);
        assert_limit(&found, LimitedBy::Unknown, None);
        assert_eq!(found.line(), format!("limit: unknown: too little to judge by: {words}"));
    }
    assert_limit(&verdict_of_run(run_of(10, 100), None), LimitedBy::Target, Some(Resource::ResponseTime));
    // Few and slow ones over a long time say enough.
    assert_limit(&verdict_of_each(None, &[run_of(1, 1_000)]), LimitedBy::Target, Some(Resource::ResponseTime));
}

#[test]
fn what_the_system_says_or_what_was_reached_needs_no_more() {
    let mut refused = run_of(0, 4);
    (refused.counts.sent, refused.counts.due) = (1, 1);
    refused.counts.failures.insert(FailureCause::DescriptorsExhausted, 1);
    assert_limit(&verdict_of_run(refused, None), LimitedBy::Generator, Some(Resource::Descriptors));
    let reached = DriverFigures { is_paced: true, ..run_of(1, 4) };
    assert_limit(&verdict_of_run(reached, None), LimitedBy::None, None);
    let mut starved = run_of(1, 1_000);
    starved.counts.engine_cpu_ns = 990_000_000;
    assert_limit(&verdict_of_run(starved, None), LimitedBy::Generator, Some(Resource::Cpu));
}

#[test]
fn a_target_is_judged_by_what_it_used_within_the_window() {
    let full = TargetCpu { available_s: 2.0, cpu_s: 2.0, cpu_wait_s: 0.0, cores: 2 };
    let idle = TargetCpu { cpu_s: 0.2, ..full };
    let mut watch = LimitWatch::default();
    (0..10).for_each(|index| watch.second(index, vec![second()], Some(idle)));
    // A look that came late tells of two seconds at once.
    let late = TargetCpu { available_s: 4.0, cpu_s: 4.0, ..full };
    (10..20).for_each(|index| watch.second(index, vec![second()], (index % 2 == 1).then_some(late)));
    assert_limit(watch.newest().expect("many seconds"), LimitedBy::Target, Some(Resource::Cpu));
    // What it used before is no sign of what it uses now.
    (20..30).for_each(|index| watch.second(index, vec![second()], None));
    assert_limit(watch.newest().expect("many seconds"), LimitedBy::Target, Some(Resource::ResponseTime));
    let mut silent = second();
    silent.counts.failures.insert(FailureCause::Reset, 1_000);
    silent.counts.sent += 1_000;
    let found = verdict_of_run(silent, Some(idle));
    assert!(found.reasons.ends_with("the generator had 71 % left, the target's CPU had 90 % left"), "{}", found.line());
}

#[test]
fn names_round_trip() {
    for limited_by in LimitedBy::ALL {
        assert_eq!(LimitedBy::from_name(limited_by.name()), Some(limited_by));
    }
    for resource in Resource::ALL {
        assert_eq!(Resource::from_name(resource.name()), Some(resource));
    }
}
