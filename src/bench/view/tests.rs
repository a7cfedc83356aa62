//! Tests of a bench's result, on seconds that are made up.

use std::time::{Duration, Instant};

use onrush_api::Outcome;
use onrush_engine::{End, SecondReport};
use onrush_protocol::{ConnectTo, RequestConfig, TestId, TestType};
use onrush_stats::{FailureCause, NameStats, SecondStats, TargetCpu, Totals};

use super::*;
use crate::bench::collect::Collector;
use crate::bench::csv::csv;

/// A second that sent, answered and failed so many requests, after `index` others like it.
pub fn second(index: u64, answered: u64, failed: u64, end: Option<End>) -> SecondReport {
    let mut stats = SecondStats::default();
    for n in 0..answered {
        stats.latency.record(1_000_000 + n * 1_000);
        stats.service_time.record(900_000);
    }
    (0..answered + failed).for_each(|_| stats.schedule_error.record(2_000));
    (stats.counts.sent, stats.counts.due) = (answered + failed, answered + failed);
    (stats.counts.bytes_sent, stats.counts.bytes_received) = (50 * (answered + failed), 150 * answered);
    if answered > 0 {
        stats.counts.statuses.insert(200, answered);
    }
    if failed > 0 {
        stats.counts.failures.insert(FailureCause::Timeout, failed);
    }
    let so_far = index + 1;
    let totals = Totals {
        sent: so_far * (answered + failed),
        answered: so_far * answered,
        failed: so_far * failed,
        due: so_far * (answered + failed),
        ..Totals::default()
    };
    // The last half second is of waiting for responses for the most part.
    let (length, sending) = match end {
        Some(_) => (Duration::from_millis(500), Duration::from_millis(1_000 * index + 100)),
        None => (Duration::from_secs(1), Duration::from_secs(so_far)),
    };
    SecondReport { index, length, stats, totals, sending, started: Instant::now(), end }
}

pub fn sample_asked() -> AskedView {
    let mut config = TestConfig::new(TestId::new("bench").expect("a name"), TestType::Tsunami);
    config.target_url = Some("http://127.0.0.1:8080/ping".into());
    config.count_per_driver = Some(3_000);
    config.duration = Some(Duration::from_secs(10));
    config.delay = Duration::from_micros(500);
    config.connections = Some(64);
    AskedView::new(&config)
}

pub fn sample_engine() -> EngineView {
    EngineView {
        driver: "io_uring".into(),
        wait: "timer".into(),
        why: "no CPUs were given for it alone (--cpus)".into(),
        cpus: "0-1".into(),
        connections_open: 64,
    }
}

/// Two and a half seconds of a thousand requests each.
pub fn sample_run() -> BenchView {
    collected(1_000, 0).finish("2026-01-02T03:04:05.000Z".into(), sample_asked(), sample_engine())
}

fn collected(answered: u64, failed: u64) -> Collector {
    let mut collector = Collector::of(&sample_asked());
    for (index, end) in [None, None, Some(End::Completed)].into_iter().enumerate() {
        assert!(!collector.has_ended());
        collector.add(&second(index as u64, answered, failed, end), None);
    }
    collector
}

#[test]
fn seconds_become_totals() {
    let collector = collected(990, 10);
    assert!(collector.has_ended());
    let view = collector.finish(String::new(), sample_asked(), sample_engine());
    assert_eq!((view.totals.sent, view.totals.answered, view.totals.failed), (Some(3_000), Some(2_970), Some(30)));
    assert_eq!((view.totals.elapsed_s, view.totals.sending_s), (Some(2.5), Some(2.1)));
    let rates = (view.totals.responses_per_s, view.totals.attempts_per_s);
    assert_eq!(rates, (Some(2_970.0 / 2.1), Some(3_000.0 / 2.1)), "over the time in which requests were sent");
    assert_eq!((view.seconds.len(), view.seconds_left_out), (3, 0));
    let last = &view.seconds[2].measured;
    assert_eq!((last.elapsed_s, last.sending_s.map(|s| (s * 1e3).round())), (Some(0.5), Some(100.0)));
    assert_eq!(view.outcome, Outcome::Exact);
    let expected = "conservation: exact (3,000 sent = 2,970 answered + 30 failed; 3 seconds add up to it)";
    assert_eq!(view.conservation.line, expected);
}

