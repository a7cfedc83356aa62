//! Who may ask for what: roles, tokens, and what a browser learns of its sign-in.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A token has at least so many characters: a short one can be guessed.
pub const MIN_TOKEN_CHARS: usize = 20;
/// And at most so many.
pub const MAX_TOKEN_CHARS: usize = 512;

/// What the owner of a token may do: whatever those before it may, and more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum TokenRole {
    /// Read `/metrics`.
    Scrape,
    /// See everything, and change nothing.
    View,
    /// Do everything.
    Control,
}

impl TokenRole {
    /// All of them, from the one that may do least.
    pub const ALL: [Self; 3] = [Self::Scrape, Self::View, Self::Control];

    /// As it is written.
    pub fn name(self) -> &'static str {
        match self {
            Self::Scrape => "scrape",
            Self::View => "view",
            Self::Control => "control",
        }
    }
}

impl fmt::Display for TokenRole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for TokenRole {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|role| role.name() == text).ok_or("a role is view, control or scrape")
    }
}

/// A token in the clear. It prints as dots.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(String);

impl Token {
    /// Reads a token, without the blanks around it; the error repeats nothing of it.
    pub fn read(text: &str) -> Result<Self, String> {
        let text = text.trim();
        if !text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~+/=".contains(&byte)) {
            return Err("a token is one word of letters, digits and -._~+/=".into());
        }
        if !(MIN_TOKEN_CHARS..=MAX_TOKEN_CHARS).contains(&text.len()) {
            let has = text.len();
            return Err(format!("a token has {MIN_TOKEN_CHARS} to {MAX_TOKEN_CHARS} characters, and this has {has}"));
        }
        Ok(Self(text.to_owned()))
    }

    /// The secret itself.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(...)")
    }
}

/// Whether a token is needed, and by whose the browser that asks is signed in.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SignInView {
    /// Whether nothing is shown without a token.
    pub needs_token: bool,
    /// Whose token it is; `null`: not signed in.
    pub name: Option<String>,
    /// What it may do; `null`: not signed in.
    pub role: Option<TokenRole>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roles_are_ordered_by_what_they_may_do() {
        assert!(TokenRole::Scrape < TokenRole::View && TokenRole::View < TokenRole::Control);
        for role in TokenRole::ALL {
            assert_eq!(role.name().parse(), Ok(role));
            assert_eq!(serde_json::to_value(role).ok(), Some(role.name().into()));
        }
        assert!("admin".parse::<TokenRole>().is_err());
    }

    #[test]
    fn a_token_is_one_long_word_and_is_never_printed() {
        let token = Token::read(" onrush_0123456789abcdef\n").expect("a token");
        assert_eq!(token.reveal(), "onrush_0123456789abcdef");
        assert_eq!(format!("{token:?}"), "Token(...)");
        for wrong in ["", "short", "with a blank in the middle", "ünïcödé-characters-abc", &"x".repeat(600)] {
            let error = Token::read(wrong).expect_err("it is no token");
            assert!(wrong.is_empty() || !error.contains(wrong), "{error}");
        }
    }
}
