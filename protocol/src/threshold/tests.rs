use std::collections::BTreeMap;
use std::time::Duration;

use onrush_stats::{Counts, FailureCause, SecondStats};

use super::*;
use crate::{NodeId, TestConfig, TestId, TestType};

fn threshold(text: &str) -> Threshold {
    text.parse().expect(text)
}

fn check(figures: &Figures, text: &str) -> (bool, String) {
    let Judgement { value, kept } = threshold(text).judge(figures);
    (kept, value.unwrap_or_default())
}

/// Five of ten that were due got a response, after 1 to 5 ms.
fn half_answered() -> SecondStats {
    let mut stats = answered(5, 1_000_000);
    (stats.counts.due, stats.counts.sent) = (10, 7);
    stats
}

/// So many responses, the n-th after n times that.
fn answered(count: u64, step_ns: u64) -> SecondStats {
    let mut stats = SecondStats::default();
    (stats.counts.due, stats.counts.sent) = (count, count);
    if count > 0 {
        stats.counts.statuses.insert(200, count);
    }
    for n in 1..=count {
        stats.latency.record(n * step_ns);
        stats.service_time.record(n * step_ns / 2);
        stats.schedule_error.record(1_000);
    }
    stats
}

#[test]
fn what_was_due_and_has_no_response_was_not_in_time() {
    let mut stats = half_answered();
    let figures = |stats: &SecondStats| Figures::of(stats, 500_000_000, 300.0);
    let of = figures(&stats);
    assert_eq!(check(&of, "median<10ms"), (true, "5.000 ms".into()));
    assert_eq!(check(&of, "p99<1h"), (false, "5 of 10 due have no response".into()));
    assert_eq!(check(&of, "response_p99<10ms"), (true, "5.000 ms".into()));
    assert_eq!(check(&of, "service_max<=2500us"), (true, "2.500 ms".into()));
    assert_eq!(check(&of, "schedule_error_p99<1us"), (false, "1.000 µs".into()));
    assert_eq!(check(&of, "failed<60%"), (true, "50.000 %".into()));
    assert_eq!(check(&of, "rate>=10"), (true, "10.0 responses/s".into()));
    stats.counts.failures.insert(FailureCause::Timeout, 2);
    (stats.counts.skipped, stats.counts.dropped) = (2, 1);
    let of = figures(&stats);
    for metric in ["p99", "mean", "max"] {
        let kept = check(&of, &format!("{metric}<1h"));
        assert_eq!(kept, (false, "> 300.0 ms, 5 of 10 due have no response".into()), "{metric}");
    }
    assert_eq!(check(&of, "failed<=4"), (false, "5, 3 of them never sent".into()));
    assert_eq!(check(&of, "skipped<=2"), (true, "2".into()));
    assert_eq!(check(&of, "dropped<10%"), (false, "10.000 %".into()));
}

#[test]
fn what_is_not_known_is_not_kept() {
    for text in ["p99<200ms", "p99>0s", "failed<100%", "response_p99<1s", "skipped<=0", "rate>1"] {
        assert_eq!(threshold(text).judge(&Figures::default()), Judgement { value: None, kept: false }, "{text}");
    }
    let nothing_sent = Figures::of(&SecondStats::default(), 0, 10.0);
    for text in ["p99<200ms", "failed<1%", "rate>1", "service_p50<1s", "schedule_error_max<1s"] {
        assert!(!threshold(text).judge(&nothing_sent).kept, "{text}");
    }
}

#[test]
fn a_threshold_is_read_and_shown_as_it_was_written() {
    for (text, window_s) in [("p99<200ms over 10s", Some(10)), (" failed < 1% over 1m", Some(60)), ("rate>=10k", None)]
    {
        let threshold = threshold(text);
        assert_eq!((threshold.window_s(), threshold.to_string()), (window_s, text.trim().to_owned()));
    }
}

#[test]
fn a_wrong_threshold_says_what_is_right() {
    let long = "p99<1s".to_owned() + &" ".repeat(200) + "over 1s";
    for text in [
        "",
        "p99",
        "p98<1s",
        "p99<",
        "p99<200",
        "p99<-1s",
        "failed<x",
        "failed<-1%",
        "rate>fast",
        "<1s",
        "p99=1s",
        "response_p98<1s",
        "service<1s",
        "schedule_error_failed<1",
        "p99<1s over",
        "p99<1s over ",
        "p99<1s over 0s",
        "p99<1s over 1.5s",
        "p99<1s over 2h",
        "p99 over 10s<1s",
        &long,
    ] {
        let problem = text.parse::<Threshold>().expect_err(text);
        assert!(problem.contains("p99<200ms") && problem.len() < 700, "{text}: {problem}");
    }
}

