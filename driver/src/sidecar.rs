//! The thread that talks to Kafka: it feeds messages and the runner's events to the node and does what the node says.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

use onrush_bus::{BrokerWatch, BusConfig, BusError, Consumer, Producer, Record, Start, ensure_topics};
use onrush_engine::{Options, Wait};
use onrush_host::{Usage, cpus};
use onrush_protocol::{
    ErrorKind, Heartbeat, NodeState, ReadError, Refusal, Register, SessionId, TestConfig, TestId, Topic, Trigger,
};

use crate::machine::Machine;
use crate::moment::MAX_LATE;
use crate::namesake::Namesakes;
use crate::node::{Action, Node};
use crate::report::{Clocks, Reporter};
use crate::runner::{Event, Runner};
use crate::{DriverConfig, DriverError};

/// Messages that may wait for the broker: the reports of more than a day.
const MAX_WAITING: usize = 100_000;
const HEARTBEAT: Duration = Duration::from_secs(1);
/// How long one turn of the loop waits for a message; events of the runner wait as long at most.
const LISTEN: Duration = Duration::from_millis(50);
/// One attempt to reach the broker at the start.
const ATTEMPT: Duration = Duration::from_secs(1);
/// Between two lines in the log about a broker that is away at the start.
const SAY_AGAIN: Duration = Duration::from_secs(5);
/// A turn that takes longer than this: the process, or the machine, stood still.
const STANDSTILL: Duration = Duration::from_secs(3);
/// How long the last answers of a stopped test may take.
const WIND_DOWN: Duration = Duration::from_secs(15);
/// How long the last reports may take.
const DELIVER: Duration = Duration::from_secs(10);

pub(crate) fn run(config: DriverConfig, machine: Machine, stop: &AtomicBool) -> Result<(), DriverError> {
    // First of all: Kafka's threads inherit it.
    machine.leave_engine_cpus();
    let Some(consumer) = join_topics(&config.bus, stop)? else { return Ok(()) };
    let mut sidecar = Sidecar::new(config, machine, consumer, stop)?;
    sidecar.register();
    let mut ended = Ok(());
    while ended.is_ok() && !stop.load(Relaxed) {
        ended = sidecar.turn();
    }
    if let Err(error @ DriverError::Died(_)) = ended {
        return Err(error);
    }
    sidecar.say_goodbye().and(ended)
}

