//! A running target and plain sockets as its clients: every answer, every count.

mod client;

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use client::{Client, config, get, scrape, start, start_as, start_with};
use onrush_target::{Delay, Io, Queue, Stall, Target, TargetConfig, TargetError};

const PONG: &str = r#"{"message":"pong"}"#;

fn count(metrics: &serde_json::Value, path: &str, what: &str) -> u64 {
    let endpoints = metrics["endpoints"].as_array().expect("endpoints is a list");
    let endpoint = endpoints.iter().find(|endpoint| endpoint["path"] == path).expect("the endpoint is listed");
    match what {
        "requests" => endpoint["requests"].as_u64().expect("a number"),
        status => endpoint["responses"][status].as_u64().unwrap_or(0),
    }
}

#[test]
fn ping_answers_pong_and_the_connection_stays() {
    let target = start();
    let mut client = Client::connect(&target);
    for _ in 0..3 {
        let response = client.ask(&get("/ping?id=1"));
        assert_eq!((response.status, response.body.as_str()), (200, PONG));
        assert_eq!(response.field("content-type"), Some("application/json"));
        assert_eq!(response.field("server"), Some("onrush-target"));
        assert_eq!(response.field("connection"), None);
    }
    let metrics = scrape(&target);
    assert_eq!((count(&metrics, "/ping", "requests"), count(&metrics, "/ping", "200")), (3, 3));
    assert_eq!(metrics["spacing"]["count"], 2);
    assert_eq!((&metrics["connections_open"], &metrics["connections_total"]), (&2.into(), &2.into()));
}

#[test]
fn any_method_is_taken_and_its_body_discarded() {
    let target = start();
    let mut client = Client::connect(&target);
    let large = "x".repeat(300_000);
    for request in [
        "POST /ping HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello".to_owned(),
        "PUT /ping HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n".to_owned(),
        "DELETE /ping HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(),
        "PATCH /ping HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n".to_owned(),
        format!("POST /ping HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n{large}", large.len()),
    ] {
        let response = client.ask(&request);
        assert_eq!((response.status, response.body.as_str()), (200, PONG));
    }
    assert_eq!(count(&scrape(&target), "/ping", "200"), 5);
}

#[test]
fn head_answers_the_head_alone() {
    let target = start();
    let mut client = Client::connect(&target);
    for (path, status) in [("/ping", 200), ("/metrics", 200), ("/nothing", 404)] {
        client.send(&format!("HEAD {path} HTTP/1.1\r\nHost: a\r\n\r\n"));
        let response = client.read_head();
        assert_eq!(response.status, status);
        assert_ne!(response.field("content-length"), Some("0"), "{path}");
    }
    // A body would be taken for the next answer here.
    assert_eq!(client.ask(&get("/ping")).body, PONG);
}

