//! How fresh `/metrics` and the live stream are, and what the orchestrator costs, with simulated drivers.
//!
//! `cargo build --release && cargo run --release -p onrush-orchestrator --example observability -- [--seconds S] [N…]`
//!
//! For each N: a broker in this process, N drivers made of nothing but messages (a heartbeat and a report of 1,000
//! requests a second each), and a real `onrush orchestrator` process beside. Two halves of S seconds each:
//! 1. freshness: all reports of a second but one go out, then the last one; from the moment in which it is given to the
//!    producer, the time until the second is on the stream and at `/metrics` (asked every 5 ms) is taken;
//! 2. cost: heartbeats and reports spread over their second, one scrape a second and one reader of the stream; CPU and
//!    memory of the process are read from `/proc`. The orchestrator must have taken N reports in each second: one that
//!    fell behind would seem cheap.
//!
//! Prints a table; each line of `observability.jsonl` (in the working folder) is one row of it. The cost per report
//! holds everything that the process did meanwhile, the scrapes and its idling included: with few drivers it is mostly
//! those. Of fewer than 100 samples, the p99 is the maximum.

use std::collections::BTreeMap;
use std::error::Error;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use onrush_bus::{Brokers, BusConfig, Consumer, EmbeddedBroker, Producer, Start};
use onrush_protocol::{
    EndReason, Heartbeat, LatencyMs, Measured, Metrics, NodeId, NodeState, Register, SessionId, TestConfig, TestId,
    Topic, Trigger,
};
use onrush_stats::{SecondStats, Totals};
use serde_json::{Value, json};

type Outcome<T> = Result<T, Box<dyn Error>>;

const REQUESTS_PER_SECOND: u64 = 1000;
const PATIENCE: Duration = Duration::from_secs(60);
/// How long a second may take to be seen before it counts as never seen.
const VISIBLE_WITHIN: Duration = Duration::from_secs(5);

fn main() -> Outcome<()> {
    let (mut seconds, mut sizes) = (20, Vec::new());
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--seconds" => seconds = arguments.next().ok_or("--seconds needs a number")?.parse()?,
            size => sizes.push(size.parse()?),
        }
    }
    if sizes.is_empty() {
        sizes = vec![2, 8, 64, 256];
    }
    println!(
        "{:>7} | {:>21} | {:>21} | {:>9} {:>6} {:>13} {:>8} {:>9} | {:>9}",
        "drivers",
        "/metrics p50/p99/max",
        "stream p50/p99/max",
        "reports/s",
        "CPU %",
        "CPU µs/report",
        "RSS MiB",
        "page KiB",
        "scrape ms"
    );
    for size in sizes {
        let row = measure(size, seconds)?;
        println!("{}", row.table_line());
        let mut file = std::fs::File::options().create(true).append(true).open("observability.jsonl")?;
        writeln!(file, "{}", row.json(seconds))?;
    }
    Ok(())
}

/// What was measured with so many drivers; times in milliseconds.
struct Row {
    drivers: usize,
    metrics_ms: Vec<f64>,
    stream_ms: Vec<f64>,
    unseen: usize,
    reports_per_s: f64,
    cpu_percent: f64,
    rss_mib: f64,
    page_kib: f64,
    scrape_ms: Vec<f64>,
}

impl Row {
    /// What a report costs, everything else that was done meanwhile included.
    fn cpu_us_per_report(&self) -> f64 {
        self.cpu_percent * 1e4 / self.reports_per_s
    }

    fn table_line(&self) -> String {
        let three = |values: &[f64]| {
            let [p50, p99, max] = quantiles(values);
            format!("{p50:.0} / {p99:.0} / {max:.0} ms")
        };
        format!(
            "{:>7} | {:>21} | {:>21} | {:>9.1} {:>6.1} {:>13.0} {:>8.0} {:>9.0} | {:>9.1}{}",
            self.drivers,
            three(&self.metrics_ms),
            three(&self.stream_ms),
            self.reports_per_s,
            self.cpu_percent,
            self.cpu_us_per_report(),
            self.rss_mib,
            self.page_kib,
            quantiles(&self.scrape_ms)[0],
            if self.unseen > 0 { format!("  ({} seconds NOT SEEN)", self.unseen) } else { String::new() }
        )
    }

