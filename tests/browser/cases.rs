//! What a person does on the page, and what they must see then.

use std::time::Duration;

use onrush_api::{MetricsView, ScopeView, SecondView, SummaryView, TestState};
use serde_json::{Value, json};

use crate::harness::{Broker, SOON, System, TEST_END, alone, beside_others, wait_for};
use crate::names;
use crate::page::{Page, picture_file};

/// The texts of a table's body, row by row.
pub fn table(page: &mut Page, selector: &str) -> Vec<Vec<String>> {
    page.eval(&format!(
        "[...document.querySelectorAll('{selector} tbody tr')].map((row) => [...row.cells].map((cell) => cell.innerText.trim()))"
    ))
}

/// A number on the page is the one that REST gives, to its last digit; three digits are shown at least.
#[track_caller]
fn assert_shown(text: &str, value: Option<f64>, what: &str) {
    let Some(value) = value else {
        assert_eq!(text, "—", "{what} is not known");
        return;
    };
    let plain = text.replace(',', "");
    let shown: f64 = plain.parse().unwrap_or_else(|e| panic!("{what}: {text:?}: {e}"));
    let decimals = plain.split_once('.').map_or(0, |(_, decimals)| decimals.len());
    let half_a_digit = 0.5 * 10_f64.powi(-(decimals as i32));
    assert!((shown - value).abs() <= half_a_digit * 1.000_001, "{what}: the page shows {text}, REST gives {value}");
}

/// A row of the table of numbers is a scope of REST's totals.
#[track_caller]
fn assert_row(row: &[String], scope: &ScopeView) {
    let name = scope.node_id.as_deref().unwrap_or("All");
    assert!(row[0].starts_with(name), "{row:?} is not {name}'s");
    let count = |value: Option<u64>| value.map(|value| value as f64);
    let mut values = vec![count(scope.sent), count(scope.answered), count(scope.failed), scope.responses_per_s];
    values.extend(latencies(&scope.latency));
    values.push(scope.schedule_error.p99_ms);
    assert_values(&row[1..], &values, name);
}

/// A distribution in the order of the columns.
pub fn latencies(latency: &SummaryView) -> [Option<f64>; 8] {
    let SummaryView { mean_ms, median_ms, min_ms, max_ms, p90_ms, p95_ms, p99_ms, p999_ms, .. } = *latency;
    [mean_ms, median_ms, min_ms, max_ms, p90_ms, p95_ms, p99_ms, p999_ms]
}

/// Cells show these values.
#[track_caller]
pub fn assert_values(texts: &[String], values: &[Option<f64>], of: &str) {
    assert_eq!(texts.len(), values.len(), "{texts:?}");
    for (column, (text, value)) in texts.iter().zip(values).enumerate() {
        assert_shown(text, *value, &format!("{of}, number {}", column + 1));
    }
}

/// The table of numbers shows what REST gives.
#[track_caller]
pub fn assert_numbers(page: &mut Page, metrics: &MetricsView) {
    let rows = table(page, "#numbers");
    assert_eq!(rows.len(), metrics.drivers.len() + 1, "{rows:#?}");
    for (row, scope) in rows.iter().zip(std::iter::once(&metrics.all).chain(&metrics.drivers)) {
        assert_row(row, scope);
    }
}

/// What a chart's lines are made of.
pub fn chart(page: &mut Page, id: &str) -> Vec<(String, Vec<Option<f64>>)> {
    page.eval(&format!(
        "(document.getElementById('chart-{id}').data ?? []).map((trace) => [trace.name, trace.y.map((y) => y ?? null)])"
    ))
}

/// Waits until the chart of latencies shows exactly these seconds.
#[track_caller]
pub fn wait_for_medians(page: &mut Page, seconds: &[SecondView]) {
    let medians = seconds.iter().map(|second| second.all.latency.median_ms.map(|ms| ms / 1000.0));
    let expected = ("median".to_owned(), medians.collect());
    wait_for("every second in the chart", SOON, || {
        let shown = chart(page, "latency");
        if shown.first() == Some(&expected) {
            Ok(())
        } else {
            Err(format!("{expected:?} is wanted, shown is {shown:?}"))
        }
    });
}

