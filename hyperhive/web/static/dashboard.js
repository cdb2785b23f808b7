// The dashboard: takes the state and what happens to it, and has each part drawn.

import { makeApproval, pendingFirst, updateApproval } from "./approvals.js";
import { loginHappened, loginReloaded } from "./claude_login_door.js";
import { composing } from "./compose.js";
import { FEW, isRead, logged, makeJob, newestJobs, reloadLogs, underWay, updateJob } from "./deploys.js";
import { byId, el, firstState, keyed, setText } from "./dom.js";
import { Flow } from "./flow.js";
import { Inbox } from "./inbox.js";
import { Live } from "./live.js";
import { browser } from "./memory.js";
import { attempt, get, post } from "./net.js";
import { makeQuestion, oldestFirst, updateQuestion } from "./questions.js";
import { folding, jumpCount } from "./sections.js";
import { Swarm } from "./swarm.js";
import { whenNew } from "./ticker.js";
import { makeTombstone, updateTombstone } from "./tombstones.js";
import { mailboxOf, now, plural } from "./words.js";

const APPROVALS = 200; // that are shown: all that may wait, and the newest decided
const LATELY = 86400000; // milliseconds for which a dead message asks for attention

const agents = new Map();
const approvals = new Map();
const questions = new Map();
const jobs = new Map();
const tombstones = new Map();
const dead = new Map(); // messages that were given up lately, by id
let allJobs = false;

const stale = new Set(); // parts that are to be drawn
const flow = new Flow(() => soon("flow"));
const inbox = new Inbox(() => soon("inbox"));
const swarm = new Swarm(agents, needsOf);

// What an agent needs the operator for, beside what its own state says.
function needsOf(name) {
  const needs = [];
  for (const { id, agent, status } of approvals.values()) {
    if (status === "pending" && agent === name) needs.push({ text: "approve", words: `approval #${id} waits for you`, href: `#approval-${id}` });
  }
  for (const { id, asker } of questions.values()) {
    if (asker === name) needs.push({ text: "answer", words: "it asks you something", href: `#question-${id}` });
  }
  const mailbox = mailboxOf({ ...agents.get(name), name });
  const given = [...dead.values()].filter((message) => message.to === mailbox && isLate(message)).length;
  if (given) needs.push({ text: `${given} given up`, words: `${plural(given, "message")} for it given up today: see the message flow`, href: "#flow-section" });
  return needs;
}

function taken(state) {
  for (const [map, rows, key] of [
    [agents, state.agents, "name"],
    [approvals, state.approvals, "id"],
    [questions, state.questions, "id"],
    [jobs, state.jobs, "id"],
    [tombstones, state.tombstones, "name"],
  ]) {
    map.clear();
    for (const row of rows) map.set(row[key], row);
  }
  flow.take(state);
  inbox.take(state);
  reloadLogs();
  loginReloaded();
  notices(state.notices);
  attempt(null, async () => {
    const { messages } = await get("api/messages?state=dead&limit=100");
    dead.clear();
    for (const message of messages) takeDead(message);
    soon("agents");
  });
  draw(Object.keys(PARTS));
}

const isLate = ({ sent_at: sent }) => Date.parse(sent) > now() - LATELY;

function takeDead(message) {
  if (message.state === "dead" && isLate(message)) dead.set(message.id, message);
  else dead.delete(message.id);
}

function happened(event) {
  if (event.kind === "agent_state") {
    if (event.gone) agents.delete(event.name);
    else agents.set(event.name, event);
    soon("agents");
  } else if (event.kind === "notice") {
    notices(event.notices);
  } else if (event.kind === "claude_login") {
    loginHappened(event);
  } else if (event.kind === "deploy_log") {
    logged(event);
  } else if (event.kind === "deploy") {
    jobs.set(event.job.id, event.job);
    soon("jobs");
  } else if (event.kind === "tombstone") {
    attempt(null, takeTombstones);
  } else if (event.approval) {
    approvals.set(event.approval.id, event.approval);
    soon("approvals", "agents");
  } else if (event.question) {
    if (event.question.status === "pending") questions.set(event.question.id, event.question);
    else questions.delete(event.question.id);
    soon("questions", "agents");
  } else {
    messageHappened(event);
  }
}

function messageHappened(event) {
  flow.happened(event);
  if (inbox.happened(event)) soon("inbox");
  soon("flow");
  if (event.kind !== "message_dead" && !dead.has(event.id)) return;
  // An event says when it happened, and not when its message was sent.
  const sent = flow.recent.get(event.id)?.sent_at ?? event.at;
  takeDead({ ...event, sent_at: sent, state: event.kind === "message_dead" ? "dead" : event.state });
  soon("agents");
}

async function takeTombstones() {
  const found = await get("api/tombstones");
  tombstones.clear();
  for (const row of found.tombstones) tombstones.set(row.name, row);
  soon("tombstones");
}

