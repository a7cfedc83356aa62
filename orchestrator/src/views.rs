//! Values become what REST shows.

use std::collections::BTreeMap;

use onrush_api::{
    AmendmentView, BucketView, CheckView, ConfigSummary, ConfigView, ConservationView, DistributionView, DriverView,
    EventView, FoundView, HistogramView, MetricsView, NameView, ParticipantView, PhaseView, ScopeView, SearchSummary,
    SearchView, SecondView, Summaries, SummaryView, TargetCpuView, TestSummary, TestView, ThresholdView,
};
use onrush_protocol::{Amendment, NodeId, TestConfig, Threshold, encode_base64};
use onrush_search::Goal;
use onrush_stats::{Distribution, SecondStats};

use crate::aggregate::{DriverPart, Parts, merged};
use crate::amend::{Stretch, stretches};
use crate::clock::rfc3339;
use crate::event::TestEvent;
use crate::proof::{Check, Conservation};
use crate::record::{ParticipantRecord, TestRecord};
use crate::registry::{DriverStatus, clock_warning};
use crate::second::{PartNumbers, SecondNumbers};
use crate::state::{DriverState, ParticipantState, SearchState, TestState};
use crate::store::{ListedTest, StoredSearch};

/// The view of an enum has the same values: one that either lacks stops the build.
macro_rules! shown_as {
    ($($Type:ident: $($Value:ident)*;)*) => {
        $(impl From<$Type> for onrush_api::$Type {
            fn from(value: $Type) -> Self {
                match value { $($Type::$Value => Self::$Value,)* }
            }
        })*
    };
}

shown_as! {
    TestState: Configured Armed Running Completed Stopped Failed;
    ParticipantState: Pending Armed Refused Running Completed Stopped Failed Lost;
    SearchState: Running Completed Stopped Failed;
    DriverState: Idle Armed Running Alive Suspect Lost Rejected;
}

/// A driver.
pub fn driver(status: &DriverStatus) -> DriverView {
    let DriverStatus { register, registered_unix_ms, state, reason, clock_wrong_by_ms, heard_before, last, .. } =
        status;
    DriverView {
        node_id: register.node_id.to_string(),
        session_id: register.session_id.as_ref().map(ToString::to_string),
        state: (*state).into(),
        reason: reason.clone(),
        warnings: clock_wrong_by_ms.map(clock_warning).into_iter().collect(),
        test_id: last.as_ref().and_then(|last| last.test_id.as_ref()).map(ToString::to_string),
        node_ip: register.node_ip.clone(),
        hostname: register.hostname.clone(),
        version: register.version.clone(),
        cpus: register.cpus.clone(),
        registered_at: rfc3339(*registered_unix_ms),
        heartbeat_age_s: (heard_before.as_secs_f64() * 1e3).round() / 1e3,
        clock_offset_ms: status.clock_offset_ms,
        reports_waiting: last.as_ref().and_then(|last| last.reports_waiting),
        messages_skipped: last.as_ref().and_then(|last| last.messages_skipped),
        cpu_s: last.as_ref().and_then(|last| last.cpu_s),
        memory_bytes: last.as_ref().and_then(|last| last.memory_bytes),
    }
}

/// A test.
pub fn test(record: &TestRecord) -> TestView {
    TestView {
        test_id: record.test_id.to_string(),
        name: record.name.clone(),
        state: record.state.into(),
        reason: record.reason.clone(),
        config: ConfigView::from(&record.config),
        participants: record.participants.iter().map(participant).collect(),
        created_at: rfc3339(record.created_unix_ms),
        imported_at: imported_at(record),
        triggered_at: record.triggered_unix_ms.map(rfc3339),
        start_at: record.start_at_unix_ms.map(rfc3339),
        ended_at: record.ended_unix_ms.map(rfc3339),
        start_skew_ms: start_skew_ms(record),
        outcome: record.outcome.map(Into::into),
        conservation: record.conservation.as_ref().map(conservation),
        thresholds: thresholds(record),
        amendments: amendments(record),
        phases: phases(&record.config),
        limit: record.limit.as_ref().map(Into::into),
        events: record
            .events
            .kept()
            .iter()
            .map(|event| EventView {
                at: rfc3339(event.at_unix_ms),
                kind: event.kind.name().into(),
                node_id: event.node_id.as_ref().map(ToString::to_string),
                detail: event.detail.clone(),
            })
            .collect(),
    }
}

