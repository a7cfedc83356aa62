//! The rules. Each looks at what one resource leaves behind when it is used up; the order says which is believed first.
//!
//! What the generator lacks comes first, since it spoils every other sign; then what stops a run outright; then where the time
//! of a request goes. Connections that are all busy are a closed loop: its rate is connections divided by latency, and its limit
//! is whoever most of that latency belongs to.

mod generator;
mod network;
mod target;

use super::figures::{Stretch, TargetShare};
use super::{FoundLimit, LimitedBy, Resource};
use crate::thousands;

/// A CPU of which so much is used or wanted is full: the rest is what one look a second cannot tell from noise.
const FULL: f64 = 0.9;
/// Of what was due, so much was answered: the rate was reached.
const REACHED: f64 = 0.98;
/// More failures than this are not noise.
const FAILING: f64 = 0.01;
/// Connections are all busy from here on.
const ALL_BUSY: f64 = 0.85;
/// A network that loses more than this is felt: one retransmission takes 200 ms or more, hundreds of usual responses.
const LOSSY: f64 = 0.005;
/// Requests that go out later than this though connections are free are late by the generator's fault.
const LATE_MS: f64 = 5.0;

/// A shorter run has opened its connections and hardly used them.
const SHORT_NS: u64 = 100_000_000;
/// What fewer requests met may be chance, unless they went on for this long.
const FEW_REQUESTS: u64 = 10;
const LONG_NS: u64 = 5_000_000_000;

/// The verdict on a stretch of a run, by driver; `target`: what the target says of its CPU time.
pub(super) fn verdict(drivers: &[Stretch], target: Option<TargetShare>) -> FoundLimit {
    let mut all = Stretch::default();
    drivers.iter().for_each(|driver| all.merge(driver));
    Case { drivers, all, target }.verdict()
}

struct Case<'a> {
    drivers: &'a [Stretch],
    all: Stretch,
    target: Option<TargetShare>,
}

impl Case<'_> {
    fn verdict(&self) -> FoundLimit {
        let all = &self.all;
        if all.counts.sent == 0 && all.counts.due == 0 {
            return found(LimitedBy::Unknown, None, "nothing was due".into());
        }
        self.exhausted()
            .or_else(|| if self.is_reached() { Some(self.none()) } else { None })
            .or_else(|| self.connecting())
            .or_else(|| self.too_short())
            .or_else(|| self.generator_cpu())
            .or_else(|| self.target_cpu())
            .or_else(|| self.silence())
            .or_else(|| self.full_link())
            .or_else(|| self.loss())
            .or_else(|| self.buffers())
            .or_else(|| self.too_few())
            .or_else(|| self.stalls())
            .or_else(|| self.failures())
            .or_else(|| self.closed_loop())
            .or_else(|| self.late())
            .unwrap_or_else(|| self.unknown())
    }

    /// What was asked for was answered. Without a rate there is always more to ask for.
    fn is_reached(&self) -> bool {
        let all = &self.all;
        let answered = all.counts.responses().saturating_add(all.counts.in_flight);
        let is_late = all.schedule_error_p99_ms > LATE_MS && all.connections_busy() < ALL_BUSY;
        all.is_paced
            && answered as f64 >= all.counts.due as f64 * REACHED
            && all.unanswered() < FAILING
            && !(is_late && self.starved().is_some())
    }

    fn none(&self) -> FoundLimit {
        let rate = per_s(self.all.due_per_s());
        found(LimitedBy::None, None, format!("the asked {rate} were reached; {}", self.left_over()))
    }

    /// What generator and target did not use: `the generator had 71 % left, the target's CPU had 92 % left`.
    fn left_over(&self) -> String {
        let generator = self.generator_left();
        match self.target {
            Some(target) => format!("{generator}, the target's CPU {} left", left(target.wanted)),
            None => generator,
        }
    }

    fn too_short(&self) -> Option<FoundLimit> {
        (self.all.length_ns < SHORT_NS).then(|| self.too_little("run for longer"))
    }

    fn too_few(&self) -> Option<FoundLimit> {
        let all = &self.all;
        let is_few = all.counts.sent < FEW_REQUESTS && all.length_ns < LONG_NS;
        is_few.then(|| self.too_little("send more, or run for longer"))
    }

    fn too_little(&self, advice: &str) -> FoundLimit {
        let (sent, time_ms) = (self.all.counts.sent, self.all.length_ns as f64 / 1e6);
        let requests = if sent == 1 { "request" } else { "requests" };
        let time = if time_ms < 1e3 { ms(time_ms) } else { format!("{:.1} s", time_ms / 1e3) };
        let reasons = format!("too little to judge by: {} {requests} in {time}; {advice}", thousands(sent));
        found(LimitedBy::Unknown, None, reasons)
    }

    fn unknown(&self) -> FoundLimit {
        let all = &self.all;
        let rest = match self.target {
            Some(_) => self.left_over(),
            None => "the target's own figures (target_metrics) would tell".into(),
        };
        let reasons = format!(
            "{} of {} asked for were answered, and no resource was used up; {rest}",
            per_s(all.responses_per_s()),
            per_s(all.due_per_s())
        );
        found(LimitedBy::Unknown, None, reasons)
    }
}

fn found(limited_by: LimitedBy, resource: Option<Resource>, reasons: String) -> FoundLimit {
    FoundLimit { limited_by, resource, reasons, since_second: None }
}

fn left(wanted: f64) -> String {
    format!("had {}", percent((1.0 - wanted).max(0.0)))
}

fn percent(share: f64) -> String {
    let percent = share * 100.0;
    if percent > 0.0 && percent < 1.0 { format!("{percent:.1} %") } else { format!("{percent:.0} %") }
}

fn per_s(rate: f64) -> String {
    if rate < 100.0 { format!("{rate:.1}/s") } else { format!("{}/s", thousands(rate.round() as u64)) }
}

fn ms(ms: f64) -> String {
    if ms < 1.0 { format!("{:.1} µs", ms * 1e3) } else { format!("{ms:.1} ms") }
}
