//! JSON in which no object has a key twice: two values of one key are two meanings, and readers differ in which they take.

use std::cell::RefCell;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

/// Why a text could not be read.
#[derive(Debug)]
pub(super) enum JsonError {
    /// It is not JSON. The error ends in the line and the column.
    NotJson(serde_json::Error),
    /// An object has a key twice.
    Duplicate {
        /// The key.
        key: String,
        /// Where it is for the second time.
        line: usize,
        /// Where in that line.
        column: usize,
    },
}

/// Reads a text.
pub(super) fn read(text: &[u8]) -> Result<Value, JsonError> {
    let duplicate = RefCell::new(None);
    let mut deserializer = serde_json::Deserializer::from_slice(text);
    let read = OneOfEachKey(&duplicate).deserialize(&mut deserializer);
    let value = read.and_then(|value| deserializer.end().map(|()| value));
    value.map_err(|error| match duplicate.take() {
        Some(key) => JsonError::Duplicate { key, line: error.line(), column: error.column() },
        None => JsonError::NotJson(error),
    })
}

/// Notes the key that is there twice.
#[derive(Clone, Copy)]
struct OneOfEachKey<'a>(&'a RefCell<Option<String>>);

impl<'de> DeserializeSeed<'de> for OneOfEachKey<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for OneOfEachKey<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON value")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Number::from_f64(value).map_or(Value::Null, Value::Number))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::String(value))
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element_seed(self)? {
            list.push(item);
        }
        Ok(Value::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut object = Map::new();
        while let Some(key) = entries.next_key::<String>()? {
            if object.contains_key(&key) {
                *self.0.borrow_mut() = Some(key);
                return Err(A::Error::custom("a key is given twice"));
            }
            object.insert(key, entries.next_value_seed(self)?);
        }
        Ok(Value::Object(object))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_key_that_is_there_twice_is_named_at_every_depth() {
        for (text, key, line) in [
            (r#"{"a": 1, "a": 1}"#, "a", 1),
            ("{\"a\": {\"b\": 1,\n\"b\": 2}}", "b", 2),
            (r#"{"a": [[], [{"c": null, "d": [], "c": null}]]}"#, "c", 1),
            // The same key in other letters.
            (r#"{"a": 1, "\u0061": 2}"#, "a", 1),
            (r#"{"": 1, "": 2}"#, "", 1),
        ] {
            match read(text.as_bytes()) {
                Err(JsonError::Duplicate { key: found, line: at, .. }) => assert_eq!((found.as_str(), at), (key, line)),
                other => panic!("{text}: {other:?}"),
            }
        }
        assert!(read(br#"[{"a": 1}, {"a": 2}]"#).is_ok());
    }

    #[test]
    fn what_is_not_json_is_refused_with_its_place() {
        for text in ["", "{", "[1,]", "{} {}", "nul", "\u{feff}{}", "01", "1e999", &"[".repeat(100_000)] {
            assert!(matches!(read(text.as_bytes()), Err(JsonError::NotJson(e)) if e.line() == 1), "{text:.20}");
        }
    }

    proptest! {
        #[test]
        fn everything_else_is_read_as_always(text in r#"[\[\]{},:"a-c0-9.eE+\- \\untrflse]{0,40}"#) {
            let usual = serde_json::from_str::<Value>(&text);
            match read(text.as_bytes()) {
                Ok(value) => prop_assert_eq!(usual.ok(), Some(value)),
                Err(JsonError::NotJson(error)) => prop_assert_eq!(usual.map_err(|e| e.to_string()), Err(error.to_string())),
                Err(JsonError::Duplicate { .. }) => {}
            }
        }
    }
}
