//! Looks at this machine, the broker, the target and the orchestrator. What cannot be seen stays unknown; what it means
//! is for `judge` to say.

use std::fs;
use std::io;
use std::mem::MaybeUninit;
use std::net::{TcpStream, ToSocketAddrs};
use std::str::FromStr;
use std::time::{Duration, Instant};

use io_uring::{IoUring, cqueue, squeue};
use onrush_api::{Client, ClientError, DriverState};
use onrush_bus::{BrokerWatch, Brokers, BusConfig};
use onrush_host::{limits, usage};
use url::{Host, Url};

use super::DoctorArgs;
use super::facts::{Broker, DriverClock, Drivers, Facts, Ring, Target};
use crate::error::Error;

/// Nothing that is asked is waited for longer than this.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);
const LOOK_EVERY: Duration = Duration::from_millis(5);
/// Of the ring that is set up to see whether it can be.
const RING_ENTRIES: u32 = 64;
const CLOCK_SOURCES: &str = "/sys/devices/system/clocksource/clocksource0";

/// Looks at everything; `args` says what to ask elsewhere.
pub fn look(args: &DoctorArgs) -> Result<Facts, Error> {
    let cpus = onrush_host::cpus::allowed().map_err(|e| Error::failed("cannot see which CPUs there are", e))?;
    let clock_source = |name| fs::read_to_string(format!("{CLOCK_SOURCES}/{name}")).ok();
    Ok(Facts {
        kernel: rustix::system::uname().release().to_string_lossy().into_owned(),
        ring: ring(),
        io_uring_disabled: read("/proc/sys/kernel/io_uring_disabled"),
        seccomp: usage::status("Seccomp").is_some_and(|mode| mode != "0"),
        locked_memory: limits::locked_memory(),
        descriptors: limits::descriptors(),
        ports: fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").ok().and_then(|text| pair(&text)),
        tw_reuse: read("/proc/sys/net/ipv4/tcp_tw_reuse"),
        time_wait: fs::read_to_string("/proc/net/sockstat").ok().and_then(|text| time_wait(&text)),
        somaxconn: read("/proc/sys/net/core/somaxconn"),
        quota: onrush_host::cpus::quota(),
        governors: cpus.iter().filter_map(|cpu| Some((*cpu, governor(*cpu)?))).collect(),
        cpus,
        clock_source: clock_source("current_clocksource").map(|text| text.trim().to_owned()),
        clock_sources: clock_source("available_clocksource")
            .map_or_else(Vec::new, |text| text.split_whitespace().map(str::to_owned).collect()),
        clock_synchronized: clock_synchronized(),
        broker: broker(args),
        target: args.target_url.as_ref().map(target),
        drivers: args.orchestrator.clone().map(|url| args.ask.client(url).map(drivers)).transpose()?,
    })
}

/// A number that is alone in a file.
fn read<T: FromStr>(path: &str) -> Option<T> {
    fs::read_to_string(path).ok()?.trim().parse().ok()
}

fn governor(cpu: usize) -> Option<String> {
    let path = format!("/sys/devices/system/cpu/cpu{cpu}/cpufreq/scaling_governor");
    fs::read_to_string(path).ok().map(|text| text.trim().to_owned())
}

/// A real ring, as the engine sets it up.
fn ring() -> Ring {
    let builder = IoUring::<squeue::Entry, cqueue::Entry>::builder;
    let mut deferred = builder();
    deferred.setup_single_issuer().setup_defer_taskrun();
    if deferred.build(RING_ENTRIES).is_ok() {
        return Ring::Deferred;
    }
    match builder().build(RING_ENTRIES) {
        Ok(_) => Ring::Plain,
        Err(error) => Ring::Refused(error.raw_os_error().unwrap_or_default(), error.to_string()),
    }
}

/// Asks the kernel whether its clock is kept on time; `None`: it does not tell.
fn clock_synchronized() -> Option<bool> {
    let mut timex = MaybeUninit::<libc::timex>::zeroed();
    // SAFETY: `timex` is plain numbers, so all zeros is a value of it; its mode 0 asks and sets nothing; the kernel
    // writes within the struct whose address it is given.
    let state = unsafe { libc::adjtimex(timex.as_mut_ptr()) };
    (state >= 0).then_some(state != libc::TIME_ERROR)
}

/// Two numbers.
fn pair(text: &str) -> Option<(u16, u16)> {
    let mut numbers = text.split_whitespace().map(str::parse);
    Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
}

/// `tw` of the line `TCP: inuse 5 orphan 0 tw 12 …`.
fn time_wait(sockstat: &str) -> Option<u64> {
    let tcp = sockstat.lines().find_map(|line| line.strip_prefix("TCP:"))?;
    tcp.split_whitespace().skip_while(|word| *word != "tw").nth(1)?.parse().ok()
}

