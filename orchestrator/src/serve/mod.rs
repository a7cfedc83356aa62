//! Serves REST over TCP, whoever connects: whoever keeps a connection without using it loses it, and however many come, some
//! places are left for those who ask at once.
//!
//! A connection waits for a request or serves one. Waiting ends by itself after [`Limits::head`]; where all places are taken,
//! the connection that has waited longest gives its place to the next that comes. Requests that are served at once are fewer
//! than places, so that there always is one that waits.

mod patient;
mod places;
#[cfg(test)]
mod tests;

use std::net::{IpAddr, Ipv4Addr};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, HttpBody};
use axum::http::{Extensions, Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use rustix::net::sockopt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tower::Service;

use self::patient::Patient;
use self::places::{Place, Places, Serving};

/// How much is kept for one connection of what it sent and of what it has not read. A head that is longer is refused.
const MAX_BUFFER_BYTES: usize = 64 * 1024;
/// The same within the system, which doubles it; twice because bodies come by here, too.
const SOCKET_BUFFER_BYTES: usize = 64 * 1024;
/// What nobody acknowledges for so long is sent to nobody.
const UNACKNOWLEDGED: Duration = Duration::from_secs(30);
/// How long a connection waits for a place before it is closed.
const MAX_WAIT_FOR_PLACE: Duration = Duration::from_secs(1);
/// After an error that will not go away at once, such as no descriptor being free.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What one client may take of everybody's.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// Connections.
    pub connections: usize,
    /// Requests that are served at once.
    pub requests: usize,
    /// From the end of one request, or the beginning of the connection, to the end of the next one's head.
    pub head: Duration,
    /// The time in which a client must have read a fair part of what waits for it.
    pub stall: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self { connections: 512, requests: 480, head: Duration::from_secs(10), stall: Duration::from_secs(30) }
    }
}

/// Marks a request that comes when so many are served already: it is answered by a refusal.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OneTooMany;

/// Where a request came from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Peer(IpAddr);

impl Peer {
    /// The address; that of nobody where a request came by no connection.
    pub(crate) fn of(extensions: &Extensions) -> IpAddr {
        extensions.get::<Self>().map_or(Ipv4Addr::UNSPECIFIED.into(), |peer| peer.0)
    }
}

/// Serves until `closed`; then requests that are under way are served to their end.
pub(crate) async fn serve(listener: TcpListener, router: Router, limits: Limits, closed: impl Future<Output = ()>) {
    let places = Places::new(limits);
    let (end, ending) = watch::channel(());
    let mut connections = JoinSet::new();
    let mut closed = pin!(closed);
    // What is accepted has the listener's buffers.
    let _ = sockopt::set_socket_send_buffer_size(&listener, SOCKET_BUFFER_BYTES);
    let _ = sockopt::set_socket_recv_buffer_size(&listener, 2 * SOCKET_BUFFER_BYTES);
    loop {
        let (stream, peer) = tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, address)) => (stream, Peer(address.ip())),
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a connection");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            },
            Some(_) = connections.join_next() => continue,
            () = &mut closed => break,
        };
        // More than are served at once are only being refused, which is done in a moment.
        if let Ok(place) = tokio::time::timeout(MAX_WAIT_FOR_PLACE, places.take()).await {
            connections.spawn(connection(stream, peer, router.clone(), place, limits, ending.clone()));
            // Who came can say what he wants before others take his place.
            tokio::task::yield_now().await;
        }
    }
    drop(listener);
    let _ = end.send(());
    while connections.join_next().await.is_some() {}
}

async fn connection(
    stream: TcpStream,
    peer: Peer,
    router: Router,
    place: Place,
    limits: Limits,
    mut ending: watch::Receiver<()>,
) {
    let _ = stream.set_nodelay(true);
    let _ = sockopt::set_tcp_user_timeout(&stream, UNACKNOWLEDGED.as_millis() as u32);
    let place = Arc::new(place);
    let io = TokioIo::new(Patient::new(stream, limits.stall, place.clone()));
    let serving = place.clone();
    let service = service_fn(move |request| respond(router.clone(), serving.serve(), peer, request));
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.head)
        .max_buf_size(MAX_BUFFER_BYTES)
        .max_header_size(MAX_BUFFER_BYTES)
        .serve_connection(io, service);
    let mut served = pin!(served);
    let mut is_ending = false;
    loop {
        tokio::select! {
            // What a client does wrong ends its connection and concerns nobody else.
            _ = &mut served => return,
            () = place.taken() => return,
            _ = ending.changed(), if !is_ending => {
                is_ending = true;
                served.as_mut().graceful_shutdown();
            }
        }
    }
}

async fn respond(
    mut router: Router,
    serving: Serving,
    peer: Peer,
    request: Request<Incoming>,
) -> Result<Response<Counted>, std::convert::Infallible> {
    let mut request = request.map(Body::new);
    request.extensions_mut().insert(peer);
    if serving.one_too_many() {
        request.extensions_mut().insert(OneTooMany);
    }
    let response = router.call(request).await?;
    Ok(response.map(|body| Counted { body, _serving: serving }))
}

/// A body; while there is something of it, its request is served.
struct Counted {
    body: Body,
    _serving: Serving,
}

impl HttpBody for Counted {
    type Data = <Body as HttpBody>::Data;
    type Error = <Body as HttpBody>::Error;

    fn poll_frame(
        mut self: std::pin::Pin<&mut Self>,
        context: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<hyper::body::Frame<Self::Data>, Self::Error>>> {
        std::pin::Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> hyper::body::SizeHint {
        self.body.size_hint()
    }
}
