//! A brain without drivers, for the tests of REST: it holds tests and repeats what it is told.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Seek, Write};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use onrush_api::{
    CompareView, ComparedRunView, ConfigSummary, ConfigView, DistributionView, DriverState, DriverView, FoundView,
    GateView, HistogramView, MetricsView, ScopeView, SearchState, SearchSummary, SearchView, SecondView, SeriesView,
    StoppedView, SummaryView, TestState, TestSummary, TestView,
};
use onrush_compare::Gate;
use onrush_protocol::{TestConfig, TestId};
use tempfile::NamedTempFile;
use tokio::sync::broadcast;

use super::api::Api;
use crate::actor::Actor;
use crate::{ListFilter, LoadChange, NewSearch, NewTest, Problem, SearchPage, TestPage, Update};

/// What every run is exported as.
pub(super) const RUN_FILE: &[u8] = b"onrush-run of a fake";

/// The test that is there from the start.
pub(super) const TEST_ID: &str = "20260304-050607-abcd";

/// A brain that keeps its tests in a list.
#[derive(Clone)]
pub(super) struct Fake(Arc<Mutex<Inner>>);

/// What the fake holds.
pub(super) struct Inner {
    pub created: Vec<NewTest>,
    /// In whose name it was asked last.
    pub actor: Actor,
    pub tests: Vec<TestView>,
    pub searches: Vec<SearchView>,
    pub seconds: Vec<SecondView>,
    /// What the list was last asked for.
    pub filter: ListFilter,
    pub updates: broadcast::Sender<Update>,
    /// What every question about a driver gets.
    pub out_of_order: Option<Problem>,
}

impl Fake {
    /// With one test, in that state; its readers lag after `queued_updates`.
    pub(super) fn new(state: TestState, queued_updates: usize) -> Self {
        Self(Arc::new(Mutex::new(Inner {
            created: Vec::new(),
            actor: Actor::NOBODY,
            tests: vec![test_view(TEST_ID, state)],
            searches: Vec::new(),
            seconds: Vec::new(),
            filter: ListFilter::default(),
            updates: broadcast::Sender::new(queued_updates),
            out_of_order: None,
        })))
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().expect("no test panics while it holds the lock")
    }

    /// Seals the next second.
    pub(super) fn seal_second(&self) {
        let mut inner = self.lock();
        let second = second_view(inner.seconds.len() as u64);
        inner.seconds.push(second.clone());
        let totals = metrics_view(TEST_ID, TestState::Running);
        // Nobody may be listening.
        let _ = inner.updates.send(Update::second(second, totals));
    }

    /// Moves the first test to a state.
    pub(super) fn enter(&self, state: TestState) {
        let mut inner = self.lock();
        inner.tests[0].state = state;
        let _ = inner.updates.send(Update::test(inner.tests[0].clone()));
    }
}

impl Api for Fake {
    fn acting(&self, actor: Actor) -> Self {
        self.lock().actor = actor;
        self.clone()
    }

    fn max_drivers(&self) -> usize {
        8
    }

    async fn create(&self, test: NewTest) -> Result<TestView, Problem> {
        let mut inner = self.lock();
        let mut view = test_view(test.config.test_id.as_str(), TestState::Configured);
        view.name = test.name.clone();
        inner.created.push(test);
        inner.tests.insert(0, view.clone());
        Ok(view)
    }

    async fn trigger(&self, test_id: TestId) -> Result<TestView, Problem> {
        let view = self.test(test_id).await?;
        if view.state == TestState::Configured {
            return Ok(view);
        }
        Err(Problem::Conflict("1 driver is registered and 2 are needed; start 1 more".into()))
    }

    async fn amend(&self, test_id: TestId, _: LoadChange, _: Duration) -> Result<TestView, Problem> {
        let view = self.test(test_id).await?;
        if view.state == TestState::Running { Ok(view) } else { Err(Problem::Conflict("it does not run".into())) }
    }

    async fn stop(&self, test_id: TestId) -> Result<TestView, Problem> {
        self.test(test_id).await
    }

    async fn stop_all(&self) -> Result<StoppedView, Problem> {
        Ok(StoppedView { stopped: self.lock().tests.iter().map(|test| test.test_id.clone()).collect() })
    }

    async fn test(&self, test_id: TestId) -> Result<TestView, Problem> {
        let found = self.lock().tests.iter().find(|test| test.test_id == test_id.as_str()).cloned();
        found.ok_or_else(|| Problem::no_such_test(&test_id))
    }

    async fn delete(&self, test_id: TestId) -> Result<(), Problem> {
        let test = self.test(test_id.clone()).await?;
        if !test.state.is_end() {
            return Err(Problem::conflict("it is not over"));
        }
        self.lock().tests.retain(|other| other.test_id != test_id.as_str());
        Ok(())
    }

