"""Find the line on which a key of a TOML file is set, to name it in an error."""

import re

_HEADER = re.compile(r"\s*\[\[?\s*([^\]#]*?)\s*\]\]?\s*(?:#.*)?")
_KEY = re.compile(
    r"""\s*((?:[\w-]+|"[^"]*"|'[^']*')(?:\s*\.\s*(?:[\w-]+|"[^"]*"|'[^']*'))*)\s*="""
)
_PART = re.compile(r"""[\w-]+|"[^"]*"|'[^']*'""")


def line_of(text: str, path: tuple[str, ...]) -> int | None:
    """Where a key is set, or the table that it is in; ``None`` if not even that is found.

    ``tomllib`` does not tell. This reads no TOML: it finds headers and keys at the
    beginning of lines, which is where people write them.

    :param path: the key, with the tables that it is in.
    """
    best: tuple[int, int] | None = None
    table: tuple[str, ...] = ()
    for number, line in enumerate(text.splitlines(), 1):
        if header := _HEADER.fullmatch(line):
            table = _parts(header[1])
            found = table
        elif key := _KEY.match(line):
            found = (*table, *_parts(key[1]))
        else:
            continue
        if found == path[: len(found)] and (best is None or len(found) > best[0]):
            best = len(found), number
    return None if best is None else best[1]


def _parts(dotted: str) -> tuple[str, ...]:
    return tuple(part.strip("\"'") for part in _PART.findall(dotted))
