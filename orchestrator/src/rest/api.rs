//! What REST needs of the brain: the seam at which tests put a fake.

use std::fs::File;
use std::io;
use std::time::Duration;

use onrush_api::{CompareView, DriverView, HistogramView, MetricsView, SearchView, SeriesView, StoppedView, TestView};
use onrush_compare::Gate;
use onrush_protocol::TestId;
use tempfile::NamedTempFile;
use tokio::sync::broadcast;

use crate::actor::Actor;
use crate::{Handle, ListFilter, LoadChange, NewSearch, NewTest, Problem, SearchPage, TestPage, Update};

/// The questions of [`Handle`], which says what they mean.
#[rustfmt::skip]
pub(super) trait Api: Clone + Send + Sync + 'static {
    fn acting(&self, actor: Actor) -> Self;
    fn max_drivers(&self) -> usize;
    fn create(&self, test: NewTest) -> impl Future<Output = Result<TestView, Problem>> + Send;
    fn trigger(&self, test_id: TestId) -> impl Future<Output = Result<TestView, Problem>> + Send;
    fn amend(&self, test_id: TestId, change: LoadChange, effective_in: Duration) -> impl Future<Output = Result<TestView, Problem>> + Send;
    fn stop(&self, test_id: TestId) -> impl Future<Output = Result<TestView, Problem>> + Send;
    fn stop_all(&self) -> impl Future<Output = Result<StoppedView, Problem>> + Send;
    fn test(&self, test_id: TestId) -> impl Future<Output = Result<TestView, Problem>> + Send;
    fn delete(&self, test_id: TestId) -> impl Future<Output = Result<(), Problem>> + Send;
    fn tests(&self, filter: ListFilter, limit: usize, before: Option<TestId>, max_bytes: usize) -> impl Future<Output = Result<TestPage, Problem>> + Send;
    fn create_search(&self, search: NewSearch) -> impl Future<Output = Result<SearchView, Problem>> + Send;
    fn stop_search(&self, search_id: TestId) -> impl Future<Output = Result<SearchView, Problem>> + Send;
    fn search(&self, search_id: TestId) -> impl Future<Output = Result<SearchView, Problem>> + Send;
    fn searches(&self, limit: usize, before: Option<TestId>, max_bytes: usize) -> impl Future<Output = Result<SearchPage, Problem>> + Send;
    fn drivers(&self) -> impl Future<Output = Result<Vec<DriverView>, Problem>> + Send;
    fn metrics(&self, test_id: TestId) -> impl Future<Output = Result<MetricsView, Problem>> + Send;
    fn series(&self, test_id: TestId, from: u64, limit: usize, max_bytes: usize) -> impl Future<Output = Result<SeriesView, Problem>> + Send;
    fn histogram(&self, test_id: TestId, node_id: Option<String>) -> impl Future<Output = Result<HistogramView, Problem>> + Send;
    fn run_file(&self, test_id: TestId) -> impl Future<Output = Result<File, Problem>> + Send;
    fn import_file(&self) -> io::Result<NamedTempFile>;
    fn import(&self, file: NamedTempFile) -> impl Future<Output = Result<TestView, Problem>> + Send;
    fn compare(&self, tests: [TestId; 2], skip_s: u64, gates: Vec<Gate>) -> impl Future<Output = Result<CompareView, Problem>> + Send;
    fn exposition(&self) -> impl Future<Output = Result<String, Problem>> + Send;
    fn subscribe(&self, test_id: TestId) -> impl Future<Output = Result<(TestView, broadcast::Receiver<Update>), Problem>> + Send;
}

impl Api for Handle {
    fn acting(&self, actor: Actor) -> Self {
        self.acting(actor)
    }

    fn max_drivers(&self) -> usize {
        self.max_drivers()
    }

    async fn create(&self, test: NewTest) -> Result<TestView, Problem> {
        self.create(test).await
    }

    async fn trigger(&self, test_id: TestId) -> Result<TestView, Problem> {
        self.trigger(test_id).await
    }

    async fn amend(&self, test_id: TestId, change: LoadChange, effective_in: Duration) -> Result<TestView, Problem> {
        self.amend(test_id, change, effective_in).await
    }

    async fn stop(&self, test_id: TestId) -> Result<TestView, Problem> {
        self.stop(test_id).await
    }

    async fn stop_all(&self) -> Result<StoppedView, Problem> {
        self.stop_all().await
    }

    async fn test(&self, test_id: TestId) -> Result<TestView, Problem> {
        self.test(test_id).await
    }

    async fn delete(&self, test_id: TestId) -> Result<(), Problem> {
        self.delete(test_id).await
    }

    async fn tests(
        &self,
        filter: ListFilter,
        limit: usize,
        before: Option<TestId>,
        max_bytes: usize,
    ) -> Result<TestPage, Problem> {
        self.tests(filter, limit, before, max_bytes).await
    }

    async fn create_search(&self, search: NewSearch) -> Result<SearchView, Problem> {
        self.create_search(search).await
    }

    async fn stop_search(&self, search_id: TestId) -> Result<SearchView, Problem> {
        self.stop_search(search_id).await
    }

    async fn search(&self, search_id: TestId) -> Result<SearchView, Problem> {
        self.search(search_id).await
    }

    async fn searches(&self, limit: usize, before: Option<TestId>, max_bytes: usize) -> Result<SearchPage, Problem> {
        self.searches(limit, before, max_bytes).await
    }

    async fn drivers(&self) -> Result<Vec<DriverView>, Problem> {
        self.drivers().await
    }

    async fn metrics(&self, test_id: TestId) -> Result<MetricsView, Problem> {
        self.metrics(test_id).await
    }

    async fn series(&self, test_id: TestId, from: u64, limit: usize, max_bytes: usize) -> Result<SeriesView, Problem> {
        self.series(test_id, from, limit, max_bytes).await
    }

    async fn histogram(&self, test_id: TestId, node_id: Option<String>) -> Result<HistogramView, Problem> {
        self.histogram(test_id, node_id).await
    }

    async fn run_file(&self, test_id: TestId) -> Result<File, Problem> {
        self.run_file(test_id).await
    }

    fn import_file(&self) -> io::Result<NamedTempFile> {
        self.import_file()
    }

    async fn import(&self, file: NamedTempFile) -> Result<TestView, Problem> {
        self.import(file).await
    }

    async fn compare(&self, tests: [TestId; 2], skip_s: u64, gates: Vec<Gate>) -> Result<CompareView, Problem> {
        self.compare(tests, skip_s, gates).await
    }

    async fn exposition(&self) -> Result<String, Problem> {
        self.exposition().await
    }

    async fn subscribe(&self, test_id: TestId) -> Result<(TestView, broadcast::Receiver<Update>), Problem> {
        self.subscribe(test_id).await
    }
}
