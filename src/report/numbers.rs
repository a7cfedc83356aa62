//! Numbers as people read them: digits in groups, latencies in the unit that fits.

/// What stands for a number that nobody reported.
pub const UNKNOWN: &str = "—";

pub use onrush_protocol::human::{four_digits, milliseconds, rate_text as rate};
/// `1234567` → `1,234,567`.
pub use onrush_stats::thousands as grouped;

/// `1 request`, `1,234 requests`.
pub fn number_of(count: u64, thing: &str) -> String {
    format!("{} {thing}{}", grouped(count), if count == 1 { "" } else { "s" })
}

/// `2.310 s`, `1 min 30 s`.
pub fn seconds(value: f64) -> String {
    let whole = value.round();
    match value {
        short if short < 60.0 => milliseconds(short * 1e3),
        minutes if minutes < 3600.0 => format!("{} min {} s", (whole / 60.0).floor(), whole % 60.0),
        _ => format!("{} h {} min", (whole / 3600.0).floor(), (whole % 3600.0 / 60.0).floor()),
    }
}

/// An amount of bytes: `0 B`, `12.35 kB`, `1.235 MB`.
pub fn bytes(value: f64) -> String {
    let units = [("GB", 1e9), ("MB", 1e6), ("kB", 1e3)];
    match units.into_iter().find(|(_, size)| value >= *size) {
        Some((unit, size)) => format!("{} {unit}", four_digits(value / size)),
        None => format!("{value:.0} B"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_come_in_groups_of_three() {
        let cases =
            [(0, "0"), (999, "999"), (1_000, "1,000"), (123_456, "123,456"), (u64::MAX, "18,446,744,073,709,551,615")];
        for (value, text) in cases {
            assert_eq!(grouped(value), text);
        }
    }

    #[test]
    fn bytes_take_the_unit_that_fits() {
        let cases = [(0.0, "0 B"), (999.0, "999 B"), (12_345.0, "12.35 kB"), (1e6, "1.000 MB"), (5e12, "5,000 GB")];
        for (value, text) in cases {
            assert_eq!(bytes(value), text);
        }
    }

    #[test]
    fn rates_and_seconds() {
        assert_eq!((rate(0.5), rate(99.5), rate(43_210.4)), ("0.500".into(), "99.50".into(), "43,210".into()));
        assert_eq!(
            (seconds(2.31), seconds(90.0), seconds(7_380.0)),
            ("2.310 s".into(), "1 min 30 s".into(), "2 h 3 min".into())
        );
        assert_eq!(seconds(119.7), "2 min 0 s");
    }
}
