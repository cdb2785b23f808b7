// The charts of the page: what each draws, in which words, and the cursor that they share.

import { amount, countTicks, dollars, dollarTick, moneyTicks, span, spanTicks } from "./axes.js";
import { Chart } from "./charts.js";
import { areas, bars, lines } from "./shapes.js";
import { plural } from "./words.js";

// Outcomes as families: four can be told apart, ten can't. The tip names each.
const FAMILIES = {
  ok: ["ok"],
  cut: ["cancelled", "drained", "prompt_too_long"],
  parked: ["rate_limited", "overloaded"],
  failed: ["failed", "killed", "vanished", "auth_failed"],
};
const family = (key) => ({ outcomes }) => FAMILIES[key].reduce((sum, one) => sum + (outcomes[one] ?? 0), 0);
const spread = (member, rank) => (bucket) => bucket[member]?.[rank] ?? null;
const spreadWords = (spread) => (spread ? `p50 ${span(spread.p50)}, p95 ${span(spread.p95)}` : "nothing measured");

const percentiles = (member) => [
  { key: "p50", label: "p50", value: spread(member, "p50"), line: true },
  { key: "p95", label: "p95", value: spread(member, "p95"), line: true, dash: "5 3" },
];

const CHARTS = [
  {
    id: "turns",
    title: "TURNS",
    words: "Turns by outcome",
    series: [
      { key: "ok", label: "ok", value: family("ok") },
      { key: "cut", label: "cut short", value: family("cut"), hatch: "dots" },
      { key: "parked", label: "parked by a limit", value: family("parked"), hatch: "slash" },
      { key: "failed", label: "errors", value: family("failed"), hatch: "cross" },
    ],
    extra: ({ outcomes }) =>
      Object.entries(outcomes)
        .filter(([outcome]) => outcome !== "ok")
        .map(([outcome, number]) => [outcome.replaceAll("_", " "), amount(number)]),
    shape: bars,
    stacked: true,
    ticks: countTicks,
    least: 4,
    text: amount,
    sum: ({ total }) => plural(total.turns, "turn"),
    height: 220,
  },
  {
    id: "cost",
    title: "C0ST",
    words: "Cost in US dollars",
    series: [{ key: "cost", label: "cost", value: ({ turns, cost_usd: cost }) => cost ?? (turns ? null : 0), line: true, filled: true }],
    shape: lines,
    ticks: moneyTicks,
    least: 0.01,
    text: dollars,
    tick: dollarTick,
    sum: ({ total: { cost_usd: cost } }) => (cost == null ? "unknown" : dollars(cost)),
  },
  {
    id: "tokens",
    title: "T0K3NS",
    words: "Tokens",
    series: [
      { key: "output", label: "output", value: ({ tokens }) => tokens.output },
      { key: "input", label: "input", value: ({ tokens }) => tokens.input, hatch: "slash" },
      { key: "written", label: "cache write", value: ({ tokens }) => tokens.cache_write, hatch: "dots" },
      { key: "read", label: "cache read", value: ({ tokens }) => tokens.cache_read, hatch: "rows", off: true },
    ],
    shape: areas,
    stacked: true,
    ticks: countTicks,
    least: 1000,
    text: amount,
    sum: ({ total: { tokens } }) => `${amount(tokens.output)} written, ${amount(tokens.input + tokens.cache_write)} read, ${amount(tokens.cache_read)} from the cache`,
  },
  {
    id: "latency",
    title: "L4T3NCY",
    words: "How long turns took",
    series: percentiles("latency_ms"),
    shape: lines,
    spans: spanTicks,
    least: 1000,
    text: span,
    sum: ({ total }) => spreadWords(total.latency_ms),
  },
  {
    id: "queue",
    title: "QU3U3",
    words: "How long messages waited for a turn",
    series: percentiles("queue_ms"),
    shape: lines,
    spans: spanTicks,
    least: 1000,
    text: span,
    sum: ({ total }) => spreadWords(total.queue_ms),
  },
];

export function makeCharts(place) {
  const pointed = (index, by) => {
    for (const chart of charts) chart.point(index, chart === by);
  };
  const charts = CHARTS.map((options) => new Chart(options, pointed));
  place.replaceChildren(...charts.map(({ node }) => node));
  return charts;
}
