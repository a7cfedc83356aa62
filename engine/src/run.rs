//! The life of a run as its owner sees it: arm, start, read seconds, stop.

use std::collections::BTreeSet;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6, ToSocketAddrs, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use onrush_host::limits::{open_descriptors, raise_descriptors};
use onrush_host::scarcity::Scarcity;

use crate::amend_error::AmendError;
use crate::arm_error::ArmError;
use crate::clock::{Moment, SECOND_NS};
use crate::control::{Control, RunCommand};
use crate::io::Io;
use crate::merge::Merger;
use crate::options::{Options, Wait};
use crate::parts::{FromThread, Inlet, way};
use crate::plan::Plan;
use crate::plan_error::PlanError;
use crate::profile::Phase;
use crate::schedule::{Course, Schedule};
use crate::second::{End, SecondReport};
use crate::target::Layout;
use crate::thread::EngineThread;
use crate::timer::Timer;

/// Calls off an arming, from any thread: a target that does not answer may keep one waiting for an hour.
#[derive(Clone, Debug, Default)]
pub struct Cancel(Arc<CancelState>);

#[derive(Debug, Default)]
struct CancelState {
    cancelled: AtomicBool,
    /// The run that is being armed.
    control: Mutex<Option<Arc<Control>>>,
}

impl Cancel {
    /// Calls it off. What is armed already is not touched.
    pub fn cancel(&self) {
        self.0.cancelled.store(true, Ordering::Release);
        if let Some(control) = &*self.control() {
            control.abandon();
        }
    }

    fn is_cancelled(&self) -> bool {
        self.0.cancelled.load(Ordering::Acquire)
    }

    fn watch(&self, control: Option<&Arc<Control>>) {
        *self.control() = control.cloned();
        if let Some(control) = control.filter(|_| self.is_cancelled()) {
            control.abandon();
        }
    }

    fn control(&self) -> std::sync::MutexGuard<'_, Option<Arc<Control>>> {
        // The value is whole whatever became of a thread that held the lock.
        self.0.control.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A run with its threads up and its connections open, waiting for its start. Dropping it closes everything.
pub struct Armed {
    threads: Threads,
    course: Arc<Course>,
    cpus: Vec<usize>,
    connections_open: u32,
    addresses: Arc<[String]>,
    names: Arc<[String]>,
    io: Io,
    wait: Wait,
}

impl Armed {
    /// Checks the plan, starts the threads and opens the connections; blocks until they are open.
    pub fn new(plan: Plan, options: Options) -> Result<Self, ArmError> {
        Self::unless_cancelled(plan, options, &Cancel::default())
    }

    /// The same, until `cancel` calls it off.
    pub fn unless_cancelled(plan: Plan, options: Options, cancel: &Cancel) -> Result<Self, ArmError> {
        plan.validate()?;
        let cpus = usable_cpus(&plan, &options)?;
        let layout = Layout::new(&plan, resolve)?;
        let io = options.io.usable().map_err(ArmError::IoUring)?;
        enough_descriptors(u64::from(plan.connections) * layout.server_count() as u64)?;
        let (addresses, names) = (layout.addresses.clone(), layout.names.clone());
        let local_addresses: Arc<[IpAddr]> = options.local_addresses.into();

        let no_thread = |source| ArmError::Thread { cpu: cpus[0], source };
        let timers = cpus.iter().map(|_| Timer::new()).collect::<io::Result<Vec<_>>>().map_err(no_thread)?;
        let control = Arc::new(Control::new(timers));
        cancel.watch(Some(&control));
        let plan = Arc::new(plan);
        let course = Arc::new(Course::of(&plan, cpus.len() as u64));
        let schedules = Schedule::for_threads(&plan, &course, cpus.len() as u64);
        let mut threads = Threads { control: control.clone(), members: Vec::with_capacity(cpus.len()) };
        let (armed, armings) = channel();
        for (index, (&cpu, schedule)) in cpus.iter().zip(schedules).enumerate() {
            let (outlet, parts, inlet) = way(control.clone(), layout.breakdown());
            let thread = EngineThread {
                index,
                cpu,
                wait: options.wait,
                io,
                local_addresses: local_addresses.clone(),
                threads: cpus.len(),
                connections: share(plan.connections as usize, cpus.len(), index),
                plan: plan.clone(),
                layout: layout.clone(),
                schedule,
                control: control.clone(),
                outlet,
                parts,
                armed: armed.clone(),
            };
            let spawned = std::thread::Builder::new().name(format!("onrush-cpu-{cpu}")).spawn(move || thread.run());
            let handle = spawned.map_err(|source| ArmError::Thread { cpu, source })?;
            threads.members.push(Member { inlet: Some(inlet), handle: Some(handle) });
        }
        drop(armed);

        let mut connections_open = 0;
        for _ in &cpus {
            let died = || ArmError::Thread { cpu: cpus[0], source: io::Error::other("a thread died while arming") };
            let armed = armings.recv().map_err(|_| died())?;
            connections_open +=
                armed.map_err(|error| if cancel.is_cancelled() { ArmError::Cancelled } else { error })?;
        }
        cancel.watch(None);
        if cancel.is_cancelled() {
            return Err(ArmError::Cancelled);
        }
        Ok(Self { threads, course, cpus, connections_open, addresses, names, io, wait: options.wait })
    }

