//! Coordinated omission: a server that stands still must show as arithmetic says, not as the tool's own waiting hides it.
//!
//! The target stalls for `STALL` at the end of each `PERIOD`. Requests that are due evenly over time fall into a stall
//! with the probability `STALL / PERIOD`, and wait for the rest of it, which is anything from 0 to `STALL` with equal
//! probability: the share that waits longer than x is `(STALL - x) / PERIOD`.

use std::time::Duration;

use hdrhistogram::Histogram;

use super::{Bench, target};
use crate::harness::alone;

const STALL: Duration = Duration::from_millis(400);
const PERIOD: Duration = Duration::from_millis(2_000);
const RATE_PER_S: u64 = 500;
/// Whole periods, so that every phase has its share whatever the phase of the start.
const RUN: Duration = Duration::from_secs(8);
/// A machine that stands still itself for a moment makes more requests late, never fewer; an answer that was sent a
/// little before its stall and read in it makes one more.
const TOO_FEW: f64 = 0.01;
const TOO_MANY: f64 = 0.04;

fn share_above(histogram: &Histogram<u64>, limit: Duration) -> f64 {
    let up_to = histogram.count_between(0, limit.as_nanos() as u64);
    (histogram.len() - up_to) as f64 / histogram.len() as f64
}

fn loaded_with(connections: &str) -> (Histogram<u64>, Histogram<u64>) {
    let target = target(&["--stall", "400ms/2s"]);
    // Counted, not timed: whatever is due in a stall at the end is sent, too.
    let (rate, requests) = (RATE_PER_S.to_string(), (RATE_PER_S * RUN.as_secs()).to_string());
    let args = [&target.url(), "--type", "tsunami", "-R", &rate, "-n", &requests, "-c", connections];
    let log = Bench::run(&args).ok().hdr();
    (log.merged("latency"), log.merged("service_time"))
}

#[test]
fn latency_shows_a_stall_as_arithmetic_predicts_and_naive_service_time_hides_it() {
    let _machine = alone();

    // Enough connections for all that is due in a stall: nothing waits but for the target.
    let (latency, service_time) = loaded_with("256");
    for x in [40, 80, 120, 160, 200, 240, 280, 320, 360].map(Duration::from_millis) {
        let expected = (STALL - x).as_secs_f64() / PERIOD.as_secs_f64();
        for (name, histogram) in [("latency", &latency), ("service time", &service_time)] {
            let actual = share_above(histogram, x);
            assert!(
                (expected - TOO_FEW..=expected + TOO_MANY).contains(&actual),
                "{name}: {actual:.3} of the requests took longer than {x:?}, not {expected:.3}"
            );
        }
    }

    // With four connections, four requests a stall are sent and wait; all others wait to be sent. From their sends on
    // they are fast: whoever measures from there sees next to nothing of the stalls.
    let (latency, service_time) = loaded_with("4");
    for x in [80, 160, 240, 320].map(Duration::from_millis) {
        let (expected, naive) = ((STALL - x).as_secs_f64() / PERIOD.as_secs_f64(), share_above(&service_time, x));
        let actual = share_above(&latency, x);
        assert!(
            (expected - TOO_FEW..=expected + TOO_MANY).contains(&actual),
            "latency: {actual:.3} of the requests took longer than {x:?}, not {expected:.3}"
        );
        assert!(
            naive < expected / 4.0,
            "service time: {naive:.3} took longer than {x:?}, of {expected:.3} that waited"
        );
    }
}
