//! Single JSON values as people write them: `10`, `"10k"`, `"250us"`, `"yes"`, `["Name: value"]`. What a text means is
//! [`crate::human`]'s to say, so that a suffix has one meaning everywhere. Pure.

use std::str::FromStr;
use std::time::Duration;

use serde_json::Value;

use crate::RequestConfig;
use crate::human::{self, closest};

/// How much of a value an error repeats.
const MAX_SHOWN_CHARS: usize = 60;
/// How much of a field's name an error repeats.
pub const MAX_NAME_CHARS: usize = 200;

/// Why a value is not right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wrong {
    /// It is nothing of the kind: what its option says of the right values is all there is to say.
    Kind,
    /// It is nearly right; in words, what to write instead.
    Write(String),
    /// In words, what is wrong with it and what would be right.
    Because(String),
}

impl From<String> for Wrong {
    fn from(problem: String) -> Self {
        Wrong::Because(problem)
    }
}

/// A value as an error shows it: as JSON, cut short.
pub fn shown(value: &Value) -> String {
    let json = match value {
        Value::Array(_) => "a list".to_owned(),
        Value::Object(_) => "an object".to_owned(),
        other => other.to_string(),
    };
    short(&json, MAX_SHOWN_CHARS)
}

/// A text from outside, cut where it is longer than so many characters.
pub fn short(text: &str, max_chars: usize) -> String {
    match text.char_indices().nth(max_chars) {
        None => text.to_owned(),
        Some((end, _)) => format!("{}… ({} bytes)", &text[..end], text.len()),
    }
}

/// A text, without the blanks around it.
pub(crate) fn text(value: &Value) -> Result<String, Wrong> {
    value.as_str().map(|text| text.trim().to_owned()).ok_or(Wrong::Kind)
}

/// Requests per second: a number, or a text like `"10k"` or `"60/m"`.
pub(crate) fn rate(value: &Value) -> Result<f64, Wrong> {
    match value {
        Value::Number(number) => number.as_f64().ok_or(Wrong::Kind),
        Value::String(text) => human::rate(text).map_err(Wrong::Write),
        _ => Err(Wrong::Kind),
    }
}

/// A whole number from 0 on, to the digit.
pub fn whole_number(value: &Value) -> Result<u64, Wrong> {
    match value {
        // Above this, a floating-point number no longer knows its last digit.
        Value::Number(number) => {
            const LAST_EXACT: f64 = (1_u64 << f64::MANTISSA_DIGITS) as f64;
            let whole = |x: &f64| x.fract() == 0.0 && (0.0..=LAST_EXACT).contains(x);
            number.as_u64().or_else(|| number.as_f64().filter(whole).map(|x| x as u64)).ok_or(Wrong::Kind)
        }
        Value::String(text) => human::count(text).map_err(|right| nearly(right, human::RIGHT_COUNT)),
        _ => Err(Wrong::Kind),
    }
}

/// Yes or no.
pub fn flag(value: &Value) -> Result<bool, Wrong> {
    match value {
        Value::Bool(flag) => Ok(*flag),
        Value::String(text) => match text.trim().to_ascii_lowercase().as_str() {
            "yes" | "true" => Ok(true),
            "no" | "false" => Ok(false),
            _ => Err(Wrong::Kind),
        },
        _ => Err(Wrong::Kind),
    }
}

/// A length of time from 0 on: a number is seconds, a text carries units (`"10ms"`, `"1m 30s"`). Rounded to
/// the nanosecond.
pub(crate) fn duration(value: &Value) -> Result<Duration, Wrong> {
    match value {
        Value::Number(number) => number.as_f64().and_then(human::seconds).ok_or(Wrong::Kind),
        Value::String(text) => human::duration(text).map_err(|right| nearly(right, human::RIGHT_DURATION)),
        _ => Err(Wrong::Kind),
    }
}

/// What the option says of its right values is more than what holds for all values of a kind.
fn nearly(right: String, of_all: &str) -> Wrong {
    if right == of_all { Wrong::Kind } else { Wrong::Write(right) }
}

