// The seconds of a test as the charts need them, in bounded memory: however long a test runs, at most MAX_POINTS are
// kept. Beyond that the older seconds are folded together, two by two, and again; the newest stay as they are.

const MAX_POINTS = 3600;
const NEWEST_S = 600;
/** Folding makes room for this many seconds at least, so that it is rare. */
const ROOM = 600;

const add = (a, b) => (a == null ? b : b == null ? a : a + b);
const worst = (a, b) => (a == null ? b : b == null ? a : Math.max(a, b));

/** Merges the values of two objects, name by name. */
function join(a, b, merge) {
  const joined = { ...a };
  for (const [name, value] of Object.entries(b)) joined[name] = merge(joined[name], value);
  return joined;
}

const load = (scope) => ({ due: scope.due, sent: scope.sent, responses: scope.responses, in_flight: scope.in_flight });
const ofName = ({ sent, responses, latency }) => ({ sent, responses, p99_ms: latency.p99_ms });
const quantiles = ({ median_ms, p90_ms, p99_ms, p999_ms, max_ms }) => ({ median_ms, p90_ms, p99_ms, p999_ms, max_ms });

/** `null`: the target does not tell. */
const cpuOf = (cpu) => (cpu ? { used_share: cpu.used_share, waited_share: cpu.waited_share } : null);

function pointOf({ second_index, all, drivers, target_cpu }) {
  return {
    start_s: second_index,
    width_s: 1,
    drivers: Object.fromEntries(drivers.map((scope) => [scope.node_id, load(scope)])),
    latency: quantiles(all.latency),
    schedule_error: quantiles(all.schedule_error),
    failures: all.failures,
    target_cpu: cpuOf(target_cpu),
    names: Object.fromEntries(Object.entries(all.by_name ?? {}).map(([name, of]) => [name, ofName(of)])),
  };
}

/** Counts add up. Quantiles do not: the worst stays, so that no peak is lost. */
function fold(a, b) {
  const loads = (x = {}, y = {}) => ({
    due: add(x.due, y.due), sent: add(x.sent, y.sent), responses: add(x.responses, y.responses), in_flight: worst(x.in_flight, y.in_flight),
  });
  const names = (x = {}, y = {}) => ({
    sent: add(x.sent, y.sent), responses: add(x.responses, y.responses), p99_ms: worst(x.p99_ms, y.p99_ms),
  });
  return {
    start_s: Math.min(a.start_s, b.start_s),
    width_s: a.width_s + b.width_s,
    drivers: join(a.drivers, b.drivers, loads),
    latency: join(a.latency, b.latency, worst),
    schedule_error: join(a.schedule_error, b.schedule_error, worst),
    failures: join(a.failures, b.failures, add),
    target_cpu: a.target_cpu && b.target_cpu ? join(a.target_cpu, b.target_cpu, worst) : a.target_cpu ?? b.target_cpu,
    names: join(a.names, b.names, names),
  };
}

export class Series {
  #points = new Map();
  #width_s = 1;
  /** Seconds before this one are folded. */
  #folded_s = 0;
  #end_s = 0;

  /** Of points that stand for so many seconds each. */
  static ofPoints(points, width_s) {
    const series = new Series();
    points.forEach((point) => series.#points.set(point.start_s, point));
    series.#width_s = width_s;
    series.isEvenlyFolded = true;
    return series;
  }

  /** Whether all points are as wide, not the older ones alone. */
  isEvenlyFolded = false;

  /** How many seconds the older points stand for. */
  get width_s() {
    return this.#width_s;
  }

  /** The first second after all that were put in. */
  get end_s() {
    return this.#end_s;
  }

  /**
   * Takes a sealed second; one that is merged anew replaces what was known of it. False where the series cannot be right
   * any more and is to be made anew: a second within a folded point cannot be replaced, and one that is missing may never come.
   */
  put(second) {
    const index = second.second_index;
    if (index < this.#folded_s) return false;
    const isNext = index <= this.#end_s;
    this.#end_s = Math.max(this.#end_s, index + 1);
    this.#points.set(index, pointOf(second));
    if (this.#points.size > MAX_POINTS) this.#shrink();
    return isNext;
  }

  #shrink() {
    const last = Math.max(...this.#points.keys());
    this.#foldBefore(last - NEWEST_S);
    while (this.#points.size > MAX_POINTS - ROOM) {
      this.#width_s *= 2;
      this.#foldBefore(last - NEWEST_S);
    }
  }

  #foldBefore(time_s) {
    const width_s = this.#width_s;
    this.#folded_s = Math.max(this.#folded_s, Math.floor(time_s / width_s) * width_s);
    const folded = new Map();
    for (const [start, point] of this.#points) {
      const key = start < this.#folded_s ? Math.floor(start / width_s) * width_s : start;
      folded.set(key, folded.has(key) ? fold(folded.get(key), point) : point);
    }
    this.#points = folded;
  }

  /** The points in the order of time. */
  points() {
    return [...this.#points.values()].sort((a, b) => a.start_s - b.start_s);
  }
}
