//! A real Prometheus that scrapes the nodes of a test every second.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::Deserialize;
use serde_json::Value;
use tempfile::TempDir;
use url::form_urlencoded::Serializer;

use super::dashboards::{Query, Variable, root};
use crate::harness::{Process, Rest, SOON, wait_for};

/// A running one, with a database of its own.
pub struct Prometheus {
    _process: Process,
    rest: Rest,
    /// When it began.
    start_s: f64,
    _folder: TempDir,
}

#[derive(Deserialize)]
#[serde(tag = "status", rename_all = "lowercase")]
enum Answer {
    Success { data: Value },
    Error { error: String },
}

/// What a query found.
pub struct Found {
    /// Series with at least one value that is a number.
    pub series: usize,
    /// Whether one of the values is not zero.
    pub is_moved: bool,
}

pub fn now_s() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs_f64()
}

/// `http://ADDRESS` without the scheme.
fn address(base: &str) -> &str {
    base.strip_prefix("http://").expect("a plain address")
}

impl Prometheus {
    /// Scrapes an orchestrator and a target, given where they listen, as `prometheus/prometheus.yml` says.
    pub fn start(orchestrator: &str, target: &str) -> Self {
        let version = Command::new("prometheus").arg("--version").output();
        let missing = "Prometheus is needed and does not run here; on Debian: apt-get install prometheus";
        assert!(version.as_ref().is_ok_and(|done| done.status.success()), "{missing}: {version:?}");

        let folder = tempfile::tempdir().expect("a temporary folder");
        let config = configure(folder.path(), address(orchestrator), address(target));
        let mut command = Command::new("prometheus");
        command.arg(format!("--config.file={}", config.display()));
        command.arg(format!("--storage.tsdb.path={}", folder.path().join("data").display()));
        command.args(["--web.listen-address=127.0.0.1:0", "--log.format=logfmt"]);
        let mut process = Process::start("prometheus", command);
        let line = process.wait_for_line("msg=\"Listening on\"");
        let listen = line.split_whitespace().find_map(|word| word.strip_prefix("address=")).expect("it says where");
        let rest = Rest::new(&format!("http://{listen}"));
        let prometheus = Self { _process: process, rest, start_s: now_s(), _folder: folder };
        prometheus.wait_for("up == 1", 2);
        prometheus
    }

    /// Waits until a query finds so many series now.
    #[track_caller]
    pub fn wait_for(&self, expr: &str, series: usize) {
        wait_for(&format!("{series} series of {expr}"), SOON, || {
            let found = self.instant(expr, now_s())?;
            let targets = || self.ask("targets", &[]).map_or_else(|e| e, |data| data["activeTargets"].to_string());
            if found.series >= series {
                Ok(())
            } else {
                Err(format!("{} series; scraped: {}", found.series, targets()))
            }
        });
    }

    /// Waits until everything that was so a moment ago has been scraped, with enough behind it for a rate.
    #[track_caller]
    pub fn catch_up(&self) {
        let moment = now_s() + 2.0;
        self.wait_for(&format!("timestamp(up) > {moment}"), 2);
    }

    /// The names of all rules. Panics where one could not be evaluated.
    #[track_caller]
    pub fn rules(&self) -> Vec<String> {
        let data = self.ask("rules", &[]).unwrap_or_else(|e| panic!("{e}"));
        let groups = data["groups"].as_array().expect("groups of rules");
        let rules = groups.iter().flat_map(|group| group["rules"].as_array().into_iter().flatten());
        rules
            .map(|rule| {
                assert_eq!(rule["health"], "ok", "{rule:#}");
                rule["name"].as_str().expect("a rule has a name").to_owned()
            })
            .collect()
    }

    fn ask(&self, path: &str, parameters: &[(&str, &str)]) -> Result<Value, String> {
        let query = Serializer::new(String::new()).extend_pairs(parameters).finish();
        let (_, text) = self.rest.try_get(&format!("/api/v1/{path}?{query}"))?;
        match serde_json::from_str(&text).map_err(|e| format!("{e} in {text}"))? {
            Answer::Success { data } => Ok(data),
            Answer::Error { error } => Err(error),
        }
    }

    fn instant(&self, expr: &str, time_s: f64) -> Result<Found, String> {
        let data = self.ask("query", &[("query", expr), ("time", &time_s.to_string())])?;
        found(&data)
    }

    /// The values of a variable in the time in view.
    pub fn values(&self, variable: &Variable) -> Result<Vec<String>, String> {
        let (start, end) = (self.start_s.to_string(), now_s().to_string());
        let parameters = [("match[]", variable.metric.as_str()), ("start", &start), ("end", &end)];
        let data = self.ask(&format!("label/{}/values", variable.label), &parameters)?;
        serde_json::from_value(data).map_err(|e| e.to_string())
    }

    /// Asks what a dashboard asks that shows everything since the start. `chosen` has the values of its variables.
    pub fn run(&self, query: &Query, chosen: &[(String, String)]) -> Result<Found, String> {
        let end_s = now_s();
        let mut expr = query.expr.clone();
        // Of Grafana's own, at a step and a scrape of one second: the rate's interval is four scrapes.
        let range = format!("{}s", (end_s - self.start_s).ceil());
        let own = [("__rate_interval", "4s"), ("__interval", "1s"), ("__range", &range)];
        let given = chosen.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        for (name, value) in own.into_iter().chain(given) {
            expr = expr.replace(&format!("${name}"), value);
        }
        if expr.contains('$') {
            return Err(format!("a variable is not known: {expr}"));
        }
        if query.instant {
            return self.instant(&expr, end_s);
        }
        let (start, end) = (self.start_s.to_string(), end_s.to_string());
        found(&self.ask("query_range", &[("query", &expr), ("start", &start), ("end", &end), ("step", "1")])?)
    }
}

/// Counts what is worth being shown: a series without a single number is as empty as none.
fn found(data: &Value) -> Result<Found, String> {
    let result = data["result"].as_array().ok_or_else(|| format!("no series in {data}"))?;
    let (mut series, mut is_moved) = (0, false);
    for one in result {
        let samples = one["values"].as_array().cloned().unwrap_or_else(|| vec![one["value"].clone()]);
        let number = |sample: &Value| sample[1].as_str()?.parse::<f64>().ok().filter(|value| value.is_finite());
        let numbers: Vec<f64> = samples.iter().filter_map(number).collect();
        series += usize::from(!numbers.is_empty());
        is_moved |= numbers.iter().any(|value| *value != 0.0);
    }
    Ok(Found { series, is_moved })
}

/// The project's own configuration and rules in a folder of their own, with the addresses of this run.
fn configure(folder: &Path, orchestrator: &str, target: &str) -> PathBuf {
    let ours = root().join("prometheus");
    let mut text = std::fs::read_to_string(ours.join("prometheus.yml")).expect("prometheus/prometheus.yml");
    for (usual, here) in [("\"127.0.0.1:7400\"", orchestrator), ("\"127.0.0.1:8080\"", target)] {
        assert_eq!(text.matches(usual).count(), 1, "prometheus.yml scrapes {usual} once:\n{text}");
        text = text.replace(usual, &format!("\"{here}\""));
    }
    std::fs::create_dir(folder.join("rules")).expect("a writable folder");
    for entry in std::fs::read_dir(ours.join("rules")).expect("prometheus/rules") {
        let entry = entry.expect("a readable folder");
        std::fs::copy(entry.path(), folder.join("rules").join(entry.file_name())).expect("a writable folder");
    }
    let path = folder.join("prometheus.yml");
    std::fs::write(&path, text).expect("a writable folder");
    path
}
