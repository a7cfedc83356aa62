//! What the driver's tests share: a small HTTP server, and an orchestrator's side of the topics.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use onrush_bus::{Brokers, BusConfig, Consumer, EmbeddedBroker, Producer, Record, Start};
use onrush_driver::{DriverConfig, DriverError};
use onrush_engine::Wait;
use onrush_protocol::{
    Heartbeat, Measured, Metrics, NodeId, NodeState, Register, TestConfig, TestId, TestType, Topic, Trigger,
};

/// Longer than anything takes on a busy machine.
pub const LONG: Duration = Duration::from_secs(60);

/// A runtime folder for this test process, so that it neither finds nor disturbs other nodes.
fn isolated() {
    static DIR: OnceLock<tempfile::TempDir> = OnceLock::new();
    DIR.get_or_init(|| {
        let dir = tempfile::tempdir().unwrap();
        // SAFETY: every test calls this first, and the others wait here meanwhile; nothing else in this process
        // changes the environment.
        unsafe { std::env::set_var("ONRUSH_RUNTIME_DIR", dir.path()) };
        dir
    });
}

/// A server that answers every request with 200 and counts them.
pub struct Server {
    pub address: SocketAddr,
    pub requests: Arc<AtomicU64>,
}

impl Server {
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let requests = Arc::new(AtomicU64::new(0));
        let counter = requests.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let counter = counter.clone();
                std::thread::spawn(move || serve(stream, &counter));
            }
        });
        Self { address, requests }
    }

    pub fn url(&self) -> String {
        format!("http://{}/ping", self.address)
    }

    pub fn count(&self) -> u64 {
        self.requests.load(Relaxed)
    }
}

fn serve(stream: TcpStream, requests: &AtomicU64) {
    stream.set_nodelay(true).unwrap();
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut writer = stream;
    let mut line = String::new();
    while reader.read_line(&mut line).is_ok_and(|n| n > 0) {
        if line == "\r\n" {
            requests.fetch_add(1, Relaxed);
            if writer.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").is_err() {
                return;
            }
        }
        line.clear();
    }
}

type Driver = JoinHandle<Result<(), DriverError>>;

/// One driver, its broker, and the orchestrator's side of the topics.
pub struct Stage {
    pub broker: EmbeddedBroker,
    pub producer: Producer,
    consumer: Consumer,
    /// Everything that came and was not asked for yet.
    seen: Vec<Record>,
    config: DriverConfig,
    stop: Arc<AtomicBool>,
    driver: Option<Driver>,
}

impl Stage {
    /// Starts the driver `node` and waits until it registered.
    pub fn start(target_url: Option<String>) -> Self {
        Self::start_with(target_url, None, Some(Wait::Timer))
    }

    /// The same on chosen CPUs, waiting as chosen or as it chooses.
    pub fn start_with(target_url: Option<String>, cpus: Option<Vec<usize>>, wait: Option<Wait>) -> Self {
        isolated();
        let broker = EmbeddedBroker::start("test.").unwrap();
        let bus = bus_of(&broker);
        let topics = [Topic::Register, Topic::Heartbeat, Topic::Metrics];
        let consumer = Consumer::new(&bus, &topics, |_, _| Start::Now, LONG).unwrap();
        let producer = Producer::new(&bus, 1000).unwrap();
        let config = DriverConfig { cpus, wait, target_url, ..driver_config(&bus, "node") };
        let (stop, driver) = Self::drive(&config);
        let mut stage = Self { broker, producer, consumer, seen: Vec::new(), config, stop, driver: Some(driver) };
        let register = stage.next_register();
        assert_eq!((register.node_id.as_str(), register.node_ip.as_deref()), ("node", Some("127.0.0.1")));
        assert!(register.session_id.is_some() && register.cpus.is_some());
        stage
    }

    fn drive(config: &DriverConfig) -> (Arc<AtomicBool>, Driver) {
        let stop = Arc::new(AtomicBool::new(false));
        let (config, theirs) = (config.clone(), stop.clone());
        (stop, std::thread::spawn(move || onrush_driver::run(config, theirs)))
    }

    /// Ends the driver in good order, and starts another of its name.
    pub fn restart_driver(&mut self) {
        self.say_goodbye();
        let (stop, driver) = Self::drive(&self.config);
        (self.stop, self.driver) = (stop, Some(driver));
        self.next_register();
    }

    /// The first message that `read` takes; what it does not take is kept for others.
    fn next<T>(&mut self, what: &str, mut read: impl FnMut(&Record) -> Option<T>) -> T {
        let deadline = Instant::now() + LONG;
        let mut at = 0;
        loop {
            while at < self.seen.len() {
                if let Some(found) = read(&self.seen[at]) {
                    self.seen.remove(at);
                    return found;
                }
                at += 1;
            }
            assert!(Instant::now() < deadline, "{what} did not come in time");
            self.seen.extend(self.consumer.poll(Duration::from_millis(50)));
        }
    }

    pub fn next_register(&mut self) -> Register {
        self.next("a registration", |r| (r.topic == Topic::Register).then(|| Register::read(&r.payload).unwrap()))
    }

    /// The first heartbeat that satisfies the condition.
    pub fn heartbeat(&mut self, what: &str, condition: impl Fn(&Heartbeat) -> bool) -> Heartbeat {
        self.next(what, |r| {
            let heartbeat = (r.topic == Topic::Heartbeat).then(|| Heartbeat::read(&r.payload).unwrap())?;
            condition(&heartbeat).then_some(heartbeat)
        })
    }

