"""The real claude, which writes down when it is executed."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hyperhive.testing.claude_cli import installed

#: What the stand-in for the Messages API takes for a login.
LOGIN = {"ANTHROPIC_API_KEY": "a-key-that-is-none"}

_SCRIPT = """#!/bin/bash
printf '%s\\n' "$EPOCHREALTIME" >> "$HOME/started"
exec "${0%/*}/real" "$@"
"""


@contextmanager
def stamped() -> Iterator[Path]:
    """Where that claude is: a script of two lines that executes the real one."""
    real = installed()
    # Beside the real one, to which it has a hard link: containers see one folder.
    with tempfile.TemporaryDirectory(prefix=".bench-", dir=real.parent) as package:
        claude = Path(package) / "claude"
        os.link(real, claude.with_name("real"))
        claude.with_name("package.json").write_text("{}")
        claude.write_text(_SCRIPT)
        claude.chmod(0o755)
        yield claude


def executed(home: Path) -> float:
    """When claude was last executed with this home (POSIX time)."""
    return float((home / "started").read_text().split()[-1])
