//! The outcome of a test is one word, whoever shows it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use onrush_api::{DriverState, Outcome, TestState};
use onrush_protocol::Topic;
use serde_json::json;

use crate::cases::table;
use crate::harness::{Broker, Orchestrator, Peer, Process, System, beside_others};
use crate::page::Page;

/// A driver that sends only the specification's fields: it counts nothing, so nothing of it can be proved.
const PLAIN: &str = "plain-driver";

/// What `onrush test` says, and its exit code.
fn terminal(orchestrator: &Orchestrator, args: &[&str]) -> (String, Option<i32>) {
    let all = [&["test", "--orchestrator", orchestrator.base()], args].concat();
    let output = Process::command(&all).output().expect("onrush runs");
    let text = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
    (text, output.status.code())
}

#[track_caller]
fn assert_same_word(orchestrator: &Orchestrator, page: &mut Page, test_id: &str, outcome: Outcome) {
    let test = orchestrator.wait_for_end(test_id);
    assert_eq!((test.state, test.outcome), (TestState::Completed, Some(outcome)), "{test:#?}");
    let word = outcome.name();
    let line = test.conservation.expect("an ended test has its proof").line;
    assert!(line.starts_with(&format!("conservation: {word} (")), "{line}");
    let whole: serde_json::Value = orchestrator.get(&format!("/v1/tests/{test_id}"));
    let listed: serde_json::Value = orchestrator.get("/v1/tests");
    assert_eq!((&whole["outcome"], &listed[0]["outcome"]), (&word.into(), &word.into()));

    let exported = orchestrator.try_get("/metrics").expect("metrics").1;
    for other in Outcome::ALL {
        let series = format!("onrush_test_outcome{{test=\"{test_id}\",outcome=\"{}\"}} ", other.name());
        let value = exported.lines().find_map(|line| line.strip_prefix(&series));
        assert_eq!(value, Some(if other == outcome { "1" } else { "0" }), "{series} in {exported}");
    }

    let (list, _) = terminal(orchestrator, &["list"]);
    let row = list.lines().find(|line| line.starts_with(test_id)).unwrap_or_else(|| panic!("{list}"));
    assert_eq!(row.split_whitespace().nth(2), Some(word), "{list}");
    let (shown, code) = terminal(orchestrator, &["watch", test_id]);
    assert!(shown.contains(&line), "{shown}");
    assert_eq!(code, Some(if outcome.is_sound() { 0 } else { 1 }), "{shown}");

    page.visit(&format!("/?test={test_id}"));
    page.wait_for("the proof", &format!("document.querySelector('#conservation').innerText.includes({})", json!(line)));
    assert!(page.text("#notes").contains(&format!("The result is {word}:")), "{}", page.text("#notes"));
    page.wait_for("the test in the list", "document.querySelector('#tests tr.chosen') !== null");
    let history = table(page, ":has(> #tests)");
    assert!(history[0].iter().any(|cell| cell == word), "{history:?}");
}

#[test]
fn an_unproved_and_an_incomplete_result_have_the_same_word_everywhere() {
    let _machine = beside_others();
    let broker = Broker::embedded();
    let system = System::new(&broker);
    let target = system.target(&[]);
    let (mut orchestrator, mut drivers) = system.with_drivers(1);
    let mut page = Page::open(&orchestrator.process.wait_for_address(), "/");
    let described: serde_json::Value = orchestrator.get("/openapi.json");
    let words = Outcome::ALL.map(Outcome::name);
    assert_eq!(described["components"]["schemas"]["Outcome"]["enum"], json!(words));
    let mut tests = Vec::new();
    let (peer, done) = (Peer::new(&broker), AtomicBool::new(false));
    std::thread::scope(|scope| {
        // The scope ends also where this fails.
        let done = SetOnDrop(&done);
        scope.spawn(|| {
            let peer = Peer::new(&broker);
            let register = json!({"node_id": PLAIN, "node_IP": "10.1.2.3", "message_type": "DRIVER_NODE_REGISTER"});
            peer.send_json(Topic::Register, &register);
            while !done.0.load(Ordering::Relaxed) {
                let beat = json!({"node_id": PLAIN, "heartbeat": "YES", "timestamp": "2026-01-01 12:00:00"});
                peer.send_json(Topic::Heartbeat, &beat);
                std::thread::sleep(Duration::from_millis(500));
            }
        });
        let tests = &mut tests;
        for (outcome, requests) in [(Outcome::Unproved, 400), (Outcome::Incomplete, 4_000)] {
            orchestrator.wait_for_driver(PLAIN, "there", |driver| driver.state == DriverState::Alive);
            let test_id = orchestrator.start(&json!({
                "test_type": "TSUNAMI", "target_url": target.url(), "message_count_per_driver": requests,
                "test_message_delay": "2ms", "connections": 8, "name": format!("with <{requests}>"),
            }));
            orchestrator.wait_for_test(&test_id, "running", |test| test.state == TestState::Running);
            let latency = json!({"mean_latency": 2, "median_latency": 2, "min_latency": 1, "max_latency": 3});
            let report = json!({"node_id": PLAIN, "test_id": test_id, "report_id": "r", "metrics": latency});
            peer.send_json(Topic::Metrics, &report);
            if outcome == Outcome::Incomplete {
                orchestrator.wait_for_seconds(&test_id, 1);
                drivers[0].kill();
            }
            assert_same_word(&orchestrator, &mut page, &test_id, outcome);
            tests.push(test_id);
        }
    });
    find_and_delete(&orchestrator, &mut page, &tests);
    page.assert_no_complaint();
}

/// A part of the history is asked for, and a test is deleted; one that is over has a report and an export.
fn find_and_delete(orchestrator: &Orchestrator, page: &mut Page, tests: &[String]) {
    let rows = |count: usize| format!("document.querySelectorAll('#tests a').length === {count}");
    page.visit(&format!("/?test={}", tests[0]));
    page.wait_for("both tests", &rows(2));
    page.fill("#find-name", "WITH <4,");
    page.wait_for("none of that name", "document.querySelector('#tests').innerText === 'No test is like that.'");
    let _null: serde_json::Value = page.eval("(document.querySelector('#find-name').value = '', null)");
    page.fill("#find-name", "WITH <400>");
    page.wait_for("the test of that name", &rows(1));
    let links: Vec<String> = page.eval("['report', 'export'].map((id) => document.querySelector(`#${id}`).pathname)");
    assert_eq!(links, ["report", "export"].map(|what| format!("/v1/tests/{}/{what}", tests[0])));
    assert_eq!(orchestrator.try_get(&links[0]).map(|(status, _)| status), Ok(200));
    assert!(!orchestrator.export(&tests[0]).is_empty());
    page.click("#delete");
    assert_eq!(page.text("#delete"), "Delete for good?");
    page.click("#delete");
    page.wait_for("the test to be gone", "document.querySelector('#tests').innerText === 'No test is like that.'");
    assert_eq!(orchestrator.tests().iter().map(|test| &test.test_id).collect::<Vec<_>>(), [&tests[1]]);
    page.visit("/");
    page.wait_for(
        "the other test",
        &format!("document.querySelector('#test-title').innerText.includes('{}')", tests[1]),
    );
}

struct SetOnDrop<'a>(&'a AtomicBool);

impl Drop for SetOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
