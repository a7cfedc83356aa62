//! Which of a plan's requests is sent when.

use std::sync::Arc;

use crate::plan_error::PlanError;

/// Weights together, with their common divisor taken out: the length of one round.
pub const MAX_ROUND: u64 = 1_000_000;

/// The order of a plan's requests. It is laid down before the start: request *k* of a run is the one at `k mod round`,
/// whatever the answers do; in an Avalanche without a rate, whose threads go as fast as each can, request *k* of a thread,
/// which begins with a place of its own. A round holds each request as often as its weight says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// As they stand in the plan; weights are spread evenly over the round.
    InTurn,
    /// Shuffled, the same way for the same seed.
    Shuffled {
        /// Any number.
        seed: u64,
    },
}

impl Order {
    /// One round of requests with these weights, as indices into them.
    pub(crate) fn slots(self, weights: &[u32]) -> Result<Vec<u32>, PlanError> {
        let divisor = weights.iter().fold(0, |divisor, weight| greatest_common_divisor(divisor, *weight)).max(1);
        let round: u64 = weights.iter().map(|weight| u64::from(weight / divisor)).sum();
        if round > MAX_ROUND {
            let problem =
                format!("the weights make a round of {round} requests; give smaller ones ({MAX_ROUND} in all)");
            return Err(PlanError::new("weight", problem));
        }
        // Occurrence j of w lies in the middle of its share of the round; ties keep the plan's order.
        let mut places = Vec::with_capacity(round as usize);
        for (index, weight) in (0_u32..).zip(weights) {
            let weight = u64::from(weight / divisor);
            places.extend((0..weight).map(|j| ((2 * j + 1) * MAX_ROUND / (2 * weight), index)));
        }
        places.sort_unstable();
        let mut slots: Vec<u32> = places.into_iter().map(|(_, index)| index).collect();
        if let Order::Shuffled { seed } = self {
            fastrand::Rng::with_seed(seed).shuffle(&mut slots);
        }
        Ok(slots)
    }
}

/// One thread's way through the rounds of an order.
#[derive(Debug)]
pub(crate) struct Round {
    slots: Arc<[u32]>,
    next_slot: usize,
    stride: usize,
}

impl Round {
    /// The way of thread `index` of `threads`. Threads that keep step, because moments are dealt out to them, share one
    /// round; others each go through it by themselves, or the faster one's requests would be sent more often than their
    /// weights say.
    pub fn of_thread(slots: Arc<[u32]>, index: usize, threads: usize, keeps_step: bool) -> Self {
        let length = slots.len();
        let (next_slot, stride) =
            if keeps_step { (index % length, threads % length) } else { (length * index / threads, 1) };
        Self { slots, next_slot, stride }
    }

    /// The index of the request that is sent next.
    pub fn peek(&self) -> usize {
        self.slots[self.next_slot] as usize
    }

    /// The same, and goes on.
    pub fn next(&mut self) -> usize {
        let request = self.peek();
        let next = self.next_slot + self.stride;
        self.next_slot = if next < self.slots.len() { next } else { next - self.slots.len() };
        request
    }
}

fn greatest_common_divisor(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { greatest_common_divisor(b, a % b) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slots(order: Order, weights: &[u32]) -> Vec<u32> {
        order.slots(weights).expect("a short round")
    }

    #[test]
    fn equal_weights_go_in_turn() {
        assert_eq!(slots(Order::InTurn, &[1, 1, 1]), [0, 1, 2]);
        assert_eq!(slots(Order::InTurn, &[7, 7]), [0, 1]);
    }

    #[test]
    fn weights_are_kept_and_spread() {
        assert_eq!(slots(Order::InTurn, &[4, 2]), [0, 1, 0]);
        assert_eq!(slots(Order::InTurn, &[6, 1]), [0, 0, 0, 1, 0, 0, 0]);
    }

    #[test]
    fn a_seed_always_gives_the_same_order() {
        let weights = [3, 50, 1, 20];
        let (one, again) = (slots(Order::Shuffled { seed: 7 }, &weights), slots(Order::Shuffled { seed: 7 }, &weights));
        assert_eq!(one, again);
        assert_ne!(one, slots(Order::Shuffled { seed: 8 }, &weights));
        for (index, weight) in (0..).zip(weights) {
            assert_eq!(one.iter().filter(|slot| **slot == index).count(), weight as usize);
        }
    }

    #[test]
    fn threads_that_keep_step_share_a_round_and_others_have_their_own() {
        let slots: Arc<[u32]> = (0..5).collect();
        let mut threads = [0, 1].map(|index| Round::of_thread(slots.clone(), index, 2, true));
        let sent: Vec<_> = (0..10).map(|k| threads[k % 2].next()).collect();
        assert_eq!(sent, [0, 1, 2, 3, 4, 0, 1, 2, 3, 4]);
        for (index, expected) in [(0, [0, 1, 2, 3, 4, 0]), (1, [2, 3, 4, 0, 1, 2])] {
            let mut alone = Round::of_thread(slots.clone(), index, 2, false);
            assert_eq!([(); 6].map(|()| alone.next()), expected);
        }
    }

    #[test]
    fn an_endless_round_is_refused() {
        assert!(Order::InTurn.slots(&[999_983, 7]).is_ok());
        assert_eq!(Order::InTurn.slots(&[u32::MAX, 2]).expect_err("too long").field, "weight");
    }
}
