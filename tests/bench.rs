//! `onrush bench`: the real binary against the real target, whose own counters are the second opinion.

mod harness;

#[path = "bench/capacity.rs"]
mod capacity;
#[path = "bench/compare.rs"]
mod compare;
#[path = "bench/limit.rs"]
mod limit;
#[path = "bench/log.rs"]
mod log;
#[path = "bench/omission.rs"]
mod omission;
#[path = "bench/rates.rs"]
mod rates;
#[path = "bench/sweep.rs"]
mod sweep;
#[path = "bench/truth.rs"]
mod truth;

use std::path::{Path, PathBuf};
use std::process::{Child, ExitStatus, Output};
use std::time::Duration;

use harness::{Process, SOON, TEST_END, Target, beside_others, wait_for};
use serde_json::Value;
use tempfile::TempDir;

/// A target with these flags more.
fn target(more: &[&str]) -> Target {
    harness::set_up();
    Target::start(more)
}

/// Ends what it stands for.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A bench that is run to its end: how it ended, what it said, and the files it was to write.
struct Bench {
    status: ExitStatus,
    output: String,
    folder: TempDir,
}

impl Bench {
    /// Runs it with `--output` as JSON and `--hdr`.
    fn run(args: &[&str]) -> Self {
        let (mut process, folder) = Self::start(args);
        let status = process.wait_for_end(TEST_END);
        Self { status, output: process.output(), folder }
    }

    fn start(args: &[&str]) -> (Process, TempDir) {
        harness::set_up();
        let folder = tempfile::tempdir().expect("a temporary folder");
        let (json, hdr) = (path_in(&folder, "result.json"), path_in(&folder, "run.hlog"));
        let files = ["--output-format", "json", "--output", text(&json), "--hdr", text(&hdr)];
        (Process::onrush("bench", &[&["bench"], args, &files].concat()), folder)
    }

    #[track_caller]
    fn ok(self) -> Self {
        assert!(self.status.success(), "{}:\n{}", self.status, self.output);
        self
    }

    fn json(&self) -> Value {
        let text = std::fs::read_to_string(path_in(&self.folder, "result.json")).expect("the result was written");
        serde_json::from_str(&text).expect("it is JSON")
    }

    fn hdr(&self) -> log::Log {
        log::Log::read(&path_in(&self.folder, "run.hlog"))
    }
}

fn path_in(folder: &TempDir, name: &str) -> PathBuf {
    folder.path().join(name)
}

fn text(path: &Path) -> &str {
    path.to_str().expect("temporary folders have plain names")
}

/// Runs the binary and gives what it wrote where.
fn command(args: &[&str]) -> Output {
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_onrush"));
    for (variable, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("ONRUSH_")) {
        command.env_remove(variable);
    }
    command.env("LC_ALL", "C.UTF-8").args(args).output().expect("the binary starts")
}

fn said(output: &Output) -> (String, String) {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("text");
    (text(&output.stdout), text(&output.stderr))
}

fn number(value: &Value) -> u64 {
    value.as_u64().unwrap_or_else(|| panic!("{value} is no count"))
}

fn sum_of_seconds(json: &Value, field: &str) -> u64 {
    json["seconds"].as_array().expect("a list").iter().map(|second| number(&second[field])).sum()
}

/// `1234567` → `1,234,567`, as the table shows it.
fn grouped(n: u64) -> String {
    let digits = n.to_string();
    let groups: Vec<&str> =
        digits.as_bytes().rchunks(3).rev().map(|group| std::str::from_utf8(group).unwrap()).collect();
    groups.join(",")
}

/// Tries until a run is good, which a busy machine may prevent; fails with what was measured.
fn some_run_is(what: &str, mut try_once: impl FnMut() -> (bool, String)) {
    const TRIES: usize = 5;
    let mut seen = Vec::new();
    let good = (0..TRIES).any(|_| {
        let (good, measured) = try_once();
        seen.push(measured);
        good
    });
    assert!(good, "in none of {TRIES} runs {what}; (predicted, measured) are\n{}", seen.join("\n"));
}

