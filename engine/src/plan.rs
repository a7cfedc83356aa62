//! What is to be sent, how much of it and when: pure values.

use std::time::Duration;

/// How requests are spaced.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Mode {
    /// Every request goes out as soon as a connection is free.
    Avalanche,
    /// Request *k* is due at `start + k × delay`, whatever the answers do.
    Tsunami {
        /// The time between two due moments.
        delay: Duration,
    },
}

/// One request, as the test describes it.
#[derive(Clone, Debug, PartialEq)]
pub struct Request {
    /// Where it goes.
    pub url: url::Url,
    /// GET, POST and so on.
    pub method: http::Method,
    /// Headers beside those that the engine writes (Host, Content-Length, Connection).
    pub headers: Vec<(String, String)>,
    /// The body; empty: none.
    pub body: Vec<u8>,
}

/// What one node sends in one test.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// How requests are spaced.
    pub mode: Mode,
    /// Never more than this many requests in a second.
    pub max_rate_per_s: Option<f64>,
    /// Exactly this many requests.
    pub count: Option<u64>,
    /// No request is sent after this time.
    pub duration: Option<Duration>,
    /// Connections, over all threads.
    pub connections: u32,
    /// Whether a connection serves more than one request.
    pub keepalive: bool,
    /// From the send to the last byte of the answer.
    pub timeout: Duration,
    /// For opening a connection.
    pub connect_timeout: Duration,
    /// What is sent.
    pub request: Request,
}

/// Why a plan cannot be run.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {problem}")]
pub struct PlanError {
    /// The field of [`Plan`] or [`Request`].
    pub field: &'static str,
    /// What is wrong, and what would be right.
    pub problem: String,
}
