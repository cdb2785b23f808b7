// What an agent's events look like: each becomes no, one or several rows of the terminal.

import { el } from "./dom.js";
import { markdown } from "./markdown.js";
import { mailboxName } from "./message.js";
import { describe } from "./tools.js";
import { count, firstLine, moment, money, plural, took } from "./words.js";

const LONG = 120; // characters of a result that are shown unopened
const MOST = 60000; // characters of any one text

const clipped = (text) =>
  text.length > MOST ? `${text.slice(0, MOST)}\n… ${count(text.length - MOST)} more characters` : text;

export function row(kind, mark, ...children) {
  return el("div", { class: `line ${kind}` }, el("span", { class: "mark", "aria-hidden": "true" }, mark), el("div", { class: "what" }, ...children));
}

const said = (kind, mark, text) => row(kind, mark, el("p", {}, clipped(text)));

function folded(kind, mark, summary, text) {
  return row(kind, mark, el("details", {}, el("summary", {}, summary), el("p", {}, clipped(text))));
}

// Events of claude that say nothing to a person.
const SILENT = new Set([
  "result", "stream_event", "control_request", "control_response", "command_lifecycle",
  "system/hook_started", "system/hook_response", "system/background_tasks_changed", "system/task_started",
  "system/task_updated", "system/task_notification", "system/thinking_tokens", "system/session_title_changed",
  "system/ui_invalidate",
]);

export function rowsOf(event) {
  try {
    return made(event);
  } catch (error) {
    // Claude's events change with its releases: one that is odd hides no other.
    console.error(error);
    return [folded("note", "·", "an event that this page does not understand", JSON.stringify(event, null, 2))];
  }
}

function made(event) {
  switch (event.kind) {
    case "turn_start":
      return [turnStart(event)];
    case "turn_end":
      return [turnEnd(event)];
    case "note":
      return [said("note", "·", event.text ?? "")];
    case "stream":
      return streamRows(event.event ?? {});
    default:
      return [];
  }
}

function turnStart(event) {
  if (event.from === undefined) return row("start", "▶", el("p", {}, event.turn_kind === "compact" ? "compaction" : "turn"));
  const waiting = event.unread ? ` · ${plural(event.unread, "more message")} waiting` : "";
  const again = event.redelivered ? " · redelivered: it may have been handled in part" : "";
  return row(
    "start",
    "▶",
    el("p", { class: "from" }, mailboxName(event.from), el("span", { class: "dim" }, ` · ${moment(event.at)}${waiting}${again}`)),
    long(event.body ?? "", 600),
  );
}

// A text that is folded where it is long.
function long(text, most) {
  if (text.length <= most && text.split("\n").length <= 12) return el("p", { class: "text" }, text);
  return el("details", { class: "text" }, el("summary", {}, firstLine(text)), el("p", {}, clipped(text)));
}

function turnEnd(event) {
  const tokens = event.tokens ?? {};
  const read = (tokens.input ?? 0) + (tokens.cache_read ?? 0) + (tokens.cache_write ?? 0);
  const parts = [
    (event.outcome ?? "ended").replaceAll("_", " "),
    event.duration_ms == null ? "" : took(event.duration_ms),
    read || tokens.output ? `${count(read)} in, ${count(tokens.output ?? 0)} out` : "",
    event.ctx_tokens == null ? "" : `context ${count(event.ctx_tokens)}`,
    money(event.cost_usd),
  ];
  const line = row("end", "■", el("p", {}, parts.filter(Boolean).join(" · ")), event.note ? el("p", { class: "why" }, event.note) : null);
  line.dataset.outcome = event.outcome ?? "";
  return line;
}

function streamRows(event) {
  const kind = event.subtype && event.type === "system" ? `system/${event.subtype}` : event.type;
  switch (kind) {
    case "assistant":
      return blocks(event).flatMap((block) => assistantRow(block, event));
    case "user":
      return blocks(event).flatMap((block) => userRow(block, event));
    case "system/init":
      return initRows(event);
    case "system/api_retry":
      return [said("fact", "!", apiRetry(event))];
    case "system/compact_boundary": {
      const { pre_tokens: before, post_tokens: after } = event.compact_metadata ?? {};
      return [said("fact", "≡", `the context was compacted${before && after ? `: ${count(before)} → ${count(after)} tokens` : ""}`)];
    }
    case "system/status":
      return event.status === "compacting" ? [said("note", "≡", "compacting the context…")] : [];
    case "system/permission_denied":
      return [said("fact", "!", `${event.tool_name ?? "a tool"} was denied: ${event.message ?? ""}`)];
    case "system/model_fallback":
    case "system/informational":
      return event.content ? [said("fact", "!", event.content)] : [];
    case "system/session_writes_lost":
      return [said("fact", "!", `claude could not write its session (${event.error_code ?? "?"}): is the disk full?`)];
    case "rate_limit_event":
      return rateLimit(event.rate_limit_info ?? {});
    case "tool_progress":
      return [];
    default:
      if (kind === undefined || SILENT.has(kind)) return [];
      return [folded("note", "·", kind, JSON.stringify(event, null, 2))];
  }
}

