// Write to an agent, or to all: names complete, and nothing typed is lost.

import { Completion } from "./complete.js";
import { byId } from "./dom.js";
import { sendsByKey } from "./inbox.js";
import { keepDraft, tab } from "./memory.js";
import { attempt, post } from "./net.js";

const ALL = "*";
const bare = (name) => name.trim().replace(/^@/, "");

// agents: by name, as the page knows them now.
export function composing(agents) {
  const form = byId("compose");
  const to = byId("compose-to");
  const body = byId("compose-body");
  const forget = keepDraft(body, "compose");
  to.value = tab.get("compose-to", "");
  to.addEventListener("input", () => tab.set("compose-to", to.value));

  const offers = () => [
    { value: "manager", words: agents.get("hm1nd")?.state ?? "" },
    { value: ALL, words: "everybody" },
    ...[...agents.values()].filter(({ role }) => role !== "manager").sort((a, b) => (a.name < b.name ? -1 : 1)).map(({ name, state }) => ({ value: name, words: state })),
  ];
  const address = (name) => {
    to.value = name;
    tab.set("compose-to", name);
  };

  new Completion(to, {
    label: "who can be written to",
    offers,
    find: () => ({ word: bare(to.value) }),
    choose: address,
  });
  // At the beginning a name is whom it is for; later it is part of the text.
  const put = (name, { from, to: until }) => {
    const before = body.value.slice(0, from);
    if (before.trim()) body.setRangeText(`@${name} `, from, until, "end");
    else {
      address(name);
      body.setRangeText("", 0, until, "end");
    }
    body.dispatchEvent(new Event("input"));
  };
  new Completion(body, {
    label: "names",
    offers,
    find: () => {
      const typed = /(?:^|\s)@([\w*-]*)$/.exec(body.value.slice(0, body.selectionStart));
      return typed && { word: typed[1], from: body.selectionStart - typed[1].length - 1, to: body.selectionStart };
    },
    choose: put,
  });
  body.addEventListener("input", () => {
    const typed = /^\s*@([\w*-]+)\s/.exec(body.value);
    if (typed && offers().some(({ value }) => value === typed[1])) put(typed[1], { from: 0, to: typed[0].length });
  });

  sendsByKey(form, body);
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const name = bare(to.value);
    const text = body.value;
    const sent = await attempt(
      form.querySelector("button"),
      () => post("op-send", { to: name, body: text }),
      ({ ids }) => (ids.length === 1 ? `Sent to ${name} as #${ids[0]}.` : `Sent to ${ids.length} agents.`),
    );
    // Who has typed on meanwhile keeps it.
    if (!sent || body.value !== text) return;
    body.value = "";
    forget();
  });
}
