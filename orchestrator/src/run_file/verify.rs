//! Recomputes a run from its reports, and says where that differs from what its result says.

use std::collections::{BTreeMap, BTreeSet};

use onrush_protocol::TestId;
use onrush_stats::{NameFigures, Outcome, SecondStats, Verdict};

use crate::aggregate::{Aggregate, DriverPart};
use crate::conservation;
use crate::proof::{Check, Conservation, TARGET_CHECK};
use crate::record::TestRecord;
use crate::second::{PartNumbers, SecondNumbers};
use crate::store::{OneTest, StoreError};

/// So many differences are told one by one.
const MAX_TOLD: usize = 20;

/// What was found.
#[derive(Clone, Debug, PartialEq)]
pub struct Verified {
    /// The test.
    pub test_id: TestId,
    /// Its label.
    pub name: Option<String>,
    /// How far its result can be trusted, as it says.
    pub outcome: Option<Outcome>,
    /// Its proof in one line, recomputed.
    pub line: String,
    /// Drivers that take part.
    pub drivers: usize,
    /// Reports that were added up.
    pub reports: u64,
    /// Seconds that were merged anew.
    pub seconds: u64,
    /// Checks of the proof that were made anew.
    pub checks: usize,
    /// Where the recomputed run differs from what the result says, at most 20.
    pub differences: Vec<String>,
    /// How many more there are.
    pub more: usize,
}

#[derive(Default)]
struct Differences {
    told: Vec<String>,
    more: usize,
}

impl Differences {
    fn note(&mut self, what: String) {
        if self.told.len() < MAX_TOLD { self.told.push(what) } else { self.more += 1 }
    }

    fn unless(&mut self, same: bool, what: impl FnOnce() -> String) {
        if !same {
            self.note(what());
        }
    }
}

/// Recomputes every total, every second, every distribution and every check of a run.
pub fn verify(file: &OneTest) -> Result<Verified, StoreError> {
    let record = file.test()?;
    let mut differences = Differences::default();
    differences.unless(record.state.is_end(), || format!("the test is not over: it is {}", record.state.name()));
    if let Some(stranger) = file.stranger(&record)? {
        differences.note(format!("{stranger} reported, and takes no part in the test"));
    }
    let aggregate = file.aggregate(&record)?;
    compare_totals(file, &record, &aggregate, &mut differences)?;
    let seconds = compare_seconds(file, &record, &mut differences)?;
    let line = compare_proof(&record, &aggregate, &mut differences);
    let Differences { told, more } = differences;
    Ok(Verified {
        drivers: record.participants.len(),
        reports: file.reports()?,
        seconds,
        checks: record.conservation.as_ref().map_or(0, |proof| proof.checks.len()),
        test_id: record.test_id,
        name: record.name,
        outcome: record.outcome,
        line,
        differences: told,
        more,
    })
}

fn compare_totals(
    file: &OneTest,
    record: &TestRecord,
    aggregate: &Aggregate,
    differences: &mut Differences,
) -> Result<(), StoreError> {
    let (totals, recomputed) = (file.totals(record)?, aggregate.totals());
    for node_id in totals.keys().filter(|node_id| !recomputed.contains_key(*node_id)) {
        differences.note(format!("{node_id} has totals and no report"));
    }
    for (node_id, recomputed) in &recomputed {
        match totals.get(node_id) {
            Some(said) => compare_parts(&format!("the totals of {node_id}"), said, recomputed, differences),
            None => differences.note(format!("{node_id} has reports and no totals")),
        }
    }
    for participant in &record.participants {
        let reports = aggregate.driver(&participant.node_id).map_or(0, |driver| driver.reports());
        differences.unless(participant.reports == reports, || {
            format!("{} has {reports} reports, the result says {}", participant.node_id, participant.reports)
        });
    }
    Ok(())
}

fn compare_parts(what: &str, said: &DriverPart, recomputed: &DriverPart, differences: &mut Differences) {
    let lengths = |part: &DriverPart| (part.length_ns, part.sending_ns);
    differences.unless(lengths(said) == lengths(recomputed), || {
        format!("{what}: {:?} ns of length and of sending, the result says {:?}", lengths(recomputed), lengths(said))
    });
    let (theirs, ours) = (&said.stats, &recomputed.stats);
    let SecondStats { counts, latency, service_time, schedule_error, examples, by_name } = ours;
    differences.unless(*counts == theirs.counts, || {
        format!("{what}: the counts; {} sent, the result says {}", counts.sent, theirs.counts.sent)
    });
    differences.unless(*examples == theirs.examples, || format!("{what}: the examples of failures"));
    for (name, ours, theirs) in [
        ("latency", latency, &theirs.latency),
        ("service time", service_time, &theirs.service_time),
        ("schedule error", schedule_error, &theirs.schedule_error),
    ] {
        differences.unless(ours == theirs, || format!("{what}: the distribution of {name}"));
    }
    compare_names(what, theirs.by_name.iter(), by_name.iter(), differences);
}

