//! The broker that a test's nodes meet on: the one within this process, or a real Kafka.

use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use onrush_bus::{Brokers, BusConfig, EmbeddedBroker};

/// A broker, with a prefix of topics that no other test uses.
pub struct Broker {
    kind: Kind,
    prefix: String,
}

enum Kind {
    Embedded(EmbeddedBroker),
    Shared(&'static Kafka),
    Own(Kafka),
}

fn new_prefix() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    format!("t{}-{}.", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
}

impl Broker {
    /// The broker within this process, for this test alone.
    pub fn embedded() -> Self {
        super::set_up();
        let prefix = new_prefix();
        let broker = EmbeddedBroker::start(&prefix).expect("the embedded broker starts");
        Self { kind: Kind::Embedded(broker), prefix }
    }

    /// The real Kafka that the tests of this process share.
    pub fn kafka() -> Self {
        super::set_up();
        static SHARED: OnceLock<Kafka> = OnceLock::new();
        Self { kind: Kind::Shared(SHARED.get_or_init(Kafka::start)), prefix: new_prefix() }
    }

    /// A real Kafka for this test alone, which may kill it.
    pub fn own_kafka() -> Self {
        super::set_up();
        Self { kind: Kind::Own(Kafka::start()), prefix: new_prefix() }
    }

    /// `HOST:PORT`.
    pub fn address(&self) -> &str {
        match &self.kind {
            Kind::Embedded(broker) => broker.address(),
            Kind::Shared(kafka) => &kafka.address,
            Kind::Own(kafka) => &kafka.address,
        }
    }

    /// What every topic's name begins with.
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// How a peer of the test reaches the topics.
    pub fn bus(&self, client_id: &str) -> BusConfig {
        let embedded = matches!(self.kind, Kind::Embedded(_));
        let brokers = Brokers { address: self.address().into(), embedded };
        BusConfig { brokers, topic_prefix: self.prefix.clone(), client_id: client_id.into(), options: Vec::new() }
    }

    /// Dies without a word, stays dead for `pause`, and comes back with all that it had confirmed.
    pub fn die_for(&self, pause: Duration) {
        self.be_dead_while(|| std::thread::sleep(pause));
    }

    /// The same, while something else is done.
    pub fn be_dead_while(&self, act: impl FnOnce()) {
        match &self.kind {
            Kind::Embedded(broker) => {
                broker.set_up(false).expect("the embedded broker goes down");
                act();
                broker.set_up(true).expect("the embedded broker comes back");
            }
            Kind::Own(kafka) => {
                kafka.script("kill");
                act();
                kafka.script("restart");
            }
            Kind::Shared(_) => panic!("other tests use this Kafka; take one of your own"),
        }
    }
}

/// A Kafka of `scripts/kafka`. It is stopped when this value or this process ends, however that ends.
struct Kafka {
    address: String,
    port: u16,
    /// Before the folder: fields are dropped in this order.
    _watchdog: Watchdog,
    data: tempfile::TempDir,
}

fn script_path() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("scripts/kafka")
}

impl Kafka {
    fn start() -> Self {
        let port = free_port();
        let data = tempfile::tempdir().expect("a temporary folder");
        let watchdog = Watchdog::start(port, data.path());
        let kafka = Self { address: format!("127.0.0.1:{port}"), port, _watchdog: watchdog, data };
        kafka.script("start");
        kafka
    }

    #[track_caller]
    fn script(&self, command: &str) {
        let done = Command::new(script_path())
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
fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("a bound address").port()
}
