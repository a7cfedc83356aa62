//! What a scrape says, as Prometheus would read it.

use onrush_protocol::threshold::Standing;
use onrush_protocol::{LatencyMs, Metrics, NodeState};
use onrush_search::{Criterion, Goal};
use onrush_stats::{FailureCause, LimitWatch, LimitedBy, MAX_NAMES, NameStats, OTHER, Outcome, TargetCpu};

use super::help;
use super::*;
use crate::aggregate::{Aggregate, Entered, SealedSecond};
use crate::capacity::CapacitySearch;
use crate::clock::Now;
use crate::event::TestEvent;
use crate::record::ParticipantRecord;
use crate::registry::Registry;
use crate::second::SecondNumbers;
use crate::state::ParticipantState;
use crate::testing::{Exposition, SimDriver, node, reports, running, stats, test_id};
use crate::views;

const NAMES: [&str; 2] = ["a", "b"];
const TARGET: TargetCpu = TargetCpu { available_s: 4.0, cpu_s: 3.0, cpu_wait_s: 0.5, cores: 4 };

fn scrape(export: &Export) -> Exposition {
    Exposition::read(&export.render())
}

/// Shows sealed seconds as the brain does.
fn show(export: &Export, seconds: Vec<SealedSecond>, totals: &Aggregate, now: Instant) {
    for second in seconds {
        let second = SealedSecond { target: Some(TARGET), ..second };
        let all = second.all();
        let view = views::second(&SecondNumbers::of(&second, &all, 0.0));
        let total_of = |node_id: &NodeId| totals.driver(node_id).map(|driver| &driver.part);
        let news = News { parts: &second.parts, all: &all.stats, total_of: &total_of };
        export.second(&test_id("t"), &view, news, second.sealable_since, now);
    }
}

/// Shows reports as they come, each second sealed as soon as it can be, or only what was there before `now` + 2 s.
fn take(export: &Export, aggregate: &mut Aggregate, reports: &[Metrics], now: Instant) {
    let both = NAMES.map(node);
    for Metrics { node_id, measured, .. } in reports {
        let report = measured.as_ref().unwrap();
        if aggregate.enter(node_id, report, now).unwrap() == Entered::Late {
            let merged = SealedSecond {
                second_index: report.second_index,
                missing: Vec::new(),
                late_reports: 1,
                sealable_since: None,
                parts: BTreeMap::from([(node_id.clone(), DriverPart::of(report))]),
                target: None,
            };
            show(export, vec![merged], aggregate, now);
        }
        let sealed = aggregate.seal(&both, false, now);
        show(export, sealed, aggregate, now);
    }
}

