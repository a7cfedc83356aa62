//! A load that changes: what was asked for stands behind the charts, whoever asked for it.

use serde_json::{Value, json};

use crate::cases::wait_for_state;
use crate::harness::{Broker, System, TEST_END, alone, beside_others};
use crate::page::{Page, picture_file};

#[test]
fn a_load_that_is_changed_by_hand_is_marked_and_moves_the_end() {
    let _machine = beside_others();
    let broker = Broker::embedded();
    let system = System::new(&broker);
    let target = system.target(&[]);
    let (mut orchestrator, _drivers) = system.with_drivers(2);
    let mut page = Page::open(&orchestrator.process.wait_for_address(), "/");
    let test_id = orchestrator.start(&json!({
        "test_type": "TSUNAMI", "target_url": target.url(), "profile": "3s@100, 1h@50..200/3", "connections": 8,
        "thresholds": ["p99<5s over 2s", "rate>1M"],
    }));
    wait_for_state(&mut page, "RUNNING");

    // Nonsense is said, and changes nothing.
    page.fill("#change-load", "much");
    page.press("Enter", 13, "\r");
    page.wait_for("a word of refusal", "!document.querySelector('#test-error').hidden");
    page.expect_refusal(422);
    page.eval::<Value>("document.querySelector('#change-load').select()");
    page.type_text("5s@300, 4s@20");
    page.press("Enter", 13, "\r");
    page.wait_for("no word of refusal", "document.querySelector('#test-error').hidden");

    // Of the hour that was asked for at first, it would be a hundredth.
    let progress = "!document.querySelector('#progress').hidden && document.querySelector('#progress').value > 0.5";
    page.wait_for("half of the time that is left", progress);
    let thresholds = "[...document.querySelectorAll('#thresholds li')].map((line) => [line.innerText, line.className])";
    page.wait_for("a threshold that is not kept", "document.querySelector('#thresholds li.bad')");
    let lines: Vec<(String, String)> = page.eval(thresholds);
    assert!(lines[0].0.starts_with("p99<5s over 2s: kept (") && lines[0].1.is_empty(), "{lines:?}");
    assert!(lines[1].0.starts_with("rate>1M: not kept (") && lines[1].1 == "bad", "{lines:?}");
    page.wait_within(TEST_END, "the end", "document.querySelector('#test-state').textContent === 'COMPLETED'");

    let test = orchestrator.wait_for_end(&test_id);
    let at = test.amendments[0].at_second;
    let phases: Vec<_> = test.phases.iter().map(|phase| (phase.from_s, phase.to_s, phase.load.as_str())).collect();
    let at_s = at as f64;
    let ends = [(0.0, 3.0, "100"), (3.0, at_s, "50..200/3"), (at_s, at_s + 5.0, "300"), (at_s + 5.0, at_s + 9.0, "20")];
    assert_eq!(phases, ends.map(|(from_s, to_s, load)| (from_s, Some(to_s), load)));
    let last = at + 8;
    let drawn = "document.querySelector('#chart-throughput').data?.[0]?.x.at(-1)";
    page.wait_for("all seconds in the charts", &format!("{drawn} === {last}"));
    let shapes = json!([["rect", 3, at], ["rect", at + 5, last], ["line", at, at]]);
    for chart in ["throughput", "latency", "in-flight", "schedule-error"] {
        let layout = format!("document.querySelector('#chart-{chart}').layout");
        let shown: Value = page.eval(&format!("{layout}.shapes.map(({{ type, x0, x1 }}) => [type, x0, x1])"));
        assert_eq!(shown, shapes, "{chart}");
    }
    let names: Value =
        page.eval("document.querySelector('#chart-throughput').layout.annotations.map(({ text, x }) => [text, x])");
    let expected = json!([["100", 0], ["50–200 in 3 steps", 3], ["change: 300", at], ["20", at + 5]]);
    assert_eq!(names, expected);
    page.assert_no_complaint();
}

/// The shapes that docs/LOAD.md shows: the name of the picture, and the load.
const SHAPES: [(&str, &str); 6] = [
    ("constant", "20s@500"),
    ("ramp", "4s@200, 12s@200..1k, 4s@1k"),
    ("steps", "20s@200..1k/5"),
    ("spike", "8s@200, 3s@1500, 9s@200"),
    ("pause-max", "6s@500, 5s@pause, 5s@max, 4s@500"),
    ("poisson", "20s@500"),
];

/// Makes the pictures of docs/LOAD.md anew, which takes minutes: only where `ONRUSH_PICTURES` asks for pictures.
#[test]
fn every_shape_has_its_picture() {
    if std::env::var_os("ONRUSH_PICTURES").is_none() {
        return;
    }
    let _machine = alone();
    let broker = Broker::embedded();
    let system = System::new(&broker);
    let target = system.target(&["--delay", "5ms"]);
    let (mut orchestrator, _drivers) = system.with_drivers(2);
    let mut page = Page::open(&orchestrator.process.wait_for_address(), "/");
    // High enough for all of it: nothing moves when the picture is taken.
    page.resize(700, 3000, false);
    page.prefer("light");
    let picture = |page: &mut Page, name: &str, test_id: &str| {
        let seconds = orchestrator.series(test_id).len();
        page.visit(&format!("/?test={test_id}"));
        let drawn = "document.querySelector('#chart-throughput').data?.[0]?.x.length";
        page.wait_for("every second in the chart", &format!("{drawn} === {seconds}"));
        page.picture_of(&picture_file(&format!("load-{name}.png"), true), "figure:has(#chart-throughput)");
    };
    for (name, profile) in SHAPES {
        let arrivals = if name == "poisson" { "poisson" } else { "even" };
        let test_id = orchestrator.start(&json!({
            "test_type": "TSUNAMI", "target_url": target.url(), "profile": profile, "arrivals": arrivals, "connections": 8,
            "name": name,
        }));
        orchestrator.wait_for_end(&test_id);
        picture(&mut page, name, &test_id);
    }
    let test_id = orchestrator.start(&json!({
        "test_type": "TSUNAMI", "target_url": target.url(), "profile": "10m@300", "connections": 8, "name": "change",
    }));
    orchestrator.wait_for_seconds(&test_id, 5);
    let change = json!({"profile": "6s@900, 6s@100..500", "effective_in": "2s"});
    orchestrator.patch(&format!("/v1/tests/{test_id}"), &change).expect("it runs");
    orchestrator.wait_for_end(&test_id);
    picture(&mut page, "change", &test_id);
    page.assert_no_complaint();
}
