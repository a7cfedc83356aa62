//! Simulated drivers and tests, for this crate's tests.

use std::collections::BTreeMap;

use onrush_protocol::{
    EndReason, Heartbeat, LatencyMs, Measured, Metrics, NodeId, NodeState, Refusal, Register, SessionId, TestConfig,
    TestId, TestType,
};
use onrush_stats::{SecondStats, Totals};

use crate::event::EventLog;
use crate::record::{ParticipantRecord, TestRecord};
use crate::state::{ParticipantState, TestState};

pub fn node(name: &str) -> NodeId {
    NodeId::new(name).unwrap()
}

pub fn session(name: &str) -> SessionId {
    SessionId::new(name).unwrap()
}

pub fn test_id(name: &str) -> TestId {
    TestId::new(name).unwrap()
}

/// An Avalanche of so many requests per driver.
pub fn config(id: &str, count: u64) -> TestConfig {
    let mut config = TestConfig::new(test_id(id), TestType::Avalanche);
    config.count_per_driver = Some(count);
    config
}

/// A running test of these participants, whose sessions are named `s`.
pub fn running(id: &str, count: u64, names: &[&str]) -> TestRecord {
    let participant = |name: &&str| ParticipantRecord {
        state: ParticipantState::Running,
        ..ParticipantRecord::new(node(name), Some(session("s")))
    };
    TestRecord {
        test_id: test_id(id),
        name: None,
        config: config(id, count),
        state: TestState::Running,
        reason: None,
        created_unix_ms: 1000.0,
        triggered_unix_ms: Some(2000.0),
        start_at_unix_ms: Some(2500.0),
        ended_unix_ms: None,
        stop_requested: false,
        trigger_when_armed: false,
        published_order: 1,
        outcome: None,
        conservation: None,
        limit: None,
        target_before: None,
        participants: names.iter().map(participant).collect(),
        standings: Vec::new(),
        events: EventLog::default(),
    }
}

/// What was measured in a second in which each request took one of these latencies.
pub fn stats(latencies_ns: &[u64]) -> SecondStats {
    let mut stats = SecondStats::default();
    for latency_ns in latencies_ns {
        stats.counts.sent += 1;
        stats.counts.due += 1;
        stats.counts.bytes_sent += 50;
        stats.counts.bytes_received += 100;
        *stats.counts.statuses.entry(200).or_default() += 1;
        stats.latency.record(*latency_ns);
        stats.service_time.record(latency_ns / 2);
        stats.schedule_error.record(latency_ns % 1000);
    }
    stats
}

/// A driver that tells what it is told to tell.
#[derive(Clone)]
pub struct SimDriver {
    pub node_id: NodeId,
    pub session_id: Option<SessionId>,
    sequence: u64,
    totals: Totals,
}

impl SimDriver {
    pub fn new(name: &str, session_name: &str) -> Self {
        Self { node_id: node(name), session_id: Some(session(session_name)), sequence: 0, totals: Totals::default() }
    }

    /// One that speaks only the specification.
    pub fn plain(name: &str) -> Self {
        Self { session_id: None, ..Self::new(name, "unused") }
    }

    pub fn register(&self) -> Register {
        Register {
            node_id: self.node_id.clone(),
            node_ip: Some("127.0.0.1".into()),
            session_id: self.session_id.clone(),
            hostname: None,
            version: None,
            cpus: None,
        }
    }

    pub fn heartbeat(&self, state: NodeState, test: Option<&str>) -> Heartbeat {
        Heartbeat {
            node_id: self.node_id.clone(),
            alive: true,
            timestamp_unix_ms: None,
            session_id: self.session_id.clone(),
            state: self.session_id.is_some().then_some(state),
            test_id: test.map(test_id),
            share: None,
            amended_at: Vec::new(),
            refusal: None,
            reports_waiting: self.session_id.is_some().then_some(0),
            messages_skipped: None,
            cpu_s: None,
            memory_bytes: None,
        }
    }

    pub fn goodbye(&self) -> Heartbeat {
        Heartbeat { alive: false, ..self.heartbeat(NodeState::Idle, None) }
    }

    pub fn refusal(&self, test: &str, reason: &str) -> Heartbeat {
        let refusal = Refusal { test_id: test_id(test), reason: reason.into() };
        Heartbeat { refusal: Some(refusal), ..self.heartbeat(NodeState::Idle, None) }
    }

