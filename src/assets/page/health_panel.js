// The generator's own health, and the daemon's surroundings: was it us?

import { byId, el, Figures, setText, shape, svg } from "./dom.js";
import { bytes, count, dateTime, millis, NONE, percent, span, timeOfDay, utc } from "./format.js";
import { OWN_DELAY } from "./measures.js";
import { isBusy } from "./run_panel.js";

/** Samples in the small lines: at one every few seconds some ten minutes. */
const SAMPLES = 180;
/** The default of `workload.late_after`: what the verdict counts as sent late. */
const LATE_MS = 10;
/** Processor seconds are counted in ticks of 10 ms: over a shorter time the share says nothing. */
const LEAST_INTERVAL_S = 0.9;

const MAILBOXES = { producer: "producer", window_aggregator: "window aggregator", result_writer: "result writer", latency: "latency" };

export class HealthPanel {
  #health = new Figures(byId("health"));
  #mailboxes = new Figures(byId("mailboxes"));
  #cpu = new Sparkline("CPU over the last minutes");
  #rss = new Sparkline("Memory over the last minutes");
  #before = null;
  #cpuShare = null;
  #backpressure = [];
  #line = "";
  #next = { at: null, workload: null };

  /** The daemon's part of a status. */
  showDaemon(daemon) {
    const used = daemon.resources ?? {};
    this.#measure(used);
    this.#health.set("CPU of one core", percent(this.#cpuShare), { extra: this.#cpu.node });
    this.#health.set("memory (RSS)", bytes(used.rss_bytes), { extra: this.#rss.node });
    this.#health.set("threads", count(used.threads));
    this.#health.set("open descriptors", count(used.open_fds));
    const mailboxes = daemon.mailboxes ?? {};
    for (const [name, waiting] of Object.entries(mailboxes)) this.#mailboxes.set(MAILBOXES[name] ?? name, count(waiting));
    setText(byId("daemon-version"), daemon.version ? `v${daemon.version}` : "");
    setText(byId("uptime"), span(typeof daemon.uptime_s === "number" ? Math.floor(daemon.uptime_s) : null));
    showBroker(daemon);
    this.#next = { at: daemon.schedule?.next_start_at ?? null, workload: daemon.schedule?.next_workload ?? null };
    showSchedule(daemon);
  }

  #measure({ cpu_seconds: cpu, rss_bytes: rss }) {
    const now = performance.now() / 1000;
    if (typeof rss === "number") this.#rss.add(rss);
    if (typeof cpu !== "number") return;
    const before = this.#before;
    if (before !== null && now - before.now < LEAST_INTERVAL_S) return;
    this.#before = { now, cpu };
    // Less than before: the daemon was started anew in between.
    if (before === null || cpu < before.cpu) return;
    this.#cpuShare = (cpu - before.cpu) / (now - before.now);
    this.#cpu.add(this.#cpuShare);
  }

  /** The run's part: its status and its newest seconds. */
  showRun(run, rows) {
    const recent = rows?.lastOf(rows.latencies[OWN_DELAY.name].p99_ms) ?? [];
    const delay = recent.length === 0 ? null : Math.max(...recent);
    const title = "The worst second of the last ten";
    this.#health.set(`${OWN_DELAY.label} p99`, delay === null ? NONE : `${millis(delay)} ms`, { tone: delay > LATE_MS ? "warn" : "", title });
    const pushed = this.#pushedBack(run);
    const pressure = typeof run.backpressure_s === "number" ? `${millis(run.backpressure_s)} s` : NONE;
    this.#health.set("backpressure", pressure, { tone: pushed ? "warn" : "", title: "Seconds that the client was full, over all producers" });
    this.#health.set("consumer lag", count(run.lag), { title: "Records not consumed yet" });
    this.#health.set("in flight", count(run.in_flight), { title: "Events sent and not acknowledged yet" });
    this.#say(run, delay, pushed);
  }

  /** Whether the client was full within the last ten statuses. */
  #pushedBack(run) {
    const known = this.#backpressure;
    if (known.length > 0 && known[0].run !== run.run_id) known.length = 0;
    known.push({ run: run.run_id, seconds: run.backpressure_s ?? 0 });
    if (known.length > 10) known.shift();
    if (!isBusy(run.state)) return run.backpressure_s > 0;
    return known.at(-1).seconds - known[0].seconds > 0.01;
  }

  #say(run, delay, pushed) {
    const [health, symbol, text] = judge(run, delay, pushed);
    if (this.#line === text) return;
    this.#line = text;
    const node = byId("health-line");
    node.dataset.health = health;
    node.replaceChildren(shape(symbol), text);
  }
}