/// Waits until the test on show is in that state.
#[track_caller]
pub fn wait_for_state(page: &mut Page, state: &str) {
    page.wait_within(TEST_END, state, &format!("document.querySelector('#test-state').textContent === '{state}'"));
}

/// The id of the test that the address names.
pub fn test_in_address(page: &mut Page) -> String {
    page.wait_for("the address to name the test", "new URLSearchParams(location.search).get('test')");
    page.eval("new URLSearchParams(location.search).get('test')")
}

#[test]
fn a_test_is_started_by_the_form_seen_every_second_and_ends_equal_to_rest() {
    let _machine = alone();
    let broker = Broker::embedded();
    let system = System::new(&broker);
    let target = system.target(&["--delay", "3ms"]);
    let (mut orchestrator, _drivers) = system.with_drivers(2);
    let mut page = Page::open(&orchestrator.process.wait_for_address(), "/");
    page.wait_for("two drivers", "document.querySelectorAll('#drivers .pill.good').length === 2");
    assert_eq!(page.text("#test-title"), "No test yet");

    // What is wrong is said beside its field, and the keyboard stands there.
    page.click("input[value=TSUNAMI]");
    page.fill("#field-target_url", "8080");
    page.click("#form button[type=submit]");
    page.wait_for("a word beside the field", "!document.querySelector('#error-target_url').hidden");
    assert_eq!(page.eval::<String>("document.activeElement.id"), "field-target_url");
    page.expect_refusal(422);
    page.eval::<Value>("document.querySelector('#field-target_url').select()");

    // Every value that the page shows as sent is written down as it changes.
    page.eval::<Value>(
        "window.seen = []; new MutationObserver(() => { \
         const text = document.querySelector('#numbers tbody td')?.innerText; \
         if (text && text !== window.seen.at(-1)) window.seen.push(text); \
         }).observe(document.querySelector('#numbers tbody'), { childList: true }); null",
    );
    page.type_text(&target.url());
    page.fill("#field-message_count_per_driver", "1600");
    page.fill("#field-test_message_delay", "5ms");
    page.fill("#field-connections", "16");
    page.fill("#field-name", "by hand");
    page.press("Enter", 13, "\r");
    let test_id = test_in_address(&mut page);
    wait_for_state(&mut page, "RUNNING");
    wait_for_state(&mut page, "COMPLETED");

    let metrics = orchestrator.metrics(&test_id);
    let seconds = orchestrator.series(&test_id);
    assert_eq!(metrics.all.sent, Some(3200));
    assert!(page.text("#test-title").starts_with("by hand"));
    page.wait_for("all answers in the table", "document.querySelector('#numbers tbody td').innerText === '3,200'");
    assert_numbers(&mut page, &metrics);

    let seen: Vec<String> = page.eval("window.seen");
    let seen: Vec<u64> = seen.iter().filter_map(|text| text.replace(',', "").parse().ok()).collect();
    assert!(seen.is_sorted(), "requests sent went back: {seen:?}");
    // No second is skipped: for each of them, the page showed all that was sent up to its end and not yet all of the next.
    let sent = seconds.iter().scan(0, |sum, second| {
        *sum += second.all.sent.unwrap_or(0);
        Some(*sum)
    });
    let mut sent: Vec<u64> = sent.collect();
    sent.dedup();
    for (index, now) in sent.iter().enumerate() {
        let next = sent.get(index + 1).copied().unwrap_or(u64::MAX);
        let shown = seen.iter().any(|seen| (*now..next).contains(seen));
        assert!(shown, "nothing from {now} on and below {next} was shown; sent by second: {sent:?}, shown: {seen:?}");
    }

    // The charts have every second, and add up to the table.
    wait_for_medians(&mut page, &seconds);
    let lines = chart(&mut page, "throughput");
    let sums: Vec<(&str, f64)> = lines.iter().map(|(name, ys)| (name.as_str(), ys.iter().flatten().sum())).collect();
    // What was asked of each, then what each sent and what came back.
    let names = ["asked", "asked", "driver-1", "driver-1", "driver-2", "driver-2"];
    assert_eq!(sums, names.map(|name| (name, 1600.0)));
    // An earlier one was drawn while the test ran.
    let buckets = orchestrator.histogram(&test_id).latency.buckets;
    let largest = buckets.last().map(|bucket| bucket.up_to_ms / 1000.0).expect("answers were measured");
    wait_for("the whole distribution in its chart", SOON, || {
        let shown = chart(&mut page, "distribution");
        let is_whole = shown.len() == 2 && shown[0].1.last() == Some(&Some(largest));
        if is_whole { Ok(()) } else { Err(format!("up to {largest} s is wanted, shown is {shown:?}")) }
    });

    // The history has the result, and a link that shows the same in a fresh page.
    page.wait_for("the result in the history", "document.querySelector('#tests td.number').innerText === '3,200'");
    let history = table(&mut page, ":has(> #tests)");
    assert!(history[0][0].starts_with("by hand") && history[0][1] == "TSUNAMI", "{history:?}");
    page.visit(&format!("/?test={test_id}"));
    page.wait_for("the same test", "document.querySelector('#numbers tbody td')?.innerText === '3,200'");
    assert_numbers(&mut page, &metrics);
    page.wait_for(
        "the charts",
        &format!("document.querySelector('#chart-throughput').data?.[0]?.x.length === {}", seconds.len()),
    );
    page.assert_no_complaint();
}

