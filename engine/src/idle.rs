//! Connections that wait for a request. They take turns, so that load spreads over a server's threads and a balancer's
//! backends; but one that the server has closed waits until no open one is free.

/// A set of connections, by their numbers.
#[derive(Debug)]
struct Set(Vec<u64>);

impl Set {
    fn of(connections: usize) -> Self {
        Self(vec![0; connections.div_ceil(64)])
    }

    fn put(&mut self, connection: usize, is_in: bool) {
        let (word, bit) = (&mut self.0[connection / 64], 1 << (connection % 64));
        if is_in { *word |= bit } else { *word &= !bit }
    }

    fn has(&self, connection: usize) -> bool {
        self.0[connection / 64] & (1 << (connection % 64)) != 0
    }

    /// The first from this number on, or else the first of all.
    fn next_from(&self, connection: usize) -> Option<usize> {
        let words = self.0.len();
        let first = (connection / 64).min(words.saturating_sub(1));
        let lowest = |word: usize, mask: u64| {
            let bits = self.0.get(word)? & mask;
            (bits != 0).then(|| word * 64 + bits.trailing_zeros() as usize)
        };
        let from = if connection / 64 < words { u64::MAX << (connection % 64) } else { 0 };
        lowest(first, from).or_else(|| (1..=words).find_map(|step| lowest((first + step) % words, u64::MAX)))
    }

    fn clear(&mut self) {
        self.0.fill(0);
    }
}

/// Who waits, and to which servers each has a connection open.
#[derive(Debug)]
pub(crate) struct Idle {
    waiting: Set,
    count: usize,
    /// By server.
    servers: Vec<Server>,
}

#[derive(Debug)]
struct Server {
    /// Connections that are open, whether they wait or not.
    open: Set,
    /// Those that are open and wait.
    ready: Set,
    /// Whose turn is next.
    turn: usize,
}

impl Idle {
    pub fn new(connections: usize, servers: usize) -> Self {
        let server = || Server { open: Set::of(connections), ready: Set::of(connections), turn: 0 };
        Self { waiting: Set::of(connections), count: 0, servers: (0..servers).map(|_| server()).collect() }
    }

    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Begins to wait.
    pub fn enter(&mut self, connection: usize) {
        if !self.waiting.has(connection) {
            self.waiting.put(connection, true);
            self.count += 1;
            for server in &mut self.servers {
                server.ready.put(connection, server.open.has(connection));
            }
        }
    }

    /// Waits no longer.
    pub fn leave(&mut self, connection: usize) {
        if self.waiting.has(connection) {
            self.waiting.put(connection, false);
            self.count -= 1;
            self.servers.iter_mut().for_each(|server| server.ready.put(connection, false));
        }
    }

    /// Nobody waits any longer.
    pub fn clear(&mut self) {
        self.waiting.clear();
        self.count = 0;
        self.servers.iter_mut().for_each(|server| server.ready.clear());
    }

    /// Its connection to a server was opened or is closed.
    pub fn set_open(&mut self, connection: usize, server: usize, is_open: bool) {
        let is_waiting = self.waiting.has(connection);
        let server = &mut self.servers[server];
        server.open.put(connection, is_open);
        server.ready.put(connection, is_open && is_waiting);
    }

    /// Who of those that wait is to serve a request to this server next: the open ones in turn, and without one the others.
    pub fn next(&mut self, server: usize) -> Option<usize> {
        let Server { ready, turn, .. } = &mut self.servers[server];
        let next = ready.next_from(*turn).or_else(|| self.waiting.next_from(*turn))?;
        *turn = next + 1;
        self.leave(next);
        Some(next)
    }

    /// Those that wait and have a connection open to this server.
    pub fn ready(&self, server: usize) -> impl Iterator<Item = usize> {
        let words = self.servers[server].ready.0.iter().enumerate();
        words.flat_map(|(word, bits)| (0..64).filter(move |bit| bits & (1 << bit) != 0).map(move |bit| word * 64 + bit))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn open_ones_take_turns_and_closed_ones_come_last() {
        let mut idle = Idle::new(130, 1);
        for connection in 0..130 {
            idle.set_open(connection, 0, connection % 2 == 0);
            idle.enter(connection);
        }
        let first: Vec<_> = (0..65).filter_map(|_| idle.next(0)).collect();
        assert_eq!(first, (0..130).step_by(2).collect::<Vec<_>>());
        assert!(idle.next(0).is_some_and(|closed| closed % 2 == 1));
        for connection in first {
            idle.enter(connection);
        }
        assert_eq!((idle.next(0), idle.next(0)), (Some(0), Some(2)), "behind the last comes the first");
    }

    #[test]
    fn each_server_has_turns_of_its_own() {
        let mut idle = Idle::new(4, 2);
        (0..4).for_each(|connection| idle.enter(connection));
        idle.set_open(3, 1, true);
        idle.set_open(2, 0, true);
        assert_eq!((idle.next(1), idle.next(0)), (Some(3), Some(2)));
        assert_eq!(idle.ready(0).count() + idle.ready(1).count(), 0);
        assert_eq!((idle.next(0), idle.next(1), idle.next(1)), (Some(0), Some(1), None));
    }

    proptest! {
        #[test]
        fn whoever_waits_is_found_once(
            connections in 1..200usize,
            steps in prop::collection::vec((0..200usize, 0..4u8), 0..300),
        ) {
            let mut idle = Idle::new(connections, 1);
            let (mut waiting, mut open) = (std::collections::BTreeSet::new(), std::collections::BTreeSet::new());
            for (connection, what) in steps {
                let connection = connection % connections;
                match what {
                    0 => { idle.enter(connection); waiting.insert(connection); }
                    1 => { idle.set_open(connection, 0, true); open.insert(connection); }
                    2 => { idle.set_open(connection, 0, false); open.remove(&connection); }
                    _ => {
                        let next = idle.next(0);
                        let any_open = waiting.intersection(&open).next().is_some();
                        prop_assert_eq!(next.is_some(), !waiting.is_empty());
                        if let Some(next) = next {
                            prop_assert!(waiting.remove(&next));
                            prop_assert_eq!(open.contains(&next), any_open);
                        }
                    }
                }
                prop_assert_eq!(idle.is_empty(), waiting.is_empty());
                prop_assert_eq!(idle.ready(0).collect::<Vec<_>>(), waiting.intersection(&open).copied().collect::<Vec<_>>());
            }
        }
    }
}
