//! A test: what was asked for, who takes part, what became of it.

use std::collections::BTreeMap;

use onrush_protocol::threshold::Standing;
use onrush_protocol::{TestConfig, Threshold};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

use crate::{ConservationView, LimitView, Outcome};

/// A test.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct TestView {
    /// Its name in every message.
    pub test_id: String,
    /// Its label.
    pub name: Option<String>,
    /// Where it is in its life.
    pub state: TestState,
    /// Why it ended as it did, or what it waits for.
    pub reason: Option<String>,
    /// What was asked for.
    pub config: ConfigView,
    /// The drivers that take part.
    pub participants: Vec<ParticipantView>,
    /// When it was made.
    pub created_at: String,
    /// When it was taken in here, after it had run elsewhere; `null`: it ran here.
    #[serde(default)]
    pub imported_at: Option<String>,
    /// When it was triggered.
    pub triggered_at: Option<String>,
    /// The start moment that the drivers were given.
    pub start_at: Option<String>,
    /// When it reached its end state.
    pub ended_at: Option<String>,
    /// Between the first and the last driver's measured start, by their wall clocks.
    pub start_skew_ms: Option<f64>,
    /// How far its result can be trusted; `null` before the end.
    pub outcome: Option<Outcome>,
    /// The proof that nothing was lost; checked at the end.
    pub conservation: Option<ConservationView>,
    /// What became of each threshold, in the order of the config.
    #[serde(default)]
    pub thresholds: Vec<ThresholdView>,
    /// How the load was changed while the test ran, in the order in which that was asked for.
    #[serde(default)]
    pub amendments: Vec<AmendmentView>,
    /// What is asked for over time, changes included: one part after another from the test's start to its end.
    #[serde(default)]
    pub phases: Vec<PhaseView>,
    /// Who was the limit: while it runs over its newest seconds, in the end over all of it; `null` before there is a measure.
    #[serde(default)]
    pub limit: Option<LimitView>,
    /// What happened, in order.
    pub events: Vec<EventView>,
}

/// A part of a test's time, and what is asked for in it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct PhaseView {
    /// When it begins, in seconds from the test's start.
    pub from_s: f64,
    /// When it ends; `null`: with the number of requests.
    pub to_s: Option<f64>,
    /// What is asked for, as people write it: `1k`, `1k..10k`, `1k..10k/5`, `max` or `pause`.
    pub load: String,
}

impl TestView {
    /// When it ends at the latest, in seconds from its start; `None`: its number of requests ends it.
    pub fn length_s(&self) -> Option<f64> {
        self.phases.last()?.to_s
    }
}

/// A change of the load while the test runs.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct AmendmentView {
    /// The first second that it is about, counted from the test's start.
    pub at_second: u64,
    /// What is asked for from there on, as people write it.
    pub profile: String,
    /// By driver, the second at which it took effect; `null`: it could not. Who is missing has not said yet.
    pub took_effect: BTreeMap<String, Option<u64>>,
}

/// What became of a threshold.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ThresholdView {
    /// The threshold, as it was written.
    pub threshold: String,
    /// Its newest value, for people; `null`: it is not known.
    pub value: Option<String>,
    /// Whether it is kept: so far while the test runs, then for good. `null`: it was not judged yet.
    pub kept: Option<bool>,
    /// The first second at whose end one with a window, or one that can end the test, was not kept.
    #[serde(default)]
    pub broken_at_second: Option<u64>,
    /// Its value then.
    #[serde(default)]
    pub broken_value: Option<String>,
    /// It ended the test.
    #[serde(default)]
    pub ended_test: bool,
}

impl ThresholdView {
    /// How a threshold stands.
    pub fn of(threshold: &Threshold, standing: &Standing) -> Self {
        let Standing { value, kept, breach } = standing;
        Self {
            threshold: threshold.to_string(),
            value: value.clone(),
            kept: *kept,
            broken_at_second: breach.as_ref().map(|breach| breach.second_index),
            broken_value: breach.as_ref().and_then(|breach| breach.value.clone()),
            ended_test: breach.as_ref().is_some_and(|breach| breach.ended_test),
        }
    }
}

