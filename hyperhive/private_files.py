"""Write a file that only its owner may read."""

import contextlib
import os
from pathlib import Path


def write_private(path: Path, text: str) -> None:
    """Put a 0600 file into place as a whole: it is old or new, never half.

    :raises OSError: if it can't be written.
    """
    draft = path.with_name(path.name + ".new")
    with contextlib.suppress(FileNotFoundError):
        draft.unlink()
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)
