//! The broker within this process: librdkafka's in-process cluster, which speaks Kafka's protocol over loopback.
//!
//! It keeps the newest 5 MiB or 100,000 batches of messages of a partition, in memory. It has a thread of its own
//! here, because its handle must stay on one.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use onrush_host::LiveFile;
use onrush_protocol::Topic;
use rdkafka::ClientConfig;
use rdkafka::error::KafkaError;
use rdkafka::mocking::MockCluster;
use rdkafka::producer::{BaseProducer, Producer as _};

use crate::BusError;
use crate::brokers::announce;
use crate::delivery::Events;

/// Longer requests end the connection. librdkafka's cluster loses the next message when a partition's newest
/// batch alone is over its 5 MiB; with this limit even two batches fit.
const MAX_REQUEST_BYTES: &str = "2500000";

/// The broker within this process. It lives until it is dropped, and leaves its address where
/// [`Brokers::discover`](crate::Brokers::discover) finds it.
pub struct EmbeddedBroker {
    address: String,
    commands: Option<Sender<BrokerCommand>>,
    thread: Option<JoinHandle<()>>,
    _announced: LiveFile,
}

struct BrokerCommand {
    up: bool,
    done: Sender<Result<(), BusError>>,
}

impl EmbeddedBroker {
    /// Starts it on a free port of loopback, with the five topics under this prefix.
    pub fn start(topic_prefix: &str) -> Result<Self, BusError> {
        crate::check_topic_prefix(topic_prefix)?;
        let (commands, received) = channel();
        let (ready, address) = channel();
        let topics = Topic::ALL.map(|topic| topic.full_name(topic_prefix));
        let serve = move || serve(&topics, &ready, &received);
        let thread =
            std::thread::Builder::new().name("embedded-broker".into()).spawn(serve).map_err(BusError::thread)?;
        let address: String = address.recv().map_err(|_| BusError::Embedded("its thread ended".into()))??;
        let announced = announce(&address)?;
        Ok(Self { address, commands: Some(commands), thread: Some(thread), _announced: announced })
    }

    /// `HOST:PORT`.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Stops answering (for tests of a broker's death), or answers again.
    pub fn set_up(&self, up: bool) -> Result<(), BusError> {
        let gone = |_| BusError::Embedded("its thread ended".into());
        let (done, result) = channel();
        if let Some(commands) = &self.commands {
            commands.send(BrokerCommand { up, done }).map_err(|_| gone(()))?;
        }
        result.recv().map_err(|_| gone(()))?
    }
}

impl Drop for EmbeddedBroker {
    fn drop(&mut self) {
        self.commands = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Starts the cluster, says where, and obeys until nobody is left to command.
fn serve(topics: &[String], ready: &Sender<Result<String, BusError>>, commands: &Receiver<BrokerCommand>) {
    let failed = |error: KafkaError| BusError::Embedded(error.to_string());
    let owner = ClientConfig::new()
        .set("test.mock.num.brokers", "1")
        .set("receive.message.max.bytes", MAX_REQUEST_BYTES)
        .create_with_context(Events::deaf("embedded"));
    let owner: BaseProducer<Events> = match owner {
        Ok(owner) => owner,
        Err(error) => return drop(ready.send(Err(failed(error)))),
    };
    let Some(cluster) = owner.client().mock_cluster() else {
        return drop(ready.send(Err(BusError::Embedded("librdkafka was built without it".into()))));
    };
    let started = create_topics(&cluster, topics).map(|()| cluster.bootstrap_servers()).map_err(failed);
    let fine = started.is_ok();
    if ready.send(started).is_err() || !fine {
        return;
    }
    use std::sync::mpsc::RecvTimeoutError;
    loop {
        match commands.recv_timeout(Duration::from_secs(1)) {
            Ok(BrokerCommand { up, done }) => {
                let result = if up { cluster.broker_up(-1) } else { cluster.broker_down(-1) };
                let _ = done.send(result.map_err(failed));
            }
            // Drains librdkafka's log.
            Err(RecvTimeoutError::Timeout) => owner.poll(Duration::ZERO),
            Err(RecvTimeoutError::Disconnected) => return,
        }
    }
}

fn create_topics(cluster: &MockCluster<'_, Events>, topics: &[String]) -> Result<(), KafkaError> {
    topics.iter().try_for_each(|topic| cluster.create_topic(topic, 1, 1))
}
