//! One schedule that all drivers share: what they say was due adds up to what the schedule has. Pure.
//!
//! The total follows from the config alone: a rate in thousand millionths of a request a second, rounded down, times nanoseconds
//! is so many 10^-18 of a slot, and a ramp is its middle times its length. Slot *k* is due when the integral goes beyond *k*.

use std::time::Duration;

use onrush_protocol::{Arrivals, Phase, Shape, TestConfig};
use onrush_stats::{Verdict, thousands};

use crate::aggregate::Aggregate;
use crate::proof::Check;
use crate::record::{ParticipantRecord, TestRecord};
use crate::state::ParticipantState;

const NAME: &str = "due of all drivers = slots of the schedule";
/// One slot, in thousand millionths of a request a second times nanoseconds.
const SLOT: u128 = 1_000_000_000_000_000_000;

/// The check, where the schedule is shared, ends by time and says what is due, and every driver was to go on to its end.
pub fn check(record: &TestRecord, aggregate: &Aggregate) -> Option<Check> {
    let slots = slots(&record.config)?;
    let ended = |p: &ParticipantRecord| matches!(p.state, ParticipantState::Completed | ParticipantState::Lost);
    if !record.participants.iter().all(ended) {
        return None;
    }
    let due = aggregate.all().counts.due;
    let is_whole = |p: &&ParticipantRecord| {
        p.state == ParticipantState::Completed && aggregate.driver(&p.node_id).is_some_and(|total| total.end.is_some())
    };
    let partial: Vec<&str> = record.participants.iter().filter(|p| !is_whole(p)).map(|p| p.node_id.as_str()).collect();
    let (verdict, detail) = if partial.is_empty() {
        let detail = format!("{} due on all drivers, the schedule has {} slots", thousands(due), thousands(slots));
        (Verdict::of_equal(slots, due), detail)
    } else if due > slots {
        let detail =
            format!("{} due on all drivers, but the schedule has only {} slots", thousands(due), thousands(slots));
        (Verdict::Breach, detail)
    } else {
        let detail = format!(
            "{} of the schedule's {} slots were sent by nobody, as far as is known: they belong to {}",
            thousands(slots - due),
            thousands(slots),
            partial.join(", ")
        );
        (Verdict::Unknown, detail)
    };
    Some(Check { name: NAME.into(), node_id: None, verdict, expected: Some(slots), actual: Some(due), detail })
}

/// How many slots the shared schedule of a test has; `None`: there is none, or that does not follow from the config.
fn slots(config: &TestConfig) -> Option<u64> {
    let is_arithmetic = config.arrivals == Arrivals::Even
        && config.count_per_driver.is_none()
        && config.delay.is_zero()
        && config.amendments.is_empty();
    if !config.is_shared() || !is_arithmetic {
        return None;
    }
    let phases = match (&config.profile, config.total_throughput_per_s, config.duration) {
        (Some(profile), _, _) => profile.phases.clone(),
        (None, Some(rate_per_s), Some(length)) => vec![Phase { length, shape: Shape::Constant { rate_per_s } }],
        _ => return None,
    };
    let rises = phases.into_iter().flat_map(Phase::without_steps).map(rise);
    let end = rises.sum::<Option<u128>>()?;
    u64::try_from(end.div_ceil(SLOT)).ok()
}

/// The integral of the rate over a phase; `None`: nobody knows before.
fn rise(phase: Phase) -> Option<u128> {
    let twice = match phase.shape {
        Shape::Constant { rate_per_s } => 2 * parts(rate_per_s).max(1),
        Shape::Ramp { from_per_s, to_per_s } => parts(from_per_s) + parts(to_per_s),
        Shape::Pause => 0,
        Shape::Free | Shape::Steps { .. } => return None,
    };
    Some(twice.checked_mul(nanoseconds(phase.length))? / 2)
}

fn parts(rate_per_s: f64) -> u128 {
    (rate_per_s * 1e9).floor() as u128
}

fn nanoseconds(length: Duration) -> u128 {
    length.as_nanos().min(u64::MAX.into())
}

#[cfg(test)]
mod tests {
    use onrush_stats::Outcome;

    use super::*;
    use crate::conservation;
    use crate::target_check::Probe;
    use crate::testing::{reports, running};

    fn shared(profile: &str) -> TestConfig {
        let mut config = running("t", 1, &["a"]).config;
        config.count_per_driver = None;
        config.profile = Some(profile.parse().expect("a profile"));
        config
    }

    #[test]
    fn the_schedules_slots_are_the_integral_of_its_rates() {
        for (profile, expected) in [
            ("total: 5s@1k, 10s@1k..5k, 5s@5k..0", Some(47_500)),
            ("total: 3s@0.5", Some(2)),
            ("total: 1s@301, 2s@pause, 2s@301", Some(903)),
            ("total: 3s@10..30/3", Some(60)),
            ("total: 1s@301, 2s@max", None),
            ("1s@301", None),
        ] {
            assert_eq!(slots(&shared(profile)), expected, "{profile}");
        }
        let mut config = running("t", 1, &["a"]).config;
        (config.count_per_driver, config.total_throughput_per_s) = (None, Some(10_000.0));
        config.duration = Some(Duration::from_millis(2_500));
        assert_eq!(slots(&config), Some(25_000));
        assert_eq!(slots(&TestConfig { arrivals: Arrivals::Poisson, ..config.clone() }), None);
        assert_eq!(slots(&TestConfig { count_per_driver: Some(5), ..config }), None);
    }

    /// Two drivers of a schedule of 18 slots that each sent so many; the second is lost or not.
    fn checked(sent_each: usize, is_lost: bool) -> (Outcome, Check) {
        let mut record = running("t", 1, &["a", "b"]);
        record.config.count_per_driver = None;
        record.config.profile = Some("total: 3s@6".parse().expect("a profile"));
        for participant in &mut record.participants {
            participant.state = ParticipantState::Completed;
        }
        let mut aggregate = Aggregate::default();
        for metrics in reports("t", &["a", "b"], 3, sent_each as u64) {
            let report = metrics.measured.as_deref().expect("it measured");
            if !(is_lost && metrics.node_id.as_str() == "b" && report.end.is_some()) {
                aggregate.enter(&metrics.node_id, report, std::time::Instant::now()).expect("a good report");
            }
        }
        if is_lost {
            record.participants[1].state = ParticipantState::Lost;
        }
        let unknown = Probe::Unknown("it has no counters".into());
        let (outcome, proof) = conservation::check(&record, &aggregate, !is_lost, &unknown);
        let found = proof.checks.into_iter().find(|check| check.name == NAME);
        (outcome, found.expect("the schedule is shared"))
    }

    #[test]
    fn what_all_drivers_had_due_is_what_the_schedule_has() {
        let (outcome, found) = checked(3, false);
        assert_eq!((outcome, found.verdict), (Outcome::Exact, Verdict::Exact), "{found:?}");
        let (outcome, found) = checked(4, false);
        assert_eq!((outcome, found.verdict), (Outcome::Invalid, Verdict::Breach), "{found:?}");
        assert_eq!((found.expected, found.actual), (Some(18), Some(24)));
    }

    #[test]
    fn what_a_lost_driver_owed_is_told() {
        let (outcome, found) = checked(3, true);
        assert_eq!((outcome, found.verdict), (Outcome::Incomplete, Verdict::Unknown), "{found:?}");
        assert_eq!(
            found.detail,
            "3 of the schedule's 18 slots were sent by nobody, as far as is known: they belong to b"
        );
    }
}
