// Links to a run's report. A link cannot carry a token: with one, the document is fetched, and shown from memory. The
// HTML report is saved as a file instead: shown from memory it would be under this page's policy, which allows none of
// the scripts that draw its charts.

import { getBlob, hasToken, hrefOf, Problem, runPath } from "./api.js";
import { announce, byId, el } from "./dom.js";
import { showProblem } from "./problem.js";

const TYPES = { html: "text/html", json: "application/json", md: "text/markdown", csv: "text/csv", hdr: "text/plain" };
/** Long enough for the new tab, or the file, to have all of it. */
const BLOB_MS = 60_000;

/** A link for each form, separated by spaces. */
export function reportLinks(runId, forms) {
  return forms.flatMap((form, at) => [at > 0 ? " " : null, reportLink(runId, form)]).filter((node) => node !== null);
}

function reportLink(runId, form) {
  const path = runPath(runId, `/report?format=${form}`);
  return el(
    "a",
    {
      href: hrefOf(path), target: "_blank", rel: "noopener", "data-form": form,
      "aria-label": `Report of ${runId} as ${form}, in a new tab`,
      onclick: (event) => {
        if (!hasToken()) return;
        event.preventDefault();
        if (form === "html") save(path, `streamgauge-${runId}.html`);
        else show(path, form);
      },
    },
    form,
  );
}

async function save(path, name) {
  const slot = byId("history-error");
  showProblem(slot, null);
  try {
    const url = URL.createObjectURL(await getBlob(path, TYPES.html));
    setTimeout(() => URL.revokeObjectURL(url), BLOB_MS);
    el("a", { href: url, download: name }).click();
    announce(`Saved as ${name}.`);
  } catch (problem) {
    showProblem(slot, problem);
  }
}

async function show(path, form) {
  const slot = byId("history-error");
  showProblem(slot, null);
  // The tab is opened in the click itself: a later one would be taken for an advertisement.
  const tab = window.open("", "_blank");
  try {
    const document = await getBlob(path, TYPES[form]);
    const url = URL.createObjectURL(document);
    setTimeout(() => URL.revokeObjectURL(url), BLOB_MS);
    if (tab === null) throw new Problem({ title: "the browser did not let a new tab open", hint: "allow it for this page" });
    tab.location.replace(url);
  } catch (problem) {
    tab?.close();
    showProblem(slot, problem);
  }
}
