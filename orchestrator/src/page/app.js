// The page: which test it shows, what it asks the server, and when it draws.
// A test's numbers come by server-sent events, once a second; drivers and the list of tests are asked for.

import { setUpCharts } from "./charts.js";
import { setUpForm } from "./form.js";
import { Series } from "./series.js";
import {
  aboutTest, clock, count, driverRow, element, emptyRow, emptyScope, look, milliseconds, numbersRow, pill, rate,
  seconds, tally, testRow,
} from "./tables.js";

const DRIVERS_EVERY_MS = 1000;
const TESTS_EVERY_MS = 3000;
const ANSWER_WITHIN_MS = 10000;
/** A trigger waits until the drivers are armed. */
const CHANGE_WITHIN_MS = 40000;
const DISTRIBUTION_EVERY_MS = 2000;
/** A test's earlier seconds come all at once: they are drawn together. */
const DRAW_WITHIN_MS = 50;
const TESTS_A_PAGE = 20;
const TESTS_AT_MOST = 500;
const EVENTS_SHOWN = 200;
const END_STATES = ["COMPLETED", "STOPPED", "FAILED"];

const byId = (id) => document.getElementById(id);

/** What is on show. `pinned`: the address names the test; otherwise the page follows the newest. */
const shown = { id: null, pinned: false, stream: null, ...nothingYet() };

function nothingYet() {
  return { test: null, totals: null, second: null, series: new Series(), distribution: null, distributed: undefined };
}

/** Asks the server; throws problem details. */
async function ask(path, options) {
  let answer;
  const withinMs = options ? CHANGE_WITHIN_MS : ANSWER_WITHIN_MS;
  try {
    answer = await fetch(path, { ...options, signal: AbortSignal.timeout(withinMs) });
  } catch {
    throw { detail: "the orchestrator does not answer", errors: [] };
  }
  let body = null;
  try {
    body = await answer.json();
  } catch {
    // Reported below, by its status.
  }
  if (answer.ok && body !== null) return body;
  throw { detail: body?.detail ?? `the orchestrator answered ${answer.status}`, errors: body?.errors ?? [] };
}

const post = (path, fields) =>
  ask(path, { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(fields ?? {}) });

const testPath = (id, what = "") => `/v1/tests/${encodeURIComponent(id)}${what}`;

function say(id, text) {
  byId(id).textContent = text ?? "";
  byId(id).hidden = !text;
}

// The test on show

function choose(id, pinned) {
  shown.pinned = pinned;
  if (id === shown.id) return;
  shown.stream?.close();
  Object.assign(shown, { id, stream: null, ...nothingYet() });
  say("test-error", null);
  drawTest();
  if (id) follow(id);
}

async function follow(id) {
  const stream = new EventSource(testPath(id, "/stream?from=0"));
  shown.stream = stream;
  const on = (name, apply) =>
    stream.addEventListener(name, (event) => {
      if (shown.stream !== stream) return;
      apply(JSON.parse(event.data));
      drawSoon();
    });
  on("test", (test) => (shown.test = test));
  on("totals", (totals) => (shown.totals = totals));
  on("second", ({ second, totals }) => {
    shown.series.put(second);
    // One that is merged anew is not the newest.
    if (second.second_index >= (shown.second?.second_index ?? 0)) shown.second = second;
    // Seconds that are sent again after a broken connection carry none.
    shown.totals = totals ?? shown.totals;
  });
  stream.onopen = () => say("test-error", null);
  stream.onerror = () => {
    // The server closes the stream after the end; the browser would open it again and again.
    if (END_STATES.includes(shown.test?.state)) stream.close();
    else if (stream.readyState === EventSource.CLOSED && shown.stream === stream) retry(id, stream);
  };
  try {
    const totals = await ask(testPath(id, "/metrics"));
    if (shown.stream === stream && shown.totals === null) {
      shown.totals = totals;
      drawTest();
    }
  } catch (problem) {
    if (shown.stream !== stream) return;
    say("test-error", problem.detail);
    if (!shown.test) byId("test-about").textContent = "";
  }
}

/** The browser gives up a stream that was refused (an orchestrator that starts again, a test that is not there). */
function retry(id, refused) {
  setTimeout(() => {
    if (shown.stream === refused) follow(id);
  }, TESTS_EVERY_MS);
}

let drawing = null;
function drawSoon() {
  drawing ??= setTimeout(drawTest, DRAW_WITHIN_MS);
}

