//! Who may ask: tokens from a file, browsers that signed in by one, and whoever tries tokens. It refuses to know HTTP.
//!
//! Reading order: [`tokens`] (the list), [`sign_ins`], [`wrong_tokens`] (the limit), then what follows.

mod sign_ins;
mod tokens;
mod wrong_tokens;

use std::fs::File;
use std::io::{self, Read};
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::{Duration, Instant};

use onrush_api::Token;

pub use self::sign_ins::SIGN_IN_LENGTH;
use self::sign_ins::SignIns;
pub use self::tokens::{Caller, TokenFileError, new_token, token_line};
use self::tokens::{SecretHash, TokenList, hash, hash_of};
use self::wrong_tokens::WrongTokens;

/// What a request shows of who sends it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Credential {
    /// A token; `None`: what cannot be one.
    Token(Option<Token>),
    /// The cookie of a browser that signed in.
    Cookie(String),
}

/// Why nobody is known by a credential.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unknown {
    /// The token is in no line of the file.
    WrongToken,
    /// The browser is not signed in any more.
    SignedOut,
    /// Too many wrong tokens came from that address: it has to wait so long.
    TooManyWrong(Duration),
}

/// Who may ask. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Access(Option<Arc<Shared>>);

#[derive(Debug)]
struct Shared {
    file: PathBuf,
    tokens: RwLock<TokenList>,
    sign_ins: Mutex<SignIns>,
    wrong: Mutex<WrongTokens>,
}

impl Access {
    /// Whoever comes may do everything.
    pub fn open() -> Self {
        Self(None)
    }

    /// Whoever has a token of this file may do what its role allows.
    pub fn by_file(file: PathBuf) -> Result<Self, TokenFileError> {
        let tokens = RwLock::new(TokenList::of_file(&file)?);
        Ok(Self(Some(Arc::new(Shared { file, tokens, sign_ins: Mutex::default(), wrong: Mutex::default() }))))
    }

    /// Reads the file again; how many tokens it has. Where it is wrong, the list stays as it was.
    pub fn reload(&self) -> Result<usize, TokenFileError> {
        let Some(shared) = &self.0 else { return Ok(0) };
        let read = TokenList::of_file(&shared.file)?;
        let count = read.len();
        *shared.tokens.write().unwrap_or_else(PoisonError::into_inner) = read;
        Ok(count)
    }

    /// Whether nothing is shown without a token.
    pub fn needs_token(&self) -> bool {
        self.0.is_some()
    }

    /// Whose credential this is; `from`: where it came from.
    pub fn caller(&self, credential: &Credential, from: IpAddr, now: Instant) -> Result<Caller, Unknown> {
        let Some(shared) = &self.0 else { return Err(Unknown::SignedOut) };
        match credential {
            Credential::Token(token) => shared.caller(token.as_ref(), from, now).map(|(caller, _)| caller),
            Credential::Cookie(cookie) => {
                let token = lock(&shared.sign_ins).token(&hash(cookie), now).ok_or(Unknown::SignedOut)?;
                shared.owner(&token).ok_or(Unknown::SignedOut)
            }
        }
    }

    /// Signs a browser in by a token: whose it is, and the cookie.
    pub fn sign_in(&self, token: &Token, from: IpAddr, now: Instant) -> io::Result<Result<(Caller, String), Unknown>> {
        let Some(shared) = &self.0 else { return Ok(Err(Unknown::SignedOut)) };
        let (caller, token) = match shared.caller(Some(token), from, now) {
            Ok(known) => known,
            Err(unknown) => return Ok(Err(unknown)),
        };
        let cookie = random_hex()?;
        lock(&shared.sign_ins).open(hash(&cookie), token, now);
        Ok(Ok((caller, cookie)))
    }

    /// Signs the browser with this cookie out.
    pub fn sign_out(&self, cookie: &str) {
        if let Some(shared) = &self.0 {
            lock(&shared.sign_ins).close(&hash(cookie));
        }
    }
}

impl Shared {
    fn caller(&self, token: Option<&Token>, from: IpAddr, now: Instant) -> Result<(Caller, SecretHash), Unknown> {
        if let Some(wait) = lock(&self.wrong).wait(from, now) {
            return Err(Unknown::TooManyWrong(wait));
        }
        // What cannot be a token can be no guess either.
        let hash = hash_of(token.ok_or(Unknown::WrongToken)?);
        self.owner(&hash).map(|caller| (caller, hash)).ok_or_else(|| {
            lock(&self.wrong).note(from, hash, now);
            Unknown::WrongToken
        })
    }

    fn owner(&self, hash: &SecretHash) -> Option<Caller> {
        self.tokens.read().unwrap_or_else(PoisonError::into_inner).owner(hash).cloned()
    }
}

/// Nothing is left half done under these locks.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// 256 random bits of the system.
fn random_hex() -> io::Result<String> {
    let mut bytes = [0; 32];
    File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

#[cfg(test)]
mod tests;
