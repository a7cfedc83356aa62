//! A target that notes when each request came, by the kernel's own receive times: what its one thread was late is not in them.

use std::io::{self, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsRawFd, RawFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

const PATH: &str = "/recorded";
const LOOK_EVERY_MS: i32 = 50;
const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
const NOT_FOUND: &[u8] = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n";

/// It answers until it is dropped.
pub struct Recorder {
    address: SocketAddr,
    arrivals_ns: Arc<Mutex<Vec<i64>>>,
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Recorder {
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        listener.set_nonblocking(true).expect("a socket");
        let address = listener.local_addr().expect("it is bound");
        let (arrivals_ns, over) = (Arc::default(), Arc::new(AtomicBool::new(false)));
        let (noted, is_over) = (Arc::clone(&arrivals_ns), Arc::clone(&over));
        let thread = std::thread::spawn(move || serve(&listener, &noted, &is_over));
        Self { address, arrivals_ns, over, thread: Some(thread) }
    }

    /// The URL whose requests are noted.
    pub fn url(&self) -> String {
        format!("http://{}{PATH}", self.address)
    }

    /// When requests came since the last call, in their order, in nanoseconds.
    pub fn take(&self) -> Vec<i64> {
        let mut arrivals_ns = std::mem::take(&mut *self.arrivals_ns.lock().unwrap_or_else(PoisonError::into_inner));
        arrivals_ns.sort_unstable();
        arrivals_ns
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        self.thread.take().into_iter().for_each(|thread| drop(thread.join()));
    }
}

/// A client, and what it sent of the next request.
struct Client {
    stream: TcpStream,
    head: Vec<u8>,
}

fn serve(listener: &TcpListener, arrivals_ns: &Mutex<Vec<i64>>, over: &AtomicBool) {
    let mut clients: Vec<Client> = Vec::new();
    while !over.load(Ordering::Relaxed) {
        let descriptors = [listener.as_raw_fd()].into_iter().chain(clients.iter().map(|c| c.stream.as_raw_fd()));
        let mut asked: Vec<_> = descriptors.map(|fd| libc::pollfd { fd, events: libc::POLLIN, revents: 0 }).collect();
        // SAFETY: the kernel writes to as many entries as there are, which live until the call has returned.
        unsafe { libc::poll(asked.as_mut_ptr(), asked.len() as libc::nfds_t, LOOK_EVERY_MS) };
        let mut ready = asked.iter().skip(1).map(|asked| asked.revents != 0);
        clients.retain_mut(|client| !ready.next().unwrap_or(false) || client.take_in(arrivals_ns).is_ok());
        while let Ok((stream, _)) = listener.accept() {
            if stream.set_nonblocking(true).and_then(|()| note_times(&stream)).is_ok() {
                clients.push(Client { stream, head: Vec::new() });
            }
        }
    }
}

impl Client {
    fn take_in(&mut self, arrivals_ns: &Mutex<Vec<i64>>) -> io::Result<()> {
        let at_ns = receive(self.stream.as_raw_fd(), &mut self.head)?;
        if self.head.ends_with(b"\r\n\r\n") {
            let is_noted = self.head.starts_with(format!("GET {PATH} ").as_bytes());
            if is_noted {
                arrivals_ns.lock().unwrap_or_else(PoisonError::into_inner).push(at_ns);
            }
            self.head.clear();
            self.stream.write_all(if is_noted { OK } else { NOT_FOUND })?;
        }
        Ok(())
    }
}

/// Asks for the time of what is received.
fn note_times(stream: &TcpStream) -> io::Result<()> {
    let on: libc::c_int = 1;
    // SAFETY: the kernel reads one `int`, which lives until the call has returned.
    let set = unsafe {
        libc::setsockopt(
            stream.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_TIMESTAMPNS,
            (&raw const on).cast(),
            size_of_val(&on) as libc::socklen_t,
        )
    };
    if set == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Appends what is there, and says when the last of it came.
fn receive(descriptor: RawFd, to: &mut Vec<u8>) -> io::Result<i64> {
    let mut bytes = [0_u8; 4_096];
    // Aligned as a control message must be.
    let mut control = [0_u64; 16];
    let mut parts = libc::iovec { iov_base: bytes.as_mut_ptr().cast(), iov_len: bytes.len() };
    // SAFETY: all zeros is a valid `msghdr`.
    let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
    (message.msg_iov, message.msg_iovlen) = (&raw mut parts, 1);
    (message.msg_control, message.msg_controllen) = (control.as_mut_ptr().cast(), size_of_val(&control));
    // SAFETY: the header points to buffers of the lengths that it says, which live until the call has returned.
    let length = unsafe { libc::recvmsg(descriptor, &raw mut message, 0) };
    if length <= 0 {
        return Err(if length == 0 { io::ErrorKind::UnexpectedEof.into() } else { io::Error::last_os_error() });
    }
    to.extend_from_slice(&bytes[..length.unsigned_abs()]);
    // SAFETY: the kernel has filled in the control messages and their length; a pointer that is not null points to one within.
    let at = unsafe {
        let first = libc::CMSG_FIRSTHDR(&raw const message);
        let is_time = !first.is_null() && (*first).cmsg_type == libc::SCM_TIMESTAMPNS;
        is_time.then(|| libc::CMSG_DATA(first).cast::<libc::timespec>().read_unaligned())
    };
    let at = at.ok_or_else(|| io::Error::other("the kernel did not say when it came"))?;
    Ok(at.tv_sec * 1_000_000_000 + at.tv_nsec)
}
