//! Whatever is accepted is a plan for a driver, fits into a message, and can be stored, read back and shown.

use fastrand::Rng;
use onrush_driver::plan_of;
use onrush_protocol::{MAX_MESSAGE_BYTES, Participant, TestConfig};

use super::{creation, made};
use crate::NewTest;
use crate::actor::Actor;
use crate::clock::Now;
use crate::record::TestRecord;
use crate::store::{Durability, Store, StoreReader, Stored, save_test};
use crate::testing::{node, session, test_id};
use crate::views;

const CASES: u64 = 10_000;
/// What a run begins with; a failed one prints its case.
const SEED_VARIABLE: &str = "ONRUSH_SEED";
const DRIVERS: usize = 8;
/// So many tests are stored at once: a commit costs more than a test.
const BATCH: u64 = 500;

#[test]
fn whatever_is_accepted_can_be_run_sent_stored_and_shown() {
    let seed = std::env::var(SEED_VARIABLE).map_or_else(|_| fastrand::u64(..), |seed| seed.parse().expect("a number"));
    println!("{SEED_VARIABLE}={seed}");
    let mut random = Rng::with_seed(seed);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("onrush.db");
    let mut store = Store::open(&path).unwrap();
    let reader = StoreReader::open(&path).unwrap();
    let (mut accepted, mut refused) = (0, 0);
    while accepted < CASES {
        let mut records = Vec::new();
        while (records.len() as u64) < BATCH {
            let body = made::test(&mut random, "http://127.0.0.1:8080/ping");
            let fields = body.as_object().expect("an object");
            match creation::parse(fields, test_id(&format!("t{}", accepted + records.len() as u64)), DRIVERS) {
                Ok(test) => {
                    let NewTest { config, name, trigger } = test;
                    records.push((
                        body.to_string(),
                        TestRecord::created(config, name, trigger, &Actor::NOBODY, Now::read()),
                    ));
                }
                Err(_) => refused += 1,
            }
        }
        let transaction = store.begin(Durability::Process).unwrap();
        for (body, record) in &records {
            plan_of(&record.config, None).unwrap_or_else(|problems| panic!("a driver refuses {body}: {problems:?}"));
            assert_is_sent_whole(&record.config, body);
            save_test(&transaction, record).unwrap_or_else(|error| panic!("{body}: {error}"));
        }
        transaction.commit().unwrap();
        for (body, record) in records {
            let stored = reader.test(record.test_id.as_str()).unwrap();
            let Some(Stored::Whole(read)) = stored else { panic!("it cannot be read back: {body}") };
            assert_eq!(*read, record, "{body}");
            assert_eq!(views::test(&read), views::test(&record), "{body}");
            serde_json::to_string(&views::test(&read)).unwrap_or_else(|error| panic!("{body}: {error}"));
            accepted += 1;
        }
    }
    println!("{accepted} accepted, {refused} refused");
    // The bodies are made by the rules: few are refused.
    assert!(refused * 2 < accepted, "{refused} refused of {}", accepted + refused);
}

/// With the longest names of as many drivers as may take part.
fn assert_is_sent_whole(config: &TestConfig, body: &str) {
    let name = |n: usize| format!("{n}{}", "n".repeat(199));
    let participant = |n: usize| Participant { node_id: node(&name(n)), session_id: Some(session(&name(n))) };
    let sent = TestConfig { participants: Some((0..DRIVERS).map(participant).collect()), ..config.clone() };
    let message = sent.write();
    assert!(message.len() <= MAX_MESSAGE_BYTES, "{} bytes: {body}", message.len());
    assert_eq!(TestConfig::read(&message).unwrap_or_else(|error| panic!("{body}: {error}")), sent, "{body}");
}
