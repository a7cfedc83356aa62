//! Generous reading of one JSON object.

use std::collections::HashMap;
use std::fmt;

use simd_json::OwnedValue;
use simd_json::prelude::*;

use crate::ids::{NodeId, SessionId, TestId};

/// The largest message that is read. A report with three full histograms takes some 50 KiB.
pub const MAX_MESSAGE_BYTES: usize = 1024 * 1024;
/// The deepest nesting that is read: deeper text would cost the reader's stack.
const MAX_DEPTH: usize = 32;

/// Why a message could not be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}{problem}", FieldPrefix(.field))]
pub struct ReadError {
    /// The kind, for counting and for logging each kind once.
    pub kind: ErrorKind,
    /// The field at fault, where it was one.
    pub field: Option<&'static str>,
    /// What is wrong with it, in words.
    pub problem: String,
    /// The test that the message speaks of, where that could be read: who sent it may want to know.
    pub test_id: Option<TestId>,
}

/// The kinds of [`ReadError`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ErrorKind {
    /// Longer than [`MAX_MESSAGE_BYTES`].
    TooLarge,
    /// Not JSON, or not an object.
    NotJson,
    /// Its additional fields are of a later version.
    UnknownSchema,
    /// A field that is needed is missing.
    MissingField,
    /// A field has a value that makes no sense.
    BadField,
}

struct FieldPrefix<'a>(&'a Option<&'static str>);

impl fmt::Display for FieldPrefix<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.map_or(Ok(()), |field| write!(f, "{field}: "))
    }
}

impl ReadError {
    pub(crate) fn new(kind: ErrorKind, field: Option<&'static str>, problem: impl Into<String>) -> Self {
        Self { kind, field, problem: problem.into(), test_id: None }
    }

    pub(crate) fn bad(field: &'static str, problem: impl Into<String>) -> Self {
        Self::new(ErrorKind::BadField, Some(field), problem)
    }

    pub(crate) fn missing(field: &'static str) -> Self {
        Self::new(ErrorKind::MissingField, Some(field), "is missing")
    }

    pub(crate) fn about(mut self, test_id: &TestId) -> Self {
        self.test_id = Some(test_id.clone());
        self
    }
}

/// The fields of a JSON object, found by name whatever the case and the underscores of the key.
pub(crate) struct Fields(HashMap<String, OwnedValue>);

/// A key without what does not matter in one: case, underscores and dashes.
pub(crate) fn normalised(key: &str) -> String {
    key.chars().filter(|c| !matches!(c, '_' | '-')).flat_map(char::to_lowercase).collect()
}

impl Fields {
    /// Reads the text of a message; one of a later schema is refused.
    pub fn read(payload: &[u8]) -> Result<Self, ReadError> {
        if payload.len() > MAX_MESSAGE_BYTES {
            let problem = format!("the message has {} bytes; at most {MAX_MESSAGE_BYTES} are read", payload.len());
            return Err(ReadError::new(ErrorKind::TooLarge, None, problem));
        }
        Self::read_own(payload)
    }

    /// Reads a text of this node's own, however long it is.
    pub fn read_own(payload: &[u8]) -> Result<Self, ReadError> {
        let not_json = |problem: String| ReadError::new(ErrorKind::NotJson, None, problem);
        if depth(payload) > MAX_DEPTH {
            return Err(not_json(format!("the JSON is nested deeper than {MAX_DEPTH}")));
        }
        // simd-json reads in place.
        let mut bytes = payload.to_vec();
        let value = simd_json::to_owned_value(&mut bytes).map_err(|e| not_json(format!("not JSON: {e}")))?;
        let fields = Self::from_value(value).ok_or_else(|| not_json("not a JSON object".into()))?;
        match fields.u64("schema")? {
            Some(schema) if schema > crate::SCHEMA => Err(ReadError::new(
                ErrorKind::UnknownSchema,
                Some("schema"),
                format!("is {schema}; this version reads up to {}: update this node", crate::SCHEMA),
            )),
            _ => Ok(fields),
        }
    }

