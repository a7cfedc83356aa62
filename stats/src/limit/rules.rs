//! The rules. Each looks at what one resource leaves behind when it is used up; the order says which is believed first.
//!
//! What the generator lacks comes first, since it spoils every other sign; then what stops a run outright; then where the time
//! of a request goes. Connections that are all busy are a closed loop: its rate is connections divided by latency, and its limit
//! is whoever most of that latency belongs to.

use super::figures::{Stretch, TargetShare};
use super::{FoundLimit, LimitedBy, Resource};
use crate::{FailureCause, thousands};

/// A CPU of which so much is used or wanted is full: the rest is what one look a second cannot tell from noise.
const FULL: f64 = 0.9;
/// An engine thread that was ready for so much of the time and had no CPU is held up, however little it used.
const HELD_UP: f64 = 0.25;
/// The same for one that polls: it is always ready, so that all waiting is others' work.
const STOLEN: f64 = 0.1;
/// Of what was due, so much was answered: the rate was reached.
const REACHED: f64 = 0.98;
/// More failures than this are not noise.
const FAILING: f64 = 0.01;
/// So many attempts to connect must fail, and this share of them, for that to be the limit.
const FEW_ATTEMPTS: u64 = 3;
const NOT_TAKEN: f64 = 0.1;
/// Connections are all busy from here on.
const ALL_BUSY: f64 = 0.85;
/// A network that loses more than this is felt: one retransmission takes 200 ms or more, hundreds of usual responses.
const LOSSY: f64 = 0.005;
/// Servers acknowledge within 40 ms (Linux's delayed ACK), which is then part of the round-trip time; what is beyond is a queue.
const DELAYED_ACK_MS: f64 = 45.0;
/// Where data is lost, too, a shorter queue is enough: a full link drops what does not fit.
const QUEUED_MS: f64 = 10.0;
/// A usual response takes so many times the least round trip where all of them queue.
const QUEUED_TIMES: f64 = 5.0;
/// Requests that go out later than this though connections are free are late by the generator's fault.
const LATE_MS: f64 = 5.0;
/// A server that takes longer than this waits for something; a shorter time is what the work itself may take.
const WAITS_MS: f64 = 1.0;

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
            .or_else(|| self.generator_cpu())
            .or_else(|| self.target_cpu())
            .or_else(|| self.silence())
            .or_else(|| self.path())
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
        let target = self.target.map(|target| format!("the target's CPU {} left", left(target.wanted)));
        let rest = [Some(self.generator_left()), target].into_iter().flatten();
        let rest: Vec<String> = rest.collect();
        found(LimitedBy::None, None, format!("the asked {rate} were reached; {}", rest.join(", ")))
    }

    /// Ports or descriptors of the generator: the system said so.
    fn exhausted(&self) -> Option<FoundLimit> {
        let few = |cause, resource, words: &str| {
            let share = self.all.failed_by(cause);
            let reasons = format!("{words}: {} of the requests failed for it", percent(share));
            (share >= FAILING / 10.0).then(|| found(LimitedBy::Generator, Some(resource), reasons))
        };
        few(
            FailureCause::PortsExhausted,
            Resource::Ports,
            "no local port was free; keep connections open or send from more addresses (--local-address)",
        )
        .or_else(|| {
            few(
                FailureCause::DescriptorsExhausted,
                Resource::Descriptors,
                "no file descriptor was free; raise the limit (ulimit -n)",
            )
        })
    }

    /// The driver that is shortest of CPU time, and in what way.
    fn starved(&self) -> Option<(&Stretch, String)> {
        let starved = self.drivers.iter().filter_map(|driver| {
            let (wanted, waited) = (driver.engine_wanted(), driver.engine_waited());
            let polls = driver.counts.engine_cpu_ns == 0;
            let words = if driver.throttled() >= STOLEN {
                format!("its control group was throttled for {} of the time", percent(driver.throttled()))
            } else if driver.stolen() >= STOLEN {
                format!("{} of its CPU were stolen by the hypervisor", percent(driver.stolen()))
            } else if waited >= if polls { STOLEN } else { HELD_UP } {
                format!("an engine thread waited {} of the time for a CPU", percent(waited))
            } else if wanted >= FULL && !polls {
                format!("an engine thread used {} of its CPU", percent(wanted.min(1.0)))
            } else {
                return None;
            };
            Some((driver, words, wanted.max(driver.throttled()).max(driver.stolen())))
        });
        let worst = starved.max_by(|(.., a), (.., b)| a.total_cmp(b));
        worst.map(|(driver, words, _)| (driver, words))
    }

    fn generator_cpu(&self) -> Option<FoundLimit> {
        let (driver, words) = self.starved()?;
        // A target that is full while the generator is merely busy is the limit. Where both want one CPU, the generator's figures
        // cannot be held against the target.
        let is_held_up = driver.engine_waited() >= STOLEN || driver.throttled() >= STOLEN || driver.stolen() >= STOLEN;
        let target_full = self.target.is_some_and(|target| target.wanted >= FULL && target.waited < STOLEN);
        if target_full && !is_held_up {
            return None;
        }
        let name = if driver.name.is_empty() { String::new() } else { format!(" on {}", driver.name) };
        let target = match self.target {
            Some(target) => format!("; the target's CPU {} left", left(target.wanted)),
            None => String::new(),
        };
        Some(found(LimitedBy::Generator, Some(Resource::Cpu), format!("CPU full{name}: {words}{target}")))
    }

    fn target_cpu(&self) -> Option<FoundLimit> {
        let target = self.target.filter(|target| target.wanted >= FULL)?;
        let busy = ((target.wanted - target.waited) * target.cores as f64).round() as u64;
        let shared = match target.waited >= STOLEN {
            true => format!(" ({} of the time it waited for a CPU that others had)", percent(target.waited)),
            false => String::new(),
        };
        let reasons = format!(
            "CPU full on {} of {} cores{shared}; {}",
            busy.clamp(1, target.cores),
            target.cores,
            self.generator_left()
        );
        Some(found(LimitedBy::Target, Some(Resource::Cpu), reasons))
    }

    /// New connections are not taken.
    fn connecting(&self) -> Option<FoundLimit> {
        let all = &self.all;
        // Of the attempts to connect: on connections that are open any number of requests may have gone well meanwhile.
        let failed = |cause| all.counts.failed_by(cause);
        let (refused, timed_out) = (failed(FailureCause::ConnectRefused), failed(FailureCause::ConnectTimeout));
        let attempts = all.counts.connects + refused + timed_out;
        if refused.max(timed_out) < FEW_ATTEMPTS {
            return None;
        }
        if refused as f64 >= attempts as f64 * NOT_TAKEN {
            let reasons = format!("it refused {} of {} connections", thousands(refused), thousands(attempts));
            return Some(found(LimitedBy::Target, Some(Resource::Connecting), reasons));
        }
        // Who answers on the connections that it has and takes no new ones has its accept queue full.
        if timed_out as f64 >= attempts as f64 * NOT_TAKEN && all.counts.responses() > 0 && all.retransmitted() < LOSSY
        {
            let reasons = format!(
                "{} of {} new connections were not taken in time, while open ones were answered: the accept queue is full",
                thousands(timed_out),
                thousands(attempts)
            );
            return Some(found(LimitedBy::Target, Some(Resource::AcceptQueue), reasons));
        }
        None
    }

    /// Whole seconds without one response.
    fn silence(&self) -> Option<FoundLimit> {
        let all = &self.all;
        if all.silent_seconds == 0 {
            return None;
        }
        let silent =
            format!("{} of {} s without a response, with requests on their way", all.silent_seconds, all.seconds);
        Some(if all.stuck() >= 0.1 || all.retransmitted() >= LOSSY {
            let reasons = format!("{silent}, and nobody acknowledges what is sent again");
            found(LimitedBy::Network, Some(Resource::Loss), reasons)
        } else {
            let reasons = format!("{silent}; its kernel acknowledged them; {}", self.generator_left());
            found(LimitedBy::Target, Some(Resource::Stall), reasons)
        })
    }

    /// What the kernel says of the connections.
    fn path(&self) -> Option<FoundLimit> {
        let all = &self.all;
        let (rtt_ms, min_rtt_ms, service_ms) = (all.rtt_ms()?, all.min_rtt_ms()?, all.service_ms()?);
        let queued_ms = rtt_ms - min_rtt_ms;
        // A full link is slow for all; one that loses is slow for whom it hits, whose round trips are then long, too.
        let usual_ms = all.usual_ms();
        let is_lossy = all.retransmitted() >= LOSSY;
        let all_queue = usual_ms >= QUEUED_TIMES * min_rtt_ms && usual_ms >= 0.3 * queued_ms;
        let queue_ms = if is_lossy { QUEUED_MS } else { DELAYED_ACK_MS };
        // What is lost of a full link is lost to all alike: the usual response is late, and not the few that data is sent again for.
        let drops =
            is_lossy && usual_ms >= QUEUED_TIMES * min_rtt_ms && usual_ms >= QUEUED_MS && all.usual_share() >= 0.5;
        if drops || all_queue && queued_ms >= queue_ms && queued_ms >= 0.3 * service_ms {
            let bytes = all.counts.bytes_received.saturating_add(all.counts.bytes_sent);
            let speed = bytes as f64 / (all.length_ns.max(1) as f64 / 1e9) / 1e6;
            let reasons = format!(
                "bandwidth: usual responses took {} and round trips {}, {} at least, at {speed:.2} MB/s; {}",
                ms(usual_ms),
                ms(rtt_ms),
                ms(min_rtt_ms),
                self.generator_left()
            );
            return Some(found(LimitedBy::Network, Some(Resource::Bandwidth), reasons));
        }
        if is_lossy {
            let again = percent(all.retransmitted());
            let reasons = format!("loss: {again} of the segments were sent again; {}", self.generator_left());
            return Some(found(LimitedBy::Network, Some(Resource::Loss), reasons));
        }
        let busy_ns = all.counts.tcp_busy_ns.max(1) as f64;
        if all.counts.tcp_rwnd_limited_ns as f64 >= 0.5 * busy_ns && all.connections_busy() >= ALL_BUSY {
            let share = percent(all.counts.tcp_rwnd_limited_ns as f64 / busy_ns);
            let reasons =
                format!("it does not read fast enough: its receive window held requests back {share} of the time");
            return Some(found(LimitedBy::Target, Some(Resource::ReceiveWindow), reasons));
        }
        if all.counts.tcp_sndbuf_limited_ns as f64 >= 0.5 * busy_ns && all.connections_busy() >= ALL_BUSY {
            let share = percent(all.counts.tcp_sndbuf_limited_ns as f64 / busy_ns);
            let reasons = format!("its send buffers held requests back {share} of the time");
            return Some(found(LimitedBy::Generator, Some(Resource::SendBuffer), reasons));
        }
        None
    }

    /// Most of the connections' time went into few and long responses.
    fn stalls(&self) -> Option<FoundLimit> {
        let all = &self.all;
        if all.connections_busy() < ALL_BUSY || all.usual_share() >= 0.5 || all.counts.responses() == 0 {
            return None;
        }
        let reasons = format!(
            "it stalls: usual responses took {} of the connections' time, the rest waited for few and long ones; {}",
            percent(all.usual_share()),
            self.generator_left()
        );
        Some(found(LimitedBy::Target, Some(Resource::Stall), reasons))
    }

    fn failures(&self) -> Option<FoundLimit> {
        let all = &self.all;
        if all.unanswered() < FAILING {
            return None;
        }
        let causes = all.counts.failures.iter().filter(|(cause, _)| **cause != FailureCause::CheckFailed);
        let (cause, _) = causes.max_by_key(|(_, n)| **n)?;
        if *cause == FailureCause::ConnectTimeout {
            return None;
        }
        let reasons =
            format!("{} of the requests failed, most by {cause}; {}", percent(all.unanswered()), self.generator_left());
        Some(found(LimitedBy::Target, Some(Resource::Failures), reasons))
    }

    /// All connections are busy: the rate is their number divided by the latency, and the limit is whoever takes most of that.
    fn closed_loop(&self) -> Option<FoundLimit> {
        let all = &self.all;
        if all.connections_busy() < ALL_BUSY && all.is_paced {
            return None;
        }
        let service_ms = all.service_ms()?;
        let of_path_ms = all.min_rtt_ms().unwrap_or(0.0).min(service_ms);
        let rate = format!(
            "{} connections × 1/{} = {}",
            thousands(all.connections),
            ms(service_ms),
            per_s(all.responses_per_s())
        );
        let rest = self.generator_left();
        // The time on the way of a machine to itself is CPU time, not distance.
        if of_path_ms >= 0.5 * service_ms && of_path_ms >= WAITS_MS / 4.0 {
            let reasons = format!(
                "round-trip time: {rate}, where a round trip takes {} of it; more connections give more; {rest}",
                ms(of_path_ms)
            );
            return Some(found(LimitedBy::Network, Some(Resource::RoundTrip), reasons));
        }
        let target_left = self.target.map(|target| format!("CPU {} left, ", left(target.wanted)));
        let of = |whose: &str| target_left.as_ref().map_or(String::new(), |left| format!("{whose} {left}"));
        if service_ms - of_path_ms < WAITS_MS && self.target.is_some() {
            let target = of("the target's");
            let reasons = format!("connections: {rate}; more connections may give more; {target}{rest}");
            return Some(found(LimitedBy::Generator, Some(Resource::Connections), reasons));
        }
        let target = of("its");
        let reasons = format!("response time: {rate}; {target}{rest}; more connections tell whether it can do more");
        Some(found(LimitedBy::Target, Some(Resource::ResponseTime), reasons))
    }

    /// Connections are free, and requests go out late or not at all.
    fn late(&self) -> Option<FoundLimit> {
        let all = &self.all;
        if all.schedule_error_p99_ms <= LATE_MS && all.counts.dropped == 0 {
            return None;
        }
        let reasons = format!(
            "requests went out late though connections were free: schedule error p99 {}; {} slots were dropped",
            ms(all.schedule_error_p99_ms),
            thousands(all.counts.dropped)
        );
        Some(found(LimitedBy::Generator, Some(Resource::Timing), reasons))
    }

    fn unknown(&self) -> FoundLimit {
        let all = &self.all;
        let reasons = format!(
            "{} of {} asked for were answered, and no resource was used up; the target's own figures would tell",
            per_s(all.responses_per_s()),
            per_s(all.due_per_s())
        );
        found(LimitedBy::Unknown, None, reasons)
    }

    /// `the generator had 71 % left, schedule error p99 0.2 µs`.
    fn generator_left(&self) -> String {
        let wanted = self.drivers.iter().map(Stretch::engine_wanted).fold(0.0, f64::max);
        let knows = self.drivers.iter().any(|driver| driver.counts.engine_cpu_ns > 0);
        // Threads that poll take all there is: only their lateness says something.
        let had = knows.then(|| format!("the generator had {} left", percent((1.0 - wanted).max(0.0))));
        let error = self.all.is_paced.then(|| format!("schedule error p99 {}", ms(self.all.schedule_error_p99_ms)));
        match (had, error) {
            (Some(had), Some(error)) => format!("{had}, {error}"),
            (Some(words), None) | (None, Some(words)) => words,
            (None, None) => "the generator's CPU time is not known".into(),
        }
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
