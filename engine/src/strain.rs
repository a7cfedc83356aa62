//! What a thread finds out about itself and its connections once a second: its CPU time, and `TCP_INFO` of a few connections.
//! Between two seconds it costs a store for each connection opened or closed, and a look at the first few that are closed.

use std::os::fd::RawFd;

use onrush_host::scarcity::{ThreadClock, ThreadTime};
use onrush_stats::Counts;

/// So many connections of a thread are looked at: the first ones. Connections take turns, so that these tell of all.
const SAMPLED: usize = 8;
/// So many of them are looked at in a second when they are closed: those that carry one request live for a moment only.
const CLOSED_LOOKS: u32 = 32;
/// Large enough for what this reads of `struct tcp_info`; the kernel fills in what it knows.
const INFO_BYTES: usize = 232;

/// A thread's own measures.
pub(crate) struct Strain {
    clock: Option<ThreadClock>,
    time: ThreadTime,
    /// Whether it polls: then its CPU time says nothing.
    polls: bool,
    sampled: [Option<Sampled>; SAMPLED],
    /// The least round-trip time to each server, in µs, and those to come: a connection that is opened under load has never seen it.
    least_rtt_us: Vec<u32>,
    closed_looks: u32,
    /// What was found out about connections that have been closed since.
    of_closed: Counts,
}

/// A connection, and what was seen of it so far.
struct Sampled {
    descriptor: RawFd,
    server: usize,
    seen: TcpInfo,
}

/// What is read of `struct tcp_info` (linux/tcp.h); all but the first four only grow. What came after Linux 4.10 is 0 before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct TcpInfo {
    rtt_us: u32,
    min_rtt_us: u32,
    receive_rtt_us: u32,
    /// Times that the oldest unacknowledged data was sent again.
    unacknowledged_again: u8,
    retransmits: u32,
    segments: u32,
    busy_us: u64,
    rwnd_limited_us: u64,
    sndbuf_limited_us: u64,
    received: u32,
    out_of_order: u32,
    needless_retransmits: u32,
    retransmitted_bytes: u64,
}

impl Strain {
    /// Of the calling thread.
    pub fn new(polls: bool) -> Self {
        let clock = ThreadClock::open();
        let time = clock.as_ref().and_then(ThreadClock::read).unwrap_or_default();
        Self {
            clock,
            time,
            polls,
            sampled: [const { None }; SAMPLED],
            least_rtt_us: Vec::new(),
            closed_looks: 0,
            of_closed: Counts::default(),
        }
    }

    /// A connection to a server is open.
    pub fn opened(&mut self, connection: usize, server: usize, descriptor: RawFd) {
        if let Some(sampled) = self.sampled.get_mut(connection) {
            if self.least_rtt_us.len() <= server {
                self.least_rtt_us.resize(server + 1, u32::MAX);
            }
            *sampled = Some(Sampled { descriptor, server, seen: TcpInfo::default() });
        }
    }

    /// A connection is going to be closed.
    pub fn closed(&mut self, connection: usize) {
        let Some(sampled) = self.sampled.get_mut(connection) else { return };
        if let Some(mut sampled) = sampled.take()
            && self.closed_looks < CLOSED_LOOKS
        {
            self.closed_looks += 1;
            sampled.look(&mut self.least_rtt_us, &mut self.of_closed);
        }
    }

    /// What comes now is of the run.
    pub fn begin(&mut self) {
        self.measure(&mut Counts::default());
    }

    /// Adds what happened since the last time.
    pub fn measure(&mut self, counts: &mut Counts) {
        if let Some(time) = self.clock.as_ref().and_then(ThreadClock::read) {
            let before = std::mem::replace(&mut self.time, time);
            if !self.polls {
                counts.engine_cpu_ns += time.ran_ns.saturating_sub(before.ran_ns);
            }
            counts.engine_wait_ns += time.waited_ns.saturating_sub(before.waited_ns);
        }
        for sampled in self.sampled.iter_mut().flatten() {
            sampled.look(&mut self.least_rtt_us, counts);
        }
        self.closed_looks = 0;
        counts.merge_across(&std::mem::take(&mut self.of_closed));
    }
}

