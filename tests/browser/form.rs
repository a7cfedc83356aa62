//! What the form can do besides texts.

use serde_json::{Value, json};

use crate::cases::test_in_address;
use crate::harness::{Broker, System, beside_others};
use crate::page::Page;

#[test]
fn the_form_has_every_option_and_a_test_gets_what_it_says() {
    let _machine = beside_others();
    let broker = Broker::embedded();
    let system = System::new(&broker);
    let mut orchestrator = system.orchestrator();
    let base = orchestrator.process.wait_for_address();
    let mut page = Page::open(&base, "/");
    let options: Vec<Value> = page.eval("fetch('/v1/options').then((answer) => answer.json())");
    let names: Vec<&str> = options.iter().filter_map(|option| option["name"].as_str()).collect();
    for name in ["expect", "targets", "order", "seed", "tls_insecure", "tls_ca_pem", "tls_cert_pem", "tls_key_pem"] {
        assert!(names.contains(&name), "{name} is not among {names:?}");
    }
    for option in &options {
        let (name, label) = (option["name"].as_str().expect("a name"), option["label"].as_str().expect("a label"));
        let shown: String = page.eval(&format!("document.querySelector('#field-{name}').labels[0].textContent"));
        assert_eq!(shown, label);
    }

    page.click("#form summary");
    page.fill("#field-target_url", "http://127.0.0.1:9/");
    page.fill("#field-message_count_per_driver", "10k");
    page.fill("#field-think_time", "20ms");
    page.fill("#field-expect", "status=2xx\njson:/ok=true");
    page.fill("#field-targets", "{\"url\": \"/one\", \"weight\": 3}\n{");
    page.fill("#field-seed", "7");
    page.eval::<Value>("document.querySelector('#field-order').value = 'shuffled'");
    page.click("#field-tls_insecure");
    page.fill("#field-tls_key_pem", "-----BEGIN PRIVATE KEY-----");
    page.click("#form [name=trigger]");

    // What is no JSON is said at once, what is wrong with a field by the server; both beside it.
    page.click("#form button[type=submit]");
    page.wait_for(
        "a word beside the requests",
        "document.querySelector('#error-targets').innerText.includes('line 2')",
    );
    page.eval::<Value>("document.querySelector('#field-targets').value += '\"expect\": \"status=404\"}'");
    page.click("#form button[type=submit]");
    page.wait_for(
        "the server's word",
        "document.querySelector('#error-tls_cert_pem').innerText.includes('certificate')",
    );
    page.expect_refusal(422);
    page.eval::<Value>("document.querySelector('#field-tls_key_pem').value = ''");
    page.click("#form button[type=submit]");

    let test_id = test_in_address(&mut page);
    let config = orchestrator.test(&test_id).config;
    assert_eq!(config.message_count_per_driver, Some(10_000));
    let others = &config.others;
    assert_eq!(others["think_time_s"], 0.02);
    assert_eq!(others["expect"], json!(["status=200-299", "json:/ok=true"]));
    assert_eq!((&others["targets"][0]["weight"], &others["targets"][1]["expect"]), (&json!(3), &json!(["status=404"])));
    assert_eq!((&others["order"], &others["seed"]), (&json!("shuffled"), &json!(7)));
    assert_eq!((&others["tls_insecure"], &others["tls_client_certificate"]), (&json!(true), &json!(false)));
    page.wait_for("the line about it", "document.querySelector('#test-about').innerText.includes('shuffled')");
    page.assert_no_complaint();
}

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
    let config = orchestrator.test(&test_id).config.others;
    assert_eq!((&config["body"], &config["body_bytes"]), (&json!(body), &json!(body.len())));
    page.assert_no_complaint();
}