/// What was told to stop.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct StoppedView {
    /// The tests that were open, and those that drivers said they are armed for or run.
    pub stopped: Vec<String>,
}

/// Where a test is in its life. The last three never change again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum TestState {
    /// Stored and published.
    Configured,
    /// Every participant is ready.
    Armed,
    /// Triggered.
    Running,
    /// All final reports are in, or their driver is lost.
    Completed,
    /// Stopped.
    Stopped,
    /// It could not start.
    Failed,
}

impl TestState {
    /// Whether the test is over.
    pub fn is_end(self) -> bool {
        matches!(self, Self::Completed | Self::Stopped | Self::Failed)
    }
}

/// A test's settings, as they were understood: those that programs here go by, and all others.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[allow(missing_docs, reason = "named as in the request")]
pub struct ConfigView {
    pub test_type: String,
    pub target_url: Option<String>,
    pub method: String,
    pub message_count_per_driver: Option<u64>,
    pub duration_s: Option<f64>,
    pub test_message_delay_s: f64,
    pub target_throughput_per_s: Option<f64>,
    pub connections: u32,
    pub timeout_s: f64,
    pub keepalive: bool,
    /// The others, by name.
    #[serde(flatten)]
    #[schema(ignore)]
    pub others: Map<String, Value>,
}

impl From<&TestConfig> for ConfigView {
    fn from(config: &TestConfig) -> Self {
        serde_json::from_value(Value::Object(config.shown())).expect("what is shown has the fields named above")
    }
}

/// A driver's part in a test.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ParticipantView {
    /// The driver.
    pub node_id: String,
    /// The life of it that takes part.
    pub session_id: Option<String>,
    /// Where its part is.
    pub state: ParticipantState,
    /// Why it refused, failed or is lost.
    pub reason: Option<String>,
    /// Its measured start.
    pub started_at: Option<String>,
    /// Reports that entered the totals.
    pub reports: u64,
    /// Those of them that came after their second was sealed.
    pub late_reports: u64,
    /// The engine's input and output and its way of waiting.
    pub engine: Option<String>,
}

/// Where a driver's part in a test is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum ParticipantState {
    /// It has the config, or will have.
    Pending,
    /// Ready.
    Armed,
    /// It will not run this test.
    Refused,
    /// Sending, or waiting for the last answers.
    Running,
    /// Its final report is in.
    Completed,
    /// Its final report is in; it was stopped.
    Stopped,
    /// Its engine could not go on.
    Failed,
    /// It was lost.
    Lost,
}

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[allow(missing_docs, reason = "each name says all there is")]
pub struct EventView {
    pub at: String,
    pub kind: String,
    pub node_id: Option<String>,
    pub detail: String,
}

/// A test in the list; `GET /v1/tests/{id}` shows all of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct TestSummary {
    /// Its name in every message.
    pub test_id: String,
    /// Its label.
    pub name: Option<String>,
    /// Where it is in its life.
    pub state: TestState,
    /// Why it ended as it did, or what it waits for; a long one is cut.
    pub reason: Option<String>,
    /// What was asked for.
    pub config: ConfigSummary,
    /// How many drivers take part.
    pub drivers: u64,
    /// When it was made.
    pub created_at: String,
    /// When it was triggered.
    pub triggered_at: Option<String>,
    /// When it reached its end state.
    pub ended_at: Option<String>,
    /// How far its result can be trusted; `null` before the end.
    pub outcome: Option<Outcome>,
}

/// The settings of a test that the list shows.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[allow(missing_docs, reason = "named as in the request")]
pub struct ConfigSummary {
    /// Empty: what is stored of the test cannot be read.
    pub test_type: String,
    pub target_url: Option<String>,
    pub message_count_per_driver: Option<u64>,
    pub duration_s: Option<f64>,
}
