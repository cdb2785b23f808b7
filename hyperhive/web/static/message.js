// One message in a list: who to whom, what, and where it is in its life.

import { el, setAttribute, setText } from "./dom.js";
import { attempt, get, post } from "./net.js";
import { age, count, hue, moment } from "./words.js";

const LONG = 220; // characters; a longer text is folded
const LINES = 3;

// What each state is called, and what that means.
export const STATES = {
  queued: ["waiting", "waits to be handed to a turn"],
  leased: ["in a turn", "is in a turn"],
  done: ["done", "was dealt with"],
  dead: ["given up", "was given up; it can be queued again"],
  unread: ["unread", "waits for you"],
  read: ["read", "was read by you"],
};

export function mailboxName(name) {
  return el("span", { class: hue(name) }, name);
}

const isLong = (message) =>
  message.body_chars > 0 || message.body.length > LONG || message.body.split("\n").length > LINES;

async function unfold(node, message) {
  const body = node.querySelector(".body");
  const open = body.classList.toggle("folded") === false;
  const button = node.querySelector(".unfold");
  button.setAttribute("aria-expanded", open);
  if (open && message.body_chars && !node.whole) {
    await attempt(button, async () => {
      const answer = await get(`api/messages?before=${message.id + 1}&limit=1`);
      if (answer.messages[0]?.id === message.id) node.whole = answer.messages[0].body;
    });
  }
  if (node.whole) setText(body, node.whole);
  setText(button, open ? "show less" : "show all");
}

// What the hive itself says to agents is JSON; people read "killed · agent bob".
export function readable({ from, body }) {
  if (from !== "system" || !body.startsWith("{")) return body;
  try {
    const { event, ...fields } = JSON.parse(body);
    const parts = Object.entries(fields).map(([name, value]) => `${name} ${typeof value === "string" ? value : JSON.stringify(value)}`);
    return event ? [String(event).replaceAll("_", " "), ...parts].join(" · ") : body;
  } catch {
    return body;
  }
}

const DEEP = 20; // messages of a chain of replies that are shown

// What it answers, and what that answered, the oldest first.
async function answered(message, known) {
  const found = [];
  for (let id = message.in_reply_to; id && found.length < DEEP; ) {
    const row = known.get(id) ?? (await get(`api/messages?before=${id + 1}&limit=1`)).messages[0];
    if (row?.id !== id) break; // forgotten meanwhile
    found.unshift(row);
    id = row.in_reply_to;
  }
  return found;
}

function chainButton(message, known, owner) {
  const button = el("button", { class: "quiet chain-button", type: "button", "aria-expanded": "false", title: "what it answers" }, `↩ #${message.in_reply_to}`);
  button.addEventListener("click", async () => {
    const open = owner().querySelector(".chain");
    button.setAttribute("aria-expanded", String(!open));
    if (open) return open.remove();
    await attempt(button, async () => {
      const rows = await answered(message, known);
      const list = rows.map((row) => el("li", {}, mailboxName(row.from), el("span", { class: "dim" }, ` → ${row.to} · #${row.id}`), el("p", { class: "body" }, readable(row))));
      owner().querySelector(".body").before(el("ol", { class: "chain", "aria-label": `what message ${message.id} answers` }, ...(list.length ? list : [el("li", { class: "dim" }, "It is forgotten: messages are kept for 30 days.")])));
    });
  });
  return button;
}

// options.received: whom it is to need not be said. options.operator: it is in
// the operator's inbox. options.requeue: a dead one gets its button. options.known:
// messages by id, among which what it answers is looked for first.
// options.actions(row, node): more buttons.
export function makeMessage(message, options = {}) {
  const node = el(
    "li",
    { class: "message" },
    el(
      "div",
      { class: "route" },
      mailboxName(message.from),
      ...(options.received ? [] : [el("span", { class: "dim", "aria-label": "to" }, "→"), mailboxName(message.to)]),
      options.operator ? el("span", { class: "fresh" }, "new") : null,
      options.known && message.in_reply_to ? chainButton(message, options.known, () => node) : null,
      el("span", { class: "grow" }),
      el("span", { class: "again dim", title: "It was handed out before and given back." }, "redelivered"),
      options.operator ? null : el("span", { class: "state" }),
      el("time", { class: "dim", datetime: message.sent_at, title: new Date(message.sent_at).toLocaleString() }),
    ),
    el("p", { class: "body" }, readable(message)),
  );
  const actions = el("div", { class: "actions" });
  if (isLong(message)) {
    node.querySelector(".body").classList.add("folded");
    const words = message.body_chars ? `show all (${count(message.body_chars)} characters)` : "show all";
    actions.append(
      el("button", { class: "quiet unfold", type: "button", "aria-expanded": "false", onclick: () => unfold(node, message) }, words),
    );
  }
  if (options.requeue) {
    const button = el("button", { class: "quiet requeue", type: "button" }, "↻ queue again");
    button.addEventListener("click", () =>
      attempt(button, () => post(`requeue/${message.id}`), `Message ${message.id} is queued again.`),
    );
    actions.append(button);
  }
  options.actions?.(actions, node);
  if (actions.childElementCount) node.append(actions);
  return node;
}

export function updateMessage(node, message) {
  const state = node.querySelector(".state");
  if (state) {
    const word = message.to !== "operator" ? message.state : message.read === false ? "unread" : "read";
    const [name, words] = STATES[word] ?? [word, word];
    setText(state, name);
    setAttribute(state, "title", `It ${words}.`);
    setAttribute(state, "data-state", word);
  }
  node.querySelector(".again").hidden = !message.redelivered;
  const fresh = node.querySelector(".fresh");
  if (fresh) {
    fresh.hidden = message.read !== false;
    setAttribute(node, "data-unread", message.read === false);
  }
  const requeue = node.querySelector(".requeue");
  if (requeue) requeue.hidden = message.state !== "dead";
  updateAge(node, message);
}

export function updateAge(node, message) {
  const old = Date.now() - Date.parse(message.sent_at) > 3600000;
  setText(node.querySelector("time"), old ? moment(message.sent_at) : age(message.sent_at));
}

const STATE_OF = { message_sent: "queued", message_leased: "leased", message_done: "done", message_requeued: "queued", message_dead: "dead" };

// Take an event into a map of messages by id; whether anything was in it for us.
export function takeMessageEvent(messages, event, wanted, most) {
  const state = STATE_OF[event.kind];
  const known = messages.get(event.id);
  if (!known && (event.body === undefined || !wanted(event))) return false;
  const { seq, kind, agent, at, ...row } = event;
  const message = { sent_at: at, ...known, ...row, state: row.state ?? state };
  // The operator's messages are done by being read.
  if (message.to === "operator") message.read = message.state === "done";
  messages.set(event.id, message);
  while (messages.size > most) messages.delete(Math.min(...messages.keys()));
  return true;
}
