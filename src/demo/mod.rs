//! `onrush demo`: all of Onrush on this machine, proved at work within a minute.
//!
//! Broker and orchestrator live in this process, target and drivers in child processes. The tests are run and
//! followed through REST, by the code of `onrush test`.

mod children;
mod control;
mod cpus;
mod verdict;

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use onrush_api::{Client, DriverState, DriverView, NewTest, orchestrator_url};
use onrush_bus::EmbeddedBroker;
use onrush_protocol::{TestConfig, TestId, TestType};
use tempfile::TempDir;

use crate::cli::DemoArgs;
use crate::console::{Console, is_interactive, stdout_columns};
use crate::error::{EXIT_FAILED, Error};
use crate::file::write_whole;
use crate::follow::{Wish, follow};
use crate::logging::LogFormat;
use crate::nodes::start_embedded;
use crate::report;
use crate::signals::{LOOK_EVERY, Stop};
use children::{Children, Role};
use control::Control;
use cpus::CpuPlan;
use verdict::Expected;

const ORCHESTRATOR_PORT: u16 = 7400;
const TARGET_PORT: u16 = 8080;
/// The nodes have this long to come up, and the drivers to be idle again after a test.
const READY_AT_MOST: Duration = Duration::from_secs(20);
const TSUNAMI_REQUESTS: u64 = 1_000;
const TSUNAMI_DELAY: Duration = Duration::from_millis(2);

/// `onrush demo`.
pub fn run(args: DemoArgs, log_format: LogFormat, console: &Console) -> Result<ExitCode, Error> {
    let stop = Stop::on_signals()?;
    // Dropped in reverse order: the store's folder is removed when nobody writes to it any more.
    let (store, _folder) = store(args.store)?;
    let broker = start_embedded("")?;
    let control = Control::start(&broker, local(ORCHESTRATOR_PORT), store, args.drivers)?;
    let base = orchestrator_url(&control.address().to_string()).map_err(Error::Failed)?;
    let mut demo = Demo {
        client: Client::new(base),
        children: Children::new(console.clone(), log_format),
        control,
        console,
        stop,
        drivers: args.drivers,
    };
    let outcome = demo.play(&broker, args.requests, args.report.as_deref());
    if demo.stop.requested() {
        console.note("ending");
    }
    // In this order everybody can still say goodbye to somebody.
    demo.children.stop();
    demo.control.stop();
    outcome
}

/// Everything that plays together.
struct Demo<'a> {
    client: Client,
    children: Children,
    control: Control,
    console: &'a Console,
    stop: Stop,
    drivers: usize,
}

