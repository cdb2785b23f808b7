// Agents' Markdown as the server renders it, asked for a few texts at a time and only
// for what comes into view. The HTML that comes back is sanitised there.

import { post } from "./net.js";

const MOST = 40; // texts of one question
const CHARS = 200000; // and what they have together
const KEPT = 400; // texts whose HTML is kept
const PLAIN = /^[^*_`#>|~[\]\\&\n-]*$/; // what is the same without being rendered
const PAUSE = 30; // milliseconds in which texts are gathered

const html = new Map(); // by text, the newest last
const waiting = new Map(); // element → its text
const texts = new WeakMap();
let timer = null;

const observer = new IntersectionObserver(
  (entries) => {
    for (const { target, isIntersecting } of entries) {
      if (!isIntersecting) continue;
      observer.unobserve(target);
      want(target, texts.get(target));
    }
  },
  { rootMargin: "600px" },
);

// How elements are changed: the terminal keeps what is read in its place.
let change = (act) => act();
export const changingBy = (holding) => (change = holding);

// Show `text` in `node`, which shows it as it is until then.
export function markdown(node, text) {
  if (PLAIN.test(text)) return;
  texts.set(node, text);
  observer.observe(node);
}

function want(node, text) {
  if (html.has(text)) {
    change(() => put(node, html.get(text)));
    return;
  }
  waiting.set(node, text);
  timer ??= setTimeout(ask, PAUSE);
}

async function ask() {
  timer = null;
  const asked = [];
  let chars = 0;
  for (const [node, text] of waiting) {
    if (asked.length === MOST || (asked.length && chars + text.length > CHARS)) break;
    chars += text.length;
    asked.push([node, text]);
    waiting.delete(node);
  }
  if (waiting.size) timer = setTimeout(ask, PAUSE);
  try {
    const answer = await post("api/markdown", { texts: asked.map(([, text]) => text) });
    change(() => asked.forEach(([node, text], place) => put(node, keep(text, answer.html[place]))));
  } catch (error) {
    console.warn(error); // it stays as it was written
  }
}

function keep(text, rendered) {
  html.set(text, rendered);
  if (html.size > KEPT) html.delete(html.keys().next().value);
  return rendered;
}

function put(node, rendered) {
  if (rendered === null) return;
  const template = document.createElement("template");
  template.innerHTML = rendered;
  node.classList.add("markdown");
  node.replaceChildren(template.content);
}