function judge(run, delay, pushed) {
  if (run.state === "preparing") return ["none", "idle", "Nothing is sent yet."];
  if (delay === null) return ["none", "idle", "Nothing was sent: nothing to say."];
  const sending = isBusy(run.state);
  if (delay <= LATE_MS) {
    return ["good", "good", sending ? "No: events leave on time." : "No: to the end, events left on time."];
  }
  const [leave, when] = sending ? ["leave", ""] : ["left", "near its end "];
  if (pushed) return ["warn", "doubt", `No: ${when}events ${leave} late, and the broker ${sending ? "pushes" : "pushed"} back.`];
  return ["bad", "bad", `Perhaps: ${when}over 1 % of a second’s events ${leave} more than ${LATE_MS} ms late.`];
}

function showBroker(daemon) {
  const up = daemon.broker_up;
  const words = up === true ? ["good", "pass", "up"] : up === false ? ["bad", "fail", "down"] : ["idle", "none", "not known yet"];
  const node = byId("broker-state");
  if (node.textContent !== words[2]) {
    node.replaceChildren(el("span", { class: "mark", "data-verdict": words[1] }, shape(words[0]), words[2]));
  }
  const error = byId("broker-error");
  const text = up === false || daemon.broker_error ? `The broker does not answer: ${daemon.broker_error ?? "no reason is known"}` : "";
  const drains = daemon.draining ? "The daemon is shutting down: it takes no new runs." : "";
  error.hidden = text === "" && drains === "";
  setText(error, [text, drains].filter((part) => part !== "").join(" "));
}

function showSchedule({ schedule, next_run_id: nextRun }) {
  const node = byId("schedule-state");
  if (!schedule) {
    setText(node, NONE);
    return;
  }
  const mode = { on_request: "on request", continuous: "continuous", every: "at intervals" }[schedule.mode] ?? schedule.mode;
  const pieces = [mode];
  if (schedule.next_workload) pieces.push(`next ${schedule.next_workload}`);
  if (schedule.next_start_at) pieces.push(`at ${timeOfDay(schedule.next_start_at)}`);
  if (nextRun) pieces.push("a run is waiting");
  setText(node, pieces.join(", "));
  const title = [schedule.next_start_at ? `${dateTime(schedule.next_start_at)} (${utc(schedule.next_start_at)} UTC)` : "", nextRun ?? ""];
  node.title = title.filter((part) => part !== "").join(" ");
}

/** A small line of the newest samples, from 0 to their greatest. */
class Sparkline {
  #samples = [];

  constructor(label) {
    this.line = svg("path", {});
    const look = { class: "spark", viewBox: `0 0 ${SAMPLES - 1} 20`, preserveAspectRatio: "none", role: "img", "aria-label": label };
    this.node = svg("svg", look, this.line);
  }

  add(value) {
    this.#samples.push(value);
    if (this.#samples.length > SAMPLES) this.#samples.shift();
    const top = Math.max(...this.#samples, Number.MIN_VALUE);
    const left = SAMPLES - this.#samples.length;
    const points = this.#samples.map((sample, at) => `${left + at} ${(19 - (sample / top) * 18).toFixed(1)}`);
    this.line.setAttribute("d", points.length > 1 ? `M${points.join("L")}` : "");
  }
}