#[test]
fn counts_are_those_of_the_target_to_the_digit() {
    let _machine = beside_others();
    for more in
        [&["-n", "20k"][..], &["-d", "1500ms"], &["-n", "500", "--disable-keepalive"], &["-d", "1s", "-R", "300"]]
    {
        let target = target(&[]);
        let bench = Bench::run(&[&[target.url().as_str(), "-c", "16"], more].concat()).ok();
        let json = bench.json();
        let totals = &json["totals"];
        let sent = number(&totals["sent"]);
        assert_eq!(target.counted(), (sent, sent), "{more:?}");
        assert_eq!((number(&totals["answered"]), number(&totals["failed"])), (sent, 0));
        assert_eq!(number(&totals["statuses"]["200"]), sent);
        assert_eq!((&json["state"], &json["outcome"]), (&"COMPLETED".into(), &"exact".into()));
        for field in
            ["due", "sent", "responses", "answered", "failed", "skipped", "dropped", "bytes_sent", "bytes_received"]
        {
            assert_eq!(sum_of_seconds(&json, field), number(&totals[field]), "{more:?}: {field}");
        }
        if more[0] == "-n" {
            assert_eq!(json["asked"]["requests"], sent);
        }
    }
}

#[test]
fn the_table_shows_what_the_json_says_and_csv_its_seconds() {
    let _machine = beside_others();
    let target = target(&["--delay", "uniform:1ms-4ms"]);
    let bench = Bench::run(&[&target.url(), "-n", "3000", "--type", "tsunami", "-R", "2k"]).ok();
    let (json, table) = (bench.json(), bench.output.clone());
    let totals = &json["totals"];
    let sent = grouped(number(&totals["sent"]));
    for words in [
        format!("{sent} due, {sent} sent, {sent} answered, 0 failed, 0 skipped"),
        "responses/s of 2,000 asked for".to_owned(),
        format!("200 × {sent}"),
        format!("conservation: exact ({sent} sent = {sent} answered + 0 failed;"),
        "io_uring, CPUs ".to_owned(),
        "wait by timer".to_owned(),
    ] {
        assert!(table.contains(&words), "{words:?} is not in:\n{table}");
    }
    // Of each distribution, all numbers in the order of the headings.
    let heads: Vec<&str> = line_with(&table, "p99.9").split_whitespace().collect();
    assert_eq!(heads, ["mean", "min", "p50", "p90", "p95", "p99", "p99.9", "max"]);
    let fields = ["mean_ms", "min_ms", "median_ms", "p90_ms", "p95_ms", "p99_ms", "p999_ms", "max_ms"];
    for (name, key, factor) in [
        ("latency, ms", "latency", 1.0),
        ("service time, ms", "service_time", 1.0),
        ("schedule error, µs", "schedule_error", 1e3),
    ] {
        let row = line_with(&table, name);
        let cells: Vec<f64> =
            row[name.len()..].split_whitespace().map(|cell| cell.replace(',', "").parse().unwrap()).collect();
        let values = fields.map(|field| totals[key][field].as_f64().expect("a number") * factor);
        for (cell, value) in cells.iter().zip(values) {
            // Four digits are shown.
            assert!(
                (cell - value).abs() <= 0.0005f64.max(value * 0.0005).max(0.5 * f64::from(u8::from(value > 999.0))),
                "{name}: {cell} for {value}"
            );
        }
        assert_eq!(cells.len(), fields.len());
    }

    let csv = command(&["bench", &target.url(), "-n", "500", "--output-format", "csv"]);
    assert!(csv.status.success(), "{csv:?}");
    let (csv, _) = said(&csv);
    let mut rows = csv.lines().map(|line| line.split(',').collect::<Vec<_>>());
    let heads = rows.next().expect("the headings");
    let sent = heads.iter().position(|head| *head == "sent").expect("a column of that name");
    assert_eq!(rows.map(|row| row[sent].parse::<u64>().expect("a count")).sum::<u64>(), 500);
}

fn line_with<'a>(text: &'a str, part: &str) -> &'a str {
    text.lines().find(|line| line.contains(part)).unwrap_or_else(|| panic!("{part:?} is not in:\n{text}"))
}