fn imported_at(record: &TestRecord) -> Option<String> {
    let event = record.events.kept().iter().rfind(|event| event.kind == TestEvent::Imported);
    event.map(|event| rfc3339(event.at_unix_ms))
}

/// A capacity search. Where what is stored of it cannot be read, its numbers are 0 and its reason says so.
pub fn search(record: &TestRecord, stored: &StoredSearch) -> SearchView {
    let StoredSearch { goal, state, reason, ended_unix_ms, elapsed_s, trying_per_s, found } = stored;
    let of_goal = |number: fn(&Goal) -> f64| goal.as_ref().map_or(0.0, number);
    let criteria = goal.iter().flat_map(|goal| &goal.slo);
    let config = &record.config;
    SearchView {
        search_id: record.test_id.to_string(),
        test_id: record.test_id.to_string(),
        name: record.name.clone(),
        state: (*state).into(),
        reason: reason.clone(),
        created_at: rfc3339(record.created_unix_ms),
        ended_at: ended_unix_ms.map(rfc3339),
        url: config.target_url.clone(),
        slo: criteria.clone().map(ToString::to_string).collect(),
        criteria: criteria.map(Into::into).collect(),
        width: of_goal(|goal| goal.width),
        budget_s: of_goal(|goal| goal.budget.as_secs_f64()),
        start_per_s: of_goal(|goal| goal.start_per_s),
        max_per_s: of_goal(|goal| goal.max_per_s),
        connections: config.connections.unwrap_or(TestConfig::default_connections(config.test_type)),
        arrivals: config.arrivals.name().into(),
        outcome: record.outcome.map(Into::into),
        elapsed_s: *elapsed_s,
        trying_per_s: *trying_per_s,
        found: found.clone(),
    }
}

/// A capacity search in the list.
pub fn search_summary(record: &TestRecord, stored: &StoredSearch) -> SearchSummary {
    let SearchView { search_id, test_id, name, state, created_at, ended_at, url, slo, found, .. } =
        search(record, stored);
    let FoundView { lower_per_s, upper_per_s, ended, .. } = found;
    SearchSummary { search_id, test_id, name, state, created_at, ended_at, url, slo, lower_per_s, upper_per_s, ended }
}

fn thresholds(record: &TestRecord) -> Vec<ThresholdView> {
    let view = |(place, threshold): (usize, &Threshold)| {
        let standing = record.standings.get(place).cloned().unwrap_or_default();
        ThresholdView::of(threshold, &standing)
    };
    record.config.thresholds.iter().enumerate().map(view).collect()
}

/// A test in the list.
pub fn summary(listed: &ListedTest) -> TestSummary {
    TestSummary {
        test_id: listed.test_id.clone(),
        name: listed.name.clone(),
        state: listed.state().into(),
        reason: listed.reason.clone(),
        config: ConfigSummary {
            test_type: listed.test_type.clone(),
            target_url: listed.target_url.clone(),
            message_count_per_driver: listed.count_per_driver,
            duration_s: listed.duration_s,
        },
        drivers: listed.drivers,
        created_at: rfc3339(listed.created_unix_ms),
        triggered_at: listed.triggered_unix_ms.map(rfc3339),
        ended_at: listed.ended_unix_ms.map(rfc3339),
        outcome: listed.outcome().map(Into::into),
    }
}

fn conservation(Conservation { line, checks }: &Conservation) -> ConservationView {
    let check = |check: &Check| CheckView {
        name: check.name.clone(),
        node_id: check.node_id.as_ref().map(ToString::to_string),
        verdict: check.verdict.into(),
        expected: check.expected,
        actual: check.actual,
        detail: check.detail.clone(),
    };
    ConservationView { line: line.clone(), checks: checks.iter().map(check).collect() }
}

/// What a test asks for over time, changes included.
pub fn phases(config: &TestConfig) -> Vec<PhaseView> {
    stretches(config).iter().map(phase).collect()
}

fn phase(stretch: &Stretch) -> PhaseView {
    PhaseView {
        from_s: stretch.from.as_secs_f64(),
        to_s: stretch.to.map(|to| to.as_secs_f64()),
        load: stretch.shape.to_string(),
    }
}

