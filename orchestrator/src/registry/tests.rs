use onrush_api::{DriverState, DriverView};
use onrush_protocol::NodeState;

use super::offset::MAX_OFFSET_MS;
use super::*;
use crate::testing::{SimDriver, node};

/// A registry on simulated time, with a broker that is reachable from the start unless said otherwise.
struct World {
    registry: Registry,
    now: Now,
    reachable_since: Option<Instant>,
}

impl World {
    fn new(max_drivers: usize) -> Self {
        let now = Now::read();
        Self { registry: Registry::new(max_drivers, Vec::new(), now), now, reachable_since: Some(now.mono) }
    }

    fn pass_ms(&mut self, ms: u64) {
        self.now = self.now.plus_ms(ms);
        self.registry.tick(self.now, self.reachable_since, |_| false);
    }

    /// As our drivers are heard: they announce themselves.
    fn hear(&mut self, driver: &SimDriver) {
        self.registry.register(driver.register(), self.now);
        self.beat(driver);
    }

    /// A heartbeat and nothing else.
    fn beat(&mut self, driver: &SimDriver) {
        let heartbeat = driver.heartbeat(NodeState::Idle, None);
        self.registry.heartbeat(heartbeat, self.now.mono, self.now);
        self.registry.tick(self.now, self.reachable_since, |_| false);
    }

    /// A driver whose clock is ahead.
    fn hear_ahead(&mut self, driver: &SimDriver, ahead_ms: f64) {
        let timestamp_unix_ms = Some(self.now.unix_ms + ahead_ms);
        let heartbeat = Heartbeat { timestamp_unix_ms, ..driver.heartbeat(NodeState::Idle, None) };
        self.registry.heartbeat(heartbeat, self.now.mono, self.now);
    }

    fn view(&self, name: &str) -> DriverView {
        self.registry.statuses(self.now).iter().map(crate::views::driver).find(|view| view.node_id == name).unwrap()
    }

    fn states(&self) -> Vec<(String, DriverState)> {
        self.registry
            .statuses(self.now)
            .iter()
            .map(crate::views::driver)
            .map(|view| (view.node_id, view.state))
            .collect()
    }

    fn live(&self) -> Vec<String> {
        self.registry.live().map(|driver| driver.identity.register.node_id.to_string()).collect()
    }
}

#[test]
fn a_driver_is_suspect_after_3_seconds_and_lost_after_5() {
    let mut world = World::new(8);
    let a = SimDriver::new("a", "s");
    world.hear(&a);
    assert_eq!(world.view("a").state, DriverState::Idle);
    world.pass_ms(2999);
    assert_eq!(world.view("a").state, DriverState::Idle);
    world.pass_ms(1);
    assert_eq!(world.view("a").state, DriverState::Suspect);
    assert_eq!(world.live(), ["a"], "a suspect takes part");
    world.pass_ms(2000);
    assert_eq!(world.view("a").state, DriverState::Lost);
    assert!(world.live().is_empty());
    world.hear(&a);
    assert_eq!(world.view("a").state, DriverState::Idle);
    assert_eq!(world.live(), ["a"]);
}

#[test]
fn a_heartbeat_is_news_where_it_says_something_new() {
    let mut world = World::new(8);
    let a = SimDriver::new("a", "s");
    let is_news = |world: &mut World, heartbeat| world.registry.heartbeat(heartbeat, world.now.mono, world.now);
    let idle = || a.heartbeat(NodeState::Idle, None);
    assert!(is_news(&mut world, idle()), "it is new");
    assert!(is_news(&mut world, idle()), "with the second it may take a seat");
    let busier = Heartbeat { reports_waiting: Some(7), cpu_s: Some(2.0), ..idle() };
    assert!(!is_news(&mut world, busier));
    assert!(is_news(&mut world, a.heartbeat(NodeState::Armed, Some("t"))));
    assert!(is_news(&mut world, a.heartbeat(NodeState::Armed, Some("u"))));
    assert!(is_news(&mut world, a.refusal("u", "no")));
    assert!(!is_news(&mut world, a.refusal("u", "no")));
    world.pass_ms(6000);
    assert!(is_news(&mut world, a.refusal("u", "no")), "it was lost");
    assert!(is_news(&mut world, a.goodbye()));
    assert!(is_news(&mut world, SimDriver::new("a", "another life").heartbeat(NodeState::Idle, None)));
}

