#!/usr/bin/env python3
"""Writes the dashboards in grafana/dashboards. What they show stands here; the JSON that Grafana wants is derived.

    grafana/build.py           writes them
    grafana/build.py --check   fails where a file is not what would be written

How to read a query: tests follow each other, so `max by (quantile)` and the like only take the label `test` away.
Counters are shown by rate over `$__rate_interval`, which is four scrapes of a second. Whatever is to be seen after the
series of a test have gone is read by `last_over_time` over the range in view.
"""

import json
import sys
from pathlib import Path

FOLDER = Path(__file__).parent / "dashboards"
SOURCE = {"type": "prometheus", "uid": "onrush-prometheus"}
WIDTH = 24

T = 'test=~"$test"'
TD = 'test=~"$test", driver=~"$driver"'
D = 'driver=~"$driver"'
# The orchestrator's own process, whatever the scrape job is called.
PROCESS = "and on (job, instance) onrush_broker_reachable"
QUANTILES = [("0.999", "p99.9"), ("0.99", "p99"), ("0.95", "p95"), ("0.9", "p90"), ("0.5", "p50")]
# A state's number in the timeline, and its colour.
STATES = [("alive", "text"), ("idle", "blue"), ("armed", "purple"), ("running", "green"), ("suspect", "orange"),
          ("lost", "red"), ("rejected", "dark-red")]
# Who was the limit, likewise.
LIMITS = [("none", "green"), ("target", "blue"), ("network", "purple"), ("generator", "red"), ("unknown", "text")]


# What a panel asks.

def query(expr, legend="", instant=False, form="time_series"):
    return {"datasource": SOURCE, "editorMode": "code", "expr": expr, "legendFormat": legend or "__auto",
            "instant": instant, "range": not instant, "format": form}


def now(expr, legend="", form="time_series"):
    return query(expr, legend, instant=True, form=form)


def rate(metric, labels, by):
    return f"sum by ({by}) (rate({metric}{{{labels}}}[$__rate_interval]))"


def in_view(metric, labels):
    """The counts that the tests in view ended with, by test and driver."""
    return f"sum by (test, driver) (last_over_time({metric}{{{labels}}}[$__range]))"


def all_in_view(metric, labels):
    """The same, over everything; 0 where there is no such series."""
    return f"(sum(last_over_time({metric}{{{labels}}}[$__range])) or vector(0))"


def quantiles(metric):
    """The exact ones of each second, over all drivers."""
    return [query(f'max(onrush_test_{metric}_quantile_seconds{{{T}, quantile="{q}", window="second"}})', name)
            for q, name in QUANTILES]


def from_buckets(metric, labels="", by="", legend=""):
    """Estimates, for what has no exact quantiles."""
    selector, groups = (f"{{{labels}}}" if labels else ""), (f"le, {by}" if by else "le")
    rates = f"sum by ({groups}) (rate({metric}_bucket{selector}[$__rate_interval]))"
    wanted = [("0.99", legend)] if legend else [("0.99", "p99"), ("0.5", "p50")]
    return [query(f"histogram_quantile({q}, {rates})", name) for q, name in wanted]


# How a panel looks.

def steps(*limits, base="green"):
    """Thresholds: a colour, and from where on another."""
    return {"mode": "absolute", "steps": [{"color": colour, "value": limit} for limit, colour in ((None, base), *limits)]}


def override(regex, **properties):
    return {"matcher": {"id": "byRegexp", "options": regex},
            "properties": [{"id": name.replace("_", "."), "value": value} for name, value in properties.items()]}


def panel(kind, title, description, targets, unit, width, empty, thresholds=None, overrides=(), custom=None,
          options=None, mappings=(), transformations=(), **defaults):
    for n, target in enumerate(targets):
        target["refId"] = chr(ord("A") + n)
    field = {"unit": unit, "noValue": empty, "color": {"mode": "palette-classic"}, "mappings": list(mappings),
             "thresholds": thresholds or steps(), "custom": custom or {}, **defaults}
    return {"type": kind, "title": title, "description": description, "datasource": SOURCE, "targets": targets,
            "fieldConfig": {"defaults": field, "overrides": list(overrides)}, "options": options or {},
            "transformations": list(transformations), "width": width}