    fn json(&self, seconds: u64) -> Value {
        let three = |values: &[f64]| {
            let [p50, p99, max] = quantiles(values);
            json!({"p50": p50, "p99": p99, "max": max, "samples": values.len()})
        };
        json!({
            "drivers": self.drivers, "seconds": seconds, "debug_build": cfg!(debug_assertions),
            "metrics_ms": three(&self.metrics_ms), "stream_ms": three(&self.stream_ms), "unseen": self.unseen,
            "reports_per_s": self.reports_per_s, "cpu_percent": self.cpu_percent,
            "cpu_us_per_report": self.cpu_us_per_report(),
            "rss_mib": self.rss_mib, "page_kib": self.page_kib, "scrape_ms": three(&self.scrape_ms),
        })
    }
}

fn quantiles(values: &[f64]) -> [f64; 3] {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let at = |share: f64| sorted.get(((sorted.len() as f64 * share).ceil() as usize).max(1) - 1).copied();
    [at(0.5), at(0.99), sorted.last().copied()].map(|value| value.unwrap_or(f64::NAN))
}

fn measure(size: usize, seconds: u64) -> Outcome<Row> {
    let folder = tempfile::tempdir()?;
    let broker = EmbeddedBroker::start("")?;
    let orchestrator = Orchestrator::start(folder.path(), broker.address())?;
    let mut fleet = Fleet::join(&broker, size)?;
    fleet.be_registered(&orchestrator)?;
    // The first seconds of the second half are warm-up; after both, one more second ends the test.
    let warm_up = seconds / 4;
    let count_per_driver = (2 * seconds + warm_up + 1) * REQUESTS_PER_SECOND;
    let test_id = fleet.begin(&orchestrator, count_per_driver)?;
    let seen = orchestrator.follow(&test_id);

    let mut row = Row {
        drivers: size,
        metrics_ms: Vec::new(),
        stream_ms: Vec::new(),
        unseen: 0,
        reports_per_s: 0.0,
        cpu_percent: 0.0,
        rss_mib: 0.0,
        page_kib: 0.0,
        scrape_ms: Vec::new(),
    };
    let begun = Instant::now();
    for second in 0..seconds {
        wait_until(begun + Duration::from_secs(second + 1));
        fleet.heartbeats(NodeState::Running, Some(&test_id))?;
        for driver in 1..size {
            fleet.report(driver, &test_id, second, false)?;
        }
        // The others are in before the last one: only that one is waited for.
        fleet.flush()?;
        std::thread::sleep(Duration::from_millis(100));
        fleet.report(0, &test_id, second, false)?;
        let ready = Instant::now();
        let mut at_metrics = None;
        while at_metrics.is_none() && ready.elapsed() < VISIBLE_WITHIN {
            let text = orchestrator.get("/metrics")?;
            at_metrics = (sample(&text, "onrush_sealed_seconds_total") > Some(second as f64)).then(Instant::now);
            std::thread::sleep(Duration::from_millis(5));
        }
        let on_stream = loop {
            let at = seen.lock().unwrap_or_else(PoisonError::into_inner).get(&second).copied();
            if at.is_some() || ready.elapsed() > VISIBLE_WITHIN {
                break at;
            }
            std::thread::sleep(Duration::from_millis(5));
        };
        let ms = |at: Instant| at.saturating_duration_since(ready).as_secs_f64() * 1e3;
        row.metrics_ms.extend(at_metrics.map(ms));
        row.stream_ms.extend(on_stream.map(ms));
        row.unseen += usize::from(at_metrics.is_none() || on_stream.is_none());
    }

    let (mut taken_before, mut cpu_before, mut since) = (0.0, 0.0, Instant::now());
    let mut begun = Instant::now();
    for second in seconds..2 * seconds + warm_up {
        if second == seconds + warm_up {
            // What was sent before must not be taken within what is measured.
            let sent = (second * size as u64) as f64;
            let all_are_in = || Ok((orchestrator.reports_taken()? >= sent).then_some(()));
            until("every report so far is in, none of them late", all_are_in)?;
            begun = Instant::now() - Duration::from_secs(second - seconds);
            taken_before = orchestrator.reports_taken()?;
            (cpu_before, since) = (orchestrator.cpu_s()?, Instant::now());
        }
        let from = begun + Duration::from_secs(second - seconds);
        for driver in 0..size {
            fleet.heartbeat(&fleet.names[driver], NodeState::Running, Some(&test_id))?;
            fleet.report(driver, &test_id, second, false)?;
            // Over the first 800 ms; what is left of the second is for the scrape.
            wait_until(from + Duration::from_millis(800).mul_f64((driver + 1) as f64 / size as f64));
        }
        let asked = Instant::now();
        let text = orchestrator.get("/metrics")?;
        row.scrape_ms.push(asked.elapsed().as_secs_f64() * 1e3);
        row.page_kib = text.len() as f64 / 1024.0;
        wait_until(from + Duration::from_secs(1));
    }
    let (cpu_after, elapsed_s) = (orchestrator.cpu_s()?, since.elapsed().as_secs_f64());
    row.cpu_percent = (cpu_after - cpu_before) / elapsed_s * 100.0;
    row.reports_per_s = (orchestrator.reports_taken()? - taken_before) / elapsed_s;
    row.rss_mib = orchestrator.rss_mib()?;
    if (row.reports_per_s / size as f64 - 1.0).abs() > 0.01 {
        let Row { reports_per_s, cpu_percent, .. } = row;
        return Err(format!(
            "{size} drivers report {size} times a second, but the orchestrator took {reports_per_s:.1} reports a second in \
             time, at {cpu_percent:.0} % CPU: it or this machine fell behind, and its figures would mean nothing"
        )
        .into());
    }
    for driver in 0..size {
        fleet.report(driver, &test_id, 2 * seconds + warm_up, true)?;
    }
    fleet.heartbeats(NodeState::Idle, None)?;
    fleet.flush()?;
    let ended = until("the test ended", || {
        let test: Value = serde_json::from_str(&orchestrator.get(&format!("/v1/tests/{test_id}"))?)?;
        Ok((test["state"] == "COMPLETED").then_some(test))
    })?;
    // What was measured counts only if nothing was lost on the way.
    if ended["outcome"] != "exact" {
        return Err(format!("the result is {}: {}", ended["outcome"], ended["reason"]).into());
    }
    let text = orchestrator.get("/metrics")?;
    for name in &fleet.names {
        let own = format!("onrush_driver_requests_sent_total{{test=\"{test_id}\",driver=\"{name}\"}}");
        if sample(&text, &own) != Some(count_per_driver as f64) {
            return Err(format!("{own} is {:?} and should be {count_per_driver}", sample(&text, &own)).into());
        }
    }
    Ok(row)
}

