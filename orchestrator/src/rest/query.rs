//! Query parameters, with the same care for the client's errors as the bodies get.

use std::ops::RangeInclusive;

use axum::http::Uri;
use onrush_protocol::human::closest;
use onrush_protocol::options::people::{shown, whole_number};
use serde_json::Value;

use super::problem::{Failure, FieldError, FieldErrors};

/// The parameters of one request. Read each, then [`finish`](Query::finish).
pub(super) struct Query {
    given: Vec<(String, String)>,
    errors: FieldErrors,
}

impl Query {
    /// The parameters of which only `known` ones make sense here, each once.
    pub(super) fn of(uri: &Uri, known: &[&str]) -> Self {
        let mut query = Self { given: Vec::new(), errors: FieldErrors::default() };
        for (name, value) in url::form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes()) {
            if !known.contains(&name.as_ref()) {
                query.errors.push(|| {
                    let hint = match closest(&name, known.iter().copied()) {
                        Some(near) => format!("did you mean {near}?"),
                        None if known.is_empty() => "there are none here".to_owned(),
                        None => format!("there are {}", known.join(", ")),
                    };
                    FieldError::new(&*name, format!("is an unknown parameter; {hint}"))
                });
            } else if query.given.iter().any(|(other, _)| *other == name) {
                query.errors.push(|| FieldError::new(name, "is given twice; give it once"));
            } else {
                query.given.push((name.into_owned(), value.into_owned()));
            }
        }
        query
    }

    /// A text.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.given.iter().find(|(given, _)| given == name).map(|(_, value)| value.as_str())
    }

    /// A whole number of that range.
    pub(super) fn whole_number(&mut self, name: &str, range: RangeInclusive<u64>) -> Option<u64> {
        let value = Value::from(self.text(name)?);
        let read = whole_number(&value).ok().filter(|n| range.contains(n));
        if read.is_none() {
            let (low, high) = (range.start(), range.end());
            self.wrong(name, format!("is {}; give a whole number from {low} to {high}", shown(&value)));
        }
        read
    }

    /// Notes that a parameter is wrong.
    pub(super) fn wrong(&mut self, name: &str, problem: String) {
        self.errors.push(|| FieldError::new(name, problem));
    }

    /// Everything that was wrong, if anything.
    pub(super) fn finish(self) -> Result<(), Failure> {
        if self.errors.is_empty() { Ok(()) } else { Err(Failure::fields(self.errors)) }
    }
}
