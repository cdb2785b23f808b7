// What destroyed agents have left: bring one back, or remove it for good.

import { confirmedByName } from "./ask.js";
import { el, setAttribute, setText } from "./dom.js";
import { attempt, post } from "./net.js";
import { ticking } from "./ticker.js";
import { age, count, moment } from "./words.js";

export function makeTombstone({ name }) {
  const revive = el("button", { class: "quiet", type: "button", "aria-label": `revive ${name}`, title: "propose an agent of this name, with what is kept" }, "▶ revive");
  revive.addEventListener("click", () =>
    attempt(revive, () => post("request-spawn", { name, description: "Revive it with what it has left." }), `${name} comes back when you approve it.`),
  );
  const purge = el("button", { class: "quiet danger", type: "button", "aria-label": `purge ${name}` }, "✕ purge");
  purge.addEventListener("click", async () => {
    const text = "Its notes, its conversation and its login are removed for good.";
    if (await confirmedByName({ name, title: `purge ${name}?`, text, yes: "purge" })) await attempt(purge, () => post(`purge-tombstone/${name}`), `${name} is gone.`);
  });
  const node = el(
    "li",
    { class: "tombstone row" },
    el("strong", {}, name),
    el("span", { class: "size" }),
    el("span", { class: "login mark" }),
    el("time", { class: "dim" }),
    el("span", { class: "grow" }),
    revive,
    purge,
  );
  return ticking(node, () => node.item && updateAge(node, node.item));
}

export function updateTombstone(node, stone) {
  setText(node.querySelector(".size"), `${count(stone.bytes)}B`);
  const login = node.querySelector(".login");
  setText(login, stone.login ? "has a login" : "no login");
  setAttribute(login, "data-there", stone.login);
  updateAge(node, stone);
}

function updateAge(node, { since }) {
  setText(node.querySelector("time"), `destroyed ${age(since)} ago`);
  setAttribute(node.querySelector("time"), "title", moment(since));
}
