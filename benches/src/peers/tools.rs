//! The load tools: how each is asked for the same load.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::{Problem, process};

const K6_SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/k6.js");
const LOCUST_FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/locustfile.py");
/// How long a tool may think about its own version.
const PATIENCE: Duration = Duration::from_secs(60);

/// What a tool is asked for.
#[derive(Debug)]
pub struct Load {
    pub url: String,
    pub connections: u32,
    pub seconds: u32,
    /// Where the tool runs, for one that wants to know.
    pub cpu: usize,
    /// As fast as it can, or so many requests in a second.
    pub rate_per_s: Option<u32>,
}

/// A tool that is not ours.
#[derive(Debug)]
pub struct Peer {
    pub name: &'static str,
    version: &'static [&'static str],
    /// Whether it can be asked for a rate of requests.
    keeps_rates: bool,
    pub install: &'static str,
    notes: &'static str,
}

/// All that are known.
pub const PEERS: &[Peer] = &[
    Peer { name: "wrk", version: &["-v"], keeps_rates: false, install: "apt-get install wrk", notes: "" },
    Peer {
        name: "wrk2",
        version: &["-v"],
        keeps_rates: true,
        install: "build https://github.com/giltene/wrk2 and name the binary wrk2",
        notes: "always keeps a rate: asked for 10,000,000/s where others go as fast as they can",
    },
    Peer {
        name: "h2load",
        version: &["--version"],
        keeps_rates: false,
        install: "apt-get install nghttp2-client",
        notes: "--h1",
    },
    Peer { name: "oha", version: &["--version"], keeps_rates: true, install: "cargo install oha", notes: "" },
    Peer {
        name: "vegeta",
        version: &["-version"],
        keeps_rates: true,
        install: "go install github.com/tsenart/vegeta/v12@latest",
        notes: "",
    },
    Peer {
        name: "bombardier",
        version: &["--version"],
        keeps_rates: true,
        install: "go install github.com/codesenberg/bombardier@latest",
        notes: "",
    },
    Peer {
        name: "hey",
        version: &[],
        keeps_rates: true,
        install: "go install github.com/rakyll/hey@latest",
        notes: "a rate per connection",
    },
    Peer { name: "k6", version: &["version"], keeps_rates: true, install: "go install go.k6.io/k6@latest", notes: "" },
    Peer {
        name: "locust",
        version: &["--version"],
        keeps_rates: true,
        install: "pip install locust",
        notes: "FastHttpUser, one process",
    },
];

/// The names of all peers.
pub fn names() -> String {
    PEERS.iter().map(|peer| peer.name).collect::<Vec<_>>().join(", ")
}

/// A tool that is there.
#[derive(Debug)]
pub struct Tool {
    pub name: &'static str,
    pub version: String,
    pub keeps_rates: bool,
    pub notes: String,
    program: PathBuf,
    /// What stands before the flags of `onrush bench`.
    subcommand: &'static str,
}

/// A command line with what it reads.
pub struct Invocation {
    program: PathBuf,
    arguments: Vec<String>,
    environment: Vec<(&'static str, String)>,
    /// For its standard input.
    pub input: String,
}

impl Invocation {
    pub fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.args(&self.arguments).envs(self.environment.iter().map(|(name, value)| (*name, value)));
        command
    }
}

impl Tool {
    /// The peer, where it is installed.
    pub fn peer(peer: &Peer) -> Option<Self> {
        let Peer { name, version, keeps_rates, notes, .. } = *peer;
        let version = version_of(Path::new(name), version)?;
        Some(Self { name, version, keeps_rates, notes: notes.into(), program: name.into(), subcommand: "" })
    }

    /// `onrush bench` of `program`, or of the binary beside this one; where neither is, the engine of this binary.
    pub fn onrush(program: Option<&Path>) -> Result<Self, Problem> {
        let own = std::env::current_exe()?;
        let beside = own.with_file_name("onrush");
        let tool = |program: &Path, version, subcommand, notes: &str| Self {
            name: "onrush",
            version,
            keeps_rates: true,
            notes: notes.into(),
            program: program.into(),
            subcommand,
        };
        let candidate = program.unwrap_or(&beside);
        let asked = process::run(Command::new(candidate).args(["bench", "--help"]), 0, "", PATIENCE);
        match (asked, program) {
            (Ok(finished), _) if finished.success => {
                let version = version_of(candidate, &["--version"]).unwrap_or_default();
                Ok(tool(candidate, version, "bench", ""))
            }
            (Ok(finished), Some(program)) => {
                Err(format!("{} bench: {}", program.display(), finished.complaint()).into())
            }
            (Err(problem), Some(program)) => Err(format!("{}: {problem}", program.display()).into()),
            (_, None) => Ok(tool(&own, env!("CARGO_PKG_VERSION").into(), "load", "the engine without `onrush bench`")),
        }
    }

