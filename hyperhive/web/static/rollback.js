// The button that goes back to an earlier deployment of an agent, after asking.

import { el } from "./dom.js";
import { attempt, confirmed, post } from "./net.js";
import { moment } from "./words.js";

// path: what it is asked with, on this page. done(): it has gone back.
export function rollbackButton(name, { id, sha, at }, path, done = () => {}) {
  const back = el("button", { class: "quiet", type: "button", "aria-label": `roll ${name} back to ${id}` }, "↺ roll back");
  back.addEventListener("click", async () => {
    const text = `What was deployed as #${id} (${sha.slice(0, 10)}, ${moment(at)}) is built and run again. Its turn may end first.`;
    if ((await confirmed({ title: `roll ${name} back to #${id}?`, text, yes: "roll back" })) === null) return;
    if (await attempt(back, () => post(path, { id }), `${name} is back at #${id}.`)) await done();
  });
  return back;
}
