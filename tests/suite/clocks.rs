//! A driver whose wall clock is wrong, and is set while it lives.

use onrush_api::DriverState;

use super::checks::{assert_exact, avalanche};
use crate::harness::{Broker, System, beside_others};

/// The next test runs on it all the same, it starts with the others, and people are told.
pub fn a_driver_whose_clock_is_set_while_it_lives(broker: &Broker) {
    let _machine = beside_others();
    let system = System::new(broker);
    let target = system.target(&[]);
    let (orchestrator, _driver) = system.with_drivers(1);
    let (_shifted, clock) = system.driver_with_clock("shifted");
    orchestrator.wait_for_idle(2);
    let rounds = [
        (0.0, ""),
        (20.0, "20.0 s ahead"),
        (3_600.0, "60.0 min ahead"),
        (-1.5, "1.5 s behind"),
        (-3_600.0, "60.0 min behind"),
        (0.0, ""),
    ];
    for (round, (seconds, words)) in rounds.into_iter().enumerate() {
        clock.shift_s(seconds);
        orchestrator.wait_for_driver("shifted", "seen through", |driver| {
            let is_idle = driver.state == DriverState::Idle;
            let is_near = |ms: f64| (ms - seconds * 1e3).abs() < 400.0;
            let is_said = if words.is_empty() {
                driver.warnings.is_empty()
            } else {
                driver.warnings.iter().any(|warning| warning.contains(words))
            };
            is_idle && is_said && driver.clock_offset_ms.is_some_and(is_near)
        });
        let test_id = orchestrator.start(&avalanche(&target.url(), 100));
        let test = orchestrator.wait_for_end(&test_id);
        assert_exact(&orchestrator, &test_id, 2, 100);
        assert_eq!(target.counted().0, 200 * (round as u64 + 1));
        assert!(test.start_skew_ms.is_some_and(|ms| ms < 250.0), "{seconds}: {:?}", test.start_skew_ms);
        assert_eq!(test.events.iter().any(|event| event.kind == "clock"), !words.is_empty(), "{test:#?}");
        orchestrator.wait_for_idle(2);
    }
    let said = orchestrator.process.said().iter().filter(|line| line.contains("wall clock")).count();
    assert_eq!(said, 5 + 4, "once per change, and with each test:\n{}", orchestrator.process.output());
}
