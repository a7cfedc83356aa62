// The page: which test it shows, what it asks the server, and when it draws.
// A test's numbers come by server-sent events, once a second; drivers and the list of tests are asked for.

import { setUpCharts } from "./charts.js";
import { Follower } from "./follow.js";
import { setUpForm } from "./form.js";
import { ask, askList, post, remove, testPath } from "./rest.js";
import { byId, drawResult, hasEnded, say } from "./result.js";
import { ShownSearch, drawSearches, setUpSearchForm } from "./search.js";
import { setUpSignIn } from "./sign_in.js";
import { aboutTest, driverRow, emptyRow, look, pill, testRow } from "./tables.js";

const DRIVERS_EVERY_MS = 1000;
const TESTS_EVERY_MS = 3000;
const DISTRIBUTION_EVERY_MS = 2000;
/** What comes at once is drawn together. */
const DRAW_WITHIN_MS = 50;
const TESTS_A_PAGE = 20;
const TESTS_AT_MOST = 500;

/** What is on show. `pinned`: the address names the test; otherwise the page follows the newest. */
const shown = { id: null, pinned: false, ...nothingYet() };

/** The searches of the list: each has the id of its test. */
let searches = [];

/** What a test can be told, as the server describes it. */
let options = [];

/** `distributed`: how many responses the distribution has. `refusal`: why a button did nothing. */
function nothingYet() {
  return { followed: null, distribution: null, distributed: undefined, refusal: null };
}

// The test on show

function choose(id, pinned) {
  shown.pinned = pinned;
  if (id === shown.id) return;
  shown.followed?.close();
  Object.assign(shown, { id, ...nothingYet() });
  if (id) shown.followed = new Follower(id, drawSoon);
  drawTest();
}

/** A test that a search runs is shown with its search. */
function chooseSearch() {
  const named = new URLSearchParams(location.search).get("search");
  const listed = searches.some(({ search_id }) => search_id === shown.id);
  shownSearch.choose(named ?? (listed ? shown.id : null));
  drawSearches(searches, shownSearch.id, visitSearch);
}

let drawing = null;
function drawSoon() {
  drawing ??= setTimeout(drawTest, DRAW_WITHIN_MS);
}

function drawTest() {
  clearTimeout(drawing);
  drawing = null;
  const { id, followed } = shown;
  const { test, totals, problem } = followed ?? {};
  byId("test-title").textContent = id ? (test?.name ? `${test.name} (${id})` : id) : "No test yet";
  document.title = test ? `${test.state} · ${test.name ?? id} · Onrush` : "Onrush";
  const state = byId("test-state");
  state.hidden = !test;
  byId("test-body").hidden = !test;
  byId("trigger").hidden = !["CONFIGURED", "ARMED"].includes(test?.state);
  byId("stop").hidden = !test || hasEnded(test);
  byId("delete").hidden = !hasEnded(test);
  drawLinks(id, hasEnded(test));
  byId("change").hidden = test?.state !== "RUNNING";
  say("test-error", shown.refusal ?? problem);
  if (!test) {
    say("test-reason", null);
    if (id) byId("test-about").textContent = problem ? "" : "Asking for it…";
    return;
  }
  state.textContent = test.state;
  state.className = `pill ${look(test.state)}`;
  byId("test-about").replaceChildren(pill(test.config.test_type), ` ${aboutTest(test, options)}`);
  drawProgress(test, totals);
  drawResult({ ...followed, test, distribution: shown.distribution }, drawCharts);
}

/** What others can be given of a test that is over. */
function drawLinks(id, isOver) {
  for (const what of ["report", "export"]) {
    const link = byId(what);
    link.hidden = !isOver;
    if (isOver) link.href = testPath(id, `/${what}`);
  }
}

function drawProgress(test, totals) {
  const { message_count_per_driver } = test.config;
  const length_s = test.phases.at(-1)?.to_s;
  const parts = [];
  if (message_count_per_driver && test.participants.length > 0 && totals?.all.sent != null) {
    parts.push(totals.all.sent / (message_count_per_driver * test.participants.length));
  }
  if (length_s && totals) parts.push(totals.elapsed_s / length_s);
  const bar = byId("progress");
  bar.hidden = test.state !== "RUNNING" || parts.length === 0;
  bar.value = Math.min(1, Math.max(0, ...parts));
}

/** The distribution is large: it is asked for when there are responses that it does not have. */
async function askDistribution() {
  const { id, followed } = shown;
  const responses = followed?.totals?.all.responses;
  if (!followed?.totals || shown.distributed === responses) return;
  try {
    const distribution = await ask(testPath(id, "/histogram"));
    if (shown.followed !== followed) return;
    Object.assign(shown, { distribution, distributed: responses });
    drawSoon();
  } catch {
    // The next turn asks again; the drivers' turn says what is wrong.
  }
}

