//! A finished test as one HTML file that needs no network: the page's own modules with the values that they draw.
//!
//! The file may load nothing and runs nothing but its two scripts, whose digests its policy names. Everything else in it is data.
//! Its size is bounded: points of the charts by [`Points`], the chart library by `build.rs`.

mod bundle;
mod points;

use std::io::Read;
use std::sync::LazyLock;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use flate2::read::GzDecoder;
use onrush_api::{BucketView, DistributionView, HistogramView, MetricsView, TestView, options};
use serde::Serialize;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

pub use points::Points;

/// The page's chart library, packed.
pub const LIBRARY_GZIP: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/plotly.min.js.gz"));
const STYLE: &str = concat!(include_str!("../page/style.css"), include_str!("../page/report.css"));
const TEMPLATE: &str = include_str!("../page/report.html");
/// Each asks only for those before it.
const MODULES: [(&str, &str); 6] = [
    ("tables.js", include_str!("../page/tables.js")),
    ("figures.js", include_str!("../page/figures.js")),
    ("series.js", include_str!("../page/series.js")),
    ("charts.js", include_str!("../page/charts.js")),
    ("result.js", include_str!("../page/result.js")),
    ("report.js", include_str!("../page/report.js")),
];
/// Where the part of the page begins that shows a test, and what follows it.
const RESULT_BEGINS: &str = "<div id=\"test-body\" hidden>";
const RESULT_ENDS: &str = "    </section>";

/// A quantile that is drawn this much higher looks the same: a pixel is more.
const SAME_TO_THE_EYE: f64 = 1.005;

/// A header of such a name has a value that is not for everybody who gets the report.
const SECRET_WORDS: [&str; 8] =
    ["authorization", "cookie", "token", "secret", "password", "key", "session", "credential"];
const HIDDEN: &str = "(hidden)";

/// A finished run, as a report shows it.
#[derive(Clone, Debug)]
pub struct Report {
    /// The test.
    pub test: TestView,
    /// Its totals.
    pub totals: MetricsView,
    /// Its seconds, for the charts.
    pub points: Points,
    /// Its distributions over all.
    pub distributions: HistogramView,
    /// Who sent the requests.
    pub machines: Vec<Machine>,
    /// When the report was written, in UTC.
    pub written_at: String,
}

/// A machine or process that took part.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Machine {
    /// Its name in the test.
    pub name: String,
    /// What is known of it: a name and a value each.
    pub facts: Vec<(&'static str, String)>,
}

/// What the file is made of beside its data.
struct Parts {
    policy: String,
    result: &'static str,
    script: String,
    library: String,
}

static PARTS: LazyLock<Parts> = LazyLock::new(|| {
    let script = bundle::bundle(&MODULES);
    let mut library = String::new();
    GzDecoder::new(LIBRARY_GZIP).read_to_string(&mut library).expect("the build packed this text");
    let digest = |text: &str| format!("'sha256-{}'", BASE64_STANDARD.encode(Sha256::digest(text)));
    let policy = format!(
        "default-src 'none'; script-src {} {}; style-src {}; img-src data:; base-uri 'none'; form-action 'none'",
        digest(&script),
        digest(&library),
        digest(STYLE)
    );
    Parts { policy, result: result_part(), script, library: BASE64_STANDARD.encode(LIBRARY_GZIP) }
});

/// The policy of the file, for whoever serves it: it loads nothing, runs its own two scripts and reaches no other page.
pub fn policy() -> String {
    format!("{}; frame-ancestors 'none'; sandbox allow-scripts", PARTS.policy)
}

impl Report {
    /// The file.
    pub fn html(mut self) -> String {
        hide_secrets(&mut self.test);
        let data = in_script(&self.data().to_string());
        let title = self.test.name.as_deref().unwrap_or(&self.test.test_id);
        let title = title.replace('&', "&amp;").replace('<', "&lt;");
        // What is put in is not looked through again, so that no text can stand for another part.
        let parts = [
            ("{{title}}", title.as_str()),
            ("{{policy}}", &PARTS.policy),
            ("{{style}}", STYLE),
            ("{{result}}", PARTS.result),
            ("{{data}}", &data),
            ("{{library}}", &PARTS.library),
            ("{{script}}", &PARTS.script),
        ];
        let mut html = String::with_capacity(data.len() + PARTS.library.len() + PARTS.script.len() + 64 * 1024);
        let mut rest = TEMPLATE;
        for (place, text) in parts {
            let (before, after) =
                rest.split_once(place).expect("the template has a place for each part, in this order");
            html.push_str(before);
            html.push_str(text);
            rest = after;
        }
        html + rest
    }

    fn data(&self) -> Value {
        let Self { test, totals, points, distributions, machines, written_at } = self;
        let options: Vec<Value> = options()
            .into_iter()
            .map(|o| json!({"name": o.name, "shown_as": o.shown_as, "shown_default": o.shown_default}))
            .collect();
        json!({
            "test": test,
            "totals": totals,
            "series": points.columns(),
            "distribution": {
                "latency": curve(&distributions.latency),
                "service_time": curve(&distributions.service_time),
            },
            "machines": machines,
            "options": options,
            "written": {"at": written_at, "version": env!("CARGO_PKG_VERSION")},
        })
    }
}

/// A distribution for its chart: the count of each bucket behind its upper end. Buckets whose ends lie within [`SAME_TO_THE_EYE`] of
/// one another become one, up to the largest of these ends.
fn curve(distribution: &DistributionView) -> Value {
    let mut buckets: Vec<(f64, u64)> = Vec::new();
    let mut first_ms = f64::NEG_INFINITY;
    for BucketView { up_to_ms, count } in &distribution.buckets {
        match buckets.last_mut() {
            Some(last) if *up_to_ms <= first_ms * SAME_TO_THE_EYE => *last = (*up_to_ms, last.1 + count),
            _ => {
                first_ms = *up_to_ms;
                buckets.push((*up_to_ms, *count));
            }
        }
    }
    json!({"count": distribution.count, "buckets": buckets})
}

/// JSON as the content of a script element: nothing in it ends the element or begins a comment.
fn in_script(json: &str) -> String {
    json.replace('<', "\\u003c").replace('\u{2028}', "\\u2028").replace('\u{2029}', "\\u2029")
}

/// The part of the page that shows a test.
fn result_part() -> &'static str {
    let page = include_str!("../page/index.html");
    let (_, part) = page.split_once(RESULT_BEGINS).expect("the page shows a test");
    part.split_once(RESULT_ENDS).expect("its section ends").0
}

/// Replaces the values of headers that are not for everybody, in the test's own headers and those of its requests.
fn hide_secrets(test: &mut TestView) {
    let others = &mut test.config.others;
    others.get_mut("headers").into_iter().for_each(hide_headers);
    for request in others.get_mut("targets").and_then(Value::as_array_mut).into_iter().flatten() {
        request.get_mut("headers").into_iter().for_each(hide_headers);
    }
}

/// Headers are shown as pairs of texts.
fn hide_headers(headers: &mut Value) {
    for header in headers.as_array_mut().into_iter().flatten() {
        if let Some([Value::String(name), Value::String(value)]) = header.as_array_mut().map(Vec::as_mut_slice)
            && is_secret(name)
        {
            *value = HIDDEN.into();
        }
    }
}

fn is_secret(header: &str) -> bool {
    let header = header.to_ascii_lowercase();
    SECRET_WORDS.iter().any(|word| header.contains(word))
}

#[cfg(test)]
mod tests;
