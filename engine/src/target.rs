//! Where the connections of one thread go and what they send there.

use std::cell::Cell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use url::Url;

use crate::check::Check;
use crate::http::request_bytes;
use crate::plan::{Mode, Plan, PlanError, Request};
use crate::trust::{own_sessions, server_name};

/// A plan's requests go to at most so many different servers: every connection keeps one open to each.
const ORIGINS_MAX: usize = 100;
/// What the read buffers of one thread may take together, and what each has at least and at most.
const BUFFERS_BYTES: usize = 64 * 1024 * 1024;
const BUFFER_BYTES_MIN: usize = 4 * 1024;
const BUFFER_BYTES_MAX: usize = 256 * 1024;

/// The servers of a plan: a URL of each, and for each request the index of its server.
fn origins(requests: &[Request]) -> Result<(Vec<&Url>, Vec<usize>), PlanError> {
    let mut origins: Vec<&Url> = Vec::new();
    let mut of_request = Vec::with_capacity(requests.len());
    for Request { url, .. } in requests {
        let index = origins.iter().position(|known| known.origin() == url.origin()).unwrap_or(origins.len());
        if index == ORIGINS_MAX {
            let problem = format!("the requests go to more than {ORIGINS_MAX} servers; give fewer, or more tests");
            return Err(PlanError::new("url", problem));
        }
        if index == origins.len() {
            origins.push(url);
        }
        of_request.push(index);
    }
    Ok((origins, of_request))
}

/// Where a run goes and in which order, made once and shared by its threads.
#[derive(Clone)]
pub(crate) struct Layout {
    servers: Vec<Server>,
    /// For each request the index of its server.
    of_request: Vec<usize>,
    /// One round of the order.
    slots: Arc<[u32]>,
    /// Where a server is spoken to by TLS.
    tls: Option<Arc<ClientConfig>>,
}

#[derive(Clone)]
struct Server {
    addresses: Vec<SocketAddr>,
    tls_name: Option<ServerName<'static>>,
}

impl Layout {
    /// The layout of a plan; `resolve` finds the addresses of a URL's server.
    pub fn new<E: From<PlanError>>(
        plan: &Plan,
        resolve: impl Fn(&Url) -> Result<Vec<SocketAddr>, E>,
    ) -> Result<Self, E> {
        let (urls, of_request) = origins(&plan.requests)?;
        let is_tls = |url: &Url| url.scheme() == "https";
        let tls = urls.iter().any(|url| is_tls(url)).then(|| plan.tls.client_config()).transpose()?;
        let server = |url: &Url| {
            let tls_name = is_tls(url).then(|| server_name(url)).transpose()?;
            Ok(Server { addresses: resolve(url)?, tls_name })
        };
        let servers = urls.into_iter().map(server).collect::<Result<_, E>>()?;
        Ok(Self { servers, of_request, slots: plan.order.slots(&plan.requests)?.into(), tls })
    }
}