/** Starts, stops or changes the test that is shown. */
async function act(button, what, load) {
  const { followed } = shown;
  button.disabled = true;
  shown.refusal = null;
  try {
    await followed.change(what, load);
  } catch (problem) {
    if (shown.followed === followed) shown.refusal = problem.detail;
  } finally {
    button.disabled = false;
    drawTest();
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

/** Totals of tests that have ended, which change only where an incomplete one becomes complete. */
const results = new Map();
const resultOf = ({ test_id, outcome }) => `${test_id} ${outcome}`;
let testsShown = TESTS_A_PAGE;

/** Which part of the history is asked for. */
function historyPart() {
  const given = [["name", byId("find-name").value.trim()], ["state", byId("find-state").value]];
  return Object.fromEntries(given.filter(([, value]) => value));
}

async function drawTests() {
  let tests, more;
  const part = historyPart();
  const isWhole = Object.keys(part).length === 0;
  try {
    ({ items: tests, more } = await askList("/v1/tests", testsShown, part));
    // Meanwhile another part may have been asked for.
    if (JSON.stringify(part) !== JSON.stringify(historyPart())) return;
    ({ items: searches } = await askList("/v1/searches", TESTS_A_PAGE));
  } catch {
    return; // The drivers' turn says so.
  }
  if (!shown.pinned && isWhole && tests.length > 0) choose(tests[0].test_id, false);
  chooseSearch();
  byId("older").hidden = !more || testsShown >= TESTS_AT_MOST;
  drawHistory(tests, isWhole);
  const missing = tests.filter((test) => hasEnded(test) && !results.has(resultOf(test)));
  if (missing.length === 0) return;
  for (const test of missing) {
    try {
      results.set(resultOf(test), await ask(testPath(test.test_id, "/metrics")));
    } catch {
      return;
    }
  }
  drawHistory(tests, isWhole);
}

function drawHistory(tests, isWhole) {
  const row = (test) => {
    const open = (event) => {
      if (event.ctrlKey || event.metaKey || event.shiftKey) return;
      event.preventDefault();
      visit(test.test_id);
    };
    const totals = test.test_id === shown.id ? shown.followed.totals : null;
    return testRow(test, results.get(resultOf(test)) ?? totals, test.test_id === shown.id, open);
  };
  const body = byId("tests");
  // Drawing anew must not take the keyboard's place in the list away.
  const focused = body.contains(document.activeElement) ? document.activeElement.getAttribute("href") : null;
  const none = isWhole ? "No test has been made yet." : "No test is like that.";
  body.replaceChildren(...(tests.length ? tests.map(row) : [emptyRow(11, none)]));
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

function visitSearch(id) {
  history.pushState(null, "", `/?search=${encodeURIComponent(id)}`);
  openAddress();
  byId("search").scrollIntoView({ block: "start" });
  drawTests();
}

function openAddress() {
  const named = new URLSearchParams(location.search);
  const id = named.get("search") ?? named.get("test");
  choose(id ?? shown.id, id !== null);
  chooseSearch();
}

/** The first click asks, the second deletes. */
function setUpDelete() {
  const button = byId("delete");
  let sure = null;
  const ask = (id) => {
    sure = id;
    button.textContent = id ? "Delete for good?" : "Delete";
  };
  button.addEventListener("blur", () => ask(null));
  button.addEventListener("click", async () => {
    const { id } = shown;
    if (sure !== id) return ask(id);
    ask(null);
    try {
      await remove(testPath(id));
    } catch (problem) {
      shown.refusal = problem.detail;
      return drawTest();
    }
    history.pushState(null, "", "/");
    choose(null, false);
    drawTests();
  });
}

setUpDelete();
byId("find").addEventListener("input", () => {
  testsShown = TESTS_A_PAGE;
  drawTests();
});
byId("find").addEventListener("submit", (event) => event.preventDefault());
byId("trigger").addEventListener("click", (event) => act(event.currentTarget, "/trigger"));
byId("stop").addEventListener("click", (event) => act(event.currentTarget, "/stop"));
byId("pause").addEventListener("click", (event) => act(event.currentTarget, null, { pause: true }));
byId("resume").addEventListener("click", (event) => act(event.currentTarget, null, { resume: true }));
byId("change").addEventListener("submit", (event) => {
  event.preventDefault();
  const text = byId("change-load").value.trim();
  const load = text.includes("@") ? { profile: text } : { target_throughput: text };
  if (text) act(event.submitter ?? byId("change").querySelector("button"), null, load);
});
byId("older").addEventListener("click", () => {
  testsShown = Math.min(testsShown + TESTS_A_PAGE, TESTS_AT_MOST);
  drawTests();
});
window.addEventListener("popstate", openAddress);
const drawCharts = setUpCharts(byId("charts"));
const shownSearch = new ShownSearch();
setUpSearchForm(byId("search-form"), visitSearch);
async function fillForm() {
  try {
    options = await ask("/v1/options");
  } catch (problem) {
    byId("form").textContent = `The form cannot be filled: ${problem.detail}`;
    setTimeout(fillForm, TESTS_EVERY_MS);
    return;
  }
  setUpForm(byId("form"), options, async (fields) => visit((await post("/v1/tests", fields)).test_id));
  drawSoon();
}
if (await setUpSignIn()) {
  fillForm();
  openAddress();
  repeat(drawDrivers, DRIVERS_EVERY_MS);
  repeat(drawTests, TESTS_EVERY_MS);
  repeat(askDistribution, DISTRIBUTION_EVERY_MS);
}
