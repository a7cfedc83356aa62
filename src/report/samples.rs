//! A result to draw in tests.

use onrush_api::{
    ConfigSummary, ConfigView, ConservationView, MetricsView, Outcome, ParticipantState, ParticipantView, ScopeView,
    SecondView, SummaryView, TestState, TestSummary, TestView,
};

/// A completed Avalanche on two drivers.
pub fn sample_test() -> TestView {
    let part = |node_id: &str| ParticipantView {
        node_id: node_id.into(),
        session_id: None,
        state: ParticipantState::Completed,
        reason: None,
        started_at: None,
        reports: 3,
        late_reports: 0,
        engine: None,
    };
    TestView {
        test_id: "t-20260102-030405-k3x9".into(),
        name: None,
        state: TestState::Completed,
        reason: None,
        config: ConfigView {
            test_type: "AVALANCHE".into(),
            target_url: Some("http://127.0.0.1:8080/ping".into()),
            method: "GET".into(),
            message_count_per_driver: Some(100_000),
            connections: 64,
            timeout_s: 10.0,
            keepalive: true,
            ..ConfigView::default()
        },
        participants: vec![part("driver-1"), part("driver-2")],
        created_at: "2026-01-02T03:04:05Z".into(),
        imported_at: None,
        triggered_at: None,
        start_at: None,
        ended_at: None,
        start_skew_ms: Some(0.0431),
        outcome: Some(Outcome::Exact),
        conservation: Some(ConservationView {
            line: "conservation: exact (200,000 sent = 200,000 answered + 0 failed)".into(),
            checks: Vec::new(),
        }),
        amendments: Vec::new(),
        phases: Vec::new(),
        thresholds: Vec::new(),
        limit: None,
        events: Vec::new(),
    }
}

/// The same in the list of tests.
pub fn sample_summary() -> TestSummary {
    let TestView { test_id, name, state, reason, config, participants, created_at, .. } = sample_test();
    TestSummary {
        test_id,
        name,
        state,
        reason,
        config: ConfigSummary {
            test_type: config.test_type,
            target_url: config.target_url,
            message_count_per_driver: config.message_count_per_driver,
            duration_s: config.duration_s,
        },
        drivers: participants.len() as u64,
        created_at,
        triggered_at: None,
        ended_at: None,
        outcome: Some(Outcome::Exact),
    }
}

fn scope(node_id: Option<&str>, sent: u64, responses_per_s: f64, scale: f64) -> ScopeView {
    let latency = SummaryView {
        count: Some(sent),
        mean_ms: Some(0.7412 * scale),
        median_ms: Some(0.7211 * scale),
        min_ms: Some(0.0413 * scale),
        max_ms: Some(14.06 * scale),
        p90_ms: Some(0.9951 * scale),
        p95_ms: Some(1.214 * scale),
        p99_ms: Some(2.105 * scale),
        p999_ms: Some(6.321 * scale),
    };
    let schedule_error = SummaryView { median_ms: Some(0.000_412 * scale), p99_ms: Some(0.001_204 * scale), ..latency };
    ScopeView {
        node_id: node_id.map(Into::into),
        elapsed_s: Some(2.31),
        sending_s: Some(2.31),
        due: Some(sent),
        sent: Some(sent),
        responses: Some(sent),
        answered: Some(sent),
        failed: Some(0),
        skipped: Some(0),
        dropped: Some(0),
        resent: Some(0),
        unsolicited: Some(0),
        connects: Some(0),
        in_flight: Some(0),
        responses_per_s: Some(responses_per_s),
        attempts_per_s: Some(responses_per_s),
        bytes_sent: Some(1),
        bytes_received: Some(1),
        statuses: [(200, sent)].into(),
        failures: [].into(),
        examples: [].into(),
        addresses: [].into(),
        latency,
        latency_of_due: latency,
        service_time: latency,
        schedule_error,
        by_name: [].into(),
        note: None,
    }
}

/// Its totals.
pub fn sample_metrics() -> MetricsView {
    MetricsView {
        test_id: "t-20260102-030405-k3x9".into(),
        state: TestState::Completed,
        elapsed_s: 2.314,
        all: scope(None, 200_000, 86_430.2, 1.0),
        drivers: vec![
            scope(Some("driver-1"), 100_000, 43_210.0, 0.98),
            scope(Some("driver-2"), 100_000, 43_220.2, 1.01),
        ],
    }
}

/// Its third second.
pub fn sample_second() -> SecondView {
    let mut all = scope(None, 86_420, 86_420.4, 1.0);
    all.latency.median_ms = Some(0.7414);
    SecondView {
        second_index: 2,
        sealed_at: "2026-01-02T03:04:08Z".into(),
        missing: Vec::new(),
        late_reports: 0,
        all,
        drivers: Vec::new(),
        target_cpu: None,
    }
}
