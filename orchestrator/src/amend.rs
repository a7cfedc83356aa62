//! Changes of the load while a test runs: what is asked for from which second on. Pure.

use std::time::Duration;

use onrush_protocol::{Amendment, Phase, Profile, RateOf, Shape, TestConfig, TestType, limits};

/// How long drivers have to hear of a change, where nothing else is asked for.
pub const DEFAULT_EFFECTIVE_IN: Duration = Duration::from_secs(3);
/// The least that they need.
pub const MIN_EFFECTIVE_IN: Duration = Duration::from_secs(1);

/// What somebody wants from a moment on.
#[derive(Clone, Debug, PartialEq)]
pub enum LoadChange {
    /// Another rate for the rest of the test, in requests per second; of each driver or of all, as the test has it.
    Rate(f64),
    /// Another profile in place of the rest; the test ends with it.
    Profile(Profile),
    /// Nothing is sent until the load is resumed; time goes on.
    Pause,
    /// What was asked for before the pause.
    Resume,
}

/// The amendment that brings a change at a second of a running test, or why there is none.
pub fn amendment(config: &TestConfig, change: &LoadChange, at_second: u64) -> Result<Amendment, String> {
    if config.amendments.len() >= limits::MAX_AMENDMENTS {
        return Err(format!("the load was changed {} times; that is the most", limits::MAX_AMENDMENTS));
    }
    let at = Duration::from_secs(at_second);
    let asked = asked_at(config, at, config.amendments.len());
    let end = asked.end;
    if at >= end {
        return Err(format!("second {at_second} is beyond the test's end, which is at {} s", end.as_secs_f64()));
    }
    let of = if config.is_shared() { RateOf::Total } else { RateOf::Driver };
    let rest = |shape| Profile { of, phases: vec![Phase { length: end - at, shape }] };
    let is_paused = |phases: &[Phase]| phases.iter().all(|phase| phase.shape == Shape::Pause);
    let profile = match change {
        LoadChange::Rate(rate_per_s) => rest(Shape::Constant { rate_per_s: *rate_per_s }),
        LoadChange::Profile(profile) if profile.of == RateOf::Total && of == RateOf::Driver => {
            return Err("the test's rates are those of each driver; leave out \"total\"".into());
        }
        LoadChange::Profile(profile) => Profile { of, phases: profile.phases.clone() },
        LoadChange::Pause if is_paused(&asked.phases) => return Err("the test is paused already".into()),
        LoadChange::Pause => rest(Shape::Pause),
        LoadChange::Resume if !is_paused(&asked.phases) => return Err("the test is not paused".into()),
        LoadChange::Resume => {
            let before = |made: usize| asked_at(config, at, made);
            let resumed = (0..config.amendments.len()).rev().map(before).find(|asked| !is_paused(&asked.phases));
            let resumed = resumed.filter(|asked| !asked.phases.is_empty());
            let nothing = "the test had nothing to send from there on when it was paused; give a rate or a profile";
            Profile { of, phases: resumed.ok_or(nothing)?.phases }
        }
    };
    Ok(Amendment { at_second, profile })
}

/// A stretch of a test's time, and what is asked for in it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Stretch {
    /// When it begins, from the test's start.
    pub from: Duration,
    /// When it ends; `None`: with the number of requests.
    pub to: Option<Duration>,
    /// What is asked for.
    pub shape: Shape,
}

/// What is asked for over the whole of a test, changes included.
pub fn stretches(config: &TestConfig) -> Vec<Stretch> {
    let chain = chain(config, config.amendments.len());
    let starts: Vec<Duration> = chain.iter().map(|(start, _)| *start).collect();
    let mut stretches = Vec::new();
    for (place, (start, phases)) in chain.into_iter().enumerate() {
        let cut = starts.get(place + 1).copied().unwrap_or(Duration::MAX);
        let mut from = start;
        for phase in phases {
            let to = from.saturating_add(phase.length).min(cut);
            if from < to {
                stretches.push(Stretch { from, to: Some(to), shape: phase.shape });
            }
            from = to;
        }
    }
    if let Some(last) = stretches.last_mut() {
        last.to = config.length();
    }
    stretches
}

/// What is asked for from a moment on.
struct Asked {
    phases: Vec<Phase>,
    /// When the last of them is over.
    end: Duration,
}

