//! A real Kafka for a test: started by `scripts/kafka`, and gone with the test.

#![allow(dead_code, reason = "each test binary uses its part")]

use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};

/// A Kafka of `scripts/kafka`. It is stopped when this value or this process ends, however that ends.
pub struct Kafka {
    /// Where clients reach it.
    pub address: String,
    port: u16,
    /// The port that it names to clients, where that is not its own.
    advertised: Option<u16>,
    /// Before the folder: fields are dropped in this order.
    _watchdog: Watchdog,
    data: tempfile::TempDir,
}

fn script_path() -> PathBuf {
    // The package's own folder, or one beside it.
    let package = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let found = package.ancestors().map(|folder| folder.join("scripts/kafka")).find(|path| path.exists());
    found.expect("scripts/kafka is in the repository")
}

impl Kafka {
    pub fn start() -> Self {
        Self::start_behind(None)
    }

    /// One that tells clients to come to this port of loopback, where something passes everything on to `port`.
    pub fn start_behind(advertised: Option<u16>) -> Self {
        let port = free_port();
        let data = tempfile::tempdir().expect("a temporary folder");
        let watchdog = Watchdog::start(port, data.path());
        let address = format!("127.0.0.1:{}", advertised.unwrap_or(port));
        let kafka = Self { address, port, advertised, _watchdog: watchdog, data };
        kafka.script("start");
        kafka
    }

    /// Where it listens.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Stands still (SIGSTOP), or goes on.
    #[track_caller]
    pub fn signal(&self, signal: Signal) {
        let pid = std::fs::read_to_string(self.data.path().join("pid")).expect("it was started");
        let pid = pid.trim().parse().ok().and_then(Pid::from_raw).expect("a process number");
        kill_process(pid, signal).expect("it runs");
    }

    /// Stops it, forgets everything that it has, and starts it again: another cluster at the same address.
    #[track_caller]
    pub fn wipe(&self) {
        self.script("kill");
        std::fs::remove_dir_all(self.data.path().join("topics")).expect("it had data");
        self.script("start");
    }

    #[track_caller]
    pub fn script(&self, command: &str) {
        let mut script = Command::new(script_path());
        if let Some(port) = self.advertised {
            script.env("KAFKA_ADVERTISED_PORT", port.to_string());
        }
        let done = script
            .arg(command)
            .env("KAFKA_PORT", self.port.to_string())
            .env("KAFKA_DATA", self.data.path())
            .stdin(Stdio::null())
            .output()
            .expect("scripts/kafka runs");
        let (out, err) = (String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
        assert!(done.status.success(), "scripts/kafka {command} failed with {}:\n{out}\n{err}", done.status);
    }
}

/// A process that waits for the end of this one, or of this value, and then kills Kafka.
struct Watchdog(Child);

impl Watchdog {
    fn start(port: u16, data: &std::path::Path) -> Self {
        // Its standard input ends when we do.
        let mut command = Command::new("sh");
        command.args(["-c", r#"read -r _; "$0" kill; rm -rf "$KAFKA_DATA""#]).arg(script_path());
        command.env("KAFKA_PORT", port.to_string()).env("KAFKA_DATA", data);
        // Ctrl-C ends the tests and not this.
        command.process_group(0);
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        Self(command.spawn().expect("sh runs"))
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        if let Some(mut stdin) = self.0.stdin.take() {
            let _ = stdin.write_all(b"\n");
        }
        let _ = self.0.wait();
    }
}

/// Free now; Kafka cannot choose one by itself and say which.
pub fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("a bound address").port()
}
