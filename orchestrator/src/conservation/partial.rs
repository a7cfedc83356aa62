//! What contradicts itself in a driver's reports, also where some of them are missing. Pure.
//!
//! A driver that did not report everything proves nothing; but what it did report must agree, or it is not a result.

use onrush_stats::{Totals, Verdict};

use super::equal;
use crate::aggregate::DriverTotal;
use crate::event::{EventRecord, TestEvent};
use crate::proof::Check;
use crate::record::{ParticipantRecord, TestRecord};
use crate::state::ParticipantState;

/// What is wrong with the reports of a driver; nothing, where they agree.
pub fn contradictions(record: &TestRecord, participant: &ParticipantRecord, total: Option<&DriverTotal>) -> Vec<Check> {
    let node_id = &participant.node_id;
    let mut found = Vec::new();
    let impossible =
        |event: &&EventRecord| event.kind == TestEvent::ImpossibleReport && event.node_id.as_ref() == Some(node_id);
    if let Some(event) = record.events.kept().iter().find(impossible) {
        found.push(breach(
            participant,
            "reports are possible",
            0,
            1,
            format!("a report was refused: {}", event.detail),
        ));
    }
    let Some(total) = total else { return found };
    let most = record.config.count_per_driver.unwrap_or(u64::MAX);
    let sums = total.part.stats.counts.totals();
    let sent = sums.sent.max(total.claimed.sent);
    let is_whole = total.end.is_some() && participant.state != ParticipantState::Lost;
    if sent > most
        && !(is_whole && participant.state == ParticipantState::Completed && record.config.length().is_none())
    {
        found.push(breach(
            participant,
            "sent <= count per driver",
            most,
            sent,
            format!("asked for {most}, sent {sent}"),
        ));
    }
    // Of a whole part the exact checks say more.
    if !is_whole {
        found.extend(partly(participant, total, &sums));
    }
    found
}

/// Counts that must not exceed one another, whatever is missing.
fn partly(participant: &ParticipantRecord, total: &DriverTotal, sums: &Totals) -> Option<Check> {
    let claimed = &total.claimed;
    let stats = &total.part.stats;
    let in_a_row = total.reports() == total.expected_reports();
    for number in Totals::NUMBERS {
        // What its seconds add up to, what it counted itself, and what that is called.
        let (sum, claimed, name) = (number.of(sums), number.of(claimed), number.name);
        if sum > claimed || (in_a_row && sum != claimed) {
            let detail = format!("the driver counted {claimed} {name} so far, its seconds add up to {sum}");
            return Some(breach(participant, "seconds add up to totals", claimed, sum, detail));
        }
    }
    let responses = sums.answered.saturating_add(sums.failed);
    let at_most = [
        (claimed.answered.max(claimed.failed), claimed.sent, "answered or failed; sent"),
        (claimed.decided(), claimed.due, "sent, skipped or dropped; due"),
        (stats.latency.count(), responses, "latency values; answered or failed"),
        (stats.service_time.count(), responses, "service time values; answered or failed"),
        (stats.schedule_error.count(), sums.sent, "schedule errors; sent"),
    ];
    let (count, most, names) = at_most.into_iter().find(|(count, most, _)| count > most)?;
    let (of_what, than_what) = names.split_once("; ").unwrap_or((names, ""));
    let detail = format!("{count} {of_what}, but only {most} {than_what}");
    Some(breach(participant, "the reports that are in agree", most, count, detail))
}

fn breach(participant: &ParticipantRecord, name: &str, expected: u64, actual: u64, detail: String) -> Check {
    Check { verdict: Verdict::Breach, ..equal(name, &participant.node_id, expected, actual, detail) }
}
