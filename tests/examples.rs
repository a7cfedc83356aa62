//! The examples of the documents, run as they stand: only addresses, names and lengths are those of this test.

mod harness;
#[allow(dead_code, reason = "the command line's own tests use the rest")]
#[path = "examples/reader.rs"]
mod reader;

use std::path::Path;
use std::process::Command;

use onrush_api::TestState;
use reader::{Example, examples};
use serde_json::{Value, json};

use harness::{Broker, Orchestrator, Process, System, Target, beside_others, wait_for};

/// The addresses that documents have for a server to load.
const SERVERS: [&str; 4] = ["URL", "http://web:8080/", "http://127.0.0.1:8080/ping", "http://target:8080/ping"];
/// The beginning of those that documents have for metrics of its machine.
const METRICS: &str = "http://web:9100";
/// Those of the orchestrator.
const ORCHESTRATORS: [&str; 3] = ["http://127.0.0.1:7400", "http://orchestrator:7400", "$O"];

#[test]
fn those_on_load_and_limits_run() {
    let load = run_all("docs/LOAD.md", &[]);
    assert!(load >= 6, "docs/LOAD.md has {load} examples");
    // It has lines of results, and may get commands.
    run_all("docs/LIMIT.md", &[]);
}

#[test]
fn those_of_the_readme_run() {
    // What the harness starts itself: nodes stay until they are ended.
    let run = run_all("README.md", &["orchestrator", "driver", "target"]);
    assert!(run >= 20, "README.md has {run} examples");
}

/// Runs the examples of a document but those of some commands; how many.
fn run_all(document: &str, but: &[&str]) -> usize {
    let _machine = beside_others();
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(document);
    let broker = Broker::embedded();
    let system = System::new(&broker);
    let target = system.target(&[]);
    let (orchestrator, _drivers) = system.with_drivers(2);
    let requests = requests_of(&path, &target);
    let file = system.file("requests.jsonl");
    std::fs::write(&file, requests).expect("a file");
    let exported = system.file("run.onrush").display().to_string();
    let requests = file.display().to_string();
    let chart = system.file("curve.svg").display().to_string();
    let report = system.file("report.html").display().to_string();
    let mut stage = Stage { orchestrator, target, requests, exported, chart, report, running: None, ended: None };
    let examples = examples(&path, &["onrush", "curl"]);
    let mut run = 0;
    for example in examples.iter().filter(|example| !but.contains(&example.words[1].as_str())) {
        stage.run(example);
        run += 1;
    }
    run
}

/// The lines of a file of requests that a document shows, for this target.
fn requests_of(document: &Path, target: &Target) -> String {
    let text = std::fs::read_to_string(document).expect("a document");
    let lines = text.lines().filter_map(|line| line.strip_prefix("    {\"url\""));
    let requests = lines.map(|line| {
        let mut request: Value = serde_json::from_str(&format!("{{\"url\"{line}")).expect("an object a line");
        request["url"] = target.url().into();
        request.to_string() + "\n"
    });
    requests.collect()
}

struct Stage {
    orchestrator: Orchestrator,
    target: Target,
    /// The file of requests.
    requests: String,
    /// The file of an exported test.
    exported: String,
    /// The file of a picture.
    chart: String,
    /// The file of a report.
    report: String,
    running: Option<String>,
    ended: Option<String>,
}

impl Stage {
    fn run(&mut self, example: &Example) {
        let words: Vec<&str> = example.words.iter().map(String::as_str).collect();
        match words[..] {
            ["curl", ..] => self.run_curl(example),
            ["onrush", "test", "set", ..] => self.run_onrush(example, Self::running),
            ["onrush", "test", "stop", ..] => {
                self.run_onrush(example, Self::running);
                self.stop_all();
            }
            ["onrush", "test", "show" | "watch" | "list", ..] => self.run_onrush(example, Self::ended),
            ["onrush", "test", "import", ..] => {
                // What was exported before is not here any more, and nothing is open.
                self.stop_all();
                let ended = self.ended();
                let gone = ["test", "delete", &ended, "--orchestrator", self.orchestrator.base()];
                assert!(Process::command(&gone).status().expect("the binary starts").success());
                self.run_onrush(example, |_| String::new());
            }
            ["onrush", "test", "delete", ..] => {
                self.run_onrush(example, Self::ended);
                self.ended = None;
            }
            ["onrush", "test", "export", ..] => {
                self.ended();
                self.run_onrush(example, Self::ended);
            }
            _ => {
                self.stop_all();
                self.run_onrush(example, |_| String::new());
            }
        }
    }

