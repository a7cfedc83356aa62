// Capacity searches: the form that starts one, the list of them, and the one on show with its curve and its trials.

import { setUpChart } from "./charts.js";
import { quantileName, searchFigure, verdictOf } from "./curve.js";
import { problems } from "./form.js";
import { ask, post } from "./rest.js";
import { clock, count, element, look, milliseconds, pill, rate, seconds } from "./tables.js";

const ASK_EVERY_MS = 1000;

/** The fields of the form, by the names that REST and `onrush capacity` have for them. */
const FIELDS = [
  ["target_url", "Address", "http://127.0.0.1:8080/ping", "Where the requests go."],
  ["slo", "Keeps", "p99<50ms,failed<0.1%", "Quantiles of the latency from the moment a request was due, and the share that failed; several with commas."],
  ["budget", "Takes at most", "5m", "How long the search may take."],
  ["width", "Interval", "5%", "How narrow the interval is to be."],
  ["start", "First rate", "100", "Requests a second over all drivers."],
  ["max", "Highest rate", "1M", "The highest rate that may be asked for, over all drivers."],
  ["connections", "Connections", "256", "Of each driver: as many as requests overlap."],
];

const searchPath = (id, what = "") => `/v1/searches/${encodeURIComponent(id)}${what}`;
const byId = (id) => document.getElementById(id);

/** Fills the form; `open(id)` is told which search was started. */
export function setUpSearchForm(form, open) {
  const inputs = new Map(), errors = new Map();
  const field = ([name, label, placeholder, about]) => {
    const id = `search-${name}`;
    const input = element("input", {
      id, name, type: "text", title: about, placeholder, autocomplete: "off", spellcheck: "false", "aria-describedby": `error-${id}`,
    });
    const error = element("p", { class: "error", id: `error-${id}`, hidden: true });
    inputs.set(name, input);
    errors.set(name, error);
    return element("div", { class: name === "target_url" || name === "slo" ? "full" : null }, element("label", { class: "above", for: id }, label), input, error);
  };
  const random = element("input", { type: "checkbox", id: "search-arrivals", checked: true });
  const arrivals = element("div", { class: "full" }, element("label", {}, random, "arrivals at random, as of many independent users"));
  const button = element("button", { type: "submit" }, "Find the capacity");
  const general = element("p", { class: "error full", role: "alert", hidden: true });
  form.replaceChildren(...FIELDS.map(field), arrivals, element("div", { class: "full actions" }, button), general);
  const show = problems(form, inputs, errors, general);
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    button.disabled = true;
    show(null);
    const fields = { arrivals: random.checked ? "poisson" : "even" };
    for (const [name, input] of inputs) if (input.value.trim() !== "") fields[name] = input.value.trim();
    try {
      open((await post("/v1/searches", fields)).search_id);
    } catch (problem) {
      show(problem);
    } finally {
      button.disabled = false;
    }
  });
}

/** The searches of the list; the one on show is marked. */
export function drawSearches(searches, shownId, visit) {
  byId("searches-card").hidden = searches.length === 0;
  const row = ({ search_id, name, url, slo, state, lower_per_s, upper_per_s, ended, created_at }) => {
    const onclick = (event) => {
      if (event.ctrlKey || event.metaKey || event.shiftKey) return;
      event.preventDefault();
      visit(search_id);
    };
    const link = element("a", { href: `/?search=${encodeURIComponent(search_id)}`, onclick }, name ?? search_id);
    const number = (text) => element("td", { class: "number" }, text);
    return element(
      "tr", { class: search_id === shownId ? "chosen" : null }, element("th", { scope: "row" }, link), element("td", {}, url ?? "several"),
      element("td", {}, slo.join(", ")), element("td", {}, pill(state)), number(rate(lower_per_s)), number(rate(upper_per_s)),
      element("td", {}, ended ?? "—"), number(clock(created_at)),
    );
  };
  byId("searches").replaceChildren(...searches.map(row));
}

/** The search on show: asked for again and again while it goes on. */
export class ShownSearch {
  id = null;
  #view = null;
  #problem = null;
  #draw;

