//! One run of one tool: a process on a CPU of its own, bounded in time, with what it cost.

use std::io::{self, Read, Write};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::Problem;
use crate::machine::{self, Whose};

/// What of a tool's words is kept.
const MAX_OUTPUT_BYTES: u64 = 256 * 1024;
const POLL: Duration = Duration::from_millis(5);

/// A run that is over.
#[derive(Debug)]
pub struct Finished {
    /// User and system time of the process, its threads and its own children.
    pub cpu: Duration,
    /// Whether it said that all went well.
    pub success: bool,
    /// What it wrote.
    pub stdout: String,
    /// What it complained about.
    pub stderr: String,
}

impl Finished {
    /// The last words of a run that went wrong.
    pub fn complaint(&self) -> String {
        let said = if self.stderr.trim().is_empty() { &self.stdout } else { &self.stderr };
        let last = said.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("it says nothing");
        last.trim().chars().take(200).collect()
    }
}

/// Runs one of this program's own hidden commands as [`run`] does, and gives the line of JSON that it says.
pub fn ask(command: &mut Command, cpu: usize, limit: Duration) -> Result<Value, Problem> {
    let finished = run(command, cpu, "", limit)?;
    if !finished.success {
        return Err(finished.complaint().into());
    }
    Ok(serde_json::from_str(finished.stdout.trim())?)
}

/// Runs `command` on `cpu` for `limit` at most; longer is an error, and the process is killed.
///
/// One at a time: what a run cost is what the ended children of this process cost more than before.
pub fn run(command: &mut Command, cpu: usize, input: &str, limit: Duration) -> Result<Finished, Problem> {
    let name = command.get_program().to_string_lossy().into_owned();
    let before = machine::cpu_time(Whose::Children);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    // A process inherits the CPU of the thread that starts it.
    let spawn = || machine::pin(cpu).and_then(|()| command.spawn());
    let mut child = thread::scope(|scope| scope.spawn(spawn).join()).map_err(|_| "starting a process panicked")??;
    if let Some(mut stdin) = child.stdin.take() {
        // A tool that does not read its input closes it.
        let _unread = stdin.write_all(input.as_bytes());
    }
    let stdout = child.stdout.take().map(gather);
    let stderr = child.stderr.take().map(gather);
    let status = wait(&mut child, limit)?;
    let text = |handle: Option<thread::JoinHandle<String>>| handle.and_then(|h| h.join().ok()).unwrap_or_default();
    let (stdout, stderr) = (text(stdout), text(stderr));
    let Some(status) = status else {
        return Err(format!("{name} was still running after {limit:?} and was killed").into());
    };
    Ok(Finished { cpu: machine::cpu_time(Whose::Children) - before, success: status.success(), stdout, stderr })
}

/// `None`: it had to be killed.
fn wait(child: &mut Child, limit: Duration) -> io::Result<Option<std::process::ExitStatus>> {
    let deadline = Instant::now() + limit;
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        if Instant::now() > deadline {
            child.kill()?;
            child.wait()?;
            return Ok(None);
        }
        thread::sleep(POLL);
    }
}

/// Reads all, so that the tool never waits, and keeps the beginning.
fn gather(mut from: impl Read + Send + 'static) -> thread::JoinHandle<String> {
    thread::spawn(move || {
        let mut kept = Vec::new();
        // What cannot be read is as good as not written.
        let _end = (&mut from).take(MAX_OUTPUT_BYTES).read_to_end(&mut kept);
        let _end = io::copy(&mut from, &mut io::sink());
        String::from_utf8_lossy(&kept).into_owned()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str, input: &str, limit: Duration) -> Result<Finished, Problem> {
        run(Command::new("sh").args(["-c", script]), 0, input, limit)
    }

    #[test]
    fn one_process_after_another() {
        let patient = Duration::from_secs(60);
        let busy = shell("i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done; cat; echo bad >&2; exit 3", "in", patient)
            .expect("it runs");
        assert_eq!((busy.stdout.as_str(), busy.complaint().as_str(), busy.success), ("in", "bad", false));
        let idle = shell("true", "", patient).expect("it runs");
        assert!(idle.success && busy.cpu > idle.cpu, "{busy:?} {idle:?}");
        let killed = shell("exec sleep 600", "", Duration::from_millis(20)).expect_err("too long");
        assert!(killed.to_string().contains("killed"), "{killed}");
    }
}
