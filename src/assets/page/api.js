// The daemon's HTTP API: requests, the token, problems, and server-sent events read by fetch (an EventSource cannot
// send the token).

const TOKEN_KEY = "streamgauge.token";
const PREFIX = "/api/v1/";

/** How long an answer may take. */
const ANSWER_MS = 15_000;
/** A stream that says nothing for so long is taken for dead: the daemon sends a status about once a second. */
const SILENCE_MS = 15_000;

/** A refusal by the daemon (RFC 9457), or no answer at all (`status` 0). */
export class Problem extends Error {
  constructor({ status = 0, title = "", detail = "", hint = "", errors = [], code = "" }) {
    super(detail || title || `HTTP status ${status}`);
    Object.assign(this, { status, title, detail, hint, errors: Array.isArray(errors) ? errors : [], code });
  }
}

let token = "";
try {
  token = sessionStorage.getItem(TOKEN_KEY) ?? "";
} catch {
  // Storage is off: the token lives as long as the page.
}

export const hasToken = () => token !== "";

export function setToken(value) {
  token = value;
  try {
    if (value === "") sessionStorage.removeItem(TOKEN_KEY);
    else sessionStorage.setItem(TOKEN_KEY, value);
  } catch {
    // As above.
  }
}

let onUnauthorized = () => {};
/** Called whenever the daemon asks for a token. */
export const whenUnauthorized = (callback) => {
  onUnauthorized = callback;
};

async function send(method, path, { body, accept = "application/json", headers = {}, signal }) {
  const asked = { Accept: `${accept}, application/problem+json`, ...headers };
  if (token !== "") asked.Authorization = `Bearer ${token}`;
  if (body !== undefined) asked["Content-Type"] = "application/json";
  let answer;
  try {
    answer = await fetch(PREFIX + path, {
      method,
      headers: asked,
      body: body === undefined ? undefined : JSON.stringify(body),
      signal,
      cache: "no-store",
    });
  } catch (error) {
    throw unreachable(error);
  }
  if (!answer.ok) throw await refusal(answer);
  return answer;
}

function unreachable(error) {
  if (error instanceof Problem) return error;
  const late = error?.name === "TimeoutError";
  return new Problem({ title: "not connected", detail: late ? "the daemon does not answer" : "the daemon cannot be reached" });
}

async function refusal(answer) {
  let said = {};
  try {
    said = await answer.json();
  } catch {
    // Not from the daemon itself, perhaps from something in between: the status says what there is to say.
  }
  if (said === null || typeof said !== "object") said = {};
  if (answer.status === 401) onUnauthorized();
  // The status in words tells people nothing that the detail does not.
  if (said.title === answer.statusText && said.detail) said.title = "";
  return new Problem({ title: said.detail ? "" : answer.statusText, ...said, status: answer.status });
}

/** Asks, and gives the JSON of the answer. */
export async function ask(method, path, body) {
  const answer = await send(method, path, { body, signal: AbortSignal.timeout(ANSWER_MS) });
  try {
    return await answer.json();
  } catch (error) {
    if (error instanceof SyntaxError) throw new Problem({ title: "the daemon's answer is not JSON", status: answer.status });
    throw unreachable(error);
  }
}

export const get = (path) => ask("GET", path);

/** A document of another form, as a Blob. */
export async function getBlob(path, accept) {
  const answer = await send("GET", path, { accept, signal: AbortSignal.timeout(ANSWER_MS) });
  try {
    return await answer.blob();
  } catch (error) {
    throw unreachable(error);
  }
}

/** Where a link of the API leads. */
export const hrefOf = (path) => PREFIX + path;

export const runPath = (id, rest = "") => `runs/${encodeURIComponent(id)}${rest}`;

/**
 * Reads the server-sent events at `path` until the stream ends, and gives each to `onEvent(name, data, id)`.
 * `opened` is called once the daemon has answered.
 */
export async function readEvents(path, { lastEventId, onEvent, opened, signal }) {
  const silence = new AbortController();
  let timer = setTimeout(() => silence.abort(), SILENCE_MS);
  const alive = () => {
    clearTimeout(timer);
    timer = setTimeout(() => silence.abort(), SILENCE_MS);
  };
  try {
    const answer = await send("GET", path, {
      accept: "text/event-stream",
      headers: lastEventId ? { "Last-Event-ID": lastEventId } : {},
      signal: AbortSignal.any([silence.signal, signal]),
    });
    opened();
    const decoder = new TextDecoder();
    const parser = new EventParser(onEvent);
    const reader = answer.body.getReader();
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      alive();
      parser.push(decoder.decode(value, { stream: true }));
    }
  } catch (error) {
    if (silence.signal.aborted) throw new Problem({ title: "not connected", detail: "the daemon has gone silent" });
    throw unreachable(error);
  } finally {
    clearTimeout(timer);
  }
}

/** The event stream format of the HTML standard, section 9.2.6, as far as a reader needs it. */
export class EventParser {
  #rest = "";
  #name = "";
  #data = [];
  #id = "";

  constructor(onEvent) {
    this.onEvent = onEvent;
  }

  push(text) {
    // A carriage return at the end may be half of a line end: it waits for what follows.
    const lines = (this.#rest + text).split(/\r\n|\n|\r(?!$)/);
    this.#rest = lines.pop();
    for (const line of lines) this.#line(line);
  }

  #line(line) {
    if (line === "") {
      if (this.#data.length > 0) this.#emit();
      this.#name = "";
      this.#data = [];
      return;
    }
    const colon = line.indexOf(":");
    if (colon === 0) return;
    const field = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? "" : line.slice(colon + 1).replace(/^ /, "");
    if (field === "event") this.#name = value;
    else if (field === "data") this.#data.push(value);
    else if (field === "id" && !value.includes("\0")) this.#id = value;
  }

  #emit() {
    let data;
    try {
      data = JSON.parse(this.#data.join("\n"));
    } catch {
      return; // One event that cannot be read is no reason to lose the others.
    }
    this.onEvent(this.#name || "message", data, this.#id);
  }
}
