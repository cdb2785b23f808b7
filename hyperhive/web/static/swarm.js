// The swarm: as a strip of tiles, and as rows that can be filtered, sorted, grouped.

import { makeAgent, updateAgent } from "./agents.js";
import { byId, el, icon, keyed, setAttribute, setText } from "./dom.js";
import { browser, tab } from "./memory.js";
import { menuIsOpen } from "./menu.js";
import { whenNew } from "./ticker.js";
import { look, money } from "./words.js";

const STRIP = 9; // agents from which on there is a strip of tiles
const CROWD = 24; // and from which on groups that need nobody begin folded

const MINE = new Set(["needs login", "logging in", "failed", "crashed", "stuck", "misconfigured"]);
const BUSY = new Set(["working", "compacting", "starting", "stopping", "rebuilding", "recovering"]);
const REST = new Set(["stopped", "paused"]);

const GROUPS = [
  ["needs", "needs you"],
  ["working", "working"],
  ["idle", "idle"],
  ["resting", "resting"],
];

const since = (agent) => Date.parse(agent.state_since) || 0;
const byName = (a, b) => (b.role === "manager") - (a.role === "manager") || (a.name < b.name ? -1 : 1);
const most = (value) => (a, b) => (value(b) ?? -1) - (value(a) ?? -1) || byName(a, b);
const SORTS = {
  attention: byName,
  name: byName,
  "longest so": (a, b) => since(a) - since(b) || byName(a, b),
  context: most(({ ctx_tokens: tokens, ctx_window: window }) => (window ? (tokens ?? 0) / window : tokens)),
  "cost today": most(({ cost_today: cost }) => cost),
  unread: most(({ unread }) => unread),
  "last turn": most(({ last_turn: turn }) => Date.parse(turn?.ended_at) || 0),
};

// agents: by name. needsOf(name): what an agent needs the operator for, beside what
// its state says: [{text, words, href}].
export class Swarm {
  constructor(agents, needsOf) {
    Object.assign(this, { agents, needsOf, shown: [] });
    const kept = tab.get("swarm", {});
    this.filter = { text: kept.text ?? "", states: new Set(kept.states), sort: SORTS[kept.sort] ? kept.sort : "attention" };
    this.folds = browser.get("swarm-folds", {});
    this.list = byId("agent-list");
    this.#controls();
  }

  #controls() {
    const field = byId("agent-filter");
    const sort = byId("agent-sort");
    field.value = this.filter.text;
    sort.replaceChildren(...Object.keys(SORTS).map((name) => el("option", { value: name }, name)));
    sort.value = this.filter.sort;
    field.addEventListener("input", () => this.#choose({ text: field.value }));
    sort.addEventListener("change", () => this.#choose({ sort: sort.value }));
    field.addEventListener("keydown", ({ key }) => {
      if (key !== "Escape") return;
      field.value = "";
      this.#choose({ text: "", states: new Set() });
    });
    document.addEventListener("keydown", (event) => {
      if (event.key !== "/" || event.ctrlKey || event.metaKey || event.altKey || event.target.closest("input, textarea, select, dialog")) return;
      event.preventDefault();
      field.focus();
    });
    // Rows that were held in their places go to their new ones.
    this.list.addEventListener("pointerleave", () => this.draw());
    this.list.addEventListener("focusout", () => setTimeout(() => this.draw()));
    byId("strip").addEventListener("keydown", (event) => this.#walk(event));
  }

  #choose(change) {
    Object.assign(this.filter, change);
    const { text, states, sort } = this.filter;
    tab.set("swarm", { text, states: [...states], sort });
    this.draw(true);
  }

  // now: rows change places even where somebody is about to click.
  draw(now = false) {
    const all = [...this.agents.values()].sort(byName);
    const needs = new Map(all.map((agent) => [agent.name, this.needsOf(agent.name)]));
    const groups = new Map(all.map((agent) => [agent.name, groupOf(agent, needs.get(agent.name))]));
    this.#drawStrip(all, groups);
    this.#drawChips(all);
    const wanted = this.#arranged(all, groups);
    const rows = !now && this.#held() ? this.#inPlace(wanted) : wanted;
    this.shown = rows.map(({ key }) => key);
    setAttribute(this.list, "data-crowd", all.length > CROWD);
    keyed(this.list, rows, ({ key }) => key, (row) => this.#make(row), (node, row) => this.#update(node, row, needs));
    const hidden = all.length - wanted.filter(({ agent }) => agent).length - wanted.reduce((sum, { folded }) => sum + (folded ?? 0), 0);
    setText(byId("agents-hidden"), hidden ? `${hidden} of ${all.length} are filtered out.` : "");
    const cost = all.reduce((sum, { cost_today: today }) => sum + (today ?? 0), 0);
    setText(byId("tally"), [String(all.length), ...(cost ? [`${money(cost)} today`] : [])].join(" · "));
  }

  // Somebody points at the rows, walks through them by keyboard, or has a menu open.
  #held() {
    return menuIsOpen() || this.list.matches(":hover") || Boolean(this.list.querySelector(":focus-visible"));
  }

  // Every row stays where it was; what is new comes last.
  #inPlace(wanted) {
    const fresh = new Map(wanted.map((row) => [row.key, row]));
    const kept = this.shown.map((key) => fresh.get(key) ?? (this.agents.has(key) ? { key, agent: this.agents.get(key) } : null));
    const known = new Set(this.shown);
    return [...kept.filter(Boolean), ...wanted.filter(({ key, agent }) => agent && !known.has(key))];
  }

