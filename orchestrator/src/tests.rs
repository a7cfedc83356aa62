//! The orchestrator whole, on the in-process broker, with drivers made of nothing but messages.

mod exported;
pub(crate) mod http;
mod limits;
mod power;
mod power_cut;
mod stored;

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use onrush_api::{DriverState, Outcome, TestState, TestView};
use onrush_bus::{Brokers, BusConfig, Consumer, EmbeddedBroker, Producer, Start};
use onrush_protocol::{EndReason, NodeState, TestConfig, Topic, Trigger};
use onrush_stats::SecondStats;

use crate::testing::{Exposition, SimDriver, config, stats, test_id};
use crate::{Handle, ListFilter, NewTest, Orchestrator, OrchestratorConfig, Problem, Retention, Update};

const PATIENCE: Duration = Duration::from_secs(60);
const ANY_PORT: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 0);

fn bus(broker: &EmbeddedBroker, client_id: &str) -> BusConfig {
    BusConfig {
        brokers: Brokers { address: broker.address().to_owned(), embedded: true },
        topic_prefix: String::new(),
        client_id: client_id.into(),
        options: Vec::new(),
    }
}

fn config_of(broker: &EmbeddedBroker, store: &Path) -> OrchestratorConfig {
    OrchestratorConfig {
        retention: Retention::default(),
        bus: bus(broker, "orchestrator"),
        listen: ANY_PORT,
        store: store.to_owned(),
        min_drivers: 2,
        max_drivers: 8,
        allow_hosts: vec!["Other.Name".into()],
        token_file: None,
        insecure_no_auth: false,
    }
}

async fn orchestrator(broker: &EmbeddedBroker, store: &Path) -> Orchestrator {
    Orchestrator::start(config_of(broker, store)).await.unwrap()
}

/// A driver on a thread of its own: 10 requests in each of `seconds` seconds, which last 100 ms here.
struct Driver {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Driver {
    fn start(broker: &EmbeddedBroker, name: &'static str, seconds: u64) -> Self {
        let measure = |second| stats(&(1..=10).map(|k| k * 100_000 + second).collect::<Vec<u64>>());
        Self::measuring(broker, name, seconds, measure)
    }

