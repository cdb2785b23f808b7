// What each agent's turns came to: a table that can be sorted, with a line of bars in each row.

import { amount, dollars, span } from "./axes.js";
import { byId, el, keyed, setAttribute, setText } from "./dom.js";
import { spark } from "./sparks.js";
import { hue, plural } from "./words.js";

const share = (part, whole) => (whole ? `${Number(((100 * part) / whole).toPrecision(2))} %` : "–");
const tokens = ({ tokens: { input, output, cache_write: written } }) => input + output + written;

// least: a column that a narrow window does without.
const COLUMNS = [
  { key: "name", label: "agent", value: ({ name }) => name, up: true },
  { key: "trend", label: "turns over time" },
  { key: "turns", label: "turns", value: ({ turns }) => turns, text: ({ turns }) => amount(turns) },
  { key: "errors", label: "errors", value: ({ errors }) => errors, text: ({ errors }) => amount(errors) },
  { key: "rate", label: "error rate", value: ({ errors, turns }) => errors / (turns || 1), text: ({ errors, turns }) => share(errors, turns), least: true },
  { key: "parks", label: "parked", value: ({ parks }) => parks, text: ({ parks }) => amount(parks), least: true },
  { key: "tokens", label: "tokens", title: "without what was read from the cache", value: tokens, text: (row) => amount(tokens(row)), least: true },
  { key: "cost", label: "cost", value: ({ cost_usd: cost }) => cost ?? -1, text: ({ cost_usd: cost }) => (cost == null ? "–" : dollars(cost)) },
  { key: "p50", label: "p50", title: "half of the turns took at most so long", value: ({ latency_ms: took }) => took?.p50 ?? -1, text: ({ latency_ms: took }) => (took ? span(took.p50) : "–") },
  { key: "p95", label: "p95", title: "19 of 20 turns took at most so long", value: ({ latency_ms: took }) => took?.p95 ?? -1, text: ({ latency_ms: took }) => (took ? span(took.p95) : "–"), least: true },
];

export class AgentTable {
  #rows = [];
  #sort = { key: "turns", up: false };

  // href(name): where its own charts are.
  constructor(href) {
    this.href = href;
    byId("columns").replaceChildren(...COLUMNS.map((column) => this.#head(column)));
  }

  take(report) {
    this.#rows = report.agents.filter(({ turns, gone }) => turns || !gone);
    this.chosen = report.agent;
    byId("by-agent").hidden = !this.#rows.length;
    this.#draw();
  }

  #head(column) {
    const cell = el("th", { scope: "col", class: `c-${column.key}`, "data-least": column.least });
    if (!column.value) cell.append(column.label);
    else cell.append(el("button", { class: "quiet", type: "button", title: column.title, onclick: () => this.#sortBy(column) }, column.label));
    column.cell = cell;
    return cell;
  }

  #sortBy({ key, up = false }) {
    this.#sort = { key, up: this.#sort.key === key ? !this.#sort.up : up };
    this.#draw();
  }

  #draw() {
    const { key, up } = this.#sort;
    for (const column of COLUMNS) setAttribute(column.cell, "aria-sort", column.key !== key ? null : up ? "ascending" : "descending");
    const { value } = COLUMNS.find((column) => column.key === key);
    const compared = (a, b) => (value(a) < value(b) ? -1 : value(a) > value(b) ? 1 : 0) * (up ? 1 : -1) || (a.name < b.name ? -1 : 1);
    keyed(byId("rows"), this.#rows.toSorted(compared), ({ name }) => name, (row) => this.#make(row), (node, row) => this.#update(node, row));
  }

  #make({ name }) {
    const link = el("a", { class: hue(name), "data-agent": name }, name);
    const cells = COLUMNS.slice(1).map((column) => el("td", { class: `c-${column.key}`, "data-least": column.least }));
    return el("tr", {}, el("th", { scope: "row", class: "c-name" }, link, el("span", { class: "gone chip" }, "gone")), ...cells);
  }

  #update(node, row) {
    const chosen = row.name === this.chosen;
    setAttribute(node, "data-gone", row.gone || null);
    setAttribute(node, "aria-current", chosen ? "true" : null);
    const link = node.querySelector("a");
    setAttribute(link, "href", this.href(chosen ? null : row.name));
    setAttribute(link, "title", chosen ? "show all agents again" : `show only ${row.name}'s turns`);
    node.querySelector(".gone").hidden = !row.gone;
    COLUMNS.slice(1).forEach((column, index) => {
      const cell = node.cells[index + 1];
      if (column.text) setText(cell, column.text(row));
      else if (cell.dataset.values !== String(row.turns_by_bucket)) {
        cell.dataset.values = row.turns_by_bucket;
        cell.replaceChildren(spark(row.turns_by_bucket, `${plural(row.turns, "turn")}, at most ${Math.max(...row.turns_by_bucket)} at a time`));
      }
    });
    setAttribute(node.querySelector(".c-errors"), "data-some", row.errors > 0 || null);
  }
}
