//! The demo's child processes. They die with this process, however it dies, and none outlives [`Children::stop`].

use std::collections::VecDeque;
use std::io::{self, BufRead, BufReader, Read};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::process::{Pid, Signal, getpid, getppid, kill_process, set_parent_process_death_signal};

use crate::console::Console;
use crate::error::Error;
use crate::logging::LogFormat;
use crate::nodes::LISTENING_ON;

/// A child that is asked to end has this long before it is killed.
const END_AT_MOST: Duration = Duration::from_secs(5);
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// Lines of each child's standard error that are kept.
const MAX_LINES: usize = 12;
/// Longer lines are cut there.
const MAX_LINE_BYTES: u64 = 4 * 1024;

/// Which of the commands a child runs.
#[derive(Clone, Copy, Debug)]
pub enum Role {
    /// `onrush target`.
    Target,
    /// `onrush driver`.
    Driver,
}

/// All child processes.
pub struct Children {
    console: Console,
    log_format: LogFormat,
    nodes: Vec<Node>,
    /// What the target said on standard output.
    announced: Arc<OnceLock<String>>,
}

struct Node {
    name: String,
    process: Child,
    last_lines: Arc<Mutex<VecDeque<String>>>,
}

impl Children {
    /// No children yet.
    pub fn new(console: Console, log_format: LogFormat) -> Self {
        Self { console, log_format, nodes: Vec::new(), announced: Arc::default() }
    }

    /// Starts a child. Only the main thread may call this: the kernel kills a child when the *thread* that started
    /// it ends, and that thread lives as long as the process.
    pub fn spawn(&mut self, role: Role, name: &str, flags: &[&str]) -> Result<(), Error> {
        let failed = |e: io::Error| Error::failed(format!("cannot start {name}"), e);
        let mut command = Command::new(std::env::current_exe().map_err(failed)?);
        let subcommand = match role {
            Role::Target => "target",
            Role::Driver => "driver",
        };
        command.arg(subcommand).args(flags).args(["--log-format", self.log_format.name()]);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        // The user's own settings are for the user's own nodes; the runtime folder is where nodes find each other.
        let own = |name: &str| name.starts_with("ONRUSH_") && name != "ONRUSH_RUNTIME_DIR";
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_str().is_some_and(own)) {
            command.env_remove(name);
        }
        if std::env::var_os("RUST_LOG").is_none() {
            command.env("RUST_LOG", "warn");
        }
        // A group of its own: Ctrl-C in the terminal reaches this process only, which then ends its children in order.
        command.process_group(0);
        let parent = getpid();
        // SAFETY: between fork and exec the closure makes two system calls and touches no memory but its own copy of
        // `parent`: no lock, no allocation.
        unsafe { command.pre_exec(move || die_with(parent)) };
        let mut process = command.spawn().map_err(failed)?;
        let last_lines = Arc::<Mutex<VecDeque<String>>>::default();
        if let Some(stderr) = process.stderr.take() {
            let (console, lines, json) =
                (self.console.clone(), Arc::clone(&last_lines), self.log_format == LogFormat::Json);
            let name = name.to_owned();
            read_lines(stderr, move |line| {
                console.note(&if json { line.clone() } else { format!("{name}: {line}") });
                let mut lines = lines.lock().unwrap_or_else(PoisonError::into_inner);
                lines.truncate(MAX_LINES - 1);
                lines.push_front(line);
            })
            .map_err(failed)?;
        }
        if let Some(stdout) = process.stdout.take() {
            let announced = Arc::clone(&self.announced);
            read_lines(stdout, move |line| {
                if let Some(address) = line.strip_prefix(LISTENING_ON) {
                    // Only the target says so, and once.
                    let _ = announced.set(address.to_owned());
                }
            })
            .map_err(failed)?;
        }
        self.nodes.push(Node { name: name.to_owned(), process, last_lines });
        Ok(())
    }

    /// Where the target listens, once it has said so.
    pub fn announced(&self) -> Option<String> {
        self.announced.get().cloned()
    }

    /// Whether all are alive; else who ended, how, and its last words.
    pub fn check(&mut self) -> Result<(), Error> {
        for node in &mut self.nodes {
            if let Some(status) = node.exit_status() {
                return Err(Error::Failed(format!("{} ended ({status}){}", node.name, node.last_words())));
            }
        }
        Ok(())
    }

    /// What the children said last on standard error.
    pub fn last_words(&self) -> String {
        self.nodes.iter().map(Node::last_words).collect()
    }

    /// Ends them all: asks first, kills those who do not listen, and returns when none is left.
    pub fn stop(&mut self) {
        let mut left = std::mem::take(&mut self.nodes);
        left.iter().for_each(|node| node.signal(Signal::TERM));
        let deadline = Instant::now() + END_AT_MOST;
        while !left.is_empty() {
            left.retain_mut(|node| node.exit_status().is_none());
            if Instant::now() > deadline {
                for node in &mut left {
                    tracing::warn!("{} did not end in {END_AT_MOST:?}: killed", node.name);
                    node.signal(Signal::KILL);
                    // What was killed can be waited for.
                    let _ = node.process.wait();
                }
                return;
            }
            std::thread::sleep(LOOK_EVERY);
        }
    }
}