    pub fn armed(&mut self, test: &str) {
        self.heartbeat(&format!("ARMED for {test}"), |h| {
            h.state == Some(NodeState::Armed) && h.test_id.as_ref().is_some_and(|id| id.as_str() == test)
        });
    }

    pub fn running(&mut self, test: &str) {
        self.heartbeat(&format!("RUNNING {test}"), |h| {
            h.state == Some(NodeState::Running) && h.test_id.as_ref().is_some_and(|id| id.as_str() == test)
        });
    }

    pub fn refused(&mut self, test: &str) -> String {
        let refused = |h: &Heartbeat| h.refusal.as_ref().is_some_and(|r| r.test_id.as_str() == test);
        self.heartbeat(&format!("a refusal of {test}"), refused).refusal.unwrap().reason
    }

    /// The reports of a test up to its last one, without repetitions, in the order of their sequence.
    pub fn reports(&mut self, test: &str) -> Vec<Metrics> {
        let mut reports: Vec<Metrics> = Vec::new();
        loop {
            let report = self.next(&format!("a report of {test}"), |r| {
                let report = (r.topic == Topic::Metrics).then(|| Metrics::read(&r.payload).unwrap())?;
                (report.test_id.as_str() == test).then_some(report)
            });
            if reports.iter().all(|known| known.report_id != report.report_id) {
                reports.push(report);
            }
            reports.sort_by_key(|report| measured(report).sequence);
            let last = reports.last().map(measured);
            if last.is_some_and(|last| last.end.is_some() && last.sequence + 1 == reports.len() as u64) {
                return reports;
            }
        }
    }

    pub fn send(&self, topic: Topic, payload: Vec<u8>) {
        self.producer.send(topic, "", payload).unwrap();
    }

    pub fn send_config(&self, config: &TestConfig) {
        self.send(Topic::TestConfig, config.write());
    }

    pub fn trigger(&self, test: &str) {
        self.send(Topic::Trigger, Trigger::start(id(test), None).write());
    }

    pub fn stop_test(&self, test: &str) {
        self.send(Topic::Trigger, Trigger::stop(id(test)).write());
    }

    /// Asks the driver to end, without waiting.
    pub fn ask_to_end(&self) {
        self.stop.store(true, Relaxed);
    }

    /// Ends the driver in good order and hears its goodbye.
    pub fn end(mut self) {
        self.say_goodbye();
    }

    fn say_goodbye(&mut self) {
        self.ask_to_end();
        self.heartbeat("the goodbye", |h| !h.alive);
        self.driver.take().unwrap().join().unwrap().unwrap();
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        self.ask_to_end();
        if let Some(driver) = self.driver.take() {
            let _ = driver.join();
        }
    }
}

/// A driver of that name.
pub fn driver_config(bus: &BusConfig, name: &str) -> DriverConfig {
    DriverConfig {
        io: onrush_engine::Io::Auto,
        local_addresses: Vec::new(),
        bus: bus.clone(),
        node_id: NodeId::new(name).unwrap(),
        node_ip: Some("127.0.0.1".into()),
        cpus: None,
        wait: Some(Wait::Timer),
        target_url: None,
    }
}

/// How the topics of a stage are reached.
pub fn bus_of(broker: &EmbeddedBroker) -> BusConfig {
    let brokers = Brokers { address: broker.address().into(), embedded: true };
    BusConfig { brokers, topic_prefix: "test.".into(), client_id: "test".into(), options: Vec::new() }
}

pub fn id(test: &str) -> TestId {
    TestId::new(test).unwrap()
}

/// A test of so many requests over four connections.
pub fn config(test: &str, count: u64, server: &Server) -> TestConfig {
    let mut config = TestConfig::new(id(test), TestType::Avalanche);
    config.count_per_driver = Some(count);
    config.connections = Some(4);
    config.target_url = Some(server.url());
    config
}

/// The same as Tsunami, so many milliseconds apart.
pub fn tsunami(test: &str, count: u64, delay_ms: u64, server: &Server) -> TestConfig {
    let mut config = config(test, count, server);
    config.test_type = TestType::Tsunami;
    config.delay = Duration::from_millis(delay_ms);
    config
}

pub fn measured(report: &Metrics) -> &Measured {
    report.measured.as_deref().expect("our driver reports everything")
}

/// That the reports of a whole test fit together; how many requests it sent.
pub fn conserved(reports: &[Metrics]) -> u64 {
    let mut sum = onrush_stats::SecondStats::default();
    let first = measured(&reports[0]);
    for (sequence, report) in reports.iter().enumerate() {
        let measured = measured(report);
        assert_eq!((measured.sequence, measured.second_index), (sequence as u64, sequence as u64));
        assert_eq!(report.report_id, Some(format!("node/{}/{sequence}", report.test_id)));
        assert_eq!(measured.started_at_unix_ms, first.started_at_unix_ms);
        assert_eq!(measured.session_id, first.session_id);
        sum.append(&measured.stats);
        assert_eq!(measured.totals, sum.counts.totals(), "of {sequence}");
        assert_eq!(report.latency, onrush_protocol::LatencyMs::of(&sum.latency));
        assert_eq!(measured.end.is_some(), sequence + 1 == reports.len());
    }
    let totals = sum.counts.totals();
    assert_eq!(totals.sent, totals.answered + totals.failed);
    assert_eq!(totals.answered, sum.latency.count());
    totals.sent
}
