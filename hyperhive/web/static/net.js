// Ask the hive, and say what it said.

import { byId, el } from "./dom.js";

export class Refused extends Error {}

// The event on the document that says so.
export const LOGGED_OUT = "logged-out";

// Where this page's own addresses begin: they are all relative to it.
const base = new URL(".", location.href);

export async function get(path) {
  return read(await ask(path, { headers: { accept: "application/json" } }));
}

export async function post(path, fields = {}) {
  return read(
    await ask(path, {
      method: "POST",
      headers: { "content-type": "application/json", accept: "application/json" },
      body: JSON.stringify(fields),
    }),
  );
}

// Have the hive tell ntfy and webhooks a test; answers a sentence.
export async function tellTest() {
  const { targets } = await post("/notify-test");
  return `Told: ${targets.map(({ target, host }) => `${target} (${host})`).join(", ")}.`;
}

async function ask(path, options) {
  try {
    return await fetch(new URL(path, base), { credentials: "same-origin", ...options });
  } catch {
    throw new Refused("The hive can't be reached.");
  }
}

async function read(response) {
  if (response.status === 401) {
    // What is typed on the page stays: it is told, and links to the login.
    document.dispatchEvent(new Event(LOGGED_OUT));
    throw new Refused("You are logged out: log in, then try again.");
  }
  let answer;
  try {
    answer = await response.json();
  } catch {
    throw new Refused(`The hive answered ${response.status} ${response.statusText}.`);
  }
  if (!answer.ok) throw new Refused(answer.error);
  return answer;
}

export function toast(text, bad = false) {
  const note = el("p", { class: bad ? "toast bad" : "toast" }, text);
  byId("toasts").append(note);
  while (byId("toasts").childElementCount > 4) byId("toasts").firstElementChild.remove();
  setTimeout(() => note.remove(), bad ? 12000 : 4000);
}

// Run something that asks the hive; while it runs the button is off, and what
// goes wrong is shown. Answers whether it went well.
export async function attempt(button, work, said) {
  if (button?.getAttribute("aria-busy") === "true") return false;
  button?.setAttribute("aria-busy", "true");
  try {
    const answer = await work();
    const text = typeof said === "function" ? said(answer) : said;
    if (text) toast(text);
    return true;
  } catch (error) {
    if (!(error instanceof Refused)) console.error(error);
    toast(error.message, true);
    return false;
  } finally {
    button?.removeAttribute("aria-busy");
  }
}

// Ask first. Answers null, or whether the option was ticked.
export function confirmed({ title, text, yes, option }) {
  const dialog = byId("confirm");
  byId("confirm-title").textContent = title;
  byId("confirm-text").textContent = text;
  byId("confirm-yes").textContent = yes;
  const label = byId("confirm-option");
  const box = label.querySelector("input");
  label.hidden = !option;
  label.querySelector("span").textContent = option ?? "";
  box.checked = false;
  dialog.returnValue = "no";
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => resolve(dialog.returnValue === "yes" ? box.checked : null), { once: true });
  });
}