#[test]
fn silence_counts_only_while_the_broker_can_be_reached() {
    let mut world = World::new(8);
    let a = SimDriver::new("a", "s");
    world.hear(&a);
    world.reachable_since = None;
    world.pass_ms(60_000);
    assert_eq!(world.view("a").state, DriverState::Idle);
    // Its clients need a while to notice that the broker is back.
    world.reachable_since = Some(world.now.mono);
    world.pass_ms(12_999);
    assert_eq!(world.view("a").state, DriverState::Idle);
    world.pass_ms(2000);
    assert_eq!(world.view("a").state, DriverState::Suspect);
    world.pass_ms(1);
    assert_eq!(world.view("a").state, DriverState::Lost);
    // Lost stays lost through the next outage.
    world.reachable_since = None;
    world.pass_ms(1000);
    assert_eq!(world.view("a").state, DriverState::Lost);
}

#[test]
fn an_old_registration_is_no_sign_of_life() {
    let mut world = World::new(8);
    let a = SimDriver::new("a", "s");
    world.registry.register(a.register(), world.now);
    world.pass_ms(10);
    assert_eq!(world.view("a").state, DriverState::Suspect);
    assert!(world.live().is_empty());
    world.hear(&a);
    assert_eq!(world.live(), ["a"]);
    assert_eq!(world.view("a").node_ip.as_deref(), Some("127.0.0.1"), "what it registered with is kept");
}

#[test]
fn a_heartbeat_of_an_unknown_driver_registers_it() {
    let mut world = World::new(8);
    world.beat(&SimDriver::plain("foreign"));
    world.pass_ms(1000);
    world.beat(&SimDriver::plain("foreign"));
    assert_eq!(world.view("foreign").state, DriverState::Alive);
    assert_eq!(world.view("foreign").session_id, None);
}

#[test]
fn a_restarted_driver_takes_over_its_name() {
    let mut world = World::new(8);
    let (first, second) = (SimDriver::new("a", "s1"), SimDriver::new("a", "s2"));
    world.hear(&first);
    world.pass_ms(1000);
    world.hear(&second);
    assert!(world.registry.is_alive(&node("a"), first.session_id.as_ref()), "it may be a second process");
    world.pass_ms(1000);
    world.hear(&second);
    assert!(world.registry.is_alive(&node("a"), second.session_id.as_ref()));
    assert!(!world.registry.is_alive(&node("a"), first.session_id.as_ref()));
    assert!(world.registry.is_gone_for_good(&node("a"), first.session_id.as_ref()));
    assert_eq!(world.states(), [("a".to_owned(), DriverState::Idle)]);
}

#[test]
fn after_a_goodbye_the_name_is_free_at_once() {
    let mut world = World::new(8);
    let (first, second) = (SimDriver::new("a", "s1"), SimDriver::new("a", "s2"));
    world.hear(&first);
    world.registry.heartbeat(first.goodbye(), world.now.mono, world.now);
    world.pass_ms(10);
    assert_eq!(world.view("a").state, DriverState::Lost);
    world.hear(&second);
    assert_eq!(world.view("a").session_id.as_deref(), Some("s2"));
    assert_eq!(world.live(), ["a"]);
}

