// Tell the operator what waits for them: one tab speaks for all, as the browser's
// notification while nobody looks, or else as a toast. Each kind can be turned off.

import { byId, el, setAttribute } from "./dom.js";
import { jumpTo } from "./keys.js";
import { known } from "./known.js";
import { firstLine, moment, plural } from "./words.js";

export const ALERTS = {
  approvals: "approvals that wait",
  questions: "questions of agents",
  logins: "agents that need a login",
  dead: "messages that were given up",
  crashes: "agents that crashed",
  messages: "messages to the operator",
};
const GATHERED = 300; // alerts of so short a time are told together, in milliseconds
const MANY = 3; // more than so many as one
const LASTING = 12000; // a toast that is seen, in milliseconds
const TOASTS = 4;
const KEPT = "alerts";

// What is turned off, and until when all of them are (POSIX time in milliseconds).
export function settings() {
  try {
    return { off: [], muted: 0, ...JSON.parse(localStorage.getItem(KEPT) ?? "{}") };
  } catch {
    return { off: [], muted: 0 };
  }
}

export function keepSettings(changes) {
  try {
    localStorage.setItem(KEPT, JSON.stringify({ ...settings(), ...changes }));
  } catch {
    // This browser keeps nothing for us: what was set before holds.
  }
  draw();
}

export const isMuted = () => settings().muted > Date.now();

const crashed = new Set(["crashed", "failed"]);

// What an event has to tell: {kind, tag, title, body, list, key}, or null.
export function alertOf(event, began) {
  const { approval, question } = event;
  if (event.kind === "approval_added") {
    const what = approval.kind === "spawn" ? `new agent ${approval.agent}` : `new configuration of ${approval.agent}`;
    return { kind: "approvals", tag: `approval-${approval.id}`, title: `Approval ${approval.id}: ${what}`, body: approval.description ?? "", list: "approvals", key: approval.id };
  }
  if (event.kind === "question_added") {
    return { kind: "questions", tag: `question-${question.id}`, title: `${question.asker} asks`, body: question.question, list: "questions", key: question.id };
  }
  if (event.kind === "message_dead") {
    return { kind: "dead", tag: `dead-${event.id}`, title: `Message ${event.id} was given up`, body: event.to ? `to ${event.to}` : "", list: "flow", key: event.id };
  }
  if (event.kind === "message_sent" && event.to === "operator" && event.from !== "system") {
    return { kind: "messages", tag: `message-${event.id}`, title: `${event.from} writes`, body: event.body ?? "", list: "inbox", key: event.id };
  }
  // A state that is older than what the page began with is no news.
  if (event.kind !== "agent_state" || event.gone || Date.parse(event.state_since) < Date.parse(began)) return null;
  const kind = event.state === "needs login" ? "logins" : crashed.has(event.state) ? "crashes" : null;
  if (!kind) return null;
  const title = kind === "logins" ? `${event.name} needs a login` : `${event.name} has ${event.state}`;
  return { kind, tag: `${event.name}-${event.state}-${event.state_since}`, title, body: event.state_note ?? "", list: "agents", key: event.name };
}

const told = new Set(); // tags
let gathered = [];
let missed = 0;

function happened(event) {
  const alert = known.home && known.lead ? alertOf(event, known.began) : null;
  if (!alert || told.has(alert.tag) || settings().off.includes(alert.kind) || isMuted()) return;
  told.add(alert.tag);
  if (told.size > 500) told.delete(told.values().next().value);
  if (!gathered.length) setTimeout(tell, GATHERED);
  gathered.push(alert);
}

function tell() {
  const alerts = gathered;
  gathered = [];
  badge(alerts.length);
  if (alerts.length <= MANY) {
    alerts.forEach(show);
    return;
  }
  const body = alerts.slice(0, 4).map(({ title }) => title).join(" · ");
  show({ tag: "many", title: `${plural(alerts.length, "thing")} of the hive`, body, list: alerts[0].list, key: alerts[0].key });
}

function show(alert) {
  const allowed = globalThis.Notification?.permission === "granted";
  if (document.hasFocus() || !allowed || !notify(alert)) toast(alert);
}

function notify({ tag, title, body, list, key }) {
  try {
    const note = new Notification(title, { body: firstLine(body, 300), tag, icon: document.querySelector("link[rel=icon]")?.href });
    note.onclick = () => {
      note.close();
      focus();
      jumpTo(list, key);
    };
    return true;
  } catch {
    return false; // on Android only a service worker may
  }
}

function toast({ title, body, list, key }) {
  const go = el("button", { class: "quiet", type: "button" }, "show");
  const node = el("div", { class: "toast alert" }, el("strong", {}, title), body ? el("p", { class: "dim" }, firstLine(body)) : null, go);
  go.addEventListener("click", () => {
    node.remove();
    jumpTo(list, key);
  });
  const place = byId("toasts");
  place.append(node);
  while (place.childElementCount > TOASTS) place.firstElementChild.remove();
  whenSeen(() => setTimeout(() => node.remove(), LASTING));
}

function whenSeen(then) {
  if (!document.hidden) then();
  else document.addEventListener("visibilitychange", then, { once: true });
}

// The dashboard's title counts what waits; others count what came while nobody looked.
function badge(many) {
  if (!document.hidden || document.body.classList.contains("dashboard")) return;
  if (!missed) {
    const { title } = document;
    whenSeen(() => {
      document.title = title;
      missed = 0;
    });
  }
  missed += many;
  document.title = `(${missed}) ${document.title.replace(/^\(\d+\) /, "")}`;
}

// The bell in the bar.
function draw() {
  const bell = byId("alerts");
  if (!bell) return;
  const muted = isMuted();
  setAttribute(bell, "data-muted", muted ? "" : null);
  setAttribute(bell, "title", muted ? `alerts: muted until ${moment(settings().muted)}` : "alerts");
}

known.watch(happened);
addEventListener("storage", draw);
draw();
