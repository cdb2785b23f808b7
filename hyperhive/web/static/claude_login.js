// The dialog in which an agent's claude is logged in. It can be closed and opened
// again: the login itself is the hive's, and every page sees the same.

import { goOn } from "./claude_login_door.js";
import { el, setAttribute, setText } from "./dom.js";
import { get, post, toast } from "./net.js";
import { left } from "./words.js";

const STEPS = ["B3G1N", "S1GN 1N", "PR00F"];
// Which step each state is at, and what a screen reader is told of it.
const STATES = {
  none: { step: 0, said: "" },
  waiting: { step: 0, said: "Waiting for the turn to end." },
  starting: { step: 0, said: "Claude is starting." },
  link: { step: 1, said: "The link is there. Open it, sign in, and paste the code." },
  checking: { step: 2, said: "The code is being checked." },
  ending: { step: 1, said: "The login is being ended." },
  done: { step: 3, said: "Logged in." },
  failed: { step: 2, said: "The login failed." },
  cancelled: { step: 0, said: "The login was cancelled." },
  timed_out: { step: 1, said: "The login was given up: its time was over." },
};
const UNDER_WAY = ["waiting", "starting", "link", "checking", "ending"];
const OVER = { failed: "That did not work", cancelled: "Cancelled", timed_out: "Time is over" };

let name = null; // whose login is shown
let path = "";
let view = null;
let clock = null;

const title = el("h2", { id: "claude-login-title" });
const steps = el("ol", { class: "steps", "aria-label": "steps" }, ...STEPS.map((words) => el("li", {}, words)));
const body = el("div", { class: "step" });
const said = el("p", { class: "unseen", role: "status", "aria-live": "polite" });
const time = el("span", { class: "dim time" });
const cancel = el("button", { class: "danger", type: "button", onclick: () => ask("cancel", cancel) }, "■ cancel login");
const close = el("button", { class: "quiet close", type: "button", "aria-label": "close; a login that is under way goes on", onclick: () => dialog.close() }, "✕");
const dialog = el(
  "dialog",
  { class: "claude-login", "aria-labelledby": title.id },
  el("header", {}, title, close),
  steps,
  body,
  said,
  el("footer", {}, time, cancel),
);
dialog.addEventListener("close", closed);
const style = el("link", { rel: "stylesheet", href: new URL("./claude_login.css", import.meta.url) });
const styled = new Promise((done) => {
  style.addEventListener("load", done);
  style.addEventListener("error", done);
});
document.head.append(style);
document.body.append(dialog);

export async function open(agent, where) {
  if (name !== agent) {
    view = null;
    body.replaceChildren();
  }
  [name, path] = [agent, where];
  try {
    const { login } = await get(`${path}login/state`);
    await styled;
    // What ended well, or by somebody's will, is not where one goes on from.
    const over = ["done", "cancelled"].includes(login.state);
    if (over) view = null;
    take(over ? { state: "none" } : login, false);
  } catch (error) {
    toast(error.message, true);
    return;
  }
  if (!dialog.open) dialog.showModal();
  clearInterval(clock);
  clock = setInterval(tick, 1000);
  focus();
}

export function happened(event) {
  if (event.agent === name) take(event, true);
}

// The stream had a gap: ask how it is.
export async function reloaded() {
  if (!dialog.open || !UNDER_WAY.includes(view?.state)) return;
  take((await get(`${path}login/state`)).login, false);
}

function closed() {
  clearInterval(clock);
  // What opened it may be gone with the need for it.
  const at = document.activeElement;
  if (at === document.body || dialog.contains(at)) goOn(name);
}

// An answer may come after the event of what followed it: `surely` tells them apart.
function take(next, surely) {
  if (!surely && view?.since && !(Date.parse(next.since) > Date.parse(view.since))) return;
  const same = view?.state === next.state && view?.since === next.since;
  view = next;
  if (!same || !body.firstChild) draw();
  tick();
}

async function ask(verb, button, fields) {
  if (button.getAttribute("aria-busy") === "true") return null;
  setAttribute(button, "aria-busy", true);
  try {
    take((await post(`${path}login/${verb}`, fields)).login, false);
    return null;
  } catch (error) {
    return error.message;
  } finally {
    setAttribute(button, "aria-busy", false);
  }
}