#[test]
fn two_processes_of_one_name_the_newer_is_rejected() {
    let mut world = World::new(8);
    let (first, second) = (SimDriver::new("a", "s1"), SimDriver::new("a", "s2"));
    for _ in 0..10 {
        world.hear(&first);
        world.pass_ms(500);
        world.hear(&second);
        world.pass_ms(500);
    }
    assert_eq!(world.states(), [("a".to_owned(), DriverState::Idle), ("a".to_owned(), DriverState::Rejected)]);
    let rejected = crate::views::driver(&world.registry.statuses(world.now)[1]);
    assert!(rejected.reason.as_ref().unwrap().contains("another driver named a is already registered"));
    assert_eq!(rejected.session_id.as_deref(), Some("s2"));
    // When it ends, nobody need know that it was there.
    for _ in 0..11 {
        world.hear(&first);
        world.pass_ms(1000);
    }
    assert_eq!(world.states().len(), 1);
}

#[test]
fn one_driver_too_many_is_rejected_until_a_seat_is_free() {
    let mut world = World::new(2);
    let drivers = ["a", "b", "c"].map(|name| SimDriver::new(name, "s"));
    for driver in &drivers {
        world.hear(driver);
        world.pass_ms(1);
    }
    assert_eq!(world.view("c").state, DriverState::Rejected);
    assert!(world.view("c").reason.unwrap().contains("--max-drivers is 2"));
    assert_eq!(world.live(), ["a", "b"]);
    world.registry.heartbeat(drivers[0].goodbye(), world.now.mono, world.now);
    world.pass_ms(1);
    assert_eq!(world.live(), ["b", "c"]);
    world.hear(&drivers[0]);
    assert_eq!(world.view("a").state, DriverState::Rejected, "its seat is taken");
}

#[test]
fn after_a_restart_of_ours_drivers_have_five_seconds_to_be_heard() {
    let now = Now::read();
    let known = Identity { register: SimDriver::new("a", "s").register(), registered_unix_ms: 1.0, admitted: true };
    let registry = Registry::new(8, vec![known], now);
    let mut world = World { registry, now, reachable_since: Some(now.mono) };
    world.pass_ms(1);
    world.pass_ms(4998);
    assert_eq!(world.live(), ["a"]);
    world.pass_ms(1);
    assert_eq!(world.view("a").state, DriverState::Lost);
}

#[test]
fn the_long_lost_are_forgotten_unless_a_test_names_them() {
    let mut world = World::new(8);
    world.hear(&SimDriver::new("a", "s"));
    world.hear(&SimDriver::new("b", "s"));
    world.pass_ms(5000);
    world.now = world.now.plus_ms(FORGOTTEN_AFTER.as_millis() as u64);
    world.registry.tick(world.now, world.reachable_since, |name| name.as_str() == "b");
    assert_eq!(world.states(), [("b".to_owned(), DriverState::Lost)]);
    assert!(world.registry.take_changes().contains(&Change::Forgotten(node("a"))));
}

#[test]
fn the_registry_is_bounded_and_a_new_driver_finds_room() {
    let mut world = World::new(8);
    let drivers = ["a", "b"].map(|name| SimDriver::new(name, "s"));
    drivers.iter().for_each(|driver| world.hear(driver));
    for i in 0..2 * MAX_ENTRIES {
        world.registry.register(SimDriver::new(&format!("n{i}"), "s").register(), world.now);
        let rival = SimDriver::new("a", &format!("s{i}"));
        world.registry.heartbeat(rival.heartbeat(NodeState::Idle, None), world.now.mono, world.now);
        if i % 2 == 0 {
            let passer_by = SimDriver::plain(&format!("p{i}"));
            world.registry.heartbeat(passer_by.heartbeat(NodeState::Idle, None), world.now.mono, world.now);
        }
    }
    assert_eq!(world.registry.drivers.len() + world.registry.rivals.len(), MAX_ENTRIES);
    assert!(world.registry.statuses(world.now).len() <= MAX_ENTRIES);
    let crowding = world.registry.take_crowding();
    assert!(crowding.refused > 0 && crowding.forgotten > 0, "{crowding:?}");
    let late = SimDriver::new("late", "s");
    world.hear(&late);
    assert_eq!(world.live(), ["a", "b", "late"]);
    // Prometheus is shown those that were heard, and no more than it can take.
    let names = world.registry.glimpses(world.now).into_iter().map(|glimpse| glimpse.node_id.to_string());
    let names: Vec<String> = names.collect();
    assert_eq!(names[..3], ["a", "b", "late"]);
    assert!(names.len() <= show::MAX_GLIMPSES && names[3..].iter().all(|name| name.starts_with('p')), "{names:?}");
    // Those with a seat stay whatever comes.
    for i in 0..2 * MAX_ENTRIES {
        let other = SimDriver::new(&format!("m{i}"), "s");
        world.hear(&other);
    }
    assert!(["a", "b", "late"].iter().all(|name| world.live().contains(&(*name).to_owned())));
}

