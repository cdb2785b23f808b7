// A page's part of the event stream that all tabs of this origin share, taken up again
// after whatever breaks it.

import { byId, setText } from "./dom.js";
import { Hub } from "./hub.js";
import { get, LOGGED_OUT } from "./net.js";
import { healed, loggedOut, lost, outdated } from "./outage.js";
import { known } from "./known.js";
import { wants } from "./wants.js";
import { setClock } from "./words.js";

const PAUSES = [1000, 2000, 4000, 8000, 15000]; // between tries to load the state, in milliseconds
const HIDDEN = 60000; // a page out of sight for so long lets go of a stream of its own
const DEAF = 60000; // no word of the hub for so long: it is gone
const VISIBLE = 1e14; // ranks before every hidden tab

// stream, state: paths. taken(state): draw it. happened(event): one event.
// rest: whether a page out of sight may close its stream, where it has one of its own;
// browsers give a host only six connections for all of its pages.
export class Live {
  #hub = null;
  #timer = null;
  #failures = 0;
  #heard = 0;
  #joined = false;
  #state = "connecting";

  constructor({ stream, state, taken, happened, rest = false }) {
    Object.assign(this, { state, taken, happened, rest, seq: 0, version: null });
    this.interest = interestOf(new URL(stream, location.href));
    document.addEventListener("visibilitychange", () => this.#seen());
    document.addEventListener(LOGGED_OUT, () => this.#out());
    addEventListener("focus", () => this.#tell("seen"));
    addEventListener("pagehide", () => this.#leave());
    addEventListener("pageshow", (event) => event.persisted && this.reload());
    addEventListener("online", () => this.#retry());
    setInterval(() => this.#joined && Date.now() - this.#heard > DEAF && this.#rejoin(), DEAF / 2);
  }

  start(state) {
    setClock(state.now);
    this.seq = state.seq;
    this.version ??= state.version;
    if (state.version !== this.version) outdated(state.version);
    known.taken(state);
    this.taken(state);
    this.#join();
  }

  // Load the state anew, and the stream from there.
  async reload() {
    this.#leave();
    this.#show("reconnecting");
    try {
      const state = await get(this.state);
      this.#failures = 0;
      this.start(state);
    } catch (error) {
      if (this.#state === "logged out") return;
      console.warn(error);
      const pause = PAUSES[Math.min(this.#failures++, PAUSES.length - 1)];
      this.#timer = setTimeout(() => this.reload(), pause);
      lost(pause, () => this.reload());
    }
  }

  #join() {
    clearTimeout(this.#timer);
    this.#joined = true;
    this.#heard = Date.now();
    this.#hub ??= openHub((said) => this.#told(said), () => this.#rejoin());
    this.#tell("join", { since: this.seq, wanted: [this.interest, ...known.interests] });
  }

  #leave() {
    clearTimeout(this.#timer);
    this.#joined = false;
    known.lead = false;
    this.#hub?.port.postMessage({ type: "leave" });
  }

  // The worker is gone, or never came.
  #rejoin() {
    this.#leave();
    this.#hub = null;
    this.#join();
  }

  #tell(type, more = {}) {
    const rank = Date.now() + (document.hidden ? 0 : VISIBLE);
    if (this.#joined) this.#hub?.port.postMessage({ type, rank, ...more });
  }

  #told(said) {
    this.#heard = Date.now();
    if (!this.#joined) return;
    if (said.type === "events") said.events.forEach((event) => this.#take(event));
    else if (said.type === "ping") this.#tell("pong");
    else if (said.type === "lead") known.lead = said.lead;
    else if (said.type === "resync") this.reload();
    else if (said.type === "state") this.#heardState(said);
  }

  #take(event) {
    if (event.seq <= this.seq) return;
    this.seq = event.seq;
    known.happened(event);
    if (wants([this.interest], event)) this.happened(event);
  }

  #heardState({ state, pause }) {
    if (state === "live") {
      this.#show("live");
      healed();
    } else if (state === "lost") {
      this.#show("reconnecting");
      lost(pause, () => this.#retry());
    } else if (state === "out") {
      this.#out();
    }
  }

  #out() {
    this.#show("logged out");
    loggedOut();
  }

  #retry() {
    if (this.#joined) this.#tell("retry");
    else if (this.#state !== "resting") this.reload();
  }

  #seen() {
    clearTimeout(this.#hub?.resting);
    if (document.hidden) {
      this.#tell("seen");
      if (this.rest && this.#hub?.own) this.#hub.resting = setTimeout(() => this.#rest(), HIDDEN);
    } else if (this.#state === "resting") {
      this.#join();
    } else if (this.#state !== "live") {
      this.#retry();
    } else {
      this.#tell("seen");
    }
  }

  #rest() {
    this.#leave();
    this.#show("resting");
  }

  #show(words) {
    this.#state = words;
    const place = byId("connection");
    place.dataset.state = words;
    setText(place.querySelector(".words"), words);
  }
}

// What a stream's address asks for: its topics, and the agent in its path.
function interestOf(url) {
  const topics = url.searchParams.get("topics")?.split(",") ?? null;
  const agent = url.pathname.match(/\/agent\/([^/]+)\/events\/stream$/)?.[1] ?? null;
  return { topics, agent };
}

let sharable = typeof SharedWorker === "function";

// The hub that this origin's tabs share, or one of this page's own.
function openHub(told, failed) {
  if (sharable) {
    const worker = new SharedWorker(new URL("./worker.js", import.meta.url), { type: "module", name: "hyperhive" });
    worker.onerror = () => {
      sharable = false;
      failed();
    };
    return listening({ port: worker.port, own: false }, told);
  }
  const { port1, port2 } = new MessageChannel();
  new Hub().add(port1);
  return listening({ port: port2, own: true }, told);
}

function listening(hub, told) {
  hub.port.onmessage = ({ data }) => told(data);
  hub.port.start();
  return hub;
}
