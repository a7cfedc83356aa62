//! The state machine, message by message, and under arbitrary orders of messages.

use onrush_protocol::{Participant, TestType};
use proptest::prelude::*;

use super::*;

fn id(name: &str) -> TestId {
    TestId::new(name).unwrap()
}

fn node() -> Node {
    Node::new(NodeId::new("ours").unwrap(), SessionId::new("session").unwrap(), Some("http://localhost:1/".into()))
}

fn config(name: &str) -> TestConfig {
    let mut config = TestConfig::new(id(name), TestType::Avalanche);
    config.count_per_driver = Some(10);
    config
}

fn with(mut config: TestConfig, participants: &[(&str, Option<&str>)]) -> TestConfig {
    let participant = |(node, session): &(&str, Option<&str>)| Participant {
        node_id: NodeId::new(*node).unwrap(),
        session_id: session.map(|session| SessionId::new(session).unwrap()),
    };
    config.participants = Some(participants.iter().map(participant).collect());
    config
}

fn yes(name: &str) -> Trigger {
    Trigger::start(id(name), None)
}

fn no(name: &str) -> Trigger {
    Trigger { start: false, ..yes(name) }
}

fn clocks(now: Instant) -> Clocks {
    Clocks { monotonic: now, unix_ms: NOW_MS }
}

/// What the wall clock says throughout these tests.
const NOW_MS: f64 = 1.8e12;

impl Node {
    /// A trigger that was sent just now.
    fn triggered(&mut self, trigger: Trigger, now: Instant) -> Vec<Action> {
        self.trigger(&trigger, clocks(now), Duration::ZERO)
    }
}

/// The ticket of the one arming among the actions.
fn arming(actions: &[Action]) -> Ticket {
    let found: Vec<_> =
        actions.iter().filter_map(|a| if let Action::Arm { ticket, .. } = a { Some(ticket) } else { None }).collect();
    assert_eq!(found.len(), 1, "{actions:?}");
    found[0].clone()
}

/// The test that is started by the one action.
fn started(actions: &[Action]) -> &str {
    match actions {
        [Action::Start { test_id, .. }] => test_id.as_str(),
        other => panic!("{other:?}"),
    }
}

fn refused(actions: &[Action]) -> &Refusal {
    let found = actions.iter().find_map(|a| if let Action::Refused(refusal) = a { Some(refusal) } else { None });
    found.unwrap_or_else(|| panic!("{actions:?}"))
}

#[test]
fn each_change_of_the_load_is_made_once() {
    let now = Instant::now();
    let amendment = |at_second| Amendment { at_second, profile: "10s@5".parse().unwrap() };
    let changed =
        |seconds: &[u64]| TestConfig { amendments: seconds.iter().copied().map(amendment).collect(), ..config("t") };
    let seconds = |actions: Vec<Action>| -> Vec<u64> {
        let second = |action| if let Action::Amend { at_second, .. } = action { Some(at_second) } else { None };
        actions.into_iter().filter_map(second).collect()
    };
    let (mut node, _) = armed_for("t");
    // A changed config that overtakes the trigger is no other load.
    assert_eq!(node.config(changed(&[3]), now), []);
    assert_eq!(seconds(node.triggered(yes("t"), now)), [3]);
    assert_eq!(seconds(node.config(changed(&[3]), now)), [0; 0], "it is repeated");
    assert_eq!(seconds(node.config(changed(&[3, 7, 5]), now)), [7, 5]);
    assert_eq!(seconds(node.config(config("t"), now)), [0; 0], "an old one comes late");
    node.amended(Some(3));
    node.amended(None);
    assert_eq!(node.amended_at(), [Some(3), None]);
    node.ended(now);
    assert_eq!(node.amended_at(), []);
    assert_eq!(node.config(changed(&[3, 7, 5, 9]), now), [], "it is over");
}

