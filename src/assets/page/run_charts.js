// The two charts over a run's seconds, their legends, and what they show in words.

import { byId, el, setText } from "./dom.js";
import { clock, millis, NONE, rate, timeOfDay } from "./format.js";
import { LATENCIES } from "./measures.js";
import { KEPT_SECONDS } from "./rows.js";

/** A chart's description changes no faster: a screen reader may be reading it. */
const SUMMARY_MS = 10_000;
const CHART_HEIGHT = 230;
/** A logarithmic axis has no place for 0: it is drawn at this, in milliseconds, and the note says so. */
const LOG_FLOOR_MS = 0.01;
const SYNC = "run";

const { RATE_LINES } = Charts;
const LATENCY_LINES = Charts.latencyLines(LATENCIES);

/** The page's own colours; read once per scheme, not at every draw. */
let inks = new Map();
const ink = (name) => {
  if (!inks.has(name)) inks.set(name, getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim());
  return inks.get(name);
};

function axes(values) {
  const common = {
    stroke: () => ink("muted"),
    font: "12px system-ui, sans-serif",
    grid: { stroke: () => ink("grid"), width: 1 },
    ticks: { stroke: () => ink("grid"), width: 1, size: 4 },
  };
  return [
    {
      ...common,
      incrs: [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600],
      space: 60,
      size: 26,
      values: (_, splits) => splits.map((s) => clock(s)),
    },
    { ...common, size: 62, values: (_, splits) => splits.map((value) => (value === null ? "" : values(value))) },
  ];
}

/** A run of a few seconds is not stretched over the whole width. */
const LEAST_SPAN_S = 10;
const X_SCALE = {
  time: false,
  range: (plot, min, max) => {
    if (min === null || max === null) return [0, LEAST_SPAN_S];
    const [seconds] = plot.data;
    return seconds.length <= LEAST_SPAN_S && min === seconds[0] ? [min, Math.max(max, min + LEAST_SPAN_S)] : [min, max];
  },
};

const axisMillis = (ms) => {
  if (ms >= 1000) return `${ms / 1000}k`;
  return String(Number(ms.toPrecision(3)));
};

/** The charts: zoomed, and shown whole again, together. */
const charts = [];

/** What both charts share: one uPlot, its legend, its size, its zoom. */
class Chart {
  constructor(name, lines) {
    this.node = byId(`${name}-chart`);
    this.summary = byId(`${name}-summary`);
    this.unzoom = byId(`${name}-unzoom`);
    this.lines = lines;
    this.hidden = new Set();
    this.zoomed = false;
    this.summarised = Number.NEGATIVE_INFINITY;
    this.later = null;
    this.plot = null;
    this.rows = null;
    charts.push(this);
    this.#makeLegend(byId(`${name}-legend`));
    this.unzoom.addEventListener("click", () => {
      for (const chart of charts) chart.showAll();
      this.node.closest("section").querySelector(".legend button").focus();
    });
    new ResizeObserver(() => this.#fit()).observe(this.node);
    Charts.dark.addEventListener("change", () => this.#recolour());
  }

  #makeLegend(node) {
    this.values = new Map();
    this.swatches = new Map();
    for (const line of this.lines) {
      const value = el("span", { class: "legend-value" }, NONE);
      const drawn = swatch(line);
      this.values.set(line, value);
      this.swatches.set(line, drawn);
      const button = el(
        "button",
        { type: "button", "aria-pressed": "true", "data-series": line.key, title: line.about ?? null },
        drawn, el("span", { class: "legend-name" }, line.label), value,
      );
      button.addEventListener("click", () => this.#toggle(line, button));
      node.append(button);
    }
  }

  #recolour() {
    inks = new Map();
    Charts.usePalette();
    for (const [line, drawn] of this.swatches) drawn.style.color = line.colour();
    this.plot?.redraw(false, true);
  }

  #toggle(line, button) {
    const shown = this.hidden.has(line);
    if (shown) this.hidden.delete(line);
    else this.hidden.add(line);
    button.setAttribute("aria-pressed", String(shown));
    this.plot?.setSeries(this.lines.indexOf(line) + 1, { show: shown });
    this.summarised = Number.NEGATIVE_INFINITY;
    this.describe();
  }

