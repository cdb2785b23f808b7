// Keys that work everywhere, but never while one types: lists, jumps, and the palette.

import { byId } from "./dom.js";

const PATIENCE = 1500; // for the second key of a jump, in milliseconds

// Where "g" and a letter lead: an element of the dashboard, in words.
export const JUMPS = {
  a: ["agents", "agents"],
  p: ["approvals", "approvals"],
  u: ["questions", "questions"],
  c: ["compose", "compose"],
  i: ["inbox", "the operator's inbox"],
  f: ["flow", "message flow"],
  q: ["jobs", "deploy queue"],
  k: ["tombstones", "kept state"],
};

export const KEYS = [
  [["Ctrl K"], "every action"],
  [["j", "k"], "next and previous in the lists"],
  [["↵"], "open what is focused"],
  [["/"], "filter"],
  [["c"], "write"],
  [["g", "d"], "dashboard"],
  [["g", "s"], "statistics"],
  ...Object.entries(JUMPS).map(([key, [, words]]) => [["g", key], words]),
  [["?"], "this"],
];

const ROWS = "main :is(li, tr)[data-key]:not(.group, #strip *)";

const typing = (node) => node.closest?.("input:not([type=checkbox], [type=radio]), textarea, select, [contenteditable]");

// The address of the dashboard as this page knows it.
const home = () => document.querySelector(".bar.shell")?.dataset.home ?? "";

const onDashboard = (id) => (document.body.classList.contains("dashboard") ? byId(id) : null);

// Go to a part of the dashboard, from whatever page.
export function jump(id) {
  const place = onDashboard(id);
  if (!place) {
    location.assign(`${home()}#${id}`);
    return;
  }
  const section = place.closest("section") ?? place;
  section.dispatchEvent(new Event("unfold"));
  section.scrollIntoView({ block: "start" });
  const first = [...place.querySelectorAll(ROWS)].find((node) => node.checkVisibility());
  focus(first ?? section);
}

// Go to one row of a list of the dashboard, or to the list if the row is not there.
export function jumpTo(list, key) {
  const row = onDashboard(list)?.querySelector(`[data-key="${CSS.escape(String(key))}"]`);
  if (row) focus(row);
  else jump(list);
}

function focus(node) {
  if (!node.hasAttribute("tabindex")) node.tabIndex = -1;
  node.focus({ preventScroll: true });
  node.scrollIntoView({ block: "nearest" });
}

function step(by) {
  const rows = [...document.querySelectorAll(ROWS)].filter((node) => node.checkVisibility());
  const now = document.activeElement?.closest?.(ROWS);
  const at = rows.indexOf(now);
  const next = rows[at < 0 ? (by > 0 ? 0 : rows.length - 1) : at + by];
  if (next) focus(next);
}

function filter(palette) {
  const place = document.querySelector("main [data-filter], main input[type=search]");
  if (place?.checkVisibility()) place.focus();
  else palette();
}

// What single keys do, given palette() and help().
export function listen({ palette, help }) {
  const single = {
    j: () => step(1),
    k: () => step(-1),
    c: () => (byId("prompt") ?? byId("compose-body"))?.focus(),
    "/": () => filter(palette),
    "?": help,
  };
  const jumps = {
    d: () => location.assign(home() || "/"),
    s: () => location.assign(`${home()}stats`),
    ...Object.fromEntries(Object.entries(JUMPS).map(([key, [id]]) => [key, () => jump(id)])),
  };
  let pending = 0; // until when a "g" waits for its letter

  addEventListener("keydown", (event) => {
    if (event.defaultPrevented || event.isComposing) return;
    if ((event.ctrlKey || event.metaKey) && !event.altKey && !event.shiftKey && event.key.toLowerCase() === "k") {
      event.preventDefault();
      palette();
      return;
    }
    if (event.ctrlKey || event.metaKey || event.altKey || event.repeat && !"jk".includes(event.key)) return;
    if (typing(event.target) || document.querySelector("dialog[open]")) return;
    const led = performance.now() < pending;
    pending = 0;
    const run = led ? jumps[event.key] : single[event.key];
    if (event.key === "g" && !led) pending = performance.now() + PATIENCE;
    else if (run) run();
    else if (event.key !== "Enter" || !opened(event.target)) return;
    event.preventDefault();
  });
}

// Enter on a row opens it: its link, its details, its fold.
function opened(node) {
  if (!node.matches?.(ROWS)) return false;
  const handle = node.querySelector("a[href], summary, .unfold");
  handle?.click();
  return Boolean(handle);
}
