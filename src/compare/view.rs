//! A comparison as people read it: the effect first. Pure.

use onrush_api::{CompareView, ComparedView, IntervalView};

use crate::report::line;
use crate::report::numbers::{UNKNOWN, four_digits, number_of, rate};
use crate::table::{BAD, Column, FAINT, GOOD, Group, STRONG, WARN, draw, paint};

const HEADS: [&str; 5] = ["A", "B", "difference", "95 % interval", "proven"];

/// The sentence, the table, the gates.
pub fn text(view: &CompareView, max_columns: Option<usize>) -> String {
    let mut text = String::new();
    line(&mut text, paint(STRONG, &view.sentence));
    text.push('\n');
    for (run, about) in [("A", &view.a), ("B", &view.b)] {
        line(&mut text, format!("{run}: {}, {}", about.name, number_of(about.seconds, "second")));
    }
    text.push('\n');
    let rows: Vec<[String; 5]> = view.rows.iter().map(cells).collect();
    let column = |(index, head): (usize, &&str)| {
        let cells = rows.iter().map(|row| row[index].clone()).collect();
        Group::new("", vec![Column::numbers(&[head], cells)])
    };
    let groups: Vec<Group> = HEADS.iter().enumerate().map(column).collect();
    let names = view.rows.iter().map(name).collect();
    text.push_str(&draw(&Column::text("", names), &groups, max_columns, false));
    text.push('\n');
    for gate in &view.gates {
        let style = match gate.verdict.as_str() {
            "broken" => BAD,
            "kept" => GOOD,
            _ => WARN,
        };
        let verdict = if gate.verdict == "broken" { "BROKEN" } else { &gate.verdict };
        line(&mut text, format!("gate {}: {} ({})", gate.gate, paint(style, verdict), gate.detail));
    }
    view.remarks.iter().for_each(|remark| line(&mut text, paint(WARN, remark)));
    line(&mut text, paint(FAINT, notes(view)));
    text
}

/// The same for a pull request.
pub fn markdown(view: &CompareView) -> String {
    // What comes from outside must not end a cell.
    let escaped = |text: &str| text.replace('\\', "\\\\").replace('|', "\\|").replace('`', "\\`").replace('<', "\\<");
    let mut text = format!("**{}**\n\n", escaped(&view.sentence));
    text += &format!("A: {} · B: {}\n\n", escaped(&view.a.name), escaped(&view.b.name));
    text += &format!("| | {} |\n| --- |{}\n", HEADS.join(" | "), " ---: |".repeat(HEADS.len()));
    for row in &view.rows {
        text += &format!("| {} | {} |\n", name(row), cells(row).join(" | "));
    }
    text.push('\n');
    for gate in &view.gates {
        text += &format!("- gate `{}`: **{}** ({})\n", gate.gate, gate.verdict, escaped(&gate.detail));
    }
    for remark in &view.remarks {
        text += &format!("- {}\n", escaped(remark));
    }
    text + &format!("\n{}\n", notes(view))
}

fn notes(view: &CompareView) -> String {
    let how = if view.interleaved {
        "interleaved, compared pair by pair".to_owned()
    } else {
        format!("drawn in blocks of {} and {} s", four_digits(view.a.block_s), four_digits(view.b.block_s))
    };
    format!("{how}; proven: with 95 % confidence for all rows together; quantiles are over everything that was due")
}

fn name(row: &ComparedView) -> String {
    match row.unit.as_str() {
        "ms" => format!("{}, ms", row.quantity),
        "per_s" => format!("{}, responses/s", row.quantity),
        _ => format!("{}, %", row.quantity),
    }
}

