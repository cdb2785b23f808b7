// Figures and moments as people read them, and the look of each state.

let offset = 0; // the hive's clock minus this browser's, in milliseconds

export function setClock(now) {
  if (now) offset = Date.parse(now) - Date.now();
}

// The hive's clock, in milliseconds.
export const now = () => Date.now() + offset;

// What is left until then: "9:58"
export function left(moment) {
  const seconds = Math.max(0, Math.round((Date.parse(moment) - now()) / 1000));
  return `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, "0")}`;
}

// "12s", "4m", "2h 05m", "3d"
export function duration(milliseconds) {
  const seconds = Math.max(0, Math.floor(milliseconds / 1000));
  if (seconds < 60) return `${seconds}s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return `${minutes}m`;
  const hours = Math.floor(minutes / 60);
  if (hours < 24) return `${hours}h ${String(minutes % 60).padStart(2, "0")}m`;
  return `${Math.floor(hours / 24)}d`;
}

// "830 ms", "12.3 s", "4 m 05 s"
export function took(milliseconds) {
  if (milliseconds < 1000) return `${Math.round(milliseconds)} ms`;
  if (milliseconds < 60000) return `${(milliseconds / 1000).toFixed(1)} s`;
  const seconds = Math.round(milliseconds / 1000);
  return `${Math.floor(seconds / 60)} m ${String(seconds % 60).padStart(2, "0")} s`;
}

export const age = (moment) => duration(now() - Date.parse(moment));

// How long something that ends may still take: {words: "2h 05m left", share: 0.4 of it}.
export function remaining(from, until) {
  if (!until) return { words: "", share: 1 };
  const rest = Date.parse(until) - now();
  const share = rest / Math.max(1, Date.parse(until) - Date.parse(from));
  return { words: rest > 0 ? `${duration(rest)} left` : "over", share };
}

const clock = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
const day = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short" });

// "14:05", or "3 Feb 14:05" on another day
export function moment(text) {
  const date = new Date(text);
  if (Number.isNaN(date.getTime())) return "";
  const today = new Date(now()).toDateString() === date.toDateString();
  return today ? clock.format(date) : `${day.format(date)} ${clock.format(date)}`;
}

export function count(number) {
  if (number < 1000) return String(number);
  if (number < 100000) return `${(number / 1000).toFixed(1)}k`;
  if (number < 1000000) return `${Math.round(number / 1000)}k`;
  return `${(number / 1000000).toFixed(1)}M`;
}

// "$0.0071", "$2.40"; nothing for nothing
export const money = (dollars) => (dollars ? `$${dollars.toFixed(dollars < 0.1 ? 4 : 2)}` : "");

export const plural = (number, word) => `${number} ${word}${number === 1 ? "" : "s"}`;

export const firstLine = (text, most = 160) => {
  const line = text.trimStart().split("\n", 1)[0];
  return line.length > most ? `${line.slice(0, most - 1)}…` : line;
};

// Each state has a colour and a shape, so that neither is needed alone.
const LOOKS = {
  working: ["good", "working"],
  compacting: ["good", "squeeze"],
  idle: ["calm", "idle"],
  waiting: ["wait", "clock"],
  parked: ["wait", "clock"],
  stuck: ["bad", "warn"],
  crashed: ["bad", "warn"],
  failed: ["bad", "failed"],
  "needs login": ["bad", "key"],
  "logging in": ["wait", "key"],
  misconfigured: ["bad", "warn"],
  paused: ["off", "paused"],
  stopped: ["off", "stopped"],
  starting: ["wait", "moving"],
  stopping: ["wait", "moving"],
  rebuilding: ["wait", "moving"],
  recovering: ["wait", "moving"],
};

export function look(state) {
  const [tone, icon] = LOOKS[state] ?? ["calm", "idle"];
  return { tone, icon };
}

// "working 2m", "parked until 14:05"
export function stateWords(agent) {
  if (agent.state_until && agent.state !== "stuck") return `${agent.state} until ${moment(agent.state_until)}`;
  return `${agent.state} ${age(agent.state_since)}`;
}

// A stable colour class for a mailbox.
export function hue(name) {
  if (["operator", "manager", "system"].includes(name)) return `name ${name}`;
  if (name === "hm1nd") return "name manager";
  let value = 0x811c9dc5;
  for (const char of name) value = Math.imul(value ^ char.charCodeAt(0), 0x01000193) >>> 0;
  return `name hue-${value % 6}`;
}

// An agent's mailbox: the manager's has a name of its own.
export const mailboxOf = ({ name, role }) => (role === "manager" ? "manager" : name);

// What comes of approving.
export const whatFollows = ({ kind, agent }) => (kind === "spawn" ? `${agent} is made and started.` : `${agent} is built anew; its turn may end first.`);
