// Making and changing elements. Text is always set as text: nothing that came over the network is parsed as HTML.

import { dateTime, NONE, timeOfDay, utc } from "./format.js";

export const byId = (id) => document.getElementById(id);

/** An element with attributes (`on…`: listeners; `false` and `null`: left out) and children (nodes or text). */
export function el(name, attributes = {}, ...children) {
  const node = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (key.startsWith("on")) node.addEventListener(key.slice(2), value);
    else node.setAttribute(key, value === true ? "" : value);
  }
  node.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return node;
}

/** One of the shapes of `index.html`; the text beside it says the same. */
export function shape(name) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("class", "shape");
  svg.setAttribute("aria-hidden", "true");
  const use = document.createElementNS("http://www.w3.org/2000/svg", "use");
  use.setAttribute("href", `#shape-${name}`);
  svg.append(use);
  return svg;
}

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
