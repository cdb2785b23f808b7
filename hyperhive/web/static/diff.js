// A diff to decide by: files that fold, colours, changed words, one column or two.

import { el } from "./dom.js";
import { highlighter } from "./highlight.js";
import { browser } from "./memory.js";
import { pairs, parsePatch } from "./patch.js";

const WIDE = 900; // pixels from which on two columns have room
const LONG = 400; // changed lines from which on a file begins folded

let styles = null;

// The style sheet comes with the first diff.
export function styled() {
  styles ??= new Promise((resolve) => {
    const href = new URL("diff.css", import.meta.url).href;
    document.head.append(el("link", { rel: "stylesheet", href, onload: resolve, onerror: resolve }));
  });
  return styles;
}

// diff: {text, files, truncated}. The view goes from one column to two, and back,
// by the switch and where there is room for it.
export class DiffView {
  constructor() {
    this.node = el("div", { class: "diffview" });
    this.two = browser.get("diff-two", true);
    this.toggle = el("button", { class: "quiet layout", type: "button", "aria-pressed": "false", title: "old and new beside each other, where there is room" }, "◫ side by side");
    this.toggle.addEventListener("click", () => {
      this.two = !this.two;
      browser.set("diff-two", this.two);
      this.#draw();
    });
    this.folded = new Map(); // by path, what the operator chose
    this.drawn = null;
    new ResizeObserver(() => this.#resized()).observe(this.node);
  }

  show(diff) {
    this.diff = diff;
    this.files = parsePatch(diff.text);
    this.#draw();
  }

  #wide() {
    return this.node.clientWidth >= WIDE;
  }

  #resized() {
    this.toggle.hidden = !this.#wide();
    if (this.diff && this.drawn !== (this.two && this.#wide())) this.#draw();
  }

  #draw() {
    const two = this.two && this.#wide();
    this.drawn = two;
    this.toggle.hidden = !this.#wide();
    this.toggle.setAttribute("aria-pressed", String(this.two));
    const { diff } = this;
    if (!diff.files.length) return this.node.replaceChildren(el("p", { class: "dim" }, "Nothing differs."));
    const counts = new Map(diff.files.map((file) => [file.path, file]));
    const shown = new Set(this.files.map(({ path }) => path));
    this.node.replaceChildren(
      summary(diff),
      ...this.files.map((file) => this.#file(file, counts.get(file.path), two)),
      ...diff.files.filter(({ path }) => !shown.has(path)).map((file) => el("p", { class: "dim" }, `${file.path} is not shown.`)),
      ...(diff.truncated ? [el("p", { class: "why" }, "It is longer than this page shows: look at it with git before you decide.")] : []),
    );
  }

  #file(file, counted, two) {
    const size = file.hunks.reduce((sum, { lines }) => sum + lines.length, 0);
    const open = !(this.folded.get(file.path) ?? size > LONG);
    const details = el("details", { class: "file", open, "data-path": file.path }, el("summary", {}, el("code", {}, file.path), ...counts(counted ?? {})));
    const fill = () => {
      if (!details.open || details.querySelector(".patch, .note")) return;
      for (const note of file.notes) details.append(el("p", { class: "note dim" }, note));
      if (file.hunks.length) details.append(two ? sideBySide(file) : unified(file));
    };
    details.addEventListener("toggle", () => {
      this.folded.set(file.path, !details.open);
      fill();
    });
    fill();
    return details;
  }
}

function summary(diff) {
  const added = diff.files.reduce((sum, file) => sum + (file.added ?? 0), 0);
  const deleted = diff.files.reduce((sum, file) => sum + (file.deleted ?? 0), 0);
  const list = diff.files.map((file) => {
    const row = el("li", {}, el("code", {}, file.path), ...counts(file));
    return row;
  });
  return el(
    "div",
    { class: "summary" },
    el("p", {}, `${diff.files.length} ${diff.files.length === 1 ? "file" : "files"} `, ...counts({ added, deleted })),
    diff.files.length > 1 ? el("ul", { class: "files" }, ...list) : null,
    diff.files.length === 1 ? el("ul", { class: "files unseen" }, ...list) : null,
  );
}

function counts({ binary, added, deleted }) {
  if (binary) return [el("span", { class: "dim" }, " binary")];
  return [el("span", { class: "plus" }, ` +${added ?? 0}`), el("span", { class: "minus" }, ` −${deleted ?? 0}`)];
}

const CLASSES = { "+": "line added", "-": "line deleted", " ": "line", "\\": "line meta" };

function unified(file) {
  const [old, now] = [highlighter(file.path), highlighter(file.path)];
  const rows = file.hunks.flatMap((hunk) => [
    head(hunk),
    ...hunk.lines.map((line) => {
      // What stays is read by both, so that texts over several lines end in both.
      const before = line.kind === "+" ? null : old(line.text);
      const after = line.kind === "-" ? null : now(line.text);
      return el("span", { class: CLASSES[line.kind] }, number(line.old), number(line.new), mark(line), el("span", { class: "code" }, ...coloured(after ?? before, line.changed), "\n"));
    }),
  ]);
  return el("pre", { class: "patch", tabindex: 0, "aria-label": `changes of ${file.path}` }, ...rows);
}

function sideBySide(file) {
  const [old, now] = [highlighter(file.path), highlighter(file.path)];
  const side = (line, cut, place) =>
    line
      ? el("span", { class: `${CLASSES[line.kind]} half` }, number(line[place]), mark(line), el("span", { class: "code" }, ...coloured(cut(line.text), line.changed), "\n"))
      : el("span", { class: "line half none" });
  const rows = file.hunks.flatMap((hunk) => [
    head(hunk),
    ...pairs(hunk.lines).map(([before, after]) => el("span", { class: "both" }, side(before, old, "old"), side(after, now, "new"))),
  ]);
  return el("pre", { class: "patch two", tabindex: 0, "aria-label": `changes of ${file.path}, old and new` }, ...rows);
}

const head = (hunk) => el("span", { class: "hunk" }, `@@ line ${hunk.new} @@ ${hunk.head}\n`);
const number = (value) => el("span", { class: "number", "data-number": value ?? "" });
// A plus or a minus is text: it can be read without colours, and is copied along.
const mark = ({ kind }) => el("span", { class: "sign" }, kind);

// Pieces of a line in their colours, with what has changed in it marked.
function coloured(parts, changed = []) {
  const nodes = [];
  let at = 0;
  for (const [kind, text] of parts) {
    for (let from = 0; from < text.length; ) {
      const place = at + from;
      const range = changed.find(([, to]) => to > place);
      const inside = range && range[0] <= place;
      const until = range ? (inside ? range[1] : range[0]) - at : text.length;
      const piece = text.slice(from, until);
      const classes = [kind && `tok-${kind}`, inside && "word"].filter(Boolean).join(" ");
      nodes.push(classes ? el("span", { class: classes }, piece) : piece);
      from += piece.length;
    }
    at += text.length;
  }
  return nodes;
}

// Show a view over the whole window; it goes back to its place after.
export function enlarge(view, title) {
  const place = document.createComment("diff");
  view.node.replaceWith(place);
  const close = el("button", { class: "quiet", type: "button" }, "✕ close");
  const dialog = el("dialog", { class: "large", "aria-label": title }, el("div", { class: "row" }, el("h2", {}, title), el("span", { class: "grow" }), view.toggle, close), view.node);
  close.addEventListener("click", () => dialog.close());
  dialog.addEventListener("close", () => {
    place.replaceWith(view.node);
    dialog.remove();
  });
  document.body.append(dialog);
  dialog.showModal();
  close.focus();
}
