//! Networks between two namespaces of this machine: what one end sends comes out at the other after a delay, unless it is lost or
//! does not fit into a queue. Each end is a TUN device, and a thread for each direction carries its packets.

use std::collections::VecDeque;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

/// The addresses of the two ends.
pub const NEAR: &str = "10.213.77.1";
pub const FAR: &str = "10.213.77.2";
const MTU: usize = 1_500;
/// What a router keeps at most, whatever its delay: 24 MB.
const MAX_PACKETS: usize = 16_000;
/// How often a direction looks whether it is over.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// What happens on the way, in each direction.
#[derive(Clone, Copy, Debug, Default)]
pub struct Way {
    /// From one end to the other.
    pub delay: Duration,
    /// The share of packets that are lost.
    pub loss: f64,
    /// The speed of the narrowest link, and what waits before it at most, in bytes.
    pub link: Option<Link>,
    /// The same by the kernel's token bucket filter, at the ends.
    pub shaped: Option<Link>,
}

#[derive(Clone, Copy, Debug)]
pub struct Link {
    pub bit_per_s: u64,
    pub queue_bytes: u64,
}

/// A network namespace; it ends with its last process when this is dropped.
pub struct Namespace {
    name: String,
    file: File,
}

impl Namespace {
    fn new() -> io::Result<Self> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("onrush-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        ip(&["netns", "add", &name])?;
        let file = File::open(format!("/run/netns/{name}"))?;
        let namespace = Self { name, file };
        ip(&["-n", &namespace.name, "link", "set", "lo", "up"])?;
        Ok(namespace)
    }

    /// Makes a command run in it.
    pub fn enter(&self, command: &mut Command) {
        let file = self.file.try_clone().expect("a descriptor");
        // SAFETY: between fork and exec only this system call is made; it allocates nothing and takes no lock.
        unsafe {
            command.pre_exec(move || Ok(move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Network))?));
        }
    }

    /// Leaves so many local ports to its connections.
    pub fn set_local_ports(&self, first: u16, last: u16) {
        let mut command = Command::new("sh");
        command.args(["-c", "echo \"$0 $1\" >/proc/sys/net/ipv4/ip_local_port_range"]);
        command.args([first.to_string(), last.to_string()]);
        self.enter(&mut command);
        assert!(command.status().expect("a shell").success(), "local ports can be set in a namespace");
    }

    fn tun(&self, address: &str, peer: &str) -> io::Result<(String, File)> {
        // The number is unique on the machine while this process lives.
        let device = self.name.replacen("onrush-", "on", 1);
        let file = open_tun(&device)?;
        let name = &self.name;
        ip(&["link", "set", &device, "netns", name])?;
        ip(&["-n", name, "address", "add", address, "peer", peer, "dev", &device])?;
        ip(&["-n", name, "link", "set", &device, "mtu", &MTU.to_string(), "up"])?;
        Ok((device, file))
    }

    fn shape(&self, device: &str, link: Link) -> io::Result<()> {
        let (rate, limit) = (format!("{}bit", link.bit_per_s), link.queue_bytes.to_string());
        let shape = ["qdisc", "add", "dev", device, "root", "tbf", "rate", &rate, "burst", "16kb", "limit", &limit];
        run("tc", &[&["-n", &self.name][..], &shape].concat())
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        let _ = ip(&["netns", "delete", &self.name]);
    }
}

/// Two namespaces and what lies between them.
pub struct Network {
    pub near: Namespace,
    pub far: Namespace,
    over: Arc<AtomicBool>,
    directions: Vec<JoinHandle<()>>,
}

impl Network {
    /// Needs root, `ip`, and `/dev/net/tun`; `tc` where it is shaped.
    pub fn new(way: Way) -> io::Result<Self> {
        let (near, far) = (Namespace::new()?, Namespace::new()?);
        let (near_device, near_end) = near.tun(NEAR, FAR)?;
        let (far_device, far_end) = far.tun(FAR, NEAR)?;
        if let Some(link) = way.shaped {
            near.shape(&near_device, link)?;
            far.shape(&far_device, link)?;
        }
        let over = Arc::new(AtomicBool::new(false));
        let (to_near, to_far) = (near_end.try_clone()?, far_end.try_clone()?);
        let directions = [(near_end, to_far, 1), (far_end, to_near, 2)].map(|(from, to, seed)| {
            let over = Arc::clone(&over);
            std::thread::spawn(move || Direction::new(way, seed).carry(&from, &to, &over))
        });
        Ok(Self { near, far, over, directions: directions.into() })
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        self.directions.drain(..).for_each(|direction| drop(direction.join()));
    }
}

