// The agents' rows: how each is, what it needs, and what can be done to it.

import { makeLoginButton, updateLoginButton } from "./claude_login_door.js";
import { el, icon, setAttribute, setText } from "./dom.js";
import { menuButton } from "./menu.js";
import { ticking } from "./ticker.js";
import { VERBS, likely } from "./verbs.js";
import { age, count, look, money, plural, stateWords, took } from "./words.js";

export function badge(node, agent) {
  const { tone, icon: shape } = look(agent.state);
  if (node.dataset.shape !== shape) {
    node.replaceChildren(icon(shape), el("span", { class: "words" }));
    node.dataset.shape = shape;
  }
  setAttribute(node, "data-tone", tone);
  setAttribute(node, "data-state", agent.state);
  setText(node.querySelector(".words"), stateWords(agent));
}

// How full the context is, as a bar and in figures.
export function meter(node, agent) {
  if (!node.firstChild) {
    node.append(el("span", { class: "track" }, el("span", { class: "fill" })), el("span", { class: "figures dim" }));
  }
  const { ctx_tokens: tokens, ctx_window: window } = agent;
  node.hidden = tokens == null;
  if (tokens == null) return;
  const part = window ? Math.min(1, tokens / window) : 0;
  node.querySelector(".fill").style.width = `${(part * 100).toFixed(1)}%`;
  setAttribute(node, "data-full", part > 0.75 ? "high" : part > 0.5 ? "half" : "low");
  setText(node.querySelector(".figures"), window ? `${count(tokens)} / ${count(window)}` : count(tokens));
  setAttribute(node, "title", window ? `context: ${Math.round(part * 100)} % of the window` : "context");
}

function lastTurn(turn) {
  if (!turn?.outcome) return "";
  const words = turn.outcome === "ok" ? "turn" : turn.outcome.replaceAll("_", " ");
  return `${words} ${age(turn.ended_at)} ago`;
}

// The verbs of the menu, in their order; null stands for a line between.
const MENU = ["start", "cancel", "pause", "go", "stop", "kill", "restart", null, "rebuild", "compact", "session", null, "destroy", "purge"];

function menuOf(node) {
  const agent = node.item;
  const items = MENU.map((name) => {
    if (name === null) return null;
    const verb = VERBS[name];
    return verb.applies(agent) ? { ...verb, run: (button) => verb.run(node.item, button) } : false;
  }).filter((item) => item !== false);
  const past = { glyph: "↺", label: "deployments", words: "what ran before, and roll back", run: () => togglePast(node) };
  const logs = { glyph: "≡", label: "logs", words: "its page, with its journal", href: `agent/${agent.name}/#journal` };
  const own = agent.url ? { glyph: "↗", label: "page of its own", words: "its page on a port of its own", href: ownPage(agent) } : null;
  items.splice(items.lastIndexOf(null), 0, null, past, logs, ...(own ? [own] : []));
  return items.filter((item, place) => item || (place > 0 && items[place - 1]));
}

// Its own port, by the name under which this browser knows the hive.
function ownPage({ url }) {
  const own = new URL(url);
  own.hostname = location.hostname;
  return own.href;
}

async function togglePast(node) {
  const { past } = node.parts;
  past.hidden = !past.hidden;
  if (past.hidden) return past.replaceChildren();
  const { showPast } = await import("./deployments.js");
  await showPast(past, node.item.name, () => togglePast(node));
}

export function makeAgent(agent) {
  const name = agent.name;
  const more = menuButton(`more that can be done to ${name}`, () => menuOf(node));
  const quick = el("button", { class: "quiet quick", type: "button" });
  quick.addEventListener("click", () => VERBS[quick.dataset.verb].run(node.item, quick));
  quick.addEventListener("pointerleave", () => offer(node));
  const login = makeLoginButton(`agent/${name}/`);
  const past = el("div", { class: "past", hidden: true });
  const node = el(
    "li",
    { class: "agent", "aria-labelledby": `agent-${name}` },
    el(
      "div",
      { class: "who" },
      el("h4", {}, el("a", { id: `agent-${name}`, href: `agent/${name}/`, class: agent.role === "manager" ? "name manager" : "name" }, name)),
      agent.role === "manager" ? el("span", { class: "role dim" }, "manager") : null,
    ),
    el("div", { class: "now" }, el("span", { class: "badge" }), el("span", { class: "tool dim" })),
    el("div", { class: "mind" }, el("span", { class: "meter" }), el("span", { class: "model dim" })),
    el("div", { class: "mail" }, el("span", { class: "unread" }), el("span", { class: "cost" }), el("span", { class: "last dim" })),
    el("div", { class: "actions", role: "group", "aria-label": `what can be done to ${name}` }, login, quick, more),
    el("p", { class: "says" }),
    past,
  );
  node.parts = Object.fromEntries(["badge", "tool", "meter", "model", "unread", "cost", "last", "says"].map((part) => [part, node.querySelector(`.${part}`)]));
  Object.assign(node.parts, { login, quick, past });
  return ticking(node, () => node.item && updateAge(node));
}

// needs: what it needs the operator for, as [{text, words, href}].
export function updateAgent(node, agent, needs) {
  node.item = agent;
  updateLoginButton(node.parts.login, agent);
  const { tool, model, unread, cost, says } = node.parts;
  setAttribute(node, "data-tone", look(agent.state).tone);
  setAttribute(node, "data-state", agent.state);
  setText(tool, agent.tool ?? "");
  setText(model, agent.model);
  meter(node.parts.meter, agent);
  setText(unread, agent.unread ? `✉ ${agent.unread}` : "");
  setAttribute(unread, "title", agent.unread ? `${plural(agent.unread, "message")} waiting` : null);
  setText(cost, money(agent.cost_today));
  setAttribute(cost, "title", agent.cost_today ? "what it cost today" : null);
  says.replaceChildren(
    ...needs.map(need),
    ...(agent.needs_update ? [el("span", { class: "mark update", title: "Another hyperhive has built it: rebuild it." }, "⇧ update")] : []),
    ...(agent.state_note ? [el("span", { class: "why" }, agent.state_note)] : []),
    ...(agent.status_text ? [el("span", { class: "status" }, `“${agent.status_text}”`)] : []),
  );
  offer(node);
  updateAge(node);
}

const need = ({ text, words, href }) =>
  href ? el("a", { class: "mark", title: words, href }, text) : el("span", { class: "mark", title: words }, text);

// The likeliest verb has a button of its own. It does not change under the pointer.
function offer(node) {
  const { quick } = node.parts;
  if (quick.matches(":hover") && quick.dataset.verb) return;
  const name = likely(node.item);
  quick.hidden = !name;
  setAttribute(quick, "data-verb", name);
  if (!name) return;
  const { glyph, label, words } = VERBS[name];
  setText(quick, `${glyph} ${label}`);
  setAttribute(quick, "aria-label", `${label}: ${node.item.name}`);
  setAttribute(quick, "title", words);
}

function updateAge(node) {
  badge(node.parts.badge, node.item);
  const turn = node.item.last_turn;
  setText(node.parts.last, lastTurn(turn));
  setAttribute(node.parts.last, "title", turn?.outcome ? `its last turn: ${turn.outcome.replaceAll("_", " ")} after ${took(turn.duration_ms ?? 0)}` : null);
}
