//! A network between clients and a broker that can be cut.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// Passes connections on. Those that live through a cut are dead from then on, without a word to either side, as those
/// of a network are for as long as lost packets are not sent again.
pub struct Proxy {
    /// Even: whole; odd: cut. Connections belong to the number at which they were made.
    state: Arc<AtomicU64>,
}

impl Proxy {
    pub fn start(port: u16, to: u16) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", port)).expect("the port is free");
        let state = Arc::new(AtomicU64::new(0));
        let theirs = state.clone();
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                while theirs.load(Relaxed) % 2 == 1 {
                    std::thread::sleep(Duration::from_millis(10));
                }
                let Ok(server) = TcpStream::connect(("127.0.0.1", to)) else { continue };
                for (from, to) in [(&client, &server), (&server, &client)] {
                    let (from, to) = (from.try_clone().expect("a socket"), to.try_clone().expect("a socket"));
                    let state = theirs.clone();
                    std::thread::spawn(move || pass_on(from, to, &state));
                }
            }
        });
        Self { state }
    }

    pub fn cut(&self) {
        self.state.fetch_add(1, Relaxed);
    }

    pub fn heal(&self) {
        self.state.fetch_add(1, Relaxed);
    }
}

fn pass_on(mut from: TcpStream, mut to: TcpStream, state: &AtomicU64) {
    let born = state.load(Relaxed);
    let mut bytes = vec![0; 64 * 1024];
    while let Ok(count) = from.read(&mut bytes) {
        if state.load(Relaxed) != born {
            // Neither end hears of it.
            std::mem::forget((from, to));
            return;
        }
        if count == 0 || to.write_all(&bytes[..count]).is_err() {
            break;
        }
    }
    let _ = to.shutdown(std::net::Shutdown::Both);
}
