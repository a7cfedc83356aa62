//! Lists: headers, checks, rules of where connections go, several requests.

use std::fmt::Display;
use std::str::FromStr;

use serde_json::{Value, json};

use super::{Control, Kind, MessageWriter};
use crate::RequestConfig;
use crate::fields::{Fields, ReadError};
use crate::options::people::{self, Wrong};
use crate::options::schema;
use crate::requests;
use crate::validate::headers_problem;

/// Headers, in order.
pub(crate) struct Headers;

impl Kind for Headers {
    type Value = Vec<(String, String)>;

    fn read(&self, fields: &Fields, _wire: &'static str) -> Result<Option<Self::Value>, ReadError> {
        requests::headers(fields).map(Some)
    }

    fn write(&self, wire: &'static str, value: &Self::Value, message: &mut MessageWriter) {
        message.push(wire, value);
    }

    fn parse(&self, given: &Value) -> Result<Self::Value, Wrong> {
        people::headers(given)
    }

    fn problem(&self, value: &Self::Value) -> Option<String> {
        headers_problem(value)
    }

    fn shown(&self, value: &Self::Value) -> Value {
        json!(value)
    }

    fn schema(&self) -> Value {
        schema::headers()
    }

    fn shown_schema(&self) -> Value {
        let text = json!({"type": "string"});
        json!({"type": "array", "items": {"type": "array", "prefixItems": [text, text], "items": false}})
    }

    fn control(&self) -> Control {
        Control::Lines
    }
}

/// Values that are written as texts.
pub(crate) struct Texts<T> {
    /// One that is right.
    pub example: &'static str,
    pub problem: fn(&[T]) -> Option<String>,
    pub schema: fn() -> Value,
}

impl<T: FromStr<Err = String> + Display> Kind for Texts<T> {
    type Value = Vec<T>;

    fn read(&self, fields: &Fields, wire: &'static str) -> Result<Option<Vec<T>>, ReadError> {
        requests::texts(fields, wire).map(Some)
    }

    fn write(&self, wire: &'static str, value: &Vec<T>, message: &mut MessageWriter) {
        if !value.is_empty() {
            message.push(wire, &texts(value));
        }
    }

    fn parse(&self, given: &Value) -> Result<Vec<T>, Wrong> {
        people::texts(given, self.example)
    }

    fn problem(&self, value: &Vec<T>) -> Option<String> {
        (self.problem)(value)
    }

    fn shown(&self, value: &Vec<T>) -> Value {
        json!(texts(value))
    }

    fn schema(&self) -> Value {
        (self.schema)()
    }

    fn shown_schema(&self) -> Value {
        json!({"type": "array", "items": {"type": "string"}})
    }

    fn control(&self) -> Control {
        Control::Lines
    }
}

fn texts(values: &[impl ToString]) -> Vec<String> {
    values.iter().map(ToString::to_string).collect()
}

/// Several requests.
pub(crate) struct Targets;

impl Kind for Targets {
    type Value = Vec<RequestConfig>;

    fn read(&self, fields: &Fields, wire: &'static str) -> Result<Option<Self::Value>, ReadError> {
        let objects = fields.objects(wire)?.unwrap_or_default();
        let read = |(index, request): (usize, &Fields)| {
            RequestConfig::read_fields(request).map_err(|error| {
                let field = error.field.map_or(String::new(), |field| format!("{field}: "));
                ReadError::bad(wire, format!("in place {}: {field}{}", index + 1, error.problem))
            })
        };
        objects.iter().enumerate().map(read).collect::<Result<_, _>>().map(Some)
    }

    fn write(&self, wire: &'static str, value: &Self::Value, message: &mut MessageWriter) {
        if !value.is_empty() {
            message.push(wire, value);
        }
    }

    fn parse(&self, given: &Value) -> Result<Self::Value, Wrong> {
        people::targets(given)
    }

    fn shown(&self, value: &Self::Value) -> Value {
        let request = |request: &RequestConfig| {
            let RequestConfig { url, method, headers, body, weight, expect, name } = request;
            let body_bytes = body.as_ref().map_or(0, Vec::len);
            let expect = texts(expect);
            let mut shown = json!({"url": url, "method": method, "headers": headers, "body_bytes": body_bytes,
                "weight": weight, "expect": expect});
            if let Some(name) = name {
                shown["name"] = json!(name);
            }
            shown
        };
        value.iter().map(request).collect()
    }

    fn schema(&self) -> Value {
        schema::targets()
    }

    fn shown_schema(&self) -> Value {
        let text = json!({"type": "string"});
        json!({"type": "array", "items": {"type": "object", "properties": {
            "url": {"type": ["string", "null"]}, "method": text, "headers": Headers.shown_schema(),
            "body_bytes": {"type": "integer"}, "weight": {"type": "integer"}, "expect": {"type": "array", "items": text},
            "name": text,
        }}})
    }

    fn control(&self) -> Control {
        Control::Objects
    }
}
