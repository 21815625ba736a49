// The two charts over a run's seconds, their legends, and what they show in words.

import { byId, el, setText } from "./dom.js";
import { clock, millis, NONE, rate, timeOfDay } from "./format.js";
import { KEPT_SECONDS, LATENCIES, RATES } from "./rows.js";

/** A chart's description changes no faster: a screen reader may be reading it. */
const SUMMARY_MS = 10_000;
const CHART_HEIGHT = 230;
/** A logarithmic axis has no place for 0: it is drawn at this, in milliseconds, and the note says so. */
const LOG_FLOOR_MS = 0.01;
const SYNC = "run";

// Lines that lie on each other stay visible: those drawn first are wider.
const RATE_STYLES = {
  produced: { label: "produced", width: 7 },
  acknowledged: { label: "acknowledged", width: 3.5 },
  consumed: { label: "consumed", width: 1.5 },
  target: { label: "target", width: 1.5, dash: [7, 5] },
};

// `sparse`: measured only where a window closes, so that its points are joined.
const LATENCY_STYLES = {
  publish_delay: { label: "publish delay", about: "intended time → handed to the client", dash: [2, 3] },
  publish_latency: { label: "publish", about: "handed to the client → acknowledged", dash: [8, 3] },
  event_latency: { label: "event", about: "intended time → consumed by the aggregator" },
  close_latency: { label: "close", about: "window end → result handed to the client", sparse: true, dash: [8, 3, 2, 3] },
  result_latency: {
    label: "result", about: "the result’s greatest produce time → its insertion: the headline", sparse: true, width: 2.5,
  },
  end_to_end: { label: "end to end", about: "window end → result read back", sparse: true, dash: [4, 3] },
};

const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();

