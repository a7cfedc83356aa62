//! What lay between, and whose time a closed loop spends.

use super::super::{FoundLimit, LimitedBy, Resource};
use super::{ALL_BUSY, Case, LOSSY, found, left, ms, per_s, percent};
use crate::thousands;

/// Servers acknowledge within 40 ms (Linux's delayed ACK), which is then part of the round-trip time; what is beyond is a queue.
const DELAYED_ACK_MS: f64 = 45.0;
/// Where data is lost or trickles in, a shorter queue is one, too: a full link drops what does not fit.
const QUEUED_MS: f64 = 5.0;
/// No way loses so much for long, but for one that is full.
const MUCH_LOST: f64 = 0.1;
/// What a queue is beside the distance: less may be jitter.
const QUEUED_SHARE: f64 = 0.25;
/// Where round trips tell of no queue, a usual response takes so many times the least of them if all queue.
const QUEUED_TIMES: f64 = 5.0;
/// Of a request or response of so many segments, the parts follow one another as the way allows.
const LONG: f64 = 4.0;
/// A server that takes longer than this waits for something; a shorter time is what the work itself may take.
const WAITS_MS: f64 = 1.0;

impl Case<'_> {
    /// A link that is full: what wants to pass it waits in a queue.
    pub(super) fn full_link(&self) -> Option<FoundLimit> {
        let all = &self.all;
        let (rtt_ms, min_rtt_ms) = (all.rtt_ms()?, all.min_rtt_ms()?);
        let service_ms = all.service_ms().unwrap_or(all.length_ns as f64 / 1e6);
        // Much of the time data is on its way, in either direction; a response that is not whole yet is, too.
        let [request, response] = all.segments_each_way();
        let is_coming = all.counts.responses() == 0 && all.counts.bytes_received > 0;
        let trickles =
            response >= LONG && (is_coming || all.receiving() >= 0.3) || request >= LONG && all.sending() >= 0.5;
        // Who receives most of the time sends too seldom for the other estimate.
        let rtt_ms = if trickles { rtt_ms.max(all.receive_rtt_ms()) } else { rtt_ms };
        let queued_ms = rtt_ms - min_rtt_ms;
        let queues = queued_ms >= QUEUED_MS && queued_ms >= QUEUED_SHARE * min_rtt_ms;
        let usual_ms = all.usual_ms();
        let is_lossy = all.lost() >= LOSSY;
        // Loss strikes few of the short responses: where the usual ones are late, all wait in the same queue.
        let is_spared = all.lost() * (request + response) < 0.5;
        let all_late = usual_ms >= 2.0 * min_rtt_ms && usual_ms >= 0.3 * queued_ms;
        let drops = is_lossy
            && is_spared
            && usual_ms >= (2.0 * QUEUED_MS).max(QUEUED_TIMES * min_rtt_ms)
            && all.usual_share() >= 0.5;
        // A queue that is full drops, and one that changes makes acknowledgements late. A server that takes its time does neither,
        // and acknowledges within its delay.
        let is_late = all.sent_again_needlessly() >= LOSSY;
        let signs = [queued_ms >= DELAYED_ACK_MS, is_late, is_lossy].into_iter().filter(|sign| *sign).count();
        let is_felt = queued_ms >= 0.3 * service_ms;
        let is_known = signs >= 2 || all.lost() >= MUCH_LOST || signs == 1 && is_felt;
        let waits = queues && (trickles || is_known && all_late);
        if !drops && !waits {
            return None;
        }
        let bytes = all.counts.bytes_received.saturating_add(all.counts.bytes_sent);
        let speed = bytes as f64 / (all.length_ns.max(1) as f64 / 1e9) / 1e6;
        let reasons = format!(
            "bandwidth: usual responses took {} and round trips {}, {} at least, at {speed:.2} MB/s; {}",
            ms(usual_ms),
            ms(rtt_ms),
            ms(min_rtt_ms),
            self.left_over()
        );
        Some(found(LimitedBy::Network, Some(Resource::Bandwidth), reasons))
    }

    /// A way that loses: each loss costs a round trip or more, and the last of a message 200 ms.
    pub(super) fn loss(&self) -> Option<FoundLimit> {
        let all = &self.all;
        let reasons = || {
            format!(
                "loss: {} of the segments were sent again, {} came out of order; {}",
                percent(all.retransmitted()),
                percent(all.out_of_order()),
                self.left_over()
            )
        };
        (all.lost() >= LOSSY).then(|| found(LimitedBy::Network, Some(Resource::Loss), reasons()))
    }

    /// Requests that one end's buffers hold back.
    pub(super) fn buffers(&self) -> Option<FoundLimit> {
        let all = &self.all;
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

    /// All connections are busy: the rate is their number divided by the latency, and the limit is whoever takes most of that.
    pub(super) fn closed_loop(&self) -> Option<FoundLimit> {
        let all = &self.all;
        if all.connections_busy() < ALL_BUSY && all.is_paced {
            return None;
        }
        let service_ms = all.service_ms()?;
        let min_rtt_ms = all.min_rtt_ms().unwrap_or(0.0);
        // Opening a connection is a round trip more, and what is long comes in several where the way is.
        let receiving_ms = if min_rtt_ms >= WAITS_MS { all.receiving() * service_ms } else { 0.0 };
        let of_path_ms = (min_rtt_ms * (1.0 + all.opened_per_request()) + receiving_ms).min(service_ms);
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
}
