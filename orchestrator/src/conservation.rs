//! The proof that nothing was lost: counts that were made apart from each other must agree. Pure.

mod partial;
mod shared;

use std::collections::BTreeMap;

use onrush_protocol::{Amendment, NodeId};
use onrush_stats::{
    ByName, Counts, Distribution, FailureCause, NameStats, Outcome, SecondStats, Totals, Verdict, balance, thousands,
};

use crate::aggregate::{Aggregate, DriverTotal};
use crate::proof::{Check, Conservation, TARGET_CHECK};
use crate::record::{ParticipantRecord, TestRecord};
use crate::state::ParticipantState;
use crate::target_check::{self, Counters, Probe};

/// Checks a test that is over. `is_complete`: every driver delivered everything.
pub fn check(
    record: &TestRecord,
    aggregate: &Aggregate,
    is_complete: bool,
    target_after: &Probe,
) -> (Outcome, Conservation) {
    check_with(record, aggregate, is_complete, target_check(record, aggregate, target_after))
}

/// The same, where what the comparison with the target found is known.
pub fn check_with(
    record: &TestRecord,
    aggregate: &Aggregate,
    is_complete: bool,
    target: Check,
) -> (Outcome, Conservation) {
    let mut checks = Vec::new();
    for participant in &record.participants {
        let total = aggregate.driver(&participant.node_id);
        checks.extend(driver_checks(record, participant, total));
        checks.extend(partial::contradictions(record, participant, total));
    }
    checks.push(merged_check(aggregate));
    checks.extend(shared::check(record, aggregate));
    checks.push(target);
    let outcome = Outcome::of(is_complete, checks.iter().filter(|check| check.counts()).map(|check| check.verdict));
    let line = line(record, aggregate, &checks, outcome);
    (outcome, Conservation { line, checks })
}

/// A check of one driver by two numbers that must be equal.
fn equal(name: &str, node_id: &NodeId, expected: u64, actual: u64, detail: String) -> Check {
    Check {
        name: name.to_owned(),
        node_id: Some(node_id.clone()),
        verdict: Verdict::of_equal(expected, actual),
        expected: Some(expected),
        actual: Some(actual),
        detail,
    }
}

fn unknown(name: &str, node_id: Option<&NodeId>, detail: impl Into<String>) -> Check {
    Check {
        name: name.to_owned(),
        node_id: node_id.cloned(),
        verdict: Verdict::Unknown,
        expected: None,
        actual: None,
        detail: detail.into(),
    }
}

fn driver_checks(record: &TestRecord, participant: &ParticipantRecord, total: Option<&DriverTotal>) -> Vec<Check> {
    use ParticipantState as S;
    const BALANCE: &str = "sent = answered + failed";
    let node_id = &participant.node_id;
    let missing = |why: &str| vec![unknown(BALANCE, Some(node_id), why)];
    let total = match (participant.state, total) {
        (S::Lost, _) => return missing("the driver was lost; its final report is missing"),
        (_, None) if participant.plain.is_some() || participant.is_plain() => {
            return missing("the driver speaks only the specification, and reports no counts");
        }
        (_, None) => return missing(participant.reason.as_deref().unwrap_or("the driver delivered no report")),
        (_, Some(total)) if total.end.is_none() => return missing("the driver delivered no final report"),
        (_, Some(total)) => total,
    };
    let claimed = total.claimed;
    let SecondStats { counts, latency, service_time, schedule_error, examples: _, by_name } = &total.part.stats;
    let (sums, responses) = (counts.totals(), counts.responses());
    let mut checks = vec![
        equal(
            BALANCE,
            node_id,
            claimed.sent,
            claimed.answered.saturating_add(claimed.failed),
            format!("sent {}, answered {} + failed {}", claimed.sent, claimed.answered, claimed.failed),
        ),
        equal(
            "due = sent + skipped + dropped",
            node_id,
            claimed.due,
            claimed.decided(),
            format!(
                "due {}, sent {} + skipped {} + dropped {}",
                claimed.due, claimed.sent, claimed.skipped, claimed.dropped
            ),
        ),
        equal(
            "reports without a gap",
            node_id,
            total.expected_reports(),
            total.reports(),
            format!("{} of {} reports are in", total.reports(), total.expected_reports()),
        ),
    ];
    let wrong = Totals::NUMBERS.iter().find(|number| number.of(&claimed) != number.of(&sums));
    let number = wrong.unwrap_or(&Totals::NUMBERS[0]);
    let (name, claim, sum) = (number.name, number.of(&claimed), number.of(&sums));
    let detail = format!("the driver counted {claim} {name}, its seconds add up to {sum}");
    checks.push(equal("seconds add up to totals", node_id, claim, sum, detail));
    for (name, count) in [("latency values", latency.count()), ("service time values", service_time.count())] {
        let detail = format!("{count} {name}, {responses} responses");
        checks.push(equal(&format!("{name} = responses"), node_id, responses, count, detail));
    }
    let errors = schedule_error.count();
    let detail = format!("{errors} schedule errors, {} sent", sums.sent);
    checks.push(equal("schedule errors = sent", node_id, sums.sent, errors, detail));
    if let Some(count) = record.config.count_per_driver
        && record.config.length().is_none()
        && participant.state == S::Completed
    {
        let detail = format!("asked for {count}, sent {}", claimed.sent);
        checks.push(equal("sent = count per driver", node_id, count, claimed.sent, detail));
    }
    checks.extend(names_check(node_id, counts, latency, by_name));
    checks.extend(amended_checks(record, participant, total.part.length_ns));
    checks
}

