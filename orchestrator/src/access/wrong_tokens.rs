//! Who tries tokens: each address may be wrong so often and then has to wait. Pure: what time it is comes from outside.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use super::tokens::SecretHash;

/// So many different wrong tokens may come from one address within [`WINDOW`]. One that is sent again and again, such as that of a
/// scraper whose token was taken away, counts once: it guesses nothing.
pub const MAX_WRONG: usize = 10;
/// After this the count begins anew.
pub const WINDOW: Duration = Duration::from_secs(60);
/// Addresses that are remembered; beyond that the one that began first is forgotten.
const MAX_ADDRESSES: usize = 1024;

/// The wrong tokens of the last minute.
#[derive(Debug, Default)]
pub(super) struct WrongTokens(HashMap<IpAddr, Tries>);

#[derive(Debug)]
struct Tries {
    since: Instant,
    hashes: Vec<SecretHash>,
}

impl WrongTokens {
    /// How long this address has to wait before a token of it is looked at; `None`: not at all.
    pub(super) fn wait(&self, address: IpAddr, now: Instant) -> Option<Duration> {
        let tries = self.0.get(&network(address))?;
        let left = WINDOW.checked_sub(now.saturating_duration_since(tries.since))?;
        (tries.hashes.len() >= MAX_WRONG && !left.is_zero()).then_some(left)
    }

    /// A token of this address was wrong.
    pub(super) fn note(&mut self, address: IpAddr, hash: SecretHash, now: Instant) {
        let address = network(address);
        if !self.0.contains_key(&address) && self.0.len() >= MAX_ADDRESSES {
            self.0.retain(|_, tries| now.saturating_duration_since(tries.since) < WINDOW);
            let first = self.0.iter().min_by_key(|(_, tries)| tries.since).map(|(address, _)| *address);
            if let Some(first) = first.filter(|_| self.0.len() >= MAX_ADDRESSES) {
                self.0.remove(&first);
            }
        }
        let tries = self.0.entry(address).or_insert_with(|| Tries { since: now, hashes: Vec::new() });
        if now.saturating_duration_since(tries.since) >= WINDOW {
            *tries = Tries { since: now, hashes: Vec::new() };
        }
        if tries.hashes.len() < MAX_WRONG && !tries.hashes.contains(&hash) {
            tries.hashes.push(hash);
        }
    }
}

/// Whoever has one IPv6 address has all of its /64.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => IpAddr::V6((u128::from(v6) & (u128::MAX << 64)).into()),
        v4 => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::super::tokens::hash;
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn an_address_waits_after_many_different_wrong_tokens_and_no_other_does() {
        let (mut wrong, start) = (WrongTokens::default(), Instant::now());
        let a = ip("2001:db8::1");
        (0..100).for_each(|_| wrong.note(a, hash("the same"), start));
        assert_eq!(wrong.wait(a, start), None, "it guesses nothing");
        (1..MAX_WRONG).for_each(|n| wrong.note(a, hash(&n.to_string()), start));
        let later = start + Duration::from_secs(20);
        assert_eq!(wrong.wait(ip("2001:db8::ffff"), later), Some(Duration::from_secs(40)), "the same /64");
        assert_eq!(wrong.wait(ip("2001:db8:0:1::1"), later), None);
        assert_eq!(wrong.wait(a, start + WINDOW), None, "the minute is over");
        wrong.note(a, hash("x"), start + WINDOW);
        assert_eq!(wrong.wait(a, start + WINDOW), None, "counted anew");
        assert_eq!(network(ip("::ffff:10.0.0.1")), ip("10.0.0.1"));
    }

    #[test]
    fn memory_is_bounded_whoever_tries() {
        let (mut wrong, start) = (WrongTokens::default(), Instant::now());
        for n in 0..3000_u32 {
            let address = IpAddr::V4((0x0a00_0000 + n).into());
            wrong.note(address, hash(&n.to_string()), start + Duration::from_millis(n.into()));
        }
        assert_eq!(wrong.0.len(), MAX_ADDRESSES);
        assert!(wrong.0.contains_key(&IpAddr::V4((0x0a00_0000 + 2999).into())), "the newest are known");
        (0..100).for_each(|n| wrong.note(ip("10.9.9.9"), hash(&n.to_string()), start));
        assert_eq!(wrong.0[&ip("10.9.9.9")].hashes.len(), MAX_WRONG);
    }
}
