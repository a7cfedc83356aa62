//! Reads the body of `POST /v1/tests`. Pure; every field that is wrong is reported at once, under the name that
//! the client gave it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use onrush_protocol::options::people;
use onrush_protocol::{OPTIONS, TestConfig, TestId, TestOption, TestType};
use serde_json::{Map, Value};

use super::fields::{MAX_LABEL_CHARS, NAME, OwnField, TEST_TYPE, TRIGGER, field_meant, field_named, names};
use super::problem::{FieldError, FieldErrors};
use crate::NewTest;

/// What says how many requests are due.
const RATES: &[&str] = &["target_throughput", "total_throughput", "profile"];

/// The test that the fields describe, or all that is wrong with them; at most so many drivers will take part.
pub(super) fn parse(fields: &Map<String, Value>, test_id: TestId, max_drivers: usize) -> Result<NewTest, FieldErrors> {
    let mut reader = FieldReader::of(fields);
    let test_type = reader.read(&TEST_TYPE, |value| TestType::from_name(value.as_str()?));
    if test_type.is_none() && !reader.is_wrong(TEST_TYPE.name) {
        reader.wrong(TEST_TYPE.name, "is missing; give AVALANCHE or TSUNAMI");
    }
    // Without a readable type, the checks of what belongs to one are left for the next try.
    let mut config = TestConfig::new(test_id, test_type.unwrap_or(TestType::Avalanche));
    OPTIONS.iter().for_each(|option| reader.set(option, &mut config));
    let name = reader.read(&NAME, |value| {
        let name = value.as_str()?.trim();
        let is_right = name.chars().count() <= MAX_LABEL_CHARS && !name.chars().any(char::is_control);
        is_right.then(|| name.to_owned())
    });
    let trigger = reader.read(&TRIGGER, |value| people::flag(value).ok()).unwrap_or(false);
    if reader.given.contains_key("body") && reader.given.contains_key("body_base64") {
        reader.wrong("body_base64", "cannot be combined with body; give one of them");
    }
    reader.check_delay(test_type, config.delay);
    reader.check_config(&config, max_drivers);
    let FieldReader { errors, .. } = reader;
    if !errors.is_empty() {
        return Err(errors);
    }
    Ok(NewTest { config, name: name.filter(|name| !name.is_empty()), trigger })
}

/// The fields that were given, and what is wrong with them so far.
struct FieldReader<'a> {
    /// By the field's name: how the client spelled it, and the value.
    given: BTreeMap<&'static str, (&'a str, &'a Value)>,
    errors: FieldErrors,
    /// The known fields that are wrong.
    wrong: BTreeSet<&'static str>,
}

impl<'a> FieldReader<'a> {
    fn of(fields: &'a Map<String, Value>) -> Self {
        let mut reader = Self { given: BTreeMap::new(), errors: FieldErrors::default(), wrong: BTreeSet::new() };
        let mut named_all = false;
        for (key, value) in fields {
            let Some(name) = field_named(key) else {
                reader.errors.push(|| FieldError::new(key, unknown(key, &mut named_all)));
                continue;
            };
            // Whoever writes null there means something, and it is not to start a test or not to.
            if value.is_null() && name != TRIGGER.name {
                continue;
            }
            match reader.given.get(name) {
                None => _ = reader.given.insert(name, (key, value)),
                Some((other, _)) => {
                    let problem = format!("is the same as {other}, which is given too; give one of them");
                    reader.errors.push(|| FieldError::new(key, problem));
                    reader.wrong.insert(name);
                }
            }
        }
        reader
    }

    fn is_wrong(&self, name: &str) -> bool {
        self.wrong.contains(name)
    }

    /// Notes that a field is wrong, under the client's name for it.
    fn wrong(&mut self, name: &'static str, problem: impl Into<String>) {
        let spelled = self.given.get(name).map_or(name, |(spelled, _)| spelled);
        self.errors.push(|| FieldError::new(spelled, problem));
        self.wrong.insert(name);
    }

    /// A field's value, where it is given and right.
    fn read<T>(&mut self, field: &OwnField, read: impl Fn(&'a Value) -> Option<T>) -> Option<T> {
        let (_, value) = self.given.get(field.name)?;
        let read = read(value);
        if read.is_none() {
            self.wrong(field.name, field.in_words(value));
        }
        read
    }

    /// Writes an option that is given into the test.
    fn set(&mut self, option: &'static TestOption, config: &mut TestConfig) {
        if let Some((_, value)) = self.given.get(option.name)
            && let Err(wrong) = option.set(config, value)
        {
            self.wrong(option.name, option.in_words(wrong, value));
        }
    }

    fn check_delay(&mut self, test_type: Option<TestType>, delay: Duration) {
        const FIELD: &str = "test_message_delay";
        match test_type {
            Some(TestType::Avalanche) if !delay.is_zero() => self.wrong(
                FIELD,
                format!(
                    "is {delay:?}, but an AVALANCHE sends as soon as a connection is free; leave it out, or limit the rate \
                     by target_throughput"
                ),
            ),
            Some(TestType::Tsunami) if ![FIELD].iter().chain(RATES).any(|name| self.given.contains_key(name)) => {
                let problem = "is missing; a TSUNAMI needs the time between two requests, such as \"10ms\", a \
                               target_throughput, a total_throughput or a profile";
                self.wrong(FIELD, problem);
            }
            _ => {}
        }
    }

    /// The rules that hold for whoever writes a test. What is wrong already is not reported again, nor is what
    /// only seems missing because its alternative could not be read.
    fn check_config(&mut self, config: &TestConfig, max_drivers: usize) {
        let mut problems = config.problems();
        // Measured last: what is too long by itself says more.
        if problems.is_empty() && self.errors.is_empty() {
            problems.extend(config.message_problem(max_drivers));
        }
        for problem in problems {
            let name = match problem.field {
                "body" if self.given.contains_key("body_base64") => "body_base64",
                name => name,
            };
            let alternatives: &[&str] = match name {
                "message_count_per_driver" => &["duration", "profile"],
                "test_message_delay" | "arrivals" => RATES,
                _ => &[],
            };
            if !self.is_wrong(name) && !alternatives.iter().any(|alternative| self.is_wrong(alternative)) {
                self.wrong(name, problem.problem);
            }
        }
    }
}

/// The known names are listed once in an answer.
fn unknown(key: &str, named_all: &mut bool) -> String {
    if key == "test_id" {
        return "is given by the orchestrator; leave it out (name labels a test)".to_owned();
    }
    match field_meant(key) {
        Some(meant) => format!("is an unknown field; did you mean {meant}?"),
        None if std::mem::replace(named_all, true) => "is an unknown field".to_owned(),
        None => {
            format!("is an unknown field; there are {}", names().collect::<Vec<_>>().join(", "))
        }
    }
}

#[cfg(test)]
#[path = "creation_tests.rs"]
mod tests;