    /// How this tool is asked for that load.
    pub fn invocation(&self, load: &Load) -> Invocation {
        let Load { url, connections, seconds, cpu, rate_per_s } = load;
        let mut input = String::new();
        let mut environment = Vec::new();
        let line = match (self.name, rate_per_s) {
            ("onrush", None) => {
                format!("{} {url} -c {connections} -d {seconds}s --cpus {cpu} --output-format json", self.subcommand)
            }
            // The CPU is its own, which it cannot know: it may use no other.
            ("onrush", Some(rate)) => format!(
                "{} {url} -c {connections} -d {seconds}s --type tsunami -R {rate} --cpus {cpu} --wait poll \
                 --output-format json",
                self.subcommand
            ),
            ("wrk", _) => format!("-t1 -c{connections} -d{seconds}s {url}"),
            ("wrk2", rate) => {
                format!("-t1 -c{connections} -d{seconds}s -R{} {url}", rate.unwrap_or(10_000_000))
            }
            ("h2load", _) => format!("--h1 -t1 -c{connections} -D{seconds} {url}"),
            ("oha", None) => format!("--no-tui -c {connections} -z {seconds}s {url}"),
            ("oha", Some(rate)) => format!("--no-tui -c {connections} -z {seconds}s -q {rate} {url}"),
            ("vegeta", rate) => {
                input = format!("GET {url}\n");
                format!(
                    "attack -rate={} -workers={connections} -max-workers={connections} -connections={connections} \
                     -max-connections={connections} -duration={seconds}s -output=/dev/null",
                    rate.unwrap_or(0)
                )
            }
            ("bombardier", None) => format!("-c {connections} -d {seconds}s -p r {url}"),
            ("bombardier", Some(rate)) => format!("-c {connections} -d {seconds}s -r {rate} -p r {url}"),
            ("hey", None) => format!("-c {connections} -z {seconds}s {url}"),
            ("hey", Some(rate)) => {
                format!("-c {connections} -z {seconds}s -q {} {url}", f64::from(*rate) / f64::from(*connections))
            }
            (name, rate) => {
                environment = vec![
                    ("TARGET_URL", url.clone()),
                    ("CONNECTIONS", connections.to_string()),
                    ("SECONDS_LONG", seconds.to_string()),
                    ("RATE_PER_S", rate.unwrap_or(0).to_string()),
                ];
                if name == "k6" {
                    "run --quiet --no-usage-report --no-summary SCRIPT".into()
                } else {
                    format!("-f SCRIPT --headless --only-summary -u {connections} -r {connections} -t {seconds}s")
                }
            }
        };
        let script = if self.name == "k6" { K6_SCRIPT } else { LOCUST_FILE };
        // Paths may hold spaces: they come in only now.
        let argument = |word: &str| if word == "SCRIPT" { script.to_owned() } else { word.to_owned() };
        let arguments = line.split_whitespace().map(argument).collect();
        Invocation { program: self.program.clone(), arguments, environment, input }
    }
}

/// What a tool says of its version; `None`: it is not there.
fn version_of(program: &Path, arguments: &[&str]) -> Option<String> {
    let mut told = None;
    if !arguments.is_empty() {
        let finished = process::run(Command::new(program).args(arguments), 0, "", PATIENCE).ok()?;
        // Some tell it as a complaint.
        let said = format!("{}\n{}", finished.stdout, finished.stderr);
        told = said.lines().find_map(version_within);
    }
    match (told, on_path(program)) {
        (Some(version), _) => Some(version),
        // Those that Go built know it all the same.
        (None, Some(path)) => Some(go_version(&path).unwrap_or_else(|| "not told".into())),
        (None, None) => None,
    }
}

/// The word of a line that has a digit and a dot: `12.13.0` of `oha 12.13.0`.
fn version_within(line: &str) -> Option<String> {
    let is_version =
        |word: &&str| word.contains('.') && !word.contains("//") && word.contains(|c: char| c.is_ascii_digit());
    let word = line.split([' ', ',', '(', ')']).find(is_version)?;
    Some(word.chars().take(40).collect())
}

fn go_version(path: &Path) -> Option<String> {
    let finished = process::run(Command::new("go").args(["version", "-m"]).arg(path), 0, "", PATIENCE).ok()?;
    let module = finished.stdout.lines().find_map(|line| line.trim().strip_prefix("mod\t"))?;
    module.split('\t').nth(1).map(str::to_owned)
}

fn on_path(program: &Path) -> Option<PathBuf> {
    let paths = std::env::var_os("PATH")?;
    std::env::split_paths(&paths).map(|directory| directory.join(program)).find(|path| path.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_in_what_tools_say() {
        for (line, expected) in [
            ("wrk debian/4.1.0-3+b2 [epoll] Copyright (C) 2012 Will Glozer", Some("debian/4.1.0-3+b2")),
            ("h2load nghttp2/1.52.0", Some("nghttp2/1.52.0")),
            ("k6 v1.3.0 (go1.26.8, linux/amd64)", Some("v1.3.0")),
            ("Version: ", None),
        ] {
            assert_eq!(version_within(line).as_deref(), expected);
        }
    }

    #[test]
    fn every_peer_is_asked_for_what_is_wanted() {
        let load = |rate_per_s| Load { url: "http://a/ping".into(), connections: 7, seconds: 3, cpu: 1, rate_per_s };
        for peer in PEERS {
            let tool = Tool {
                name: peer.name,
                version: String::new(),
                keeps_rates: peer.keeps_rates,
                notes: String::new(),
                program: peer.name.into(),
                subcommand: "",
            };
            let asked = |load: &Load| {
                let Invocation { arguments, environment, input, .. } = tool.invocation(load);
                format!("{arguments:?} {environment:?} {input}")
            };
            let fast = asked(&load(None));
            assert!(["http://a/ping", "7", "3"].iter().all(|part| fast.contains(part)), "{}: {fast}", peer.name);
            assert!(!peer.keeps_rates || asked(&load(Some(70))) != fast, "{} ignores the rate", peer.name);
        }
        for script in [K6_SCRIPT, LOCUST_FILE] {
            assert!(Path::new(script).is_file(), "{script}");
        }
    }
}