    fn from_value(value: OwnedValue) -> Option<Self> {
        let OwnedValue::Object(object) = value else { return None };
        Some(Self(object.into_iter().map(|(key, value)| (normalised(&key), value)).collect()))
    }

    /// The value; null counts as missing.
    fn get(&self, field: &'static str) -> Option<&OwnedValue> {
        self.0.get(&normalised(field)).filter(|value| !value.is_null())
    }

    /// The value as it is; null counts as missing.
    pub fn raw(&self, field: &'static str) -> Option<&OwnedValue> {
        self.get(field)
    }

    /// A finite number, or the text of one.
    pub fn f64(&self, field: &'static str) -> Result<Option<f64>, ReadError> {
        let Some(value) = self.get(field) else { return Ok(None) };
        number(value).map_err(|problem| ReadError::bad(field, problem))
    }

    /// A finite number that is not negative.
    pub fn non_negative(&self, field: &'static str) -> Result<Option<f64>, ReadError> {
        match self.f64(field)? {
            Some(number) if number < 0.0 => Err(ReadError::bad(field, format!("{number:?} is negative"))),
            other => Ok(other),
        }
    }

    /// A whole number that is not negative, or the text of one.
    pub fn u64(&self, field: &'static str) -> Result<Option<u64>, ReadError> {
        let Some(value) = self.get(field) else { return Ok(None) };
        whole(value).map_err(|problem| ReadError::bad(field, problem))
    }

    /// A whole number from 0 to `most`.
    pub fn at_most(&self, field: &'static str, most: u64) -> Result<Option<u64>, ReadError> {
        let number = self.u64(field)?;
        number.map(|n| bounded(n, most)).transpose().map_err(|problem| ReadError::bad(field, problem))
    }

    /// A text; a number or a truth value is taken as its text.
    pub fn text(&self, field: &'static str) -> Result<Option<String>, ReadError> {
        match self.get(field) {
            None => Ok(None),
            Some(OwnedValue::String(text)) => Ok(Some(text.to_string())),
            Some(OwnedValue::Static(simple)) => Ok(Some(simple.to_string())),
            Some(_) => Err(ReadError::bad(field, "must be a text")),
        }
    }

    /// true or false, also as YES and NO, 1 and 0.
    pub fn flag(&self, field: &'static str) -> Result<Option<bool>, ReadError> {
        let Some(text) = self.text(field)? else { return Ok(None) };
        match text.trim().to_ascii_lowercase().as_str() {
            "yes" | "true" | "y" | "1" => Ok(Some(true)),
            "no" | "false" | "n" | "0" => Ok(Some(false)),
            other => Err(ReadError::bad(field, format!("{} is neither YES nor NO", quoted(other)))),
        }
    }

    /// A nested object.
    pub fn object(&self, field: &'static str) -> Result<Option<Fields>, ReadError> {
        let Some(value) = self.get(field) else { return Ok(None) };
        Self::from_value(value.clone()).map(Some).ok_or_else(|| ReadError::bad(field, "must be an object"))
    }

    /// A nested list.
    pub fn list(&self, field: &'static str) -> Result<Option<&[OwnedValue]>, ReadError> {
        match self.get(field) {
            None => Ok(None),
            Some(OwnedValue::Array(items)) => Ok(Some(items)),
            Some(_) => Err(ReadError::bad(field, "must be a list")),
        }
    }

    /// A nested list of objects.
    pub fn objects(&self, field: &'static str) -> Result<Option<Vec<Fields>>, ReadError> {
        let Some(items) = self.list(field)? else { return Ok(None) };
        let objects = items
            .iter()
            .map(|item| Self::from_value(item.clone()).ok_or_else(|| ReadError::bad(field, "must hold objects")));
        objects.collect::<Result<_, _>>().map(Some)
    }

