//! What a test sends: its one request, or each of several.

use std::str::FromStr;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde::{Serialize, Serializer};
use simd_json::OwnedValue;
use simd_json::prelude::*;

use crate::Expect;
use crate::fields::{Fields, ReadError, normalised};

/// One of several requests of a test.
#[derive(Clone, Debug, PartialEq)]
pub struct RequestConfig {
    /// Where it goes; `None`: where the test says.
    pub url: Option<String>,
    /// Its method.
    pub method: String,
    /// Its headers, in order.
    pub headers: Vec<(String, String)>,
    /// Its body.
    pub body: Option<Vec<u8>>,
    /// How often it is sent compared with the others.
    pub weight: u32,
    /// What its answer must be like, beside what the test asks of every answer.
    pub expect: Vec<Expect>,
    /// The name that its figures stand under; `None`: method and path.
    pub name: Option<String>,
}

impl Default for RequestConfig {
    fn default() -> Self {
        let (method, headers, expect) = ("GET".into(), Vec::new(), Vec::new());
        Self { url: None, method, headers, body: None, weight: 1, expect, name: None }
    }
}

/// The order in which several requests are sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RequestOrder {
    /// One after another as they stand, weights spread evenly.
    #[default]
    InTurn,
    /// Shuffled, the same way for the same seed.
    Shuffled,
}

impl RequestOrder {
    /// The name on the wire.
    pub const fn name(self) -> &'static str {
        match self {
            RequestOrder::InTurn => "in_turn",
            RequestOrder::Shuffled => "shuffled",
        }
    }

    /// The order of that name; `round_robin` is the same as `in_turn`.
    pub fn from_name(name: &str) -> Option<Self> {
        match name.trim().to_ascii_lowercase().replace('-', "_").as_str() {
            "in_turn" | "round_robin" => Some(RequestOrder::InTurn),
            "shuffled" | "random" => Some(RequestOrder::Shuffled),
            _ => None,
        }
    }
}

impl RequestConfig {
    /// The keys of a request.
    pub const FIELDS: [&'static str; 8] =
        ["url", "method", "headers", "body", "body_base64", "weight", "expect", "name"];

    /// The key that is meant by this one: case, underscores and dashes do not matter.
    pub fn field_named(key: &str) -> Option<&'static str> {
        let key = normalised(key);
        Self::FIELDS.into_iter().find(|field| normalised(field) == key)
    }

    /// Reads one line of a file of requests: a JSON object with [`FIELDS`](Self::FIELDS), those that are wanted; others
    /// are ignored here.
    pub fn read(line: &[u8]) -> Result<Self, ReadError> {
        Self::read_fields(&Fields::read(line)?)
    }

    pub(crate) fn read_fields(fields: &Fields) -> Result<Self, ReadError> {
        let defaults = Self::default();
        let weight = fields.at_most("weight", u64::from(u32::MAX))?;
        Ok(Self {
            url: fields.text("url")?.filter(|url| !url.trim().is_empty()),
            method: fields.text("method")?.unwrap_or(defaults.method),
            headers: headers(fields)?,
            body: body(fields)?,
            weight: weight.map_or(1, |weight| u32::try_from(weight).unwrap_or(u32::MAX)),
            expect: texts(fields, "expect")?,
            name: fields.text("name")?.map(|name| name.trim().to_owned()).filter(|name| !name.is_empty()),
        })
    }
}

impl Serialize for RequestConfig {
    /// As [`RequestConfig::read`] reads it.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        WireRequest::of(self).serialize(serializer)
    }
}

#[derive(Serialize)]
struct WireRequest<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    url: Option<&'a str>,
    method: &'a str,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    headers: &'a [(String, String)],
    #[serde(skip_serializing_if = "Option::is_none")]
    body: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    body_base64: Option<String>,
    weight: u32,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    expect: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
}