    /// The next report.
    pub fn report(&mut self, test: &str, second_index: u64, stats: SecondStats, end: Option<EndReason>) -> Metrics {
        self.totals.merge(&stats.counts.totals());
        let measured = Measured {
            session_id: self.session_id.clone().unwrap_or_else(|| session("none")),
            sequence: self.sequence,
            second_index,
            length_s: if end.is_some() { 0.3 } else { 1.0 },
            sending_s: None,
            started_at_unix_ms: 2500.0,
            stats,
            totals: self.totals,
            end,
            engine: None,
        };
        self.sequence += 1;
        Metrics {
            node_id: self.node_id.clone(),
            test_id: test_id(test),
            report_id: None,
            latency: LatencyMs::default(),
            measured: Some(Box::new(measured)),
        }
    }

    /// A report with nothing but the specification's four numbers.
    pub fn plain_report(&self, test: &str, mean_ms: f64) -> Metrics {
        let latency = LatencyMs {
            mean: Some(mean_ms),
            median: Some(mean_ms),
            min: Some(mean_ms / 2.0),
            max: Some(mean_ms * 2.0),
        };
        Metrics { node_id: self.node_id.clone(), test_id: test_id(test), report_id: None, latency, measured: None }
    }
}

/// The reports of drivers that each send `per_second` requests in each of `seconds` seconds.
pub fn reports(test: &str, names: &[&str], seconds: u64, per_second: u64) -> Vec<Metrics> {
    let mut reports = Vec::new();
    let mut drivers: Vec<SimDriver> = names.iter().map(|name| SimDriver::new(name, "s")).collect();
    for second in 0..seconds {
        for (i, driver) in drivers.iter_mut().enumerate() {
            let latency = |k: u64| 1000 + (k * 7919 + second * 104_729 + i as u64 * 1_299_709) % 3_000_000_000;
            let latencies: Vec<u64> = (0..per_second).map(latency).collect();
            let end = (second + 1 == seconds).then_some(EndReason::Completed);
            reports.push(driver.report(test, second, stats(&latencies), end));
        }
    }
    reports
}

/// What Prometheus reads.
pub struct Exposition {
    /// By name and sorted labels.
    samples: BTreeMap<(String, String), f64>,
    /// Each family's type.
    pub types: BTreeMap<String, String>,
    /// The families that say what they are.
    pub helped: Vec<String>,
}

impl Exposition {
    /// Reads the text format; labels here have no commas and no quotes in them.
    pub fn read(text: &str) -> Self {
        let mut read = Self { samples: BTreeMap::new(), types: BTreeMap::new(), helped: Vec::new() };
        for line in text.lines().filter(|line| !line.is_empty()) {
            if let Some(family) = line.strip_prefix("# TYPE ") {
                let (name, kind) = family.split_once(' ').unwrap();
                assert!(read.types.insert(name.into(), kind.into()).is_none(), "{name} is there twice");
            } else if let Some(help) = line.strip_prefix("# HELP ") {
                let (name, words) = help.split_once(' ').unwrap();
                assert!(!words.is_empty(), "{name} says nothing");
                read.helped.push(name.into());
            } else {
                let (series, value) = line.rsplit_once(' ').unwrap();
                let (name, labels) = series.split_once('{').unwrap_or((series, "}"));
                let labels = labels.strip_suffix('}').unwrap().replace('"', "");
                let mut labels: Vec<&str> = labels.split(',').collect();
                labels.sort_unstable();
                let value: f64 = value.parse().unwrap();
                let before = read.samples.insert((name.into(), labels.join(",")), value);
                assert!(before.is_none(), "{series} is there twice");
            }
        }
        read
    }

    /// The value of a series; labels as `a=1,b=2`, sorted.
    pub fn get(&self, name: &str, labels: &str) -> Option<f64> {
        self.samples.get(&(name.to_owned(), labels.to_owned())).copied()
    }

    /// The labels of each series of a name.
    pub fn labels_of(&self, name: &str) -> Vec<&str> {
        self.samples.keys().filter(|(own, _)| own == name).map(|(_, labels)| labels.as_str()).collect()
    }

    /// The names of all series.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.samples.keys().map(|(name, _)| name.as_str())
    }

    /// Whether any series has this label.
    pub fn mentions(&self, label: &str) -> bool {
        self.samples.keys().any(|(_, labels)| labels.split(',').any(|own| own == label))
    }
}
