//! Reads the body of `POST /v1/tests`. Pure; every field that is wrong is reported at once, under the name that
//! the client gave it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;
use std::time::Duration;

use axum::http::Method;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use onrush_protocol::{ConnectTo, Expect, RequestConfig, RequestOrder, TestConfig, TestId, TestType, limits};
use serde_json::{Map, Value};

use super::fields::{FIELDS, MAX_NAME_CHARS, closest, field_meant, field_named};
use super::problem::{FieldError, FieldErrors};
use super::values::{duration, flag, rate, short, shown, whole_number};
use crate::NewTest;

/// The test that the fields describe, or all that is wrong with them; at most so many drivers will take part.
pub(super) fn parse(fields: &Map<String, Value>, test_id: TestId, max_drivers: usize) -> Result<NewTest, FieldErrors> {
    let mut reader = Reader::of(fields);
    let test_type = reader.read("test_type", |value| TestType::from_name(value.as_str()?));
    if test_type.is_none() && !reader.is_wrong("test_type") {
        reader.wrong("test_type", "is missing; give AVALANCHE or TSUNAMI");
    }
    let target_url = reader.text("target_url");
    let method = reader.text("method");
    let headers = reader.read_detailed("headers", headers).unwrap_or_default();
    let body = reader.body();
    let expect = reader.read_detailed("expect", expectations).unwrap_or_default();
    let targets = reader.read_detailed("targets", targets).unwrap_or_default();
    let order = reader.read("order", |value| RequestOrder::from_name(value.as_str()?)).unwrap_or_default();
    let seed = reader.read("seed", whole_number).unwrap_or(0);
    let tls_insecure = reader.read("tls_insecure", flag).unwrap_or(false);
    let tls_ca_pem = reader.text("tls_ca_pem");
    let tls_cert_pem = reader.text("tls_cert_pem");
    let tls_key_pem = reader.text("tls_key_pem");
    let count_per_driver = reader
        .read("message_count_per_driver", |value| whole_number(value).filter(|n| (1..=limits::MAX_COUNT).contains(n)));
    let duration_limit = reader.read("duration", duration);
    let delay = reader.read("test_message_delay", duration);
    let target_throughput_per_s = reader.read_detailed("target_throughput", rate);
    let connections = reader.read("connections", |value| {
        whole_number(value).and_then(|n| u32::try_from(n).ok()).filter(|n| (1..=limits::MAX_CONNECTIONS).contains(n))
    });
    let timeout = reader.read("timeout", duration);
    let connect_timeout = reader.read("connect_timeout", duration);
    let keepalive = reader.read("keepalive", flag);
    let resend = reader.read("resend", flag).unwrap_or(true);
    let connect_to = reader.read_detailed("connect_to", connect_to).unwrap_or_default();
    let unix_socket = reader.text("unix_socket");
    let name = reader.read("name", |value| {
        let name = value.as_str()?.trim();
        (name.chars().count() <= MAX_NAME_CHARS && !name.chars().any(char::is_control)).then(|| name.to_owned())
    });
    let trigger = reader.read("trigger", flag).unwrap_or(false);

    // Without a readable type, the checks of what belongs to one are left for the next try.
    let mut config = TestConfig::new(test_id, test_type.unwrap_or(TestType::Avalanche));
    config.delay = delay.unwrap_or_default();
    config.count_per_driver = count_per_driver;
    config.duration = duration_limit;
    config.target_url = target_url;
    config.method = method.map_or(config.method, usual_method);
    config.headers = headers;
    config.body = body;
    config.expect = expect;
    config.requests = targets;
    config.order = order;
    config.seed = seed;
    config.tls_insecure = tls_insecure;
    config.tls_ca_pem = tls_ca_pem;
    config.tls_cert_pem = tls_cert_pem;
    config.tls_key_pem = tls_key_pem;
    config.target_throughput_per_s = target_throughput_per_s;
    config.connections = connections;
    config.timeout = timeout.unwrap_or(config.timeout);
    config.connect_timeout = connect_timeout.unwrap_or(config.connect_timeout);
    config.keepalive = keepalive.unwrap_or(config.keepalive);
    config.resend = resend;
    config.connect_to = connect_to;
    config.unix_socket = unix_socket;

    reader.check_delay(test_type, config.delay);
    reader.check_config(&config, max_drivers);
    let Reader { errors, .. } = reader;
    if !errors.is_empty() {
        return Err(errors);
    }
    Ok(NewTest { config, name: name.filter(|name| !name.is_empty()), trigger })
}