def series(title, description, targets, unit, width=8, empty="No test in view", thresholds=None, stack=False,
           calcs=("lastNotNull", "max"), **more):
    custom = {"drawStyle": "line", "lineWidth": 1, "fillOpacity": 40 if stack else 8, "showPoints": "auto",
              "pointSize": 4, "spanNulls": 3000, "axisSoftMin": 0,
              "thresholdsStyle": {"mode": "dashed" if thresholds else "off"},
              "stacking": {"mode": "normal" if stack else "none", "group": "A"}}
    options = {"legend": {"displayMode": "table", "placement": "bottom", "showLegend": True, "calcs": list(calcs)},
               "tooltip": {"mode": "multi", "sort": "desc"}}
    return panel("timeseries", title, description, targets, unit, width, empty, thresholds, custom=custom,
                 options=options, **more)


def stat(title, description, targets, unit, width=4, empty="–", thresholds=None, text="auto", graph=True, **more):
    options = {"reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False}, "textMode": text,
               "colorMode": "value", "graphMode": "area" if graph else "none", "justifyMode": "auto",
               "orientation": "auto", "wideLayout": True}
    more.setdefault("color", {"mode": "thresholds"})
    return panel("stat", title, description, targets, unit, width, empty, thresholds, options=options, **more)


def timeline(title, description, targets, width, empty, mappings):
    """What was so from when to when: a row for each series, a colour for each of its values."""
    return panel("state-timeline", title, description, targets, "none", width, empty, mappings=mappings,
                 custom={"fillOpacity": 75, "lineWidth": 0},
                 options={"mergeValues": True, "showValue": "auto", "alignValue": "left", "rowHeight": 0.8,
                          "legend": {"displayMode": "list", "placement": "bottom", "showLegend": True, "calcs": []},
                          "tooltip": {"mode": "single", "sort": "none"}})


def number_of(metric, labels, label, names):
    """One number instead of a series for each name, of which one is 1."""
    return " or ".join(f'{n} * {metric}{{{labels}, {label}="{name}"}}' for n, (name, _) in enumerate(names, 1))


def named(names):
    """The names and colours of those numbers."""
    return [{"type": "value", "options": {
        str(n): {"text": name, "color": colour, "index": n} for n, (name, colour) in enumerate(names, 1)}}]


def heat_map(title, description, targets, width, empty):
    options = {"calculate": False, "cellGap": 1, "cellValues": {"unit": "reqps", "decimals": 1},
               "color": {"mode": "scheme", "scheme": "Turbo", "scale": "exponential", "exponent": 0.4, "steps": 64,
                         "fill": "dark-orange", "reverse": False},
               "filterValues": {"le": 1e-9}, "yAxis": {"unit": "s", "axisPlacement": "left"},
               "rowsFrame": {"layout": "auto"}, "legend": {"show": True},
               "tooltip": {"mode": "single", "yHistogram": True}, "exemplars": {"color": "red"}}
    return panel("heatmap", title, description, targets, "s", width, empty, options=options)


def table(title, description, columns, keys, empty, width=WIDTH, sort="Driver"):
    """One column for each query, one row for each value of the labels `keys`."""
    names, overrides = {}, []
    for n, (name, target, unit, more) in enumerate(columns):
        target["format"] = "table"
        names["Value" if len(columns) == 1 else f"Value #{chr(ord('A') + n)}"] = name
        overrides.append(override(f"^{name}$", unit=unit, **more))
    order = list(keys) + list(names)
    names.update({key: key.capitalize() for key in keys})
    return panel("table", title, description, [column[1] for column in columns], "none", width, empty,
                 overrides=overrides, custom={"align": "auto", "filterable": False},
                 options={"showHeader": True, "cellHeight": "sm", "sortBy": [{"displayName": sort, "desc": False}]},
                 transformations=[{"id": "merge", "options": {}}, {"id": "organize", "options": {
                     "excludeByName": {"Time": True}, "renameByName": names,
                     "indexByName": {key: n for n, key in enumerate(order)}}}])