/// What happened, without the further lines that say what to do: the doctor has its own.
fn one_line(error: impl std::fmt::Display) -> String {
    error.to_string().lines().next().unwrap_or_default().to_owned()
}

/// The broker that was given, or the embedded one that runs here; `None`: neither.
fn broker(args: &DoctorArgs) -> Option<Broker> {
    let brokers = match (Brokers::discover(args.brokers.as_deref()), &args.brokers) {
        (Ok(brokers), _) => brokers,
        (Err(_), None) => return None,
        (Err(error), Some(given)) => return Some(Broker { address: given.clone(), answer: Err(one_line(error)) }),
    };
    let address = brokers.address.clone();
    let mut tries = address.split(',').map(connect);
    let first = tries.next().unwrap_or(Ok(()));
    // One of several is enough; where none is there, the first one's reason stands for them.
    let reached = if first.is_err() && tries.any(|other| other.is_ok()) { Ok(()) } else { first };
    let answer = reached.and_then(|()| ask_broker(args, brokers));
    Some(Broker { address, answer })
}

/// Whether somebody listens there.
fn connect(address: &str) -> Result<(), String> {
    let failed = |e: io::Error| format!("no connection to {address}: {e}");
    let addresses = address.to_socket_addrs().map_err(failed)?;
    let mut last = Err(format!("{address} has no address"));
    for address in addresses {
        last = TcpStream::connect_timeout(&address, ANSWER_TIMEOUT).map(drop).map_err(failed);
        if last.is_ok() {
            break;
        }
    }
    last
}

/// Whether it speaks Kafka with us, by the settings that the nodes would use.
fn ask_broker(args: &DoctorArgs, brokers: Brokers) -> Result<Duration, String> {
    let address = brokers.address.clone();
    let config = BusConfig {
        brokers,
        topic_prefix: args.topics.topic_prefix.clone(),
        client_id: "onrush-doctor".into(),
        options: args.topics.kafka_options.clone(),
    };
    let started = Instant::now();
    let watch = BrokerWatch::start(&config).map_err(one_line)?;
    while started.elapsed() < ANSWER_TIMEOUT {
        if watch.reachable_since().is_some() {
            return Ok(started.elapsed());
        }
        std::thread::sleep(LOOK_EVERY);
    }
    Err(format!("{address} takes connections, and does not answer as Kafka does within {ANSWER_TIMEOUT:?}"))
}

fn target(url: &Url) -> Target {
    let loopback = match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(ip)) => ip.is_loopback(),
        Some(Host::Ipv6(ip)) => ip.is_loopback(),
        None => false,
    };
    Target { url: url.to_string(), loopback, answer: get(url) }
}

/// One GET: its status, and how long it took with the connection.
pub fn get(url: &Url) -> Result<(u16, Duration), String> {
    let config = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .max_redirects(0)
        .max_redirects_will_error(false)
        .timeout_global(Some(ANSWER_TIMEOUT))
        // The load does not go through a proxy either.
        .proxy(None)
        .user_agent(concat!("onrush/", env!("CARGO_PKG_VERSION")))
        .build();
    let started = Instant::now();
    let answer = config.new_agent().get(url.as_str()).call();
    let words = |error| match error {
        ureq::Error::Io(error) => error.to_string(),
        other => other.to_string(),
    };
    let answer = answer.map_err(words)?;
    Ok((answer.status().as_u16(), started.elapsed()))
}

/// The clocks of the drivers that live.
fn drivers(client: Client) -> Drivers {
    let lives = |state| !matches!(state, DriverState::Lost | DriverState::Suspect | DriverState::Rejected);
    let asked = client.drivers();
    let refused = |status| matches!(&asked, Err(ClientError::Refused(refusal)) if refusal.status == status);
    let wants_token = refused(401) || refused(403);
    let clocks = asked.map_err(one_line).map(|drivers| {
        let living = drivers.into_iter().filter(|driver| lives(driver.state));
        living.map(|driver| DriverClock { node_id: driver.node_id, offset_ms: driver.clock_offset_ms }).collect()
    });
    Drivers { orchestrator: client.address().to_owned(), clocks, wants_token }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_files_are_read() {
        assert_eq!(pair("32768\t60999\n"), Some((32768, 60999)));
        assert_eq!(pair("32768"), None);
        let sockstat = "sockets: used 9\nTCP: inuse 5 orphan 0 tw 12 alloc 7 mem 1\nUDP: inuse 1 mem 0\n";
        assert_eq!(time_wait(sockstat), Some(12));
        assert_eq!(time_wait("UDP: inuse 1"), None);
    }

    #[test]
    fn somebody_who_listens_is_told_from_nobody() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("it is bound").to_string();
        assert_eq!(connect(&address), Ok(()));
        drop(listener);
        assert!(connect(&address).is_err_and(|words| words.contains(&address)));
    }
}
