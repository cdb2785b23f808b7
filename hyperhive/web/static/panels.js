// What lies beside the terminal and is asked for when it is opened: turns of before, the
// configuration, what was deployed, the container's journal.

import { byId, el } from "./dom.js";
import { attempt, get } from "./net.js";
import { rollbackButton } from "./rollback.js";
import { age } from "./words.js";

// Ask when a box is opened, and again with its button.
function panel(id, ask) {
  const box = byId(`${id}-box`);
  const place = byId(id);
  const load = async () => {
    if (!place.childElementCount) place.replaceChildren(el("p", { class: "dim" }, "asks the hive…"));
    let found;
    if (await attempt(null, async () => (found = await ask()))) place.replaceChildren(...found, again());
    else place.replaceChildren(again());
  };
  const again = () => el("button", { class: "quiet", type: "button", onclick: load }, "↻ again");
  box.addEventListener("toggle", () => box.open && load());
  if (location.hash === `#${id}`) box.open = true;
  addEventListener("hashchange", () => location.hash === `#${id}` && (box.open = true));
}

export function panels(name) {
  panel("config", config);
  panel("deploys", () => deployments(name));
  panel("journal", journal);
}

async function config() {
  const { config: set, sha, tag, system, built_with: built } = await get("api/config");
  const origin = [tag, sha?.slice(0, 10), built && `built by ${built}`].filter(Boolean).join(" · ");
  return [
    el("p", { class: "dim" }, origin || "It runs with what every agent begins with."),
    system ? el("code", { class: "wide" }, system) : null,
    el("dl", { class: "facts" }, ...facts(set)),
  ].filter(Boolean);
}

// Names and values, what is nested under its own name.
function facts(values, under = "") {
  return Object.entries(values ?? {}).flatMap(([name, value]) => {
    if (value == null) return [];
    if (typeof value === "object" && !Array.isArray(value)) return facts(value, `${under}${name}.`);
    const words = Array.isArray(value) ? value.map((one) => (typeof one === "object" ? JSON.stringify(one) : one)).join(", ") : value;
    return [el("dt", {}, `${under}${name}`), el("dd", {}, String(words) || "(none)")];
  });
}

async function deployments(name) {
  const { deployments: found } = await get("api/deployments");
  if (!found.length) return [el("p", { class: "dim" }, "Nothing was deployed yet.")];
  return [el("ol", { class: "past-deploys" }, ...found.map((one) => deployment(name, one)))];
}

function deployment(name, { id, sha, at, current }) {
  return el(
    "li",
    { "aria-current": current ? "true" : null },
    el("span", { class: "dim" }, `#${id}`),
    el("code", { title: sha }, sha.slice(0, 10)),
    el("time", { class: "dim", datetime: at, title: new Date(at).toLocaleString() }, `${age(at)} ago`),
    current ? el("span", { class: "runs" }, "runs now") : rollbackButton(name, { id, sha, at }, "api/rollback"),
  );
}

async function journal() {
  const { lines } = await get("api/journal");
  if (lines === null) return [el("p", { class: "dim" }, "Its container keeps no journal: nothing runs in it but turns.")];
  if (!lines.length) return [el("p", { class: "dim" }, "The journal is empty.")];
  const view = el("pre", { class: "journal", tabindex: "0", "aria-label": "journal of its container" }, lines.join("\n"));
  requestAnimationFrame(() => (view.scrollTop = view.scrollHeight));
  return [view];
}
