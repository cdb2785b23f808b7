// The operator's inbox: a conversation for each who wrote, answered in place.

import { byId, el, keyed, setAttribute, setText } from "./dom.js";
import { keepDraft } from "./memory.js";
import { mailboxName, makeMessage, readable, takeMessageEvent, updateAge, updateMessage } from "./message.js";
import { attempt, get, post } from "./net.js";
import { ticking, whenNew } from "./ticker.js";
import { age, firstLine } from "./words.js";

const MOST = 500; // messages that are kept
const LATEST = 3; // of a conversation that are shown at first
const AT_ONCE = 200; // that can be marked as read with one request

const OPERATOR = "operator";
const HIVE = "system"; // most of what it says is shown in a section of its own
const isUnread = (message) => message.to === OPERATOR && message.read === false;
const other = (message) => (message.to === OPERATOR ? message.from : message.to);

export class Inbox {
  // changed(): told when something was read.
  constructor(changed) {
    Object.assign(this, { changed, letters: new Map(), before: null });
    this.list = byId("inbox");
    this.older = byId("older-letters");
    this.older.addEventListener("click", () => attempt(this.older, () => this.#load()));
    // How many are unread, also of those that are not here.
    this.fresh = 0;
    byId("read-all").addEventListener("click", (event) => attempt(event.currentTarget, () => this.#readAll()));
  }

  take(state) {
    // What was loaded before stays: somebody may be answering it.
    this.before = null;
    this.fresh = state.operator_unread;
    for (const message of [...state.inbox, ...state.messages]) {
      if (message.to === OPERATOR || message.from === OPERATOR) this.letters.set(message.id, message);
    }
    this.older.hidden = true;
    // What the operator wrote before belongs to the conversations, too.
    if (state.inbox.length) attempt(null, () => this.#load());
  }

  happened(event) {
    if (event.to === OPERATOR && event.kind === "message_sent") this.fresh += 1;
    if (event.to === OPERATOR && event.kind === "message_done") this.fresh -= 1;
    return takeMessageEvent(this.letters, event, ({ from, to }) => from === OPERATOR || to === OPERATOR, MOST);
  }

  async #load() {
    const before = this.before ? `&before=${this.before}` : "";
    const page = await get(`api/messages?agent=${OPERATOR}&limit=50${before}`);
    for (const message of page.messages) this.letters.set(message.id, message);
    this.before = page.before ?? null;
    this.older.hidden = !this.before || this.letters.size >= MOST;
    this.changed();
  }

  async #read(messages) {
    const ids = messages.map(({ id }) => id).slice(0, AT_ONCE);
    if (!ids.length) return;
    await post("read", { ids });
    for (const id of ids) if (this.letters.has(id)) this.letters.set(id, { ...this.letters.get(id), read: true });
    this.changed();
  }

  // All that there are now, also those that are not here; what comes meanwhile stays new.
  async #readAll() {
    let before = Math.max(...this.letters.keys()) + 1;
    while (before) {
      const page = await get(`api/messages?agent=${OPERATOR}&state=queued&limit=100&before=${before}`);
      await this.#read(page.messages.filter(isUnread));
      before = page.before;
    }
  }

  draw() {
    const threads = new Map();
    for (const message of [...this.letters.values()].sort((a, b) => a.id - b.id)) {
      const who = other(message);
      if (!threads.has(who)) threads.set(who, []);
      threads.get(who).push(message);
    }
    const rows = [...threads]
      .filter(([, messages]) => messages.some(({ to }) => to === OPERATOR))
      .map(([who, messages]) => ({ who, messages, last: messages.at(-1), fresh: messages.filter(isUnread) }))
      .sort((a, b) => b.last.id - a.last.id);
    keyed(this.list, rows, ({ who }) => who, (row) => this.#make(row), (node, row) => this.#update(node, row));
    setText(byId("inbox-unread"), this.fresh > 0 ? `${this.fresh} new` : "");
    byId("read-all").hidden = this.fresh < 2;
    byId("no-letters").hidden = rows.length > 0;
  }

  #make({ who, fresh }) {
    const fold = el("button", { class: "fold", type: "button", "aria-expanded": String(fresh.length > 0 && who !== HIVE) }, mailboxName(who), el("span", { class: "snippet dim" }));
    const earlier = el("button", { class: "quiet earlier", type: "button" });
    const list = el("ol", { class: "messages" });
    const node = el(
      "li",
      { class: "thread" },
      el("div", { class: "row" }, fold, el("span", { class: "fresh-count" }), el("time", { class: "dim" })),
      el("div", { class: "letters" }, earlier, list),
    );
    Object.assign(node, { fold, earlier, list, all: false });
    fold.addEventListener("click", () => {
      fold.setAttribute("aria-expanded", String(fold.getAttribute("aria-expanded") !== "true"));
      this.#update(node, node.row);
    });
    earlier.addEventListener("click", () => {
      node.all = true;
      this.#update(node, node.row);
      list.querySelector("button")?.focus();
    });
    return ticking(node, () => setText(node.querySelector("time"), age(node.row?.last.sent_at)));
  }

  #update(node, row) {
    const { messages, last, fresh } = row;
    const known = node.row?.fresh.length ?? 0;
    node.row = row;
    // Something new opens its conversation; nothing closes one but the operator.
    if (fresh.length > known && row.who !== HIVE) node.fold.setAttribute("aria-expanded", "true");
    const open = node.fold.getAttribute("aria-expanded") === "true";
    setAttribute(node, "data-unread", fresh.length > 0);
    setText(node.querySelector(".snippet"), open ? "" : `${last.from === OPERATOR ? "you: " : ""}${firstLine(readable(last))}`);
    setText(node.querySelector(".fresh-count"), fresh.length && !open ? `${fresh.length} new` : "");
    setText(node.querySelector("time"), age(last.sent_at));
    node.querySelector(".letters").hidden = !open;
    if (!open) return;
    const from = node.all ? 0 : Math.min(Math.max(0, messages.length - LATEST), fresh.length ? messages.indexOf(fresh[0]) : Infinity, this.#written(node, messages));
    node.earlier.hidden = from === 0;
    setText(node.earlier, `↑ ${from} earlier`);
    keyed(node.list, messages.slice(from), ({ id }) => id, (message) => this.#letter(message), whenNew(updateMessage));
  }

  // A letter that is being answered stays.
  #written(node, messages) {
    const form = node.list.querySelector("form");
    return form ? messages.findIndex(({ id }) => String(id) === form.closest(".message").dataset.key) : Infinity;
  }

  #letter(message) {
    const mine = message.from === OPERATOR;
    const node = makeMessage(message, {
      received: !mine,
      operator: !mine,
      known: this.letters,
      actions: mine ? null : (row, node) => this.#actions(message, row, node),
    });
    node.classList.toggle("mine", mine);
    return ticking(node, () => node.item && updateAge(node, node.item));
  }

  #actions(message, row, node) {
    const read = el("button", { class: "quiet read", type: "button" }, "✓ read");
    read.addEventListener("click", () => attempt(read, () => this.#read([message])));
    if (message.from !== "system") row.append(this.#replyButton(message, node));
    row.append(read);
  }

  #replyButton(message, node) {
    const button = el("button", { class: "quiet", type: "button", "aria-expanded": "false" }, "↩ reply");
    button.addEventListener("click", () => {
      const open = node.querySelector("form");
      if (open) open.remove();
      else node.append(this.#replyForm(message, button));
      button.setAttribute("aria-expanded", String(!open));
      node.querySelector("textarea")?.focus();
    });
    return button;
  }

  #replyForm(message, button) {
    const text = el("textarea", { rows: 2, required: true, "aria-label": `reply to ${message.from}` });
    const forget = keepDraft(text, `reply-${message.id}`);
    const send = el("button", { class: "primary", type: "submit" }, "R3PLY");
    const form = el("form", { class: "reply" }, text, el("div", { class: "row" }, el("small", { class: "dim grow" }, "Ctrl+Enter sends, Escape closes"), send));
    sendsByKey(form, text);
    const close = () => {
      form.remove();
      button.setAttribute("aria-expanded", "false");
      button.focus();
    };
    text.addEventListener("keydown", ({ key }) => key === "Escape" && close());
    form.addEventListener("submit", async (event) => {
      event.preventDefault();
      const reply = { to: message.from, body: text.value, in_reply_to: message.id };
      if (!(await attempt(send, () => post("op-send", reply), `Replied to ${message.from}.`))) return;
      forget();
      close();
      // It is sent, whatever becomes of this: only what is read may be sent anew.
      const answered = ({ id, from }) => from === message.from && id <= message.id;
      attempt(null, () => this.#read([...this.letters.values()].filter((letter) => isUnread(letter) && answered(letter))));
    });
    return form;
  }
}

export function sendsByKey(form, text) {
  text.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || !(event.ctrlKey || event.metaKey) || event.isComposing) return;
    event.preventDefault();
    form.requestSubmit();
  });
}
