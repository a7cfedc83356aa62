//! The REST interface as its clients see it: what it shows, as plain values that both sides write and read, and a client.
//!
//! A number that a driver does not report is `null`, never zero. Times are RFC 3339 in UTC, latencies milliseconds, other
//! durations seconds. This crate refuses to know the orchestrator: how tests are run, served or stored.

mod access;
mod client;
mod compare;
mod driver;
pub mod escape;
mod limit;
mod measured;
mod options;
mod proof;
mod search;
mod slo;
mod sse;
mod stretch;
mod test;

pub use access::{SignInView, Token, TokenRole};
pub use client::{
    Client, ClientError, FieldFault, NewLoad, NewSearch, NewTest, Refusal, SealedSecond, StreamEvent, orchestrator_url,
};
pub use compare::{CompareView, ComparedRunView, ComparedView, GateView, IntervalView};
pub use driver::{DriverState, DriverView};
pub use limit::{LimitView, LimitedBy};
pub use measured::{
    BucketView, DistributionView, HistogramView, MetricsView, NameView, ScopeView, SecondView, SeriesView, Summaries,
    SummaryView, TargetCpuView,
};
pub use options::{OptionView, options};
pub use proof::{CheckView, ConservationView, Outcome, Verdict};
pub use search::{
    BrokenView, CriterionView, CurvePointView, CurveQuantileView, DECIDED_BY_SEARCH, FoundView, SearchState,
    SearchSummary, SearchView, TrialView, ended_text,
};
pub use slo::criterion;
pub use stretch::StretchView;
pub use test::{
    AmendmentView, ConfigSummary, ConfigView, EventView, ParticipantState, ParticipantView, PhaseView, StoppedView,
    TestState, TestSummary, TestView, ThresholdView,
};