#[test]
fn what_was_stored_under_other_limits_is_bounded_too() {
    let now = Now::read();
    let stored = (0..2 * MAX_ENTRIES).map(|i| {
        let mut register = SimDriver::new(&format!("n{i}"), "s").register();
        register.node_ip = Some("x".repeat(10_000));
        Identity { register, registered_unix_ms: i as f64, admitted: i == 3 }
    });
    let mut registry = Registry::new(8, stored.collect(), now);
    let forgotten = registry.take_changes();
    assert_eq!(forgotten.len(), MAX_ENTRIES, "the store forgets them, too");
    let statuses = registry.statuses(now);
    assert_eq!(statuses.len(), MAX_ENTRIES);
    assert!(statuses.iter().all(|status| status.register.node_ip.as_ref().is_some_and(|ip| ip.len() <= 200)));
    assert_eq!(registry.live().map(|driver| driver.node_id().as_str()).collect::<Vec<_>>(), ["n3"]);
    assert!(registry.get(&node("n1999")).is_some() && registry.get(&node("n4")).is_none());
}

#[test]
fn a_bare_heartbeat_takes_no_seat_and_a_second_one_does() {
    let mut world = World::new(2);
    for i in 0..8 {
        world.beat(&SimDriver::plain(&format!("bare{i}")));
    }
    assert!(world.live().is_empty());
    assert!(world.view("bare0").reason.unwrap().contains("second heartbeat"));
    assert_eq!(
        world.view("bare0").state,
        DriverState::Suspect,
        "nobody may wait for it to be idle and then count on it"
    );
    let ours = SimDriver::new("ours", "s");
    world.hear(&ours);
    assert_eq!(world.live(), ["ours"]);
    world.pass_ms(1000);
    world.beat(&SimDriver::plain("bare3"));
    assert_eq!(world.live(), ["bare3", "ours"], "a plain node that never announces itself takes part");
    assert_eq!(world.view("bare3").reason, None);
    assert_eq!(world.view("bare3").state, DriverState::Alive);
}

#[test]
fn our_own_pause_is_nobodys_silence() {
    let mut world = World::new(8);
    let (a, b) = (SimDriver::new("a", "s"), SimDriver::new("b", "s"));
    world.hear(&a);
    world.hear(&b);
    world.pass_ms(4000);
    world.registry.woke(world.now);
    world.pass_ms(4999);
    assert_eq!(world.live(), ["a", "b"]);
    world.hear(&a);
    world.pass_ms(1);
    assert_eq!(world.live(), ["a"], "who stays silent then is lost");
}

#[test]
fn a_node_that_beats_every_five_seconds_does_not_flap() {
    for interval_ms in [1000, 2500, 5000, 10_000] {
        let mut world = World::new(8);
        let slow = SimDriver::plain("slow");
        world.registry.register(slow.register(), world.now);
        for beat in 0..150 {
            world.beat(&slow);
            for _ in 0..interval_ms / 100 {
                world.pass_ms(100);
                assert_eq!(world.live(), ["slow"], "{interval_ms} ms, after beat {beat}");
            }
        }
        // Three intervals, but at least five seconds: an interval is over already.
        let left_ms = (3 * interval_ms).max(5000) - interval_ms;
        world.pass_ms(left_ms - 100);
        assert_eq!(world.live(), ["slow"], "{interval_ms} ms");
        assert_eq!(world.view("slow").state, DriverState::Suspect);
        world.pass_ms(60_000);
        assert_eq!(world.view("slow").state, DriverState::Lost);
    }
}

