//! Who asked for what happens.

use std::sync::Arc;

/// Whoever asked for a change: the name of a token, or nobody who has one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Actor(Option<Arc<str>>);

impl Actor {
    /// Somebody without a name, or the orchestrator itself.
    pub const NOBODY: Self = Self(None);

    /// The owner of the token of that name.
    pub fn named(name: Arc<str>) -> Self {
        Self(Some(name))
    }

    /// `", started by ci"`, to end the words of an event; nothing where nobody has a name.
    pub fn note(&self, done: &str) -> String {
        self.0.as_ref().map_or_else(String::new, |name| format!(", {done} by {name}"))
    }
}
