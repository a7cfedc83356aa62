// What the figure of a capacity search shows: latency over load with the SLO and the bounds, and every trial below. Nothing
// here touches the page.

import { DURATION, empty } from "./figures.js";

/** Where the trials stand, from below. */
const VERDICTS = ["void", "bad", "good"];
const SYMBOLS = { good: "circle", bad: "x", void: "diamond-open" };
/** 1, 2 and 5 of each decade from a microsecond to a thousand seconds: a curve may lie within one of them. */
const TICKS_S = [-6, -5, -4, -3, -2, -1, 0, 1, 2].flatMap((power) => [1, 2, 5].map((digit) => digit * 10 ** power));
const tick = (s) => (s >= 1 ? `${s}s` : s >= 9e-4 ? `${Math.round(s * 1e3)}ms` : `${Math.round(s * 1e6)}µs`);
/** What part of the height is the trials'. */
const TRIALS_SHARE = 0.2;

/** `good`, `bad` or `void`: what follows says why. */
export const verdictOf = ({ verdict }) => verdict.split(":")[0];

/** `p99`, of 0.99. */
export const quantileName = (quantile) => `p${Number((100 * quantile).toPrecision(6))}`;

const perSecond = (rate) => `${rate.toLocaleString("en-US", { maximumSignificantDigits: 5 })}/s`;
const percent = (share) => `${(100 * share).toLocaleString("en-US", { maximumSignificantDigits: 3 })} %`;

function latencies({ curve }, colors) {
  const quantiles = [...new Set(curve.flatMap((point) => point.quantiles.map(({ quantile }) => quantile)))].sort((a, b) => a - b);
  return quantiles.map((quantile, index) => {
    const found = curve.map((point) => point.quantiles.find((each) => each.quantile === quantile) ?? {});
    const away = (ms, from_ms) => (ms == null || from_ms == null ? 0 : Math.abs(ms - from_ms) / 1000);
    const color = colors.quantiles[index % colors.quantiles.length];
    return {
      type: "scatter", mode: "lines+markers", name: quantileName(quantile), x: curve.map(({ rate_per_s }) => rate_per_s),
      y: found.map(({ value_ms }) => (value_ms > 0 ? value_ms / 1000 : null)), line: { color, width: 1.8 }, marker: { size: 5, color },
      error_y: {
        type: "data", symmetric: false, color, thickness: 1, width: 3,
        array: found.map(({ value_ms, upper_ms }) => away(upper_ms, value_ms)),
        arrayminus: found.map(({ value_ms, lower_ms }) => away(lower_ms, value_ms)),
      },
      hovertemplate: "%{y:.3s}s at %{x:,.5~r}/s",
    };
  });
}

/** A line over the whole width for each limit of a latency, in the colour of its quantile. */
function limits({ criteria }, lines, range) {
  return criteria.filter(({ limit_ms }) => limit_ms != null).map(({ criterion, quantile, limit_ms }) => ({
    type: "scatter", mode: "lines", name: `SLO ${criterion}`, x: range, y: [limit_ms / 1000, limit_ms / 1000], hoverinfo: "skip",
    line: { color: lines.find(({ name }) => name === quantileName(quantile))?.line.color, width: 1.6, dash: "dash" },
  }));
}

function trialsOf({ trials, criteria }, colors) {
  const numbered = trials.map((trial, index) => ({ ...trial, number: index + 1 }));
  const share = ({ broken }) =>
    criteria.map(({ criterion }, index) => broken[index] && `<br>${criterion} broken by ${percent(broken[index].share)}`).filter(Boolean).join("");
  return VERDICTS.map((verdict, row) => {
    const mine = numbered.filter((trial) => verdictOf(trial) === verdict);
    const about = (trial) =>
      `trial ${trial.number}: ${trial.verdict} at ${perSecond(trial.rate_per_s)}${trial.is_set_aside ? ", set aside" : ""}${share(trial)}`;
    return {
      type: "scatter", mode: "markers", name: verdict, showlegend: false, yaxis: "y2", x: mine.map(({ rate_per_s }) => rate_per_s),
      y: mine.map(() => row), text: mine.map(about), hovertemplate: "%{text}<extra></extra>",
      marker: {
        symbol: SYMBOLS[verdict], size: 8, color: colors.verdicts[verdict], opacity: mine.map(({ is_set_aside }) => (is_set_aside ? 0.35 : 0.9)),
      },
    };
  });
}

/** The bounds: lines, with what is not decided between them shaded. */
function bounds({ lower_per_s, upper_per_s }) {
  const over = (x0, x1) => ({ xref: "x", yref: "paper", x0, x1, y0: 0, y1: 1 });
  const known = [[lower_per_s, "right", "keeps it up to"], [upper_per_s, "left", "breaks it from"]].filter(([rate]) => rate != null);
  const lines = known.map(([rate]) => ({ type: "line", ...over(rate, rate), line: { width: 1.5, color: "rgba(127, 127, 127, 0.9)" } }));
  const between = { type: "rect", layer: "below", ...over(lower_per_s, upper_per_s), line: { width: 0 }, fillcolor: "rgba(127, 127, 127, 0.18)" };
  return {
    shapes: known.length === 2 ? [between, ...lines] : lines,
    annotations: known.map(([rate, side, words]) => ({
      text: `${words} ${perSecond(rate)}`, showarrow: false, xref: "x", yref: "paper", x: rate, y: side === "right" ? 1 : 0.92,
      xanchor: side, yanchor: "top",
    })),
  };
}

/** `{ traces, layout }` of a search as REST has it. */
export function searchFigure(search, colors) {
  if (search.trials.length === 0) return empty("No trial is over yet");
  const rates = search.trials.map(({ rate_per_s }) => rate_per_s);
  const range = [0.5 * Math.min(...rates), 1.2 * Math.max(...rates, search.upper_per_s ?? 0)];
  const lines = latencies(search, colors);
  return {
    traces: [...lines, ...limits(search, lines, range), ...trialsOf(search, colors)],
    layout: {
      ...bounds(search),
      xaxis: { anchor: "y2", ticksuffix: "/s", tickformat: "~s", range },
      yaxis: { ...DURATION, tickvals: TICKS_S, ticktext: TICKS_S.map(tick), domain: [TRIALS_SHARE + 0.06, 1] },
      yaxis2: {
        domain: [0, TRIALS_SHARE], tickvals: VERDICTS.map((_, row) => row), ticktext: VERDICTS, range: [-0.6, VERDICTS.length - 0.4],
        zeroline: false, showgrid: false, fixedrange: true,
      },
      hovermode: "closest",
    },
  };
}
