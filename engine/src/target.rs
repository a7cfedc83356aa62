//! Where the connections of one thread go and what they send there.

use std::cell::Cell;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use onrush_stats::Names;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;

use crate::check::Checks;
use crate::clock::Moment;
use crate::encode::request_bytes;
use crate::io::Io;
use crate::plan::{Mode, Plan, Request, Route, Server};
use crate::plan_error::PlanError;
use crate::recorder::Breakdown;
use crate::trust::{own_sessions, server_name};

/// A plan's requests go to at most so many different servers: every connection keeps one open to each.
const MAX_SERVERS: usize = 100;
/// Addresses of one server that are used, and addresses of all that are told apart in results.
const MAX_ADDRESSES: usize = 64;
pub(crate) const MAX_NAMED_ADDRESSES: usize = 200;
/// What the read buffers of one thread may take together, and what each has at least and at most.
const BUFFERS_BYTES: usize = 64 * 1024 * 1024;
const MIN_BUFFER_BYTES: usize = 4 * 1024;
const MAX_BUFFER_BYTES: usize = 256 * 1024;
/// An address that did not answer is asked again after so long.
const UNWELL: Duration = Duration::from_secs(10);

/// The servers of a plan, and for each request the index of its server.
fn servers(requests: &[Request]) -> Result<(Vec<&Server>, Vec<usize>), PlanError> {
    let mut servers: Vec<&Server> = Vec::new();
    let mut of_request = Vec::with_capacity(requests.len());
    for Request { server, .. } in requests {
        let index = servers.iter().position(|known| *known == server).unwrap_or(servers.len());
        if index == MAX_SERVERS {
            let problem = format!("the requests go to more than {MAX_SERVERS} servers; give fewer, or more tests");
            return Err(PlanError::new("url", problem));
        }
        if index == servers.len() {
            servers.push(server);
        }
        of_request.push(index);
    }
    Ok((servers, of_request))
}

/// Where a connection goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Endpoint {
    Tcp(SocketAddr),
    Unix(PathBuf),
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Endpoint::Tcp(address) => write!(f, "{address}"),
            Endpoint::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// Where a run goes and in which order, made once and shared by its threads.
#[derive(Clone)]
pub(crate) struct Layout {
    servers: Vec<LaidServer>,
    /// For each request the index of its server.
    pub of_request: Arc<[usize]>,
    /// One round of the order.
    pub slots: Arc<[u32]>,
    /// The names of the addresses that results tell apart; empty where there is but one.
    pub addresses: Arc<[String]>,
    /// The names that requests are counted under; empty where there is but one.
    pub names: Arc<[String]>,
    /// For each request the index of its name; empty where `names` is.
    pub name_of_request: Arc<[u16]>,
    /// Where a server is spoken to by TLS.
    tls: Option<Arc<ClientConfig>>,
}

#[derive(Clone)]
struct LaidServer {
    endpoints: Vec<Endpoint>,
    tls_name: Option<ServerName<'static>>,
}

impl Layout {
    /// The layout of a plan; `resolve` finds the addresses of a name and port.
    pub fn new<E: From<PlanError>>(
        plan: &Plan,
        resolve: impl Fn(&str, u16) -> Result<Vec<SocketAddr>, E>,
    ) -> Result<Self, E> {
        let (servers, of_request) = servers(&plan.requests)?;
        let tls = servers.iter().any(|server| server.tls).then(|| plan.tls.client_config()).transpose()?;
        let lay = |server: &Server| {
            let tls_name = server.tls.then(|| server_name(server.name())).transpose()?;
            let mut endpoints = match &plan.unix_socket {
                Some(path) => vec![Endpoint::Unix(path.clone())],
                None => addresses(server, &plan.routes, &resolve)?.into_iter().map(Endpoint::Tcp).collect(),
            };
            endpoints.truncate(MAX_ADDRESSES);
            Ok(LaidServer { endpoints, tls_name })
        };
        let servers = servers.into_iter().map(lay).collect::<Result<Vec<_>, E>>()?;
        let mut addresses: Vec<String> = servers.iter().flat_map(|s| &s.endpoints).map(Endpoint::to_string).collect();
        addresses.truncate(if addresses.len() > 1 { MAX_NAMED_ADDRESSES } else { 0 });
        let slots = plan.round()?.into();
        let Names { told, of_request: name_of_request, folded: _ } = Names::of(plan.requests.iter().map(Request::name));
        Ok(Self {
            servers,
            of_request: of_request.into(),
            slots,
            addresses: addresses.into(),
            names: told.into(),
            name_of_request: name_of_request.into(),
            tls,
        })
    }

