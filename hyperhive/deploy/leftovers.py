"""What a daemon that was killed has left in its repos, and how it goes."""

import os
from pathlib import Path

from hyperhive.deploy.removal import GRAVE, remove_tree


def clear_repo(repo: Path) -> None:
    """Remove what killed gits have left in an applied repo. Blocks: for a thread.

    Only before this daemon has run a git in it: gits die with their daemon, so that
    whoever held a lock then is gone.
    """
    for parent, folders, names in os.walk(repo):
        within_objects = Path(parent).is_relative_to(repo / "objects")
        for name in names:
            if name.endswith(".lock") or (within_objects and name.startswith("tmp_")):
                Path(parent, name).unlink(missing_ok=True)
        for name in [one for one in folders if one.startswith(("tmp_objdir", GRAVE))]:
            folders.remove(name)
            remove_tree(Path(parent, name))
