//! Connections that rest after a response or a failure. All rest equally long, so the first to begin is the first to be free.

use std::collections::VecDeque;
use std::time::Duration;

use crate::clock::Moment;

/// Who rests, and until when.
#[derive(Debug)]
pub(crate) struct Thinking {
    think_time: Duration,
    /// The end of each rest, the earliest first.
    ends: VecDeque<(Moment, usize)>,
    /// By connection: at most one rest each, which bounds `ends`.
    rests: Vec<bool>,
}

impl Thinking {
    /// `None`: nobody ever rests.
    pub fn new(think_time: Duration, connections: usize) -> Option<Self> {
        let new = || Self { think_time, ends: VecDeque::with_capacity(connections), rests: vec![false; connections] };
        (!think_time.is_zero()).then(new)
    }

    /// A connection begins to rest; times must not go back.
    pub fn begin(&mut self, connection: usize, now: Moment) {
        if !std::mem::replace(&mut self.rests[connection], true) {
            self.ends.push_back((now.plus(self.think_time), connection));
        }
    }

    pub fn rests(&self, connection: usize) -> bool {
        self.rests[connection]
    }

    /// When the next rest ends.
    pub fn next_end(&self) -> Option<Moment> {
        self.ends.front().map(|(end, _)| *end)
    }

    /// Ends one rest whose time is over, and gives its connection.
    pub fn end_one(&mut self, now: Moment) -> Option<usize> {
        let (_, connection) = self.ends.pop_front_if(|(end, _)| *end <= now)?;
        self.rests[connection] = false;
        Some(connection)
    }

    /// Nobody rests any longer.
    pub fn clear(&mut self) {
        self.ends.clear();
        self.rests.fill(false);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rests_end_in_order_and_not_too_early() {
        let start = Moment::now();
        let mut thinking = Thinking::new(Duration::from_nanos(10), 3).expect("a think time above zero");
        thinking.begin(2, start);
        thinking.begin(0, start.plus_ns(4));
        thinking.begin(2, start.plus_ns(5));
        assert_eq!(thinking.next_end(), Some(start.plus_ns(10)), "a rest that is under way is not prolonged");
        assert_eq!(thinking.end_one(start.plus_ns(9)), None);
        assert_eq!([0, 1, 2].map(|connection| thinking.rests(connection)), [true, false, true]);
        assert_eq!(thinking.end_one(start.plus_ns(10)), Some(2));
        assert_eq!((thinking.rests(2), thinking.next_end()), (false, Some(start.plus_ns(14))));
        thinking.clear();
        assert_eq!((thinking.rests(0), thinking.end_one(Moment::NEVER)), (false, None));
    }

    #[test]
    fn without_a_think_time_nobody_rests() {
        assert!(Thinking::new(Duration::ZERO, 3).is_none());
    }
}