    /// One that reports this of each second.
    fn measuring(
        broker: &EmbeddedBroker,
        name: &'static str,
        seconds: u64,
        measure: impl Fn(u64) -> SecondStats + Send + 'static,
    ) -> Self {
        let bus = bus(broker, name);
        let consumer = Consumer::new(&bus, &[Topic::TestConfig, Topic::Trigger], |_, _| Start::Now, PATIENCE).unwrap();
        let producer = Producer::new(&bus, 10_000).unwrap();
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let thread = std::thread::spawn(move || live(name, seconds, measure, &consumer, &producer, &stopped));
        Self { stop, thread: Some(thread) }
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
    }
}

fn live(
    name: &str,
    seconds: u64,
    measure: impl Fn(u64) -> SecondStats,
    consumer: &Consumer,
    producer: &Producer,
    stop: &AtomicBool,
) {
    let send = |topic, payload| producer.send(topic, name, payload).unwrap();
    let mut driver = SimDriver::new(name, "first");
    send(Topic::Register, driver.register().write());
    let (mut state, mut test, mut second) = (NodeState::Idle, None::<String>, 0);
    let mut last_heartbeat = None::<Instant>;
    while !stop.load(Ordering::Relaxed) {
        let before = state;
        let mut stopped = false;
        match consumer.poll(Duration::from_millis(100)) {
            Some(record) if record.topic == Topic::TestConfig && state != NodeState::Running => {
                let config = TestConfig::read(&record.payload).unwrap();
                (state, test) = (NodeState::Armed, Some(config.test_id.to_string()));
            }
            Some(record) if record.topic == Topic::Trigger => {
                let trigger = Trigger::read(&record.payload).unwrap();
                let mine = test.as_deref() == Some(trigger.test_id.as_str());
                if trigger.start && mine && state == NodeState::Armed {
                    (state, second) = (NodeState::Running, 0);
                    driver = SimDriver::new(name, "first");
                }
                stopped = !trigger.start && mine;
            }
            _ => {}
        }
        if let (NodeState::Running, Some(id)) = (state, test.as_deref()) {
            let end = match (stopped, second + 1 == seconds) {
                (true, _) => Some(EndReason::Stopped),
                (false, true) => Some(EndReason::Completed),
                _ => None,
            };
            let over = end.is_some();
            send(Topic::Metrics, driver.report(id, second, measure(second), end).write());
            second += 1;
            if over {
                (state, test) = (NodeState::Idle, None);
            }
        } else if stopped {
            (state, test) = (NodeState::Idle, None);
        }
        if state != before || last_heartbeat.is_none_or(|at| at.elapsed() > Duration::from_millis(500)) {
            last_heartbeat = Some(Instant::now());
            send(Topic::Heartbeat, driver.heartbeat(state, test.as_deref()).write());
        }
    }
    producer.flush(Duration::from_secs(5));
}

async fn until<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(Instant::now() < deadline, "not in time: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn until_registered(handle: &Handle, n: usize) {
    until("drivers are registered", async || {
        let drivers = handle.drivers().await.unwrap();
        let live = drivers.iter().filter(|d| matches!(d.state, DriverState::Idle | DriverState::Armed)).count();
        (live == n).then_some(())
    })
    .await;
}

async fn until_ended(handle: &Handle, id: &str) -> TestView {
    until("the test ended", async || {
        let view = handle.test(test_id(id)).await.unwrap();
        view.state.is_end().then_some(view)
    })
    .await
}

fn new(id: &str, count: u64) -> NewTest {
    NewTest { config: config(id, count), name: None, trigger: true }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_test_on_two_drivers_is_seen_stored_and_exact() {
    let folder = tempfile::tempdir().unwrap();
    let broker = EmbeddedBroker::start("").unwrap();
    let orchestrator = orchestrator(&broker, &folder.path().join("onrush.db")).await;
    let handle = orchestrator.handle();
    assert!(matches!(handle.create(new("early", 50)).await, Err(Problem::Conflict(_))));
    let _drivers = [Driver::start(&broker, "a", 5), Driver::start(&broker, "b", 5)];
    until_registered(&handle, 2).await;

    handle.create(NewTest { trigger: false, ..new("t", 50) }).await.unwrap();
    let (_, mut updates) = handle.subscribe(test_id("t")).await.unwrap();
    let triggered = handle.trigger(test_id("t")).await.unwrap();
    assert_eq!(triggered.state, TestState::Running);
    let (mut seconds, mut last) = (Vec::new(), None);
    while let Ok(update) = tokio::time::timeout(PATIENCE, updates.recv()).await.unwrap() {
        match update {
            Update::Second(shown) => seconds.push(shown.0.clone()),
            Update::Test(test) => last = Some(test),
        }
    }
    let last = (*last.unwrap()).clone();
    assert_eq!(last.state, TestState::Completed, "{:?}", last.reason);
    assert_eq!(last.outcome, Some(Outcome::Exact), "{:?}", last.conservation);
    assert_eq!(handle.test(test_id("t")).await.unwrap(), last, "what is stored is what was shown");

    let series = handle.series(test_id("t"), 0, 100, usize::MAX).await.unwrap();
    assert_eq!(series.seconds, seconds);
    assert_eq!(series.next_from, None);
    let page = handle.series(test_id("t"), 1, 2, usize::MAX).await.unwrap();
    assert_eq!((page.seconds.len(), page.next_from), (2, Some(3)));
    let metrics = handle.metrics(test_id("t")).await.unwrap();
    assert_eq!((metrics.all.sent, metrics.all.answered, metrics.all.failed), (Some(100), Some(100), Some(0)));
    assert_eq!(metrics.drivers.iter().map(|d| d.sent).collect::<Vec<_>>(), [Some(50), Some(50)]);
    let all = handle.histogram(test_id("t"), None).await.unwrap();
    assert_eq!((all.latency.count, all.latency.min_ns), (100, Some(100_000)));
    let one = handle.histogram(test_id("t"), Some("b".into())).await.unwrap();
    assert_eq!(one.latency.buckets.iter().map(|bucket| bucket.count).sum::<u64>(), 50);
    assert!(matches!(handle.histogram(test_id("t"), Some("c".into())).await, Err(Problem::NotFound(_))));

    // What the brain counts of its own work is shown at its next tick.
    let deadline = tokio::time::Instant::now() + PATIENCE;
    let shown = loop {
        let shown = Exposition::read(&handle.exposition().await.unwrap());
        if shown.get("onrush_reports_total", "result=accepted") == Some(10.0) {
            break shown;
        }
        assert!(tokio::time::Instant::now() < deadline, "the reports were never counted");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    };
    for name in ["a", "b"] {
        let labels = format!("driver={name},test=t");
        assert_eq!(shown.get("onrush_driver_requests_sent_total", &labels), Some(50.0));
        assert_eq!(shown.get("onrush_driver_latency_seconds_count", &labels), Some(50.0));
        assert_eq!(
            shown.get("onrush_driver_answers_total", &format!("driver={name},status_class=2xx,test=t")),
            Some(50.0)
        );
    }
    assert_eq!(shown.get("onrush_sealed_seconds_total", ""), Some(5.0));
    assert_eq!(shown.get("onrush_test_running", "test=t,test_type=AVALANCHE"), Some(0.0));
    assert_eq!(shown.get("onrush_test_events_total", "kind=completed"), Some(1.0));
    assert_eq!(shown.get("onrush_report_delivery_delay_seconds_count", ""), Some(10.0));
    assert_eq!(shown.get("onrush_seal_delay_seconds_count", ""), Some(5.0));

    let ended = handle.stop(test_id("t")).await;
    assert!(matches!(&ended, Err(Problem::Conflict(why)) if why.contains("COMPLETED")), "{ended:?}");
    assert!(matches!(handle.trigger(test_id("t")).await, Err(Problem::Conflict(_))));
    assert!(matches!(handle.trigger(test_id("never")).await, Err(Problem::NotFound(_))));
    assert!(matches!(handle.create(new("t", 50)).await, Err(Problem::Conflict(_))));
    let (view, mut nothing) = handle.subscribe(test_id("t")).await.unwrap();
    assert_eq!((view.state, nothing.recv().await.is_err()), (TestState::Completed, true));

    // And once more on the same drivers, stopped in the middle.
    handle.create(NewTest { trigger: false, ..new("u", 1_000_000) }).await.unwrap();
    assert_eq!(handle.tests(ListFilter::default(), 10, None, usize::MAX).await.unwrap().tests.len(), 2);
    handle.stop(test_id("u")).await.unwrap();
    assert_eq!(until_ended(&handle, "u").await.state, TestState::Stopped);

    handle.create(NewTest { trigger: false, ..new("v", 1_000_000) }).await.unwrap();
    let open = handle.delete(test_id("v")).await;
    assert!(matches!(&open, Err(Problem::Conflict(why)) if why.contains("stop it first")), "{open:?}");
    handle.delete(test_id("t")).await.unwrap();
    assert!(matches!(handle.delete(test_id("t")).await, Err(Problem::NotFound(_))));
    assert!(matches!(handle.metrics(test_id("t")).await, Err(Problem::NotFound(_))));
    assert!(matches!(handle.create(new("t", 50)).await, Err(Problem::Conflict(_))), "its name is not free");
    let left = handle.tests(ListFilter::default(), 10, None, usize::MAX).await.unwrap().tests;
    assert_eq!(left.iter().map(|test| test.test_id.as_str()).collect::<Vec<_>>(), ["v", "u"]);
    orchestrator.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_in_the_middle_of_a_test_changes_no_digit() {
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("onrush.db");
    let broker = EmbeddedBroker::start("").unwrap();
    let first = orchestrator(&broker, &store).await;
    let _drivers = [Driver::start(&broker, "a", 30), Driver::start(&broker, "b", 30)];
    until_registered(&first.handle(), 2).await;
    first.handle().create(new("t", 300)).await.unwrap();
    let handle = first.handle();
    until("some reports are in", async || {
        let metrics = handle.metrics(test_id("t")).await.unwrap();
        metrics.all.sent.is_some_and(|sent| sent >= 40).then_some(())
    })
    .await;
    first.shutdown().await;
    assert!(matches!(handle.drivers().await, Err(Problem::Unavailable(_))), "nobody is there to answer");

    let second = orchestrator(&broker, &store).await;
    let view = until_ended(&second.handle(), "t").await;
    assert_eq!((view.state, view.outcome), (TestState::Completed, Some(Outcome::Exact)), "{:?}", view.reason);
    assert_eq!(view.participants.iter().map(|p| p.reports).collect::<Vec<_>>(), [30, 30]);
    let metrics = second.handle().metrics(test_id("t")).await.unwrap();
    assert_eq!(metrics.all.latency.count, Some(600));
    let shown = Exposition::read(&second.handle().exposition().await.unwrap());
    assert_eq!(shown.get("onrush_driver_requests_sent_total", "driver=a,test=t"), Some(300.0));
    assert_eq!(shown.get("onrush_driver_latency_seconds_count", "driver=b,test=t"), Some(300.0));
    assert_eq!(view.events.iter().filter(|event| event.kind == "triggered").count(), 1);
    second.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_dies_for_a_while_costs_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let broker = EmbeddedBroker::start("").unwrap();
    let orchestrator = orchestrator(&broker, &folder.path().join("onrush.db")).await;
    let handle = orchestrator.handle();
    let _drivers = [Driver::start(&broker, "a", 60), Driver::start(&broker, "b", 60)];
    until_registered(&handle, 2).await;
    handle.create(new("t", 600)).await.unwrap();
    until("some reports are in", async || {
        let metrics = handle.metrics(test_id("t")).await.unwrap();
        metrics.all.sent.is_some_and(|sent| sent >= 40).then_some(())
    })
    .await;
    broker.set_up(false).unwrap();
    // Longer than the silence that makes a driver lost; the drivers send on.
    tokio::time::sleep(Duration::from_secs(7)).await;
    broker.set_up(true).unwrap();
    let view = until_ended(&handle, "t").await;
    assert_eq!((view.state, view.outcome), (TestState::Completed, Some(Outcome::Exact)), "{:?}", view.reason);
    assert!(!view.events.iter().any(|event| event.kind == "lost"), "{:?}", view.events);
    orchestrator.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_fails_for_a_while_costs_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("onrush.db");
    let broker = EmbeddedBroker::start("").unwrap();
    let orchestrator = orchestrator(&broker, &store).await;
    let handle = orchestrator.handle();
    let _drivers = [Driver::start(&broker, "a", 30), Driver::start(&broker, "b", 30)];
    until_registered(&handle, 2).await;
    handle.create(new("t", 300)).await.unwrap();
    until("some reports are in", async || {
        let metrics = handle.metrics(test_id("t")).await.unwrap();
        metrics.all.sent.is_some_and(|sent| sent >= 40).then_some(())
    })
    .await;
    // Somebody writes for longer than the brain waits: its transactions fail.
    let other = rusqlite::Connection::open(&store).unwrap();
    other.busy_timeout(PATIENCE).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    until("the brain gave up", async || matches!(handle.drivers().await, Err(Problem::Unavailable(_))).then_some(()))
        .await;
    other.execute_batch("ROLLBACK").unwrap();
    let view = until_ended(&handle, "t").await;
    assert_eq!((view.state, view.outcome), (TestState::Completed, Some(Outcome::Exact)), "{:?}", view.reason);
    orchestrator.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rubbish_on_every_topic_is_counted_and_stops_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let broker = EmbeddedBroker::start("").unwrap();
    let orchestrator = orchestrator(&broker, &folder.path().join("onrush.db")).await;
    let handle = orchestrator.handle();
    let vandal = Producer::new(&bus(&broker, "vandal"), 1000).unwrap();
    let texts: [&[u8]; 9] = [
        b"",
        b"\xff\xfe\x00",
        b"[1, 2",
        b"null",
        br#"{"node_id": 5}"#,
        br#"{"node_id": "x", "test_id": "t", "metrics": {"mean_latency": -1}}"#,
        br#"{"node_id": "x", "test_id": "t", "metrics": {"mean_latency": 1e300}}"#,
        br#"{"node_id": "x", "test_id": "t", "sequence": 1e300, "counts": {"sent": "NaN"}}"#,
        br#"{"schema": 99, "node_id": "x", "test_id": "t"}"#,
    ];
    for topic in Topic::ALL {
        for text in texts {
            vandal.send(topic, "x", text.to_vec()).unwrap();
        }
        vandal.send(topic, "x", vec![b'['; 600_000]).unwrap();
    }
    assert!(vandal.flush(PATIENCE));
    let _drivers = [Driver::start(&broker, "a", 3), Driver::start(&broker, "b", 3)];
    until("both are there", async || {
        let drivers = handle.drivers().await.unwrap();
        (["a", "b"].iter().all(|name| drivers.iter().any(|d| d.node_id == *name && d.state == DriverState::Idle)))
            .then_some(())
    })
    .await;
    let skipped = handle.skipped().await.unwrap();
    for kind in ["register: not JSON", "heartbeat: not JSON", "metrics: not JSON", "metrics: bad field"] {
        assert!(skipped.get(kind).is_some_and(|n| *n > 0), "{kind}: {skipped:?}");
    }
    // `x` and `5` have been heard once, by a message that could be read; they are lost by and by.
    until("the vandal's drivers are lost", async || {
        let drivers = handle.drivers().await.unwrap();
        drivers.iter().all(|d| matches!(d.node_id.as_str(), "a" | "b") || d.state == DriverState::Lost).then_some(())
    })
    .await;
    handle.create(new("t", 30)).await.unwrap();
    let view = until_ended(&handle, "t").await;
    assert_eq!((view.state, view.outcome), (TestState::Completed, Some(Outcome::Exact)), "{:?}", view.reason);
    orchestrator.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_taken_is_said_at_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("onrush.db");
    let broker = EmbeddedBroker::start("").unwrap();
    let first = orchestrator(&broker, &store).await;
    let config = |listen, store: &Path, min_drivers| OrchestratorConfig {
        retention: Retention::default(),
        bus: bus(&broker, "second"),
        listen,
        store: store.to_owned(),
        min_drivers,
        max_drivers: 8,
        allow_hosts: vec!["Other.Name".into()],
        token_file: None,
        insecure_no_auth: false,
    };
    let refusal = async |config| Orchestrator::start(config).await.map(drop).unwrap_err().to_string();
    let in_use = refusal(config(ANY_PORT, &store, 2)).await;
    assert!(in_use.contains("another orchestrator is running on"), "{in_use}");
    let other = folder.path().join("other.db");
    let taken = refusal(config(first.address(), &other, 2)).await;
    assert!(taken.contains(&format!("cannot listen on {}", first.address())), "{taken}");
    assert!(refusal(config(ANY_PORT, &other, 9)).await.contains("--min-drivers is 9"));
    for beyond in ["0.0.0.0:0", "[::]:0", "192.0.2.1:0", "[::ffff:192.0.2.1]:0"] {
        let unguarded = refusal(config(beyond.parse().unwrap(), &other, 2)).await;
        assert!(unguarded.contains(beyond) && unguarded.contains("--token-file"), "{unguarded}");
    }
    let tokens = folder.path().join("tokens");
    std::fs::write(&tokens, "# nobody yet\nview anna\n").unwrap();
    let bad = refusal(OrchestratorConfig { token_file: Some(tokens), ..config(ANY_PORT, &other, 2) }).await;
    assert!(bad.contains("tokens: line 2: "), "{bad}");
    first.shutdown().await;
    // Everything is free again.
    orchestrator(&broker, &store).await.shutdown().await;
}
