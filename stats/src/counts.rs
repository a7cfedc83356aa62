//! Counts of one second, and of a whole test.

use std::collections::BTreeMap;

use crate::FailureCause;
use crate::counters::{Kind, Number, Unit, counters};

counters! {
    both {
        /// Requests sent (or tried, where no connection could be made). One that was sent again counts once.
        sent: Counter of Events, usual, "onrush_driver_requests_sent_total":
            "Requests sent, by sealed seconds and late reports";
    }
    totals {
        /// Complete responses that no check found fault with.
        answered: Counter of Events, usual;
        /// Requests without a response, or with one that failed a check.
        failed: Counter of Events, usual;
    }
    both {
        /// Requests that were due and never sent, because no connection was free until the test ended.
        skipped: Counter of Events, usual, "onrush_driver_requests_skipped_total":
            "Requests that were due and never sent, for want of a free connection";
        /// Slots of a schedule that were given up because they were late: an Avalanche does not work off a backlog.
        dropped: Counter of Events, rare, "onrush_driver_requests_dropped_total":
            "Slots of the schedule that were given up because they were late";
        /// Requests that were sent once more, because a connection that was open before ended without one byte of response.
        resent: Counter of Events, rare, "onrush_driver_requests_resent_total":
            "Requests sent once more after an open connection ended without a response";
        /// Connections that were ended because the server sent something that nobody had asked for.
        unsolicited: Counter of Events, rare, "onrush_driver_unsolicited_total":
            "Connections ended for something that the target sent unasked";
        /// Slots of the schedule whose moment came, counted by the schedule and not by what became of them. Without a
        /// schedule a request is due when it is sent.
        due: Counter of Events, decided, "onrush_driver_requests_due_total": "Slots of the schedule whose moment came";
    }
    second {
        /// Connections opened while the test ran.
        connects: Counter of Events, rare, "onrush_driver_connects_total": "Connections opened while the test ran";
        /// Requests on their way when the second ended.
        in_flight: Gauge of Events, usual, "onrush_driver_in_flight_requests":
            "Requests on their way at the end of the newest sealed second";
        /// Bytes written, heads and bodies.
        bytes_sent: Counter of Bytes, usual, "onrush_driver_sent_bytes_total": "Bytes written, heads and bodies";
        /// Bytes read, heads and bodies.
        bytes_received: Counter of Bytes, usual, "onrush_driver_received_bytes_total": "Bytes read, heads and bodies";
        /// CPU time of the engine thread that wanted most of it. 0: not known, or its threads poll, which takes all there is.
        engine_cpu_ns: Counter of Nanoseconds, rare;
        /// For how long that thread was ready and had no CPU.
        engine_wait_ns: Counter of Nanoseconds, rare;
        /// CPU time that the hypervisor gave to others, of the engine's CPU that lost most.
        stolen_ns: Counter of Nanoseconds, rare;
        /// For how long the control group held the process back for using up its share of CPU.
        throttled_ns: Counter of Nanoseconds, rare;
        /// Looks at `TCP_INFO` of a connection; what follows are sums over them.
        tcp_samples: Counter of Events, rare;
        /// Round-trip times, smoothed. A server that acknowledges with its response makes its time part of them.
        tcp_rtt_ns: Counter of Nanoseconds, rare;
        /// The least round-trip times to the connections' servers so far, the first of which is that of opening the first of them
        /// before the load: the network's own.
        tcp_min_rtt_ns: Counter of Nanoseconds, rare;
        /// Segments with data sent since the look before.
        tcp_segments: Counter of Events, rare;
        /// Segments with data that were sent again.
        tcp_retransmits: Counter of Events, rare;
        /// Connections whose newest data had been sent again and was not acknowledged yet.
        tcp_stuck: Counter of Events, rare;
        /// Time with data on its way since the look before.
        tcp_busy_ns: Counter of Nanoseconds, rare;
        /// That of it in which the other end's receive window held the data back.
        tcp_rwnd_limited_ns: Counter of Nanoseconds, rare;
        /// That of it in which this end's send buffer held the data back.
        tcp_sndbuf_limited_ns: Counter of Nanoseconds, rare;
        /// Round-trip times as the receiving end estimates them, from an acknowledgement to the data that it made room for. 0: no
        /// estimate. A server that lets a request wait makes that part of them.
        tcp_receive_rtt_ns: Counter of Nanoseconds, rare;
        /// Segments with data that came since the look before.
        tcp_received: Counter of Events, rare;
        /// Those of them that came before one that belongs ahead of them: that was lost on its way here, or overtaken.
        tcp_out_of_order: Counter of Events, rare;
        /// Segments that were sent again though the first had come (duplicate SACK): it was late, and nothing was lost.
        tcp_needless_retransmits: Counter of Events, rare;
        /// Times that opening a connection was tried again, because nobody had answered.
        tcp_connect_retransmits: Counter of Events, rare;
        /// From the first part of each response to its end, summed; what came at once took no time.
        receiving_ns: Counter of Nanoseconds, rare;
    }
    maps {
        /// Complete responses that came in this second, by status code; those that failed a check are among them.
        statuses: u16,
        /// Failures of this second, by cause.
        failures: FailureCause,
        /// Requests sent to each address of the target, where it has several.
        addresses: String,
    }
}

