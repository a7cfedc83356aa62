//! The thread that owns the engine: it arms, starts and stops runs, and hands each second's report to the producer.
//!
//! Arming may take seconds, and so may the engine's last answers; the sidecar's heartbeats do not wait for either.

use std::cell::RefCell;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, TryRecvError, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use onrush_bus::Producer;
use onrush_engine::{AmendError, Armed, Cancel, End, Options, Phase, Plan, Running};
use onrush_protocol::Topic;
use onrush_stats::Totals;

use crate::DriverError;
use crate::known::Ticket;
use crate::report::{Clocks, Reporter};

/// How long the runner listens to the engine before it looks for commands.
const LISTEN: Duration = Duration::from_millis(50);

/// What the sidecar asks for.
enum RunnerCommand {
    Arm { ticket: Ticket, plan: Box<Plan>, options: Options, cancel: Cancel },
    Disarm,
    Start { at: Instant, reporter: Box<Reporter> },
    Amend { at_second: u64, phases: Vec<Phase> },
    Stop,
}

/// What the sidecar hears.
#[derive(Debug)]
pub(crate) enum Event {
    /// So many connections are open, or the reason why not.
    Armed { ticket: Ticket, result: Result<u32, String> },
    /// A change of the load takes effect at this second, or the reason why it cannot.
    Amended(Result<u64, String>),
    /// A run is over and its last report is with the producer.
    Ended { end: End, totals: Totals },
    /// The outbox is full: the test is being stopped, and what it still measures may be lost.
    OutboxFull(String),
}

/// The sidecar's end of the runner.
pub(crate) struct Runner {
    commands: Sender<RunnerCommand>,
    events: Receiver<Event>,
    thread: JoinHandle<()>,
    /// Calls off the arming that was asked for last.
    arming: RefCell<Cancel>,
}

impl Runner {
    pub fn start(producer: Arc<Producer>) -> Result<Self, DriverError> {
        let (commands, received) = channel();
        let (events, heard) = channel();
        let run = move || work(&producer, &received, &events);
        let thread = std::thread::Builder::new().name("runner".into()).spawn(run).map_err(DriverError::Thread)?;
        Ok(Self { commands, events: heard, thread, arming: RefCell::default() })
    }

    pub fn arm(&self, ticket: Ticket, plan: Box<Plan>, options: Options) {
        let cancel = Cancel::default();
        self.arming.replace(cancel.clone());
        self.command(RunnerCommand::Arm { ticket, plan, options, cancel });
    }

    /// Closes the connections of what was armed, or calls its arming off.
    pub fn disarm(&self) {
        self.arming.borrow().cancel();
        self.command(RunnerCommand::Disarm);
    }

    pub fn begin(&self, at: Instant, reporter: Reporter) {
        self.command(RunnerCommand::Start { at, reporter: Box::new(reporter) });
    }

    pub fn amend(&self, at_second: u64, phases: Vec<Phase>) {
        self.command(RunnerCommand::Amend { at_second, phases });
    }

    pub fn stop(&self) {
        self.command(RunnerCommand::Stop);
    }

    fn command(&self, command: RunnerCommand) {
        // A runner that is gone is noticed by `event`.
        let _ = self.commands.send(command);
    }

    /// The next event, if there is one.
    pub fn event(&self) -> Result<Option<Event>, DriverError> {
        match self.events.try_recv() {
            Ok(event) => Ok(Some(event)),
            Err(TryRecvError::Empty) => Ok(None),
            Err(TryRecvError::Disconnected) => Err(DriverError::Died("runner")),
        }
    }

    /// Ends the thread; leaves it behind where it is still looking up a name.
    pub fn finish(self, patience: Duration) {
        let Self { commands, events, thread, arming } = self;
        arming.borrow().cancel();
        drop((commands, events));
        let deadline = Instant::now() + patience;
        while !thread.is_finished() && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(5));
        }
        if thread.is_finished() {
            let _ = thread.join();
        }
    }
}

fn work(producer: &Producer, commands: &Receiver<RunnerCommand>, events: &Sender<Event>) {
    let mut armed = None;
    while let Ok(command) = commands.recv() {
        let event = match command {
            RunnerCommand::Arm { ticket, plan, options, cancel } => {
                // The old connections go before the new ones come.
                drop(armed.take());
                let result = Armed::unless_cancelled(*plan, options, &cancel).map_err(|e| e.to_string());
                let result = result.map(|run| armed.insert(run).connections_open());
                Event::Armed { ticket, result }
            }
            RunnerCommand::Disarm => {
                drop(armed.take());
                continue;
            }
            RunnerCommand::Start { at, mut reporter } => match armed.take() {
                Some(run) => {
                    reporter.engine = run.engine();
                    attend(run.start(at), &mut reporter, producer, commands, events)
                }
                None => continue,
            },
            // What it was about has ended by itself.
            RunnerCommand::Stop => continue,
            RunnerCommand::Amend { .. } => Event::Amended(Err(AmendError::Over.to_string())),
        };
        if events.send(event).is_err() {
            return;
        }
    }
}

/// Reports a run's seconds until its end.
fn attend(
    mut running: Running,
    reporter: &mut Reporter,
    producer: &Producer,
    commands: &Receiver<RunnerCommand>,
    events: &Sender<Event>,
) -> Event {
    let stopper = running.stopper();
    let mut told = false;
    loop {
        match commands.try_recv() {
            Ok(RunnerCommand::Stop) | Err(TryRecvError::Disconnected) => stopper.stop(),
            Ok(RunnerCommand::Amend { at_second, phases }) => {
                // A change that comes late is made at the next whole second. A sidecar that is gone needs no telling.
                let made = running.amend_soon(at_second, &phases).map_err(|error| error.to_string());
                let _ = events.send(Event::Amended(made));
            }
            // Nothing else is asked of a running engine.
            Ok(_) | Err(TryRecvError::Empty) => {}
        }
        let Some(second) = running.next_second(LISTEN) else { continue };
        let (end, totals) = (second.end.clone(), second.totals);
        let metrics = reporter.report(second, Clocks::now());
        if let Err(full) = producer.send(Topic::Metrics, reporter.node_id.as_str(), metrics.write()) {
            stopper.stop();
            if !std::mem::replace(&mut told, true) {
                // A sidecar that is gone needs no telling.
                let _ = events.send(Event::OutboxFull(full.to_string()));
            }
        }
        if let Some(end) = end {
            return Event::Ended { end, totals };
        }
    }
}
