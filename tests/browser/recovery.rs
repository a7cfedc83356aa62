//! The page when something goes wrong between it and the orchestrator: it recovers by itself, and ends equal to REST.

use serde_json::{Value, json};

use crate::cases::{assert_numbers, wait_for_medians, wait_for_state};
use crate::harness::{Broker, Orchestrator, System, TEST_END, beside_others, wait_for};
use crate::page::Page;

/// How many seconds the chart shows.
const SECONDS: &str = "(document.querySelector('#chart-throughput').data?.[0]?.x.length ?? 0)";

fn eight_seconds(target_url: &str) -> Value {
    json!({
        "test_type": "TSUNAMI", "target_url": target_url, "message_count_per_driver": 1600, "test_message_delay": "5ms",
        "connections": 16,
    })
}

/// The page shows the result that REST gives: state, numbers, every second, the proof.
#[track_caller]
fn assert_result(page: &mut Page, orchestrator: &Orchestrator, test_id: &str) {
    let test = orchestrator.wait_for_end(test_id);
    let state = format!("{:?}", test.state).to_uppercase();
    wait_for_state(page, &state);
    let metrics = orchestrator.metrics(test_id);
    let seconds = orchestrator.series(test_id);
    let sent = metrics.all.sent.expect("our drivers report it");
    let shown = "document.querySelector('#numbers tbody td').innerText.replaceAll(',', '')";
    page.wait_for("the last numbers", &format!("{shown} === '{sent}'"));
    assert_numbers(page, &metrics);
    wait_for_medians(page, &seconds);
    let proof = test.conservation.expect("an ended test has its proof").line;
    assert!(page.text("#conservation").contains(&proof), "{proof:?} is not shown: {}", page.text("#conservation"));
    page.wait_for("no word of trouble", "document.querySelector('#test-error').hidden");
}

#[test]
fn an_orchestrator_that_dies_twice_is_found_again() {
    let _machine = beside_others();
    let broker = Broker::embedded();
    let system = System::new(&broker);
    let target = system.target(&[]);
    let (mut orchestrator, _drivers) = system.with_drivers(2);
    let address = orchestrator.process.wait_for_address();
    let mut page = Page::open(&address, "/");
    page.eval::<Value>("window.isTheSame = true");
    let test_id = orchestrator.start(&eight_seconds(&target.url()));
    let is_lost = "document.querySelector('#test-error').innerText.includes('does not answer') \
                   && document.querySelector('#link').classList.contains('bad')";

    // In the middle of the test: the page goes on with the same test.
    page.wait_within(TEST_END, "two seconds in the chart", &format!("{SECONDS} >= 2"));
    drop(orchestrator);
    page.wait_for("a word of trouble", is_lost);
    let before: usize = page.eval(SECONDS);
    assert!(before >= 2, "what was known is gone");
    let orchestrator = system.orchestrator_at(&address);
    page.wait_for("more seconds in the chart", &format!("{SECONDS} > {before}"));
    page.wait_for("a connection", "document.querySelector('#link').innerText === 'connected'");

    // And while the test ends: the page learns of it afterwards.
    drop(orchestrator);
    page.wait_for("a word of trouble", is_lost);
    wait_for("all requests at the target", TEST_END, || match target.counted().0 {
        3200 => Ok(()),
        sent => Err(format!("{sent} requests")),
    });
    let orchestrator = system.orchestrator_at(&address);
    assert_result(&mut page, &orchestrator, &test_id);
    assert!(page.eval::<bool>("window.isTheSame"), "the page was loaded anew");
    page.expect_lost_connections();
    page.assert_no_complaint();
}

#[test]
fn a_page_whose_stream_says_nothing_asks() {
    let _machine = beside_others();
    let broker = Broker::embedded();
    let system = System::new(&broker);
    let target = system.target(&[]);
    let (mut orchestrator, _drivers) = system.with_drivers(2);
    let silent = "window.EventSource = class extends EventTarget { close() {} }";
    let mut page = Page::open_with(&orchestrator.process.wait_for_address(), "/", silent);
    let test_id = orchestrator.start(&eight_seconds(&target.url()));
    page.wait_for(
        "seconds of the running test",
        &format!("document.querySelector('#test-state').textContent === 'RUNNING' && {SECONDS} >= 1"),
    );
    assert_result(&mut page, &orchestrator, &test_id);
    page.assert_no_complaint();
}

/// The answer to the button says how the test was before it stopped, and the stream may be faster.
#[test]
fn an_answer_that_comes_late_undoes_nothing() {
    let _machine = beside_others();
    let broker = Broker::embedded();
    let system = System::new(&broker);
    let target = system.target(&[]);
    let (mut orchestrator, _drivers) = system.with_drivers(2);
    let held = "const ask = window.fetch; window.fetch = async (...about) => { const answer = await ask(...about); \
                if (String(about[0]).endsWith('/stop')) await new Promise((go) => { window.letGo = go; }); return answer; }";
    let mut page = Page::open_with(&orchestrator.process.wait_for_address(), "/", held);
    let test_id = orchestrator.start(&eight_seconds(&target.url()));
    wait_for_state(&mut page, "RUNNING");
    orchestrator.wait_for_seconds(&test_id, 1);
    page.click("#stop");
    wait_for_state(&mut page, "STOPPED");
    page.wait_for("the held answer", "window.letGo");
    page.eval::<Value>("window.letGo(); null");
    page.wait_for("the button's turn to end", "!document.querySelector('#stop').disabled");
    assert_eq!(page.text("#test-state"), "STOPPED");
    assert_result(&mut page, &orchestrator, &test_id);
    page.assert_no_complaint();
}
