//! A small blocking HTTP server that does what a script says, a thread per connection.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// What the server does with one request.
#[derive(Clone, Debug)]
pub enum Reaction {
    /// Sends these bytes and keeps the connection.
    Send(Vec<u8>),
    /// Sends these bytes and closes the connection.
    SendAndClose(Vec<u8>),
    /// Waits, then does the other thing.
    After(Duration, Box<Reaction>),
    /// Sends these bytes, then does the other thing.
    SendAnd(Vec<u8>, Box<Reaction>),
    /// Closes the connection.
    Close,
    /// Resets the connection.
    Reset,
    /// Says nothing until the client closes.
    Silence,
}

pub fn ok() -> Reaction {
    Reaction::Send(OK.to_vec())
}

/// What `ok` sends.
pub const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\npong";

/// A response, and so much later what comes unasked.
pub fn ok_and_after_ms(delay_ms: u64, reaction: Reaction) -> Reaction {
    Reaction::SendAnd(OK.to_vec(), Box::new(after_ms(delay_ms, reaction)))
}

pub fn raw(bytes: &str) -> Reaction {
    Reaction::Send(bytes.into())
}

pub fn after_ms(delay_ms: u64, reaction: Reaction) -> Reaction {
    Reaction::After(Duration::from_millis(delay_ms), Box::new(reaction))
}

/// One request as it came.
#[derive(Clone, Debug)]
pub struct Arrival {
    pub at: Instant,
    /// When the server had done what the script says.
    pub done: Option<Instant>,
    pub head: String,
    /// Where it came from, and whose number its connection is, from 0.
    pub peer: SocketAddr,
    pub connection: u64,
}

type Script = dyn Fn(u64) -> Reaction + Send + Sync;

/// What the server saw.
#[derive(Default)]
pub struct Seen {
    pub requests: AtomicU64,
    pub connections: AtomicU64,
    pub arrivals: Mutex<Vec<Arrival>>,
    closed: AtomicBool,
}

/// The server; it accepts no more once it is dropped.
pub struct Server {
    pub address: SocketAddr,
    pub seen: Arc<Seen>,
    accepting: Option<std::thread::JoinHandle<()>>,
}

impl Server {
    /// Starts a server whose script is asked for a reaction to each request, by its number from 0.
    pub fn start(script: impl Fn(u64) -> Reaction + Send + Sync + 'static) -> Self {
        Self::start_at("127.0.0.1:0", script)
    }

    pub fn start_at(listen: &str, script: impl Fn(u64) -> Reaction + Send + Sync + 'static) -> Self {
        Self::start_idling(listen, None, script)
    }

    /// One that closes a connection when it has idled for so long.
    pub fn start_idling(
        listen: &str,
        idle: Option<Duration>,
        script: impl Fn(u64) -> Reaction + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind(listen).expect("a free port on loopback");
        let address = listener.local_addr().expect("a bound listener has an address");
        let seen = Arc::new(Seen::default());
        let script: Arc<Script> = Arc::new(script);
        let accepting = std::thread::spawn({
            let seen = seen.clone();
            move || {
                for stream in listener.incoming() {
                    if seen.closed.load(Ordering::SeqCst) {
                        return;
                    }
                    let Ok(stream) = stream else { continue };
                    let connection = seen.connections.fetch_add(1, Ordering::SeqCst);
                    let (seen, script) = (seen.clone(), script.clone());
                    std::thread::spawn(move || serve(stream, connection, idle, &seen, &*script));
                }
            }
        });
        Self { address, seen, accepting: Some(accepting) }
    }

    pub fn url(&self) -> String {
        format!("http://{}/ping", self.address)
    }

    pub fn requests(&self) -> u64 {
        self.seen.requests.load(Ordering::SeqCst)
    }

    pub fn connections(&self) -> u64 {
        self.seen.connections.load(Ordering::SeqCst)
    }

