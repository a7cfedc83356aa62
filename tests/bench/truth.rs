//! Latency is true: what is measured is what the target really took.
//!
//! The target draws its delays from a seed, so the delays of a run are known one by one, and their quantiles are exact.
//! How near the measured ones come on a quiet machine is measured by `benches latency`; here the machine is busy.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::sync::mpsc::channel;
use std::time::Duration;

use onrush_target::Delay;

use super::{Bench, some_run_is, target};
use crate::harness::{alone, beside_others};

const SEED: u64 = 7;
const REQUESTS: usize = 2_000;
/// Each with what the way there and back may add, and with the turns of others on a busy machine, which few requests meet.
const QUANTILES: [(f64, f64); 4] = [(0.5, 2e6), (0.9, 3e6), (0.99, 15e6), (0.999, 30e6)];
/// The precision of the recorder, both ways.
const PRECISION: f64 = 0.001;

#[test]
fn latency_is_that_of_the_target() {
    let _machine = alone();
    let ms = Duration::from_millis;
    for (flag, delay) in [
        ("20ms", Delay::Fixed(ms(20))),
        ("uniform:5ms-50ms", Delay::Uniform { low: ms(5), high: ms(50) }),
        ("exp:20ms", Delay::Exponential { mean: ms(20) }),
    ] {
        let mut drawn: Vec<Duration> = (0..REQUESTS as u64).map(|index| delay.draw(SEED, index)).collect();
        drawn.sort_unstable();
        let predicted = QUANTILES.map(|(q, _)| drawn[(q * REQUESTS as f64).ceil() as usize - 1].as_nanos() as f64);
        some_run_is(&format!("is the latency that of a target with --delay {flag}"), || {
            let target = target(&["--delay", flag, "--seed", &SEED.to_string()]);
            let requests = REQUESTS.to_string();
            let args = [&target.url(), "--type", "tsunami", "-R", "1000", "-n", &requests, "-c", "400"];
            let latency = Bench::run(&args).ok().hdr().merged("latency");
            let pairs = QUANTILES.map(|(q, _)| latency.value_at_quantile(q) as f64);
            let pairs: Vec<(f64, f64)> = predicted.into_iter().zip(pairs).collect();
            for (true_ns, measured_ns) in &pairs {
                let least_ns = true_ns * (1.0 - PRECISION);
                assert!(*measured_ns >= least_ns, "{flag}: no answer comes early; (predicted, measured) {pairs:.0?}");
            }
            let near = pairs.iter().zip(QUANTILES).all(|((true_ns, ns), (_, more_ns))| *ns <= true_ns * 1.01 + more_ns);
            (near, format!("{pairs:.0?} ns"))
        });
    }
}

#[test]
fn a_server_gets_the_load_and_nothing_else() {
    let _machine = beside_others();
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = listener.local_addr().expect("it has one").port();
    let (asked, lines) = channel();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let asked = asked.clone();
            std::thread::spawn(move || {
                for line in BufReader::new(&stream).lines().map_while(Result::ok) {
                    if line.is_empty() {
                        let _ = (&stream).write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
                    } else if line.ends_with(" HTTP/1.1") {
                        let _ = asked.send(line);
                    }
                }
            });
        }
    });
    // The path is that of the sample target.
    for host in ["localhost", "127.0.0.1"] {
        Bench::run(&[&format!("http://{host}:{port}/ping"), "-n", "20", "-c", "2"]).ok();
    }
    let lines: Vec<String> = lines.try_iter().collect();
    assert_eq!(lines, vec!["GET /ping HTTP/1.1"; 40]);
}
