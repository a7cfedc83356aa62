// What each chart shows: points of a test become traces and axes. Nothing here touches the page.

import { namesInOrder } from "./tables.js";

const LIGHT = {
  drivers: ["#0b63ce", "#c2410c", "#12743c", "#7b2cbf", "#8a6100", "#c02672", "#0e7490", "#4b5866"],
  quantiles: ["#0b63ce", "#0e7490", "#a85b00", "#b3261e", "#6b7785"],
  asked: "#d5dbe2",
  verdicts: { good: "#12743c", bad: "#b3261e", void: "#6b7785" },
};
const DARK = {
  drivers: ["#6aacff", "#ff9d5c", "#7bd69c", "#c9a0ff", "#f3c066", "#ff8fc4", "#5fd4e6", "#b4c0cd"],
  quantiles: ["#6aacff", "#5fd4e6", "#f3c066", "#ff9a92", "#9aa7b6"],
  asked: "#3d4855",
  verdicts: { good: "#7bd69c", bad: "#ff9a92", void: "#9aa7b6" },
};
/** The lines over time that latency and schedule error have. */
const QUANTILES = [["median_ms", "median"], ["p90_ms", "p90"], ["p99_ms", "p99"], ["p999_ms", "p99.9"], ["max_ms", "max"]];
/** Few points are marked: a line of one point could not be seen. */
const MARKED_POINTS = 45;
/** Points of a curve of percentiles lie this much apart, at least. */
const CURVE_STEP = 1.01;

/** So many names have a line, each in a colour of its own; the table has all of them. */
const NAMED_LINES = LIGHT.drivers.length;
/** A longer name keeps this much of its head and its tail: two columns of names fit above a chart. */
const LABEL_HEAD_CHARS = 8;
const LABEL_TAIL_CHARS = 11;

export const palette = (dark) => (dark ? DARK : LIGHT);

const xs = (points) => points.map((point) => point.start_s);
const inSeconds = (ms) => (ms > 0 ? ms / 1000 : null);

function line(points, ys, name, color, more = {}) {
  const { dash, ...rest } = more;
  return {
    type: "scatter", mode: points.length <= MARKED_POINTS ? "lines+markers" : "lines", x: xs(points), y: ys, name,
    line: { color, width: dash ? 1.4 : 1.8, dash }, marker: { size: 4, color }, ...rest,
  };
}

const overTime = { xaxis: { ticksuffix: " s", rangemode: "tozero", hoverformat: ",.0f" } };
/** Powers of ten are enough to read a logarithmic axis by; `s` is prefixed as needed: 10 µs, 1 ms. */
export const DURATION = { type: "log", tickformat: "~s", ticksuffix: "s", dtick: 1 };
const COUNT = { rangemode: "tozero", tickformat: "~s" };
const note = (text) => ({ text, showarrow: false, xref: "paper", yref: "paper", x: 0.5, y: 0.5 });
export const empty = (text) => ({
  traces: [], layout: { xaxis: { visible: false }, yaxis: { visible: false }, annotations: [note(text)] },
});

const driversOf = (points) => [...new Set(points.flatMap((point) => Object.keys(point.drivers)))].sort();

/** Whether a schedule says what is due. */
const isPaced = ({ profile, target_throughput_per_s, total_throughput_per_s, test_message_delay_s }) =>
  profile != null || target_throughput_per_s != null || total_throughput_per_s != null || test_message_delay_s > 0;

/** A phase that takes less of the time on show has no room for its name. */
const NAMED_SHARE = 0.07;
/** The axis goes so much higher than the lines where phases have names. */
const NAMES_ABOVE = 1.18;

/** The phases that have begun: `changed` by hand at their beginning or not, and as long as they are on show. */
function begunPhases({ points, phases, amendments }) {
  const last_s = points.at(-1).start_s;
  const changes = new Set(amendments.map(({ at_second }) => at_second));
  return phases.filter(({ from_s }) => from_s <= last_s).map(({ from_s, to_s, load }) => ({
    from_s, to_s: Math.min(to_s ?? last_s, last_s), load, changed: changes.has(from_s),
  }));
}

/** What was asked for, behind the lines: every other phase shaded, and a mark where the load was changed by hand. */
function shapesOf(measured) {
  const begun = begunPhases(measured);
  const over = (x0, x1) => ({ xref: "x", yref: "paper", x0, x1, y0: 0, y1: 1 });
  const shaded = begun.filter((_, index) => index % 2 === 1).map(({ from_s, to_s }) => ({
    type: "rect", layer: "below", ...over(from_s, to_s), line: { width: 0 }, fillcolor: "rgba(127, 127, 127, 0.12)",
  }));
  const marks = begun.filter(({ changed }) => changed).map(({ from_s }) => ({
    type: "line", ...over(from_s, from_s), line: { width: 1.5, dash: "dash", color: "rgba(127, 127, 127, 0.9)" },
  }));
  return [...shaded, ...marks];
}

