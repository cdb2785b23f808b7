"""Write texts as Nix expressions, so that no text can become anything but itself. Pure.

The lexical rules: https://nix.dev/manual/nix/latest/language/string-literals
"""

import re

#: Words of the language, which name no attribute without quotes.
_KEYWORDS = frozenset(
    ("assert", "else", "if", "in", "inherit", "let", "or", "rec", "then", "with")
)
_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_'-]*")
# Every dollar, so that no text has to be searched for what two of them mean. A CR,
# because Nix reads one in a file as a newline.
_ESCAPES = str.maketrans(
    {
        "\\": r"\\",
        '"': r"\"",
        "$": r"\$",
        "\n": r"\n",
        "\r": r"\r",
        "\t": r"\t",
    }
)


class NotNix(ValueError):
    """A text that Nix has no way to write, and why."""


class NixExpression(str):
    """Text that is Nix already and is not to be escaped again."""

    __slots__ = ()


def nix_string(text: str) -> NixExpression:
    """Write a string literal whose value is ``text``.

    :raises NotNix: if there is a NUL in it, or half of a surrogate pair: Nix can't
        hold the one, nor UTF-8 the other.
    """
    if "\0" in text:
        raise NotNix(f"There is a NUL in {text[:40]!r}, which Nix can't hold.")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise NotNix(f"{text[:40]!r} is not text: it can't be UTF-8.") from None
    return NixExpression(f'"{text.translate(_ESCAPES)}"')


def nix_attribute(name: str) -> NixExpression:
    """Write an attribute's name, in quotes if it needs them.

    :raises NotNix: as :func:`nix_string`.
    """
    if _IDENTIFIER.fullmatch(name) and name not in _KEYWORDS:
        return NixExpression(name)
    return nix_string(name)


def nix_path(path: str) -> NixExpression:
    """Write the path of a file beside or below the file that this is written into.

    A path literal takes few characters; a string added to one takes all.

    :param path: relative, its parts separated by ``/``.
    :raises NotNix: as :func:`nix_string`, or if it is not such a path.
    """
    if any(part in ("", ".", "..") for part in path.split("/")):
        raise NotNix(f"{path[:80]!r} is not a path below the flake's folder.")
    return NixExpression(f"(./. + {nix_string('/' + path)})")
