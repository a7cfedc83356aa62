//! What one thread measures, second by second.
//!
//! Plain arrays and preallocated histograms: recording allocates nothing. A finished second is exchanged for an
//! empty record; the same few records go round for the whole run.

use std::sync::Arc;

use onrush_stats::{Counts, Distribution, Examples, FailureCause, SecondStats, Totals};

use crate::clock::{Moment, SECOND_NS};
use crate::name_record::NameRecord;

/// Status codes have three digits.
pub(crate) const STATUSES: usize = 1000;

/// How many of a kind a record tells apart.
#[derive(Clone, Copy, Debug, Default)]
pub struct Breakdown {
    /// Addresses of the target; 0: there is but one.
    pub addresses: usize,
    /// Names of requests; 0: there is but one.
    pub names: usize,
}

/// What one thread measured in one second.
#[derive(Debug)]
pub struct SecondRecord {
    pub index: u64,
    latency: Distribution,
    service_time: Distribution,
    schedule_error: Distribution,
    /// Its maps stay empty: they would allocate.
    counts: Counts,
    /// By status code.
    statuses: [u64; STATUSES],
    /// In the order of [`FailureCause::ALL`].
    failures: [u64; FailureCause::ALL.len()],
    /// Requests sent, by the number of the address.
    addresses: Vec<u64>,
    /// By the number of the name.
    names: Vec<NameRecord>,
    examples: Examples,
    /// Of this thread's whole run, this second included.
    pub totals: Totals,
    /// For how much of the run so far this thread sent requests.
    pub sending_ns: u64,
    /// When the thread really began.
    pub began: Moment,
}

impl SecondRecord {
    /// An empty record.
    pub fn new(breakdown: Breakdown) -> Box<Self> {
        Box::new(Self {
            index: 0,
            latency: Distribution::preallocated(),
            service_time: Distribution::preallocated(),
            schedule_error: Distribution::preallocated(),
            counts: Counts::default(),
            statuses: [0; STATUSES],
            failures: [0; FailureCause::ALL.len()],
            addresses: vec![0; breakdown.addresses],
            names: (0..breakdown.names).map(|_| NameRecord::default()).collect(),
            examples: Examples::default(),
            totals: Totals::default(),
            sending_ns: 0,
            began: Moment::NEVER,
        })
    }

    /// Forgets every value and keeps the memory.
    pub fn clear(&mut self) {
        let Self {
            index,
            latency,
            service_time,
            schedule_error,
            counts,
            statuses,
            failures,
            addresses,
            names,
            examples,
            totals,
            sending_ns,
            began,
        } = self;
        (*index, *sending_ns, *began) = (0, 0, Moment::NEVER);
        for distribution in [latency, service_time, schedule_error] {
            distribution.clear();
        }
        (*counts, *totals) = (Counts::default(), Totals::default());
        statuses.fill(0);
        failures.fill(0);
        addresses.fill(0);
        names.iter_mut().for_each(NameRecord::clear);
        examples.clear();
    }

    /// The thread's CPU time in this second.
    pub fn engine_time(&self) -> EngineTime {
        EngineTime { ran_ns: self.counts.engine_cpu_ns, waited_ns: self.counts.engine_wait_ns }
    }

    /// Adds this record of one thread to `stats` of the same second, with the names of the addresses and of the requests.
    pub fn add_to(&self, stats: &mut SecondStats, address_names: &[String], request_names: &[String]) {
        let Self {
            index: _,
            latency,
            service_time,
            schedule_error,
            counts,
            statuses,
            failures,
            addresses,
            names,
            examples,
            totals: _,
            sending_ns: _,
            began: _,
        } = self;
        stats.counts.merge_across(counts);
        for (status, n) in (0..).zip(statuses).filter(|(_, n)| **n > 0) {
            *stats.counts.statuses.entry(status).or_default() += n;
        }
        for (cause, n) in FailureCause::ALL.iter().zip(failures).filter(|(_, n)| **n > 0) {
            *stats.counts.failures.entry(*cause).or_default() += n;
        }
        // Two servers may be at one address.
        for (name, n) in address_names.iter().zip(addresses).filter(|(_, n)| **n > 0) {
            *stats.counts.addresses.entry(name.clone()).or_default() += n;
        }
        for (name, record) in request_names.iter().zip(names) {
            if let Some(measured) = record.stats() {
                stats.by_name.add(name, &measured);
            }
        }
        stats.latency.merge(latency);
        stats.service_time.merge(service_time);
        stats.schedule_error.merge(schedule_error);
        stats.examples.merge(examples);
    }
}