#[test]
fn the_hdr_log_is_read_back_and_adds_up() {
    let _machine = beside_others();
    let target = target(&["--delay", "exp:2ms", "--seed", "7"]);
    let bench = Bench::run(&[&target.url(), "-d", "2500ms", "-c", "8"]).ok();
    let (json, log) = (bench.json(), bench.hdr());
    let seconds = json["seconds"].as_array().expect("a list");
    for tag in ["latency", "service_time", "schedule_error"] {
        let intervals = log.of(tag);
        assert_eq!(intervals.len(), seconds.len(), "{tag}: one interval a second");
        for (index, (interval, second)) in intervals.iter().zip(seconds).enumerate() {
            assert_eq!(interval.start, Duration::from_secs(index as u64), "{tag}");
            assert_eq!(interval.histogram.len(), number(&second[tag]["count"]), "{tag}, second {index}");
            let max_ms = second[tag]["max_ms"].as_f64().unwrap_or(0.0);
            assert!(
                (interval.max_ms - max_ms).abs() <= 0.0006 + max_ms * 0.001,
                "{tag}: {} for {max_ms}",
                interval.max_ms
            );
        }
        let merged = log.merged(tag);
        assert_eq!(merged.len(), number(&json["totals"][tag]["count"]), "{tag}");
        // The percentile of the merged log is that of the result: nanoseconds there, milliseconds here.
        let p99_ms = json["totals"][tag]["p99_ms"].as_f64().expect("a number");
        let of_log_ms = merged.value_at_quantile(0.99) as f64 / 1e6;
        assert!((of_log_ms - p99_ms).abs() <= p99_ms * 0.001, "{tag}: {of_log_ms} ms for {p99_ms} ms");
    }
    assert_eq!(log.merged("latency").len(), number(&json["totals"]["answered"]));
    assert_eq!(log.merged("schedule_error").len(), number(&json["totals"]["sent"]));
    let started = json["started_at"].as_str().expect("a text").parse::<jiff::Timestamp>().expect("a time");
    assert!((log.start_s - started.as_millisecond() as f64 / 1e3).abs() < 0.002, "{} for {started}", log.start_s);
}

#[test]
fn interrupted_it_ends_with_a_result() {
    let _machine = beside_others();
    let target = target(&["--delay", "20ms"]);
    let (mut process, folder) = Bench::start(&[&target.url(), "-d", "10m", "-c", "4"]);
    // The first second is over.
    process.wait_for_line("requests/s");
    process.interrupt();
    let status = process.wait_for_end(SOON);
    let bench = Bench { status, output: process.output(), folder };
    assert_eq!(bench.status.code(), Some(1), "{}", bench.output);
    assert!(bench.output.contains("error: it was stopped before its end"), "{}", bench.output);
    assert!(bench.output.contains("conservation: exact"), "{}", bench.output);
    let json = bench.json();
    assert_eq!(json["state"], "STOPPED");
    let sent = number(&json["totals"]["sent"]);
    assert!(sent > 0);
    assert_eq!(target.counted().0, sent);
    assert_eq!(bench.hdr().merged("schedule_error").len(), sent);
}

#[test]
fn an_interrupt_need_not_wait_for_a_target_that_does_not_answer() {
    let _machine = beside_others();
    harness::set_up();
    // Its backlog takes the first few connections and no more; nobody accepts.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    rustix::net::listen(&listener, 0).expect("it may be shorter");
    let url = format!("http://{}/", listener.local_addr().expect("it is bound"));
    let (mut process, _folder) = Bench::start(&[&url, "-c", "50", "--connect-timeout", "10m"]);
    // Some connections are made: it is arming.
    wait_for("a connection", SOON, || {
        let sockets = std::fs::read_dir(format!("/proc/{}/fd", process.id())).map_err(|e| e.to_string())?;
        let is_socket = |link: PathBuf| link.to_string_lossy().starts_with("socket:");
        let count = sockets.flatten().filter(|fd| std::fs::read_link(fd.path()).is_ok_and(is_socket)).count();
        if count >= 10 { Ok(()) } else { Err(format!("{count} sockets")) }
    });
    process.interrupt();
    assert_eq!(process.wait_for_end(SOON).code(), Some(130), "{}", process.output());
}

