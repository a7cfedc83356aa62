// A finished test in one file: the values stand in the file, the modules of the live page draw them.

import { setUpCharts } from "./charts.js";
import { byId, drawResult, say } from "./result.js";
import { Series } from "./series.js";
import { aboutTest, count, element, emptyRow, look, pill, seconds } from "./tables.js";

const data = JSON.parse(byId("data").textContent);

/** Unpacks the chart library and runs it; the file's policy names its digest. */
async function unpackLibrary() {
  const packed = Uint8Array.from(atob(byId("library").textContent), (letter) => letter.charCodeAt(0));
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
  document.head.append(element("script", {}, await new Response(stream).text()));
}

/** Columns become points, as the charts take them. */
function pointsOf({ start_s, seconds, latency, schedule_error, drivers, failures, target_cpu, names }) {
  const row = (columns, index) => Object.fromEntries(Object.entries(columns).map(([name, values]) => [name, values[index]]));
  const known = (of) => Object.fromEntries(Object.entries(of).filter(([, value]) => value !== 0));
  return start_s.map((start, index) => ({
    start_s: start,
    width_s: seconds[index],
    drivers: Object.fromEntries(Object.entries(drivers).map(([name, columns]) => [name, row(columns, index)])),
    latency: row(latency, index),
    schedule_error: row(schedule_error, index),
    failures: known(row(failures, index)),
    target_cpu: target_cpu.used_share[index] === null ? null : row(target_cpu, index),
    names: Object.fromEntries(
      Object.entries(names).filter(([, { sent }]) => sent[index] > 0).map(([name, columns]) => [name, row(columns, index)]),
    ),
  }));
}

const bucketsOf = ({ count: all, buckets }) => ({ count: all, buckets: buckets.map(([up_to_ms, times]) => ({ up_to_ms, count: times })) });

/** Times are said in UTC: a report is read elsewhere. */
const moment = (time) => (time == null ? null : time.replace("T", " ").replace("Z", " UTC"));

const facts = (pairs) =>
  pairs.filter(([, value]) => value != null && value !== "").flatMap(([name, value]) => [element("dt", {}, name), element("dd", {}, value)]);

/** A setting as people read it; lists one entry a line. */
function setting(value) {
  if (value === null || typeof value === "string") return value;
  if (value.text) return value.text;
  if (Array.isArray(value)) return value.map((entry) => (Array.isArray(entry) ? entry.join(": ") : setting(entry))).join("\n");
  return typeof value === "object" ? JSON.stringify(value) : String(value);
}

function checkRow({ name, node_id, verdict, expected, actual, detail }) {
  const kind = { EXACT: "good", UNKNOWN: "warn", BREACH: "bad" }[verdict] ?? "";
  const number = (value) => element("td", { class: "number" }, count(value));
  return element(
    "tr", {}, element("th", { scope: "row" }, name), element("td", {}, node_id ?? "all"),
    element("td", {}, element("span", { class: `pill ${kind}` }, verdict)), number(expected), number(actual), element("td", {}, detail),
  );
}

function drawFrame({ test, totals, machines, options, written }) {
  byId("written").textContent = `written ${moment(written.at)} by Onrush ${written.version}`;
  byId("test-title").textContent = test.name ? `${test.name} (${test.test_id})` : test.test_id;
  const pills = [["test-state", test.state], ["test-outcome", test.outcome]];
  for (const [id, word] of pills) {
    say(id, word);
    byId(id).className = `pill ${look(word)}`;
  }
  byId("test-about").replaceChildren(pill(test.config.test_type), ` ${aboutTest(test, options)}`);
  const checks = test.conservation?.checks ?? [];
  byId("checks").replaceChildren(...(checks.length ? checks.map(checkRow) : [emptyRow(6, "No check was made.")]));
  byId("machines").replaceChildren(...facts(machines.map(({ name, facts }) => [name, facts.map((fact) => fact.join(" ")).join("\n")])));
  byId("times").replaceChildren(...facts([
    ["created", moment(test.created_at)], ["triggered", moment(test.triggered_at)], ["start", moment(test.start_at)],
    ["ended", moment(test.ended_at)], ["measured", seconds(totals.elapsed_s)],
  ]));
  byId("config").replaceChildren(...facts(Object.entries(test.config).map(([name, value]) => [name, setting(value)])));
}

/** What a reader looks for comes first; what the live page keeps folded is open, since paper has nothing to click. */
function arrange() {
  byId("tiles").before(byId("conservation"), byId("limit"), byId("thresholds"));
  document.querySelectorAll("details").forEach((details) => (details.open = true));
}

async function draw() {
  const { test, totals, series, distribution } = data;
  arrange();
  drawFrame(data);
  try {
    await unpackLibrary();
  } catch {
    say("report-error", "This browser cannot unpack the charts; the tables have the numbers.");
  }
  const drawCharts = window.Plotly ? setUpCharts(byId("charts")) : () => {};
  drawResult({
    test, totals, second: null, series: Series.ofPoints(pointsOf(series), series.width_s),
    distribution: { latency: bucketsOf(distribution.latency), service_time: bucketsOf(distribution.service_time) },
  }, drawCharts);
  document.querySelectorAll("#events time").forEach((time) => (time.textContent = moment(time.dateTime)));
}

draw();
