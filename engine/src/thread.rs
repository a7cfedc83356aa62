//! One engine thread: pinned, with a ring of its own, from arming to its last part.

use std::any::Any;
use std::io;
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::mpsc::{Sender, SyncSender};
use std::time::Duration;

use monoio::{IoUringDriver, Runtime, RuntimeBuilder};
use rustix::thread::{CpuSet, sched_setaffinity};

use crate::clock::Moment;
use crate::connection::Connection;
use crate::control::{Command, Control};
use crate::pacer::{POLL_LEAD, keep_time};
use crate::parts::{Message, Outlet};
use crate::plan::Plan;
use crate::run::{ArmError, Wait};
use crate::schedule::Schedule;
use crate::shard::Shard;
use crate::target::Target;
use crate::turn::Turn;

/// So many connections of a thread are opened at a time.
const OPENED_AT_A_TIME: usize = 256;
/// Entries of the submission queue: one for each connection, within these bounds.
const RING_ENTRIES: std::ops::RangeInclusive<u32> = 1024..=4096;

/// All that a thread needs to know.
pub(crate) struct EngineThread {
    pub index: usize,
    pub cpu: usize,
    pub wait: Wait,
    pub connections: usize,
    pub plan: Arc<Plan>,
    pub addresses: Vec<SocketAddr>,
    pub schedule: Schedule,
    pub control: Arc<Control>,
    pub outlet: Outlet,
    pub parts: SyncSender<Message>,
    /// Where it says how many connections are open, or what went wrong.
    pub armed: Sender<Result<u32, ArmError>>,
}

impl EngineThread {
    /// Runs the thread. Whatever becomes of it, the owner is told.
    pub fn run(self) {
        let (cpu, parts, armed) = (self.cpu, self.parts.clone(), self.armed.clone());
        // Tasks that a panic leaves in the ring keep their ends of the channels: nobody would notice by those.
        let ran = catch_unwind(AssertUnwindSafe(|| self.run_to_end()));
        let failure = match ran {
            Ok(Ok(())) => return,
            Ok(Err(reason)) => reason,
            Err(panic) => format!("the engine thread on CPU {cpu} panicked: {}", panic_message(panic.as_ref())),
        };
        // An owner that is gone, or past arming, does not want to know.
        let _ = armed.send(Err(ArmError::Thread { cpu, source: io::Error::other(failure.clone()) }));
        let _ = parts.send(Message::Failed(failure));
    }

    /// An error is what the run fails with; one before it was armed is told there first.
    fn run_to_end(self) -> Result<(), String> {
        if let Err(source) = pin_to(self.cpu) {
            return self.refuse(ArmError::Thread { cpu: self.cpu, source });
        }
        let polls = self.wait == Wait::Poll && self.schedule.is_paced();
        match ring(self.connections, polls) {
            Ok(mut runtime) => runtime.block_on(self.main(if polls { POLL_LEAD } else { Duration::ZERO })),
            Err(source) => self.refuse(ArmError::IoUring(source)),
        }
    }

    fn refuse(&self, error: ArmError) -> Result<(), String> {
        let reason = error.to_string();
        let _ = self.armed.send(Err(error));
        Err(reason)
    }

    async fn main(self, lead: Duration) -> Result<(), String> {
        let Self { index, cpu, connections, plan, addresses, schedule, control, outlet, parts, armed, .. } = self;
        let shard = Rc::new(Shard::new(connections, schedule, outlet, control.clone(), index, lead));
        let target = Rc::new(Target::new(&plan, addresses));
        let bell = match control.timer(index).bell() {
            Ok(bell) => bell,
            Err(source) => {
                let _ = armed.send(Err(ArmError::Thread { cpu, source }));
                return Err("no descriptor was free for a timer".into());
            }
        };

        let turn = Rc::new(Turn::default());
        let echo = monoio::spawn({
            let turn = turn.clone();
            async move { turn.echo().await }
        });
        let pacer = monoio::spawn({
            let (shard, control, turn) = (shard.clone(), control.clone(), turn.clone());
            async move { keep_time(shard, &control, index, bell, &turn, lead).await }
        });

        let fresh = (0..connections).map(|id| Connection::new(id, shard.clone(), target.clone())).collect();
        let mut tasks = Vec::with_capacity(connections);
        match open_all(fresh, &target, &control).await {
            Ok(opened) => {
                let open = opened.iter().filter(|connection| connection.is_open()).count();
                tasks.extend(opened.into_iter().map(|connection| monoio::spawn(connection.serve())));
                let _ = armed.send(Ok(u32::try_from(open).unwrap_or(u32::MAX)));
            }
            Err(error) => {
                let _ = armed.send(Err(error));
                control.abandon();
            }
        }
        // Whoever waits for the numbers need not wait for connections to be closed.
        let kept_time = pacer.await;
        if let Some(part) = shard.last_part() {
            let _ = parts.send(Message::Part(part));
        }
        kept_time.map_err(|error| format!("the timer of the thread on CPU {cpu} failed: {error}"))?;
        // Nothing may be left behind in the ring.
        for task in tasks {
            task.await;
        }
        turn.close();
        echo.await;
        Ok(())
    }
}

