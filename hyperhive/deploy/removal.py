"""Remove a folder that was somebody else's to write, however it is built."""

import os
import secrets
from pathlib import Path

#: What folders are called in which something is removed, at first.
GRAVE = ".grave-"


def remove_tree(path: Path) -> None:
    """Remove a file, a link, or a folder with all in it. Nothing there: success.

    No link is followed, whoever puts one in the way while it goes on; folders may be
    nested as deeply as they like, and be such that their owner may not write them.
    Blocks: for a thread.

    :raises OSError: as the file system does.
    """
    if not os.path.lexists(path):
        return
    # Every folder is moved up to here before it is looked into: no path gets long.
    grave = path.with_name(f"{GRAVE}{secrets.token_hex(8)}")
    grave.mkdir(mode=0o700)
    os.rename(path, grave / "0")
    top = os.open(grave, os.O_RDONLY | os.O_DIRECTORY)
    try:
        waiting, made = ["0"], 1
        while waiting:
            name = waiting.pop()
            folder = _opened(name, top)
            if folder is None:
                os.unlink(name, dir_fd=top)
                continue
            try:
                for inner in os.listdir(folder):
                    below = _opened(inner, folder)
                    if below is None:
                        os.unlink(inner, dir_fd=folder)
                    else:
                        os.close(below)
                        os.rename(inner, str(made), src_dir_fd=folder, dst_dir_fd=top)
                        waiting.append(str(made))
                        made += 1
            finally:
                os.close(folder)
            os.rmdir(name, dir_fd=top)
    finally:
        os.close(top)
    grave.rmdir()


def _opened(name: str, folder: int) -> int | None:
    """Open a folder in a folder, and make it writable; ``None`` if it is none."""
    try:
        flags = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW
        found = os.open(name, flags, dir_fd=folder)
    except NotADirectoryError:
        return None
    try:
        os.chmod(f"/proc/self/fd/{found}", 0o700)
        return os.open(".", os.O_RDONLY | os.O_DIRECTORY, dir_fd=found)
    finally:
        os.close(found)