// Many events of one moment are drawn once, and only the parts that they touch.
function soon(...parts) {
  setText(document.querySelector("title"), title());
  if (!stale.size) requestAnimationFrame(() => draw(stale));
  for (const part of parts) stale.add(part);
}

function draw(parts) {
  const some = [...parts];
  stale.clear();
  for (const part of some) PARTS[part]();
  if (some.includes("inbox")) jumpCount("inbox-section", inbox.fresh, true);
  setText(document.querySelector("title"), title());
}

const waiting = () => [...approvals.values()].filter(({ status }) => status === "pending").length;

function title() {
  const much = inbox.fresh + waiting() + questions.size;
  return much ? `(${much}) hyperhive` : "hyperhive";
}

const PARTS = {
  agents() {
    swarm.draw();
    byId("update-all").hidden = ![...agents.values()].some((agent) => agent.needs_update);
    const names = [...agents.keys()].filter((name) => name !== "hm1nd").sort();
    flow.mailboxes(["operator", "manager", ...names]);
    jumpCount("agents", agents.size);
  },
  approvals() {
    const rows = pendingFirst(approvals).slice(0, APPROVALS);
    keyed(byId("approvals"), rows, ({ id }) => id, makeApproval, whenNew(updateApproval));
    const decided = rows.length - waiting();
    byId("no-approvals").hidden = waiting() > 0;
    byId("show-decided").hidden = !decided;
    setText(byId("show-decided"), `${byId("approvals").hasAttribute("data-decided") ? "hide" : "show"} ${decided} decided`);
    setText(byId("approvals-count"), waiting() ? String(waiting()) : "");
    jumpCount("approvals-section", waiting(), true);
  },
  questions() {
    keyed(byId("questions"), oldestFirst(questions), ({ id }) => id, makeQuestion, whenNew(updateQuestion));
    byId("no-questions").hidden = questions.size > 0;
    setText(byId("questions-count"), questions.size ? String(questions.size) : "");
    jumpCount("questions-section", questions.size, true);
  },
  inbox: () => inbox.draw(),
  flow: () => flow.draw(),
  jobs() {
    const rows = newestJobs(jobs);
    const shown = allJobs ? rows : rows.filter((job, place) => underWay(job) || isRead(job) || place < FEW);
    const kept = new Set(rows);
    for (const job of jobs.values()) if (!kept.has(job)) jobs.delete(job.id);
    keyed(byId("jobs"), shown, ({ id }) => id, makeJob, whenNew(updateJob));
    byId("all-jobs").hidden = shown.length === rows.length;
    setText(byId("all-jobs"), `show all ${rows.length}`);
    const busy = rows.filter(underWay).length;
    setText(byId("jobs-count"), busy ? `${busy} under way` : "");
    byId("no-jobs").hidden = rows.length > 0;
    jumpCount("jobs-section", busy);
  },
  tombstones() {
    keyed(byId("tombstones"), [...tombstones.values()], ({ name }) => name, makeTombstone, whenNew(updateTombstone));
    byId("no-tombstones").hidden = tombstones.size > 0;
  },
};

// What was given up asks for attention for a day, also on a page that is never loaded anew.
setInterval(() => dead.size && soon("agents"), 60000);

function notices(sentences) {
  keyed(byId("notices"), sentences, (text) => text, (text) => el("li", {}, text), () => {});
}

// The mark of messages that were given up leads to just these.
byId("agent-list").addEventListener("click", ({ target }) => {
  const { key } = target.closest(".mark[href='#flow-section']")?.closest("li").dataset ?? {};
  if (key) flow.narrow({ agent: mailboxOf({ ...agents.get(key), name: key }), state: "dead" });
});

byId("spawn").addEventListener("submit", async (event) => {
  event.preventDefault();
  const form = event.currentTarget;
  const name = form.elements.name.value.trim();
  if (await attempt(form.querySelector("button"), () => post("spawn", { name }), `${name} is there.`)) form.reset();
});

byId("update-all").addEventListener("click", (event) =>
  attempt(event.currentTarget, () => post("update-all"), ({ count }) => `${plural(count, "agent")} rebuilt.`),
);

byId("all-jobs").addEventListener("click", () => {
  allJobs = true;
  soon("jobs");
});

function showDecided(yes) {
  byId("approvals").toggleAttribute("data-decided", yes);
  browser.set("decided", yes);
}

byId("show-decided").addEventListener("click", () => {
  showDecided(!byId("approvals").hasAttribute("data-decided"));
  soon("approvals");
});

showDecided(browser.get("decided", false));
folding();
composing(agents);
new Live({ stream: "events/stream?topics=message,agent,notice,approval,question,deploy,tombstone,claude", state: "api/state", taken, happened }).start(firstState());
