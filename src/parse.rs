//! Reads what people write on a command line: durations, numbers with suffixes, CPU lists, `name: value` pairs.
//!
//! Pure functions; each error says what would be right.

use std::time::Duration;

use onrush_target::{Delay, Stall};

/// `10ms`, `250us`, `1m30s`; a bare number means seconds.
pub fn duration(text: &str) -> Result<Duration, String> {
    let text = text.trim();
    let wrong = || format!("{text:?} is no duration; write 250us, 10ms, 30s, 1m30s, or a bare number of seconds");
    if text.starts_with('-') {
        return Err(wrong());
    }
    if let Ok(seconds) = text.parse::<f64>() {
        return Duration::try_from_secs_f64(seconds).map_err(|_| wrong());
    }
    let signed: jiff::SignedDuration = text.parse().map_err(|_| wrong())?;
    Duration::try_from(signed).map_err(|_| wrong())
}

/// A number that may end in `k` (thousand), `M` (million) or `G` (thousand million).
fn suffixed(text: &str) -> Option<f64> {
    let text = text.trim();
    let (digits, factor) = match text.char_indices().last()? {
        (end, 'k' | 'K') => (&text[..end], 1e3),
        (end, 'm' | 'M') => (&text[..end], 1e6),
        (end, 'g' | 'G') => (&text[..end], 1e9),
        _ => (text, 1.0),
    };
    let starts_as_number = digits.starts_with(|c: char| c.is_ascii_digit() || c == '.');
    let value = digits.replace('_', "").parse::<f64>().ok().filter(|_| starts_as_number)? * factor;
    value.is_finite().then_some(value)
}

/// A whole number: `1000`, `100_000`, `10k`, `1.5M`.
pub fn count(text: &str) -> Result<u64, String> {
    // Up to 2^53 every whole number is exact in a float; no test is longer.
    let whole = |value: &f64| value.fract() == 0.0 && (1.0..=9_007_199_254_740_992.0).contains(value);
    match suffixed(text).filter(whole) {
        Some(value) => Ok(value as u64),
        None => Err(format!("{text:?} is no number of requests; write 1000, 10k or 1M")),
    }
}

/// A rate: `500`, `0.5`, `10k`.
pub fn rate(text: &str) -> Result<f64, String> {
    suffixed(text)
        .filter(|rate| *rate > 0.0)
        .ok_or_else(|| format!("{text:?} is no rate; write requests per second above zero, like 500 or 10k"))
}

/// A number of bytes: `1024`, `64KiB`, `1MiB`.
pub fn size(text: &str) -> Result<usize, String> {
    let trimmed = text.trim();
    let with = |suffix, factor| trimmed.strip_suffix(suffix).map(|digits: &str| (digits.trim_end(), factor));
    let (digits, factor) = with("KiB", 1 << 10).or_else(|| with("MiB", 1 << 20)).unwrap_or((trimmed, 1));
    let value = digits.parse::<usize>().ok().and_then(|value| value.checked_mul(factor));
    value.ok_or_else(|| format!("{text:?} is no number of bytes; write 1024, 64KiB or 1MiB"))
}

/// How long answers wait: `10ms`, `uniform:1ms-9ms`, `exp:5ms`.
pub fn delay(text: &str) -> Result<Delay, String> {
    let wrong = || format!("{text:?} is no delay; write 10ms, uniform:1ms-9ms, or exp:5ms for a mean of 5 ms");
    let read = |text: &str| duration(text).map_err(|_| wrong());
    let delay = match text.trim().split_once(':') {
        None => Delay::Fixed(read(text)?),
        Some(("uniform", bounds)) => {
            let (low, high) = bounds.split_once('-').ok_or_else(wrong)?;
            Delay::Uniform { low: read(low)?, high: read(high)? }
        }
        Some(("exp", mean)) => Delay::Exponential { mean: read(mean)? },
        Some(_) => return Err(wrong()),
    };
    delay.problem().map_or(Ok(delay), Err)
}

/// When nothing is answered: `1s/10s`, the last second of every ten.
pub fn stall(text: &str) -> Result<Stall, String> {
    let wrong = || format!("{text:?} is no stall; write LENGTH/PERIOD, like 1s/10s");
    let (length, period) = text.split_once('/').ok_or_else(wrong)?;
    let read = |text: &str| duration(text).map_err(|_| wrong());
    let stall = Stall { length: read(length)?, period: read(period)? };
    stall.problem().map_or(Ok(stall), Err)
}

/// CPUs that a process is to be pinned to: one value on the command line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cpus(pub Vec<usize>);

