// What waits for the operator's decision: proposed changes, with what they change.

import { el, setAttribute, setText } from "./dom.js";
import { keepDraft } from "./memory.js";
import { attempt, confirmed, get, post } from "./net.js";
import { ticking } from "./ticker.js";
import { age, moment, remaining, whatFollows } from "./words.js";

const BASES = { running: "what runs now", approved: "the last that was approved", queued: "the one that waits before it" };
const KINDS = { spawn: "new agent", apply_commit: "new configuration" };

export const pendingFirst = (approvals) =>
  [...approvals.values()].sort((a, b) => (b.status === "pending") - (a.status === "pending") || b.id - a.id);

export function makeApproval(approval) {
  const { id, agent, kind } = approval;
  const form = decision(approval);
  const node = el(
    "li",
    { class: "approval", id: `approval-${id}`, tabindex: 0, "aria-label": `approval ${id}: ${KINDS[kind] ?? kind} ${agent}` },
    el(
      "div",
      { class: "route" },
      el("span", { class: "dim" }, `#${id}`),
      el("strong", {}, agent),
      el("span", {}, KINDS[kind] ?? kind),
      approval.fetched_sha ? el("code", { title: approval.fetched_sha }, approval.fetched_sha.slice(0, 10)) : null,
      approval.asker ? el("span", { class: "dim" }, `by ${approval.asker}`) : null,
      el("span", { class: "grow" }),
      el("span", { class: "until" }),
      el("span", { class: "state" }),
      el("time", { class: "dim", datetime: approval.requested_at, title: new Date(approval.requested_at).toLocaleString() }),
    ),
    approval.description ? el("p", { class: "body" }, approval.description) : null,
    el("p", { class: "outcome dim" }),
    approval.fetched_sha ? changes(approval) : null,
    form,
  );
  node.addEventListener("keydown", (event) => keys(event, node));
  return ticking(node, () => node.item && updateAge(node, node.item));
}

function decision({ id, agent, kind }) {
  const note = el("input", { maxlength: 4000, placeholder: "why not (told to who asked)", "aria-label": `note for denying ${id}` });
  const forget = keepDraft(note, `deny-${id}`);
  const approve = el("button", { class: "primary", type: "button", "aria-label": `4PPR0VE: approve ${id}`, "aria-keyshortcuts": "a" }, "4PPR0VE");
  const deny = el("button", { class: "danger", type: "submit", "aria-label": `deny ${id}`, "aria-keyshortcuts": "d" }, "deny");
  approve.addEventListener("click", async () => {
    const text = whatFollows({ kind, agent });
    if ((await confirmed({ title: `approve ${id}?`, text, yes: "approve" })) === null) return;
    if (await attempt(approve, () => post(`approve/${id}`), `${id} is approved and done.`)) forget();
  });
  const form = el("form", { class: "decide" }, approve, note, deny);
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    if (await attempt(deny, () => post(`deny/${id}`, { note: note.value }), `${id} is denied.`)) forget();
  });
  return form;
}

// On a card that has the focus: a approves, d goes to the note, o opens the diff, j
// and k go on and back.
function keys(event, node) {
  if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest("input, textarea, select")) return;
  const waits = !node.querySelector("form").hidden;
  const go = { j: "nextElementSibling", k: "previousElementSibling" }[event.key];
  if (event.key === "a" && waits) node.querySelector(".primary").click();
  else if (event.key === "d" && waits) node.querySelector(".decide input").focus();
  else if (event.key === "o" && node.querySelector("details")) node.querySelector("summary").click();
  else if (go) node[go]?.focus();
  else return;
  event.preventDefault();
}

export function updateApproval(node, approval) {
  const { status } = approval;
  // What was decided before somebody's eyes stays before them.
  if (node.dataset.status === "pending" && status !== "pending") node.dataset.stays = "";
  setAttribute(node, "data-status", status);
  setText(node.querySelector(".state"), status);
  const by = approval.resolved_by ? ` by ${approval.resolved_by}` : "";
  const when = approval.resolved_at ? ` ${moment(approval.resolved_at)}` : "";
  setText(node.querySelector(".outcome"), status === "pending" ? "" : `${status}${by}${when}${approval.note ? `: ${approval.note}` : ""}`);
  node.querySelector("form").hidden = status !== "pending";
  updateAge(node, approval);
}

function updateAge(node, approval) {
  setText(node.querySelector("time"), age(approval.requested_at));
  const until = node.querySelector(".until");
  const { words, share } = approval.status === "pending" ? remaining(approval.requested_at, approval.expires_at) : { words: "", share: 1 };
  setText(until, words);
  setAttribute(until, "data-tone", share < 0.2 ? "bad" : "wait");
}

// The diff, and the code that draws it, are asked for when it is opened.
function changes({ id, agent }) {
  const shown = el("div", { class: "changes" });
  const against = el("select", { "aria-label": "compare with" }, ...Object.entries(BASES).map(([base, words]) => el("option", { value: base }, words)));
  const large = el("button", { class: "quiet", type: "button", hidden: true, "aria-label": `diff of ${id} over the whole window` }, "⤢ whole window");
  let view = null;
  const show = () =>
    attempt(against, async () => {
      const [module, { diff }] = await Promise.all([import("./diff.js"), get(`api/approval/${id}?against=${against.value}`)]);
      await module.styled();
      if (!view) {
        view = new module.DiffView();
        shown.replaceChildren(view.node);
        large.addEventListener("click", () => module.enlarge(view, `#${id} ${agent}: against ${BASES[against.value]}`));
      }
      view.show(diff);
      large.hidden = false;
    });
  const details = el(
    "details",
    { class: "diff" },
    el("summary", {}, "what changes"),
    el("div", { class: "row against" }, el("label", { class: "row" }, el("span", { class: "dim" }, "against"), against), el("span", { class: "grow" }), large),
    shown,
  );
  details.addEventListener("toggle", () => details.open && !view && show());
  against.addEventListener("change", show);
  return details;
}
