// What the prompt understands besides messages.

import { openLogin } from "./claude_login_door.js";
import { byId } from "./dom.js";
import { post } from "./net.js";

const HELP = `/cancel        interrupt the turn that runs
/compact       compact the context before the next turn
/model NAME    the model of the next turns; alone: the hive's own
/new-session   begin a new conversation with the next turn
/login         log its claude in
/clear         empty this view; nothing is forgotten
/help          this
Anything else is a message. One that begins with “/” needs a space before it.`;

const COMMANDS = {
  help: { run: () => HELP },
  login: { run: () => openLogin(byId("name").textContent, "") },
  clear: { run: (_, terminal) => terminal.clear() },
  cancel: { run: () => post("api/cancel").then(() => "the turn was cancelled") },
  compact: { run: () => post("api/compact").then(() => "its context is compacted before its next turn") },
  model: {
    takes: true,
    run: (name) => post("api/model", { model: name }).then(({ model }) => `its next turns run on ${model}`),
  },
  "new-session": { run: () => post("api/new-session").then(() => "its next turn begins a new conversation") },
};

// Run a line of the prompt. Fails with what was wrong.
export async function run(line, terminal) {
  const [word, ...rest] = line.slice(1).trim().split(/\s+/);
  const command = Object.hasOwn(COMMANDS, word) ? COMMANDS[word] : null;
  if (!command) throw new Error(`/${word} is no command; /help lists them.`);
  if (rest.length > (command.takes ? 1 : 0)) throw new Error(`/${word} takes ${command.takes ? "one word" : "nothing"} after it.`);
  const said = await command.run(rest[0] ?? "", terminal);
  if (said) terminal.say(said);
}
