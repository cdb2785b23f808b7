// One chart: axes, marks, a legend that hides series, a cursor for mouse, touch and keys,
// and the same figures as a table.

import { stretch, timeTicks } from "./axes.js";
import { el, setAttribute, setText, svg } from "./dom.js";
import { hatches, sample } from "./shapes.js";

const TOP = 10;
const BOTTOM = 24;
const RIGHT = 10;
const LETTER = 7.3; // how wide a letter of a label is
const LINES = 4; // across the chart, at most so many and one

// id, title. series: [{key, label, value(bucket), hatch?, line?, dash?, filled?, off?}]; what is
// `off` is hidden until its legend is clicked. shape: bars, areas or lines of shapes.js.
// stacked: whether values stand on one another. ticks(most, lines), text(value), tick(value): of
// the values; spans(least, most) instead of ticks makes the axis logarithmic.
// sum(report): what stands beside the title. extra(bucket): more lines, [label, text].
export class Chart {
  #hidden = new Set();
  #buckets = [];
  #at = null; // the bucket under the cursor

  // pointed(index): the cursor is at a bucket, or nowhere: null.
  constructor(options, pointed) {
    Object.assign(this, { extra: () => [], height: 190, tick: options.text, ...options });
    this.pointed = pointed;
    for (const { key, off } of this.series) if (off) this.#hidden.add(key);
    this.node = this.#make();
    this.#listen();
    new ResizeObserver(() => this.#draw()).observe(this.plot);
  }

  take(report) {
    this.#buckets = report.buckets.map((bucket) => ({ ...bucket, from: Date.parse(bucket.start), to: Date.parse(bucket.end) }));
    if (this.#at >= this.#buckets.length) this.point(null);
    setText(this.summary, this.sum(report));
    setAttribute(this.plot, "aria-label", `${this.words}: ${this.sum(report)}. Arrow keys read the values.`);
    this.#draw();
    this.#tabulate();
    if (this.#at !== null) this.#tell();
  }

  // Put the cursor at a bucket; another chart of the page may have.
  point(index, own = false) {
    this.#at = index;
    this.tip.hidden = index === null || !own;
    this.#drawCursor();
    if (index !== null && own) this.#tell();
  }

  get #shown() {
    return this.series.filter(({ key }) => !this.#hidden.has(key));
  }

  #make() {
    this.summary = el("span", { class: "sum" });
    this.legend = el("ul", { class: "legend", "aria-label": `${this.words}: what is shown` }, ...this.series.map((one) => el("li", {}, this.#key(one))));
    this.canvas = svg("svg", { "aria-hidden": "true" });
    this.tip = el("div", { class: "tip", hidden: true });
    this.plot = el("div", { class: "plot", tabindex: 0, role: "group", "aria-roledescription": "chart" }, this.canvas, this.tip);
    this.said = el("p", { class: "unseen", role: "status", "aria-live": "polite" });
    this.table = el("table");
    const details = el("details", { class: "figures" }, el("summary", {}, "as a table"), el("div", { class: "scrolled", tabindex: 0, role: "region", "aria-label": `${this.words} as a table` }, this.table));
    details.addEventListener("toggle", () => this.#tabulate());
    this.details = details;
    const head = el("figcaption", {}, el("h3", {}, this.title), this.summary);
    return el("figure", { class: `chart panel ${this.id}` }, head, this.series.length > 1 ? this.legend : null, this.plot, this.said, details);
  }

  #key(one) {
    const button = el("button", { class: "quiet", type: "button", "aria-pressed": String(!one.off) }, sample(this.id, one), one.label);
    button.addEventListener("click", () => {
      const shows = this.#hidden.delete(one.key);
      if (!shows) this.#hidden.add(one.key);
      setAttribute(button, "aria-pressed", String(shows));
      this.#draw();
    });
    return button;
  }

  #draw() {
    const width = this.plot.clientWidth;
    if (!width || !this.#buckets.length) return;
    const shown = this.#shown;
    const rows = this.#buckets.map((bucket) => shown.map((one) => one.value(bucket)));
    const ticks = this.#valueTicks(rows);
    const left = 12 + LETTER * Math.max(...ticks.map((tick) => this.tick(tick).length));
    const edges = [...this.#buckets.map(({ from }) => from), this.#buckets.at(-1).to];
    const x = (at) => left + ((at - edges[0]) / (edges.at(-1) - edges[0])) * (width - left - RIGHT);
    const high = this.spans ? logarithmic(ticks) : (value) => value / ticks.at(-1);
    const y = (value) => this.height - BOTTOM - high(value) * (this.height - TOP - BOTTOM);
    setAttribute(this.canvas, "viewBox", `0 0 ${width} ${this.height}`);
    setAttribute(this.canvas, "height", this.height);
    this.scale = { left, width, edges, x, y };
    this.cursor = svg("rect", { class: "cursor", y: TOP, height: this.height - TOP - BOTTOM, visibility: "hidden" });
    this.canvas.replaceChildren(
      hatches(this.id, this.series),
      ...ticks.flatMap((tick, index) => this.#valueTick(tick, index)),
      ...timeTicks(edges[0], edges.at(-1), (width - left) / 62).flatMap((tick) => this.#timeTick(tick)),
      this.cursor,
      ...this.shape(this.id, shown, rows, edges, x, y),
    );
    this.#drawCursor();
  }

  #valueTicks(rows) {
    const known = rows.flat().filter((value) => value);
    if (this.spans) return this.spans(Math.min(...known, this.least), Math.max(...known, this.least));
    const tops = this.stacked ? rows.map((values) => values.reduce((sum, value) => sum + (value ?? 0), 0)) : known;
    return this.ticks(Math.max(...tops, 0) || this.least, LINES);
  }

  #valueTick(tick, index) {
    const { left, width, y } = this.scale;
    const place = Number(y(tick).toFixed(1));
    return [
      svg("line", { class: index ? "grid" : "axis", x1: left, x2: width - RIGHT, y1: place, y2: place }),
      svg("text", { x: left - 8, y: place + 4, "text-anchor": "end" }, this.tick(tick)),
    ];
  }

  #timeTick({ at, text, day }) {
    const { x, width } = this.scale;
    const place = x(at);
    const half = (text.length * LETTER) / 2;
    const mark = svg("line", { class: day ? "day" : "grid", x1: place, x2: place, y1: day ? TOP : this.height - BOTTOM, y2: this.height - BOTTOM + 4 });
    if (place + half > width + 2 || place - half < 0) return [mark];
    return [mark, svg("text", { x: place, y: this.height - 6, "text-anchor": "middle", class: day ? "strong" : null }, text)];
  }

  #drawCursor() {
    if (!this.cursor) return;
    const at = this.#at;
    setAttribute(this.cursor, "visibility", at === null ? "hidden" : "visible");
    if (at === null) return;
    const { x, edges, width } = this.scale;
    setAttribute(this.cursor, "x", x(edges[at]));
    setAttribute(this.cursor, "width", x(edges[at + 1]) - x(edges[at]));
    const middle = (x(edges[at]) + x(edges[at + 1])) / 2;
    this.tip.style.left = `${middle}px`;
    this.tip.dataset.side = middle > width / 2 ? "left" : "right";
  }

  // What the cursor is at, in the tip and to who can't see it.
  #tell() {
    const bucket = this.#buckets[this.#at];
    const when = `${stretch(bucket.from, bucket.to)}${this.#at === this.#buckets.length - 1 ? " (so far)" : ""}`;
    const known = this.series.map((one) => [one, this.#words(one, bucket)]);
    const extra = this.extra(bucket);
    this.tip.replaceChildren(
      el("p", { class: "when" }, when),
      ...known.toReversed().map(([one, text]) => el("p", {}, sample(this.id, one), el("span", {}, one.label), el("b", {}, text))),
      ...extra.map(([label, text]) => el("p", { class: "extra" }, el("span", {}, label), el("b", {}, text))),
    );
    setText(this.said, [when, ...known.map(([{ label }, text]) => `${label} ${text}`), ...extra.map((pair) => pair.join(" "))].join(", "));
  }

  #words(one, bucket) {
    const value = one.value(bucket);
    return value == null ? "unknown" : this.text(value);
  }

  #tabulate() {
    if (!this.details.open) return;
    const head = el("tr", {}, el("th", { scope: "col" }, "from – to"), ...this.series.map(({ label }) => el("th", { scope: "col" }, label)));
    const rows = this.#buckets.map((bucket) =>
      el("tr", {}, el("th", { scope: "row" }, stretch(bucket.from, bucket.to)), ...this.series.map((one) => el("td", {}, this.#words(one, bucket)))),
    );
    this.table.replaceChildren(el("caption", { class: "unseen" }, this.words), el("thead", {}, head), el("tbody", {}, ...rows.toReversed()));
  }

  #listen() {
    const { plot } = this;
    const near = ({ clientX }) => {
      const { edges, x } = this.scale;
      const place = clientX - plot.getBoundingClientRect().left;
      const found = edges.findLastIndex((edge) => x(edge) <= place);
      this.pointed(Math.min(Math.max(found, 0), this.#buckets.length - 1), this);
    };
    plot.addEventListener("pointermove", near);
    plot.addEventListener("pointerdown", near);
    plot.addEventListener("pointerleave", (event) => event.pointerType === "mouse" && !plot.matches(":focus-visible") && this.pointed(null, this));
    plot.addEventListener("blur", () => this.pointed(null, this));
    plot.addEventListener("keydown", (event) => this.#walk(event));
  }

  #walk(event) {
    const last = this.#buckets.length - 1;
    const at = this.#at ?? last + 1;
    const to = { ArrowLeft: at - 1, ArrowRight: this.#at === null ? 0 : at + 1, Home: 0, End: last, PageUp: at - 6, PageDown: at + 6 }[event.key];
    if (event.key === "Escape") this.pointed(null, this);
    if (to === undefined || last < 0) return;
    event.preventDefault();
    this.pointed(Math.min(Math.max(to, 0), last), this);
  }
}

// From nothing at the first tick to 1 at the last; what is less than the first stands on it.
function logarithmic(ticks) {
  const [low, high] = [Math.log(ticks[0]), Math.log(ticks.at(-1))];
  return (value) => (Math.log(Math.max(value, ticks[0])) - low) / (high - low);
}
