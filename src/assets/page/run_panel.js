// The run as a whole: its phase, its verdict, its counts.

import { announce, byId, el, Figures, setText, shape, time } from "./dom.js";
import { clock, count, span } from "./format.js";
import { reportLinks } from "./report_links.js";

export const BUSY = ["preparing", "warming_up", "running", "draining"];
export const isBusy = (state) => BUSY.includes(state);

const PHASES = {
  idle: ["idle", "Idle"],
  preparing: ["prepare", "Preparing"],
  warming_up: ["run", "Warming up"],
  running: ["run", "Running"],
  draining: ["drain", "Draining"],
  completed: ["done", "Completed"],
  failed: ["bad", "Failed"],
  stopped: ["stop", "Stopped"],
};

const VERDICTS = {
  pass: ["good", "Pass"],
  fail: ["bad", "Fail"],
  inconclusive: ["doubt", "Inconclusive"],
  aborted: ["stop", "Aborted"],
  none: ["idle", "None yet"],
};

const SO_FAR = {
  exact: ["good", "Every count exact so far"],
  wrong: ["bad", "Wrong counts"],
  none: ["idle", "No window judged yet"],
};

export const phaseName = (state) => (PHASES[state] ?? ["idle", String(state ?? "unknown")])[1];

/** A verdict in word and shape, for tables. */
export function verdictMark(verdict) {
  const [symbol, word] = VERDICTS[verdict ?? "none"] ?? ["doubt", String(verdict)];
  return el("span", { class: "mark", "data-verdict": verdict ?? "none" }, shape(symbol), word);
}

/** What the verdict is called while it may still change, and after. */
function verdictWords(run) {
  if (run.verdict) return [run.verdict, ...(VERDICTS[run.verdict] ?? ["doubt", run.verdict])];
  const soFar = SO_FAR[run.verdict_so_far] ? run.verdict_so_far : "none";
  if (!isBusy(run.state) && soFar === "none") return ["none", ...VERDICTS.none];
  return [soFar, ...SO_FAR[soFar]];
}

export class RunPanel {
  #figures = new Figures(byId("figures"));
  #shown = { runId: undefined, phase: "", verdict: "", subject: "", reasons: "", report: "" };

  show(run) {
    this.#phase(run);
    this.#verdict(run);
    this.#counts(run);
    this.#announce(run);
  }

  #phase(run) {
    if (this.#shown.phase !== run.state) {
      const [symbol, word] = PHASES[run.state] ?? ["idle", String(run.state)];
      const node = byId("phase");
      node.dataset.state = run.state;
      node.replaceChildren(shape(symbol), word);
    }
    const subject = JSON.stringify([run.run_id, run.workload, run.broker, run.started_at, run.finished_at]);
    if (this.#shown.subject !== subject) {
      this.#shown.subject = subject;
      byId("run-subject").replaceChildren(...subjectOf(run));
    }
    this.#progress(run);
  }

  #progress(run) {
    const planned = run.planned_s > 0 ? run.planned_s : null;
    // Before the first window begins the time is negative.
    const elapsed = typeof run.elapsed_s === "number" ? Math.max(run.elapsed_s, 0) : null;
    byId("progress-row").hidden = run.run_id === null || elapsed === null;
    const bar = byId("progress");
    bar.hidden = planned === null;
    const share = planned === null || elapsed === null ? 0 : Math.min(elapsed / planned, 1);
    bar.value = run.state === "completed" ? 1 : share;
    const text = planned === null ? span(elapsed) : `${clock(Math.min(elapsed, planned))} of ${clock(planned)} min`;
    setText(byId("progress-text"), run.state === "draining" ? `${text}, what was sent is being counted` : text);
  }

  #verdict(run) {
    const [verdict, symbol, word] = verdictWords(run);
    const key = `${verdict} ${word}`;
    if (this.#shown.verdict !== key) {
      const node = byId("verdict");
      node.dataset.verdict = verdict;
      node.replaceChildren(shape(symbol), word);
    }
    setText(byId("verdict-title"), run.verdict || !isBusy(run.state) ? "Verdict" : "Verdict so far");
    const reasons = Array.isArray(run.reasons) ? run.reasons : [];
    const told = JSON.stringify(reasons);
    if (this.#shown.reasons !== told) {
      this.#shown.reasons = told;
      byId("reasons").replaceChildren(...reasons.map((reason) => el("li", {}, reason)));
    }
    const report = run.run_id !== null && !isBusy(run.state) && run.verdict ? run.run_id : "";
    if (this.#shown.report !== report) {
      this.#shown.report = report;
      const node = byId("run-report");
      node.hidden = report === "";
      node.replaceChildren(...(report === "" ? [] : ["Report: ", ...reportLinks(report, ["html", "json", "md"])]));
    }
  }

  #counts(run) {
    const ran = run.run_id !== null && run.run_id !== undefined;
    const events = (ran && run.events) || {};
    const windows = (ran && run.windows) || {};
    for (const name of ["produced", "acknowledged", "consumed"]) this.#figures.set(name, count(events[name]));
    this.#figures.set("windows", count(windows.judged), { title: "Windows judged so far" });
    this.#figures.set("wrong", count(windows.incorrect), {
      tone: windows.incorrect > 0 ? "bad" : "", title: "Windows in which a count is wrong",
    });
    for (const name of ["lost", "duplicated", "reordered", "late", "malformed"]) {
      this.#figures.set(name, count(events[name]), { tone: events[name] > 0 ? "bad" : "" });
    }
    const title = "Events of other programs in our topic: counted apart, never added";
    this.#figures.set("strangers", count(events.strangers), { tone: events.strangers > 0 ? "warn" : "", title });
  }

  /** Tells what changed, and only that. */
  #announce(run) {
    const [verdict, , word] = verdictWords(run);
    const key = `${verdict} ${word}`;
    const shown = this.#shown;
    const newRun = shown.runId !== run.run_id;
    const said = [];
    if (newRun || shown.phase !== run.state) said.push(`Run ${run.run_id ?? "none"}: ${phaseName(run.state)}.`);
    if (!newRun && shown.verdict !== key && verdict !== "none") {
      said.push(`${run.verdict ? "Verdict" : "Verdict so far"}: ${word}. ${run.verdict ? (run.reasons?.[0] ?? "") : ""}`);
    }
    Object.assign(shown, { runId: run.run_id, phase: run.state, verdict: key });
    if (said.length > 0) announce(said.join(" "));
  }
}

function subjectOf(run) {
  if (run.run_id === null || run.run_id === undefined) return ["No run yet. Start one, or wait for the schedule."];
  const pieces = [el("strong", {}, run.workload ?? "?"), ` on ${run.broker ?? "?"}`];
  if (run.started_at) pieces.push(", started ", time(run.started_at));
  if (run.finished_at) pieces.push(", ended ", time(run.finished_at, { date: false }));
  return [...pieces, el("br"), el("code", {}, run.run_id)];
}
