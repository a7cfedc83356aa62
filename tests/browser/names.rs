//! Figures by the name of the request: a table, and a line for each name in two charts.

use onrush_api::{MetricsView, NameView, SecondView};
use serde_json::{Value, json};

use crate::cases::{assert_values, chart, latencies, table};
use crate::harness::{SOON, wait_for};
use crate::page::Page;

/// A name is text, whatever it looks like.
const HOME: &str = "home <b>&";
/// The name of a request that was given none.
const MISSING: &str = "GET /missing";

/// Requests of two names: of one every response fails its check.
pub fn targets() -> Value {
    json!([{ "name": HOME }, {"url": "/missing?a=1", "expect": ["status=2xx"]}])
}

/// Of the requests of [`targets`] the page shows what REST gives.
#[track_caller]
pub fn assert_shown(page: &mut Page, metrics: &MetricsView, seconds: &[SecondView]) {
    let names = &metrics.all.by_name;
    assert_eq!(names.keys().collect::<Vec<_>>(), [MISSING, HOME]);
    let rows = table(page, "#by-name");
    assert_eq!(rows.len(), names.len(), "{rows:#?}");
    for (row, (name, of)) in rows.iter().zip(names) {
        assert_eq!(row[0].lines().next(), Some(name.as_str()), "{row:?}");
        let [sent, answered, failed] = [of.sent, of.answered, of.failed].map(|n| Some(n as f64));
        let mut values = vec![sent, answered, failed, of.responses_per_s];
        values.extend(latencies(&of.latency));
        assert_values(&row[1..], &values, name);
    }
    let failed = names[MISSING].failed;
    assert!(failed > 0, "{names:#?}");
    assert_eq!(rows[0][0], format!("{MISSING}\n404 × {failed}; check_failed × {failed}"));

    type Value = fn(&NameView) -> Option<f64>;
    let lines: [(&str, Value); 2] = [
        ("name-throughput", |of| Some(of.responses as f64)),
        ("name-latency", |of| of.latency.p99_ms.map(|ms| ms / 1000.0)),
    ];
    for (id, value) in lines {
        let line = |name: &str| seconds.iter().map(|second| value(second.all.by_name.get(name)?)).collect();
        let lines = [(MISSING.to_owned(), line(MISSING)), ("home &lt;b>&amp;".to_owned(), line(HOME))];
        wait_for("every second of each name", SOON, || {
            let shown = chart(page, id);
            if shown == lines { Ok(()) } else { Err(format!("{lines:?} is wanted, shown is {shown:?}")) }
        });
        let legend =
            format!("[...document.querySelectorAll('#chart-{id} .legendtext')].map((text) => text.textContent)");
        assert_eq!(page.eval::<Vec<String>>(&legend), [MISSING, HOME]);
    }
}

/// Where all requests have one name, nothing is said of names.
#[track_caller]
pub fn assert_hidden(page: &mut Page) {
    let places = "['#by-name', 'figure:has(#chart-name-throughput)', 'figure:has(#chart-name-latency)']";
    let hidden = format!("{places}.map((place) => document.querySelector(place).hidden)");
    assert_eq!(page.eval::<Value>(&hidden), json!([true, true, true]));
}
