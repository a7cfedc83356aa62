//! Single texts: URLs, paths, methods, bodies, certificates.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};

use super::{Control, Kind, MessageWriter, nullable, plain};
use crate::fields::{Fields, ReadError, quoted};
use crate::options::people::{self, Wrong};
use crate::options::schema;
use crate::requests::{self, json_body};
use crate::validate::method_problem;
use crate::{Profile, limits};

/// A text on one line that may be missing; an empty one on the wire stands for that, too.
pub(crate) struct Text {
    pub problem: fn(&str) -> Option<String>,
    pub shown: fn(&str) -> String,
    pub schema: fn() -> Value,
}

impl Kind for Text {
    type Value = Option<String>;

    fn read(&self, fields: &Fields, wire: &'static str) -> Result<Option<Option<String>>, ReadError> {
        Ok(fields.text(wire)?.map(|text| Some(text).filter(|text| !text.trim().is_empty())))
    }

    fn write(&self, wire: &'static str, value: &Option<String>, message: &mut MessageWriter) {
        if let Some(text) = value {
            message.push(wire, text);
        }
    }

    fn parse(&self, given: &Value) -> Result<Option<String>, Wrong> {
        people::text(given).map(Some)
    }

    fn problem(&self, value: &Option<String>) -> Option<String> {
        (self.problem)(value.as_deref()?)
    }

    fn shown(&self, value: &Option<String>) -> Value {
        json!(value.as_deref().map(self.shown))
    }

    fn schema(&self) -> Value {
        (self.schema)()
    }

    fn shown_schema(&self) -> Value {
        nullable("string")
    }
}

/// A method.
pub(crate) struct Method;

impl Kind for Method {
    type Value = String;

    fn read(&self, fields: &Fields, wire: &'static str) -> Result<Option<String>, ReadError> {
        fields.text(wire)
    }

    fn write(&self, wire: &'static str, value: &String, message: &mut MessageWriter) {
        message.push(wire, value);
    }

    fn parse(&self, given: &Value) -> Result<String, Wrong> {
        people::text(given).map(people::usual_method)
    }

    fn problem(&self, value: &String) -> Option<String> {
        method_problem(value)
    }

    fn shown(&self, value: &String) -> Value {
        value.clone().into()
    }

    fn schema(&self) -> Value {
        schema::method()
    }

    fn shown_schema(&self) -> Value {
        plain("string")
    }
}

/// A body: text, or bytes in base64 under a name of its own.
pub(crate) struct Body;

impl Kind for Body {
    type Value = Option<Vec<u8>>;

    fn read(&self, fields: &Fields, _wire: &'static str) -> Result<Option<Self::Value>, ReadError> {
        requests::body(fields).map(Some)
    }

    fn write(&self, wire: &'static str, value: &Self::Value, message: &mut MessageWriter) {
        let (text, coded) = json_body(value.as_deref());
        text.iter().for_each(|text| message.push(wire, text));
        coded.iter().for_each(|coded| message.push("body_base64", coded));
    }

    fn parse(&self, given: &Value) -> Result<Self::Value, Wrong> {
        given.as_str().map(|text| Some(text.as_bytes().to_owned())).ok_or(Wrong::Kind)
    }

    fn problem(&self, value: &Self::Value) -> Option<String> {
        let len = value.as_ref().map_or(0, Vec::len);
        (len > limits::MAX_BODY_BYTES).then(|| format!("has {len} bytes; at most {} fit", limits::MAX_BODY_BYTES))
    }

    /// The text; null where it is none.
    fn shown(&self, value: &Self::Value) -> Value {
        json!(value.as_deref().and_then(|bytes| std::str::from_utf8(bytes).ok()))
    }

    fn schema(&self) -> Value {
        schema::text(limits::MAX_BODY_BYTES)
    }

    fn shown_schema(&self) -> Value {
        nullable("string")
    }

    fn control(&self) -> Control {
        Control::Text
    }
}

/// The same body as people give it in base64. Messages write it as [`Body`]; a result shows how many bytes it has.
pub(crate) struct Coded;

impl Kind for Coded {
    type Value = Option<Vec<u8>>;

    fn read(&self, _fields: &Fields, _wire: &'static str) -> Result<Option<Self::Value>, ReadError> {
        Ok(None)
    }

