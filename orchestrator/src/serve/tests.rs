//! Clients of every kind on real sockets.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use axum::body::Bytes;
use axum::extract::State;
use axum::routing::get;
use tokio::sync::oneshot;

use super::*;
use crate::tests::http;

/// Far more than anything here takes.
const PATIENCE: Duration = Duration::from_secs(30);
const BIG_BYTES: usize = 8 * 1024 * 1024;

/// A server; how many of its big bodies are on their way.
struct Server {
    address: SocketAddr,
    under_way: Arc<AtomicUsize>,
    close: Option<oneshot::Sender<()>>,
    served: tokio::task::JoinHandle<()>,
}

struct Big {
    bytes: Vec<u8>,
    under_way: Arc<AtomicUsize>,
}

impl AsRef<[u8]> for Big {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Big {
    fn drop(&mut self) {
        self.under_way.fetch_sub(1, Ordering::SeqCst);
    }
}

async fn big(State(under_way): State<Arc<AtomicUsize>>) -> Bytes {
    under_way.fetch_add(1, Ordering::SeqCst);
    Bytes::from_owner(Big { bytes: vec![b'x'; BIG_BYTES], under_way })
}

async fn start(limits: Limits) -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let under_way = Arc::new(AtomicUsize::new(0));
    let late = async || {
        tokio::time::sleep(Duration::from_millis(300)).await;
        "late"
    };
    let health = async |request: Request<Body>| match request.extensions().get::<OneTooMany>() {
        Some(_) => "one too many",
        None => "well",
    };
    let router = Router::new()
        .route("/healthz", get(health))
        .route("/late", get(late))
        .route("/hang", get(std::future::pending::<&'static str>))
        .route("/big", get(big))
        .with_state(under_way.clone());
    let (close, closed) = oneshot::channel::<()>();
    let served = tokio::spawn(serve(listener, router, limits, async { drop(closed.await) }));
    Server { address, under_way, close: Some(close), served }
}

fn half_request(address: SocketAddr) -> TcpStream {
    let mut stream = http::connect(address);
    stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: a\r\nX-Slow").unwrap();
    stream
}

fn ask(stream: &mut TcpStream, path: &str) {
    stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n").as_bytes()).unwrap();
}

/// Waits until the server has closed a connection; whatever it says before is of no interest.
fn is_closed(stream: &mut TcpStream) -> bool {
    // A reset is an end, too.
    let read = stream.read_to_end(&mut Vec::new());
    !read.is_err_and(|e| e.kind() == std::io::ErrorKind::WouldBlock)
}

async fn until(what: &str, is: impl Fn() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is() {
        assert!(Instant::now() < deadline, "not in time: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_connects_and_asks_for_nothing_loses_his_connection() {
    let server = start(Limits { head: Duration::from_millis(200), ..Limits::default() }).await;
    let begun = Instant::now();
    let mut silent = http::connect(server.address);
    let mut half = half_request(server.address);
    let mut idle = http::connect(server.address);
    ask(&mut idle, "/healthz");
    // One that sends a little now and then is no better off.
    let mut trickling = half_request(server.address);
    let mut writer = trickling.try_clone().unwrap();
    let trickle = std::thread::spawn(move || {
        let end = Instant::now() + PATIENCE;
        while Instant::now() < end && writer.write_all(b"x").is_ok() {
            std::thread::sleep(Duration::from_millis(20));
        }
    });
    for (name, stream) in
        [("silent", &mut silent), ("half", &mut half), ("idle", &mut idle), ("trickling", &mut trickling)]
    {
        assert!(is_closed(stream), "{name} is still open after {:?}", begun.elapsed());
    }
    let _ = trickling.shutdown(Shutdown::Both);
    trickle.join().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_without_end_keep_nobody_out() {
    let server = start(Limits::default()).await;
    let mut crowd: Vec<TcpStream> = Vec::new();
    for n in 0..1100 {
        crowd.push(half_request(server.address));
        if n % 100 == 99 {
            let begun = Instant::now();
            let answer = http::get(server.address, "/healthz");
            assert_eq!((answer.status, answer.body.as_slice()), (200, &b"well"[..]));
            assert!(begun.elapsed() < Duration::from_secs(1), "{n} beside it: {:?}", begun.elapsed());
        }
    }
    // Those that came first had to go.
    assert!(is_closed(&mut crowd[0]));
    // The last one is served as soon as it has said what it wants.
    let mut last = crowd.pop().unwrap();
    last.write_all(b": 1\r\nConnection: close\r\n\r\n").unwrap();
    assert_eq!(http::read(&mut last).status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_that_take_long_leave_places_for_short_ones() {
    let server = start(Limits { connections: 12, requests: 8, ..Limits::default() }).await;
    let mut hanging: Vec<TcpStream> = (0..8).map(|_| http::connect(server.address)).collect();
    hanging.iter_mut().for_each(|stream| ask(stream, "/hang"));
    until("all of them are served", || http::get(server.address, "/healthz").body == b"one too many").await;
    let mut idle: Vec<TcpStream> = (0..30).map(|_| half_request(server.address)).collect();
    for _ in 0..20 {
        assert_eq!(http::get(server.address, "/healthz").status, 200);
    }
    assert!(is_closed(&mut idle[0]));
    drop(hanging);
    until("they are gone", || http::get(server.address, "/healthz").body == b"well").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_does_not_read_is_given_up_and_whoever_reads_slowly_is_not() {
    let server = start(Limits { stall: Duration::from_millis(500), ..Limits::default() }).await;
    let mut deaf: Vec<TcpStream> = (0..10).map(|_| http::connect(server.address)).collect();
    deaf.iter_mut().for_each(|stream| ask(stream, "/big"));
    until("they are on their way", || server.under_way.load(Ordering::SeqCst) == 10).await;
    until("they are given up", || server.under_way.load(Ordering::SeqCst) == 0).await;

    let mut slow = http::connect(server.address);
    ask(&mut slow, "/big");
    let (mut received, begun) = (0, Instant::now());
    let mut buffer = vec![0; 512 * 1024];
    while received < BIG_BYTES {
        std::thread::sleep(Duration::from_millis(50));
        let n = slow.read(&mut buffer).unwrap();
        assert!(n > 0, "it was cut off after {received} bytes and {:?}", begun.elapsed());
        received += n;
    }
    assert!(begun.elapsed() > Duration::from_millis(500), "it was not slow");
}

#[tokio::test(flavor = "multi_thread")]
async fn odd_requests_are_answered_or_refused_and_harm_nobody() {
    let server = start(Limits::default()).await;
    let status = |bytes: &[u8]| http::raw(server.address, bytes).status;
    let long = "x".repeat(100_000);
    assert_eq!(status(format!("GET /{long} HTTP/1.1\r\nHost: a\r\n\r\n").as_bytes()), 431);
    assert_eq!(status(format!("GET / HTTP/1.1\r\nHost: a\r\nX: {long}\r\n\r\n").as_bytes()), 431);
    let many = "a: b\r\n".repeat(1000);
    assert_eq!(status(format!("GET / HTTP/1.1\r\nHost: a\r\n{many}\r\n").as_bytes()), 431);
    for garbage in
        ["\r\n\r\n\r\nx y z\r\n\r\n", "GET / HTTP/9.9\r\n\r\n", "\u{0}\u{1}\u{2}\r\n\r\n", "PRI * HTTP/2.0\r\n\r\n"]
    {
        assert_eq!(status(garbage.as_bytes()), 400, "{garbage:?}");
    }
    // Two lengths are two meanings.
    let smuggled = "POST /healthz HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxx";
    assert_eq!(status(smuggled.as_bytes()), 400);
    // Many at once are answered in their order.
    let pipelined = "GET /late HTTP/1.1\r\nHost: a\r\n\r\n".to_owned()
        + &"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n".repeat(50)
        + "GET /late HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    let mut stream = http::connect(server.address);
    stream.write_all(pipelined.as_bytes()).unwrap();
    let mut answers = String::new();
    stream.read_to_string(&mut answers).unwrap();
    assert_eq!(answers.matches("HTTP/1.1 200 OK").count(), 52);
    assert_eq!(answers.matches("late").count(), 2);
    assert!(answers.ends_with("late") && answers.find("late") < answers.find("well"));
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_that_are_under_way_at_the_end_are_served() {
    let mut server = start(Limits::default()).await;
    let mut idle = http::connect(server.address);
    let mut late = http::connect(server.address);
    ask(&mut idle, "/healthz");
    ask(&mut late, "/late");
    // It is under way when others that came later are served.
    assert_eq!(http::get(server.address, "/healthz").status, 200);
    server.close.take();
    assert!(is_closed(&mut idle));
    assert_eq!(http::read(&mut late).body, b"late");
    tokio::time::timeout(PATIENCE, server.served).await.unwrap().unwrap();
}