#[test]
fn other_paths_are_not_found_and_other_methods_not_allowed_on_metrics() {
    let target = start();
    let mut client = Client::connect(&target);
    let response = client.ask(&get("/ping/more"));
    assert_eq!((response.status, response.body.as_str()), (404, r#"{"message":"not found"}"#));
    let response = client.ask("POST /metrics HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n{}");
    assert_eq!((response.status, response.field("allow")), (405, Some("GET, HEAD")));
    let metrics = scrape(&target);
    assert_eq!((count(&metrics, "other", "requests"), count(&metrics, "other", "404")), (1, 1));
    assert_eq!(count(&metrics, "/metrics", "405"), 1);
}

#[test]
fn the_connection_closes_when_the_client_wants_it_so() {
    let target = start();
    for (request, said) in [
        ("GET /ping HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", "close"),
        ("GET /ping HTTP/1.0\r\n\r\n", "close"),
    ] {
        let mut client = Client::connect(&target);
        let response = client.ask(request);
        assert_eq!((response.status, response.field("connection")), (200, Some(said)));
        assert!(client.is_at_end(), "{request:?}");
    }
    let mut client = Client::connect(&target);
    for _ in 0..2 {
        let response = client.ask("GET /ping HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
        assert_eq!((response.status, response.field("connection")), (200, Some("keep-alive")));
    }
    // What follows a request to close is never answered.
    let mut client = Client::connect(&target);
    client.send(&(get("/ping").replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n") + &get("/ping")));
    assert_eq!(client.read().status, 200);
    assert!(client.is_at_end());
    assert_eq!(count(&scrape(&target), "/ping", "requests"), 5);
}

#[test]
fn a_client_that_closes_its_half_still_gets_its_answer() {
    let target = start();
    let mut client = Client::connect(&target);
    client.send(&get("/ping"));
    client.stream.shutdown(Shutdown::Write).expect("the connection is open");
    assert_eq!(client.read().status, 200);
    assert!(client.is_at_end());
}

#[test]
fn a_body_that_waits_is_asked_for() {
    let target = start();
    let mut client = Client::connect(&target);
    client.send("POST /ping HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n");
    assert_eq!(client.read_head().status, 100);
    client.send("abc");
    assert_eq!(client.read().body, PONG);
    // One that comes with the head needs no asking.
    let with_body = "POST /ping HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\nabc";
    assert_eq!(client.ask(with_body).status, 200);
}

#[test]
fn pipelined_requests_are_answered_in_their_order() {
    for delay in [Duration::ZERO, Duration::from_millis(1)] {
        let target = start_with(None, delay);
        let mut client = Client::connect(&target);
        let paths = ["/ping", "/first", "/ping", "/metrics", "/ping", "/ping"];
        let batch: String = paths.iter().map(|path| get(path)).collect();
        for _ in 0..50 {
            client.send(&batch);
            for path in paths {
                let response = client.read();
                assert_eq!(response.status, if path == "/first" { 404 } else { 200 }, "{path}");
                assert_eq!(response.body == PONG, path == "/ping", "{path}");
            }
        }
        assert_eq!(count(&scrape(&target), "/ping", "200"), 200);
    }
}

#[test]
fn a_large_batch_is_answered_while_it_is_still_sent() {
    let target = start();
    let mut client = Client::connect(&target);
    let requests = 20_000;
    let mut sender = client.stream.try_clone().expect("a descriptor is left");
    let sending = std::thread::spawn(move || sender.write_all(get("/ping").repeat(requests).as_bytes()));
    for _ in 0..requests {
        assert_eq!(client.read().status, 200);
    }
    sending.join().expect("the sender does not panic").expect("everything was sent");
    assert_eq!(count(&scrape(&target), "/ping", "200"), requests as u64);
}

#[test]
fn a_request_split_at_every_byte_is_answered_once() {
    let target = start();
    let mut client = Client::connect(&target);
    let request = "POST /ping HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n";
    for cut in 1..request.len() {
        client.send(&request[..cut]);
        client.send(&request[cut..]);
        assert_eq!(client.read().status, 200, "cut at {cut}");
    }
    for byte in request.split_inclusive(|_| true) {
        client.send(byte);
    }
    assert_eq!(client.read().status, 200);
    let metrics = scrape(&target);
    assert_eq!(count(&metrics, "/ping", "requests"), request.len() as u64);
    assert_eq!((count(&metrics, "/ping", "200"), &metrics["malformed"]), (request.len() as u64, &0.into()));
}

#[test]
fn malformed_requests_are_refused_and_counted_and_the_others_go_on() {
    let target = start();
    let mut bystander = Client::connect(&target);
    assert_eq!(bystander.ask(&get("/ping")).status, 200);
    let too_large = format!("GET /ping HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n", "x".repeat(200_000));
    let cases = [
        ("\x16\x03\x01\x02\x00 garbage", 400),
        ("GET /ping HTTP/1.1\r\nno colon\r\n\r\n", 400),
        ("GET /ping HTTP/1.1\r\n\r\n", 400),
        ("GET /ping HTTP/3.0\r\nHost: a\r\n\r\n", 505),
        ("POST /ping HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n", 501),
        (too_large.as_str(), 431),
    ];
    for (request, status) in cases {
        let mut client = Client::connect(&target);
        let response = client.ask(request);
        assert_eq!((response.status, response.field("connection")), (status, Some("close")), "{request:.60?}");
        assert!(response.body.starts_with(r#"{"message":""#), "{}", response.body);
        assert!(client.is_at_end(), "{request:.60?}");
    }
    // A head that is fine and a body that is not: the request counts, and so does what is wrong with it.
    let mut client = Client::connect(&target);
    let response = client.ask("POST /ping HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n");
    assert_eq!(response.status, 400);

    assert_eq!(bystander.ask(&get("/ping")).status, 200);
    let metrics = scrape(&target);
    assert_eq!(metrics["malformed"], cases.len() as u64 + 1);
    assert_eq!((count(&metrics, "/ping", "requests"), count(&metrics, "/ping", "200")), (3, 2));
    assert_eq!(count(&metrics, "/ping", "400"), 1);
}

#[test]
fn a_client_that_vanishes_takes_nobody_with_it() {
    let target = start();
    for request in ["", "GET /pi", "POST /ping HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nabc"] {
        Client::connect(&target).send(request);
    }
    // One that asks for much and reads nothing, then resets the connection with its answers unread.
    let mut client = Client::connect(&target);
    client.send(&get("/metrics").repeat(200));
    drop(client);
    let deadline = Instant::now() + Duration::from_secs(10);
    while scrape(&target)["connections_open"] != 1 {
        assert!(Instant::now() < deadline, "connections stay open: {}", scrape(&target));
        std::thread::yield_now();
    }
}

#[test]
fn each_ping_waits_as_long_as_asked() {
    let delay = Duration::from_millis(30);
    let target = start_with(None, delay);
    let mut client = Client::connect(&target);
    for _ in 0..3 {
        let sent = Instant::now();
        assert_eq!(client.ask(&get("/ping")).status, 200);
        assert!(sent.elapsed() >= delay, "answered after {:?}", sent.elapsed());
    }
}

#[test]
fn a_delay_that_varies_is_waited_for_as_it_was_drawn() {
    let delay = Delay::Uniform { low: Duration::from_millis(2), high: Duration::from_millis(12) };
    let seed = 42;
    let target = start_as(TargetConfig { delay, seed, ..config() });
    let mut client = Client::connect(&target);
    for index in 0..50 {
        let sent = Instant::now();
        assert_eq!(client.ask(&get("/ping")).status, 200);
        let (took, drawn) = (sent.elapsed(), delay.draw(seed, index));
        assert!(took >= drawn, "request {index} was answered after {took:?}, not {drawn:?}");
    }
    // Other paths do not wait, and draw nothing.
    assert_eq!(client.ask(&get("/other")).status, 404);
}

/// When the target started: not earlier than this, and hardly later.
fn started(target: &Target) -> Instant {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let asked = Instant::now();
        let uptime = scrape(target)["uptime_s"].as_f64().expect("a number");
        if asked.elapsed() < Duration::from_millis(20) {
            return asked - Duration::from_secs_f64(uptime);
        }
        assert!(Instant::now() < deadline, "the target never answers at once");
    }
}

#[test]
fn in_a_stall_nothing_is_answered_and_then_everything_is() {
    let stall = Stall { length: Duration::from_millis(300), period: Duration::from_millis(1_000) };
    let target = start_as(TargetConfig { stall: Some(stall), ..config() });
    let started = started(&target);
    let malformed = "GET /ping HTTP/1.1\r\n\r\n".to_owned();
    for (request, status) in [(get("/ping"), 200), (get("/nowhere"), 404), (malformed, 400)] {
        let mut client = Client::connect(&target);
        let phase = || Duration::from_nanos((started.elapsed().as_nanos() % stall.period.as_nanos()) as u64);
        let within = Duration::from_millis(750)..Duration::from_millis(900);
        while !within.contains(&phase()) {
            std::thread::sleep(Duration::from_millis(1));
        }
        let (phase, sent) = (phase(), Instant::now());
        assert_eq!(client.ask(&request).status, status);
        let (waited, rest) = (sent.elapsed(), stall.period.saturating_sub(phase));
        assert!(waited + Duration::from_millis(1) >= rest, "{request:?} waited {waited:?}, not {rest:?}");
    }
    // Between two stalls an answer comes at once: of many that are asked for, some are fast.
    let mut client = Client::connect(&target);
    let fast = (0..20).any(|_| {
        let sent = Instant::now();
        assert_eq!(client.ask(&get("/ping")).status, 200);
        sent.elapsed() < stall.length / 3
    });
    assert!(fast, "nothing is answered at once");
}

#[test]
fn a_body_has_the_length_asked_for() {
    for length in [0, 17, 18, 1_024, 65_536, 1_048_576] {
        let target = start_as(TargetConfig { body_bytes: Some(length), ..config() });
        let mut client = Client::connect(&target);
        // Several in a row, so that one answer's end is the next one's beginning; pipelined, too.
        client.send(&get("/ping").repeat(3));
        for _ in 0..3 {
            let response = client.read();
            assert_eq!((response.status, response.body.len()), (200, length));
            assert_eq!(response.body.trim_end() == PONG, length >= PONG.len());
        }
        client.send("HEAD /ping HTTP/1.1\r\nHost: a\r\n\r\n");
        assert_eq!(client.read_head().field("content-length"), Some(length.to_string().as_str()));
        assert_eq!(client.ask(&get("/nowhere")).body, r#"{"message":"not found"}"#);
        let metrics = scrape(&target);
        assert_eq!(count(&metrics, "/ping", "200"), 4);
        assert!(metrics["bytes_out"].as_u64() >= Some(3 * length as u64));
    }
    let refused = Target::start(TargetConfig { body_bytes: Some(usize::MAX), ..config() });
    assert!(refused.is_err_and(|error| error.to_string().contains("too long")));
}

#[test]
fn a_chunked_answer_has_the_same_body() {
    for (body_bytes, length) in [(None, PONG.len()), (Some(0), 0), (Some(100_000), 100_000)] {
        let target = start_as(TargetConfig { body_bytes, chunked: true, ..config() });
        let mut client = Client::connect(&target);
        for _ in 0..3 {
            let response = client.ask(&get("/ping"));
            assert_eq!(
                (response.field("transfer-encoding"), response.field("content-length")),
                (Some("chunked"), None)
            );
            assert_eq!((response.status, response.body.len()), (200, length));
        }
        client.send("HEAD /ping HTTP/1.1\r\nHost: a\r\n\r\n");
        assert_eq!(client.read_head().field("transfer-encoding"), Some("chunked"));
        // A client of HTTP/1.0 would not understand it.
        let response = client.ask("GET /ping HTTP/1.0\r\n\r\n");
        assert_eq!((response.field("transfer-encoding"), response.body.len()), (None, length));
    }
}

#[test]
fn a_hundred_connections_are_counted_exactly() {
    for cpus in [None, Some(vec![client::a_cpu()])] {
        let target = start_with(cpus, Duration::ZERO);
        let (connections, requests) = (100, 50);
        let clients: Vec<_> = (0..connections)
            .map(|_| {
                let mut client = Client::connect(&target);
                std::thread::spawn(move || {
                    for _ in 0..requests {
                        assert_eq!(client.ask(&get("/ping")).status, 200);
                    }
                    client
                })
            })
            .collect();
        let clients: Vec<Client> = clients.into_iter().map(|client| client.join().expect("it was served")).collect();
        let metrics = scrape(&target);
        let total = connections * requests;
        assert_eq!((count(&metrics, "/ping", "requests"), count(&metrics, "/ping", "200")), (total, total));
        assert_eq!(metrics["spacing"]["count"], total - 1);
        assert_eq!(metrics["connections_open"], connections + 1);
        let request_bytes = get("/ping").len() as u64;
        assert!(metrics["bytes_in"].as_u64() >= Some(total * request_bytes));
        drop(clients);
    }
}

#[test]
fn metrics_come_as_text_unless_json_is_preferred() {
    let target = start();
    let mut client = Client::connect(&target);
    client.ask(&get("/ping"));
    let text = client.ask(&get("/metrics"));
    assert_eq!(text.field("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"));
    for line in [
        "onrush_target_requests_total{endpoint=\"/ping\"} 1",
        "onrush_target_responses_total{endpoint=\"/ping\",status=\"200\"} 1",
        "onrush_target_requests_total{endpoint=\"/metrics\"} 1",
        "# TYPE onrush_target_request_spacing_seconds histogram",
    ] {
        assert!(text.body.lines().any(|found| found == line), "{line} is missing in\n{}", text.body);
    }
    let metrics = scrape(&target);
    assert_eq!(metrics["server"], "onrush-target");
    assert!(metrics["uptime_s"].as_f64() > Some(0.0));
    assert_ne!(metrics["instance"], scrape(&start())["instance"]);
}

#[test]
fn a_second_target_on_the_same_port_is_refused_in_words() {
    let target = start();
    let again = Target::start(TargetConfig::new(target.address()));
    match again {
        Err(error @ TargetError::AddressInUse { .. }) => {
            assert!(error.to_string().contains(&target.address().to_string()), "{error}");
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn epoll_serves_as_io_uring_does() {
    for io in [Io::Epoll, Io::IoUring] {
        let delay = Delay::Fixed(Duration::from_millis(20));
        let target = start_as(TargetConfig { io, delay, body_bytes: Some(100_000), ..config() });
        let mut clients: Vec<Client> = (0..10).map(|_| Client::connect(&target)).collect();
        for client in &mut clients {
            let asked = std::time::Instant::now();
            let answer = client.ask(&get("/ping"));
            assert_eq!((answer.status, answer.body.len()), (200, 100_000), "{io:?}");
            assert!(asked.elapsed() >= Duration::from_millis(20), "{io:?}");
        }
        assert_eq!(scrape(&target)["endpoints"][0]["requests"], 10, "{io:?}");
        drop(target);
        clients.iter_mut().for_each(|client| assert!(client.is_at_end(), "{io:?}"));
    }
}

#[test]
fn what_cannot_be_had_is_refused_in_words() {
    let start = |listen: &str, cpus: Option<Vec<usize>>, delay| {
        let listen = listen.parse().expect("an address");
        let delay = Delay::Fixed(delay);
        Target::start(TargetConfig { cpus, delay, ..TargetConfig::new(listen) }).expect_err("it is refused").to_string()
    };
    let any = "127.0.0.1:0";
    assert!(start(any, Some(vec![100_000]), Duration::ZERO).contains("CPU 100000"));
    assert!(start(any, Some(vec![]), Duration::ZERO).contains("empty"));
    assert!(start(any, Some(vec![0, 0]), Duration::ZERO).contains("CPU 0 is named twice"));
    assert!(start("192.0.2.1:8080", None, Duration::ZERO).contains("192.0.2.1:8080"));
    assert!(start(any, None, Duration::from_secs(86_400)).contains("too long"));
}

#[test]
fn dropping_the_target_closes_its_connections_and_frees_its_port() {
    // An address of its own: no other test can take the port in between.
    let listen = "127.7.7.7:0".parse().expect("an address");
    let target = Target::start(TargetConfig::new(listen)).expect("the target starts");
    let address = target.address();
    let mut clients: Vec<Client> = (0..20).map(|_| Client::connect(&target)).collect();
    clients.iter_mut().for_each(|client| assert_eq!(client.ask(&get("/ping")).status, 200));
    drop(target);
    clients.iter_mut().for_each(|client| assert!(client.is_at_end()));
    assert!(TcpStream::connect(address).is_err());
    drop(TcpListener::bind(address).expect("the port is free again"));
}

#[test]
fn dropping_the_target_lets_go_of_every_descriptor() {
    // Counted in a process of its own would be exact; here other tests open some too, so only a leak of many shows.
    let open = || std::fs::read_dir("/proc/self/fd").expect("proc is there").count();
    let before = open();
    for _ in 0..10 {
        let target = start();
        let mut clients: Vec<Client> = (0..200).map(|_| Client::connect(&target)).collect();
        clients.iter_mut().for_each(|client| assert_eq!(client.ask(&get("/ping")).status, 200));
    }
    let deadline = Instant::now() + Duration::from_secs(20);
    while open() > before + 1000 {
        assert!(Instant::now() < deadline, "{} descriptors were open, {} are", before, open());
        std::thread::yield_now();
    }
}

#[test]
fn a_long_delay_holds_up_neither_other_requests_nor_the_end() {
    let target = start_with(Some(vec![client::a_cpu()]), Duration::from_secs(600));
    let mut client = Client::connect(&target);
    client.send(&get("/ping"));
    // Answered by the same, only thread.
    let deadline = Instant::now() + Duration::from_secs(10);
    while count(&scrape(&target), "/ping", "requests") == 0 {
        assert!(Instant::now() < deadline, "the request does not arrive");
        std::thread::yield_now();
    }
    let stopped = Instant::now();
    drop(target);
    assert!(stopped.elapsed() < Duration::from_secs(30), "{:?}", stopped.elapsed());
    assert!(client.is_at_end());
}

#[test]
fn an_idle_client_that_never_reads_does_not_hold_up_the_end() {
    let target = start();
    let mut client = Client::connect(&target);
    client.stream.set_nonblocking(true).expect("the connection is open");
    // Until both directions are full: the target waits to write and reads no more.
    let batch = get("/metrics").repeat(100);
    let deadline = Instant::now() + Duration::from_secs(20);
    let (mut sent, mut refusals) = (0, 0);
    while refusals < 100 && Instant::now() < deadline {
        match client.stream.write(&batch.as_bytes()[sent % batch.len()..]) {
            Ok(written) => (sent, refusals) = (sent + written, 0),
            Err(_) => {
                refusals += 1;
                std::thread::sleep(Duration::from_millis(1));
            }
        }
    }
    drop(target);
    let mut rest = Vec::new();
    client.stream.set_nonblocking(false).expect("the connection is open");
    // Ends, by a close or by a reset.
    let _ended = client.stream.read_to_end(&mut rest);
}

fn queue(servers: usize, service: Delay, limit: usize) -> Option<Queue> {
    Some(Queue { servers, service, seed: 0, limit })
}

#[test]
fn a_queue_serves_one_after_the_other_over_all_connections() {
    let service = Duration::from_millis(20);
    let target = start_as(TargetConfig { queue: queue(1, Delay::Fixed(service), 100), ..config() });
    let mut clients: Vec<Client> = (0..8).map(|_| Client::connect(&target)).collect();
    let began = Instant::now();
    clients.iter_mut().for_each(|client| client.send(&get("/ping")));
    let metrics = scrape(&target);
    assert_eq!(metrics["queue"]["serving"], 1);
    assert!(metrics["queue"]["waiting"].as_u64().is_some_and(|waiting| (1..=7).contains(&waiting)), "{metrics}");
    let mut ends: Vec<Duration> = std::thread::scope(|scope| {
        let wait = |client: &mut Client| {
            assert_eq!(client.read().status, 200);
            began.elapsed()
        };
        let waits: Vec<_> = clients.iter_mut().map(|client| scope.spawn(move || wait(client))).collect();
        waits.into_iter().map(|end| end.join().expect("a client does not panic")).collect()
    });
    ends.sort();
    for (number, end) in (1..).zip(&ends) {
        assert!(*end >= service * number, "{ends:?}");
    }
    // Serial, and hardly later than that.
    assert!(ends[7] < service * 8 + Duration::from_millis(100), "{ends:?}");
    assert_eq!(scrape(&target)["queue"], serde_json::json!({"waiting": 0, "serving": 0}));
}

#[test]
fn a_full_queue_answers_503_at_once() {
    let service = Duration::from_millis(300);
    let target = start_as(TargetConfig { queue: queue(1, Delay::Fixed(service), 1), ..config() });
    let mut clients: Vec<Client> = (0..3).map(|_| Client::connect(&target)).collect();
    for client in &mut clients[..2] {
        client.send(&get("/ping"));
    }
    while scrape(&target)["queue"]["waiting"] != 1 {
        std::thread::sleep(Duration::from_millis(1));
    }
    let refused = clients[2].ask(&get("/ping"));
    assert_eq!((refused.status, refused.body.as_str()), (503, r#"{"message":"the queue is full"}"#));
    assert_eq!(clients[0].read().status, 200);
    assert_eq!(clients[1].read().status, 200);
    assert_eq!(clients[2].ask(&get("/ping")).status, 200);
    let metrics = scrape(&target);
    assert_eq!((count(&metrics, "/ping", "200"), count(&metrics, "/ping", "503")), (3, 1));
}

#[test]
fn a_queue_that_makes_no_sense_is_refused() {
    let wrong = TargetConfig { queue: queue(0, Delay::Fixed(Duration::from_millis(1)), 1), ..config() };
    let refused = Target::start(wrong).expect_err("no server serves nobody");
    assert!(refused.to_string().contains("0 servers"), "{refused}");
}
