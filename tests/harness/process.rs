//! One node as a real process: it ends with the test, however that ends, and shows its last words when it fails.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use super::{SOON, wait_for};

/// Lines kept of what a process says.
const MAX_LINES: usize = 5_000;
/// Lines shown of them when a test fails.
const SHOWN_LINES: usize = 60;

/// A process of the binary under test, or of a peer.
pub struct Process {
    name: String,
    child: Child,
    lines: Arc<Mutex<VecDeque<String>>>,
}

impl Process {
    /// Starts the binary under test.
    pub fn onrush(name: &str, args: &[&str]) -> Self {
        Self::start(name, Self::command(args))
    }

    /// The same, with more in its environment.
    pub fn onrush_with(name: &str, args: &[&str], environment: &[(&str, &str)]) -> Self {
        let mut command = Self::command(args);
        command.envs(environment.iter().copied());
        Self::start(name, command)
    }

    /// The command that starts the binary under test.
    pub fn command(args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_onrush"));
        // What a developer has set for real nodes must not reach those of the tests.
        for (variable, _) in std::env::vars_os() {
            let text = variable.to_string_lossy();
            if text.starts_with("ONRUSH_") && text != "ONRUSH_RUNTIME_DIR" {
                command.env_remove(&variable);
            }
        }
        // Signs as in the expectations, wherever the tests run.
        command.env("RUST_LOG", "info").env("LC_ALL", "C.UTF-8").args(args);
        command
    }

    /// The same with a runtime folder of its own, in which no other nodes are found.
    pub fn onrush_in(runtime_folder: &std::path::Path, name: &str, args: &[&str]) -> Self {
        let mut command = Self::command(args);
        command.env("ONRUSH_RUNTIME_DIR", runtime_folder);
        Self::start(name, command)
    }

    /// Starts any command.
    pub fn start(name: &str, mut command: Command) -> Self {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        // SAFETY: between fork and exec only this system call is made; it allocates nothing and takes no lock.
        unsafe {
            command.pre_exec(|| Ok(rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?));
        }
        let mut child = command.spawn().unwrap_or_else(|e| panic!("{name} cannot be started: {e}"));
        let lines = Arc::new(Mutex::new(VecDeque::new()));
        collect(child.stdout.take().expect("piped"), &lines);
        collect(child.stderr.take().expect("piped"), &lines);
        Self { name: name.into(), child, lines }
    }

    /// What it said, the last lines.
    pub fn said(&self) -> Vec<String> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }

    /// All that it said as one text.
    pub fn output(&self) -> String {
        self.said().join("\n")
    }

    /// Waits for a line that has `part`, and returns it.
    #[track_caller]
    pub fn wait_for_line(&mut self, part: &str) -> String {
        let what = format!("{} to say {part:?}", self.name);
        wait_for(&what, SOON, || {
            // Read before asking whether it lives, so that last words are not missed.
            let ended = self.exit_status();
            match (self.said().into_iter().find(|line| line.contains(part)), ended) {
                (Some(line), _) => Ok(line),
                (None, None) => Err("it runs and has not said it".into()),
                (None, Some(status)) => panic!("{what}: it ended with {status}"),
            }
        })
    }

    /// Where it says that it listens: `http://ADDRESS`.
    #[track_caller]
    pub fn wait_for_address(&mut self) -> String {
        let line = self.wait_for_line("listening on http://");
        line.split_whitespace().last().expect("the line has words").to_owned()
    }

    /// Its process number.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// How it ended; `None`: it runs.
    pub fn exit_status(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("our own child")
    }

    /// Fails when it has ended.
    #[track_caller]
    pub fn assert_running(&mut self) {
        if let Some(status) = self.exit_status() {
            panic!("{} ended with {status}", self.name);
        }
    }

    /// Waits for its end.
    #[track_caller]
    pub fn wait_for_end(&mut self, at_most: Duration) -> ExitStatus {
        let what = format!("{} to end", self.name);
        wait_for(&what, at_most, || self.exit_status().ok_or_else(|| "it runs".into()))
    }

    /// `kill -9`: it has no moment left for anything.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Asks it to end, as Ctrl-C does.
    pub fn interrupt(&self) {
        self.signal(Signal::INT);
    }

    /// Asks it to read its files again.
    pub fn hang_up(&self) {
        self.signal(Signal::HUP);
    }

    /// Makes it stand still.
    pub fn pause(&self) {
        self.signal(Signal::STOP);
    }

    /// Lets it go on.
    pub fn resume(&self) {
        self.signal(Signal::CONT);
    }

    fn signal(&self, signal: Signal) {
        let pid = Pid::from_child(&self.child);
        kill_process(pid, signal).unwrap_or_else(|e| panic!("{}: cannot be sent {signal:?}: {e}", self.name));
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            let said = self.said();
            let shown = &said[said.len().saturating_sub(SHOWN_LINES)..];
            eprintln!("--- last words of {}:\n{}", self.name, shown.join("\n"));
        }
    }
}

fn collect(stream: impl Read + Send + 'static, lines: &Arc<Mutex<VecDeque<String>>>) {
    let lines = Arc::clone(lines);
    std::thread::spawn(move || {
        for line in BufReader::new(stream).lines().map_while(Result::ok) {
            let mut lines = lines.lock().unwrap_or_else(PoisonError::into_inner);
            if lines.len() == MAX_LINES {
                lines.pop_front();
            }
            lines.push_back(line);
        }
    });
}
