// One event stream a page, taken up again after whatever breaks it.

import { byId, setText } from "./dom.js";
import { get } from "./net.js";
import { setClock } from "./words.js";

const KINDS = [
  "message_sent", "message_leased", "message_done", "message_requeued", "message_dead",
  "turn_start", "stream", "note", "turn_end", "agent_state", "notice",
  "approval_added", "approval_resolved", "question_added", "question_resolved",
  "deploy", "deploy_log", "tombstone", "claude_login",
];
const PAUSES = [1000, 2000, 4000, 8000, 15000]; // between tries, in milliseconds
const HIDDEN = 60000; // a page out of sight for so long lets go of its connection

// stream, state: paths. taken(state): draw it. happened(event): one event.
// rest: whether a page out of sight may close its stream; browsers give a host
// only six connections for all of its pages.
export class Live {
  constructor({ stream, state, taken, happened, rest = false }) {
    Object.assign(this, { stream, state, taken, happened, seq: 0, failures: 0, source: null, timer: null });
    if (rest) document.addEventListener("visibilitychange", () => this.#seen());
    addEventListener("pagehide", () => this.#close());
    addEventListener("pageshow", (event) => event.persisted && this.reload());
    addEventListener("online", () => this.source?.readyState !== EventSource.OPEN && this.reload());
  }

  start(state) {
    setClock(state.now);
    this.seq = state.seq;
    this.taken(state);
    this.#open();
  }

  // Load the state anew, and the stream from there.
  async reload() {
    this.#close();
    this.#show("reconnecting");
    try {
      this.start(await get(this.state));
    } catch {
      this.#later();
    }
  }

  #open() {
    this.#close();
    const url = new URL(this.stream, location.href);
    url.searchParams.set("since", this.seq);
    const source = (this.source = new EventSource(url));
    for (const kind of KINDS) source.addEventListener(kind, (frame) => this.#take(frame));
    source.addEventListener("resync", () => this.reload());
    source.onopen = () => {
      this.failures = 0;
      this.#show("live");
    };
    source.onerror = () => {
      this.#show("reconnecting");
      // The browser comes back by itself, unless the hive's answer was no stream.
      if (source.readyState === EventSource.CLOSED && source === this.source) this.#later();
    };
  }

  #take(frame) {
    const seq = Number(frame.lastEventId);
    if (seq <= this.seq) return;
    this.seq = seq;
    this.happened(JSON.parse(frame.data));
  }

  #later() {
    this.#close();
    const pause = PAUSES[Math.min(this.failures++, PAUSES.length - 1)];
    this.timer = setTimeout(() => this.reload(), pause);
  }

  #close() {
    clearTimeout(this.timer);
    this.source?.close();
    this.source = null;
  }

  #seen() {
    clearTimeout(this.timer);
    if (document.hidden) {
      this.timer = setTimeout(() => {
        this.#close();
        this.#show("resting");
      }, HIDDEN);
    } else if (!this.source) {
      this.#open();
    }
  }

  #show(words) {
    const place = byId("connection");
    place.dataset.state = words;
    setText(place.querySelector(".words"), words);
  }
}