#[test]
fn who_comes_or_leaves_changes_a_shared_load_and_no_other() {
    let now = Instant::now();
    let shared = |others: &[&str]| {
        let mut config = config("t");
        config.total_throughput_per_s = Some(100.0);
        let mut names: Vec<_> = others.iter().map(|name| (*name, None)).collect();
        names.insert(0, ("ours", None));
        with(config, &names)
    };
    let mut node = node();
    let first = arming(&node.config(shared(&["z"]), now));
    assert_eq!(node.share(), None);
    node.armed(&first, Ok(()), now);
    assert_eq!(node.share(), Some(Share { index: 0, of: 2 }));
    assert_eq!(node.config(shared(&["z"]), now), [], "nothing has changed");
    assert_eq!(node.config(shared(&["y", "z"]), now)[0], Action::Disarm);
}

fn armed_for(name: &str) -> (Node, Ticket) {
    let mut node = node();
    let ticket = arming(&node.config(config(name), Instant::now()));
    assert_eq!(node.armed(&ticket, Ok(()), Instant::now()), []);
    (node, ticket)
}

#[test]
fn a_test_is_armed_started_and_over() {
    let (mut node, _) = armed_for("a");
    assert_eq!(node.state(), (NodeState::Armed, Some(&id("a"))));
    assert_eq!(started(&node.triggered(yes("a"), Instant::now())), "a");
    assert_eq!(node.state(), (NodeState::Running, Some(&id("a"))));
    assert_eq!(node.triggered(yes("a"), Instant::now()), [], "a second trigger");
    assert_eq!(node.ended(Instant::now()), []);
    assert_eq!(node.state(), (NodeState::Idle, None));
    assert_eq!(node.triggered(yes("a"), Instant::now()), [], "over is over");
    assert_eq!(node.config(config("a"), Instant::now()), []);
    arming(&node.config(config("b"), Instant::now()));
}

#[test]
fn a_trigger_that_comes_while_arming_starts_as_soon_as_armed() {
    let mut node = node();
    let ticket = arming(&node.config(config("a"), Instant::now()));
    assert_eq!(node.state(), (NodeState::Idle, None));
    assert_eq!(node.triggered(yes("a"), Instant::now()), []);
    // A newer config does not push out a test that was triggered.
    assert_eq!(node.config(config("b"), Instant::now()), []);
    assert_eq!(started(&node.armed(&ticket, Ok(()), Instant::now())), "a");
    assert_eq!(arming(&node.ended(Instant::now())).test_id, id("b"));
}

#[test]
fn a_trigger_that_overtakes_its_config_is_held() {
    let mut node = node();
    let now = Instant::now();
    assert_eq!(node.triggered(yes("a"), now), []);
    let ticket = arming(&node.config(config("a"), now + HOLD));
    assert_eq!(started(&node.armed(&ticket, Ok(()), Instant::now())), "a");
}

#[test]
fn a_held_trigger_is_cancelled_or_grows_old() {
    let mut node = node();
    let now = Instant::now();
    node.triggered(yes("a"), now);
    node.triggered(no("a"), now);
    assert_eq!(node.config(config("a"), now), [], "stopped before it was known");
    node.triggered(yes("b"), now);
    let late = now + HOLD + Duration::from_secs(1);
    let ticket = arming(&node.config(config("b"), late));
    assert_eq!(node.armed(&ticket, Ok(()), Instant::now()), [], "armed, but no longer triggered");
}

#[test]
fn held_triggers_and_configs_are_bounded() {
    let mut node = node();
    let now = Instant::now();
    for n in 0..1000 {
        node.triggered(yes(&format!("unknown{n}")), now);
        node.config(config(&format!("stopped{n}")), now);
        node.triggered(no(&format!("stopped{n}")), now);
        node.config(config(&format!("known{n}")), now);
    }
    assert_eq!((node.held.len(), node.tests.len(), node.over.len()), (MAX_HELD, MAX_TESTS, MAX_OVER));
}

#[test]
fn the_newest_config_is_armed_and_an_older_one_when_triggered() {
    let (mut node, _) = armed_for("a");
    let actions = node.config(config("b"), Instant::now());
    assert_eq!(actions[0], Action::Disarm);
    let b = arming(&actions);
    node.armed(&b, Ok(()), Instant::now());
    let actions = node.triggered(yes("a"), Instant::now());
    assert_eq!(actions[0], Action::Disarm);
    let a = arming(&actions);
    assert_eq!(started(&node.armed(&a, Ok(()), Instant::now())), "a");
    assert_eq!(arming(&node.ended(Instant::now())).test_id, id("b"), "the other one is still to come");
}

