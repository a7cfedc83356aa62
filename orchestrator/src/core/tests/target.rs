//! The target of a test that runs is asked for its CPU time, and what it tells goes into the sealed seconds.

use onrush_stats::TargetTime;
use url::Url;

use super::*;
use crate::target_check::TimeSource;

const METRICS: &str = "http://web1:9100/metrics";

/// Two drivers that run `t`, whose target's machine has metrics.
fn running_with_metrics() -> (World, [SimDriver; 2]) {
    let (mut world, a, b) = World::with_two();
    let mut new = NewTest { config: config("t", 100_000), name: None, trigger: false };
    new.config.target_metrics = Some(METRICS.into());
    world.core.create(new, &crate::actor::Actor::NOBODY, world.now).unwrap();
    world.settle();
    assert_eq!(world.configs.last().unwrap().target_metrics, None, "drivers are not told");
    world.armed(&a, "t");
    world.armed(&b, "t");
    world.trigger("t").unwrap();
    (world, [a, b])
}

/// Where the target was asked since the last call.
fn asked(world: &mut World) -> Vec<TimeSource> {
    let of = |effect| if let Effect::LookAtTarget(_, source) = effect { Some(source) } else { None };
    std::mem::take(&mut world.effects).into_iter().filter_map(of).collect()
}

/// A second goes by with its look, which finds this, and with the drivers' reports at its end.
fn second(world: &mut World, drivers: &mut [SimDriver; 2], index: u64, seen: Result<TargetTime, String>) {
    for _ in 0..10 {
        world.pass_ms(100);
        if let [source] = &asked(world)[..] {
            assert_eq!(*source, TimeSource::Metrics(Url::parse(METRICS).unwrap()));
            world.core.target_seen(&test_id("t"), seen.clone(), world.now);
        }
    }
    for driver in drivers {
        world.hear(driver.heartbeat(NodeState::Running, Some("t")));
        let metrics = driver.report("t", index, stats(&[1_000_000; 50]), None);
        world.report(metrics);
    }
}

fn at(uptime_s: f64, cpu_s: f64) -> Result<TargetTime, String> {
    Ok(TargetTime { uptime_s, cpu_s, cpu_wait_s: 0.0, cores: 2 })
}

#[test]
fn what_the_metrics_tell_is_in_the_sealed_seconds_and_in_the_verdict() {
    let (mut world, mut drivers) = running_with_metrics();
    // Until the start.
    world.pass_ms(400);
    for index in 0..6 {
        second(&mut world, &mut drivers, index, at(100.0 + index as f64, 7.0 + 2.0 * index as f64));
    }
    let used: Vec<_> = world.sealed.iter().map(|second| second.target.map(|cpu| cpu.used_share())).collect();
    assert_eq!(used.len(), 6);
    assert!(used[2..].iter().all(|used| *used == Some(1.0)), "{used:?}");
    let limit = world.record("t").limit.as_ref().expect("it is known by now");
    assert!(limit.reasons.starts_with("CPU full on 2 of 2 cores"), "{}", limit.line());
    assert!(!world.record("t").events.has_any(TestEvent::TargetMetrics));
}

#[test]
fn metrics_that_tell_nothing_are_one_remark_and_the_verdict_goes_on() {
    let (mut world, mut drivers) = running_with_metrics();
    world.pass_ms(400);
    for index in 0..4 {
        second(&mut world, &mut drivers, index, Err(format!("{METRICS} answers {}", 404 + index)));
    }
    let events = world.record("t").events.kept().iter().filter(|event| event.kind == TestEvent::TargetMetrics);
    let details: Vec<&str> = events.map(|event| event.detail.as_str()).collect();
    assert_eq!(details, ["http://web1:9100/metrics answers 404; the verdict goes on without the target's CPU"]);
    assert!(world.sealed.iter().all(|second| second.target.is_none()));
    assert!(world.record("t").limit.is_some());
}

#[test]
fn the_target_is_asked_once_a_second_and_never_twice_at_once() {
    let (mut world, drivers) = running_with_metrics();
    let mut looks = 0;
    for tenth in 0..100 {
        world.pass_ms(100);
        looks += asked(&mut world).len();
        if tenth % 10 == 9 {
            drivers.iter().for_each(|driver| world.hear(driver.heartbeat(NodeState::Running, Some("t"))));
        }
        if tenth == 49 {
            assert_eq!(looks, 3, "no answer came to any: each is given up after two seconds");
        }
        if tenth >= 49 {
            world.core.target_seen(&test_id("t"), at(1.0, 1.0), world.now);
        }
    }
    assert!((7..=8).contains(&looks), "{looks} looks");
}
