// What a page says while the hive does not answer, or does not know us any more.

import { byId, el, setText } from "./dom.js";

const GRACE = 3000; // a loss that heals in this time is not worth a word, in milliseconds

let since = null; // when the hive was lost
let next = 0; // when it is tried again
let ticking = null;
let again = () => {};

const node = (kind, ...children) => {
  const found = byId("outage") ?? document.body.appendChild(el("div", { id: "outage", class: "outage", role: "status" }));
  if (children.length) found.replaceChildren(...children);
  found.dataset.kind = kind;
  found.hidden = false;
  return found;
};

// The stream broke, and is tried again in `pause` milliseconds, or at once by retry().
export function lost(pause, retry) {
  since ??= Date.now();
  next = Date.now() + pause;
  again = retry;
  ticking ??= setInterval(draw, 500);
  draw();
}

function draw() {
  if (Date.now() - since < GRACE) return;
  const shown = byId("outage");
  if (!shown || shown.hidden || shown.dataset.kind !== "lost") {
    node("lost", el("span", {}, "The hive does not answer; ", el("span", { class: "when", "aria-live": "off" })), el("button", { type: "button", onclick: () => again() }, "try now"));
  }
  const seconds = Math.ceil((next - Date.now()) / 1000);
  setText(byId("outage").querySelector(".when"), seconds > 0 ? `trying again in ${seconds} s` : "trying again");
}

export function healed() {
  clearInterval(ticking);
  ticking = since = null;
  const shown = byId("outage");
  if (shown && shown.dataset.kind !== "outdated") shown.hidden = true;
}

// The login is over: what is typed stays, and the way back is a link.
export function loggedOut() {
  healed();
  const path = `/login?next=${encodeURIComponent(location.pathname + location.search)}`;
  node("out", el("span", {}, "You are logged out."), el("a", { href: path }, "log in"));
}

// The daemon that answers is another version than the one that gave this page.
export function outdated(version) {
  healed();
  node("outdated", el("span", {}, `The hive runs ${version} now.`), el("button", { type: "button", onclick: () => location.reload() }, "reload this page"));
}