impl Drop for Children {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Node {
    /// How it ended; `None`: it lives.
    fn exit_status(&mut self) -> Option<ExitStatus> {
        // An error would mean that it is no child of ours, and then it is gone.
        self.process.try_wait().unwrap_or_else(|_| Some(ExitStatus::default()))
    }

    fn signal(&self, signal: Signal) {
        // Not reaped yet, so the number is still its own; it may have ended already.
        if let Some(pid) = i32::try_from(self.process.id()).ok().and_then(Pid::from_raw) {
            let _ = kill_process(pid, signal);
        }
    }

    fn last_words(&self) -> String {
        let lines = self.last_lines.lock().unwrap_or_else(PoisonError::into_inner);
        lines.iter().rev().map(|line| format!("\n  {}: {line}", self.name)).collect()
    }
}

/// In the child: the kernel kills it when the parent ends. The parent may have ended already.
fn die_with(parent: Pid) -> io::Result<()> {
    set_parent_process_death_signal(Some(Signal::KILL))?;
    if getppid() == Some(parent) { Ok(()) } else { Err(Errno::SRCH.into()) }
}

/// Reads lines on a thread of its own until the child closes its end.
fn read_lines(pipe: impl Read + Send + 'static, mut each: impl FnMut(String) + Send + 'static) -> io::Result<()> {
    let read = move || {
        let mut pipe = BufReader::new(pipe);
        let mut line = Vec::new();
        loop {
            line.clear();
            match pipe.by_ref().take(MAX_LINE_BYTES).read_until(b'\n', &mut line) {
                Ok(0) | Err(_) => return,
                Ok(_) => each(String::from_utf8_lossy(&line).trim_end().to_owned()),
            }
        }
    };
    std::thread::Builder::new().name("onrush-child-lines".into()).spawn(read).map(drop)
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use super::*;

    #[test]
    fn lines_are_read_and_long_ones_cut() {
        let long = "x".repeat(MAX_LINE_BYTES as usize + 10);
        let text = format!("one\ntwo\r\n{long}\nlast");
        let (sender, lines) = channel();
        read_lines(io::Cursor::new(text), move |line| sender.send(line).expect("the test still listens"))
            .expect("a thread");
        let lines: Vec<String> = lines.iter().collect();
        assert_eq!(lines.len(), 5);
        assert_eq!(
            (lines[0].as_str(), lines[1].as_str(), lines[3].len(), lines[4].as_str()),
            ("one", "two", 10, "last")
        );
    }
}
