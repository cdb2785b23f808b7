// What waits for the operator's decision: proposed changes with their diffs.

import { el, setAttribute, setText } from "./dom.js";
import { attempt, confirmed, get, post } from "./net.js";
import { age, moment } from "./words.js";

const BASES = { running: "what runs now", approved: "the last that was approved", queued: "the one that waits before it" };
const KINDS = { spawn: "new agent", apply_commit: "new configuration" };

export const pendingFirst = (approvals) =>
  [...approvals.values()].sort((a, b) => (b.status === "pending") - (a.status === "pending") || b.id - a.id);

export function makeApproval(approval) {
  const { id, agent, kind } = approval;
  const note = el("input", { maxlength: 4000, placeholder: "why not (told to who asked)", "aria-label": `note for denying ${id}` });
  const approve = el("button", { class: "primary", type: "button", "aria-label": `approve ${id}` }, "4PPR0VE");
  const deny = el("button", { class: "danger", type: "submit", "aria-label": `deny ${id}` }, "deny");
  approve.addEventListener("click", async () => {
    const text = kind === "spawn" ? `${agent} is made and started.` : `${agent} is built anew; its turn may end first.`;
    if ((await confirmed({ title: `approve ${id}?`, text, yes: "approve" })) === null) return;
    await attempt(approve, () => post(`approve/${id}`), `${id} is approved and done.`);
  });
  const form = el("form", { class: "decide row" }, approve, note, deny);
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    attempt(deny, () => post(`deny/${id}`, { note: note.value }), `${id} is denied.`);
  });
  return el(
    "li",
    { class: "approval", tabindex: -1 },
    el(
      "div",
      { class: "route" },
      el("span", { class: "dim" }, `#${id}`),
      el("span", {}, KINDS[kind] ?? kind),
      el("strong", {}, agent),
      approval.fetched_sha ? el("code", { title: approval.fetched_sha }, approval.fetched_sha.slice(0, 10)) : null,
      el("span", { class: "grow" }),
      el("span", { class: "state" }),
      el("time", { class: "dim", datetime: approval.requested_at, title: new Date(approval.requested_at).toLocaleString() }),
    ),
    approval.description ? el("p", { class: "body" }, approval.description) : null,
    el("p", { class: "outcome dim" }),
    approval.fetched_sha ? changes(approval) : null,
    form,
  );
}

export function updateApproval(node, approval) {
  const { status } = approval;
  setAttribute(node, "data-status", status);
  setText(node.querySelector(".state"), status);
  const by = approval.resolved_by ? ` by ${approval.resolved_by}` : "";
  const when = approval.resolved_at ? ` ${moment(approval.resolved_at)}` : "";
  const until = approval.expires_at ? `expires ${moment(approval.expires_at)}` : "";
  const told = status === "pending" ? until : `${status}${by}${when}${approval.note ? `: ${approval.note}` : ""}`;
  setText(node.querySelector(".outcome"), told);
  node.querySelector("form").hidden = status !== "pending";
  updateApprovalAge(node, approval);
}

export function updateApprovalAge(node, approval) {
  setText(node.querySelector("time"), age(approval.requested_at));
}

// The diff is asked for when it is opened: it may be long.
function changes({ id }) {
  const shown = el("div", { class: "changes" });
  const against = el("select", { "aria-label": "compare with" }, ...Object.entries(BASES).map(([base, words]) => el("option", { value: base }, words)));
  const details = el(
    "details",
    { class: "diff" },
    el("summary", {}, "what changes"),
    el("label", { class: "row" }, el("span", { class: "dim" }, "against"), against),
    shown,
  );
  const show = () =>
    attempt(against, async () => {
      const { diff } = await get(`api/approval/${id}?against=${against.value}`);
      shown.replaceChildren(...drawn(diff));
    });
  details.addEventListener("toggle", () => details.open && !shown.childElementCount && show());
  against.addEventListener("change", show);
  return details;
}

function drawn(diff) {
  const files = el(
    "ul",
    { class: "files" },
    ...diff.files.map((file) =>
      el(
        "li",
        {},
        el("code", {}, file.path),
        file.binary ? el("span", { class: "dim" }, "binary") : el("span", {}, el("span", { class: "added" }, `+${file.added}`), " ", el("span", { class: "deleted" }, `−${file.deleted}`)),
      ),
    ),
  );
  if (!diff.files.length) return [el("p", { class: "dim" }, "Nothing differs.")];
  const text = el("pre", { class: "patch", tabindex: 0, "aria-label": "diff" }, ...diff.text.split("\n").map((line) => el("span", { class: look(line) }, `${line}\n`)));
  return [files, text, diff.truncated ? el("p", { class: "why" }, "It is longer than this page shows: look at it with git before you decide.") : null].filter(Boolean);
}

function look(line) {
  if (line.startsWith("@@")) return "hunk";
  if (line.startsWith("diff ") || line.startsWith("+++") || line.startsWith("---") || line.startsWith("index ")) return "meta";
  if (line.startsWith("+")) return "added";
  if (line.startsWith("-")) return "deleted";
  return "";
}