    /// How the threads reach the network.
    pub fn io(&self) -> Io {
        self.io
    }

    /// What results say of how they were made: `io_uring, timer`.
    pub fn engine(&self) -> String {
        format!("{}, {}", self.io.name(), self.wait.name())
    }

    /// Connections that are open.
    pub fn connections_open(&self) -> u32 {
        self.connections_open
    }

    /// Starts at the given moment (at once, when it has passed): the zero of the schedule and of all seconds.
    pub fn start(self, at: Instant) -> Running {
        let start = Moment::from_instant(at).max(Moment::now());
        self.threads.control.start(start);
        let merger = Merger::new(self.threads.members.len(), start, self.addresses, self.names);
        Running { merger, course: self.course, threads: self.threads, scarcity: Scarcity::new(self.cpus) }
    }
}

/// A run under way. Dropping it stops it and waits for its threads.
pub struct Running {
    threads: Threads,
    course: Arc<Course>,
    merger: Merger,
    /// What others took of this process's CPU time.
    scarcity: Scarcity,
}

impl Running {
    /// The next second, merged over the threads, in order and without a gap, empty seconds included; waits at
    /// most `timeout`. `None`: nothing yet, or the last second was handed out before.
    pub fn next_second(&mut self, timeout: Duration) -> Option<SecondReport> {
        let deadline = Instant::now().checked_add(timeout);
        while let Some(index) = self.merger.missing() {
            let left = deadline.map_or(Duration::MAX, |deadline| deadline.saturating_duration_since(Instant::now()));
            let received = match &self.threads.members[index].inlet {
                Some(inlet) => inlet.parts.recv_timeout(left),
                None => Err(RecvTimeoutError::Disconnected),
            };
            let failure = match received {
                Ok(FromThread::Part(part)) => {
                    self.merger.put(index, part);
                    continue;
                }
                Ok(FromThread::Failed(reason)) => reason,
                Err(RecvTimeoutError::Timeout) => return None,
                Err(RecvTimeoutError::Disconnected) => "an engine thread ended without a word".into(),
            };
            // A run that is not whole is not worth going on with.
            self.threads.control.fail(failure.clone());
            self.merger.fail(index, failure);
        }
        let members = &self.threads.members;
        let mut report = self.merger.take(|index, record| {
            // A thread that is gone wants nothing back.
            let _ = members[index].inlet.as_ref().map(|inlet| inlet.recycle.try_send(record));
        })?;
        let counts = &mut report.stats.counts;
        (counts.stolen_ns, counts.throttled_ns) = self.scarcity.since_last();
        if let (Some(end), Some(reason)) = (&mut report.end, self.threads.control.failure()) {
            *end = End::Failed(reason);
        }
        Some(report)
    }

    /// Replaces what is asked for from a whole second of the run on: the phases follow one another from there, and the run ends
    /// with the last of them (or with its count). Nothing before that second changes, and slots are numbered on. A change of a
    /// second that has not begun may itself be changed, by one that takes effect at it or before.
    ///
    /// Works for every plan: a target throughput or a delay is a profile of one phase, and an Avalanche without a rate one of free
    /// time. From that second on, a second sends at most what it has slots for.
    pub fn amend(&self, at_second: u64, phases: &[Phase]) -> Result<(), AmendError> {
        let control = &self.threads.control;
        if control.command() != RunCommand::Go {
            return Err(AmendError::Over);
        }
        let now_second = control.start_at().map_or(0, |start| Moment::now().since_ns(start) / SECOND_NS);
        self.course.amend(now_second, at_second, phases)?;
        control.tell();
        Ok(())
    }

