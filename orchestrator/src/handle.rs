//! The door to the brain: what REST may ask of it.

use onrush_protocol::{FieldProblem, TestConfig, TestId};
use tokio::sync::broadcast;

use crate::view::{DriverView, HistogramView, MetricsView, SecondView, SeriesView, TestView};

/// A test as REST asks for it; its `test_id` is already made and its config has no problems.
#[derive(Clone, Debug)]
pub struct NewTest {
    /// What the drivers get (without participants).
    pub config: TestConfig,
    /// A label for people.
    pub name: Option<String>,
    /// Trigger it as soon as its drivers are armed.
    pub trigger: bool,
}

/// Why something asked for was not done, as RFC 9457 problem details will say it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The HTTP status.
    pub status: u16,
    /// What happened and what to do.
    pub detail: String,
    /// The fields at fault.
    pub errors: Vec<FieldProblem>,
}

/// What subscribers of a test hear, in order.
#[derive(Clone, Debug)]
pub enum Update {
    /// The test or one of its participants changed its state.
    Test(Box<TestView>),
    /// A second was sealed; with the totals so far.
    Second(Box<(SecondView, MetricsView)>),
}

/// Asks the brain. Cheap to clone.
#[derive(Clone)]
pub struct Handle(());

#[allow(clippy::unused_async, unused_variables)]
impl Handle {
    /// Stores and publishes a test. 409 where it is to be triggered and cannot be.
    pub async fn create(&self, test: NewTest) -> Result<TestView, Problem> {
        todo!()
    }

    /// Starts a test: waits (seconds at most) until its drivers are armed. 404, or 409 with the reason.
    pub async fn trigger(&self, test_id: TestId) -> Result<TestView, Problem> {
        todo!()
    }

    /// Stops a test. 404, or 409 where it has ended.
    pub async fn stop(&self, test_id: TestId) -> Result<TestView, Problem> {
        todo!()
    }

    /// One test.
    pub async fn test(&self, test_id: TestId) -> Result<TestView, Problem> {
        todo!()
    }

    /// The newest tests first: at most `limit`, created before the test `before`.
    pub async fn tests(&self, limit: usize, before: Option<TestId>) -> Result<Vec<TestView>, Problem> {
        todo!()
    }

    /// Every driver that is known.
    pub async fn drivers(&self) -> Result<Vec<DriverView>, Problem> {
        todo!()
    }

    /// Totals of a test.
    pub async fn metrics(&self, test_id: TestId) -> Result<MetricsView, Problem> {
        todo!()
    }

    /// The sealed seconds `from..from + limit` of a test.
    pub async fn series(&self, test_id: TestId, from: u64, limit: usize) -> Result<SeriesView, Problem> {
        todo!()
    }

    /// The distributions of a test: of one driver, or of all merged.
    pub async fn histogram(&self, test_id: TestId, node_id: Option<String>) -> Result<HistogramView, Problem> {
        todo!()
    }

    /// What happens in a test from now on, with the test as it is.
    pub async fn subscribe(&self, test_id: TestId) -> Result<(TestView, broadcast::Receiver<Update>), Problem> {
        todo!()
    }
}
