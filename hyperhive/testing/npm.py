"""One file of an npm package for tests, installed once into a cache."""

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from hyperhive.errors import PublicError

#: How long npm may take (seconds); some packages have 100 MB.
INSTALL_TIMEOUT = 600.0
#: How much of npm's complaint is shown (characters).
MAX_COMPLAINT = 500

#: Where packages are kept: a folder of the checkout that git ignores.
CACHE = Path(__file__).resolve().parents[2] / ".cache"


class NotInstalled(PublicError):
    """npm is missing or failed; the text says why and what helps."""


def installed_file(
    package: str, version: str, file: str, cache: Path, mode: int = 0o644
) -> Path:
    """The path of a package's file, installed first if it isn't there. Blocks.

    Several processes may call it at once: each installs beside the place, and one
    of the results is renamed into it. Nothing of the package is run.

    :param version: the exact version.
    :param file: the file's path in the package; only it is kept, by its last part.
    :param cache: the folder that has one folder a version.
    :raises NotInstalled: if npm is missing or fails, or has no such file.
    """
    kept = cache / version / Path(file).name
    if not kept.exists():
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".new-", dir=cache) as temporary:
            folder = Path(temporary)
            _npm(f"{package}@{version}", folder)
            new = folder / "new"
            new.mkdir()
            found = folder / "node_modules" / package / file
            try:
                found.rename(new / kept.name)
            except FileNotFoundError:
                raise NotInstalled(
                    f"{package}@{version} has no file named {file}."
                ) from None
            (new / kept.name).chmod(mode)
            try:
                new.rename(kept.parent)
            except OSError:
                # Another process was faster. Anything else in the place is an error.
                if not kept.exists():
                    raise
    return kept


def _npm(wanted: str, folder: Path) -> None:
    npm = shutil.which("npm")
    if npm is None:
        raise NotInstalled(
            f"{wanted} is installed with npm, which is missing: install it (apt "
            "install npm) and try again."
        )
    command = [
        *(npm, "install", "--prefix", str(folder), "--no-save", "--ignore-scripts"),
        *("--no-package-lock", "--no-audit", "--no-fund", "--loglevel=error", wanted),
    ]
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=INSTALL_TIMEOUT,
            check=False,
            cwd=folder,
            env={**os.environ, "NO_UPDATE_NOTIFIER": "1"},
        )
    except subprocess.TimeoutExpired:
        raise NotInstalled(
            f"npm did not install {wanted} within {INSTALL_TIMEOUT:g} s."
        ) from None
    if done.returncode:
        said = " ".join((done.stderr or done.stdout).split())[-MAX_COMPLAINT:]
        raise NotInstalled(f"npm could not install {wanted}: {said or 'no reason'}")
