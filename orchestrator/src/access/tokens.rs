//! The list of tokens: read from a file, kept as hashes, compared in constant time.

use std::fs::File;
use std::hint::black_box;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use onrush_api::{Token, TokenRole};
use sha2::{Digest, Sha256};

/// More tokens than this are refused.
const MAX_TOKENS: usize = 1000;
/// Enough for so many lines and comments.
const MAX_FILE_BYTES: u64 = 1024 * 1024;
/// A name has at most so many characters.
const MAX_NAME_CHARS: usize = 64;

/// The SHA-256 of a secret.
pub(super) type SecretHash = [u8; 32];

/// Whose token it is, and what it may do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// The name in the file.
    pub name: Arc<str>,
    /// The role in the file.
    pub role: TokenRole,
}

/// Why a file of tokens cannot be used. It repeats nothing of the file but numbers: a word of it may be a token.
#[derive(Debug, thiserror::Error)]
#[error("cannot use the token file {path}: {problem}")]
pub struct TokenFileError {
    path: PathBuf,
    problem: String,
}

/// The tokens that are known.
#[derive(Debug, Default)]
pub(super) struct TokenList(Vec<(SecretHash, Caller)>);

impl TokenList {
    /// Reads a file.
    pub(super) fn of_file(path: &Path) -> Result<Self, TokenFileError> {
        let error = |problem: String| TokenFileError { path: path.to_owned(), problem };
        let mut text = String::new();
        let file = File::open(path).map_err(|e| error(e.to_string()))?;
        file.take(MAX_FILE_BYTES + 1).read_to_string(&mut text).map_err(|e| error(e.to_string()))?;
        if text.len() as u64 > MAX_FILE_BYTES {
            return Err(error(format!("it has more than {MAX_FILE_BYTES} bytes")));
        }
        Self::read(&text).map_err(error)
    }

    /// Reads lines of a role, a name and a token or its SHA-256; `#` begins a comment.
    fn read(text: &str) -> Result<Self, String> {
        let mut list = Self::default();
        for (index, line) in text.lines().enumerate() {
            let mut words = line.split('#').next().unwrap_or_default().split_whitespace();
            let Some(role) = words.next() else { continue };
            let at_line = |problem: &str| format!("line {}: {problem}", index + 1);
            let role: TokenRole =
                role.parse().map_err(|_| at_line("does not begin with a role: view, control or scrape"))?;
            let (Some(name), Some(secret), None) = (words.next(), words.next(), words.next()) else {
                return Err(at_line("is not three words: a role, a name, and a token or its SHA-256"));
            };
            check_name(name).map_err(|problem| at_line(&problem))?;
            let hash = read_hash(secret).map_or_else(|| Token::read(secret).map(|token| hash_of(&token)), Ok);
            let hash = hash.map_err(|problem| at_line(&problem))?;
            if list.0.iter().any(|(other, _)| *other == hash) {
                return Err(at_line("has the token of an earlier line; each line needs a token of its own"));
            }
            if list.0.len() == MAX_TOKENS {
                return Err(at_line(&format!("is one token too many; {MAX_TOKENS} are allowed")));
            }
            list.0.push((hash, Caller { name: name.into(), role }));
        }
        if list.0.is_empty() {
            return Err("it has no token; `onrush token new` makes one, and the line for the file".into());
        }
        Ok(list)
    }