function drawTest() {
  clearTimeout(drawing);
  drawing = null;
  const { id, test, totals } = shown;
  byId("test-title").textContent = id ? (test?.name ? `${test.name} (${id})` : id) : "No test yet";
  document.title = test ? `${test.state} · ${test.name ?? id} · Onrush` : "Onrush";
  const state = byId("test-state");
  state.hidden = !test;
  byId("test-body").hidden = !test;
  byId("trigger").hidden = !["CONFIGURED", "ARMED"].includes(test?.state);
  byId("stop").hidden = !test || END_STATES.includes(test.state);
  if (!test) {
    say("test-reason", null);
    if (id) byId("test-about").textContent = "Asking for it…";
    return;
  }
  state.textContent = test.state;
  state.className = `pill ${look(test.state)}`;
  byId("test-about").replaceChildren(pill(test.config.test_type), ` ${aboutTest(test)}`);
  say("test-reason", test.reason);
  drawTiles();
  drawProgress();
  drawNumbers(test, totals);
  drawNotes(test, totals);
  drawConservation(test.conservation);
  drawCharts({ id, series: shown.series, distribution: shown.distribution });
  const events = test.events.slice(-EVENTS_SHOWN).map((event) =>
    element("li", {}, element("time", { datetime: event.at }, clock(event.at)), ` ${event.kind}`,
      event.node_id ? ` ${event.node_id}` : null, event.detail ? `: ${event.detail}` : null));
  byId("events").replaceChildren(...events);
}

function drawTiles() {
  const { test, totals, second } = shown;
  const ended = END_STATES.includes(test.state);
  const all = totals?.all ?? emptyScope(null);
  const tile = (title, text, kind) => element("div", { class: kind }, element("dt", {}, title), element("dd", {}, text));
  byId("tiles").replaceChildren(
    tile("Elapsed", seconds(totals?.elapsed_s)),
    ended
      ? tile("Requests/s", rate(all.requests_per_s))
      : tile("Requests/s now", rate(second?.all.requests_per_s)),
    tile("Answered", count(all.answered)),
    tile("Failed", count(all.failed), all.failed > 0 ? "bad" : null),
    ended ? tile("p99, ms", milliseconds(all.latency.p99_ms)) : tile("p99 now, ms", milliseconds(second?.all.latency.p99_ms)),
    tile("Start skew, ms", milliseconds(test.start_skew_ms)),
  );
}

function drawProgress() {
  const { test, totals } = shown;
  const { message_count_per_driver, duration_s } = test.config;
  const parts = [];
  if (message_count_per_driver && test.participants.length > 0 && totals?.all.sent != null) {
    parts.push(totals.all.sent / (message_count_per_driver * test.participants.length));
  }
  if (duration_s && totals) parts.push(totals.elapsed_s / duration_s);
  const bar = byId("progress");
  bar.hidden = test.state !== "RUNNING" || parts.length === 0;
  bar.value = Math.min(1, Math.max(0, ...parts));
}

function drawNumbers(test, totals) {
  const participants = new Map(test.participants.map((participant) => [participant.node_id, participant]));
  const measured = totals?.drivers ?? [];
  const silent = test.participants.filter((p) => !measured.some((scope) => scope.node_id === p.node_id));
  const rows = [
    numbersRow(totals?.all ?? emptyScope(null), null),
    ...measured.map((scope) => numbersRow(scope, participants.get(scope.node_id))),
    ...silent.map((participant) => numbersRow(emptyScope(participant.node_id), participant)),
  ];
  document.querySelector("#numbers tbody").replaceChildren(...rows);
}

function drawNotes(test, totals) {
  const all = totals?.all;
  const about = (name, text) => text && `${name}: ${text}`;
  const notes = [
    about("Answers by status", tally(all?.statuses)),
    about("Failures by cause", tally(all?.failures)),
    all?.skipped > 0 && `Due and never sent: ${count(all.skipped)}`,
    ...(totals ? [totals.all, ...totals.drivers] : []).map((scope) => about(scope.node_id ?? "All", scope.note)),
    ...test.participants.map((participant) => about(participant.node_id, participant.reason)),
    test.complete === false && "The result is incomplete: not every driver delivered everything.",
    test.valid === false && "The result is invalid: something contradicts it.",
  ];
  byId("notes").replaceChildren(...notes.filter(Boolean).map((note) => element("li", {}, note)));
}

function drawConservation(conservation) {
  const box = byId("conservation");
  box.hidden = !conservation;
  if (!conservation) return;
  box.className = look(conservation.verdict);
  const doubtful = conservation.checks.filter((check) => check.verdict !== "EXACT");
  const line = (check) =>
    element("li", {}, `${check.node_id ?? "all"}: ${check.name}: ${check.verdict}, expected ${count(check.expected)}, found ${count(check.actual)}`,
      check.detail ? `; ${check.detail}` : null);
  box.replaceChildren(element("p", {}, conservation.line), element("ul", {}, ...doubtful.map(line)));
}