/// What was asked for at first and what the first `made` amendments ask for, each with its moment and in the order of time.
fn chain(config: &TestConfig, made: usize) -> Vec<(Duration, Vec<Phase>)> {
    // One that takes effect later or at the same second is replaced by those made after it.
    let mut chain: Vec<(Duration, Vec<Phase>)> = vec![(Duration::ZERO, asked_at_first(config))];
    for amendment in &config.amendments[..made.min(config.amendments.len())] {
        let from = Duration::from_secs(amendment.at_second);
        chain.retain(|(start, _)| *start < from || start.is_zero());
        chain.push((from, amendment.profile.phases.clone()));
    }
    chain
}

/// What the first `made` amendments ask for from a moment on.
fn asked_at(config: &TestConfig, at: Duration, made: usize) -> Asked {
    let chain = chain(config, made);
    let last = chain.last().map_or((Duration::ZERO, Duration::ZERO), |(start, phases)| (*start, length_of(phases)));
    let end = last.0.saturating_add(last.1);
    let Some((start, phases)) = chain.into_iter().rev().find(|(start, _)| *start <= at) else {
        return Asked { phases: Vec::new(), end };
    };
    Asked { phases: rest_from(&phases, at.saturating_sub(start)), end }
}

/// The load of a test as it was created, as phases.
fn asked_at_first(config: &TestConfig) -> Vec<Phase> {
    if let Some(profile) = &config.profile {
        return profile.phases.clone();
    }
    let length = config.duration.unwrap_or(limits::MAX_DURATION);
    let paced = config.test_type == TestType::Tsunami && !config.delay.is_zero();
    let by_delay = paced.then(|| config.delay.as_secs_f64().recip());
    let rates = by_delay.into_iter().chain(config.target_throughput_per_s).chain(config.total_throughput_per_s);
    let shape = rates.reduce(f64::min).map_or(Shape::Free, |rate_per_s| Shape::Constant { rate_per_s });
    vec![Phase { length, shape }]
}

/// The phases from a moment on; the one that it lies within is cut.
fn rest_from(phases: &[Phase], mut since: Duration) -> Vec<Phase> {
    let mut rest = Vec::new();
    for phase in phases.iter().flat_map(|phase| phase.without_steps()) {
        if since >= phase.length {
            since -= phase.length;
            continue;
        }
        let left = phase.length - since;
        let shape = match phase.shape {
            Shape::Ramp { from_per_s, to_per_s } => {
                let done = since.as_secs_f64() / phase.length.as_secs_f64();
                Shape::Ramp { from_per_s: from_per_s + (to_per_s - from_per_s) * done, to_per_s }
            }
            shape => shape,
        };
        rest.push(Phase { length: left, shape });
        since = Duration::ZERO;
    }
    rest
}

