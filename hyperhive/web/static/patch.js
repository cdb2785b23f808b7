// A unified diff as values: files, their hunks, their lines, and which words differ.

const HUNK = /^@@ -(\d+)(?:,\d+)? \+(\d+)(?:,\d+)? @@ ?(.*)$/;
const MANY = 400; // words of a line beyond which it is not compared word by word

// [{path, notes: [text], hunks: [{head, lines: [{kind, text, old, new, changed}]}]}]
// kind: " ", "-" or "+". changed: ranges [from, to) of what differs within the line.
export function parsePatch(text) {
  const files = [];
  let file = null;
  let hunk = null;
  let old = 0;
  let now = 0;
  const lines = text.split("\n");
  if (lines.at(-1) === "") lines.pop();
  for (const line of lines) {
    if (line.startsWith("diff --git ")) {
      file = { path: pathOf(line), notes: [], hunks: [] };
      hunk = null;
      files.push(file);
      continue;
    }
    if (!file) continue;
    const head = HUNK.exec(line);
    if (head) {
      [old, now] = [Number(head[1]), Number(head[2])];
      hunk = { head: head[3], lines: [], old, new: now };
      file.hunks.push(hunk);
    } else if (!hunk) {
      if (/^(new|deleted|old) (file )?mode|^Binary files/.test(line)) file.notes.push(line);
    } else if (line.startsWith("\\")) {
      hunk.lines.push({ kind: "\\", text: line.slice(2) });
    } else {
      const kind = line[0] ?? " ";
      hunk.lines.push({ kind, text: line.slice(1), old: kind === "+" ? null : old++, new: kind === "-" ? null : now++ });
    }
  }
  for (const { hunks } of files) for (const { lines } of hunks) compare(lines);
  return files;
}

function pathOf(line) {
  const half = line.slice("diff --git ".length);
  // Both halves name the same file: renames are not looked for.
  const name = half.slice(0, (half.length - 1) / 2);
  return name.replace(/^"?a\//, "").replace(/"$/, "");
}

// Lines that were removed and those that came in their place, in pairs.
export function pairs(lines) {
  const rows = [];
  for (let at = 0; at < lines.length; ) {
    if (lines[at].kind !== "-" && lines[at].kind !== "+") {
      rows.push([lines[at], lines[at++]]);
      continue;
    }
    const removed = [];
    const added = [];
    while (lines[at]?.kind === "-") removed.push(lines[at++]);
    while (lines[at]?.kind === "+") added.push(lines[at++]);
    for (let row = 0; row < Math.max(removed.length, added.length); row += 1) rows.push([removed[row] ?? null, added[row] ?? null]);
  }
  return rows;
}

function compare(lines) {
  for (const [old, now] of pairs(lines)) {
    if (!old || !now || old === now) continue;
    const [before, after] = [old.text, now.text].map((text) => text.match(/\w+|\s+|[^\w\s]/g) ?? []);
    if (before.length * after.length > MANY * MANY) continue;
    const same = common(before, after);
    // Lines that share next to nothing are other lines, not changed ones.
    const shared = same.reduce((sum, [place]) => sum + before[place].trim().length, 0);
    if (shared * 3 < Math.min(old.text.trim().length, now.text.trim().length)) continue;
    old.changed = ranges(before, new Set(same.map(([place]) => place)));
    now.changed = ranges(after, new Set(same.map(([, place]) => place)));
  }
}

// The longest common subsequence, as pairs of places.
function common(before, after) {
  const width = after.length + 1;
  const best = new Uint16Array((before.length + 1) * width);
  for (let i = before.length - 1; i >= 0; i -= 1) {
    for (let j = after.length - 1; j >= 0; j -= 1) {
      best[i * width + j] = before[i] === after[j] ? best[(i + 1) * width + j + 1] + 1 : Math.max(best[(i + 1) * width + j], best[i * width + j + 1]);
    }
  }
  const found = [];
  for (let i = 0, j = 0; i < before.length && j < after.length; ) {
    if (before[i] === after[j]) found.push([i++, j++]);
    else if (best[(i + 1) * width + j] >= best[i * width + j + 1]) i += 1;
    else j += 1;
  }
  return found;
}

function ranges(words, same) {
  const found = [];
  let at = 0;
  words.forEach((word, place) => {
    if (!same.has(place)) {
      if (found.at(-1)?.[1] === at) found.at(-1)[1] += word.length;
      else found.push([at, at + word.length]);
    }
    at += word.length;
  });
  return found;
}
