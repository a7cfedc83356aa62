//! One queue before a number of servers: M/M/1 with exponential service and Poisson arrivals, M/D/1 with a fixed one.
//!
//! Requests are served first come, first served. How long each is served is known when it comes, so the moment at which it
//! is done is, too: no thread works or polls, and a timer that rings late delays one response and not those after it.
//!
//! Pure: no clocks and no random source. All times are nanoseconds since the target's start.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::time::Duration;

use crate::timing::Delay;

/// More servers are taken for a mistake.
pub const MAX_SERVERS: usize = 10_000;
/// The longest queue: each request that waits takes 8 bytes here, beside its connection.
pub const MAX_QUEUE: usize = 1_000_000;

/// A queue before servers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Queue {
    /// How many requests are served at once.
    pub servers: usize,
    /// How long each takes.
    pub service: Delay,
    /// Which service times are drawn, where they vary: the k-th request takes the same in every run.
    pub seed: u64,
    /// So many requests wait at most; the next is refused with 503.
    pub limit: usize,
}

impl Queue {
    /// What is wrong with it, and what would be right; `None`: nothing.
    pub fn problem(&self) -> Option<String> {
        let Self { servers, service, seed: _, limit } = self;
        if !(1..=MAX_SERVERS).contains(servers) {
            return Some(format!("a queue of {servers} servers is out of range: give 1 to {MAX_SERVERS}"));
        }
        if *limit > MAX_QUEUE {
            return Some(format!("a queue limit of {limit} is too high: at most {MAX_QUEUE}"));
        }
        if service.is_none() {
            return Some("a service time must be greater than 0, like exp:5ms or fixed:5ms".into());
        }
        service.problem()
    }
}

/// How many requests are in a queue and its servers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QueueLength {
    /// Requests that wait for a server.
    pub waiting: usize,
    /// Requests that are served.
    pub serving: usize,
}

/// Who waits and who is served.
#[derive(Debug)]
pub struct Line {
    queue: Queue,
    /// When each server is free; the earliest first. At most one for each server.
    free_at_ns: BinaryHeap<Reverse<u64>>,
    /// When those that may still wait begin to be served, in the order of their arrival; at most `limit`.
    starts_ns: VecDeque<u64>,
    last_arrival_ns: u64,
    arrived: u64,
}

impl Line {
    /// Nobody waits.
    pub fn new(queue: Queue) -> Self {
        Self { queue, free_at_ns: BinaryHeap::new(), starts_ns: VecDeque::new(), last_arrival_ns: 0, arrived: 0 }
    }

    /// A request comes: when it is done. `None`: the queue is full.
    ///
    /// Who was noticed later has come later: threads may tell of their arrivals out of order, by what a wake-up takes.
    pub fn arrive(&mut self, now_ns: u64) -> Option<u64> {
        let now_ns = now_ns.max(self.last_arrival_ns);
        self.last_arrival_ns = now_ns;
        let length = self.length(now_ns);
        if length.serving >= self.queue.servers && length.waiting >= self.queue.limit {
            return None;
        }
        let service = self.queue.service.draw(self.queue.seed, self.arrived);
        self.arrived = self.arrived.wrapping_add(1);
        let service_ns = u64::try_from(service.as_nanos()).unwrap_or(u64::MAX);
        let free_at_ns = if self.free_at_ns.len() < self.queue.servers {
            0
        } else {
            self.free_at_ns.pop().map_or(0, |Reverse(free_at_ns)| free_at_ns)
        };
        let start_ns = free_at_ns.max(now_ns);
        let done_ns = start_ns.saturating_add(service_ns);
        self.free_at_ns.push(Reverse(done_ns));
        if start_ns > now_ns {
            self.starts_ns.push_back(start_ns);
        }
        Some(done_ns)
    }

    /// How many wait and are served now.
    pub fn length(&mut self, now_ns: u64) -> QueueLength {
        // First come, first served: nobody begins before those who came earlier.
        while self.starts_ns.pop_front_if(|start_ns| *start_ns <= now_ns).is_some() {}
        let waiting = self.starts_ns.len();
        let busy = self.free_at_ns.iter().filter(|Reverse(free_at_ns)| *free_at_ns > now_ns).count();
        QueueLength { waiting, serving: busy }
    }
}

