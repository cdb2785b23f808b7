"""The real claude for tests: which versions, and where they are once installed.

``python -m hyperhive.testing.claude_cli [VERSION …]`` installs and prints paths.
"""

import os
import platform
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from hyperhive.errors import PublicError

#: The version that the tests are made for.
VERSION = "2.1.330"
#: An older one that the hive runs too: it lacks some of the flags.
OLDER_VERSION = "2.1.197"
#: Both, newest first.
VERSIONS = (VERSION, OLDER_VERSION)

#: How long npm may take (seconds); some 100 MB are fetched.
INSTALL_TIMEOUT = 600.0
#: How much of npm's complaint is shown (characters).
MAX_COMPLAINT = 500

#: npm's names of the processors that there is a claude for.
_PROCESSORS = {"x86_64": "x64", "amd64": "x64", "aarch64": "arm64", "arm64": "arm64"}
_CHECKOUT = Path(__file__).resolve().parents[2]


class NoClaudeHere(PublicError):
    """Claude can't be had on this machine; the text says why and what helps."""


def package() -> str:
    """The npm package that holds claude's binary, and nothing that runs at its installation.

    :raises NoClaudeHere: if there is none for this machine.
    """
    machine = platform.machine().lower()
    if sys.platform != "linux" or machine not in _PROCESSORS:
        raise NoClaudeHere(
            f"The tests have no claude for {sys.platform} on {machine}: it takes "
            "Linux on x86-64 or arm64."
        )
    return f"@anthropic-ai/claude-code-linux-{_PROCESSORS[machine]}"


def installed(
    version: str = VERSION, cache: Path = _CHECKOUT / ".cache" / "claude"
) -> Path:
    """The path of claude's binary, installed first if it isn't there. Blocks.

    Several processes may call it at once: each installs beside the place, and one
    of the results is renamed into it.

    :param version: the exact version.
    :param cache: the folder that has one folder a version.
    :raises NoClaudeHere: if npm is missing or fails.
    """
    binary = cache / version / "claude"
    if not binary.exists():
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".new-", dir=cache) as temporary:
            _install(version, Path(temporary), binary.parent)
    return binary


def _install(version: str, temporary: Path, place: Path) -> None:
    name = package()
    _npm(f"{name}@{version}", temporary)
    new = temporary / "new"
    new.mkdir()
    found = temporary / "node_modules" / name / "claude"
    try:
        found.rename(new / "claude")
    except FileNotFoundError:
        raise NoClaudeHere(f"{name}@{version} has no file named claude.") from None
    (new / "claude").chmod(0o755)
    try:
        new.rename(place)
    except OSError:
        # Another process was faster. Anything else in the place is an error.
        if not (place / "claude").exists():
            raise


def _npm(wanted: str, folder: Path) -> None:
    npm = shutil.which("npm")
    if npm is None:
        raise NoClaudeHere(
            "Claude is installed with npm, which is missing: install it (apt install "
            "npm) and try again."
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
        raise NoClaudeHere(
            f"npm did not install {wanted} within {INSTALL_TIMEOUT:g} s."
        ) from None
    if done.returncode:
        said = " ".join((done.stderr or done.stdout).split())[-MAX_COMPLAINT:]
        raise NoClaudeHere(f"npm could not install {wanted}: {said or 'no reason'}")


def main(versions: list[str]) -> int:
    """Install ``versions``, by default all, and print where they are."""
    try:
        for version in versions or VERSIONS:
            print(installed(version))
    except PublicError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
