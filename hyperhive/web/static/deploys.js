// The deploy queue with live logs, and what destroyed agents have left.

import { el, setAttribute, setText } from "./dom.js";
import { attempt, confirmed, get, post } from "./net.js";
import { age, count, moment, took } from "./words.js";

const LINES = 500; // of a log that are shown
export const JOBS = 30; // that are shown

const logs = new Map(); // lines of the jobs whose log is open, by the job's id

export const newestJobs = (jobs) => [...jobs.values()].sort((a, b) => b.id - a.id).slice(0, JOBS);

export function makeJob(job) {
  const { id } = job;
  const text = el("pre", { class: "log", tabindex: 0, role: "log", "aria-label": `log of job ${id}` });
  const details = el("details", { class: "lines" }, el("summary", {}, "log"), text);
  details.addEventListener("toggle", async () => {
    if (!details.open) return logs.delete(id);
    logs.set(id, text);
    await attempt(null, async () => setText(text, (await get(`api/job/${id}`)).lines.join("\n")));
  });
  const cancel = el("button", { class: "quiet cancel", type: "button", "aria-label": `cancel job ${id}` }, "✕ cancel");
  cancel.addEventListener("click", () => attempt(cancel, () => post(`cancel-job/${id}`), `Job ${id} is cancelled.`));
  const again = el("button", { class: "quiet again", type: "button", "aria-label": `run job ${id} again` }, "↻ again");
  again.addEventListener("click", () => attempt(again, () => post(`run-again/${id}`), "Done."));
  return el(
    "li",
    { class: "job" },
    el("div", { class: "route" }, el("span", { class: "dim" }, `#${id}`), el("span", {}, job.kind), el("strong", {}, job.agent), el("span", { class: "dim" }, `by ${job.by}`), el("span", { class: "grow" }), el("span", { class: "state" }), el("time", { class: "dim" })),
    el("p", { class: "step dim" }),
    el("div", { class: "row" }, details, el("span", { class: "grow" }), cancel, again),
  );
}

const AGAIN = new Set(["create", "rebuild"]);
const ENDED = new Set(["failed", "interrupted", "cancelled"]);

export function updateJob(node, job) {
  setAttribute(node, "data-state", job.state);
  setText(node.querySelector(".state"), job.state);
  setText(node.querySelector(".step"), job.note ?? (job.ended_at ? "" : (job.step ?? "")));
  node.querySelector(".cancel").hidden = !job.cancellable;
  node.querySelector(".again").hidden = !(AGAIN.has(job.kind) && ENDED.has(job.state));
  updateJobAge(node, job);
}

export function updateJobAge(node, job) {
  const ended = job.ended_at ? `${took(Date.parse(job.ended_at) - Date.parse(job.started_at ?? job.queued_at))} · ${moment(job.ended_at)}` : "";
  setText(node.querySelector("time"), ended || age(job.started_at ?? job.queued_at));
}

// A line of a job's log, if somebody looks at it. The end stays in view.
export function logged({ job, line }) {
  const text = logs.get(job);
  if (!text) return;
  const atEnd = text.scrollHeight - text.scrollTop - text.clientHeight < 20;
  const lines = text.textContent ? text.textContent.split("\n") : [];
  text.textContent = [...lines, line].slice(-LINES).join("\n");
  if (atEnd) text.scrollTop = text.scrollHeight;
}

export function makeTombstone({ name, bytes, since, login }) {
  const revive = el("button", { class: "quiet", type: "button", "aria-label": `revive ${name}` }, "▶ revive");
  revive.addEventListener("click", () => attempt(revive, () => post("spawn", { name }), `${name} is there again.`));
  const purge = el("button", { class: "quiet", type: "button", "aria-label": `purge ${name}` }, "✕ purge");
  purge.addEventListener("click", async () => {
    const text = "Its notes, its conversation and its login are removed for good.";
    if ((await confirmed({ title: `purge ${name}?`, text, yes: "purge" })) !== null) await attempt(purge, () => post(`purge-tombstone/${name}`), `${name} is gone.`);
  });
  return el(
    "li",
    { class: "tombstone row" },
    el("strong", {}, name),
    el("span", { class: "dim" }, `${count(bytes)}B · destroyed ${moment(since)}${login ? " · has a login" : ""}`),
    el("span", { class: "grow" }),
    revive,
    purge,
  );
}
