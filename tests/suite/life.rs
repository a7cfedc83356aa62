//! Ends that are not completion.

use onrush_api::{DriverState, Outcome, ParticipantState, ParticipantView, TestState};

use super::checks::{assert_consistent, assert_exact, assert_proved, avalanche, tsunami};
use crate::harness::{Broker, System, beside_others};

pub fn a_running_test_is_stopped(broker: &Broker) {
    let _machine = beside_others();
    let system = System::new(broker);
    let target = system.target(&["--delay", "20ms"]);
    let (orchestrator, _drivers) = system.with_drivers(2);
    let test_id = orchestrator.start(&tsunami(&target.url(), 100_000, "5ms"));
    orchestrator.wait_for_seconds(&test_id, 2);
    orchestrator.stop(&test_id).expect("a running test can be stopped");
    let test = orchestrator.wait_for_end(&test_id);
    assert_eq!((test.state, test.outcome), (TestState::Stopped, Some(Outcome::Exact)), "{test:#?}");
    assert!(test.participants.iter().all(|part| part.state == ParticipantState::Stopped), "{test:#?}");
    assert_proved(&test);
    assert_consistent(&orchestrator, &test_id);
    let all = orchestrator.metrics(&test_id).all;
    let sent = all.sent.expect("our drivers report it");
    assert!((400..50_000).contains(&sent), "{sent} requests in some two seconds of 400");
    assert_eq!(all.answered.zip(all.failed).map(|(a, f)| a + f), Some(sent), "{all:#?}");
    assert_eq!(target.counted().0, sent);

    orchestrator.wait_for_idle(2);
    let next = orchestrator.start(&avalanche(&target.url(), 20));
    orchestrator.wait_for_end(&next);
    assert_exact(&orchestrator, &next, 2, 20);
}

pub fn a_target_that_is_down_fails_the_test(broker: &Broker) {
    let _machine = beside_others();
    let system = System::new(broker);
    let mut target = system.target(&[]);
    target.process.kill();
    let (orchestrator, _drivers) = system.with_drivers(2);

    let mut triggered = avalanche(&target.url(), 10);
    triggered["trigger"] = true.into();
    let said = match orchestrator.create(&triggered) {
        Err(refusal) => {
            assert_eq!(refusal.status, 409, "{refusal:?}");
            refusal.detail().to_owned()
        }
        Ok(test) => {
            let test = orchestrator.wait_for_end(&test.test_id);
            assert_eq!(test.state, TestState::Failed, "{test:#?}");
            // The first refusal decides; the other driver may not even have answered.
            let refused = |part: &ParticipantView| part.state == ParticipantState::Refused && part.reason.is_some();
            assert!(test.participants.iter().any(refused), "{test:#?}");
            test.reason.unwrap_or_default()
        }
    };
    assert!(said.contains("connect"), "it does not say what is wrong: {said:?}");

    // A driver that refused is as good as new.
    let target = system.target(&[]);
    orchestrator.wait_for_driver("driver-1", "idle", |driver| driver.state == DriverState::Idle);
    orchestrator.wait_for_idle(2);
    let next = orchestrator.start(&avalanche(&target.url(), 10));
    orchestrator.wait_for_end(&next);
    assert_exact(&orchestrator, &next, 2, 10);
}
