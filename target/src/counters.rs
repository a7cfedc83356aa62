//! What the target counts, exactly and without one thread waiting for another.
//!
//! Each thread owns a [`Counters`] and is the only one that writes it, so a plain load and store suffices; a scrape
//! adds the threads up. Only the moment of the last arrival is shared, because the spacing is that of all threads.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::queue::QueueLength;
use crate::request::{Malformed, Route};

/// The endpoints in the order of their counters.
pub const ROUTES: [Route; 3] = [Route::Ping, Route::Metrics, Route::Other];
/// The statuses that an endpoint answers with, in the order of their counters.
pub const STATUSES: [u16; 5] = [200, 400, 404, 405, 503];
/// The statuses of requests that were not understood, in the order of their counters.
pub const MALFORMED_STATUSES: [u16; 4] = [400, 431, 501, 505];
/// Upper bounds of the spacing's buckets: 1, 2, 5 and so on. One bucket more takes what is above.
pub const SPACING_BOUNDS_NS: [u64; 22] = [
    1_000,
    2_000,
    5_000,
    10_000,
    20_000,
    50_000,
    100_000,
    200_000,
    500_000,
    1_000_000,
    2_000_000,
    5_000_000,
    10_000_000,
    20_000_000,
    50_000_000,
    100_000_000,
    200_000_000,
    500_000_000,
    1_000_000_000,
    2_000_000_000,
    5_000_000_000,
    10_000_000_000,
];
const SPACING_BUCKETS: usize = SPACING_BOUNDS_NS.len() + 1;

/// The status that answers a malformed request.
pub fn malformed_status(malformed: Malformed) -> u16 {
    match malformed {
        Malformed::Syntax => 400,
        Malformed::HeadTooLarge => 431,
        Malformed::TransferCoding => 501,
        Malformed::Version => 505,
    }
}

/// A number that one thread writes and any thread reads.
#[derive(Debug, Default)]
struct Counter(AtomicU64);

impl Counter {
    fn add(&self, amount: u64) {
        // One writer: nothing can come between the load and the store.
        self.0.store(self.0.load(Ordering::Relaxed).wrapping_add(amount), Ordering::Release);
    }

    fn get(&self) -> u64 {
        self.0.load(Ordering::Acquire)
    }
}

/// What one thread has counted. Aligned so that two threads never share a cache line.
#[derive(Debug, Default)]
#[repr(align(128))]
pub struct Counters {
    requests: [Counter; ROUTES.len()],
    responses: [[Counter; STATUSES.len()]; ROUTES.len()],
    malformed: [Counter; MALFORMED_STATUSES.len()],
    connections_opened: Counter,
    connections_closed: Counter,
    bytes_in: Counter,
    bytes_out: Counter,
    spacing: [Counter; SPACING_BUCKETS],
    spacing_sum_ns: Counter,
}

impl Counters {
    /// A request's head is complete.
    pub fn request(&self, route: Route) {
        self.requests[route as usize].add(1);
    }

    /// An answer goes to the kernel.
    pub fn response(&self, route: Route, status: u16) {
        add_at(&self.responses[route as usize], &STATUSES, status);
    }

    /// A request was not understood.
    pub fn malformed(&self, malformed: Malformed) {
        add_at(&self.malformed, &MALFORMED_STATUSES, malformed_status(malformed));
    }

    /// A connection was accepted.
    pub fn connection_opened(&self) {
        self.connections_opened.add(1);
    }

    /// A connection has ended.
    pub fn connection_closed(&self) {
        self.connections_closed.add(1);
    }

    /// Bytes came in.
    pub fn received(&self, bytes: usize) {
        self.bytes_in.add(bytes as u64);
    }

    /// Bytes went out.
    pub fn sent(&self, bytes: usize) {
        self.bytes_out.add(bytes as u64);
    }

    /// A request for `/ping` came this long after the one before it, on whatever thread that was.
    pub fn spaced(&self, spacing_ns: u64) {
        self.spacing_sum_ns.add(spacing_ns);
        self.spacing[SPACING_BOUNDS_NS.partition_point(|bound_ns| *bound_ns < spacing_ns)].add(1);
    }
}

fn add_at(counters: &[Counter], statuses: &[u16], status: u16) {
    let index = statuses.iter().position(|known| *known == status);
    debug_assert!(index.is_some(), "status {status} has no counter");
    if let Some(index) = index {
        counters[index].add(1);
    }
}

/// The last arrival on any thread.
#[derive(Debug, Default)]
#[repr(align(128))]
pub struct Arrivals {
    last_ns: AtomicU64,
}

