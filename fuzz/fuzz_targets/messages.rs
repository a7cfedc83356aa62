//! Messages from anybody: reading never panics, and what was read is the same after writing and reading it again.
#![no_main]

use std::fmt::Debug;

use libfuzzer_sys::fuzz_target;
use onrush_protocol::{Heartbeat, Metrics, ReadError, Register, TestConfig, Trigger};

fn round_trip<M: Debug + PartialEq>(
    payload: &[u8],
    read: fn(&[u8]) -> Result<M, ReadError>,
    write: fn(&M) -> Vec<u8>,
) -> Option<M> {
    let message = match read(payload) {
        Ok(message) => message,
        Err(error) => {
            assert!(error.to_string().len() < 1000, "the error repeats the message: {error}");
            return None;
        }
    };
    let written = write(&message);
    let again = read(&written);
    assert_eq!(again.as_ref(), Ok(&message), "written as {}", String::from_utf8_lossy(&written));
    Some(message)
}

fuzz_target!(|payload: &[u8]| {
    round_trip(payload, Register::read, Register::write);
    round_trip(payload, Trigger::read, Trigger::write);
    round_trip(payload, Heartbeat::read, Heartbeat::write);
    round_trip(payload, Metrics::read, Metrics::write);
    if let Some(config) = round_trip(payload, TestConfig::read, TestConfig::write) {
        let _problems = config.problems();
    }
});
