//! Whatever is accepted can be stored, listed, read back and armed: tests made at random, out of everything that may be said.

use std::collections::BTreeMap;

use fastrand::Rng;
use onrush_api::{ParticipantState, TestState, TestSummary, TestView};

use super::made;
use crate::harness::{Broker, System, beside_others};

/// How many; a long run sets the variable.
const COUNT_VARIABLE: &str = "ONRUSH_RANDOM_TESTS";
const COUNT: usize = 60;
/// What a run begins with; it is printed, to be given again where it failed.
const SEED_VARIABLE: &str = "ONRUSH_SEED";
/// A body that is refused was made by a rule that this file does not know; few are.
const MAX_REFUSED_SHARE: f64 = 0.3;

pub fn whatever_is_accepted_is_armed_listed_and_read_back(broker: &Broker) {
    let _machine = beside_others();
    let variable = |name| std::env::var(name).ok().map(|text| text.parse::<u64>().expect("a number"));
    let count = variable(COUNT_VARIABLE).map_or(COUNT, |count| usize::try_from(count).expect("a count"));
    let seed = variable(SEED_VARIABLE).unwrap_or_else(|| fastrand::u64(..));
    println!("{SEED_VARIABLE}={seed}");
    let mut random = Rng::with_seed(seed);
    let system = System::new(broker);
    let target = system.target(&[]);
    let (mut orchestrator, _drivers) = system.with_drivers(2);

    let mut accepted: BTreeMap<String, TestView> = BTreeMap::new();
    let mut refused = 0;
    while accepted.len() < count {
        let body = made::test(&mut random, &target.url());
        let created = match orchestrator.create(&body) {
            Ok(created) => created,
            Err(refusal) => {
                assert_eq!(refusal.status, 422, "{body}: {refusal:?}");
                refused += 1;
                continue;
            }
        };
        let armed = orchestrator.wait_for_test(&created.test_id, &format!("armed: {body}"), |test| {
            let is_refused = test.participants.iter().any(|p| p.state == ParticipantState::Refused);
            assert!(!test.state.is_end() && !is_refused, "{body}: {:#?}", test.participants);
            test.state == TestState::Armed
        });
        assert_eq!(armed.config, created.config, "{body}");
        orchestrator.stop(&created.test_id).unwrap_or_else(|refusal| panic!("{body}: {refusal:?}"));
        let over = orchestrator.wait_for_end(&created.test_id);
        assert_eq!((over.state, &over.config), (TestState::Stopped, &created.config), "{body}");
        accepted.insert(created.test_id, over);
    }
    assert!(refused as f64 <= MAX_REFUSED_SHARE * (count + refused) as f64, "{refused} refused, {count} accepted");
    println!("{count} accepted, {refused} refused");

    orchestrator.process.kill();
    drop(orchestrator);
    orchestrator = system.orchestrator();
    let mut listed: BTreeMap<String, TestSummary> = BTreeMap::new();
    let mut before = String::new();
    loop {
        let page: Vec<TestSummary> = orchestrator.get(&format!("/v1/tests?limit=100{before}"));
        let Some(last) = page.last() else { break };
        before = format!("&before={}", last.test_id);
        listed.extend(page.into_iter().map(|test| (test.test_id.clone(), test)));
    }
    assert_eq!(listed.len(), accepted.len());
    for (test_id, before) in &accepted {
        assert_eq!(&orchestrator.test(test_id), before);
        let summary = &listed[test_id];
        assert_eq!((summary.state, &summary.name), (before.state, &before.name));
    }
}
