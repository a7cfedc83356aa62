// Draws the figures. Their library is large: it is asked for when the page stands, and the tables never wait for it.

import { FIGURES, palette } from "./figures.js";
import { element } from "./tables.js";

/** Drawing takes a good part of this on a slow machine. */
const DRAW_EVERY_MS = 250;
const CONFIG = { displayModeBar: false, responsive: true, showTips: false, doubleClick: "reset" };

const dark = window.matchMedia("(prefers-color-scheme: dark)");
/** On paper everything is light, and as wide as the paper. */
const PAPER_PX = 680;
let printing = false;
const colorsNow = () => palette(dark.matches && !printing);
/** Where a finger moves the page, dragging must not select a part of a chart. */
const precise = window.matchMedia("(pointer: fine)");

/** The library, asked for once; a report carries it. */
let loading = null;
function loadLibrary() {
  loading ??= window.Plotly ? Promise.resolve(window.Plotly) : new Promise((resolve, reject) => {
    const script = element("script", { src: "/assets/plotly.js", onload: () => resolve(window.Plotly), onerror: reject });
    document.head.append(script);
  });
  return loading;
}

/** An empty chart with its caption in `box`; the place to draw in. */
function chartIn(box, id, title, hint) {
  const label = `${title}: ${hint}. The table has the numbers.`;
  const place = element("div", { class: "chart", id: `chart-${id}`, role: "img", "aria-label": label });
  box.append(element("figure", {}, element("figcaption", {}, element("strong", {}, title), ` ${hint}`), place));
  return place;
}

/** One chart in `box`; returns `draw(of, figure)`: `figure(colors)` makes `{ traces, layout }`, and zooming stays while `of` does. */
export function setUpChart(box, id, title, hint) {
  const place = chartIn(box, id, title, hint);
  let draw = () => {};
  const drawNow = () => loadLibrary().then((library) => draw(library), () => {});
  dark.addEventListener("change", drawNow);
  document.addEventListener("visibilitychange", drawNow);
  return (of, figure) => {
    draw = (library) => {
      if (document.hidden || box.offsetParent === null) return;
      const { traces, layout } = figure(colorsNow());
      library.react(place, traces, merged(baseLayout(of), layout), CONFIG);
    };
    drawNow();
  };
}

/** Builds the charts in `box`; returns `draw(measured)`, where `measured` is `{ id, series, distribution, test }`. */
export function setUpCharts(box) {
  const places = FIGURES.map(({ id, title, hint, concerns }) => {
    const place = chartIn(box, id, title, hint);
    place.parentElement.hidden = concerns !== undefined;
    return place;
  });
  const folded = element("p", { class: "hint", hidden: true });
  box.after(folded);

  let library = null;
  let measured = null;
  let waiting = false;

  const drawNow = () => {
    waiting = false;
    if (!library || !measured || document.hidden || box.offsetParent === null) return;
    const { id, series, distribution, test } = measured;
    const { config, phases, amendments } = test;
    const colors = colorsNow();
    const base = baseLayout(id);
    const points = series.points();
    for (const [index, figure] of FIGURES.entries()) {
      const drawing = figure.draw({ points, distribution, config, phases, amendments }, colors);
      places[index].parentElement.hidden = drawing === null;
      if (drawing) library.react(places[index], drawing.traces, merged(base, drawing.layout), CONFIG);
    }
    folded.hidden = series.width_s === 1;
    folded.textContent = `${series.isEvenlyFolded ? "Points" : "Older points"} of the charts stand for ${series.width_s} seconds each: the mean of rates, the worst of latencies and of the CPU.`;
  };
  const drawSoon = () => {
    if (waiting) return;
    waiting = true;
    setTimeout(drawNow, DRAW_EVERY_MS);
  };

  loadLibrary().then(
    (loaded) => {
      library = loaded;
      drawSoon();
    },
    () => box.replaceChildren(element("p", { class: "error" }, "The charts could not be loaded; the table has the numbers.")),
  );
  dark.addEventListener("change", drawSoon);
  document.addEventListener("visibilitychange", drawSoon);
  for (const [name, isPaper] of [["beforeprint", true], ["afterprint", false]]) {
    window.addEventListener(name, () => {
      printing = isPaper;
      document.documentElement.classList.toggle("printing", isPaper);
      drawNow();
    });
  }
  return (what) => {
    measured = what;
    drawSoon();
  };
}

/** What all charts share, in the page's colours. */
function baseLayout(testId) {
  const style = getComputedStyle(document.documentElement);
  const color = (name) => style.getPropertyValue(name).trim();
  const [text, quiet, grid, card] = ["--text", "--quiet", "--line", "--card"].map(color);
  const axis = { gridcolor: grid, zeroline: false, linecolor: grid, tickfont: { color: quiet }, automargin: true };
  return {
    // Zoomed parts stay while numbers come in, and are left with the test.
    uirevision: testId,
    ...(printing ? { autosize: false, width: PAPER_PX } : { autosize: true }),
    margin: { l: 8, r: 12, t: 4, b: 8, pad: 2 },
    paper_bgcolor: card,
    plot_bgcolor: card,
    font: { family: style.fontFamily, size: 11.5, color: text },
    showlegend: true,
    legend: { orientation: "h", x: 0, y: 1.02, yanchor: "bottom", font: { color: text }, itemwidth: 30 },
    hovermode: "x unified",
    hoverlabel: { bgcolor: card, bordercolor: grid, font: { color: text } },
    dragmode: precise.matches ? "zoom" : false,
    xaxis: axis,
    yaxis: axis,
  };
}

const merged = (base, own) => ({
  ...base,
  ...own,
  annotations: own.annotations?.map((note) => ({ ...note, font: { size: 13, color: base.xaxis.tickfont.color } })),
  xaxis: { ...base.xaxis, ...own.xaxis },
  yaxis: { ...base.yaxis, ...own.yaxis },
  ...(own.yaxis2 ? { yaxis2: { ...base.yaxis, ...own.yaxis2 } } : {}),
});