#[test]
fn each_second_has_what_its_target_used_and_the_verdict_knows_it() {
    let mut collector = Collector::of(&sample_asked());
    for (index, end) in [None, Some(End::Completed)].into_iter().enumerate() {
        let target = TargetCpu { available_s: 2.0, cpu_s: 0.5 + index as f64, cpu_wait_s: 0.25, cores: 2 };
        collector.add(&second(index as u64, 1_000, 0, end), Some(target));
    }
    let view = collector.finish(String::new(), sample_asked(), sample_engine());
    let used: Vec<_> = view.seconds.iter().filter_map(|second| second.target_cpu).collect();
    assert_eq!(used.iter().map(|cpu| cpu.used_share).collect::<Vec<_>>(), [0.25, 0.75]);
    assert!(used.iter().all(|cpu| (cpu.cores, cpu.waited_share) == (2, 0.125)), "{used:?}");
    assert!(view.limit.line.ends_with("the target's CPU had 38 % left"), "{}", view.limit.line);
}

#[test]
fn what_was_due_and_not_sent_is_counted() {
    let timed = || AskedView { requests: None, duration_s: Some(2.5), ..sample_asked() };
    let short_of = |asked: AskedView| collected(1_000, 0).finish(String::new(), asked, sample_engine()).short_of_rate;
    assert_eq!(short_of(timed()), Some(0));
    let mut late = Collector::default();
    let mut report = second(0, 9, 0, Some(End::Completed));
    (report.stats.counts.due, report.stats.counts.dropped) = (12, 3);
    report.totals = report.stats.counts.totals();
    late.add(&report, None);
    let late = late.finish(String::new(), timed(), sample_engine());
    assert_eq!((late.short_of_rate, late.outcome), (Some(3), Outcome::Exact));
    assert_eq!(short_of(AskedView { rate_per_s: None, ..timed() }), None);
    assert_eq!(short_of(sample_asked()), None, "a count ends it");
    let mut stopped = Collector::default();
    stopped.add(&second(0, 9, 0, Some(End::Stopped)), None);
    assert_eq!(stopped.finish(String::new(), timed(), sample_engine()).short_of_rate, None);
}

#[test]
fn what_does_not_add_up_is_named() {
    type Spoil = fn(&mut SecondReport);
    let spoiled: [(Spoil, &str); 9] = [
        (|second| second.totals.sent += 1, "sent = answered + failed"),
        (|second| second.stats.counts.sent -= 1, "sent = sum of the seconds: 10 and 9"),
        (|second| second.stats.latency.record(1), "latency values = responses"),
        (|second| second.totals.dropped = 1, "dropped = sum of the seconds: 1 and 0"),
        (|second| second.totals.due += 1, "due = sent + skipped + dropped: 11 and 10"),
        (|second| second.totals.resent = 1, "resent = sum of the seconds: 1 and 0"),
        (|second| second.totals.unsolicited = 1, "unsolicited = sum of the seconds: 1 and 0"),
        (|second| second.stats.schedule_error.clear(), "schedule error values = sent"),
        (|second| second.stats.counts.in_flight = 1, "nothing is left on its way: 0 and 1"),
    ];
    for (spoil, words) in spoiled {
        let mut report = second(0, 9, 1, Some(End::Completed));
        spoil(&mut report);
        let mut collector = Collector::default();
        collector.add(&report, None);
        let BenchView { outcome, conservation, .. } = collector.finish(String::new(), sample_asked(), sample_engine());
        assert_eq!(outcome, Outcome::Invalid);
        assert!(conservation.line.starts_with("conservation: invalid ("), "{}", conservation.line);
        assert!(conservation.line.contains(words), "{words}: {}", conservation.line);
    }
}

#[test]
fn the_share_done_is_that_of_the_nearer_limit() {
    let asked = sample_asked();
    assert_eq!(asked.share_done(1_500, 1.0), Some(0.5));
    assert_eq!(asked.share_done(30, 5.0), Some(0.5));
    assert_eq!(asked.share_done(9_000, 5.0), Some(1.0));
    assert_eq!(AskedView { requests: None, duration_s: None, ..asked }.share_done(1, 1.0), None);
}

#[test]
fn csv_has_a_column_for_every_heading() {
    let text = csv(&sample_run());
    let mut lines = text.lines().map(|line| line.split(',').collect::<Vec<_>>());
    let heads = lines.next().expect("the headings");
    assert_eq!(heads.len(), 2 + 11 + 4 + 3 * 8 + 2);
    let rows: Vec<_> = lines.collect();
    assert_eq!(rows.len(), 3);
    let column = |name: &str| heads.iter().position(|head| *head == name).expect(name);
    for (index, row) in rows.iter().enumerate() {
        assert_eq!(row.len(), heads.len());
        assert_eq!((row[0], row[column("sent")]), (index.to_string().as_str(), "1000"));
        assert_eq!((row[column("latency_min_ms")], row[column("service_time_p50_ms")]), ("1", "0.9"));
        assert_eq!((row[column("statuses")], row[column("failures")]), ("200:1000", ""));
    }
}

