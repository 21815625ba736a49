// Two runs compared: the conclusion first, then what a reader must know, then the figures.

import { get } from "./api.js";
import { byId, el, shape, time } from "./dom.js";
import { count, fineMillis, NONE, rate } from "./format.js";
import { showProblem } from "./problem.js";
import { verdictMark } from "./run_panel.js";

const FINDINGS = {
  better: ["pass", "good", "better"],
  worse: ["fail", "bad", "worse"],
  no_difference: ["none", "idle", "no significant difference"],
  on_target: ["none", "idle", "on target"],
  untested: ["none", "doubt", "not tested"],
};

/** Fetches the comparison, shows it, and goes there. */
export async function showComparison(base, candidate) {
  const [slot, node, button] = [byId("compare-error"), byId("comparison"), byId("compare")];
  if (button.getAttribute("aria-busy") === "true") return;
  button.setAttribute("aria-busy", "true");
  showProblem(slot, null);
  try {
    const query = new URLSearchParams({ base, candidate });
    const comparison = await get(`compare?${query}`);
    node.replaceChildren(...render(comparison, () => close(node), () => showComparison(candidate, base)));
    node.hidden = false;
    node.focus();
  } catch (problem) {
    node.hidden = true;
    showProblem(slot, problem);
  } finally {
    button.removeAttribute("aria-busy");
  }
}

function close(node) {
  node.hidden = true;
  node.replaceChildren();
  byId("compare").focus();
}

function render(comparison, onClose, onSwap) {
  const head = el(
    "div", { class: "panel-head" },
    el("h3", { id: "comparison-title" }, "Comparison"),
    el("div", { class: "tools" },
      el("button", { type: "button", class: "quiet", onclick: onSwap }, "Swap base and candidate"),
      el("button", { type: "button", class: "quiet", onclick: onClose }, "Close")),
  );
  return [
    head,
    el("p", { class: "conclusion" }, sentence(comparison.conclusion ?? "No conclusion.")),
    list(comparison.warnings, "warning"),
    sides(comparison),
    metrics(comparison),
    audit(comparison.audit),
    information(comparison.information),
    differences("Settings that differ", comparison.differences),
    differences("Settings compared across", comparison.across),
    differences("Circumstances that differ", comparison.circumstances),
  ].filter((part) => part !== null);
}

const sentence = (text) => text.charAt(0).toUpperCase() + text.slice(1);

function list(items, tone) {
  if (!Array.isArray(items) || items.length === 0) return null;
  return el("ul", { class: `plain ${tone}` }, items.map((item) => el("li", {}, sentence(String(item)))));
}

function sides({ base, candidate }) {
  const side = (name, run) =>
    el("div", {}, el("dt", {}, name), el("dd", {}, el("code", {}, run?.run_id ?? NONE), el("br"),
      verdictMark(run?.verdict), " ", `${run?.workload ?? ""} on ${run?.broker ?? "?"}, `, time(run?.started_at)));
  return el("dl", { class: "sides" }, side("Base", base), side("Candidate", candidate));
}

function metrics({ metrics: rows, alpha }) {
  if (!Array.isArray(rows) || rows.length === 0) return null;
  const head = ["Metric", "Base", "Candidate", "Change", "Finding", "p (adjusted)", "95 % interval of the difference"];
  const body = rows.map((row) => {
    const [tone, symbol, word] = FINDINGS[row.finding] ?? ["none", "doubt", String(row.finding)];
    const write = writer(row.metric);
    return [
      el("span", {}, row.metric, el("span", { class: "muted" }, ` each ${row.per ?? "?"}`)),
      sample(row.base, write),
      sample(row.candidate, write),
      change(row.relative_change),
      el("span", {}, el("span", { class: "mark", "data-verdict": tone }, shape(symbol), word),
        row.reason ? el("span", { class: "reason" }, row.reason) : null),
      chance(row.p_adjusted),
      row.test ? `${signed(row.test.low, write)} … ${signed(row.test.high, write)}` : NONE,
    ];
  });
  const caption = `Means; better and worse where the chance of an accident is under ${percentOf(alpha)}, over all metrics together`;
  return table(caption, head, body, [4]);
}

function audit(rows) {
  if (!Array.isArray(rows) || rows.length === 0) return null;
  const body = rows.map((row) => [row.count, row.base === null ? "not audited" : count(row.base), count(row.candidate)]);
  return table("Counts of the audit that are greater than in the base", ["Count", "Base", "Candidate"], body);
}

function information(rows) {
  if (!Array.isArray(rows) || rows.length === 0) return null;
  const body = rows.map((row) => [row.metric, plain(row.base), plain(row.candidate), change(row.relative_change)]);
  return table("Not tested: one figure a run", ["Figure", "Base", "Candidate", "Change"], body);
}

function differences(caption, rows) {
  if (!Array.isArray(rows) || rows.length === 0) return null;
  return table(caption, ["Key", "Base", "Candidate"], rows.map((row) => [row.key, value(row.base), value(row.candidate)]), [1, 2]);
}

function table(caption, head, body, wordy = []) {
  const cell = (content, at) => el(at === 0 ? "th" : "td", { scope: at === 0 ? "row" : null, class: wordy.includes(at) ? "words" : null }, content);
  return el(
    "div", { class: "scroll", tabindex: "0", role: "region", "aria-label": caption },
    el("table", { class: "numbers" },
      el("caption", {}, caption),
      el("thead", {}, el("tr", {}, head.map((text, at) => el("th", { scope: "col", class: wordy.includes(at) ? "words" : null }, text)))),
      el("tbody", {}, body.map((cells) => el("tr", {}, cells.map(cell))))),
  );
}

/** By the unit that the metric's name ends in. */
function writer(metric) {
  if (/_ms(_avg|_max)?$/.test(metric)) return fineMillis;
  if (/per_second$/.test(metric)) return rate;
  return plain;
}

const sample = (of, write) =>
  of ? el("span", { title: `${count(of.n)} values, worth ${count(of.effective_n)} independent ones` }, write(of.mean)) : NONE;

const plain = (n) => (typeof n === "number" ? Number(n.toPrecision(4)).toLocaleString("en-GB", { maximumSignificantDigits: 4 }) : NONE);
const signed = (n, write) => (n < 0 ? `−${write(-n)}` : `+${write(n)}`);
const percentOf = (share) => (typeof share === "number" ? `${Number((share * 100).toPrecision(2))} %` : NONE);
const chance = (p) => (typeof p !== "number" ? NONE : p < 0.001 ? "< 0.001" : p.toFixed(3));
const value = (of) => (of === null || of === undefined ? "not there" : typeof of === "object" ? JSON.stringify(of) : String(of));

function change(share) {
  if (typeof share !== "number") return NONE;
  const size = Math.abs(share * 100);
  if (size < 0.05) return "±0.0 %";
  return `${share < 0 ? "−" : "+"}${size.toFixed(size < 10 ? 1 : 0)} %`;
}
