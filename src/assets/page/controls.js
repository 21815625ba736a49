// The orders: start, stop, restart, set the rate. Each becomes one request; the daemon decides.

import { ask, get, runPath } from "./api.js";
import { announce, byId, el, setText } from "./dom.js";
import { rate } from "./format.js";
import { keyOf, showProblem } from "./problem.js";
import { isBusy, phaseName } from "./run_panel.js";

export class Controls {
  #run = null;
  #workloads = new Map();

  /** `ordered(runId)` is called after each order that the daemon took. */
  constructor(ordered) {
    this.ordered = ordered;
    byId("start-form").addEventListener("submit", (event) => this.#start(event));
    byId("replace").addEventListener("click", () => this.#replace());
    byId("present-form").addEventListener("submit", (event) => event.preventDefault());
    byId("stop").addEventListener("click", () => this.#stop());
    byId("restart").addEventListener("click", () => this.#restart());
    byId("rate-form").addEventListener("submit", (event) => this.#setRate(event));
    byId("workload").addEventListener("change", () => this.#showAbout());
    for (const input of document.querySelectorAll("#start-form input, #start-form textarea, #rate-form input")) {
      input.addEventListener("input", () => input.removeAttribute("aria-invalid"));
    }
  }

  /** Fills the list of workloads. */
  async loadWorkloads() {
    const { workloads } = await get("workloads");
    const select = byId("workload");
    const chosen = select.value;
    this.#workloads = new Map(workloads.map(({ name, about }) => [name, about]));
    select.replaceChildren(...workloads.map(({ name }) => el("option", { value: name }, name)));
    if (this.#workloads.has(chosen)) select.value = chosen;
    else if (this.#run?.workload && this.#workloads.has(this.#run.workload)) select.value = this.#run.workload;
    this.#showAbout();
  }

  get hasWorkloads() {
    return this.#workloads.size > 0;
  }

  #showAbout() {
    setText(byId("workload-about"), this.#workloads.get(byId("workload").value) ?? "");
  }

  /** Adapts to the present run. Buttons that cannot work stay reachable, and say why. */
  show(run) {
    this.#run = run;
    const busy = isBusy(run.state);
    const flowing = run.state === "warming_up" || run.state === "running";
    const state = phaseName(run.state).toLowerCase();
    allow("stop", busy, "Nothing runs: there is nothing to stop.");
    allow("restart", run.run_id !== null, "There was no run yet: start one below.");
    allow("set-rate", flowing, "The rate can be set while events flow.");
    allow("start", !busy, "A run is under way: stop it first, or use “Stop and start this”.");
    allow("replace", busy, "Nothing runs: use “Start”.");
    setText(byId("restart"), busy ? "Stop and repeat" : "Repeat");
    setText(byId("present-note"), busy ? `${run.workload ?? "?"} is ${state}, target ${rate(run.target_per_second)}.` : "Nothing runs.");
    setText(byId("start-note"), busy ? "A run is under way." : "");
  }

  async #start(event) {
    event.preventDefault();
    const slot = byId("start-error");
    if (refused("start", slot)) return;
    const wanted = this.#wanted(slot);
    if (wanted === null) return;
    await this.#order(byId("start"), slot, "Started", () => ask("POST", "runs", wanted));
  }

  async #replace() {
    const slot = byId("start-error");
    if (refused("replace", slot)) return;
    const wanted = this.#wanted(slot);
    if (wanted === null) return;
    const path = runPath(this.#run.run_id, "/restart");
    await this.#order(byId("replace"), slot, "Replaced by", () => ask("POST", path, { mode: mode(), ...wanted }));
  }

  async #stop() {
    const slot = byId("present-error");
    if (refused("stop", slot)) return;
    await this.#order(byId("stop"), slot, "Stopping", () => ask("POST", runPath(this.#run.run_id, "/stop"), { mode: mode() }));
  }

  async #restart() {
    const slot = byId("present-error");
    if (refused("restart", slot)) return;
    const path = runPath(this.#run.run_id, "/restart");
    await this.#order(byId("restart"), slot, "Repeated as", () => ask("POST", path, { mode: mode() }));
  }

  async #setRate(event) {
    event.preventDefault();
    const slot = byId("rate-error");
    if (refused("set-rate", slot)) return;
    const input = byId("target-rate");
    const text = input.value.trim();
    if (text === "") {
      input.setAttribute("aria-invalid", "true");
      showProblem(slot, { status: 0, title: "No rate given", detail: "", hint: "events per second, as 20k/s" });
      return;
    }
    const wanted = /^\d+(\.\d+)?$/.test(text) ? Number(text) : text;
    await this.#order(byId("set-rate"), slot, "New target", async () => {
      const answer = await ask("PATCH", runPath(this.#run.run_id), { target_rate: wanted });
      return { said: `New target: ${rate(answer.target_per_second)}`, ...answer };
    });
  }

  /** The form as the API takes it; `null` after saying what cannot be read. */
  #wanted(slot) {
    const settings = {};
    const errors = [];
    byId("settings").value.split("\n").forEach((line, at) => {
      const text = line.trim();
      if (text === "" || text.startsWith("#")) return;
      const equals = text.indexOf("=");
      const key = text.slice(0, equals).trim();
      if (equals < 1 || !/^[\w-]+(\.[\w-]+)+$/.test(key)) errors.push({ detail: `line ${at + 1}, “${text}”: expected section.key = value` });
      else settings[key] = unquoted(text.slice(equals + 1).trim());
    });
    for (const [id, key] of [["rate", "workload.rate"], ["duration", "workload.duration"]]) {
      const value = byId(id).value.trim();
      if (value !== "") settings[key] = value;
    }
    if (errors.length > 0) {
      showProblem(slot, { status: 0, title: "Settings that cannot be read", errors });
      invalid("settings");
      return null;
    }
    const wanted = {};
    if (byId("workload").value !== "") wanted.workload = byId("workload").value;
    if (Object.keys(settings).length > 0) wanted.set = settings;
    return wanted;
  }

  async #order(button, slot, done, send) {
    if (button.getAttribute("aria-busy") === "true") return;
    button.setAttribute("aria-busy", "true");
    showProblem(slot, null);
    for (const input of document.querySelectorAll("[aria-invalid]")) input.removeAttribute("aria-invalid");
    try {
      const answer = await send();
      announce(answer.said ?? `${done} ${answer.run_id ?? ""}`);
      this.ordered(answer.run_id ?? null);
    } catch (problem) {
      showProblem(slot, problem);
      if (slot.id !== "present-error") mark(problem);
    } finally {
      button.removeAttribute("aria-busy");
    }
  }
}

const mode = () => document.querySelector("input[name=mode]:checked").value;

/** A value quoted as in TOML, without its quotes: values travel as text. */
const unquoted = (text) => (/^(["']).*\1$/.test(text) && text.length > 1 ? text.slice(1, -1) : text);

/** Whether a button can work; if not, why. `aria-disabled` keeps the focus, and the reason reachable. */
function allow(id, allowed, reason) {
  const button = byId(id);
  if (allowed) {
    button.removeAttribute("aria-disabled");
    button.removeAttribute("title");
  } else {
    button.setAttribute("aria-disabled", "true");
    button.title = reason;
  }
}

function refused(id, slot) {
  const button = byId(id);
  if (button.getAttribute("aria-disabled") !== "true") return false;
  showProblem(slot, { status: 0, title: button.title, detail: "" });
  return true;
}

/** Marks the fields that the problem's pointers name, and goes to the first. */
function mark(problem) {
  const fields = (problem.errors ?? []).map(({ pointer }) => fieldOf(pointer ?? "")).filter((id) => id !== null);
  for (const id of fields) invalid(id);
  if (fields.length > 0) byId(fields[0]).focus();
}

function fieldOf(pointer) {
  const key = keyOf(pointer);
  if (key === "workload") return "workload";
  if (key === "workload.rate") return "rate";
  if (key === "workload.duration") return "duration";
  if (key === "target_rate") return "target-rate";
  return pointer.includes("/set/") ? "settings" : null;
}

function invalid(id) {
  const field = byId(id);
  field.setAttribute("aria-invalid", "true");
  field.closest("details")?.setAttribute("open", "");
}
