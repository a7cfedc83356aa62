//! Renders what was counted: Prometheus' text format 0.0.4, or JSON.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use onrush_host::scarcity::{ThreadTime, process_time};
use serde::Serialize;

use crate::counters::{MALFORMED_STATUSES, ROUTES, SPACING_BOUNDS_NS, STATUSES, Snapshot};
use crate::queue::QueueLength;
use crate::request::Route;

/// The name under which a route is shown. Other paths share one, or clients could make up any number of them.
fn path(route: Route) -> &'static str {
    match route {
        Route::Ping => "/ping",
        Route::Metrics => "/metrics",
        Route::Other => "other",
    }
}

/// What the target uses of its CPUs.
#[derive(Clone, Copy, Debug)]
pub struct Cpu {
    /// `None`: the system does not tell.
    pub time: Option<ThreadTime>,
    pub cores: usize,
}

impl Cpu {
    /// As it is now, of so many threads with a CPU each.
    pub fn now(cores: usize) -> Self {
        Self { time: process_time(), cores }
    }
}

#[derive(Serialize)]
struct Report<'a> {
    server: &'static str,
    instance: &'a str,
    uptime_s: f64,
    /// CPU time of all threads, and for how long they were ready and had no CPU; left out where the system does not tell.
    #[serde(skip_serializing_if = "Option::is_none")]
    cpu_s: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cpu_wait_s: Option<f64>,
    /// How many CPUs it can use at a time.
    cores: usize,
    endpoints: Vec<Endpoint>,
    malformed: u64,
    connections_open: u64,
    connections_total: u64,
    bytes_in: u64,
    bytes_out: u64,
    /// Left out where there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    queue: Option<Queued>,
    spacing: Spacing,
}

#[derive(Serialize)]
struct Endpoint {
    path: &'static str,
    requests: u64,
    responses: BTreeMap<String, u64>,
}

#[derive(Serialize)]
struct Queued {
    waiting: usize,
    serving: usize,
}

#[derive(Serialize)]
struct Spacing {
    count: u64,
    sum_s: f64,
    buckets: Vec<Bucket>,
}

#[derive(Serialize)]
struct Bucket {
    up_to_s: f64,
    count: u64,
}

/// The counts as JSON. Spacings above the last bucket are in the count only, as JSON knows no infinity.
pub fn json(snapshot: &Snapshot, instance: &str, uptime: Duration, cpu: Cpu) -> String {
    let endpoints = ROUTES
        .iter()
        .map(|route| Endpoint {
            path: path(*route),
            requests: snapshot.requests[*route as usize],
            responses: STATUSES
                .iter()
                .zip(snapshot.responses[*route as usize])
                .filter(|(_, count)| *count > 0)
                .map(|(status, count)| (status.to_string(), count))
                .collect(),
        })
        .collect();
    let buckets = cumulative(snapshot)
        .zip(SPACING_BOUNDS_NS)
        .map(|(count, bound_ns)| Bucket { up_to_s: seconds(bound_ns), count })
        .collect();
    let report = Report {
        server: crate::answers::SERVER,
        instance,
        uptime_s: uptime.as_secs_f64(),
        cpu_s: cpu.time.map(|time| seconds(time.ran_ns)),
        cpu_wait_s: cpu.time.map(|time| seconds(time.waited_ns)),
        cores: cpu.cores,
        endpoints,
        malformed: snapshot.malformed.iter().sum(),
        connections_open: snapshot.connections_open,
        connections_total: snapshot.connections_total,
        bytes_in: snapshot.bytes_in,
        bytes_out: snapshot.bytes_out,
        queue: snapshot.queue.map(|QueueLength { waiting, serving }| Queued { waiting, serving }),
        spacing: Spacing { count: snapshot.spacing.iter().sum(), sum_s: seconds(snapshot.spacing_sum_ns), buckets },
    };
    serde_json::to_string(&report).expect("plain numbers and strings always have a JSON form")
}

