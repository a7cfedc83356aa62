use std::time::Instant;

use onrush_protocol::{EndReason, Metrics};

use super::*;
use crate::testing::{SimDriver, node, reports, running, stats};

fn counters(instance: &str, ping: Option<u64>) -> Probe {
    let requests = ping.into_iter().map(|n| ("/ping".to_owned(), n)).collect();
    Probe::Counters(Counters { instance: instance.into(), requests })
}

/// A test that is over, its drivers `a` and `b` COMPLETED, with these reports.
fn over(reports: &[Metrics], count: u64) -> (TestRecord, Aggregate) {
    let mut record = running("t", count, &["a", "b"]);
    record.config.target_url = Some("http://127.0.0.1:8080/ping".into());
    record.target_before = Some(counters("one", Some(100)));
    for participant in &mut record.participants {
        participant.state = ParticipantState::Completed;
    }
    let mut aggregate = Aggregate::default();
    for metrics in reports {
        aggregate.enter(&metrics.node_id, metrics.measured.as_deref().unwrap(), Instant::now()).unwrap();
    }
    (record, aggregate)
}

fn checked(record: &TestRecord, aggregate: &Aggregate, target_after: &Probe) -> (Outcome, Conservation) {
    let is_complete = record.participants.iter().all(|p| p.state != ParticipantState::Lost);
    check(record, aggregate, is_complete, target_after)
}

fn check_of<'a>(proof: &'a Conservation, name: &str) -> &'a Check {
    proof.checks.iter().find(|check| check.name == name).unwrap_or_else(|| panic!("no check {name}"))
}

#[test]
fn a_whole_test_is_exact() {
    let (record, aggregate) = over(&reports("t", &["a", "b"], 12, 1000), 12_000);
    let (outcome, proof) = checked(&record, &aggregate, &counters("one", Some(24_100)));
    assert_eq!(outcome, Outcome::Exact, "{proof:#?}");
    assert_eq!(
        proof.line,
        "conservation: exact (2 drivers: 24,000 sent = 24,000 answered + 0 failed; 24 seconds add up; target counted 24,000)"
    );
    assert!(proof.checks.iter().all(|check| check.verdict == Verdict::Exact));
}

/// What was sent again may have reached the target twice, or once: everything between is in order, and nothing beyond.
#[test]
fn what_was_sent_again_and_what_came_unasked_is_told_beside_the_targets_count() {
    let mut measured = reports("t", &["a", "b"], 3, 3);
    let a = measured.iter_mut().filter(|metrics| metrics.node_id == node("a"));
    for report in a.map(|metrics| metrics.measured.as_mut().unwrap()) {
        let counts = &mut report.stats.counts;
        (counts.resent, counts.unsolicited) =
            (u64::from(report.sequence == 0) * 4, u64::from(report.sequence == 0) * 2);
        (report.totals.resent, report.totals.unsolicited) = (4, 2);
    }
    let (record, aggregate) = over(&measured, 9);
    let with = |counted: u64| checked(&record, &aggregate, &counters("one", Some(100 + counted)));
    let line = |counted: &str| {
        format!(
            "conservation: exact (2 drivers: 18 sent = 18 answered + 0 failed; 4 resent; 2 unsolicited; 6 seconds add up; \
             {counted})"
        )
    };
    assert_eq!(with(22).1.line, line("target counted 22"));
    let between = "the target counted 20; 2 of those that failed or were resent never reached it";
    assert_eq!(check_of(&with(20).1, TARGET_CHECK).detail, between);
    assert_eq!(with(18).0, Outcome::Exact);
    for counted in [17, 23] {
        assert_eq!(with(counted).0, Outcome::Invalid, "{counted}");
    }
}

