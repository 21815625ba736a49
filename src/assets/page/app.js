// The live page. It asks for the status, follows the present run's events, and shows both.
//
//   status ── busy? ──> events of that run (fetch; resumed by Last-Event-ID) ──┐
//      ^  └─ no ──> its seconds, once; wait 2 s                                │
//      └────────────────────── finished, lost, or another run ─────────────────┘
//
// api.js: requests, token, events · measures.js: the latencies, written by the daemon from its table · rows.js: what a
// run measured, bounded · run_charts.js, run_panel.js, windows_table.js, health_panel.js: what is shown · controls.js:
// orders · history.js, comparison.js: past runs · connection.js: whether the daemon answers · problem.js,
// report_links.js, dom.js, format.js: how things are written · ../charts.js: the charts, as in a report

import { get, readEvents, runPath } from "./api.js";
import { showComparison } from "./comparison.js";
import { Connection } from "./connection.js";
import { Controls } from "./controls.js";
import { byId } from "./dom.js";
import { percent } from "./format.js";
import { HealthPanel } from "./health_panel.js";
import { History } from "./history.js";
import { RunRows } from "./rows.js";
import { fillSeconds, runCharts, showKept } from "./run_charts.js";
import { isBusy, phaseName, RunPanel } from "./run_panel.js";
import { WindowsTable } from "./windows_table.js";

const POLL_S = 2;
/** A tab that nobody looks at only keeps its title true. */
const HIDDEN_POLL_S = 15;
/** While a stream tells of the run but not of the daemon. */
const DAEMON_POLL_MS = 5_000;
/** Charts are drawn no oftener, however fast the seconds of a long run come in. */
const DRAW_MS = 400;

class Page {
  #run = { run_id: null, state: "idle" };
  #rows = null;
  #lastEventId = "";
  /** The run whose seconds are all here, because it is over. */
  #complete = null;
  #streamTellsOfDaemon = false;
  #drawTimer = null;
  #stale = { charts: false, windows: false };
  #stream = new AbortController();

  constructor() {
    this.connection = new Connection(() => this.#reload());
    this.runPanel = new RunPanel();
    this.health = new HealthPanel();
    this.windows = new WindowsTable();
    this.charts = runCharts();
    this.history = new History(showComparison);
    this.controls = new Controls(() => this.connection.poke());
    this.#chartControls();
    document.addEventListener("visibilitychange", () => {
      if (document.hidden) return;
      this.#show(this.#run);
      this.#scheduleDraw();
      this.connection.poke();
    });
  }

  /** Follows the daemon for as long as the page is open. */
  async follow() {
    this.#scheduleDraw(true);
    for (;;) {
      try {
        const status = await get("status");
        const follows = isBusy(status.state) && status.run_id !== null;
        this.connection.up({ streamDue: follows });
        await this.#loadOnce();
        this.#show(status);
        if (follows) await this.#followRun(status.run_id);
        else await this.#rest(status);
      } catch (problem) {
        if (problem.status === undefined) console.error(problem);
        const waited = this.connection.down(problem);
        this.#title();
        await waited;
      }
    }
  }

  /** With another token: everything again, as far as it is not here. */
  #reload() {
    this.#stream.abort();
  }

