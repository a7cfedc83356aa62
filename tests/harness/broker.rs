//! The broker that a test's nodes meet on: the one within this process, or a real Kafka.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use onrush_bus::{Brokers, BusConfig, EmbeddedBroker};

use super::kafka::Kafka;

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

    /// Forgets everything that it has: another cluster at the same address. Not for the shared one.
    pub fn wipe(&self) {
        match &self.kind {
            Kind::Own(kafka) => kafka.wipe(),
            Kind::Embedded(_) | Kind::Shared(_) => panic!("take a Kafka of your own"),
        }
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
