// What the shell knows of the swarm, on whatever page: for the palette and for alerts.

const bar = document.querySelector(".bar.shell");

class Known {
  // Whether this is the dashboard's own origin, where all of its verbs are.
  home = bar?.dataset.home === "/";
  // Whether this tab speaks for all of them.
  lead = false;
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

  // What there is to hear beyond what a page wants.
  get interests() {
    return this.home ? [{ topics: ["agent", "approval", "question", "message"], agent: null }] : [];
  }

  // Tell watcher(event) of each event.
  watch(watcher) {
    this.#watchers.push(watcher);
  }

  taken(state) {
    this.began = state.now ?? this.began;
    if (state.agent) {
      this.agent = state.agent.name;
      this.agents.set(state.agent.name, state.agent);
    }
    if (!state.agents || !state.approvals) return; // another page's
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
    for (const watcher of this.#watchers) watcher(event);
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
