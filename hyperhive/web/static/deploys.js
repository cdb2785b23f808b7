// The deploy queue: what is done to whom, since when, with its log as it is written.

import { el, setAttribute, setText } from "./dom.js";
import { LogView } from "./log.js";
import { attempt, get, post } from "./net.js";
import { ticking } from "./ticker.js";
import { age, moment, took } from "./words.js";

export const JOBS = 30; // that are kept
export const FEW = 6; // that are shown at first, beside what is under way

const AGAIN = new Set(["create", "rebuild"]);
const ENDED = new Set(["failed", "interrupted", "cancelled"]);
const STATES = {
  waiting: "waits for its turn",
  running: "is under way",
  done: "is done",
  failed: "failed",
  cancelled: "was cancelled",
  interrupted: "was interrupted: the hive ended in the middle of it",
};

const logs = new Map(); // the views that are open, by the job's id

// A job whose log is open stays where it can be read.
export const isRead = ({ id }) => logs.has(id);

export const underWay = (job) => !job.ended_at;

// What is under way first, then the newest.
export const newestJobs = (jobs) =>
  [...jobs.values()].sort((a, b) => underWay(b) - underWay(a) || b.id - a.id).slice(0, JOBS);

export function makeJob(job) {
  const { id } = job;
  const cancel = el("button", { class: "quiet cancel", type: "button", "aria-label": `cancel job ${id}` }, "✕ cancel");
  cancel.addEventListener("click", () => attempt(cancel, () => post(`cancel-job/${id}`), `Job ${id} is cancelled.`));
  const again = el("button", { class: "quiet again", type: "button", "aria-label": `run job ${id} again` }, "↻ again");
  again.addEventListener("click", () => attempt(again, () => post(`run-again/${id}`), "Done."));
  const node = el(
    "li",
    { class: "job", "data-agent": job.agent, "data-approval": job.approval },
    el(
      "div",
      { class: "route" },
      el("span", { class: "state" }),
      el("span", {}, job.kind),
      el("strong", {}, job.agent),
      job.sha ? el("code", { title: job.sha }, job.sha.slice(0, 10)) : null,
      el("span", { class: "dim" }, `by ${job.by}${job.approval ? ` · approval #${job.approval}` : ""}`),
      el("span", { class: "grow" }),
      el("time", { class: "dim" }),
    ),
    el("p", { class: "step dim" }),
    el("div", { class: "row" }, log(id), el("span", { class: "grow" }), cancel, again),
  );
  return ticking(node, () => node.item && updateAge(node, node.item));
}

const load = (id, view) => attempt(null, async () => view.set((await get(`api/job/${id}`)).lines));

// What was written while this page did not hear is read again.
export const reloadLogs = () => [...logs].map(([id, view]) => load(id, view));

function log(id) {
  const view = new LogView(`log of job ${id}`);
  const details = el("details", { class: "lines" }, el("summary", {}, "log"), view.node);
  details.addEventListener("toggle", () => {
    if (!details.open) return logs.delete(id);
    logs.set(id, view);
    load(id, view);
  });
  return details;
}

export function updateJob(node, job) {
  setAttribute(node, "data-state", job.state);
  const state = node.querySelector(".state");
  setText(state, job.state);
  setAttribute(state, "title", `It ${STATES[job.state] ?? job.state}.`);
  setText(node.querySelector(".step"), job.note ?? (job.ended_at ? "" : (job.step ?? "")));
  node.querySelector(".cancel").hidden = !job.cancellable;
  node.querySelector(".again").hidden = !(AGAIN.has(job.kind) && ENDED.has(job.state));
  updateAge(node, job);
}

function updateAge(node, job) {
  const ended = job.ended_at ? `${took(Date.parse(job.ended_at) - Date.parse(job.started_at ?? job.queued_at))} · ${moment(job.ended_at)}` : "";
  setText(node.querySelector("time"), ended || age(job.started_at ?? job.queued_at));
}

// A line of a job's log, if somebody looks at it.
export const logged = ({ job, line }) => logs.get(job)?.add(line);