def dashed(regex):
    return override(regex, custom_lineStyle={"fill": "dash", "dash": [6, 4]}, custom_fillOpacity=0)


def coloured(**colours):
    return [override(f"^{name}$", color={"mode": "fixed", "fixedColor": colour}) for name, colour in colours.items()]


# What a dashboard is.

def variable(name, label, description, source):
    return {"type": "query", "name": name, "label": label, "description": description, "datasource": SOURCE,
            "definition": source, "query": {"query": source, "refId": f"variable-{name}", "qryType": 1},
            "multi": True, "includeAll": True, "allValue": ".*",
            "current": {"selected": True, "text": ["All"], "value": ["$__all"]},
            "refresh": 2, "sort": 2, "regex": "", "hide": 0, "skipUrlSync": False, "options": []}


VARIABLES = [
    variable("test", "Test", "The tests that ran in the time in view", "label_values(onrush_test_info, test)"),
    variable("driver", "Driver", "The drivers that were there in the time in view",
             "label_values(onrush_driver_state, driver)"),
]


def annotation(name, kind, colour, text):
    expr = f'sum by (kind) (changes(onrush_test_events_total{{kind="{kind}"}}[$__rate_interval])) > 0'
    return {"name": name, "datasource": SOURCE, "enable": True, "hide": False, "iconColor": colour, "expr": expr,
            "step": "1s", "titleFormat": text, "textFormat": "", "tagKeys": "kind", "useValueForTime": False}


ANNOTATIONS = [
    {"name": "Annotations & Alerts", "type": "dashboard", "builtIn": 1, "enable": True, "hide": True,
     "datasource": {"type": "grafana", "uid": "-- Grafana --"}, "iconColor": "rgba(0, 211, 255, 1)"},
    annotation("Test started", "start", "green", "A test started"),
    annotation("Load changed", "changed", "purple", "The load is to change, or a driver changed it"),
    annotation("Test ended", "completed", "blue", "A test ended by itself"),
    annotation("Test stopped", "stop", "orange", "A test was stopped"),
    annotation("Driver lost", "lost", "red", "A driver was lost"),
]


def place(rows):
    """Panels from left to right, rows from top to bottom."""
    panels, top = [], 0
    for height, *row in rows:
        left = 0
        for item in row:
            width = item.pop("width")
            panels.append({"id": len(panels) + 1, **item, "gridPos": {"x": left, "y": top, "w": width, "h": height}})
            left += width
        assert left == WIDTH, f"a row is {left} wide: {[item['title'] for item in row]}"
        top += height
    return panels


def dashboard(uid, title, description, rows):
    return {"uid": uid, "title": title, "description": description, "tags": ["onrush"], "schemaVersion": 39,
            "version": 1, "editable": True, "graphTooltip": 1, "refresh": "1s", "timezone": "browser",
            "time": {"from": "now-5m", "to": "now"},
            "timepicker": {"refresh_intervals": ["1s", "2s", "5s", "10s", "30s", "1m", "5m"]},
            "links": [{"type": "dashboards", "title": "Onrush", "tags": ["onrush"], "asDropdown": False,
                       "icon": "dashboard", "includeVars": True, "keepTime": True, "targetBlank": False, "tooltip": "", "url": ""}],
            "templating": {"list": VARIABLES}, "annotations": {"list": ANNOTATIONS}, "panels": place(rows)}


