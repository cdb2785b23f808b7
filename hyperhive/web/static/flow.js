// Every message as it goes: narrowed to a mailbox or a state, searched, paged back.

import { byId, el, keyed, setText } from "./dom.js";
import { tab } from "./memory.js";
import { STATES, makeMessage, takeMessageEvent, updateAge, updateMessage } from "./message.js";
import { attempt, get } from "./net.js";
import { ticking, whenNew } from "./ticker.js";

const MOST = 200; // messages that are kept
const ALL = 1000; // where older ones were asked for
const PAGE = 50;
const SOON = 1000; // milliseconds in which more may happen to messages that are not here
const PAUSE = 250; // milliseconds without a key before the hive is asked

export class Flow {
  // changed(): told when there is something else to draw.
  constructor(changed) {
    Object.assign(this, { changed, recent: new Map(), found: null, timer: null, asked: 0, kept: MOST });
    // Under which id each of the two goes on; null at the beginning of all.
    Object.assign(this, { reaches: null, before: null });
    this.filter = { agent: "", state: "", q: "", ...tab.get("flow", {}) };
    this.fields = { agent: byId("flow-agent"), state: byId("flow-state"), q: byId("flow-search") };
    this.fields.state.append(...["queued", "leased", "done", "dead"].map((state) => el("option", { value: state }, STATES[state][0])));
    for (const [name, field] of Object.entries(this.fields)) {
      field.value = this.filter[name];
      field.addEventListener("input", () => this.#choose(name === "q" ? PAUSE : 0));
    }
    this.fields.q.addEventListener("keydown", ({ key }) => {
      if (key !== "Escape") return;
      this.fields.q.value = "";
      this.#choose(0);
    });
    this.older = byId("older-messages");
    this.older.addEventListener("click", () => attempt(this.older, () => this.#load()));
  }

  get #filtered() {
    return Boolean(this.filter.agent || this.filter.state || this.filter.q);
  }

  take(state) {
    this.recent = new Map(state.messages.map((message) => [message.id, message]));
    this.reaches = state.messages.length < PAGE ? null : Math.min(...this.recent.keys());
    this.kept = MOST;
    if (this.#filtered) this.#search();
    else this.older.hidden = !this.reaches;
  }

  happened(event) {
    const taken = takeMessageEvent(this.recent, event, () => true, this.kept);
    if (this.found) this.#sift(event);
    return taken;
  }

  // What comes to fit the filter is shown, and what no longer does is not.
  #sift(event) {
    takeMessageEvent(this.found, event, () => false, ALL);
    const message = this.found.get(event.id) ?? this.recent.get(event.id);
    if (message && this.#fits(message)) {
      this.found.set(event.id, message);
    } else if (message) {
      this.found.delete(event.id);
    } else if (this.filter.state) {
      // It is older than what is here: the hive knows it.
      clearTimeout(this.timer);
      this.timer = setTimeout(() => this.#search(), SOON);
    }
  }

  // Show only what is of this mailbox, or in this state.
  narrow(change) {
    for (const [name, value] of Object.entries({ agent: "", state: "", q: "", ...change })) this.fields[name].value = value;
    this.#choose(0);
  }

  #choose(pause) {
    for (const [name, field] of Object.entries(this.fields)) this.filter[name] = field.value.trim();
    tab.set("flow", this.filter);
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.#search(), pause);
  }

  #search() {
    const number = ++this.asked;
    if (!this.#filtered) {
      this.found = null;
      this.older.hidden = !this.reaches;
      return this.changed();
    }
    // What is here already is shown at once.
    this.found = new Map([...this.recent].filter(([, message]) => this.#fits(message)));
    this.before = null;
    this.changed();
    attempt(null, () => this.#load(number));
  }

  async #load(number = ++this.asked) {
    const rows = this.found ?? this.recent;
    const before = this.found ? this.before : this.reaches;
    const query = new URLSearchParams({ limit: PAGE, ...(before ? { before } : {}) });
    for (const [name, value] of Object.entries(this.filter)) if (value) query.set(name, value);
    byId("flow").setAttribute("aria-busy", "true");
    try {
      const page = await get(`api/messages?${query}`);
      if (number !== this.asked) return; // another filter was chosen meanwhile
      for (const message of page.messages) if (!rows.has(message.id)) rows.set(message.id, message);
      if (this.found) this.before = page.before ?? null;
      else this.reaches = page.before ?? null;
      this.kept = Math.max(MOST, this.recent.size);
      this.older.hidden = !page.before || rows.size >= ALL;
    } finally {
      byId("flow").removeAttribute("aria-busy");
      this.changed();
    }
  }

  #fits({ from, to, state, body }) {
    const { agent, q } = this.filter;
    if (agent && from !== agent && to !== agent) return false;
    if (this.filter.state && state !== this.filter.state) return false;
    return body.toLowerCase().includes(q.toLowerCase());
  }

  draw() {
    const rows = [...(this.found ?? this.recent).values()].sort((a, b) => b.id - a.id);
    const make = (message) => {
      const node = makeMessage(message, { requeue: true, known: this.recent });
      node.querySelector(".route").prepend(el("span", { class: "dim id" }, `#${message.id}`));
      return ticking(node, () => node.item && updateAge(node, node.item));
    };
    keyed(byId("flow"), rows, ({ id }) => id, make, whenNew(updateMessage));
    setText(this.older, this.found && this.before ? "search further back" : "older");
    const count = `${rows.length}${this.older.hidden ? "" : "+"} found`;
    setText(byId("flow-found"), this.found ? count : "");
  }

  // The mailboxes to choose from; the choice stays.
  mailboxes(names) {
    const { agent } = this.fields;
    const all = [...new Set([...names, ...(this.filter.agent ? [this.filter.agent] : [])])];
    keyed(agent, ["", ...all], (name) => name, (name) => el("option", { value: name }, name || "everybody"), () => {});
    agent.value = this.filter.agent;
  }
}

