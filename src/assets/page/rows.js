// What a run has measured so far, second by second and window by window: bounded, however long it runs.

import { LATENCIES } from "./measures.js";

/** Seconds kept. */
export const KEPT_SECONDS = 7_200;
/** Dropping one second at a time would copy the columns every second. */
const SLACK = 300;
/** Windows kept: more than the table shows, so that late judgements find theirs. */
const KEPT_WINDOWS = 300;

/** What is kept of a second beside its latencies: what the charts show. */
const NUMBERS = Charts.OVER_SECONDS.filter(({ isLive }) => isLive).flatMap(({ lines }) => lines.map(({ key }) => key));
/** Of these a row has the sum over its seconds. */
const SUMS = new Set(["target", "produced", "acknowledged", "consumed"]);
const QUANTILES = ["p50_ms", "p99_ms", "max_ms"];

const orNull = (value) => (typeof value === "number" ? value : null);

export class RunRows {
  constructor(runId) {
    this.runId = runId;
    /** Columns of equal length, the second first. */
    this.seconds = [];
    this.startMs = [];
    this.numbers = Object.fromEntries(NUMBERS.map((name) => [name, []]));
    this.latencies = Object.fromEntries(
      LATENCIES.map(({ name }) => [name, Object.fromEntries(QUANTILES.map((quantile) => [quantile, []]))]),
    );
    /** Where the schedule ends: what is sent after it is a remainder, and no rate. */
    this.plannedS = Number.POSITIVE_INFINITY;
    this.dropped = 0;
    /** Seconds that the newest row stands for: more than one where a long run is over. */
    this.rowSeconds = 1;
    this.windows = new Map();
    this.windowsDropped = 0;
  }

  get length() {
    return this.seconds.length;
  }

  *#columns() {
    yield this.seconds;
    yield this.startMs;
    for (const name of NUMBERS) yield this.numbers[name];
    for (const { name } of LATENCIES) for (const quantile of QUANTILES) yield this.latencies[name][quantile];
  }

  /** Adds a second, or replaces it where the stream tells it again. */
  addSecond(row) {
    if (typeof row?.second !== "number") return;
    const last = this.seconds.at(-1);
    let at = this.length;
    if (last !== undefined && row.second <= last) {
      at = this.seconds.indexOf(row.second);
      if (at < 0) return;
    } else if (last !== undefined && row.second > last + this.rowSeconds) {
      // What is missing is a gap in the lines, not a straight line over it.
      for (const column of this.#columns()) column.push(null);
      this.seconds[at] = last + this.rowSeconds;
      at += 1;
    }
    this.seconds[at] = row.second;
    this.rowSeconds = row.seconds ?? 1;
    this.startMs[at] = orNull(row.start_ms);
    for (const name of NUMBERS) {
      const value = orNull(row[name]);
      this.numbers[name][at] = value !== null && SUMS.has(name) ? value / this.rowSeconds : value;
    }
    for (const { name } of LATENCIES) {
      const measured = row.latency?.[name];
      for (const quantile of QUANTILES) this.latencies[name][quantile][at] = orNull(measured?.[quantile]);
    }
    if (this.length > KEPT_SECONDS + SLACK) {
      const excess = this.length - KEPT_SECONDS;
      for (const column of this.#columns()) column.splice(0, excess);
      this.dropped += excess;
    }
  }

  addWindow(row) {
    if (typeof row?.window_id !== "number") return;
    this.windows.set(row.window_id, row);
    if (this.windows.size > KEPT_WINDOWS) {
      const oldest = Math.min(...this.windows.keys());
      this.windowsDropped += this.windows.get(oldest).windows ?? 1;
      this.windows.delete(oldest);
    }
  }

  /** Windows that were judged. */
  get judged() {
    return [...this.windows.values()].reduce((sum, row) => sum + (row.windows ?? 1), this.windowsDropped);
  }

  /** The newest `n` windows, newest first. */
  newestWindows(n) {
    return [...this.windows.values()].sort((a, b) => b.window_id - a.window_id).slice(0, n);
  }

  /** The position after the last second of the schedule. */
  get end() {
    let end = this.length;
    while (end > 0 && this.seconds[end - 1] >= this.plannedS) end -= 1;
    return end;
  }

  /** What was measured in the schedule's last ten seconds. */
  lastOf(column) {
    const end = this.end;
    return column.slice(Math.max(end - 10, 0), end).filter((value) => value !== null);
  }
}
