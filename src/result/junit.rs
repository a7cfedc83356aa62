//! A result as JUnit XML, which CI systems read: a test case for the result as a whole, for each threshold, each check of the
//! proof and each gate. Pure.
//!
//! Its form is what the schemas of Jenkins and of Ant have in common. It is ASCII, so that no locale can spoil it.

use std::fmt::Write;

use onrush_api::{CheckView, CompareView, GateView, ScopeView, ThresholdView, Verdict};

use super::finished::Finished;
use super::{threshold_value, threshold_verdict};
use crate::report::{grouped, state_name};

/// One suite: a run, or a comparison.
struct Suite {
    name: String,
    /// When it began, as REST writes it.
    timestamp: Option<String>,
    time_s: Option<f64>,
    properties: Vec<(&'static str, String)>,
    cases: Vec<Case>,
}

/// Something that had to hold.
struct Case {
    kind: &'static str,
    name: String,
    end: End,
}

enum End {
    /// It holds; with this value.
    Held(String),
    /// It does not hold.
    Failed(String),
    /// It could not be judged.
    Skipped(String),
}

/// The document about a run.
pub fn of_run(run: &Finished) -> String {
    let test = run.test;
    let whole = match &run.trouble {
        None => End::Held(format!("{} {}", state_name(test.state), test.outcome.map_or("", |outcome| outcome.name()))),
        Some(words) => End::Failed(words.clone()),
    };
    let mut cases =
        vec![Case { kind: "onrush.result", name: "the result is sound and keeps its limits".into(), end: whole }];
    cases.extend(run.thresholds.iter().map(threshold));
    cases.extend(test.conservation.iter().flat_map(|proof| &proof.checks).map(check));
    document(&Suite {
        name: format!("onrush {} {} {}", test.config.test_type, run.target(), run.name()),
        timestamp: Some(test.start_at.as_ref().unwrap_or(&test.created_at).clone()),
        time_s: Some(run.metrics.elapsed_s),
        properties: properties(run),
        cases,
    })
}

/// The document about a comparison: its gates.
pub fn of_comparison(view: &CompareView) -> String {
    document(&Suite {
        name: format!("onrush compare {} {}", view.a.name, view.b.name),
        timestamp: None,
        time_s: None,
        properties: vec![("sentence", view.sentence.clone())],
        cases: view.gates.iter().map(gate).collect(),
    })
}

fn threshold(outcome: &ThresholdView) -> Case {
    let words = || format!("{}: {} ({})", outcome.threshold, threshold_verdict(outcome), threshold_value(outcome));
    let end = match outcome.kept {
        Some(true) => End::Held(threshold_value(outcome)),
        Some(false) | None => End::Failed(words()),
    };
    Case { kind: "onrush.threshold", name: outcome.threshold.clone(), end }
}

fn check(check: &CheckView) -> Case {
    let count = |n: Option<u64>| n.map_or("unknown".into(), grouped);
    let end = match check.verdict {
        Verdict::Exact => End::Held(check.detail.clone()),
        Verdict::Unknown => End::Skipped(check.detail.clone()),
        Verdict::Breach => {
            End::Failed(format!("expected {}, found {}: {}", count(check.expected), count(check.actual), check.detail))
        }
    };
    let name = format!("{} ({})", check.name, check.node_id.as_deref().unwrap_or("all"));
    Case { kind: "onrush.conservation", name, end }
}

fn gate(gate: &GateView) -> Case {
    let end = match gate.verdict.as_str() {
        "broken" => End::Failed(gate.detail.clone()),
        "kept" => End::Held(gate.detail.clone()),
        verdict => End::Skipped(format!("{verdict}: {}", gate.detail)),
    };
    Case { kind: "onrush.gate", name: gate.gate.clone(), end }
}

fn properties(run: &Finished) -> Vec<(&'static str, String)> {
    let test = run.test;
    let ScopeView { due, sent, answered, failed, responses_per_s, latency, .. } = &run.metrics.all;
    let mut all = vec![("test_id", test.test_id.clone()), ("state", state_name(test.state).to_owned())];
    all.extend(test.outcome.map(|outcome| ("outcome", outcome.name().to_owned())));
    let counts = [("due", due), ("sent", sent), ("answered", answered), ("failed", failed)];
    all.extend(counts.into_iter().filter_map(|(name, n)| Some((name, (*n)?.to_string()))));
    let figures = [
        ("responses_per_s", responses_per_s),
        ("latency_mean_ms", &latency.mean_ms),
        ("latency_p50_ms", &latency.median_ms),
        ("latency_p90_ms", &latency.p90_ms),
        ("latency_p99_ms", &latency.p99_ms),
        ("latency_p99.9_ms", &latency.p999_ms),
        ("latency_max_ms", &latency.max_ms),
    ];
    all.extend(figures.into_iter().filter_map(|(name, value)| Some((name, (*value)?.to_string()))));
    all
}

fn document(suite: &Suite) -> String {
    let Suite { name, timestamp, time_s, properties, cases } = suite;
    let count = |wanted: fn(&End) -> bool| cases.iter().filter(|case| wanted(&case.end)).count();
    let failures = count(|end| matches!(end, End::Failed(_)));
    let skipped = count(|end| matches!(end, End::Skipped(_)));
    let time = time_s.map(|s| format!(" time=\"{s:.3}\"")).unwrap_or_default();
    let timestamp = timestamp.as_ref().map(|at| format!(" timestamp=\"{}\"", escaped(at))).unwrap_or_default();
    let counts = format!("tests=\"{}\" failures=\"{failures}\" errors=\"0\"{time}", cases.len());
    let mut text = format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites {counts}>\n");
    let mut add = |line: String| {
        let _infallible = writeln!(text, "{line}");
    };
    add(format!("  <testsuite name=\"{}\" {counts} skipped=\"{skipped}\"{timestamp}>", escaped(name)));
    add("    <properties>".into());
    for (name, value) in properties {
        add(format!("      <property name=\"{}\" value=\"{}\"/>", escaped(name), escaped(value)));
    }
    add("    </properties>".into());
    for Case { kind, name, end } in cases {
        let inner = match end {
            End::Held(value) => format!("<system-out>{}</system-out>", escaped(value)),
            End::Failed(words) => {
                let words = escaped(words);
                format!("<failure message=\"{words}\" type=\"{kind}\">{words}</failure>")
            }
            End::Skipped(words) => format!("<skipped message=\"{}\"/>", escaped(words)),
        };
        add(format!("    <testcase classname=\"{kind}\" name=\"{}\">{inner}</testcase>", escaped(name)));
    }
    text + "  </testsuite>\n</testsuites>\n"
}

/// Text as an attribute's value or an element's content. What XML cannot hold is replaced; what is not ASCII becomes a reference, and
/// so do line ends, which an attribute would lose.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            ' '..='~' => out.push(c),
            '\t' | '\n' | '\r' => {
                let _infallible = write!(out, "&#{};", u32::from(c));
            }
            // XML 1.0, section 2.2: other control characters and these two are no characters.
            '\0'..='\u{1f}' | '\u{fffe}' | '\u{ffff}' => out.push_str("&#65533;"),
            c => {
                let _infallible = write!(out, "&#{};", u32::from(c));
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use onrush_api::{ComparedRunView, ConservationView, Outcome};

    use super::*;
    use crate::report::{sample_metrics, sample_test};

    const HOSTILE: &str = "a<b>&\"c'\u{1}\u{1b}[31m]]>\n</testcase>µ\u{ffff}";

    #[test]
    fn a_run_is_one_suite_with_a_case_for_each_thing_that_had_to_hold() {
        let (mut test, metrics) = (sample_test(), sample_metrics());
        test.name = Some(HOSTILE.into());
        let check = |name: &str, node: Option<&str>, verdict| CheckView {
            name: name.into(),
            node_id: node.map(Into::into),
            verdict,
            expected: Some(1_000),
            actual: Some(999),
            detail: format!("{name}: {HOSTILE}"),
        };
        test.outcome = Some(Outcome::Invalid);
        test.conservation = Some(ConservationView {
            line: "conservation: invalid".into(),
            checks: vec![
                check("sent = answered + failed", Some(HOSTILE), Verdict::Breach),
                check("sent = target", None, Verdict::Unknown),
                check("nothing is left", None, Verdict::Exact),
            ],
        });
        let threshold = |text: &str, kept| ThresholdView {
            threshold: text.into(),
            value: Some("2.105 ms".into()),
            kept,
            ..ThresholdView::default()
        };
        let thresholds =
            [threshold("p99<200ms", Some(true)), threshold("p99<1us", Some(false)), threshold("max<1s", None)];
        let trouble = Some("the result is invalid".to_owned());
        let xml = of_run(&Finished::of_test(&test, &metrics, &thresholds, trouble));
        assert_eq!(xml, include_str!("samples/junit.xml"));
        assert!(xml.is_ascii());
    }

    #[test]
    fn gates_are_cases_of_a_comparison() {
        let run = |name: &str| ComparedRunView { name: name.into(), seconds: 5, block_s: 1.0 };
        let gate =
            |verdict: &str| GateView { gate: "p99<+5%".into(), verdict: verdict.into(), detail: "8 % ± 3 %".into() };
        let view = CompareView {
            a: run("a<.json"),
            b: run("b.json"),
            sentence: "in B p99 is 8 % higher".into(),
            interleaved: false,
            rows: Vec::new(),
            gates: vec![gate("broken"), gate("kept"), gate("open")],
            remarks: Vec::new(),
        };
        let xml = of_comparison(&view);
        assert!(xml.contains("<testsuites tests=\"3\" failures=\"1\" errors=\"0\">"), "{xml}");
        assert!(xml.contains("name=\"onrush compare a&lt;.json b.json\""), "{xml}");
        assert!(xml.contains("<failure message=\"8 % &#177; 3 %\" type=\"onrush.gate\">"), "{xml}");
        assert!(xml.contains("<skipped message=\"open: 8 % &#177; 3 %\"/>"), "{xml}");
    }

    #[test]
    fn whatever_a_name_is_the_text_stays_within_its_place() {
        for code in (0..=0x11_u32).chain(0x20..0x80).chain([0x85, 0x2028, 0xfffe, 0xffff, 0x1_f600, 0x10_ffff]) {
            let c = char::from_u32(code).expect("a character");
            let text = escaped(&c.to_string());
            let is_plain = text.bytes().all(|byte| matches!(byte, b' '..=b'~') && !b"<>\"".contains(&byte));
            assert!(is_plain && (!text.contains('&') || text.ends_with(';')), "{code:x}: {text}");
        }
    }
}