fn amendments(record: &TestRecord) -> Vec<AmendmentView> {
    let view = |(place, amendment): (usize, &Amendment)| {
        let took_effect = |p: &ParticipantRecord| Some((p.node_id.to_string(), *p.amended_at.get(place)?));
        AmendmentView {
            at_second: amendment.at_second,
            profile: amendment.profile.to_string(),
            took_effect: record.participants.iter().filter_map(took_effect).collect(),
        }
    };
    record.config.amendments.iter().enumerate().map(view).collect()
}

/// Between the first and the last driver's measured start.
pub fn start_skew_ms(record: &TestRecord) -> Option<f64> {
    let starts = || record.participants.iter().filter_map(|p| p.started_at_unix_ms);
    let (first, last) = (starts().reduce(f64::min), starts().reduce(f64::max));
    first.zip(last).map(|(first, last)| round_us(last - first))
}

/// Milliseconds to the microsecond: more digits would be noise of the floating point.
fn round_us(ms: f64) -> f64 {
    (ms * 1e3).round() / 1e3
}

fn participant(p: &ParticipantRecord) -> ParticipantView {
    ParticipantView {
        node_id: p.node_id.to_string(),
        session_id: p.session_id.as_ref().map(ToString::to_string),
        state: p.state.into(),
        reason: p.reason.clone(),
        started_at: p.started_at_unix_ms.map(rfc3339),
        reports: p.reports,
        late_reports: p.late_reports,
        engine: p.engine.clone(),
    }
}

/// The totals of a test, per driver and over all.
pub fn metrics(record: &TestRecord, totals: &Parts) -> MetricsView {
    metrics_of(record, &merged(totals), |node_id| totals.get(node_id))
}

/// The same from where the totals are; `all` are those of all drivers merged.
pub fn metrics_of<'a>(
    record: &TestRecord,
    all: &DriverPart,
    total_of: impl Fn(&NodeId) -> Option<&'a DriverPart>,
) -> MetricsView {
    let drivers: Vec<ScopeView> = record.participants.iter().map(|p| driver_scope(p, total_of(&p.node_id))).collect();
    let elapsed_s = seconds(all.length_ns);
    let mut scope = scope(None, all);
    let is_known = |p: &&ParticipantRecord| total_of(&p.node_id).is_some();
    let plain: Vec<&ParticipantRecord> = record.participants.iter().filter(|p| p.is_plain() && !is_known(p)).collect();
    if !plain.is_empty() {
        let any_known = record.participants.iter().any(|p| is_known(&p));
        add_plain(&mut scope, all, &plain, record.config.count_per_driver, any_known);
    }
    MetricsView { test_id: record.test_id.to_string(), state: record.state.into(), elapsed_s, all: scope, drivers }
}

fn driver_scope(participant: &ParticipantRecord, total: Option<&DriverPart>) -> ScopeView {
    if let Some(total) = total {
        return scope(Some(&participant.node_id), total);
    }
    if !participant.is_plain() {
        return scope(Some(&participant.node_id), &DriverPart::default());
    }
    let mut view = unknown_scope(Some(&participant.node_id));
    if let Some(latency) = participant.plain {
        view.latency = SummaryView {
            mean_ms: latency.mean,
            median_ms: latency.median,
            min_ms: latency.min,
            max_ms: latency.max,
            ..SummaryView::default()
        };
    }
    view.note =
        Some("speaks only the specification: it reports mean, median, minimum and maximum of its latency".into());
    view
}

/// Takes into the numbers over all what drivers report that speak only the specification.
fn add_plain(
    all: &mut ScopeView,
    known: &DriverPart,
    plain: &[&ParticipantRecord],
    count: Option<u64>,
    any_known: bool,
) {
    let names: Vec<&str> = plain.iter().map(|p| p.node_id.as_str()).collect();
    let names = names.join(", ");
    if !any_known {
        *all = unknown_scope(None);
    }
    let reported = || plain.iter().filter_map(|p| p.plain);
    let fold =
        |own: Option<f64>, theirs: Option<f64>, pick: fn(f64, f64) -> f64| own.into_iter().chain(theirs).reduce(pick);
    let latency = &mut all.latency;
    latency.min_ms = fold(latency.min_ms, reported().filter_map(|l| l.min).reduce(f64::min), f64::min);
    latency.max_ms = fold(latency.max_ms, reported().filter_map(|l| l.max).reduce(f64::max), f64::max);
    // Nobody knows how many answers their means stand for; the count asked for is the best guess.
    let known_count = known.stats.latency.count();
    let weight = count.unwrap_or(known_count).max(1) as f64;
    let own = latency.mean_ms.map(|mean| (mean * known_count as f64, known_count as f64));
    let theirs = reported().filter_map(|l| l.mean).map(|mean| (mean * weight, weight));
    let sum = own.into_iter().chain(theirs).reduce(|(a, n), (b, m)| (a + b, n + m));
    latency.mean_ms = sum.map(|(sum, weights)| sum / weights);
    // A gate must not be held against a part of what was due.
    (all.due, all.latency_of_due) = (None, SummaryView::default());
    all.note = Some(if any_known {
        format!(
            "{names} speaks only the specification: its requests are not in the counts, median and percentiles leave it \
             out, minimum and maximum include it, and the mean is approximate"
        )
    } else {
        format!("{names} speaks only the specification: no counts, no median over all; the mean is approximate")
    });
}

