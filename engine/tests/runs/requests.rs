//! Several requests in one run, and what their answers must be like.

use std::collections::BTreeMap;

use onrush_engine::{Check, Order, Plan, Request};
use onrush_stats::FailureCause;

use crate::harness::{self, arm, plan, run};
use crate::server::{Server, ok, raw};

fn get(server: &Server, path: &str, weight: u32) -> Request {
    Request { weight, ..harness::get(&format!("http://{}{path}", server.address)) }
}

fn path(head: &str) -> String {
    head.split(' ').nth(1).unwrap_or_default().to_owned()
}

#[test]
fn requests_go_out_in_their_order() {
    let server = Server::start(|_| ok());
    let requests = vec![get(&server, "/a", 2), get(&server, "/b", 1), get(&server, "/c", 1)];
    let orders = |order| {
        let before = server.arrivals().len();
        run(Plan { requests: requests.clone(), order, count: Some(8), ..plan(&server.url()) });
        server.arrivals()[before..].iter().map(|arrival| path(&arrival.head)).collect::<Vec<_>>()
    };
    assert_eq!(orders(Order::InTurn), ["/a", "/b", "/c", "/a", "/a", "/b", "/c", "/a"]);
    let shuffled = orders(Order::Shuffled { seed: 3 });
    assert_eq!(shuffled, orders(Order::Shuffled { seed: 3 }));
    assert_eq!(shuffled[..4], shuffled[4..]);
}

#[test]
fn names_have_figures_of_their_own_that_add_up() {
    let server = Server::start(|_| ok());
    let failing = Server::start(|_| raw("HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n"));
    let named = Request { name: Some("sign in".into()), ..get(&server, "/login", 1) };
    let checked = Request { checks: [Check::Status(vec![(200, 299)])].into(), ..get(&failing, "/bad", 2) };
    let requests = vec![named, checked, get(&server, "/a?x=1", 1), get(&server, "/a?x=2", 1)];
    let all = run(Plan { requests, count: Some(500), ..plan(&server.url()) }).stats();
    let told: Vec<_> = all.by_name.iter().map(|(name, of)| (name, of.sent, of.answered(), of.failed())).collect();
    assert_eq!(told, [("GET /a", 200, 200, 0), ("GET /bad", 200, 0, 200), ("sign in", 100, 100, 0)]);
    assert_eq!(all.by_name.get("GET /bad").map(|of| of.statuses.clone()), Some([(503, 200)].into()));
    let whole = all.by_name.whole();
    assert_eq!((&whole.statuses, &whole.failures), (&all.counts.statuses, &all.counts.failures));
    assert_eq!(whole.latency, (&all.latency).into());
    let alone = run(Plan { count: Some(5), ..plan(&server.url()) }).stats();
    assert!(alone.by_name.is_empty(), "one name is the whole");
}

#[test]
fn weights_are_kept_over_all_connections() {
    let server = Server::start(|_| ok());
    let requests = vec![get(&server, "/often", 3), get(&server, "/seldom", 1)];
    run(Plan { requests, count: Some(4_000), connections: 8, ..plan(&server.url()) });
    let mut seen = BTreeMap::<String, u64>::new();
    for arrival in server.arrivals() {
        *seen.entry(path(&arrival.head)).or_default() += 1;
    }
    // Two threads share an Avalanche as they come: each keeps the weights for itself.
    assert_eq!(seen.values().sum::<u64>(), 4_000);
    assert!(seen["/often"].abs_diff(3_000) <= 8, "{seen:?}");
}

#[test]
fn several_servers_each_keep_their_connections() {
    let servers = [Server::start(|_| ok()), Server::start(|_| ok()), Server::start(|_| ok())];
    let requests = servers.iter().map(|server| get(server, "/", 1)).collect();
    let run = run(Plan { requests, count: Some(600), connections: 4, ..plan(&servers[0].url()) });
    assert_eq!(run.totals().answered, 600);
    for server in &servers {
        assert!(server.requests().abs_diff(200) <= 4 && server.connections() == 4, "{}", server.requests());
    }
}

#[test]
fn an_answer_that_is_not_as_it_must_be_has_failed() {
    let body = r#"{"state": "ready", "items": [1, 2]}"#;
    let server = Server::start(move |number| match number % 3 {
        0 => raw(&format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len())),
        1 => raw(
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{\"sta\r\n9\r\nte\": \"no\"\r\n1\r\n}\r\n0\r\n\r\n",
        ),
        _ => raw("HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n"),
    });
    let json = |pointer: &str, value: &str| Check::Json {
        pointer: pointer.into(),
        value: simd_json::to_owned_value(&mut value.as_bytes().to_vec()).expect("JSON"),
    };
    for (check, good) in [
        (Check::Status(vec![(200, 299)]), 200),
        (Check::BodyContains(b"state\": \"".to_vec()), 200),
        (json("/state", "\"ready\""), 100),
        (json("/items/1", "2"), 100),
    ] {
        let mut plan = Plan { count: Some(300), ..plan(&server.url()) };
        plan.requests[0].checks = [check.clone()].into();
        let run = run(plan);
        assert_eq!(run.totals().answered, good, "{check:?}");
        assert_eq!(run.failures(), [(FailureCause::CheckFailed, 300 - good)].into(), "{check:?}");
    }
    // One connection did it all: what failed a check was still read to its end.
    assert_eq!(server.connections(), 4);
}

#[test]
fn a_server_that_is_not_there_is_named_before_the_start() {
    let server = Server::start(|_| ok());
    let gone = Server::start(|_| ok()).address;
    let requests = vec![get(&server, "/", 1), harness::get(&format!("http://{gone}/"))];
    let plan = Plan { requests, ..plan(&server.url()) };
    let refused = std::panic::catch_unwind(|| arm(plan)).is_err();
    assert!(refused, "one of two servers is not there");
}
