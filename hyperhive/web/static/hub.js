// One event stream for all tabs of an origin: browsers give a host only six connections.
//
// A tab joins with its snapshot's number and what it wants to hear of. It gets what came
// after that number from the ring, then each event as it comes; or it is told to resync,
// which means: load the state anew and join again. Runs in worker.js for all tabs, or in
// the page itself where there are no shared workers.

import { frames } from "./frames.js";
import { wants } from "./wants.js";

const PAUSES = [300, 1000, 2000, 4000, 8000, 15000]; // between tries, in milliseconds
const RING = 4000; // events that are kept
const RING_SIZE = 4 * 1024 * 1024; // and their characters
const PING = 15000; // how often tabs are asked whether they live, in milliseconds
const STEADY = 10000; // a stream that lasted so long was well, in milliseconds
const SILENT = 4; // so many unanswered, and a tab is taken for gone

export class Hub {
  #url;
  #tabs = new Map(); // port → {wanted, unanswered, seen}
  #ring = [];
  #size = 0;
  #floor = null; // the ring holds every event after this number …
  #last = null; // … up to this one
  #stream = null;
  #again = null;
  #failures = 0;
  #opened = 0; // when, in milliseconds
  #state = { type: "state", state: "connecting" };
  #pinging = null;
  #leader = null;

  constructor(url = new URL("/events/stream", location.origin)) {
    this.#url = url;
  }

  // Talk with a tab over a MessagePort.
  add(port) {
    port.onmessage = ({ data }) => this.#told(port, data);
    port.start();
  }

  #told(port, said) {
    const tab = this.#tabs.get(port);
    if (tab) tab.unanswered = 0;
    if (said.type === "join") this.#join(port, said);
    else if (said.type === "leave") this.#drop(port);
    else if (said.type === "retry") this.retry();
    else if (said.type === "seen" && tab) {
      tab.seen = said.rank;
      this.#lead();
    }
  }

  #join(port, { since, wanted, rank }) {
    if (!this.#tabs.size) this.#begin(since);
    if (since < this.#floor) {
      this.#drop(port);
      port.postMessage({ type: "resync" });
      return;
    }
    this.#tabs.set(port, { wanted, unanswered: 0, seen: rank });
    this.#pinging ??= setInterval(() => this.#ping(), PING);
    const missed = this.#ring.filter(({ seq, event }) => seq > since && wants(wanted, event));
    if (missed.length) port.postMessage({ type: "events", events: missed.map(({ event }) => event) });
    port.postMessage(this.#state);
    this.#lead();
    if (!this.#stream && !this.#again) this.#open();
    else if (this.#state.state === "out") this.retry();
  }

  // The first tab says from where.
  #begin(since) {
    this.#ring = [];
    this.#size = 0;
    this.#floor = this.#last = since;
    this.#state = { type: "state", state: "connecting" };
    this.#close();
  }

  #drop(port) {
    if (!this.#tabs.delete(port)) return;
    this.#lead();
    if (this.#tabs.size) return;
    this.#close();
    clearInterval(this.#pinging);
    this.#pinging = null;
  }

  #ping() {
    for (const [port, tab] of this.#tabs) {
      if (tab.unanswered++ < SILENT) {
        port.postMessage({ type: "ping" });
        continue;
      }
      // It may only sleep: then it reads this when it wakes, and begins again.
      port.postMessage({ type: "resync" });
      this.#drop(port);
    }
  }

  async #open() {
    this.#close();
    const stream = (this.#stream = new AbortController());
    let failure = null;
    try {
      await frames(this.#url, this.#last, stream.signal, {
        opened: () => {
          this.#opened = Date.now();
          this.#say({ state: "live" });
        },
        event: (frame) => stream === this.#stream && this.#take(frame),
      });
    } catch (error) {
      failure = error;
    }
    if (stream !== this.#stream) return;
    this.#stream = null;
    if (failure?.status === 401) this.#say({ state: "out" });
    else if (this.#tabs.size) this.#later();
  }

  #take({ id, kind, data }) {
    if (kind === "resync") {
      this.#resync();
      return;
    }
    if (id <= this.#last) return;
    // Also what can't be read has been: the stream is not to begin with it for ever.
    this.#last = id;
    const event = parsed(data);
    if (!event) return;
    this.#ring.push({ seq: id, size: data.length, event });
    this.#size += data.length;
    while (this.#ring.length > RING || this.#size > RING_SIZE) {
      const { seq, size } = this.#ring.shift();
      this.#size -= size;
      this.#floor = seq;
    }
    for (const [port, { wanted }] of this.#tabs) {
      if (wants(wanted, event)) port.postMessage({ type: "events", events: [event] });
    }
  }

  // What was missed is no longer to be had: every tab begins again.
  #resync() {
    this.#close();
    for (const port of [...this.#tabs.keys()]) {
      port.postMessage({ type: "resync" });
      this.#drop(port);
    }
  }

  #later() {
    // Only what held for a while has healed: what fails at once is asked for ever less.
    if (Date.now() - this.#opened > STEADY) this.#failures = 0;
    const pause = PAUSES[Math.min(this.#failures++, PAUSES.length - 1)];
    this.#again = setTimeout(() => this.#open(), pause);
    this.#say({ state: "lost", pause });
  }

  // Try at once, if nothing comes.
  retry() {
    if (this.#tabs.size && this.#state.state !== "live" && !this.#stream) this.#open();
  }

  #close() {
    clearTimeout(this.#again);
    this.#again = null;
    const stream = this.#stream;
    this.#stream = null;
    stream?.abort();
  }

  #say(state) {
    this.#state = { type: "state", ...state };
    for (const port of this.#tabs.keys()) port.postMessage(this.#state);
  }

  // One tab speaks for all where all would say the same: the one that was looked at last.
  #lead() {
    let leader = null;
    for (const [port, { seen }] of this.#tabs) {
      if (leader === null || seen > this.#tabs.get(leader).seen) leader = port;
    }
    if (leader === this.#leader) return;
    if (this.#tabs.has(this.#leader)) this.#leader.postMessage({ type: "lead", lead: false });
    this.#leader = leader;
    leader?.postMessage({ type: "lead", lead: true });
  }
}

function parsed(data) {
  try {
    return JSON.parse(data);
  } catch (error) {
    console.error(error);
    return null;
  }
}
