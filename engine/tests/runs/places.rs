//! Where connections go, and where they come from.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Write};
use std::net::{IpAddr, TcpListener};
use std::os::unix::net::UnixListener;
use std::time::{Duration, Instant};

use onrush_engine::{ArmError, Armed, Cancel, Plan, Route, Wait};

use crate::harness::{options, plan, run, run_on};
use crate::server::{Deaf, OK, Server, ok};

/// A name that leads to these addresses of loopback.
fn named(port: u16, addresses: &[&str]) -> Plan {
    let route = |address: &&str| Route {
        host: Some("web.example".into()),
        port: None,
        to_host: Some((*address).to_owned()),
        to_port: Some(port),
    };
    Plan { routes: addresses.iter().map(route).collect(), ..plan("http://web.example:80/ping") }
}

#[test]
fn load_is_spread_over_all_addresses_of_a_name() {
    let server = Server::start_at("0.0.0.0:0", |_| ok());
    let port = server.address.port();
    let run = run(Plan { count: Some(400), connections: 8, ..named(port, &["127.0.0.1", "127.0.0.2", "127.0.0.3"]) });
    let counts = run.stats().counts;
    assert_eq!((run.totals().answered, counts.addresses.len()), (400, 3), "{counts:?}");
    assert_eq!(counts.addresses.values().sum::<u64>(), 400);
    assert!(counts.addresses.values().all(|n| *n > 0), "{counts:?}");
    assert!(counts.addresses.contains_key(&format!("127.0.0.2:{port}")), "{counts:?}");
    assert!(server.arrivals()[0].head.contains("Host: web.example\r\n"), "the name stays");
}

#[test]
fn an_address_that_does_not_answer_keeps_nobody_from_the_others() {
    let server = Server::start_at("127.0.0.1:0", |_| ok());
    let port = server.address.port();
    let _deaf = Deaf::fill(Deaf::listen(&format!("127.0.0.3:{port}")));
    let begun = Instant::now();
    // 127.0.0.2 refuses, and 127.0.0.3 says nothing.
    for other in ["127.0.0.2", "127.0.0.3"] {
        let plan = named(port, &[other, "127.0.0.1"]);
        let run = run(Plan { count: Some(100), connections: 4, connect_timeout: Duration::from_secs(50), ..plan });
        assert_eq!((run.totals().answered, run.failures()), (100, [].into()));
        let counts = run.stats().counts;
        assert_eq!(counts.addresses, [(format!("127.0.0.1:{port}"), 100)].into());
    }
    assert!(begun.elapsed() < Duration::from_secs(30), "{:?}", begun.elapsed());
}

#[test]
fn connections_come_from_the_addresses_given_in_turn() {
    let server = Server::start(|_| ok());
    let local: Vec<IpAddr> = (11..=14)
        .map(|last| IpAddr::from([127, 0, 0, last]))
        .chain([IpAddr::from([0u16, 0, 0, 0, 0, 0, 0, 1])])
        .collect();
    for io in [onrush_engine::Io::IoUring, onrush_engine::Io::Epoll] {
        let options = onrush_engine::Options { local_addresses: local.clone(), io, ..options(Wait::Timer) };
        let run = run_on(Plan { count: Some(400), connections: 8, ..plan(&server.url()) }, options);
        assert_eq!((run.totals().answered, run.failures()), (400, [].into()));
    }
    let seen: BTreeSet<IpAddr> = server.arrivals().iter().map(|arrival| arrival.peer.ip()).collect();
    assert_eq!(seen, local[..4].iter().copied().collect(), "those of the other family are left alone");
}

#[test]
fn an_address_that_is_not_of_this_machine_is_named() {
    let server = Server::start(|_| ok());
    let error = |local: &str| {
        let local_addresses = vec![local.parse().expect("an address")];
        let options = onrush_engine::Options { local_addresses, ..options(Wait::Timer) };
        Armed::new(plan(&server.url()), options).err().expect("it cannot be").to_string()
    };
    assert!(error("192.0.2.9").contains("cannot send from 192.0.2.9"), "{}", error("192.0.2.9"));
    assert!(error("::1").contains("family"), "{}", error("::1"));
}

#[test]
fn a_zone_is_that_of_an_interface() {
    let Ok(listener) = TcpListener::bind("[::1]:0") else {
        // A machine without IPv6 has no zones either.
        return;
    };
    let port = listener.local_addr().expect("a bound listener has an address").port();
    drop(listener);
    let server = Server::start_at(&format!("[::1]:{port}"), |_| ok());
    for zone in ["lo", "1"] {
        let mut plan = plan(&server.url());
        plan.requests[0].server.host = format!("::1%{zone}");
        assert_eq!(run(plan).totals().answered, 1, "{zone}");
    }
    assert!(server.arrivals().iter().all(|arrival| arrival.head.contains(&format!("Host: [::1]:{port}\r\n"))));
    let mut plan = plan(&server.url());
    plan.requests[0].server.host = "::1%nowhere9".into();
    let error = Armed::new(plan, options(Wait::Timer)).err().expect("no such interface").to_string();
    assert!(error.contains("nowhere9"), "{error}");
}

#[test]
fn a_unix_socket_is_spoken_to() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("app.sock");
    let listener = UnixListener::bind(&path).expect("a new socket");
    std::thread::spawn(move || {
        for stream in listener.incoming().take(100) {
            let stream = stream.expect("a connection");
            std::thread::spawn(move || {
                let mut writer = stream.try_clone().expect("a socket");
                let mut lines = BufReader::new(stream).lines();
                while let Some(Ok(line)) = lines.next() {
                    if line.is_empty() {
                        writer.write_all(OK).expect("somebody reads");
                    }
                }
            });
        }
    });
    for io in [onrush_engine::Io::IoUring, onrush_engine::Io::Epoll] {
        let plan = Plan {
            unix_socket: Some(path.clone()),
            count: Some(300),
            connections: 4,
            ..plan("http://localhost:80/ping")
        };
        let run = run_on(plan, onrush_engine::Options { io, ..options(Wait::Timer) });
        assert_eq!((run.totals().answered, run.failures()), (300, [].into()));
    }
    let missing = Plan { unix_socket: Some(folder.path().join("missing")), ..plan("http://localhost:80/ping") };
    let error = Armed::new(missing, options(Wait::Timer)).err().expect("nobody listens").to_string();
    assert!(error.contains("missing"), "{error}");
}

/// A target that takes a connection and never shakes hands, with an hour's patience.
#[test]
fn arming_is_called_off_at_once() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port on loopback");
    let address = listener.local_addr().expect("a bound listener has an address");
    let plan = Plan { connect_timeout: Duration::from_secs(3600), ..plan(&format!("https://{address}/")) };
    let cancel = Cancel::default();
    let begun = Instant::now();
    let arming = std::thread::spawn({
        let cancel = cancel.clone();
        move || Armed::unless_cancelled(plan, options(Wait::Timer), &cancel).err()
    });
    let (_accepted, _) = listener.accept().expect("the engine connects");
    cancel.cancel();
    let error = arming.join().expect("it does not panic").expect("it was called off");
    assert!(matches!(error, ArmError::Cancelled), "{error}");
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
    // Before it began, too.
    let late = Armed::unless_cancelled(crate::harness::plan("http://127.0.0.1:1/"), options(Wait::Timer), &cancel);
    assert!(matches!(late.err(), Some(ArmError::Cancelled)));
}
