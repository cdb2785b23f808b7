// The palette: every action by a few letters of its name. Loaded when it is first opened.

import { actions } from "./actions.js";
import { el, loadStyle, setAttribute, setText } from "./dom.js";
import { match } from "./fuzzy.js";
import { attempt, confirmed } from "./net.js";
import { plural } from "./words.js";
import { stateActions } from "./offers.js";

const MOST = 60; // that are shown at once
const RECENT = 5; // that are offered again first

const recent = []; // ids of actions

class Palette {
  options = [];
  #all = [];
  #shown = [];
  #at = 0;
  #asking = null; // the action whose text is typed

  constructor() {
    this.chosen = el("span", { class: "chip", hidden: true });
    this.input = el("input", {
      type: "text", role: "combobox", "aria-expanded": "true", "aria-controls": "palette-list", "aria-autocomplete": "list",
      autocomplete: "off", autocapitalize: "none", spellcheck: "false",
    });
    this.list = el("div", { id: "palette-list", role: "listbox", "aria-label": "actions" });
    this.count = el("p", { class: "unseen", role: "status" });
    this.dialog = el(
      "dialog",
      { class: "palette", "aria-label": "Find or do" },
      el("div", { class: "ask" }, this.chosen, this.input),
      this.list,
      this.count,
      el("p", { class: "keys dim", "aria-hidden": "true" }, el("span", {}, el("kbd", {}, "↑"), el("kbd", {}, "↓"), " choose"), el("span", {}, el("kbd", {}, "↵"), " do"), el("span", {}, el("kbd", {}, "esc"), " close")),
    );
    document.body.append(this.dialog);
    this.input.addEventListener("input", () => this.#find());
    this.dialog.addEventListener("keydown", (event) => this.#pressed(event));
    this.dialog.addEventListener("click", (event) => this.#clicked(event));
    this.dialog.addEventListener("close", () => this.#ask(null));
    this.list.addEventListener("pointermove", ({ target }) => this.#move(this.#placeOf(target)));
  }

  async open() {
    if (this.dialog.open) return;
    this.#all = actions();
    this.#ask(null);
    this.dialog.showModal();
    this.#find();
    await attempt(null, async () => {
      this.#all = [...(await stateActions()), ...actions()];
    });
    if (!this.#asking) this.#find();
  }

  // Ask for the text that an action needs, or for an action.
  #ask(action) {
    this.#asking = action;
    this.chosen.hidden = !action;
    setText(this.chosen, action?.title ?? "");
    this.input.value = "";
    this.input.placeholder = action ? action.asks.label : "find an agent, a section, an action…";
    this.input.setAttribute("aria-label", action ? action.asks.label : "find or do");
    if (this.dialog.open) this.#find();
  }

  #find() {
    const query = this.input.value.trim();
    this.#shown = this.#asking ? this.#choices(query) : query ? this.#matching(query) : this.#offered();
    this.#draw();
    this.#move(this.#asking && !this.#asking.asks.optional && !query ? -1 : 0);
    this.list.scrollTop = 0;
    setText(this.count, this.#asking ? "" : plural(this.#shown.length, "action"));
  }

  #matching(query) {
    const found = [];
    for (const action of this.#all) {
      const title = match(query, action.title);
      const words = title ?? match(query, `${action.title} ${action.words ?? ""} ${action.group}`);
      if (words) found.push({ action, score: words.score - (title ? 0 : 2), marks: title?.marks });
    }
    return found.sort((a, b) => b.score - a.score).slice(0, MOST);
  }

  // Without a word typed: what was done last, what waits, where one can go.
  #offered() {
    const again = recent.map((id) => this.#all.find((action) => action.id === id)).filter(Boolean);
    const first = ["Approvals", "Questions", "Agents", "Go to", "Hive", "Page"];
    const rank = ({ group }) => (first.indexOf(group) + 1 || first.length + 1);
    const rest = this.#all.filter((action) => !again.includes(action)).sort((a, b) => rank(a) - rank(b));
    return [...again.map((action) => ({ action: { ...action, group: "Again" } })), ...rest.map((action) => ({ action }))].slice(0, MOST);
  }

  #choices(query) {
    const { asks } = this.#asking;
    const fitting = (asks.choices ?? []).filter((choice) => match(query, choice));
    const own = query && !fitting.includes(query) ? [query] : [];
    const none = !query && asks.optional ? [""] : [];
    return [...none, ...own, ...fitting].map((choice) => ({ choice, action: { id: `choice-${choice}`, group: "", title: choice || "↵ leave it empty" } }));
  }

  #draw() {
    const groups = new Map();
    this.#shown.forEach((row, place) => {
      const option = this.#option(row, place);
      // Matches are in the order of how well they match, so a group can come again.
      const key = this.input.value && !this.#asking ? "" : row.action.group;
      if (!groups.has(key)) groups.set(key, []);
      groups.get(key).push(option);
    });
    this.list.replaceChildren(...[...groups].map(([name, options]) => (name ? el("div", { role: "group", "aria-label": name }, ...options) : el("div", { role: "group", "aria-label": "matches" , class: "plain" }, ...options))));
    // In the order in which they stand: groups bring together what was apart.
    this.options = [...this.list.querySelectorAll("[role=option]")];
    this.#shown = this.options.map((option) => this.#shown[Number(option.dataset.place)]);
    const needs = this.#asking ? "Type it, then press Enter." : "Nothing is called that.";
    if (!this.options.length) this.list.replaceChildren(el("p", { class: "none dim", role: "option", "aria-disabled": "true", "aria-selected": "false" }, needs));
  }