  #fits(agent) {
    const { text, states } = this.filter;
    if (states.size && !states.has(agent.state)) return false;
    const said = [agent.name, agent.role, agent.state, agent.model, agent.tool, agent.status_text, agent.state_note].join("\n").toLowerCase();
    return text.toLowerCase().split(/\s+/).every((word) => said.includes(word));
  }

  // The rows in their order: {key, agent}, or {key, group, number, folded} for a heading.
  #arranged(all, groups) {
    const fitting = all.filter((agent) => this.#fits(agent)).sort(SORTS[this.filter.sort]);
    const row = (agent) => ({ key: agent.name, agent });
    if (this.filter.sort !== "attention") return fitting.map(row);
    const searching = this.filter.text || this.filter.states.size;
    return GROUPS.flatMap(([id, words]) => {
      const inside = fitting.filter(({ name }) => groups.get(name) === id);
      if (!inside.length) return [];
      const folded = !searching && (this.folds[id] ?? (all.length > CROWD && (id === "idle" || id === "resting")));
      const heading = { key: `group:${id}`, group: id, words, number: inside.length, folded: folded ? inside.length : 0 };
      return [heading, ...(folded ? [] : inside.map(row))];
    });
  }

  #make(row) {
    if (row.agent) return makeAgent(row.agent);
    const button = el("button", { class: "fold", type: "button" }, el("span", { class: "words" }), el("span", { class: "dim number" }));
    button.addEventListener("click", () => {
      this.folds[row.group] = button.getAttribute("aria-expanded") === "true";
      browser.set("swarm-folds", this.folds);
      this.draw(true);
    });
    return el("li", { class: "group", "data-group": row.group }, el("h3", {}, button));
  }

  #update(node, row, needs) {
    if (row.agent) {
      const why = needs.get(row.key);
      const known = JSON.stringify(why);
      if (node.item === row.agent && node.known === known) return;
      node.known = known;
      return updateAgent(node, row.agent, why);
    }
    setAttribute(node.querySelector("button"), "aria-expanded", String(!row.folded));
    setText(node.querySelector(".words"), row.words);
    setText(node.querySelector(".number"), String(row.number));
  }

  #drawChips(all) {
    const counts = new Map();
    for (const { state } of all) counts.set(state, (counts.get(state) ?? 0) + 1);
    for (const state of this.filter.states) if (!counts.has(state)) counts.set(state, 0);
    const chips = [...counts].map(([state, number]) => ({ state, number }));
    const make = ({ state }) => {
      const chip = el("button", { class: "chip", type: "button", "data-tone": look(state).tone }, icon(look(state).icon), el("span", { class: "words" }, state), el("span", { class: "number" }));
      chip.addEventListener("click", () => {
        const { states } = this.filter;
        if (!states.delete(state)) states.add(state);
        this.#choose({ states });
      });
      return chip;
    };
    chips.sort((a, b) => b.number - a.number || (a.state < b.state ? -1 : 1));
    keyed(byId("agent-chips"), this.#chipsInPlace(chips), ({ state }) => state, make, (node, { state, number }) => {
      setAttribute(node, "aria-pressed", String(this.filter.states.has(state)));
      setText(node.querySelector(".number"), String(number));
    });
  }

  // Chips keep their places while their numbers change; new ones come last.
  #chipsInPlace(chips) {
    const old = new Map([...byId("agent-chips").children].map((node, place) => [node.dataset.key, place]));
    return chips.sort((a, b) => (old.get(a.state) ?? 99) - (old.get(b.state) ?? 99));
  }

  #drawStrip(all, groups) {
    const strip = byId("strip");
    strip.hidden = all.length < STRIP;
    if (strip.hidden) return;
    const order = GROUPS.map(([id]) => id);
    const tiles = all
      .map((agent) => ({ agent, group: groups.get(agent.name) }))
      .sort((a, b) => order.indexOf(a.group) - order.indexOf(b.group));
    const make = ({ agent }) => {
      const tile = el("button", { class: "tile", type: "button", tabindex: -1 }, el("span", { class: "fill" }));
      tile.addEventListener("click", () => this.reveal(agent.name));
      return tile;
    };
    const update = whenNew((node, agent) => {
      setAttribute(node, "data-tone", look(agent.state).tone);
      setAttribute(node, "data-state", agent.state);
      setAttribute(node, "aria-label", `${agent.name}, ${agent.state}`);
      setAttribute(node, "title", `${agent.name}: ${agent.state}${agent.tool ? ` · ${agent.tool}` : ""}`);
      const part = agent.ctx_window ? Math.min(1, (agent.ctx_tokens ?? 0) / agent.ctx_window) : 0;
      node.firstChild.style.height = `${Math.round(part * 100)}%`;
    });
    let last = null;
    keyed(strip, tiles, ({ agent }) => agent.name, make, (node, { agent, group }) => {
      update(node, agent);
      setAttribute(node, "data-first", last !== null && last !== group);
      setAttribute(node, "data-group", group);
      last = group;
    });
    if (!strip.querySelector("[tabindex='0']")) strip.firstElementChild.tabIndex = 0;
  }

  // One tab stop for all tiles; arrow keys go from one to the next.
  #walk(event) {
    const steps = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: 1, ArrowUp: -1 };
    const tiles = [...byId("strip").children];
    const here = tiles.indexOf(document.activeElement);
    const to = event.key === "Home" ? 0 : event.key === "End" ? tiles.length - 1 : here + (steps[event.key] ?? NaN);
    if (!tiles[to]) return;
    event.preventDefault();
    tiles[here].tabIndex = -1;
    tiles[to].tabIndex = 0;
    tiles[to].focus();
  }

  // Bring an agent's row into view, whatever hides it.
  reveal(name) {
    const agent = this.agents.get(name);
    if (!agent) return;
    if (!this.#fits(agent)) {
      byId("agent-filter").value = "";
      this.#choose({ text: "", states: new Set() });
    }
    const group = groupOf(agent, this.needsOf(name));
    this.folds[group] = false;
    this.draw(true);
    const row = this.list.querySelector(`[data-key="${CSS.escape(name)}"]`);
    row.scrollIntoView({ block: "center" });
    row.querySelector("a").focus({ preventScroll: true });
  }
}

function groupOf(agent, needs) {
  if (needs.length || MINE.has(agent.state)) return "needs";
  if (BUSY.has(agent.state)) return "working";
  return REST.has(agent.state) ? "resting" : "idle";
}