impl Demo<'_> {
    fn play(&mut self, broker: &EmbeddedBroker, requests: u64, report: Option<&Path>) -> Result<ExitCode, Error> {
        let plan = CpuPlan::new(&cpus::usable()?, self.drivers);
        let dashboard = self.client.address().to_owned();
        self.console.note(&format!("orchestrator  {dashboard}  (dashboard and REST; broker {})", broker.address()));
        let target_url = self.start_target(&plan)?;
        self.console.note(&format!("target        {target_url}"));
        for (index, cpus) in plan.drivers.iter().enumerate() {
            let name = format!("driver-{}", index + 1);
            let cpus = onrush_host::cpus::format_list(cpus);
            let flags = ["--brokers", broker.address(), "--node-id", &name, "--cpus", &cpus];
            self.children.spawn(Role::Driver, &name, &flags)?;
        }
        self.wait_for_drivers()?;
        self.console.note(&format!("drivers       {} registered; {plan}", self.drivers));

        let test = |test_type, name: &str, count| {
            let mut config = TestConfig::new(TestId::new("demo").expect("a word is a name"), test_type);
            (config.target_url, config.count_per_driver) = (Some(target_url.clone()), Some(count));
            NewTest { config, name: Some(name.into()), trigger: true }
        };
        let avalanche = test(TestType::Avalanche, "demo avalanche", requests);
        let mut tsunami = test(TestType::Tsunami, "demo tsunami", TSUNAMI_REQUESTS);
        tsunami.config.delay = TSUNAMI_DELAY;
        let mut broken = Vec::new();
        for (test, report) in [(avalanche, report), (tsunami, None)] {
            broken.extend(self.run_test(test, report)?);
            self.wait_for_drivers()?;
        }
        for problem in &broken {
            self.console.error(problem);
        }
        if is_interactive() {
            self.console.result(&format!("\ndashboard: {dashboard}  (Ctrl-C ends the demo)\n"))?;
            while !self.stop.requested() {
                self.check_nodes()?;
                std::thread::sleep(LOOK_EVERY);
            }
        }
        Ok(if broken.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(EXIT_FAILED) })
    }

    /// Starts the target and gives the URL that it serves.
    fn start_target(&mut self, plan: &CpuPlan) -> Result<String, Error> {
        let (listen, cpus) = (local(TARGET_PORT).to_string(), onrush_host::cpus::format_list(&plan.target));
        self.children.spawn(Role::Target, "target", &["--listen", &listen, "--cpus", &cpus])?;
        let address =
            self.wait_until("the target does not say where it listens", |demo| Ok(demo.children.announced()))?;
        Ok(format!("http://{address}/ping"))
    }

    /// Waits until every driver is registered and has nothing to do.
    fn wait_for_drivers(&mut self) -> Result<(), Error> {
        let mut seen: Vec<DriverView> = Vec::new();
        let ready = self.wait_until("the drivers are not ready", |demo| {
            seen = demo.client.drivers()?;
            let idle = seen.iter().filter(|driver| driver.state == DriverState::Idle).count();
            Ok((idle >= demo.drivers).then_some(()))
        });
        ready.map_err(|error| match error {
            Error::Failed(words) => {
                let state = |driver: &DriverView| format!("{} is {:?}", driver.node_id, driver.state).to_lowercase();
                let states = seen.iter().map(state).collect::<Vec<_>>().join(", ");
                let states = if states.is_empty() { "none is registered".into() } else { states };
                Error::Failed(format!("{words}\nof {} drivers: {states}", self.drivers))
            }
            other => other,
        })
    }

    /// Runs a test, shows its result, writes its report where one is wanted and gives what did not hold.
    fn run_test(&mut self, new_test: NewTest, report: Option<&Path>) -> Result<Vec<String>, Error> {
        let expected = Expected { drivers: self.drivers, requests: new_test.config.count_per_driver.unwrap_or(0) };
        let test = self.client.create(&new_test)?;
        self.console.note(&format!("\n{} {}", test.config.test_type, test.test_id));
        let client = self.client.clone();
        let (test, metrics) = follow(&client, test, self.console, || {
            self.check_nodes()?;
            Ok(if self.stop.requested() { Wish::Leave } else { Wish::GoOn })
        })?;
        self.console.result(&format!("\n{}", report::result(&test, &metrics, stdout_columns())))?;
        if let Some(path) = report.filter(|_| test.state.is_end()) {
            write_whole(path, |file| Ok(client.report(&test.test_id, file)?))?;
            self.console.note(&format!("report        {}", path.display()));
        }
        Ok(expected.broken(&test, &metrics))
    }

    /// Asks again and again until there is an answer; at most [`READY_AT_MOST`].
    fn wait_until<T>(
        &mut self,
        otherwise: &str,
        mut ask: impl FnMut(&mut Self) -> Result<Option<T>, Error>,
    ) -> Result<T, Error> {
        let deadline = Instant::now() + READY_AT_MOST;
        loop {
            if self.stop.requested() {
                return Err(Error::Interrupted);
            }
            self.check_nodes()?;
            if let Some(answer) = ask(self)? {
                return Ok(answer);
            }
            if Instant::now() > deadline {
                let words = format!("{otherwise} after {READY_AT_MOST:?}{}", self.children.last_words());
                return Err(Error::Failed(words));
            }
            std::thread::sleep(LOOK_EVERY);
        }
    }

    /// Nobody ends before the demo does.
    fn check_nodes(&mut self) -> Result<(), Error> {
        self.control.check()?;
        // A child that ends after Ctrl-C ends as it should.
        if self.stop.requested() { Ok(()) } else { self.children.check() }
    }
}

/// The store's file; without a wish, in a folder that is removed at the end.
fn store(wanted: Option<PathBuf>) -> Result<(PathBuf, Option<TempDir>), Error> {
    if let Some(path) = wanted {
        return Ok((path, None));
    }
    let folder = tempfile::Builder::new().prefix("onrush-demo-").tempdir();
    let folder = folder.map_err(|e| Error::failed("cannot make a folder for the results", e))?;
    Ok((folder.path().join("onrush.db"), Some(folder)))
}

/// This port on loopback, or port 0 (a free one) where it is taken.
fn local(port: u16) -> SocketAddr {
    let wanted = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    // The listener is closed at once; it only tries.
    let port = if TcpListener::bind(wanted).is_ok() { port } else { 0 };
    SocketAddr::from((Ipv4Addr::LOCALHOST, port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_that_is_taken_is_replaced() {
        let taken = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = taken.local_addr().expect("it is bound").port();
        assert_eq!(local(port).port(), 0);
        drop(taken);
    }

    #[test]
    fn a_store_without_a_name_is_removed() {
        let (path, folder) = store(None).expect("a temporary folder");
        std::fs::write(&path, "x").expect("it can be written");
        drop(folder);
        assert!(!path.exists());
        assert_eq!(store(Some("kept.db".into())).expect("nothing is made").0, PathBuf::from("kept.db"));
    }
}