/// Each way in which a driver's reports can contradict each other breaches one check.
#[test]
fn every_contradiction_is_a_breach() {
    type Change = fn(&mut Vec<Metrics>);
    let cases: [(&str, Change); 11] = [
        ("sent = answered + failed", |r| {
            let last = r.len() - 2;
            r[last].measured.as_mut().unwrap().totals.answered -= 1;
        }),
        ("due = sent + skipped + dropped", |r| {
            let last = r.len() - 2;
            r[0].measured.as_mut().unwrap().stats.counts.due += 1;
            r[last].measured.as_mut().unwrap().totals.due += 1;
        }),
        ("seconds add up to totals", |r| r[0].measured.as_mut().unwrap().stats.counts.skipped += 1),
        ("seconds add up to totals", |r| r[0].measured.as_mut().unwrap().stats.counts.dropped += 1),
        ("seconds add up to totals", |r| r[0].measured.as_mut().unwrap().stats.counts.resent += 1),
        ("seconds add up to totals", |r| r[0].measured.as_mut().unwrap().stats.counts.unsolicited += 1),
        ("reports without a gap", |r| drop(r.remove(2))),
        ("latency values = responses", |r| r[0].measured.as_mut().unwrap().stats.latency.record(5)),
        ("service time values = responses", |r| r[0].measured.as_mut().unwrap().stats.service_time.record(5)),
        ("schedule errors = sent", |r| r[0].measured.as_mut().unwrap().stats.schedule_error.record(5)),
        ("sent = count per driver", |r| {
            let mut a = SimDriver::new("a", "s");
            let mut b = SimDriver::new("b", "s");
            let end = Some(EndReason::Completed);
            *r = vec![a.report("t", 0, stats(&[1, 2]), end.clone()), b.report("t", 0, stats(&[1; 9]), end)];
        }),
    ];
    for (name, change) in cases {
        let mut reports = reports("t", &["a", "b"], 3, 3);
        change(&mut reports);
        let (record, aggregate) = over(&reports, 9);
        let (outcome, proof) = checked(&record, &aggregate, &Probe::Unknown("no target here".into()));
        let check = check_of(&proof, name);
        assert_eq!(check.verdict, Verdict::Breach, "{name}: {proof:#?}");
        assert_eq!(check.node_id, Some(node("a")));
        assert_eq!(outcome, Outcome::Invalid);
        assert!(proof.line.starts_with("conservation: invalid (a: "), "{}", proof.line);
    }
}

#[test]
fn the_targets_counters_decide_where_they_can() {
    use Verdict::{Breach, Exact, Unknown};
    let before = || counters("one", Some(100));
    let cases = [
        (before(), counters("one", Some(118)), Exact),
        (counters("one", None), counters("one", Some(18)), Exact),
        (before(), counters("one", Some(119)), Breach),
        (before(), counters("one", Some(117)), Breach),
        (before(), counters("two", Some(18)), Unknown),
        (before(), counters("one", Some(99)), Unknown),
        (before(), counters("one", None), Unknown),
        (before(), Probe::Unknown("no answer".into()), Unknown),
        (Probe::Unknown("the target has no counters of this kind".into()), counters("one", Some(118)), Unknown),
    ];
    for (before, after, expected) in cases {
        let (mut record, aggregate) = over(&reports("t", &["a", "b"], 3, 3), 9);
        record.target_before = Some(before.clone());
        let (outcome, proof) = checked(&record, &aggregate, &after);
        assert_eq!(check_of(&proof, TARGET_CHECK).verdict, expected, "{before:?} {after:?}");
        // A foreign target does not spoil the proof; a contradicting one does.
        assert_eq!(outcome, if expected == Breach { Outcome::Invalid } else { Outcome::Exact }, "{}", proof.line);
        assert_eq!(proof.line.contains("not compared with the target"), expected == Unknown);
    }
}

#[test]
fn failed_requests_may_or_may_not_have_reached_the_target() {
    use onrush_stats::FailureCause::Timeout;
    for (counted, expected) in
        [(7, Outcome::Invalid), (8, Outcome::Exact), (9, Outcome::Exact), (10, Outcome::Exact), (11, Outcome::Invalid)]
    {
        let (mut a, mut b) = (SimDriver::new("a", "s"), SimDriver::new("b", "s"));
        let mut with_failures = stats(&[1, 2, 3]);
        with_failures.counts.sent += 2;
        with_failures.counts.due += 2;
        with_failures.counts.failures.insert(Timeout, 2);
        with_failures.schedule_error.record(1);
        with_failures.schedule_error.record(1);
        let end = Some(EndReason::Completed);
        let reports = [a.report("t", 0, with_failures, end.clone()), b.report("t", 0, stats(&[1; 5]), end)];
        let (record, aggregate) = over(&reports, 5);
        let (outcome, proof) = checked(&record, &aggregate, &counters("one", Some(100 + counted)));
        assert_eq!(outcome, expected, "{counted}: {}", proof.line);
    }
}

