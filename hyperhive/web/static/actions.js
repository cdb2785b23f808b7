// What the operator can do on this page, for the palette to find: pages register sources.
//
// An action is {id, group, title, run} and may have: hint, beside its title; words, by which
// it is also found; asks: {label, choices, optional}, a text that run(text) needs; confirm,
// a question for confirmed() whose answer goes to run(text, ticked). run may answer, or
// promise, a sentence to show.

const sources = [];

// source(): this page's actions, as they are now.
export function register(source) {
  sources.push(source);
}

export const actions = () => sources.flatMap((source) => source());