/// The fields that were given, and what is wrong with them so far.
struct Reader<'a> {
    /// By the field's name: how the client spelled it, and the value.
    given: BTreeMap<&'static str, (&'a str, &'a Value)>,
    errors: FieldErrors,
    /// The known fields that are wrong.
    wrong: BTreeSet<&'static str>,
}

impl<'a> Reader<'a> {
    fn of(fields: &'a Map<String, Value>) -> Self {
        let mut reader = Self { given: BTreeMap::new(), errors: FieldErrors::default(), wrong: BTreeSet::new() };
        let mut named_all = false;
        for (key, value) in fields {
            let Some(field) = field_named(key) else {
                reader.errors.push(|| FieldError::new(key, unknown(key, &mut named_all)));
                continue;
            };
            // Whoever writes null there means something, and it is not to start a test or not to.
            if value.is_null() && field.name != "trigger" {
                continue;
            }
            match reader.given.get(field.name) {
                None => _ = reader.given.insert(field.name, (key, value)),
                Some((other, _)) => {
                    let problem = format!("is the same as {other}, which is given too; give one of them");
                    reader.errors.push(|| FieldError::new(key, problem));
                    reader.wrong.insert(field.name);
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

    /// A field's value, where it is given and right; where it is wrong, the table says what would be right.
    fn read<T>(&mut self, name: &'static str, read: impl Fn(&'a Value) -> Option<T>) -> Option<T> {
        self.read_detailed(name, |value| {
            let right = FIELDS.iter().find(|field| field.name == name).map_or("another value", |field| field.right);
            read(value).ok_or_else(|| format!("is {}; give {right}", shown(value)))
        })
    }

    fn read_detailed<T>(&mut self, name: &'static str, read: impl Fn(&'a Value) -> Result<T, String>) -> Option<T> {
        let (_, value) = self.given.get(name)?;
        read(value).map_err(|problem| self.wrong(name, problem)).ok()
    }

    fn text(&mut self, name: &'static str) -> Option<String> {
        self.read(name, |value| value.as_str().map(|text| text.trim().to_owned()))
    }

    fn body(&mut self) -> Option<Vec<u8>> {
        let text = self.read("body", |value| value.as_str().map(|text| text.as_bytes().to_owned()));
        let coded = self.read("body_base64", |value| BASE64_STANDARD.decode(value.as_str()?.trim()).ok());
        if self.given.contains_key("body") && self.given.contains_key("body_base64") {
            self.wrong("body_base64", "stands beside body; give one of them");
        }
        coded.or(text)
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
            Some(TestType::Tsunami)
                if !self.given.contains_key(FIELD) && !self.given.contains_key("target_throughput") =>
            {
                let problem = "is missing; a TSUNAMI needs the time between two requests, such as \"10ms\", or a \
                               target_throughput";
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
            let alternative = match name {
                "message_count_per_driver" => "duration",
                "test_message_delay" => "target_throughput",
                _ => name,
            };
            if !self.is_wrong(name) && !self.is_wrong(alternative) {
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
            let names: Vec<_> = FIELDS.iter().map(|field| field.name).collect();
            format!("is an unknown field; there are {}", names.join(", "))
        }
    }
}

/// Methods are case-sensitive; nobody who writes `get` means another one than GET.
fn usual_method(method: String) -> String {
    let usual = [
        Method::GET,
        Method::POST,
        Method::PUT,
        Method::DELETE,
        Method::HEAD,
        Method::OPTIONS,
        Method::PATCH,
        Method::TRACE,
        Method::CONNECT,
    ];
    let found = usual.iter().find(|usual| usual.as_str().eq_ignore_ascii_case(&method));
    found.map_or(method, Method::to_string)
}

/// `{"name": "value"}`, `["Name: value"]` or `[["name", "value"]]`.
fn headers(value: &Value) -> Result<Vec<(String, String)>, String> {
    match value {
        Value::Object(object) => object.iter().map(|(name, value)| header(name, value)).collect(),
        Value::Array(list) => list.iter().enumerate().map(|(i, item)| header_in_list(i + 1, item)).collect(),
        other => {
            Err(format!("is {}; give an object of names and values, or a list of \"Name: value\" texts", shown(other)))
        }
    }
}

fn expectations(value: &Value) -> Result<Vec<Expect>, String> {
    texts(value, "\"status=200\"", str::parse::<Expect>)
}

fn connect_to(value: &Value) -> Result<Vec<ConnectTo>, String> {
    texts(value, "\"shop.example:443:127.0.0.1:8443\"", str::parse::<ConnectTo>)
}

/// A text or a list of them, each read by `read`.
fn texts<T, E: Display>(value: &Value, example: &str, read: impl Fn(&str) -> Result<T, E>) -> Result<Vec<T>, String> {
    let read = |item: &Value| match item {
        Value::String(text) => read(text).map_err(|problem| format!("has {problem}")),
        other => Err(format!("has {}; give texts such as {example}", shown(other))),
    };
    match value {
        Value::Array(list) => list.iter().map(read).collect(),
        other => Ok(vec![read(other)?]),
    }
}

/// Objects, by the rules that the drivers read them by; here a field that nobody knows is an error.
fn targets(value: &Value) -> Result<Vec<RequestConfig>, String> {
    let known = || RequestConfig::FIELDS.join(", ");
    let Value::Array(list) = value else {
        return Err(format!("is {}; give a list of objects with {}", shown(value), known()));
    };
    if list.is_empty() {
        return Err("is an empty list; give at least one request, or leave it out".into());
    }
    let read = |(index, item): (usize, &Value)| {
        let place = index + 1;
        let Value::Object(object) = item else {
            return Err(format!("has {} in place {place}; give an object with {}", shown(item), known()));
        };
        if let Some(key) = object.keys().find(|key| RequestConfig::field_named(key).is_none()) {
            let right = match closest(key, RequestConfig::FIELDS.into_iter()) {
                Some(meant) => format!("did you mean {meant}?"),
                None => format!("there are {}", known()),
            };
            return Err(format!("in place {place}: {} is an unknown field; {right}", short(key, MAX_NAME_CHARS)));
        }
        if let Some((key, right)) = object.iter().find_map(|(key, value)| Some((key, wrong_in_target(key, value)?))) {
            return Err(format!("in place {place}: {key} is {}; give {right}", shown(&object[key])));
        }
        let request = RequestConfig::read(item.to_string().as_bytes());
        request.map_err(|error| format!("in place {place}: {error}"))
    };
    list.iter().enumerate().map(read).collect()
}

/// Drivers read messages more generously than people mean them. What would be right, where this is not.
fn wrong_in_target(key: &str, value: &Value) -> Option<&'static str> {
    let is_text = |value: &Value| value.is_string();
    let (fits, right) = match RequestConfig::field_named(key)? {
        "url" => (value.as_str().is_some_and(|url| !url.trim().is_empty()), "a URL, or leave it out"),
        "method" | "body" => (is_text(value), "a text"),
        "body_base64" => (is_text(value), "the body's bytes in base64"),
        "weight" => (whole_number(value).is_some(), "a whole number of at least 1"),
        _ => return None,
    };
    (!fits && !value.is_null()).then_some(right)
}

/// Blanks around a header's value are none of it; anything else that is not to be seen is an error.
fn without_blanks(text: &str) -> String {
    text.trim_matches([' ', '\t']).to_owned()
}

fn header(name: &str, value: &Value) -> Result<(String, String), String> {
    let text = match value {
        Value::String(text) => without_blanks(text),
        Value::Number(number) => number.to_string(),
        other => return Err(format!("has {} as the value of {}; give a text", shown(other), shown(&name.into()))),
    };
    Ok((without_blanks(name), text))
}

fn header_in_list(position: usize, item: &Value) -> Result<(String, String), String> {
    let wrong = || {
        let item = shown(item);
        Err(format!("has {item} in place {position}; give \"Name: value\" or [\"name\", \"value\"]"))
    };
    match item {
        Value::String(line) => match line.split_once(':') {
            Some((name, value)) => Ok((without_blanks(name), without_blanks(value))),
            None => wrong(),
        },
        Value::Array(pair) => match pair.as_slice() {
            [Value::String(name), value] => header(name, value),
            _ => wrong(),
        },
        _ => wrong(),
    }
}

#[cfg(test)]
#[path = "new_test_tests.rs"]
mod tests;