/// What was measured by name must be the whole; nothing to check where names are not told apart.
fn names_check(node_id: &NodeId, counts: &Counts, latency: &Distribution, by_name: &ByName) -> Option<Check> {
    if by_name.is_empty() {
        return None;
    }
    let whole = by_name.whole();
    let expected = NameStats {
        sent: counts.sent,
        statuses: counts.statuses.clone(),
        failures: counts.failures.clone(),
        latency: latency.into(),
    };
    let names = plural(by_name.iter().len() as u64, "name");
    let sums = |of: &NameStats| format!("{} sent, {} answered, {} failed", of.sent, of.answered(), of.failed());
    let detail = if whole == expected {
        format!("{names} add up to {}, and their latencies bucket by bucket", sums(&expected))
    } else {
        format!(
            "{names} add up to {} and {} latencies, and the whole is {} and {}",
            sums(&whole),
            whole.latency.count(),
            sums(&expected),
            expected.latency.count()
        )
    };
    Some(Check {
        name: "names add up to the whole".into(),
        node_id: Some(node_id.clone()),
        verdict: if whole == expected { Verdict::Exact } else { Verdict::Breach },
        expected: Some(expected.sent),
        actual: Some(whole.sent),
        detail,
    })
}

/// A change of the load is one schedule only where every driver that still ran made it at the same second.
fn amended_checks(record: &TestRecord, participant: &ParticipantRecord, ran_ns: u64) -> Vec<Check> {
    let check = |(place, amendment): (usize, &Amendment)| {
        let asked = amendment.at_second;
        let took_effect = participant.amended_at.get(place).copied().flatten();
        let was_over = took_effect.is_none() && ran_ns <= asked.saturating_mul(1_000_000_000);
        let detail = match took_effect {
            _ if was_over => format!("it was over before second {asked}"),
            Some(second) => format!("asked for at second {asked}, took effect at second {second}"),
            None => {
                format!("the load is uneven: asked for at second {asked}, and it is not known to have taken effect")
            }
        };
        Check {
            name: format!("change {} at its second", place + 1),
            node_id: Some(participant.node_id.clone()),
            verdict: if was_over || took_effect == Some(asked) { Verdict::Exact } else { Verdict::Unknown },
            expected: Some(asked),
            actual: if was_over { Some(asked) } else { took_effect },
            detail: if took_effect.is_some_and(|second| second != asked) {
                format!("the load is uneven: {detail}")
            } else {
                detail
            },
        }
    };
    record.config.amendments.iter().enumerate().map(check).collect()
}

/// What was merged report by report must be what the drivers' totals merge to, histograms included.
fn merged_check(aggregate: &Aggregate) -> Check {
    let mut sum = SecondStats::default();
    // Without gauges, as what was merged report by report.
    aggregate.drivers().values().for_each(|driver| sum.prepend(&driver.part.stats));
    let all = aggregate.all();
    let (expected, actual) = (sum.counts.sent, all.counts.sent);
    Check {
        name: "merged = sum of drivers".into(),
        node_id: None,
        verdict: if sum == *all { Verdict::Exact } else { Verdict::Breach },
        expected: Some(expected),
        actual: Some(actual),
        detail: "counts and all three distributions, bucket by bucket".into(),
    }
}