/// What a thread had of its CPU in one second, and what it wanted beside that.
#[derive(Clone, Copy, Debug, Default)]
pub struct EngineTime {
    pub ran_ns: u64,
    pub waited_ns: u64,
}

impl EngineTime {
    /// The one that wanted more.
    pub fn max(self, other: Self) -> Self {
        let wanted_ns = |time: &Self| time.ran_ns.saturating_add(time.waited_ns);
        std::cmp::max_by_key(self, other, wanted_ns)
    }
}

/// Takes finished seconds away.
pub trait Exchange {
    /// Hands over a finished second and puts an empty record in its place, without ever waiting.
    fn exchange(&mut self, record: &mut Box<SecondRecord>);
}

/// Until when a thread's requests count as being sent.
#[derive(Clone, Copy, Debug)]
pub enum SendingEnd {
    /// Until this time.
    At(u64),
    /// Until the last response: where each request waits for one, the wait is part of the sending.
    LastResponse,
}

/// Counts and measures for one thread. All times are nanoseconds since the start of the run and never go back.
#[derive(Debug)]
pub struct Recorder<E> {
    current: Box<SecondRecord>,
    exchange: E,
    /// For each request the index of its name; empty where there is but one.
    names: Arc<[u16]>,
    in_flight: u64,
    totals: Totals,
    began: Moment,
    last_event_ns: Option<u64>,
    last_response_ns: u64,
    last_sent_ns: u64,
    /// `None`: requests are being sent.
    sending_end: Option<SendingEnd>,
    /// Causes of which an example was noted.
    shown: [bool; FailureCause::ALL.len()],
}

impl<E: Exchange> Recorder<E> {
    /// A recorder; `names` has for each request the index of its name, or nothing where there is but one.
    pub fn new(exchange: E, breakdown: Breakdown, names: Arc<[u16]>) -> Self {
        Self {
            current: SecondRecord::new(breakdown),
            exchange,
            names,
            in_flight: 0,
            totals: Totals::default(),
            began: Moment::NEVER,
            last_event_ns: None,
            last_response_ns: 0,
            last_sent_ns: 0,
            sending_end: None,
            shown: [false; FailureCause::ALL.len()],
        }
    }

    /// The thread begins.
    pub fn begin(&mut self, now: Moment) {
        self.began = now;
    }

    /// Hands over every second that is over at `now_ns`. All that happens at that time or later belongs to the
    /// second then current.
    pub fn advance(&mut self, now_ns: u64) {
        while now_ns / SECOND_NS > self.current.index {
            let index = self.current.index + 1;
            self.seal(index * SECOND_NS);
            self.exchange.exchange(&mut self.current);
            self.current.index = index;
        }
    }

    /// The request of this index is sent.
    pub fn sent(&mut self, now_ns: u64, due_ns: u64, request: usize) {
        self.event(now_ns);
        self.last_sent_ns = now_ns;
        self.current.counts.sent += 1;
        self.current.schedule_error.record(now_ns - due_ns);
        if let Some(name) = self.name_of(request) {
            name.sent();
        }
        self.totals.sent += 1;
        self.in_flight += 1;
    }

    /// The request that was sent last goes to this address.
    pub fn sent_to(&mut self, address: usize) {
        if let Some(n) = self.current.addresses.get_mut(address) {
            *n += 1;
        }
    }

