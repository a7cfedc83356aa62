// One test as the server knows it, followed until its end whatever happens on the way.
//
// First everything is asked for, then a stream of events tells what is new. When the stream ends, breaks, skips something
// or falls silent while there is news, everything is asked for again; and once more when the test is over. So nothing
// that is shown depends on a single event, and the last word is always an answer.

import { ask, patch, post, testPath } from "./rest.js";
import { hasEnded } from "./result.js";
import { Series } from "./series.js";

/** While requests are sent, the stream tells something every second. */
const SILENCE_MS = 4000;
const LOOK_EVERY_MS = 1000;
/** Before everything is asked for again: at first, and at most where that fails again and again. */
const PAUSE_MS = 250;
const LONGEST_PAUSE_MS = 4000;
const SECONDS_AT_ONCE = 600;
/** How often a test that has ended incomplete is looked at. */
const LATE_EVERY_MS = 3000;

/** What was missing when it ended may still come. */
const mayGrow = (test) => ["incomplete", "invalid"].includes(test.outcome) && test.triggered_at != null;

const pause = (ms) => new Promise((done) => setTimeout(done, ms));

export class Follower {
  /** What is known: the test, its totals, its newest second and all of them; `null`: nothing yet. */
  test = null;
  totals = null;
  second = null;
  series = new Series();
  /** What stands in the way of knowing more, in words; `null`: nothing. */
  problem = null;

  #id;
  #changed;
  #closed = false;
  /** How often the test's state was learned. */
  #learned = 0;
  #hangUp = () => {};

  /** Calls `changed` whenever there is something new. */
  constructor(id, changed) {
    this.#id = id;
    this.#changed = changed;
    this.#run();
  }

  close() {
    this.#closed = true;
    this.#hangUp();
  }

  /** Asks for a change of the test, such as `/stop`; throws problem details. */
  async change(what, load) {
    const learned = this.#learned;
    const test = load ? await patch(testPath(this.#id), load) : await post(testPath(this.#id, what));
    // What was learned meanwhile is newer than this answer.
    if (learned === this.#learned) this.#learn(test);
    this.#changed();
  }

  #learn(test) {
    this.test = test;
    this.#learned += 1;
  }

  async #run() {
    let pause_ms = PAUSE_MS;
    while (!this.#closed) {
      try {
        await this.#load();
        this.problem = null;
        this.#changed();
        if (this.#closed || (hasEnded(this.test) && !mayGrow(this.test))) return;
        if (hasEnded(this.test)) {
          await this.#untilAmended();
          continue;
        }
        const listened_ms = await this.#listen();
        if (hasEnded(this.test)) continue;
        if (listened_ms > LONGEST_PAUSE_MS) pause_ms = PAUSE_MS;
      } catch (problem) {
        this.problem = problem.detail ?? String(problem);
        this.#changed();
      }
      await pause(pause_ms);
      pause_ms = Math.min(2 * pause_ms, LONGEST_PAUSE_MS);
    }
  }

  /** Asks for everything. */
  async #load() {
    const [test, totals] = await this.#askState();
    this.#learn(test);
    this.totals = totals;
    this.#changed();
    const series = new Series();
    let newest = null;
    for (let from = 0; from !== null && !this.#closed;) {
      const page = await ask(testPath(this.#id, `/series?from=${from}&limit=${SECONDS_AT_ONCE}`));
      page.seconds.forEach((second) => series.put(second));
      newest = page.seconds.at(-1) ?? newest;
      from = page.next_from;
    }
    this.series = series;
    this.second = newest;
  }

  /** Waits until the server says something else of a test that has ended. */
  async #untilAmended() {
    do await pause(LATE_EVERY_MS);
    while (!this.#closed && (document.hidden || !(await this.#isBehind())));
  }

  /** The test and its totals. The test comes first: of one that is over, the totals are then the last. */
  async #askState() {
    const test = await ask(testPath(this.#id));
    return [test, await ask(testPath(this.#id, "/metrics"))];
  }

  /** Takes what the stream tells until everything is to be asked for again; how long that was, in milliseconds. */
  async #listen() {
    const began_ms = performance.now();
    let heard_ms = began_ms;
    const stream = new EventSource(testPath(this.#id, `/stream?from=${this.series.end_s}`));
    let watch = null;
    await new Promise((over) => {
      this.#hangUp = over;
      // The browser would open it again, and know nothing of what it missed.
      stream.onerror = over;
      const on = (name, take) =>
        stream.addEventListener(name, (event) => {
          heard_ms = performance.now();
          take(JSON.parse(event.data));
          this.#changed();
        });
      on("test", (test) => {
        this.#learn(test);
        if (hasEnded(test)) over();
      });
      on("totals", (totals) => (this.totals = totals));
      on("second", ({ second, totals }) => {
        if (!this.series.put(second)) over();
        // One that is merged anew is not the newest.
        if (second.second_index >= (this.second?.second_index ?? 0)) this.second = second;
        // Seconds from before the stream was opened carry none.
        this.totals = totals ?? this.totals;
      });
      watch = setInterval(async () => {
        if (performance.now() - heard_ms < SILENCE_MS) return;
        heard_ms = performance.now();
        if (await this.#isBehind()) over();
      }, LOOK_EVERY_MS);
    });
    clearInterval(watch);
    stream.close();
    return performance.now() - began_ms;
  }

  /** Whether the server knows anything that the stream has not told. */
  async #isBehind() {
    try {
      return JSON.stringify(await this.#askState()) !== JSON.stringify([this.test, this.totals]);
    } catch {
      return true;
    }
  }
}
