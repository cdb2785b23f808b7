"""The terminal that a command talks to: its streams, colours, and what may be printed."""

import re
import sys
import time
from collections.abc import Mapping
from getpass import getpass
from types import TracebackType
from typing import Self, TextIO

from attrs import frozen

_STYLES = {
    "bold": "1",
    "dim": "2",
    "red": "31",
    "green": "32",
    "yellow": "33",
    "blue": "34",
    "magenta": "35",
    "cyan": "36",
}
# Everything that can move a cursor, set a title or type for the reader; tabs and
# line ends stay.
_CONTROL = re.compile(
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]"
)

#: How long something takes before progress is shown (seconds).
PATIENCE = 0.5
_FRAMES = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"


def clean(text: object) -> str:
    """Text of an agent's, with what a terminal would obey spelled out: ``\\x1b``."""
    return _CONTROL.sub(_spelled_out, str(text).replace("\r\n", "\n"))


def _spelled_out(match: re.Match[str]) -> str:
    code = ord(match[0])
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"


def one_line(text: object, longest: int = 160) -> str:
    """The first line that says something, cut to ``longest`` characters."""
    line = clean(text).strip().partition("\n")[0].replace("\t", " ")
    return line if len(line) <= longest else line[: longest - 1] + "…"


@frozen
class Console:
    """Three streams and the environment."""

    stdin: TextIO
    stdout: TextIO
    stderr: TextIO
    environ: Mapping[str, str]

    def out(self, text: str = "") -> None:
        """Print a line of what was asked for, at once: it may be read by a program."""
        self.stdout.write(text + "\n")
        self.stdout.flush()

    def raw(self, line: bytes) -> None:
        """Print a line of JSON: the same JSON, without what a terminal would obey.

        JSON has these characters only within strings, where they can be escaped.
        """
        text = line.decode("utf-8", "replace")
        self.out(_CONTROL.sub(lambda match: f"\\u{ord(match[0]):04x}", text))

    def say(self, text: str) -> None:
        """Print a line about it, beside what was asked for."""
        self.stderr.write(text + "\n")
        self.stderr.flush()

    def paint(self, text: str, *styles: str) -> str:
        """The text in a style, where standard output shows one."""
        if not styles or not self._coloured:
            return text
        codes = ";".join(_STYLES[style] for style in styles)
        return f"\x1b[{codes}m{text}\x1b[0m"

    @property
    def _coloured(self) -> bool:
        return (
            self.stdout.isatty()
            and not self.environ.get("NO_COLOR")
            and self.environ.get("TERM") != "dumb"
        )

    def confirm(self, question: str, answer: str) -> bool:
        """Whether a person gives exactly this answer; without one, it is yes."""
        if not self.stdin.isatty():
            return True
        self.stderr.write(question)
        self.stderr.flush()
        return self.stdin.readline().strip() == answer

    def secret(self, question: str) -> str | None:
        """A line that a person types without seeing it, or that is piped in; ``None``: there is none."""
        if self.stdin.isatty():
            try:
                return getpass(question, self.stderr)
            except EOFError:
                return None
        return self.stdin.readline() or None


class Progress:
    """Shows on a terminal that something goes on, and for how long; else nothing.

    A context manager, which cleans up what was shown. Call it now and then.
    """

    def __init__(self, console: Console, what: str) -> None:
        self._stream = console.stderr
        self._what = what
        self._shown = False
        self._began = time.monotonic()

    def __enter__(self) -> Self:
        """Begin."""
        return self

    def __call__(self) -> None:
        """Show how long it has taken."""
        elapsed = time.monotonic() - self._began
        if elapsed < PATIENCE or not self._stream.isatty():
            return
        frame = _FRAMES[int(elapsed * 10) % len(_FRAMES)]
        self._write(f"\r\x1b[K{frame} {self._what}… {elapsed:.0f} s")
        self._shown = True

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Take it away."""
        if self._shown:
            self._write("\r\x1b[K")

    def _write(self, text: str) -> None:
        self._stream.write(text)
        self._stream.flush()


def of_this_process(environ: Mapping[str, str]) -> Console:
    """The console that this process was started with.

    What can't be spelled in its encoding is shown as a mark, instead of an error.
    """
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")
    return Console(sys.stdin, sys.stdout, sys.stderr, environ)