    /// A complete response came, and passed its checks or did not.
    pub fn responded(&mut self, now_ns: u64, due_ns: u64, sent_ns: u64, request: usize, status: u16, passed: bool) {
        self.event(now_ns);
        self.last_response_ns = now_ns;
        self.current.latency.record(now_ns - due_ns);
        self.current.service_time.record(now_ns - sent_ns);
        // The reader lets three digits through at most.
        let status = usize::from(status).min(STATUSES - 1);
        self.current.statuses[status] += 1;
        if let Some(name) = self.name_of(request) {
            name.responded(now_ns - due_ns, status);
            if !passed {
                name.failed(FailureCause::CheckFailed);
            }
        }
        if passed {
            self.totals.answered += 1;
        } else {
            self.current.failures[FailureCause::CheckFailed as usize] += 1;
            self.totals.failed += 1;
        }
        self.in_flight -= 1;
    }

    /// A request has no response.
    pub fn failed(&mut self, now_ns: u64, request: usize, cause: FailureCause) {
        self.event(now_ns);
        self.current.failures[cause as usize] += 1;
        if let Some(name) = self.name_of(request) {
            name.failed(cause);
        }
        self.totals.failed += 1;
        self.in_flight -= 1;
    }

    /// Whether an example of this cause is wanted: the first of a run is.
    pub fn wants_example(&self, cause: FailureCause) -> bool {
        !self.shown[cause as usize]
    }

    /// Notes an example of a cause.
    pub fn example(&mut self, cause: FailureCause, example: &str) {
        self.shown[cause as usize] = true;
        self.current.examples.note(cause, example);
    }

    /// So many slots of the schedule have been due until now, those of earlier seconds included.
    pub fn due_so_far(&mut self, total: u64) {
        let more = total.saturating_sub(self.totals.due);
        self.current.counts.due += more;
        self.totals.due += more;
    }

    pub fn skipped(&mut self, now_ns: u64, count: u64) {
        self.advance(now_ns);
        self.current.counts.skipped += count;
        self.totals.skipped += count;
    }

    pub fn dropped(&mut self, now_ns: u64, count: u64) {
        self.advance(now_ns);
        self.current.counts.dropped += count;
        self.totals.dropped += count;
    }

    pub fn resent(&mut self, now_ns: u64) {
        self.advance(now_ns);
        self.current.counts.resent += 1;
        self.totals.resent += 1;
    }

    pub fn unsolicited(&mut self, now_ns: u64) {
        self.advance(now_ns);
        self.current.counts.unsolicited += 1;
        self.totals.unsolicited += 1;
    }

    pub fn connected(&mut self, now_ns: u64) {
        self.advance(now_ns);
        self.current.counts.connects += 1;
    }

    pub fn bytes(&mut self, sent: u64, received: u64) {
        self.current.counts.bytes_sent += sent;
        self.current.counts.bytes_received += received;
    }

    /// Adds what the thread measured of itself and its connections to the second that is being recorded.
    pub fn measured(&mut self, measure: impl FnOnce(&mut Counts)) {
        measure(&mut self.current.counts);
    }

    /// No request is sent any more.
    pub fn end_sending(&mut self, end: SendingEnd) {
        self.sending_end.get_or_insert(end);
    }

    /// What was counted so far.
    pub fn totals(&self) -> &Totals {
        &self.totals
    }

    pub fn in_flight(&self) -> u64 {
        self.in_flight
    }

    pub fn last_event_ns(&self) -> Option<u64> {
        self.last_event_ns
    }

    pub fn last_sent_ns(&self) -> u64 {
        self.last_sent_ns
    }

    /// The second that is being recorded.
    pub fn second(&self) -> u64 {
        self.current.index
    }

