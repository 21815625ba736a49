// A report's charts, from the data of <script id="data">. Without script the tables hold all that matters.
"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const logarithmic = document.getElementById("logarithmic");

  /** A chart and its columns: x, then one for each of its lines. */
  const filled = (description, x, columns) => [description, [x, ...description.lines.map(({ key }) => columns[key])]];

  // What only reports show, by the first part of the element's `data-chart`.
  const KINDS = {
    windows: () => {
      const wrong = data.windows.wrong.some((ms) => ms !== null);
      const lines = Charts.two({ key: "avg", label: "mean", joined: true }, { key: "max", label: "greatest", joined: true });
      if (wrong) lines.push(Charts.spots({ key: "wrong", label: "wrong counts" }));
      return filled({ title: "Result latency of each window", y: "ms", lines }, data.windows.start, data.windows);
    },
    latency: (kind) => {
      const course = data.latency[kind];
      const common = { joined: course.of_windows, points: "few" };
      const lines = Charts.two({ key: "p99", label: "p99", ...common }, { key: "p50", label: "p50", ...common });
      return filled({ title: `${kind} over time`, y: "ms", lines }, data.seconds, course);
    },
    distribution: (kind) => {
      const lines = Charts.two({ key: "ms", label: "at most" });
      const distribution = data.distribution[kind];
      return filled({ title: `${kind} by percentile`, x: "percentiles", y: "ms", lines }, distribution.at, distribution);
    },
  };

  const spoken = Charts.el("p", { class: "hidden", "aria-live": "polite" });
  document.body.append(spoken);

  class ReportChart extends Charts.Chart {
    say(text) {
      spoken.textContent = text;
    }

    /** Warm-up is shaded, since it stays out of the figures. */
    drawBelow(plot) {
      if (this.description.x === "percentiles" || !(data.warmup_s > 0) || plot.scales.x.min >= data.warmup_s) return;
      const right = Math.min(plot.valToPos(data.warmup_s, "x", true), plot.bbox.left + plot.bbox.width);
      plot.ctx.fillStyle = Charts.colour("shade")();
      plot.ctx.fillRect(plot.bbox.left, plot.bbox.top, Math.max(0, right - plot.bbox.left), plot.bbox.height);
    }
  }

  const charts = [...document.querySelectorAll("[data-chart]")].map((place) => {
    const [name, kind] = place.dataset.chart.split(":");
    const shared = Charts.OVER_SECONDS.find((description) => description.name === name);
    const [description, columns] = shared === undefined ? KINDS[name](kind) : filled(shared, data.seconds, data);
    const height = place.closest(".wide") ? 300 : 230;
    const chart = new ReportChart(place, description, { text: place.dataset.text, height });
    chart.show(columns);
    return chart;
  });

  logarithmic?.addEventListener("change", () => {
    for (const chart of charts) chart.scale(logarithmic.checked);
  });
  addEventListener("beforeprint", () => {
    for (const each of document.querySelectorAll("details")) each.open = true;
    Charts.recolour({ printed: true });
  });
  addEventListener("afterprint", () => Charts.recolour());

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
})();