#[test]
fn a_running_test_is_stopped_by_its_button() {
    let _machine = beside_others();
    let broker = Broker::embedded();
    let system = System::new(&broker);
    let target = system.target(&[]);
    let (mut orchestrator, _drivers) = system.with_drivers(2);
    let mut page = Page::open(&orchestrator.process.wait_for_address(), "/");
    let test = json!({
        "test_type": "AVALANCHE", "target_url": target.url(), "duration": "60s", "target_throughput": 200, "name": "too long",
        "targets": names::targets(),
    });
    let test_id = orchestrator.start(&test);
    // A page that names no test follows the newest.
    wait_for_state(&mut page, "RUNNING");
    orchestrator.wait_for_seconds(&test_id, 2);
    page.click("#stop");
    wait_for_state(&mut page, "STOPPED");
    let ended = orchestrator.wait_for_end(&test_id);
    assert_eq!(ended.state, TestState::Stopped);
    let metrics = orchestrator.metrics(&test_id);
    let sent = metrics.all.sent.expect("our drivers report it");
    let shown = "document.querySelector('#numbers tbody td').innerText.replaceAll(',', '')";
    page.wait_for("the last numbers", &format!("{shown} === '{sent}'"));
    assert_numbers(&mut page, &metrics);
    assert!(page.eval::<bool>("document.querySelector('#stop').hidden"));
    names::assert_shown(&mut page, &metrics, &orchestrator.series(&test_id));
    page.assert_no_complaint();
}

#[test]
fn failures_have_their_chart_and_what_is_unknown_is_a_dash() {
    let _machine = beside_others();
    let broker = Broker::embedded();
    let system = System::new(&broker);
    let target = system.target(&["--delay", "300ms"]);
    let (mut orchestrator, _drivers) = system.with_drivers(2);
    let mut page = Page::open(&orchestrator.process.wait_for_address(), "/");
    let test = json!({
        "test_type": "TSUNAMI", "target_url": target.url(), "message_count_per_driver": 20, "test_message_delay": "50ms",
        "timeout": "100ms",
    });
    let test_id = orchestrator.start(&test);
    orchestrator.wait_for_end(&test_id);
    wait_for_state(&mut page, "COMPLETED");
    page.wait_for("the failures", "document.querySelector('#numbers tbody td.bad')?.innerText === '40'");
    assert_numbers(&mut page, &orchestrator.metrics(&test_id));
    let row = &table(&mut page, "#numbers")[0];
    assert_eq!(row[5], "—", "nothing was answered, so no latency is known: {row:?}");
    let left_out = "Latency leaves out 40 of 40 due (100.0 %), which have no response.";
    assert_eq!(page.text("#left-out"), left_out);
    names::assert_hidden(&mut page);
    page.wait_for("the failures' chart", "document.querySelector('#chart-failures').data?.length === 1");
    let failures = chart(&mut page, "failures");
    assert_eq!(failures[0].1.iter().flatten().sum::<f64>(), 40.0, "{failures:?}");
    page.assert_no_complaint();
}