/** The colours of the present scheme; read once per scheme, not at every draw. */
const scheme = window.matchMedia("(prefers-color-scheme: dark)");
let palette = new Map();
const ink = (name) => {
  if (!palette.has(name)) palette.set(name, colour(name));
  return palette.get(name);
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
  constructor(name, styles) {
    this.node = byId(`${name}-chart`);
    this.summary = byId(`${name}-summary`);
    this.unzoom = byId(`${name}-unzoom`);
    this.styles = styles;
    this.names = Object.keys(styles);
    this.hidden = new Set();
    this.zoomed = false;
    this.summarised = Number.NEGATIVE_INFINITY;
    this.later = null;
    this.plot = null;
    this.rows = null;
    charts.push(this);
    this.#makeLegend(byId(`${name}-legend`), name);
    this.unzoom.addEventListener("click", () => {
      for (const chart of charts) chart.showAll();
      this.node.closest("section").querySelector(".legend button").focus();
    });
    new ResizeObserver(() => this.#fit()).observe(this.node);
    scheme.addEventListener("change", () => {
      palette = new Map();
      this.plot?.redraw(false, true);
    });
  }

  #makeLegend(node, chart) {
    this.values = new Map();
    for (const name of this.names) {
      const style = this.styles[name];
      const value = el("span", { class: "legend-value" }, NONE);
      this.values.set(name, value);
      const button = el(
        "button",
        { type: "button", "aria-pressed": "true", "data-series": name, title: style.about ?? null },
        swatch(style, `${chart}-${name}`), el("span", { class: "legend-name" }, style.label), value,
      );
      button.addEventListener("click", () => this.#toggle(name, button));
      node.append(button);
    }
  }

  #toggle(name, button) {
    const shown = this.hidden.has(name);
    if (shown) this.hidden.delete(name);
    else this.hidden.add(name);
    button.setAttribute("aria-pressed", String(shown));
    this.plot?.setSeries(this.names.indexOf(name) + 1, { show: shown });
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
    return rows === null ? [[], ...this.names.map(() => [])] : [rows.seconds, ...this.names.map((name) => this.drawn(name))];
  }

  /** A column as it is drawn. */
  drawn(name) {
    return this.column(name);
  }

  /** The legend's values: those under the cursor, else the newest. */
  showValues() {
    const at = this.plot?.cursor.idx ?? null;
    const count = this.rows?.length ?? 0;
    for (const name of this.names) {
      const column = count === 0 ? [] : this.column(name);
      const value = at === null ? (count === 0 ? null : (this.rows.lastOf(column).at(-1) ?? null)) : (column[at] ?? null);
      setText(this.values.get(name), this.write(value));
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
function swatch(style, name) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("class", "swatch");
  svg.setAttribute("aria-hidden", "true");
  svg.setAttribute("viewBox", "0 0 28 10");
  const line = document.createElementNS("http://www.w3.org/2000/svg", "path");
  line.setAttribute("d", "M1 5h26");
  line.setAttribute("class", `line-${name}`);
  line.setAttribute("stroke-width", String(style.width ?? 1.8));
  if (style.dash) line.setAttribute("stroke-dasharray", style.dash.join(" "));
  svg.append(line);
  if (style.sparse) {
    const dot = document.createElementNS("http://www.w3.org/2000/svg", "circle");
    for (const [key, value] of Object.entries({ cx: 14, cy: 5, r: 3, class: `dot-${name}` })) dot.setAttribute(key, value);
    svg.append(dot);
  }
  return svg;
}

export class RateChart extends Chart {
  constructor() {
    super("rate", RATE_STYLES);
  }

  options() {
    return {
      scales: { x: X_SCALE, y: { range: (_, min, max) => [0, Math.max(max ?? 0, 1) * 1.08] } },
      axes: axes((value) => (value >= 1e6 ? `${value / 1e6}M` : value >= 1e3 ? `${value / 1e3}k` : String(value))),
      series: [
        {},
        ...RATES.map((name) => ({
          show: !this.hidden.has(name),
          stroke: () => ink(`rate-${name}`),
          width: RATE_STYLES[name].width,
          dash: RATE_STYLES[name].dash,
          points: { show: false },
        })),
      ],
    };
  }

  column(name) {
    return this.rows.rates[name];
  }

  write(value) {
    return rate(value);
  }

  words() {
    const rows = this.rows;
    if (rows === null || rows.length === 0) return "No second measured yet.";
    const said = RATES.filter((name) => !this.hidden.has(name)).map((name) => {
      const values = rows.lastOf(rows.rates[name]);
      const mean = values.length === 0 ? null : values.reduce((sum, value) => sum + value, 0) / values.length;
      return `${RATE_STYLES[name].label} ${rate(mean)}`;
    });
    const { end } = rows;
    return `Mean of the last ${Math.min(10, end)} s, at ${clock((rows.seconds[end - 1] ?? -1) + 1)}: ${said.join(", ")}.`;
  }
}

export class LatencyChart extends Chart {
  constructor() {
    super("latency", LATENCY_STYLES);
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
        ...LATENCIES.map((name) => {
          const style = LATENCY_STYLES[name];
          return {
            show: !this.hidden.has(name),
            stroke: () => ink(`latency-${name}`),
            width: style.width ?? 1.8,
            dash: style.dash,
            spanGaps: style.sparse === true,
            points: style.sparse
              ? { show: (...where) => this.#pointsFit(...where), size: 6, fill: () => ink(`latency-${name}`) }
              : { size: 4 },
          };
        }),
      ],
    };
  }

  /** Points that would touch each other only blur the line. */
  #pointsFit(plot, series, from, to) {
    let points = 0;
    for (let at = from; at <= to; at += 1) if (plot.data[series][at] !== null) points += 1;
    return points * 10 < plot.bbox.width / devicePixelRatio;
  }

  column(name) {
    return this.rows.latencies[name][this.quantile];
  }

  drawn(name) {
    const column = this.column(name);
    return this.logarithmic ? column.map((ms) => (ms === null ? null : Math.max(ms, LOG_FLOOR_MS))) : column;
  }

  write(value) {
    return value === null ? NONE : `${millis(value)} ms`;
  }

  words() {
    const rows = this.rows;
    if (rows === null || rows.length === 0) return "No latency measured yet.";
    const name = { p50_ms: "p50", p99_ms: "p99", max_ms: "maximum" }[this.quantile];
    const shown = LATENCIES.filter((latency) => !this.hidden.has(latency));
    const said = shown.map((latency) => {
      const values = rows.lastOf(rows.latencies[latency][this.quantile]);
      const worst = values.length === 0 ? null : Math.max(...values);
      return `${LATENCY_STYLES[latency].label} ${worst === null ? NONE : `${millis(worst)} ms`}`;
    });
    const below = (name) => rows.latencies[name][this.quantile].some((ms) => ms !== null && ms < LOG_FLOOR_MS);
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
  const head = ["Second", ...RATES.map((name) => `${RATE_STYLES[name].label} /s`)];
  head.push(...LATENCIES.map((name) => `${LATENCY_STYLES[name].label} ms`));
  const lines = [];
  for (let at = (rows?.length ?? 0) - 1; at >= 0 && lines.length < 10; at -= 1) {
    lines.push([
      clock(rows.seconds[at]),
      ...RATES.map((name) => rate(rows.rates[name][at]).replace("/s", "")),
      ...LATENCIES.map((name) => millis(rows.latencies[name][quantile][at])),
    ]);
  }
  const header = el("thead", {}, el("tr", {}, head.map((text) => el("th", { scope: "col" }, text))));
  const cells = ([first, ...rest]) => [el("th", { scope: "row" }, first), rest.map((text) => el("td", {}, text))];
  table.className = "numbers";
  table.replaceChildren(header, el("tbody", {}, lines.map((line) => el("tr", {}, ...cells(line)))));
}