#[test]
fn a_wrong_clock_is_named_once_and_changes_nothing_else() {
    let mut world = World::new(8);
    let a = SimDriver::new("a", "s");
    world.hear(&a);
    let mut said = Vec::new();
    // Right, an hour ahead, slightly more, right again; a fifth of a second is nothing.
    for ahead_ms in [200.0, 3_600_000.0, 3_600_100.0, 0.0] {
        for _ in 0..20 {
            world.pass_ms(1000);
            world.hear_ahead(&a, ahead_ms);
            assert_eq!(world.live(), ["a"]);
        }
        said.extend(world.registry.take_changes().into_iter().filter_map(|change| match change {
            Change::Clock(_, wrong_by_ms) => Some(wrong_by_ms),
            _ => None,
        }));
        let view = world.view("a");
        assert_eq!(view.clock_offset_ms, Some(ahead_ms));
        assert_eq!(view.warnings.len(), usize::from(ahead_ms > MAX_OFFSET_MS), "{:?}", view.warnings);
    }
    assert_eq!(said, [Some(3_600_000.0), None]);
    assert_eq!(world.registry.clock_wrong_by_ms(&node("a"), a.session_id.as_ref()), None);
    // Seconds, as other people's nodes write them, are no clock of 1970.
    let plain = SimDriver::plain("plain");
    for _ in 0..5 {
        let timestamp_unix_ms = Some((world.now.unix_ms / 1000.0).floor());
        let heartbeat = Heartbeat { timestamp_unix_ms, ..plain.heartbeat(NodeState::Idle, None) };
        world.registry.heartbeat(heartbeat, world.now.mono, world.now);
        world.pass_ms(1000);
    }
    assert_eq!((world.view("plain").clock_offset_ms, world.view("plain").warnings.len()), (None, 0));
}

#[test]
fn known_drivers_are_expected_back_for_a_moment() {
    let now = Now::read();
    let known =
        |name| Identity { register: SimDriver::new(name, "s").register(), registered_unix_ms: 1.0, admitted: false };
    let registry = Registry::new(8, vec![known("a"), known("b")], now);
    let mut world = World { registry, now, reachable_since: Some(now.mono) };
    world.pass_ms(1);
    assert_eq!(world.registry.expected_back(world.now), 2, "just started");
    world.hear(&SimDriver::new("a", "s"));
    assert_eq!(world.registry.expected_back(world.now), 1);
    world.pass_ms(5000);
    assert_eq!(world.registry.expected_back(world.now), 0);
    world.pass_ms(5000);
    assert!(world.live().is_empty());
    assert_eq!(world.registry.expected_back(world.now), 0, "nothing happened that would bring them back");
    world.registry.woke(world.now);
    assert_eq!(world.registry.expected_back(world.now), 2, "the pause may have been what silenced them");
    world.pass_ms(5001);
    world.reachable_since = None;
    world.pass_ms(30_000);
    assert_eq!(world.registry.expected_back(world.now), 2, "the broker is away");
    world.reachable_since = Some(world.now.mono);
    world.pass_ms(10_000);
    assert_eq!(world.registry.expected_back(world.now), 2, "and its clients have just noticed that it is back");
    world.hear(&SimDriver::new("b", "s"));
    let goodbye = SimDriver::new("a", "s").goodbye();
    world.registry.heartbeat(goodbye, world.now.mono, world.now);
    assert_eq!(world.registry.expected_back(world.now), 0, "nobody is missing who did not say goodbye");
}
