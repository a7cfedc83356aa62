//! A bench's result in the shape that every finished run has. Pure, but for the moment at which a report is written.

use onrush_api::{
    ConfigView, HistogramView, MetricsView, ParticipantState, ParticipantView, ScopeView, SecondView, TestState,
    TestView,
};
use onrush_orchestrator::{Machine, Points, Report, phases};
use onrush_protocol::TestConfig;

use super::text::settings;
use super::view::{BenchView, EngineView, SecondRow};
use crate::report::remarks::remarks;
use crate::result::{Finished, plain};

/// What stands where a test has the name of a driver.
pub const BENCH: &str = "bench";

/// A bench as a test with one driver, and its totals.
pub fn as_test(view: &BenchView, config: &TestConfig) -> (TestView, MetricsView) {
    let BenchView {
        state, reason, started_at, asked, engine, totals, limit, outcome, conservation, thresholds, ..
    } = view;
    let participant = ParticipantView {
        node_id: BENCH.into(),
        session_id: None,
        state: match state {
            TestState::Completed => ParticipantState::Completed,
            TestState::Stopped => ParticipantState::Stopped,
            _ => ParticipantState::Failed,
        },
        reason: None,
        started_at: Some(started_at.clone()),
        reports: view.seconds.len() as u64 + view.seconds_left_out,
        late_reports: 0,
        engine: Some(format!("{}, {}", engine.driver, engine.wait)),
    };
    let phases = phases(config);
    let config = ConfigView { target_url: Some(asked.url.clone()), ..ConfigView::from(config) };
    let test = TestView {
        test_id: BENCH.into(),
        name: None,
        state: *state,
        reason: reason.clone(),
        config,
        participants: vec![participant],
        created_at: started_at.clone(),
        imported_at: None,
        triggered_at: None,
        start_at: Some(started_at.clone()),
        ended_at: None,
        start_skew_ms: None,
        outcome: Some(*outcome),
        conservation: Some(conservation.clone()),
        thresholds: thresholds.clone(),
        amendments: Vec::new(),
        phases,
        limit: Some(limit.clone()),
        events: Vec::new(),
    };
    let metrics = MetricsView {
        test_id: BENCH.into(),
        state: *state,
        elapsed_s: totals.elapsed_s.unwrap_or_default(),
        all: totals.clone(),
        drivers: vec![ScopeView { node_id: Some(BENCH.into()), ..totals.clone() }],
    };
    (test, metrics)
}

/// What documents about it are drawn from.
pub fn finished<'a>(
    view: &'a BenchView,
    (test, metrics): &'a (TestView, MetricsView),
    trouble: Option<String>,
) -> Finished<'a> {
    let mut remarks: Vec<String> = view.reason.iter().cloned().collect();
    remarks.extend(self::remarks(&view.totals, view.asked.keepalive).iter().map(|remark| plain(remark)));
    Finished {
        test,
        metrics,
        thresholds: &view.thresholds,
        settings: settings(&view.asked, &view.totals),
        remarks,
        trouble,
    }
}

/// Its report.
pub fn report_of(view: &BenchView, (test, totals): (TestView, MetricsView), distributions: HistogramView) -> Report {
    let mut points = Points::for_drivers(1);
    for SecondRow { second_index, measured, target_cpu } in &view.seconds {
        points.add(&SecondView {
            second_index: *second_index,
            sealed_at: String::new(),
            missing: Vec::new(),
            late_reports: 0,
            target_cpu: *target_cpu,
            all: measured.clone(),
            drivers: vec![ScopeView { node_id: Some(BENCH.into()), ..measured.clone() }],
        });
    }
    let EngineView { driver, wait, why, cpus, connections_open } = view.engine.clone();
    let machine = Machine {
        name: BENCH.into(),
        facts: vec![
            ("engine", driver),
            ("CPUs", cpus),
            ("wait by", format!("{wait}: {why}")),
            ("connections open at the start", connections_open.to_string()),
            ("version", env!("CARGO_PKG_VERSION").into()),
        ],
    };
    let written_at = format!("{:.0}", jiff::Timestamp::now());
    Report { test, totals, points, distributions, machines: vec![machine], written_at }
}

#[cfg(test)]
mod tests {
    use onrush_protocol::{TestId, TestType};

    use super::*;
    use crate::bench::view::tests::sample_run;
    use crate::result::{junit, markdown};

    #[test]
    fn every_document_has_the_figures_and_the_checks_of_the_bench() {
        let view = sample_run();
        let config = TestConfig::new(TestId::new("bench").expect("a name"), TestType::Tsunami);
        let shape = as_test(&view, &config);
        let run = finished(&view, &shape, None);
        let xml = junit::of_run(&run);
        assert_eq!(xml.matches("<testcase ").count(), 1 + view.conservation.checks.len(), "{xml}");
        assert!(xml.contains("failures=\"0\"") && xml.contains("<property name=\"sent\" value=\"3000\"/>"), "{xml}");
        let text = markdown::of_run(&run);
        assert!(text.contains("| **all** | 3,000 | 3,000 | 0 | 1,429 |"), "{text}");
        assert!(text.contains("bench: 3,000 requests, for at most 10.00 s"), "{text}");

        let distributions = onrush_orchestrator::histogram(BENCH, None, &onrush_stats::SecondStats::default());
        let html = report_of(&view, shape, distributions).html();
        assert!(html.contains("\"start_s\":[0,1,2]") && html.contains(&view.conservation.line), "{} bytes", html.len());
    }
}
