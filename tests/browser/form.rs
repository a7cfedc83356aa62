//! What the form can do besides texts.

use serde_json::Value;

use crate::cases::test_in_address;
use crate::harness::{Broker, System, beside_others};
use crate::page::Page;

#[test]
fn a_body_comes_from_a_file() {
    let _machine = beside_others();
    let broker = Broker::embedded();
    let system = System::new(&broker);
    let mut orchestrator = system.orchestrator();
    let mut page = Page::open(&orchestrator.process.wait_for_address(), "/");
    let body = "a body\0of more than ASCII: é, 🌊\r\n";
    let (file, too_large) = (system.file("body"), system.file("too-large"));
    std::fs::write(&file, body).expect("a file");
    std::fs::write(&too_large, vec![0; 512 * 1024 + 1]).expect("a file");

    page.fill("#field-target_url", "http://127.0.0.1:9/");
    page.fill("#field-message_count_per_driver", "1");
    page.click("#form summary");
    page.fill("#field-method", "POST");
    page.click("#form [name=trigger]");
    page.pick("#field-body_base64", &too_large);
    page.click("#form button[type=submit]");
    page.wait_for("a word beside the file", "!document.querySelector('#error-body_base64').hidden");
    assert!(page.text("#error-body_base64").contains("524288"), "{}", page.text("#error-body_base64"));

    // One of the two, says the server; and what was picked can be taken back.
    page.pick("#field-body_base64", &file);
    page.fill("#field-body", "text");
    page.click("#form button[type=submit]");
    page.wait_for(
        "the server's word",
        "document.querySelector('#error-body_base64').innerText.includes('one of them')",
    );
    page.expect_refusal(422);
    page.click("#field-body_base64 ~ button");
    assert_eq!(page.eval::<usize>("document.querySelector('#field-body_base64').files.length"), 0);

    page.eval::<Value>("document.querySelector('#field-body').value = ''");
    page.pick("#field-body_base64", &file);
    page.click("#form button[type=submit]");
    let test_id = test_in_address(&mut page);
    let config = orchestrator.test(&test_id).config;
    assert_eq!((config.body.as_deref(), config.body_bytes), (Some(body), body.len() as u64));
    page.assert_no_complaint();
}