/// A time since the target's start, as the queue counts it.
pub fn ns(since_start: Duration) -> u64 {
    u64::try_from(since_start.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    fn queue(servers: usize, service: Delay) -> Queue {
        Queue { servers, service, seed: 7, limit: MAX_QUEUE }
    }

    fn fixed(servers: usize, ms: u64) -> Queue {
        queue(servers, Delay::Fixed(Duration::from_millis(ms)))
    }

    #[test]
    fn one_server_serves_in_the_order_of_arrival() {
        let mut line = Line::new(fixed(1, 5));
        let done: Vec<_> = [0, 1, 2, 30, 30].iter().map(|ms| line.arrive(ms * MS)).collect();
        assert_eq!(done, [5, 10, 15, 35, 40].map(|ms| Some(ms * MS)));
        assert_eq!(line.length(31 * MS), QueueLength { waiting: 1, serving: 1 });
        assert_eq!(line.length(35 * MS), QueueLength { waiting: 0, serving: 1 });
        assert_eq!(line.length(40 * MS), QueueLength::default());
    }

    #[test]
    fn more_servers_serve_at_once() {
        let mut line = Line::new(fixed(2, 10));
        let done: Vec<_> = [0, 1, 2, 3].iter().map(|ms| line.arrive(ms * MS)).collect();
        assert_eq!(done, [10, 11, 20, 21].map(|ms| Some(ms * MS)));
        assert_eq!(line.length(3 * MS), QueueLength { waiting: 2, serving: 2 });
    }

    #[test]
    fn a_full_queue_refuses_and_goes_on() {
        let mut line = Line::new(Queue { limit: 1, ..fixed(1, 10) });
        assert_eq!(line.arrive(0), Some(10 * MS));
        assert_eq!(line.arrive(1), Some(20 * MS));
        assert_eq!(line.arrive(2), None);
        assert_eq!(line.arrive(10 * MS), Some(30 * MS));
        // No place to wait: whoever finds the server busy is refused.
        let mut line = Line::new(Queue { limit: 0, ..fixed(1, 10) });
        assert_eq!([0, 1, 10].map(|ms| line.arrive(ms * MS)), [Some(10 * MS), None, Some(20 * MS)]);
    }

    #[test]
    fn arrivals_that_are_told_out_of_order_are_served_in_the_order_told() {
        let mut line = Line::new(fixed(1, 5));
        assert_eq!(line.arrive(3 * MS), Some(8 * MS));
        assert_eq!(line.arrive(2 * MS), Some(13 * MS));
    }

    /// The times in the system of Poisson arrivals, in milliseconds, sorted.
    fn times_ms(queue: Queue, rate_per_s: f64, requests: u64) -> Vec<f64> {
        let mut line = Line::new(queue);
        let gaps = Delay::Exponential { mean: Duration::from_secs_f64(1.0 / rate_per_s) };
        let mut now_ns = 0;
        let mut times: Vec<f64> = (0..requests)
            .map(|index| {
                now_ns += ns(gaps.draw(99, index));
                (line.arrive(now_ns).expect("the queue has room") - now_ns) as f64 / 1e6
            })
            .collect();
        times.sort_by(f64::total_cmp);
        times
    }

    #[test]
    fn it_is_the_queue_of_theory() {
        let mean = |times: &[f64]| times.iter().sum::<f64>() / times.len() as f64;
        let near = |actual: f64, expected: f64| assert!((actual / expected - 1.0).abs() < 0.03, "{actual} {expected}");
        let service = Duration::from_millis(5);
        // M/M/1 with 200/s served and 100/s coming: exponential with 100/s.
        let times = times_ms(queue(1, Delay::Exponential { mean: service }), 100.0, 500_000);
        near(mean(&times), 10.0);
        near(times[times.len() * 99 / 100], 100_f64.ln() * 10.0);
        // M/D/1: half the waiting time of M/M/1 (Pollaczek-Khinchine).
        let times = times_ms(queue(1, Delay::Fixed(service)), 100.0, 500_000);
        near(mean(&times), 5.0 + 2.5);
        // M/M/2 at half its capacity: 1/μ · 1/(1 - ρ²).
        let times = times_ms(queue(2, Delay::Exponential { mean: service }), 200.0, 500_000);
        near(mean(&times), 5.0 / 0.75);
    }

    #[test]
    fn what_makes_no_sense_is_said() {
        assert_eq!(fixed(1, 5).problem(), None);
        for (wrong, said) in [
            (fixed(0, 5), "0 servers"),
            (fixed(MAX_SERVERS + 1, 5), "out of range"),
            (fixed(1, 0), "greater than 0"),
            (fixed(1, 4_000_000), "too long"),
            (Queue { limit: MAX_QUEUE + 1, ..fixed(1, 5) }, "too high"),
        ] {
            assert!(wrong.problem().is_some_and(|problem| problem.contains(said)), "{wrong:?}");
        }
    }
}