fn unknown_scope(node_id: Option<&NodeId>) -> ScopeView {
    ScopeView {
        node_id: node_id.map(ToString::to_string),
        elapsed_s: None,
        sending_s: None,
        due: None,
        sent: None,
        responses: None,
        answered: None,
        failed: None,
        skipped: None,
        dropped: None,
        resent: None,
        unsolicited: None,
        connects: None,
        in_flight: None,
        responses_per_s: None,
        attempts_per_s: None,
        bytes_sent: None,
        bytes_received: None,
        statuses: BTreeMap::new(),
        failures: BTreeMap::new(),
        examples: BTreeMap::new(),
        addresses: BTreeMap::new(),
        latency: SummaryView::default(),
        latency_of_due: SummaryView::default(),
        service_time: SummaryView::default(),
        schedule_error: SummaryView::default(),
        by_name: BTreeMap::new(),
        note: None,
    }
}

fn scope(node_id: Option<&NodeId>, total: &DriverPart) -> ScopeView {
    let by_name = total.stats.by_name.summaries();
    numbers(node_id, &PartNumbers { by_name, ..PartNumbers::of(total) })
}

fn numbers(node_id: Option<&NodeId>, part: &PartNumbers) -> ScopeView {
    let summaries = Summaries {
        latency: part.latency,
        latency_of_due: part.latency_of_due,
        service_time: part.service_time,
        schedule_error: part.schedule_error,
    };
    let (length_s, sending_s) = (seconds(part.length_ns), seconds(part.sending_ns));
    let scope = ScopeView::of_numbers(&part.counts, &part.examples, &summaries, length_s, sending_s);
    let by_name = NameView::of_all(&part.by_name, sending_s);
    ScopeView { node_id: node_id.map(ToString::to_string), by_name, ..scope }
}

fn seconds(ns: u64) -> f64 {
    ns as f64 / 1e9
}

/// A sealed second.
pub fn second(second: &SecondNumbers) -> SecondView {
    let SecondNumbers { second_index, sealed_unix_ms, missing, late_reports, all, drivers, target } = second;
    SecondView {
        second_index: *second_index,
        sealed_at: rfc3339(*sealed_unix_ms),
        missing: missing.iter().map(ToString::to_string).collect(),
        late_reports: *late_reports,
        all: numbers(None, all),
        drivers: drivers.iter().map(|(node_id, part)| numbers(Some(node_id), part)).collect(),
        target_cpu: target.as_ref().map(TargetCpuView::from),
    }
}

/// The distributions of one driver, or of all.
pub fn histogram(test_id: &str, node_id: Option<&str>, stats: &SecondStats) -> HistogramView {
    HistogramView {
        test_id: test_id.to_owned(),
        node_id: node_id.map(Into::into),
        latency: distribution(&stats.latency),
        service_time: distribution(&stats.service_time),
        schedule_error: distribution(&stats.schedule_error),
    }
}

fn distribution(distribution: &Distribution) -> DistributionView {
    let buckets = distribution.histogram().map(|histogram| {
        let bars = histogram.iter_recorded().map(|value| BucketView {
            up_to_ms: value.value_iterated_to() as f64 / 1e6,
            count: value.count_at_value(),
        });
        bars.collect()
    });
    DistributionView {
        count: distribution.count(),
        sum_ns: distribution.sum_ns(),
        min_ns: distribution.min_ns(),
        max_ns: distribution.max_ns(),
        hdr_v2_base64: encode_base64(distribution),
        buckets: buckets.unwrap_or_default(),
    }
}
