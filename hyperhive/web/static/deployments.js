// What an agent ran before, and the way back to it.

import { el } from "./dom.js";
import { attempt, get } from "./net.js";
import { rollbackButton } from "./rollback.js";
import { age, moment } from "./words.js";

// Show the history in `place`; `close` puts it away.
export async function showPast(place, name, close) {
  place.replaceChildren(el("p", { class: "dim" }, "asks for its deployments…"));
  let found = [];
  const well = await attempt(null, async () => (found = (await get(`api/deployments/${name}`)).deployments));
  if (!well) return place.replaceChildren(failed(place, name, close));
  const list = el("ol", { class: "deployments" }, ...found.map((one) => deployment(place, name, one, close)));
  place.replaceChildren(
    head(name, close),
    found.length ? list : el("p", { class: "dim" }, "Nothing was deployed by approval yet: it runs what it was made with."),
  );
  place.querySelector("button").focus();
}

function head(name, close) {
  const button = el("button", { class: "quiet", type: "button", "aria-label": `close the deployments of ${name}` }, "✕ close");
  button.addEventListener("click", close);
  return el("div", { class: "row" }, el("strong", {}, "deployments"), el("span", { class: "grow" }), button);
}

function failed(place, name, close) {
  const again = el("button", { class: "quiet", type: "button" }, "↻ try again");
  again.addEventListener("click", () => showPast(place, name, close));
  return again;
}

function deployment(place, name, { id, sha, at, current }, close) {
  const back = () => rollbackButton(name, { id, sha, at }, `rollback/${name}`, () => showPast(place, name, close));
  return el(
    "li",
    { class: "row", "aria-current": current ? "true" : null },
    el("span", { class: "dim" }, `#${id}`),
    el("code", { title: sha }, sha.slice(0, 10)),
    el("time", { class: "dim", datetime: at, title: new Date(at).toLocaleString() }, `${moment(at)} · ${age(at)} ago`),
    el("span", { class: "grow" }),
    logButton(name, id),
    current ? el("span", { class: "mark runs" }, "runs now") : back(),
  );
}

// A deployment whose job the queue still shows leads to its log.
function logButton(name, id) {
  const job = document.querySelector(`#jobs [data-agent="${CSS.escape(name)}"][data-approval="${id}"]`);
  if (!job) return null;
  const show = () => {
    job.querySelector("details").open = true;
    job.scrollIntoView({ block: "center" });
    job.querySelector("summary").focus({ preventScroll: true });
  };
  return el("button", { class: "quiet", type: "button", "aria-label": `log of deployment ${id}`, onclick: show }, "≡ log");
}