impl Sampled {
    /// Adds what happened to it since the last time.
    fn look(&mut self, least_rtt_us: &mut [u32], counts: &mut Counts) {
        let Some(mut info) = read(self.descriptor) else { return };
        if let Some(least_us) = least_rtt_us.get_mut(self.server) {
            *least_us = info.min_rtt_us.min(*least_us);
            info.min_rtt_us = *least_us;
        }
        info.since(std::mem::replace(&mut self.seen, info)).add_to(counts);
    }
}

impl TcpInfo {
    /// What grew since then.
    fn since(self, before: Self) -> Self {
        Self {
            rtt_us: self.rtt_us,
            min_rtt_us: self.min_rtt_us,
            receive_rtt_us: self.receive_rtt_us,
            unacknowledged_again: self.unacknowledged_again,
            retransmits: self.retransmits.saturating_sub(before.retransmits),
            segments: self.segments.saturating_sub(before.segments),
            busy_us: self.busy_us.saturating_sub(before.busy_us),
            rwnd_limited_us: self.rwnd_limited_us.saturating_sub(before.rwnd_limited_us),
            sndbuf_limited_us: self.sndbuf_limited_us.saturating_sub(before.sndbuf_limited_us),
            received: self.received.saturating_sub(before.received),
            out_of_order: self.out_of_order.saturating_sub(before.out_of_order),
            needless_retransmits: self.needless_retransmits.saturating_sub(before.needless_retransmits),
            retransmitted_bytes: self.retransmitted_bytes.saturating_sub(before.retransmitted_bytes),
        }
    }

    fn add_to(self, counts: &mut Counts) {
        let Self {
            rtt_us,
            min_rtt_us,
            receive_rtt_us,
            unacknowledged_again,
            retransmits,
            segments,
            busy_us,
            rwnd_limited_us,
            sndbuf_limited_us,
            received,
            out_of_order,
            needless_retransmits,
            retransmitted_bytes,
        } = self;
        counts.tcp_samples += 1;
        counts.tcp_rtt_ns += u64::from(rtt_us) * 1_000;
        counts.tcp_min_rtt_ns += u64::from(min_rtt_us) * 1_000;
        counts.tcp_receive_rtt_ns += u64::from(receive_rtt_us) * 1_000;
        counts.tcp_stuck += u64::from(unacknowledged_again > 0);
        // A SYN has no bytes.
        let of_connecting = if retransmitted_bytes == 0 { retransmits } else { 0 };
        counts.tcp_connect_retransmits += u64::from(of_connecting);
        counts.tcp_retransmits += u64::from(retransmits - of_connecting);
        counts.tcp_needless_retransmits += u64::from(needless_retransmits);
        counts.tcp_received += u64::from(received);
        counts.tcp_out_of_order += u64::from(out_of_order);
        counts.tcp_segments += u64::from(segments);
        counts.tcp_busy_ns += busy_us.saturating_mul(1_000);
        counts.tcp_rwnd_limited_ns += rwnd_limited_us.saturating_mul(1_000);
        counts.tcp_sndbuf_limited_ns += sndbuf_limited_us.saturating_mul(1_000);
    }

    /// From the first bytes of the structure. What an older kernel does not fill in is 0; `None`: it knows no least round trip.
    fn of(bytes: &[u8; INFO_BYTES], length: usize) -> Option<Self> {
        const MIN_RTT_END: usize = 152;
        const RETRANSMITTED_END: usize = 216;
        if length < MIN_RTT_END {
            return None;
        }
        let u32_at = |at: usize| u32::from_ne_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
        let u64_at = |at: usize| {
            let mut eight = [0; 8];
            eight.copy_from_slice(&bytes[at..at + 8]);
            u64::from_ne_bytes(eight)
        };
        Some(Self {
            rtt_us: u32_at(68),
            min_rtt_us: u32_at(148),
            receive_rtt_us: u32_at(92),
            unacknowledged_again: bytes[2],
            retransmits: u32_at(100),
            segments: u32_at(156),
            busy_us: u64_at(168),
            rwnd_limited_us: u64_at(176),
            sndbuf_limited_us: u64_at(184),
            received: u32_at(152),
            // A kernel that does not count them retransmits data, as far as this can tell.
            retransmitted_bytes: if length < RETRANSMITTED_END { u32_at(100).into() } else { u64_at(208) },
            needless_retransmits: u32_at(216),
            out_of_order: u32_at(224),
        })
    }
}

