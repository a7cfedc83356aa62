//! What one thread measures, second by second.
//!
//! Plain arrays and preallocated histograms: recording allocates nothing. A finished second is exchanged for an
//! empty record; the same few records go round for the whole run.

use onrush_stats::{Counts, Distribution, FailureCause, SecondStats, Totals};

use crate::clock::{Moment, SECOND_NS};

const STATUSES: usize = 1000;

/// What one thread measured in one second.
#[derive(Debug)]
pub struct SecondRecord {
    pub index: u64,
    latency: Distribution,
    service_time: Distribution,
    schedule_error: Distribution,
    sent: u64,
    skipped: u64,
    in_flight: u64,
    bytes_sent: u64,
    bytes_received: u64,
    /// By status code.
    statuses: [u64; STATUSES],
    /// In the order of [`FailureCause::ALL`].
    failures: [u64; FailureCause::ALL.len()],
    /// Of this thread's whole run, this second included.
    pub totals: Totals,
    /// When the thread really began.
    pub began: Moment,
}

impl SecondRecord {
    pub fn new() -> Box<Self> {
        Box::new(Self {
            index: 0,
            latency: Distribution::preallocated(),
            service_time: Distribution::preallocated(),
            schedule_error: Distribution::preallocated(),
            sent: 0,
            skipped: 0,
            in_flight: 0,
            bytes_sent: 0,
            bytes_received: 0,
            statuses: [0; STATUSES],
            failures: [0; FailureCause::ALL.len()],
            totals: Totals::default(),
            began: Moment::NEVER,
        })
    }

    /// Forgets every value and keeps the memory.
    pub fn clear(&mut self) {
        let Self { index, latency, service_time, schedule_error, sent, skipped, .. } = self;
        (*index, *sent, *skipped) = (0, 0, 0);
        for distribution in [latency, service_time, schedule_error] {
            distribution.clear();
        }
        let Self { in_flight, bytes_sent, bytes_received, statuses, failures, totals, began, .. } = self;
        (*in_flight, *bytes_sent, *bytes_received) = (0, 0, 0);
        statuses.fill(0);
        failures.fill(0);
        *totals = Totals::default();
        *began = Moment::NEVER;
    }

    /// Adds this record to `stats`.
    pub fn add_to(&self, stats: &mut SecondStats) {
        let counted = |(key, n): (usize, &u64)| (*n > 0).then_some((key, *n));
        let statuses = self.statuses.iter().enumerate().filter_map(counted);
        let failures = self.failures.iter().enumerate().filter_map(counted);
        stats.counts.merge(&Counts {
            sent: self.sent,
            skipped: self.skipped,
            in_flight: self.in_flight,
            bytes_sent: self.bytes_sent,
            bytes_received: self.bytes_received,
            statuses: statuses.map(|(status, n)| (status as u16, n)).collect(),
            failures: failures.map(|(cause, n)| (FailureCause::ALL[cause], n)).collect(),
        });
        stats.latency.merge(&self.latency);
        stats.service_time.merge(&self.service_time);
        stats.schedule_error.merge(&self.schedule_error);
    }
}

/// Takes finished seconds away.
pub trait Exchange {
    /// Hands over a finished second and puts an empty record in its place, without ever waiting.
    fn exchange(&mut self, record: &mut Box<SecondRecord>);
}

/// Counts and measures for one thread. All times are nanoseconds since the start of the run and never go back.
#[derive(Debug)]
pub struct Recorder<E> {
    current: Box<SecondRecord>,
    exchange: E,
    in_flight: u64,
    totals: Totals,
    began: Moment,
    last_event_ns: Option<u64>,
}

impl<E: Exchange> Recorder<E> {
    pub fn new(exchange: E) -> Self {
        let (current, totals) = (SecondRecord::new(), Totals::default());
        Self { current, exchange, in_flight: 0, totals, began: Moment::NEVER, last_event_ns: None }
    }

    /// The thread begins.
    pub fn begin(&mut self, now: Moment) {
        self.began = now;
    }

    /// Hands over every second that is over at `now_ns`. All that happens at that time or later belongs to the
    /// second then current.
    pub fn advance(&mut self, now_ns: u64) {
        while now_ns / SECOND_NS > self.current.index {
            self.seal();
            let index = self.current.index + 1;
            self.exchange.exchange(&mut self.current);
            self.current.index = index;
        }
    }

    pub fn sent(&mut self, now_ns: u64, due_ns: u64) {
        self.event(now_ns);
        self.current.sent += 1;
        self.current.schedule_error.record(now_ns - due_ns);
        self.totals.sent += 1;
        self.in_flight += 1;
    }

    pub fn answered(&mut self, now_ns: u64, due_ns: u64, sent_ns: u64, status: u16) {
        self.event(now_ns);
        self.current.latency.record(now_ns - due_ns);
        self.current.service_time.record(now_ns - sent_ns);
        // The reader lets three digits through at most.
        self.current.statuses[usize::from(status).min(STATUSES - 1)] += 1;
        self.totals.answered += 1;
        self.in_flight -= 1;
    }

