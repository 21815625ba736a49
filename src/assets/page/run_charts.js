// The live page's charts over a run's seconds, and what they show in words.

import { announce, byId, el, setText } from "./dom.js";
import { clock, timeOfDay } from "./format.js";
import { LATENCIES } from "./measures.js";
import { KEPT_SECONDS } from "./rows.js";

/** A chart's summary changes no faster: a screen reader may be reading it. */
const SUMMARY_MS = 10_000;
/** A logarithmic axis has no place for 0: it is drawn at this, in milliseconds, and the note says so. */
const LOG_FLOOR_MS = 0.01;
/** The charts' cursors move together. */
const SYNC = "run";

const SUMMARIES = {
  mean: ["Mean", (values) => values.reduce((sum, value) => sum + value, 0) / values.length],
  greatest: ["Greatest", (values) => Math.max(...values)],
};

/** The charts: zoomed, and shown whole again, together. */
const charts = [];

/** A chart's panel, made from its description; what only this chart has is in templates of `index.html`. */
function panelOf({ name, title, unit }) {
  const part = (which) => byId(`${name}-${which}`)?.content.cloneNode(true);
  return el(
    "section", { class: "panel", "aria-labelledby": `${name}-title` },
    el("div", { class: "panel-head" },
      el("h2", { id: `${name}-title` }, `${title} `, el("span", { class: "unit" }, unit)),
      el("div", { class: "tools" }, part("tools"), el("button", { type: "button", class: "quiet unzoom", hidden: true }, "Show all"))),
    el("div"),
    el("p", { class: "note", id: `${name}-summary` }),
    part("foot"),
  );
}

/** A description's chart of the present run: its panel, its rows, its summary. */
class RunChart extends Charts.Chart {
  #later = null;
  #summarised = Number.NEGATIVE_INFINITY;

  constructor(description) {
    const { name, title } = description;
    const panel = panelOf(description);
    byId("run-charts").append(panel);
    super(panel.querySelector(":scope > div:not([class])"), description, { text: `${title} over time`, sync: SYNC, floor: LOG_FLOOR_MS });
    this.rows = null;
    this.legend.id = `${name}-legend`;
    this.image.id = `${name}-chart`;
    this.image.setAttribute("aria-describedby", `${name}-summary`);
    this.image.dataset.points = "0";
    this.summary = panel.querySelector(`#${name}-summary`);
    this.unzoom = panel.querySelector(".unzoom");
    this.unzoom.addEventListener("click", () => {
      this.wholeAgain();
      this.legend.querySelector("button").focus();
    });
    charts.push(this);
  }

  draw(rows) {
    if (rows !== this.rows) {
      this.rows = rows;
      this.zoomed = false;
      this.changed();
    }
    this.show(this.measured());
    this.image.dataset.points = String(rows?.length ?? 0);
    this.describe();
  }

  measured() {
    const { rows } = this;
    return [rows?.seconds ?? [], ...this.lines.map((line) => (rows === null ? [] : this.column(line)))];
  }

  column({ key }) {
    return this.rows.numbers[key];
  }

  /** The newest of the schedule's last seconds. */
  atRest(column) {
    return this.rows?.lastOf(column).at(-1) ?? null;
  }

  wholeAgain() {
    for (const chart of charts) {
      chart.zoomed = false;
      chart.changed();
      chart.draw(chart.rows);
    }
  }

  say(text) {
    announce(text);
  }

  changed() {
    this.unzoom.hidden = !this.zoomed;
    this.settle();
  }

  showValues() {
    super.showValues();
    const at = this.plot?.cursor.idx ?? null;
    const second = at === null ? null : (this.rows?.seconds[at] ?? null);
    this.image.title = second === null ? "" : `at ${clock(second)} (${timeOfDay(this.rows.startMs[at])})`;
  }

  describe() {
    const wait = this.#summarised + SUMMARY_MS - performance.now();
    if (wait > 0) {
      // The last words must be of the last seconds, though nothing may come after them.
      this.#later ??= setTimeout(() => this.settle(), wait);
      return;
    }
    clearTimeout(this.#later);
    this.#later = null;
    // What says that nothing is there yet need not stand for long.
    if (this.rows?.length > 0) this.#summarised = performance.now();
    setText(this.summary, this.words());
  }

  /** Nothing more will come, or something else is shown: the words are of now. */
  settle() {
    this.#summarised = Number.NEGATIVE_INFINITY;
    this.describe();
  }

  /** The lines that are shown. */
  shown() {
    return this.lines.filter((line) => !this.hidden.has(line));
  }

  summaryName() {
    return SUMMARIES[this.description.summary][0];
  }

  words() {
    const { rows } = this;
    if (rows === null || rows.length === 0) return "No second measured yet.";
    const [, sum] = SUMMARIES[this.description.summary];
    const said = this.shown().map((line) => {
      const values = rows.lastOf(this.column(line));
      return `${line.label} ${this.written(values.length === 0 ? null : sum(values))}`;
    });
    const { end } = rows;
    const at = clock((rows.seconds[end - 1] ?? -1) + 1);
    return `${this.summaryName()} of the last ${Math.min(10, end)} s, at ${at}: ${said.join(", ")}.`;
  }
}

export class LatencyChart extends RunChart {
  constructor() {
    super(Charts.latencyChart(LATENCIES));
    this.quantile = "p99_ms";
  }

  /** Shows another quantile, or the other scale. */
  change({ quantile = this.quantile, logarithmic = this.logarithmic }) {
    this.quantile = quantile;
    this.columns = this.measured();
    this.scale(logarithmic);
    this.settle();
  }

  column({ key }) {
    return this.rows.latencies[key][this.quantile];
  }

  summaryName() {
    return `Worst ${{ p50_ms: "p50", p99_ms: "p99", max_ms: "maximum" }[this.quantile]}`;
  }

  words() {
    const isBelow = (line) => this.column(line).some((ms) => ms !== null && ms < LOG_FLOOR_MS);
    const floored = this.rows !== null && this.logarithmic && this.shown().some(isBelow);
    return super.words() + (floored ? ` What is under ${LOG_FLOOR_MS} ms is drawn there.` : "");
  }
}

/** The charts of every line that a second has, the latencies last. */
export function runCharts() {
  const live = Charts.OVER_SECONDS.filter((description) => description.isLive);
  return [...live.map((description) => new RunChart(description)), new LatencyChart()];
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
export function fillSeconds(table, rows) {
  const columns = charts.flatMap((chart) => chart.lines.map((line) => [chart, line, Charts.VALUES[chart.description.y]]));
  const head = ["Second", ...columns.map(([, line, { unit }]) => `${line.label} ${unit.trim()}`)];
  const lines = [];
  for (let at = (rows?.length ?? 0) - 1; at >= 0 && lines.length < 10; at -= 1) {
    lines.push([clock(rows.seconds[at]), ...columns.map(([chart, line, { number }]) => number(chart.column(line)[at]))]);
  }
  const header = el("thead", {}, el("tr", {}, head.map((text) => el("th", { scope: "col" }, text))));
  const cells = ([first, ...rest]) => [el("th", { scope: "row" }, first), rest.map((text) => el("td", {}, text))];
  table.className = "numbers";
  table.replaceChildren(header, el("tbody", {}, lines.map((line) => el("tr", {}, ...cells(line)))));
}
