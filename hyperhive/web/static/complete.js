// Completion under a field: a list that arrow keys, Enter, Tab and a click choose from.

import { el, setAttribute } from "./dom.js";

const MOST = 8; // that are offered at once
let number = 0;

// find(): {word, from, to} of what is being typed, or null. offers(): [{value, words}].
// choose(value, found): put it in.
export class Completion {
  constructor(field, { find, offers, choose, label }) {
    Object.assign(this, { field, find, offers, choose, found: null, at: 0 });
    const id = `completion-${++number}`;
    this.list = el("ul", { class: "completion", id, role: "listbox", popover: "manual", "aria-label": label });
    field.after(this.list);
    setAttribute(field, "aria-controls", id);
    setAttribute(field, "aria-autocomplete", "list");
    this.expands = field.getAttribute("role") === "combobox";
    this.#expanded(false);
    field.addEventListener("input", () => this.#look());
    field.addEventListener("keydown", (event) => this.#keys(event));
    field.addEventListener("blur", () => this.close());
    if (this.expands) field.addEventListener("click", () => this.#look());
    // A click on an offer must not take the focus from the field.
    this.list.addEventListener("pointerdown", (event) => event.preventDefault());
  }

  #look() {
    this.found = this.find();
    const word = this.found?.word.toLowerCase() ?? "";
    const all = this.found ? this.offers().filter(({ value }) => value.toLowerCase().includes(word)) : [];
    all.sort((a, b) => b.value.startsWith(word) - a.value.startsWith(word));
    if (!all.length || (all.length === 1 && all[0].value === word && this.expands)) return this.close();
    this.list.replaceChildren(...all.slice(0, MOST).map((offer, place) => this.#offer(offer, place)));
    this.#show();
    this.#point(0);
  }

  #offer({ value, words }, place) {
    const node = el("li", { role: "option", id: `${this.list.id}-${place}`, "data-value": value }, el("strong", {}, value), el("span", { class: "dim" }, words));
    node.addEventListener("click", () => this.#take(node));
    return node;
  }

  #show() {
    if (!this.list.matches(":popover-open")) this.list.showPopover();
    const at = this.field.getBoundingClientRect();
    this.list.style.minWidth = `${Math.min(at.width, 320)}px`;
    this.list.style.left = `${at.left}px`;
    const below = at.bottom + this.list.offsetHeight + 4 < innerHeight;
    this.list.style.top = `${below ? at.bottom + 2 : Math.max(4, at.top - this.list.offsetHeight - 2)}px`;
    this.#expanded(true);
  }

  close() {
    if (this.list.matches(":popover-open")) this.list.hidePopover();
    this.field.removeAttribute("aria-activedescendant");
    this.#expanded(false);
  }

  #expanded(open) {
    if (this.expands) setAttribute(this.field, "aria-expanded", String(open));
  }

  #point(place) {
    const offers = [...this.list.children];
    this.at = (place + offers.length) % offers.length;
    offers.forEach((node, number) => setAttribute(node, "aria-selected", String(number === this.at)));
    setAttribute(this.field, "aria-activedescendant", offers[this.at].id);
  }

  #keys(event) {
    if (!this.list.matches(":popover-open") || event.isComposing) return;
    if (event.key === "ArrowDown") this.#point(this.at + 1);
    else if (event.key === "ArrowUp") this.#point(this.at - 1);
    else if (event.key === "Escape") this.close();
    else if ((event.key === "Enter" && !event.ctrlKey && !event.metaKey) || (event.key === "Tab" && !event.shiftKey)) this.#take(this.list.children[this.at]);
    else return;
    event.preventDefault();
    event.stopImmediatePropagation();
  }

  #take(node) {
    this.close();
    this.choose(node.dataset.value, this.found);
    this.field.dispatchEvent(new Event("change", { bubbles: true }));
  }
}
