// The runs of the past: newest first, page by page, with their reports, and two of them to compare.

import { get } from "./api.js";
import { byId, el, setText, time } from "./dom.js";
import { count, millis, plural, rate } from "./format.js";
import { showProblem } from "./problem.js";
import { reportLinks } from "./report_links.js";
import { isBusy, verdictMark } from "./run_panel.js";

const PAGE = 20;
/** Rows on the page; older ones are for `streamgauge history`. */
const MOST = 400;

export class History {
  #runs = [];
  #nextBefore = null;
  #chosen = [];
  #loaded = false;

  /** `compare(baseId, candidateId)` shows a comparison. */
  constructor(compare) {
    this.compare = compare;
    byId("older").addEventListener("click", () => this.#older());
    byId("compare").addEventListener("click", () => this.#compareChosen());
    this.#showChoice();
  }

  get isLoaded() {
    return this.#loaded;
  }

  hasVerdictOf(runId) {
    return this.#runs.some((run) => run.run_id === runId && run.verdict !== null);
  }

  /** Loads the newest page again; older pages that were opened stay. */
  async refresh() {
    await this.#load(`runs?limit=${PAGE}`, (page, next) => {
      const oldest = page.at(-1)?.run_id;
      const at = this.#runs.findIndex((run) => run.run_id === oldest);
      if (at < 0) {
        this.#runs = page;
        this.#nextBefore = next;
      } else {
        this.#runs = [...page, ...this.#runs.slice(at + 1)];
      }
    });
  }

  async #older() {
    if (this.#nextBefore === null) return;
    const known = this.#runs.length;
    await this.#load(`runs?limit=${PAGE}&before=${encodeURIComponent(this.#nextBefore)}`, (page, next) => {
      this.#runs = [...this.#runs, ...page];
      this.#nextBefore = next;
    });
    // The button may have gone: the focus goes to the first row that came.
    if (byId("older").hidden) byId("history").rows[known]?.querySelector("input, a")?.focus();
  }

  async #load(path, take) {
    const slot = byId("history-error");
    try {
      const { runs, next_before: next } = await get(path);
      take(runs, next ?? null);
      this.#loaded = true;
      showProblem(slot, null);
    } catch (problem) {
      if (problem.status !== 401) showProblem(slot, problem);
      return;
    }
    if (this.#runs.length >= MOST) {
      this.#runs.length = MOST;
      this.#nextBefore = null;
    }
    this.#draw();
  }

  #draw() {
    const body = byId("history");
    const focused = document.activeElement?.closest?.("#history tr")?.dataset.run;
    const control = document.activeElement?.dataset?.form ?? "input";
    body.replaceChildren(...this.#runs.map((run) => this.#row(run)));
    if (focused !== undefined) {
      const selector = control === "input" ? "input" : `a[data-form="${control}"]`;
      body.querySelector(`tr[data-run="${CSS.escape(focused)}"]`)?.querySelector(selector)?.focus();
    }
    byId("older").hidden = this.#nextBefore === null;
    const end = this.#runs.length >= MOST ? "; older ones: streamgauge history" : "";
    setText(byId("history-note"), this.#runs.length === 0 ? "No run yet." : `${plural(this.#runs.length, "run")} shown${end}.`);
    this.#chosen = this.#chosen.filter((id) => this.#runs.some((run) => run.run_id === id));
    this.#showChoice();
  }

  #row(run) {
    const running = isBusy(run.state);
    const finished = !running && run.verdict !== null;
    const box = finished
      ? el("input", {
          type: "checkbox", "aria-label": `Compare ${run.run_id}`, value: run.run_id,
          onchange: (event) => this.#choose(run.run_id, event.target.checked),
        })
      : null;
    if (box !== null) box.checked = this.#chosen.includes(run.run_id);
    return el(
      "tr",
      { "data-run": run.run_id, "data-state": run.state },
      el("td", { class: "choose" }, box === null ? null : el("label", {}, box)),
      el("td", { class: "words" }, time(run.started_at)),
      el("td", { class: "words" }, run.workload ?? "–"),
      el("td", { class: "words why" }, running ? "under way" : verdictMark(run.verdict), reason(run)),
      el("td", { class: "words" }, run.broker ?? "–"),
      el("td", run.rate_changes > 0 ? { title: "the rate was changed while the run was under way" } : {},
        rate(run.produced_per_second) + (run.rate_changes > 0 ? "*" : "")),
      el("td", {}, millis(run.result_latency_p99_ms)),
      el("td", { class: "words links" }, finished ? reportLinks(run.run_id, ["html", "json"]) : "–"),
      el("th", { scope: "row", class: "words" }, el("code", {}, run.run_id)),
    );
  }

  /** Two at most: a third takes the place of the one chosen first. */
  #choose(id, chosen) {
    this.#chosen = this.#chosen.filter((other) => other !== id);
    if (chosen) this.#chosen.push(id);
    while (this.#chosen.length > 2) {
      const dropped = this.#chosen.shift();
      const box = byId("history").querySelector(`input[value="${CSS.escape(dropped)}"]`);
      if (box) box.checked = false;
    }
    this.#showChoice();
  }

  #showChoice() {
    const ready = this.#chosen.length === 2;
    const words = ["Choose two runs to compare", "One chosen: choose a second", "Two chosen: the older is the base"];
    setText(byId("compare-choice"), words[this.#chosen.length]);
    if (ready) byId("compare").removeAttribute("aria-disabled");
    else byId("compare").setAttribute("aria-disabled", "true");
  }

  #compareChosen() {
    const slot = byId("compare-error");
    if (this.#chosen.length !== 2) {
      const title = `Choose two runs in the table: ${count(this.#chosen.length)} chosen.`;
      showProblem(slot, { status: 0, title, detail: "" });
      return;
    }
    const age = (id) => this.#runs.findIndex((run) => run.run_id === id);
    const [candidate, base] = [...this.#chosen].sort((a, b) => age(a) - age(b));
    this.compare(base, candidate);
  }
}

function reason(run) {
  return run.reason ? el("span", { class: "reason", title: run.reason }, run.reason) : null;
}
