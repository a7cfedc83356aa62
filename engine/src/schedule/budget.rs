//! Exactly N requests over all threads, first come, first served.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// A thread takes at most this many at a time, so that the shared count is not touched by every request.
const LARGEST_CHUNK: u64 = 64;

/// One thread's hold on the requests that are left; `None`: no end to them.
#[derive(Debug)]
pub(crate) struct Budget {
    shared: Option<Arc<AtomicU64>>,
    /// Taken from the shared count and not used yet.
    held: u64,
    threads: u64,
}

impl Budget {
    /// As many budgets as threads, with `count` requests between them.
    pub fn shared_by(threads: u64, count: Option<u64>) -> Vec<Self> {
        let shared = count.map(|count| Arc::new(AtomicU64::new(count)));
        (0..threads).map(|_| Self { shared: shared.clone(), held: 0, threads }).collect()
    }

    /// Takes one request; false when none is left.
    pub fn take(&mut self) -> bool {
        let Some(shared) = &self.shared else { return true };
        if self.held == 0 {
            // The chunks shrink towards the end, so that no thread sits on requests that another could send.
            let chunk = |left: u64| (left / (self.threads * 64)).clamp(1, LARGEST_CHUNK).min(left);
            let take = |left: u64| left.checked_sub(chunk(left)).filter(|_| left > 0);
            match shared.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take) {
                Ok(left) => self.held = chunk(left),
                Err(_) => return false,
            }
        }
        self.held -= 1;
        true
    }

    /// Whether none is left for this thread.
    pub fn is_spent(&self) -> bool {
        self.held == 0 && self.shared.as_ref().is_some_and(|shared| shared.load(Ordering::Relaxed) == 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_take_exactly_the_count() {
        for (threads, count) in [(1, 1), (4, 3), (3, 100_000), (8, 12_345)] {
            let workers: Vec<_> = Budget::shared_by(threads, Some(count))
                .into_iter()
                .map(|mut budget| {
                    std::thread::spawn(move || {
                        let mut taken = 0u64;
                        while budget.take() {
                            taken += 1;
                        }
                        assert!(budget.is_spent());
                        taken
                    })
                })
                .collect();
            let taken: u64 = workers.into_iter().map(|worker| worker.join().expect("the worker does not panic")).sum();
            assert_eq!(taken, count);
        }
    }

    #[test]
    fn without_a_count_there_is_no_end() {
        let mut budget = Budget::shared_by(1, None).remove(0);
        assert!((0..1_000).all(|_| budget.take()) && !budget.is_spent());
    }
}
