//! What is shown of one test: the one that runs, or the last that ran. Pure: parts of seconds go in.
//!
//! Memory: three histograms for the test, and a sparse one for each of at most 65 names; per driver its counts and three times as
//! many numbers as there are bounds.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use onrush_api::{NameView, ScopeView, SecondView, SummaryView, TargetCpuView};
use onrush_protocol::{LatencyMs, NodeId, TestConfig, TestId};
use onrush_search::Verdict;
use onrush_stats::{Counts, FailureCause, LimitedBy, Outcome, SecondStats};

use super::News;
use super::buckets::{Buckets, DURATION_BOUNDS_NS, SCHEDULE_ERROR_BOUNDS_NS};
use crate::aggregate::DriverPart;
use crate::capacity::SearchRecord;
use crate::record::TestRecord;
use crate::state::{ParticipantState, TestState};
use crate::views;

/// A test that ended is shown for this long, unless another begins.
const SHOWN_AFTER_END: Duration = Duration::from_secs(300);

/// A test, and what it takes to add to it.
pub struct TestSeries {
    /// What is shown.
    pub shown: ShownTest,
    /// Everything that was sealed, merged over the drivers: large, and only its summary is shown.
    total: SecondStats,
}

/// What a scrape takes with it.
#[derive(Clone)]
pub struct ShownTest {
    pub test_id: TestId,
    pub name: Option<String>,
    pub test_type: &'static str,
    pub state: TestState,
    /// `None`: it is not over.
    pub outcome: Option<Outcome>,
    /// `None`: nothing was measured yet.
    pub limit: Option<LimitedBy>,
    /// What the target used of its CPUs in the newest sealed second; `None`: it did not tell.
    pub target_cpu: Option<TargetCpuView>,
    pub start_skew_ms: Option<f64>,
    /// The capacity search whose test it is.
    pub search: Option<SearchSeries>,
    /// Each threshold, and whether it is kept.
    pub thresholds: Vec<(String, Option<bool>)>,
    pub connections: u32,
    /// Requests a second that each driver is asked for, where that does not change.
    pub throughput_asked_per_s: Option<f64>,
    /// Whether what is asked for changes, by a profile or by hand: each second has what was due in it.
    pub load_changes: bool,
    /// The newest sealed second.
    pub second: Option<Summaries>,
    /// Everything that is sealed.
    pub whole: Summaries,
    /// The newest sealed second by the name of the request, and everything that is sealed: at most 65 names.
    pub second_by_name: BTreeMap<String, NameView>,
    pub by_name: BTreeMap<String, NameView>,
    pub sealed_at: Option<Instant>,
    pub drivers: BTreeMap<NodeId, DriverSeries>,
    newest_second: Option<u64>,
    ended_at: Option<Instant>,
}

/// What is shown of a capacity search.
#[derive(Clone, Copy, Default)]
pub struct SearchSeries {
    /// The rate that it asks for now, over all drivers; `None`: it has ended.
    pub trying_per_s: Option<f64>,
    pub lower_per_s: Option<f64>,
    pub upper_per_s: Option<f64>,
    /// How many trials were good, bad and void.
    pub trials: [usize; 3],
}

impl SearchSeries {
    /// Takes over what is known by now.
    pub fn take(&mut self, record: &SearchRecord) {
        self.trying_per_s = record.end.is_none().then_some(record.trying_per_s);
        let Some(found) = &record.found else { return };
        (self.lower_per_s, self.upper_per_s) = (found.lower_per_s, found.upper_per_s);
        self.trials = [0; 3];
        for trial in &found.trials {
            let place = match trial.verdict {
                Verdict::Good => 0,
                Verdict::Bad => 1,
                Verdict::Void(_) => 2,
            };
            self.trials[place] += 1;
        }
    }
}

/// The three distributions of a second or of a test, in numbers.
#[derive(Clone, Copy, Default)]
pub struct Summaries {
    pub latency: SummaryView,
    pub service_time: SummaryView,
    pub schedule_error: SummaryView,
}

