//! Load that changes over time, and one schedule over several drivers: what is due is what the integral says.

use onrush_api::{Outcome, ParticipantState, TestState};
use onrush_protocol::Topic;
use serde_json::{Value, json};

use super::checks::{assert_consistent, of_driver};
use crate::harness::{Broker, Orchestrator, Peer, System, Target, alone, beside_others};

/// A machine that stands still for a moment leaves requests unsent; what was due is exact all the same.
const TRIES: usize = 5;

/// 1,000 + 1,200 + 500 requests.
const PROFILE: &str = "2s@500, 4s@100..500, 2s@500..0";
const DUE: [u64; 8] = [500, 500, 150, 250, 350, 450, 375, 125];

pub fn a_profile_is_followed_by_every_driver(broker: &Broker) {
    let _machine = alone();
    let system = System::new(broker);
    let target = system.target(&[]);
    let (orchestrator, _drivers) = system.with_drivers(2);
    let form = json!([
        {"for": "2s", "rate": 500}, {"for": 4, "from": 100, "to": "500"}, {"for": "2000ms", "from": 500, "to": 0},
    ]);
    for (kind, profile) in [("AVALANCHE", json!(PROFILE)), ("TSUNAMI", form)] {
        let asked = json!({
            "test_type": kind, "target_url": target.url(), "profile": profile, "connections": 8,
        });
        until_nearly_all_is_sent(&orchestrator, &target, &asked, &|test_id| {
            for second in orchestrator.series(test_id) {
                for node_id in ["driver-1", "driver-2"] {
                    let due = of_driver(&second, node_id).and_then(|scope| scope.due).expect("it is measured");
                    let index = usize::try_from(second.second_index).expect("an index");
                    let integral = DUE.get(index).copied().unwrap_or(0);
                    assert!(due.abs_diff(integral) <= 1, "{kind}, {node_id}, second {index}: {due} for {integral}");
                }
            }
            let metrics = orchestrator.metrics(test_id);
            assert!(metrics.drivers.iter().all(|scope| scope.due == Some(DUE.iter().sum())), "{metrics:#?}");
        });
    }
}

pub fn drivers_share_one_schedule(broker: &Broker) {
    const TOTAL_PER_S: u64 = 301;
    let _machine = alone();
    let system = System::new(broker);
    let target = system.target(&[]);
    let (orchestrator, mut drivers) = system.with_drivers(3);
    let loads = [
        json!({"test_type": "TSUNAMI", "total_throughput": TOTAL_PER_S, "duration": "3s"}),
        json!({"test_type": "AVALANCHE", "profile": "total: 1s@301, 2s@pause, 2s@301"}),
        json!({"test_type": "TSUNAMI", "total_throughput": TOTAL_PER_S, "duration": "3s", "arrivals": "poisson", "seed": 7}),
    ];
    let mut poisson_due = Vec::new();
    for mut asked in loads {
        (asked["target_url"], asked["connections"]) = (target.url().into(), 8.into());
        until_nearly_all_is_sent(&orchestrator, &target, &asked, &|test_id| {
            let metrics = orchestrator.metrics(test_id);
            let due: Vec<u64> = metrics.drivers.iter().map(|scope| scope.due.expect("it is measured")).collect();
            let all: u64 = due.iter().sum();
            if asked["arrivals"].is_null() {
                assert_eq!(all, 3 * TOTAL_PER_S, "{due:?}");
            }
            assert!(due.iter().all(|n| n.abs_diff(all / 3) <= 1), "the shares differ: {due:?}");
        });
        if !asked["arrivals"].is_null() {
            poisson_due.push((asked, target.counted().0));
        }
    }
    // The same schedule over fewer drivers: one that leaves changes the shares of the others.
    drop(drivers.pop());
    orchestrator.wait_for_idle(2);
    for (asked, _) in poisson_due {
        let of_three = due_of_last(&orchestrator);
        until_nearly_all_is_sent(&orchestrator, &target, &asked, &|test_id| {
            assert_eq!(orchestrator.metrics(test_id).all.due, Some(of_three), "the seed's process is another one");
        });
    }
}

/// A driver that knows the specification alone cannot follow a profile, and says so before anything is sent.
pub fn a_driver_of_the_bare_specification_refuses_a_profile(broker: &Broker) {
    let _machine = beside_others();
    let system = System::new(broker);
    let target = system.target(&[]);
    let (orchestrator, _drivers) = system.with_drivers(1);
    let plain = Peer::new(broker);
    plain.send_json(
        Topic::Register,
        &json!({
            "node_id": "plain", "node_IP": "10.1.2.3", "message_type": "DRIVER_NODE_REGISTER",
        }),
    );
    let beat = || plain.send_json(Topic::Heartbeat, &json!({"node_id": "plain", "heartbeat": "YES", "timestamp": 1}));
    beat();
    orchestrator.wait_for_driver("plain", "known", |_| true);
    let test = orchestrator.create(&json!({
        "test_type": "TSUNAMI", "target_url": target.url(), "total_throughput": 10, "duration": "1s",
    }));
    let test = test.expect("a test may wait for its drivers");
    let refused = orchestrator.wait_for_test(&test.test_id, "refused by the plain driver", |test| {
        beat();
        test.participants.iter().any(|part| part.node_id == "plain" && part.state == ParticipantState::Refused)
    });
    let reason = refused.participants.iter().find_map(|part| part.reason.clone()).expect("a reason");
    assert!(reason.contains("specification"), "{reason}");
    assert_eq!(target.counted(), (0, 0));
}

fn due_of_last(orchestrator: &Orchestrator) -> u64 {
    let last = &orchestrator.tests()[0];
    orchestrator.metrics(&last.test_id).all.due.expect("it is measured")
}

/// Runs a test until 99.5 % of what was due is sent; `check` holds every time.
fn until_nearly_all_is_sent(orchestrator: &Orchestrator, target: &Target, asked: &Value, check: &dyn Fn(&str)) {
    let mut seen = Vec::new();
    let whole = (0..TRIES).any(|_| {
        let before = target.counted().0;
        let test_id = orchestrator.start(asked);
        let test = orchestrator.wait_for_end(&test_id);
        assert_eq!((test.state, test.outcome), (TestState::Completed, Some(Outcome::Exact)), "{test:#?}");
        assert_consistent(orchestrator, &test_id);
        check(&test_id);
        let all = orchestrator.metrics(&test_id).all;
        let left_out = all.skipped.unwrap_or(0) + all.dropped.unwrap_or(0);
        assert_eq!(all.due, all.sent.map(|sent| sent + left_out), "{all:#?}");
        assert_eq!(Some(target.counted().0 - before), all.sent, "the target counted something else");
        seen.push(left_out);
        // A machine that stands still for a moment makes up for nothing.
        all.due.is_some_and(|due| left_out * 200 <= due)
    });
    assert!(whole, "in none of {TRIES} runs was 99.5 % sent; left out: {seen:?}; {asked}");
}
