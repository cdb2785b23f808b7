// What an operator can do to an agent: words, when each applies, and what it asks for first.

import { confirmedByName } from "./ask.js";
import { attempt, confirmed, post } from "./net.js";

const MOVING = new Set(["starting", "stopping", "rebuilding", "recovering"]);
const isMoving = ({ state }) => MOVING.has(state);
const isIn = ({ running, state }) => running || MOVING.has(state);

const asks = (path, said) => ({ name }, button) =>
  attempt(button, () => post(path.replace("*", name)), said.replace("*", name));

async function stop({ name }, button) {
  const now = await confirmed({
    title: `stop ${name}?`,
    text: "A turn that runs may end first (up to ten minutes); its messages are kept.",
    yes: "stop",
    option: "don't wait: interrupt the turn now",
  });
  if (now !== null) await attempt(button, () => post(`/kill/${name}`, { graceful: !now }), `${name} is stopped.`);
}

async function killNow({ name }, button) {
  const text = "Its turn is interrupted at once. Its messages are kept and given to its next turn.";
  if ((await confirmed({ title: `stop ${name} now?`, text, yes: "stop now" })) === null) return;
  await attempt(button, () => post(`/kill/${name}`, { graceful: false }), `${name} is stopped.`);
}

async function restart({ name }, button) {
  const text = "Its turn may end first. Its conversation goes on.";
  if ((await confirmed({ title: `restart ${name}?`, text, yes: "restart" })) === null) return;
  await attempt(button, () => post(`/restart/${name}`), `${name} is restarted.`);
}

async function rebuild({ name }, button) {
  const text = "What it runs is built again, and it is restarted with that. Its turn may end first.";
  if ((await confirmed({ title: `rebuild ${name}?`, text, yes: "rebuild" })) === null) return;
  await attempt(button, () => post(`/rebuild/${name}`), `${name} is rebuilt.`);
}

const setPaused = (paused) => ({ name }, button) =>
  attempt(button, () => post(`/pause/${name}`, { paused }), paused ? `${name} is paused.` : `${name} goes on.`);

async function newSession({ name }, button) {
  const text = "Its next turn begins without what was said so far. Its files and notes stay.";
  if ((await confirmed({ title: `a new session for ${name}?`, text, yes: "new session" })) === null) return;
  await attempt(button, () => post(`/agent/${name}/api/new-session`), `${name} begins anew.`);
}

async function destroy({ name }, button) {
  const text = "Its container goes, its turn is interrupted, and messages that wait for it are given up. What it kept (login, notes, conversation) stays for an agent of the same name.";
  if ((await confirmed({ title: `destroy ${name}?`, text, yes: "destroy" })) === null) return;
  await attempt(button, () => post(`/destroy/${name}`, { purge: false }), `${name} is destroyed.`);
}

async function purge({ name }, button) {
  const text = "Its container goes, and with it its login, its notes and its conversation, for good.";
  if (!(await confirmedByName({ name, title: `destroy ${name} and purge?`, text, yes: "destroy and purge" }))) return;
  await attempt(button, () => post(`/destroy/${name}`, { purge: true }), `${name} is gone.`);
}

const verb = (glyph, label, words, applies, run, danger = false) => ({ glyph, label, words, applies, run, danger });
const notManager = ({ role }) => role !== "manager";

export const VERBS = {
  start: verb("▶", "start", "start it", (agent) => !isIn(agent), asks("/start/*", "* is started.")),
  cancel: verb("■", "cancel turn", "interrupt its turn; it stays up", ({ working }) => working, asks("/agent/*/api/cancel", "*'s turn is cancelled.")),
  pause: verb("‖", "pause", "let its turn end and give it no other", ({ paused }) => !paused, setPaused(true)),
  go: verb("▶", "go on", "give it turns again", ({ paused }) => paused, setPaused(false)),
  stop: verb("■", "stop", "stop it when its turn has ended", isIn, stop),
  kill: verb("■", "stop now", "stop it at once", isIn, killNow),
  restart: verb("↻", "restart", "restart it", (agent) => agent.running && !isMoving(agent), restart),
  rebuild: verb("⇧", "rebuild", "build again what it runs", (agent) => !isMoving(agent), rebuild),
  compact: verb("⇲", "compact", "have it compact its conversation", ({ running }) => running, asks("/agent/*/api/compact", "* compacts its conversation.")),
  session: verb("✱", "new session", "let its next turn begin a new conversation", ({ running }) => running, newSession),
  destroy: verb("✕", "destroy", "remove it; what it kept stays", notManager, destroy, true),
  purge: verb("✕", "destroy and purge", "remove it with all that it kept", notManager, purge, true),
};

// What is most likely wanted of an agent as it is; the name of a verb.
export function likely(agent) {
  if (isMoving(agent)) return null;
  if (!agent.running) return "start";
  if (agent.needs_login) return null; // the login has a button of its own
  if (agent.working) return "cancel";
  if (agent.paused) return "go";
  if (agent.needs_update || agent.state === "misconfigured") return "rebuild";
  if (agent.state === "crashed") return "restart";
  return "pause";
}
