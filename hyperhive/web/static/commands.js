// What the prompt understands besides messages.

import { openLogin } from "./claude_login_door.js";
import { byId } from "./dom.js";
import { post } from "./net.js";

// word → {words: what it does, takes: the name of its one word, run(word, terminal)}
export const COMMANDS = {
  cancel: {
    words: "interrupt the turn that runs",
    run: () => post("api/cancel").then(() => "the turn was cancelled"),
  },
  pause: {
    words: "let its messages wait, until /resume",
    run: () => post("api/pause", { paused: true }).then(() => "it is paused: its messages wait"),
  },
  resume: {
    words: "go on with its messages",
    run: () => post("api/pause", { paused: false }).then(() => "it goes on"),
  },
  compact: {
    words: "compact the context before the next turn",
    run: () => post("api/compact").then(() => "its context is compacted before its next turn"),
  },
  model: {
    takes: "NAME",
    words: "the model of the next turns; alone: the configured one",
    run: (name) => post("api/model", { model: name }).then(({ model }) => `its next turns run on ${model}`),
  },
  "new-session": {
    words: "begin a new conversation with the next turn",
    run: () => post("api/new-session").then(() => "its next turn begins a new conversation"),
  },
  login: { words: "log its claude in", run: () => openLogin(byId("name").textContent, "") },
  clear: { words: "empty this view; nothing is forgotten", run: (_, terminal) => terminal.clear() },
  help: { words: "this", run: () => help() },
};

function help() {
  const lines = Object.entries(COMMANDS).map(([word, { takes, words }]) => `${`/${word} ${takes ?? ""}`.padEnd(15)}${words}`);
  return `${lines.join("\n")}\nAnything else is a message. One that begins with “/” needs a space before it.`;
}

// Run a line of the prompt. Fails with what was wrong.
export async function run(line, terminal) {
  const [word, ...rest] = line.slice(1).trim().split(/\s+/);
  const command = Object.hasOwn(COMMANDS, word) ? COMMANDS[word] : null;
  if (!command) throw new Error(`/${word} is no command; /help lists them.`);
  if (rest.length > (command.takes ? 1 : 0)) throw new Error(`/${word} takes ${command.takes ? "one word" : "nothing"} after it.`);
  const said = await command.run(rest[0] ?? "", terminal);
  if (said) terminal.say(said);
}
