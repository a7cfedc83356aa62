//! What a stretch of a run measured, as far as a limit can be told from it.

use super::target::TargetCpu;
use crate::{Counts, FailureCause, Summary};

/// What one driver measured in one second.
#[derive(Clone, Debug)]
pub struct DriverFigures {
    /// Its name; empty where there is but one.
    pub name: String,
    /// How long the second was.
    pub length_ns: u64,
    /// For how much of it requests were sent.
    pub sending_ns: u64,
    /// What was counted.
    pub counts: Counts,
    /// From send to last byte; `None`: no response.
    pub service_time: Option<Summary>,
    /// Send minus due; `None`: nothing was sent.
    pub schedule_error: Option<Summary>,
    /// How many connections it may have.
    pub connections: u64,
    /// Whether the schedule asks for a rate; otherwise requests go out as fast as connections allow.
    pub is_paced: bool,
}

/// What the target used of its CPUs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct TargetShare {
    /// Used or wanted, of all its CPUs.
    pub wanted: f64,
    /// That of it which it wanted and did not get.
    pub waited: f64,
    pub cores: u64,
}

impl TargetShare {
    /// Of what was used in a stretch of time.
    pub fn of(cpu: &TargetCpu) -> Self {
        let (used, waited) = (cpu.used_share(), cpu.waited_share());
        Self { wanted: used + waited, waited, cores: cpu.cores }
    }
}

/// A stretch of a run of one driver, or of all of them together.
#[derive(Clone, Debug, Default)]
pub(super) struct Stretch {
    pub name: String,
    pub seconds: u64,
    pub length_ns: u64,
    pub sending_ns: u64,
    pub counts: Counts,
    /// Over the responses: the sum, and the sum of each second's median times its responses.
    pub service_ns: f64,
    pub typical_ns: f64,
    pub schedule_error_p99_ms: f64,
    pub connections: u64,
    pub is_paced: bool,
    /// Seconds in which requests were on their way and no response came, and the first of them.
    pub silent_seconds: u64,
    /// The sum over seconds of the requests that were on their way at their end.
    pub in_flight: u64,
}

impl Stretch {
    /// Adds the next second of the same driver.
    pub fn append(&mut self, second: &DriverFigures) {
        let DriverFigures { name, length_ns, sending_ns, counts, service_time, schedule_error, connections, is_paced } =
            second;
        self.name.clone_from(name);
        self.seconds += 1;
        self.length_ns += length_ns;
        self.sending_ns += sending_ns;
        let was_in_flight = self.counts.in_flight;
        self.counts.append(counts);
        if let Some(summary) = service_time {
            self.service_ns += summary.mean_ms * 1e6 * summary.count as f64;
            self.typical_ns += summary.median_ms * 1e6 * summary.count as f64;
        }
        if let Some(summary) = schedule_error {
            self.schedule_error_p99_ms = self.schedule_error_p99_ms.max(summary.p99_ms);
        }
        self.connections = *connections;
        self.is_paced = *is_paced;
        // A second that begins with a request on its way and whose responses have all come before says nothing. Of a long response
        // parts may come.
        let nothing_came = counts.responses() == 0 && counts.bytes_received == 0;
        let is_silent = nothing_came && counts.in_flight > 0 && (was_in_flight > 0 || self.seconds > 1);
        self.silent_seconds += u64::from(is_silent);
        self.in_flight += counts.in_flight;
    }

    /// Adds another driver's same stretch.
    pub fn merge(&mut self, other: &Self) {
        let Self {
            name: _,
            seconds,
            length_ns,
            sending_ns,
            counts,
            service_ns,
            typical_ns,
            schedule_error_p99_ms,
            connections,
            is_paced,
            silent_seconds,
            in_flight,
        } = other;
        // Silent is what all are at once.
        self.silent_seconds =
            if self.seconds == 0 { *silent_seconds } else { self.silent_seconds.min(*silent_seconds) };
        self.seconds = self.seconds.max(*seconds);
        self.length_ns = self.length_ns.max(*length_ns);
        self.sending_ns = self.sending_ns.max(*sending_ns);
        self.counts.merge_across(counts);
        self.service_ns += service_ns;
        self.typical_ns += typical_ns;
        self.schedule_error_p99_ms = self.schedule_error_p99_ms.max(*schedule_error_p99_ms);
        self.connections += connections;
        self.is_paced |= is_paced;
        self.in_flight += in_flight;
    }

    fn share_of_time(&self, ns: u64) -> f64 {
        if self.length_ns == 0 { 0.0 } else { ns as f64 / self.length_ns as f64 }
    }

    /// The share of its time in which the busiest engine thread ran or wanted to.
    pub fn engine_wanted(&self) -> f64 {
        self.share_of_time(self.counts.engine_cpu_ns.saturating_add(self.counts.engine_wait_ns))
    }

    /// That of it in which it had no CPU.
    pub fn engine_waited(&self) -> f64 {
        self.share_of_time(self.counts.engine_wait_ns)
    }

    pub fn stolen(&self) -> f64 {
        self.share_of_time(self.counts.stolen_ns)
    }

    pub fn throttled(&self) -> f64 {
        self.share_of_time(self.counts.throttled_ns)
    }

    /// The share of its connections that were busy: by Little's law over the responses, or by what was on its way at the seconds'
    /// ends, whichever is more (what has no response yet is in the second alone).
    pub fn connections_busy(&self) -> f64 {
        if self.connections == 0 || self.length_ns == 0 || self.seconds == 0 {
            return 0.0;
        }
        let by_law = self.service_ns / (self.length_ns as f64 * self.connections as f64);
        let by_look = self.in_flight as f64 / (self.seconds as f64 * self.connections as f64);
        by_law.max(by_look).min(1.0)
    }

