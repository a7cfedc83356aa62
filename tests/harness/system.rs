//! The nodes of one test: target, orchestrator and drivers, each a real process.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::process::Command;

use onrush_api::{DriverState, DriverView};
use serde_json::Value;
use tempfile::TempDir;

use super::{Broker, Process, Rest, SOON, wait_for};

/// Nodes that meet on one broker.
pub struct System<'a> {
    broker: &'a Broker,
    folder: TempDir,
}

impl<'a> System<'a> {
    pub fn new(broker: &'a Broker) -> Self {
        Self { broker, folder: tempfile::tempdir().expect("a temporary folder") }
    }

    /// A file in this system's own folder.
    pub fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn target(&self, more: &[&str]) -> Target {
        Target::start(more)
    }

    /// The orchestrator, on this system's store: one that is started again finds what the first left.
    pub fn orchestrator(&self) -> Orchestrator {
        self.orchestrator_with(&[])
    }

    /// The same with more flags.
    pub fn orchestrator_with(&self, more: &[&str]) -> Orchestrator {
        self.orchestrator_on("127.0.0.1:0", more)
    }

    /// The same, where an earlier one listened: `http://ADDRESS` or `ADDRESS`.
    pub fn orchestrator_at(&self, address: &str) -> Orchestrator {
        self.orchestrator_on(address.trim_start_matches("http://"), &[])
    }

    fn orchestrator_on(&self, listen: &str, more: &[&str]) -> Orchestrator {
        let store = self.file("onrush.db");
        let store = store.to_str().expect("temporary folders have plain names");
        let args = [&["--listen", listen, "--store", store], more].concat();
        let mut process = self.node("orchestrator", &["orchestrator"], &args);
        let base = process.wait_for_address();
        Orchestrator { rest: Rest::new(&base), process }
    }

    pub fn driver(&self, node_id: &str, more: &[&str]) -> Process {
        self.node(node_id, &["driver", "--node-id", node_id], more)
    }

    /// A driver in an environment of its own.
    pub fn driver_with(&self, node_id: &str, environment: &[(&str, &str)]) -> Process {
        let topics = ["--brokers", self.broker.address(), "--topic-prefix", self.broker.prefix()];
        Process::onrush_with(node_id, &[["driver", "--node-id", node_id].as_slice(), &topics].concat(), environment)
    }

    /// A driver whose wall clock is set while it lives.
    pub fn driver_with_clock(&self, node_id: &str) -> (Process, Clock) {
        let library = self.file("shifted_clock.so");
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/peers/shifted_clock.c");
        // The build of Kafka's client needs a C compiler, too.
        let compiler = std::env::var_os("CC").unwrap_or_else(|| "cc".into());
        let built = Command::new(compiler).args(["-shared", "-fPIC", "-o"]).arg(&library).arg(source).status();
        assert!(built.expect("a C compiler").success());
        let path = self.file("shifted_by");
        let clock = Clock(File::create(&path).expect("a file"));
        clock.shift_s(0.0);
        let [library, path] = [&library, &path].map(|path| path.to_str().expect("plain names"));
        (self.driver_with(node_id, &[("LD_PRELOAD", library), ("SHIFTED_BY", path)]), clock)
    }

    /// The usual: an orchestrator with so many drivers, `driver-1` and so on, all registered.
    pub fn with_drivers(&self, count: usize) -> (Orchestrator, Vec<Process>) {
        let orchestrator = self.orchestrator();
        let drivers = (1..=count).map(|n| self.driver(&format!("driver-{n}"), &[])).collect();
        orchestrator.wait_for_idle(count);
        (orchestrator, drivers)
    }

    fn node(&self, name: &str, first: &[&str], more: &[&str]) -> Process {
        let topics = ["--brokers", self.broker.address(), "--topic-prefix", self.broker.prefix()];
        Process::onrush(name, &[first, &topics, more].concat())
    }
}

/// A running orchestrator. What can be asked of it stands in [`Rest`].
pub struct Orchestrator {
    pub process: Process,
    rest: Rest,
}

/// A process's wall clock.
pub struct Clock(File);

impl Clock {
    /// Sets it so much ahead of the machine's.
    pub fn shift_s(&self, seconds: f64) {
        self.0.write_all_at(&seconds.to_ne_bytes(), 0).expect("it can be written");
    }
}

impl std::ops::Deref for Orchestrator {
    type Target = Rest;

    fn deref(&self) -> &Rest {
        &self.rest
    }
}

impl Orchestrator {
    /// Waits until so many drivers are idle.
    #[track_caller]
    pub fn wait_for_idle(&self, count: usize) {
        wait_for(&format!("{count} idle drivers"), SOON, || {
            let drivers = self.try_drivers()?;
            let idle = drivers.iter().filter(|driver| driver.state == DriverState::Idle).count();
            if idle == count { Ok(()) } else { Err(format!("{drivers:#?}")) }
        });
    }

    /// Waits until a driver is as described.
    #[track_caller]
    pub fn wait_for_driver(&self, node_id: &str, what: &str, is: impl Fn(&DriverView) -> bool) -> DriverView {
        wait_for(&format!("{node_id} to be {what}"), SOON, || {
            let drivers = self.try_drivers()?;
            let found = drivers.iter().find(|driver| driver.node_id == node_id);
            found.filter(|driver| is(driver)).cloned().ok_or_else(|| format!("{found:#?}"))
        })
    }
}

/// A running target.
pub struct Target {
    pub process: Process,
    base: String,
    rest: Rest,
}

impl Target {
    /// A target on a free port.
    pub fn start(more: &[&str]) -> Self {
        let mut process = Process::onrush("target", &[&["target", "--listen", "127.0.0.1:0"], more].concat());
        let base = process.wait_for_address();
        Self { rest: Rest::new(&base), base, process }
    }

    /// What the drivers load.
    pub fn url(&self) -> String {
        format!("{}/ping", self.base)
    }

    /// Requests to `/ping` and answers 200 that the target itself counted.
    #[track_caller]
    pub fn counted(&self) -> (u64, u64) {
        let report: Value = self.rest.get("/metrics");
        let endpoints = report["endpoints"].as_array().expect("a list of endpoints");
        let ping = endpoints.iter().find(|endpoint| endpoint["path"] == "/ping").expect("/ping is listed");
        (ping["requests"].as_u64().expect("a count"), ping["responses"]["200"].as_u64().unwrap_or(0))
    }
}