    pub fn server_count(&self) -> usize {
        self.servers.len()
    }

    /// What results tell apart.
    pub fn breakdown(&self) -> Breakdown {
        Breakdown { addresses: self.addresses.len(), names: self.names.len() }
    }
}

/// The addresses of a server: those that its routes lead to, or else those of its name.
fn addresses<E>(
    server: &Server,
    routes: &[Route],
    resolve: &impl Fn(&str, u16) -> Result<Vec<SocketAddr>, E>,
) -> Result<Vec<SocketAddr>, E> {
    let Some(first) = routes.iter().find(|route| route.is_about(server)) else {
        return resolve(&server.host, server.port);
    };
    let mut addresses = Vec::new();
    for route in routes.iter().filter(|route| (&route.host, route.port) == (&first.host, first.port)) {
        let host = route.to_host.as_deref().unwrap_or(&server.host);
        for address in resolve(host, route.to_port.unwrap_or(server.port))? {
            if !addresses.contains(&address) {
                addresses.push(address);
            }
        }
    }
    Ok(addresses)
}

/// One server.
pub(crate) struct Origin {
    places: Vec<Place>,
    pub tls: Option<(Arc<ClientConfig>, ServerName<'static>)>,
    /// The number of its first address in results.
    pub first_address: usize,
    /// Which of equally good addresses goes first: threads begin with different ones.
    begin: usize,
}

/// One address of a server, as one thread knows it.
struct Place {
    endpoint: Endpoint,
    /// Connections that are open to it, and those that were ever opened.
    open: Cell<u32>,
    opened: Cell<u64>,
    /// It did not answer, and goes last until this moment.
    unwell_until: Cell<Option<Moment>>,
}

impl Origin {
    pub fn endpoint(&self, place: usize) -> &Endpoint {
        &self.places[place].endpoint
    }

    /// All addresses, for people.
    pub fn addresses(&self) -> String {
        self.places.iter().map(|place| place.endpoint.to_string()).collect::<Vec<_>>().join(", ")
    }

    /// In which order addresses are to be tried for the next connection: those of the first one's family before the others,
    /// the one with the fewest connections first, and last those that did not answer.
    pub fn order(&self, now: Moment) -> Vec<usize> {
        let is_v6 = |place: &Place| matches!(place.endpoint, Endpoint::Tcp(SocketAddr::V6(_)));
        let family = self.places.first().is_some_and(is_v6);
        let count = self.places.len();
        let key = |&index: &usize| {
            let place = &self.places[index];
            let unwell = place.unwell_until.get().filter(|until| *until > now);
            let turn = (index + count - self.begin % count.max(1)) % count.max(1);
            (unwell, is_v6(place) != family, place.open.get(), place.opened.get(), turn)
        };
        let mut order: Vec<usize> = (0..count).collect();
        order.sort_by_key(key);
        if let Some(first) = order.first()
            && self.places[*first].unwell_until.get().is_some()
        {
            // One connection finds out whether it is well again; the others need not wait for that.
            self.places[*first].unwell_until.set(Some(now.plus(UNWELL)));
        }
        order
    }

    /// An address did not answer.
    pub fn is_unwell(&self, place: usize, now: Moment) {
        self.places[place].unwell_until.set(Some(now.plus(UNWELL)));
    }

    /// A connection to an address is open; it counts until what this gives is dropped.
    pub fn enter(self: &Rc<Self>, place: usize) -> Stay {
        let Place { open, opened, unwell_until, .. } = &self.places[place];
        open.set(open.get() + 1);
        opened.set(opened.get() + 1);
        unwell_until.set(None);
        Stay { origin: self.clone(), place }
    }
}

/// An open connection's hold on an address.
pub(crate) struct Stay {
    origin: Rc<Origin>,
    place: usize,
}

impl Stay {
    /// The number of the address in results.
    pub fn address(&self) -> usize {
        self.origin.first_address + self.place
    }
}

impl fmt::Display for Stay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.origin.endpoint(self.place).fmt(f)
    }
}