/// `{"name": "value"}`, `["Name: value"]` or `[["name", "value"]]`.
pub(crate) fn headers(value: &Value) -> Result<Vec<(String, String)>, Wrong> {
    let headers = match value {
        Value::Object(object) => object.iter().map(|(name, value)| header(name, value)).collect::<Result<_, _>>(),
        Value::Array(list) => list.iter().enumerate().map(|(i, item)| header_in_list(i + 1, item)).collect(),
        _ => return Err(Wrong::Kind),
    };
    Ok(headers?)
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
    // It may be a password: it is not repeated.
    let wrong = || Err(format!("has no header in place {position}; write \"Name: value\" or [\"name\", \"value\"]"));
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

/// A text or a list of them; `example`: a right one.
pub(crate) fn texts<T: FromStr<Err = String>>(value: &Value, example: &str) -> Result<Vec<T>, Wrong> {
    let read = |item: &Value| match item {
        Value::String(text) => text.parse().map_err(|problem| format!("has {problem}")),
        other => Err(format!("has {}; give texts such as {example:?}", shown(other))),
    };
    let list = if let Value::Array(list) = value { list.as_slice() } else { std::slice::from_ref(value) };
    Ok(list.iter().map(read).collect::<Result<_, _>>()?)
}

/// Objects, by the rules that the drivers read them by; here a field that nobody knows is an error.
pub(crate) fn targets(value: &Value) -> Result<Vec<RequestConfig>, Wrong> {
    let known = || RequestConfig::FIELDS.join(", ");
    let Value::Array(list) = value else {
        return Err(format!("is {}; give a list of objects with {}", shown(value), known()).into());
    };
    if list.is_empty() {
        return Err("is an empty list; give at least one request, or leave it out".to_owned().into());
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
    Ok(list.iter().enumerate().map(read).collect::<Result<_, String>>()?)
}

/// Drivers read messages more generously than people mean them. What would be right, where this is not.
fn wrong_in_target(key: &str, value: &Value) -> Option<&'static str> {
    let (fits, right) = match RequestConfig::field_named(key)? {
        "url" => (value.as_str().is_some_and(|url| !url.trim().is_empty()), "a URL, or leave it out"),
        "method" | "body" | "name" => (value.is_string(), "a text"),
        "body_base64" => (value.is_string(), "the body's bytes in base64"),
        "weight" => (whole_number(value).is_ok(), "a whole number of at least 1"),
        _ => return None,
    };
    (!fits && !value.is_null()).then_some(right)
}

/// Methods are case-sensitive; nobody who writes `get` means another one than GET.
pub(crate) fn usual_method(method: String) -> String {
    const USUAL: [&str; 9] = ["GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS", "PATCH", "TRACE", "CONNECT"];
    let usual = USUAL.into_iter().find(|usual| usual.eq_ignore_ascii_case(&method));
    usual.map_or(method, str::to_owned)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn numbers_are_read_as_people_write_them() {
        for (value, expected) in [
            (json!(10), Some(10)),
            (json!(1e5), Some(100_000)),
            (json!("10k"), Some(10_000)),
            (json!(" 10 K "), Some(10_000)),
            (json!("1.1k"), Some(1_100)),
            (json!("2.5M"), Some(2_500_000)),
            (json!("18446744073709551615"), Some(u64::MAX)),
            (json!(0), Some(0)),
            (json!(1.5), None),
            (json!("1.0001k"), None),
            (json!(-1), None),
            (json!(1e300), None),
            (json!("1e3k"), None),
            (json!("k"), None),
            (json!("inf"), None),
            (json!("NaN"), None),
            (json!(""), None),
            (json!("10m"), None),
            (json!(true), None),
            (json!([1]), None),
        ] {
            assert_eq!(whole_number(&value).ok(), expected, "{value}");
        }
    }

    #[test]
    fn rates_are_read_as_on_the_command_line() {
        for (value, expected) in
            [(json!(0.5), 0.5), (json!("2.5k"), 2500.0), (json!("60/m"), 1.0), (json!("36000/h"), 10.0)]
        {
            assert_eq!(rate(&value), Ok(expected), "{value}");
        }
        for (value, right) in [("1m", "1/m"), ("-inf", "60/m"), ("0", "60/m"), ("1/0s", "60/m")] {
            let wrong = rate(&json!(value)).expect_err(value);
            assert!(matches!(&wrong, Wrong::Write(words) if words.contains(right)), "{wrong:?}");
        }
        assert_eq!(rate(&json!(true)), Err(Wrong::Kind));
    }

    #[test]
    fn what_is_nearly_right_is_told_apart() {
        assert_eq!(whole_number(&json!("10m")), Err(Wrong::Write("write 10M for millions".into())));
        assert_eq!(duration(&json!("5M")), Err(Wrong::Write("write 5m for minutes".into())));
        assert_eq!(duration(&json!("soon")), Err(Wrong::Kind));
    }

    #[test]
    fn durations_are_read_as_people_write_them() {
        for (value, expected_ns) in [
            (json!("10ms"), Some(10_000_000)),
            (json!("250us"), Some(250_000)),
            (json!("250µs"), Some(250_000)),
            (json!("100ns"), Some(100)),
            (json!("1.5s"), Some(1_500_000_000)),
            (json!("1m 30s"), Some(90_000_000_000)),
            (json!(" 2 h "), Some(7_200_000_000_000)),
            (json!(0.002), Some(2_000_000)),
            (json!(0.1), Some(100_000_000)),
            (json!("0.25"), Some(250_000_000)),
            (json!(3), Some(3_000_000_000)),
            (json!(1e-9), Some(1)),
            (json!(1e-10), None),
            (json!(2.5e-42), None),
            (json!(0.0), Some(0)),
            (json!("1e-3"), Some(1_000_000)),
            (json!(-1), None),
            (json!("-10ms"), None),
            (json!("10ms ago"), None),
            (json!(1e300), None),
            (json!("1e300"), None),
            (json!("NaN"), None),
            (json!("inf"), None),
            (json!(""), None),
            (json!("   "), None),
            (json!("ten"), None),
            (json!("10 parsecs"), None),
            (json!("99999999999999999999h"), None),
            (json!(true), None),
            (json!({"s": 1}), None),
        ] {
            assert_eq!(duration(&value).ok().map(|d| d.as_nanos()), expected_ns, "{value}");
        }
    }

    #[test]
    fn yes_and_no_come_in_several_spellings() {
        for yes in [json!(true), json!("YES"), json!("yes"), json!("True")] {
            assert_eq!(flag(&yes), Ok(true), "{yes}");
        }
        for no in [json!(false), json!("NO"), json!("false")] {
            assert_eq!(flag(&no), Ok(false), "{no}");
        }
        for neither in [json!("maybe"), json!(1), json!("")] {
            assert_eq!(flag(&neither), Err(Wrong::Kind), "{neither}");
        }
    }

    #[test]
    fn a_long_value_is_shown_short() {
        assert_eq!(shown(&json!("short")), "\"short\"");
        let long = shown(&json!("ü".repeat(20_000)));
        assert!(long.len() < 200 && long.ends_with("bytes)"), "{long}");
    }
}