impl<'a> WireRequest<'a> {
    fn of(request: &'a RequestConfig) -> Self {
        let RequestConfig { url, method, headers, body, weight, expect, name } = request;
        let (text, coded) = json_body(body.as_deref());
        let expect = expect.iter().map(ToString::to_string).collect();
        let (url, name) = (url.as_deref(), name.as_deref());
        Self { url, method, headers, body: text, body_base64: coded, weight: *weight, expect, name }
    }
}

/// A body as text, or in base64 where it is no text or JSON's escapes would make the text longer than that.
pub(crate) fn json_body(body: Option<&[u8]>) -> (Option<&str>, Option<String>) {
    let Some(bytes) = body else { return (None, None) };
    let escapes = bytes.iter().filter(|byte| byte.is_ascii_control() || matches!(byte, b'"' | b'\\')).count();
    match std::str::from_utf8(bytes) {
        Ok(text) if escapes <= bytes.len() / 16 => (Some(text), None),
        _ => (None, Some(BASE64_STANDARD.encode(bytes))),
    }
}

/// `body` as text or `body_base64`.
pub(crate) fn body(fields: &Fields) -> Result<Option<Vec<u8>>, ReadError> {
    if let Some(OwnedValue::Object(_) | OwnedValue::Array(_)) = fields.raw("body") {
        return Err(ReadError::bad("body", r#"must be a string; JSON is written as one, like "{\"a\": 1}""#));
    }
    match (fields.text("body")?, fields.text("body_base64")?) {
        (None, None) => Ok(None),
        (Some(text), None) => Ok(Some(text.into_bytes())),
        (None, Some(coded)) => {
            let bytes = BASE64_STANDARD.decode(coded.trim());
            Ok(Some(bytes.map_err(|e| ReadError::bad("body_base64", format!("is not base64: {e}")))?))
        }
        (Some(_), Some(_)) => Err(ReadError::bad("body_base64", "cannot be combined with body; give one of them")),
    }
}

/// A string or a list of strings, each of which is one value.
pub(crate) fn texts<T: FromStr<Err = String>>(fields: &Fields, field: &'static str) -> Result<Vec<T>, ReadError> {
    let read = |text: &str| text.parse().map_err(|problem: String| ReadError::bad(field, problem));
    match fields.raw(field) {
        None => Ok(Vec::new()),
        Some(OwnedValue::String(text)) => Ok(vec![read(text)?]),
        Some(OwnedValue::Array(list)) => {
            let texts = list.iter().map(|item| item.as_str().ok_or(()));
            let texts: Result<Vec<&str>, ()> = texts.collect();
            texts.map_err(|()| ReadError::bad(field, "must hold strings"))?.into_iter().map(read).collect()
        }
        Some(_) => Err(ReadError::bad(field, "must be a list of strings")),
    }
}

/// `[["name", "value"], …]` or `{"name": "value", …}`.
pub(crate) fn headers(fields: &Fields) -> Result<Vec<(String, String)>, ReadError> {
    const FIELD: &str = "headers";
    let wrong = || ReadError::bad(FIELD, "must be a list of [name, value] or an object, names and values as strings");
    let pair = |name: Option<&str>, value: Option<&str>| match (name, value) {
        (Some(name), Some(value)) => Ok((name.to_owned(), value.to_owned())),
        _ => Err(wrong()),
    };
    if let Ok(Some(list)) = fields.list(FIELD) {
        let read = |item: &OwnedValue| match item.as_array().map(|pair| pair.as_slice()) {
            Some([name, value]) => pair(name.as_str(), value.as_str()),
            _ => Err(wrong()),
        };
        return list.iter().map(read).collect();
    }
    match fields.raw(FIELD) {
        None => Ok(Vec::new()),
        Some(OwnedValue::Object(object)) => object.iter().map(|(k, v)| pair(Some(k), v.as_str())).collect(),
        Some(_) => Err(wrong()),
    }
}