function draw() {
  const { step, said: words } = STATES[view.state] ?? STATES.none;
  const held = dialog.open && (body.contains(document.activeElement) || document.activeElement === document.body || document.activeElement === cancel);
  setText(title, `L0G 1N · ${name}`);
  for (const [index, node] of [...steps.children].entries()) {
    setAttribute(node, "aria-current", index === step ? "step" : null);
    setAttribute(node, "data-done", index < step);
  }
  setAttribute(dialog, "data-state", view.state);
  body.replaceChildren(...(DRAWN[view.state] ?? DRAWN.none)());
  cancel.hidden = !UNDER_WAY.includes(view.state) || view.state === "ending";
  setText(said, words);
  if (held) focus();
}

const focus = () => (body.querySelector("[data-first]") ?? (cancel.hidden ? close : cancel)).focus();

function tick() {
  const until = UNDER_WAY.includes(view?.state) ? view.until : null;
  setText(time, until ? `${left(until)} left` : "");
}

const p = (...words) => el("p", {}, ...words);
const works = (words) => [el("p", { class: "works" }, el("span", { class: "pulse", "aria-hidden": "true" }), words)];

const DRAWN = {
  none: () => begin("begin", [
    p(el("strong", {}, name), " gets a login of its own. It stays in its container, and no other agent has it."),
    p("You sign in at Anthropic, in a tab of its own, and paste here the code that you are shown."),
  ]),
  waiting: () => [...works("Waiting for its turn to end…"), el("p", { class: "dim" }, view.note ?? "")],
  starting: () => works(`Claude starts in the container of ${name}…`),
  link: drawLink,
  checking: () => works("Claude exchanges the code, and says who it is…"),
  ending: () => works("It is being ended…"),
  done: drawDone,
  failed: () => over(),
  cancelled: () => over(),
  timed_out: () => over(),
};

function begin(words, before) {
  const problem = el("p", { class: "error", role: "alert" });
  const button = el("button", { class: "primary", type: "button", "data-first": true }, words);
  button.addEventListener("click", async () => setText(problem, (await ask("start", button)) ?? ""));
  return [...before, problem, el("div", { class: "row end" }, button)];
}

const over = () => begin("start again", [el("p", { class: "verdict" }, OVER[view.state]), p(view.note ?? "")]);

function drawLink() {
  const link = new URL(view.link);
  if (link.protocol !== "https:") return [el("p", { class: "error" }, "Claude's link is none that a browser should open.")];
  const field = el("input", { id: "claude-login-code", type: "text", autocomplete: "off", autocapitalize: "none", spellcheck: "false", required: true, placeholder: "two parts, with a # between", "aria-describedby": "claude-login-problem" });
  const problem = el("p", { id: "claude-login-problem", class: "error", role: "alert" });
  const send = el("button", { class: "primary", type: "submit" }, "log in");
  const out = el("a", { class: "out", href: link.href, target: "_blank", rel: "noopener noreferrer", "data-first": true }, `sign in at ${link.hostname} ↗`);
  // Whoever comes back from there has a code to paste.
  out.addEventListener("click", () => setTimeout(() => field.focus()));
  const address = el("input", { class: "address", type: "text", readonly: true, value: link.href, "aria-label": "the link" });
  address.addEventListener("focus", () => address.select());
  const copy = el("button", { type: "button" }, "copy link");
  copy.addEventListener("click", () => copied(address, copy));
  const form = el("form", { class: "code", autocomplete: "off" }, el("label", { for: field.id }, "2 · Paste the code"), el("div", { class: "line" }, field, send), problem);
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const wrong = await ask("code", send, { code: field.value });
    setText(problem, wrong ?? "");
    setAttribute(field, "aria-invalid", Boolean(wrong));
    if (wrong) field.focus();
  });
  return [
    el("p", { class: "label" }, "1 · Open the link, and sign in"),
    out,
    el("div", { class: "line" }, address, copy),
    form,
  ];
}

async function copied(address, button) {
  try {
    await navigator.clipboard.writeText(address.value);
  } catch {
    // Only secure pages may write to the clipboard by themselves.
    address.focus();
    document.execCommand("copy");
    button.focus();
  }
  setText(button, "copied ✓");
  setTimeout(() => setText(button, "copy link"), 2000);
}

function drawDone() {
  const account = view.account ?? {};
  const facts = [["account", account.email], ["organisation", account.organisation], ["plan", account.plan]].filter(([, fact]) => fact);
  return [
    el("p", { class: "verdict good" }, `✓ ${name} is logged in`),
    el("dl", {}, ...facts.flatMap(([key, fact]) => [el("dt", {}, key), el("dd", {}, fact)])),
    p("What waits for it begins by itself."),
    el("div", { class: "row end" }, el("button", { class: "primary", type: "button", "data-first": true, onclick: () => dialog.close() }, "close")),
  ];
}
