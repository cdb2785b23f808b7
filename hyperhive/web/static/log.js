// A log that grows: it follows its end until somebody scrolls up.

import { el, setText } from "./dom.js";
import { plural } from "./words.js";

const LINES = 2000; // that are kept
const NEAR = 24; // pixels from the end that count as its end

export class LogView {
  constructor(label) {
    this.text = el("pre", { class: "log", tabindex: 0, role: "log", "aria-live": "off", "aria-label": label });
    this.pill = el("button", { class: "pill quiet", type: "button", hidden: true });
    this.node = el("div", { class: "logview" }, this.text, this.pill);
    this.missed = 0;
    this.text.addEventListener("scroll", () => this.#atEnd() && this.#seen(), { passive: true });
    this.pill.addEventListener("click", () => {
      this.#follow();
      this.text.focus();
    });
  }

  set(lines) {
    const following = this.#atEnd();
    this.text.replaceChildren(...lines.slice(-LINES).map((line) => document.createTextNode(`${line}\n`)));
    if (following) this.#follow();
  }

  add(line) {
    const following = this.#atEnd();
    this.text.append(document.createTextNode(`${line}\n`));
    while (this.text.childNodes.length > LINES) this.text.firstChild.remove();
    if (following) return this.#follow();
    this.missed += 1;
    this.pill.hidden = false;
    setText(this.pill, `↓ ${plural(this.missed, "new line")}`);
  }

  #atEnd() {
    return this.text.scrollHeight - this.text.scrollTop - this.text.clientHeight < NEAR;
  }

  #follow() {
    this.text.scrollTop = this.text.scrollHeight;
    this.#seen();
  }

  #seen() {
    this.missed = 0;
    this.pill.hidden = true;
  }
}