    pub fn arrivals(&self) -> Vec<Arrival> {
        self.seen.arrivals.lock().expect("no thread panics with it").clone()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.seen.closed.store(true, Ordering::SeqCst);
        // Wakes the accepting thread, which then lets go of the port.
        let _ = TcpStream::connect(self.address);
        let _ = self.accepting.take().map(std::thread::JoinHandle::join);
    }
}

fn serve(stream: TcpStream, connection: u64, idle: Option<Duration>, seen: &Seen, script: &Script) {
    let _ = stream.set_nodelay(true);
    let _ = stream.set_read_timeout(idle);
    let Ok(peer) = stream.peer_addr() else { return };
    let Ok(mut writer) = stream.try_clone() else { return };
    let mut reader = BufReader::new(stream);
    while let Some(head) = read_request(&mut reader) {
        let number = seen.requests.fetch_add(1, Ordering::SeqCst);
        let arrival = Arrival { at: Instant::now(), done: None, head, peer, connection };
        let place = {
            let mut arrivals = seen.arrivals.lock().expect("no thread panics with it");
            arrivals.push(arrival);
            arrivals.len() - 1
        };
        let reaction = script(number);
        let resets = matches!(reaction, Reaction::Reset);
        let goes_on = react(reaction, &mut writer, &mut reader);
        if !goes_on {
            // A reset is what the drop makes of it.
            let _ = (!resets).then(|| writer.shutdown(std::net::Shutdown::Write));
        }
        seen.arrivals.lock().expect("no thread panics with it")[place].done = Some(Instant::now());
        if !goes_on {
            return;
        }
    }
}

/// Says whether the connection goes on.
fn react(reaction: Reaction, writer: &mut TcpStream, reader: &mut impl Read) -> bool {
    match reaction {
        Reaction::Send(bytes) => writer.write_all(&bytes).is_ok(),
        Reaction::SendAndClose(bytes) => {
            let _ = writer.write_all(&bytes);
            false
        }
        Reaction::After(delay, next) => {
            std::thread::sleep(delay);
            react(*next, writer, reader)
        }
        Reaction::SendAnd(bytes, next) => writer.write_all(&bytes).is_ok() && react(*next, writer, reader),
        Reaction::Reset => {
            let _ = rustix::net::sockopt::set_socket_linger(&*writer, Some(Duration::ZERO));
            false
        }
        Reaction::Silence => {
            let _ = reader.read_to_end(&mut Vec::new());
            false
        }
        Reaction::Close => false,
    }
}

fn read_request(reader: &mut impl BufRead) -> Option<String> {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if reader.read_line(&mut head).ok()? == 0 {
            return None;
        }
    }
    let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: ")?.parse().ok()).unwrap_or(0);
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some(head)
}

/// An address that takes no more connections: it lets whoever tries wait.
pub struct Deaf {
    _listener: TcpListener,
    _waiting: Vec<TcpStream>,
}

impl Deaf {
    /// Listens without a queue. Deaf it becomes by [`Deaf::fill`].
    pub fn listen(at: &str) -> TcpListener {
        use rustix::net::{AddressFamily, SocketType, bind, listen, socket};
        let socket = socket(AddressFamily::INET, SocketType::STREAM, None).expect("a socket is to be had");
        bind(&socket, &at.parse::<SocketAddr>().expect("an address")).expect("a free port on loopback");
        listen(&socket, 0).expect("a bound socket listens");
        TcpListener::from(socket)
    }

    /// Fills what queue there is.
    pub fn fill(listener: TcpListener) -> Self {
        let address = listener.local_addr().expect("a bound listener has an address");
        let mut waiting = Vec::new();
        while let Ok(stream) = TcpStream::connect_timeout(&address, Duration::from_millis(100)) {
            waiting.push(stream);
            assert!(waiting.len() < 50, "a queue of length 0 fills up");
        }
        Self { _listener: listener, _waiting: waiting }
    }
}