    /// Whose token has this hash. How long it takes tells nothing of how alike two hashes are.
    pub(super) fn owner(&self, hash: &SecretHash) -> Option<&Caller> {
        self.0.iter().fold(None, |found, (known, caller)| if same(known, hash) { Some(caller) } else { found })
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}

/// The line of a token file for a new token: with its hash, so that the file holds no secret.
pub fn token_line(role: TokenRole, name: &str, token: &Token) -> Result<String, String> {
    check_name(name)?;
    let hash: String = hash_of(token).iter().map(|byte| format!("{byte:02x}")).collect();
    Ok(format!("{role} {name} {hash}"))
}

/// A new token: 256 random bits.
pub fn new_token() -> std::io::Result<Token> {
    let secret = format!("onrush_{}", super::random_hex()?);
    Token::read(&secret).map_err(std::io::Error::other)
}

pub(super) fn hash_of(token: &Token) -> SecretHash {
    hash(token.reveal())
}

pub(super) fn hash(secret: &str) -> SecretHash {
    Sha256::digest(secret.as_bytes()).into()
}

fn same(a: &SecretHash, b: &SecretHash) -> bool {
    // Every byte is looked at, wherever the first difference is.
    black_box(a.iter().zip(b).fold(0, |difference, (a, b)| difference | (a ^ b))) == 0
}

fn check_name(name: &str) -> Result<(), String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.@".contains(c);
    if name.is_empty() || name.len() > MAX_NAME_CHARS || !name.chars().all(plain) {
        return Err(format!("the name is not 1 to {MAX_NAME_CHARS} letters, digits and -_.@"));
    }
    Ok(())
}

fn read_hash(text: &str) -> Option<SecretHash> {
    let digits = text.as_bytes();
    let mut hash = SecretHash::default();
    if digits.len() != 2 * hash.len() {
        return None;
    }
    for (byte, pair) in hash.iter_mut().zip(digits.chunks_exact(2)) {
        let [high, low] = [pair[0], pair[1]].map(|digit| char::from(digit).to_digit(16));
        *byte = (high? * 16 + low?) as u8;
    }
    Some(hash)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOKEN: &str = "onrush_a-token-of-some-length";

    #[test]
    fn a_list_has_tokens_and_hashes_and_comments() {
        let token = new_token().expect("random bytes");
        let other = Token::read(TOKEN).expect("a token");
        let line = token_line(TokenRole::Control, "ci", &token).expect("a line");
        assert!(!line.contains(token.reveal()), "the file holds no secret");
        let text = format!("# people\n\n view  anna\t{TOKEN} # on the wall\r\n{}\n", line.to_uppercase());
        let list = TokenList::read(&text.replace("CONTROL CI", "control ci")).expect("a list");
        let owner = |token: &Token| list.owner(&hash_of(token)).map(|caller| (caller.name.to_string(), caller.role));
        assert_eq!((list.len(), owner(&token)), (2, Some(("ci".into(), TokenRole::Control))));
        assert_eq!(owner(&other), Some(("anna".into(), TokenRole::View)));
        assert_eq!(owner(&new_token().expect("random bytes")), None);
        // A hash that somebody read in the file is no token.
        let hash = line.split(' ').next_back().expect("a hash");
        assert_eq!(owner(&Token::read(hash).expect("a word")), None);
    }

    #[test]
    fn sha_256_is_that_of_everybody_else() {
        // `printf abc | sha256sum`
        let known = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(Some(hash("abc")), read_hash(known));
    }

    #[test]
    fn a_bad_line_is_named_by_its_number_and_never_repeated() {
        for (text, expected) in [
            ("", "has no token"),
            ("# nothing\n", "has no token"),
            (TOKEN, "line 1: does not begin with a role"),
            (&format!("\nadmin ci {TOKEN}"), "line 2: does not begin with a role"),
            (&format!("view {TOKEN}"), "line 1: is not three words"),
            (&format!("view ci {TOKEN} more"), "line 1: is not three words"),
            ("view ci hunter2", "line 1: a token has 20 to 512 characters"),
            (&format!("view c/i {TOKEN}"), "line 1: the name"),
            (&format!("view {} {TOKEN}", "x".repeat(65)), "line 1: the name"),
            (&format!("view a {TOKEN}\ncontrol b {TOKEN}"), "line 2: has the token of an earlier line"),
        ] {
            let error = TokenList::read(text).expect_err("it is wrong");
            assert!(error.contains(expected), "{text}: {error}");
            assert!(!error.contains(TOKEN) && !error.contains("hunter2"), "{error}");
        }
        let many: String = (0..1001).map(|n| format!("view a {n:064x}\n")).collect();
        assert!(TokenList::read(&many).is_err_and(|error| error.starts_with("line 1001: ")));
    }
}