    /// The same at that second, or at the next one that can still be changed; which one it is.
    pub fn amend_soon(&self, at_second: u64, phases: &[Phase]) -> Result<u64, AmendError> {
        /// The next second may begin meanwhile.
        const TRIES: usize = 3;
        let mut at_second = at_second;
        for _ in 1..TRIES {
            match self.amend(at_second, phases) {
                Err(AmendError::Begun { first_second, .. }) => at_second = first_second,
                done => return done.map(|()| at_second),
            }
        }
        self.amend(at_second, phases).map(|()| at_second)
    }

    /// A handle for stopping from anywhere.
    pub fn stopper(&self) -> Stopper {
        Stopper(self.threads.control.clone())
    }
}

/// Stops a run: nothing more is sent, and what is on its way has a moment to arrive.
#[derive(Clone)]
pub struct Stopper(Arc<Control>);

impl Stopper {
    /// Stops. Stopping twice is stopping once.
    pub fn stop(&self) {
        self.0.stop();
    }
}

/// The engine threads. Dropping them abandons the run and waits for them.
struct Threads {
    control: Arc<Control>,
    members: Vec<Member>,
}

struct Member {
    inlet: Option<Inlet>,
    handle: Option<JoinHandle<()>>,
}

impl Drop for Threads {
    fn drop(&mut self) {
        self.control.abandon();
        for member in &mut self.members {
            // A thread that waits to hand over its last part must not wait any longer.
            member.inlet = None;
            // It catches its own panics and has told its owner.
            let _ = member.handle.take().map(JoinHandle::join);
        }
    }
}

fn usable_cpus(plan: &Plan, options: &Options) -> Result<Vec<usize>, PlanError> {
    if options.cpus.is_empty() {
        return Err(PlanError::new("cpus", "no CPU to run on; give at least one"));
    }
    Ok(options.cpus.iter().copied().take(plan.connections as usize).collect())
}

/// How many of `all` fall to the member at `index`.
fn share(all: usize, members: usize, index: usize) -> usize {
    all / members + usize::from(index < all % members)
}

/// All addresses of a name, each once, in the resolver's order.
fn resolve(host: &str, port: u16) -> Result<Vec<SocketAddr>, ArmError> {
    let failed = |source| ArmError::Resolve { host: host.to_owned(), source };
    let mut seen = BTreeSet::new();
    if let Some((address, zone)) = host.split_once('%') {
        let address = address.parse().map_err(|_| failed(io::Error::other("only an IPv6 address has a zone")))?;
        let scope =
            scope_of(zone).map_err(|error| failed(io::Error::new(error.kind(), format!("zone {zone}: {error}"))))?;
        return Ok(vec![SocketAddrV6::new(address, port, 0, scope).into()]);
    }
    let mut addresses: Vec<_> = (host, port).to_socket_addrs().map_err(failed)?.collect();
    addresses.retain(|address| seen.insert(*address));
    if addresses.is_empty() {
        return Err(failed(io::Error::new(io::ErrorKind::NotFound, "the name has no address")));
    }
    Ok(addresses)
}

/// The number of an interface, by its name or as it is (RFC 4007 11). The system's resolver knows zones of link-local
/// addresses alone.
fn scope_of(zone: &str) -> io::Result<u32> {
    if let Ok(number) = zone.parse() {
        return Ok(number);
    }
    let any = UdpSocket::bind((Ipv6Addr::UNSPECIFIED, 0)).or_else(|_| UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)))?;
    Ok(rustix::net::netdevice::name_to_index(&any, zone)?)
}

/// Raises the limit of open files to what the hard limit allows, and says whether so many connections find room beside
/// what is open and what this process needs besides: its timers and rings, and a broker that may come back.
fn enough_descriptors(connections: u64) -> Result<(), ArmError> {
    const RESERVED: u64 = 64;
    let needed = connections + open_descriptors().unwrap_or(0) + RESERVED;
    match raise_descriptors() {
        Some(limit) if needed > limit => Err(ArmError::Descriptors { connections, needed, limit }),
        _ => Ok(()),
    }
}
