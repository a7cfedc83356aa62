//! A headless Chromium, spoken to by its own protocol over a pair of pipes: no port, no driver in between.

use std::io::{BufRead, BufReader, PipeReader, PipeWriter, Write};
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::process::Command;
use std::sync::mpsc::{Receiver, channel};
use std::time::Instant;

use command_fds::{CommandFdExt, FdMapping};
use serde_json::{Value, json};

use crate::harness::{Process, SOON};

/// Its names, in the order of trial; the variable `CHROMIUM` goes before them.
const NAMES: [&str; 4] = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];
/// The numbers of the pipes in its process.
const READS: i32 = 3;
const WRITES: i32 = 4;

/// A browser with one tab. It ends with this value.
pub struct Chromium {
    commands: PipeWriter,
    messages: Receiver<Value>,
    next_id: u64,
    session: Option<String>,
    /// Events that were heard while an answer was waited for.
    pub events: Vec<Value>,
    process: Process,
    _profile: tempfile::TempDir,
}

impl Chromium {
    /// Starts it with an empty profile.
    pub fn start() -> Self {
        let profile = tempfile::tempdir().expect("a temporary folder");
        let (its_commands, commands) = std::io::pipe().expect("a pipe");
        let (answers, its_answers) = std::io::pipe().expect("a pipe");
        let mut command = Command::new(program());
        command.args([
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--disable-dev-shm-usage",
            // It misses a desktop's services, and says so at length.
            "--log-level=3",
            "--remote-debugging-pipe",
        ]);
        command.arg(format!("--user-data-dir={}", profile.path().display()));
        let mapping = |parent_fd: OwnedFd, child_fd| FdMapping { parent_fd, child_fd };
        command
            .fd_mappings(vec![mapping(its_commands.into(), READS), mapping(its_answers.into(), WRITES)])
            .expect("two different numbers");
        let process = Process::start("chromium", command);
        let messages = listen(answers);
        let mut chromium =
            Self { commands, messages, next_id: 0, session: None, events: Vec::new(), process, _profile: profile };
        let tab = chromium.call("Target.createTarget", json!({"url": "about:blank"}));
        let attached = chromium.call("Target.attachToTarget", json!({"targetId": tab["targetId"], "flatten": true}));
        chromium.session = attached["sessionId"].as_str().map(str::to_owned);
        chromium
    }

    /// Gives a command and waits for its result.
    #[track_caller]
    pub fn call(&mut self, method: &str, params: Value) -> Value {
        self.next_id += 1;
        let mut command = json!({"id": self.next_id, "method": method, "params": params});
        if let Some(session) = &self.session {
            command["sessionId"] = session.as_str().into();
        }
        let mut bytes = command.to_string().into_bytes();
        bytes.push(0);
        if let Err(e) = self.commands.write_all(&bytes) {
            panic!("chromium does not listen ({e}): {}", self.process.output());
        }
        let deadline = Instant::now() + SOON;
        loop {
            let Ok(message) = self.messages.recv_timeout(deadline.saturating_duration_since(Instant::now())) else {
                panic!("chromium did not answer {method} within {SOON:?}: {}", self.process.output());
            };
            if message["id"] != self.next_id {
                self.events.push(message);
                continue;
            }
            assert!(message.get("error").is_none(), "{method}: {}", message["error"]);
            return message["result"].clone();
        }
    }

    /// Events so far.
    pub fn hear(&mut self) -> &[Value] {
        self.events.extend(self.messages.try_iter());
        &self.events
    }
}

fn program() -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let named = std::env::var_os("CHROMIUM").map(PathBuf::from);
    let found = NAMES.iter().flat_map(|name| std::env::split_paths(&path).map(move |folder| folder.join(name)));
    named.or_else(|| found.into_iter().find(|file| file.is_file())).unwrap_or_else(|| {
        panic!(
            "there is no Chromium here: install it (Debian: apt-get install chromium) or name its program in CHROMIUM"
        )
    })
}

/// Messages end with a zero byte each.
fn listen(answers: PipeReader) -> Receiver<Value> {
    let (sender, messages) = channel();
    std::thread::spawn(move || {
        for message in BufReader::new(answers).split(0) {
            let Ok(message) = message else { return };
            let Ok(message) = serde_json::from_slice(&message) else { return };
            if sender.send(message).is_err() {
                return;
            }
        }
    });
    messages
}