/** The names of the phases, each where it begins. */
function namesOf(measured) {
  const begun = begunPhases(measured);
  if (measured.phases.length < 2) return [];
  const named = begun.filter(({ from_s, to_s }) => to_s - from_s >= NAMED_SHARE * begun.at(-1).to_s);
  const words = (load) => load.replace("..", "–").replace(/\/(\d+)$/, " in $1 steps");
  return named.map(({ from_s, load, changed }) => ({
    text: changed ? `change: ${words(load)}` : words(load), showarrow: false, xref: "x", yref: "paper", x: from_s, y: 1,
    xanchor: "left", yanchor: "top",
  }));
}

function throughput(measured, colors) {
  const { points, config, amendments } = measured;
  const rate = (point, id, what) => {
    const times = point.drivers[id]?.[what];
    return times == null ? null : times / point.width_s;
  };
  const asked = isPaced(config) || amendments.length > 0
    ? driversOf(points).map((id, index) => line(points, points.map((point) => rate(point, id, "due")), "asked", colors.asked, {
        legendgroup: "asked", showlegend: index === 0, hovertemplate: `asked of ${id} %{y:,.0f}/s`, mode: "lines",
        line: { color: colors.asked, width: 5 },
      }))
    : [];
  const traces = driversOf(points).flatMap((id, index) => {
    const color = colors.drivers[index % colors.drivers.length];
    const of = (what, more) =>
      line(points, points.map((point) => rate(point, id, what)), id, color, {
        legendgroup: id, hovertemplate: `${what} %{y:,.0f}/s`, ...more,
      });
    return [of("sent"), of("responses", { dash: "dot", showlegend: false })];
  });
  const annotations = namesOf(measured);
  const highest = [...asked, ...traces].reduce((most, { y }) => y.reduce((a, b) => Math.max(a, b), most), 0);
  // The names stand above the lines.
  const room = annotations.length > 0 ? { autorangeoptions: { include: NAMES_ABOVE * highest } } : {};
  return { traces: [...asked, ...traces], layout: { ...overTime, annotations, yaxis: { ...COUNT, ...room, ticksuffix: "/s" } } };
}

function inFlight({ points }, colors) {
  const traces = driversOf(points).map((id, index) =>
    line(points, points.map((point) => point.drivers[id]?.in_flight ?? null), id,
      colors.drivers[index % colors.drivers.length], { hovertemplate: "%{y:,.0f}", line: {
        color: colors.drivers[index % colors.drivers.length], width: 1.8, shape: "hv" } }));
  return { traces, layout: { ...overTime, yaxis: COUNT } };
}

const quantilesOf = (what) => ({ points }, colors) => {
  const traces = QUANTILES.map(([field, name], index) =>
    line(points, points.map((point) => inSeconds(point[what][field])), name, colors.quantiles[index], {
      hovertemplate: "%{y:.3s}s", dash: field === "max_ms" ? "dot" : undefined,
    }));
  if (traces.every((trace) => trace.y.every((y) => y === null))) return empty("Nothing was measured yet");
  return { traces, layout: { ...overTime, yaxis: DURATION } };
};

function failures({ points }, colors) {
  const causes = [...new Set(points.flatMap((point) => Object.keys(point.failures)))].sort();
  if (causes.length === 0) return empty("No request has failed");
  const traces = causes.map((cause, index) => ({
    type: "bar", name: cause, x: points.map((point) => point.start_s + point.width_s / 2 - 0.5),
    width: points.map((point) => point.width_s), y: points.map((point) => (point.failures[cause] ?? 0) / point.width_s),
    marker: { color: colors.drivers[(index + 1) % colors.drivers.length] }, hovertemplate: "%{y:,.4~r}/s",
  }));
  return { traces, layout: { ...overTime, barmode: "stack", yaxis: { ...COUNT, ticksuffix: "/s" } } };
}

/** Seconds without a look at the target lie on the line between those that have one. */
function targetCpu({ points }, colors) {
  if (points.every(({ target_cpu }) => !target_cpu)) {
    return empty("The target does not tell: a test may name metrics of its machine (target_metrics)");
  }
  const share = (what, name, more) =>
    line(points, points.map(({ target_cpu }) => target_cpu?.[what] ?? null), name, colors.drivers[0], {
      connectgaps: true, hovertemplate: "%{y:.1%}", ...more,
    });
  const traces = [share("used_share", "used"), share("waited_share", "wanted and not got", { dash: "dot" })];
  return { traces, layout: { ...overTime, yaxis: { range: [0, 1], tickformat: ".0%" } } };
}

/** The names that were sent most, which have a line each. */
function mostSent(points) {
  const sent = new Map();
  for (const { names } of points) {
    for (const [name, of] of Object.entries(names)) sent.set(name, (sent.get(name) ?? 0) + of.sent);
  }
  return namesInOrder([...sent.keys()].sort((a, b) => sent.get(b) - sent.get(a)).slice(0, NAMED_LINES));
}

