// The terminal: rows in the order of their events, bounded, stuck to the bottom
// unless the reader has scrolled away.

import { byId, el, setText } from "./dom.js";
import { addResult, orphanRow, row, rowsOf } from "./rows.js";
import { resultText } from "./tools.js";

const MOST = 2000; // rows
const NEAR = 48; // pixels from the bottom that count as being there

export class Terminal {
  constructor() {
    this.log = byId("log");
    this.pill = byId("newer");
    this.older = byId("older");
    this.seen = new Set();
    this.calls = new Map(); // tool call → its row
    this.early = new Map(); // tool call that is not here yet → the row of its result
    this.missed = 0;
    this.dropped = false; // rows were let go at the top
    this.stuck = true;
    this.log.addEventListener("scroll", () => this.#scrolled(), { passive: true });
    this.pill.addEventListener("click", () => this.toBottom());
    new ResizeObserver(() => this.stuck && this.toBottom()).observe(this.log);
  }

  // The number of the oldest event here, or null.
  get first() {
    return this.seen.size ? Math.min(...this.seen) : null;
  }

  get last() {
    return Math.max(0, ...this.seen);
  }

  // Take events in any order; each is taken once.
  add(events) {
    const stuck = this.stuck;
    const height = this.log.scrollHeight;
    const top = this.log.scrollTop;
    let below = 0;
    let above = false;
    for (const event of events) {
      if (this.seen.has(event.seq)) continue;
      this.seen.add(event.seq);
      if (event.kind === "stream" && event.event?.type === "tool_progress") this.#progress(event.event);
      for (const made of rowsOf(event)) {
        const line = made.result ? this.#result(made) : made;
        if (!line) continue;
        if (this.#insert(line, event.seq)) below += 1;
        else above = true;
      }
    }
    this.#bound();
    byId("empty").hidden = this.log.querySelector(".line") !== null;
    if (stuck) this.toBottom();
    else if (above) this.log.scrollTop = top + this.log.scrollHeight - height;
    else if (below) this.#miss(below);
  }

  // Something of this page's own, at the end.
  say(text, bad = false) {
    const line = row(bad ? "local bad" : "local", "⌁", el("p", {}, text));
    line.dataset.seq = this.last;
    this.log.append(line);
    this.toBottom();
  }

  // Forget all, as on a fresh page.
  reset() {
    this.clear();
    this.seen.clear();
  }

  // Empty the view: what was here does not come back by itself.
  clear() {
    for (const line of this.log.querySelectorAll(".line")) line.remove();
    this.calls.clear();
    this.early.clear();
    this.toBottom();
  }

  toBottom() {
    this.log.scrollTop = this.log.scrollHeight;
    this.stuck = true;
    this.missed = 0;
    this.pill.hidden = true;
  }

  // By its number; whether it came last.
  #insert(line, seq) {
    line.dataset.seq = seq;
    const first = this.log.querySelector(".line");
    if (first && seq < Number(first.dataset.seq)) {
      first.before(line);
    } else {
      let last = this.log.lastElementChild;
      while (last?.classList.contains("line") && Number(last.dataset.seq) > seq) last = last.previousElementSibling;
      const end = last === this.log.lastElementChild;
      last.after(line);
      if (end) {
        this.#register(line);
        return true;
      }
    }
    this.#register(line);
    return false;
  }

  #register(line) {
    const id = line.dataset.tool;
    if (!id) return;
    this.calls.set(id, line);
    const early = this.early.get(id);
    if (early) {
      this.early.delete(id);
      early.line.remove();
      addResult(line, early.block, resultText(early.block.content));
    }
  }

  #result({ result: block, of }) {
    const text = resultText(block.content);
    const call = this.calls.get(of);
    if (call) {
      addResult(call, block, text);
      return null;
    }
    const line = orphanRow(block, text);
    this.early.set(of, { block, line });
    return line;
  }

  #progress(event) {
    const line = this.calls.get(event.parent_tool_use_id);
    if (line) setText(line.querySelector(".progress"), `${Math.round(event.elapsed_time_seconds ?? 0)} s…`);
  }

  #bound() {
    const lines = this.log.querySelectorAll(".line");
    for (let index = 0; index < lines.length - MOST; index++) {
      const line = lines[index];
      this.calls.delete(line.dataset.tool);
      line.remove();
      this.dropped = true;
    }
    if (!this.dropped) return;
    const oldest = Number(this.log.querySelector(".line")?.dataset.seq ?? 0);
    for (const seq of this.seen) if (seq < oldest) this.seen.delete(seq);
    this.dropped = false;
    this.older.hidden = false;
  }

  #scrolled() {
    const { scrollHeight, scrollTop, clientHeight } = this.log;
    this.stuck = scrollHeight - scrollTop - clientHeight < NEAR;
    if (this.stuck) {
      this.missed = 0;
      this.pill.hidden = true;
    }
  }

  #miss(number) {
    this.missed += number;
    this.pill.hidden = false;
    setText(this.pill, `↓ ${this.missed} new`);
  }
}
