// Turns values into text and elements. Everything from the server becomes text nodes, never markup.

const UNKNOWN = "—";

/** An element with attributes and children; texts become text nodes, null children are left out. */
export function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (value === true) made.setAttribute(name, "");
    else if (value !== false && value != null) made.setAttribute(name, value);
  }
  made.append(...children.filter((child) => child != null));
  return made;
}

const isKnown = (value) => typeof value === "number" && Number.isFinite(value);
const decimals = (value, digits) =>
  value.toLocaleString("en-US", { minimumFractionDigits: digits, maximumFractionDigits: digits });

export const count = (value) => (isKnown(value) ? decimals(value, 0) : UNKNOWN);
export const rate = (value) => (isKnown(value) ? decimals(value, value < 100 ? 1 : 0) : UNKNOWN);

/** Milliseconds with about four digits, whatever their size. */
export function milliseconds(value) {
  if (!isKnown(value)) return UNKNOWN;
  const size = Math.abs(value);
  return decimals(value, size < 10 ? 3 : size < 100 ? 2 : size < 1000 ? 1 : 0);
}

export function seconds(value) {
  if (!isKnown(value)) return UNKNOWN;
  if (value < 1) return `${(value * 1000).toLocaleString("en-US", { maximumFractionDigits: 4 })} ms`;
  if (value < 120) return `${decimals(value, value < 10 ? 1 : 0)} s`;
  const minutes = Math.floor(value / 60);
  if (minutes < 120) return `${minutes} min ${Math.floor(value % 60)} s`;
  return `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

export function clock(time) {
  const date = new Date(time);
  if (Number.isNaN(date.getTime())) return UNKNOWN;
  const today = date.toDateString() === new Date().toDateString();
  return today ? date.toLocaleTimeString() : date.toLocaleString();
}

const LOOKS = {
  IDLE: "good", ALIVE: "good", COMPLETED: "good", exact: "good",
  ARMED: "busy", RUNNING: "busy",
  SUSPECT: "warn", STOPPED: "warn", unproved: "warn", incomplete: "warn",
  LOST: "bad", REJECTED: "bad", REFUSED: "bad", FAILED: "bad", invalid: "bad",
};

/** The colour class of a state or outcome. */
export const look = (state) => LOOKS[state] ?? "";
export const pill = (state) => element("span", { class: `pill ${look(state)}` }, state);

/** One row of the numbers: a driver, or all together. */
export function numbersRow(scope, participant) {
  const name = element("th", { scope: "row" }, scope.node_id ?? "All", participant ? pill(participant.state) : null);
  const cells = [...figureCells(scope), element("td", {}, milliseconds(scope.schedule_error.p99_ms))];
  return element("tr", { class: scope.node_id == null ? "all" : null }, name, ...cells);
}

/** Requests and latency: what is known of a driver, of all and of a name alike. */
function figureCells({ sent, answered, failed, responses_per_s, latency }) {
  const cells = [
    count(sent), count(answered), count(failed), rate(responses_per_s),
    ...[latency.mean_ms, latency.median_ms, latency.min_ms, latency.max_ms].map(milliseconds),
    ...[latency.p90_ms, latency.p95_ms, latency.p99_ms, latency.p999_ms].map(milliseconds),
  ];
  return cells.map((text, column) => element("td", { class: column === 2 && isKnown(failed) && failed > 0 ? "bad" : null }, text));
}

/** What is beyond the names that are told apart is counted under this one. */
const OTHER = "other";

/** The names in their order, with what is beyond them last. */
export const namesInOrder = (names) => [...names].sort((a, b) => (a === OTHER) - (b === OTHER) || (a < b ? -1 : 1));

/** The rows of the names of requests, of which there are at most 65. */
export function nameRows(byName) {
  return namesInOrder(Object.keys(byName)).map((name) => {
    const { statuses, failures } = byName[name];
    const isPlain = Object.keys(statuses).every((status) => status === "200");
    const remarks = [
      name === OTHER && "further names, counted together", !isPlain && tally(statuses), tally(failures),
    ].filter(Boolean).join("; ");
    const hint = remarks ? element("div", { class: "hint" }, remarks) : null;
    return element("tr", {}, element("th", { scope: "row" }, name, hint), ...figureCells(byName[name]));
  });
}

/** A row of which nothing is known yet. */
export const emptyScope = (nodeId) => ({ node_id: nodeId, latency: {}, schedule_error: {}, statuses: {}, failures: {} });

export function driverRow(driver) {
  const remarks = [
    driver.reason,
    ...(driver.warnings ?? []),
    driver.test_id && `test ${driver.test_id}`,
    driver.reports_waiting > 0 && `${count(driver.reports_waiting)} reports not delivered yet`,
    driver.messages_skipped > 0 && `${count(driver.messages_skipped)} messages could not be read`,
  ].filter(Boolean);
  const place = [driver.node_ip, driver.cpus && `CPU ${driver.cpus}`, driver.version].filter(Boolean).join(" · ");
  return element(
    "tr", {},
    element("th", { scope: "row" }, driver.node_id, place ? element("div", { class: "hint" }, place) : null),
    element("td", {}, pill(driver.state)),
    element("td", { class: "number" }, isKnown(driver.heartbeat_age_s) ? `${decimals(driver.heartbeat_age_s, 1)} s ago` : UNKNOWN),
    element("td", {}, remarks.join("; ") || UNKNOWN),
  );
}

export const emptyRow = (columns, text) => element("tr", {}, element("td", { colspan: columns, class: "empty" }, text));

/** The settings that a line about a test has words of its own for, or leaves out for their length. */
const SAID = new Set([
  "target_url", "method", "headers", "body", "body_bytes", "message_count_per_driver", "duration_s", "test_message_delay_s",
  "target_throughput_per_s", "connections", "keepalive",
]);
const MAX_SETTING_CHARS = 80;

/** A setting that is not its default, by the name that REST has for it. */
function setting({ name, shown_as, shown_default }, config) {
  const value = config[shown_as];
  if (value === undefined || SAID.has(shown_as) || JSON.stringify(value) === JSON.stringify(shown_default)) return null;
  if (typeof value === "boolean") return value ? name : `no ${name}`;
  if (typeof value === "number" && shown_as.endsWith("_per_s")) return `${name} ${rate(value)}/s`;
  if (value?.text) return `${name} ${value.text}`;
  if (typeof value === "number" && shown_as.endsWith("_s")) return `${name} ${seconds(value)}`;
  const isList = Array.isArray(value);
  const text = isList && typeof value[0] === "object" ? count(value.length) : isList ? value.join(" ") : String(value);
  return `${name} ${text.length > MAX_SETTING_CHARS ? `${text.slice(0, MAX_SETTING_CHARS)}…` : text}`;
}

/** What a test is, in one line. */
export function aboutTest({ config }, options) {
  return [
    `${config.method} ${config.target_url ?? "each driver's own target"}`,
    config.message_count_per_driver != null && `${count(config.message_count_per_driver)} requests per driver`,
    config.duration_s != null && `for ${seconds(config.duration_s)}`,
    config.test_type === "TSUNAMI" && config.test_message_delay_s > 0 && `one every ${seconds(config.test_message_delay_s)}`,
    config.target_throughput_per_s != null && `at most ${rate(config.target_throughput_per_s)} per second and driver`,
    `${count(config.connections)} connections per driver`,
    !config.keepalive && "no keep-alive",
    ...options.map((option) => setting(option, config)),
  ].filter(Boolean).join(" · ");
}

/** A test in the history: what it was, and what came out. */
export function testRow(test, totals, isShown, onclick) {
  const { sent, failed, responses_per_s, latency } = totals?.all ?? emptyScope(null);
  const link = element("a", { href: `/?test=${encodeURIComponent(test.test_id)}`, onclick }, test.name ?? test.test_id);
  const number = (text) => element("td", { class: "number" }, text);
  return element(
    "tr", { class: isShown ? "chosen" : null, "aria-current": isShown ? "true" : null },
    element("th", { scope: "row" }, link, test.name ? element("div", { class: "hint" }, test.test_id) : null),
    element("td", {}, test.config.test_type),
    element("td", {}, pill(test.state)),
    number(count(sent)),
    element("td", { class: failed > 0 ? "number bad" : "number" }, count(failed)),
    number(rate(responses_per_s)),
    ...[latency.median_ms, latency.p99_ms, latency.max_ms].map((ms) => number(milliseconds(ms))),
    element("td", {}, test.outcome ?? UNKNOWN),
    number(clock(test.created_at)),
  );
}

/** How much of what was due the latencies leave out, or nothing: quantiles improve as a target dies. */
export function leftOut({ due, responses }) {
  const missing = due - responses;
  if (!(missing > 0)) return null;
  const percent = Math.min(Math.max((missing / due) * 100, 0.1), missing === due ? 100 : 99.9);
  const have = missing === 1 ? "which has" : "which have";
  return `Latency leaves out ${count(missing)} of ${count(due)} due (${decimals(percent, 1)} %), ${have} no response.`;
}

/** `200 × 5,000, 503 × 2`, or nothing. */
export const tally = (counts) =>
  Object.entries(counts ?? {}).map(([name, times]) => `${name} × ${count(times)}`).join(", ");
