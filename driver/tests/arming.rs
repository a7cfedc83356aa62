//! Arming that takes long: what is wanted meanwhile, and what cannot be opened.

#[allow(dead_code, reason = "each test binary uses its part")]
mod common;

use std::net::TcpListener;
use std::time::Duration;

use common::{LONG, Server, Stage, config};
use onrush_protocol::TestConfig;

/// A test whose connections never open: the target accepts and says nothing to the handshake.
fn endless(test: &str, silent: &TcpListener, server: &Server) -> TestConfig {
    let mut config = config(test, 10, server);
    config.target_url = Some(format!("https://{}/", silent.local_addr().unwrap()));
    config.connect_timeout = 10 * LONG;
    config.timeout = 10 * LONG;
    config
}

/// Waits until the driver connects: it is arming.
fn arming(silent: &TcpListener) -> std::net::TcpStream {
    silent.accept().unwrap().0
}

#[test]
fn arming_is_called_off_by_a_stop_and_by_a_newer_test() {
    let (server, silent) = (Server::start(), TcpListener::bind("127.0.0.1:0").unwrap());
    let mut stage = Stage::start(None);
    stage.send_config(&endless("stopped", &silent, &server));
    let _first = arming(&silent);
    stage.stop_test("stopped");
    stage.send_config(&config("after", 10, &server));
    stage.armed("after");
    stage.send_config(&endless("replaced", &silent, &server));
    let _second = arming(&silent);
    stage.send_config(&config("newer", 10, &server));
    stage.armed("newer");
    stage.end();
}

#[test]
fn a_driver_that_is_arming_ends_when_it_is_told_to() {
    let (server, silent) = (Server::start(), TcpListener::bind("127.0.0.1:0").unwrap());
    let stage = Stage::start(None);
    stage.send_config(&endless("endless", &silent, &server));
    let _first = arming(&silent);
    let begun = std::time::Instant::now();
    stage.end();
    assert!(begun.elapsed() < Duration::from_secs(30), "{:?}", begun.elapsed());
}
