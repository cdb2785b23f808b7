// The page of statistics: which window and whose turns are in its address; what ends is drawn soon after.

import { amount, dollars, span } from "./axes.js";
import { byId, el, keyed, setAttribute, setText } from "./dom.js";
import { Live } from "./live.js";
import { get } from "./net.js";
import { AgentTable } from "./stats_agents.js";
import { makeCharts } from "./stats_charts.js";

const SOON = 1000; // from the end of a turn to its drawing, in milliseconds: more may end meanwhile
const AGAIN = 3000; // where the answer was one that the hive had kept from before it
const WINDOWS = { "24h": "24 hours", "7d": "7 days", "30d": "30 days" };

const chosen = { window: "24h", agent: "" };
const charts = makeCharts(byId("charts"));
const table = new AgentTable((name) => address({ agent: name ?? "" }));
let report = null;
let asked = 0;
let timer = null;
let missed = false;
let newest = 0; // the number of the newest event that changes the figures

function address(changes) {
  const { window, agent } = { ...chosen, ...changes };
  return `?${new URLSearchParams({ window, ...(agent ? { agent } : {}) })}`;
}

function fromAddress() {
  const query = new URLSearchParams(location.search);
  chosen.window = Object.hasOwn(WINDOWS, query.get("window")) ? query.get("window") : "24h";
  chosen.agent = query.get("agent") ?? "";
}

const path = () => `api/stats${address({})}`;

const live = new Live({
  stream: "events/stream?topics=turn,agent",
  state: path(),
  taken: ({ stats }) => taken(stats),
  happened: ({ kind, gone, seq }) => {
    if (kind !== "turn_end" && !gone) return;
    newest = seq;
    soon(SOON);
  },
});

// Ask for what the address says. What was chosen meanwhile wins over an older answer.
async function load() {
  clearTimeout(timer);
  timer = null;
  missed = false;
  const mine = ++asked;
  live.state = path();
  setAttribute(byId("drawn"), "aria-busy", "true");
  try {
    const state = await get(live.state);
    if (mine !== asked) return;
    byId("trouble").hidden = true;
    if (report) taken(state.stats);
    else live.start(state);
    if (state.seq < newest) soon(AGAIN);
  } catch (error) {
    if (mine === asked) refused(error);
  }
}

function refused(error) {
  byId("trouble").hidden = false;
  const all = el("a", { href: address({ agent: "" }), "data-agent": "" }, "Show all agents");
  byId("trouble").replaceChildren(error.message, " ", ...(chosen.agent ? [all] : []));
  setAttribute(byId("drawn"), "aria-busy", "false");
}

// A page that nobody sees asks for nothing until it is seen.
function soon(pause) {
  missed = document.hidden;
  if (!document.hidden) timer ??= setTimeout(load, pause);
}

function taken(stats) {
  report = stats;
  const nothing = !stats.total.turns;
  byId("nothing").hidden = !nothing;
  byId("drawn").hidden = nothing;
  if (nothing) explainNothing(stats);
  setAttribute(byId("drawn"), "aria-busy", "false");
  drawChoice(stats);
  drawTiles(stats);
  for (const chart of charts) chart.take(stats);
  table.take(stats);
}

function explainNothing({ window, agent, running }) {
  const whose = agent ? `of ${agent}` : "of any agent";
  const longer = window === "30d" ? "Send somebody a message, and it will show here." : "A longer window may have some.";
  const next = running ? "One that runs now counts when it ends." : longer;
  setText(byId("nothing-words"), `No turn ${whose} has ended in the last ${WINDOWS[window]}. ${next}`);
}

function drawChoice({ window, agent, agents }) {
  for (const link of byId("windows").children) {
    const own = link.dataset.window;
    setAttribute(link, "href", address({ window: own }));
    setAttribute(link, "aria-current", own === window ? "true" : null);
  }
  const names = agents.map(({ name, gone }) => [name, gone ? `${name} (gone)` : name]);
  const options = [["", "all agents"], ...names, ...(agent && !names.some(([name]) => name === agent) ? [[agent, `${agent} (gone)`]] : [])];
  keyed(byId("agent"), options, ([value]) => value || "*", ([value]) => el("option", { value }), (node, [, text]) => setText(node, text));
  byId("agent").value = agent ?? "";
  setText(byId("of"), `${agent ?? "all agents"}, last ${WINDOWS[window]}`);
}

const part = (some, all) => (all ? `${Number(((100 * some) / all).toPrecision(2))} %` : "0 %");

function drawTiles({ total, running }) {
  const { turns, errors, parks, tokens, cost_usd: cost, latency_ms: took, queue_ms: waited } = total;
  const cached = tokens.cache_read + tokens.cache_write + tokens.input;
  const tiles = [
    ["turns", amount(turns), running ? `${running} more ${running === 1 ? "runs" : "run"} now` : "none runs now"],
    ["cost", cost == null ? "unknown" : dollars(cost), cost == null || !turns ? "" : `${dollars(cost / turns)} a turn`],
    ["errors", part(errors, turns), `${amount(errors)} of ${amount(turns)}`, errors ? "bad" : null],
    ["parked", amount(parks), "turns that met a limit", parks ? "wait" : null],
    ["tokens written", amount(tokens.output), `${part(tokens.cache_read, cached)} of what was read came from the cache`],
    ["a turn takes", took ? span(took.p50) : "–", took ? `19 of 20 at most ${span(took.p95)}` : ""],
    ["a message waits", waited ? span(waited.p50) : "–", waited ? `19 of 20 at most ${span(waited.p95)}` : "for its first turn"],
  ];
  const make = ([label]) => el("div", { class: "tile" }, el("dt", {}, label), el("dd", { class: "value" }), el("dd", { class: "dim" }));
  keyed(byId("tiles"), tiles, ([label]) => label, make, (node, [, value, words, tone]) => {
    setText(node.children[1], value);
    setText(node.children[2], words);
    setAttribute(node, "data-tone", tone);
  });
}

function go(to) {
  history.pushState(null, "", to);
  fromAddress();
  load();
}

document.addEventListener("click", (event) => {
  const link = event.target.closest("#windows a, #rows a, #trouble a");
  if (!link || event.button || event.ctrlKey || event.metaKey || event.shiftKey || event.altKey) return;
  event.preventDefault();
  go(link.getAttribute("href"));
});
byId("agent").addEventListener("change", ({ target }) => go(address({ agent: target.value })));
addEventListener("popstate", () => {
  fromAddress();
  load();
});
document.addEventListener("visibilitychange", () => {
  const over = report && Date.parse(report.buckets.at(-1).end) < Date.now();
  if (!document.hidden && (missed || over)) load();
});

fromAddress();
load();
