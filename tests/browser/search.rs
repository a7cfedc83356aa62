//! A capacity search on the page: started by its form, followed, and ended equal to REST.

use std::time::Duration;

use serde_json::Value;

use crate::harness::{Broker, System, alone};
use crate::page::{Page, picture_file};

/// The numbers of a list; what is not known is `null`.
fn numbers(list: &Value) -> Vec<Option<f64>> {
    list.as_array().expect("a list").iter().map(Value::as_f64).collect()
}

#[test]
fn a_capacity_is_found_by_hand_and_its_curve_is_what_rest_has() {
    let _machine = alone();
    let broker = Broker::embedded();
    let system = System::new(&broker);
    let target = system.target(&["--queue", "1", "--service", "fixed:5ms"]);
    let (mut orchestrator, _drivers) = system.with_drivers(2);
    let mut page = Page::open(&orchestrator.process.wait_for_address(), "/");
    assert!(page.eval::<bool>("document.querySelector('#search').hidden"), "there is no search yet");
    page.wait_for("two drivers", "document.querySelectorAll('#drivers .pill.good').length === 2");

    page.click("#search-box summary");
    page.fill("#search-target_url", &target.url());
    page.fill("#search-slo", "p99");
    page.click("#search-form button[type=submit]");
    page.wait_for("a word beside the SLO", "!document.querySelector('#error-search-slo').hidden");
    page.expect_refusal(422);
    page.eval::<Value>("document.querySelector('#search-slo').select()");
    page.type_text("p99<100ms,failed<1%");
    page.fill("#search-budget", "25s");
    page.fill("#search-start", "100");
    page.press("Enter", 13, "\r");
    page.wait_for("the address to name the search", "new URLSearchParams(location.search).get('search')");
    let id: String = page.eval("new URLSearchParams(location.search).get('search')");
    let state = |state: &str| format!("document.querySelector('#search-state').textContent === '{state}'");
    page.wait_for("the search to run", &state("RUNNING"));
    // Its test is shown below it.
    page.wait_for("its test", "document.querySelector('#test-state').textContent === 'RUNNING'");
    page.wait_within(Duration::from_secs(60), "its end", &state("COMPLETED"));

    let found: Value = orchestrator.get(&format!("/v1/searches/{id}"));
    let (trials, curve) = (found["trials"].as_array().expect("trials"), found["curve"].as_array().expect("a curve"));
    assert!(trials.len() >= 2, "{found:#}");
    assert!(page.text("#search-about").contains(found["ended"].as_str().expect("why it ended")), "{found:#}");
    let rows = "document.querySelectorAll('#search-trials tr').length";
    page.wait_for("every trial", &format!("{rows} === {}", trials.len()));
    let traces: Value = page.eval(
        "(document.querySelector('#chart-search').data ?? []).map(({ name, x, y, yaxis }) => ({ name, x, y, yaxis: yaxis ?? 'y' }))",
    );
    let traces = traces.as_array().expect("traces");
    let named = |name: &str| traces.iter().find(|trace| trace["name"] == name).unwrap_or_else(|| panic!("{traces:#?}"));
    let p99 = |point: &Value| {
        let quantile = point["quantiles"].as_array()?.iter().find(|each| each["quantile"] == 0.99)?;
        quantile["value_ms"].as_f64().map(|ms| ms / 1000.0)
    };
    let rates: Vec<Option<f64>> = curve.iter().map(|point| point["rate_per_s"].as_f64()).collect();
    assert_eq!(numbers(&named("p99")["x"]), rates);
    assert_eq!(numbers(&named("p99")["y"]), curve.iter().map(p99).collect::<Vec<_>>());
    assert_eq!(numbers(&named("SLO p99<100ms")["y"]), [Some(0.1); 2]);
    for verdict in ["good", "bad", "void"] {
        let is = |trial: &&Value| trial["verdict"].as_str().is_some_and(|word| word.split(':').next() == Some(verdict));
        let expected: Vec<Option<f64>> = trials.iter().filter(is).map(|trial| trial["rate_per_s"].as_f64()).collect();
        assert_eq!(numbers(&named(verdict)["x"]), expected, "{verdict}");
    }
    let bounds = ["lower_per_s", "upper_per_s"].map(|name| found[name].as_f64());
    let bounds: Vec<Option<f64>> = bounds.into_iter().filter(Option::is_some).collect();
    let drawn: Value = page.eval(
        "document.querySelector('#chart-search').layout.shapes.filter(({ type }) => type === 'line').map(({ x0 }) => x0)",
    );
    assert_eq!(numbers(&drawn), bounds);

    for (scheme, width_px) in [("light", 1400), ("dark", 1400), ("light", 400), ("dark", 400)] {
        page.prefer(scheme);
        page.resize(width_px, 900, false);
        let width = "document.querySelector('#chart-search .main-svg').clientWidth";
        page.wait_for("a chart that fits", &format!("{width} <= {width_px}"));
        // The other charts follow in their own time.
        page.wait_for("a page that fits", "document.documentElement.scrollWidth <= innerWidth");
        page.picture(&picture_file(&format!("search-{scheme}-{width_px}.png"), false), Some("#search"));
    }
    page.resize(1400, 900, false);
    // The list leads to it, and its test's address shows it, too.
    page.wait_for("the search in the list", "document.querySelector('#searches tr.chosen a')");
    page.visit(&format!("/?test={id}"));
    page.wait_for("the search of the test", "!document.querySelector('#search').hidden");
    page.assert_no_complaint();
}
