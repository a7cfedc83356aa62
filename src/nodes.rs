//! Orchestrator, driver and target as processes: from the command line to the crates that do the work.

use std::io::Write;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs, UdpSocket};
use std::process::ExitCode;
use std::sync::{Arc, Barrier};
use std::time::{Duration, Instant};

use onrush_bus::{Brokers, BusConfig, BusError, EmbeddedBroker};
use onrush_driver::DriverConfig;
use onrush_engine::Wait;
use onrush_host::cpus::Claim;
use onrush_host::limits::check_room;
use onrush_orchestrator::{Orchestrator, OrchestratorConfig, Retention};
use onrush_protocol::NodeId;
use onrush_target::{Queue, Target, TargetConfig};

use crate::args::{EngineArgs, TopicArgs, WaitArg};
use crate::cli::{DriverArgs, OrchestratorArgs, TargetArgs};
use crate::error::Error;
use crate::local_target;
use crate::signals::{HangUp, LOOK_EVERY, Stop};

/// What `--brokers` says for the broker within the orchestrator's process.
const EMBEDDED: &str = "embedded";
/// A target's or orchestrator's first line on standard output, before its address.
pub const LISTENING_ON: &str = "listening on http://";
/// A driver that was given no broker waits this long for an embedded one.
const EMBEDDED_AT_MOST: Duration = Duration::from_secs(5);
/// Threads of REST that may wait for the store or for a large answer to be written.
const REST_THREADS: usize = 16;
/// Threads of an orchestrator: those of REST, the brain with its readers and questions, Kafka's (some 16), and those of
/// the embedded broker.
const ORCHESTRATOR_THREADS: usize = REST_THREADS + 40;
/// The store's, Kafka's and a few connections.
const ORCHESTRATOR_DESCRIPTORS: usize = 64;
/// What is left to send and store has this long at the end.
const SHUTDOWN_AT_MOST: Duration = Duration::from_secs(10);

/// `onrush orchestrator`.
pub fn orchestrator(args: OrchestratorArgs) -> Result<ExitCode, Error> {
    let OrchestratorArgs {
        brokers,
        topics,
        listen,
        store,
        min_drivers,
        max_drivers,
        keep,
        keep_tests,
        allow_hosts,
        token_file,
        insecure_no_auth,
    } = args;
    let retention = Retention { max_age_ms: keep.map(|age| age.as_secs_f64() * 1e3), max_tests: keep_tests };
    if min_drivers > max_drivers {
        let problem = format!("--min-drivers {min_drivers} is more than --max-drivers {max_drivers}");
        return Err(Error::Usage(problem));
    }
    if token_file.is_some() && insecure_no_auth {
        let problem = "--token-file says who may ask, and --insecure-no-auth that everybody may: give one of them";
        return Err(Error::Usage(problem.into()));
    }
    topics.check()?;
    // With tokens, a hang-up asks for their file to be read again; without, it ends the process.
    let (stop, reload) = match token_file {
        Some(_) => Stop::on_signals_but_hang_up()?,
        None => (Stop::on_signals()?, HangUp::default()),
    };
    // Before the first thread is missed in the middle of something, by a library that can say nothing but a panic.
    check_room(ORCHESTRATOR_THREADS, ORCHESTRATOR_DESCRIPTORS)
        .map_err(|e| Error::failed("cannot start the orchestrator", e))?;
    // It lives as long as this function.
    let (_embedded, brokers) = match brokers.as_deref() {
        Some(EMBEDDED) => {
            let broker = start_embedded(&topics.topic_prefix)?;
            let brokers = brokers_of(&broker);
            tracing::info!(address = broker.address(), "embedded broker");
            (Some(broker), brokers)
        }
        given => (None, discover(given)?),
    };
    let bus = bus_config(brokers, topics, "onrush-orchestrator".into());
    let config = OrchestratorConfig {
        bus,
        listen,
        store,
        min_drivers,
        max_drivers,
        retention,
        allow_hosts,
        token_file,
        insecure_no_auth,
    };
    let runtime = orchestrator_runtime()?;
    let ended = runtime.block_on(async {
        let start = Orchestrator::start(config);
        let mut orchestrator = tokio::select! {
            started = start => started.map_err(|e| Error::failed("cannot start the orchestrator", e))?,
            () = requested(&stop) => return Err(Error::Interrupted),
        };
        announce(orchestrator.address());
        let ended = loop {
            tokio::select! {
                ended = orchestrator.wait() => {
                    break ended.map_err(|e| Error::failed("the orchestrator cannot go on", e));
                }
                () = requested(&stop) => break Ok(()),
                () = hung_up(&reload) => orchestrator.reload_tokens(),
            }
        };
        if tokio::time::timeout(SHUTDOWN_AT_MOST, orchestrator.shutdown()).await.is_err() {
            tracing::warn!("the orchestrator did not end in {SHUTDOWN_AT_MOST:?}; ended without it");
        }
        ended
    });
    // Waits for nothing that still blocks.
    runtime.shutdown_background();
    ended.map(|()| ExitCode::SUCCESS)
}

