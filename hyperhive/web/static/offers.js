// The actions that the swarm's state offers: verbs on agents, decisions, and the hive's own.

import { openLogin } from "./claude_login_door.js";
import { known } from "./known.js";
import { get, post, tellTest } from "./net.js";
import { VERBS } from "./verbs.js";
import { firstLine, mailboxOf, plural, stateWords, whatFollows } from "./words.js";

const SYNONYMS = { stop: "kill", go: "resume unpause", rebuild: "update", destroy: "remove delete", purge: "remove delete", cancel: "interrupt" };
const MODELS = ["haiku", "sonnet", "opus"];

// Where an agent's page is: on the agent's own port it is this one.
const pageOf = (name) => (known.home ? `/agent/${name}/` : "");

function agentActions(agent) {
  const { name } = agent;
  const one = (id, title, run, more = {}) => ({ id: `${id}-${name}`, group: name, title, hint: stateWords(agent), run, ...more });
  const send = known.home ? (body) => post("/op-send", { to: mailboxOf(agent), body }) : (body) => post("send", { body });
  return [
    known.agent === name ? null : one("go", `go to ${name}`, () => location.assign(pageOf(name)), { group: "Agents", words: "open page terminal" }),
    one("message", `message ${name}`, (body) => send(body).then(() => `Sent to ${name}.`), { words: "write send prompt tell", asks: { label: `message to ${name}` } }),
    one("model", `set the model of ${name}`, (model) => post(`${pageOf(name)}api/model`, { model }).then((answer) => `The next turns of ${name} run on ${answer.model}.`), {
      hint: agent.model,
      asks: { label: `model of ${name} (empty: the hive's own)`, choices: MODELS, optional: true },
    }),
    agent.needs_login ? one("login", `log the claude of ${name} in`, () => openLogin(name, pageOf(name)), { words: "login" }) : null,
    ...(known.home ? verbActions(agent, one) : turnActions(agent, one)),
  ].filter(Boolean);
}

// The verbs of the dashboard; they ask first, and say how it went, by themselves.
const verbActions = (agent, one) =>
  Object.entries(VERBS)
    .filter(([, verb]) => verb.applies(agent))
    .map(([key, verb]) => one(key, `${verb.label} ${agent.name}`, () => void verb.run(agent, null), { words: `${verb.words} ${SYNONYMS[key] ?? ""}` }));

// What an agent's own port can do.
function turnActions({ name, working }, one) {
  const page = (key, title, path, said) => one(key, title, () => post(`api/${path}`).then(() => said));
  return [
    working ? page("cancel", `cancel turn ${name}`, "cancel", `${name}'s turn is cancelled.`) : null,
    page("compact", `compact ${name}`, "compact", `${name} compacts its conversation.`),
    page("session", `new session ${name}`, "new-session", `${name} begins anew.`),
  ];
}

function approvalActions({ id, agent, kind, description }) {
  const what = kind === "spawn" ? `new agent ${agent}` : `new configuration of ${agent}`;
  const text = whatFollows({ kind, agent });
  const shared = { group: "Approvals", words: `refuse reject ${firstLine(description ?? "")}` };
  return [
    { ...shared, id: `approve-${id}`, title: `approve ${id}: ${what}`, confirm: { title: `approve ${id}?`, text, yes: "approve" }, run: () => post(`/approve/${id}`).then(() => `${id} is approved and done.`) },
    { ...shared, id: `deny-${id}`, title: `deny ${id}: ${what}`, asks: { label: "why not (told to who asked)", optional: true }, run: (note) => post(`/deny/${id}`, { note }).then(() => `${id} is denied.`) },
  ];
}

function questionActions({ id, asker, question, options = [] }) {
  const what = `${asker}: ${firstLine(question, 70)}`;
  return [
    { id: `answer-${id}`, group: "Questions", title: `answer ${what}`, words: "question reply", asks: { label: firstLine(question), choices: options }, run: (answer) => post(`/answer-question/${id}`, { answer }).then(() => "Answered.") },
    {
      id: `cancel-question-${id}`,
      group: "Questions",
      title: `close the question of ${what}`,
      words: "cancel",
      confirm: { title: "close the question?", text: "It is closed without an answer.", yes: "close it" },
      run: () => post(`/cancel-question/${id}`).then(() => `Question ${id} is closed.`),
    },
  ];
}

const queueAgain = (id) => post(`/requeue/${id}`);

function deadActions() {
  const dead = [...known.dead.values()];
  const one = (message) => ({ id: `requeue-${message.id}`, group: "Dead messages", title: `queue message ${message.id} again: ${message.from} → ${message.to}`, hint: firstLine(message.body ?? "", 40), words: "requeue dead retry", run: () => queueAgain(message.id).then(() => `Message ${message.id} is queued again.`) });
  const all = {
    id: "requeue-all",
    group: "Dead messages",
    title: `queue ${plural(dead.length, "dead message")} again`,
    words: "requeue all retry",
    run: async () => {
      for (const { id } of dead) await queueAgain(id);
      return `${plural(dead.length, "message")} queued again.`;
    },
  };
  return dead.length > 1 ? [all, ...dead.map(one)] : dead.map(one);
}

const HIVE = [
  { id: "spawn", title: "spawn an agent", words: "new create", asks: { label: "name: 1 to 9 of a-z, 0-9, “-”; a letter first" }, run: (name) => post("/spawn", { name }).then(() => `${name} is there.`) },
  { id: "request-spawn", title: "request an agent, to be approved", words: "spawn propose", asks: { label: "name of the agent that is proposed" }, run: (name) => post("/request-spawn", { name }).then(({ id }) => `Approval ${id} waits.`) },
  { id: "broadcast", title: "message all agents", words: "send broadcast everybody *", asks: { label: "message to all agents" }, run: (body) => post("/op-send", { to: "*", body }).then(({ ids }) => `Sent to ${plural(ids.length, "agent")}.`) },
  { id: "update-all", title: "update all: rebuild what another hyperhive has built", words: "upgrade", run: () => post("/update-all").then(({ count }) => `${plural(count, "agent")} rebuilt.`) },
  { id: "notify-test", title: "tell a test by ntfy and webhook", words: "notification notify phone outside", run: tellTest },
];

// Everything that can be done from here; asks the hive for what this page does not know.
export async function stateActions() {
  if (known.home && !known.whole) known.taken({ ...(await get("/api/state")), now: undefined });
  return [
    ...(known.home ? [...known.approvals.values()].flatMap(approvalActions) : []),
    ...(known.home ? [...known.questions.values()].flatMap(questionActions) : []),
    ...[...known.agents.values()].sort((a, b) => (b.name === known.agent) - (a.name === known.agent)).flatMap(agentActions),
    ...(known.home ? [...HIVE.map((action) => ({ group: "Hive", ...action })), ...deadActions()] : []),
  ];
}
