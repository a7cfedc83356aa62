//! The kinds of values that options have. Each knows how a message is read and written, how people write the value, what is
//! wrong with it by itself, and how a result shows it.

mod lists;
mod numbers;
mod texts;

use serde::Serialize;
use serde_json::{Value, json};

pub(crate) use self::lists::{Headers, Targets, Texts};
pub(crate) use self::numbers::{Amount, Count, Maybe, Number, Rate, Time, YesAfter, YesNo};
pub(crate) use self::texts::{Body, Choice, Coded, Method, Pem, Phases, Text};
use super::people::Wrong;
use crate::fields::{Fields, ReadError};

/// A kind of value.
pub(crate) trait Kind {
    /// The value, as a test holds it.
    type Value;
    /// Reads it from a message, generously; `None`: it is missing.
    fn read(&self, fields: &Fields, wire: &'static str) -> Result<Option<Self::Value>, ReadError>;
    /// Writes it into a message, exactly.
    fn write(&self, wire: &'static str, value: &Self::Value, message: &mut MessageWriter);
    /// Reads it as people write it.
    fn parse(&self, given: &Value) -> Result<Self::Value, Wrong>;
    /// What is wrong with it by itself, and what would be right.
    fn problem(&self, _value: &Self::Value) -> Option<String> {
        None
    }
    /// As a result shows it.
    fn shown(&self, value: &Self::Value) -> Value;
    /// What people may write, as JSON Schema.
    fn schema(&self) -> Value;
    /// What a result shows, as JSON Schema.
    fn shown_schema(&self) -> Value;
    /// How a form asks for it.
    fn control(&self) -> Control {
        Control::Line
    }
}

/// How a form asks for a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Control {
    /// A line of text.
    Line,
    /// Several lines of one text.
    Text,
    /// A list, one item a line.
    Lines,
    /// A list of JSON objects, one a line.
    Objects,
    /// The bytes of a file, in base64.
    File,
    /// Yes or no.
    Flag,
    /// One of these.
    Choice {
        /// What may be chosen; the first is the default.
        choices: &'static [&'static str],
    },
}

/// A message that is being written: the fields of a JSON object, in the order in which they come.
pub(crate) struct MessageWriter(Vec<u8>);

impl MessageWriter {
    pub fn begin() -> Self {
        Self(vec![b'{'])
    }

    /// Adds a field. Names are words: nothing in them needs escaping.
    pub fn push(&mut self, name: &'static str, value: &(impl Serialize + ?Sized)) {
        let comma = if self.0.len() > 1 { "," } else { "" };
        self.0.extend_from_slice(format!("{comma}\"{name}\":").as_bytes());
        self.0.extend(crate::histogram::to_json(&value));
    }

    pub fn end(mut self) -> Vec<u8> {
        self.0.push(b'}');
        self.0
    }
}

/// The schema of a JSON type, by its name.
fn plain(json_type: &str) -> Value {
    json!({"type": json_type})
}

/// The schema of a JSON type or null.
fn nullable(json_type: &str) -> Value {
    json!({"type": [json_type, "null"]})
}
