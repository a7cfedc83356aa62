// What became of one test: its figures, charts, proof and events, on the live page and in the report alike.

import {
  clock, count, element, emptyScope, leftOut, look, milliseconds, nameRows, numbersRow, rate, seconds, tally,
} from "./tables.js";

const EVENTS_SHOWN = 200;
const END_STATES = ["COMPLETED", "STOPPED", "FAILED"];

export const hasEnded = (test) => END_STATES.includes(test?.state);

export const byId = (id) => document.getElementById(id);

export function say(id, text) {
  byId(id).textContent = text ?? "";
  byId(id).hidden = !text;
}

/** Draws all that is known of a test, `{ test, totals, second, series, distribution }`, into the elements of `#test-body`. */
export function drawResult(known, drawCharts) {
  const { test, totals, series, distribution } = known;
  say("test-reason", test.reason);
  drawTiles(known);
  drawNumbers(test, totals);
  drawNotes(test, totals);
  drawThresholds(test);
  drawLimit(test);
  drawConservation(test);
  drawCharts({ id: test.test_id, series, distribution, test });
  drawEvents(test);
}

function drawTiles({ test, totals, second }) {
  const ended = hasEnded(test);
  const all = totals?.all ?? emptyScope(null);
  const tile = (title, text, kind) => element("div", { class: kind }, element("dt", {}, title), element("dd", {}, text));
  byId("tiles").replaceChildren(
    tile("Elapsed", seconds(totals?.elapsed_s)),
    ended
      ? tile("Responses/s", rate(all.responses_per_s))
      : tile("Responses/s now", rate(second?.all.responses_per_s)),
    tile("Answered", count(all.answered)),
    tile("Failed", count(all.failed), all.failed > 0 ? "bad" : null),
    ended ? tile("p99, ms", milliseconds(all.latency.p99_ms)) : tile("p99 now, ms", milliseconds(second?.all.latency.p99_ms)),
    tile("Start skew, ms", milliseconds(test.start_skew_ms)),
  );
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
  say("left-out", totals && leftOut(totals.all));
  const names = nameRows(totals?.all.by_name ?? {});
  byId("by-name").hidden = names.length === 0;
  document.querySelector("#by-name tbody").replaceChildren(...names);
}

/** What is said of a result that is not exact. */
const OUTCOMES = {
  unproved: "The result is unproved: not every check of it could be made.",
  incomplete: "The result is incomplete: not every driver delivered everything.",
  invalid: "The result is invalid: something contradicts it.",
};

function drawNotes(test, totals) {
  const all = totals?.all;
  const about = (name, text) => text && `${name}: ${text}`;
  const notes = [
    about("Responses by status", tally(all?.statuses)),
    about("Failures by cause", tally(all?.failures)),
    ...Object.entries(all?.examples ?? {}).map(([cause, example]) => `An example of ${cause}: ${example}`),
    all?.skipped > 0 && `Skipped, due and never sent for want of a free connection: ${count(all.skipped)}`,
    all?.dropped > 0 && `Dropped, given up for being late: ${count(all.dropped)}`,
    all?.resent > 0 && `Resent, since an open connection was closed without a response: ${count(all.resent)}`,
    all?.unsolicited > 0 && `Connections ended for bytes that no request had asked for: ${count(all.unsolicited)}`,
    test.config.keepalive && all?.connects > 0 && `Connections opened while requests were sent: ${count(all.connects)}`,
    about("Requests by address", tally(all?.addresses)),
    ...(totals ? [totals.all, ...totals.drivers] : []).map((scope) => about(scope.node_id ?? "All", scope.note)),
    ...test.participants.map((participant) => about(participant.node_id, participant.reason)),
    test.outcome && OUTCOMES[test.outcome],
    test.imported_at && `Imported ${clock(test.imported_at)}: it ran elsewhere, and all of it was recomputed before it was taken.`,
  ];
  byId("notes").replaceChildren(...notes.filter(Boolean).map((note) => element("li", {}, note)));
}

function drawThresholds({ thresholds = [] }) {
  const list = byId("thresholds");
  list.hidden = thresholds.length === 0;
  const words = { true: "kept", false: "not kept" };
  const line = ({ threshold, value, kept, broken_at_second, broken_value, ended_test }) => {
    const at = broken_at_second == null ? value ?? "unknown" : `${broken_value ?? "unknown"} at second ${broken_at_second}`;
    const end = ended_test ? ", which ended the test" : "";
    return element("li", { class: kept === false ? "bad" : null }, `${threshold}: ${words[kept] ?? "not judged yet"} (${at})${end}`);
  };
  list.replaceChildren(...thresholds.map(line));
}

function drawLimit({ limit }) {
  const line = byId("limit");
  line.hidden = !limit;
  if (!limit) return;
  line.className = { none: "good", generator: "bad", unknown: "warn" }[limit.limited_by] ?? "";
  line.textContent = limit.line;
}

function drawConservation({ outcome, conservation }) {
  const box = byId("conservation");
  box.hidden = !conservation;
  if (!conservation) return;
  box.className = look(outcome);
  const doubtful = conservation.checks.filter((check) => check.verdict !== "EXACT");
  const line = (check) =>
    element("li", {}, `${check.node_id ?? "all"}: ${check.name}: ${check.verdict}, expected ${count(check.expected)}, found ${count(check.actual)}`,
      check.detail ? `; ${check.detail}` : null);
  box.replaceChildren(element("p", {}, conservation.line), element("ul", {}, ...doubtful.map(line)));
}

/** What happened, the newest at the end. */
function drawEvents({ events }) {
  const line = (event) =>
    element("li", {}, element("time", { datetime: event.at }, clock(event.at)), ` ${event.kind}`,
      event.node_id ? ` ${event.node_id}` : null, event.detail ? `: ${event.detail}` : null);
  byId("events").replaceChildren(...events.slice(-EVENTS_SHOWN).map(line));
}