SENT = "onrush_driver_requests_sent_total"
ANSWERS = "onrush_driver_answers_total"
FAILURES = "onrush_driver_failures_total"
SKIPPED = "onrush_driver_requests_skipped_total"
DROPPED = "onrush_driver_requests_dropped_total"
LATENCY = "onrush_driver_latency"
NAME_ANSWERS = "onrush_test_request_answers_total"
NAME_FAILURES = "onrush_test_request_failures_total"
ONE_NAME = "All requests have one name"
TEST = 'window="test"'
# Limits in seconds: requests sent late, reports on their way, silence of a driver, clocks and starts apart.
LATE = steps((0.01, "orange"), (0.1, "red"))
DELAYED = steps((0.3, "orange"), (1, "red"))
HEARTBEAT = steps((3, "orange"), (5, "red"))
OFFSET = steps((0.05, "orange"), (0.5, "red"))
# After a test it grows and means nothing.
AGE = "max(onrush_last_sealed_second_age_seconds) and on () max(onrush_test_running) == 1"

LIVE_TEST = dashboard("onrush-live-test", "Live test", "What the test that runs does to its target, second by second", [
    (4,
     stat("Test", "The test that runs, or the last one, and its state", [
         now("onrush_test_info", "{{name}} {{test_type}}: {{state}}")], "none", 6, "No test yet", text="name",
         graph=False, color={"mode": "fixed", "fixedColor": "text"}),
     stat("Sent", "Requests of the last second, over all drivers", [
         query(f"sum(onrush_driver_attempts_per_second{{{TD}}})")], "reqps", 3),
     stat("Responses", "Responses of any status in the last second, over all drivers", [
         query(f"sum(onrush_driver_throughput_reached{{{TD}}})")], "reqps", 3),
     stat("Failed", "The part of what was due, in view, that got no response, or one that failed a check: skipped and "
          "dropped requests are in it. An error status is a response", [
         now(f"({all_in_view(FAILURES, TD)} + {all_in_view(SKIPPED, TD)} + {all_in_view(DROPPED, TD)})"
             f" / ({all_in_view(SENT, TD)} + {all_in_view(SKIPPED, TD)} + {all_in_view(DROPPED, TD)})")],
          "percentunit", 3, thresholds=steps((0.001, "orange"), (0.01, "red")), graph=False, decimals=2),
     stat("Latency p99",
          "Of the last second, exact, over all drivers: from the moment a request was due to the last byte of its response. What has none is not in it: see Failed", [
         query(f'max(onrush_test_latency_quantile_seconds{{{T}, quantile="0.99", window="second"}})')], "s", 3),
     stat("Schedule error p99",
          "How late requests were sent in the last second. Much of it: the generator, not the target, is the limit", [
         query(f'max(onrush_test_schedule_error_quantile_seconds{{{T}, quantile="0.99", window="second"}})')], "s", 3,
         thresholds=LATE),
     stat("Running", "Drivers that run the test", [query('sum(onrush_driver_state{state="running"})')], "none", 3, "0",
          color={"mode": "fixed", "fixedColor": "text"})),
    (9,
     series("Asked, sent and responses",
            "Over all drivers, in each second. Dashed: what was due, by rate, profile and changes; where no schedule says what is "
            "due, it is what was sent", [
         query(f"sum(onrush_driver_due_per_second{{{TD}}})", "asked"),
         query(f"sum(onrush_driver_attempts_per_second{{{TD}}})", "sent"),
         query(f"sum(onrush_driver_throughput_reached{{{TD}}})", "responses")],
         "reqps", 10, calcs=("lastNotNull", "mean", "max"), overrides=[dashed("^asked$")]),
     series("CPU of the target",
            "The share of its CPUs that the target used in each second, and what it wanted and others had: of the bundled target, or "
            "where the test names metrics of the target's machine (target_metrics)", [
         query(f"max(onrush_test_target_cpu_used_ratio{{{T}}})", "used"),
         query(f"max(onrush_test_target_cpu_waited_ratio{{{T}}})", "wanted and not got")],
         "percentunit", 6, "The target does not tell", overrides=[dashed("^wanted")], max=1),
     timeline("Who was the limit",
              "By the newest ten seconds, in the end by the whole test. Of the generator: the figures are a lower bound", [
         query(f"sum by (test) ({number_of('onrush_test_limit', T, 'limit', LIMITS)}) > 0", "{{test}}")],
              4, "Nothing was measured yet", named(LIMITS)),
     timeline("Thresholds", "Whether each is kept: so far while the test runs, then for good", [
         query(f"max by (threshold) (onrush_test_threshold_kept{{{T}}})", "{{threshold}}")], 4, "No threshold in view",
              [{"type": "value", "options": {"0": {"text": "not kept", "color": "red", "index": 0},
                                             "1": {"text": "kept", "color": "green", "index": 1}}}])),
    (8,
     series("Capacity search",
            "The rate that a search asks for, over all drivers, and what it knows by then: the highest rate that keeps the SLO "
            "(lower), and from where on it is broken (upper)", [
         query(f"max(onrush_search_rate_per_second{{{T}}})", "asked"),
         query(f"max by (bound) (onrush_search_bound_per_second{{{T}}})", "{{bound}} bound")],
            "reqps", 12, "No search in view", overrides=[dashed("bound$")]),
     series("Trials of the search", "How many there were so far. Void: spoilt by the generator; they say nothing of the target", [
         query(f"max by (verdict) (onrush_search_trials{{{T}}})", "{{verdict}}")], "none", 12, "No search in view", stack=True,
            overrides=coloured(good="green", bad="red", void="text"))),
    (9,
     series("Sent and responses by driver",
            "Full lines: requests sent in each second. Dashed: responses in it", [
         query(f"sum by (driver) (onrush_driver_attempts_per_second{{{TD}}})", "{{driver}} sent"),
         query(f"sum by (driver) (onrush_driver_throughput_reached{{{TD}}})", "{{driver}} responses")],
         "reqps", 12, calcs=("lastNotNull", "mean", "max"), overrides=[dashed("responses$")]),
     series("Latency", "Exact quantiles of each second, merged over all drivers, whichever are chosen above", [
         query(f'max(onrush_test_latency_max_seconds{{{T}, window="second"}})', "max"),
         *quantiles("latency"),
         query(f'max(onrush_test_latency_mean_seconds{{{T}, window="second"}})', "mean")],
         "s", 12, overrides=[dashed("^mean$")])),
    (9,
     heat_map("Latency, all responses", "How many responses a second took how long", [
         query(rate("onrush_driver_latency_seconds_bucket", TD, "le"), "{{le}}", form="heatmap")],
         12, "No responses in view"),
     series("Failures by cause", "Requests that got no response, or one that failed a check, a second", [
         query(f"{rate(FAILURES, TD, 'cause')} > 0", "{{cause}}")],
         "reqps", 12, "No failures", stack=True, calcs=("lastNotNull", "max"))),
    (9,
     table("Requests by driver",
           "The tests in view, to the end of their last second. Every number is exact", [
         ("Sent", now(in_view(SENT, TD)), "locale", {}),
         ("Responses", now(in_view(ANSWERS, TD)), "locale", {}),
         ("Failed", now(f"{in_view(FAILURES, TD)} or 0 * {in_view(SENT, TD)}"), "locale", {
             "thresholds": steps((1, "red"), base="text"), "custom_cellOptions": {"type": "color-text"},
             "color": {"mode": "thresholds"}}),
         ("Never sent", now(f"{in_view(SKIPPED, TD)} + {in_view(DROPPED, TD)}"), "locale", {
             "thresholds": steps((1, "red"), base="text"), "custom_cellOptions": {"type": "color-text"},
             "color": {"mode": "thresholds"}}),
         *[(name, now(f"max by (test, driver) (last_over_time({LATENCY}_{what}_seconds{{{TD}, {TEST}}}[$__range]))"), "s", {})
           for name, what in (("Mean", "mean"), ("Min", "min"), ("Max", "max"))],
         ("Median", now("max by (test, driver) (last_over_time("
                        f'{LATENCY}_quantile_seconds{{{TD}, {TEST}, quantile="0.5"}}[$__range]))'), "s", {})],
         ("test", "driver"), "No test in view")),
    (9,
     series("Responses by name",
            "Responses a second to the requests of each name, over all drivers, where a test has several: 64 names at most, "
            "further ones as other", [
         query(rate(NAME_ANSWERS, T, "request"), "{{request}}")], "reqps", empty=ONE_NAME, calcs=("lastNotNull", "mean", "max")),
     series("Latency p99 by name", "Exact quantile of each second, over all drivers", [
         query(f'max by (request) (onrush_test_request_latency_quantile_seconds{{{T}, quantile="0.99", window="second"}})',
               "{{request}}")], "s", empty=ONE_NAME),
     series("Failures by name", "Requests of each name that got no response, or one that failed a check, a second", [
         query(f"{rate(NAME_FAILURES, T, 'request, cause')} > 0", "{{request}}: {{cause}}")],
         "reqps", empty="No failures of a name", stack=True)),
    (8,
     series("Schedule error",
            "Send minus due, exact quantiles of each second over all drivers", quantiles("schedule_error"), "s", 6,
            thresholds=LATE),
     series("Latency and service time, p99",
            "The gap between the two is the time that requests waited for a free connection", [
         query(f'max(onrush_test_{what}_quantile_seconds{{{T}, quantile="0.99", window="second"}})', name)
         for what, name in (("latency", "latency"), ("service_time", "service time"))], "s", 6),
     series("In flight by driver", "Sent and neither answered nor failed at the end of each second", [
         query(f"sum by (driver) (onrush_driver_in_flight_requests{{{TD}}})", "{{driver}}")], "none", 6, stack=True),
     series("Latency p99 by driver",
            "Exact quantile of each second. Drivers that differ see different networks or are short of CPU", [
         query(f'max by (driver) (onrush_driver_latency_quantile_seconds{{{TD}, quantile="0.99", window="second"}})',
               "{{driver}}")],
         "s", 6)),
    (8,
     series("Answers by status", "Answers a second by the class of their status", [
         query(f"{rate(ANSWERS, TD, 'status_class')} > 0", "{{status_class}}")], "reqps", stack=True,
         overrides=coloured(**{"2xx": "green", "3xx": "blue", "4xx": "orange", "5xx": "red"})),
     series("Bytes", "What the drivers' connections carried", [
         query(f"sum(rate(onrush_driver_received_bytes_total{{{TD}}}[$__rate_interval]))", "received"),
         query(f"sum(rate(onrush_driver_sent_bytes_total{{{TD}}}[$__rate_interval]))", "sent")], "binBps"),
     series("Seen by the target", "What the bundled target itself counts: a second opinion on the drivers' numbers", [
         query('sum(rate(onrush_target_requests_total{endpoint="/ping"}[$__rate_interval]))', "requests"),
         query('sum by (status) (rate(onrush_target_responses_total{endpoint="/ping"}[$__rate_interval]))',
               "answers {{status}}")],
         "reqps", empty="No bundled target is scraped")),
])