/// `2-7`, `0,2,4-5`.
pub fn cpus(text: &str) -> Result<Cpus, String> {
    onrush_bus::cpus::parse_list(text).map(Cpus)
}

/// `name=value`, for the Kafka library's own settings.
pub fn option(text: &str) -> Result<(String, String), String> {
    match text.split_once('=').map(|(name, value)| (name.trim(), value.trim())) {
        Some((name, value)) => Ok((name.to_owned(), value.to_owned())),
        // No error here: it would be shown with the text, which may be a password. What has no name is refused later.
        None => Ok((String::new(), String::new())),
    }
}

/// `Name: value`.
pub fn header(text: &str) -> Result<(String, String), String> {
    match text.split_once(':').map(|(name, value)| (name.trim(), value.trim())) {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err(format!("{text:?} is no header; write 'Name: value'")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_carry_units_and_bare_numbers_are_seconds() {
        let cases = [
            ("10ms", Duration::from_millis(10)),
            ("250us", Duration::from_micros(250)),
            ("250µs", Duration::from_micros(250)),
            ("500ns", Duration::from_nanos(500)),
            ("1m30s", Duration::from_secs(90)),
            ("1.5s", Duration::from_millis(1500)),
            ("2h", Duration::from_secs(7200)),
            ("3", Duration::from_secs(3)),
            ("0.25", Duration::from_millis(250)),
            (" 2 s ", Duration::from_secs(2)),
            ("0", Duration::ZERO),
        ];
        for (text, expected) in cases {
            assert_eq!(duration(text), Ok(expected), "{text}");
        }
        for text in ["", "abc", "-1s", "-1", "10 parsecs", "NaN", "inf", "1e300", "s"] {
            assert!(duration(text).is_err_and(|e| e.contains("10ms")), "{text}");
        }
    }

    #[test]
    fn numbers_take_suffixes() {
        assert_eq!(count("1000"), Ok(1000));
        assert_eq!(count("100_000"), Ok(100_000));
        assert_eq!(count("10k"), Ok(10_000));
        assert_eq!(count("1.5M"), Ok(1_500_000));
        assert_eq!(count("2G"), Ok(2_000_000_000));
        for text in ["", "0", "k", "1.5", "-3", "1e400", "inf", "nan", "10x", "1kk", "+5"] {
            assert!(count(text).is_err(), "{text}");
        }
        assert_eq!(rate("0.5"), Ok(0.5));
        assert_eq!(rate("10k"), Ok(10_000.0));
        for text in ["0", "-1", "fast"] {
            assert!(rate(text).is_err_and(|e| e.contains("500")), "{text}");
        }
    }

    #[test]
    fn sizes_delays_and_stalls_are_read() {
        assert_eq!((size("0"), size("1024"), size("64KiB"), size("1 MiB")), (Ok(0), Ok(1024), Ok(65_536), Ok(1 << 20)));
        for text in ["", "-1", "1k", "1.5KiB", "KiB", "99999999999999999999", "18446744073709551615MiB"] {
            assert!(size(text).is_err_and(|e| e.contains("64KiB")), "{text}");
        }
        let ms = Duration::from_millis;
        assert_eq!(delay("10ms"), Ok(Delay::Fixed(ms(10))));
        assert_eq!(delay("0"), Ok(Delay::default()));
        assert_eq!(delay("uniform:1ms-9ms"), Ok(Delay::Uniform { low: ms(1), high: ms(9) }));
        assert_eq!(delay("exp:5ms"), Ok(Delay::Exponential { mean: ms(5) }));
        for text in ["", "-1s", "uniform:5ms", "uniform:9ms-1ms", "normal:5ms", "exp:", "exp:-1ms"] {
            assert!(delay(text).is_err_and(|e| e.contains("uniform:1ms-9ms")), "{text}");
        }
        assert_eq!(stall("1s/10s"), Ok(Stall { length: ms(1_000), period: ms(10_000) }));
        for text in ["", "1s", "10s/1s", "0s/1s", "1s/", "1s:10s"] {
            assert!(stall(text).is_err_and(|e| e.contains("1s/10s")), "{text}");
        }
    }

    #[test]
    fn pairs_are_split_once() {
        assert_eq!(option("sasl.password=a=b"), Ok(("sasl.password".into(), "a=b".into())));
        assert_eq!(header("X-Url: http://x"), Ok(("X-Url".into(), "http://x".into())));
        for secret in ["=secret", "ssl.key.password secret"] {
            assert_eq!(option(secret).map(|(name, _)| name), Ok(String::new()));
        }
        assert!(header(": x").is_err() && header("x").is_err());
    }
}