function blocks(event) {
  const content = event.message?.content;
  if (Array.isArray(content)) return content.map((block) => (typeof block === "string" ? { type: "text", text: block } : block));
  return typeof content === "string" ? [{ type: "text", text: content }] : [];
}

function assistantRow(block, event) {
  switch (block.type) {
    case "text":
      if (!block.text?.trim()) return [];
      return [event.is_api_error_message ? said("fact", "!", block.text) : answerRow(block.text)];
    case "thinking":
      return block.thinking?.trim() ? [folded("thinking", "✻", `thinking: ${firstLine(block.thinking, 90)}`, block.thinking)] : [];
    case "tool_use":
      return [toolRow(block)];
    default:
      return [said("note", "·", `[${block.type}]`)];
  }
}

function answerRow(text) {
  const what = el("div", { class: "answer" }, el("p", {}, clipped(text)));
  markdown(what, text);
  return row("said", "●", what);
}

function userRow(block, event) {
  if (block.type === "tool_result") return [{ result: block, of: block.tool_use_id }];
  if (block.type !== "text" || !block.text?.trim()) return [];
  if (event.isSynthetic || block.text.length > 400) return [folded("note", "≡", firstLine(block.text, 100), block.text)];
  return [said("note", "·", block.text)];
}

function toolRow(block) {
  const call = describe(block.name ?? "tool", block.input);
  const line = row(
    call.ours ? "tool ours" : "tool",
    call.sign || "◆",
    el(
      "details",
      {},
      el(
        "summary",
        {},
        el(
          "span",
          { class: "headline" },
          call.what ? el("span", { class: "verb" }, call.what) : null,
          call.to ? mailboxName(call.to) : null,
          el("span", { class: "call" }, call.line),
          call.aside ? el("span", { class: "dim" }, call.aside) : null,
          el("span", { class: "progress dim" }),
        ),
        el("span", { class: "peek dim" }),
      ),
      ...call.open,
    ),
  );
  line.dataset.tool = block.id ?? "";
  return line;
}

// Put a result into its call's row.
export function addResult(line, block, text) {
  const details = line.querySelector("details");
  const peek = line.querySelector(".peek");
  line.querySelector(".progress").textContent = "";
  line.dataset.result = block.is_error ? "error" : "ok";
  const short = firstLine(text, LONG);
  peek.textContent = short ? `└ ${short}` : "└ (nothing)";
  const more = plural(text.split("\n").length - 1, "more line");
  if (text.trimEnd() !== short && !more.startsWith("0")) peek.textContent += ` … ${more}`;
  details.append(el("pre", { class: block.is_error ? "result error" : "result" }, clipped(text)));
}

export function orphanRow(block, text) {
  return folded("tool", "└", firstLine(text, LONG) || "(nothing)", text);
}

function initRows(event) {
  const hive = (event.mcp_servers ?? []).find(({ name }) => name === "hyperhive");
  const rows = [said("init", "·", `${event.model ?? "claude"} · session ${(event.session_id ?? "").slice(0, 8)}`)];
  if (hive && hive.status !== "connected") rows.push(said("fact", "!", `claude has no connection to the hive's tools (${hive.status})`));
  return rows;
}

function apiRetry(event) {
  const why = [event.error_status, (event.error ?? "").replaceAll("_", " ")].filter(Boolean).join(", ");
  const wait = event.retry_delay_ms == null ? "" : ` in ${took(event.retry_delay_ms)}`;
  return `Anthropic's API did not answer${why ? ` (${why})` : ""}: try ${event.attempt ?? "?"} of ${event.max_retries ?? "?"}${wait}`;
}

const LIMITS = { five_hour: "5-hour limit", seven_day: "weekly limit" };

function rateLimit(info) {
  const which = LIMITS[info.rateLimitType] ?? "usage limit";
  const resets = info.resetsAt ? `; it resets ${moment(new Date(info.resetsAt * 1000).toISOString())}` : "";
  if (info.status === "rejected") return [said("fact", "!", `the ${which} is reached${resets}`)];
  if (info.status !== "allowed_warning") return [];
  const used = info.utilization ? ` (${Math.round(info.utilization * 100)} % used)` : "";
  return [said("fact", "!", `the ${which} is near${used}${resets}`)];
}
