// What the operator wants to be told of, in a dialog. Loaded when it is first opened.

import { ALERTS, isMuted, keepSettings, settings } from "./alerts.js";
import { el, loadStyle, setText } from "./dom.js";
import { attempt, tellTest } from "./net.js";
import { moment } from "./words.js";

const HOUR = 3600000;

export function tomorrow() {
  const morning = new Date();
  morning.setDate(morning.getDate() + 1);
  morning.setHours(8, 0, 0, 0);
  return morning.getTime();
}

const boxes = Object.entries(ALERTS).map(([kind, words]) => [kind, words, el("input", { type: "checkbox", name: kind })]);
const allow = el("button", { type: "button", onclick: () => Notification.requestPermission().then(draw) }, "allow this browser's notifications");
const permission = el("p", { class: "dim" });
const state = el("span", { class: "grow", role: "status" });
const mute = (words, until) => el("button", { type: "button", onclick: () => set({ muted: until() }) }, words);
const hour = mute("for 1 h", () => Date.now() + HOUR);
const morning = mute("until tomorrow", tomorrow);
const again = mute("unmute", () => 0);

const test = el("button", { type: "button", onclick: () => attempt(test, tellTest, (said) => said) }, "tell a test");

const dialog = el(
  "dialog",
  { class: "alerts", "aria-labelledby": "alerts-title" },
  el("h2", { id: "alerts-title" }, "4L3RTS"),
  permission,
  allow,
  el("fieldset", {}, el("legend", {}, "tell me of"), ...boxes.map(([, words, box]) => el("label", { class: "check" }, box, words))),
  el("fieldset", {}, el("legend", {}, "mute all"), el("div", { class: "row" }, state, hour, morning, again)),
  el("fieldset", {}, el("legend", {}, "outside the house"), el("div", { class: "row" }, el("span", { class: "grow dim" }, "ntfy and webhooks are set in hive.toml"), test)),
  el("form", { method: "dialog", class: "row end" }, el("button", { class: "primary", value: "" }, "close")),
);
document.body.append(dialog);
const styled = loadStyle(new URL("./palette.css", import.meta.url));

for (const [, , box] of boxes) {
  box.addEventListener("change", () => set({ off: boxes.filter(([, , one]) => !one.checked).map(([kind]) => kind) }));
}

function set(changes) {
  keepSettings(changes);
  draw();
}

const GRANTED = {
  granted: "While no page of the hive is looked at, they come as notifications of this browser; else on the page.",
  denied: "They come on the page only: notifications are blocked in this browser's settings.",
  default: "They come on the page only, until you allow notifications.",
  none: "They come on the page only: this browser shows notifications for https and localhost.",
};

function draw() {
  const granted = globalThis.isSecureContext ? (globalThis.Notification?.permission ?? "none") : "none";
  setText(permission, GRANTED[granted]);
  allow.hidden = granted !== "default";
  const { off, muted } = settings();
  for (const [kind, , box] of boxes) box.checked = !off.includes(kind);
  setText(state, isMuted() ? `muted until ${moment(muted)}` : "not muted");
  hour.hidden = morning.hidden = isMuted();
  again.hidden = !isMuted();
}

export async function openAlerts() {
  await styled;
  draw();
  if (!dialog.open) dialog.showModal();
}
