// The terminal: a window over an agent's events, however many there are. It holds a
// bounded number of rows, loads more as the reader comes near an end of them, and stays
// at the bottom unless the reader has scrolled away.

import { byId, el, setText } from "./dom.js";
import { attempt } from "./net.js";
import { addResult, orphanRow, row, rowsOf } from "./rows.js";
import { resultText } from "./tools.js";

const MOST = 1200; // rows
const NEAR = 48; // pixels from the bottom that count as being there
const STORED = 1000; // by then an event is stored, in milliseconds
const AHEAD = 1500; // pixels from an end at which more is loaded

const seqOf = (line) => Number(line.dataset.seq);

// load({before}) and load({after}) answer a page: {events, before, after}.
export class Terminal {
  constructor(load) {
    Object.assign(this, { load, log: byId("log"), pill: byId("newer"), older: byId("older") });
    this.calls = new Map(); // tool call → its row
    this.early = new Map(); // tool call that is not here yet → the row of its result
    this.#forget();
    this.log.addEventListener("scroll", () => this.#scrolled(), { passive: true });
    this.pill.addEventListener("click", () => (this.tail ? this.#toBottom() : attempt(this.pill, () => this.#newest())));
    this.older.addEventListener("click", () => this.#load("older"));
    new ResizeObserver(() => this.stuck && this.#toBottom()).observe(this.log);
  }

  #forget() {
    this.seen = new Set(); // numbers of the events that are here
    this.first = null; // the lowest of them
    this.last = 0; // the highest number that was ever here or passed by
    this.above = null; // what to ask older events with
    this.tail = true; // the newest events are here
    this.missed = 0;
    this.stuck = true;
    this.loading = null;
    this.held = null; // what happens while newer rows are on their way
    this.calls.clear();
    this.early.clear();
  }

  // Take what happened since, or the newest page where nothing is here yet. Who reads
  // further up goes on reading.
  async refresh() {
    await this.#catchUp();
    this.#later();
  }

  async #catchUp() {
    if (!this.tail) return;
    // What happens while the page is on its way must not hide what was missed before.
    const [empty, had] = [this.first === null, this.last];
    const page = await this.load({});
    if (!this.tail) return;
    const gap = !empty && page.before !== null && page.events[0].seq > had;
    if (empty) this.#more(page.before);
    if (!gap) this.add(page.events);
    else if (this.stuck) this.#begin(page);
    else this.#cut(had);
  }

  // What happened just before a page was asked for may not have been stored.
  #later() {
    setTimeout(() => this.#catchUp().catch(console.warn), STORED);
  }

  // Show the newest page, and be at its end.
  async #newest() {
    const held = (this.held = []);
    try {
      this.#begin(await this.load({}));
    } finally {
      this.held = null;
    }
    this.#settle(held);
  }

  // The newest rows are here again: then also what came while they were on their way.
  #settle(held) {
    this.add(held);
    this.#later();
  }

  #begin(page) {
    this.clear();
    this.#forget();
    this.#more(page.before);
    this.add(page.events);
    this.#toBottom();
  }

