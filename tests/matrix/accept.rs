//! A server that answers at once on what it has accepted, accepts a connection now and then, and lets few wait for that.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

const ACCEPT_EVERY: Duration = Duration::from_millis(50);
const BACKLOG: i32 = 4;

pub struct SlowToAccept {
    address: SocketAddr,
    over: Arc<AtomicBool>,
    acceptor: Option<JoinHandle<()>>,
}

impl SlowToAccept {
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        rustix::net::listen(&listener, BACKLOG).expect("it may be shorter");
        listener.set_nonblocking(true).expect("a socket");
        let address = listener.local_addr().expect("it is bound");
        let over = Arc::new(AtomicBool::new(false));
        let is_over = Arc::clone(&over);
        let accept = move || {
            while !is_over.load(Ordering::Relaxed) {
                if let Ok((stream, _)) = listener.accept() {
                    std::thread::spawn(move || answer(&stream));
                }
                std::thread::sleep(ACCEPT_EVERY);
            }
        };
        Self { address, over, acceptor: Some(std::thread::spawn(accept)) }
    }

    pub fn url(&self) -> String {
        format!("http://{}/", self.address)
    }
}

impl Drop for SlowToAccept {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        self.acceptor.take().into_iter().for_each(|acceptor| drop(acceptor.join()));
    }
}

/// Answers each request without a body, until the client goes.
fn answer(mut stream: &TcpStream) {
    let _ = stream.set_nonblocking(false);
    let mut lines = BufReader::new(stream).lines();
    while let Some(Ok(line)) = lines.next() {
        if line.is_empty() && stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").is_err() {
            return;
        }
    }
}
