// Whether the daemon answers, said plainly; and the token, where it asks for one.

import { hasToken, setToken, whenUnauthorized } from "./api.js";
import { announce, byId, setText } from "./dom.js";
import { timeOfDay } from "./format.js";
import { showProblem } from "./problem.js";

const LONGEST_WAIT_S = 15;

export class Connection {
  #failures = 0;
  #wake = () => {};
  #tokenWanted = false;
  #said = "";
  #answered = null;

  /** `changed()` is called when there is a new token. */
  constructor(changed) {
    this.changed = changed;
    byId("retry-now").addEventListener("click", () => this.poke());
    window.addEventListener("online", () => this.poke());
    byId("token-toggle").addEventListener("click", () => this.#openForm(byId("token-form").hidden, true));
    byId("token-form").addEventListener("submit", (event) => this.#take(event));
    byId("token-forget").addEventListener("click", () => this.#forget());
    whenUnauthorized(() => this.#askForToken());
  }

  /** Ends the present wait at once. */
  poke() {
    this.#wake();
  }

  /** Waits, unless poked; gives whether it was. */
  pause(seconds) {
    return new Promise((resolve) => {
      const timer = setTimeout(() => resolve(false), seconds * 1000);
      this.#wake = () => {
        clearTimeout(timer);
        resolve(true);
      };
    });
  }

  /** What is wrong, in two words; empty: nothing. */
  get trouble() {
    if (this.#tokenWanted) return "token needed";
    return this.#failures > 0 ? "not connected" : "";
  }

  /**
   * The daemon answered; `live`: its stream is open. Where one is due and not open yet (`streamDue`) the waits between
   * attempts go on growing: the stream may be what fails.
   */
  up({ live = false, streamDue = false } = {}) {
    this.#tokenWanted = false;
    this.#answered = new Date();
    byId("retry-now").hidden = true;
    byId("stale-note").hidden = true;
    this.#show(live ? "live" : "up", live ? "live" : "connected");
    if (streamDue && !live) return;
    if (this.#said !== "") announce("Connected again.");
    this.#failures = 0;
    this.#said = "";
  }

  /** It did not: says so, and waits, longer each time. */
  async down(problem) {
    if (this.#tokenWanted) {
      this.#show("down", this.trouble);
      await this.pause(3600);
      return;
    }
    this.#failures += 1;
    const why = problem.status > 0 ? `${problem.message} (HTTP status ${problem.status})` : problem.message;
    if (this.#said !== why) announce(`Not connected: ${why}.`);
    this.#said = why;
    byId("retry-now").hidden = false;
    this.#tellAge(why);
    const until = performance.now() + Math.min(2 ** (this.#failures - 1), LONGEST_WAIT_S) * 1000;
    let poked = false;
    while (!poked && performance.now() < until) {
      const left = Math.ceil((until - performance.now()) / 1000);
      this.#show("down", `not connected, retrying in ${left} s`, why);
      poked = await this.pause(Math.min(1, (until - performance.now()) / 1000));
    }
    this.#show("down", "not connected, trying…", why);
  }

  #tellAge(why) {
    const note = byId("stale-note");
    note.hidden = false;
    const age = this.#answered === null ? "" : ` What is shown is of ${timeOfDay(this.#answered)}.`;
    setText(note, `Not connected: ${why}.${age}`);
  }

  #show(state, text, title = "") {
    const node = byId("connection");
    if (node.dataset.state !== state) node.dataset.state = state;
    setText(node, text);
    if (node.title !== title) node.title = title;
  }

  #openForm(open, focus) {
    byId("token-form").hidden = !open;
    byId("token-toggle").setAttribute("aria-expanded", String(open));
    if (open && focus) byId("token").focus();
  }

  #askForToken() {
    if (this.#tokenWanted) return;
    this.#tokenWanted = true;
    const refused = hasToken();
    // A token that was refused is no token: links become plain links again, and the next one is asked for.
    this.#openForm(true, document.activeElement === document.body || refused);
    showProblem(byId("token-error"), {
      status: 401,
      title: refused ? "The daemon refused this token" : "The daemon asks for its token",
      detail: "",
      hint: "it is the one in [server] token or token_file of the daemon’s configuration",
    });
  }

  #take(event) {
    event.preventDefault();
    const value = byId("token").value.trim();
    if (value === "") return;
    setToken(value);
    this.#accept();
  }

  #forget() {
    setToken("");
    this.#accept();
  }

  /** Goes on with what is set now; if that is refused, the form comes back. */
  #accept() {
    byId("token").value = "";
    this.#tokenWanted = false;
    showProblem(byId("token-error"), null);
    this.#openForm(false, false);
    byId("token-toggle").focus();
    this.changed();
    this.poke();
  }
}
