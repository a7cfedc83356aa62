//! One server with a queue, in simulated time, and what theory says of it.

#![allow(dead_code, reason = "each test binary uses its part")]

use std::collections::VecDeque;

use onrush_search::{Block, Goal, Search, Spoilt, Step};

/// How long a request is served.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Service {
    /// Exponentially distributed: M/M/1.
    Exponential,
    /// Always the same: M/D/1.
    Fixed,
}

/// A server that takes requests first come, first served, as Poisson arrivals bring them.
pub struct Queue {
    random: fastrand::Rng,
    service: Service,
    mean_s: f64,
    now_s: f64,
    next_arrival_s: f64,
    free_at_s: f64,
    /// Who waits or is served: its end and its latency.
    under_way: VecDeque<(f64, f64)>,
    block: Block,
    /// Rates above this the generator does not keep.
    pub generator_per_s: f64,
    /// From when on nothing is served, once, and for how long.
    pub hiccup_at_s: Option<(f64, f64)>,
    /// The share of requests that fail, for each request per second.
    pub failed_share_per_s: f64,
    /// Above this rate every request is answered with an error, at once.
    pub errors_above_per_s: f64,
    /// From when on every connection is refused.
    pub dies_at_s: f64,
}

/// What the server can serve.
pub const SERVED_PER_S: f64 = 200.0;

const BLOCK_S: f64 = 1.0;

impl Queue {
    pub fn new(service: Service, seed: u64) -> Self {
        Self {
            random: fastrand::Rng::with_seed(seed),
            service,
            mean_s: 1.0 / SERVED_PER_S,
            now_s: 0.0,
            next_arrival_s: 0.0,
            free_at_s: 0.0,
            under_way: VecDeque::new(),
            block: Block { length_ns: (BLOCK_S * 1e9) as u64, ..Block::default() },
            generator_per_s: f64::INFINITY,
            hiccup_at_s: None,
            failed_share_per_s: 0.0,
            errors_above_per_s: f64::INFINITY,
            dies_at_s: f64::INFINITY,
        }
    }

    /// The same with a server that serves so many requests a second.
    pub fn serving(service: Service, seed: u64, served_per_s: f64) -> Self {
        Self { mean_s: 1.0 / served_per_s, ..Self::new(service, seed) }
    }

    fn exponential(&mut self) -> f64 {
        -(1.0 - self.random.f64()).ln()
    }

    /// A second at that rate. Responses count when they end, as an engine counts them.
    pub fn run(&mut self, rate_per_s: f64) -> &Block {
        let sent_per_s = rate_per_s.min(self.generator_per_s);
        self.block.void = (rate_per_s > self.generator_per_s).then_some(Spoilt::Cpu);
        (self.block.due, self.block.failed, self.block.without_response) = (0, 0, 0);
        self.block.latency.clear();
        let end_s = self.now_s + BLOCK_S;
        if let Some((_, length_s)) = self.hiccup_at_s.take_if(|(at_s, _)| *at_s <= self.now_s) {
            self.free_at_s = self.free_at_s.max(self.now_s) + length_s;
        }
        // A Poisson process forgets: the next arrival is drawn anew at a change of rate.
        self.next_arrival_s = self.now_s + self.exponential() / sent_per_s;
        if self.now_s >= self.dies_at_s {
            // Whoever waited loses the connection.
            self.block.without_response = self.under_way.len() as u64;
            self.block.failed = self.block.without_response;
            self.under_way.clear();
        }
        while self.next_arrival_s < end_s {
            let is_dead = self.now_s >= self.dies_at_s;
            if is_dead || sent_per_s > self.errors_above_per_s {
                self.block.due += 1;
                self.block.failed += 1;
                match is_dead {
                    true => self.block.without_response += 1,
                    false => self.block.latency.record(100_000),
                }
                self.next_arrival_s += self.exponential() / sent_per_s;
                continue;
            }
            let served_s = match self.service {
                Service::Exponential => self.mean_s * self.exponential(),
                Service::Fixed => self.mean_s,
            };
            self.free_at_s = self.free_at_s.max(self.next_arrival_s) + served_s;
            self.under_way.push_back((self.free_at_s, self.free_at_s - self.next_arrival_s));
            self.block.due += 1;
            self.block.failed += u64::from(self.random.f64() < sent_per_s * self.failed_share_per_s);
            self.next_arrival_s += self.exponential() / sent_per_s;
        }
        while let Some((_, latency_s)) = self.under_way.pop_front_if(|(ends_s, _)| *ends_s <= end_s) {
            self.block.latency.record((latency_s * 1e9) as u64);
        }
        self.now_s = end_s;
        &self.block
    }
}

/// The rate at which the p99 of the time in the system is `limit_s`.
pub fn capacity_per_s(service: Service, limit_s: f64) -> f64 {
    match service {
        // The time in an M/M/1 system is exponential with the rate μ - λ.
        Service::Exponential => SERVED_PER_S - 100_f64.ln() / limit_s,
        Service::Fixed => {
            let (mut low, mut high) = (0.0, SERVED_PER_S);
            for _ in 0..60 {
                let middle = 0.5 * (low + high);
                if fixed_share_above(middle / SERVED_PER_S, (limit_s * SERVED_PER_S).round() as usize) < 0.01 {
                    low = middle;
                } else {
                    high = middle;
                }
            }
            low
        }
    }
}

/// The share of an M/D/1 queue's requests whose time in the system is more than `services` service times.
///
/// The waiting time at whole service times: P(W ≤ m·D) = Σ_j P(at most m - j wait) · e^-ρ ρ^j / j! (Franx 2001, "A simple
/// solution for the M/D/c waiting time distribution", a form of Erlang's and Crommelin's series without its alternating signs).
pub fn fixed_share_above(load: f64, services: usize) -> f64 {
    let Some(waits) = services.checked_sub(1) else { return 1.0 };
    // Arrivals during one service are Poisson; the number in the system follows from its balance (Pollaczek–Khinchine).
    let arrivals: Vec<f64> = (0..=waits + 2)
        .scan(1.0, |term, j| {
            *term *= if j == 0 { (-load).exp() } else { load / j as f64 };
            Some(*term)
        })
        .collect();
    let mut system = vec![1.0 - load];
    for n in 0..=waits {
        let from_others: f64 = (1..=n).map(|k| system[k] * arrivals[n + 1 - k]).sum();
        system.push(((system[n] - system[0] * arrivals[n] - from_others) / arrivals[0]).max(0.0));
    }
    // At most `j` wait: at most `j + 1` in the system.
    let at_most_waiting = |j: usize| system[..=j + 1].iter().sum::<f64>();
    1.0 - (0..=waits).map(|j| at_most_waiting(waits - j) * arrivals[j]).sum::<f64>()
}

/// A search that was run to its end; `watch` may change the queue before each second.
pub fn searched(queue: &mut Queue, goal: Goal, mut watch: impl FnMut(&Search, &mut Queue)) -> Search {
    let mut search = Search::new(goal).expect("it can be searched for");
    let mut rate_per_s = 0.0;
    loop {
        match search.next() {
            Step::Hold => {}
            Step::Change { rate_per_s: asked_per_s } => rate_per_s = asked_per_s,
            Step::Done => return search,
        }
        watch(&search, queue);
        search.take(queue.run(rate_per_s));
    }
}