#[test]
fn the_charts_keep_their_memory_bounded_and_replace_a_second_that_comes_late() {
    let _machine = beside_others();
    let broker = Broker::embedded();
    let system = System::new(&broker);
    let mut orchestrator = system.orchestrator();
    let mut page = Page::open(&orchestrator.process.wait_for_address(), "/");
    let found: Value = page.eval(
        "import('/series.js').then(({ Series }) => { \
         const second = (index, sent, latency) => ({ second_index: index, all: { latency: { max_ms: latency }, \
           schedule_error: {}, failures: { timeout: 1 }, \
             by_name: { [index % 2 ? 'odd' : 'even']: { sent: 1, responses: 1, latency: { p99_ms: latency } } } }, drivers: [{ node_id: 'a', sent }, { node_id: 'b', sent: null }] }); \
         const late = new Series(); \
         const taken = [second(0, 5, 1), second(2, 7, 1), second(1, 1, 1), second(1, 6, 1)].map((each) => late.put(each)); \
         const day = new Series(); \
         for (let index = 0; index < 86400; index += 1) day.put(second(index, 2, index === 1000 ? 9 : 1)); \
         const points = day.points(); \
         const sum = (of) => points.reduce((total, point) => total + of(point), 0); \
         return { taken, folded: day.put(second(1000, 2, 9)), late: late.points().map((point) => [point.start_s, point.drivers.a.sent]), points: points.length, \
           newest: points.slice(-600).every((point) => point.width_s === 1), sent: sum((point) => point.drivers.a.sent), \
           unknown: points.every((point) => point.drivers.b.sent == null), failures: sum((point) => point.failures.timeout), \
           odd: sum((point) => point.names.odd?.sent ?? 0), slow: points.filter((point) => point.names.even?.p99_ms === 9).length, \
           seconds: sum((point) => point.width_s), peaks: points.filter((point) => point.latency.max_ms === 9).length }; })",
    );
    assert_eq!(found["late"], json!([[0, 5], [1, 6], [2, 7]]));
    // A gap and a second that is folded already are noticed: the page asks for everything again.
    assert_eq!((&found["taken"], &found["folded"]), (&json!([true, false, true, true]), &json!(false)));
    assert!(found["points"].as_u64().is_some_and(|points| (1000..=3600).contains(&points)), "{found}");
    let expected = json!({"sent": 172_800, "failures": 86_400, "odd": 43_200, "slow": 1, "seconds": 86_400, "peaks": 1, "newest": true, "unknown": true});
    for (name, value) in expected.as_object().expect("an object") {
        assert_eq!(&found[name], value, "{name}: {found}");
    }
    page.assert_no_complaint();
}