impl Drop for Stay {
    fn drop(&mut self) {
        let open = &self.origin.places[self.place].open;
        open.set(open.get() - 1);
    }
}

/// One request, ready to be sent.
pub(crate) struct Prepared {
    /// The index of its server.
    pub origin: usize,
    pub bytes: Rc<Vec<u8>>,
    pub is_head_request: bool,
    /// Whether it may be sent once more where nobody knows whether the first time took effect (RFC 9110 9.2.2).
    pub may_be_resent: bool,
    pub checks: Checks,
}

/// The targets as all connections of one thread see them.
pub(crate) struct Target {
    pub origins: Vec<Rc<Origin>>,
    pub requests: Vec<Prepared>,
    pub keepalive: bool,
    pub timeout: Duration,
    pub connect_timeout: Duration,
    /// In an Avalanche a failed attempt is followed by the next at once, which would only burn the machine.
    pub pauses_after_failed_connect: bool,
    /// A read buffer begins with the least and grows while responses fill it.
    pub buffer_bytes: std::ops::RangeInclusive<usize>,
    /// How connections reach the network, and where from.
    pub io: Io,
    pub local_addresses: Arc<[IpAddr]>,
    /// Connections that were opened, which take the local addresses in turn.
    pub dialled: Cell<usize>,
}

impl Target {
    /// The targets of thread `index`, with so many connections.
    pub fn new(
        plan: &Plan,
        layout: Layout,
        index: usize,
        connections: usize,
        io: Io,
        local_addresses: Arc<[IpAddr]>,
    ) -> Self {
        let Layout { servers, of_request, tls, .. } = layout;
        let tls = tls.map(|config| own_sessions(&config));
        let mut first_address = 0;
        let place =
            |endpoint| Place { endpoint, open: Cell::new(0), opened: Cell::new(0), unwell_until: Cell::new(None) };
        let origin = |LaidServer { endpoints, tls_name }| {
            let count = endpoints.len();
            let places = endpoints.into_iter().map(place).collect();
            let origin = Origin { places, tls: tls.clone().zip(tls_name), first_address, begin: index };
            first_address += count;
            Rc::new(origin)
        };
        let prepare = |(request, &origin): (&Request, &usize)| Prepared {
            origin,
            bytes: Rc::new(request_bytes(request, plan.keepalive)),
            is_head_request: request.method == http::Method::HEAD,
            may_be_resent: plan.resend && request.method.is_idempotent(),
            checks: request.checks.clone(),
        };
        let buffers = connections.max(1) * servers.len().max(1);
        let largest = (BUFFERS_BYTES / buffers).clamp(MIN_BUFFER_BYTES, MAX_BUFFER_BYTES);
        Self {
            origins: servers.into_iter().map(origin).collect(),
            requests: plan.requests.iter().zip(of_request.iter()).map(prepare).collect(),
            keepalive: plan.keepalive,
            timeout: plan.timeout,
            connect_timeout: plan.connect_timeout,
            pauses_after_failed_connect: plan.mode == Mode::Avalanche,
            buffer_bytes: MIN_BUFFER_BYTES..=largest,
            io,
            local_addresses,
            dialled: Cell::new(index),
        }
    }

