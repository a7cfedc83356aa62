//! The engine by itself: an Avalanche for some seconds, or a Tsunami where a delay is given.
//!
//!     cargo run --release -p onrush-engine --example load -- http://127.0.0.1:8080/ping 64 5 delay_us=100 poll

use std::time::{Duration, Instant};

use onrush_engine::{Armed, Io, Mode, Options, Order, Plan, Request, Tls, Wait};
use onrush_stats::SecondStats;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [url, connections, seconds, rest @ ..] = arguments.as_slice() else {
        return Err("usage: load URL CONNECTIONS SECONDS [delay_us=N] [rate=N] [poll] [epoll]".into());
    };
    let (mut mode, mut max_rate_per_s, mut wait, mut io) = (Mode::Avalanche, None, Wait::Timer, Io::Auto);
    for option in rest {
        match option.split_once('=') {
            Some(("delay_us", value)) => mode = Mode::Tsunami { delay: Duration::from_micros(value.parse()?) },
            Some(("rate", value)) => max_rate_per_s = Some(value.parse()?),
            None if option == "poll" => wait = Wait::Poll,
            None if option == "epoll" => io = Io::Epoll,
            _ => return Err(format!("{option}: give delay_us=N, rate=N, poll or epoll").into()),
        }
    }
    let plan = Plan {
        mode,
        max_rate_per_s,
        count: None,
        duration: Some(Duration::from_secs(seconds.parse()?)),
        connections: connections.parse()?,
        keepalive: true,
        timeout: Duration::from_secs(10),
        connect_timeout: Duration::from_secs(5),
        requests: vec![Request::get(url.parse()?)],
        order: Order::InTurn,
        tls: Tls::default(),
    };
    let armed = Armed::new(plan, Options { cpus: vec![0], wait, io })?;
    println!("{} connections open", armed.connections_open());

    let mut running = armed.start(Instant::now() + Duration::from_millis(50));
    let mut all = SecondStats::default();
    loop {
        let Some(second) = running.next_second(Duration::from_secs(2)) else { continue };
        let counts = &second.stats.counts;
        println!(
            "{:>3}  sent {:>8}  answered {:>8}  failed {:>6}",
            second.index,
            counts.sent,
            counts.answered(),
            counts.failed()
        );
        all.merge(&second.stats);
        if let Some(end) = second.end {
            println!("{end:?}, totals {:?}", second.totals);
            println!("statuses {:?}, failures {:?}", all.counts.statuses, all.counts.failures);
            println!("latency        {:?}", all.latency.summary());
            println!("schedule error {:?}", all.schedule_error.summary());
            return Ok(());
        }
    }
}
