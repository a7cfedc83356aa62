//! A test's seconds as points of its charts, in bounded memory. Pure.
//!
//! A test with more seconds than points has points of two seconds each, or of four, and so on: counts are added up, and of each
//! latency the worst stays, so that no peak is lost. It is the rule of the live page for its older seconds.

use std::collections::{BTreeMap, BTreeSet};

use onrush_api::{NameView, ScopeView, SecondView, SummaryView};
use serde_json::{Map, Value, json};

/// A chart is no wider than this on any screen.
const MAX_POINTS: usize = 600;
/// What the drivers of all points have together: four numbers each.
const MAX_LOADS: usize = 8_000;
/// However many drivers there are.
const MIN_POINTS: usize = 16;
/// Names of requests that have columns: so many lines the page's charts have.
const MAX_NAMES: usize = 8;
/// The fields of a latency, as the page names them.
const QUANTILES: [&str; 5] = ["median_ms", "p90_ms", "p99_ms", "p999_ms", "max_ms"];

/// The points so far.
#[derive(Clone, Debug, PartialEq)]
pub struct Points {
    max_points: usize,
    width_s: u64,
    points: BTreeMap<u64, Point>,
}

/// Some seconds that follow one another.
#[derive(Clone, Debug, Default, PartialEq)]
struct Point {
    seconds: u64,
    drivers: BTreeMap<String, Load>,
    latency: Quantiles,
    schedule_error: Quantiles,
    failures: BTreeMap<String, u64>,
    target_cpu: Option<Cpu>,
    names: BTreeMap<String, Named>,
}

/// Of the target's CPUs, the shares that were used, and wanted and not got.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Cpu {
    used_share: f64,
    waited_share: f64,
}

/// What the requests of one name did.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Named {
    sent: u64,
    responses: u64,
    p99_ms: Option<f64>,
}

/// What a driver was asked for and did; `None`: it does not report that.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Load {
    due: Option<u64>,
    sent: Option<u64>,
    responses: Option<u64>,
    in_flight: Option<u64>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Quantiles([Option<f64>; QUANTILES.len()]);

impl Points {
    /// For a test of so many drivers; without a second yet.
    pub fn for_drivers(drivers: usize) -> Self {
        let max_points = (MAX_LOADS / drivers.max(1)).clamp(MIN_POINTS, MAX_POINTS);
        Self { max_points, width_s: 1, points: BTreeMap::new() }
    }

    /// Takes a second in; in any order, each once.
    pub fn add(&mut self, second: &SecondView) {
        let SecondView { second_index, all, drivers, target_cpu, .. } = second;
        let point = Point {
            seconds: 1,
            drivers: drivers.iter().map(|scope| (scope.node_id.clone().unwrap_or_default(), Load::of(scope))).collect(),
            latency: Quantiles::of(&all.latency),
            schedule_error: Quantiles::of(&all.schedule_error),
            failures: all.failures.clone(),
            target_cpu: target_cpu.map(|cpu| Cpu { used_share: cpu.used_share, waited_share: cpu.waited_share }),
            names: all.by_name.iter().map(|(name, view)| (name.clone(), Named::of(view))).collect(),
        };
        let start = second_index - second_index % self.width_s;
        self.points.entry(start).or_default().merge(point);
        while self.points.len() > self.max_points {
            self.fold();
        }
    }

    /// Makes each point twice as wide.
    fn fold(&mut self) {
        self.width_s *= 2;
        for (start, point) in std::mem::take(&mut self.points) {
            self.points.entry(start - start % self.width_s).or_default().merge(point);
        }
    }

