// The dashboard: agents, the operator's inbox, and every message as it goes.

import { makeAgent, tally, updateAgent, updateAgentAge } from "./agents.js";
import { makeApproval, pendingFirst, updateApproval, updateApprovalAge } from "./approvals.js";
import { logged, makeJob, makeTombstone, newestJobs, updateJob, updateJobAge } from "./deploys.js";
import { byId, el, firstState, keyed, setText } from "./dom.js";
import { Live } from "./live.js";
import { makeMessage, takeMessageEvent, updateAge, updateMessage } from "./message.js";
import { attempt, get, post } from "./net.js";
import { makeQuestion, oldestFirst, updateQuestion } from "./questions.js";
import { plural } from "./words.js";

const MOST = 200; // messages kept in each list
const ALL = 1000; // and in the flow, when older ones were asked for

const agents = new Map();
const flow = new Map();
const inbox = new Map();
const approvals = new Map();
const questions = new Map();
const jobs = new Map();
const tombstones = new Map();
let kept = MOST;
let drawing = false;

const newestFirst = (messages) => [...messages.values()].sort((a, b) => b.id - a.id);
const inOrder = () =>
  [...agents.values()].sort((a, b) => (b.role === "manager") - (a.role === "manager") || (a.name < b.name ? -1 : 1));
const unread = () => newestFirst(inbox).filter((message) => message.read === false);

function taken(state) {
  agents.clear();
  flow.clear();
  inbox.clear();
  for (const agent of state.agents) agents.set(agent.name, agent);
  for (const message of state.messages) flow.set(message.id, message);
  for (const message of state.inbox) inbox.set(message.id, message);
  for (const [map, rows] of [[approvals, state.approvals], [questions, state.questions], [jobs, state.jobs]]) {
    map.clear();
    for (const row of rows) map.set(row.id, row);
  }
  takeTombstones(state.tombstones);
  notices(state.notices);
  byId("older-messages").hidden = state.messages.length < 50;
  draw();
}

function happened(event) {
  if (event.kind === "agent_state") {
    if (event.gone) agents.delete(event.name);
    else agents.set(event.name, event);
  } else if (event.kind === "notice") {
    notices(event.notices);
  } else if (event.kind === "deploy_log") {
    logged(event);
    return;
  } else if (event.kind === "deploy") {
    jobs.set(event.job.id, event.job);
  } else if (event.kind === "tombstone") {
    attempt(null, async () => takeTombstones((await get("api/tombstones")).tombstones));
  } else if (event.approval) {
    approvals.set(event.approval.id, event.approval);
  } else if (event.question) {
    if (event.question.status === "pending") questions.set(event.question.id, event.question);
    else questions.delete(event.question.id);
  } else {
    takeMessageEvent(flow, event, () => true, kept);
    takeMessageEvent(inbox, event, ({ to }) => to === "operator", MOST);
  }
  soon();
}

function takeTombstones(rows) {
  tombstones.clear();
  for (const row of rows) tombstones.set(row.name, row);
  soon();
}

// Many events of one moment are drawn once.
function soon() {
  setText(document.querySelector("title"), title());
  if (drawing) return;
  drawing = true;
  requestAnimationFrame(draw);
}

const waiting = () => [...approvals.values()].filter(({ status }) => status === "pending").length;

function title() {
  const much = unread().length + waiting() + questions.size;
  return much ? `(${much}) hyperhive` : "hyperhive";
}

function draw() {
  drawing = false;
  keyed(byId("agent-list"), inOrder(), (agent) => agent.name, makeAgent, updateAgent);
  keyed(byId("inbox"), newestFirst(inbox), (message) => message.id, makeReceived, updateMessage);
  keyed(byId("flow"), newestFirst(flow), (message) => message.id, (message) => makeMessage(message, { requeue: true }), updateMessage);
  keyed(byId("mailboxes"), ["manager", ...[...agents.keys()].filter((name) => name !== "hm1nd").sort(), "*"], (name) => name, (name) => el("option", { value: name }), () => {});
  setText(byId("tally"), tally(agents.values()));
  keyed(byId("approvals"), pendingFirst(approvals), ({ id }) => id, makeApproval, updateApproval);
  keyed(byId("questions"), oldestFirst(questions), ({ id }) => id, makeQuestion, updateQuestion);
  keyed(byId("jobs"), newestJobs(jobs), ({ id }) => id, makeJob, updateJob);
  keyed(byId("tombstones"), [...tombstones.values()], ({ name }) => name, makeTombstone, () => {});
  byId("no-approvals").hidden = approvals.size > 0;
  byId("no-questions").hidden = questions.size > 0;
  byId("no-tombstones").hidden = tombstones.size > 0;
  setText(byId("approvals-count"), waiting() ? String(waiting()) : "");
  setText(byId("questions-count"), questions.size ? String(questions.size) : "");
  byId("update-all").hidden = ![...agents.values()].some((agent) => agent.needs_update);
  const fresh = unread().length;
  setText(byId("inbox-unread"), fresh ? `${fresh} new` : "");
  byId("read-all").hidden = !fresh;
  setText(document.querySelector("title"), title());
}