#[test]
fn json_says_what_the_result_is() {
    let value = serde_json::to_value(sample_run()).expect("plain values");
    assert_eq!((&value["state"], &value["asked"]["rate_per_s"]), (&"COMPLETED".into(), &2_000.0.into()));
    assert_eq!((&value["totals"]["sent"], &value["seconds"][1]["sent"]), (&3_000.into(), &1_000.into()));
    assert_eq!(value["totals"]["latency"]["min_ms"], 1.0);
    assert_eq!((&value["engine"]["driver"], &value["engine"]["wait"]), (&"io_uring".into(), &"timer".into()));
}

#[test]
fn a_response_that_fails_its_check_is_a_response() {
    let mut report = second(0, 9, 0, Some(End::Completed));
    report.stats.counts.failures.insert(FailureCause::CheckFailed, 4);
    (report.totals.answered, report.totals.failed) = (5, 4);
    let mut collector = Collector::default();
    collector.add(&report, None);
    let BenchView { totals, outcome, conservation, .. } =
        collector.finish(String::new(), sample_asked(), sample_engine());
    assert_eq!((totals.responses, totals.answered, totals.failed), (Some(9), Some(5), Some(4)));
    assert_eq!(totals.latency.count, Some(9));
    assert_eq!(outcome, Outcome::Exact, "{}", conservation.line);
    assert!(conservation.line.contains("4 of them by a check"), "{}", conservation.line);
}

#[test]
fn the_url_is_shown_as_it_is_sent() {
    let mut config = TestConfig::new(TestId::new("bench").expect("a name"), TestType::Avalanche);
    let shown = |config: &TestConfig| AskedView::new(config).url;
    for (typed, sent) in [
        ("h:8080/a/%2e%2e/b?u=http://x'#part", "http://h:8080/a/%2e%2e/b?u=http://x'"),
        ("h/{id}", "http://h/%7Bid%7D"),
        ("HTTPS://H", "https://h/"),
        ("http://h/a b", "http://h/a%20b"),
    ] {
        config.target_url = Some(typed.into());
        assert_eq!(shown(&config), sent);
    }
    config.target_url = Some("http://h:81/base".into());
    config.requests =
        ["/one", "/two"].map(|url| RequestConfig { url: Some(url.into()), ..RequestConfig::default() }).into();
    assert_eq!(shown(&config), "http://h:81/one and 1 request more");
    config.connect_to = vec!["h:81:127.0.0.1:8080".parse::<ConnectTo>().expect("a rule")];
    assert_eq!(AskedView::new(&config).others["connect_to"], serde_json::json!(["h:81:127.0.0.1:8080"]));
}

/// A second in which half of the requests are of one name and half of another.
fn named_second() -> SecondReport {
    let mut report = second(0, 8, 2, Some(End::Completed));
    let stats = &mut report.stats;
    let whole = NameStats {
        sent: stats.counts.sent,
        statuses: stats.counts.statuses.clone(),
        failures: stats.counts.failures.clone(),
        latency: (&stats.latency).into(),
    };
    stats.by_name.add("GET /a,b", &NameStats { sent: 4, ..NameStats::default() });
    stats.by_name.add("rest", &NameStats { sent: whole.sent - 4, ..whole });
    report
}

#[test]
fn names_add_up_and_have_lines_of_their_own() {
    let result = |report: &SecondReport| {
        let mut collector = Collector::default();
        collector.add(report, None);
        collector.finish(String::new(), sample_asked(), sample_engine())
    };
    let view = result(&named_second());
    assert_eq!(view.outcome, Outcome::Exact, "{}", view.conservation.line);
    assert_eq!((view.totals.by_name["GET /a,b"].sent, view.totals.by_name["rest"].answered), (4, 8));
    let text = csv(&view);
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 4, "{text}");
    assert!(lines[0].ends_with(",statuses,failures,name") && lines[1].ends_with(','), "{text}");
    assert!(lines[2].starts_with("0,") && lines[2].ends_with(",,,\"GET /a,b\""), "{text}");
    assert!(lines[3].ends_with(",200:8,timeout:2,rest"), "{text}");
    let commas = |line: &str| line.replace("\"GET /a,b\"", "").matches(',').count();
    assert!(lines.iter().all(|line| commas(line) == commas(lines[0])), "{text}");
    assert!(serde_json::to_string(&view).is_ok_and(|json| json.contains("\"by_name\":{\"GET /a,b\"")));
    assert!(!serde_json::to_string(&sample_run()).is_ok_and(|json| json.contains("by_name")), "one name is the whole");

    let mut wrong = named_second();
    wrong.stats.by_name.add("rest", &NameStats { sent: 1, ..NameStats::default() });
    let view = result(&wrong);
    assert_eq!(view.outcome, Outcome::Invalid);
    assert!(view.conservation.line.contains("names: sent = sent of all: 10 and 11"), "{}", view.conservation.line);
}