#[test]
fn at_the_end_counters_and_histograms_equal_the_totals_to_the_digit() {
    let (export, now) = (Export::default(), Instant::now());
    let record = running("t", 40, &NAMES);
    export.test(&record, now);
    let before = scrape(&export);
    assert_eq!(before.get("onrush_driver_requests_sent_total", "driver=a,test=t"), Some(0.0), "rates begin at 0");

    let mut all = reports("t", &NAMES, 6, 30);
    if let Some(measured) = &mut all[4].measured {
        measured.stats.counts.failures.insert(FailureCause::Timeout, 3);
        measured.stats.counts.statuses.insert(503, 2);
    }
    let mut aggregate = Aggregate::default();
    // The reports of the seconds 1 and 2 of one driver come after their seconds were sealed, and two come twice.
    let (late, in_time): (Vec<Metrics>, Vec<Metrics>) = all.iter().cloned().partition(|metrics| {
        let second = metrics.measured.as_ref().map(|measured| measured.second_index);
        metrics.node_id == node("b") && matches!(second, Some(1 | 2))
    });
    take(&export, &mut aggregate, &in_time, now);
    let sealed = aggregate.seal(&[], true, now);
    show(&export, sealed, &aggregate, now);
    take(&export, &mut aggregate, &late, now);
    take(&export, &mut aggregate, &late, now);

    let shown = scrape(&export);
    for name in NAMES {
        let total = &aggregate.driver(&node(name)).unwrap().part.stats;
        let get = |series: &str, more: &str| {
            let mut labels: Vec<String> = vec![format!("driver={name}"), "test=t".into()];
            labels.extend(more.split(',').filter(|label| !label.is_empty()).map(str::to_owned));
            labels.sort_unstable();
            shown.get(series, &labels.join(",")).unwrap_or_else(|| panic!("{series} {labels:?}"))
        };
        let counts = &total.counts;
        assert_eq!(get("onrush_driver_requests_sent_total", ""), counts.sent as f64);
        assert_eq!(get("onrush_driver_sent_bytes_total", ""), counts.bytes_sent as f64);
        assert_eq!(get("onrush_driver_received_bytes_total", ""), counts.bytes_received as f64);
        assert_eq!(get("onrush_driver_requests_skipped_total", ""), counts.skipped as f64);
        assert_eq!(get("onrush_driver_answers_total", "status_class=2xx"), counts.statuses[&200] as f64);
        let errors = counts.statuses.get(&503).copied().unwrap_or(0);
        assert_eq!(get("onrush_driver_answers_total", "status_class=5xx"), errors as f64);
        let timeouts = counts.failures.get(&FailureCause::Timeout).copied().unwrap_or(0);
        assert_eq!(get("onrush_driver_failures_total", "cause=timeout"), timeouts as f64);
        let median = total.latency.quantile_ns(0.5).map(|ns| ns as f64 / 1e9);
        let shown_median = get("onrush_driver_latency_quantile_seconds", "quantile=0.5,window=test");
        assert_eq!(Some(shown_median), median);
        let distributions = [
            ("onrush_driver_latency_seconds", &total.latency),
            ("onrush_driver_service_time_seconds", &total.service_time),
            ("onrush_driver_schedule_error_seconds", &total.schedule_error),
        ];
        for (family, distribution) in distributions {
            assert_eq!(get(&format!("{family}_count"), ""), distribution.count() as f64);
            assert_eq!(get(&format!("{family}_sum"), ""), distribution.sum_ns() as f64 / 1e9);
            assert_eq!(get(&format!("{family}_bucket"), "le=+Inf"), distribution.count() as f64);
            let slots = distribution.histogram().unwrap().iter_recorded();
            let below_1s: u64 =
                slots.filter(|slot| slot.value_iterated_to() <= 1_000_000_000).map(|slot| slot.count_at_value()).sum();
            assert_eq!(get(&format!("{family}_bucket"), "le=1"), below_1s as f64);
        }
    }
    let all = &aggregate.all().latency;
    let p99 = shown.get("onrush_test_latency_quantile_seconds", "quantile=0.99,test=t,window=test").unwrap();
    assert!((p99 - all.quantile_ns(0.99).unwrap() as f64 / 1e9).abs() < 1e-9);
    assert_eq!(shown.get("onrush_sealed_seconds_total", ""), Some(6.0));
}