NO_DRIVER = "No driver in view"

DRIVERS = dashboard("onrush-drivers", "Drivers", "Whether the drivers are there, and fit to be believed", [
    (4,
     stat("Drivers by state", "Now", [now("onrush_drivers", "{{state}}")], "none", 8, "No driver yet", graph=False,
          overrides=coloured(**dict(STATES)), color={"mode": "fixed", "fixedColor": "text"}),
     stat("Oldest heartbeat",
          "Suspect after 3 s, lost after 5 s", [query(f"max(onrush_driver_heartbeat_age_seconds{{{D}}})")],
          "s", thresholds=HEARTBEAT),
     stat("Largest clock offset",
          "Between a driver's clock and the orchestrator's. The start moment is told by these clocks", [
         query(f"max(abs(onrush_driver_clock_offset_seconds{{{D}}}))")], "s", thresholds=OFFSET),
     stat("Start skew, last test",
          "From the first driver's start to the last one's, of the test that runs or of the last one", [
         query(f"max(onrush_test_start_skew_seconds{{{T}}})")], "s", thresholds=OFFSET),
     stat("Reports waiting, in all", "Seconds that the drivers have measured and the broker has not confirmed", [
         query(f"sum(onrush_driver_reports_waiting{{{D}}})")], "none", thresholds=steps((5, "orange"), (30, "red")))),
    (8,
     timeline("State", "What each driver did when", [
         query(f"sum by (driver) ({number_of('onrush_driver_state', D, 'state', STATES)}) > 0", "{{driver}}")],
              WIDTH, NO_DRIVER, named(STATES))),
    (8,
     series("Heartbeat age", "Suspect after 3 s, lost after 5 s", [
         query(f"max by (driver) (onrush_driver_heartbeat_age_seconds{{{D}}})", "{{driver}}")], "s", empty=NO_DRIVER,
            thresholds=HEARTBEAT),
     series("Clock offset",
            "The driver's clock minus the orchestrator's. It shifts no result: seconds are counted from the driver's own start", [
         query(f"max by (driver) (onrush_driver_clock_offset_seconds{{{D}}})", "{{driver}}")], "s", empty=NO_DRIVER),
     series("Reports waiting", "Seconds measured that the broker has not confirmed; the sending goes on meanwhile", [
         query(f"max by (driver) (onrush_driver_reports_waiting{{{D}}})", "{{driver}}")], "none", empty=NO_DRIVER)),
    (8,
     series("Throughput asked and reached",
            "Full lines: responses in each second. Dashed: what is asked of the driver, where the test has a rate or a profile", [
         query(f"sum by (driver) (onrush_driver_throughput_reached{{{TD}}})", "{{driver}} reached"),
         query(f"sum by (driver) (onrush_driver_target_throughput_asked{{{TD}}})", "{{driver}} asked")], "reqps",
         overrides=[dashed("asked$")]),
     series("Schedule error p99",
            "How late each driver sends, estimated from buckets. One driver alone: it is short of CPU", from_buckets(
         "onrush_driver_schedule_error_seconds", TD, "driver", "{{driver}}"), "s", thresholds=LATE),
     series("Start skew", "From the first driver's start to the last one's", [
         query(f"max(onrush_test_start_skew_seconds{{{T}}})", "start skew")], "s")),
    (8,
     series("Connections", "Connections that each driver may use", [
         query(f"sum by (driver) (onrush_driver_connections{{{TD}}})", "{{driver}}")], "none"),
     series("Skipped requests",
            "Requests that were due and never sent: no connection became free before the test ended", [
         query(rate("onrush_driver_requests_skipped_total", TD, "driver"), "{{driver}}")], "reqps"),
     series("Service time p99", "From the actual send to the last byte, estimated from buckets", from_buckets(
         "onrush_driver_service_time_seconds", TD, "driver", "{{driver}}"), "s")),
    (8,
     series("CPU", "Cores that each driver's process uses. One that polls has its cores busy all the time", [
         query(f"max by (driver) (rate(onrush_driver_process_cpu_seconds_total{{{D}}}[$__rate_interval]))",
               "{{driver}}")], "none", 12, NO_DRIVER, decimals=2),
     series("Memory", "Resident memory of each driver's process", [
         query(f"max by (driver) (onrush_driver_process_resident_memory_bytes{{{D}}})", "{{driver}}")],
         "bytes", 12, NO_DRIVER)),
])

