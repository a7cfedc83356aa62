//! Tokens, browsers and whoever tries, together.

use std::fs;
use std::path::Path;

use onrush_api::TokenRole;

use super::wrong_tokens::{MAX_WRONG, WINDOW};
use super::*;

const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

fn token(text: &str) -> Token {
    Token::read(text).expect("a token")
}

fn shown(token: &Token) -> Credential {
    Credential::Token(Some(token.clone()))
}

/// A file with one token.
fn write(path: &Path, role: &str, name: &str, token: &Token) {
    fs::write(path, format!("{role} {name} {}\n", token.reveal())).expect("the folder can be written");
}

#[test]
fn a_list_that_is_read_again_ends_the_sign_ins_of_tokens_that_left_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("tokens");
    let [first, second] = ["the-first-token-of-all", "the-second-token-of-all"].map(token);
    write(&path, "view", "anna", &first);
    let access = Access::by_file(path.clone()).expect("a list");
    let now = Instant::now();
    let (caller, cookie) = access.sign_in(&first, HERE, now).expect("random bytes").expect("her token");
    assert_eq!((&*caller.name, caller.role), ("anna", TokenRole::View));
    let browser = Credential::Cookie(cookie.clone());
    assert_eq!(access.caller(&browser, HERE, now), Ok(caller));
    // Her role follows the file.
    write(&path, "control", "anna", &first);
    assert_eq!(access.reload().ok(), Some(1));
    assert_eq!(access.caller(&browser, HERE, now).map(|caller| caller.role), Ok(TokenRole::Control));
    // A wrong file changes nothing.
    fs::write(&path, "control anna\n").expect("the folder can be written");
    let error = access.reload().expect_err("it is wrong").to_string();
    assert!(error.contains("line 1") && error.contains("tokens"), "{error}");
    assert!(access.caller(&shown(&first), HERE, now).is_ok() && access.caller(&browser, HERE, now).is_ok());
    write(&path, "view", "bert", &second);
    assert_eq!(access.reload().ok(), Some(1));
    assert_eq!(access.caller(&browser, HERE, now), Err(Unknown::SignedOut));
    assert_eq!(access.caller(&shown(&first), HERE, now), Err(Unknown::WrongToken));
    assert!(access.caller(&shown(&second), HERE, now).is_ok());
}

#[test]
fn a_browser_signs_out_and_is_signed_out_in_time() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("tokens");
    let anna = token("the-first-token-of-all");
    write(&path, "view", "anna", &anna);
    let access = Access::by_file(path).expect("a list");
    let now = Instant::now();
    let sign_in = || access.sign_in(&anna, HERE, now).expect("random bytes").expect("her token").1;
    let [one, two] = [sign_in(), sign_in()];
    assert_ne!(one, two);
    access.sign_out(&one);
    assert_eq!(access.caller(&Credential::Cookie(one), HERE, now), Err(Unknown::SignedOut));
    let two = Credential::Cookie(two);
    assert!(access.caller(&two, HERE, now).is_ok());
    assert_eq!(access.caller(&two, HERE, now + SIGN_IN_LENGTH), Err(Unknown::SignedOut));
    // A cookie is no token.
    let Credential::Cookie(text) = &two else { panic!("a cookie") };
    assert_eq!(access.caller(&shown(&token(text)), HERE, now), Err(Unknown::WrongToken));
}

#[test]
fn whoever_tries_tokens_has_to_wait_and_those_who_are_signed_in_do_not() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("tokens");
    let anna = token("the-first-token-of-all");
    write(&path, "view", "anna", &anna);
    let access = Access::by_file(path).expect("a list");
    let now = Instant::now();
    let (_, cookie) = access.sign_in(&anna, HERE, now).expect("random bytes").expect("her token");
    for n in 0..MAX_WRONG {
        let guess = shown(&token(&format!("guess-number-{n:020}")));
        assert_eq!(access.caller(&guess, HERE, now), Err(Unknown::WrongToken));
    }
    let waits = Err(Unknown::TooManyWrong(WINDOW));
    assert_eq!(access.caller(&shown(&anna), HERE, now), waits, "it is not even looked at");
    assert_eq!(access.sign_in(&anna, HERE, now).expect("random bytes").map(|_| ()), waits.map(|_: Caller| ()));
    assert!(access.caller(&Credential::Cookie(cookie), HERE, now).is_ok());
    assert!(access.caller(&shown(&anna), "10.0.0.9".parse().expect("an address"), now).is_ok());
    assert!(access.caller(&shown(&anna), HERE, now + WINDOW).is_ok());
}
