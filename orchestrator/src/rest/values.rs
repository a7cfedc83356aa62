//! Reads single values the way people write them: `10`, `"10k"`, `"250us"`, `"yes"`. Pure; `None`: it is no such value.

use std::time::Duration;

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

/// A finite number; texts may end in `k` (thousand) or `M` (million).
pub(super) fn number(value: &Value) -> Option<f64> {
    match value {
        Value::Number(number) => number.as_f64().filter(|x| x.is_finite()),
        Value::String(text) => number_in(text),
        _ => None,
    }
}

/// A whole number from 0 on, to the digit.
pub(super) fn whole_number(value: &Value) -> Option<u64> {
    let exact = match value {
        Value::Number(number) => number.as_u64(),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    };
    // Above this, a floating-point number no longer knows its last digit.
    const LAST_EXACT: f64 = (1_u64 << f64::MANTISSA_DIGITS) as f64;
    exact.or_else(|| number(value).filter(|x| x.fract() == 0.0 && (0.0..=LAST_EXACT).contains(x)).map(|x| x as u64))
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
    let seconds = match value {
        Value::Number(number) => number.as_f64()?,
        Value::String(text) => match plain_number(text.trim()) {
            Some(seconds) => seconds,
            None => return Duration::try_from(text.trim().parse::<jiff::SignedDuration>().ok()?).ok(),
        },
        _ => return None,
    };
    // What is more than nothing must not become nothing.
    Duration::try_from_secs_f64(seconds).ok().filter(|duration| seconds == 0.0 || !duration.is_zero())
}

fn number_in(text: &str) -> Option<f64> {
    let text = text.trim();
    let scaled = match text.strip_suffix(['k', 'K', 'M']) {
        None => return plain_number(text),
        // Scaled in the decimal text, so that "1.1k" is 1100 to the digit.
        Some(rest) if text.ends_with('M') => format!("{}e6", rest.trim_end()),
        Some(rest) => format!("{}e3", rest.trim_end()),
    };
    plain_number(&scaled)
}

/// A number without a unit. Rust would also take `inf` and `nan`.
fn plain_number(text: &str) -> Option<f64> {
    let plain = text.bytes().all(|b| b.is_ascii_digit() || b".eE+-".contains(&b));
    text.parse().ok().filter(|x: &f64| plain && x.is_finite())
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
        assert_eq!(number(&json!("0.5")), Some(0.5));
        assert_eq!(number(&json!("2.5k")), Some(2500.0));
        assert_eq!(number(&json!("-inf")), None);
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
