// The prompt: messages and commands, with what was written before, and nothing lost.

import { COMMANDS, run } from "./commands.js";
import { Completion } from "./complete.js";
import { byId } from "./dom.js";
import { browser, keepDraft } from "./memory.js";
import { post } from "./net.js";

const KEPT = 100; // lines that are remembered
const LONG = 4000; // characters of one

// name: the agent's.
export function prompting(name, terminal) {
  const prompt = byId("prompt");
  const past = new Past(prompt, name);
  const forget = keepDraft(prompt, `prompt:${name}`);
  let sending = Promise.resolve();

  // One after the other, in the order of their writing.
  byId("prompt-form").addEventListener("submit", (event) => {
    event.preventDefault();
    const text = prompt.value;
    if (!text.trim()) return;
    // Emptied at once and put back if it fails: whoever types on loses nothing.
    prompt.value = "";
    forget();
    past.add(text);
    sending = sending.then(() => take(text));
  });

  async function take(text) {
    try {
      if (text.startsWith("/")) await run(text, terminal);
      else await post("send", { body: text });
    } catch (error) {
      terminal.say(error.message, true);
      prompt.value = prompt.value ? `${text}\n${prompt.value}` : text;
      prompt.dispatchEvent(new Event("input"));
    }
  }

  new Completion(prompt, {
    label: "commands",
    offers: () => Object.entries(COMMANDS).map(([word, { words }]) => ({ value: `/${word}`, words })),
    find: () => {
      const typed = /^\/[\w-]*$/.exec(prompt.value);
      return typed && !Object.hasOwn(COMMANDS, typed[0].slice(1)) ? { word: typed[0] } : null;
    },
    choose: (value) => {
      prompt.value = COMMANDS[value.slice(1)].takes ? `${value} ` : value;
    },
  });
  prompt.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
      event.preventDefault();
      byId("prompt-form").requestSubmit();
    }
  });
}

// What was written before: up and down at the ends of what is in the field.
class Past {
  constructor(field, name) {
    Object.assign(this, { field, key: `past:${name}`, at: 0, draft: "" });
    this.lines = browser.get(this.key, []);
    field.addEventListener("keydown", (event) => this.#keys(event));
  }

  add(text) {
    const others = this.lines.filter((line) => line !== text);
    this.lines = [...others, text.slice(0, LONG)].slice(-KEPT);
    browser.set(this.key, this.lines);
    this.at = 0;
  }

  #keys(event) {
    const { field } = this;
    if (event.isComposing || event.shiftKey || event.ctrlKey || event.altKey || event.metaKey) return;
    const first = !field.value.slice(0, field.selectionStart).includes("\n");
    const last = !field.value.slice(field.selectionEnd).includes("\n");
    if (event.key === "ArrowUp" && first && this.at < this.lines.length) this.#show(this.at + 1);
    else if (event.key === "ArrowDown" && last && this.at > 0) this.#show(this.at - 1);
    else return;
    event.preventDefault();
  }

  #show(at) {
    if (this.at === 0) this.draft = this.field.value;
    this.at = at;
    this.field.value = at === 0 ? this.draft : this.lines[this.lines.length - at];
    this.field.setSelectionRange(this.field.value.length, this.field.value.length);
  }
}