#[test]
fn a_lost_driver_makes_the_proof_incomplete_and_is_named() {
    let mut reports = reports("t", &["a", "b"], 6, 3);
    reports.retain(|r| r.node_id == node("a") || r.measured.as_ref().unwrap().second_index <= 3);
    let (mut record, aggregate) = over(&reports, 18);
    record.participants[1].state = ParticipantState::Lost;
    let (outcome, proof) = checked(&record, &aggregate, &counters("one", Some(130)));
    assert_eq!(outcome, Outcome::Incomplete);
    assert_eq!(proof.line, "conservation: incomplete (b was lost after second 3; the rest agrees)");
    assert_eq!(check_of(&proof, TARGET_CHECK).verdict, Verdict::Unknown);
}

#[test]
fn a_driver_of_the_specification_only_cannot_be_checked() {
    let reports: Vec<_> = reports("t", &["a", "b"], 2, 3).into_iter().filter(|r| r.node_id == node("a")).collect();
    let (mut record, aggregate) = over(&reports, 6);
    record.participants[1].session_id = None;
    let (outcome, proof) = checked(&record, &aggregate, &counters("one", Some(112)));
    assert_eq!(outcome, Outcome::Unproved);
    assert!(
        proof.line.starts_with("conservation: unproved (b: the driver speaks only the specification"),
        "{}",
        proof.line
    );
}

#[test]
fn a_stopped_test_need_not_reach_its_count() {
    let (mut record, aggregate) = over(&reports("t", &["a", "b"], 3, 3), 1_000_000);
    record.stop_requested = true;
    for participant in &mut record.participants {
        participant.state = ParticipantState::Stopped;
    }
    let (outcome, proof) = checked(&record, &aggregate, &counters("one", Some(118)));
    assert_eq!(outcome, Outcome::Exact, "{}", proof.line);
}

#[test]
fn numbers_are_grouped() {
    for (n, text) in [(0, "0"), (999, "999"), (1000, "1,000"), (1_234_567, "1,234,567")] {
        assert_eq!(thousands(n), text);
    }
}

/// A driver that is lost proves nothing, but its reports must not contradict each other.
#[test]
fn contradictions_of_a_lost_driver_are_a_breach() {
    type Change = fn(&mut Vec<Metrics>);
    let nothing: Change = |_| ();
    let cases: [(&str, Change); 7] = [
        ("", nothing),
        ("", |r| drop(r.remove(1))),
        ("seconds add up to totals", |r| r[5].measured.as_mut().unwrap().totals.sent += 1),
        ("seconds add up to totals", |r| {
            r.remove(1);
            r[4].measured.as_mut().unwrap().totals.answered = 1;
        }),
        ("the reports that are in agree", |r| {
            (0..100).for_each(|_| r[1].measured.as_mut().unwrap().stats.latency.record(5))
        }),
        ("the reports that are in agree", |r| r[1].measured.as_mut().unwrap().stats.schedule_error.record(5)),
        ("sent <= count per driver", |r| {
            let mut b = SimDriver::new("b", "s");
            r.retain(|metrics| metrics.node_id != node("b"));
            r.extend((0..3).map(|second| b.report("t", second, stats(&[7; 500]), None)));
        }),
    ];
    for (i, (broken, change)) in cases.into_iter().enumerate() {
        let all = reports("t", &["a", "b"], 12, 100);
        // `b` is lost after six of its reports.
        let (mut of_b, of_a): (Vec<Metrics>, Vec<Metrics>) = all.into_iter().partition(|m| m.node_id == node("b"));
        of_b.truncate(6);
        change(&mut of_b);
        let (mut record, aggregate) = over(&[of_a, of_b].concat(), 1200);
        record.participants[1].state = ParticipantState::Lost;
        let (outcome, proof) = checked(&record, &aggregate, &Probe::Unknown("not read".into()));
        if broken.is_empty() {
            assert_eq!(outcome, Outcome::Incomplete, "{i}: {proof:#?}");
            assert!(proof.line.contains("the rest agrees"), "{}", proof.line);
        } else {
            let of_b = proof.checks.iter().find(|c| c.name == broken && c.node_id == Some(node("b")));
            assert_eq!(of_b.map(|check| check.verdict), Some(Verdict::Breach), "{i}: {proof:#?}");
            assert!(proof.line.starts_with("conservation: invalid (b: "), "{}", proof.line);
        }
    }
}