    /// Runs a command of ours; it ends as its exit codes say of a sound result.
    fn run_onrush(&mut self, Example { place, words }: &Example, id: impl Fn(&mut Self) -> String) {
        let id = if words.iter().any(|word| word == "ID") { id(self) } else { String::new() };
        let mut args: Vec<String> = Vec::new();
        let mut before = "";
        for word in &words[1..] {
            args.push(self.word(before, word, &id));
            before = word;
        }
        let has = |flags: &[&str]| args.iter().any(|word| flags.contains(&word.as_str()));
        let command = words[1].as_str();
        let endless = command == "bench" && !has(&["-d", "--duration", "-n", "--requests", "--profile"]);
        let remote = command == "test" && !has(&["--orchestrator"]);
        let unlimited = command == "capacity" && !has(&["--budget"]);
        let limits = has(&["--threshold"]);
        // Not into the folder of the source.
        let file = match words.get(2).map(String::as_str) {
            Some("export") => Some(&self.exported),
            Some("report") => Some(&self.report),
            _ => None,
        };
        let file = file.filter(|_| command == "test" && !has(&["-o", "--output"]));
        if let Some(file) = file {
            args.extend(["-o".into(), file.clone()]);
        }
        if endless {
            args.extend(["-d".into(), "500ms".into()]);
        }
        if unlimited {
            args.extend(["--budget".into(), "4s".into()]);
        }
        if remote {
            args.extend(["--orchestrator".into(), self.orchestrator.base().to_owned()]);
        }
        let borrowed: Vec<&str> = args.iter().map(String::as_str).collect();
        let output = Process::command(&borrowed).output().expect("the binary starts");
        let [out, err] = [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes).into_owned());
        let is_well = match output.status.code() {
            Some(0) => true,
            Some(99) => limits,
            // A search of a few seconds need not come to a rate.
            Some(1) => command == "capacity" && err.contains("no rate was "),
            _ => false,
        };
        assert!(is_well, "{place}: {words:?}, run as {args:?}, ends with {}: {out}{err}", output.status);
    }

    /// A word of an example as it is run here; `before` is the word before it.
    fn word(&self, before: &str, word: &str, id: &str) -> String {
        match (before, word) {
            (_, "ID") => id.to_owned(),
            (_, "requests.jsonl") => self.requests.clone(),
            (_, server) if SERVERS.contains(&server) => self.target.url(),
            (_, word) if word.starts_with(METRICS) => self.target.url().replace("/ping", "/metrics"),
            (_, word) if ORCHESTRATORS.contains(&word) => self.orchestrator.base().to_owned(),
            // Where `onrush test export` leaves the newest test, if it is not told.
            (_, "TEST.onrush") => self.exported.clone(),
            ("--chart", _) => self.chart.clone(),
            ("--rates", _) => "100..200/2".into(),
            ("--for", _) => "5s".into(),
            ("-d" | "--duration", _) => "500ms".into(),
            ("--budget", _) => "4s".into(),
            ("-n" | "--requests", _) => "500".into(),
            ("--profile", profile) if !id.is_empty() => profile.to_owned(),
            ("--profile", profile) => shortened(profile),
            (_, word) => word.to_owned(),
        }
    }

    /// Sends what curl would send.
    fn run_curl(&mut self, Example { place, words }: &Example) {
        let (mut method, mut body, mut url) = (None, None, None);
        let mut rest = words[1..].iter();
        while let Some(word) = rest.next() {
            match word.as_str() {
                "-X" => method = rest.next().cloned(),
                "-d" => body = rest.next().cloned(),
                "-N" => {}
                word if !word.starts_with('-') && url.is_none() => url = Some(word.to_owned()),
                other => panic!("{place}: {other} of curl has no meaning here; teach it"),
            }
        }
        let url = url.unwrap_or_else(|| panic!("{place}: no address"));
        let start = ORCHESTRATORS.iter().find_map(|start| url.strip_prefix(start));
        let path = start.unwrap_or_else(|| panic!("{place}: {url} is not the orchestrator's"));
        let id = if !path.contains("/ID") {
            self.stop_all();
            String::new()
        } else if path.ends_with("/trigger") {
            self.stop_all();
            let test =
                json!({"test_type": "AVALANCHE", "target_url": self.target.url(), "message_count_per_driver": 10});
            self.orchestrator.create(&test).expect("a right test").test_id
        } else if method.as_deref() == Some("DELETE") {
            let id = self.ended();
            self.ended = None;
            id
        } else if method.is_none() {
            self.ended()
        } else {
            self.running()
        };
        let path = path.replace("/ID", &format!("/{id}"));
        let body = body.map(|body| SERVERS.iter().fold(body, |body, server| body.replace(server, &self.target.url())));
        // Curl says of each body that it is a form's.
        let mut command = Command::new("curl");
        command.args(["--silent", "--show-error", "--max-time", "20", "--write-out", "\n%{http_code}"]);
        command.args(method.iter().flat_map(|method| ["-X", method])).args(body.iter().flat_map(|body| ["-d", body]));
        let output = command.arg(format!("{}{path}", self.orchestrator.base())).output();
        let output = output.unwrap_or_else(|e| panic!("curl is needed and does not run here: {e}"));
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let status = text.lines().last().unwrap_or_default();
        assert!(status.starts_with('2'), "{place}: {words:?}: {text}{}", String::from_utf8_lossy(&output.stderr));
        if path.ends_with("/stop") || path.ends_with("/trigger") {
            self.stop_all();
        }
    }

    /// A test that runs.
    fn running(&mut self) -> String {
        if let Some(id) = &self.running {
            return id.clone();
        }
        self.stop_all();
        let id = self.orchestrator.start(&json!({
            "test_type": "AVALANCHE", "target_url": self.target.url(), "duration": "10m", "target_throughput": 20,
        }));
        self.orchestrator.wait_for_test(&id, "running", |test| test.state == TestState::Running);
        self.running = Some(id.clone());
        id
    }

    /// A test that ended by itself.
    fn ended(&mut self) -> String {
        if let Some(id) = &self.ended {
            return id.clone();
        }
        self.stop_all();
        let id = self.orchestrator.start(&json!({
            "test_type": "AVALANCHE", "target_url": self.target.url(), "message_count_per_driver": 100,
        }));
        assert_eq!(self.orchestrator.wait_for_end(&id).state, TestState::Completed);
        self.ended = Some(id.clone());
        id
    }

    /// Ends whatever runs.
    fn stop_all(&mut self) {
        self.running = None;
        self.orchestrator.post::<Value>("/v1/stop", b"").expect("it stops everything");
        wait_for("every test to end", harness::SOON, || {
            let tests = self.orchestrator.tests();
            let open = tests.iter().find(|test| !test.state.is_end());
            open.map_or(Ok(()), |test| Err(format!("{test:#?}")))
        });
        self.orchestrator.wait_for_idle(2);
    }
}

/// A profile whose phases take a moment each.
fn shortened(profile: &str) -> String {
    let phase = |phase: &str| match phase.split_once('@') {
        Some((length, load)) => {
            let of = length.split_once(':').map_or(String::new(), |(of, _)| format!("{of}: "));
            format!("{of}200ms@{load}")
        }
        None => phase.to_owned(),
    };
    profile.split(',').map(phase).collect::<Vec<_>>().join(", ")
}
