//! Each field of a test wrong in turn: exactly that field is named, and what would be right is said.

mod common;

use std::time::Duration;

use common::id;
use onrush_protocol::{
    Expect, MAX_MESSAGE_BYTES, NodeId, Participant, RequestConfig, SessionId, TestConfig, TestType, limits,
};

fn good(test_type: TestType) -> TestConfig {
    TestConfig {
        delay: if test_type == TestType::Tsunami { Duration::from_millis(2) } else { Duration::ZERO },
        count_per_driver: Some(100),
        target_url: Some("http://127.0.0.1:8080/ping".into()),
        ..TestConfig::new(id("t"), test_type)
    }
}

/// A change that breaks one field, and the field.
type Break = (&'static str, fn(&mut TestConfig));

const BREAKS: &[Break] = &[
    ("message_count_per_driver", |c| c.count_per_driver = None),
    ("message_count_per_driver", |c| c.count_per_driver = Some(0)),
    ("message_count_per_driver", |c| c.count_per_driver = Some(limits::MAX_COUNT + 1)),
    ("message_count_per_driver", |c| c.count_per_driver = Some(u64::MAX)),
    ("duration", |c| c.duration = Some(Duration::ZERO)),
    ("duration", |c| c.duration = Some(limits::MAX_DURATION + Duration::from_nanos(1))),
    ("duration", |c| c.duration = Some(Duration::MAX)),
    ("target_url", |c| c.target_url = Some("8080".into())),
    ("target_url", |c| c.target_url = Some(String::new())),
    ("target_url", |c| c.target_url = Some("http://".into())),
    ("targets", |c| c.requests = vec![RequestConfig { weight: 0, ..RequestConfig::default() }]),
    ("targets", |c| {
        c.requests = [1, 1_000_000].map(|weight| RequestConfig { weight, ..RequestConfig::default() }).into()
    }),
    ("targets", |c| c.requests = vec![RequestConfig { url: Some("ftp://a/".into()), ..RequestConfig::default() }]),
    ("targets", |c| c.requests = vec![RequestConfig::default(); limits::MAX_REQUESTS + 1]),
    ("targets", |c| {
        let request = RequestConfig { body: Some(vec![0; limits::MAX_REQUESTS_BYTES / 2]), ..RequestConfig::default() };
        c.requests = vec![request; 2];
    }),
    ("targets", |c| (c.method, c.requests) = ("POST".into(), vec![RequestConfig::default()])),
    ("expect", |c| c.expect = vec![Expect::Status(vec![(200, 200)]); limits::MAX_CHECKS + 1]),
    ("expect", |c| c.expect = vec![Expect::Status(vec![(200, 299); 200_000])]),
    ("expect", |c| c.expect = vec![Expect::BodyContains("x".repeat(1000)); 66]),
    ("targets", |c| {
        let expect = vec![Expect::Status(vec![(200, 200)]); limits::MAX_CHECKS + 1];
        c.requests = vec![RequestConfig { expect, ..RequestConfig::default() }];
    }),
    ("targets", |c| {
        let expect = vec![Expect::BodyContains("x".repeat(1000)); 33];
        c.requests = vec![RequestConfig { expect, ..RequestConfig::default() }; 2];
    }),
    ("targets", |c| {
        let expect = vec![Expect::BodyContains("x".repeat(1000)); 33];
        c.expect.clone_from(&expect);
        c.requests = vec![RequestConfig { expect, ..RequestConfig::default() }];
    }),
    ("tls_ca_pem", |c| c.tls_ca_pem = Some("nothing".into())),
    ("tls_key_pem", |c| c.tls_cert_pem = Some("-----BEGIN CERTIFICATE-----".into())),
    ("tls_cert_pem", |c| c.tls_key_pem = Some("-----BEGIN PRIVATE KEY-----".into())),
    ("target_url", |c| c.target_url = Some("ftp://127.0.0.1/".into())),
    ("target_url", |c| c.target_url = Some("http://127.0.0.1:0/".into())),
    ("target_url", |c| c.target_url = Some("http://127.0.0.1:65536/".into())),
    ("target_url", |c| c.target_url = Some("http://me:secret@127.0.0.1/".into())),
    ("target_url", |c| c.target_url = Some(format!("http://a/{}", "x".repeat(limits::MAX_URL_BYTES)))),
    ("method", |c| c.method = String::new()),
    ("method", |c| c.method = "X".repeat(limits::MAX_METHOD_BYTES + 1)),
    ("method", |c| c.method = "GET /".into()),
    ("method", |c| c.method = "CONNECT".into()),
    ("headers", |c| c.headers = vec![("a b".into(), "1".into())]),
    ("headers", |c| c.headers = vec![(String::new(), "1".into())]),
    ("headers", |c| c.headers = vec![("X".into(), "a\r\nB: c".into())]),
    ("headers", |c| c.headers = vec![("Content-Length".into(), "5".into())]),
    ("headers", |c| c.headers = vec![("connection".into(), "close".into())]),
    ("headers", |c| c.headers = vec![("X".into(), "y".repeat(limits::MAX_HEADERS_BYTES))]),
    ("body", |c| c.body = Some(vec![0; limits::MAX_BODY_BYTES + 1])),
    ("target_throughput", |c| c.target_throughput_per_s = Some(0.0)),
    ("target_throughput", |c| c.target_throughput_per_s = Some(-1.0)),
    ("target_throughput", |c| c.target_throughput_per_s = Some(f64::NAN)),
    ("target_throughput", |c| c.target_throughput_per_s = Some(f64::INFINITY)),
    ("target_throughput", |c| c.target_throughput_per_s = Some(1e300)),
    ("connections", |c| c.connections = Some(0)),
    ("connections", |c| c.connections = Some(limits::MAX_CONNECTIONS + 1)),
    ("timeout", |c| c.timeout = Duration::ZERO),
    ("timeout", |c| c.timeout = Duration::MAX),
    ("connect_timeout", |c| c.connect_timeout = Duration::ZERO),
    ("connect_timeout", |c| c.connect_timeout = Duration::MAX),
];

#[test]
fn each_field_wrong_in_turn_is_named_alone() {
    for test_type in [TestType::Avalanche, TestType::Tsunami] {
        for (index, (field, break_it)) in BREAKS.iter().enumerate() {
            let mut config = good(test_type);
            break_it(&mut config);
            let problems = config.problems();
            let fields: Vec<_> = problems.iter().map(|p| p.field).collect();
            assert_eq!(fields, [*field], "break {index}: {problems:?}");
            let words = &problems[0].problem;
            assert!(words.contains(' ') && words.len() < 300, "break {index} is not said in words: {words}");
        }
    }
}

#[test]
fn the_delay_of_a_tsunami() {
    for delay in [Duration::ZERO, Duration::from_nanos(99), limits::MAX_DELAY + Duration::from_nanos(1), Duration::MAX]
    {
        let problems = TestConfig { delay, ..good(TestType::Tsunami) }.problems();
        assert_eq!(problems.iter().map(|p| p.field).collect::<Vec<_>>(), ["test_message_delay"], "{delay:?}");
        assert_eq!(TestConfig { delay, ..good(TestType::Avalanche) }.problems(), [], "an Avalanche has none");
    }
    let paced = TestConfig { delay: Duration::ZERO, target_throughput_per_s: Some(10.0), ..good(TestType::Tsunami) };
    assert_eq!(paced.problems(), [], "the throughput gives the interval");
}

#[test]
fn the_edges_are_inside() {
    for (config, what) in [
        (good(TestType::Avalanche), "a plain Avalanche"),
        (good(TestType::Tsunami), "a plain Tsunami"),
        (TestConfig { count_per_driver: Some(1), ..good(TestType::Avalanche) }, "one request"),
        (TestConfig { count_per_driver: Some(limits::MAX_COUNT), ..good(TestType::Avalanche) }, "the highest count"),
        (
            TestConfig { count_per_driver: None, duration: Some(limits::MAX_DURATION), ..good(TestType::Avalanche) },
            "the longest duration",
        ),
        (TestConfig { delay: limits::MIN_DELAY, ..good(TestType::Tsunami) }, "the shortest delay"),
        (TestConfig { delay: limits::MAX_DELAY, ..good(TestType::Tsunami) }, "the longest delay"),
        (
            TestConfig { target_throughput_per_s: Some(limits::MIN_THROUGHPUT_PER_S), ..good(TestType::Avalanche) },
            "the lowest rate",
        ),
        (
            TestConfig { target_throughput_per_s: Some(limits::MAX_THROUGHPUT_PER_S), ..good(TestType::Avalanche) },
            "the highest rate",
        ),
        (
            TestConfig { connections: Some(limits::MAX_CONNECTIONS), ..good(TestType::Avalanche) },
            "the most connections",
        ),
        (
            TestConfig {
                timeout: limits::MIN_TIMEOUT,
                connect_timeout: limits::MAX_TIMEOUT,
                ..good(TestType::Avalanche)
            },
            "time-outs",
        ),
        (TestConfig { body: Some(vec![0; limits::MAX_BODY_BYTES]), ..good(TestType::Avalanche) }, "the longest body"),
        (TestConfig { target_url: None, ..good(TestType::Avalanche) }, "the driver's own target"),
        (
            TestConfig { target_url: Some("http://[::1]:9/?q=1#f".into()), ..good(TestType::Avalanche) },
            "an IPv6 target",
        ),
        (
            TestConfig {
                expect: vec![Expect::BodyContains("x".repeat(450)); limits::MAX_CHECKS],
                requests: vec![
                    RequestConfig {
                        expect: vec![Expect::Status(vec![(200, 200)]); limits::MAX_CHECKS],
                        ..RequestConfig::default()
                    };
                    16
                ],
                ..good(TestType::Avalanche)
            },
            "the most checks",
        ),
        (
            TestConfig {
                method: "PURGE".into(),
                headers: vec![("Host".into(), "other".into())],
                ..good(TestType::Avalanche)
            },
            "another method",
        ),
    ] {
        assert_eq!(config.problems(), [], "{what}");
    }
}

#[test]
fn a_config_that_has_no_problems_fits_into_a_message() {
    let config = TestConfig {
        headers: vec![("X".into(), "y".repeat(limits::MAX_HEADERS_BYTES - 5))],
        body: Some(vec![0xff; limits::MAX_BODY_BYTES]),
        ..good(TestType::Avalanche)
    };
    assert_eq!(config.problems(), []);
    assert_eq!(TestConfig::read(&config.write()), Ok(config));

    // As text, every byte of these would take two or six in JSON.
    for byte in [1, b'"', b'\n', 0x7f] {
        let config = TestConfig { body: Some(vec![byte; limits::MAX_BODY_BYTES]), ..good(TestType::Avalanche) };
        assert_eq!(config.problems(), []);
        let read = TestConfig::read(&config.write());
        assert!(read == Ok(config), "a body of {byte:#x} does not come back");
    }
}

/// The longest participant there is: a name may hold what JSON has to escape.
fn participant(index: usize) -> Participant {
    let name = format!("{}{index:05}", "\"".repeat(195));
    Participant { node_id: NodeId::new(name.clone()).unwrap(), session_id: SessionId::new(name) }
}

#[test]
fn a_test_that_fits_is_read_by_drivers_with_any_participants() {
    for drivers in [1, 8, 100, 1000] {
        let with_body = |bytes| TestConfig { body: Some(vec![0xff; bytes]), ..good(TestType::Avalanche) };
        let mut fits = 0;
        for step in [1 << 18, 1 << 14, 1 << 10, 1] {
            while fits + step <= limits::MAX_BODY_BYTES && with_body(fits + step).message_problem(drivers).is_none() {
                fits += step;
            }
        }
        assert!(fits > 100_000, "only {fits} bytes fit beside {drivers} drivers");
        let participants = Some((0..drivers).map(participant).collect());
        let message = TestConfig { participants, ..with_body(fits) }.write();
        assert!(message.len() < MAX_MESSAGE_BYTES, "{} bytes with {drivers} drivers", message.len());
        TestConfig::read(&message).unwrap();
    }
}

#[test]
fn what_makes_a_message_too_long_is_named() {
    let long = || Some(format!("-----BEGIN {}", "\u{1}".repeat(limits::MAX_PEM_BYTES - 100)));
    let cases: [(&str, TestConfig); 3] = [
        (
            "body",
            TestConfig {
                body: Some(vec![0xff; limits::MAX_BODY_BYTES]),
                tls_ca_pem: long(),
                ..good(TestType::Avalanche)
            },
        ),
        (
            "tls_ca_pem",
            TestConfig {
                tls_ca_pem: long().map(|pem| pem + "xx"),
                tls_cert_pem: long(),
                tls_key_pem: long(),
                ..good(TestType::Avalanche)
            },
        ),
        (
            "targets",
            TestConfig {
                requests: vec![
                    RequestConfig {
                        headers: vec![("A".into(), String::new()); 50],
                        ..RequestConfig::default()
                    };
                    5000
                ],
                ..good(TestType::Avalanche)
            },
        ),
    ];
    for (field, config) in cases {
        assert_eq!(config.problems(), [], "{field}: only the message is too long");
        let problem = config.message_problem(8).expect(field);
        assert_eq!(problem.field, field);
        assert!(problem.problem.contains("8 drivers") && problem.problem.len() < 300, "{problem}");
        // What was stored before there was this rule can still be read where it is stored.
        assert!(TestConfig::read(&config.write()).is_err());
        assert_eq!(TestConfig::read_stored(&config.write()), Ok(config));
    }
}
