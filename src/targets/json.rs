//! One request as a JSON object on one line, read strictly: no unknown key, no key twice, errors in words.

use std::collections::HashSet;
use std::fmt;

use onrush_protocol::RequestConfig;
use onrush_protocol::human::closest;
use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::error::Category;

/// What people do who keep JSON in files for other programs.
pub(super) const SINGLE_LINE: &str = "each request is one JSON object on a single line";

/// The request, or what is wrong and at which column.
pub(super) fn read(line: &str) -> Result<RequestConfig, (Option<usize>, String)> {
    let mut names = Vec::new();
    let mut reader = serde_json::Deserializer::from_str(line);
    let read = Names { outermost: Some(&mut names) }.deserialize(&mut reader).and_then(|()| reader.end());
    read.map_err(|error| in_words(&error, line))?;
    if let Some(unknown) = names.iter().find(|name| RequestConfig::field_named(name).is_none()) {
        return Err((None, unknown_key(unknown)));
    }
    RequestConfig::read(line.trim().as_bytes()).map_err(|error| (None, error.to_string()))
}

fn unknown_key(key: &str) -> String {
    let key_shown = key.escape_debug().take(40).collect::<String>();
    match closest(key, RequestConfig::FIELDS.into_iter()) {
        Some(meant) => format!("{key_shown} is an unknown key; did you mean {meant}?"),
        None => format!("{key_shown} is an unknown key; there are {}", RequestConfig::FIELDS.join(", ")),
    }
}

/// serde_json's errors name what a programmer expects there.
fn in_words(error: &serde_json::Error, line: &str) -> (Option<usize>, String) {
    let place = format!(" at line {} column {}", error.line(), error.column());
    let text = error.to_string();
    let words = text.strip_suffix(&place).unwrap_or(&text);
    // Columns are bytes there, and characters to people.
    let mut at = error.column().saturating_sub(1).min(line.len());
    while !line.is_char_boundary(at) {
        at -= 1;
    }
    let found = line[at..].chars().next().map(|c| format!(", not {:?}", c.to_string())).unwrap_or_default();
    let problem = match (error.classify(), words) {
        (Category::Eof, _) => format!("the object is not complete; {SINGLE_LINE}"),
        (_, "key must be a string") => format!("a name in double quotes must stand here{found}"),
        (_, "expected value" | "expected ident" | "invalid number") => {
            format!("a value must stand here (a string in double quotes, a number, true, false, a list){found}")
        }
        (_, "expected `:`") => format!("a colon must stand here{found}"),
        (_, "expected `,` or `}`" | "expected `,` or `]`") => format!("a comma or the end must stand here{found}"),
        (_, "trailing comma") => "the last comma is too much".into(),
        (_, "trailing characters") => "something follows the object; each request stands on a line of its own".into(),
        (_, control) if control.starts_with("control character") => {
            "a control character stands in a string; write \\t for a tab, \\n for a line end".into()
        }
        (_, "invalid escape") => "an unknown escape; write \\\\ for a backslash".into(),
        (_, "recursion limit exceeded") => "the JSON is nested too deeply".into(),
        (_, words) => words.to_owned(),
    };
    (Some(line[..at].chars().count() + 1), problem)
}

/// Goes through any JSON value, refuses a key that one object has twice, and keeps the keys of the outermost object.
struct Names<'a> {
    outermost: Option<&'a mut Vec<String>>,
}

impl<'de> DeserializeSeed<'de> for Names<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Names<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let mut seen = HashSet::new();
        let mut names = Vec::new();
        while let Some(key) = map.next_key::<String>()? {
            let outermost = self.outermost.is_some();
            let meant = RequestConfig::field_named(&key).filter(|_| outermost).map_or(key.clone(), str::to_owned);
            if !seen.insert(meant) {
                return Err(A::Error::custom(format!("the key {key:?} is given twice")));
            }
            if outermost {
                names.push(key);
            }
            map.next_value_seed(Names { outermost: None })?;
        }
        if let Some(outermost) = self.outermost {
            *outermost = names;
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        while list.next_element_seed(Names { outermost: None })?.is_some() {}
        Ok(())
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }
}
