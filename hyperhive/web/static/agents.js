// The agents' cards: state, context, and what can be done to each.

import { el, icon, setAttribute, setText } from "./dom.js";
import { attempt, confirmed, post } from "./net.js";
import { age, count, look, plural, stateWords, took } from "./words.js";

const verb = (label, words, run) => {
  const button = el("button", { class: "quiet", type: "button", title: words, "aria-label": words }, label);
  button.addEventListener("click", () => run(button));
  return button;
};

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

export function lastTurn(turn) {
  if (!turn?.outcome) return "no turn yet";
  return `${turn.outcome.replaceAll("_", " ")} · ${took(turn.duration_ms ?? 0)} · ${age(turn.ended_at)} ago`;
}

export function makeAgent(agent) {
  const name = agent.name;
  const path = `agent/${name}/`;
  const stop = verb("■ stop", `stop ${name} when its turn has ended`, async (button) => {
    const now = await confirmed({
      title: `stop ${name}?`,
      text: "A turn that runs may end first (up to ten minutes); its messages are kept.",
      yes: "stop",
      option: "don't wait: interrupt the turn now",
    });
    if (now !== null) await attempt(button, () => post(`kill/${name}`, { graceful: !now }), `${name} is stopped.`);
  });
  const start = verb("▶ start", `start ${name}`, (button) => attempt(button, () => post(`start/${name}`), `${name} is started.`));
  const restart = verb("↻ restart", `restart ${name}`, async (button) => {
    const yes = await confirmed({ title: `restart ${name}?`, text: "Its turn may end first. Its conversation goes on.", yes: "restart" });
    if (yes !== null) await attempt(button, () => post(`restart/${name}`), `${name} is restarted.`);
  });
  const pause = verb("", "", (button) => attempt(button, () => post(`pause/${name}`, { paused: button.dataset.paused !== "true" })));
  const destroy = verb("✕ destroy", `destroy ${name}`, async (button) => {
    const purge = await confirmed({
      title: `destroy ${name}?`,
      text: "Its container goes, its turn is interrupted, and messages that wait for it are given up. What it kept (login, notes, conversation) stays for an agent of the same name.",
      yes: "destroy",
      option: "purge: remove what it kept, too",
    });
    if (purge !== null) await attempt(button, () => post(`destroy/${name}`, { purge }), `${name} is destroyed.`);
  });
  const port = el("a", { class: "port dim" });
  return Object.assign(
    el(
      "li",
      { class: "agent", "aria-labelledby": `agent-${name}` },
      el(
        "div",
        { class: "who" },
        el("h3", {}, el("a", { id: `agent-${name}`, href: path, class: agent.role === "manager" ? "name manager" : "name" }, name)),
        agent.role === "manager" ? el("span", { class: "role dim" }, "manager") : null,
        port,
      ),
      el("div", { class: "now" }, el("span", { class: "badge" }), el("span", { class: "tool dim" })),
      el("div", { class: "mind" }, el("span", { class: "meter" }), el("span", { class: "model dim" })),
      el("div", { class: "mail" }, el("span", { class: "unread" }), el("span", { class: "last dim" })),
      el("div", { class: "actions", role: "group", "aria-label": `what can be done to ${name}` }, pause, start, stop, restart, agent.role === "manager" ? null : destroy),
      el("p", { class: "says" }),
    ),
    { parts: { pause, start, stop, restart, port } },
  );
}

export function updateAgent(node, agent) {
  const find = (selector) => node.querySelector(selector);
  const { pause, start, stop, restart, port } = node.parts;
  setAttribute(node, "data-tone", look(agent.state).tone);
  setText(find(".tool"), agent.tool ? `${agent.tool}` : "");
  setText(find(".model"), agent.model);
  meter(find(".meter"), agent);
  setText(find(".unread"), agent.unread ? `${plural(agent.unread, "message")} waiting` : "");
  ownPage(port, agent);
  setText(pause, agent.paused ? "▶ go on" : "‖ pause");
  setAttribute(pause, "data-paused", agent.paused);
  setAttribute(pause, "aria-label", agent.paused ? `let ${agent.name} go on` : `pause ${agent.name}`);
  setAttribute(pause, "title", agent.paused ? "give it turns again" : "let its turn end and give it no other");
  const moving = ["starting", "stopping"].includes(agent.state);
  start.hidden = agent.running || moving;
  stop.hidden = !agent.running && !moving;
  restart.hidden = !agent.running || moving;
  const says = find(".says");
  const note = agent.state_note ?? "";
  says.replaceChildren(
    ...(note ? [el("span", { class: "why" }, note)] : []),
    ...(agent.status_text ? [el("span", { class: "status" }, `“${agent.status_text}”`)] : []),
  );
  updateAgentAge(node, agent);
}

export function updateAgentAge(node, agent) {
  badge(node.querySelector(".badge"), agent);
  setText(node.querySelector(".last"), lastTurn(agent.last_turn));
}

// Its own port, by the name under which this browser knows the hive.
function ownPage(link, agent) {
  link.hidden = !agent.url;
  if (!agent.url) return;
  const url = new URL(agent.url);
  url.hostname = location.hostname;
  setAttribute(link, "href", url.href);
  setAttribute(link, "title", "its page on a port of its own");
  setText(link, `:${url.port}`);
}

export function tally(agents) {
  const counts = new Map();
  for (const { state } of agents) counts.set(state, (counts.get(state) ?? 0) + 1);
  return [...counts].map(([state, number]) => `${number} ${state}`).join(" · ");
}
