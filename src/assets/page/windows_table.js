// The judged windows, newest first.

import { byId, el, setText, shape, time } from "./dom.js";
import { count, millis } from "./format.js";

const SHOWN = 60;

export class WindowsTable {
  #body = byId("windows");

  show(rows) {
    const windows = rows?.newestWindows(SHOWN) ?? [];
    this.#body.replaceChildren(...windows.map(rowOf));
    const known = rows?.judged ?? 0;
    setText(byId("windows-count"), known === 0 ? "" : `${count(known)} judged`);
    setText(byId("windows-note"), noteOf(windows.length, known));
  }
}

function noteOf(shown, known) {
  if (known === 0) return "No window judged yet: one is, once every producer is acknowledged past its end.";
  return known > shown ? `The newest ${count(shown)}; the report holds all.` : "";
}

function rowOf(row) {
  const difference = (row.count ?? 0) - (row.expected ?? 0);
  const cut = [row.partial ? "partial" : null, row.warmup ? "warm-up" : null].filter((word) => word !== null);
  const judged = row.exact ? [shape("good"), "exact"] : [shape("bad"), "WRONG", wrongBy(difference)];
  return el(
    "tr",
    { "data-exact": String(row.exact === true) },
    el("th", { scope: "row" }, row.windows > 1 ? `${row.window_id} +${row.windows - 1}` : String(row.window_id)),
    el("td", { class: "words" }, el("span", { class: "mark", "data-verdict": row.exact ? "pass" : "fail" }, judged),
      cut.length > 0 ? el("span", { class: "muted", title: "audited, outside the latency figures" }, ` ${cut.join(", ")}`) : null),
    el("td", {}, count(row.count)),
    el("td", {}, count(row.expected)),
    el("td", {}, millis(row.result_latency_ms_avg)),
    el("td", {}, millis(row.result_latency_ms_max)),
    el("td", {}, time(row.window_start, { date: false, withMillis: row.window_start % 1000 !== 0 })),
  );
}

function wrongBy(difference) {
  if (difference === 0) return " (between campaigns)";
  return ` (${difference > 0 ? "+" : "−"}${count(Math.abs(difference))})`;
}
