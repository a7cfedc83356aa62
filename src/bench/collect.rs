//! A run's seconds become its result. Pure.

use std::time::Duration;

use onrush_api::{CheckView, ConservationView, ScopeView, StretchView, TargetCpuView, TestState};
use onrush_compare::{Stretch, Timeline};
use onrush_engine::{End, SecondReport};
use onrush_stats::{
    DriverFigures, FailureCause, LimitWatch, Outcome, SecondStats, SparseDistribution, TargetCpu, Totals, Verdict,
    balance,
};

use super::view::{AskedView, BenchView, EngineView, SecondRow};
use crate::report::grouped;

/// A day; the seconds of a longer run stand in the totals and the HDR log alone.
const MAX_SECONDS: usize = 86_400;

/// Takes a run's seconds in and makes its result.
#[derive(Debug, Default)]
pub struct Collector {
    all: SecondStats,
    elapsed: Duration,
    sending: Duration,
    seconds: u64,
    rows: Vec<SecondRow>,
    last: Option<ScopeView>,
    timeline: Timeline,
    /// What the engine counted apart from its seconds.
    claimed: Totals,
    end: Option<End>,
    limits: LimitWatch,
    connections: u64,
    is_paced: bool,
}

impl Collector {
    /// Of a run that was asked for so.
    pub fn of(asked: &AskedView) -> Self {
        let (connections, is_paced) = (asked.connections.into(), asked.rate_per_s.is_some());
        Self { connections, is_paced, ..Self::default() }
    }

    /// The next second of the run, and what the target used of its CPUs since the last second of which that is known.
    pub fn add(&mut self, second: &SecondReport, target: Option<TargetCpu>) {
        let SecondReport { index, length, stats, totals, sending, started: _, end } = second;
        self.all.append(stats);
        let sending_in_this = sending.saturating_sub(self.sending);
        (self.elapsed, self.sending) = (self.elapsed + *length, *sending);
        self.seconds += 1;
        let figures = DriverFigures {
            name: String::new(),
            length_ns: as_ns(*length),
            sending_ns: as_ns(sending_in_this),
            counts: stats.counts.clone(),
            service_time: stats.service_time.summary(),
            schedule_error: stats.schedule_error.summary(),
            connections: self.connections,
            is_paced: self.is_paced,
        };
        self.limits.second(*index, vec![figures], target);
        self.timeline.push(Stretch::of_second(*index, as_ns(sending_in_this), &stats.counts, &stats.latency));
        self.claimed = *totals;
        self.end.clone_from(end);
        let measured = ScopeView::of(stats, length.as_secs_f64(), sending_in_this.as_secs_f64());
        if self.rows.len() < MAX_SECONDS {
            let target_cpu = target.as_ref().map(TargetCpuView::from);
            self.rows.push(SecondRow { second_index: *index, measured: measured.clone(), target_cpu });
        }
        self.last = Some(measured);
    }

    /// Whether the last second is in.
    pub fn has_ended(&self) -> bool {
        self.end.is_some()
    }

    /// What the engine counted so far, and in what time.
    pub fn so_far(&self) -> (Totals, Duration) {
        (self.claimed, self.elapsed)
    }

    /// All that was measured.
    pub fn all(&self) -> &SecondStats {
        &self.all
    }

    /// The second that came last.
    pub fn last(&self) -> Option<&ScopeView> {
        self.last.as_ref()
    }

    /// The result.
    pub fn finish(self, started_at: String, asked: AskedView, engine: EngineView) -> BenchView {
        let totals = ScopeView::of(&self.all, self.elapsed.as_secs_f64(), self.sending.as_secs_f64());
        let (state, reason) = match self.end {
            Some(End::Completed) => (TestState::Completed, None),
            Some(End::Stopped) => (TestState::Stopped, None),
            Some(End::Failed(reason)) => (TestState::Failed, Some(reason)),
            None => (TestState::Failed, Some("it has no last second".into())),
        };
        let is_complete = state != TestState::Failed;
        let (outcome, conservation) = conservation(&self.all, self.claimed, self.seconds, is_complete);
        let seconds_left_out = self.seconds - self.rows.len() as u64;
        let is_rate_kept_to_its_end = state == TestState::Completed && asked.is_rate_over_time();
        let short_of_rate = is_rate_kept_to_its_end.then(|| self.claimed.due.saturating_sub(self.claimed.sent));
        let (thresholds, seconds) = (Vec::new(), self.rows);
        let stretches = self.timeline.stretches().iter().map(StretchView::from).collect();
        let limit = (&self.limits.whole()).into();
        BenchView {
            state,
            reason,
            started_at,
            asked,
            engine,
            totals,
            short_of_rate,
            limit,
            target_metrics_problem: None,
            outcome,
            conservation,
            thresholds,
            seconds,
            seconds_left_out,
            stretches,
        }
    }
}

fn as_ns(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// Whether what the seconds add up to is what the engine counted, and every request has become something. `is_complete`: the
/// run ended as it was asked to.
fn conservation(
    all: &SecondStats,
    claimed: Totals,
    seconds: u64,
    is_complete: bool,
) -> (onrush_api::Outcome, ConservationView) {
    let SecondStats { counts, latency, service_time, schedule_error, examples: _, by_name } = all;
    let (sums, responses, sent) = (counts.totals(), counts.responses(), claimed.sent);
    let check = |name: &str, expected: u64, actual: u64| CheckView {
        name: name.into(),
        node_id: None,
        verdict: Verdict::of_equal(expected, actual).into(),
        expected: Some(expected),
        actual: Some(actual),
        detail: format!("{} and {}", grouped(expected), grouped(actual)),
    };
    let mut checks = vec![
        check("sent = answered + failed", sent, claimed.answered.saturating_add(claimed.failed)),
        check("due = sent + skipped + dropped", claimed.due, claimed.decided()),
    ];
    checks.extend(
        Totals::NUMBERS.iter().map(|number| {
            check(&format!("{} = sum of the seconds", number.name), number.of(&claimed), number.of(&sums))
        }),
    );
    checks.extend([
        check("nothing is left on its way", 0, counts.in_flight),
        check("latency values = responses", responses, latency.count()),
        check("service time values = responses", responses, service_time.count()),
        check("schedule error values = sent", sent, schedule_error.count()),
    ]);
    if !by_name.is_empty() {
        let whole = by_name.whole();
        checks.extend([
            check("names: sent = sent of all", counts.sent, whole.sent),
            check("names: answered = answered of all", counts.answered(), whole.answered()),
            check("names: failed = failed of all", counts.failed(), whole.failed()),
            check("names: latency values = latency values of all", latency.count(), whole.latency.count()),
        ]);
        let same = whole.statuses == counts.statuses
            && whole.failures == counts.failures
            && whole.latency == SparseDistribution::from(latency);
        let name = "names: statuses, causes and latency buckets are those of all";
        checks.push(check(name, 1, same.into()));
    }
    let broken: Vec<String> = checks
        .iter()
        .filter(|check| check.verdict != Verdict::Exact.into())
        .map(|check| format!("{}: {}", check.name, check.detail))
        .collect();
    let detail = if broken.is_empty() {
        let plural = if seconds == 1 { "second adds" } else { "seconds add" };
        let balance = balance(&claimed, counts.failed_by(FailureCause::CheckFailed));
        format!("{balance}; {} {plural} up to it", grouped(seconds))
    } else {
        broken.join("; ")
    };
    let outcome = Outcome::of(is_complete, checks.iter().map(|check| check.verdict.into()));
    let line = format!("conservation: {} ({detail})", outcome.name());
    (outcome.into(), ConservationView { line, checks })
}
