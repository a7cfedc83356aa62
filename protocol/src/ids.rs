//! Names of nodes and tests, each a type of its own so that one cannot be taken for the other.

use std::fmt;

/// The longest name that is accepted, in bytes.
pub(crate) const MAX_ID_BYTES: usize = 200;

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
        #[serde(transparent)]
        pub struct $name(String);

        impl $name {
            /// The name, if it is one: 1 to 200 bytes without control characters, not blank at its ends.
            pub fn new(name: impl Into<String>) -> Option<Self> {
                let name = name.into();
                let fits = !name.is_empty()
                    && name.len() <= MAX_ID_BYTES
                    && name.trim().len() == name.len()
                    && !name.chars().any(char::is_control);
                fits.then_some(Self(name))
            }

            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl std::borrow::Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }
    };
}

id! {
    /// The name of a driver node, unique among the nodes that meet on the same topics.
    NodeId
}
id! {
    /// The name of a test.
    TestId
}
id! {
    /// One life of a driver process: a driver that starts again under its old name has a new session.
    SessionId
}
