// The keys, in a dialog. Loaded when it is first asked for.

import { el, loadStyle } from "./dom.js";
import { KEYS } from "./keys.js";

const close = el("button", { class: "primary", value: "" }, "close");
const dialog = el(
  "dialog",
  { class: "help", "aria-labelledby": "help-title" },
  el("h2", { id: "help-title" }, "K3YS"),
  el("dl", {}, ...KEYS.map(([keys, words]) => el("div", {}, el("dt", {}, ...keys.map((key) => el("kbd", {}, key))), el("dd", {}, words)))),
  el("p", { class: "dim" }, "In a text, Ctrl+Enter sends. On an agent's page, Enter sends and /help lists commands."),
  el("form", { method: "dialog", class: "row end" }, close),
);
document.body.append(dialog);
const styled = loadStyle(new URL("./palette.css", import.meta.url));

export async function openHelp() {
  await styled;
  if (!dialog.open) dialog.showModal();
}
