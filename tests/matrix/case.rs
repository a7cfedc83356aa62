//! One run of `bench` against a target, with one thing made to be the limit.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::Value;

use crate::harness::{Process, TEST_END};
use crate::network::{FAR, Namespace, Network, Way};

const PORT: &str = "8080";
/// Connections are open and requests are sent.
const UNDER_WAY: Duration = Duration::from_millis(1_500);
const FIRST_PORT: u16 = 20_000;

/// What is run, and where.
#[derive(Clone, Debug, Default)]
pub struct Case {
    /// Between the two; `None`: both use the loopback device.
    pub way: Option<Way>,
    /// Flags of `target`, and of `bench`.
    pub target: Vec<String>,
    pub bench: Vec<String>,
    /// So many local ports are left to the generator once it runs, in a namespace of its own.
    pub ports: Option<u16>,
    /// Processes that want the generator's CPU, too.
    pub burners: usize,
    /// The generator's limit of descriptors, once it runs.
    pub descriptors: Option<u64>,
    /// In place of the target, one that takes a new connection now and then.
    pub slow_to_accept: bool,
}

/// Who was the limit.
pub struct Named {
    pub limited_by: String,
    pub resource: String,
    pub line: String,
}

impl Case {
    /// Flags, separated by spaces.
    pub fn new(target: &str, bench: &str) -> Self {
        let words = |text: &str| text.split_whitespace().map(ToOwned::to_owned).collect();
        Self { target: words(target), bench: words(bench), ..Self::default() }
    }

    pub fn over(self, way: Way) -> Self {
        Self { way: Some(way), ..self }
    }

    /// Runs it: who was named.
    pub fn run(&self) -> std::io::Result<Named> {
        let network = self.way.map(Network::new).transpose()?;
        let island = self.ports.map(|_| crate::network::island()).transpose()?;
        let of_network = |end: fn(&Network) -> &Namespace| network.as_ref().map(end).or(island.as_ref());
        let (near, far) = (of_network(|network| &network.near), of_network(|network| &network.far));
        let _slow = self.slow_to_accept.then(crate::accept::SlowToAccept::start);
        let mut target = None;
        let url = match &_slow {
            Some(slow) => slow.url(),
            None => {
                let listen = match &network {
                    Some(_) => format!("{FAR}:{PORT}"),
                    None => "127.0.0.1:0".to_owned(),
                };
                let process =
                    target.insert(start("target", far, cpu(0), &["target", "--listen", &listen], &self.target));
                format!("{}/ping", process.wait_for_address())
            }
        };
        let _burners: Vec<Burner> = (0..self.burners).map(|_| Burner::start(cpu(1))).collect();
        let folder = tempfile::tempdir()?;
        let result = folder.path().join("result.json");
        let output = ["bench", &url, "--output-format", "json", "--output", text(&result)];
        let mut bench = start("bench", near, cpu(1), &output, &self.bench);
        if self.ports.is_some() || self.descriptors.is_some() {
            std::thread::sleep(UNDER_WAY);
        }
        if let (Some(island), Some(ports)) = (&island, self.ports) {
            island.set_local_ports(FIRST_PORT, FIRST_PORT + ports - 1);
        }
        if let Some(descriptors) = self.descriptors {
            let limit = format!("--nofile={descriptors}:{descriptors}");
            let limited = Command::new("prlimit").args(["--pid", &bench.id().to_string(), &limit]).status();
            assert!(limited.expect("prlimit is there").success());
        }
        bench.wait_for_end(TEST_END);
        let result = std::fs::read_to_string(result).unwrap_or_else(|e| panic!("{e}: {}", bench.output()));
        let result: Value = serde_json::from_str(&result).expect("it is JSON");
        let word = |name: &str| result["limit"][name].as_str().unwrap_or_default().to_owned();
        Ok(Named { limited_by: word("limited_by"), resource: word("resource"), line: word("line") })
    }
}

/// The first CPU is the target's, the second the generator's, where there are two.
fn cpu(place: usize) -> usize {
    let allowed = onrush_host::cpus::allowed().expect("a process may ask for its own CPUs");
    allowed[place.min(allowed.len() - 1)]
}

fn start(name: &str, namespace: Option<&Namespace>, cpu: usize, first: &[&str], more: &[String]) -> Process {
    let cpu = cpu.to_string();
    let mut args = [first, &["--cpus", &cpu]].concat();
    args.extend(more.iter().map(String::as_str));
    let mut command = Process::command(&args);
    if let Some(namespace) = namespace {
        namespace.enter(&mut command);
    }
    Process::start(name, command)
}

fn text(path: &Path) -> &str {
    path.to_str().expect("temporary folders have plain names")
}

/// A process that wants all of a CPU.
struct Burner(Child);

impl Burner {
    fn start(cpu: usize) -> Self {
        let mut command = Command::new("taskset");
        command.args(["-c", &cpu.to_string(), "sh", "-c", "while :; do :; done"]);
        Self(command.stdout(Stdio::null()).spawn().expect("taskset is there"))
    }
}

impl Drop for Burner {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
