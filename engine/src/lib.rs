//! The load generator: it turns a plan into requests, and answers into numbers.
//!
//! One thread per CPU, each pinned, each with an io_uring of its own through monoio; threads share nothing on
//! the way of a request. What each second measured is handed over without waiting. This crate refuses to know
//! Kafka, JSON, tokio and who asked for the load.

mod plan;
mod run;

pub use plan::{Mode, Plan, PlanError, Request};
pub use run::{ArmError, Armed, End, Options, Running, SecondReport, Stopper, Wait};
