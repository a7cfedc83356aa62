//! Medians and tables.

/// The middle of some values, or between the middle two; NaN of none.
pub fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    match values.len() {
        0 => f64::NAN,
        n if n % 2 == 1 => values[n / 2],
        n => f64::midpoint(values[n / 2 - 1], values[n / 2]),
    }
}

/// A number for people: `-` where there is none.
pub fn number(value: f64, digits: usize) -> String {
    if value.is_finite() { format!("{value:.digits$}") } else { "-".into() }
}

/// The median with the least and the greatest beside it: what a table needs to show how noisy a machine is.
pub fn with_range(values: &[f64], digits: usize) -> String {
    let least = values.iter().copied().fold(f64::INFINITY, f64::min);
    let greatest = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let middle = number(median(values.iter().copied()), digits);
    match values.len() {
        0 | 1 => middle,
        _ => format!("{middle} ({}–{})", number(least, digits), number(greatest, digits)),
    }
}

/// A Markdown table.
pub fn table(head: &[&str], rows: &[Vec<String>]) -> String {
    let line = |cells: Vec<&str>| format!("| {} |\n", cells.join(" | "));
    let mut text = line(head.to_vec());
    text += &line(vec!["---"; head.len()]);
    for row in rows {
        text += &line(row.iter().map(String::as_str).collect());
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians() {
        assert!(median([]).is_nan());
        assert_eq!(median([3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median([4.0, 1.0, 2.0, 3.0]), 2.5);
        assert_eq!(with_range(&[3.0, 1.0, 2.0], 1), "2.0 (1.0–3.0)");
        assert_eq!((number(f64::NAN, 1).as_str(), with_range(&[], 0).as_str()), ("-", "-"));
    }

    #[test]
    fn tables() {
        assert_eq!(table(&["a", "b"], &[vec!["1".into(), "2".into()]]), "| a | b |\n| --- | --- |\n| 1 | 2 |\n");
    }
}