impl Counts {
    /// Complete responses, whatever their status and whatever a check said of them.
    pub fn responses(&self) -> u64 {
        sum(self.statuses.values())
    }

    /// Complete responses that no check found fault with.
    pub fn answered(&self) -> u64 {
        self.responses().saturating_sub(self.failed_by(FailureCause::CheckFailed))
    }

    /// Requests that were sent and have no response, or one that failed a check.
    pub fn failed(&self) -> u64 {
        sum(self.failures.values())
    }

    /// Requests that failed for this reason.
    pub fn failed_by(&self, cause: FailureCause) -> u64 {
        self.failures.get(&cause).copied().unwrap_or(0)
    }

    /// Adds what another node counted at the same time: gauges add up, too.
    pub fn merge_across(&mut self, other: &Self) {
        self.combine(other, add);
    }

    /// Adds what the same node counted later: gauges are the later ones.
    pub fn append(&mut self, later: &Self) {
        self.combine(later, |gauge, later| *gauge = later);
    }

    /// Adds what the same node counted earlier: gauges stay.
    pub fn prepend(&mut self, earlier: &Self) {
        self.combine(earlier, |_, _| ());
    }

    fn combine(&mut self, other: &Self, gauges: fn(&mut u64, u64)) {
        for number in Self::NUMBERS {
            let combine = if number.kind == Kind::Gauge { gauges } else { add };
            combine(number.of_mut(self), number.of(other));
        }
        self.add_maps(other);
    }

    /// Makes the gauges what those of these nodes add up to.
    pub fn gather_gauges<'a>(&mut self, nodes: impl Iterator<Item = &'a Self> + Clone) {
        for number in Self::NUMBERS.iter().filter(|number| number.kind == Kind::Gauge) {
            *number.of_mut(self) = nodes.clone().fold(0, |sum, node| sum.saturating_add(number.of(node)));
        }
    }

    /// Takes away what `part` counted, which was added before. Gauges stay.
    pub fn subtract(&mut self, part: &Self) {
        for number in Self::NUMBERS.iter().filter(|number| number.kind == Kind::Counter) {
            take_away(number.of_mut(self), number.of(part));
        }
        self.take_maps_away(part);
    }

    /// Sets every count to zero.
    pub fn clear(&mut self) {
        *self = Self::default();
    }
}

impl Totals {
    /// Adds `other`: another node's, or of another time.
    pub fn merge(&mut self, other: &Self) {
        for number in Self::NUMBERS {
            add(number.of_mut(self), number.of(other));
        }
    }
}

pub(crate) fn sum<'a>(counts: impl Iterator<Item = &'a u64>) -> u64 {
    counts.fold(0, |sum, n| sum.saturating_add(*n))
}

pub(crate) fn add(sum: &mut u64, n: u64) {
    *sum = sum.saturating_add(n);
}

pub(crate) fn take_away(sum: &mut u64, n: u64) {
    *sum = sum.saturating_sub(n);
}

pub(crate) fn add_each<K: Ord + Clone>(sums: &mut BTreeMap<K, u64>, parts: &BTreeMap<K, u64>) {
    for (key, n) in parts {
        add(sums.entry(key.clone()).or_default(), *n);
    }
}

pub(crate) fn take_each_away<K: Ord>(sums: &mut BTreeMap<K, u64>, parts: &BTreeMap<K, u64>) {
    for (key, n) in parts {
        if let Some(sum) = sums.get_mut(key) {
            take_away(sum, *n);
        }
    }
    sums.retain(|_, n| *n > 0);
}