/// One server.
pub(crate) struct Origin {
    pub addresses: Vec<SocketAddr>,
    /// The one that accepted last.
    pub preferred_address: Cell<usize>,
    pub tls: Option<(Arc<ClientConfig>, ServerName<'static>)>,
}

/// One request, ready to be sent.
pub(crate) struct Prepared {
    /// The index of its server.
    pub origin: usize,
    pub bytes: Rc<Vec<u8>>,
    pub is_head_request: bool,
    pub checks: Vec<Check>,
}

/// The targets as all connections of one thread see them.
pub(crate) struct Target {
    pub origins: Vec<Origin>,
    pub requests: Vec<Prepared>,
    /// One round of the order, and this thread's place in it.
    slots: Arc<[u32]>,
    next_slot: Cell<usize>,
    stride: usize,
    pub keepalive: bool,
    pub timeout: Duration,
    pub connect_timeout: Duration,
    /// In an Avalanche a failed attempt is followed by the next at once, which would only burn the machine.
    pub pauses_after_failed_connect: bool,
    /// A read buffer begins with the least and grows while answers fill it.
    pub buffer_bytes: std::ops::RangeInclusive<usize>,
    /// Whether somebody was told of a check that failed.
    complained: Cell<bool>,
}

impl Target {
    /// The targets of thread `index` of `threads`, with so many connections. Threads that keep step, because moments are
    /// dealt out to them, share one round; others each go through it by themselves, or the faster one's requests would
    /// be sent more often than their weights say.
    pub fn new(
        plan: &Plan,
        layout: Layout,
        index: usize,
        threads: usize,
        keeps_step: bool,
        connections: usize,
    ) -> Self {
        let Layout { servers, of_request, slots, tls } = layout;
        let tls = tls.map(|config| own_sessions(&config));
        let origin = |Server { addresses, tls_name }| Origin {
            addresses,
            preferred_address: Cell::new(0),
            tls: tls.clone().zip(tls_name),
        };
        let prepare = |(request, origin): (&Request, usize)| Prepared {
            origin,
            bytes: Rc::new(request_bytes(request, plan.keepalive)),
            is_head_request: request.method == http::Method::HEAD,
            checks: request.checks.clone(),
        };
        let largest = (BUFFERS_BYTES / connections.max(1)).clamp(BUFFER_BYTES_MIN, BUFFER_BYTES_MAX);
        Self {
            origins: servers.into_iter().map(origin).collect(),
            requests: plan.requests.iter().zip(of_request).map(prepare).collect(),
            next_slot: Cell::new(if keeps_step { index % slots.len() } else { slots.len() * index / threads }),
            stride: if keeps_step { threads % slots.len() } else { 1 },
            slots,
            keepalive: plan.keepalive,
            timeout: plan.timeout,
            connect_timeout: plan.connect_timeout,
            pauses_after_failed_connect: plan.mode == Mode::Avalanche,
            buffer_bytes: BUFFER_BYTES_MIN..=largest,
            complained: Cell::new(false),
        }
    }

    /// What this thread sends next.
    pub fn next_request(&self) -> &Prepared {
        let slot = self.next_slot.get();
        let next = slot + self.stride;
        self.next_slot.set(if next < self.slots.len() { next } else { next - self.slots.len() });
        &self.requests[self.slots[slot] as usize]
    }

    /// Tells people why a check failed, once for each thread and run: the others are counted.
    pub fn complain(&self, why: &str) {
        if !self.complained.replace(true) {
            tracing::warn!("an answer is not as it must be: {why}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::tests::plan;

    #[test]
    fn threads_that_keep_step_share_a_round_and_others_have_their_own() {
        let mut plan = plan("http://one/");
        let url = |text: &str| Url::parse(text).expect("a URL");
        plan.requests = ["http://one/a", "http://one/b", "http://two/", "http://one:81/", "http://one/e"]
            .map(|text| Request::get(url(text)))
            .to_vec();
        let layout = Layout::new(&plan, |_| Ok::<_, PlanError>(Vec::new())).expect("a good plan");
        let threads: Vec<_> = (0..2).map(|index| Target::new(&plan, layout.clone(), index, 2, true, 8)).collect();
        let sent: Vec<_> = (0..10).map(|k| threads[k % 2].next_request().bytes.clone()).collect();
        for (k, bytes) in sent.iter().enumerate() {
            assert_eq!(*bytes, threads[0].requests[k % 5].bytes, "request {k}");
        }
        let alone = |index| Target::new(&plan, layout.clone(), index, 2, false, 8);
        for (index, first) in [(0, 0), (1, 2)] {
            let (thread, prepared) = (alone(index), &threads[0].requests);
            (0..10)
                .for_each(|k| assert_eq!(thread.next_request().bytes, prepared[(first + k) % 5].bytes, "request {k}"));
        }
        let servers: Vec<_> = threads[0].requests.iter().map(|request| request.origin).collect();
        assert_eq!(servers, [0, 0, 1, 2, 0]);
    }
}