#[test]
fn every_series_is_named_and_every_name_is_a_series() {
    let (export, now) = (Export::default(), Now::read());
    let mut record = running("t", 40, &NAMES);
    record.config.target_throughput_per_s = Some(100.0);
    record.config.thresholds = ["p99<1s over 2s", "failed<1%", "rate>1"].map(|text| text.parse().unwrap()).into();
    let kept = |kept| Standing { kept, ..Standing::default() };
    record.standings = vec![kept(Some(true)), kept(Some(false)), kept(None)];
    record.participants[0].started_at_unix_ms = Some(1.0);
    export.test(&record, now.mono);
    let mut aggregate = Aggregate::default();
    let mut named = reports("t", &NAMES, 2, 10);
    for measured in named.iter_mut().filter_map(|metrics| metrics.measured.as_mut()) {
        measured.stats.by_name.add("login", &of_name());
    }
    take(&export, &mut aggregate, &named, now.mono);
    let mut registry = Registry::new(8, Vec::new(), now);
    let mut heartbeat = SimDriver::new("a", "s").heartbeat(NodeState::Running, Some("t"));
    heartbeat.timestamp_unix_ms = Some(now.unix_ms + 250.0);
    heartbeat.cpu_s = Some(1.75);
    heartbeat.memory_bytes = Some(30_000_000);
    registry.register(SimDriver::new("a", "s").register(), now);
    registry.heartbeat(heartbeat, now.mono, now);
    registry.tick(now, Some(now.mono), |_| false);
    export.live(Live {
        drivers: registry.glimpses(now),
        skipped: vec![(Topic::Metrics, "not JSON", 3)],
        broker_reachable: true,
        ..Live::default()
    });
    export.events(&[(TestEvent::Lost, 2), (TestEvent::Armed, 5)].into());
    let mut search = CapacitySearch::new(Goal::new(vec![Criterion::Failed { share: 0.01 }])).expect("a right goal");
    let mut searched = search.record(&test_id("t"), now.unix_ms);
    let found = searched.found.as_mut().expect("all that it knows is news");
    (found.lower_per_s, found.upper_per_s) = (Some(150.0), None);
    let trying_per_s = searched.trying_per_s;
    export.search(&searched);
    export.search(&crate::capacity::SearchRecord { test_id: test_id("another"), trying_per_s: 7.0, ..searched });
    assert_eq!(scrape(&export).get("onrush_test_outcome", "outcome=exact,test=t"), None, "it is not over");
    assert_eq!(scrape(&export).get("onrush_test_limit", "limit=none,test=t"), None, "nothing was measured");
    record.outcome = Some(Outcome::Unproved);
    record.limit = Some(LimitWatch::default().whole());
    export.test(&record, now.mono);
    let shown = scrape(&export);
    for limited_by in LimitedBy::ALL {
        let is = f64::from(limited_by == LimitedBy::Unknown);
        assert_eq!(shown.get("onrush_test_limit", &format!("limit={},test=t", limited_by.name())), Some(is));
    }
    for (outcome, is) in [("exact", 0.0), ("unproved", 1.0), ("incomplete", 0.0), ("invalid", 0.0)] {
        assert_eq!(shown.get("onrush_test_outcome", &format!("outcome={outcome},test=t")), Some(is), "{outcome}");
    }
    let kept = |threshold: &str| shown.get("onrush_test_threshold_kept", &format!("test=t,threshold={threshold}"));
    assert_eq!(["p99<1s over 2s", "failed<1%", "rate>1"].map(kept), [Some(1.0), Some(0.0), None]);
    for (what, is) in [("cores", 4.0), ("cpu_used_ratio", 0.75), ("cpu_waited_ratio", 0.125)] {
        assert_eq!(shown.get(&format!("onrush_test_target_{what}"), "test=t"), Some(is), "{what}");
    }
    assert_eq!(shown.get("onrush_test_events_total", "kind=lost"), Some(2.0));
    assert_eq!(shown.get("onrush_search_rate_per_second", "test=t"), Some(trying_per_s));
    assert_eq!(shown.get("onrush_search_bound_per_second", "bound=lower,test=t"), Some(150.0));
    assert_eq!(shown.get("onrush_search_bound_per_second", "bound=upper,test=t"), None);
    assert_eq!(shown.get("onrush_search_trials", "test=t,verdict=bad"), Some(0.0));
    for (family, kind) in &shown.types {
        assert!(help::all().any(|(name, _)| name == family), "{family} has no line in the list of names");
        assert!(shown.helped.contains(family), "{family} has no HELP");
        assert_eq!(family.ends_with("_total"), kind == "counter", "{family} is a {kind}");
    }
    for (name, _) in help::all() {
        assert!(shown.types.contains_key(name), "{name} is in the list and nowhere else");
    }
    let known = |name: &&str| {
        let family = ["_bucket", "_sum", "_count"].iter().find_map(|end| name.strip_suffix(end));
        shown.types.contains_key(*name) || family.is_some_and(|family| shown.types[family] == "histogram")
    };
    assert!(shown.names().all(|name| known(&name)));
    assert_eq!(shown.get("onrush_driver_clock_offset_seconds", "driver=a"), Some(0.25));
    assert_eq!(shown.get("onrush_driver_state", "driver=a,state=running"), Some(1.0));
    assert_eq!(shown.get("onrush_driver_state", "driver=a,state=lost"), Some(0.0));
    assert_eq!(shown.get("onrush_driver_process_cpu_seconds_total", "driver=a"), Some(1.75));
    assert_eq!(shown.get("onrush_driver_process_resident_memory_bytes", "driver=a"), Some(30_000_000.0));
    assert_eq!(shown.get("onrush_drivers", "state=running"), Some(1.0));
    assert_eq!(shown.get("onrush_driver_target_throughput_asked", "driver=b,test=t"), Some(100.0));
    assert_eq!(shown.get("onrush_messages_skipped_total", "kind=not JSON,topic=metrics"), Some(3.0));
}