ORCHESTRATOR = dashboard("onrush-orchestrator", "Orchestrator",
                         "Whether what the drivers report arrives, is sealed and is stored in time", [
    (4,
     stat("Broker",
          "Whether the orchestrator reaches Kafka", [query("min(onrush_broker_reachable)")], "none", 6,
          "No orchestrator is scraped",
          thresholds=steps((1, "green"), base="red"), graph=False,
          mappings=[{"type": "value", "options": {"0": {"text": "unreachable", "index": 0},
                                                   "1": {"text": "reachable", "index": 1}}}]),
     stat("Last sealed second", "Its age. More than some seconds while a test runs: reports do not arrive", [
         query(AGE)], "s", 6, "No test yet",
          thresholds=steps((3, "orange"), (5, "red"))),
     stat("Reports", "Taken in, a second", [query("sum(rate(onrush_reports_total[$__rate_interval]))")], "cps", 6),
     stat("Messages skipped", "Messages that could not be read, since the orchestrator's start. They are logged once per kind", [
         now("sum(onrush_messages_skipped_total)")], "none", 6, "0", thresholds=steps((1, "orange")), graph=False)),
    (8,
     series("Reports by result",
            "late: came after its second was sealed, and counts in the totals. duplicate: counted before", [
         query("sum by (result) (rate(onrush_reports_total[$__rate_interval]))", "{{result}}")],
            "cps", empty="No reports", stack=True, overrides=coloured(accepted="green", late="orange", duplicate="blue", skipped="red")),
     series("Skipped messages", "Messages that could not be read, since the orchestrator's start, by topic and kind", [
         query("sum by (topic, kind) (onrush_messages_skipped_total)", "{{topic}}: {{kind}}")], "none",
            empty="None skipped", stack=True),
     series("Sealed seconds", "Seconds of tests sealed, a second: one per second while a test runs", [
         query("sum(rate(onrush_sealed_seconds_total[$__rate_interval]))", "sealed")], "cps")),
    (8,
     series("Delivery delay", "From the broker's time-stamp of a report to its handling, estimated from buckets",
            from_buckets("onrush_report_delivery_delay_seconds"), "s", empty="No reports", thresholds=DELAYED),
     series("Sealing delay", "From the moment that a second could be sealed to its sealing, estimated from buckets",
            from_buckets("onrush_seal_delay_seconds"), "s", empty="Nothing sealed", thresholds=DELAYED),
     series("Age of the last sealed second", "Grows when reports stay away", [
         query(AGE, "age")], "s", empty="No test yet")),
    (8,
     series("Store writes", "Transactions a second", [
         query("sum(rate(onrush_store_writes_total[$__rate_interval]))", "writes")], "wps", empty="Nothing stored"),
     series("Store write time",
            "How long a transaction takes, estimated from buckets", from_buckets("onrush_store_write_seconds"), "s",
            empty="Nothing stored", thresholds=steps((0.1, "orange"), (0.5, "red"))),
     series("Broker reachable", "1: it is. Drivers are not called lost while it is not", [
         query("min(onrush_broker_reachable)", "reachable")], "none", empty="No orchestrator is scraped", min=0, max=1)),
    (8,
     series("CPU", "Of the orchestrator's process; 100 % is one core", [
         query(f"sum(rate(process_cpu_seconds_total[$__rate_interval]) {PROCESS})", "CPU")], "percentunit", empty="Not exported"),
     series("Memory", "Of the orchestrator's process", [
         query(f"sum(process_resident_memory_bytes {PROCESS})", "resident")], "bytes", empty="Not exported"),
     series("File descriptors", "Of the orchestrator's process", [
         query(f"sum(process_open_fds {PROCESS})", "open")], "none", empty="Not exported")),
])


def main():
    check, stale = "--check" in sys.argv[1:], []
    for name, content in (("live-test", LIVE_TEST), ("drivers", DRIVERS), ("orchestrator", ORCHESTRATOR)):
        path, text = FOLDER / f"{name}.json", json.dumps(content, indent=1, ensure_ascii=False) + "\n"
        if not check:
            path.write_text(text, encoding="utf-8")
        elif not path.exists() or path.read_text(encoding="utf-8") != text:
            stale.append(str(path))
    if stale:
        sys.exit(f"not what grafana/build.py writes; run it: {', '.join(stale)}")


main()