#[test]
fn other_participants_keep_the_connections_and_another_load_does_not() {
    let (mut node, ticket) = armed_for("a");
    let ours = with(config("a"), &[("ours", Some("session")), ("theirs", None)]);
    assert_eq!(node.config(ours, Instant::now()), []);
    assert_eq!(node.state().0, NodeState::Armed);
    let mut other = config("a");
    other.count_per_driver = Some(11);
    let actions = node.config(other, Instant::now());
    assert_eq!(actions[0], Action::Disarm);
    assert_ne!(arming(&actions), ticket);
}

#[test]
fn who_is_not_among_the_participants_takes_no_part() {
    let mut node = node();
    let now = Instant::now();
    assert_eq!(node.config(with(config("a"), &[("theirs", None)]), now), []);
    assert_eq!(node.config(with(config("b"), &[("ours", Some("an earlier life"))]), now), []);
    assert_eq!(node.triggered(yes("a"), now), []);
    assert_eq!(node.refusal(), None);
    let ticket = arming(&node.config(with(config("c"), &[("ours", None)]), now));
    node.armed(&ticket, Ok(()), Instant::now());
    assert_eq!(node.config(with(config("c"), &[("theirs", None)]), now), [Action::Disarm]);
    assert_eq!(node.state(), (NodeState::Idle, None));
    arming(&node.config(with(config("c"), &[("ours", None)]), now));
}

#[test]
fn a_stop_stops_disarms_or_cancels() {
    let now = Instant::now();
    let (mut node, _) = armed_for("a");
    assert_eq!(node.triggered(no("a"), now), [Action::Disarm]);
    assert_eq!(node.triggered(yes("a"), now), [], "stopped is over");
    let ticket = arming(&node.config(config("b"), now));
    node.armed(&ticket, Ok(()), Instant::now());
    node.triggered(yes("b"), now);
    assert_eq!(node.triggered(no("b"), now), [Action::Stop]);
    assert_eq!(node.triggered(no("b"), now), [Action::Stop], "stopping twice does no harm");
    assert_eq!(node.ended(Instant::now()), []);
}

#[test]
fn an_arming_that_nobody_wants_any_more_is_called_off() {
    let now = Instant::now();
    for in_time in [true, false] {
        let mut node = node();
        let result = || if in_time { Err("called off".to_owned()) } else { Ok(()) };
        let disarmed = if in_time { vec![] } else { vec![Action::Disarm] };
        let a = arming(&node.config(config("a"), now));
        assert_eq!(node.triggered(no("a"), now), [Action::Disarm]);
        assert_eq!(node.triggered(no("a"), now), [], "once is enough");
        assert_eq!((node.armed(&a, result(), now), node.is_free()), (disarmed.clone(), true));
        // Another takes its place, and it is no refusal.
        let b = arming(&node.config(config("b"), now));
        assert_eq!(node.config(config("c"), now), [Action::Disarm]);
        let mut actions = node.armed(&b, result(), now);
        let c = arming(&actions);
        actions.pop();
        assert_eq!((actions, c.test_id.as_str(), node.refusal()), (disarmed, "c", None));
        // What was called off is armed when its turn comes.
        assert_eq!(node.triggered(no("c"), now), [Action::Disarm]);
        assert_eq!(arming(&node.armed(&c, Err("called off".to_owned()), now)).test_id, id("b"));
    }
}

#[test]
fn a_refusal_says_why_and_a_config_that_is_repeated_is_tried_again() {
    let now = Instant::now();
    let mut node = node();
    let ticket = arming(&node.config(config("a"), now));
    node.triggered(yes("a"), now);
    let refusal = Refusal { test_id: id("a"), reason: "cannot connect".into() };
    assert_eq!(node.armed(&ticket, Err("cannot connect".into()), Instant::now()), [Action::Refused(refusal.clone())]);
    assert_eq!((node.refusal(), node.state().0), (Some(&refusal), NodeState::Idle));
    assert_eq!(node.triggered(yes("a"), now), []);
    let again = arming(&node.config(config("a"), now));
    assert_eq!(node.armed(&again, Ok(()), Instant::now()), []);

    let mut impossible = config("b");
    impossible.count_per_driver = None;
    let actions = node.config(impossible, now);
    assert!(
        matches!(&actions[..], [Action::Refused(r)] if r.reason.contains("message_count_per_driver")),
        "{actions:?}"
    );
    let actions = node.unreadable_config(id("c"), "test_type: is missing".into());
    assert!(matches!(&actions[..], [Action::Refused(r)] if r.reason.contains("test_type: is missing")), "{actions:?}");
    assert_eq!(node.state(), (NodeState::Armed, Some(&id("a"))), "the others are not disturbed");
}

