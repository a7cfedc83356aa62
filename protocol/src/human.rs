//! Values as people write and read them: `10ms`, `10k`, `60/m`, and the word that a misspelling means. One reader for the
//! command line and for REST, so that a suffix has one meaning everywhere.
//!
//! Each error is what would be right ("write …"); the caller says which value is wrong and where it stood.

use std::time::Duration;

use onrush_stats::thousands;

pub(crate) const RIGHT_DURATION: &str = "write 250us, 10ms, 30s, 1m30s, or a bare number of seconds";
pub(crate) const RIGHT_COUNT: &str = "write 1000, 10k or 1M";
const RIGHT_RATE: &str = "write requests per second above zero like 500 or 10k, or so many in a time like 60/m or 1/h";
/// Up to here every whole number is exact in an `f64`.
const MAX_EXACT: f64 = (1_u64 << f64::MANTISSA_DIGITS) as f64;

/// A length of time: `10ms`, `250us`, `1m30s`, `1m 30s`; a bare number is seconds. Rounded to the nanosecond.
pub fn duration(text: &str) -> Result<Duration, String> {
    let text = text.trim();
    let read = match plain_number(text) {
        Some(number) => seconds(number),
        None => text.parse::<jiff::SignedDuration>().ok().and_then(|signed| Duration::try_from(signed).ok()),
    };
    read.ok_or_else(|| match text.strip_suffix('M').filter(|digits| plain_number(digits).is_some()) {
        Some(digits) => format!("write {}m for minutes", digits.trim()),
        None => RIGHT_DURATION.into(),
    })
}

/// A length of time from 0 on. What is more than nothing does not become nothing.
pub fn seconds(seconds: f64) -> Option<Duration> {
    Duration::try_from_secs_f64(seconds).ok().filter(|duration| seconds == 0.0 || !duration.is_zero())
}

/// A whole number from 0 on: `1000`, `100_000`, `10k`, `1.5M`.
pub fn count(text: &str) -> Result<u64, String> {
    let text = text.trim();
    if let Ok(exact) = text.parse::<u64>()
        && !text.starts_with('+')
    {
        return Ok(exact);
    }
    if let Some(digits) = small_m(text) {
        return Err(format!("write {digits}M for millions"));
    }
    let whole = |value: &f64| value.fract() == 0.0 && (0.0..=MAX_EXACT).contains(value);
    number(text).filter(whole).map(|value| value as u64).ok_or_else(|| RIGHT_COUNT.into())
}

/// Requests per second: `500`, `0.5`, `10k`, or so many in a time: `60/m`, `1/h`, `100/10s`. What would be a number of
/// millions as well as one a minute is asked about.
pub fn rate(text: &str) -> Result<f64, String> {
    let text = text.trim();
    let right = || RIGHT_RATE.to_owned();
    let per_s = match text.split_once('/') {
        Some((amount, time)) => {
            let seconds = time_of_rate(time.trim()).ok_or_else(right)?;
            number(amount.trim()).ok_or_else(right)? / seconds
        }
        None => match (small_m(text), text.strip_suffix(['s', 'h'])) {
            (Some(digits), _) => return Err(format!("write {digits}M for millions a second, or {digits}/m a minute")),
            (None, Some(digits)) if plain_number(digits).is_some() => {
                return Err(format!("write {}/{}", digits.trim(), &text[digits.len()..]));
            }
            _ => number(text).ok_or_else(right)?,
        },
    };
    if per_s > 0.0 && per_s.is_finite() { Ok(per_s) } else { Err(right()) }
}

/// The seconds of what stands behind the slash of a rate: `s`, `m`, `hour`, or a duration like `10s`.
fn time_of_rate(text: &str) -> Option<f64> {
    let length = if text.starts_with(|c: char| c.is_ascii_alphabetic()) { format!("1{text}") } else { text.to_owned() };
    // A bare number would leave its unit to be guessed.
    if plain_number(&length).is_some() {
        return None;
    }
    duration(&length).ok().map(|length| length.as_secs_f64()).filter(|seconds| *seconds > 0.0)
}

