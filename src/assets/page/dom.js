// Making and changing elements. Text is always set as text: nothing that came over the network is parsed as HTML.

import { dateTime, NONE, timeOfDay, utc } from "./format.js";

export const byId = (id) => document.getElementById(id);

export const { el, svg } = Charts;

/** One of the shapes of `index.html`; the text beside it says the same. */
export const shape = (name) => svg("svg", { class: "shape", "aria-hidden": "true" }, svg("use", { href: `#shape-${name}` }));

/** Sets text only where it differs, so that nothing is laid out or read again without need. */
export function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

/** A local time whose title is the time in UTC. */
export function time(value, { date = true, withMillis = false } = {}) {
  const iso = utc(value);
  if (iso === "") return el("span", {}, NONE);
  return el("time", { datetime: iso, title: `${iso} (UTC)` }, date ? dateTime(value) : timeOfDay(value, withMillis));
}

/** A `<dl>` of figures: made once, then only changed. */
export class Figures {
  #entries = new Map();

  constructor(list) {
    this.list = list;
  }

  /** Sets one figure; `tone`: `bad`, `warn` or none; `extra`: a node below the value, given once. */
  set(name, text, { tone = "", title = "", extra = null } = {}) {
    let entry = this.#entries.get(name);
    if (entry === undefined) {
      const value = el("span");
      const group = el("div", {}, el("dt", {}, name), el("dd", {}, value, extra));
      entry = { group, value };
      this.#entries.set(name, entry);
      this.list.append(group);
    }
    setText(entry.value, text);
    if (entry.group.dataset.tone !== tone) entry.group.dataset.tone = tone;
    if (entry.group.title !== title) entry.group.title = title;
  }

  /** Leaves only the named figures. */
  keep(names) {
    for (const [name, { group }] of this.#entries) {
      if (names.includes(name)) continue;
      group.remove();
      this.#entries.delete(name);
    }
  }
}

/** Says something to screen readers, politely; repeats nothing. */
export function announce(text) {
  setText(byId("announcer"), text);
}