/** A name as the chart library shows it: it reads markup, and a legend has no room for a long one. */
function label(name) {
  const fits = name.length <= LABEL_HEAD_CHARS + 1 + LABEL_TAIL_CHARS;
  const short = fits ? name : `${name.slice(0, LABEL_HEAD_CHARS)}…${name.slice(-LABEL_TAIL_CHARS)}`;
  return short.replaceAll("&", "&amp;").replaceAll("<", "&lt;");
}

/** A line for each name; `value` is of a name in a point, or `null`. */
function byName({ points }, colors, value, hovertemplate) {
  return mostSent(points).map((name, index) => {
    const ys = points.map((point) => (point.names[name] ? value(point.names[name], point.width_s) : null));
    return line(points, ys, label(name), colors.drivers[index], { hovertemplate });
  });
}

function throughputByName(measured, colors) {
  const traces = byName(measured, colors, ({ responses }, width_s) => responses / width_s, "%{y:,.0f}/s");
  return { traces, layout: { ...overTime, yaxis: { ...COUNT, ticksuffix: "/s" } } };
}

function latencyByName(measured, colors) {
  const traces = byName(measured, colors, ({ p99_ms }) => inSeconds(p99_ms), "%{y:.3s}s");
  if (traces.every((trace) => trace.y.every((y) => y === null))) return empty("Nothing was measured yet");
  return { traces, layout: { ...overTime, yaxis: DURATION } };
}

/** Whether requests of the test have several names. */
const hasNames = ({ points }) => points.some(({ names }) => Object.keys(names).length > 0);

/** Percentiles on the axis of 1 / (1 - p): each nine as wide as the one before. */
function curve({ count, buckets }, name, color, dash) {
  const trace = { type: "scatter", mode: "lines", name, x: [], y: [], customdata: [], line: { color, dash, width: 1.8 } };
  let seen = 0;
  for (const [index, { up_to_ms, count: times }] of buckets.entries()) {
    seen += times;
    // The largest value has no share above it; it stands where the next one would be.
    const x = count / Math.max(count - seen, 0.5);
    const isLast = index === buckets.length - 1;
    if (!isLast && trace.x.length > 0 && x < trace.x.at(-1) * CURVE_STEP) continue;
    trace.x.push(x);
    trace.y.push(up_to_ms / 1000);
    trace.customdata.push(isLast ? "max" : `p${Number(((100 * seen) / count).toPrecision(6))}`);
  }
  return { ...trace, hovertemplate: "%{y:.3s}s at %{customdata}" };
}

const NINES = [[2, "50"], [10, "90"], [100, "99"], [1e3, "99.9"], [1e4, "99.99"], [1e5, "99.999"], [1e6, "99.9999"]];

function distribution({ distribution: measured }, colors) {
  if (!measured?.latency.count) return empty("No response was measured yet");
  const traces = [
    curve(measured.latency, "latency", colors.quantiles[0]),
    curve(measured.service_time, "service time", colors.quantiles[2], "dash"),
  ];
  const xaxis = {
    type: "log", tickvals: NINES.map(([x]) => x), ticktext: NINES.map(([, text]) => `${text}%`), tickangle: 0,
  };
  return { traces, layout: { xaxis, yaxis: DURATION, hovermode: "closest" } };
}

/**
 * `draw` makes `{ traces, layout }` of what was measured, `{ points, distribution, config, phases, amendments }`; `null`: the
 * figure does not concern the test, by `concerns`.
 */
export const FIGURES = [
  { id: "throughput", title: "Throughput by driver", hint: "sent —, responses ···, asked in grey", draw: throughput },
  { id: "latency", title: "Latency", hint: "of responses, per second, from due to last byte", draw: quantilesOf("latency") },
  { id: "distribution", title: "Latency distribution", hint: "whole test, by percentile", draw: distribution },
  { id: "in-flight", title: "In flight by driver", hint: "at the end of each second", draw: inFlight },
  { id: "schedule-error", title: "Schedule error", hint: "sent this much later than due", draw: quantilesOf("schedule_error") },
  { id: "failures", title: "Failures by cause", hint: "per second", draw: failures },
  { id: "target-cpu", title: "CPU of the target", hint: "used —, wanted and not got ···, of all its CPUs", draw: targetCpu },
  { id: "name-throughput", title: "Throughput by name", hint: `responses, of the ${NAMED_LINES} names most sent`, draw: throughputByName, concerns: hasNames },
  { id: "name-latency", title: "Latency p99 by name", hint: `of responses, per second, of the ${NAMED_LINES} names most sent`, draw: latencyByName, concerns: hasNames },
].map((figure) => ({ ...figure, draw: (measured, colors) => drawn(figure, measured, colors) }));

function drawn(figure, measured, colors) {
  if (figure.concerns && !figure.concerns(measured)) return null;
  if (figure.draw === distribution) return figure.draw(measured, colors);
  if (measured.points.length === 0) return empty("No second is over yet");
  const { traces, layout } = figure.draw(measured, colors);
  return traces.length > 0 ? { traces, layout: { shapes: shapesOf(measured), ...layout } } : { traces, layout };
}