    /// The mean service time, in ms; `None`: no response.
    pub fn service_ms(&self) -> Option<f64> {
        let responses = self.counts.responses();
        (responses > 0).then(|| self.service_ns / responses as f64 / 1e6)
    }

    /// What is usual for a response, in ms: the mean of the seconds' medians.
    pub fn usual_ms(&self) -> f64 {
        self.typical_ns / self.counts.responses().max(1) as f64 / 1e6
    }

    /// The share of the connections' time that responses took which took no longer than is usual: what is missing to 1 went into
    /// few and long ones.
    pub fn usual_share(&self) -> f64 {
        if self.connections == 0 || self.length_ns == 0 {
            return 1.0;
        }
        self.typical_ns / (self.length_ns as f64 * self.connections as f64)
    }

    fn of_samples(&self, sum_ns: u64) -> Option<f64> {
        let samples = self.counts.tcp_samples;
        (samples > 0).then(|| sum_ns as f64 / samples as f64 / 1e6)
    }

    /// The mean of the smoothed round-trip times, in ms; `None`: no connection was looked at.
    pub fn rtt_ms(&self) -> Option<f64> {
        self.of_samples(self.counts.tcp_rtt_ns)
    }

    /// The mean of the round-trip times as the receiving end estimates them, in ms.
    pub fn receive_rtt_ms(&self) -> f64 {
        self.of_samples(self.counts.tcp_receive_rtt_ns).unwrap_or(0.0)
    }

    /// The mean of the least round-trip times, in ms.
    pub fn min_rtt_ms(&self) -> Option<f64> {
        self.of_samples(self.counts.tcp_min_rtt_ns)
    }

    /// The share of segments that were lost, on the way there or on the way back, whichever is more; 0 where too few were sent to
    /// say. One that was sent again though the first had come was late, not lost. Back, a loss is seen by what comes after it.
    pub fn lost(&self) -> f64 {
        const ENOUGH_SEGMENTS: u64 = 50;
        let Counts { tcp_segments, tcp_retransmits, tcp_needless_retransmits, .. } = self.counts;
        let Counts { tcp_received, tcp_out_of_order, .. } = self.counts;
        let of = |part, whole| if whole < ENOUGH_SEGMENTS { 0.0 } else { share(part, whole) };
        let there = of(tcp_retransmits.saturating_sub(tcp_needless_retransmits), tcp_segments);
        there.max(of(tcp_out_of_order, tcp_received))
    }

    /// The share of segments that were sent again, needlessly or not.
    pub fn retransmitted(&self) -> f64 {
        share(self.counts.tcp_retransmits, self.counts.tcp_segments)
    }

    /// The share of segments that were sent again though the first had come.
    pub fn sent_again_needlessly(&self) -> f64 {
        share(self.counts.tcp_needless_retransmits, self.counts.tcp_segments)
    }

    /// The share of segments that came before one that belongs ahead of them.
    pub fn out_of_order(&self) -> f64 {
        share(self.counts.tcp_out_of_order, self.counts.tcp_received)
    }

    /// Connections that were opened for each request.
    pub fn opened_per_request(&self) -> f64 {
        share(self.counts.connects, self.counts.sent).min(1.0)
    }

    /// Segments of a request, and of its response.
    pub fn segments_each_way(&self) -> [f64; 2] {
        const SEGMENT_BYTES: f64 = 1_448.0;
        let of = |bytes: u64, messages: u64| (bytes as f64 / SEGMENT_BYTES / messages.max(1) as f64).max(1.0);
        [of(self.counts.bytes_sent, self.counts.sent), of(self.counts.bytes_received, self.counts.responses())]
    }

    /// The share of service times that passed between the first and the last byte of a response.
    pub fn receiving(&self) -> f64 {
        if self.service_ns > 0.0 { (self.counts.receiving_ns as f64 / self.service_ns).min(1.0) } else { 0.0 }
    }

    /// The share of the time in which the connections had sent what was not acknowledged.
    pub fn sending(&self) -> f64 {
        let looks_ns = self.counts.tcp_samples.saturating_mul(1_000_000_000);
        share(self.counts.tcp_busy_ns, looks_ns)
    }

    /// The share of connections whose data was sent again and not acknowledged.
    pub fn stuck(&self) -> f64 {
        share(self.counts.tcp_stuck, self.counts.tcp_samples)
    }

    /// The share of what was sent that failed so.
    pub fn failed_by(&self, cause: FailureCause) -> f64 {
        share(self.counts.failed_by(cause), self.counts.sent)
    }

    /// The share of what was sent that has no response, for whatever reason, but for those whose response failed a check.
    pub fn unanswered(&self) -> f64 {
        let failed = self.counts.failed().saturating_sub(self.counts.failed_by(FailureCause::CheckFailed));
        share(failed, self.counts.sent)
    }

    pub fn responses_per_s(&self) -> f64 {
        self.per_s(self.counts.responses())
    }

    pub fn due_per_s(&self) -> f64 {
        self.per_s(self.counts.due)
    }

    fn per_s(&self, n: u64) -> f64 {
        if self.sending_ns == 0 { 0.0 } else { n as f64 / (self.sending_ns as f64 / 1e9) }
    }
}

fn share(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}