    async fn tests(
        &self,
        filter: ListFilter,
        limit: usize,
        before: Option<TestId>,
        _: usize,
    ) -> Result<TestPage, Problem> {
        let mut inner = self.lock();
        inner.filter = filter;
        let skip = before.map_or(0, |id| {
            1 + inner.tests.iter().position(|test| test.test_id == id.as_str()).unwrap_or(usize::MAX - 1)
        });
        let tests = inner.tests.iter().skip(skip).take(limit).map(summary).collect();
        Ok(TestPage { tests, more: inner.tests.len() > skip.saturating_add(limit) })
    }

    async fn create_search(&self, search: NewSearch) -> Result<SearchView, Problem> {
        let view = search_view(&search);
        self.lock().searches.insert(0, view.clone());
        Ok(view)
    }

    async fn stop_search(&self, search_id: TestId) -> Result<SearchView, Problem> {
        let view = self.search(search_id).await?;
        if view.state.is_end() { Err(Problem::Conflict("the search has ended".into())) } else { Ok(view) }
    }

    async fn search(&self, search_id: TestId) -> Result<SearchView, Problem> {
        let found = self.lock().searches.iter().find(|search| search.search_id == search_id.as_str()).cloned();
        found.ok_or_else(|| Problem::no_such_search(&search_id))
    }

    async fn searches(&self, limit: usize, _: Option<TestId>, _: usize) -> Result<SearchPage, Problem> {
        let inner = self.lock();
        let searches = inner.searches.iter().take(limit).map(search_summary).collect();
        Ok(SearchPage { searches, more: inner.searches.len() > limit })
    }

    async fn drivers(&self) -> Result<Vec<DriverView>, Problem> {
        match &self.lock().out_of_order {
            Some(problem) => Err(problem.clone()),
            None => Ok(vec![driver_view("driver-1"), driver_view("driver-2")]),
        }
    }

    async fn metrics(&self, test_id: TestId) -> Result<MetricsView, Problem> {
        let test = self.test(test_id).await?;
        Ok(metrics_view(&test.test_id, test.state))
    }

    async fn series(&self, test_id: TestId, from: u64, limit: usize, _: usize) -> Result<SeriesView, Problem> {
        let TestView { test_id, state, .. } = self.test(test_id).await?;
        let inner = self.lock();
        let start = usize::try_from(from).unwrap_or(usize::MAX).min(inner.seconds.len());
        let end = start.saturating_add(limit).min(inner.seconds.len());
        let next_from = (end < inner.seconds.len()).then_some(end as u64);
        Ok(SeriesView { test_id, state, seconds: inner.seconds[start..end].to_vec(), next_from })
    }

    async fn histogram(&self, test_id: TestId, node_id: Option<String>) -> Result<HistogramView, Problem> {
        let TestView { test_id, .. } = self.test(test_id).await?;
        let empty = || DistributionView {
            count: 0,
            sum_ns: 0,
            min_ns: None,
            max_ns: None,
            hdr_v2_base64: String::new(),
            buckets: Vec::new(),
        };
        Ok(HistogramView { test_id, node_id, latency: empty(), service_time: empty(), schedule_error: empty() })
    }

    async fn run_file(&self, test_id: TestId) -> Result<File, Problem> {
        self.test(test_id).await?;
        let mut file = tempfile::tempfile().expect("a temporary file");
        file.write_all(RUN_FILE).and_then(|()| file.rewind()).expect("it can be written");
        Ok(file)
    }

    fn import_file(&self) -> io::Result<NamedTempFile> {
        NamedTempFile::new()
    }

    async fn import(&self, file: NamedTempFile) -> Result<TestView, Problem> {
        if std::fs::read(file.path()).is_ok_and(|bytes| bytes == RUN_FILE) {
            Ok(self.lock().tests[0].clone())
        } else {
            Err(Problem::Invalid("it is no exported run".into()))
        }
    }

    async fn compare(&self, [a, b]: [TestId; 2], skip_s: u64, gates: Vec<Gate>) -> Result<CompareView, Problem> {
        let names = [self.test(a).await?.test_id, self.test(b).await?.test_id];
        let run = |name: &String| ComparedRunView { name: name.clone(), seconds: 64 - skip_s.min(64), block_s: 4.0 };
        let gate =
            |gate: &Gate| GateView { gate: gate.to_string(), verdict: "open".into(), detail: "nobody knows".into() };
        Ok(CompareView {
            a: run(&names[0]),
            b: run(&names[1]),
            sentence: "there are too few responses to compare; let both run longer".into(),
            interleaved: false,
            rows: Vec::new(),
            gates: gates.iter().map(gate).collect(),
            remarks: Vec::new(),
        })
    }

    async fn exposition(&self) -> Result<String, Problem> {
        Ok("# TYPE onrush_drivers gauge\n".to_owned())
    }