#[test]
fn a_long_run_in_the_light_in_the_dark_and_on_a_phone() {
    let _machine = alone();
    let broker = Broker::embedded();
    let system = System::new(&broker);
    let target = system.target(&["--delay", "4ms"]);
    let (mut orchestrator, _drivers) = system.with_drivers(2);
    let mut page = Page::open(&orchestrator.process.wait_for_address(), "/");
    let warm_up = json!({
        "test_type": "AVALANCHE", "target_url": target.url(), "message_count_per_driver": 5000, "connections": 16,
        "name": "warm-up",
    });
    let warm_up = orchestrator.start(&warm_up);
    orchestrator.wait_for_end(&warm_up);
    orchestrator.wait_for_idle(2);
    // Long enough that it runs still when it is stopped, however busy the machine.
    let long = json!({
        "test_type": "TSUNAMI", "target_url": target.url(), "duration": "60s", "test_message_delay": "1ms", "connections": 64,
        "name": "checkout, 1,000 a second",
    });
    let test_id = orchestrator.start(&long);
    wait_for_state(&mut page, "RUNNING");
    let drawn = "document.querySelector('#chart-throughput').data?.[0]?.x.length";
    page.wait_within(TEST_END, "22 seconds in the chart", &format!("{drawn} >= 22"));
    page.wait_for("the distribution", "document.querySelector('#chart-distribution').data?.length === 2");
    let used = chart(&mut page, "target-cpu");
    assert_eq!(used.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), ["used", "wanted and not got"]);
    let known: Vec<f64> = used[0].1.iter().flatten().copied().collect();
    assert!(known.len() >= 10 && known.iter().all(|share| (0.0..=1.0).contains(share)), "{known:?}");

    let ground = "getComputedStyle(document.body).backgroundColor";
    page.prefer("light");
    let light: String = page.eval(ground);
    page.picture(&picture_file("dashboard-light.png", true), None);
    page.prefer("dark");
    page.picture(&picture_file("dashboard-dark.png", true), None);
    assert_ne!(page.eval::<String>(ground), light);
    let paper = "document.querySelector('#chart-latency').layout.paper_bgcolor";
    page.wait_for(
        "dark charts",
        &format!("{paper} === getComputedStyle(document.documentElement).getPropertyValue('--card').trim()"),
    );

    for (scheme, name) in [("dark", "phone-dark.png"), ("light", "phone-light.png")] {
        page.prefer(scheme);
        page.resize(390, 844, true);
        page.wait_for(
            "charts as wide as the phone",
            "document.querySelector('#chart-latency .main-svg').clientWidth <= 390",
        );
        let [needed, there]: [f64; 2] = page.eval("[document.documentElement.scrollWidth, innerWidth]");
        assert!(needed <= there, "the page is {needed} wide on a phone of {there}");
        page.picture(&picture_file(name, false), None);
    }
    page.resize(1280, 900, false);

    // The keyboard alone: the first stop is the way past the header, and every control shows where it is.
    page.eval::<Value>("document.activeElement.blur()");
    page.press("Tab", 9, "");
    assert_eq!(page.eval::<String>("document.activeElement.className"), "skip");
    page.eval::<Value>("document.querySelector('#stop').focus()");
    page.press("Enter", 13, "\r");
    page.wait_within(
        Duration::from_secs(60),
        "the end",
        "['STOPPED', 'COMPLETED'].includes(document.querySelector('#test-state').textContent)",
    );
    orchestrator.wait_for_end(&test_id);
    page.assert_no_complaint();
}

#[test]
fn a_wrong_clock_is_said_beside_its_driver() {
    let _machine = beside_others();
    let broker = Broker::embedded();
    let system = System::new(&broker);
    let (mut orchestrator, _driver) = system.with_drivers(1);
    let (_shifted, clock) = system.driver_with_clock("shifted");
    orchestrator.wait_for_idle(2);
    let mut page = Page::open(&orchestrator.process.wait_for_address(), "/");
    let row = |name: &str| {
        format!("[...document.querySelectorAll('#drivers tr')].find(row => row.innerText.includes('{name}')).innerText")
    };
    page.wait_for("both drivers", "document.querySelectorAll('#drivers tr').length === 2");
    assert!(!page.eval::<String>(&row("shifted")).contains("clock"));
    clock.shift_s(20.0);
    page.wait_for("the warning", &format!("{}.includes('20.0 s ahead')", row("shifted")));
    assert!(!page.eval::<String>(&row("driver-1")).contains("clock"));
    clock.shift_s(0.0);
    page.wait_for("no warning", &format!("!{}.includes('ahead')", row("shifted")));
    page.assert_no_complaint();
}