    fn write(&self, _wire: &'static str, _value: &Self::Value, _message: &mut MessageWriter) {}

    fn parse(&self, given: &Value) -> Result<Self::Value, Wrong> {
        let bytes = given.as_str().and_then(|text| BASE64_STANDARD.decode(text.trim()).ok());
        bytes.map(Some).ok_or(Wrong::Kind)
    }

    fn shown(&self, value: &Self::Value) -> Value {
        value.as_ref().map_or(0, Vec::len).into()
    }

    fn schema(&self) -> Value {
        schema::base64()
    }

    fn shown_schema(&self) -> Value {
        plain("integer")
    }

    fn control(&self) -> Control {
        Control::File
    }
}

/// One of some words.
pub(crate) struct Choice<T: 'static> {
    /// The words; the first is the default.
    pub choices: &'static [&'static str],
    pub name: fn(T) -> &'static str,
    pub from_name: fn(&str) -> Option<T>,
}

impl<T: Copy> Kind for Choice<T> {
    type Value = T;

    fn read(&self, fields: &Fields, wire: &'static str) -> Result<Option<T>, ReadError> {
        let Some(name) = fields.text(wire)? else { return Ok(None) };
        let wrong = || ReadError::bad(wire, format!("{} is none of {}", quoted(&name), self.choices.join(", ")));
        (self.from_name)(&name).map(Some).ok_or_else(wrong)
    }

    fn write(&self, wire: &'static str, value: &T, message: &mut MessageWriter) {
        message.push(wire, (self.name)(*value));
    }

    fn parse(&self, given: &Value) -> Result<T, Wrong> {
        given.as_str().and_then(self.from_name).ok_or(Wrong::Kind)
    }

    fn shown(&self, value: &T) -> Value {
        (self.name)(*value).into()
    }

    fn schema(&self) -> Value {
        schema::choice(self.choices)
    }

    fn shown_schema(&self) -> Value {
        nullable("string")
    }

    fn control(&self) -> Control {
        Control::Choice { choices: self.choices }
    }
}

/// Load that changes over time.
pub(crate) struct Phases;

impl Kind for Phases {
    type Value = Profile;

    fn read(&self, fields: &Fields, wire: &'static str) -> Result<Option<Profile>, ReadError> {
        let read = |text: String| text.parse().map_err(|problem: String| ReadError::bad(wire, problem));
        fields.text(wire)?.map(read).transpose()
    }

    fn write(&self, wire: &'static str, value: &Profile, message: &mut MessageWriter) {
        message.push(wire, &value.to_string());
    }

    fn parse(&self, given: &Value) -> Result<Profile, Wrong> {
        Profile::parse(given)
    }

    fn problem(&self, value: &Profile) -> Option<String> {
        value.problem()
    }

    fn shown(&self, value: &Profile) -> Value {
        value.shown()
    }

    fn schema(&self) -> Value {
        schema::profile()
    }

    fn shown_schema(&self) -> Value {
        plain("object")
    }
}

/// Certificates or a key, in PEM. A result says whether there are any.
pub(crate) struct Pem {
    pub max_bytes: usize,
}

impl Kind for Pem {
    type Value = Option<String>;

    fn read(&self, fields: &Fields, wire: &'static str) -> Result<Option<Option<String>>, ReadError> {
        fields.text(wire).map(Some)
    }

    fn write(&self, wire: &'static str, value: &Option<String>, message: &mut MessageWriter) {
        if let Some(pem) = value {
            message.push(wire, pem);
        }
    }

    fn parse(&self, given: &Value) -> Result<Option<String>, Wrong> {
        people::text(given).map(Some)
    }

    fn problem(&self, value: &Option<String>) -> Option<String> {
        let (pem, max) = (value.as_ref()?, self.max_bytes);
        if pem.len() > max {
            return Some(format!("has {} bytes; at most {max} fit", pem.len()));
        }
        (!pem.contains("-----BEGIN ")).then(|| "is not PEM; give a text that begins with -----BEGIN".into())
    }

    fn shown(&self, value: &Option<String>) -> Value {
        value.is_some().into()
    }

    fn schema(&self) -> Value {
        schema::pem()
    }

    fn shown_schema(&self) -> Value {
        plain("boolean")
    }

    fn control(&self) -> Control {
        Control::Text
    }
}
