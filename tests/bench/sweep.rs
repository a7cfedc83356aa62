//! `onrush sweep`: one run whose rate rises in steps, and the latency at each.

use serde_json::Value;

use super::{command, said, some_run_is, target};
use crate::harness::beside_others;

#[test]
fn a_sweep_measures_each_rate_by_itself() {
    let _machine = beside_others();
    let target = target(&["--delay", "5ms"]);
    let folder = tempfile::tempdir().expect("a folder");
    let chart = folder.path().join("curve.svg").display().to_string();
    let args =
        ["sweep", &target.url(), "--rates", "50..150/3", "--for", "5s", "--output-format", "json", "--chart", &chart];
    some_run_is("without a step that this machine spoilt", || {
        let output = command(&args);
        let (out, err) = said(&output);
        let swept: Value = serde_json::from_str(&out).unwrap_or_else(|e| panic!("{e}: {out}{err}"));
        let steps = swept["steps"].as_array().expect("a list");
        let rates: Vec<f64> = steps.iter().filter_map(|step| step["rate_per_s"].as_f64()).collect();
        assert_eq!(rates, [50.0, 100.0, 150.0], "{swept:#}");
        let mut all_measured = true;
        for (step, rate) in steps.iter().zip(rates) {
            let count = |name: &str| step[name].as_u64().expect("a count");
            let (seconds, void) = (count("seconds"), count("void_seconds"));
            // Two of five are the warm-up; the last second of a run may be its end.
            assert!((2..=3).contains(&(seconds + void)), "{swept:#}");
            // Each second has what its own step asks for, and nothing of another one.
            assert_eq!(count("due"), seconds * rate as u64, "{swept:#}");
            all_measured &= seconds > 0;
            let median = &step["quantiles"][0];
            if let Some(value_ms) = median["value_ms"].as_f64() {
                assert!(
                    value_ms >= 5.0 && median["lower_ms"].as_f64().is_some_and(|lower| lower <= value_ms),
                    "{swept:#}"
                );
            }
        }
        let drawn = std::fs::read_to_string(&chart).expect("a picture");
        assert!(
            drawn.starts_with("<svg")
                && [">p50<", ">p99.9<", ">100<"].iter().all(|text| drawn.replace('\n', "").contains(text)),
            "{drawn}"
        );
        assert_eq!(output.status.code(), Some(if all_measured { 0 } else { 1 }), "{err}");
        (all_measured, format!("{swept:#}"))
    });
}