/** The distribution is large: it is asked for when there are answers that it does not have. */
async function askDistribution() {
  const { id, stream, totals } = shown;
  if (!totals || shown.distributed === totals.all.answered) return;
  try {
    const distribution = await ask(testPath(id, "/histogram"));
    if (shown.stream !== stream) return;
    Object.assign(shown, { distribution, distributed: totals.all.answered });
    drawSoon();
  } catch {
    // The next turn asks again; the drivers' turn says what is wrong.
  }
}

async function act(button, what) {
  button.disabled = true;
  say("test-error", null);
  try {
    shown.test = await post(testPath(shown.id, what));
    drawTest();
  } catch (problem) {
    say("test-error", problem.detail);
  } finally {
    button.disabled = false;
  }
}

// Drivers and the list of tests

function drawLink(problem) {
  const link = byId("link");
  link.textContent = problem ? problem.detail : "connected";
  link.className = `pill ${problem ? "bad" : "good"}`;
}

async function drawDrivers() {
  try {
    const drivers = await ask("/v1/drivers");
    const none = emptyRow(4, "No driver has registered yet. Start one: onrush driver --brokers HOST:PORT");
    byId("drivers").replaceChildren(...(drivers.length ? drivers.map(driverRow) : [none]));
    drawLink(null);
  } catch (problem) {
    drawLink(problem);
  }
}

/** Totals of tests that have ended, which never change; of those in the list alone. */
const results = new Map();
let testsShown = TESTS_A_PAGE;

async function drawTests() {
  let tests;
  try {
    tests = await ask(`/v1/tests?limit=${testsShown}`);
  } catch {
    return; // The drivers' turn says so.
  }
  if (!shown.pinned && tests.length > 0) choose(tests[0].test_id, false);
  byId("older").hidden = tests.length < testsShown || testsShown >= TESTS_AT_MOST;
  drawHistory(tests);
  const missing = tests.filter((test) => END_STATES.includes(test.state) && !results.has(test.test_id));
  if (missing.length === 0) return;
  for (const { test_id } of missing) {
    try {
      results.set(test_id, await ask(testPath(test_id, "/metrics")));
    } catch {
      return;
    }
  }
  drawHistory(tests);
}

function drawHistory(tests) {
  const row = (test) => {
    const open = (event) => {
      if (event.ctrlKey || event.metaKey || event.shiftKey) return;
      event.preventDefault();
      visit(test.test_id);
    };
    const totals = test.test_id === shown.id ? shown.totals : null;
    return testRow(test, results.get(test.test_id) ?? totals, test.test_id === shown.id, open);
  };
  const body = byId("tests");
  // Drawing anew must not take the keyboard's place in the list away.
  const focused = body.contains(document.activeElement) ? document.activeElement.getAttribute("href") : null;
  body.replaceChildren(...(tests.length ? tests.map(row) : [emptyRow(11, "No test has been made yet.")]));
  if (focused) [...body.querySelectorAll("a")].find((link) => link.getAttribute("href") === focused)?.focus();
}

/** Does something again and again, one at a time, while the page is visible. */
function repeat(action, everyMs) {
  const turn = async () => {
    if (!document.hidden) await action();
    setTimeout(turn, everyMs);
  };
  turn();
}

function visit(id) {
  history.pushState(null, "", `/?test=${encodeURIComponent(id)}`);
  openAddress();
  byId("test").focus({ preventScroll: true });
  byId("test").scrollIntoView({ block: "start" });
  drawTests();
}

function openAddress() {
  const id = new URLSearchParams(location.search).get("test");
  choose(id ?? shown.id, id !== null);
}

byId("trigger").addEventListener("click", (event) => act(event.currentTarget, "/trigger"));
byId("stop").addEventListener("click", (event) => act(event.currentTarget, "/stop"));
byId("older").addEventListener("click", () => {
  testsShown = Math.min(testsShown + TESTS_A_PAGE, TESTS_AT_MOST);
  drawTests();
});
window.addEventListener("popstate", openAddress);
const drawCharts = setUpCharts(byId("charts"));
setUpForm(byId("form"), async (fields) => visit((await post("/v1/tests", fields)).test_id));
openAddress();
repeat(drawDrivers, DRIVERS_EVERY_MS);
repeat(drawTests, TESTS_EVERY_MS);
repeat(askDistribution, DISTRIBUTION_EVERY_MS);
