// Find texts by a few of their letters; 1337 spelling and case make no difference.

const WIDEST = 24; // letters between those of a scattered word
const LEET = { 0: "o", 1: "i", 3: "e", 4: "a", 5: "s", 7: "t" };

export const plain = (text) => text.toLowerCase().replace(/[013457]/g, (digit) => LEET[digit]);

// How well all words of a query are in a text, and where; null if one is not.
// At the start of a word is better than within one, together better than apart.
export function match(query, text) {
  const target = plain(text);
  const marks = new Set();
  let score = 0;
  for (const word of plain(query).split(/\s+/).filter(Boolean)) {
    const found = whole(word, target) ?? scattered(word, target);
    if (!found) return null;
    score += found.score;
    for (const place of found.places) marks.add(place);
  }
  return { score: score - target.length / 1000, marks };
}

const starts = (text, place) => place === 0 || !/[\p{L}\p{N}]/u.test(text[place - 1]);

function whole(word, text) {
  let best = null;
  for (let at = text.indexOf(word); at >= 0; at = text.indexOf(word, at + 1)) {
    const ends = starts(text, at + word.length);
    const score = starts(text, at) ? (ends ? 6 : 5) + (at === 0 ? 1 : 0) : 2;
    if (!best || score > best.score) best = { score, places: Array.from(word, (_, offset) => at + offset) };
  }
  return best;
}

// Letters in order: the first begins a word; the others, too, where they can.
function scattered(word, text) {
  const places = [];
  for (const letter of word) {
    const from = (places.at(-1) ?? -1) + 1;
    let at = text.indexOf(letter, from);
    if (text[from] !== letter || !places.length) {
      const begins = beginning(text, letter, from);
      if (begins >= 0 || !places.length) at = begins;
    }
    if (at < 0) return null;
    places.push(at);
  }
  const spread = places.at(-1) - places[0] + 1 - word.length;
  if (spread > WIDEST) return null;
  return { score: Math.max(0.1, 1.5 - spread / 20), places };
}

function beginning(text, letter, from) {
  let at = text.indexOf(letter, from);
  while (at >= 0 && !starts(text, at)) at = text.indexOf(letter, at + 1);
  return at;
}