/// A finite number that may end in `k` (thousand), `M` (million) or `G` (thousand million).
pub fn number(text: &str) -> Option<f64> {
    let text = text.trim();
    let power = match text.chars().last()? {
        'k' | 'K' => 3,
        'M' => 6,
        'g' | 'G' => 9,
        _ => return plain_number(text),
    };
    let digits = text[..text.len() - 1].trim_end();
    // Scaled as decimal text, so that 1.1k is 1100 to the digit; with an exponent of its own it cannot be read.
    plain_number(digits).and_then(|_| plain_number(&format!("{digits}e{power}")))
}

/// The number in front of a small `m`, which is a minute elsewhere.
fn small_m(text: &str) -> Option<&str> {
    text.strip_suffix('m').map(str::trim_end).filter(|digits| plain_number(digits).is_some())
}

/// A number without a unit, underscores between its digits. Rust alone would also take `inf`, `nan` and `+5`.
fn plain_number(text: &str) -> Option<f64> {
    let text = text.trim();
    let plain = text.bytes().all(|b| b.is_ascii_digit() || b".eE+-_".contains(&b));
    let begins = text.starts_with(|c: char| c.is_ascii_digit() || c == '.');
    text.replace('_', "").parse().ok().filter(|number: &f64| plain && begins && number.is_finite())
}

/// A latency with its unit: `412.0 µs`, `1.234 ms`, `2.000 s`.
pub fn milliseconds(value_ms: f64) -> String {
    let (unit, factor) = unit(value_ms.abs());
    format!("{} {unit}", four_digits(value_ms * factor))
}

/// The unit for a number of milliseconds, and how many of it a millisecond has.
fn unit(value_ms: f64) -> (&'static str, f64) {
    // 999.96 would be shown as 1000.0.
    const ROUNDS_UP: f64 = 0.99995;
    if value_ms >= 1000.0 * ROUNDS_UP {
        ("s", 1e-3)
    } else if value_ms >= ROUNDS_UP {
        ("ms", 1.0)
    } else {
        ("µs", 1e3)
    }
}

/// Four digits, as far as the number has that many after its point: `1.234`, `12.34`, `123.4`, `1,234`.
pub fn four_digits(value: f64) -> String {
    match value.abs() {
        0.0 => "0".into(),
        v if v < 9.9995 => format!("{value:.3}"),
        v if v < 99.995 => format!("{value:.2}"),
        v if v < 999.95 => format!("{value:.1}"),
        _ if value < 0.0 => format!("-{}", thousands(value.abs().round() as u64)),
        _ => thousands(value.round() as u64),
    }
}

/// Requests per second: whole ones where there are many, fractions where there are few.
pub fn rate_text(per_s: f64) -> String {
    match per_s {
        few if few < 100.0 => four_digits(few),
        many => thousands(many.round() as u64),
    }
}

