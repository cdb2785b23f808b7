// A line of figures as small as a word, for rows of a table.

import { svg } from "./dom.js";

const WIDTH = 96;
const HEIGHT = 22;

// values: numbers, or null for what is not known. words: what it shows.
export function spark(values, words) {
  const most = Math.max(...values.map((value) => value ?? 0), 0);
  const step = WIDTH / values.length;
  const high = (value) => (value ? Math.max(1.5, ((HEIGHT - 2) * value) / most) : 0.75);
  const bars = values.map((value, index) =>
    svg("rect", {
      x: (index * step).toFixed(2),
      y: (HEIGHT - high(value)).toFixed(2),
      width: Math.max(1, step - 1).toFixed(2),
      height: high(value).toFixed(2),
      class: value ? "some" : "none",
    }),
  );
  return svg("svg", { class: "spark", viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": words }, ...bars);
}
