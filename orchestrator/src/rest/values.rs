//! Reads single JSON values the way people write them: `10`, `"10k"`, `"250us"`, `"yes"`. Pure; `None`: it is no such
//! value. What a text means is `onrush_protocol::human`'s to say, as on the command line.

use std::time::Duration;

use onrush_protocol::human;
use serde_json::Value;

/// How much of a value an error repeats.
const MAX_SHOWN_CHARS: usize = 60;

/// A value as an error shows it: as JSON, cut short.
pub(super) fn shown(value: &Value) -> String {
    let json = match value {
        Value::Array(_) => "a list".to_owned(),
        Value::Object(_) => "an object".to_owned(),
        other => other.to_string(),
    };
    short(&json, MAX_SHOWN_CHARS)
}

/// A text from outside, cut where it is longer than so many characters.
pub(super) fn short(text: &str, max_chars: usize) -> String {
    match text.char_indices().nth(max_chars) {
        None => text.to_owned(),
        Some((end, _)) => format!("{}… ({} bytes)", &text[..end], text.len()),
    }
}

/// Requests per second: a number, or a text like `"10k"` or `"60/m"`; otherwise what would be right.
pub(super) fn rate(value: &Value) -> Result<f64, String> {
    let right = match value {
        Value::Number(number) => {
            return number.as_f64().ok_or_else(|| format!("is {}; give a smaller one", shown(value)));
        }
        Value::String(text) => match human::rate(text) {
            Ok(rate) => return Ok(rate),
            Err(right) => right,
        },
        _ => "give a number of requests per second, such as 500, \"10k\" or \"60/m\"".to_owned(),
    };
    Err(format!("is {}; {right}", shown(value)))
}

/// A whole number from 0 on, to the digit.
pub(super) fn whole_number(value: &Value) -> Option<u64> {
    match value {
        // Above this, a floating-point number no longer knows its last digit.
        Value::Number(number) => number.as_u64().or_else(|| {
            const LAST_EXACT: f64 = (1_u64 << f64::MANTISSA_DIGITS) as f64;
            number.as_f64().filter(|x| x.fract() == 0.0 && (0.0..=LAST_EXACT).contains(x)).map(|x| x as u64)
        }),
        Value::String(text) => human::count(text).ok(),
        _ => None,
    }
}

/// Yes or no.
pub(super) fn flag(value: &Value) -> Option<bool> {
    match value {
        Value::Bool(flag) => Some(*flag),
        Value::String(text) => match text.trim().to_ascii_lowercase().as_str() {
            "yes" | "true" => Some(true),
            "no" | "false" => Some(false),
            _ => None,
        },
        _ => None,
    }
}

/// A length of time from 0 on: a number is seconds, a text carries units (`"10ms"`, `"1m 30s"`). Rounded to
/// the nanosecond.
pub(super) fn duration(value: &Value) -> Option<Duration> {
    match value {
        Value::Number(number) => human::seconds(number.as_f64()?),
        Value::String(text) => human::duration(text).ok(),
        _ => None,
    }
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
            assert_eq!(whole_number(&value), expected, "{value}");
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
            let problem = rate(&json!(value)).expect_err(value);
            assert!(problem.contains(value) && problem.contains(right), "{problem}");
        }
        assert!(rate(&json!(true)).is_err_and(|problem| problem.contains("is true") && problem.contains("60/m")));
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
            assert_eq!(duration(&value).map(|d| d.as_nanos()), expected_ns, "{value}");
        }
    }

    #[test]
    fn yes_and_no_come_in_several_spellings() {
        for yes in [json!(true), json!("YES"), json!("yes"), json!("True")] {
            assert_eq!(flag(&yes), Some(true), "{yes}");
        }
        for no in [json!(false), json!("NO"), json!("false")] {
            assert_eq!(flag(&no), Some(false), "{no}");
        }
        for neither in [json!("maybe"), json!(1), json!("")] {
            assert_eq!(flag(&neither), None, "{neither}");
        }
    }

    #[test]
    fn a_long_value_is_shown_short() {
        assert_eq!(shown(&json!("short")), "\"short\"");
        let long = shown(&json!("ü".repeat(20_000)));
        assert!(long.len() < 200 && long.ends_with("bytes)"), "{long}");
    }
}
