//! Numbers as people read them: digits in groups, latencies in the unit that fits.

/// What stands for a number that nobody reported.
pub const UNKNOWN: &str = "—";

/// `1234567` → `1,234,567`.
pub use onrush_stats::thousands as grouped;

/// `1 request`, `1,234 requests`.
pub fn number_of(count: u64, thing: &str) -> String {
    format!("{} {thing}{}", grouped(count), if count == 1 { "" } else { "s" })
}

/// Requests per second: whole ones where there are many, fractions where there are few.
pub fn rate(per_second: f64) -> String {
    match per_second {
        few if few < 100.0 => four_digits(few),
        many => grouped(many.round() as u64),
    }
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

/// An amount of bytes: `0 B`, `12.35 kB`, `1.235 MB`.
pub fn bytes(value: f64) -> String {
    let units = [("GB", 1e9), ("MB", 1e6), ("kB", 1e3)];
    match units.into_iter().find(|(_, size)| value >= *size) {
        Some((unit, size)) => format!("{} {unit}", four_digits(value / size)),
        None => format!("{value:.0} B"),
    }
}

/// Four digits, as far as the number has that many after its point: `1.234`, `12.34`, `123.4`, `1,234`.
pub fn four_digits(value: f64) -> String {
    match value.abs() {
        0.0 => "0".into(),
        v if v < 9.9995 => format!("{value:.3}"),
        v if v < 99.995 => format!("{value:.2}"),
        v if v < 999.95 => format!("{value:.1}"),
        _ if value < 0.0 => format!("-{}", grouped(value.abs().round() as u64)),
        _ => grouped(value.round() as u64),
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
