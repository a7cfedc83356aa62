//! One scrape: values become series with names and labels. What is not known has no series; it is never 0.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Instant;

use metrics::{Key, Label, Level, Metadata, Recorder};
use metrics_exporter_prometheus::formatting::{write_help_line, write_metric_line, write_type_line};
use metrics_exporter_prometheus::{LabelSet, PrometheusBuilder, PrometheusRecorder};
use onrush_api::SummaryView;
use onrush_stats::{Counts, Kind, LimitedBy, Outcome};

use super::buckets::Buckets;
use super::help::{all, help};
use super::series::{DriverSeries, MeasuredSeries, ShownTest, Summaries};
use super::{Live, Own, Usage};
use crate::event::TestEvent;
use crate::state::{DriverState, TestState};

const METADATA: Metadata<'_> = Metadata::new("onrush", Level::INFO, None);

type Labels<'a> = &'a [(&'static str, &'a str)];

/// What a scrape shows.
pub struct Page<'a> {
    pub live: &'a Live,
    pub own: &'a Own,
    pub test: Option<&'a ShownTest>,
    pub usage: Usage,
    pub open_fds: Option<u64>,
    pub now: Instant,
}

impl Page<'_> {
    /// The text.
    pub fn render(&self) -> String {
        let sink = Sink { recorder: PrometheusBuilder::new().build_recorder() };
        for (name, help) in all() {
            sink.recorder.describe_gauge(name.into(), None, help.into());
        }
        self.drivers(&sink);
        self.own(&sink);
        if let Some(test) = self.test {
            self.test(&sink, test);
        }
        let mut text = sink.recorder.handle().render();
        self.cpu_times(&mut text);
        self.histograms(&mut text);
        text
    }

    fn drivers(&self, sink: &Sink) {
        let drivers = &self.live.drivers;
        let states = DriverState::ALL.iter().map(|state| (*state, state.name().to_lowercase()));
        for (state, name) in states.clone() {
            let count = drivers.iter().filter(|driver| driver.state == state).count();
            sink.gauge("onrush_drivers", &[("state", &name)], Some(count as f64));
        }
        for driver in drivers {
            let driver_label = ("driver", driver.node_id.as_str());
            for (state, name) in states.clone() {
                let is = f64::from(driver.state == state);
                sink.gauge("onrush_driver_state", &[driver_label, ("state", &name)], Some(is));
            }
            let labels: Labels<'_> = &[driver_label];
            let age_s = self.now.saturating_duration_since(driver.heard_at).as_secs_f64();
            sink.gauge("onrush_driver_heartbeat_age_seconds", labels, Some(age_s));
            sink.gauge("onrush_driver_clock_offset_seconds", labels, driver.clock_offset_ms.map(seconds));
            sink.gauge("onrush_driver_reports_waiting", labels, driver.reports_waiting.map(|n| n as f64));
            let memory_bytes = driver.memory_bytes.map(|n| n as f64);
            sink.gauge("onrush_driver_process_resident_memory_bytes", labels, memory_bytes);
        }
    }

    fn own(&self, sink: &Sink) {
        let Live { reports, skipped, broker_reachable, .. } = self.live;
        let results = [
            ("accepted", reports.accepted),
            ("late", reports.late),
            ("duplicate", reports.duplicate),
            ("skipped", reports.skipped),
        ];
        for (result, n) in results {
            sink.counter("onrush_reports_total", &[("result", result)], n);
        }
        for (topic, kind, n) in skipped {
            sink.counter("onrush_messages_skipped_total", &[("topic", topic.name()), ("kind", kind)], *n);
        }
        let Own { sealed_seconds, store_write, events, .. } = self.own;
        sink.counter("onrush_sealed_seconds_total", &[], *sealed_seconds);
        sink.counter("onrush_store_writes_total", &[], store_write.count());
        let kinds = [
            ("start", TestEvent::Triggered),
            ("changed", TestEvent::Amended),
            ("stop", TestEvent::Stop),
            ("lost", TestEvent::Lost),
            ("completed", TestEvent::Completed),
        ];
        for (kind, event) in kinds {
            let n = events.get(&event).copied().unwrap_or(0);
            sink.counter("onrush_test_events_total", &[("kind", kind)], n);
        }
        sink.gauge("onrush_broker_reachable", &[], Some(f64::from(*broker_reachable)));
        let usage = &self.usage;
        sink.gauge("process_resident_memory_bytes", &[], usage.resident_bytes.map(|n| n as f64));
        sink.gauge("process_open_fds", &[], self.open_fds.map(|n| n as f64));
    }

    fn test(&self, sink: &Sink, test: &ShownTest) {
        let id = ("test", test.test_id.as_str());
        let running = f64::from(test.state == TestState::Running);
        sink.gauge("onrush_test_running", &[id, ("test_type", test.test_type)], Some(running));
        let info = [
            id,
            ("name", test.name.as_deref().unwrap_or_default()),
            ("test_type", test.test_type),
            ("state", &test.state.name().to_lowercase()),
        ];
        sink.gauge("onrush_test_info", &info, Some(1.0));
        for outcome in Outcome::ALL {
            let is = test.outcome.map(|known| f64::from(known == outcome));
            sink.gauge("onrush_test_outcome", &[id, ("outcome", outcome.name())], is);
        }
        for (threshold, kept) in &test.thresholds {
            sink.gauge("onrush_test_threshold_kept", &[id, ("threshold", threshold)], kept.map(f64::from));
        }
        for limited_by in LimitedBy::ALL {
            let is = test.limit.map(|known| f64::from(known == limited_by));
            sink.gauge("onrush_test_limit", &[id, ("limit", limited_by.name())], is);
        }
        let target = test.target_cpu;
        sink.gauge("onrush_test_target_cores", &[id], target.map(|cpu| cpu.cores as f64));
        sink.gauge("onrush_test_target_cpu_used_ratio", &[id], target.map(|cpu| cpu.used_share));
        sink.gauge("onrush_test_target_cpu_waited_ratio", &[id], target.map(|cpu| cpu.waited_share));
        if let Some(search) = &test.search {
            sink.gauge("onrush_search_rate_per_second", &[id], search.trying_per_s);
            for (bound, per_s) in [("lower", search.lower_per_s), ("upper", search.upper_per_s)] {
                sink.gauge("onrush_search_bound_per_second", &[id, ("bound", bound)], per_s);
            }
            for (verdict, n) in ["good", "bad", "void"].into_iter().zip(search.trials) {
                sink.gauge("onrush_search_trials", &[id, ("verdict", verdict)], Some(n as f64));
            }
        }
        sink.gauge("onrush_test_start_skew_seconds", &[id], test.start_skew_ms.map(seconds));
        let age = test.sealed_at.map(|at| self.now.saturating_duration_since(at).as_secs_f64());
        sink.gauge("onrush_last_sealed_second_age_seconds", &[], age);
        for (window, summaries) in [("second", test.second), ("test", Some(test.whole))] {
            let Some(Summaries { latency, service_time, schedule_error }) = summaries else { continue };
            let labels: Labels<'_> = &[id, ("window", window)];
            sink.quantiles("onrush_test_latency_quantile_seconds", labels, &latency);
            sink.quantiles("onrush_test_service_time_quantile_seconds", labels, &service_time);
            sink.quantiles("onrush_test_schedule_error_quantile_seconds", labels, &schedule_error);
            sink.gauge("onrush_test_latency_mean_seconds", labels, latency.mean_ms.map(seconds));
            sink.gauge("onrush_test_latency_min_seconds", labels, latency.min_ms.map(seconds));
            sink.gauge("onrush_test_latency_max_seconds", labels, latency.max_ms.map(seconds));
        }
        names(sink, id, test);
        for (node_id, series) in &test.drivers {
            let labels: Labels<'_> = &[id, ("driver", node_id.as_str())];
            match series {
                DriverSeries::Measured(measured) => self.measured(sink, test, labels, measured),
                DriverSeries::Plain(None) => {}
                DriverSeries::Plain(Some(latency)) => {
                    sink.spread(labels, "test", [latency.mean, latency.min, latency.max].map(|ms| ms.map(seconds)));
                    sink.median_of_test(labels, latency.median.map(seconds));
                }
            }
        }
    }

    fn measured(&self, sink: &Sink, test: &ShownTest, labels: Labels<'_>, series: &MeasuredSeries) {
        for number in Counts::NUMBERS.iter().filter(|number| number.kind == Kind::Counter) {
            if let Some((name, _)) = number.series {
                sink.counter(name, labels, number.of(&series.counts));
            }
        }
        for (class, n) in series.answers() {
            let class = format!("{class}xx");
            sink.counter("onrush_driver_answers_total", &with(labels, ("status_class", &class)), n);
        }
        for (cause, n) in series.failures() {
            sink.counter("onrush_driver_failures_total", &with(labels, ("cause", cause)), n);
        }
        if let Some(spread) = series.latency.mean_min_max_s() {
            sink.spread(labels, "test", spread.map(Some));
        }
        sink.median_of_test(labels, series.median_ns.map(|ns| ns as f64 / 1e9));
        if !series.is_lost {
            sink.gauge("onrush_driver_connections", labels, Some(f64::from(test.connections)));
            let due_per_s = series.second.as_ref().and_then(|second| second.due_per_s);
            sink.gauge("onrush_driver_due_per_second", labels, due_per_s);
            let asked_per_s = if test.load_changes { due_per_s } else { test.throughput_asked_per_s };
            sink.gauge("onrush_driver_target_throughput_asked", labels, asked_per_s);
        }
        if let Some(second) = &series.second {
            let latency = &second.latency;
            sink.gauge("onrush_driver_in_flight_requests", labels, second.in_flight.map(|n| n as f64));
            sink.gauge("onrush_driver_throughput_reached", labels, second.responses_per_s);
            sink.gauge("onrush_driver_attempts_per_second", labels, second.attempts_per_s);
            sink.quantiles("onrush_driver_latency_quantile_seconds", &with(labels, ("window", "second")), latency);
            sink.spread(labels, "second", [latency.mean_ms, latency.min_ms, latency.max_ms].map(|ms| ms.map(seconds)));
        }
    }

    fn cpu_times(&self, text: &mut String) {
        let drivers: Vec<([(&'static str, &str); 1], f64)> = self
            .live
            .drivers
            .iter()
            .filter_map(|driver| Some(([("driver", driver.node_id.as_str())], driver.cpu_s?)))
            .collect();
        let drivers = drivers.iter().map(|(labels, cpu_s)| (labels.as_slice(), *cpu_s));
        counter(text, "onrush_driver_process_cpu_seconds_total", drivers);
        counter(text, "process_cpu_seconds_total", [(&[] as Labels<'_>, self.usage.cpu_s)]);
    }

    fn histograms(&self, text: &mut String) {
        let own = self.own;
        histogram(text, "onrush_report_delivery_delay_seconds", [(&[] as Labels<'_>, &own.delivery_delay)]);
        histogram(text, "onrush_seal_delay_seconds", [(&[] as Labels<'_>, &own.seal_delay)]);
        histogram(text, "onrush_store_write_seconds", [(&[] as Labels<'_>, &own.store_write)]);
        let Some(test) = self.test else { return };
        let drivers: Vec<([(&'static str, &str); 2], &MeasuredSeries)> = test
            .drivers
            .iter()
            .filter_map(|(node_id, series)| match series {
                DriverSeries::Measured(measured) => {
                    Some(([("test", test.test_id.as_str()), ("driver", node_id.as_str())], &**measured))
                }
                DriverSeries::Plain(_) => None,
            })
            .collect();
        let all = |pick: fn(&MeasuredSeries) -> &Buckets| {
            drivers.iter().map(move |(labels, series)| (labels.as_slice(), pick(series)))
        };
        histogram(text, "onrush_driver_latency_seconds", all(|series| &series.latency));
        histogram(text, "onrush_driver_service_time_seconds", all(|series| &series.service_time));
        histogram(text, "onrush_driver_schedule_error_seconds", all(|series| &series.schedule_error));
    }
}

/// Where series of one number go: a recorder that lives as long as the scrape.
struct Sink {
    recorder: PrometheusRecorder,
}

impl Sink {
    fn gauge(&self, name: &'static str, labels: Labels<'_>, value: Option<f64>) {
        if let Some(value) = value {
            self.recorder.register_gauge(&key(name, labels), &METADATA).set(value);
        }
    }

    fn counter(&self, name: &'static str, labels: Labels<'_>, value: u64) {
        self.recorder.register_counter(&key(name, labels), &METADATA).absolute(value);
    }

    fn quantiles(&self, name: &'static str, labels: Labels<'_>, summary: &SummaryView) {
        let quantiles = [
            ("0.5", summary.median_ms),
            ("0.9", summary.p90_ms),
            ("0.95", summary.p95_ms),
            ("0.99", summary.p99_ms),
            ("0.999", summary.p999_ms),
        ];
        for (quantile, ms) in quantiles {
            self.gauge(name, &with(labels, ("quantile", quantile)), ms.map(seconds));
        }
    }

    fn median_of_test(&self, labels: Labels<'_>, median_s: Option<f64>) {
        let labels = with(labels, ("window", "test"));
        self.gauge("onrush_driver_latency_quantile_seconds", &with(&labels, ("quantile", "0.5")), median_s);
    }

    fn spread(&self, labels: Labels<'_>, window: &'static str, [mean, min, max]: [Option<f64>; 3]) {
        let labels = with(labels, ("window", window));
        self.gauge("onrush_driver_latency_mean_seconds", &labels, mean);
        self.gauge("onrush_driver_latency_min_seconds", &labels, min);
        self.gauge("onrush_driver_latency_max_seconds", &labels, max);
    }
}

/// What was measured by the name of the request, over all drivers: at most 65 names, and of each the classes of status and the
/// causes that there were.
fn names(sink: &Sink, id: (&'static str, &str), test: &ShownTest) {
    for (name, view) in &test.by_name {
        let labels: Labels<'_> = &[id, ("request", name)];
        sink.counter("onrush_test_request_sent_total", labels, view.sent);
        let mut classes = BTreeMap::<u16, u64>::new();
        view.statuses.iter().for_each(|(status, n)| *classes.entry(status / 100).or_default() += n);
        for (class, n) in classes {
            let class = format!("{class}xx");
            sink.counter("onrush_test_request_answers_total", &with(labels, ("status_class", &class)), n);
        }
        for (cause, n) in &view.failures {
            sink.counter("onrush_test_request_failures_total", &with(labels, ("cause", cause)), *n);
        }
    }
    for (window, names) in [("second", &test.second_by_name), ("test", &test.by_name)] {
        for (name, view) in names {
            let labels: Labels<'_> = &[id, ("request", name), ("window", window)];
            sink.quantiles("onrush_test_request_latency_quantile_seconds", labels, &view.latency);
        }
    }
}

fn with<'a>(labels: Labels<'a>, one_more: (&'static str, &'a str)) -> Vec<(&'static str, &'a str)> {
    labels.iter().copied().chain([one_more]).collect()
}

fn key(name: &'static str, labels: Labels<'_>) -> Key {
    let labels: Vec<Label> = labels.iter().map(|(key, value)| Label::new(*key, (*value).to_owned())).collect();
    Key::from_parts(name, labels)
}

/// Writes counters of one name that are not whole numbers, as the exporter's own are.
fn counter<'a>(text: &mut String, name: &'static str, series: impl IntoIterator<Item = (Labels<'a>, f64)>) {
    family(text, name, "counter", series, |text, labels, value| {
        write_metric_line::<&str, f64>(text, name, None, labels, None, value, None);
    });
}

/// Writes histograms of one name.
fn histogram<'a>(text: &mut String, name: &'static str, series: impl IntoIterator<Item = (Labels<'a>, &'a Buckets)>) {
    family(text, name, "histogram", series, |text, labels, buckets| {
        for (bound_s, count) in buckets.cumulative() {
            write_metric_line(text, name, Some("bucket"), labels, Some(("le", bound_s)), count, None);
        }
        let count = buckets.count();
        write_metric_line(text, name, Some("bucket"), labels, Some(("le", "+Inf")), count, None);
        write_metric_line::<&str, f64>(text, name, Some("sum"), labels, None, buckets.sum_s(), None);
        write_metric_line::<&str, u64>(text, name, Some("count"), labels, None, count, None);
    });
}

/// Writes all series of one name in the exporter's own format; nothing where there are none.
fn family<'a, T>(
    text: &mut String,
    name: &'static str,
    kind: &str,
    series: impl IntoIterator<Item = (Labels<'a>, T)>,
    write: impl Fn(&mut String, &LabelSet, T),
) {
    let mut is_first = true;
    for (labels, value) in series {
        if std::mem::take(&mut is_first) {
            write_help_line(text, name, None, None, help(name));
            write_type_line(text, name, None, None, kind);
        }
        write(text, &LabelSet::from_key_and_global(&key(name, labels), &Default::default()), value);
    }
    // A blank line after each family, like the exporter's.
    let _ = writeln!(text);
}

/// Milliseconds in seconds, without the digits that dividing by a thousand would make up.
fn seconds(ms: f64) -> f64 {
    (ms * 1e6).round() / 1e9
}