#[test]
fn a_shutdown_leaves_nothing() {
    let (mut node, _) = armed_for("a");
    assert_eq!(node.shut_down(Instant::now()), [Action::Disarm]);
    assert!(node.is_free());
    let (mut node, _) = armed_for("a");
    node.config(config("b"), Instant::now());
    let mut node2 = armed_for("a").0;
    node2.triggered(yes("a"), Instant::now());
    node2.config(config("b"), Instant::now());
    assert_eq!(node2.shut_down(Instant::now()), [Action::Stop]);
    assert!(!node2.is_free());
    assert_eq!(node2.ended(Instant::now()), []);
    assert!(node2.is_free());
}

fn at_ms(name: &str, start_at_unix_ms: f64) -> Trigger {
    Trigger::start(id(name), Some(start_at_unix_ms))
}

#[test]
fn a_trigger_that_is_read_late_starts_nothing_and_says_why() {
    let now = Instant::now();
    let (mut node, ticket) = armed_for("a");
    let actions = node.triggered(at_ms("a", NOW_MS - 12_000.0), now);
    assert!(refused(&actions).reason.contains("12 s ago"), "{actions:?}");
    assert_eq!(actions[1..], [Action::Disarm]);
    assert_eq!(node.refusal().map(|r| &r.test_id), Some(&id("a")));
    assert_eq!((node.state().0, node.triggered(yes("a"), now)), (NodeState::Idle, vec![]), "refused is refused");
    // The config that comes again is another chance.
    let again = arming(&node.config(config("a"), now));
    assert_ne!(again, ticket);
    node.armed(&again, Ok(()), now);
    assert_eq!(started(&node.triggered(at_ms("a", NOW_MS - 9_000.0), now)), "a");

    // Too far ahead, by a clock that is wrong; and the same with an offset that makes up for it.
    let (mut node, _) = armed_for("b");
    assert!(refused(&node.triggered(at_ms("b", NOW_MS + 3.6e6), now)).reason.contains("3600 s ahead"));
    let (mut node, _) = armed_for("c");
    let mut trigger = at_ms("c", NOW_MS + 3.6e6);
    trigger.clock_offsets_ms.insert(NodeId::new("ours").unwrap(), -3.6e6);
    assert_eq!(started(&node.triggered(trigger, now)), "c");

    // One without a moment that may have been sent long ago.
    let (mut node, _) = armed_for("d");
    let actions = node.trigger(&yes("d"), clocks(now), Duration::from_secs(30));
    assert!(refused(&actions).reason.contains("30 s before"));
}

#[test]
fn a_late_trigger_that_overtook_its_config_starts_nothing_either() {
    let now = Instant::now();
    let seconds = Duration::from_secs;
    let mut node = node();
    // Late when it is read.
    assert_eq!(node.triggered(at_ms("a", NOW_MS - 12_000.0), now), []);
    assert!(refused(&node.config(config("a"), now)).reason.contains("12 s ago"));
    // Late when its config comes, though it was read in time.
    assert_eq!(node.triggered(at_ms("b", NOW_MS), now), []);
    let actions = node.config(config("b"), now + seconds(11));
    assert!(refused(&actions).reason.contains("11 s after"), "{actions:?}");
    // Or when the connections are open.
    assert_eq!(node.triggered(at_ms("c", NOW_MS), now), []);
    let ticket = arming(&node.config(config("c"), now + seconds(9)));
    let actions = node.armed(&ticket, Ok(()), now + seconds(40));
    assert!(refused(&actions).reason.contains("40 s after"), "{actions:?}");
    assert_eq!(actions[1..], [Action::Disarm]);
    // Who takes no part has nothing to refuse.
    node.triggered(at_ms("d", NOW_MS - 12_000.0), now);
    assert_eq!(node.config(with(config("d"), &[("theirs", None)]), now), []);
    assert_eq!(node.refusal().map(|r| &r.test_id), Some(&id("c")));
}

