// What the shell knows of the swarm, on whatever page: for the palette and for alerts.

const bar = document.querySelector(".bar.shell");

class Known {
  // Whether this is the dashboard's own origin, where all of its verbs are.
  home = bar?.dataset.home === "/";
  agents = new Map();
  approvals = new Map();
  questions = new Map();
  dead = new Map(); // messages that were given up
  // The name of the agent whose page this is.
  agent = null;
  // Whether all of it is known, and not only what happened since.
  whole = false;
  // When the state was taken, by the hive's clock.
  began = "";
  #watchers = [];
  #lead = false;
  #news = []; // what happened while no stream was there
  #newest = 0; // the highest id of a message to the operator

  // Whether this tab speaks for all of them.
  get lead() {
    return this.#lead;
  }

  set lead(lead) {
    this.#lead = lead;
    if (!lead) return;
    const news = this.#news;
    this.#news = [];
    for (const event of news) this.#tell(event);
  }

  // What there is to hear beyond what a page wants.
  get interests() {
    return this.home ? [{ topics: ["agent", "approval", "question", "message"], agent: null }] : [];
  }

  // Tell watcher(event) of each event.
  watch(watcher) {
    this.#watchers.push(watcher);
  }

  taken(state) {
    if (state.agent) {
      this.agent = state.agent.name;
      this.agents.set(state.agent.name, state.agent);
    }
    if (!state.agents || !state.approvals) {
      this.began = state.now ?? this.began;
      return; // another page's
    }
    // Who speaks for all tabs is told after they have joined the stream again.
    this.#news = this.whole ? [...this.#missed(state)] : [];
    this.#newest = Math.max(0, ...state.inbox.map(({ id }) => id));
    this.began ||= state.now ?? "";
    this.whole = true;
    refill(this.agents, state.agents, "name");
    refill(this.approvals, state.approvals.filter(pending), "id");
    refill(this.questions, state.questions.filter(pending), "id");
    refill(this.dead, state.messages.filter((message) => message.state === "dead"), "id");
  }

  happened(event) {
    if (event.kind === "agent_state") {
      if (event.gone) this.agents.delete(event.name);
      else this.agents.set(event.name, event);
    } else if (event.approval) {
      keep(this.approvals, event.approval);
    } else if (event.question) {
      keep(this.questions, event.question);
    } else if (event.kind === "message_dead") {
      this.dead.set(event.id, event);
      while (this.dead.size > 200) this.dead.delete(this.dead.keys().next().value);
    } else if (event.kind === "message_requeued") {
      this.dead.delete(event.id);
    }
    if (event.kind === "message_sent" && event.to === "operator") this.#newest = event.id;
    this.#tell(event);
  }

  #tell(event) {
    for (const watcher of this.#watchers) watcher(event);
  }

  // A state that is loaded anew, as the events that would have led to it.
  *#missed(state) {
    for (const approval of state.approvals.filter(pending)) if (!this.approvals.has(approval.id)) yield { kind: "approval_added", approval };
    for (const question of state.questions.filter(pending)) if (!this.questions.has(question.id)) yield { kind: "question_added", question };
    for (const message of state.messages) if (message.state === "dead" && !this.dead.has(message.id)) yield { ...message, kind: "message_dead" };
    for (const message of state.inbox) if (message.id > this.#newest) yield { ...message, kind: "message_sent" };
    for (const agent of state.agents) if (this.agents.get(agent.name)?.state !== agent.state) yield { ...agent, kind: "agent_state" };
  }
}

const pending = ({ status }) => status === "pending";

function refill(map, rows, key) {
  map.clear();
  for (const row of rows) map.set(row[key], row);
}

function keep(map, row) {
  if (pending(row)) map.set(row.id, row);
  else map.delete(row.id);
}

export const known = new Known();