fn panic_message(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no message")
}

fn pin_to(cpu: usize) -> io::Result<()> {
    if cpu >= CpuSet::MAX_CPU {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "there is no such CPU"));
    }
    let mut cpus = CpuSet::new();
    cpus.set(cpu);
    Ok(sched_setaffinity(None, &cpus)?)
}

fn ring(connections: usize, polls: bool) -> io::Result<Runtime<IoUringDriver>> {
    let wanted = u32::try_from(connections).unwrap_or(u32::MAX).clamp(*RING_ENTRIES.start(), *RING_ENTRIES.end());
    let build = |builder: io_uring::Builder| {
        RuntimeBuilder::<IoUringDriver>::new().with_entries(wanted.next_power_of_two()).uring_builder(builder).build()
    };
    // With DEFER_TASKRUN completions come only to a thread that waits for them, which one that polls does not.
    let plain = io_uring::IoUring::builder;
    let mut waiting = plain();
    waiting.setup_single_issuer().setup_defer_taskrun();
    let built = if polls { build(plain()) } else { build(waiting).or_else(|_| build(plain())) };
    built.map_err(|error| match error.kind() {
        io::ErrorKind::PermissionDenied | io::ErrorKind::Unsupported => io::Error::new(
            error.kind(),
            format!(
                "{error}; the kernel must be 5.11 or later with kernel.io_uring_disabled = 0, and in a container \
                 the seccomp profile must allow io_uring_setup, io_uring_enter and io_uring_register"
            ),
        ),
        _ => error,
    })
}

/// Opens the connections: the first one must open, and any other that does not is opened when it is needed.
/// Without keep-alive the first one is only tried.
async fn open_all(mut fresh: Vec<Connection>, target: &Target, control: &Control) -> Result<Vec<Connection>, ArmError> {
    let begun = Moment::now();
    let first = fresh.first_mut().expect("a thread has at least one connection");
    if let Err(source) = first.open().await {
        let address = target.addresses.iter().map(SocketAddr::to_string).collect::<Vec<_>>().join(", ");
        return Err(ArmError::Connect { address, source });
    }
    if !target.keepalive {
        first.close();
        return Ok(fresh);
    }
    let mut opened = Vec::with_capacity(fresh.len());
    let mut rest = fresh.split_off(1);
    opened.append(&mut fresh);
    // A target that accepts no more keeps nobody waiting for every single connection's time-out.
    let patience_ends = begun.plus(target.connect_timeout.saturating_mul(2));
    while !rest.is_empty() && control.command() == Command::Go && Moment::now() < patience_ends {
        let later = rest.split_off(rest.len().min(OPENED_AT_A_TIME));
        let opening = rest.into_iter().map(|mut connection| {
            monoio::spawn(async move {
                if let Err(error) = connection.open().await {
                    tracing::debug!(%error, "a connection is left to be opened when it is needed");
                }
                connection
            })
        });
        let opening: Vec<_> = opening.collect();
        for connection in opening {
            opened.push(connection.await);
        }
        rest = later;
    }
    opened.append(&mut rest);
    Ok(opened)
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use super::*;
    use crate::parts::way;
    use crate::plan::tests::plan;

    #[test]
    fn a_panic_is_told_and_leaves_nobody_waiting() {
        // A control without timers: the thread's first look at its own panics, inside the ring's runtime.
        let control = Arc::new(Control::new(Vec::new()));
        let plan = Arc::new(plan("http://127.0.0.1:1/"));
        let schedule = Schedule::for_threads(&plan, 1).remove(0);
        let (outlet, parts, inlet) = way(control.clone());
        let (armed, arming) = channel();
        let cpus = rustix::thread::sched_getaffinity(None).expect("a process may ask for its own CPUs");
        let cpu = (0..CpuSet::MAX_CPU).find(|cpu| cpus.is_set(*cpu)).expect("this thread runs somewhere");
        let (index, wait, addresses) = (0, Wait::Timer, Vec::new());
        let thread =
            EngineThread { index, cpu, wait, connections: 1, plan, addresses, schedule, control, outlet, parts, armed };
        std::thread::spawn(move || thread.run()).join().expect("the thread catches its panic");
        assert!(matches!(arming.try_recv(), Ok(Err(ArmError::Thread { .. }))));
        assert!(matches!(inlet.parts.try_recv(), Ok(Message::Failed(reason)) if reason.contains("panicked")));
    }
}