    async fn subscribe(&self, test_id: TestId) -> Result<(TestView, broadcast::Receiver<Update>), Problem> {
        let test = self.test(test_id).await?;
        Ok((test, self.lock().updates.subscribe()))
    }
}

fn summary(test: &TestView) -> TestSummary {
    TestSummary {
        test_id: test.test_id.clone(),
        name: test.name.clone(),
        state: test.state,
        reason: None,
        config: ConfigSummary::default(),
        drivers: 0,
        created_at: NOON.into(),
        triggered_at: None,
        ended_at: None,
        outcome: None,
    }
}

const NOON: &str = "2026-03-04T05:06:07Z";

fn driver_view(node_id: &str) -> DriverView {
    DriverView {
        node_id: node_id.into(),
        session_id: Some("s1".into()),
        state: DriverState::Idle,
        reason: None,
        warnings: Vec::new(),
        test_id: None,
        node_ip: Some("127.0.0.1".into()),
        hostname: None,
        version: Some("0.1.0".into()),
        cpus: Some("0-1".into()),
        registered_at: NOON.into(),
        heartbeat_age_s: 0.4,
        clock_offset_ms: Some(0.2),
        reports_waiting: Some(0),
        messages_skipped: Some(0),
        cpu_s: Some(1.5),
        memory_bytes: Some(20_000_000),
    }
}

fn test_view(test_id: &str, state: TestState) -> TestView {
    let mut config = TestConfig::new(TestId::new(test_id).expect("a name"), onrush_protocol::TestType::Avalanche);
    config.target_url = Some("http://127.0.0.1:8080/ping".into());
    config.count_per_driver = Some(1000);
    TestView {
        test_id: test_id.into(),
        name: None,
        state,
        reason: None,
        config: ConfigView::from(&config),
        participants: Vec::new(),
        created_at: NOON.into(),
        imported_at: None,
        triggered_at: None,
        start_at: None,
        ended_at: None,
        start_skew_ms: None,
        outcome: None,
        conservation: None,
        thresholds: Vec::new(),
        amendments: Vec::new(),
        phases: Vec::new(),
        limit: None,
        events: Vec::new(),
    }
}

fn search_view(NewSearch { test, goal }: &NewSearch) -> SearchView {
    let config = &test.config;
    SearchView {
        search_id: config.test_id.to_string(),
        test_id: config.test_id.to_string(),
        name: test.name.clone(),
        state: SearchState::Running,
        reason: None,
        created_at: NOON.into(),
        ended_at: None,
        url: config.target_url.clone(),
        slo: goal.slo.iter().map(ToString::to_string).collect(),
        criteria: goal.slo.iter().map(Into::into).collect(),
        width: goal.width,
        budget_s: goal.budget.as_secs_f64(),
        start_per_s: goal.start_per_s,
        max_per_s: goal.max_per_s,
        connections: config.connections.unwrap_or_default(),
        arrivals: config.arrivals.name().into(),
        outcome: None,
        elapsed_s: 0.0,
        trying_per_s: Some(goal.start_per_s),
        found: FoundView::default(),
    }
}

fn search_summary(search: &SearchView) -> SearchSummary {
    let search = search.clone();
    SearchSummary {
        search_id: search.search_id,
        test_id: search.test_id,
        name: search.name,
        state: search.state,
        created_at: search.created_at,
        ended_at: None,
        url: search.url,
        slo: search.slo,
        lower_per_s: None,
        upper_per_s: None,
        ended: None,
    }
}

fn scope_view(node_id: Option<&str>) -> ScopeView {
    ScopeView {
        node_id: node_id.map(str::to_owned),
        elapsed_s: Some(1.0),
        sending_s: Some(1.0),
        due: Some(100),
        sent: Some(100),
        responses: Some(100),
        answered: Some(100),
        failed: Some(0),
        skipped: Some(0),
        dropped: Some(0),
        resent: Some(0),
        unsolicited: Some(0),
        connects: Some(0),
        in_flight: None,
        responses_per_s: Some(100.0),
        attempts_per_s: Some(100.0),
        bytes_sent: None,
        bytes_received: None,
        statuses: BTreeMap::from([(200, 100)]),
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

fn metrics_view(test_id: &str, state: TestState) -> MetricsView {
    let drivers = vec![scope_view(Some("driver-1"))];
    MetricsView { test_id: test_id.into(), state, elapsed_s: 1.0, all: scope_view(None), drivers }
}

fn second_view(second_index: u64) -> SecondView {
    SecondView {
        second_index,
        sealed_at: NOON.into(),
        missing: Vec::new(),
        late_reports: 0,
        all: scope_view(None),
        drivers: vec![scope_view(Some("driver-1"))],
        target_cpu: None,
    }
}
