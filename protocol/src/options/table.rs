//! The table. A new option is one entry here, and one line in the driver's translation into a plan of the engine.

use std::time::Duration;

use super::kind::{
    Amount, Body, Choice, Coded, Count, Headers, Maybe, Method, Number, Pem, Phases, Rate, Targets, Text, Texts, Time,
    YesAfter, YesNo,
};
use super::{How, Section, schema};
use crate::validate::{checks_problem, metrics_url_problem, unix_socket_problem, url_problem};
use crate::{Arrivals, ConnectTo, Expect, Profile, RequestConfig, RequestOrder, TargetUrl, Threshold, limits};

const DURATION: &str = "a duration like \"10ms\", \"250us\", \"1.5s\" or \"1m 30s\"; a bare number means seconds";
const YES_NO: &str = "true or false";
const PEM: &str = "\"-----BEGIN CERTIFICATE-----\\n...\"";

test_options! {
    /// Tsunami: the time from one due moment to the next (2ms, 250us). A number means seconds.
    delay: Duration = Duration::ZERO, Time::between(limits::MIN_DELAY, limits::MAX_DELAY) => "test_message_delay" {
        also: &["delay", "message_delay", "test_message_delay_s"],
        label: "Time between requests",
        right: DURATION,
        default: "Tsunami: this or a throughput is required",
        example: "\"2ms\"",
        section: Section::Load,
        flag: flag!("delay", "DURATION", "DELAY"),
        shown_as: "test_message_delay_s",
        problem: TestConfig::delay_problem,
        schema: schema::delay,
    }
    /// Exactly so many requests per driver (10k, 1M). With a duration, too, what is reached first ends the test.
    count_per_driver: Option<u64> = None, Amount => "message_count_per_driver" {
        also: &["requests", "count", "message_count"],
        label: "Requests per driver",
        right: "a whole number from 1 to 1000000000000, such as 1000, \"10k\" or \"1M\"",
        default: "this or a duration is required",
        example: "10000",
        section: Section::Load,
        flag: flag!("requests", "N", "REQUESTS", short: Some('n')),
        problem: TestConfig::count_problem,
    }
    /// Where requests go (http://… or https://…). A driver without a --target-url of its own refuses a test that has none.
    target_url: Option<String> = None, Text { problem: |url| url_problem(url, None), shown: as_sent, schema: schema::url }
        => "target_url" {
        also: &["url", "target"],
        label: "Target URL",
        right: "a URL like \"http://127.0.0.1:8080/ping\"",
        default: "each driver's own --target-url",
        example: "\"http://127.0.0.1:8080/ping\"",
        section: Section::Load,
    }
    /// The request's method.
    method: String = "GET".into(), Method => "method" {
        label: "Method",
        right: "GET, POST, PUT, DELETE, HEAD or the like",
        default: "GET",
        example: "\"GET\"",
        flag: flag!("method", "METHOD", "METHOD", short: Some('m'), not_with: &["targets"]),
    }
    /// The request's headers, in order, 64 KiB together at most: an object of names and values, a list of "Name: value" texts,
    /// or a list of [name, value] pairs.
    headers: Vec<(String, String)> = Vec::new(), Headers => "headers" {
        label: "Headers, one per line",
        right: "an object of names and values, or a list of \"Name: value\" texts",
        example: r#"{"accept": "application/json"}"#,
        flag: flag!(
            "header", "NAME: VALUE", "HEADER", short: Some('H'), how: How::Each('\n'), not_with: &["targets"],
            help: "A header of the request, repeatable; in the environment, one a line"
        ),
    }
    /// The request's body as text, 512 KiB at most.
    body: Option<Vec<u8>> = None, Body => "body" {
        label: "Body",
        right: "a text (bytes go into body_base64)",
        example: r#""{\"hello\": 1}""#,
        flag: flag!("body", "TEXT", "BODY", help: "The request's body", not_with: &["body_base64", "targets"]),
    }
    /// What every response must be like; one that is not counts as failed (check_failed). status=200, status=2xx,304,
    /// body~TEXT, json:/PATH=VALUE.
    expect: Vec<Expect> = Vec::new(),
        Texts { example: "status=200", problem: checks_problem, schema: schema::checks } => "expect" {
        also: &["checks"],
        label: "Checks of responses, one per line",
        right: "a list of checks such as \"status=200\", \"status=2xx\", \"body~text\" or \"json:/path=value\"",
        default: "any response will do",
        example: r#"["status=2xx", "json:/state=ready"]"#,
        flag: flag!("expect", "CHECK", "EXPECT", how: How::Each('\n')),
    }
    /// Several requests, in place of method, headers and body: a list of objects with url (where it is missing: target_url),
    /// method, headers, body or body_base64, weight (1), expect and name (method and path). Where there are several
    /// names, each of up to 64 has figures of its own. At most 10,000, 512 KiB together, and weights of
    /// 1,000,000 together once their common divisor is taken out.
    requests: Vec<RequestConfig> = Vec::new(), Targets => "targets" {
        also: &["request_mix"],
        label: "Several requests, a JSON object on each line",
        right: "a list of requests, each an object with url, method, headers, body or body_base64, weight, expect, name",
        default: "one request",
        example: r#"[{"url": "http://127.0.0.1:8080/ping", "weight": 3}, {"url": "http://127.0.0.1:8080/", "method": "POST", "body": "x"}]"#,
        flag: flag!(
            "targets", "FILE", "TARGETS", how: How::File,
            help: "Several requests in place of one: a file with a URL or a JSON object on each line, with url (where it is missing: URL), method, headers, body or body_base64, weight, expect and name; # begins a comment"
        ),
        problem: TestConfig::requests_problem,
    }
    /// The order of several requests: in_turn, weights spread evenly, or shuffled by the seed.
    order: RequestOrder = RequestOrder::InTurn, Choice {
        choices: &["in_turn", "shuffled"], name: RequestOrder::name, from_name: RequestOrder::from_name
    } => "order" {
        label: "Order of several requests",
        right: "in_turn or shuffled",
        default: "in_turn",
        example: "\"in_turn\"",
        flag: flag!("order", "ORDER", "ORDER", needs: &["targets"]),
        is_written: |config| !config.requests.is_empty(),
    }
    /// What a shuffled order and random arrivals begin with: the same seed gives the same ones.
    seed: u64 = 0, Number => "seed" {
        label: "Seed of what is random",
        right: "a whole number",
        default: "0",
        example: "7",
        flag: flag!("seed", "N", "SEED"),
        is_written: |config| config.order == RequestOrder::Shuffled || config.seed != 0,
    }
    /// Take any certificate of an https target.
    tls_insecure: bool = false, YesNo => "tls_insecure" {
        also: &["insecure"],
        label: "Take any certificate of an https target",
        right: YES_NO,
        default: "false",
        example: "false",
        section: Section::Tls,
        flag: flag!("insecure", "", "INSECURE", short: Some('k'), how: How::Sets(true)),
        is_written: |config| config.tls_insecure,
    }
    /// The authorities that https targets are trusted by, or the targets' own certificates, in PEM, in place of those that each
    /// driver's system trusts. 512 KiB at most.
    tls_ca_pem: Option<String> = None, Pem { max_bytes: limits::MAX_CA_PEM_BYTES } => "tls_ca_pem" {
        also: &["cacert", "ca_pem"],
        label: "Authorities, in PEM",
        right: "certificates in PEM, as one text",
        default: "the system's authorities",
        example: PEM,
        section: Section::Tls,
        flag: flag!("cacert", "FILE", "CACERT", how: How::File),
        shown_as: "tls_ca",
    }
    /// The certificate that drivers show to https targets, in PEM; tls_key_pem is its key. 64 KiB at most.
    tls_cert_pem: Option<String> = None, Pem { max_bytes: limits::MAX_PEM_BYTES } => "tls_cert_pem" {
        also: &["cert", "cert_pem"],
        label: "Certificate to show, in PEM",
        right: "a certificate in PEM, as one text",
        example: PEM,
        section: Section::Tls,
        flag: flag!("cert", "FILE", "CERT", how: How::File, needs: &["tls_key_pem"]),
        shown_as: "tls_client_certificate",
        problem: TestConfig::certificate_problem,
    }
    /// The private key of that certificate, in PEM. It travels on the broker as it is, and nothing shows it.
    tls_key_pem: Option<String> = None, Pem { max_bytes: limits::MAX_PEM_BYTES } => "tls_key_pem" {
        also: &["key", "key_pem"],
        label: "Its private key, in PEM",
        right: "a private key in PEM, as one text",
        example: "\"-----BEGIN PRIVATE KEY-----\\n...\"",
        section: Section::Tls,
        flag: flag!("key", "FILE", "KEY", how: How::File, needs: &["tls_cert_pem"]),
        is_secret: true,
        shown_as: "",
        problem: TestConfig::key_problem,
    }
    /// Where connections for a host and port go in truth; Host header, TLS name and URL stay as they are.
    /// HOST:PORT:ADDRESS:PORT2, where an empty HOST or PORT means any and an empty PORT2 the URL's own; several for one
    /// HOST:PORT share the connections. At most 100.
    connect_to: Vec<ConnectTo> = Vec::new(),
        Texts { example: "shop.example:443:127.0.0.1:8443", problem: |_| None, schema: schema::connect_to } => "connect_to" {
        also: &["resolve"],
        label: "Connect to other addresses, one rule per line",
        right: "a list of \"HOST:PORT:ADDRESS:PORT\" texts",
        default: "where names lead",
        example: r#"["shop.example:443:127.0.0.1:8443"]"#,
        flag: flag!("connect-to", "HOST:PORT:ADDRESS:PORT2", "CONNECT_TO", how: How::Each(',')),
        problem: TestConfig::connect_to_problem,
    }
    /// The Unix socket on each driver's own machine that every connection goes to, whatever the URL says; not beside
    /// connect_to.
    unix_socket: Option<String> = None,
        Text { problem: unix_socket_problem, shown: str::to_owned, schema: schema::unix_socket } => "unix_socket" {
        label: "Unix socket",
        right: "the path of a Unix domain socket",
        example: "\"/run/app.sock\"",
        flag: flag!("unix-socket", "PATH", "UNIX_SOCKET"),
    }
    /// Send a request of an idempotent method once more on another connection where the target closed a reused one before the
    /// first byte of a response; resent counts them.
    resend: bool = true, YesNo => "resend" {
        label: "Send a request once more where its connection was closed",
        right: YES_NO,
        default: "true",
        example: "true",
        flag: flag!(
            "no-resend", "", "NO_RESEND", how: How::Sets(false),
            help: "Do not send a request once more when a connection that served before ends without a byte of response"
        ),
        is_written: |config| !config.resend,
    }
    /// Send no request after this time (10s, 5m). A number means seconds.
    duration: Option<Duration> = None, Maybe(Time::up_to(limits::MAX_DURATION)) => "duration" {
        also: &["duration_s"],
        label: "Duration",
        right: DURATION,
        default: "no limit with a number of requests",
        example: "\"30s\"",
        section: Section::Load,
        flag: flag!("duration", "DURATION", "DURATION", short: Some('d')),
        wire: "duration_s",
        shown_as: "duration_s",
    }
    /// At most so many requests per second and driver, for either type (500, 10k), or so many in a time (60/m, 1/h).
    target_throughput_per_s: Option<f64> = None, Maybe(Rate) => "target_throughput" {
        also: &["target_throughput_per_s", "throughput", "rate"],
        label: "Limit per second",
        right: "a number of requests per second and driver, such as 500, \"10k\" or \"60/m\"",
        default: "no limit",
        example: "1000",
        section: Section::Load,
        flag: flag!("rate", "RATE", "RATE", short: Some('R')),
        wire: "target_throughput_per_s",
        shown_as: "target_throughput_per_s",
    }
    /// The same over all drivers together: one schedule, of which each driver sends its share.
    total_throughput_per_s: Option<f64> = None, Maybe(Rate) => "total_throughput" {
        also: &["total_throughput_per_s", "total_rate"],
        label: "Limit per second, all drivers together",
        right: "a number of requests per second over all drivers, such as 500, \"10k\" or \"60/m\"",
        default: "no limit",
        example: "10000",
        section: Section::Load,
        flag: flag!("total-rate", "RATE", "TOTAL_RATE", not_with: &["target_throughput"]),
        wire: "total_throughput_per_s",
        shown_as: "total_throughput_per_s",
        is_written: |config| config.total_throughput_per_s.is_some(),
        problem: TestConfig::total_throughput_problem,
    }
    /// Load that changes over time, in place of a rate and a duration: phases like 30s@1k (constant), 1m@1k..10k (a ramp),
    /// 1m@1k..10k/10 (steps), 10s@max (as fast as connections allow) or 5s@pause, one after another; behind "total:" the rates are
    /// those of all drivers together. Or a list of objects with for and rate, or for, from, to and steps.
    profile: Option<Profile> = None, Maybe(Phases) => "profile" {
        label: "Profile",
        right: "phases like \"30s@1k, 1m@1k..10k, 20s@max\"",
        default: "one rate",
        example: r#"[{"for": "30s", "rate": "1k"}, {"for": "1m", "from": "1k", "to": "10k"}]"#,
        section: Section::Load,
        flag: flag!(
            "profile", "PHASES", "PROFILE", not_with: &["target_throughput", "total_throughput", "duration"],
            help: "Load that changes over time, in place of a rate and a duration: phases like 30s@1k (constant), 1m@1k..10k (a ramp), 1m@1k..10k/10 (steps), 10s@max (as fast as connections allow) or 5s@pause, with commas between; behind 'total:' the rates are those of all drivers together"
        ),
        is_written: |config| config.profile.is_some(),
        problem: TestConfig::profile_problem,
    }
    /// How due moments are spaced: even, or poisson (at random by the seed, as those of many independent users).
    arrivals: Arrivals = Arrivals::Even, Choice {
        choices: &["even", "poisson"], name: Arrivals::name, from_name: Arrivals::from_name
    } => "arrivals" {
        label: "Spacing of due moments",
        right: "even or poisson",
        default: "even",
        example: "\"poisson\"",
        section: Section::Load,
        flag: flag!("arrivals", "SPACING", "ARRIVALS"),
        is_written: |config| config.arrivals != Arrivals::Even,
        problem: TestConfig::arrivals_problem,
    }
    /// Connections per driver (64, 1k).
    connections: Option<u32> = None, Maybe(Count { max: limits::MAX_CONNECTIONS, what: "connections per driver" })
        => "connections" {
        label: "Connections per driver",
        right: "a whole number from 1 to 100000",
        default: "64, Tsunami 256",
        example: "64",
        section: Section::Load,
        flag: flag!("connections", "N", "CONNECTIONS", short: Some('c')),
    }
    /// How long a connection rests after a response or a failure before it may send again (250ms, 2s); with a schedule, how soon
    /// it is free again.
    think_time: Duration = Duration::ZERO, Time::between(Duration::ZERO, limits::MAX_THINK_TIME) => "think_time" {
        also: &["think_time_s"],
        label: "Think time of a connection",
        right: DURATION,
        default: "no rest",
        example: "\"250ms\"",
        section: Section::Load,
        flag: flag!("think-time", "DURATION", "THINK_TIME"),
        wire: "think_time_s",
        shown_as: "think_time_s",
        is_written: |config| !config.think_time.is_zero(),
    }
    /// The time allowed from a request's send to the last byte of its response.
    timeout: Duration = TestConfig::DEFAULT_TIMEOUT, Time::between(limits::MIN_TIMEOUT, limits::MAX_TIMEOUT) => "timeout" {
        also: &["timeout_s"],
        label: "Time-out",
        right: DURATION,
        default: "10s",
        example: "\"10s\"",
        flag: flag!("timeout", "DURATION", "TIMEOUT"),
        wire: "timeout_s",
        shown_as: "timeout_s",
    }
    /// The time allowed for opening a connection.
    connect_timeout: Duration = TestConfig::DEFAULT_CONNECT_TIMEOUT, Time::between(limits::MIN_TIMEOUT, limits::MAX_TIMEOUT)
        => "connect_timeout" {
        also: &["connect_timeout_s"],
        label: "Time-out of connecting",
        right: DURATION,
        default: "5s",
        example: "\"5s\"",
        flag: flag!("connect-timeout", "DURATION", "CONNECT_TIMEOUT"),
        wire: "connect_timeout_s",
        shown_as: "connect_timeout_s",
    }
    /// Use a connection for more than one request.
    keepalive: bool = true, YesNo => "keepalive" {
        label: "Keep connections open (keep-alive)",
        right: YES_NO,
        default: "true",
        example: "true",
        flag: flag!(
            "disable-keepalive", "", "DISABLE_KEEPALIVE", how: How::Sets(false), help: "A new connection for each request"
        ),
    }
    /// What the result must keep, at most 20: a metric, < or >, and a limit. Metrics are p99, response_p99, service_p99,
    /// schedule_error_p99 (or mean, median, p90, p95, p99.9, min, max), failed, skipped, dropped (a number or %) or rate; a
    /// window behind it (p99<200ms over 10s) is looked at every second, and {NAME} behind the metric (p99{login}<200ms) looks
    /// at the requests of one name.
    thresholds: Vec<Threshold> = Vec::new(),
        Texts { example: "p99<200ms", problem: |_| None, schema: schema::thresholds } => "thresholds" {
        also: &["threshold"],
        label: "Thresholds, one per line",
        right: "a list of thresholds such as \"p99<200ms\", \"failed<1%\" or \"rate>=10k over 10s\"",
        example: r#"["p99<200ms over 10s", "failed<1%"]"#,
        section: Section::Result,
        is_for_drivers: false,
        problem: TestConfig::thresholds_problem,
    }
    /// Stop the test when a threshold is not kept: true, or how long after the start that begins (5s).
    abort_on_fail: Option<Duration> = None, YesAfter => "abort_on_fail" {
        also: &["abort_on_fail_s"],
        label: "Stop when a threshold is not kept",
        right: "true, false, or the time after the start from which it holds, such as \"5s\"",
        default: "false",
        example: "\"5s\"",
        section: Section::Result,
        flag: flag!(
            "abort-on-fail", "DELAY", "ABORT_ON_FAIL", how: How::TextOr("true"),
            help: "Stop the test when a --threshold is not kept; with =DELAY (5s), not before so long after the start"
        ),
        wire: "abort_on_fail_s",
        shown_as: "abort_on_fail_s",
        is_for_drivers: false,
        problem: TestConfig::abort_problem,
    }
    /// Metrics of the target's machine in Prometheus' text format, as a node_exporter has them: asked for once a second while the
    /// test runs, at /metrics where the URL has no path, so that the verdict knows the target's CPU. http alone.
    target_metrics: Option<String> = None,
        Text { problem: metrics_url_problem, shown: as_asked, schema: schema::metrics_url } => "target_metrics" {
        label: "Metrics of the target's machine",
        right: "an http URL like \"http://127.0.0.1:9100/metrics\"",
        default: "only the bundled target is asked",
        example: "\"http://127.0.0.1:9100/metrics\"",
        section: Section::Result,
        flag: flag!("target-metrics", "URL", "TARGET_METRICS"),
        is_for_drivers: false,
    }
    also:
    /// The request's body as bytes in base64, in place of body.
    body: Option<Vec<u8>>, Coded => "body_base64" {
        label: "Body from a file",
        right: "the body's bytes in base64",
        example: "\"aGVsbG8=\"",
        flag: flag!(
            "body-file", "FILE", "BODY_FILE", how: How::File, not_with: &["body", "targets"],
            help: "The file that is the request's body"
        ),
        shown_as: "body_bytes",
    }
}

/// Where metrics are asked for.
fn as_asked(url: &str) -> String {
    TargetUrl::of_metrics(url).map_or_else(|_| url.to_owned(), |url| url.to_string())
}

/// What is sent for a URL that was typed.
fn as_sent(url: &str) -> String {
    TargetUrl::parse(url).map_or_else(|_| url.to_owned(), |url| url.to_string())
}