/// `onrush driver`.
pub fn driver(args: DriverArgs) -> Result<ExitCode, Error> {
    let DriverArgs { brokers, topics, node_id, node_ip, cpus, engine, target_url } = args;
    let EngineArgs { wait, io, local_addresses } = engine;
    topics.check()?;
    let stop = Stop::on_signals()?;
    let name = node_id.unwrap_or_else(default_node_name);
    let node_id = NodeId::new(name.as_str()).ok_or_else(|| {
        let rule = "a name has 1 to 200 bytes, no control characters and no blank at its ends";
        Error::Usage(format!("--node-id {name:?} cannot be used: {rule}"))
    })?;
    // `embedded` may stand in an environment that is shared with the orchestrator.
    let brokers = await_broker(brokers.as_deref().filter(|given| *given != EMBEDDED), &stop)?;
    let node_ip = node_ip.or_else(|| own_address(&brokers.address).map(|ip| ip.to_string()));
    let wait = match wait {
        WaitArg::Auto => None,
        WaitArg::Poll => Some(Wait::Poll),
        WaitArg::Timer => Some(Wait::Timer),
    };
    let bus = bus_config(brokers, topics, format!("onrush-driver-{node_id}"));
    let cpus = cpus.map(|cpus| cpus.0);
    let local_addresses = local_addresses.into_iter().flat_map(|addresses| addresses.0).collect();
    let config = DriverConfig { bus, node_id, node_ip, cpus, wait, io: io.into(), local_addresses, target_url };
    onrush_driver::run(config, stop.flag()).map_err(|e| Error::failed("the driver cannot go on", e))?;
    Ok(ExitCode::SUCCESS)
}

/// `onrush target`.
pub fn target(args: TargetArgs) -> Result<ExitCode, Error> {
    let TargetArgs {
        listen,
        cpus,
        delay,
        seed,
        queue,
        service,
        service_seed,
        queue_limit,
        stall,
        body_size,
        chunked,
        io,
    } = args;
    let stop = Stop::on_signals()?;
    let cpus = cpus.map(|cpus| cpus.0);
    // A driver that shares one of these CPUs knows by this that it must not keep it busy.
    let _claim = claim(cpus.as_deref());
    let queue =
        queue.zip(service).map(|(servers, service)| Queue { servers, service, seed: service_seed, limit: queue_limit });
    let body_bytes = body_size;
    let config = TargetConfig { listen, cpus, delay, seed, queue, stall, body_bytes, chunked, io: io.into() };
    let target = Target::start(config).map_err(|e| Error::failed("cannot start the target", e))?;
    let _known = local_target::announce(target.address().port());
    announce(target.address());
    stop.wait();
    Ok(ExitCode::SUCCESS)
}

/// The in-process broker.
pub fn start_embedded(topic_prefix: &str) -> Result<EmbeddedBroker, Error> {
    EmbeddedBroker::start(topic_prefix).map_err(|e| Error::failed("cannot start the embedded broker", e))
}

/// Where the in-process broker is.
pub fn brokers_of(broker: &EmbeddedBroker) -> Brokers {
    Brokers { address: broker.address().to_owned(), embedded: true }
}