    /// The last, partial second, of a run that ends at this time.
    pub fn finish(&mut self, end_ns: u64) -> Box<SecondRecord> {
        self.seal(end_ns);
        let breakdown = Breakdown { addresses: self.current.addresses.len(), names: 0 };
        std::mem::replace(&mut self.current, SecondRecord::new(breakdown))
    }

    fn name_of(&mut self, request: usize) -> Option<&mut NameRecord> {
        let name = *self.names.get(request)?;
        self.current.names.get_mut(usize::from(name))
    }

    fn event(&mut self, now_ns: u64) {
        self.advance(now_ns);
        self.last_event_ns = Some(now_ns);
    }

    fn seal(&mut self, until_ns: u64) {
        self.current.counts.in_flight = self.in_flight;
        self.current.totals = self.totals;
        self.current.began = self.began;
        self.current.sending_ns = match self.sending_end {
            None => until_ns,
            Some(SendingEnd::At(end_ns)) => end_ns,
            Some(SendingEnd::LastResponse) => self.last_sent_ns.max(self.last_response_ns),
        };
    }
}

#[cfg(test)]
mod tests {
    use onrush_stats::Unit;
    use proptest::prelude::*;

    use super::*;

    const BOTH: Breakdown = Breakdown { addresses: 2, names: 2 };

    fn names() -> Arc<[u16]> {
        [1, 0].into()
    }

