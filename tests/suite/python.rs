//! Nodes that other people could have written: the scripts in `tests/peers`, on a stock Kafka client.

use std::process::Command;

use onrush_api::{DriverState, TestState};
use serde_json::Value;

use super::checks::tsunami;
use crate::harness::{Broker, Peer, Process, System, TEST_END, beside_others};

/// Starts a script with the Python of `ONRUSH_PYTHON`; fails in words where that has no Kafka client.
#[track_caller]
fn peer(script: &str, broker: &Broker, more: &[&str]) -> Process {
    let python = std::env::var("ONRUSH_PYTHON").unwrap_or_else(|_| "python3".into());
    let has = |module: &str| {
        let asked = Command::new(&python).args(["-c", &format!("import {module}")]).output();
        asked.is_ok_and(|done| done.status.success())
    };
    assert!(
        has("kafka") || has("confluent_kafka"),
        "{python} has no Kafka client: `pip install kafka-python` (or confluent-kafka), and set ONRUSH_PYTHON to the \
         Python that has it",
    );
    let mut command = Command::new(python);
    command.arg(format!("{}/tests/peers/{script}", env!("CARGO_MANIFEST_DIR")));
    command.env("PYTHONDONTWRITEBYTECODE", "1");
    command.args(["--brokers", broker.address(), "--prefix", broker.prefix()]).args(more);
    Process::start(script, command)
}

/// Our orchestrator runs a test on one of our drivers and on the stock one.
pub fn driver(broker: &Broker) {
    let _machine = beside_others();
    let system = System::new(broker);
    let target = system.target(&[]);
    let (orchestrator, _drivers) = system.with_drivers(1);
    let mut stock = peer("spec_driver.py", broker, &["--node-id", "stock-driver", "--target-url", &target.url()]);
    stock.wait_for_line("registered");
    orchestrator.wait_for_driver("stock-driver", "alive", |driver| driver.state == DriverState::Alive);

    let test_id = orchestrator.start(&tsunami(&target.url(), 200, "10ms"));
    let test = orchestrator.wait_for_end(&test_id);
    assert_eq!(test.state, TestState::Completed, "{test:#?}");
    stock.wait_for_line("done");
    let metrics = orchestrator.metrics(&test_id);
    let of = |name: &str| metrics.drivers.iter().find(|scope| scope.node_id.as_deref() == Some(name)).expect("a row");
    assert_eq!((of("driver-1").sent, of("driver-1").answered), (Some(200), Some(200)));
    let plain = of("stock-driver");
    assert_eq!((plain.sent, plain.answered), (None, None), "unknown is not zero");
    let latency = plain.latency;
    for number in [latency.mean_ms, latency.median_ms, latency.min_ms, latency.max_ms] {
        assert!(number.is_some_and(|ms| ms > 0.0), "{latency:?}");
    }
    assert_eq!(target.counted(), (400, 400), "both sent what was asked for");
}

/// The stock orchestrator runs two tests on our driver.
pub fn orchestrator(broker: &Broker) {
    let _machine = beside_others();
    let system = System::new(broker);
    let target = system.target(&[]);
    // The topics must be there before the script asks for them.
    let _topics = Peer::new(broker);
    let mut stock = peer("spec_orchestrator.py", broker, &["--count", "300"]);
    stock.wait_for_line("listening");
    let mut driver = system.driver("driver-1", &["--target-url", &target.url()]);
    stock.wait_for_line("driver driver-1");
    let status = stock.wait_for_end(TEST_END);
    assert!(status.success(), "{status}");
    assert_eq!(target.counted(), (600, 600));
    let said = stock.said();
    let results: Vec<Value> =
        said.iter().filter_map(|line| serde_json::from_str(line.strip_prefix("result ")?).ok()).collect();
    assert_eq!(results.iter().map(|r| &r["test_id"]).collect::<Vec<_>>(), ["stock-1", "stock-2"], "{said:?}");
    for result in &results {
        let ms = |name: &str| result[name].as_f64().expect("a number");
        assert!(0.0 < ms("min_latency") && ms("min_latency") <= ms("median_latency"), "{result}");
        assert!(ms("median_latency") <= ms("max_latency") && ms("mean_latency") <= ms("max_latency"), "{result}");
    }
    driver.assert_running();
}
