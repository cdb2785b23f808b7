// A tool call in one line, and what there is to see when it is opened.

import { el } from "./dom.js";
import { firstLine, plural } from "./words.js";

const text = (value) => (typeof value === "string" ? value : value == null ? "" : JSON.stringify(value));
const lines = (value) => (text(value) === "" ? 0 : text(value).replace(/\n$/, "").split("\n").length);
const pre = (value, kind = "") => el("pre", { class: kind }, text(value));

function diff(before, after) {
  const marked = (value, sign, kind) =>
    text(value) === ""
      ? []
      : text(value).replace(/\n$/, "").split("\n").map((line) => el("span", { class: kind }, `${sign} ${line}\n`));
  return el("pre", { class: "diff" }, ...marked(before, "-", "gone"), ...marked(after, "+", "come"));
}

// name → input → {sign, what, line, open}: open makes what is unfolded.
const KNOWN = {
  Bash: (input) => ({
    sign: "$",
    line: firstLine(text(input.command)),
    open: lines(input.command) > 1 || text(input.command).length > 160 ? [pre(input.command)] : [],
    aside: text(input.description),
  }),
  Read: (input) => ({
    what: "read",
    line: text(input.file_path),
    aside: input.offset || input.limit ? `from line ${input.offset ?? 1}${input.limit ? `, ${input.limit} lines` : ""}` : "",
  }),
  Write: (input) => ({
    what: "write",
    line: text(input.file_path),
    aside: `+${plural(lines(input.content), "line")}`,
    open: [diff("", input.content)],
  }),
  Edit: (input) => ({
    what: "edit",
    line: text(input.file_path),
    aside: `−${lines(input.old_string)} +${lines(input.new_string)}${input.replace_all ? " everywhere" : ""}`,
    open: [diff(input.old_string, input.new_string)],
  }),
  Glob: (input) => ({ what: "glob", line: text(input.pattern), aside: text(input.path) }),
  Grep: (input) => ({ what: "grep", line: text(input.pattern), aside: text(input.path ?? input.glob) }),
  WebFetch: (input) => ({ what: "fetch", line: text(input.url), aside: firstLine(text(input.prompt)) }),
  send: (input) => ({
    what: "send →",
    to: text(input.to),
    line: firstLine(text(input.body)),
    open: lines(input.body) > 1 || text(input.body).length > 160 ? [pre(input.body)] : [],
  }),
  recv: (input) => ({ what: "recv", line: input.wait_seconds ? `wait up to ${input.wait_seconds} s` : "what waits" }),
  set_status: (input) => ({ what: "status", line: `“${text(input.text)}”` }),
  whoami: () => ({ what: "whoami", line: "" }),
  list_agents: () => ({ what: "list agents", line: "" }),
  start: (input) => ({ what: "start", to: text(input.name), line: "" }),
  kill: (input) => ({ what: "stop", to: text(input.name), line: "" }),
  restart: (input) => ({ what: "restart", to: text(input.name), line: "" }),
  update: (input) => ({ what: "rebuild", to: text(input.name), line: "" }),
  get_logs: (input) => ({ what: "logs of", to: text(input.name), line: "" }),
  ask_operator: (input) => ({
    what: "ask the operator",
    line: firstLine(text(input.question)),
    open: [pre(input.question), ...(input.options ?? []).map((option) => el("p", {}, `◦ ${text(option)}`))],
  }),
  request_spawn: (input) => ({ what: "ask for a new agent", line: text(input.name), open: input.description ? [pre(input.description)] : [] }),
  request_apply_commit: (input) => ({
    what: "propose for",
    to: text(input.agent),
    line: text(input.commit_ref).slice(0, 10),
    aside: firstLine(text(input.description)),
    open: input.description ? [pre(input.description)] : [],
  }),
};

export function describe(name, input) {
  const own = name.replace(/^mcp__hyperhive__/, "");
  const known = Object.hasOwn(KNOWN, own) ? KNOWN[own] : null;
  const call = known?.(input ?? {}) ?? other(own, input ?? {});
  return { sign: "", what: "", to: "", aside: "", open: [], ours: own !== name, ...call };
}

// A tool of some other server: its arguments by their names.
function other(name, input) {
  const [, server, tool] = /^mcp__(.+?)__(.+)$/.exec(name) ?? [];
  const given = Object.entries(input).map(([key, value]) => `${key}: ${text(value)}`);
  return {
    what: tool ?? name,
    line: firstLine(given.join(", "), 120),
    aside: server ? `of ${server}` : "",
    open: given.length ? [pre(given.join("\n"))] : [],
  };
}

// A tool result's text: a string, or a list of blocks.
export function resultText(content) {
  if (typeof content === "string") return content;
  if (!Array.isArray(content)) return content == null ? "" : JSON.stringify(content);
  return content.map((block) => (block.type === "text" ? text(block.text) : `[${block.type ?? "?"}]`)).join("\n");
}