    struct Kept<'a>(&'a std::cell::RefCell<Vec<Box<SecondRecord>>>);

    impl Exchange for Kept<'_> {
        fn exchange(&mut self, record: &mut Box<SecondRecord>) {
            self.0.borrow_mut().push(std::mem::replace(record, SecondRecord::new(BOTH)));
        }
    }

    fn stats(record: &SecondRecord) -> SecondStats {
        let mut stats = SecondStats::default();
        let names = ["a".to_owned(), "b".to_owned()];
        record.add_to(&mut stats, &names, &names);
        stats
    }

    #[test]
    fn causes_are_in_the_order_of_their_list() {
        assert!(FailureCause::ALL.iter().enumerate().all(|(index, cause)| *cause as usize == index));
    }

    #[test]
    fn an_event_belongs_to_the_second_of_its_time() {
        let seconds = std::cell::RefCell::default();
        let mut recorder = Recorder::new(Kept(&seconds), BOTH, names());
        recorder.sent(SECOND_NS - 1, 0, 0);
        recorder.sent(SECOND_NS, SECOND_NS, 1);
        recorder.responded(3 * SECOND_NS, 0, SECOND_NS - 1, 0, 200, true);
        recorder.failed(3 * SECOND_NS + 7, 1, FailureCause::Timeout);
        seconds.borrow_mut().push(recorder.finish(u64::MAX));

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
        let mut recorder = Recorder::new(Kept(&seconds), BOTH, names());
        recorder.begin(Moment::now());
        for passed in [true, false] {
            recorder.sent(5, 1, 0);
            recorder.sent_to(1);
            recorder.responded(9, 1, 5, 0, 404, passed);
        }
        recorder.bytes(10, 20);
        recorder.skipped(9, 3);
        recorder.dropped(9, 2);
        recorder.due_so_far(8);
        recorder.resent(9);
        recorder.unsolicited(9);
        recorder.connected(9);
        recorder.measured(|counts| {
            let others = Counts::NUMBERS.iter().filter(|number| number.of(counts) == 0).collect::<Vec<_>>();
            others
                .iter()
                .filter(|n| n.unit == Unit::Nanoseconds || n.name.starts_with("tcp_"))
                .for_each(|n| *n.of_mut(counts) = 1);
        });
        recorder.sent(9, 9, 1);
        recorder.example(FailureCause::CheckFailed, "the status is 404");
        let mut record = recorder.finish(10);
        record.index = 7;
        // Every field has a value: one that `clear` forgot would show.
        let SecondStats { counts, latency, service_time, schedule_error, examples, by_name } = stats(&record);
        for number in Counts::NUMBERS {
            assert!(number.of(&counts) > 0, "{} is not filled", number.name);
        }
        assert!(!(counts.statuses.is_empty() || counts.failures.is_empty() || counts.addresses.is_empty()));
        assert!(!(latency.is_empty() || service_time.is_empty() || schedule_error.is_empty() || examples.is_empty()));
        assert_eq!(by_name.iter().map(|(name, stats)| (name, stats.sent)).collect::<Vec<_>>(), [("a", 1), ("b", 2)]);
        assert!(Totals::NUMBERS.iter().all(|number| number.of(&record.totals) > 0), "{:?}", record.totals);
        assert!(record.sending_ns > 0 && record.began < Moment::NEVER);
        record.clear();
        // What is written of a record is every field of it.
        let [cleared, new] = [record, SecondRecord::new(BOTH)].map(|record| format!("{record:?}"));
        assert_eq!(cleared, new);
    }

    #[test]
    fn sending_ends_when_it_is_said_and_not_with_what_is_waited_for() {
        let sending_ns = |end: Option<SendingEnd>| {
            let seconds = std::cell::RefCell::default();
            let mut recorder = Recorder::new(Kept(&seconds), Breakdown::default(), Arc::default());
            recorder.sent(5, 5, 0);
            recorder.sent(10, 10, 0);
            end.into_iter().for_each(|end| recorder.end_sending(end));
            recorder.responded(2 * SECOND_NS, 10, 10, 0, 200, true);
            recorder.failed(9 * SECOND_NS, 0, FailureCause::Timeout);
            let last = recorder.finish(9 * SECOND_NS + 1);
            seconds.take().iter().map(|record| record.sending_ns).chain([last.sending_ns]).collect::<Vec<_>>()
        };
        assert_eq!(sending_ns(Some(SendingEnd::At(7))), [7; 10]);
        let with_response = sending_ns(Some(SendingEnd::LastResponse));
        assert_eq!((with_response[0], with_response[9]), (10, 2 * SECOND_NS));
        let all_the_time = sending_ns(None);
        assert_eq!((all_the_time[0], all_the_time[9]), (SECOND_NS, 9 * SECOND_NS + 1));
    }

    proptest! {
        #[test]
        fn every_second_balances_and_all_add_up(steps in prop::collection::vec((0..700_000_000u64, 0..4u8), 1..200)) {
            let seconds = std::cell::RefCell::default();
            let mut recorder = Recorder::new(Kept(&seconds), BOTH, names());
            let mut now_ns = 0;
            for (step_ns, what) in steps {
                now_ns += step_ns;
                let request = usize::from(step_ns % 3 == 0);
                match what {
                    0 if recorder.in_flight() > 0 => recorder.responded(now_ns, now_ns, now_ns, request, 200, step_ns % 2 == 0),
                    1 if recorder.in_flight() > 0 => recorder.failed(now_ns, request, FailureCause::Reset),
                    2 => recorder.advance(now_ns),
                    _ => recorder.sent(now_ns, now_ns, request),
                }
            }
            seconds.borrow_mut().push(recorder.finish(u64::MAX));
            let (mut sum, mut in_flight) = (Totals::default(), 0);
            for (index, record) in seconds.take().iter().enumerate() {
                prop_assert_eq!(record.index, index as u64);
                let SecondStats { counts, latency, by_name, .. } = stats(record);
                let whole = by_name.whole();
                prop_assert_eq!((whole.sent, whole.answered(), whole.failed()), (counts.sent, counts.answered(), counts.failed()));
                prop_assert_eq!((&whole.statuses, &whole.failures), (&counts.statuses, &counts.failures));
                prop_assert_eq!(whole.latency, (&latency).into());
                prop_assert_eq!(counts.in_flight + counts.answered() + counts.failed(), in_flight + counts.sent);
                in_flight = counts.in_flight;
                sum.merge(&counts.totals());
                prop_assert_eq!(sum, record.totals);
            }
        }
    }
}