  #fit() {
    const width = this.node.clientWidth;
    if (this.plot !== null && width > 0 && width !== this.plot.width) {
      this.plot.setSize({ width, height: CHART_HEIGHT });
    }
  }

  showAll() {
    this.zoomed = false;
    this.unzoom.hidden = true;
    this.draw(this.rows);
  }

  /** Makes the plot anew: its scales and series are fixed once made. */
  build(options) {
    this.plot?.destroy();
    this.plot = new uPlot(
      {
        width: Math.max(this.node.clientWidth, 200),
        height: CHART_HEIGHT,
        legend: { show: false },
        cursor: { sync: { key: SYNC }, drag: { x: true, y: false, setScale: true } },
        padding: [10, 12, 0, 0],
        hooks: {
          setCursor: [() => this.showValues()],
          setSelect: [
            (plot) => {
              if (plot.select.width > 0) {
                this.zoomed = true;
                this.unzoom.hidden = false;
              }
            },
          ],
        },
        ...options,
      },
      this.data(),
      this.node,
    );
    // A double click resets uPlot's zoom: what we know of it follows.
    this.plot.over.addEventListener("dblclick", () => {
      for (const chart of charts) chart.showAll();
    });
  }

  draw(rows) {
    if (rows !== this.rows) {
      this.rows = rows;
      this.zoomed = false;
      this.unzoom.hidden = true;
      this.summarised = Number.NEGATIVE_INFINITY;
    }
    if (this.plot === null) this.build(this.options());
    else {
      this.plot.setData(this.data(), !this.zoomed);
      if (this.zoomed) this.plot.redraw();
    }
    this.node.dataset.points = String(rows?.length ?? 0);
    this.showValues();
    this.describe();
  }

  data() {
    const rows = this.rows;
    return rows === null ? [[], ...this.lines.map(() => [])] : [rows.seconds, ...this.lines.map((line) => this.drawn(line))];
  }

  /** How a line looks. */
  drawing(line) {
    return { show: !this.hidden.has(line), stroke: line.colour, width: line.width, dash: line.dash };
  }

  /** A column as it is drawn. */
  drawn(line) {
    return this.column(line);
  }

  /** The legend's values: those under the cursor, else the newest. */
  showValues() {
    const at = this.plot?.cursor.idx ?? null;
    const count = this.rows?.length ?? 0;
    for (const line of this.lines) {
      const column = count === 0 ? [] : this.column(line);
      const value = at === null ? (count === 0 ? null : (this.rows.lastOf(column).at(-1) ?? null)) : (column[at] ?? null);
      setText(this.values.get(line), this.write(value));
    }
    const second = at === null ? null : (this.rows?.seconds[at] ?? null);
    const start = at === null ? null : this.rows?.startMs[at];
    this.node.title = second === null ? "" : `at ${clock(second)} (${timeOfDay(start)})`;
  }

  describe() {
    const wait = this.summarised + SUMMARY_MS - performance.now();
    if (wait > 0) {
      // The last words must be of the last seconds, though nothing may come after them.
      this.later ??= setTimeout(() => {
        this.summarised = Number.NEGATIVE_INFINITY;
        this.describe();
      }, wait);
      return;
    }
    clearTimeout(this.later);
    this.later = null;
    // What says that nothing is there yet need not stand for long.
    if (this.rows?.length > 0) this.summarised = performance.now();
    setText(this.summary, this.words());
  }

  /** Nothing more will come: the words are of the end. */
  settle() {
    this.summarised = Number.NEGATIVE_INFINITY;
    this.describe();
  }
}

/** A piece of the line itself. */
function swatch(line) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("class", "swatch");
  svg.setAttribute("aria-hidden", "true");
  svg.setAttribute("viewBox", "0 0 28 10");
  svg.style.color = line.colour();
  const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
  path.setAttribute("d", "M1 5h26");
  path.setAttribute("stroke-width", String(line.width));
  path.setAttribute("stroke-dasharray", line.dash.join(" "));
  svg.append(path);
  if (line.joined) {
    const dot = document.createElementNS("http://www.w3.org/2000/svg", "circle");
    for (const [key, value] of Object.entries({ cx: 14, cy: 5, r: 3 })) dot.setAttribute(key, value);
    svg.append(dot);
  }
  return svg;
}

export class RateChart extends Chart {
  constructor() {
    super("rate", RATE_LINES);
  }

  options() {
    return {
      scales: { x: X_SCALE, y: { range: (_, min, max) => [0, Math.max(max ?? 0, 1) * 1.08] } },
      axes: axes((value) => (value >= 1e6 ? `${value / 1e6}M` : value >= 1e3 ? `${value / 1e3}k` : String(value))),
      series: [
        {},
        ...this.lines.map((line) => ({ ...this.drawing(line), points: { show: false } })),
      ],
    };
  }

  column(line) {
    return this.rows.rates[line.key];
  }

  write(value) {
    return rate(value);
  }