/// `None`: it is not TCP, or has just been closed.
fn read(descriptor: RawFd) -> Option<TcpInfo> {
    let mut bytes = [0; INFO_BYTES];
    let mut length = INFO_BYTES as libc::socklen_t;
    // SAFETY: the kernel writes at most `length` bytes to `bytes`, which live until the call has returned; it refuses a
    // descriptor that is not open or not TCP.
    let got = unsafe {
        libc::getsockopt(descriptor, libc::IPPROTO_TCP, libc::TCP_INFO, bytes.as_mut_ptr().cast(), &raw mut length)
    };
    if got != 0 {
        return None;
    }
    TcpInfo::of(&bytes, length as usize)
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::{TcpListener, TcpStream};
    use std::os::fd::AsRawFd;

    use super::*;

    #[test]
    fn a_connection_tells_of_its_segments_and_round_trips() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let mut near = TcpStream::connect(listener.local_addr().expect("it is bound")).expect("it listens");
        let (mut far, _) = listener.accept().expect("one came");
        let mut strain = Strain::new(false);
        strain.opened(0, 0, near.as_raw_fd());
        strain.opened(SAMPLED, 0, near.as_raw_fd());
        strain.begin();
        for _ in 0..3 {
            near.write_all(b"x").expect("it is open");
            far.read_exact(&mut [0]).expect("it comes");
        }
        let mut counts = Counts::default();
        strain.measure(&mut counts);
        assert_eq!((counts.tcp_samples, counts.tcp_segments, counts.tcp_retransmits), (1, 3, 0), "{counts:?}");
        assert!(counts.tcp_min_rtt_ns > 0 && counts.tcp_min_rtt_ns <= counts.tcp_rtt_ns, "{counts:?}");
        assert_eq!(counts.tcp_stuck, 0);
        // What it carried last is seen when it is closed, and nothing after that.
        near.write_all(b"x").expect("it is open");
        far.read_exact(&mut [0]).expect("it comes");
        strain.closed(0);
        let [mut closed, mut after] = [Counts::default(), Counts::default()];
        strain.measure(&mut closed);
        strain.measure(&mut after);
        assert_eq!((closed.tcp_samples, closed.tcp_segments, after.tcp_samples), (1, 1, 0), "{closed:?}");
    }

    #[test]
    fn the_least_round_trip_to_a_server_is_known_to_later_connections() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        let mut strain = Strain::new(false);
        let connections: Vec<_> = (0..3).map(|_| TcpStream::connect(address).expect("it listens")).collect();
        strain.opened(0, 0, connections[0].as_raw_fd());
        strain.opened(1, 1, connections[1].as_raw_fd());
        strain.begin();
        strain.least_rtt_us = vec![1, 2];
        strain.opened(0, 0, connections[2].as_raw_fd());
        let mut counts = Counts::default();
        strain.measure(&mut counts);
        assert_eq!((counts.tcp_samples, counts.tcp_min_rtt_ns), (2, 3_000), "{counts:?}");
    }

    #[test]
    fn few_of_many_that_are_closed_are_looked_at() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let near = TcpStream::connect(listener.local_addr().expect("it is bound")).expect("it listens");
        let mut strain = Strain::new(false);
        for _ in 0..2 {
            (0..2 * CLOSED_LOOKS).for_each(|_| {
                strain.opened(0, 0, near.as_raw_fd());
                strain.closed(0);
            });
            let mut counts = Counts::default();
            strain.measure(&mut counts);
            assert_eq!(counts.tcp_samples, u64::from(CLOSED_LOOKS));
        }
    }

    #[test]
    fn what_is_no_tcp_connection_tells_nothing() {
        let (socket, _other) = std::os::unix::net::UnixStream::pair().expect("a pair");
        assert_eq!((read(socket.as_raw_fd()), read(-1)), (None, None));
    }

    #[test]
    fn a_thread_that_polls_tells_only_what_it_waited() {
        let mut counts = [Counts::default(), Counts::default()];
        for (polls, counts) in [true, false].into_iter().zip(&mut counts) {
            let mut strain = Strain::new(polls);
            let until = std::time::Instant::now() + std::time::Duration::from_millis(20);
            while std::time::Instant::now() < until {}
            strain.measure(counts);
        }
        assert_eq!(counts[0].engine_cpu_ns, 0);
        assert!(counts[1].engine_cpu_ns > 0, "{counts:?}");
    }
}
