"""Consoles that tests make and read."""

from collections.abc import Mapping
from io import StringIO

from hyperhive.admin.console import Console


class Terminal(StringIO):
    """A stream that a person sits at."""

    def isatty(self) -> bool:
        """It is."""
        return True


def console(
    stdin: str = "",
    terminal: bool = False,
    environ: Mapping[str, str] | None = None,
) -> Console:
    """A console that keeps what is printed.

    :param terminal: whether a person sits at it.
    """
    stream = Terminal if terminal else StringIO
    return Console(stream(stdin), stream(), stream(), environ or {})


def printed(one: Console) -> str:
    """What was printed of what was asked for."""
    assert isinstance(one.stdout, StringIO)
    return one.stdout.getvalue()


def said(one: Console) -> str:
    """What was printed beside it."""
    assert isinstance(one.stderr, StringIO)
    return one.stderr.getvalue()