  words() {
    const rows = this.rows;
    if (rows === null || rows.length === 0) return "No second measured yet.";
    const said = this.lines.filter((line) => !this.hidden.has(line)).map((line) => {
      const values = rows.lastOf(this.column(line));
      const mean = values.length === 0 ? null : values.reduce((sum, value) => sum + value, 0) / values.length;
      return `${line.label} ${rate(mean)}`;
    });
    const { end } = rows;
    return `Mean of the last ${Math.min(10, end)} s, at ${clock((rows.seconds[end - 1] ?? -1) + 1)}: ${said.join(", ")}.`;
  }
}

export class LatencyChart extends Chart {
  constructor() {
    super("latency", LATENCY_LINES);
    this.quantile = "p99_ms";
    this.logarithmic = true;
  }

  /** Shows another quantile, or the other scale. */
  change({ quantile = this.quantile, logarithmic = this.logarithmic }) {
    this.quantile = quantile;
    this.logarithmic = logarithmic;
    this.summarised = Number.NEGATIVE_INFINITY;
    if (this.plot !== null) {
      const { min, max } = this.plot.scales.x;
      this.build(this.options());
      if (this.zoomed) this.plot.setScale("x", { min, max });
    }
    this.showValues();
    this.describe();
  }

  options() {
    const y = this.logarithmic
      ? {
          distr: 3,
          log: 10,
          range: (_, min, max) => uPlot.rangeLog(Math.max(min ?? 0.1, LOG_FLOOR_MS), Math.max(max ?? 100, 1), 10, true),
        }
      : { range: (_, min, max) => [0, Math.max(max ?? 0, 1) * 1.08] };
    return {
      scales: { x: X_SCALE, y },
      axes: axes(axisMillis),
      series: [
        {},
        ...this.lines.map((line) => ({
          ...this.drawing(line),
          spanGaps: line.joined,
          points: line.joined
            ? { show: (...where) => this.#pointsFit(...where), size: 6, fill: line.colour }
            : { size: 4 },
        })),
      ],
    };
  }

  /** Points that would touch each other only blur the line. */
  #pointsFit(plot, series, from, to) {
    let points = 0;
    for (let at = from; at <= to; at += 1) if (plot.data[series][at] !== null) points += 1;
    return points * 10 < plot.bbox.width / devicePixelRatio;
  }

  column(line) {
    return this.rows.latencies[line.key][this.quantile];
  }

  drawn(line) {
    const column = this.column(line);
    return this.logarithmic ? column.map((ms) => (ms === null ? null : Math.max(ms, LOG_FLOOR_MS))) : column;
  }

  write(value) {
    return value === null ? NONE : `${millis(value)} ms`;
  }

  words() {
    const rows = this.rows;
    if (rows === null || rows.length === 0) return "No latency measured yet.";
    const name = { p50_ms: "p50", p99_ms: "p99", max_ms: "maximum" }[this.quantile];
    const shown = this.lines.filter((line) => !this.hidden.has(line));
    const said = shown.map((line) => {
      const values = rows.lastOf(this.column(line));
      const worst = values.length === 0 ? null : Math.max(...values);
      return `${line.label} ${worst === null ? NONE : `${millis(worst)} ms`}`;
    });
    const below = (line) => this.column(line).some((ms) => ms !== null && ms < LOG_FLOOR_MS);
    const floor = this.logarithmic && shown.some(below) ? ` What is under ${LOG_FLOOR_MS} ms is drawn there.` : "";
    return `Worst ${name} of the last ${Math.min(10, rows.end)} s: ${said.join(", ")}.${floor}`;
  }
}

/** Says how much of a long run the charts hold. */
export function showKept(rows) {
  const note = byId("kept-note");
  note.hidden = rows === null || rows.dropped === 0;
  if (!note.hidden) {
    setText(note, `The charts hold the last ${KEPT_SECONDS / 3600} hours of this run; its report holds all of it.`);
  }
}

/** The newest seconds as a table: the charts, for those who cannot see them. */
export function fillSeconds(table, rows, quantile) {
  const head = ["Second", ...RATE_LINES.map((line) => `${line.label} /s`)];
  head.push(...LATENCY_LINES.map((line) => `${line.label} ms`));
  const lines = [];
  for (let at = (rows?.length ?? 0) - 1; at >= 0 && lines.length < 10; at -= 1) {
    lines.push([
      clock(rows.seconds[at]),
      ...RATE_LINES.map(({ key }) => rate(rows.rates[key][at]).replace("/s", "")),
      ...LATENCY_LINES.map(({ key }) => millis(rows.latencies[key][quantile][at])),
    ]);
  }
  const header = el("thead", {}, el("tr", {}, head.map((text) => el("th", { scope: "col" }, text))));
  const cells = ([first, ...rest]) => [el("th", { scope: "row" }, first), rest.map((text) => el("td", {}, text))];
  table.className = "numbers";
  table.replaceChildren(header, el("tbody", {}, lines.map((line) => el("tr", {}, ...cells(line)))));
}
