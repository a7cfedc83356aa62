//! Where the connections of one thread go and what they send there.

use std::cell::Cell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use crate::http::request_bytes;
use crate::plan::{Mode, Plan};

/// The target as all connections of one thread see it.
pub(crate) struct Target {
    pub addresses: Vec<SocketAddr>,
    /// The one that accepted last.
    pub preferred_address: Cell<usize>,
    pub request: Rc<Vec<u8>>,
    pub is_head_request: bool,
    pub keepalive: bool,
    pub timeout: Duration,
    pub connect_timeout: Duration,
    /// In an Avalanche a failed attempt is followed by the next at once, which would only burn the machine.
    pub pauses_after_failed_connect: bool,
}

impl Target {
    pub fn new(plan: &Plan, addresses: Vec<SocketAddr>) -> Self {
        Self {
            addresses,
            preferred_address: Cell::new(0),
            request: Rc::new(request_bytes(&plan.request, plan.keepalive)),
            is_head_request: plan.request.method == http::Method::HEAD,
            keepalive: plan.keepalive,
            timeout: plan.timeout,
            connect_timeout: plan.connect_timeout,
            pauses_after_failed_connect: plan.mode == Mode::Avalanche,
        }
    }
}