#[test]
fn a_wrong_command_line_exits_2_and_says_what_is_right() {
    let _machine = beside_others();
    let cases: [(&[&str], &[&str]); 6] = [
        (&["bench"], &["URL"]),
        (&["bench", "http://h/", "--rate", "fast"], &["--rate", "fast", "500 or 10k"]),
        (&["bench", "http://h/", "-c", "0"], &["--connections", "'0'", "from 1 to 100000"]),
        (&["bench", "http://h/", "--cpus", "1023"], &["--cpus", "1023", "may use"]),
        (&["bench", "http://h/", "--output-format", "xml"], &["xml", "text, json, csv"]),
        (&["target", "--stall", "9s"], &["--stall", "9s", "1s/10s"]),
    ];
    for (args, words) in cases {
        let output = command(args);
        let (out, err) = said(&output);
        assert_eq!(output.status.code(), Some(2), "{args:?}: {err}");
        assert!(out.is_empty() && words.iter().all(|word| err.contains(word)), "{args:?}: {err}");
    }
}

#[test]
fn what_cannot_be_reached_fails_with_the_cause() {
    let _machine = beside_others();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("it is bound").to_string();
    drop(listener);
    let output = command(&["bench", &format!("http://{address}/"), "-n", "10"]);
    let (out, err) = said(&output);
    assert_eq!((output.status.code(), out.as_str()), (Some(1), ""), "{err}");
    assert!(err.contains(&address) && err.contains("refused"), "{err}");
}

#[test]
fn a_target_that_only_times_out_fails_and_the_result_says_so() {
    let _machine = beside_others();
    let target = target(&["--delay", "10m"]);
    let bench = Bench::run(&[&target.url(), "-n", "20", "-c", "4", "--timeout", "100ms"]);
    assert_eq!(bench.status.code(), Some(1), "{}", bench.output);
    assert!(bench.output.contains("nothing was answered; failures by cause: timeout × 20"), "{}", bench.output);
    let json = bench.json();
    assert_eq!((number(&json["totals"]["failures"]["timeout"]), &json["outcome"]), (20, &"exact".into()));
}

#[test]
fn long_and_chunked_answers_are_read_whole() {
    let _machine = beside_others();
    for more in [&["--body-size", "64KiB"][..], &["--body-size", "64KiB", "--chunked"], &["--chunked"]] {
        let target = target(more);
        let json = Bench::run(&[&target.url(), "-n", "400", "-c", "8"]).ok().json();
        assert_eq!((number(&json["totals"]["answered"]), number(&json["totals"]["failed"])), (400, 0), "{more:?}");
        let received = number(&json["totals"]["bytes_received"]);
        assert!(received >= 400 * if more.len() > 1 { 64 * 1024 } else { 18 }, "{more:?}: {received}");
    }
}

#[test]
fn a_threshold_ends_a_run_at_the_second_that_breaks_it() {
    let _machine = beside_others();
    let target = target(&["--delay", "50ms"]);
    let more = ["-d", "60s", "-R", "100", "--threshold", "p50<10ms over 1s,failed<=0", "--abort-on-fail=1s"];
    let bench = Bench::run(&[&[target.url().as_str()][..], &more].concat());
    assert_eq!(bench.status.code(), Some(99), "{}", bench.output);
    let json = bench.json();
    let [first, second] = [0, 1].map(|place| &json["thresholds"][place]);
    assert_eq!((&first["kept"], &first["ended_test"], &second["kept"]), (&false.into(), &true.into(), &true.into()));
    let broken_at = number(&first["broken_at_second"]);
    let reason = json["reason"].as_str().unwrap_or_default();
    let value = first["broken_value"].as_str().expect("a value");
    assert_eq!(reason, format!("stopped: p50<10ms over 1s was {value} at second {broken_at}"));
    assert!((1..5).contains(&broken_at) && json["seconds"].as_array().map_or(0, Vec::len) < 8, "{reason}");
    assert_eq!((&json["state"], &json["outcome"]), (&"STOPPED".into(), &"exact".into()));
}

#[test]
fn a_threshold_that_is_not_kept_exits_99() {
    let _machine = beside_others();
    let target = target(&["--delay", "5ms"]);
    let bench = Bench::run(&[&target.url(), "-n", "50", "--threshold", "p50<1ms,failed<=0"]);
    assert_eq!(bench.status.code(), Some(99), "{}", bench.output);
    let json = bench.json();
    assert_eq!((&json["thresholds"][0]["kept"], &json["thresholds"][1]["kept"]), (&false.into(), &true.into()));
}
