//! `onrush compare` and `onrush ab` on real processes.

use serde_json::Value;
use tempfile::TempDir;

use super::{command, path_in, said, some_run_is, target, text};
use crate::harness::alone;

/// A result of `bench` in a file.
fn result(folder: &TempDir, name: &str, url: &str, duration: &str) -> String {
    let path = path_in(folder, name);
    let args = ["bench", url, "-R", "400", "-c", "16", "-d", duration, "--output-format", "json", "-o", text(&path)];
    let output = command(&args);
    assert!(output.status.success(), "{}", said(&output).1);
    text(&path).to_owned()
}

fn row<'a>(comparison: &'a Value, quantity: &str) -> &'a Value {
    let rows = comparison["rows"].as_array().expect("a list");
    rows.iter().find(|row| row["quantity"] == quantity).unwrap_or_else(|| panic!("no {quantity}: {comparison:#}"))
}

#[test]
fn results_of_bench_are_compared_and_a_proven_regression_breaks_the_gate() {
    let _machine = alone();
    let folder = tempfile::tempdir().expect("a folder for the test");
    let (fast, slow) = (target(&["--delay", "10ms"]), target(&["--delay", "15ms"]));
    let a = result(&folder, "a.json", &fast.url(), "12s");
    let b = result(&folder, "b.json", &slow.url(), "12s");

    let output =
        command(&["compare", &a, &b, "--skip", "2s", "--gate", "p50<+20%,rate>-50%", "--output-format", "json"]);
    let (shown, problem) = said(&output);
    assert_eq!(output.status.code(), Some(99), "{problem}{shown}");
    assert!(problem.contains("a regression is proven: p50<+20%"), "{problem}");
    let comparison: Value = serde_json::from_str(&shown).expect("JSON");
    let p50 = row(&comparison, "p50");
    let difference = p50["difference"].as_f64().expect("a difference");
    // 15 ms and what the way takes, against 10 ms and the same.
    assert!((0.3..=0.55).contains(&difference) && p50["proven"] == true, "{comparison:#}");
    let sentence = comparison["sentence"].as_str().expect("words");
    assert!(sentence.starts_with("in B ") && sentence.contains("p50"), "{sentence}");
    let verdicts: Vec<&str> =
        comparison["gates"].as_array().expect("a list").iter().filter_map(|gate| gate["verdict"].as_str()).collect();
    assert_eq!(verdicts, ["broken", "kept"], "{comparison:#}");
    assert_eq!(comparison["a"]["seconds"].as_u64().map(|seconds| (9..=11).contains(&seconds)), Some(true));
    assert!(comparison["remarks"][0].as_str().is_some_and(|remark| remark.contains("url")), "{comparison:#}");

    // The same result differs from itself in nothing.
    let output = command(&["compare", &a, &a, "--gate", "p50<+1%"]);
    let (shown, problem) = said(&output);
    assert!(output.status.success(), "{problem}");
    assert!(shown.starts_with("no difference is proven") && shown.contains("p50, ms"), "{shown}");
    let markdown = said(&command(&["compare", &a, &b, "--output-format", "markdown"])).0;
    assert!(markdown.starts_with("**in B ") && markdown.contains("| p50, ms | "), "{markdown}");
}

#[test]
fn what_cannot_be_compared_is_said_in_words() {
    let folder = tempfile::tempdir().expect("a folder for the test");
    let target = target(&[]);
    let short = result(&folder, "short.json", &target.url(), "3s");
    let stranger = path_in(&folder, "stranger.json");
    std::fs::write(&stranger, "{\"state\": \"COMPLETED\"}").expect("the folder can be written");
    for (args, code, words) in [
        (&["compare", &short, &short][..], 1, "at least 8 parts are needed"),
        (&["compare", &short, text(&stranger)], 1, "no result of bench"),
        (&["compare", &short, "20260101-000000-abcd"], 2, "is a file and"),
        (&["compare", &short, &short, "--gate", "p99<5ms"], 2, "p99<+5%"),
        (&["compare", &short, &short, "--skip", "1500ms"], 2, "whole number of seconds"),
        (&["compare", "x", "y", "--orchestrator", "http://127.0.0.1:1"], 1, "cannot reach the orchestrator"),
        (&["ab", &target.url(), &target.url(), "-n", "100"], 2, "--requests"),
    ] {
        let output = command(args);
        let (shown, problem) = said(&output);
        assert_eq!((output.status.code(), problem.contains(words)), (Some(code), true), "{args:?}: {problem}{shown}");
    }
}

/// The target with itself: nothing is proven. With one whose responses take 3 % longer: that is proven.
#[test]
fn turns_tell_three_percent_from_nothing() {
    let _machine = alone();
    let (a, b) = (target(&["--delay", "20ms"]), target(&["--delay", "20600us"]));
    let ab = |url_b: &str| {
        let url_a = a.url();
        let load = ["-R", "200", "-c", "32", "-d", "40s", "--gate", "p50<+1%", "--output-format", "json"];
        let output = command(&[&["ab", url_a.as_str(), url_b][..], &load].concat());
        let (shown, problem) = said(&output);
        let comparison: Value = serde_json::from_str(&shown).unwrap_or_else(|_| panic!("{problem}{shown}"));
        assert_eq!(comparison["interleaved"], true);
        (output.status.code(), comparison)
    };
    // Of what is the same, one comparison of twenty may say otherwise; and a machine that others use may hide 3 %.
    some_run_is("is no difference proven between a target and itself", || {
        let (code, same) = ab(&a.url());
        (code == Some(0) && row(&same, "p50")["proven"] == false, same.to_string())
    });
    some_run_is("are 3 % proven", || {
        let (code, slower) = ab(&b.url());
        let p50 = row(&slower, "p50");
        let is_3_percent = p50["difference"].as_f64().is_some_and(|found| (0.015..=0.045).contains(&found));
        (code == Some(99) && p50["proven"] == true && is_3_percent, slower.to_string())
    });
}
