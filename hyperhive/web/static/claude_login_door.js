// The door to claude's login: a button, and its dialog when somebody opens it.

import { byId, el, icon, setAttribute, setText } from "./dom.js";
import { toast } from "./net.js";

let dialog = null; // the module, once it was asked for

// name: whose claude. path: where that agent's page is, from this page.
export async function openLogin(name, path) {
  dialog ??= import("./claude_login.js");
  try {
    (await dialog).open(name, path);
  } catch {
    dialog = null;
    toast("The login's page can't be loaded from the hive.", true);
  }
}

// An event of the stream; the state was loaded anew.
export const loginHappened = (event) => dialog?.then(({ happened }) => happened(event));
export const loginReloaded = () => dialog?.then(({ reloaded }) => reloaded());

export function makeLoginButton(path) {
  const words = el("span", { class: "words" });
  const button = el("button", { class: "login", type: "button", "aria-haspopup": "dialog", hidden: true }, icon("key"), " ", words);
  button.addEventListener("click", () => openLogin(button.dataset.agent, path));
  return button;
}

// Where the focus goes from what is gone with the need for a login.
export const goOn = (name) => (byId(`agent-${name}`) ?? byId("prompt"))?.focus();

export function updateLoginButton(button, agent) {
  const held = document.activeElement === button;
  button.hidden = !agent.needs_login && !agent.claude_login;
  if (held && button.hidden) goOn(agent.name);
  setAttribute(button, "data-agent", agent.name);
  setText(button.querySelector(".words"), agent.claude_login ? "login…" : "log in");
  setAttribute(button, "aria-label", agent.claude_login ? `login… of ${agent.name}: it is under way` : `log in the claude of ${agent.name}`);
}
