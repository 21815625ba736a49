// The charts of the live page and of reports: what they show, how it looks, how it is read, and its drawing by uPlot.
//
// A chart's description: { name, title, unit, y, lines, x?, summary?, isLive? }
//   y: what its values are (`VALUES`); x: "seconds" of the run (so where nothing is said) or "percentiles"
//   summary: how the live page sums up the last seconds; isLive: whether it is there at all, not in reports only
// A line's description: { key, label, about?, colour, width, dash, joined?, points? }
//   key: its column, in a second of a run and in a report's data; joined: samples come now and then, gaps mean nothing
const Charts = (() => {
  "use strict";

  // Every text and line meets AA on its ground. Lines of the same chart differ in their dashes too, since no eight colours
  // can be told apart by everybody.
  const PALETTES = {
    light: {
      lines: ["#5b6770", "#0b6fb3", "#0f766e", "#8a5300", "#b3201f", "#7a3ca8", "#182127", "#667700"],
      layers: ["#8fc1e3", "#0b6fb3", "#c2410c", "#39444c"],
      text: "#182127", muted: "#52616b", grid: "#e3e8ec", wrong: "#b3201f", shade: "rgba(85, 97, 109, .12)",
    },
    dark: {
      lines: ["#a3b1bb", "#6fbdf5", "#4fd1c1", "#f0b95a", "#ff8f87", "#d3a3f5", "#f4f7f9", "#b5d334"],
      layers: ["#2f6a94", "#6fbdf5", "#ff9d5c", "#d5dde2"],
      text: "#e4eaee", muted: "#a3b1bb", grid: "#27323a", wrong: "#ff8f87", shade: "rgba(163, 176, 188, .14)",
    },
  };
  const DASHES = [[2, 3], [8, 3], [], [8, 3, 2, 3], [], [4, 3], [14, 4], [12, 3, 2, 3, 2, 3]];
  // Lines that lie on each other stay visible: those drawn first are wider.
  const LAYER_WIDTHS = [7, 3.5, 1.5, 1.5];
  const FONT = "12px system-ui, sans-serif";
  const HEIGHT = 230;
  const LEAST_WIDTH = 200;

  const dark = matchMedia("(prefers-color-scheme: dark)");
  let palette = PALETTES.light;
  /** A colour that follows the scheme. */
  const colour = (name) => () => palette[name];

  // Lines

  /** Lines of latencies (as the program tells of them), by their places in its table. */
  const latencyLines = (latencies) =>
    latencies.map(({ name, label, from, to, of_windows: joined, headline }, at) => ({
      key: name,
      label,
      about: `${from} → ${to}${headline ? ": the headline" : ""}`,
      colour: () => palette.lines[at % palette.lines.length],
      width: headline ? 2.5 : 1.8,
      dash: DASHES[at % DASHES.length],
      joined,
      points: "few",
    }));
  /** Up to four lines that lie on each other. */
  const onEachOther = (...lines) =>
    lines.map((line, at) => ({ colour: () => palette.layers[at], width: LAYER_WIDTHS[at], dash: [], ...line }));
  /** Two lines beside each other. */
  const two = (...lines) =>
    lines.map((line, at) => ({ colour: () => palette.layers[at + 1], width: 2, dash: at === 0 ? [] : [9, 5], ...line }));
  /** Spots without a line. */
  const spots = (line) => ({ colour: colour("wrong"), width: 0, dash: [], points: "spots", ...line });

  // Charts over a run's seconds

  const OVER_SECONDS = [
    {
      name: "rate", title: "Rate", unit: "events/s", y: "rate", summary: "mean", isLive: true,
      lines: onEachOther(
        { key: "produced", label: "produced" },
        { key: "acknowledged", label: "acknowledged" },
        { key: "consumed", label: "consumed" },
        { key: "target", label: "target", dash: [7, 5] },
      ),
    },
    {
      name: "behind", title: "Behind schedule", unit: "ms, the least in each second", y: "ms", summary: "greatest", isLive: true,
      lines: two({ key: "behind_ms", label: "behind", about: "now − the least event time read" }),
    },
    {
      name: "backlog", title: "Backlog", unit: "events, at each second’s end", y: "count", summary: "greatest", isLive: true,
      lines: onEachOther(
        { key: "unread", label: "unread", about: "acknowledged, and not read" },
        { key: "unacknowledged", label: "unacknowledged", about: "handed to the client" },
        { key: "unsent", label: "unsent", about: "due, and not handed to the client" },
      ),
    },
  ];
  const latencyChart = (latencies) => ({
    name: "latency", title: "Latency", unit: "ms, each second’s own", y: "ms", summary: "greatest", isLive: true,
    lines: latencyLines(latencies),
  });

  // Numbers and times: what was not measured is a dash, never 0

  const NONE = "–";
  const known = (value) => typeof value === "number" && Number.isFinite(value);
  const fixed = [0, 1, 2].map(
    (digits) => new Intl.NumberFormat("en-GB", { minimumFractionDigits: digits, maximumFractionDigits: digits }),
  );
  const twoDigits = new Intl.NumberFormat("en-GB", { maximumSignificantDigits: 2 });
  const threeDigits = new Intl.NumberFormat("en-GB", { maximumSignificantDigits: 3 });

  /** A count: `2,400,000`. */
  const count = (n) => (known(n) ? fixed[0].format(n) : NONE);
  /** Milliseconds to two decimals or three digits, without the unit: `0.05`, `12.3`, `1,234`. */
  const millis = (ms) => {
    if (!known(ms)) return NONE;
    const size = Math.abs(ms);
    return fixed[size < 9.995 ? 2 : size < 99.95 ? 1 : 0].format(ms);
  };
  /** Milliseconds of which the smallest keep two digits: `0.0051`. */
  const fineMillis = (ms) => (known(ms) && ms !== 0 && Math.abs(ms) < 0.1 ? twoDigits.format(ms) : millis(ms));
  /** Events per second, without the unit: `40,000`. */
  const perSecond = (n) => (known(n) && n < 10 && !Number.isInteger(n) ? fixed[2].format(n) : count(n));
  /** Seconds as on a stop watch: `0:07`, `12:34`, `1:02:03`. */
  const clock = (seconds) => {
    const s = Math.abs(Math.round(seconds));
    const two = (n) => String(n).padStart(2, "0");
    const [h, m] = [Math.floor(s / 3600), Math.floor((s % 3600) / 60)];
    return `${seconds < 0 ? "−" : ""}${h > 0 ? `${h}:${two(m)}` : m}:${two(s % 60)}`;
  };
  /** A percentile of which 1 in `x` is beyond. */
  const percentile = (x) => `${(100 - 100 / x).toFixed(Math.max(0, Math.ceil(Math.log10(x)) - 2)).replace(/\.0+$/, "")} %`;

  /** What values are: how they are written, and their unit as it follows them. */
  const VALUES = {
    rate: { number: perSecond, unit: "/s" },
    count: { number: count, unit: "" },
    ms: { number: fineMillis, unit: " ms" },
  };
  const written = (y, value) => (known(value) ? VALUES[y].number(value) + VALUES[y].unit : NONE);

  // Axes and scales

  const axis = (more) => ({
    stroke: colour("muted"),
    font: FONT,
    grid: { stroke: colour("grid"), width: 1 },
    ticks: { stroke: colour("grid"), width: 1, size: 4 },
    ...more,
  });
  /** A run of a few seconds is not stretched over the whole width. */
  const LEAST_SPAN_S = 10;
  function secondsRange(plot, min, max) {
    if (min === null || max === null) return [0, LEAST_SPAN_S];
    const [seconds] = plot.data;
    return seconds.length <= LEAST_SPAN_S && min === seconds[0] ? [min, Math.max(max, min + LEAST_SPAN_S)] : [min, max];
  }
  const SECONDS_STEPS = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 28800, 86400];
  const X = {
    seconds: {
      label: "time", written: clock, zooms: true, rightPadding: 16,
      scale: { time: false, range: secondsRange },
      axis: { incrs: SECONDS_STEPS, space: 60, size: 26, values: (_, splits) => splits.map(clock) },
    },
    percentiles: {
      label: "percentile", written: percentile, zooms: false, rightPadding: 28,
      scale: { time: false, distr: 3, range: (_, min, max) => [1, Math.max(10, max)] },
      axis: { splits: (_, i, min, max) => decades(1, max), space: 30, size: 26, values: (_, splits) => splits.map(percentile) },
    },
  };

  const WHOLE_STEPS = [...Array(16).keys()].flatMap((power) => [1, 2, 5].map((digit) => digit * 10 ** power));
  const short = (n) => {
    const [unit, name] = n >= 1e9 ? [1e9, "G"] : n >= 1e6 ? [1e6, "M"] : n >= 1e3 ? [1e3, "k"] : [1, ""];
    return threeDigits.format(n / unit) + name;
  };
  const valuesBy = (write) => (_, splits) => splits.map((value) => (value === null ? "" : write(value)));
  const Y_SIZE = 62;
  const COUNTS_AXIS = { size: Y_SIZE, incrs: WHOLE_STEPS, values: valuesBy(short) };
  const MS_AXIS = { size: Y_SIZE, values: valuesBy((ms) => threeDigits.format(ms)) };
  const LOG_MS_AXIS = { ...MS_AXIS, splits: (_, i, min, max) => decades(min, max) };

  const LINEAR = { range: (_, min, max) => [0, max > 0 ? max * 1.08 : 1] };
  /** Where a logarithmic axis begins if there is nothing but zeros. */
  const LEAST_MS = 0.001;
  /** Whole powers of ten, at least one apart. */
  const LOGARITHMIC = {
    distr: 3,
    range: (_, min, max) => {
      const low = Math.floor(Math.log10(min || LEAST_MS) + 1e-9);
      const high = Math.ceil(Math.log10(max || 1) - 1e-9);
      return [10 ** low, 10 ** Math.max(high, low + 1)];
    },
  };
  function decades(min, max) {
    const splits = [];
    for (let power = Math.round(Math.log10(min)); power <= Math.log10(max) + 1e-9; power += 1) splits.push(10 ** power);
    return splits;
  }
  /** The foot of a logarithmic axis. */
  function footOf(columns) {
    let least = Number.POSITIVE_INFINITY;
    for (const column of columns) for (const value of column) if (value > 0 && value < least) least = value;
    return Number.isFinite(least) ? 10 ** Math.floor(Math.log10(least) + 1e-9) : LEAST_MS;
  }

  // Elements

  function filled(node, attributes, children) {
    for (const [key, value] of Object.entries(attributes)) {
      if (value === null || value === undefined || value === false) continue;
      if (key.startsWith("on")) node.addEventListener(key.slice(2), value);
      else node.setAttribute(key, value === true ? "" : value);
    }
    node.append(...children.flat().filter((child) => child !== null && child !== undefined));
    return node;
  }
  /** An element with attributes (`on…`: listeners; `false` and `null`: left out) and children (nodes or text). */
  const el = (name, attributes = {}, ...children) => filled(document.createElement(name), attributes, children);
  const svg = (name, attributes, ...children) =>
    filled(document.createElementNS("http://www.w3.org/2000/svg", name), attributes, children);

  /** A piece of the line itself. */
  function swatch(line) {
    const path = svg("path", { d: "M1 5h26", "stroke-width": line.width, "stroke-dasharray": line.dash.join(" ") });
    const dot = line.joined || line.points === "spots" ? svg("circle", { cx: 14, cy: 5, r: 3 }) : null;
    return svg("svg", { class: "swatch", "aria-hidden": "true", viewBox: "0 0 28 10" }, path, dot);
  }

  /** Points that would touch each other only blur the line. */
  function pointsFit(plot, series, from, to) {
    let points = 0;
    for (let at = from; at <= to; at += 1) if (plot.data[series][at] != null) points += 1;
    return points * 10 < plot.bbox.width / devicePixelRatio;
  }
  function pointsOf(line) {
    if (line.points === "spots") return { show: true, size: 12, width: 2, stroke: colour("text"), fill: line.colour };
    if (line.joined) return { show: pointsFit, size: 6, fill: line.colour };
    return line.points === "few" ? { size: 4 } : { show: false };
  }

  /** All charts of this document. */
  const charts = new Set();

  /** A chart in an empty element: its legend, its drawing, and what is read of it. */
  class Chart {
    /** `text`: what it is, in words; `sync`: the key of those whose cursors move together. */
    constructor(place, description, { text, height = HEIGHT, sync = null, floor = null } = {}) {
      this.description = description;
      this.lines = description.lines;
      this.x = X[description.x ?? "seconds"];
      this.settings = { height, sync, floor };
      this.logarithmic = description.y === "ms";
      this.hidden = new Set();
      this.zoomed = false;
      this.plot = null;
      /** As measured: x, then a column per line. */
      this.columns = [[], ...this.lines.map(() => [])];
      this.legend = el("div", { class: "legend", role: "group", "aria-label": `Lines of: ${description.title}` });
      this.image = el("div", { class: "chart", role: "img", tabindex: "0", "aria-label": text });
      this.image.style.minHeight = `${height}px`;
      place.replaceChildren(this.legend, this.image);
      this.#makeLegend();
      this.#makeReadable();
      this.colourSwatches();
      // In the next frame, lest the change be observed while it is told of.
      new ResizeObserver(() => requestAnimationFrame(() => this.#fit())).observe(this.image);
      charts.add(this);
    }

    // What a page may do otherwise.

    /** What the legend says of a line while nothing is pointed at. */
    atRest() {
      return null;
    }

    /** The lines shown, or the part shown, are others. */
    changed() {}

    /** Everything is shown again, after a double click. */
    wholeAgain() {
      this.zoomed = false;
      this.changed();
    }

    /** Says to those who hear what the keys have led to. */
    say() {}

    /** Drawn before the lines. */
    drawBelow() {}

    #makeLegend() {
      this.entries = this.lines.map((line) => {
        const value = el("span", { class: "legend-value" }, NONE);
        const drawn = swatch(line);
        const button = el(
          "button",
          { type: "button", "aria-pressed": "true", "data-series": line.key, title: line.about, onclick: () => this.#toggle(line, button) },
          drawn, el("span", { class: "legend-name" }, line.label), value,
        );
        this.legend.append(button);
        return { line, value, swatch: drawn };
      });
    }

    #toggle(line, button) {
      const shown = this.hidden.has(line);
      if (shown) this.hidden.delete(line);
      else this.hidden.add(line);
      button.setAttribute("aria-pressed", String(shown));
      this.plot?.setSeries(this.lines.indexOf(line) + 1, { show: shown });
      this.changed();
    }

    /** The arrow keys read it, value by value. */
    #makeReadable() {
      let at = -1;
      this.image.addEventListener("keydown", (event) => {
        const last = this.columns[0].length - 1;
        const to = { ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: last }[event.key];
        if (to === undefined || last < 0) return;
        event.preventDefault();
        at = Math.min(Math.max(to, 0), last);
        const [x, ...columns] = this.columns;
        const top = this.plot.bbox.height / 2 / devicePixelRatio;
        this.plot.setCursor({ left: this.plot.valToPos(x[at], "x"), top });
        const said = this.lines.map((line, i) => `${line.label} ${this.written(columns[i][at])}`);
        this.say([`${this.x.label} ${this.x.written(x[at])}`, ...said].join(", "));
      });
    }

    written(value) {
      return written(this.description.y, value);
    }

    colourSwatches() {
      for (const { line, swatch: drawn } of this.entries) drawn.style.color = line.colour();
    }

    #size() {
      return { width: Math.max(this.image.clientWidth, LEAST_WIDTH), height: this.settings.height };
    }

    #fit() {
      const size = this.#size();
      if (this.plot !== null && this.image.clientWidth > 0 && size.width !== this.plot.width) this.plot.setSize(size);
    }

    /** Shows columns: x, then one per line. What is zoomed stays so. */
    show(columns) {
      this.columns = columns;
      if (this.plot === null) this.#build();
      else {
        this.plot.setData(this.#drawn(), !this.zoomed);
        if (this.zoomed) this.plot.redraw();
      }
      this.showValues();
    }

    /** Shows it on the other scale. */
    scale(logarithmic) {
      this.logarithmic = logarithmic;
      if (this.plot === null) return;
      const { min, max } = this.plot.scales.x;
      // Scales and series are fixed once made.
      this.#build();
      if (this.zoomed) this.plot.setScale("x", { min, max });
      this.showValues();
    }

    /** A logarithm has no zero: such values stand at the foot of the axis, and are read as what they are. */
    #drawn() {
      const [x, ...columns] = this.columns;
      if (this.description.y !== "ms" || !this.logarithmic) return this.columns;
      const foot = this.settings.floor ?? footOf(columns);
      return [x, ...columns.map((column) => column.map((ms) => (ms == null ? null : Math.max(ms, foot))))];
    }

    #build() {
      this.plot?.destroy();
      const { x, description, settings } = this;
      const isMs = description.y === "ms";
      const yAxis = isMs ? (this.logarithmic ? LOG_MS_AXIS : MS_AXIS) : COUNTS_AXIS;
      this.plot = new uPlot(
        {
          ...this.#size(),
          legend: { show: false },
          cursor: {
            drag: { x: x.zooms, y: false, setScale: x.zooms },
            ...(settings.sync === null ? {} : { sync: { key: settings.sync } }),
          },
          padding: [10, x.rightPadding, 0, 0],
          scales: { x: x.scale, y: isMs && this.logarithmic ? LOGARITHMIC : LINEAR },
          axes: [axis(x.axis), axis(yAxis)],
          series: [{}, ...this.lines.map((line) => this.#series(line))],
          hooks: {
            setCursor: [() => this.showValues()],
            setSelect: [(plot) => this.#selected(plot)],
            drawClear: [(plot) => this.drawBelow(plot)],
          },
        },
        this.#drawn(),
        this.image,
      );
      // A double click resets uPlot's zoom: what is known of it follows.
      this.plot.over.addEventListener("dblclick", () => this.wholeAgain());
    }

    #series(line) {
      return {
        show: !this.hidden.has(line),
        stroke: line.colour,
        width: line.width,
        dash: line.dash,
        spanGaps: line.joined === true,
        points: pointsOf(line),
      };
    }

    #selected(plot) {
      if (plot.select.width === 0 || !this.x.zooms) return;
      this.zoomed = true;
      this.changed();
    }

    /** The legend's values: those pointed at, else those at rest. */
    showValues() {
      const at = this.plot?.cursor.idx ?? null;
      this.entries.forEach(({ value }, i) => {
        const column = this.columns[i + 1];
        const text = this.written(at === null ? this.atRest(column) : column[at]);
        if (value.textContent !== text) value.textContent = text;
      });
    }
  }

  /** Takes the colours of the present scheme; on paper the light ones. */
  function recolour({ printed = false } = {}) {
    palette = PALETTES[dark.matches && !printed ? "dark" : "light"];
    for (const chart of charts) {
      chart.colourSwatches();
      chart.plot?.redraw(false, true);
    }
  }
  dark.addEventListener("change", () => recolour());
  recolour();

  return {
    Chart, OVER_SECONDS, VALUES, latencyChart, two, spots, colour, recolour,
    NONE, clock, count, fixed, known, millis, written, el, svg,
  };
})();