function notices(sentences) {
  keyed(byId("notices"), sentences, (text) => text, (text) => el("li", {}, text), () => {});
}

async function markRead(ids) {
  await post("read", { ids });
  for (const id of ids) if (inbox.has(id)) inbox.get(id).read = true;
  soon();
}

function makeReceived(message) {
  return makeMessage(message, {
    received: true,
    operator: true,
    actions: (row, node) => {
      const read = el("button", { class: "quiet read", type: "button" }, "✓ read");
      read.addEventListener("click", () => attempt(read, () => markRead([message.id])));
      if (message.from !== "system") row.append(replyButton(message, node));
      row.append(read);
    },
  });
}

function replyButton(message, node) {
  const button = el("button", { class: "quiet", type: "button", "aria-expanded": "false" }, "↩ reply");
  button.addEventListener("click", () => {
    const open = node.querySelector("form");
    if (open) open.remove();
    else node.append(replyForm(message, button));
    button.setAttribute("aria-expanded", !open);
    node.querySelector("textarea")?.focus();
  });
  return button;
}

function replyForm(message, button) {
  const text = el("textarea", { rows: 2, required: true, "aria-label": `reply to ${message.from}` });
  const form = el(
    "form",
    { class: "reply" },
    text,
    el("div", { class: "row" }, el("small", { class: "dim grow" }, "Ctrl+Enter sends"), el("button", { class: "primary", type: "submit" }, "R3PLY")),
  );
  sendsByKey(form, text);
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const sent = await attempt(
      form.querySelector("button"),
      async () => {
        await post("op-send", { to: message.from, body: text.value, in_reply_to: message.id });
        await markRead([message.id]);
      },
      `Replied to ${message.from}.`,
    );
    if (!sent) return;
    form.remove();
    button.setAttribute("aria-expanded", "false");
    button.focus();
  });
  return form;
}

function sendsByKey(form, text) {
  text.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey) && !event.isComposing) {
      event.preventDefault();
      form.requestSubmit();
    }
  });
}

byId("compose").addEventListener("submit", async (event) => {
  event.preventDefault();
  const form = event.currentTarget;
  const to = form.elements.to.value;
  const body = form.elements.body.value;
  const sent = await attempt(
    form.querySelector("button"),
    () => post("op-send", { to, body }),
    ({ ids }) => (ids.length === 1 ? `Sent to ${to} as ${ids[0]}.` : `Sent to ${ids.length} agents.`),
  );
  // Who has typed on meanwhile keeps it.
  if (sent && form.elements.body.value === body) form.elements.body.value = "";
});
sendsByKey(byId("compose"), byId("compose-body"));

byId("spawn").addEventListener("submit", async (event) => {
  event.preventDefault();
  const form = event.currentTarget;
  const name = form.elements.name.value.trim();
  if (await attempt(form.querySelector("button"), () => post("spawn", { name }), `${name} is there.`)) form.reset();
});

byId("read-all").addEventListener("click", (event) =>
  attempt(event.currentTarget, () => markRead(unread().map(({ id }) => id).slice(0, 200))),
);

byId("update-all").addEventListener("click", (event) =>
  attempt(event.currentTarget, () => post("update-all"), ({ count }) => `${plural(count, "agent")} rebuilt.`),
);

byId("older-messages").addEventListener("click", (event) => {
  const button = event.currentTarget;
  attempt(button, async () => {
    const answer = await get(`api/messages?before=${Math.min(...flow.keys())}&limit=50`);
    for (const message of answer.messages) flow.set(message.id, message);
    kept = Math.max(MOST, flow.size);
    button.hidden = !answer.before || flow.size >= ALL;
    draw();
  });
});

setInterval(() => {
  for (const node of byId("agent-list").children) updateAgentAge(node, agents.get(node.dataset.key) ?? {});
  for (const [list, rows, update] of [
    [byId("inbox"), inbox, updateAge],
    [byId("flow"), flow, updateAge],
    [byId("approvals"), approvals, updateApprovalAge],
    [byId("questions"), questions, updateQuestion],
    [byId("jobs"), jobs, updateJobAge],
  ]) {
    for (const node of list.children) {
      const row = rows.get(Number(node.dataset.key));
      if (row) update(node, row);
    }
  }
}, 1000);

new Live({ stream: "events/stream?topics=message,agent,notice,approval,question,deploy,tombstone", state: "api/state", taken, happened }).start(firstState());
