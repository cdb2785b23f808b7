// A menu that opens from a button: arrow keys, Home, End, first letters, Escape.

import { el } from "./dom.js";

const EDGE = 8; // pixels that stay free between a menu and the window's edge

let menu = null; // the element, made when it is first needed
let opener = null;

export const menuIsOpen = () => opener !== null;

// A button with three dots that opens what `items()` answers at that moment:
// [{glyph, label, words, danger, href, run(button)}, …], or null for a line.
export function menuButton(label, items) {
  const button = el("button", { class: "quiet more", type: "button", "aria-label": label, "aria-haspopup": "menu", "aria-expanded": "false", title: label }, "⋯");
  button.addEventListener("click", () => (opener === button ? close() : open(button, label, items())));
  button.addEventListener("keydown", (event) => {
    if (event.key !== "ArrowDown" && event.key !== "ArrowUp") return;
    event.preventDefault();
    open(button, label, items());
    if (event.key === "ArrowUp") focus(-1);
  });
  return button;
}

function open(button, label, items) {
  menu ??= make();
  if (opener) close();
  menu.setAttribute("aria-label", label);
  menu.replaceChildren(...items.map((item) => (item ? entry(item, button) : el("li", { role: "separator" }))));
  opener = button;
  button.setAttribute("aria-expanded", "true");
  menu.showPopover();
  place(button);
  focus(0);
}

export function close() {
  if (opener) menu.hidePopover();
}

function make() {
  const made = el("ul", { class: "menu", role: "menu", popover: "auto" });
  made.addEventListener("keydown", keys);
  made.addEventListener("toggle", ({ newState }) => newState === "closed" && closed());
  addEventListener("scroll", () => opener && place(opener), { passive: true });
  document.querySelector("main").append(made);
  return made;
}

// Closed by a choice, by Escape, or by a click beside it.
function closed() {
  const button = opener;
  opener = null;
  if (!button) return;
  button.setAttribute("aria-expanded", "false");
  if (document.activeElement === document.body || menu.contains(document.activeElement)) button.focus();
}

function entry(item, button) {
  const words = [el("span", { class: "glyph", "aria-hidden": "true" }, item.glyph), item.label];
  const look = { role: "menuitem", tabindex: -1, class: item.danger ? "danger" : null, title: item.words };
  if (item.href) return el("li", { role: "none" }, el("a", { ...look, href: item.href }, ...words));
  const choice = el("button", { ...look, type: "button" }, ...words);
  choice.addEventListener("click", () => {
    close();
    item.run(button);
  });
  return el("li", { role: "none" }, choice);
}

function place(button) {
  const at = button.getBoundingClientRect();
  const { offsetWidth: width, offsetHeight: height } = menu;
  const below = at.bottom + 4 + height <= innerHeight - EDGE || at.top < height;
  menu.style.left = `${Math.max(EDGE, Math.min(at.right - width, innerWidth - width - EDGE))}px`;
  const top = below ? at.bottom + 4 : at.top - height - 4;
  menu.style.top = `${Math.max(EDGE, Math.min(top, innerHeight - height - EDGE))}px`;
}

const choices = () => [...menu.querySelectorAll("[role=menuitem]")];

function focus(place) {
  choices().at(place)?.focus();
}

function keys(event) {
  const all = choices();
  const here = all.indexOf(document.activeElement);
  if (event.key === "ArrowDown") focus((here + 1) % all.length);
  else if (event.key === "ArrowUp") focus((here - 1 + all.length) % all.length);
  else if (event.key === "Home") focus(0);
  else if (event.key === "End") focus(-1);
  else if (event.key === "Tab") return close();
  else if (event.key.length === 1 && event.key !== " " && !event.ctrlKey && !event.metaKey) {
    const later = [...all.slice(here + 1), ...all.slice(0, here + 1)];
    later.find((one) => one.lastChild.textContent.toLowerCase().startsWith(event.key.toLowerCase()))?.focus();
  } else return;
  event.preventDefault();
}
