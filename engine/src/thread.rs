//! One engine thread: pinned, with a ring of its own, from arming to its last part.

use std::any::Any;
use std::future::Future;
use std::net::IpAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::mpsc::{Sender, SyncSender};
use std::time::Duration;

use onrush_host::cpus::pin_thread;
use onrush_stats::FailureCause;

use crate::arm_error::ArmError;
use crate::clock::Moment;
use crate::connection::Connection;
use crate::control::{Control, RunCommand};
use crate::dial::DialError;
use crate::io::{self, Io};
use crate::line::{Received, receive};
use crate::options::Wait;
use crate::order::Round;
use crate::pacer::{POLL_LEAD, keep_time};
use crate::parts::{FromThread, Outlet};
use crate::plan::Plan;
use crate::schedule::{Lane, Schedule};
use crate::shard::{Setup, Shard};
use crate::target::{Layout, Target};
use crate::turn::Turn;

/// So many connections of a thread are opened at a time.
const OPENED_AT_A_TIME: usize = 256;

/// All that a thread needs to know.
pub(crate) struct EngineThread {
    pub index: usize,
    pub cpu: usize,
    pub wait: Wait,
    pub io: Io,
    /// Where connections come from; empty: wherever the kernel likes.
    pub local_addresses: Arc<[IpAddr]>,
    /// How many threads there are.
    pub threads: usize,
    pub connections: usize,
    pub plan: Arc<Plan>,
    pub layout: Layout,
    pub schedule: Schedule,
    pub control: Arc<Control>,
    pub outlet: Outlet,
    pub parts: SyncSender<FromThread>,
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
        let _ = armed.send(Err(ArmError::Thread { cpu, source: std::io::Error::other(failure.clone()) }));
        let _ = parts.send(FromThread::Failed(failure));
    }

    /// An error is what the run fails with; one before it was armed is told there first.
    fn run_to_end(self) -> Result<(), String> {
        if let Err(source) = pin_thread(&[self.cpu]) {
            return self.refuse(ArmError::Thread { cpu: self.cpu, source });
        }
        let polls = self.wait == Wait::Poll && self.schedule.is_paced();
        let lead = if polls { POLL_LEAD } else { Duration::ZERO };
        // A ring has room for each connection; epoll takes what there is.
        match self.io {
            Io::Epoll => match io::epoll() {
                Ok(mut runtime) => runtime.block_on(self.main(lead)),
                Err(source) => self.refuse(ArmError::Thread { cpu: self.cpu, source }),
            },
            Io::Auto | Io::IoUring => match io::ring(self.connections, polls) {
                Ok(mut runtime) => runtime.block_on(self.main(lead)),
                Err(source) => self.refuse(ArmError::IoUring(source)),
            },
        }
    }

    fn refuse(&self, error: ArmError) -> Result<(), String> {
        let reason = error.to_string();
        let _ = self.armed.send(Err(error));
        Err(reason)
    }

    async fn main(self, lead: Duration) -> Result<(), String> {
        let Self {
            index, cpu, io, threads, connections, plan, layout, schedule, control, outlet, parts, armed, ..
        } = self;
        let (place, places) = match schedule.lane() {
            Lane { index, stride } if schedule.is_paced() => (index as usize, stride as usize),
            _ => (index, threads),
        };
        let setup = Setup {
            connections,
            think_time: plan.think_time,
            round: Round::of_thread(layout.slots.clone(), place, places, schedule.is_paced()),
            schedule,
            servers: layout.of_request.clone(),
            server_count: layout.server_count(),
            breakdown: layout.breakdown(),
            names: layout.name_of_request.clone(),
            outlet,
            control: control.clone(),
            thread: index,
            lead,
        };
        let shard = Rc::new(Shard::new(setup));
        let target = Rc::new(Target::new(&plan, layout, index, connections, io, self.local_addresses));
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

        let fresh = (0..connections).map(|id| Connection::new(id, shard.clone(), target.clone(), receive)).collect();
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
            let _ = parts.send(FromThread::Part(part));
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

/// Opens the connections: the first one must open, and any other that does not is opened when it is needed.
/// Without keep-alive the first one is only tried.
async fn open_all<F: Future<Output = Received> + 'static>(
    mut fresh: Vec<Connection<F>>,
    target: &Target,
    control: &Control,
) -> Result<Vec<Connection<F>>, ArmError> {
    let begun = Moment::now();
    let Some(first) = fresh.first_mut() else { return Ok(fresh) };
    if let Err((server, error)) = first.open().await {
        return Err(cannot_open(target, server, error));
    }
    if !target.keepalive {
        first.close().await;
        return Ok(fresh);
    }
    let mut opened = Vec::with_capacity(fresh.len());
    let mut rest = fresh.split_off(1);
    opened.append(&mut fresh);
    // A target that accepts no more keeps nobody waiting for every single connection's time-out.
    let patience_ends = begun.plus(target.connect_timeout.saturating_mul(2));
    while !rest.is_empty() && control.command() == RunCommand::Go && Moment::now() < patience_ends {
        let later = rest.split_off(rest.len().min(OPENED_AT_A_TIME));
        let opening = rest.into_iter().map(|mut connection| {
            monoio::spawn(async move {
                let failed = connection.open().await.err();
                (connection, failed)
            })
        });
        let opening: Vec<_> = opening.collect();
        for connection in opening {
            let (connection, failed) = connection.await;
            opened.push(connection);
            match failed {
                // There is not going to be one later either.
                Some((server, error)) if error.cause == FailureCause::DescriptorsExhausted => {
                    return Err(cannot_open(target, server, error));
                }
                Some((_, DialError { why, .. })) => {
                    tracing::debug!("a connection is left to be opened when it is needed: {why}");
                }
                None => {}
            }
        }
        rest = later;
    }
    opened.append(&mut rest);
    Ok(opened)
}

