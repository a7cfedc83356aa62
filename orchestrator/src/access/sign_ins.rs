//! The browsers that are signed in. Pure: what time it is comes from outside.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::tokens::SecretHash;

/// A browser is signed in for so long.
pub const SIGN_IN_LENGTH: Duration = Duration::from_secs(12 * 3600);
/// One more signs out whoever signed in first.
const MAX_SIGN_INS: usize = 1000;

/// Who is signed in, in the order in which that ends: each lasts equally long. Whoever asks looks the token up again, so that a token
/// that is taken out of its file ends its sign-ins at once.
#[derive(Debug, Default)]
pub(super) struct SignIns(VecDeque<SignIn>);

#[derive(Debug)]
struct SignIn {
    cookie: SecretHash,
    token: SecretHash,
    until: Instant,
}

impl SignIns {
    /// A browser with this cookie signed in by this token.
    pub(super) fn open(&mut self, cookie: SecretHash, token: SecretHash, now: Instant) {
        self.expire(now);
        if self.0.len() >= MAX_SIGN_INS {
            self.0.pop_front();
        }
        self.0.push_back(SignIn { cookie, token, until: now + SIGN_IN_LENGTH });
    }

    /// By which token the browser with this cookie is signed in.
    pub(super) fn token(&mut self, cookie: &SecretHash, now: Instant) -> Option<SecretHash> {
        self.expire(now);
        self.0.iter().find(|sign_in| sign_in.cookie == *cookie).map(|sign_in| sign_in.token)
    }

    /// The browser with this cookie signs out.
    pub(super) fn close(&mut self, cookie: &SecretHash) {
        self.0.retain(|sign_in| sign_in.cookie != *cookie);
    }

    fn expire(&mut self, now: Instant) {
        while self.0.front().is_some_and(|first| first.until <= now) {
            self.0.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tokens::hash;
    use super::*;

    #[test]
    fn a_sign_in_ends_by_itself_by_its_browser_and_by_too_many_others() {
        let (mut sign_ins, start) = (SignIns::default(), Instant::now());
        let [a, b, token] = ["a", "b", "token"].map(hash);
        sign_ins.open(a, token, start);
        sign_ins.open(b, token, start + Duration::from_secs(1));
        assert_eq!(sign_ins.token(&a, start), Some(token));
        assert_eq!(sign_ins.token(&token, start), None);
        assert_eq!(sign_ins.token(&a, start + SIGN_IN_LENGTH), None, "it is over");
        assert_eq!(sign_ins.token(&b, start + SIGN_IN_LENGTH), Some(token));
        sign_ins.close(&b);
        assert_eq!(sign_ins.token(&b, start), None);
        sign_ins.open(a, token, start);
        (0..MAX_SIGN_INS).for_each(|n| sign_ins.open(hash(&n.to_string()), token, start));
        assert_eq!((sign_ins.0.len(), sign_ins.token(&a, start)), (MAX_SIGN_INS, None));
    }
}