/// What is shown of a driver's part.
#[derive(Clone)]
pub enum DriverSeries {
    /// It reports seconds.
    Measured(Box<MeasuredSeries>),
    /// It speaks only the specification; the newest numbers that it reported.
    Plain(Option<LatencyMs>),
}

/// Counts and distributions of a driver that reports seconds.
#[derive(Clone)]
pub struct MeasuredSeries {
    pub counts: Counts,
    pub latency: Buckets,
    pub service_time: Buckets,
    pub schedule_error: Buckets,
    /// The exact median of its latency over the whole test so far.
    pub median_ns: Option<u64>,
    /// Its part in the newest sealed second; `None`: it has none, or it is lost.
    pub second: Option<DriverSecond>,
    pub is_lost: bool,
}

/// A driver's part in one second.
#[derive(Clone, Copy)]
pub struct DriverSecond {
    pub latency: SummaryView,
    pub in_flight: Option<u64>,
    pub responses_per_s: Option<f64>,
    pub attempts_per_s: Option<f64>,
    pub due_per_s: Option<f64>,
}

impl TestSeries {
    /// A test in which nothing was measured so far.
    pub fn new(record: &TestRecord, now: Instant) -> Self {
        let TestConfig { test_type, .. } = record.config;
        let connections = record.config.connections.unwrap_or(TestConfig::default_connections(test_type));
        let shown = ShownTest {
            test_id: record.test_id.clone(),
            name: record.name.clone(),
            test_type: test_type.name(),
            state: record.state,
            outcome: None,
            limit: None,
            target_cpu: None,
            start_skew_ms: None,
            search: None,
            thresholds: Vec::new(),
            connections,
            throughput_asked_per_s: record.config.asked_rate_per_s(record.participants.len()),
            load_changes: false,
            second: None,
            whole: Summaries::default(),
            second_by_name: BTreeMap::new(),
            by_name: BTreeMap::new(),
            sealed_at: None,
            drivers: BTreeMap::new(),
            newest_second: None,
            ended_at: None,
        };
        let mut series = Self { shown, total: SecondStats::default() };
        series.observe(record, now);
        series
    }

    /// Takes over what the record says by now.
    pub fn observe(&mut self, record: &TestRecord, now: Instant) {
        let shown = &mut self.shown;
        (shown.state, shown.outcome) = (record.state, record.outcome);
        shown.limit = record.limit.as_ref().map(|found| found.limited_by);
        shown.start_skew_ms = views::start_skew_ms(record);
        shown.throughput_asked_per_s = record.config.asked_rate_per_s(record.participants.len());
        shown.load_changes = record.config.profile.is_some() || !record.config.amendments.is_empty();
        let kept = |place: usize| record.standings.get(place).and_then(|standing| standing.kept);
        let thresholds = record.config.thresholds.iter().enumerate();
        shown.thresholds = thresholds.map(|(place, threshold)| (threshold.to_string(), kept(place))).collect();
        if record.state.is_end() {
            shown.ended_at.get_or_insert(now);
        }
        for participant in &record.participants {
            let series = shown.drivers.entry(participant.node_id.clone()).or_insert_with(|| {
                let measured = || DriverSeries::Measured(Box::default());
                if participant.is_plain() { DriverSeries::Plain(None) } else { measured() }
            });
            match series {
                DriverSeries::Plain(latency) => *latency = participant.plain,
                DriverSeries::Measured(measured) => {
                    measured.is_lost = participant.state == ParticipantState::Lost;
                    measured.second = measured.second.filter(|_| !measured.is_lost);
                }
            }
        }
    }