fn wait_until(moment: Instant) {
    std::thread::sleep(moment.saturating_duration_since(Instant::now()));
}

fn until<T>(what: &str, mut look: impl FnMut() -> Outcome<Option<T>>) -> Outcome<T> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look()? {
            return Ok(found);
        }
        if Instant::now() > deadline {
            return Err(format!("not in time: {what}").into());
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// The value of one series.
fn sample(text: &str, series: &str) -> Option<f64> {
    let value = |line: &str| line.strip_prefix(series)?.strip_prefix(' ')?.parse().ok();
    text.lines().find_map(value)
}

/// A real orchestrator, which is ended with this value.
struct Orchestrator {
    process: Child,
    address: String,
    client: ureq::Agent,
}

impl Orchestrator {
    fn start(folder: &Path, broker: &str) -> Outcome<Self> {
        let own = std::env::current_exe()?;
        let binary = own.ancestors().nth(2).map(|profile| profile.join("onrush")).filter(|path| path.exists());
        let binary = binary.ok_or("there is no onrush beside this example's folder: build it with the same profile")?;
        // A free port: the listener is closed before the orchestrator opens its own.
        let address = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.to_string();
        let process = Command::new(binary)
            .args(["orchestrator", "--listen", &address, "--max-drivers", "256", "--brokers", broker])
            // As for a broker within the process, which answers a fetch only when this time is over.
            .args(["--kafka-option", "fetch.wait.max.ms=15", "--store"])
            .arg(folder.join("onrush.db"))
            .stdout(Stdio::null())
            .stderr(std::fs::File::create(folder.join("log"))?)
            .spawn()?;
        let client = ureq::Agent::config_builder().timeout_global(Some(PATIENCE)).build().into();
        let orchestrator = Self { process, address, client };
        until("the orchestrator answers", || Ok(orchestrator.get("/healthz").ok()))?;
        Ok(orchestrator)
    }

    fn get(&self, path: &str) -> Outcome<String> {
        Ok(self
            .client
            .get(format!("http://{}{path}", self.address))
            .call()?
            .body_mut()
            .with_config()
            .limit(1 << 26)
            .read_to_string()?)
    }

    /// Reports that came in time so far.
    fn reports_taken(&self) -> Outcome<f64> {
        let text = self.get("/metrics")?;
        sample(&text, "onrush_reports_total{result=\"accepted\"}").ok_or("no reports at /metrics".into())
    }

    /// When each second came by the stream.
    fn follow(&self, test_id: &TestId) -> Arc<Mutex<BTreeMap<u64, Instant>>> {
        let seen = Arc::new(Mutex::new(BTreeMap::new()));
        let (theirs, url) = (seen.clone(), format!("http://{}/v1/tests/{test_id}/stream", self.address));
        std::thread::spawn(move || {
            let endless: ureq::Agent = ureq::Agent::config_builder().timeout_global(None).build().into();
            let Ok(response) = endless.get(&url).call() else { return };
            // The stream ends with the test.
            for line in BufReader::new(response.into_body().into_reader()).lines() {
                let Ok(line) = line else { return };
                if let Some(second) = line.strip_prefix("id:").and_then(|id| id.trim().parse().ok()) {
                    theirs.lock().unwrap_or_else(PoisonError::into_inner).entry(second).or_insert_with(Instant::now);
                }
            }
        });
        seen
    }

    /// CPU time of the process, user and system.
    fn cpu_s(&self) -> Outcome<f64> {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.process.id()))?;
        // Its name, in parentheses, may hold anything; the fields behind it are numbers.
        let (_, fields) = stat.rsplit_once(')').ok_or("no name in stat")?;
        let ticks = |index: usize| fields.split_whitespace().nth(index).and_then(|text| text.parse::<f64>().ok());
        let (user, system) = ticks(11).zip(ticks(12)).ok_or("no times in stat")?;
        Ok((user + system) / rustix::param::clock_ticks_per_second() as f64)
    }

    fn rss_mib(&self) -> Outcome<f64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.process.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).ok_or("no VmRSS")?;
        Ok(line.trim().trim_end_matches("kB").trim().parse::<f64>()? / 1024.0)
    }
}