/// A test on one driver, second by second.
struct Run {
    watch: Watch,
    standings: Vec<Standing>,
    whole: SecondStats,
    seconds: u64,
    driver: NodeId,
}

impl Run {
    fn new(thresholds: &[&str], abort_after_s: Option<u64>) -> Self {
        let mut config = TestConfig::new(TestId::new("t").expect("a name"), TestType::Tsunami);
        config.thresholds = thresholds.iter().map(|text| threshold(text)).collect();
        config.abort_on_fail = abort_after_s.map(Duration::from_secs);
        let driver = NodeId::new("d").expect("a name");
        Self { watch: Watch::new(&config), standings: Vec::new(), whole: SecondStats::default(), seconds: 0, driver }
    }

    /// The next second; why the test is to end.
    fn second(&mut self, stats: &SecondStats) -> Option<String> {
        self.part_of_second(stats, 1_000_000_000)
    }

    fn part_of_second(&mut self, stats: &SecondStats, sending_ns: u64) -> Option<String> {
        let second_index = self.seconds;
        self.seconds += 1;
        self.whole.append(stats);
        self.watch.enter(WatchedSecond { second_index, sending_ns, stats }, [(&self.driver, &stats.counts)]);
        self.watch.judge(&self.whole, self.seconds * 1_000_000_000, false, &mut self.standings)
    }

    fn kept(&self) -> Vec<Option<bool>> {
        self.standings.iter().map(|standing| standing.kept).collect()
    }
}

/// A second in which this many were due and none got a response.
fn dead(due: u64) -> SecondStats {
    let counts = Counts { due, sent: due.min(50), ..Counts::default() };
    SecondStats { counts, ..SecondStats::default() }
}

#[test]
fn a_window_forgets_what_is_older() {
    let mut run = Run::new(
        &["max<200ms over 3s", "max<200ms", "min>5ms over 2s", "failed<=0 over 1s", "rate>=150 over 2s"],
        None,
    );
    run.second(&answered(100, 10_000_000));
    // A second that took a second at most is over all bounds.
    assert_eq!(run.kept(), [Some(false), Some(false), Some(true), Some(true), Some(false)]);
    let breach =
        |run: &Run, i: usize| run.standings[i].breach.clone().map(|breach| (breach.second_index, breach.value));
    assert_eq!(breach(&run, 0), Some((0, Some("1.000 s".into()))));
    assert_eq!(breach(&run, 1), None, "over the whole test the end decides");
    let values: Vec<Vec<Option<String>>> = (0..4)
        .map(|_| {
            run.second(&answered(200, 100_000));
            run.standings.iter().map(|standing| standing.value.clone()).collect()
        })
        .collect();
    let of = |place: usize| values.iter().map(|values| values[place].clone().unwrap_or_default()).collect::<Vec<_>>();
    assert_eq!(of(0), ["1.000 s", "1.000 s", "20.00 ms", "20.00 ms"]);
    assert_eq!(of(1), ["1.000 s"; 4]);
    assert_eq!(of(2), ["100.0 µs"; 4]);
    assert_eq!(of(4), ["150.0 responses/s", "200.0 responses/s", "200.0 responses/s", "200.0 responses/s"]);
}

#[test]
fn what_is_on_its_way_breaks_nothing_before_it_is_late() {
    let mut run = Run::new(&["p99<2s over 5s", "max<200ms over 1s", "failed<=0 over 5s"], Some(0));
    // Each second the last 20 of 100 are still on their way.
    let mut stats = answered(80, 1_000_000);
    stats.counts.due = 100;
    assert_eq!(run.second(&stats), None);
    let mut stats = answered(100, 1_000_000);
    for _ in 0..5 {
        assert_eq!(run.second(&stats), None);
    }
    stats.counts.due = 100;
    assert_eq!(run.kept(), [Some(true); 3]);
}

#[test]
fn a_window_with_a_dead_target_is_not_kept() {
    let mut run = Run::new(&["p99<200ms over 1s", "response_p99<200ms over 1s", "p99<2s over 1s"], Some(3));
    for _ in 0..5 {
        assert_eq!(run.second(&answered(100, 1_000_000)), None);
    }
    // What was due in the first dead second may still be in time for all that is known.
    assert_eq!(run.second(&dead(100)), None);
    let why = run.second(&dead(100)).expect("it ends");
    assert_eq!(why, "p99<200ms over 1s was > 1.000 s, 100 of 100 due have no response at second 6");
    assert_eq!(run.kept(), [Some(false), Some(false), Some(true)]);
    assert!(run.second(&dead(100)).is_some_and(|why| why.starts_with("p99<2s over 1s was > 2.000 s")));
    assert_eq!(run.second(&dead(100)), None, "each is said once");
}

