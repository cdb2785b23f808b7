// An agent's page: how it is, what it does as it does it, and the prompt.

import { badge, meter } from "./agents.js";
import { loginHappened, loginReloaded, makeLoginButton, updateLoginButton } from "./claude_login_door.js";
import { byId, el, firstState, keyed, setAttribute, setText } from "./dom.js";
import { Live } from "./live.js";
import { changingBy } from "./markdown.js";
import { makeMessage, takeMessageEvent, updateAge, updateMessage } from "./message.js";
import { attempt, get, post } from "./net.js";
import { panels } from "./panels.js";
import { prompting } from "./prompt.js";
import { Terminal } from "./terminal.js";
import { age, count, mailboxOf, money, took } from "./words.js";

const INBOX = 20;
const TURNS = 20;
const MOST_TURNS = 400;
const PAGE = 200; // events

const terminal = new Terminal((asked) => get(`events/history?${new URLSearchParams({ limit: PAGE, ...asked })}`));
const inbox = new Map();
let agent = null;
let turns = [];
let olderTurns = null; // what to ask older turns with

const login = makeLoginButton("");
byId("note").after(login);

async function taken(state) {
  loginReloaded();
  agent = state.agent;
  turns = state.turns;
  olderTurns = null;
  inbox.clear();
  for (const message of state.inbox) inbox.set(message.id, message);
  drawHeader();
  drawInbox();
  drawTurns();
  byId("more-turns").hidden = turns.length < TURNS;
  await attempt(null, () => terminal.refresh());
}

function happened(event) {
  switch (event.kind) {
    case "agent_state":
      if (event.gone) {
        location.assign(document.querySelector(".brand")?.href ?? "/");
        return;
      }
      agent = event;
      drawHeader();
      break;
    case "claude_login":
      loginHappened(event);
      break;
    case "turn_start":
    case "stream":
    case "note":
      terminal.add([event]);
      if (event.kind === "turn_start") setText(byId("said"), `${agent.name} begins a turn`);
      break;
    case "turn_end":
      terminal.add([event]);
      // An event has a kind of its own: its turn's are called otherwise there.
      turns = [{ ...event, id: event.turn, kind: event.turn_kind }, ...turns.filter(({ id }) => id !== event.turn)].slice(0, MOST_TURNS);
      drawTurns();
      setText(byId("said"), `${agent.name}'s turn ended: ${event.outcome}`);
      break;
    default:
      if (takeMessageEvent(inbox, event, ({ to }) => to === mailbox(), INBOX)) drawInbox();
  }
}

byId("more-turns").addEventListener("click", ({ currentTarget: button }) =>
  attempt(button, async () => {
    const page = await get(`api/turns?limit=${TURNS}&before=${olderTurns ?? turns.at(-1).id}`);
    turns = [...turns, ...page.turns];
    olderTurns = page.before;
    button.hidden = olderTurns === null || turns.length >= MOST_TURNS;
    drawTurns();
  }),
);

const mailbox = () => mailboxOf(agent);

function drawHeader() {
  badge(byId("badge"), agent);
  setText(byId("note"), [agent.tool, agent.state_note].filter(Boolean).join(" · "));
  byId("cancel").hidden = !agent.working;
  updateLoginButton(login, agent);
  const chips = [
    { key: "model", text: agent.model, title: "the model of its turns" },
    { key: "context", text: "" },
    { key: "cost", text: agent.cost_today ? `${money(agent.cost_today)} today` : "", title: "what its turns have cost since midnight" },
    { key: "unread", text: agent.unread ? `${agent.unread} waiting` : "", title: "messages that wait" },
    { key: "last", text: lastTurn(), title: "its last turn" },
    { key: "status", text: agent.status_text ? `“${agent.status_text}”` : "", title: "what it says of itself" },
  ].filter(({ key, text }) => text || key === "context");
  keyed(byId("chips"), chips, ({ key }) => key, ({ key }) => el("span", { class: key === "context" ? "meter" : "chip" }), (node, { key, text, title }) => {
    if (key === "context") {
      meter(node, agent);
      return;
    }
    setText(node, text);
    setAttribute(node, "title", title);
  });
}

function lastTurn() {
  const turn = agent.last_turn;
  if (!turn?.outcome) return "";
  const parts = [`last ${turn.outcome.replaceAll("_", " ")} ${took(turn.duration_ms ?? 0)}`, money(turn.cost_usd)];
  return parts.filter(Boolean).join(" · ");
}

function drawInbox() {
  const messages = [...inbox.values()].sort((a, b) => b.id - a.id);
  byId("inbox-box").hidden = !messages.length;
  setText(byId("inbox-count"), agent.unread ? String(agent.unread) : "");
  keyed(byId("inbox"), messages, ({ id }) => id, (message) => makeMessage(message, { received: true }), updateMessage);
}

function drawTurns() {
  byId("turns-box").hidden = !turns.length;
  keyed(byId("turns"), turns, ({ id }) => id, makeTurn, updateTurn);
}

function makeTurn() {
  return el("li", {}, el("span", { class: "outcome" }), el("span", { class: "dim figures" }), el("time", { class: "dim" }));
}

function updateTurn(node, turn) {
  const compaction = turn.kind === "compact" ? "compact · " : "";
  setText(node.querySelector(".outcome"), compaction + (turn.outcome ?? "running").replaceAll("_", " "));
  setAttribute(node, "data-outcome", turn.outcome ?? "");
  const parts = [
    turn.duration_ms == null ? "" : took(turn.duration_ms),
    turn.tokens?.output ? `${count(turn.tokens.output)} out` : "",
    money(turn.cost_usd),
  ];
  setText(node.querySelector(".figures"), parts.filter(Boolean).join(" · "));
  setText(node.querySelector("time"), turn.ended_at ? age(turn.ended_at) : "");
  setAttribute(node, "title", turn.note);
}

byId("cancel").addEventListener("click", (event) =>
  attempt(event.currentTarget, () => post("api/cancel"), "The turn was cancelled."),
);

setInterval(() => {
  badge(byId("badge"), agent);
  for (const node of byId("inbox").children) {
    const message = inbox.get(Number(node.dataset.key));
    if (message) updateAge(node, message);
  }
  for (const [index, node] of [...byId("turns").children].entries()) updateTurn(node, turns[index]);
}, 1000);

const { name } = firstState().agent;
changingBy((act) => terminal.holding(act));
prompting(name, terminal);
panels(name);

if (matchMedia("(max-width: 60rem)").matches) {
  byId("inbox-box").open = false;
  byId("turns-box").open = false;
}

new Live({ stream: "events/stream", state: "api/state", taken, happened, rest: true }).start(firstState());
