//! Findings as people and as programs read them. Pure.

use serde::Serialize;

use super::facts::Facts;
use super::finding::{Finding, Level};
use crate::error::Error;
use crate::result;
use crate::table::{BAD, FAINT, GOOD, WARN, paint};

#[derive(Serialize)]
struct Report<'a> {
    /// The worst of them.
    level: Level,
    findings: &'a [Finding],
}

/// The findings as one JSON object.
pub fn json(findings: &[Finding]) -> Result<String, Error> {
    result::json(&Report { level: worst(findings), findings })
}

/// A line for each finding, the command that helps below it, and the sum of it all.
pub fn text(findings: &[Finding], unasked: &[&str]) -> String {
    let width = findings.iter().map(|finding| finding.check.len()).max().unwrap_or(0);
    let mut text = String::new();
    for Finding { check, level, reason, fix } in findings {
        let style = match level {
            Level::Ok => GOOD,
            Level::Warn => WARN,
            Level::Fail => BAD,
        };
        text += &format!("{}  {check:width$}  {reason}\n", paint(style, format_args!("{:4}", level.name())));
        if let Some(fix) = fix {
            text += &format!("{:4}  {:width$}  {} {fix}\n", "", "", paint(FAINT, "→"));
        }
    }
    let count = |level| findings.iter().filter(|finding| finding.level == level).count();
    let (warnings, failures) = (count(Level::Warn), count(Level::Fail));
    text += &match (failures, warnings) {
        (0, 0) => "\nThis machine is ready.\n".to_owned(),
        (0, _) => format!("\nA test can run; {warnings} to look at first.\n"),
        (_, _) => format!("\nNot ready: {failures} to put right, {warnings} to look at.\n"),
    };
    if !unasked.is_empty() {
        text += &paint(FAINT, format_args!("Not looked at: {}.", unasked.join(", ")));
        text.push('\n');
    }
    text
}

/// What nobody asked for, with the flag that asks.
pub fn unasked(facts: &Facts) -> Vec<&'static str> {
    let asked = [
        (facts.broker.is_some(), "broker (--brokers)"),
        (facts.target.is_some(), "target (--target-url)"),
        (facts.drivers.is_some(), "drivers' clocks (--orchestrator)"),
    ];
    asked.into_iter().filter(|(asked, _)| !asked).map(|(_, what)| what).collect()
}

fn worst(findings: &[Finding]) -> Level {
    findings.iter().map(|finding| finding.level).max().unwrap_or(Level::Ok)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn findings() -> Vec<Finding> {
        vec![Finding::ok("CPUs", "0-3"), Finding::fail("io_uring", "refused", "do this"), Finding::ok("ports", "many")]
    }

    #[test]
    fn lines_are_aligned_and_the_fix_stands_below() {
        let expected = "
OK    CPUs      0-3
FAIL  io_uring  refused
                → do this
OK    ports     many

Not ready: 1 to put right, 0 to look at.
Not looked at: broker (--brokers).
";
        let text = text(&findings(), &["broker (--brokers)"]);
        assert_eq!(anstream::adapter::strip_str(&text).to_string(), expected[1..]);
    }

    #[test]
    fn json_has_the_worst_level_and_every_finding() {
        let json = json(&findings()).expect("plain values");
        let value: serde_json::Value = serde_json::from_str(&json).expect("JSON");
        assert_eq!((value["level"].as_str(), value["findings"][1]["fix"].as_str()), (Some("FAIL"), Some("do this")));
        assert_eq!(value["findings"].as_array().map(Vec::len), Some(3));
        assert!(value["findings"][0].get("fix").is_none());
    }
}
