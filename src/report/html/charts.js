// The charts of a report: uPlot over the data of <script id="data">. Without script the tables hold all that matters.
"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const logarithmic = document.getElementById("logarithmic");
  // Okabe and Ito's colours, which the colour-blind can tell apart; every line has a dash of its own besides.
  const PALETTES = {
    light: { ink: "#17202a", grid: "#e2e7ec", shade: "rgba(85, 97, 109, .12)", lines: ["#0072b2", "#b34700", "#00755a", "#17202a"], wrong: "#b3261e" },
    dark: { ink: "#e6ebf0", grid: "#2b353f", shade: "rgba(163, 176, 188, .14)", lines: ["#56b4e9", "#f0a35e", "#3fc79a", "#e6ebf0"], wrong: "#ff8a80" },
  };
  const LINES = { solid: [], dashed: [9, 5], dotted: [2, 4] };
  // Where a logarithmic axis begins if there is nothing but zeros.
  const LEAST_MS = 0.001;

  let palette = PALETTES.light;
  let charts = [];
  let observers = [];

  const grouped = new Intl.NumberFormat("en-US", { maximumFractionDigits: 0 });
  const digits = new Intl.NumberFormat("en-US", { maximumSignificantDigits: 3 });
  const short = new Intl.NumberFormat("en-US", { notation: "compact", maximumSignificantDigits: 3 });
  const count = (value) => (value == null ? "–" : grouped.format(value));
  const ms = (value) => (value == null ? "–" : digits.format(value) + " ms");
  const clock = (s) => {
    const whole = Math.abs(Math.round(s));
    const two = (n) => String(n).padStart(2, "0");
    const text = whole < 3600 ? `${Math.floor(whole / 60)}:${two(whole % 60)}` : `${Math.floor(whole / 3600)}:${two(Math.floor(whole / 60) % 60)}:${two(whole % 60)}`;
    return (s < 0 ? "-" : "") + text;
  };
  const percentile = (x) => {
    const percent = 100 - 100 / x;
    return percent.toFixed(Math.max(0, Math.ceil(Math.log10(x)) - 2)).replace(/\.0+$/, "") + " %";
  };

  const axis = (more) => ({ stroke: palette.ink, grid: { stroke: palette.grid, width: 1 }, ticks: { stroke: palette.grid, width: 1 }, font: "12px system-ui, sans-serif", ...more });
  const line = (label, at, style, value, more) => ({ label, stroke: palette.lines[at], width: 2, dash: LINES[style], style, value: (u, v, i, row) => value(row == null ? null : u.raw[i][row]), points: { show: false }, ...more });
  const fromZero = (u, min, max) => [0, max > 0 ? max * 1.08 : 1];

  // Warm-up: shaded, since it stays out of the figures.
  const shadeWarmup = (u) => {
    if (!(data.warmup_s > 0) || u.scales.x.min >= data.warmup_s) return;
    const right = Math.min(u.valToPos(data.warmup_s, "x", true), u.bbox.left + u.bbox.width);
    u.ctx.fillStyle = palette.shade;
    u.ctx.fillRect(u.bbox.left, u.bbox.top, Math.max(0, right - u.bbox.left), u.bbox.height);
  };

  const time = () => axis({ values: (u, splits) => splits.map(clock), space: 60, incrs: [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1200, 1800, 3600, 7200, 14400, 28800, 86400] });
  const latencyScale = () => (logarithmic.checked ? { distr: 3, range: (u, min, max) => logRange(min, max) } : { range: fromZero });
  const latencyAxis = () => axis({ size: 64, values: (u, splits) => splits.map((v) => (v == null ? null : digits.format(v))), ...(logarithmic.checked ? { splits: (u, i, min, max) => decades(min, max) } : {}) });
  // Whole powers of ten, at least one apart.
  function logRange(min, max) {
    const low = Math.floor(Math.log10(min || LEAST_MS) + 1e-9);
    const high = Math.ceil(Math.log10(max || 1) - 1e-9);
    return [10 ** low, 10 ** Math.max(high, low + 1)];
  }
  function decades(min, max) {
    const splits = [];
    for (let power = Math.round(Math.log10(min)); power <= Math.log10(max) + 1e-9; power++) splits.push(10 ** power);
    return splits;
  }
  // A logarithm has no zero: such values stand at the foot of the axis, and are read as what they are.
  function drawable(columns) {
    if (!logarithmic.checked) return columns;
    const least = columns.flat().reduce((low, v) => (v > 0 && v < low ? v : low), Infinity);
    const foot = Number.isFinite(least) ? 10 ** Math.floor(Math.log10(least) + 1e-9) : LEAST_MS;
    return columns.map((values) => values.map((v) => (v == null ? null : Math.max(v, foot))));
  }

  const seconds = { label: "time", value: (u, v) => (v == null ? "–" : clock(v)) };
  const WHOLE = [...Array(16).keys()].flatMap((power) => [1, 2, 5].map((digit) => digit * 10 ** power));
  const counts = () => axis({ size: 64, incrs: WHOLE, values: (u, splits) => splits.map((v) => short.format(v)) });

  // What each chart shows: series, scales and axes by the element's `data-chart`.
  const KINDS = {
    rate: () => ({
      data: [data.seconds, data.target, data.produced, data.acknowledged, data.consumed],
      series: [seconds, line("target", 3, "dashed", count), line("produced", 0, "solid", count, { width: 3 }), line("acknowledged", 1, "dashed", count), line("consumed", 2, "dotted", count, { width: 3 })],
      scales: { x: { time: false }, y: { range: fromZero } },
      axes: [time(), counts()],
      shaded: true,
    }),
    queues: () => ({
      data: [data.seconds, data.lag, data.in_flight],
      series: [seconds, line("consumer lag", 0, "solid", count), line("in flight", 1, "dashed", count)],
      scales: { x: { time: false }, y: { range: fromZero } },
      axes: [time(), counts()],
      shaded: true,
    }),
    windows: () => ({
      data: [data.windows.start, data.windows.avg, data.windows.max, ...(anyWrong() ? [data.windows.wrong] : [])],
      isLatency: true,
      series: [
        { label: "window starts", value: seconds.value },
        line("mean", 0, "solid", ms, { spanGaps: true, ...dots(data.windows.avg) }),
        line("greatest", 1, "dashed", ms, { spanGaps: true, ...dots(data.windows.max) }),
        ...(anyWrong() ? [line("wrong counts", 1, "solid", ms, { stroke: palette.wrong, width: 0, points: { show: true, size: 12, width: 2, stroke: palette.ink, fill: palette.wrong } })] : []),
      ],
      scales: { x: { time: false }, y: latencyScale() },
      axes: [time(), latencyAxis()],
      shaded: true,
    }),
    latency: (kind) => ({
      data: [data.seconds, data.latency[kind].p50, data.latency[kind].p99],
      isLatency: true,
      series: [seconds, line("p50", 0, "dashed", ms, sparse(kind)), line("p99", 1, "solid", ms, sparse(kind))],
      scales: { x: { time: false }, y: latencyScale() },
      axes: [time(), latencyAxis()],
      shaded: true,
    }),
    distribution: (kind) => ({
      data: [data.distribution[kind].at, data.distribution[kind].ms],
      isLatency: true,
      series: [{ label: "percentile", value: (u, v) => (v == null ? "–" : percentile(v)) }, line("at most", 0, "solid", ms)],
      scales: { x: { time: false, distr: 3, range: (u, min, max) => [1, Math.max(10, max)] }, y: latencyScale() },
      axes: [axis({ splits: (u, i, min, max) => decades(1, max), values: (u, splits) => splits.map(percentile), space: 30 }), latencyAxis()],
    }),
  };
  const anyWrong = () => data.windows.wrong.some((v) => v != null);
  // Few samples are dots, lest one between two gaps be invisible; many would hide the line.
  function dots(values) {
    const present = values.reduce((n, v) => n + (v != null), 0);
    return present <= 200 ? { points: { show: true, size: 5 } } : {};
  }
  // Windows close once in a while: their samples are joined.
  function sparse(kind) {
    const { of_windows: joined, p50: values } = data.latency[kind];
    if (joined) return { spanGaps: true, ...dots(values) };
    return values.length < 3 ? dots(values) : {};
  }

  function draw(place) {
    const [name, kind] = place.dataset.chart.split(":");
    const made = KINDS[name](kind);
    const [at, ...columns] = made.data;
    const size = () => ({ width: Math.max(200, place.clientWidth), height: place.closest(".wide") ? 300 : 230 });
    place.replaceChildren();
    const u = new uPlot(
      {
        ...size(),
        series: made.series,
        scales: made.scales,
        axes: made.axes,
        legend: { markers: { width: 3, dash: (u, i) => u.series[i].style ?? "solid" } },
        cursor: { drag: { x: name !== "distribution", y: false } },
        // What the legend reads: uPlot itself knows only what is drawn.
        hooks: { init: [(u) => { u.raw = made.data; }], drawClear: made.shaded ? [shadeWarmup] : [], setSeries: [pressed] },
      },
      [at, ...(made.isLatency ? drawable(columns) : columns)],
      place,
    );
    makeAccessible(u, place);
    const resize = () => { const next = size(); if (next.width !== u.width) u.setSize(next); };
    // In the next frame, lest the change be observed while it is told of.
    const observer = new ResizeObserver(() => requestAnimationFrame(resize));
    observer.observe(place);
    observers.push(observer);
    return u;
  }

  // The drawing is one image with a text; arrow keys read it value by value, and the legend is a row of buttons.
  function makeAccessible(u, place) {
    const image = u.root.querySelector(".u-wrap");
    image.setAttribute("role", "img");
    image.setAttribute("aria-label", place.dataset.text);
    image.tabIndex = 0;
    const spoken = document.createElement("p");
    spoken.className = "hidden";
    spoken.setAttribute("aria-live", "polite");
    place.append(spoken);
    let at = -1;
    image.addEventListener("keydown", (event) => {
      const last = u.data[0].length - 1;
      const to = { ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: last }[event.key];
      if (to === undefined) return;
      event.preventDefault();
      at = Math.min(Math.max(to, 0), last);
      u.setCursor({ left: u.valToPos(u.data[0][at], "x"), top: u.bbox.height / 2 / devicePixelRatio });
      spoken.textContent = u.series.map((series, i) => `${series.label} ${series.value(u, u.data[i][at], i, at)}`).join(", ");
    });
    u.root.querySelectorAll(".u-legend .u-series").forEach((row, i) => {
      const name = row.querySelector("th");
      if (i === 0 || !name) return;
      name.tabIndex = 0;
      name.setAttribute("role", "button");
      name.setAttribute("aria-pressed", "true");
      name.addEventListener("keydown", (event) => {
        if (event.key !== "Enter" && event.key !== " ") return;
        event.preventDefault();
        name.click();
      });
    });
  }
  function pressed(u) {
    u.root.querySelectorAll(".u-legend .u-series").forEach((row, i) => {
      if (i > 0) row.querySelector("th")?.setAttribute("aria-pressed", String(u.series[i].show));
    });
  }

  function drawAll(printed) {
    palette = PALETTES[dark.matches && !printed ? "dark" : "light"];
    observers.forEach((observer) => observer.disconnect());
    observers = [];
    charts.forEach((u) => u.destroy());
    charts = [...document.querySelectorAll("[data-chart]")].map(draw);
  }

  document.querySelectorAll("[data-copy]").forEach((button) => {
    button.hidden = false;
    button.addEventListener("click", async () => {
      const source = document.getElementById(button.dataset.copy);
      let done = "copied";
      try {
        await navigator.clipboard.writeText(source.textContent);
      } catch {
        // A page opened from a file may have no clipboard: the text is selected, to be copied by hand.
        getSelection().selectAllChildren(source);
        done = document.execCommand("copy") ? "copied" : "selected";
      }
      const label = button.textContent;
      button.textContent = done;
      setTimeout(() => { button.textContent = label; }, 1500);
    });
  });

  logarithmic?.addEventListener("change", () => drawAll(false));
  dark.addEventListener("change", () => drawAll(false));
  addEventListener("beforeprint", () => { document.querySelectorAll("details").forEach((each) => { each.open = true; }); drawAll(true); });
  addEventListener("afterprint", () => drawAll(false));
  document.documentElement.classList.add("scripted");
  drawAll(false);
})();
