// Colours for what an agent's repo holds: TOML, Nix, Markdown, JSON, shell, Python.
//
// A line is cut into [kind, text] pairs. A text over several lines is known by a
// state that goes from one line to the next.

const rule = (kind, source, until) => ({ kind, source, until });
const STRING = rule("string", String.raw`"(?:[^"\\]|\\.)*"?`);
const NUMBER = rule("number", String.raw`\b\d[\d_]*(?:\.\d+)?\b`);
const HASH = rule("comment", String.raw`#.*$`);
const words = (...all) => rule("keyword", String.raw`\b(?:${all.join("|")})\b`);

const LANGUAGES = {
  toml: [
    rule("string", '"""', '"""'),
    rule("string", "'''", "'''"),
    HASH,
    rule("heading", String.raw`^\s*\[\[?[^\]]*\]\]?`),
    rule("name", String.raw`^\s*[\w."'-]+(?=\s*=)`),
    STRING,
    rule("string", "'[^']*'?"),
    words("true", "false"),
    NUMBER,
  ],
  nix: [
    rule("comment", String.raw`/\*`, String.raw`\*/`),
    HASH,
    rule("string", "''", "''(?!['$\\\\])"),
    STRING,
    rule("string", String.raw`(?:\.{0,2}/[\w.+-]+)+|<[\w./+-]+>`),
    words("let", "in", "with", "rec", "inherit", "if", "then", "else", "import", "assert", "true", "false", "null"),
    rule("name", String.raw`[\w.'-]+(?=\s*=[^=])`),
    NUMBER,
  ],
  markdown: [
    rule("string", "^\\s*```.*$", "^\\s*```"),
    rule("heading", String.raw`^#{1,6}\s.*$`),
    rule("string", "`[^`]+`"),
    rule("keyword", String.raw`\*\*[^*]+\*\*|__[^_]+__`),
    rule("name", String.raw`\[[^\]]*\]\([^)]*\)|https?://\S+`),
    rule("comment", String.raw`^\s*(?:[-*+]|\d+\.)(?=\s)|^\s*>.*$`),
  ],
  json: [rule("name", String.raw`"(?:[^"\\]|\\.)*"(?=\s*:)`), STRING, words("true", "false", "null"), NUMBER],
  python: [
    rule("string", '"""', '"""'),
    HASH,
    STRING,
    rule("string", String.raw`'(?:[^'\\]|\\.)*'?`),
    words("def", "class", "return", "if", "elif", "else", "for", "while", "in", "import", "from", "as", "with", "try", "except", "raise", "not", "and", "or", "is", "None", "True", "False", "async", "await", "yield", "lambda", "pass"),
    NUMBER,
  ],
  shell: [HASH, STRING, rule("string", "'[^']*'?"), rule("name", String.raw`\$\{?\w+\}?`), words("if", "then", "else", "fi", "for", "do", "done", "case", "esac", "while", "in", "exec", "export", "set")],
};

const ENDINGS = { toml: "toml", lock: "json", nix: "nix", md: "markdown", json: "json", py: "python", sh: "shell" };

const compiled = new Map();

function grammar(path) {
  const name = ENDINGS[path.slice(path.lastIndexOf(".") + 1)];
  if (!name) return null;
  if (!compiled.has(name)) {
    const rules = LANGUAGES[name];
    compiled.set(name, { rules, any: new RegExp(rules.map(({ source }) => `(${source})`).join("|"), "g") });
  }
  return compiled.get(name);
}

// A function that cuts the lines of one file, one after the other.
export function highlighter(path) {
  const known = grammar(path);
  if (!known) return (line) => [["", line]];
  let open = null; // the rule of the text that goes on from the line before
  return (line) => {
    const parts = [];
    let at = 0;
    while (at < line.length) {
      if (open) {
        const end = new RegExp(open.until, "g");
        end.lastIndex = at;
        const found = end.exec(line);
        const stop = found ? found.index + found[0].length : line.length;
        parts.push([open.kind, line.slice(at, stop)]);
        if (found) open = null;
        at = stop;
        continue;
      }
      known.any.lastIndex = at;
      const found = known.any.exec(line);
      if (!found || !found[0]) {
        parts.push(["", line.slice(at)]);
        break;
      }
      if (found.index > at) parts.push(["", line.slice(at, found.index)]);
      const hit = known.rules[found.slice(1).findIndex((group) => group !== undefined)];
      parts.push([hit.kind, found[0]]);
      at = found.index + found[0].length;
      if (hit.until) open = hit;
    }
    return parts;
  };
}