fn compare_names<'a, L: PartialEq + 'a>(
    what: &str,
    said: impl Iterator<Item = (&'a str, &'a NameFigures<L>)>,
    recomputed: impl Iterator<Item = (&'a str, &'a NameFigures<L>)>,
    differences: &mut Differences,
) {
    let (said, recomputed): (BTreeMap<_, _>, BTreeMap<_, _>) = (said.collect(), recomputed.collect());
    let names: BTreeSet<&str> = said.keys().chain(recomputed.keys()).copied().collect();
    for name in names {
        let (theirs, ours) = (said.get(name), recomputed.get(name));
        differences.unless(ours == theirs, || match [ours, theirs].map(|of| of.map_or(0, |of| of.sent)) {
            [sent, said] if sent == said => {
                format!("{what}: the requests named {name}: their statuses, causes or latencies")
            }
            [sent, said] => format!("{what}: the requests named {name}; {sent} sent, the result says {said}"),
        });
    }
}

/// How many seconds were compared.
fn compare_seconds(file: &OneTest, record: &TestRecord, differences: &mut Differences) -> Result<u64, StoreError> {
    let reported = file.reported_seconds()?;
    let said = file.seconds()?;
    for second in &reported {
        let (merged, said) = file.second(record, *second)?;
        let Some((mut numbers, histograms)) = said else {
            differences.note(format!("second {second} has reports and no result"));
            continue;
        };
        let all = merged.all();
        let recomputed = SecondNumbers::of(&merged, &all, numbers.sealed_unix_ms);
        // What is not in its reports cannot be recomputed.
        let mut recomputed = SecondNumbers { missing: numbers.missing.clone(), target: numbers.target, ..recomputed };
        let [said, names] = [&mut numbers, &mut recomputed].map(|second| std::mem::take(&mut second.all.by_name));
        let [said, names] = [&said, &names].map(|names| names.iter().map(|(name, of)| (name.as_str(), of)));
        compare_names(&format!("second {second}"), said, names, differences);
        differences.unless(numbers == recomputed, || {
            let sent = |part: &PartNumbers| part.counts.sent;
            format!(
                "second {second}: its numbers; {} sent, the result says {}",
                sent(&recomputed.all),
                sent(&numbers.all)
            )
        });
        let SecondStats { latency, service_time, schedule_error, .. } = &all.stats;
        let same = [latency, service_time, schedule_error]
            .into_iter()
            .zip(&histograms)
            .all(|(ours, theirs)| ours.histogram().map_or(theirs.is_empty(), |ours| ours == theirs));
        differences.unless(same, || format!("second {second}: its distributions"));
    }
    differences.unless(said == reported.len() as u64, || {
        format!("the result has {said} seconds; there are reports of {}", reported.len())
    });
    Ok(reported.len() as u64)
}

/// The line of the proof as it must be.
fn compare_proof(record: &TestRecord, aggregate: &Aggregate, differences: &mut Differences) -> String {
    let Some(Conservation { line: said, checks }) = &record.conservation else {
        differences.note("the result has no proof".into());
        return String::new();
    };
    let no_target = || Check {
        name: TARGET_CHECK.into(),
        node_id: None,
        verdict: Verdict::Unknown,
        expected: None,
        actual: None,
        detail: "the result says nothing of it".into(),
    };
    let target = checks.iter().find(|check| check.name == TARGET_CHECK).cloned().unwrap_or_else(no_target);
    // The target's second count is nowhere else: what was found must at least not contradict itself.
    let sent = aggregate.all().counts.sent;
    let is_sound = target.expected.is_none_or(|expected| expected == sent)
        && (target.verdict == Verdict::Unknown || target.actual.is_some());
    differences.unless(is_sound, || format!("the comparison with the target: {sent} sent, not {:?}", target.expected));
    let (outcome, recomputed) = conservation::check_with(record, aggregate, record.is_complete(), target);
    for ours in &recomputed.checks {
        let same = |theirs: &&Check| (&theirs.name, &theirs.node_id) == (&ours.name, &ours.node_id);
        match checks.iter().find(same) {
            Some(theirs) => {
                differences.unless(ours == theirs, || {
                    format!("{}, {}: {}; the result says: {}", ours.who(), ours.name, ours.detail, theirs.detail)
                });
            }
            // Later versions make more checks.
            None => differences.unless(ours.verdict != Verdict::Breach, || {
                format!("{}, {}: {}; the result does not say so", ours.who(), ours.name, ours.detail)
            }),
        }
    }
    if recomputed.checks.len() == checks.len() {
        differences.unless(record.outcome == Some(outcome), || {
            let said = record.outcome.map_or("nothing", Outcome::name);
            format!("the outcome is {}, the result says {said}", outcome.name())
        });
        differences.unless(recomputed.line == *said, || format!("the proof's line; the result says: {said}"));
    } else {
        differences.unless(checks.len() < recomputed.checks.len(), || {
            format!("the result has {} checks where there are {}", checks.len(), recomputed.checks.len())
        });
    }
    recomputed.line
}