impl Drop for Orchestrator {
    fn drop(&mut self) {
        // Nothing of it is wanted any more; it may have ended by itself.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// N drivers that share a producer.
struct Fleet {
    names: Vec<NodeId>,
    session_id: SessionId,
    producer: Producer,
    consumer: Consumer,
    /// What each of them measures in each second.
    stats: SecondStats,
    started_at_unix_ms: f64,
}

impl Fleet {
    fn join(broker: &EmbeddedBroker, size: usize) -> Outcome<Self> {
        let bus = BusConfig {
            brokers: Brokers { address: broker.address().to_owned(), embedded: true },
            topic_prefix: String::new(),
            client_id: "simulated-drivers".into(),
            options: Vec::new(),
        };
        let mut stats = SecondStats::default();
        for k in 0..REQUESTS_PER_SECOND {
            stats.counts.sent += 1;
            stats.counts.due += 1;
            stats.counts.bytes_sent += 60;
            stats.counts.bytes_received += 160;
            *stats.counts.statuses.entry(200).or_default() += 1;
            // Between 0.2 and 20 ms, most of them short.
            let latency_ns = 200_000 + 20_000 * (k * k % REQUESTS_PER_SECOND);
            stats.latency.record(latency_ns);
            stats.service_time.record(latency_ns - 50_000);
            stats.schedule_error.record(1_000 + 37 * (k % 200));
        }
        let names =
            (0..size).map(|i| NodeId::new(format!("sim-{i:03}")).ok_or("a bad name")).collect::<Result<_, _>>()?;
        Ok(Self {
            names,
            session_id: SessionId::new("simulated").ok_or("a bad name")?,
            producer: Producer::new(&bus, 100_000)?,
            consumer: Consumer::new(&bus, &[Topic::TestConfig, Topic::Trigger], |_, _| Start::Oldest, PATIENCE)?,
            stats,
            started_at_unix_ms: 0.0,
        })
    }

    fn be_registered(&self, orchestrator: &Orchestrator) -> Outcome<()> {
        for name in &self.names {
            let register = Register {
                node_id: name.clone(),
                node_ip: None,
                session_id: Some(self.session_id.clone()),
                hostname: None,
                version: None,
                cpus: None,
            };
            self.producer.send(Topic::Register, name.as_str(), register.write())?;
        }
        until("all drivers are there", || {
            self.heartbeats(NodeState::Idle, None)?;
            std::thread::sleep(Duration::from_millis(300));
            let drivers: Vec<Value> = serde_json::from_str(&orchestrator.get("/v1/drivers")?)?;
            let idle = drivers.iter().filter(|driver| driver["state"] == "IDLE").count();
            Ok((idle == self.names.len()).then_some(()))
        })
    }

    /// Makes a test and obeys until it is triggered.
    fn begin(&mut self, orchestrator: &Orchestrator, count_per_driver: u64) -> Outcome<TestId> {
        let body = json!({
            "test_type": "AVALANCHE", "requests": count_per_driver, "trigger": true, "target_url": "http://127.0.0.1:9/"
        });
        let url = format!("http://{}/v1/tests", orchestrator.address);
        let made = orchestrator.client.post(url).content_type("application/json").send(body.to_string())?;
        drop(made);
        until("the trigger came", || {
            let Some(record) = self.consumer.poll(Duration::from_millis(100)) else { return Ok(None) };
            if record.topic == Topic::TestConfig {
                let config = TestConfig::read(&record.payload)?;
                self.heartbeats(NodeState::Armed, Some(&config.test_id))?;
                return Ok(None);
            }
            let trigger = Trigger::read(&record.payload)?;
            self.started_at_unix_ms = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs_f64() * 1e3;
            Ok(Some(trigger.test_id))
        })
    }

    fn heartbeats(&self, state: NodeState, test_id: Option<&TestId>) -> Outcome<()> {
        self.names.iter().try_for_each(|name| self.heartbeat(name, state, test_id))
    }

    fn heartbeat(&self, name: &NodeId, state: NodeState, test_id: Option<&TestId>) -> Outcome<()> {
        let heartbeat = Heartbeat {
            node_id: name.clone(),
            alive: true,
            timestamp_unix_ms: None,
            session_id: Some(self.session_id.clone()),
            state: Some(state),
            test_id: test_id.cloned(),
            share: None,
            amended_at: Vec::new(),
            refusal: None,
            reports_waiting: Some(0),
            messages_skipped: Some(0),
            cpu_s: None,
            memory_bytes: None,
        };
        Ok(self.producer.send(Topic::Heartbeat, name.as_str(), heartbeat.write())?)
    }

    /// Waits until the broker has everything.
    fn flush(&self) -> Outcome<()> {
        self.producer.flush(PATIENCE).then_some(()).ok_or("the broker did not take the messages in time".into())
    }

    fn report(&self, driver: usize, test_id: &TestId, second: u64, last: bool) -> Outcome<()> {
        let name = &self.names[driver];
        let n = (second + 1) * REQUESTS_PER_SECOND;
        let report = Metrics {
            node_id: name.clone(),
            test_id: test_id.clone(),
            report_id: None,
            latency: LatencyMs::of(&self.stats.latency),
            measured: Some(Box::new(Measured {
                session_id: self.session_id.clone(),
                sequence: second,
                second_index: second,
                length_s: 1.0,
                started_at_unix_ms: self.started_at_unix_ms,
                stats: self.stats.clone(),
                totals: Totals { sent: n, answered: n, due: n, ..Totals::default() },
                sending_s: Some((second + 1) as f64),
                end: last.then_some(EndReason::Completed),
                engine: None,
            })),
        };
        Ok(self.producer.send(Topic::Metrics, name.as_str(), report.write())?)
    }
}