fn cells(row: &ComparedView) -> [String; 5] {
    let value = |value: Option<f64>| match (value, row.unit.as_str()) {
        (None, _) => UNKNOWN.into(),
        (Some(value), "ms") => four_digits(value),
        (Some(value), "per_s") => rate(value),
        (Some(value), _) => format!("{:.3}", value * 100.0),
    };
    let signed = |share: f64| {
        let unit = if row.unit == "share" { " points" } else { " %" };
        format!("{:+.2}{unit}", share * 100.0)
    };
    let between = |IntervalView { lower, upper }: IntervalView| format!("{} to {}", signed(lower), signed(upper));
    let proven = match (row.difference, row.proven) {
        (None, _) => "too few",
        (Some(_), false) => "no",
        (Some(difference), true) if difference < 0.0 => "lower",
        (Some(_), true) => "higher",
    };
    [
        value(row.a),
        value(row.b),
        row.difference.map_or(UNKNOWN.into(), signed),
        row.interval.map_or(UNKNOWN.into(), between),
        proven.into(),
    ]
}

#[cfg(test)]
mod tests {
    use onrush_api::{ComparedRunView, GateView};

    use super::*;

    fn sample() -> CompareView {
        let run = |name: &str| ComparedRunView { name: name.into(), seconds: 55, block_s: 5.0 };
        let interval = |lower, upper| Some(IntervalView { lower, upper });
        let row = |quantity: &str, unit: &str, a, b, difference: Option<f64>, proven| ComparedView {
            quantity: quantity.into(),
            unit: unit.into(),
            a,
            b,
            difference,
            interval: difference.and_then(|d| interval(d - 0.031, d + 0.031)),
            interval_together: difference.and_then(|d| interval(d - 0.04, d + 0.04)),
            proven,
            effect: String::new(),
        };
        CompareView {
            a: run("before.json"),
            b: run("after|.json"),
            sentence: "in B p99 is 8.0 % ± 3.1 % higher".into(),
            interleaved: false,
            rows: vec![
                row("p50", "ms", Some(5.0), Some(5.01), Some(0.002), false),
                row("p99", "ms", Some(12.345), Some(13.334), Some(0.0804), true),
                row("p99.99", "ms", Some(40.0), None, None, false),
                row("rate", "per_s", Some(1_000.0), Some(999.0), Some(-0.001), false),
                row("failed", "share", Some(0.0), Some(0.001), Some(0.001), false),
            ],
            gates: vec![GateView { gate: "p99<+5%".into(), verdict: "broken".into(), detail: "proven".into() }],
            remarks: vec!["A was stopped before its end".into()],
        }
    }

    #[test]
    fn the_effect_comes_first_and_columns_are_aligned() {
        let text = anstream::adapter::strip_str(&text(&sample(), Some(120))).to_string();
        let expected = "\
in B p99 is 8.0 % ± 3.1 % higher

A: before.json, 55 seconds
B: after|.json, 55 seconds

                       A      B    difference                   95 % interval   proven
";
        let head: Vec<&str> = text.lines().take(4).collect();
        assert_eq!(head, expected.lines().take(4).collect::<Vec<_>>());
        for words in ["p99, ms", "+8.04 %", "+4.94 % to +11.14 %", "higher", "too few", "gate p99<+5%: BROKEN (proven)"]
        {
            assert!(text.contains(words), "{words} is not in\n{text}");
        }
        let ends: Vec<usize> = text.lines().skip(6).take(5).map(|line| line.trim_end().chars().count()).collect();
        assert!(ends.windows(2).all(|pair| pair[0] == pair[1]), "{ends:?}\n{text}");
    }

    #[test]
    fn markdown_is_a_table() {
        let text = markdown(&sample());
        assert!(text.starts_with("**in B p99 is 8.0 % ± 3.1 % higher**\n"), "{text}");
        assert!(text.contains("B: after\\|.json") && text.contains("| p99, ms | "), "{text}");
        let rows: Vec<&str> = text.lines().filter(|line| line.starts_with('|')).collect();
        assert!(rows.len() == 7 && rows.iter().all(|row| row.matches('|').count() == 7), "{text}");
    }
}
