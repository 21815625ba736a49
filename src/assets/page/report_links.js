// Links to a run's report. A link cannot carry a token: with one, the document is fetched and shown from memory.

import { getBlob, hasToken, hrefOf, Problem, runPath } from "./api.js";
import { byId, el } from "./dom.js";
import { showProblem } from "./problem.js";

const TYPES = { html: "text/html", json: "application/json", md: "text/markdown", csv: "text/csv", hdr: "text/plain" };
/** Long enough for the new tab to have loaded it. */
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
        openFetched(path, form);
      },
    },
    form,
  );
}

async function openFetched(path, form) {
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