fn length_of(phases: &[Phase]) -> Duration {
    phases.iter().fold(Duration::ZERO, |sum, phase| sum.saturating_add(phase.length))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    fn running(profile: &str) -> TestConfig {
        let mut config = testing::config("t", 1);
        (config.count_per_driver, config.profile) = (None, Some(profile.parse().unwrap()));
        config
    }

    /// Makes a change; the text of what is asked for from there on.
    fn changed(config: &mut TestConfig, at_second: u64, change: LoadChange) -> Result<String, String> {
        let amendment = amendment(config, &change, at_second)?;
        let text = amendment.profile.to_string();
        config.amendments.push(amendment);
        Ok(text)
    }

    #[test]
    fn a_rate_holds_until_the_end_that_was_asked_for() {
        let mut config = running("10s@1k, 10s@2k");
        assert_eq!(changed(&mut config, 15, LoadChange::Rate(500.0)).unwrap(), "5s@500");
        let mut config = testing::config("t", 1);
        config.duration = Some(Duration::from_secs(30));
        assert_eq!(changed(&mut config, 10, LoadChange::Rate(500.0)).unwrap(), "20s@500");
        assert_eq!(changed(&mut config, 12, LoadChange::Rate(50.0)).unwrap(), "18s@50");
        assert!(changed(&mut config, 30, LoadChange::Rate(1.0)).unwrap_err().contains("beyond the test's end"));
    }

    #[test]
    fn what_ends_a_test_is_its_number_of_requests_or_its_last_change() {
        let mut config = testing::config("t", 1_000_000);
        assert_eq!(config.length(), None);
        changed(&mut config, 5, LoadChange::Rate(500.0)).unwrap();
        assert_eq!(config.length(), None, "a rate ends nothing");
        changed(&mut config, 10, LoadChange::Profile("20s@5".parse().unwrap())).unwrap();
        assert_eq!(config.length(), Some(Duration::from_secs(30)), "it sends fewer than its number");
    }

    #[test]
    fn a_profile_moves_the_end() {
        let mut config = running("10s@1k");
        assert_eq!(changed(&mut config, 5, LoadChange::Profile("60s@5".parse().unwrap())).unwrap(), "1m@5");
        assert_eq!(changed(&mut config, 60, LoadChange::Rate(7.0)).unwrap(), "5s@7");
        let total = LoadChange::Profile("total: 1s@1".parse().unwrap());
        assert!(changed(&mut config, 61, total).unwrap_err().contains("each driver"));
    }

    /// `from..to load` of each stretch.
    fn told(config: &TestConfig) -> Vec<String> {
        let end = |to: Option<Duration>| to.map_or("end".into(), |to| to.as_secs_f64().to_string());
        let told = |s: Stretch| format!("{}..{} {}", s.from.as_secs_f64(), end(s.to), s.shape);
        stretches(config).into_iter().map(told).collect()
    }

    #[test]
    fn a_test_is_told_from_its_start_to_the_end_that_its_changes_give_it() {
        let mut config = running("10s@1k, 10s@1k..2k, 5s@max");
        assert_eq!(told(&config), ["0..10 1k", "10..20 1k..2k", "20..25 max"]);
        changed(&mut config, 15, LoadChange::Profile("20s@5, 10s@7".parse().unwrap())).unwrap();
        assert_eq!(told(&config), ["0..10 1k", "10..15 1k..2k", "15..35 5", "35..45 7"]);
        changed(&mut config, 35, LoadChange::Pause).unwrap();
        changed(&mut config, 20, LoadChange::Rate(3.0)).unwrap();
        assert_eq!(told(&config), ["0..10 1k", "10..15 1k..2k", "15..20 5", "20..45 3"], "the pause never comes");

        let mut counted = testing::config("t", 1_000_000);
        counted.target_throughput_per_s = Some(1500.0);
        assert_eq!(told(&counted), ["0..end 1500"]);
        changed(&mut counted, 5, LoadChange::Rate(500.0)).unwrap();
        assert_eq!(told(&counted), ["0..5 1500", "5..end 500"]);
        let mut timed = testing::config("t", 1);
        timed.duration = Some(Duration::from_millis(2500));
        assert_eq!(told(&timed), ["0..2.5 max"]);
    }

    #[test]
    fn time_goes_on_in_a_pause() {
        let mut config = running("10s@100..200, 10s@7");
        assert!(changed(&mut config, 1, LoadChange::Resume).unwrap_err().contains("not paused"));
        assert_eq!(changed(&mut config, 2, LoadChange::Pause).unwrap(), "18s@pause");
        assert!(changed(&mut config, 3, LoadChange::Pause).unwrap_err().contains("already"));
        assert_eq!(changed(&mut config, 5, LoadChange::Resume).unwrap(), "5s@150..200, 10s@7");
        assert_eq!(changed(&mut config, 6, LoadChange::Pause).unwrap(), "14s@pause");
        assert_eq!(changed(&mut config, 15, LoadChange::Resume).unwrap(), "5s@7");
    }

    #[test]
    fn a_change_of_what_has_not_begun_replaces_it() {
        let mut config = running("100s@10");
        changed(&mut config, 20, LoadChange::Rate(20.0)).unwrap();
        assert_eq!(changed(&mut config, 10, LoadChange::Rate(5.0)).unwrap(), "90s@5");
        assert_eq!(changed(&mut config, 30, LoadChange::Pause).unwrap(), "70s@pause");
        assert_eq!(changed(&mut config, 40, LoadChange::Resume).unwrap(), "1m@5", "not the one that never came");
    }

    #[test]
    fn an_avalanche_without_a_rate_resumes_as_fast_as_it_can() {
        let mut config = testing::config("t", 1);
        config.count_per_driver = Some(1_000_000);
        changed(&mut config, 5, LoadChange::Pause).unwrap();
        assert!(changed(&mut config, 6, LoadChange::Resume).unwrap().ends_with("@max"));
        for at in 7..100 {
            let change = if at % 2 == 1 { LoadChange::Pause } else { LoadChange::Resume };
            match changed(&mut config, at, change) {
                Ok(_) => {}
                Err(problem) => return assert!(problem.contains("64 times"), "{problem}"),
            }
        }
        panic!("there is no end to it");
    }
}