/// A namespace whose processes reach each other only.
pub fn island() -> io::Result<Namespace> {
    Namespace::new()
}

/// The packets that are on their way in one direction.
struct Direction {
    way: Way,
    random: fastrand::Rng,
    under_way: VecDeque<(Instant, Vec<u8>)>,
    link_free_at: Instant,
}

impl Direction {
    fn new(way: Way, seed: u64) -> Self {
        let random = fastrand::Rng::with_seed(seed);
        Self { way, random, under_way: VecDeque::new(), link_free_at: Instant::now() }
    }

    fn carry(&mut self, mut from: &File, mut to: &File, over: &AtomicBool) {
        let mut packet = [0; MTU];
        while !over.load(Ordering::Relaxed) {
            let now = Instant::now();
            while let Some((_, packet)) = self.under_way.pop_front_if(|(due, _)| *due <= now) {
                // What an end does not take is lost, as on any network.
                let _ = to.write(&packet);
            }
            let next = self.under_way.front().map_or(LOOK_EVERY, |(due, _)| due.saturating_duration_since(now));
            wait_readable(from.as_raw_fd(), next.min(LOOK_EVERY));
            let now = Instant::now();
            while let Ok(length) = from.read(&mut packet) {
                self.take(&packet[..length], now);
            }
        }
    }

    fn take(&mut self, packet: &[u8], now: Instant) {
        if self.random.f64() < self.way.loss || self.under_way.len() >= MAX_PACKETS {
            return;
        }
        let mut out_at = now;
        if let Some(Link { bit_per_s, queue_bytes }) = self.way.link {
            let time_of = |bytes: u64| Duration::from_nanos(bytes * 8 * 1_000_000_000 / bit_per_s);
            let begins = self.link_free_at.max(now);
            if begins - now > time_of(queue_bytes) {
                return;
            }
            self.link_free_at = begins + time_of(packet.len() as u64);
            out_at = self.link_free_at;
        }
        self.under_way.push_back((out_at + self.way.delay, packet.to_vec()));
    }
}

fn wait_readable(descriptor: RawFd, at_most: Duration) {
    let mut asked = libc::pollfd { fd: descriptor, events: libc::POLLIN, revents: 0 };
    let time =
        libc::timespec { tv_sec: at_most.as_secs().try_into().unwrap_or(0), tv_nsec: at_most.subsec_nanos().into() };
    // SAFETY: one pollfd and one timespec, which live until the call has returned; no signal mask.
    unsafe { libc::ppoll(&raw mut asked, 1, &raw const time, std::ptr::null()) };
}

fn open_tun(device: &str) -> io::Result<File> {
    let file = OpenOptions::new().read(true).write(true).custom_flags(libc::O_NONBLOCK).open("/dev/net/tun")?;
    // SAFETY: all zeros is a valid `ifreq`.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    assert!(device.len() < request.ifr_name.len(), "a short name: {device}");
    for (to, from) in request.ifr_name.iter_mut().zip(device.bytes()) {
        *to = from.cast_signed();
    }
    request.ifr_ifru.ifru_flags = (libc::IFF_TUN | libc::IFF_NO_PI) as i16;
    // SAFETY: the kernel reads and writes one `ifreq`, which lives until the call has returned.
    if unsafe { libc::ioctl(file.as_raw_fd(), libc::TUNSETIFF, &raw mut request) } != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(file)
}

fn ip(args: &[&str]) -> io::Result<()> {
    run("ip", args)
}

fn run(program: &str, args: &[&str]) -> io::Result<()> {
    let output = Command::new(program).args(args).output();
    let output = output.map_err(|e| io::Error::new(e.kind(), format!("{program}: {e}")))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(io::Error::other(format!("{program} {}: {}", args.join(" "), said.trim())))
}
