//! In the steady state a request allocates nothing: not for sending it, nor for its answer, nor for measuring it. And a
//! connection that waits takes little.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use onrush_engine::{Armed, Arrivals, Io, Mode, Options, Order, Plan, Request, Server, Share, Tls, Wait};

/// Counts what threads allocate that did not ask to be left out.
struct Counting;

static COUNTED: AtomicU64 = AtomicU64::new(0);
/// Bytes that are allocated and not freed.
static LIVE_BYTES: AtomicI64 = AtomicI64::new(0);
/// The tests count the same things.
static ALONE: Mutex<()> = Mutex::new(());

thread_local! {
    static LEFT_OUT: Cell<bool> = const { Cell::new(false) };
}

/// `allocations` more, and so many bytes.
fn count(allocations: u64, bytes: i64) {
    // A thread that is ending has no thread-locals any more.
    if LEFT_OUT.try_with(Cell::get).is_ok_and(|left_out| !left_out) {
        COUNTED.fetch_add(allocations, Ordering::Relaxed);
        LIVE_BYTES.fetch_add(bytes, Ordering::Relaxed);
    }
}

fn signed(size: usize) -> i64 {
    i64::try_from(size).unwrap_or(i64::MAX)
}

// SAFETY: everything is handed on to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(1, signed(layout.size()));
        // SAFETY: the caller keeps the rules of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        count(0, -signed(layout.size()));
        // SAFETY: the block comes from `alloc` or `realloc`, which had it from the system.
        unsafe { System.dealloc(block, layout) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(1, signed(size) - signed(layout.size()));
        // SAFETY: as for `dealloc`, and the caller keeps the rules of `realloc`.
        unsafe { System.realloc(block, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Answers every request on every connection; a request comes in one piece here.
fn serve() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("it is bound");
    std::thread::spawn(move || {
        LEFT_OUT.set(true);
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            std::thread::spawn(move || {
                LEFT_OUT.set(true);
                let mut buffer = [0; 4096];
                while stream.read(&mut buffer).is_ok_and(|length| length > 0) {
                    if stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\npong").is_err() {
                        return;
                    }
                }
            });
        }
    });
    address
}

/// A run of one thread that is ready to start.
fn arm(address: SocketAddr, mode: Mode, count: u64, connections: u32, names: usize) -> Armed {
    let server = Server { tls: false, host: address.ip().to_string(), port: address.port() };
    let plan = Plan {
        mode,
        target_throughput_per_s: None,
        count: Some(count),
        duration: None,
        profile: None,
        share: Share::default(),
        arrivals: Arrivals::Even,
        connections,
        think_time: Duration::ZERO,
        keepalive: true,
        timeout: Duration::from_secs(10),
        connect_timeout: Duration::from_secs(5),
        requests: (0..names).map(|name| Request::get(server.clone(), format!("/{name}"))).collect(),
        resend: true,
        routes: Vec::new(),
        unix_socket: None,
        order: Order::InTurn,
        tls: Tls::default(),
    };
    let allowed = rustix::thread::sched_getaffinity(None).expect("a process may ask for its own CPUs");
    let cpu = (0..rustix::thread::CpuSet::MAX_CPU).find(|cpu| allowed.is_set(*cpu));
    let cpus = vec![cpu.expect("this thread runs somewhere")];
    Armed::new(plan, Options { cpus, wait: Wait::Timer, io: Io::IoUring, local_addresses: Vec::new() })
        .expect("it can be armed")
}

/// How often the engine's threads allocated from the start of a run to its end.
fn allocations(address: SocketAddr, mode: Mode, count: u64, names: usize) -> u64 {
    let armed = arm(address, mode, count, 8, names);
    let before = COUNTED.load(Ordering::Relaxed);
    let mut running = armed.start(Instant::now());
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        let second = running.next_second(Duration::from_millis(200));
        if let Some(second) = second.filter(|second| second.end.is_some()) {
            assert_eq!(second.totals.answered, count);
            break;
        }
        assert!(Instant::now() < deadline, "the run does not end");
    }
    COUNTED.load(Ordering::Relaxed) - before
}

#[test]
fn a_request_allocates_nothing() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    LEFT_OUT.set(true);
    let address = serve();
    let tsunami = Mode::Tsunami { delay: Duration::from_micros(20) };
    for (mode, names) in [(Mode::Avalanche, 1), (tsunami, 1), (Mode::Avalanche, 8), (tsunami, 64)] {
        let (few, many) = (allocations(address, mode, 2_000, names), allocations(address, mode, 42_000, names));
        assert!(COUNTED.load(Ordering::Relaxed) > 0, "arming allocates, and that was not counted");
        // A second that ends takes a record or two; 40,000 requests more take no more than that.
        assert!(many < few + 200, "{mode:?}, {names} names: {few} allocations for 2,000 requests, {many} for 42,000");
    }
}

/// Accepts connections and keeps them.
fn hold() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("it is bound");
    std::thread::spawn(move || {
        LEFT_OUT.set(true);
        let mut kept = Vec::new();
        kept.extend(listener.incoming().take_while(Result::is_ok));
    });
    address
}

#[test]
fn sixty_four_names_take_less_than_32_mib_a_thread() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    LEFT_OUT.set(true);
    let address = hold();
    // The records are made by whoever arms a run.
    let live_bytes = |names| {
        let before = LIVE_BYTES.load(Ordering::Relaxed);
        LEFT_OUT.set(false);
        let armed = arm(address, Mode::Avalanche, 1, 1, names);
        let bytes = LIVE_BYTES.load(Ordering::Relaxed) - before;
        drop(armed);
        LEFT_OUT.set(true);
        bytes
    };
    let (one, most) = (live_bytes(1), live_bytes(65));
    assert!((20 << 20..32 << 20).contains(&(most - one)), "{one} bytes with one name, {most} with 65");
}

#[test]
fn a_connection_that_waits_takes_less_than_eight_kib() {
    const FEW: u32 = 50;
    const MANY: u32 = 450;
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    LEFT_OUT.set(true);
    let address = hold();
    let live_bytes = |connections| {
        let before = LIVE_BYTES.load(Ordering::Relaxed);
        let armed = arm(address, Mode::Avalanche, 1, connections, 1);
        assert_eq!(armed.connections_open(), connections);
        LIVE_BYTES.load(Ordering::Relaxed) - before
    };
    let each_bytes = (live_bytes(MANY) - live_bytes(FEW)) / i64::from(MANY - FEW);
    assert!((4096..8192).contains(&each_bytes), "{each_bytes} bytes");
}