/// The counts as Prometheus reads them.
pub fn prometheus(snapshot: &Snapshot, instance: &str, uptime: Duration, cpu: Cpu) -> String {
    let mut text = Text(String::with_capacity(6 * 1024));
    text.family("onrush_target_info", "gauge", "The running target; its instance is new at every start.");
    text.sample("onrush_target_info", format_args!("{{instance=\"{instance}\"}}"), 1);
    text.family("onrush_target_uptime_seconds", "gauge", "Time since the target started.");
    text.sample("onrush_target_uptime_seconds", "", uptime.as_secs_f64());
    text.family("onrush_target_cores", "gauge", "CPUs that the target can use at a time.");
    text.sample("onrush_target_cores", "", cpu.cores);
    if let Some(time) = cpu.time {
        text.family("onrush_target_cpu_seconds_total", "counter", "CPU time of all threads.");
        text.sample("onrush_target_cpu_seconds_total", "", seconds(time.ran_ns));
        text.family(
            "onrush_target_cpu_wait_seconds_total",
            "counter",
            "Time in which threads were ready and had no CPU.",
        );
        text.sample("onrush_target_cpu_wait_seconds_total", "", seconds(time.waited_ns));
    }

    text.family("onrush_target_requests_total", "counter", "Requests whose head was complete, by endpoint.");
    for route in ROUTES {
        let labels = format_args!("{{endpoint=\"{}\"}}", path(route));
        text.sample("onrush_target_requests_total", labels, snapshot.requests[route as usize]);
    }
    text.family("onrush_target_responses_total", "counter", "Answers handed to the kernel, by endpoint and status.");
    for route in ROUTES {
        for (status, count) in STATUSES.iter().zip(snapshot.responses[route as usize]) {
            // The usual answer of an endpoint is shown from the start, so that its rate is known from the first one on.
            let usual = if route == Route::Other { 404 } else { 200 };
            if count > 0 || *status == usual {
                let labels = format_args!("{{endpoint=\"{}\",status=\"{status}\"}}", path(route));
                text.sample("onrush_target_responses_total", labels, count);
            }
        }
    }
    text.family(
        "onrush_target_malformed_requests_total",
        "counter",
        "Requests that were not understood, by the status of the answer.",
    );
    for (status, count) in MALFORMED_STATUSES.iter().zip(snapshot.malformed) {
        text.sample("onrush_target_malformed_requests_total", format_args!("{{status=\"{status}\"}}"), count);
    }
    for (name, kind, help, value) in [
        ("onrush_target_connections_open", "gauge", "Connections that are open.", snapshot.connections_open),
        ("onrush_target_connections_total", "counter", "Connections accepted.", snapshot.connections_total),
        ("onrush_target_received_bytes_total", "counter", "Bytes received.", snapshot.bytes_in),
        ("onrush_target_sent_bytes_total", "counter", "Bytes handed to the kernel.", snapshot.bytes_out),
    ] {
        text.family(name, kind, help);
        text.sample(name, "", value);
    }

    if let Some(QueueLength { waiting, serving }) = snapshot.queue {
        text.family("onrush_target_queue_waiting", "gauge", "Requests for /ping that wait for a server.");
        text.sample("onrush_target_queue_waiting", "", waiting);
        text.family("onrush_target_queue_serving", "gauge", "Requests for /ping that are served.");
        text.sample("onrush_target_queue_serving", "", serving);
    }

    text.family(
        "onrush_target_request_spacing_seconds",
        "histogram",
        "Time between a request for /ping and the one before it, on whatever connection.",
    );
    for (count, bound_ns) in cumulative(snapshot).zip(SPACING_BOUNDS_NS) {
        let labels = format_args!("{{le=\"{}\"}}", seconds(bound_ns));
        text.sample("onrush_target_request_spacing_seconds_bucket", labels, count);
    }
    let count: u64 = snapshot.spacing.iter().sum();
    text.sample("onrush_target_request_spacing_seconds_bucket", "{le=\"+Inf\"}", count);
    text.sample("onrush_target_request_spacing_seconds_sum", "", seconds(snapshot.spacing_sum_ns));
    text.sample("onrush_target_request_spacing_seconds_count", "", count);
    text.0
}

struct Text(String);

impl Text {
    fn family(&mut self, name: &str, kind: &str, help: &str) {
        let _infallible = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    fn sample(&mut self, name: &str, labels: impl std::fmt::Display, value: impl std::fmt::Display) {
        let _infallible = writeln!(self.0, "{name}{labels} {value}");
    }
}

fn cumulative(snapshot: &Snapshot) -> impl Iterator<Item = u64> {
    snapshot.spacing.iter().scan(0, |sum, count| {
        *sum += count;
        Some(*sum)
    })
}

fn seconds(ns: u64) -> f64 {
    ns as f64 / 1e9
}

#[cfg(test)]
mod tests {
    use super::*;