#[test]
fn what_is_gone_is_not_shown() {
    let (export, now) = (Export::default(), Now::read());
    assert!(!scrape(&export).mentions("driver=a"));
    let mut registry = Registry::new(8, Vec::new(), now);
    let (a, b) = (SimDriver::new("a", "s"), SimDriver::new("b", "s"));
    for driver in [&a, &b] {
        registry.heartbeat(driver.heartbeat(NodeState::Idle, None), now.mono, now);
    }
    let live = |registry: &Registry, now| Live { drivers: registry.glimpses(now), ..Live::default() };
    export.live(live(&registry, now));
    assert_eq!(scrape(&export).labels_of("onrush_driver_heartbeat_age_seconds"), ["driver=a", "driver=b"]);
    // One says goodbye; the other falls silent, and is shown as lost until it is forgotten.
    registry.heartbeat(a.goodbye(), now.mono, now);
    let later = now.plus_ms(6_000);
    registry.tick(later, Some(now.mono), |_| false);
    export.live(live(&registry, later));
    let shown = scrape(&export);
    assert!(!shown.mentions("driver=a"));
    assert_eq!(shown.get("onrush_driver_state", "driver=b,state=lost"), Some(1.0));
    let forgotten = now.plus_ms(700_000);
    registry.tick(forgotten, Some(now.mono), |_| false);
    export.live(live(&registry, forgotten));
    assert!(!scrape(&export).mentions("driver=b"));

    // A test takes the place of the one before; a test that does not run is not shown.
    let mut first = running("t", 40, &NAMES);
    export.test(&first, now.mono);
    export.test(&crate::record::TestRecord { state: TestState::Configured, ..running("next", 1, &NAMES) }, now.mono);
    let mut aggregate = Aggregate::default();
    take(&export, &mut aggregate, &reports("t", &NAMES, 2, 10), now.mono);
    assert!(scrape(&export).mentions("test=t"));
    assert!(!scrape(&export).mentions("test=next"));
    // A lost driver's counts stay with the test; what it was doing does not.
    first.participants[0].state = ParticipantState::Lost;
    export.test(&first, now.mono);
    let shown = scrape(&export);
    assert_eq!(shown.get("onrush_driver_requests_sent_total", "driver=a,test=t"), Some(20.0));
    assert_eq!(shown.labels_of("onrush_driver_in_flight_requests"), ["driver=b,test=t"]);
    // It has ended: it stays for five minutes.
    first.state = TestState::Completed;
    export.test(&first, Instant::now());
    assert_eq!(scrape(&export).get("onrush_test_running", "test=t,test_type=AVALANCHE"), Some(0.0));
    {
        let state = export.lock();
        let shown = &state.test.as_ref().unwrap().shown;
        assert!(shown.is_current(Instant::now() + Duration::from_secs(290)));
        assert!(!shown.is_current(Instant::now() + Duration::from_secs(301)));
    }
    export.test(&running("u", 40, &NAMES), now.mono);
    let shown = scrape(&export);
    assert!(shown.mentions("test=u") && !shown.mentions("test=t"));
}

#[test]
fn what_a_driver_does_not_say_has_no_series() {
    let (export, now) = (Export::default(), Now::read());
    let mut record = running("t", 40, &["a"]);
    record.participants.push(ParticipantRecord::new(node("plain"), None));
    export.test(&record, now.mono);
    assert!(!scrape(&export).mentions("driver=plain"));
    let plain = LatencyMs { mean: Some(1.5), median: Some(1.0), min: None, max: Some(9.0) };
    record.participants[1].plain = Some(plain);
    export.test(&record, now.mono);
    let shown = scrape(&export);
    let labels = "driver=plain,test=t,window=test";
    assert_eq!(shown.get("onrush_driver_latency_mean_seconds", labels), Some(0.0015));
    assert_eq!(shown.get("onrush_driver_latency_min_seconds", labels), None);
    assert_eq!(shown.get("onrush_driver_latency_max_seconds", labels), Some(0.009));
    assert_eq!(shown.get("onrush_driver_requests_sent_total", "driver=plain,test=t"), None);
    // No answers in a second: no quantiles of it.
    let mut aggregate = Aggregate::default();
    let mut driver = SimDriver::new("a", "s");
    let report = driver.report("t", 0, stats(&[]), None);
    aggregate.enter(&node("a"), report.measured.as_ref().unwrap(), now.mono).unwrap();
    let sealed = aggregate.seal(&[node("a")], false, now.mono);
    show(&export, sealed, &aggregate, now.mono);
    let shown = scrape(&export);
    let quantiles = "onrush_driver_latency_quantile_seconds";
    assert_eq!(shown.labels_of(quantiles), ["driver=plain,quantile=0.5,test=t,window=test"]);
    assert_eq!(shown.get(quantiles, "driver=plain,quantile=0.5,test=t,window=test"), Some(0.001));
    assert_eq!(shown.get("onrush_driver_throughput_reached", "driver=a,test=t"), Some(0.0));
    assert_eq!(shown.get("onrush_driver_in_flight_requests", "driver=a,test=t"), Some(0.0));
    // A driver whose heartbeat says nothing beyond the specification.
    let mut registry = Registry::new(8, Vec::new(), now);
    for _ in 0..2 {
        registry.heartbeat(SimDriver::plain("plain").heartbeat(NodeState::Idle, None), now.mono, now);
    }
    registry.tick(now, Some(now.mono), |_| false);
    export.live(Live { drivers: registry.glimpses(now), ..Live::default() });
    let shown = scrape(&export);
    assert_eq!(shown.get("onrush_driver_state", "driver=plain,state=alive"), Some(1.0));
    assert_eq!(shown.get("onrush_driver_reports_waiting", "driver=plain"), None);
    assert_eq!(shown.get("onrush_driver_clock_offset_seconds", "driver=plain"), None);
    assert_eq!(shown.labels_of("onrush_driver_process_cpu_seconds_total"), [""; 0]);
    assert_eq!(shown.labels_of("onrush_driver_process_resident_memory_bytes"), [""; 0]);
}

