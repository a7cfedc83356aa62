//! Coordinated omission: a server that stands still must show as arithmetic says, not as the tool's own waiting hides it.
//!
//! The target stalls for `STALL` at the end of each `PERIOD`. Requests that are due evenly over time fall into a stall
//! with the probability `STALL / PERIOD`, and wait for the rest of it, which is anything from 0 to `STALL` with equal
//! probability: the share that waits longer than x is `(STALL - x) / PERIOD`.

use std::time::Duration;

use hdrhistogram::Histogram;

use super::{Bench, some_run_is, target};
use crate::harness::alone;

const STALL: Duration = Duration::from_millis(400);
const PERIOD: Duration = Duration::from_millis(2_000);
const RATE_PER_S: u64 = 500;
/// Whole periods, so that every phase has its share whatever the phase of the start.
const RUN: Duration = Duration::from_secs(8);
/// Looked at here: `x`, from a fifth of the stall on, where a busy machine's own delays hardly reach.
const LIMITS_MS: [u64; 8] = [80, 120, 160, 200, 240, 280, 320, 360];
/// Nothing makes a request that was due in a stall faster: fewer than predicted are late only by where the due moments
/// happen to lie.
const TOO_FEW: f64 = 0.01;
/// A machine that stands still itself makes more requests late, and what it cannot help is given some tries. Too few late
/// requests are not.
const TOO_MANY: f64 = 0.04;

fn share_above(histogram: &Histogram<u64>, limit: Duration) -> f64 {
    let up_to = histogram.count_between(0, limit.as_nanos() as u64);
    (histogram.len() - up_to) as f64 / histogram.len() as f64
}

/// The latency and the service time of a Tsunami through whole periods.
fn loaded_with(connections: &str) -> (Histogram<u64>, Histogram<u64>) {
    let target = target(&["--stall", "400ms/2s"]);
    // Counted, not timed: whatever is due in a stall at the end is sent, too.
    let (rate, requests) = (RATE_PER_S.to_string(), (RATE_PER_S * RUN.as_secs()).to_string());
    let args = [&target.url(), "--type", "tsunami", "-R", &rate, "-n", &requests, "-c", connections];
    let log = Bench::run(&args).ok().hdr();
    (log.merged("latency"), log.merged("service_time"))
}

/// For each limit, the share that takes longer: as predicted, and in fact.
fn shares(histogram: &Histogram<u64>) -> Vec<(f64, f64)> {
    let limits = LIMITS_MS.map(Duration::from_millis);
    limits.map(|x| ((STALL - x).as_secs_f64() / PERIOD.as_secs_f64(), share_above(histogram, x))).to_vec()
}

fn hides_no_stall(shares: &[(f64, f64)]) -> bool {
    shares.iter().all(|(expected, actual)| *actual >= expected - TOO_FEW)
}

fn adds_no_stall(shares: &[(f64, f64)]) -> bool {
    shares.iter().all(|(expected, actual)| *actual <= expected + TOO_MANY)
}

/// Whether not too many requests were late from their due moments on; that too few were fails at once, for nothing excuses it.
fn is_latency_as_predicted(shares: &[(f64, f64)]) -> bool {
    assert!(hides_no_stall(shares), "latency hides the stalls: (predicted, measured) are {shares:.3?}");
    adds_no_stall(shares)
}

/// Enough connections for all that is due in a stall: nothing waits but for the target.
#[test]
fn a_stall_shows_as_arithmetic_predicts() {
    let _machine = alone();
    some_run_is("is the share of late requests as predicted", || {
        let (latency, service_time) = loaded_with("256");
        let (latency, service_time) = (shares(&latency), shares(&service_time));
        // What a machine that stands still itself sends too late, it sends when the stall is partly over: from its send on it
        // is fast.
        let good = is_latency_as_predicted(&latency) & (hides_no_stall(&service_time) && adds_no_stall(&service_time));
        (good, format!("latency {latency:.3?}, service time {service_time:.3?}"))
    });
}

/// With four connections, four requests a stall are sent and wait; all others wait to be sent. From their sends on they
/// are fast: whoever measures from there sees next to nothing of the stalls. Whoever measures from the due moment sees
/// them all.
#[test]
fn with_few_connections_latency_shows_it_and_naive_service_time_hides_it() {
    let _machine = alone();
    some_run_is("does latency show what service time hides", || {
        let (latency, service_time) = loaded_with("4");
        let (latency, service_time) = (shares(&latency), shares(&service_time));
        // Four connections and four stalls: 16 of 4,000 requests.
        let naive = service_time.iter().all(|(_, actual)| *actual < 0.01);
        (is_latency_as_predicted(&latency) && naive, format!("latency {latency:.3?}, service time {service_time:.3?}"))
    });
}
