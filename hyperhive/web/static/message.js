// One message in a list: who to whom, what, and where it is in its life.

import { el, setAttribute, setText } from "./dom.js";
import { attempt, get, post } from "./net.js";
import { age, count, hue, moment } from "./words.js";

const LONG = 220; // characters; a longer text is folded
const LINES = 3;

const STATES = {
  queued: "waits to be handed to a turn",
  leased: "is in a turn",
  done: "was dealt with",
  dead: "was given up; it can be queued again",
  unread: "waits for you",
  read: "was read by you",
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
  setText(button, open ? "less" : "more");
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

// options.received: whom it is to need not be said. options.operator: it is in
// the operator's inbox. options.requeue: a dead one gets its button.
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
    const words = message.body_chars ? `more (${count(message.body_chars)} characters)` : "more";
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
    setText(state, word);
    setAttribute(state, "title", `It ${STATES[word] ?? word}.`);
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