fn target_check(record: &TestRecord, aggregate: &Aggregate, after: &Probe) -> Check {
    let unknown = |why: &str| unknown(TARGET_CHECK, None, why);
    let delta = match (record.target_before.as_ref(), after) {
        (Some(Probe::Unknown(why)), _) | (_, Probe::Unknown(why)) => return unknown(why),
        (None, _) => return unknown("the target's counters were not read before the test"),
        (Some(Probe::Counters(before)), Probe::Counters(after)) => target_delta(record, before, after),
    };
    let delta = match delta {
        Ok(delta) => delta,
        Err(why) => return unknown(&why),
    };
    let whole = |p: &ParticipantRecord| aggregate.driver(&p.node_id).is_some_and(|total| total.end.is_some());
    if let Some(participant) = record.participants.iter().find(|p| p.state == ParticipantState::Lost || !whole(p)) {
        return unknown(&format!("{} did not report everything that it sent", participant.node_id));
    }
    let counts = &aggregate.all().counts;
    if counts.addresses.len() > 1 {
        return unknown("the requests went to several addresses, each of which may have counters of its own");
    }
    let (totals, responses) = (counts.totals(), counts.responses());
    // What was sent again may have reached the target twice, and what has no response may not have reached it.
    let most = totals.sent.saturating_add(totals.resent);
    let (verdict, detail) = if delta > most {
        (Verdict::Breach, format!("the target counted {delta}, {most} were sent: is there other traffic?"))
    } else if delta == most {
        (Verdict::Exact, format!("the target counted {delta}"))
    } else if delta >= responses && (totals.resent > 0 || totals.sent > responses) {
        let rest = most - delta;
        let resent = if totals.resent > 0 { " or were resent" } else { "" };
        (Verdict::Exact, format!("the target counted {delta}; {rest} of those that failed{resent} never reached it"))
    } else {
        (Verdict::Breach, format!("the target counted {delta}, but {responses} responses came"))
    };
    Check {
        name: TARGET_CHECK.into(),
        node_id: None,
        verdict,
        expected: Some(totals.sent),
        actual: Some(delta),
        detail,
    }
}

/// What the target counted between two looks, on the test's paths.
fn target_delta(record: &TestRecord, before: &Counters, after: &Counters) -> Result<u64, String> {
    let (_, paths) = target_check::counted(&record.config)?;
    if before.instance != after.instance {
        return Err("the target was restarted during the test".into());
    }
    let mut delta = 0;
    for path in paths {
        let count = |counters: &Counters| counters.requests.get(&path).copied();
        let counted = count(after).ok_or_else(|| format!("the target does not count requests of {path}"))?;
        // A path that was never asked for may not be listed yet.
        let since = counted.checked_sub(count(before).unwrap_or(0));
        let since = since.ok_or("the target's counters went backwards during the test")?;
        delta = u64::checked_add(delta, since).ok_or("the target's counters count more than any server answers")?;
    }
    Ok(delta)
}

fn line(record: &TestRecord, aggregate: &Aggregate, checks: &[Check], outcome: Outcome) -> String {
    let breaches = || checks.iter().filter(|check| check.verdict == Verdict::Breach);
    let unknown = || checks.iter().filter(|check| check.verdict == Verdict::Unknown && check.counts());
    let detail = if breaches().next().is_some() {
        let mut by_driver: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        breaches().for_each(|check| by_driver.entry(check.who()).or_default().push(&check.detail));
        let parts: Vec<_> = by_driver.iter().map(|(who, what)| format!("{who}: {}", what.join(", "))).collect();
        parts.join("; ")
    } else if unknown().next().is_some() {
        let part = |check| match lost_after(record, aggregate, check) {
            Some(text) => text,
            None => format!("{}: {}", check.who(), check.detail),
        };
        let parts: Vec<String> = unknown().map(part).collect();
        format!("{}; the rest agrees", parts.join("; "))
    } else {
        what_adds_up(record, aggregate, checks)
    };
    format!("conservation: {} ({detail})", outcome.name())
}

/// `2 drivers: 40 sent = 40 answered + 0 failed; 2 seconds add up; target counted 40`.
fn what_adds_up(record: &TestRecord, aggregate: &Aggregate, checks: &[Check]) -> String {
    let counts = &aggregate.all().counts;
    let totals = counts.totals();
    let seconds = aggregate.drivers().values().map(DriverTotal::reports).sum();
    let target = match checks.iter().find(|check| check.name == TARGET_CHECK) {
        Some(Check { verdict: Verdict::Exact, detail, actual, .. }) => match actual {
            Some(counted) if *counted == totals.sent.saturating_add(totals.resent) => {
                format!("target counted {}", thousands(*counted))
            }
            _ => detail.clone(),
        },
        Some(check) => format!("not compared with the target: {}", check.detail),
        None => "not compared with the target".into(),
    };
    format!(
        "{}: {}; {} add up; {target}",
        plural(record.participants.len() as u64, "driver"),
        balance(&totals, counts.failed_by(FailureCause::CheckFailed)),
        plural(seconds, "second"),
    )
}

/// `driver-2 was lost after second 3`.
fn lost_after(record: &TestRecord, aggregate: &Aggregate, check: &Check) -> Option<String> {
    let participant = record.participant(check.node_id.as_ref()?)?;
    if participant.state != ParticipantState::Lost {
        return None;
    }
    let name = &participant.node_id;
    Some(match aggregate.driver(name).and_then(|total| total.newest_second) {
        Some(second) => format!("{name} was lost after second {second}"),
        None => format!("{name} was lost before its first report"),
    })
}

fn plural(n: u64, noun: &str) -> String {
    if n == 1 { format!("1 {noun}") } else { format!("{} {noun}s", thousands(n)) }
}

#[cfg(test)]
mod tests;