/// The orchestrator's threads: one can write an answer while the other waits for the store.
pub fn orchestrator_runtime() -> Result<tokio::runtime::Runtime, Error> {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    builder.worker_threads(2).max_blocking_threads(REST_THREADS).thread_keep_alive(Duration::MAX);
    let runtime = builder.thread_name("onrush-rest").enable_all().build();
    let runtime = runtime.map_err(|e| Error::failed("cannot start the orchestrator's threads", e))?;
    // All of them now: one that could not be started later would leave a request without an answer.
    let all = Arc::new(Barrier::new(REST_THREADS));
    for _ in 0..REST_THREADS {
        let all = all.clone();
        runtime.spawn_blocking(move || _ = all.wait());
    }
    Ok(runtime)
}

/// Ends when a signal came.
async fn requested(stop: &Stop) {
    while !stop.requested() {
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// Ends when a hang-up came.
async fn hung_up(signal: &HangUp) {
    while !signal.came() {
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// As [`discover`], for a driver that may have been started along with the orchestrator and its embedded broker.
fn await_broker(given: Option<&str>, stop: &Stop) -> Result<Brokers, Error> {
    let deadline = Instant::now() + EMBEDDED_AT_MOST;
    let mut said = false;
    loop {
        match Brokers::discover(given) {
            Err(BusError::NoBroker) if Instant::now() < deadline && !stop.requested() => {
                if !std::mem::replace(&mut said, true) {
                    tracing::info!(
                        "no embedded broker runs on this machine yet; waiting for one for {EMBEDDED_AT_MOST:?}"
                    );
                }
                std::thread::sleep(LOOK_EVERY);
            }
            found => return found.map_err(|e| Error::Failed(e.to_string())),
        }
    }
}

fn discover(given: Option<&str>) -> Result<Brokers, Error> {
    Brokers::discover(given).map_err(|e| Error::Failed(e.to_string()))
}

fn bus_config(brokers: Brokers, topics: TopicArgs, client_id: String) -> BusConfig {
    let TopicArgs { topic_prefix, kafka_options } = topics;
    BusConfig { brokers, topic_prefix, client_id, options: kafka_options }
}

/// Tells the other nodes on this machine which CPUs the target uses. It serves as well without.
fn claim(cpus: Option<&[usize]>) -> Option<Claim> {
    let cpus = match cpus {
        Some(cpus) => cpus.to_vec(),
        None => onrush_host::cpus::allowed().ok()?,
    };
    Claim::new(&cpus).inspect_err(|e| tracing::warn!("drivers here cannot see which CPUs the target uses: {e}")).ok()
}

/// Says on standard output where a node listens, for whoever started it. Nobody has to listen.
fn announce(address: SocketAddr) {
    let mut out = std::io::stdout().lock();
    let _ = writeln!(out, "{LISTENING_ON}{address}").and_then(|()| out.flush());
}

/// Readable by the machine's name and the process number; unique by chance, because containers may share both.
fn default_node_name() -> String {
    let machine = rustix::system::uname().nodename().to_string_lossy().trim().to_owned();
    let machine = if machine.is_empty() { "driver".to_owned() } else { machine };
    format!("{machine}-{}-{:04x}", std::process::id(), fastrand::u16(..))
}

/// The address from which this machine reaches the first broker. No packet is sent: connecting a UDP socket only
/// asks the routing table.
fn own_address(brokers: &str) -> Option<IpAddr> {
    let first = brokers.split(',').next()?.trim();
    let broker = first.to_socket_addrs().ok()?.next()?;
    let any: SocketAddr = if broker.is_ipv4() { ([0, 0, 0, 0], 0).into() } else { ([0u16; 8], 0).into() };
    let socket = UdpSocket::bind(any).ok()?;
    socket.connect(broker).ok()?;
    socket.local_addr().ok().map(|address| address.ip())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_driver_has_a_usable_name_and_address_by_itself() {
        let name = default_node_name();
        assert!(NodeId::new(name.as_str()).is_some(), "{name}");
        assert!(name.contains(&format!("-{}-", std::process::id())));
        assert!((0..10).any(|_| default_node_name() != name), "two in containers of one machine");
        assert_eq!(own_address("127.0.0.1:9092,other:9092"), Some(IpAddr::from([127, 0, 0, 1])));
        assert_eq!(own_address("nonsense"), None);
    }
}