    /// The points in columns, as the report's script reads them.
    pub fn columns(&self) -> Value {
        let points = || self.points.values();
        let names = |of: fn(&Point) -> Vec<&str>| points().flat_map(of).collect::<BTreeSet<&str>>();
        let load = |name: &str, of: fn(&Load) -> Option<u64>| -> Vec<Option<u64>> {
            points().map(|point| point.drivers.get(name).and_then(of)).collect()
        };
        let driver = |name: &str| {
            json!({
                "due": load(name, |load| load.due),
                "sent": load(name, |load| load.sent),
                "responses": load(name, |load| load.responses),
                "in_flight": load(name, |load| load.in_flight),
            })
        };
        let drivers = names(|point| point.drivers.keys().map(String::as_str).collect());
        let causes = names(|point| point.failures.keys().map(String::as_str).collect());
        let failed = |cause: &str| -> Vec<u64> {
            points().map(|point| point.failures.get(cause).copied().unwrap_or_default()).collect()
        };
        let cpu = |of: fn(Cpu) -> f64| points().map(|point| point.target_cpu.map(of)).collect::<Vec<_>>();
        let named = |name: &str| {
            let of = |point: &Point| point.names.get(name).copied().unwrap_or_default();
            json!({
                "sent": points().map(|point| of(point).sent).collect::<Vec<_>>(),
                "responses": points().map(|point| of(point).responses).collect::<Vec<_>>(),
                "p99_ms": points().map(|point| of(point).p99_ms).collect::<Vec<_>>(),
            })
        };
        json!({
            "width_s": self.width_s,
            "start_s": self.points.keys().collect::<Vec<_>>(),
            "seconds": points().map(|point| point.seconds).collect::<Vec<_>>(),
            "latency": columns_of(points().map(|point| &point.latency)),
            "schedule_error": columns_of(points().map(|point| &point.schedule_error)),
            "drivers": drivers.iter().map(|name| ((*name).to_owned(), driver(name))).collect::<Map<_, _>>(),
            "target_cpu": {"used_share": cpu(|cpu| cpu.used_share), "waited_share": cpu(|cpu| cpu.waited_share)},
            "names": self.most_sent().into_iter().map(|name| (name.to_owned(), named(name))).collect::<Map<_, _>>(),
            "failures": causes.iter().map(|cause| ((*cause).to_owned(), json!(failed(cause)))).collect::<Map<_, _>>(),
        })
    }
}

impl Points {
    /// The names that were sent most.
    fn most_sent(&self) -> Vec<&str> {
        let mut sent: BTreeMap<&str, u64> = BTreeMap::new();
        for (name, named) in self.points.values().flat_map(|point| &point.names) {
            let sum = sent.entry(name).or_default();
            *sum = sum.saturating_add(named.sent);
        }
        let mut names: Vec<&str> = sent.keys().copied().collect();
        names.sort_by_key(|name| std::cmp::Reverse(sent[name]));
        names.truncate(MAX_NAMES);
        names
    }
}

fn columns_of<'a>(quantiles: impl Iterator<Item = &'a Quantiles> + Clone) -> Map<String, Value> {
    let column = |(index, name): (usize, &&str)| {
        let values: Vec<Option<f64>> = quantiles.clone().map(|quantiles| quantiles.0[index]).collect();
        ((*name).to_owned(), json!(values))
    };
    QUANTILES.iter().enumerate().map(column).collect()
}

impl Point {
    fn merge(&mut self, other: Self) {
        let Self { seconds, drivers, latency, schedule_error, failures, target_cpu, names } = other;
        self.seconds += seconds;
        for (name, load) in drivers {
            self.drivers.entry(name).or_default().merge(load);
        }
        self.latency.merge(latency);
        self.schedule_error.merge(schedule_error);
        for (cause, n) in failures {
            let sum = self.failures.entry(cause).or_default();
            *sum = sum.saturating_add(n);
        }
        self.target_cpu = self.target_cpu.into_iter().chain(target_cpu).reduce(Cpu::worst);
        for (name, named) in names {
            self.names.entry(name).or_default().merge(named);
        }
    }
}

impl Cpu {
    fn worst(self, other: Self) -> Self {
        Self {
            used_share: self.used_share.max(other.used_share),
            waited_share: self.waited_share.max(other.waited_share),
        }
    }
}

impl Named {
    fn of(view: &NameView) -> Self {
        Self { sent: view.sent, responses: view.responses, p99_ms: view.latency.p99_ms }
    }

    fn merge(&mut self, other: Self) {
        let Self { sent, responses, p99_ms } = other;
        self.sent = self.sent.saturating_add(sent);
        self.responses = self.responses.saturating_add(responses);
        self.p99_ms = self.p99_ms.into_iter().chain(p99_ms).reduce(f64::max);
    }
}

impl Load {
    fn of(scope: &ScopeView) -> Self {
        let ScopeView { due, sent, responses, in_flight, .. } = *scope;
        Self { due, sent, responses, in_flight }
    }

    fn merge(&mut self, other: Self) {
        let Self { due, sent, responses, in_flight } = other;
        let add = |a: Option<u64>, b: Option<u64>| a.into_iter().chain(b).reduce(u64::saturating_add);
        self.due = add(self.due, due);
        self.sent = add(self.sent, sent);
        self.responses = add(self.responses, responses);
        self.in_flight = self.in_flight.into_iter().chain(in_flight).max();
    }
}

impl Quantiles {
    fn of(summary: &SummaryView) -> Self {
        let SummaryView { median_ms, p90_ms, p99_ms, p999_ms, max_ms, .. } = *summary;
        Self([median_ms, p90_ms, p99_ms, p999_ms, max_ms])
    }

    fn merge(&mut self, other: Self) {
        for (own, theirs) in self.0.iter_mut().zip(other.0) {
            *own = (*own).into_iter().chain(theirs).reduce(f64::max);
        }
    }
}
