//! The load generator: it turns a plan into requests, and responses into numbers.
//!
//! One thread per CPU, each pinned, each with an io_uring (or epoll) of its own through monoio; threads share nothing on
//! the way of a request. What each second measured is handed over without waiting. This crate refuses to know
//! Kafka, tokio and who asked for the load, and JSON except in response checks.
//!
//! To read it, follow a request: `run` starts the threads, `thread` builds one, `pacer` keeps its time, `shard` lets a
//! connection claim what `schedule` says is due, whose turn that is by `idle` and who still rests by `think`, `connection`
//! has it sent by its `line` (opened by `dial`) and has `http` read the response, `recorder` counts it, `parts` carries
//! finished seconds to `merge`, which makes the run's seconds.

mod amend_error;
mod arm_error;
mod check;
#[cfg_attr(feature = "internals", allow(missing_docs, reason = "shown to benches and fuzz targets only"))]
mod clock;
mod connection;
mod control;
mod decode;
mod der;
mod dial;
mod encode;
#[cfg_attr(feature = "internals", allow(missing_docs, reason = "shown to benches and fuzz targets only"))]
mod http;
mod idle;
mod io;
mod lifetime;
mod line;
mod merge;
mod name_record;
mod options;
mod order;
mod pacer;
mod parts;
mod pem;
mod plan;
mod plan_error;
mod profile;
#[cfg_attr(feature = "internals", allow(missing_docs, reason = "shown to benches and fuzz targets only"))]
mod recorder;
mod run;
mod schedule;
mod second;
mod session;
mod shard;
mod signals;
mod strain;
mod target;
mod think;
mod thread;
mod timer;
mod trust;
mod turn;
mod watch;

pub use amend_error::AmendError;
pub use arm_error::ArmError;
pub use check::{Check, Checks};
pub use decode::MAX_JSON_BODY_BYTES;
pub use io::Io;
pub use options::{Options, Wait};
pub use order::{MAX_ROUND, Order};
pub use pem::pem_only;
pub use plan::{MAX_RATE_PER_S, MAX_REQUESTS, MIN_RATE_PER_S, Mode, Plan, Request, Route, Server};
pub use plan_error::PlanError;
pub use profile::{Arrivals, MAX_PHASES, Phase, Shape, Share};
pub use run::{Armed, Cancel, Running, Stopper};
pub use second::{End, SecondReport};
pub use trust::{Identity, Tls};

/// The insides, for benches and fuzz targets only: no promise is made about them.
#[cfg(feature = "internals")]
pub mod internals {
    pub use crate::clock::Moment;
    pub use crate::http::{Coding, Malformed, Response, ResponseReader, Sink};
    pub use crate::recorder::{Breakdown, Exchange, Recorder, SecondRecord};
}