  #option({ action, marks }, place) {
    const title = el("span", { class: "title" });
    for (const [at, letter] of Array.from(action.title).entries()) title.append(marks?.has(at) ? el("mark", {}, letter) : letter);
    return el(
      "div",
      { role: "option", id: `palette-${place}`, "data-place": place, "aria-selected": "false" },
      title,
      action.hint ? el("span", { class: "hint dim" }, action.hint) : null,
      action.keys ? el("kbd", {}, action.keys) : null,
    );
  }

  #move(place) {
    if (place === null) return;
    this.#at = place;
    this.options.forEach((option, at) => setAttribute(option, "aria-selected", String(at === place)));
    const option = this.options[place];
    setAttribute(this.input, "aria-activedescendant", option?.id);
    option?.scrollIntoView({ block: "nearest" });
  }

  #pressed(event) {
    const many = this.#shown.length;
    const step = { ArrowDown: 1, ArrowUp: -1, PageDown: 8, PageUp: -8 }[event.key];
    if (step && many) {
      const wrapped = Math.abs(step) === 1;
      this.#move(wrapped ? (this.#at + step + many) % many : Math.max(0, Math.min(many - 1, this.#at + step)));
    } else if (event.key === "Enter" && !event.isComposing) {
      this.#choose(this.#at);
    } else if (event.key === "Backspace" && this.#asking && !this.input.value) {
      this.#ask(null);
    } else {
      return;
    }
    event.preventDefault();
  }

  #placeOf(target) {
    const option = target.closest?.("[role=option][data-place]");
    return option ? this.options.indexOf(option) : null;
  }

  #clicked({ target }) {
    if (target === this.dialog) this.dialog.close();
    const place = this.#placeOf(target);
    if (place !== null) this.#choose(place);
  }

  #choose(place) {
    const row = this.#shown[place];
    if (this.#asking) {
      const { asks } = this.#asking;
      const text = row ? row.choice : this.input.value.trim();
      if (text || asks.optional) this.#do(this.#asking, text);
    } else if (row?.action.asks) {
      this.#ask(row.action);
    } else if (row) {
      this.#do(row.action);
    }
  }

  async #do(action, text) {
    const { id } = action;
    this.dialog.close();
    if (recent.includes(id)) recent.splice(recent.indexOf(id), 1);
    recent.unshift(id);
    recent.length = Math.min(recent.length, RECENT);
    const ticked = action.confirm ? await confirmed(action.confirm) : false;
    if (ticked !== null) await attempt(null, async () => action.run(text, ticked), (said) => (typeof said === "string" ? said : ""));
  }
}

const styled = loadStyle(new URL("./palette.css", import.meta.url));
const palette = new Palette();

export async function openPalette() {
  await styled;
  await palette.open();
}