#[test]
fn a_quantile_beyond_the_responses_is_unknown_and_not_kept() {
    let mut run = Run::new(&["p90<1s", "p99<1s"], Some(0));
    let mut stats = answered(95, 1_000_000);
    stats.counts.due = 100;
    stats.counts.failures.insert(FailureCause::Timeout, 5);
    let why = run.second(&stats).expect("it ends");
    assert_eq!(why, "p99<1s was > 10.00 s, 5 of 100 due have no response at second 0");
    assert_eq!(run.kept(), [Some(true), Some(false)]);
}

#[test]
fn nothing_is_enforced_before_its_time_and_nothing_is_said_of_parts_of_seconds() {
    let mut run = Run::new(&["p99<1ms over 1s", "rate>=50 over 1s"], Some(2));
    assert_eq!(run.second(&answered(100, 1_000_000)), None);
    assert_eq!(run.kept(), [Some(true); 2]);
    assert_eq!(run.second(&answered(100, 1_000_000)), None);
    assert!(run.second(&answered(100, 1_000_000)).is_some_and(|why| why.contains("at second 2")));
    let mut run = Run::new(&["p99<1s over 1s", "rate>=50 over 1s"], Some(0));
    assert_eq!(run.second(&answered(100, 1_000_000)), None);
    assert_eq!(run.part_of_second(&answered(1, 1_000_000), 3_000_000), None);
    assert_eq!(run.part_of_second(&SecondStats::default(), 0), None);
    assert_eq!(run.kept(), [Some(true); 2]);
    // What never had a second at all is judged by the whole.
    let mut run = Run::new(&["p99<1ms over 10s"], None);
    run.part_of_second(&answered(10, 1_000_000), 500_000_000);
    assert_eq!(run.kept(), [None]);
    let figures = Figures::of(&run.whole, 500_000_000, 1e4);
    run.standings[0].conclude(&threshold("p99<1ms over 10s"), &figures);
    assert_eq!(run.kept(), [Some(false)]);
}

#[test]
fn a_driver_that_is_gone_delays_nothing() {
    let names = ["a", "b"].map(|name| NodeId::new(name).expect("a name"));
    let mut run = Run::new(&["p99<200ms over 1s"], Some(0));
    let healthy = answered(100, 1_000_000);
    let mut stats = dead(100);
    let mut enter = |second_index, stats: &SecondStats, parts: BTreeMap<&NodeId, &Counts>| {
        run.watch.enter(WatchedSecond { second_index, sending_ns: 1_000_000_000, stats }, parts);
        run.watch.judge(stats, 1_000_000_000, false, &mut run.standings)
    };
    let alone = stats.clone();
    stats.merge_across(&healthy);
    assert_eq!(enter(0, &stats, [(&names[0], &healthy.counts), (&names[1], &alone.counts)].into()), None);
    for second in 1..4 {
        assert_eq!(enter(second, &healthy, [(&names[0], &healthy.counts)].into()), None);
    }
    // It comes back, and what it lacks by then counts from there.
    assert_eq!(enter(4, &stats, [(&names[0], &healthy.counts), (&names[1], &alone.counts)].into()), None);
    assert!(enter(5, &stats, [(&names[0], &healthy.counts), (&names[1], &alone.counts)].into()).is_some());
}

#[test]
fn a_watch_that_is_made_anew_goes_on_as_it_was() {
    let seconds: Vec<SecondStats> =
        (0..6).map(|n| if n < 4 { answered(100 + n, 1_000_000) } else { dead(100) }).collect();
    let texts = ["p99<150ms over 3s", "mean<1s over 2s", "p99<10s", "rate>=30 over 3s"];
    let mut run = Run::new(&texts, None);
    let mut before = Counts::default();
    for (n, stats) in seconds.iter().enumerate() {
        run.second(stats);
        let mut anew = Run::new(&texts, None);
        let from = (n + 1).saturating_sub(anew.watch.memory_s() as usize);
        if let Some(first) = from.checked_sub(1) {
            before.append(&seconds[first].counts);
        }
        (anew.seconds, anew.driver) = (from as u64, run.driver.clone());
        anew.watch.begin_at(
            &run.driver,
            &seconds[..from].iter().fold(Counts::default(), |mut sum, stats| {
                sum.append(&stats.counts);
                sum
            }),
        );
        anew.whole = run.whole.clone();
        for (second_index, stats) in (0..).zip(&seconds).take(n + 1).skip(from) {
            let second = WatchedSecond { second_index, sending_ns: 1_000_000_000, stats };
            anew.watch.enter(second, [(&run.driver, &stats.counts)]);
        }
        anew.watch.judge(&run.whole, run.seconds * 1_000_000_000, false, &mut anew.standings);
        let values = |run: &Run| run.standings.iter().map(|standing| standing.value.clone()).collect::<Vec<_>>();
        assert_eq!(values(&anew), values(&run), "after second {n}");
    }
}