    pub fn failed(&mut self, now_ns: u64, cause: FailureCause) {
        self.event(now_ns);
        self.current.failures[cause as usize] += 1;
        self.totals.failed += 1;
        self.in_flight -= 1;
    }

    pub fn skipped(&mut self, now_ns: u64, count: u64) {
        self.advance(now_ns);
        self.current.skipped += count;
        self.totals.skipped += count;
    }

    pub fn bytes(&mut self, sent: u64, received: u64) {
        self.current.bytes_sent += sent;
        self.current.bytes_received += received;
    }

    pub fn in_flight(&self) -> u64 {
        self.in_flight
    }

    pub fn last_event_ns(&self) -> Option<u64> {
        self.last_event_ns
    }

    /// The second that is being recorded.
    pub fn second(&self) -> u64 {
        self.current.index
    }

    /// The last, partial second.
    pub fn finish(&mut self) -> Box<SecondRecord> {
        self.seal();
        std::mem::replace(&mut self.current, SecondRecord::new())
    }

    fn event(&mut self, now_ns: u64) {
        self.advance(now_ns);
        self.last_event_ns = Some(now_ns);
    }

    fn seal(&mut self) {
        self.current.in_flight = self.in_flight;
        self.current.totals = self.totals;
        self.current.began = self.began;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    struct Kept<'a>(&'a std::cell::RefCell<Vec<Box<SecondRecord>>>);

    impl Exchange for Kept<'_> {
        fn exchange(&mut self, record: &mut Box<SecondRecord>) {
            self.0.borrow_mut().push(std::mem::replace(record, SecondRecord::new()));
        }
    }

    fn stats(record: &SecondRecord) -> SecondStats {
        let mut stats = SecondStats::default();
        record.add_to(&mut stats);
        stats
    }

    #[test]
    fn causes_are_in_the_order_of_their_list() {
        assert!(FailureCause::ALL.iter().enumerate().all(|(index, cause)| *cause as usize == index));
    }

    #[test]
    fn an_event_belongs_to_the_second_of_its_time() {
        let seconds = std::cell::RefCell::default();
        let mut recorder = Recorder::new(Kept(&seconds));
        recorder.sent(SECOND_NS - 1, 0);
        recorder.sent(SECOND_NS, SECOND_NS);
        recorder.answered(3 * SECOND_NS, 0, SECOND_NS - 1, 200);
        recorder.failed(3 * SECOND_NS + 7, FailureCause::Timeout);
        seconds.borrow_mut().push(recorder.finish());

        let seconds: Vec<_> = seconds.take().iter().map(|record| stats(record)).collect();
        let of = |pick: fn(&Counts) -> u64| seconds.iter().map(|second| pick(&second.counts)).collect::<Vec<_>>();
        assert_eq!(of(|counts| counts.sent), [1, 1, 0, 0]);
        assert_eq!(of(|counts| counts.in_flight), [1, 2, 2, 0]);
        assert_eq!(of(Counts::answered), [0, 0, 0, 1]);
        assert_eq!(of(Counts::failed), [0, 0, 0, 1]);
        assert_eq!(seconds[3].latency.max_ns(), Some(3 * SECOND_NS));
        assert_eq!(seconds[3].service_time.max_ns(), Some(2 * SECOND_NS + 1));
        assert_eq!(seconds[0].schedule_error.max_ns(), Some(SECOND_NS - 1));
    }

    #[test]
    fn a_cleared_record_is_empty() {
        let seconds = std::cell::RefCell::default();
        let mut recorder = Recorder::new(Kept(&seconds));
        recorder.sent(5, 1);
        recorder.bytes(10, 20);
        recorder.answered(9, 1, 5, 404);
        recorder.skipped(9, 3);
        let mut record = recorder.finish();
        assert_ne!(stats(&record), SecondStats::default());
        record.clear();
        assert_eq!(stats(&record), SecondStats::default());
        assert_eq!(record.totals, Totals::default());
    }

    proptest! {
        #[test]
        fn every_second_balances_and_all_add_up(steps in prop::collection::vec((0..700_000_000u64, 0..4u8), 1..200)) {
            let seconds = std::cell::RefCell::default();
            let mut recorder = Recorder::new(Kept(&seconds));
            let mut now_ns = 0;
            for (step_ns, what) in steps {
                now_ns += step_ns;
                match what {
                    0 if recorder.in_flight() > 0 => recorder.answered(now_ns, now_ns, now_ns, 200),
                    1 if recorder.in_flight() > 0 => recorder.failed(now_ns, FailureCause::Reset),
                    2 => recorder.advance(now_ns),
                    _ => recorder.sent(now_ns, now_ns),
                }
            }
            seconds.borrow_mut().push(recorder.finish());
            let (mut sum, mut in_flight) = (Totals::default(), 0);
            for (index, record) in seconds.take().iter().enumerate() {
                prop_assert_eq!(record.index, index as u64);
                let counts = stats(record).counts;
                prop_assert_eq!(counts.in_flight + counts.answered() + counts.failed(), in_flight + counts.sent);
                in_flight = counts.in_flight;
                sum.merge(&counts.totals());
                prop_assert_eq!(sum, record.totals);
            }
        }
    }
}