  constructor() {
    this.#draw = setUpChart(byId("search-chart"), "search", "Latency over load", "quantiles over everything that was due, with their intervals; below: every trial");
    byId("search-stop").addEventListener("click", (event) => this.#stop(event.currentTarget));
    const turn = async () => {
      if (!document.hidden) await this.#ask();
      setTimeout(turn, ASK_EVERY_MS);
    };
    turn();
  }

  /** Shows a search; `null`: none. */
  choose(id) {
    if (id === this.id) return;
    Object.assign(this, { id });
    [this.#view, this.#problem] = [null, null];
    this.#show();
    this.#ask();
  }

  async #ask() {
    const { id } = this;
    if (id === null || (this.#view && this.#view.state !== "RUNNING")) return;
    await this.#take(id, () => ask(searchPath(id)));
  }

  async #stop(button) {
    const { id } = this;
    button.disabled = true;
    await this.#take(id, () => post(searchPath(id, "/stop")));
    button.disabled = false;
  }

  async #take(id, answer) {
    let view = this.#view, problem = null;
    try {
      view = await answer();
    } catch (refused) {
      problem = refused.detail;
    }
    if (this.id !== id) return;
    [this.#view, this.#problem] = [view, problem];
    this.#show();
  }

  #show() {
    const view = this.#view;
    byId("search").hidden = this.id === null;
    byId("search-error").textContent = this.#problem ?? "";
    byId("search-error").hidden = !this.#problem;
    byId("search-body").hidden = !view;
    byId("search-state").hidden = !view;
    byId("search-stop").hidden = view?.state !== "RUNNING";
    byId("search-title").textContent = `Capacity${view?.url ? ` of ${view.url}` : ""}`;
    if (!view) return;
    byId("search-state").textContent = view.state;
    byId("search-state").className = `pill ${look(view.state)}`;
    byId("search-headline").textContent = headline(view);
    const goes = view.state === "RUNNING";
    byId("search-about").textContent = [
      view.reason ?? view.ended, goes && view.trying_per_s != null && `trying ${rate(view.trying_per_s)}/s`,
      `${seconds(view.elapsed_s)} of at most ${seconds(view.budget_s)}`, `${view.arrivals} arrivals`,
      `${count(view.connections)} connections per driver`,
    ].filter(Boolean).join(" · ");
    const bar = byId("search-progress");
    bar.hidden = !goes;
    bar.value = Math.min(1, view.elapsed_s / view.budget_s);
    this.#draw(view.search_id, (colors) => searchFigure(view, colors));
    drawTrials(view);
    drawCurve(view);
  }
}

/** What is known, in one sentence. */
function headline({ slo, lower_per_s, upper_per_s, best_per_s, confidence, is_confirmed, state }) {
  const goes = state === "RUNNING" ? "So far, it keeps" : "It keeps";
  const best = best_per_s != null ? `, most likely ${rate(best_per_s)}/s` : "";
  const sure = `(${Math.round(100 * confidence)} %${is_confirmed ? ", held once more" : ""})`;
  const kept = `${goes} ${slo.join(", ")}`;
  if (lower_per_s == null && upper_per_s == null) return `Whether it keeps ${slo.join(", ")} is not known yet`;
  if (lower_per_s == null) return `${kept} at no rate that was tried; not from ${rate(upper_per_s)}/s on ${sure}`;
  if (upper_per_s == null) return `${kept} at least up to ${rate(lower_per_s)}/s; no rate was shown to break it ${sure}`;
  return `${kept} up to ${rate(lower_per_s)}/s and not from ${rate(upper_per_s)}/s on${best} ${sure}`;
}

function share({ share, lower, upper }) {
  const [of, from, to] = [share, lower, upper].map((part) => (100 * part).toLocaleString("en-US", { maximumSignificantDigits: 3 }));
  return `${of} % (${from}–${to})`;
}

function drawTrials({ trials, slo }) {
  const number = (text) => element("td", { class: "number" }, text);
  const heads = ["Trial", "rate/s", "seconds", "due", ...slo.map((criterion) => `share that breaks ${criterion}`), "verdict"];
  byId("search-trials-head").replaceChildren(...heads.map((text) => element("th", { scope: "col" }, text)));
  const row = (trial, index) => element(
    "tr", {}, element("th", { scope: "row" }, count(index + 1)), number(rate(trial.rate_per_s)), number(seconds(trial.length_s)), number(count(trial.due)),
    ...slo.map((_, place) => number(trial.broken[place] ? share(trial.broken[place]) : "—")),
    element("td", { class: verdictOf(trial) }, `${trial.verdict}${trial.is_clear ? "" : ", not clear"}${trial.is_set_aside ? ", set aside" : ""}`),
  );
  byId("search-trials").replaceChildren(...trials.map(row));
}

function drawCurve({ curve }) {
  const quantiles = (curve[0]?.quantiles ?? []).map(({ quantile }) => quantile);
  const heads = ["Load/s", "due", ...quantiles.map((quantile) => `${quantileName(quantile)}, ms`)];
  byId("search-curve-head").replaceChildren(...heads.map((text) => element("th", { scope: "col" }, text)));
  const between = ({ value_ms, lower_ms, upper_ms }) => `${milliseconds(value_ms)} (${milliseconds(lower_ms)}–${milliseconds(upper_ms)})`;
  const row = (point) => element(
    "tr", {}, element("th", { scope: "row" }, rate(point.rate_per_s)), element("td", { class: "number" }, count(point.due)),
    ...point.quantiles.map((found) => element("td", { class: "number" }, between(found))),
  );
  byId("search-curve").replaceChildren(...curve.map(row));
}
