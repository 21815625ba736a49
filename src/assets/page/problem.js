// A refusal, shown beside what caused it: title, detail, each error, what to do.

import { el, shape } from "./dom.js";

/** Fills `slot` (an alert: its text is read out) with the problem; `null` empties it. */
export function showProblem(slot, problem) {
  if (problem === null) {
    slot.replaceChildren();
    return;
  }
  const known = problem.status !== undefined;
  if (!known) console.error(problem); // A defect of this page, not an answer of the daemon.
  const detail = (known ? problem.detail : problem.message) || "";
  const title = problem.title || detail || "It did not work";
  // What the detail says already is not said again.
  const errors = (problem.errors ?? []).filter((error) => !error.detail || !detail.includes(error.detail));
  slot.replaceChildren(
    el(
      "div",
      { class: "problem" },
      el("p", { class: "problem-title" }, shape("bad"), el("span", {}, title)),
      detail !== "" && detail !== title ? el("p", {}, detail) : null,
      errorList(errors),
      problem.hint ? el("p", { class: "hint" }, problem.hint) : null,
    ),
  );
}

function errorList(errors) {
  if (errors.length === 0) return null;
  return el(
    "ul",
    {},
    errors.map(({ pointer, detail }) => el("li", {}, pointer ? el("code", {}, keyOf(pointer)) : null, pointer ? ": " : null, detail ?? "")),
  );
}

/** The last part of a JSON pointer, as people write the setting: `/set/workload.rate` -> `workload.rate`. */
export function keyOf(pointer) {
  const parts = String(pointer).replace(/^#/, "").split("/").filter((part) => part !== "");
  const last = parts.at(-1) ?? "";
  return last.replaceAll("~1", "/").replaceAll("~0", "~");
}
