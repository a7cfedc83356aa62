//! The page of an orchestrator that wants tokens: a person signs in, sees what the role may see and do, and signs out.

use std::process::Output;

use serde_json::json;

use crate::harness::{Broker, Process, System, beside_others};
use crate::page::{Page, picture_file};

/// A new token and its line for the orchestrator's file.
fn new_token(role: &str, name: &str) -> [String; 2] {
    let args = ["token", "new", "--role", role, "--name", name];
    let Output { stdout, .. } = Process::command(&args).output().expect("the binary starts");
    let text = String::from_utf8(stdout).expect("a text");
    let mut lines = text.lines().map(str::to_owned);
    [(); 2].map(|()| lines.next().expect("two lines"))
}

/// Whether a place is seen by a person.
fn is_seen(page: &mut Page, selector: &str) -> bool {
    page.eval(&format!("document.querySelector({}).checkVisibility()", json!(selector)))
}

fn sign_in(page: &mut Page, token: &str) {
    page.fill("#sign-in-token", token);
    page.press("Enter", 13, "\r");
}

#[test]
fn a_person_signs_in_and_sees_what_the_role_may_do() {
    let _machine = beside_others();
    let broker = Broker::embedded();
    let system = System::new(&broker);
    let [view, view_line] = new_token("view", "anna");
    let [control, control_line] = new_token("control", "bert");
    let file = system.file("tokens");
    std::fs::write(&file, format!("{view_line}\n{control_line}\n")).expect("the folder can be written");
    let mut orchestrator = system.orchestrator_with(&["--token-file", file.to_str().expect("a plain name")]);
    let mut page = Page::open_at_sign_in(&orchestrator.process.wait_for_address());
    for hidden in ["#test", "#form", "#drivers", "#tests", "#who", "#sign-out"] {
        assert!(!is_seen(&mut page, hidden), "{hidden} is seen by somebody who is not signed in");
    }
    page.picture(&picture_file("sign-in.png", false), None);
    sign_in(&mut page, "nobody-has-this-token-here");
    page.wait_for(
        "a word of it",
        "document.querySelector('#sign-in-error').innerText.includes('does not know that token')",
    );
    page.expect_refusal(401);
    assert_eq!(page.eval::<String>("document.querySelector('#sign-in-token').value"), "");

    sign_in(&mut page, &view);
    page.wait_for("her name", "document.querySelector('#who')?.innerText === 'anna (view)'");
    page.wait_until_it_stands();
    page.wait_for("what there is", "document.querySelector('#drivers').innerText.includes('No driver has registered')");
    assert!(!is_seen(&mut page, "#form") && !is_seen(&mut page, "#search-form") && !is_seen(&mut page, "#sign-in"));
    // Were the state of the test such that they are of use.
    page.eval::<serde_json::Value>(
        "['trigger', 'stop', 'change', 'search-stop', 'search'].forEach((id) => (document.getElementById(id).hidden = false))",
    );
    for button in ["#trigger", "#stop", "#change", "#pause", "#search-stop"] {
        assert!(!is_seen(&mut page, button), "{button}");
    }
    // No script reads what stands for the token, and it is stored nowhere else.
    assert_eq!(page.eval::<String>("document.cookie"), "");
    assert_eq!(page.eval::<u32>("localStorage.length + sessionStorage.length"), 0);

    page.click("#sign-out");
    page.wait_for("the form", "document.querySelector('#sign-in')?.hidden === false");
    sign_in(&mut page, &control);
    page.wait_for("his name", "document.querySelector('#who')?.innerText === 'bert (control)'");
    page.wait_until_it_stands();
    assert!(is_seen(&mut page, "#form button[type=submit]"));
    page.fill("#field-target_url", "http://127.0.0.1:9/");
    page.fill("#field-message_count_per_driver", "5");
    page.click("#form input[name=trigger]");
    page.click("#form button[type=submit]");
    page.wait_for("his test", "document.querySelector('#test-state').textContent === 'CONFIGURED'");
    page.wait_for("what he did", "document.querySelector('#events').textContent.includes('created by bert')");
    assert!(is_seen(&mut page, "#stop"));

    // The list without him: the page says so and asks for nothing more.
    std::fs::write(&file, format!("{view_line}\n")).expect("the folder can be written");
    orchestrator.process.hang_up();
    page.wait_for(
        "the end of the sign-in",
        "document.querySelector('#sign-in-error').innerText === 'The sign-in is over.'",
    );
    assert!(!is_seen(&mut page, "#test"));
    // What was on its way is answered.
    page.eval::<serde_json::Value>("new Promise((done) => setTimeout(done, 500))");
    page.expect_refusals(401);
    page.assert_no_complaint();
}