  async #loadOnce() {
    if (!this.controls.hasWorkloads) await this.controls.loadWorkloads();
    if (!this.history.isLoaded) await this.history.refresh();
  }

  /** Nothing runs: the last run's seconds once, then a look every now and then. */
  async #rest(status) {
    if (status.run_id !== null && this.#complete !== status.run_id) await this.#loadFinished(status.run_id);
    // A run's report is kept a moment after its end.
    if (status.verdict && !this.history.hasVerdictOf(status.run_id)) await this.history.refresh();
    await this.connection.pause(document.hidden ? HIDDEN_POLL_S : POLL_S);
  }

  async #loadFinished(runId) {
    this.#complete = runId;
    try {
      const { series, windows } = await get(runPath(runId, "/timeseries"));
      this.#rows = new RunRows(runId);
      for (const row of series ?? []) this.#rows.addSecond(row);
      for (const row of windows ?? []) this.#rows.addWindow(row);
    } catch (problem) {
      // A run that failed before it measured anything has none.
      if (problem.status !== 404) {
        this.#complete = null;
        throw problem;
      }
    }
    this.#show(this.#run);
    this.#scheduleDraw(true);
  }

  /** Reads a run's events until they end. */
  async #followRun(runId) {
    if (this.#rows?.runId !== runId) {
      this.#rows = new RunRows(runId);
      this.#lastEventId = "";
      this.#scheduleDraw(true);
      await this.history.refresh();
    }
    this.#stream = new AbortController();
    this.#streamTellsOfDaemon = false;
    const daemon = setInterval(() => this.#askDaemon(), DAEMON_POLL_MS);
    const opened = performance.now();
    try {
      await readEvents(runPath(runId, "/events"), {
        lastEventId: this.#lastEventId,
        onEvent: (name, data, id) => this.#take(runId, name, data, id),
        opened: () => this.connection.up({ live: true }),
        signal: this.#stream.signal,
      });
    } catch (problem) {
      // No such stream, or one too many, though the run is there: the status, every two seconds, is what is left.
      const noStream = problem.status === 404 || problem.code === "too_many_streams";
      if (!noStream && !this.#stream.signal.aborted) throw problem;
    } finally {
      clearInterval(daemon);
    }
    if (this.#complete !== runId && performance.now() - opened < POLL_S * 1000) await this.connection.pause(POLL_S);
  }

  #take(runId, name, data, id) {
    if (id) this.#lastEventId = id;
    if (name === "second") {
      this.#rows.addSecond(data);
      this.#stale.charts = true;
    } else if (name === "window") {
      this.#rows.addWindow(data);
      this.#stale.windows = true;
    } else if (name === "status" || name === "finished") {
      this.#show(data);
    }
    if (name === "finished") {
      // All of its seconds came: only the history has something new.
      this.#complete = runId;
      this.#stale.charts = true;
      this.history.refresh();
    }
    this.#scheduleDraw();
  }

  async #askDaemon() {
    if (this.#streamTellsOfDaemon || document.hidden) return;
    try {
      const status = await get("status");
      if (status.daemon) this.health.showDaemon(status.daemon);
    } catch {
      // The stream itself will tell, if the daemon is gone.
    }
  }

  #show(status) {
    this.#run = status;
    if (status.daemon) {
      this.#streamTellsOfDaemon = true;
      this.health.showDaemon(status.daemon);
    }
    const rows = this.#rows?.runId === status.run_id ? this.#rows : null;
    if (rows !== null && status.planned_s > 0) rows.plannedS = status.planned_s;
    this.#title();
    document.body.dataset.state = status.state;
    document.body.dataset.run = status.run_id ?? "";
    if (document.hidden) return;
    this.runPanel.show(status);
    this.controls.show(status);
    this.health.showRun(status, rows);
  }

  #title() {
    const run = this.#run;
    const busy = isBusy(run.state);
    const share = busy && run.planned_s > 0 ? ` ${percent(Math.round(Math.min(Math.max(run.elapsed_s / run.planned_s, 0), 1) * 20) / 20)}` : "";
    const wrong = run.verdict_so_far === "wrong" && !run.verdict ? ", WRONG COUNTS" : "";
    const state = run.verdict && !busy ? run.verdict : phaseName(run.state).toLowerCase();
    const words = this.connection.trouble || `${state}${share.replace(".0", "")}${wrong}`;
    const title = `${words}${run.workload ? ` · ${run.workload}` : ""} – streamgauge`;
    if (document.title !== title) document.title = title;
  }

  #scheduleDraw(everything = false) {
    if (everything) this.#stale = { charts: true, windows: true };
    if (document.hidden || this.#drawTimer !== null) return;
    this.#drawTimer = setTimeout(() => {
      this.#drawTimer = null;
      if (!document.hidden) this.#draw();
    }, DRAW_MS);
  }

  #draw() {
    const { charts, windows } = this.#stale;
    this.#stale = { charts: false, windows: false };
    if (charts) {
      for (const chart of this.charts) {
        chart.draw(this.#rows);
        if (this.#rows !== null && this.#rows.runId === this.#complete) chart.settle();
      }
      showKept(this.#rows);
      this.#fillSeconds();
    }
    if (windows) this.windows.show(this.#rows);
  }

  #fillSeconds() {
    if (byId("seconds-details").open) fillSeconds(byId("seconds-table"), this.#rows);
  }

  #chartControls() {
    const latency = this.charts.at(-1);
    byId("quantile").addEventListener("change", (event) => {
      latency.change({ quantile: event.target.value });
      this.#fillSeconds();
    });
    byId("log-scale").addEventListener("change", (event) => latency.change({ logarithmic: event.target.checked }));
    byId("seconds-details").addEventListener("toggle", () => this.#fillSeconds());
  }
}

new Page().follow();
