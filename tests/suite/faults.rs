//! Nodes that stand still for a while, and come back.

use std::time::Duration;

use onrush_orchestrator::view::TestState;

use super::checks::{assert_exact, avalanche, tsunami};
use crate::harness::{Broker, System, beside_others};

/// Longer than the silence that makes a driver lost.
const PAUSE: Duration = Duration::from_secs(8);

/// Whoever did not listen has no reason to take the others for gone.
pub fn an_orchestrator_that_stood_still_loses_nobody(broker: &Broker) {
    let _machine = beside_others();
    let system = System::new(broker);
    let target = system.target(&[]);
    let (orchestrator, _drivers) = system.with_drivers(2);
    for round in 1..=3 {
        orchestrator.process.pause();
        std::thread::sleep(PAUSE);
        orchestrator.process.resume();
        // The very first thing that it is asked.
        let test_id = orchestrator.start(&avalanche(&target.url(), 200));
        orchestrator.wait_for_end(&test_id);
        assert_exact(&orchestrator, &test_id, 2, 200);
        assert_eq!(target.counted().0, round * 400);
        orchestrator.wait_for_idle(2);
    }
    let test_id = orchestrator.start(&tsunami(&target.url(), 1_200, "10ms"));
    orchestrator.wait_for_seconds(&test_id, 1);
    orchestrator.process.pause();
    std::thread::sleep(PAUSE);
    orchestrator.process.resume();
    assert_eq!(orchestrator.test(&test_id).state, TestState::Running, "paused too late for this test to mean anything");
    let test = orchestrator.wait_for_end(&test_id);
    assert_exact(&orchestrator, &test_id, 2, 1_200);
    assert!(!test.events.iter().any(|event| event.kind == "lost"), "{test:#?}");
}