#[test]
fn a_threshold_of_one_name_looks_at_its_requests_alone() {
    use onrush_stats::{ByName, NameStats};

    let mut by_name = ByName::default();
    let mut login = NameStats { sent: 10, statuses: [(200, 8)].into(), ..NameStats::default() };
    (1..=8).for_each(|ms| login.latency.record(ms * 1_000_000));
    login.failures.insert(FailureCause::Timeout, 2);
    by_name.add("login", &login);
    let figures = |name: &str| Figures::of_name(&by_name, name, 2_000_000_000, 300.0);
    let judged = |text: &str| {
        let threshold: Threshold = text.parse().unwrap();
        let figures = figures(threshold.name().unwrap()).unwrap_or_default();
        let Judgement { value, kept } = threshold.judge(&figures);
        (kept, value.unwrap_or_else(|| "unknown".into()))
    };
    assert_eq!(judged("p50{login}<6ms"), (true, "5.001 ms".into()));
    assert_eq!(judged("p90{login}<1s"), (false, "> 300.0 ms, 2 of 10 due have no response".into()));
    assert!(judged("response_max{ login } <= 8ms").0);
    assert_eq!(judged("failed{login}<=20%"), (true, "20.000 %".into()));
    assert_eq!(judged("rate{login}>=4"), (true, "4.0 responses/s".into()));
    assert_eq!(judged("failed{GET /other}<1%"), (false, "unknown".into()));
    let odd: Threshold = "p99{GET /a<b>{c}}<1s".parse().unwrap();
    assert_eq!((odd.name(), odd.to_string().as_str()), (Some("GET /a<b>{c}"), "p99{GET /a<b>{c}}<1s"));
    for (wrong, why) in [
        ("p99{}<1s", "names no request"),
        ("p99{login<1s", "names no request"),
        ("service_p99{login}<1s", "not measured"),
        ("skipped{login}<1%", "not measured"),
        ("p99{login}<1s over 2s", "whole test"),
    ] {
        let error = wrong.parse::<Threshold>().unwrap_err();
        assert!(error.contains(why), "{wrong}: {error}");
    }
}

#[test]
fn a_threshold_asks_for_a_name_that_there_is() {
    let mut config = TestConfig::new(crate::TestId::new("t").unwrap(), crate::TestType::Avalanche);
    config.count_per_driver = Some(1);
    config.target_url = Some("http://h/ping".into());
    let request = |url: &str, name: Option<&str>| crate::RequestConfig {
        url: Some(url.into()),
        name: name.map(Into::into),
        ..crate::RequestConfig::default()
    };
    let problem = |config: &TestConfig| config.problems().into_iter().map(|p| (p.field, p.problem)).next();
    config.thresholds = vec!["p99{login}<1s".parse().unwrap()];
    let (field, why) = problem(&config).unwrap();
    assert!(field == "thresholds" && why.contains("one name"), "{field}: {why}");
    config.requests = vec![request("/a?b", Some("login")), request("/c?d", None)];
    assert_eq!(problem(&config), None);
    config.thresholds.push("failed{GET /c}<1%".parse().unwrap());
    assert_eq!(problem(&config), None);
    config.thresholds.push("failed{GET /d}<1%".parse().unwrap());
    assert!(
        problem(&config).unwrap().1.contains("\"GET /d\", which no request is named; there are \"login\", \"GET /c\"")
    );
    // A driver may have a path of its own.
    config.target_url = None;
    assert_eq!(problem(&config), None);
    config.requests[0].name = Some("a{b".into());
    assert!(problem(&config).unwrap().1.contains("braces"));
    config.requests[0].name = Some("other".into());
    assert!(problem(&config).unwrap().1.contains("take another"));
}