    /// A nested object of counts from 0 to `most`, keys as they are.
    pub fn counts(&self, field: &'static str, most: u64) -> Result<Vec<(String, u64)>, ReadError> {
        let Some(value) = self.get(field) else { return Ok(Vec::new()) };
        let OwnedValue::Object(object) = value else { return Err(ReadError::bad(field, "must be an object")) };
        let mut counts = Vec::with_capacity(object.len());
        for (key, value) in object.iter() {
            let count = whole(value).and_then(|n| bounded(n.unwrap_or(0), most));
            counts.push((key.to_string(), count.map_err(|problem| ReadError::bad(field, problem))?));
        }
        Ok(counts)
    }

    pub fn node_id(&self) -> Result<NodeId, ReadError> {
        self.id("node_id", NodeId::new)?.ok_or_else(|| ReadError::missing("node_id"))
    }

    pub fn test_id(&self) -> Result<TestId, ReadError> {
        self.optional_test_id("test_id")?.ok_or_else(|| ReadError::missing("test_id"))
    }

    pub fn optional_test_id(&self, field: &'static str) -> Result<Option<TestId>, ReadError> {
        self.id(field, TestId::new)
    }

    pub fn session_id(&self) -> Result<Option<SessionId>, ReadError> {
        self.id("session_id", SessionId::new)
    }

    fn id<T>(&self, field: &'static str, new: impl Fn(String) -> Option<T>) -> Result<Option<T>, ReadError> {
        let Some(text) = self.text(field)? else { return Ok(None) };
        let id = new(text).ok_or_else(|| {
            ReadError::bad(
                field,
                format!("must have 1 to {} bytes and no control characters", crate::ids::MAX_ID_BYTES),
            )
        })?;
        Ok(Some(id))
    }
}

fn number(value: &OwnedValue) -> Result<Option<f64>, String> {
    let number = if let OwnedValue::String(text) = value {
        let text = text.trim();
        if text.is_empty() {
            return Ok(None);
        }
        text.parse::<f64>().map_err(|_| format!("{} is not a number", quoted(text)))?
    } else {
        value.cast_f64().ok_or("must be a number")?
    };
    if number.is_finite() { Ok(Some(number)) } else { Err(format!("{number} is not a finite number")) }
}

fn whole(value: &OwnedValue) -> Result<Option<u64>, String> {
    if let Some(exact) = value.as_u64() {
        return Ok(Some(exact));
    }
    if let OwnedValue::String(text) = value
        && let Ok(exact) = text.trim().parse::<u64>()
    {
        return Ok(Some(exact));
    }
    // 1e5 and "100000.0" are whole numbers too. Above 2^53 such a text no longer says which.
    match number(value)? {
        None => Ok(None),
        Some(n) if n < 0.0 => Err(format!("{n:?} is negative")),
        Some(n) if n.fract() != 0.0 => Err(format!("{n:?} is not a whole number")),
        Some(n) if n > (1u64 << 53) as f64 => Err(format!("{n:?} is too large")),
        Some(n) => Ok(Some(n as u64)),
    }
}

fn bounded(n: u64, most: u64) -> Result<u64, String> {
    if n > most { Err(format!("{n} is beyond any test; at most {most} makes sense")) } else { Ok(n) }
}

/// At most 40 characters of a text from outside, for an error message.
pub(crate) fn quoted(text: &str) -> String {
    let mut short: String = text.chars().take(40).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    format!("{short:?}")
}

/// How deep brackets nest outside of strings.
fn depth(payload: &[u8]) -> usize {
    let (mut depth, mut deepest, mut in_string, mut escaped) = (0usize, 0, false, false);
    for byte in payload {
        match (in_string, byte) {
            (true, _) if escaped => escaped = false,
            (true, b'\\') => escaped = true,
            (_, b'"') => in_string = !in_string,
            (false, b'[' | b'{') => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            (false, b']' | b'}') => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}
