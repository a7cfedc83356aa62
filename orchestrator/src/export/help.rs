//! The names of all series, and what each says.

use onrush_stats::Counts;

/// Every series that is not of one number of [`Counts`]: its name, and a line for people.
const HELP: &[(&str, &str)] = &[
    // Drivers, by the registry.
    ("onrush_drivers", "Drivers that are known, by state"),
    ("onrush_driver_state", "1 for the state that the driver is in, 0 for the others"),
    ("onrush_driver_heartbeat_age_seconds", "Time since the driver was last heard"),
    (
        "onrush_driver_clock_offset_seconds",
        "The driver's wall clock minus the orchestrator's, a heartbeat's delivery included",
    ),
    ("onrush_driver_reports_waiting", "Reports that the driver has not delivered yet"),
    ("onrush_driver_process_cpu_seconds_total", "CPU time of the driver's process, user and system"),
    ("onrush_driver_process_resident_memory_bytes", "Resident memory of the driver's process"),
    // The test that runs, or ran last: drivers.
    (
        "onrush_driver_answers_total",
        "Complete responses, by the hundreds of their status; also those that failed a check",
    ),
    ("onrush_driver_failures_total", "Requests without a response, or with one that failed a check, by cause"),
    ("onrush_driver_latency_seconds", "From the moment a request was due to the last byte of its response"),
    ("onrush_driver_service_time_seconds", "From the send of a request to the last byte of its response"),
    ("onrush_driver_schedule_error_seconds", "Send of a request minus the moment it was due"),
    (
        "onrush_driver_latency_quantile_seconds",
        "Exact quantiles of the latency of the newest sealed second, and the exact median of the test so far",
    ),
    ("onrush_driver_latency_mean_seconds", "Mean latency of the newest sealed second, or of the test so far"),
    ("onrush_driver_latency_min_seconds", "Least latency of the newest sealed second, or of the test so far"),
    ("onrush_driver_latency_max_seconds", "Greatest latency of the newest sealed second, or of the test so far"),
    ("onrush_driver_connections", "Connections that the driver was told to keep"),
    ("onrush_driver_target_throughput_asked", "Requests a second that the driver was asked for"),
    (
        "onrush_driver_due_per_second",
        "Requests a second that were due in the newest sealed second; of no schedule: as sent",
    ),
    ("onrush_driver_throughput_reached", "Responses a second in the newest sealed second"),
    ("onrush_driver_attempts_per_second", "Requests a second that it sent in the newest sealed second"),
    // The same test: merged over its drivers.
    (
        "onrush_test_latency_quantile_seconds",
        "Exact quantiles of the latency, over all drivers that report distributions",
    ),
    (
        "onrush_test_service_time_quantile_seconds",
        "Exact quantiles of the service time, over all drivers that report distributions",
    ),
    (
        "onrush_test_schedule_error_quantile_seconds",
        "Exact quantiles of the schedule error, over all drivers that report distributions",
    ),
    ("onrush_test_request_sent_total", "Requests of the name sent, over all drivers, where a test has several names"),
    ("onrush_test_request_answers_total", "Responses to requests of the name, by class of status"),
    ("onrush_test_request_failures_total", "Failures of requests of the name, by cause"),
    ("onrush_test_request_latency_quantile_seconds", "Exact quantiles of the latency of requests of the name"),
    ("onrush_test_latency_mean_seconds", "Mean latency over all drivers that report distributions"),
    ("onrush_test_latency_min_seconds", "Least latency over all drivers that report distributions"),
    ("onrush_test_latency_max_seconds", "Greatest latency over all drivers that report distributions"),
    ("onrush_test_start_skew_seconds", "Between the first and the last driver's measured start"),
    ("onrush_test_running", "1 while the test runs, 0 after it"),
    ("onrush_test_info", "1; the test's name, type and state are its labels"),
    (
        "onrush_test_outcome",
        "How far the result can be trusted: 1 for its outcome, 0 for the others; none before the end",
    ),
    ("onrush_test_threshold_kept", "1 while the threshold is kept, 0 where it is not; none before it was judged"),
    (
        "onrush_test_limit",
        "Who was the limit: 1 for it, 0 for the others; of the newest seconds while it runs, of the whole test after it",
    ),
    ("onrush_test_target_cores", "CPUs of the target, where it tells what it used of them in the newest second"),
    (
        "onrush_test_target_cpu_used_ratio",
        "The share of its CPUs that the target used in the newest second, where it tells",
    ),
    (
        "onrush_test_target_cpu_waited_ratio",
        "The share of its CPUs that the target wanted and others had in the newest second, where it tells",
    ),
    ("onrush_search_rate_per_second", "Requests a second that a capacity search asks for now, over all drivers"),
    (
        "onrush_search_bound_per_second",
        "What a capacity search knows so far: lower, the highest rate that keeps the SLO; upper, from where on it is broken",
    ),
    ("onrush_search_trials", "Trials of a capacity search, by verdict"),
    ("onrush_last_sealed_second_age_seconds", "Time since a second of the test was last sealed"),
    // The orchestrator itself.
    ("onrush_reports_total", "Reports that came, by what became of them"),
    ("onrush_messages_skipped_total", "Messages that could not be read or made no sense"),
    ("onrush_report_delivery_delay_seconds", "From the broker's time-stamp of a report to its handling"),
    ("onrush_seal_delay_seconds", "From the moment a second could be sealed to its being sealed, stored and shown"),
    ("onrush_sealed_seconds_total", "Seconds that were sealed"),
    ("onrush_store_writes_total", "Transactions of the store"),
    ("onrush_store_write_seconds", "Duration of a transaction of the store"),
    (
        "onrush_test_events_total",
        "What happened in tests: starts, changes of the load, stops, lost drivers, completions",
    ),
    ("onrush_broker_reachable", "1 while the broker answers"),
    ("process_cpu_seconds_total", "CPU time of this process, user and system"),
    ("process_resident_memory_bytes", "Resident memory of this process"),
    ("process_open_fds", "Open file descriptors of this process"),
];

/// Every series, and what it says.
pub fn all() -> impl Iterator<Item = (&'static str, &'static str)> {
    HELP.iter().copied().chain(Counts::NUMBERS.iter().filter_map(|number| number.series))
}

/// What a series says.
pub fn help(name: &str) -> &'static str {
    all().find(|(known, _)| *known == name).map_or("", |(_, help)| help)
}