impl Arrivals {
    /// Notes an arrival; how long it came after the latest one, unless it is the first.
    ///
    /// Two threads may note theirs in the wrong order; the later moment stays, so the spacings always add up to the
    /// time from the first arrival to the last.
    pub fn note(&self, now_ns: u64) -> Option<u64> {
        // 0 means that nothing has arrived.
        let now_ns = now_ns.max(1);
        match self.last_ns.fetch_max(now_ns, Ordering::Relaxed) {
            0 => None,
            last_ns => Some(now_ns.saturating_sub(last_ns)),
        }
    }
}

/// All threads' counts together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// Requests by route.
    pub requests: [u64; ROUTES.len()],
    /// Answers by route and status.
    pub responses: [[u64; STATUSES.len()]; ROUTES.len()],
    /// Requests that were not understood, by the status of their answer.
    pub malformed: [u64; MALFORMED_STATUSES.len()],
    /// Connections that are open.
    pub connections_open: u64,
    /// Connections that were ever accepted.
    pub connections_total: u64,
    /// Bytes received.
    pub bytes_in: u64,
    /// Bytes handed to the kernel.
    pub bytes_out: u64,
    /// Spacings by bucket, not cumulative.
    pub spacing: [u64; SPACING_BUCKETS],
    /// All spacings together.
    pub spacing_sum_ns: u64,
    /// Who waits and is served now, which no thread counts; `None`: there is no queue.
    pub queue: Option<QueueLength>,
}

impl Snapshot {
    /// Adds the threads up.
    pub fn of<'a>(threads: impl Iterator<Item = &'a Counters>) -> Self {
        let mut all = Self::default();
        for counters in threads {
            // Without `..`: a new counter that is not added up here does not compile.
            let Counters {
                requests,
                responses,
                malformed,
                connections_opened,
                connections_closed,
                bytes_in,
                bytes_out,
                spacing,
                spacing_sum_ns,
            } = counters;
            add_all(&mut all.requests, requests);
            for (sums, counters) in all.responses.iter_mut().zip(responses) {
                add_all(sums, counters);
            }
            add_all(&mut all.malformed, malformed);
            // Closed before opened: one that opens and closes in between cannot make the difference negative.
            let closed = connections_closed.get();
            let opened = connections_opened.get();
            all.connections_open += opened.saturating_sub(closed);
            all.connections_total += opened;
            all.bytes_in += bytes_in.get();
            all.bytes_out += bytes_out.get();
            add_all(&mut all.spacing, spacing);
            all.spacing_sum_ns += spacing_sum_ns.get();
        }
        all
    }
}

fn add_all(sums: &mut [u64], counters: &[Counter]) {
    for (sum, counter) in sums.iter_mut().zip(counters) {
        *sum += counter.get();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spacings_add_up_to_the_time_between_the_first_arrival_and_the_last() {
        let arrivals = Arrivals::default();
        let spacings: Vec<_> = [0, 5, 3, 9, 9, 20].iter().map(|now_ns| arrivals.note(*now_ns)).collect();
        assert_eq!(spacings, [None, Some(4), Some(0), Some(4), Some(0), Some(11)]);
        assert_eq!(spacings.iter().flatten().sum::<u64>(), 19);
    }

    #[test]
    fn a_spacing_falls_into_the_bucket_whose_bound_it_does_not_exceed() {
        let counters = Counters::default();
        for spacing_ns in [0, 1_000, 1_001, 10_000_000_000, 10_000_000_001] {
            counters.spaced(spacing_ns);
        }
        let snapshot = Snapshot::of([&counters].into_iter());
        assert_eq!((snapshot.spacing[0], snapshot.spacing[1]), (2, 1));
        assert_eq!((snapshot.spacing[21], snapshot.spacing[22]), (1, 1));
        assert_eq!(snapshot.spacing_sum_ns, 20_000_002_002);
    }

    #[test]
    fn threads_are_added_up() {
        let (one, other) = (Counters::default(), Counters::default());
        one.request(Route::Ping);
        other.request(Route::Ping);
        other.response(Route::Ping, 200);
        other.malformed(Malformed::HeadTooLarge);
        one.connection_opened();
        other.connection_opened();
        other.connection_closed();
        let snapshot = Snapshot::of([&one, &other].into_iter());
        assert_eq!(snapshot.requests, [2, 0, 0]);
        assert_eq!(snapshot.responses[0], [1, 0, 0, 0, 0]);
        assert_eq!(snapshot.malformed, [0, 1, 0, 0]);
        assert_eq!((snapshot.connections_open, snapshot.connections_total), (1, 2));
    }
}
