//! Runs plans, and checks what must hold for every run.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use onrush_engine::{
    Armed, Arrivals, End, Io, Mode, Options, Order, Plan, Request, Running, SecondReport, Server, Share, Tls, Wait,
};
use onrush_stats::{FailureCause, SecondStats, Totals};

/// No test here takes this long; one that would is broken.
const PATIENCE: Duration = Duration::from_secs(60);

/// A GET of `http://HOST:PORT/PATH` or `https://…`.
pub fn get(url: &str) -> Request {
    let (scheme, rest) = url.split_once("://").expect("a test's URL");
    let (authority, path) = rest.split_once('/').expect("a test's URL has a path");
    let (host, port) = authority.rsplit_once(':').unwrap_or((authority, "80"));
    let (host, port) = (host.trim_matches(['[', ']']).to_owned(), port.parse().expect("a port"));
    Request::get(Server { tls: scheme == "https", host, port }, format!("/{path}"))
}

/// One GET over one connection, to be changed by the test.
pub fn plan(url: &str) -> Plan {
    Plan {
        mode: Mode::Avalanche,
        target_throughput_per_s: None,
        count: Some(1),
        duration: None,
        profile: None,
        share: Share::default(),
        arrivals: Arrivals::Even,
        connections: 1,
        think_time: Duration::ZERO,
        keepalive: true,
        resend: true,
        timeout: Duration::from_secs(10),
        connect_timeout: Duration::from_secs(5),
        requests: vec![get(url)],
        order: Order::InTurn,
        tls: Tls::default(),
        routes: Vec::new(),
        unix_socket: None,
    }
}

pub fn tsunami(url: &str, delay: Duration) -> Plan {
    Plan { mode: Mode::Tsunami { delay }, ..plan(url) }
}

/// As many threads as there are CPUs, two at most.
pub fn options(wait: Wait) -> Options {
    let allowed = rustix::thread::sched_getaffinity(None).expect("a process may ask for its own CPUs");
    let cpus = (0..rustix::thread::CpuSet::MAX_CPU).filter(|cpu| allowed.is_set(*cpu)).take(2).collect();
    Options { cpus, wait, io: Io::Auto, local_addresses: Vec::new() }
}

pub fn arm(plan: Plan) -> Armed {
    Armed::new(plan, options(Wait::Timer)).expect("the plan can be armed")
}

/// Runs a plan to its end.
pub fn run(plan: Plan) -> Run {
    run_with(plan, Wait::Timer)
}

pub fn run_with(plan: Plan, wait: Wait) -> Run {
    run_on(plan, options(wait))
}

pub fn run_on(plan: Plan, options: Options) -> Run {
    let armed = Armed::new(plan, options).expect("the plan can be armed");
    finish(armed.start(Instant::now()))
}

/// Collects a run's seconds and checks them.
pub fn finish(mut running: Running) -> Run {
    let deadline = Instant::now() + PATIENCE;
    let mut seconds: Vec<SecondReport> = Vec::new();
    while seconds.last().is_none_or(|last| last.end.is_none()) {
        seconds.extend(running.next_second(Duration::from_millis(200)));
        assert!(Instant::now() < deadline, "the run does not end: {:?}", seconds.last());
    }
    assert!(running.next_second(Duration::ZERO).is_none(), "nothing comes after the last second");
    let run = Run { seconds };
    run.check();
    run
}

/// The seconds of a run that ended.
pub struct Run {
    pub seconds: Vec<SecondReport>,
}

impl Run {
    pub fn last(&self) -> &SecondReport {
        self.seconds.last().expect("a run has at least one second")
    }

    pub fn end(&self) -> &End {
        self.last().end.as_ref().expect("the last second says how the run ended")
    }

    pub fn totals(&self) -> Totals {
        self.last().totals
    }

    /// All seconds merged.
    pub fn stats(&self) -> SecondStats {
        let mut all = SecondStats::default();
        for second in &self.seconds {
            all.append(&second.stats);
        }
        all
    }

    pub fn failures(&self) -> BTreeMap<FailureCause, u64> {
        self.stats().counts.failures
    }

    /// How long the run took by its own account.
    pub fn length(&self) -> Duration {
        self.seconds.iter().map(|second| second.length).sum()
    }

    /// Every law that holds for every run that did not break down.
    fn check(&self) {
        let (mut in_flight, mut sum) = (0, Totals::default());
        for (index, second) in self.seconds.iter().enumerate() {
            let counts = &second.stats.counts;
            assert_eq!(second.index, index as u64);
            let is_last = index + 1 == self.seconds.len();
            assert_eq!(second.end.is_some(), is_last);
            assert!(second.length <= Duration::from_secs(1) && (is_last || second.length == Duration::from_secs(1)));
            assert_eq!(
                counts.in_flight + counts.answered() + counts.failed(),
                in_flight + counts.sent,
                "second {index}"
            );
            in_flight = counts.in_flight;
            sum.merge(&counts.totals());
            assert_eq!(sum, second.totals, "second {index}");
            assert!(sum.decided() <= sum.due, "second {index}: nothing is sent or given up before it is due: {sum:?}");
            assert_eq!(second.stats.latency.count(), counts.responses());
            assert_eq!(second.stats.service_time.count(), counts.responses());
            assert_eq!(second.stats.schedule_error.count(), counts.sent);
            assert_eq!(second.started, self.seconds[0].started);
        }
        assert_eq!(in_flight, 0, "nothing is on its way when a run is over");
        assert_eq!(sum.sent, sum.answered + sum.failed);
        assert_eq!(sum.due, sum.sent + sum.skipped + sum.dropped);
    }
}