/// The candidate that `word` is a misspelling of, if any is near.
pub fn closest<'a>(word: &str, candidates: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    /// Comparing takes time with the length's square; no name of ours is near a long one.
    const MAX_BYTES: usize = 100;
    const NEAR: f64 = 0.85;
    if word.len() > MAX_BYTES {
        return None;
    }
    let word = word.to_lowercase();
    let scored = candidates.map(|candidate| (strsim::jaro_winkler(&word, candidate), candidate));
    let best = scored.max_by(|(a, _), (b, _)| a.total_cmp(b));
    best.filter(|(score, _)| *score >= NEAR).map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_carry_units_and_bare_numbers_are_seconds() {
        let cases = [
            ("10ms", 10_000_000),
            ("250us", 250_000),
            ("250µs", 250_000),
            ("500ns", 500),
            ("1m30s", 90_000_000_000),
            ("1m 30s", 90_000_000_000),
            ("1.5s", 1_500_000_000),
            ("2h", 7_200_000_000_000),
            (" 2 h ", 7_200_000_000_000),
            ("3", 3_000_000_000),
            ("0.25", 250_000_000),
            ("0.1", 100_000_000),
            ("1e-3", 1_000_000),
            ("0", 0),
        ];
        for (text, expected_ns) in cases {
            assert_eq!(duration(text).map(|d| d.as_nanos()), Ok(expected_ns), "{text}");
        }
        let long = "99999999999999999999h";
        for text in ["", "  ", "abc", "-1s", "-1", "10ms ago", "10 parsecs", "NaN", "inf", "1e300", "s", "+1", long] {
            assert_eq!(duration(text), Err(RIGHT_DURATION.into()), "{text}");
        }
        assert_eq!(duration("5M"), Err("write 5m for minutes".into()));
    }

    #[test]
    fn counts_take_suffixes_and_are_whole() {
        let cases = [
            ("0", 0),
            ("1000", 1000),
            ("100_000", 100_000),
            ("10k", 10_000),
            (" 10 K ", 10_000),
            ("1.1k", 1_100),
            ("1.5M", 1_500_000),
            ("2G", 2_000_000_000),
            ("1e5", 100_000),
            ("18446744073709551615", u64::MAX),
        ];
        for (text, expected) in cases {
            assert_eq!(count(text), Ok(expected), "{text}");
        }
        let wrong =
            ["", "k", "1.5", "-3", "1e400", "inf", "nan", "10x", "1kk", "+5", "1e3k", "1.0001k", "10ms", "1,000"];
        for text in wrong {
            assert_eq!(count(text), Err(RIGHT_COUNT.into()), "{text}");
        }
        assert_eq!(count("1.5m"), Err("write 1.5M for millions".into()));
    }

    #[test]
    fn rates_are_per_second_or_say_per_what() {
        let cases = [
            ("500", 500.0),
            ("0.5", 0.5),
            ("10k", 10_000.0),
            ("1M", 1e6),
            ("1/s", 1.0),
            ("0.5/s", 0.5),
            ("60/m", 1.0),
            ("60 / min", 1.0),
            ("36000/h", 10.0),
            ("36k/h", 10.0),
            ("1/hour", 1.0 / 3600.0),
            ("100/10s", 10.0),
            ("1/5s", 0.2),
            ("3/1m30s", 3.0 / 90.0),
            ("1/ms", 1000.0),
        ];
        for (text, expected) in cases {
            assert_eq!(rate(text), Ok(expected), "{text}");
        }
        for text in ["", "0", "-1", "fast", "0/s", "1/", "/s", "1/0s", "1/-1s", "1/60", "1/M", "1/1/s", "1e999", "10ms"]
        {
            assert_eq!(rate(text), Err(RIGHT_RATE.into()), "{text}");
        }
        assert_eq!(rate("1m"), Err("write 1M for millions a second, or 1/m a minute".into()));
        assert_eq!(rate("1.5 m"), Err("write 1.5M for millions a second, or 1.5/m a minute".into()));
        assert_eq!(rate("1s"), Err("write 1/s".into()));
        assert_eq!(rate("1 h"), Err("write 1/h".into()));
    }

    #[test]
    fn latencies_take_the_unit_that_fits() {
        let cases = [
            (0.0, "0 µs"),
            (0.0004, "0.400 µs"),
            (0.412, "412.0 µs"),
            (0.9996, "999.6 µs"),
            (0.99999, "1.000 ms"),
            (12.345, "12.35 ms"),
            (123.45, "123.5 ms"),
            (999.99, "1.000 s"),
            (61_000.0, "61.00 s"),
            (-0.25, "-250.0 µs"),
            (2_000_000.0, "2,000 s"),
        ];
        for (value, text) in cases {
            assert_eq!(milliseconds(value), text, "{value}");
        }
    }

    #[test]
    fn the_misspelt_word_is_found() {
        let words = ["url", "weight", "method", "headers"];
        let meant = |word| closest(word, words.into_iter());
        assert_eq!(meant("wieght"), Some("weight"));
        assert_eq!(meant("Header"), Some("headers"));
        assert_eq!(meant("colour"), None);
        assert_eq!(meant(&"weight".repeat(1000)), None);
    }
}