    /// Takes a second as it is shown, and what it brings.
    pub fn second(&mut self, view: &SecondView, news: News<'_>, now: Instant) {
        self.add(news.parts.iter().map(|(node_id, part)| (node_id, &part.stats)), news.all);
        self.update_medians(news.total_of);
        let shown = &mut self.shown;
        // A second that is merged anew may be an older one.
        if shown.newest_second.is_some_and(|newest| newest > view.second_index) {
            return;
        }
        if shown.newest_second != Some(view.second_index) {
            shown.sealed_at = Some(now);
        }
        shown.newest_second = Some(view.second_index);
        shown.second_by_name.clone_from(&view.all.by_name);
        let ScopeView { latency, service_time, schedule_error, .. } = view.all;
        shown.target_cpu = view.target_cpu;
        shown.second = Some(Summaries { latency, service_time, schedule_error });
        let parts: BTreeMap<&str, &ScopeView> =
            view.drivers.iter().filter_map(|scope| Some((scope.node_id.as_deref()?, scope))).collect();
        for (node_id, series) in &mut shown.drivers {
            let DriverSeries::Measured(measured) = series else { continue };
            let part = parts.get(node_id.as_str()).filter(|_| !measured.is_lost);
            measured.second = part.map(|scope| DriverSecond {
                latency: scope.latency,
                in_flight: scope.in_flight,
                responses_per_s: scope.responses_per_s,
                attempts_per_s: scope.attempts_per_s,
                due_per_s: scope.due.zip(scope.sending_s).filter(|(_, s)| *s > 0.0).map(|(due, s)| due as f64 / s),
            });
        }
    }

    /// Adds what drivers measured in sealed seconds, and all of that merged: each must come once.
    pub fn add<'a>(&mut self, parts: impl IntoIterator<Item = (&'a NodeId, &'a SecondStats)>, all: &SecondStats) {
        self.total.append(all);
        for (node_id, stats) in parts {
            let series = &mut *self.shown.drivers.entry(node_id.clone()).or_insert(DriverSeries::Plain(None));
            if let DriverSeries::Plain(_) = series {
                *series = DriverSeries::Measured(Box::default());
            }
            if let DriverSeries::Measured(measured) = series {
                measured.add(stats);
            }
        }
        let SecondStats { latency, service_time, schedule_error, by_name, .. } = &self.total;
        // No throughput is shown of a name; it follows from its counters.
        self.shown.by_name = NameView::of_all(&by_name.summaries(), 0.0);
        self.shown.whole = Summaries {
            latency: SummaryView::of(latency),
            service_time: SummaryView::of(service_time),
            schedule_error: SummaryView::of(schedule_error),
        };
    }

    /// Takes over the medians of what the drivers measured so far.
    pub fn update_medians<'a>(&mut self, total_of: impl Fn(&NodeId) -> Option<&'a DriverPart>) {
        for (node_id, series) in &mut self.shown.drivers {
            if let DriverSeries::Measured(measured) = series {
                measured.median_ns = total_of(node_id).and_then(|total| total.stats.latency.quantile_ns(0.5));
            }
        }
    }
}

impl ShownTest {
    /// Whether it is still to be shown.
    pub fn is_current(&self, now: Instant) -> bool {
        self.ended_at.is_none_or(|at| now.saturating_duration_since(at) < SHOWN_AFTER_END)
    }
}

impl MeasuredSeries {
    fn add(&mut self, stats: &SecondStats) {
        let SecondStats { counts, latency, service_time, schedule_error, examples: _, by_name: _ } = stats;
        self.counts.append(counts);
        self.latency.add(latency);
        self.service_time.add(service_time);
        self.schedule_error.add(schedule_error);
    }

    /// Responses by the hundreds of their status, those that there are always included.
    pub fn answers(&self) -> BTreeMap<u16, u64> {
        let mut answers: BTreeMap<u16, u64> = (1..=5).map(|class| (class, 0)).collect();
        for (status, n) in &self.counts.statuses {
            *answers.entry(status / 100).or_default() += n;
        }
        answers
    }

    /// Failures by each cause that there is.
    pub fn failures(&self) -> impl Iterator<Item = (&'static str, u64)> {
        FailureCause::ALL.iter().map(|cause| (cause.name(), self.counts.failures.get(cause).copied().unwrap_or(0)))
    }
}

impl Default for MeasuredSeries {
    fn default() -> Self {
        Self {
            counts: Counts::default(),
            latency: Buckets::new(DURATION_BOUNDS_NS),
            service_time: Buckets::new(DURATION_BOUNDS_NS),
            schedule_error: Buckets::new(SCHEDULE_ERROR_BOUNDS_NS),
            median_ns: None,
            second: None,
            is_lost: false,
        }
    }
}