fn cannot_open(target: &Target, server: usize, error: DialError) -> ArmError {
    let DialError { source, .. } = error;
    let origin = &target.origins[server];
    match (&origin.tls, source.kind()) {
        (Some((_, name)), std::io::ErrorKind::InvalidData) => {
            ArmError::Tls { host: name.to_str().into_owned(), source }
        }
        _ => ArmError::Connect { address: origin.addresses(), source },
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use super::*;
    use crate::parts::way;
    use crate::plan::tests::plan;
    use crate::recorder::Breakdown;
    use crate::schedule::Course;

    #[test]
    fn a_panic_is_told_and_leaves_nobody_waiting() {
        // A control without timers: the thread's first look at its own panics, inside the ring's runtime.
        let control = Arc::new(Control::new(Vec::new()));
        let plan = Arc::new(plan("http://127.0.0.1:1/"));
        let schedule = Schedule::for_threads(&plan, &Arc::new(Course::of(&plan, 1)), 1).remove(0);
        let (outlet, parts, inlet) = way(control.clone(), Breakdown::default());
        let (armed, arming) = channel();
        let cpu = onrush_host::cpus::allowed().expect("a process may ask for its own CPUs")[0];
        let layout = Layout::new(&plan, |_, _| Ok::<_, ArmError>(Vec::new())).expect("a good plan");
        let (index, wait, io) = (0, Wait::Timer, Io::Auto);
        let (threads, connections) = (1, 1);
        let thread = EngineThread {
            index,
            cpu,
            wait,
            io,
            local_addresses: Arc::new([]),
            threads,
            connections,
            plan,
            layout,
            schedule,
            control,
            outlet,
            parts,
            armed,
        };
        std::thread::spawn(move || thread.run()).join().expect("the thread catches its panic");
        assert!(matches!(arming.try_recv(), Ok(Err(ArmError::Thread { .. }))));
        assert!(matches!(inlet.parts.try_recv(), Ok(FromThread::Failed(reason)) if reason.contains("panicked")));
    }
}