#[test]
fn no_plan_is_made_for_a_test_of_others_and_none_is_kept() {
    let mut node = node();
    let now = Instant::now();
    // A config that has no plan: who looked at it would refuse it.
    let mut impossible = config("theirs");
    impossible.count_per_driver = None;
    assert_eq!(node.config(with(impossible, &[("theirs", None)]), now), []);
    assert_eq!(node.refusal(), None);
    arming(&node.config(config("a"), now));
    node.config(config("b"), now);
    assert!(node.fresh.is_none(), "the plan of a test that is not armed yet is made when it is");
    // Configs of others push out nothing of ours.
    for n in 0..100 {
        node.config(with(config(&format!("theirs{n}")), &[("theirs", None)]), now);
    }
    assert_eq!(node.tests.iter().filter(|known| known.can_run()).count(), 2);
    assert_eq!(node.tests.len(), MAX_TESTS);
}

#[derive(Clone, Debug)]
enum Step {
    Config { test: u8, count: u64, ours: bool },
    Trigger { test: u8, start: bool },
    Armed(bool),
    Ended,
    Wait(u64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => (0u8..4, 1u64..3, prop::bool::weighted(0.8)).prop_map(|(test, count, ours)| Step::Config { test, count, ours }),
        2 => (0u8..4, prop::bool::weighted(0.8)).prop_map(|(test, start)| Step::Trigger { test, start }),
        3 => prop::bool::weighted(0.8).prop_map(Step::Armed),
        1 => Just(Step::Ended),
        1 => (0u64..40).prop_map(Step::Wait),
    ]
}

proptest! {
    /// Whatever comes in whatever order: the engine is asked only for what it can do, and no test runs twice.
    #[test]
    fn the_engine_is_asked_only_for_what_it_can_do(steps in prop::collection::vec(step(), 1..80)) {
        let mut node = node();
        let mut now = Instant::now();
        let (mut arming, mut armed, mut running) = (None::<Ticket>, None::<Ticket>, false);
        let mut called_off = false;
        let mut started = std::collections::BTreeSet::new();
        for step in steps {
            let actions = match step {
                Step::Config { test, count, ours } => {
                    let mut config = config(&test.to_string());
                    config.count_per_driver = Some(count);
                    node.config(with(config, &[(if ours { "ours" } else { "theirs" }, None)]), now)
                }
                Step::Trigger { test, start } => {
                    node.triggered(Trigger { start, ..yes(&test.to_string()) }, now)
                }
                Step::Armed(fine) => match arming.take() {
                    Some(ticket) => {
                        if fine {
                            armed = Some(ticket.clone());
                        }
                        node.armed(&ticket, if fine { Ok(()) } else { Err("made up".into()) }, now)
                    }
                    None => continue,
                },
                Step::Ended if running => {
                    running = false;
                    node.ended(Instant::now())
                }
                Step::Ended => continue,
                Step::Wait(seconds) => {
                    now += Duration::from_secs(seconds);
                    node.tick(now);
                    continue;
                }
            };
            for action in actions {
                match action {
                    Action::Arm { ticket, .. } => {
                        prop_assert!(arming.is_none() && armed.is_none() && !running);
                        prop_assert!(!started.contains(&ticket.test_id));
                        (arming, called_off) = (Some(ticket), false);
                    }
                    Action::Disarm if arming.is_some() => prop_assert!(!std::mem::replace(&mut called_off, true)),
                    Action::Disarm => prop_assert!(armed.take().is_some()),
                    Action::Start { test_id, .. } => {
                        prop_assert_eq!(armed.take().map(|ticket| ticket.test_id), Some(test_id.clone()));
                        prop_assert!(started.insert(test_id));
                        running = true;
                    }
                    Action::Stop | Action::Amend { .. } => prop_assert!(running),
                    Action::Refused(_) => {}
                }
            }
            // Something that can run is never left lying while the engine is free.
            prop_assert!(!node.is_free() || node.wanted().is_none());
        }
    }
}