    /// Where the next connection to this address comes from; `None`: wherever the kernel likes.
    pub fn local_address(&self, remote: IpAddr) -> Result<Option<IpAddr>, String> {
        if self.local_addresses.is_empty() {
            return Ok(None);
        }
        let fitting = || self.local_addresses.iter().filter(|local| local.is_ipv4() == remote.is_ipv4());
        let count = fitting().count();
        let turn = self.dialled.replace(self.dialled.get().wrapping_add(1));
        match count {
            0 => Err(format!("none of the local addresses is of the family of {remote}")),
            count => Ok(fitting().nth(turn % count).copied()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::tests::{plan, request};

    fn tcp(text: &str) -> SocketAddr {
        text.parse().expect("an address")
    }

    fn laid(plan: &Plan, addresses: &[&str]) -> Layout {
        let all: Vec<_> = addresses.iter().map(|address| tcp(address)).collect();
        Layout::new(plan, |_, _| Ok::<_, PlanError>(all.clone())).expect("a good plan")
    }

    fn target(plan: &Plan, layout: Layout, index: usize) -> Target {
        Target::new(plan, layout, index, 8, Io::Epoll, Arc::new([]))
    }

    #[test]
    fn requests_to_one_server_share_its_connections() {
        let mut plan = plan("http://one/");
        plan.requests =
            ["http://one/a", "http://one/b", "http://two/", "http://one:81/", "http://one/e"].map(request).to_vec();
        let layout = laid(&plan, &["10.0.0.1:80"]);
        assert_eq!(layout.of_request[..], [0, 0, 1, 2, 0]);
        assert_eq!(target(&plan, layout, 0).origins[2].first_address, 2);
    }

    #[test]
    fn connections_are_shared_out_over_the_addresses_of_a_family() {
        let plan = plan("http://one/");
        let layout = laid(&plan, &["10.0.0.1:80", "[::1]:80", "10.0.0.2:80", "10.0.0.3:80"]);
        assert_eq!(layout.addresses.len(), 4);
        let origin = target(&plan, layout.clone(), 0).origins.remove(0);
        let now = Moment::now();
        let mut stays: Vec<_> = (0..6).map(|_| origin.enter(origin.order(now)[0])).collect();
        assert_eq!(stays.iter().map(Stay::address).collect::<Vec<_>>(), [0, 2, 3, 0, 2, 3]);
        stays.remove(1);
        assert_eq!(origin.order(now), [2, 0, 3, 1], "the one with a place free is next, the other family last");
        let other_thread = target(&plan, layout, 2).origins.remove(0);
        assert_eq!(other_thread.order(now)[0], 2);
    }

    #[test]
    fn an_address_that_does_not_answer_goes_last_for_a_while() {
        let plan = plan("http://one/");
        let origin = target(&plan, laid(&plan, &["10.0.0.1:80", "10.0.0.2:80"]), 0).origins.remove(0);
        let now = Moment::now();
        origin.is_unwell(0, now);
        assert_eq!(origin.order(now), [1, 0]);
        let later = now.plus(UNWELL);
        assert_eq!(origin.order(later), [0, 1], "one connection tries it again");
        assert_eq!(origin.order(later), [1, 0], "and only one");
        drop(origin.enter(0));
        drop((origin.enter(1), origin.enter(1)));
        assert_eq!(origin.order(later), [0, 1]);
    }

    #[test]
    fn routes_lead_elsewhere() {
        let mut plan = plan("http://web:81/");
        let route = |host: Option<&str>, to_host: Option<&str>, to_port| Route {
            host: host.map(Into::into),
            port: None,
            to_host: to_host.map(Into::into),
            to_port,
        };
        let of = |plan: &Plan| {
            let asked = std::cell::RefCell::new(Vec::new());
            let resolve = |host: &str, port| {
                asked.borrow_mut().push(format!("{host}:{port}"));
                Ok::<_, PlanError>(vec![tcp("10.0.0.9:1")])
            };
            Layout::new(plan, resolve).expect("a good plan");
            asked.into_inner()
        };
        assert_eq!(of(&plan), ["web:81"]);
        plan.routes = vec![route(Some("other"), Some("x"), None), route(Some("web"), Some("a"), Some(5))];
        assert_eq!(of(&plan), ["a:5"]);
        plan.routes.extend([route(None, Some("z"), None), route(Some("web"), Some("b"), None)]);
        assert_eq!(of(&plan), ["a:5", "b:81"]);
        plan.unix_socket = Some("/run/s".into());
        assert!(of(&plan).is_empty());
    }

    #[test]
    fn local_addresses_of_the_right_family_take_turns() {
        let plan = plan("http://one/");
        let local: Arc<[IpAddr]> = ["10.0.0.5", "::1", "10.0.0.6"].map(|ip| ip.parse().expect("an address")).into();
        let target = Target::new(&plan, laid(&plan, &["10.0.0.1:80"]), 0, 8, Io::Epoll, local);
        let next = |remote: &str| {
            target.local_address(remote.parse().expect("an address")).map(|ip| ip.map(|ip| ip.to_string()))
        };
        assert_eq!((next("10.0.0.1"), next("10.0.0.1")), (Ok(Some("10.0.0.5".into())), Ok(Some("10.0.0.6".into()))));
        assert_eq!(next("::2"), Ok(Some("::1".into())));
    }
}