  // Between `last` and what is newer something is missing: that is loaded as it is read.
  #cut(last) {
    this.#holding(() => {
      for (const line of this.log.querySelectorAll(".line")) if (seqOf(line) > last) this.#drop(line);
      for (const seq of this.seen) if (seq > last) this.seen.delete(seq);
    });
    this.last = last;
    this.tail = false;
    this.#scrolled();
  }

  // Events as they happen, in any order; each is taken once.
  add(events) {
    if (!this.tail) {
      this.held?.push(...events);
      this.#passed(events);
      return;
    }
    let below = 0;
    this.#holding(() => (below = this.#take(events)));
    this.#bound(this.stuck ? "top" : "bottom");
    if (this.stuck) this.#toBottom();
    else if (below) this.#miss(below);
  }

  // Something of this page's own, at the end.
  say(text, bad = false) {
    const line = row(bad ? "local bad" : "local", "⌁", el("p", {}, text));
    line.dataset.seq = this.last;
    this.log.append(line);
    this.#toBottom();
  }

  // Empty the view: what was here does not come back by itself.
  clear() {
    for (const line of this.log.querySelectorAll(".line")) line.remove();
    this.calls.clear();
    this.early.clear();
    this.#toBottom();
  }

  // Change rows without moving what is being read.
  holding(change) {
    this.#holding(change);
    if (this.stuck) this.#toBottom();
  }

  #take(events) {
    let below = 0;
    for (const event of events) {
      if (this.seen.has(event.seq)) continue;
      this.seen.add(event.seq);
      this.first = Math.min(this.first ?? event.seq, event.seq);
      this.last = Math.max(this.last, event.seq);
      if (event.kind === "stream" && event.event?.type === "tool_progress") this.#progress(event.event);
      for (const made of rowsOf(event)) {
        const line = made.result ? this.#result(made) : made;
        if (line && this.#insert(line, event.seq)) below += 1;
      }
    }
    byId("empty").hidden = this.log.querySelector(".line") !== null;
    return below;
  }

  // By its number; whether it came last.
  #insert(line, seq) {
    line.dataset.seq = seq;
    const first = this.#top();
    let end = false;
    if (this.cursor?.isConnected && seq >= seqOf(this.cursor) && !(seq >= Number(this.cursor.nextElementSibling?.dataset.seq ?? Infinity))) {
      // A page comes in order: each row follows the one before it.
      this.cursor.after(line);
      end = line === this.log.lastElementChild;
    } else if (first && seq < seqOf(first)) {
      first.before(line);
    } else {
      let last = this.log.lastElementChild;
      while (last?.classList.contains("line") && seqOf(last) > seq) last = last.previousElementSibling;
      end = last === this.log.lastElementChild;
      last.after(line);
    }
    this.cursor = line;
    this.#register(line);
    return end;
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

  #top() {
    return this.log.querySelector(".line");
  }

  // Let go of what is too much, at the end that is farther from the reader; an event's
  // rows stay together.
  #bound(end) {
    const lines = [...this.log.querySelectorAll(".line")];
    const much = lines.length - MOST;
    if (much <= 0) return;
    this.#holding(() => {
      if (end === "top") {
        const keep = seqOf(lines[much]);
        for (const line of lines) if (seqOf(line) < keep) this.#drop(line);
        for (const seq of this.seen) if (seq < keep) this.seen.delete(seq);
        this.first = keep;
        this.#more(keep);
      } else {
        const keep = seqOf(lines[MOST - 1]);
        this.#cut(keep);
      }
    });
  }

  #drop(line) {
    this.calls.delete(line.dataset.tool);
    for (const [id, early] of this.early) if (early.line === line) this.early.delete(id);
    line.remove();
  }

  #more(before) {
    this.above = before;
    this.older.hidden = before === null;
  }

  // What happens while the newest rows are not here is only counted.
  #passed(events) {
    const rows = events.reduce((sum, event) => sum + rowsOf(event).filter(({ result }) => !result).length, 0);
    if (rows) this.#miss(rows);
  }

  // More in one direction; one at a time. What fails is tried again at the next scroll.
  async #load(direction) {
    if (this.loading) return;
    const asked = direction === "older" ? { before: this.first ?? this.above } : { after: this.last };
    this.loading = asked;
    const held = direction === "newer" ? (this.held = []) : null;
    this.older.setAttribute("aria-busy", "true");
    try {
      const page = await this.load(asked);
      if (this.loading !== asked) return; // begun anew meanwhile
      this.#holding(() => this.#take(page.events));
      if (direction === "older") {
        this.#more(page.before);
        this.#bound("bottom");
      } else {
        this.tail = page.after === null;
        this.#bound("top");
        if (this.tail) this.#settle(held);
      }
    } catch (error) {
      console.warn(error);
    } finally {
      if (this.loading === asked) this.loading = null;
      if (held) this.held = null;
      this.older.removeAttribute("aria-busy");
    }
    this.#scrolled();
  }

  // Change rows, and have what is in the middle of the view stay there.
  #holding(change) {
    const anchor = this.stuck ? null : this.#inView();
    const top = anchor?.getBoundingClientRect().top;
    change();
    if (anchor?.isConnected) this.log.scrollTop += anchor.getBoundingClientRect().top - top;
  }

  #inView() {
    const { left, top, width, height } = this.log.getBoundingClientRect();
    for (const part of [0.5, 0.25, 0.75]) {
      const line = document.elementFromPoint(left + width / 2, top + height * part)?.closest(".line");
      if (line && this.log.contains(line)) return line;
    }
    return null;
  }

  #toBottom() {
    this.log.scrollTop = this.log.scrollHeight;
    this.stuck = true;
    this.missed = 0;
    this.pill.hidden = true;
  }

  #scrolled() {
    const { scrollHeight, scrollTop, clientHeight } = this.log;
    const below = scrollHeight - scrollTop - clientHeight;
    this.stuck = this.tail && below < NEAR;
    if (this.stuck) {
      this.missed = 0;
      this.pill.hidden = true;
    } else {
      this.pill.hidden = below < clientHeight && !this.missed;
      setText(this.pill, this.missed ? `↓ ${this.missed} new` : "↓ newest");
    }
    if (scrollTop < AHEAD && this.above !== null) this.#load("older");
    else if (below < AHEAD && !this.tail) this.#load("newer");
  }

  #miss(number) {
    this.missed += number;
    this.pill.hidden = false;
    setText(this.pill, `↓ ${this.missed} new`);
  }
}
