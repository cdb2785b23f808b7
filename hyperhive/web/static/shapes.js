// The marks of charts: stacked bars, stacked areas, lines. Each answers SVG nodes.

import { svg } from "./dom.js";

const GAP = 0.22; // of a bucket's width, between bars
const path = (points) => points.map(([x, y], index) => `${index ? "L" : "M"}${x.toFixed(1)} ${y.toFixed(1)}`).join("");

// How each series looks where colours can't be told apart: what fills it, over its tint.
const HATCHES = {
  slash: "M-1 1 1-1M0 6 6 0M5 7 7 5",
  back: "M-1 5 1 7M0 0 6 6M5-1 7 1",
  cross: "M-1 1 1-1M0 6 6 0M5 7 7 5M-1 5 1 7M0 0 6 6M5-1 7 1",
  dots: "M1.5 1.5h1.2M4.5 4.5h1.2",
  rows: "M0 1.5h6M0 4.5h6",
};

export const hatches = (chart, series) =>
  svg(
    "defs",
    {},
    ...series
      .filter(({ hatch }) => hatch)
      .map(({ key, hatch }) =>
        svg(
          "pattern",
          { id: `${chart}-${key}`, class: `ink-${key}`, width: 6, height: 6, patternUnits: "userSpaceOnUse" },
          svg("rect", { width: 6, height: 6, class: "tint" }),
          svg("path", { d: HATCHES[hatch], class: "hatch" }),
        ),
      ),
  );

const fillOf = (chart, { key, hatch }) => (hatch ? `url(#${chart}-${key})` : null);

// rows: for each bucket the values of `series`, from below; x, y: scales.
export function bars(chart, series, rows, edges, x, y) {
  return rows.map((values, index) => {
    const [from, to] = [x(edges[index]), x(edges[index + 1])];
    const gap = Math.min(6, (to - from) * GAP);
    const group = svg("g", { class: "bar" });
    let below = 0;
    series.forEach((one, number) => {
      const value = values[number] ?? 0;
      if (!value) return;
      const [low, high] = [y(below), y(below + value)];
      below += value;
      const box = { x: (from + gap / 2).toFixed(1), y: high.toFixed(1), width: Math.max(1, to - from - gap).toFixed(1), height: Math.max(1, low - high).toFixed(1) };
      group.append(svg("rect", { ...box, class: `mark ink-${one.key}`, fill: fillOf(chart, one) }));
    });
    return group;
  });
}

export function areas(chart, series, rows, edges, x, y) {
  const middle = (index) => x((edges[index] + edges[index + 1]) / 2);
  const below = rows.map(() => 0);
  return series.flatMap((one, number) => {
    const low = rows.map((_, index) => [middle(index), y(below[index])]);
    rows.forEach((values, index) => (below[index] += values[number] ?? 0));
    const high = rows.map((_, index) => [middle(index), y(below[index])]);
    const outline = `${path(high)}${path(low.reverse()).replace("M", "L")}Z`;
    return [
      svg("path", { d: outline, class: `mark area ink-${one.key}`, fill: fillOf(chart, one) }),
      svg("path", { d: path(high), class: `edge ink-${one.key}` }),
    ];
  });
}

// A value of null is a gap; one alone between gaps is a dot.
export function lines(chart, series, rows, edges, x, y) {
  const middle = (index) => x((edges[index] + edges[index + 1]) / 2);
  return series.flatMap((one, number) => {
    const runs = [[]];
    rows.forEach((values, index) => {
      if (values[number] == null) runs.push([]);
      else runs.at(-1).push([middle(index), y(values[number])]);
    });
    const drawn = runs.filter((run) => run.length);
    return [
      ...(one.filled ? drawn.map((run) => svg("path", { d: `${path(run)}L${run.at(-1)[0]} ${y(0)}L${run[0][0]} ${y(0)}Z`, class: `wash ink-${one.key}` })) : []),
      ...drawn.map((run) => svg("path", { d: path(run), class: `line ink-${one.key}`, "stroke-dasharray": one.dash ?? null })),
      ...drawn.flatMap((run) => (run.length < 2 || rows.length <= 12 ? run : []).map(([cx, cy]) => svg("circle", { cx, cy, r: 2.5, class: `dot ink-${one.key}` }))),
    ];
  });
}

// A key for the legend: as the series is drawn.
export const sample = (chart, one) =>
  svg(
    "svg",
    { class: "sample", viewBox: "0 0 18 12", "aria-hidden": "true" },
    one.line
      ? svg("path", { d: "M0 6H18", class: `line ink-${one.key}`, "stroke-dasharray": one.dash ?? null })
      : svg("rect", { x: 0.5, y: 0.5, width: 17, height: 11, rx: 2, class: `mark ink-${one.key}`, fill: fillOf(chart, one) }),
  );
