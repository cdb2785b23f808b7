"""The real claude for tests: which versions, and where they are once installed.

``python -m hyperhive.testing.claude_cli [VERSION …]`` installs and prints paths.
"""

import platform
import sys
from pathlib import Path

from hyperhive.errors import PublicError
from hyperhive.testing.npm import CACHE, NotInstalled, installed_file

#: The version that the tests are made for.
VERSION = "2.1.330"
#: An older one that the hive runs too: it lacks some of the flags.
OLDER_VERSION = "2.1.197"
#: Both, newest first.
VERSIONS = (VERSION, OLDER_VERSION)

#: npm's names of the processors that there is a claude for.
_PROCESSORS = {"x86_64": "x64", "amd64": "x64", "aarch64": "arm64", "arm64": "arm64"}


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


def installed(version: str = VERSION, cache: Path = CACHE / "claude") -> Path:
    """The path of claude's binary, installed first if it isn't there. Blocks.

    :param version: the exact version.
    :param cache: the folder that has one folder a version.
    :raises NoClaudeHere: if npm is missing or fails.
    """
    try:
        return installed_file(package(), version, "claude", cache, 0o755)
    except NotInstalled as error:
        raise NoClaudeHere(str(error)) from None


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
