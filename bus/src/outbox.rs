//! What was taken and not confirmed yet, in order: the memory of the producer, without Kafka.

use std::collections::BTreeMap;
use std::time::Instant;

use onrush_protocol::Topic;

/// A message on its way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct OutgoingMessage {
    pub topic: Topic,
    pub key: String,
    pub payload: Vec<u8>,
}

impl OutgoingMessage {
    /// What it takes to keep it.
    fn bytes(&self) -> usize {
        /// Its place in the map, and what the allocator adds.
        const OVERHEAD: usize = 128;
        self.key.len() + self.payload.len() + OVERHEAD
    }
}

/// Messages in the order in which they were taken, each with a number of its own. Bounded by their number and bytes.
#[derive(Debug)]
pub(crate) struct Outbox {
    messages: BTreeMap<usize, OutgoingMessage>,
    /// What they take together.
    bytes: usize,
    max_waiting: usize,
    max_bytes: usize,
    /// The number of the next message that is taken.
    next: usize,
    /// Messages before this one were handed to the present client.
    handed_over: usize,
    /// Since when the oldest message is the oldest.
    oldest_since: Instant,
}

impl Outbox {
    pub fn new(max_waiting: usize, max_bytes: usize) -> Self {
        Self {
            messages: BTreeMap::new(),
            bytes: 0,
            max_waiting,
            max_bytes,
            next: 0,
            handed_over: 0,
            oldest_since: Instant::now(),
        }
    }

    /// Takes a message; false where too much waits.
    pub fn take(&mut self, message: OutgoingMessage) -> bool {
        let bytes = self.bytes.saturating_add(message.bytes());
        if self.messages.len() >= self.max_waiting || bytes > self.max_bytes {
            return false;
        }
        if self.messages.is_empty() {
            self.oldest_since = Instant::now();
        }
        self.bytes = bytes;
        self.messages.insert(self.next, message);
        self.next += 1;
        true
    }

    /// The next message for the client, if there is one.
    pub fn to_hand_over(&self) -> Option<(usize, &OutgoingMessage)> {
        self.messages.range(self.handed_over..).next().map(|(number, message)| (*number, message))
    }

    /// The client has this message (and everything before it).
    pub fn handed_over(&mut self, number: usize) {
        self.handed_over = number + 1;
    }

    /// The broker has this message (or never will): it is forgotten. Whether it was still waiting.
    pub fn done(&mut self, number: usize) -> bool {
        let is_oldest = self.messages.first_key_value().is_some_and(|(oldest, _)| *oldest == number);
        if is_oldest {
            self.oldest_since = Instant::now();
        }
        let message = self.messages.remove(&number);
        self.bytes -= message.as_ref().map_or(0, OutgoingMessage::bytes);
        message.is_some()
    }

    /// The client is gone: what it had is to be handed over again.
    pub fn start_over(&mut self) {
        self.handed_over = 0;
    }

    pub fn len(&self) -> usize {
        self.messages.len()
    }

    /// Since when the oldest message is the oldest: all others may pass it while its own topic is stuck.
    pub fn oldest_since(&self) -> Instant {
        self.oldest_since
    }

    /// It was this process that stood still, and not who confirms messages.
    pub fn forgive(&mut self) {
        self.oldest_since = Instant::now();
    }

    /// What the messages take together.
    pub fn bytes(&self) -> usize {
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn message(n: usize) -> OutgoingMessage {
        OutgoingMessage { topic: Topic::Metrics, key: n.to_string(), payload: Vec::new() }
    }

    #[test]
    fn it_is_bounded() {
        let mut outbox = Outbox::new(2, usize::MAX);
        assert!(outbox.take(message(0)) && outbox.take(message(1)) && !outbox.take(message(2)));
        assert!(outbox.done(0) && !outbox.done(0));
        assert!(outbox.take(message(2)));
    }

    #[test]
    fn a_message_that_all_others_pass_is_noticed() {
        let mut outbox = Outbox::new(usize::MAX, usize::MAX);
        (0..4).for_each(|n| assert!(outbox.take(message(n))));
        let first = outbox.oldest_since();
        outbox.done(1);
        outbox.done(3);
        assert_eq!(outbox.oldest_since(), first);
        outbox.done(0);
        assert!(outbox.oldest_since() > first);
    }

    #[test]
    fn it_is_bounded_in_bytes() {
        let mut outbox = Outbox::new(usize::MAX, 100_000);
        let large = |n| OutgoingMessage { payload: vec![0; 40_000], ..message(n) };
        assert!(outbox.take(large(0)) && outbox.take(large(1)) && !outbox.take(large(2)));
        assert!(outbox.take(message(3)), "a small one fits");
        outbox.done(0);
        assert!(outbox.take(large(4)) && !outbox.take(large(5)));
        (0..10).filter(|n| outbox.done(*n)).count();
        assert_eq!((outbox.len(), outbox.bytes()), (0, 0));
    }

    proptest! {
        /// Whatever fails and whatever is confirmed: a new client gets everything that is unconfirmed, in order.
        #[test]
        fn a_new_client_gets_the_rest_in_order(steps in prop::collection::vec(0u8..4, 0..200)) {
            let mut outbox = Outbox::new(1000, usize::MAX);
            let (mut taken, mut with_client, mut confirmed) = (0, Vec::new(), Vec::new());
            for step in steps {
                match step {
                    0 => {
                        outbox.take(message(taken));
                        taken += 1;
                    }
                    1 => if let Some((number, _)) = outbox.to_hand_over() {
                        outbox.handed_over(number);
                        with_client.push(number);
                    }
                    2 => if !with_client.is_empty() {
                        let number = with_client.remove(with_client.len() / 2);
                        outbox.done(number);
                        confirmed.push(number);
                    }
                    _ => {
                        outbox.start_over();
                        with_client.clear();
                    }
                }
                let expected: Vec<usize> = (0..taken).filter(|n| !confirmed.contains(n)).collect();
                let mut rest = with_client.clone();
                let mut copy = Outbox { messages: outbox.messages.clone(), ..outbox };
                while let Some((number, _)) = copy.to_hand_over() {
                    copy.handed_over(number);
                    rest.push(number);
                }
                prop_assert_eq!(rest, expected);
                outbox.messages = copy.messages;
            }
        }
    }
}