/// Waits for the broker, creates the topics and subscribes. `None`: told to stop meanwhile.
fn join_topics(bus: &BusConfig, stop: &AtomicBool) -> Result<Option<Consumer>, DriverError> {
    let mut said = None::<Instant>;
    while !stop.load(Relaxed) {
        let joined = ensure_topics(bus, ATTEMPT).and_then(|()| {
            // Before this driver is known: what is sent to it as soon as it is known must not be missed.
            Consumer::new(bus, &[Topic::TestConfig, Topic::Trigger], |_, _| Start::Now, ATTEMPT)
        });
        match joined {
            Ok(consumer) => return Ok(Some(consumer)),
            Err(error @ (BusError::Unreachable { .. } | BusError::Topic { .. })) => {
                if said.is_none_or(|at| at.elapsed() >= SAY_AGAIN) {
                    tracing::warn!("waiting for the broker: {error}");
                    said = Some(Instant::now());
                }
                std::thread::sleep(Duration::from_millis(100));
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(None)
}

/// What a driver does, with which test, and what it refused last.
type Standing = (NodeState, Option<TestId>, Option<Refusal>, Vec<Option<u64>>);

struct Sidecar {
    config: DriverConfig,
    machine: Machine,
    session_id: SessionId,
    node: Node,
    runner: Runner,
    producer: Arc<Producer>,
    consumer: Consumer,
    watch: BrokerWatch,
    namesakes: Namesakes,
    /// The unbroken time of the broker that we registered in.
    registered_in: Option<Instant>,
    /// Whether the log says so already.
    announced: bool,
    next_heartbeat: Instant,
    last_turn: Instant,
    /// When the engine starts what it was told to start.
    starts_at: Option<Instant>,
    /// What the last heartbeat said.
    said: Option<Standing>,
    messages_skipped: u64,
    kinds_said: HashSet<(Topic, ErrorKind)>,
}

impl Sidecar {
    fn new(config: DriverConfig, machine: Machine, consumer: Consumer, stop: &AtomicBool) -> Result<Self, DriverError> {
        let session_id = SessionId::new(format!("{:016x}", fastrand::u64(..))).expect("hexadecimal digits are a name");
        let namesakes = Namesakes::look(&config.bus, &config.node_id, &session_id, || !stop.load(Relaxed))
            .map_err(|session| DriverError::NameTaken { node_id: config.node_id.clone(), session })?;
        let producer = Arc::new(Producer::new(&config.bus, MAX_WAITING)?);
        Ok(Self {
            node: Node::new(config.node_id.clone(), session_id.clone(), config.target_url.clone()),
            runner: Runner::start(producer.clone())?,
            watch: BrokerWatch::start(&config.bus)?,
            namesakes,
            producer,
            consumer,
            session_id,
            config,
            machine,
            registered_in: None,
            announced: false,
            next_heartbeat: Instant::now(),
            last_turn: Instant::now(),
            starts_at: None,
            said: None,
            messages_skipped: 0,
            kinds_said: HashSet::new(),
        })
    }

    /// One turn of the loop.
    fn turn(&mut self) -> Result<(), DriverError> {
        if let Some(record) = self.consumer.poll(LISTEN) {
            self.read(&record);
        }
        while let Some(event) = self.runner.event()? {
            self.hear(event);
        }
        let now = Instant::now();
        self.notice_standstill(now);
        self.node.tick(now);
        self.namesakes.listen(Duration::ZERO).map_err(|session| {
            let node_id = self.config.node_id.clone();
            DriverError::NameTaken { node_id, session }
        })?;
        // Who waits for this driver to be armed, or free, learns it now and not in a second.
        let changed = self.said.as_ref() != Some(&self.standing());
        if changed || now >= self.next_heartbeat {
            self.heartbeat(true);
        }
        if now >= self.next_heartbeat {
            // A heartbeat that is late does not make the others late or many.
            self.next_heartbeat = (self.next_heartbeat + HEARTBEAT).max(now);
        }
        self.follow_broker();
        Ok(())
    }

    /// What to do when this driver stood still: another may have its name, and a start may have been missed.
    fn notice_standstill(&mut self, now: Instant) {
        let last_turn = std::mem::replace(&mut self.last_turn, now);
        let stood_still = now.saturating_duration_since(last_turn);
        if stood_still > STANDSTILL {
            tracing::warn!("this driver stood still for {} s", stood_still.as_secs());
            self.namesakes.listen_again(&self.config.bus);
        }
        let Some(at) = self.starts_at.take_if(|at| now >= *at) else { return };
        let late = now.saturating_duration_since(at);
        if last_turn < at && late > MAX_LATE {
            tracing::error!("the test is stopped: its start moment passed {} s ago, unnoticed", late.as_secs());
            self.runner.stop();
        }
    }

    /// Registers again when the broker was away: it, or who listened to it, may have forgotten us.
    fn follow_broker(&mut self) {
        let since = self.watch.reachable_since();
        match (since, self.registered_in) {
            (Some(_), None) => self.registered_in = since,
            (Some(now), Some(then)) if now != then => {
                self.registered_in = since;
                tracing::info!("registering again at the broker {}", self.watch.address());
                self.register();
            }
            _ => {}
        }
        if !self.announced && self.producer.waiting() == 0 {
            self.announced = true;
            let (node, broker) = (&self.config.node_id, self.watch.address());
            tracing::info!("announced as {node} at the broker {broker}; the orchestrator says whether it takes part");
        }
    }

    fn register(&self) {
        let hostname = std::fs::read_to_string("/proc/sys/kernel/hostname").ok();
        let register = Register {
            node_id: self.config.node_id.clone(),
            node_ip: self.config.node_ip.clone(),
            session_id: Some(self.session_id.clone()),
            hostname: hostname.map(|name| name.trim().to_owned()).filter(|name| !name.is_empty()),
            version: Some(env!("CARGO_PKG_VERSION").into()),
            cpus: Some(cpus::format_list(self.machine.engine_cpus())),
        };
        self.send(Topic::Register, register.write());
    }

    /// What a change of is worth a heartbeat of its own.
    fn standing(&self) -> Standing {
        let (state, test_id) = self.node.state();
        (state, test_id.cloned(), self.node.refusal().cloned(), self.node.amended_at().to_vec())
    }

    fn heartbeat(&mut self, alive: bool) {
        let standing = self.standing();
        self.said = Some(standing.clone());
        let (state, test_id, refusal, amended_at) = standing;
        let waiting = self.producer.waiting();
        // While the broker is away heartbeats would only pile up, to be delivered when they are no longer true.
        if alive && waiting > 0 && self.watch.reachable_since().is_none() {
            return;
        }
        let usage = Usage::read();
        let heartbeat = Heartbeat {
            node_id: self.config.node_id.clone(),
            alive,
            timestamp_unix_ms: Some(Clocks::now().unix_ms),
            session_id: Some(self.session_id.clone()),
            state: Some(state),
            test_id,
            share: self.node.share(),
            amended_at,
            refusal,
            reports_waiting: Some(waiting as u64),
            messages_skipped: Some(self.messages_skipped),
            cpu_s: Some(usage.cpu_s),
            memory_bytes: usage.resident_bytes,
        };
        self.send(Topic::Heartbeat, heartbeat.write());
    }

    fn send(&self, topic: Topic, payload: Vec<u8>) {
        if let Err(error) = self.producer.send(topic, self.config.node_id.as_str(), payload) {
            tracing::debug!("{} not sent: {error}", topic.name());
        }
    }

    fn read(&mut self, record: &Record) {
        let now = Instant::now();
        let read = match record.topic {
            Topic::TestConfig => TestConfig::read(&record.payload).map(|config| self.node.config(config, now)),
            Topic::Trigger => Trigger::read(&record.payload).map(|trigger| {
                let clocks = Clocks::now();
                self.node.trigger(&trigger, clocks, self.age(record, clocks))
            }),
            // Not subscribed.
            Topic::Register | Topic::Metrics | Topic::Heartbeat => return,
        };
        let actions = match read {
            Ok(actions) => actions,
            Err(error) => self.skip(record, error),
        };
        self.act(actions);
    }

    /// How long ago a message may have been sent. No longer than since everything that had been sent was read; where
    /// that is long (this driver stood still, or could not reach the broker), its sender's clock decides.
    fn age(&self, record: &Record, clocks: Clocks) -> Duration {
        let at_most = clocks.monotonic.saturating_duration_since(self.consumer.current_as_of());
        let by_clock_ms = record.timestamp_unix_ms.map_or(0.0, |sent| clocks.unix_ms - sent as f64);
        Duration::try_from_secs_f64(by_clock_ms / 1e3).unwrap_or_default().min(at_most)
    }

    /// A message that cannot be read is counted, said once per kind and skipped.
    fn skip(&mut self, record: &Record, error: ReadError) -> Vec<Action> {
        self.messages_skipped += 1;
        if self.kinds_said.insert((record.topic, error.kind)) {
            let Record { partition, offset, .. } = record;
            let topic = record.topic.name();
            tracing::warn!(
                topic,
                partition,
                offset,
                "a message cannot be read and is skipped, as the next of its kind: {error}"
            );
        }
        match error.test_id.clone() {
            Some(test_id) if record.topic == Topic::TestConfig => {
                self.node.unreadable_config(test_id, error.to_string())
            }
            _ => Vec::new(),
        }
    }

    fn hear(&mut self, event: Event) {
        let actions = match event {
            Event::Armed { ticket, result } => {
                if let Ok(connections) = result {
                    tracing::info!("armed for test {}: {connections} connections are open", ticket.test_id);
                }
                self.node.armed(&ticket, result.map(|_| ()), Instant::now())
            }
            Event::Amended(taken) => {
                match &taken {
                    Ok(second) => tracing::info!("the load changes at second {second} of the run"),
                    Err(problem) => tracing::warn!("the load cannot be changed: {problem}"),
                }
                self.node.amended(taken.ok());
                Vec::new()
            }
            Event::Ended { end, totals } => {
                let test = self.node.state().1.map(ToString::to_string).unwrap_or_default();
                tracing::info!(
                    "test {test} ended ({end:?}): {} sent, {} answered, {} failed, {} skipped",
                    totals.sent,
                    totals.answered,
                    totals.failed,
                    totals.skipped
                );
                self.node.ended(Instant::now())
            }
            Event::OutboxFull(reason) => {
                tracing::error!("the test is stopped, its reports can no longer be kept: {reason}");
                Vec::new()
            }
        };
        self.act(actions);
    }

    fn act(&mut self, actions: Vec<Action>) {
        for action in actions {
            match action {
                Action::Arm { ticket, plan } => {
                    let wait = self.choose_wait();
                    let cpus = self.machine.engine_cpus().to_vec();
                    let (test, connections) = (&ticket.test_id, plan.connections);
                    let target = plan.requests[0].server.authority();
                    let more = match plan.requests.len() {
                        1 => String::new(),
                        n => format!(" and {} requests more", n - 1),
                    };
                    tracing::info!("arming for test {test}: {connections} connections to {target}{more}");
                    self.runner.arm(
                        ticket,
                        plan,
                        Options {
                            cpus,
                            wait,
                            io: self.config.io,
                            local_addresses: self.config.local_addresses.clone(),
                        },
                    );
                }
                Action::Disarm => self.runner.disarm(),
                Action::Start { test_id, at } => {
                    let now = Instant::now();
                    match at.checked_duration_since(now).filter(|ahead| !ahead.is_zero()) {
                        Some(ahead) => tracing::info!("test {test_id} starts in {} ms", ahead.as_millis()),
                        None => tracing::info!(
                            "test {test_id} starts at once: its start moment was {} ms ago",
                            now.saturating_duration_since(at).as_millis()
                        ),
                    }
                    self.starts_at = Some(at);
                    let at = at.max(now);
                    let (node_id, session_id) = (self.config.node_id.clone(), self.session_id.clone());
                    self.runner.begin(at, Reporter::new(node_id, session_id, test_id));
                }
                Action::Amend { at_second, phases } => self.runner.amend(at_second, phases),
                Action::Stop => self.runner.stop(),
                Action::Refused(refusal) => tracing::warn!("test {} is refused: {}", refusal.test_id, refusal.reason),
            }
        }
    }

    fn choose_wait(&self) -> Wait {
        let (wait, why) = match self.config.wait {
            Some(wait) => (wait, "as asked for".to_owned()),
            None => self.machine.choose_wait(),
        };
        let cpus = cpus::format_list(self.machine.engine_cpus());
        let how = match wait {
            Wait::Poll => "polls",
            Wait::Timer => "sleeps on a timer",
        };
        tracing::info!("the engine has the CPUs {cpus} and {how} between requests: {why}");
        wait
    }

    /// Stops the test, delivers what was measured and says that this driver is gone.
    fn say_goodbye(mut self) -> Result<(), DriverError> {
        let actions = self.node.shut_down(Instant::now());
        self.act(actions);
        let deadline = Instant::now() + WIND_DOWN;
        while !self.node.is_free() && Instant::now() < deadline {
            self.turn()?;
        }
        let deadline = Instant::now() + DELIVER;
        // Reports first, so that nobody takes this driver for gone while they are on their way.
        self.producer.flush(DELIVER.mul_f64(0.8));
        self.heartbeat(false);
        if !self.producer.flush(deadline.saturating_duration_since(Instant::now())) {
            let waiting = self.producer.waiting();
            tracing::error!("{waiting} messages are lost: the broker did not take them before this driver ended");
        }
        self.runner.finish(Duration::from_secs(1));
        Ok(())
    }
}