#[test]
fn targets_counters_that_add_up_to_more_than_there_is_are_unknown() {
    let (mut record, aggregate) = over(&reports("t", &["a", "b"], 1, 1), 1);
    record.config.requests = ["/x", "/y"]
        .map(|path| onrush_protocol::RequestConfig {
            url: Some(format!("http://127.0.0.1:8080{path}")),
            ..onrush_protocol::RequestConfig::default()
        })
        .into();
    let counters = |x: u64, y: u64| {
        let requests = [("/x".to_owned(), x), ("/y".to_owned(), y)].into();
        Probe::Counters(Counters { instance: "one".into(), requests })
    };
    // 2^63 and 2^63 and 2 are 2, where sums wrap.
    record.target_before = Some(counters(0, 0));
    let (_, proof) = checked(&record, &aggregate, &counters(1 << 63, (1 << 63) + 2));
    assert_eq!(check_of(&proof, TARGET_CHECK).verdict, Verdict::Unknown, "{proof:#?}");
}

/// What was measured by name is the whole: one request, status, cause or latency that is not, and the proof is broken.
#[test]
fn names_add_up_to_the_whole_or_are_a_breach() {
    const NAMES: &str = "names add up to the whole";
    let mut named = reports("t", &["a", "b"], 3, 4);
    for metrics in &mut named {
        let stats = &mut metrics.measured.as_mut().unwrap().stats;
        let whole = NameStats {
            sent: stats.counts.sent,
            statuses: stats.counts.statuses.clone(),
            failures: stats.counts.failures.clone(),
            latency: (&stats.latency).into(),
        };
        stats.by_name.add("GET /all", &whole);
        stats.by_name.add("GET /none", &NameStats::default());
    }
    let after = counters("one", Some(124));
    let (record, aggregate) = over(&named, 12);
    let (outcome, proof) = checked(&record, &aggregate, &after);
    assert_eq!(outcome, Outcome::Exact, "{proof:#?}");
    let check = check_of(&proof, NAMES);
    let detail = "2 names add up to 12 sent, 12 answered, 0 failed, and their latencies bucket by bucket";
    assert_eq!((check.detail.as_str(), check.expected), (detail, Some(12)));
    let changes: [fn(&mut NameStats); 4] = [
        |of| of.sent += 1,
        |of| _ = of.statuses.insert(500, 1),
        |of| _ = of.failures.insert(FailureCause::Timeout, 1),
        |of| of.latency.record(7),
    ];
    for change in changes {
        let mut wrong = named.clone();
        let stats = &mut wrong[1].measured.as_mut().unwrap().stats;
        let mut more = NameStats::default();
        change(&mut more);
        stats.by_name.add("GET /all", &more);
        let (record, aggregate) = over(&wrong, 12);
        let (outcome, proof) = checked(&record, &aggregate, &after);
        assert_eq!(outcome, Outcome::Invalid, "{more:?}");
        let broken = proof.checks.iter().find(|check| check.verdict == Verdict::Breach).unwrap();
        assert_eq!((broken.name.as_str(), &broken.node_id), (NAMES, &Some(node("b"))));
    }
    let (record, aggregate) = over(&reports("t", &["a", "b"], 3, 4), 12);
    let (_, proof) = checked(&record, &aggregate, &after);
    assert!(proof.checks.iter().all(|check| check.name != NAMES), "one name is the whole");
}