    const CPU: Cpu = Cpu { time: Some(ThreadTime { ran_ns: 2_500_000_000, waited_ns: 250_000_000 }), cores: 2 };

    fn snapshot() -> Snapshot {
        let mut snapshot = Snapshot { connections_open: 5, connections_total: 9, ..Snapshot::default() };
        snapshot.requests = [124, 1, 0];
        snapshot.responses[0][0] = 123;
        snapshot.malformed = [2, 1, 0, 0];
        snapshot.spacing[0] = 100;
        snapshot.spacing[2] = 20;
        snapshot.spacing[22] = 3;
        snapshot.spacing_sum_ns = 1_500_000_000;
        snapshot.queue = Some(QueueLength { waiting: 17, serving: 2 });
        snapshot
    }

    #[test]
    fn json_has_the_shape_that_others_rely_on() {
        let text = json(&snapshot(), "00ff", Duration::from_millis(1200), CPU);
        let value: serde_json::Value = serde_json::from_str(&text).expect("it is JSON");
        assert_eq!(value["server"], "onrush-target");
        assert_eq!(value["instance"], "00ff");
        assert_eq!(value["uptime_s"], 1.2);
        assert_eq!((&value["cpu_s"], &value["cpu_wait_s"], &value["cores"]), (&2.5.into(), &0.25.into(), &2.into()));
        assert_eq!(
            value["endpoints"][0],
            serde_json::json!({"path": "/ping", "requests": 124, "responses": {"200": 123}})
        );
        assert_eq!(value["endpoints"][1], serde_json::json!({"path": "/metrics", "requests": 1, "responses": {}}));
        assert_eq!(value["queue"], serde_json::json!({"waiting": 17, "serving": 2}));
        assert_eq!(value["malformed"], 3);
        assert_eq!(value["connections_open"], 5);
        assert_eq!(value["connections_total"], 9);
        assert_eq!(value["spacing"]["count"], 123);
        assert_eq!(value["spacing"]["sum_s"], 1.5);
        assert_eq!(value["spacing"]["buckets"][0], serde_json::json!({"up_to_s": 1e-6, "count": 100}));
        assert_eq!(value["spacing"]["buckets"][21], serde_json::json!({"up_to_s": 10.0, "count": 120}));
    }

    #[test]
    fn the_text_has_a_help_and_a_type_for_every_family_and_a_whole_histogram() {
        let text = prometheus(&snapshot(), "00ff", Duration::from_millis(1200), CPU);
        for line in [
            "onrush_target_info{instance=\"00ff\"} 1",
            "onrush_target_uptime_seconds 1.2",
            "onrush_target_cpu_seconds_total 2.5",
            "onrush_target_cpu_wait_seconds_total 0.25",
            "onrush_target_cores 2",
            "onrush_target_requests_total{endpoint=\"/ping\"} 124",
            "onrush_target_responses_total{endpoint=\"/ping\",status=\"200\"} 123",
            "onrush_target_responses_total{endpoint=\"other\",status=\"404\"} 0",
            "onrush_target_malformed_requests_total{status=\"431\"} 1",
            "onrush_target_connections_open 5",
            "onrush_target_queue_waiting 17",
            "onrush_target_queue_serving 2",
            "onrush_target_request_spacing_seconds_bucket{le=\"0.000001\"} 100",
            "onrush_target_request_spacing_seconds_bucket{le=\"10\"} 120",
            "onrush_target_request_spacing_seconds_bucket{le=\"+Inf\"} 123",
            "onrush_target_request_spacing_seconds_sum 1.5",
            "onrush_target_request_spacing_seconds_count 123",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is missing in\n{text}");
        }
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            let name = line.split(['{', ' ']).next().unwrap_or_default();
            let family =
                ["_bucket", "_sum", "_count"].iter().find_map(|suffix| name.strip_suffix(suffix)).unwrap_or(name);
            assert!(text.contains(&format!("# HELP {family} ")), "{line}");
            assert!(text.contains(&format!("# TYPE {family} ")), "{line}");
        }
    }
}