#[test]
fn what_is_asked_for_follows_a_change() {
    use onrush_protocol::Amendment;
    let (export, now) = (Export::default(), Instant::now());
    let mut record = running("t", 40, &NAMES);
    record.config.target_throughput_per_s = Some(100.0);
    export.test(&record, now);
    let mut aggregate = Aggregate::default();
    take(&export, &mut aggregate, &reports("t", &NAMES, 2, 10), now);
    let asked = || scrape(&export).get("onrush_driver_target_throughput_asked", "driver=a,test=t");
    assert_eq!(asked(), Some(100.0));
    // Ten in the newest second, of which the driver sent for a part.
    let due_per_s = scrape(&export).get("onrush_driver_due_per_second", "driver=a,test=t");
    assert!(due_per_s.is_some_and(|due_per_s| due_per_s >= 10.0), "{due_per_s:?}");
    record.config.amendments.push(Amendment { at_second: 1, profile: "1m@10".parse().unwrap() });
    export.test(&record, now);
    assert_eq!(asked(), due_per_s, "what was due in the second");
    export.events(&[(TestEvent::Amended, 3)].into());
    assert_eq!(scrape(&export).get("onrush_test_events_total", "kind=changed"), Some(3.0));
}

#[test]
fn a_tsunami_asks_for_the_slower_of_its_rates() {
    use onrush_protocol::TestType;
    let asked = |delay_ms, throughput| {
        let mut record = running("t", 40, &NAMES);
        record.config.test_type = TestType::Tsunami;
        record.config.delay = Duration::from_millis(delay_ms);
        record.config.target_throughput_per_s = throughput;
        TestSeries::new(&record, Instant::now()).shown.throughput_asked_per_s
    };
    assert_eq!(asked(2, None), Some(500.0));
    assert_eq!(asked(2, Some(100.0)), Some(100.0));
    assert_eq!(asked(20, Some(100.0)), Some(50.0));
    assert_eq!(asked(0, None), None);
}

/// Three requests of one name: two responses, and a time-out.
fn of_name() -> NameStats {
    let mut of_name = NameStats { sent: 3, statuses: [(200, 2)].into(), ..NameStats::default() };
    of_name.failures.insert(FailureCause::Timeout, 1);
    of_name.latency.record(2_000_000);
    of_name
}

#[test]
fn names_of_requests_are_series_of_their_own_and_bounded() {
    let (export, now) = (Export::default(), Instant::now());
    export.test(&running("t", 40, &NAMES), now);
    let mut all = reports("t", &NAMES, 2, 10);
    for (flood, metrics) in all.iter_mut().enumerate() {
        let Some(measured) = &mut metrics.measured else { continue };
        for name in 0..50 {
            measured.stats.by_name.add(&format!("{flood}/{name:02}"), &of_name());
        }
    }
    let mut aggregate = Aggregate::default();
    take(&export, &mut aggregate, &all, now);
    let shown = scrape(&export);
    let get = |series: &str, labels: &str| shown.get(series, labels);
    assert_eq!(get("onrush_test_request_sent_total", "request=0/00,test=t"), Some(3.0));
    assert_eq!(get("onrush_test_request_answers_total", "request=0/00,status_class=2xx,test=t"), Some(2.0));
    assert_eq!(get("onrush_test_request_failures_total", "cause=timeout,request=0/00,test=t"), Some(1.0));
    let labels = "quantile=0.99,request=0/00,test=t,window=test";
    assert_eq!(get("onrush_test_request_latency_quantile_seconds", labels), Some(0.002));
    // Of 200 names the least 64 are told apart, and nothing is lost.
    let others = 3.0 * (200 - MAX_NAMES) as f64;
    assert_eq!(get("onrush_test_request_sent_total", &format!("request={OTHER},test=t")), Some(others));
    assert_eq!(get("onrush_test_request_sent_total", "request=3/49,test=t"), None);
}
