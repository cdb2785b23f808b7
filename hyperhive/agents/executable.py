"""Find what is run as claude, and what a container must see of the host for it."""

import os
import shutil
import sys
import sysconfig
from collections.abc import Callable, Mapping
from pathlib import Path

from attrs import frozen

from hyperhive.containers.interfaces import Bind
from hyperhive.errors import PublicError
from hyperhive.settings import Settings

#: Where containers see claude, or the package that it is a part of.
CLAUDE_INSIDE = "/opt/hyperhive/bin/claude"
PACKAGE_INSIDE = "/opt/hyperhive/claude"
#: Where they see what runs the scripted agent, and the agent.
PYTHON_INSIDE = "/opt/hyperhive/python"
DEMO_INSIDE = "/opt/hyperhive/demo_agent.py"

#: Where a container that is a NixOS system has its programs, and what of the host's
#: files it sees where they are.
PROGRAMS = Path("/run/current-system/sw/bin")
_STORE = Path("/nix/store")

#: What of the daemon's own environment claude gets, in upper and lower case where
#: programs read both.
INHERITED = (
    "ANTHROPIC_API_KEY",
    "ANTHROPIC_AUTH_TOKEN",
    "ANTHROPIC_BASE_URL",
    "CLAUDE_CODE_OAUTH_TOKEN",
    *("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY"),
    *("http_proxy", "https_proxy", "no_proxy"),
)

#: Every container sees this, read-only, where the host has it.
_SYSTEM = Path("/usr")
#: How far up the package of a script is looked for: ``<package>/bin/claude``.
_PACKAGE_DEPTH = 2


class NoClaude(PublicError):
    """There is no claude to run, and what can be done."""


@frozen
class Executable:
    """What is run as claude.

    :param argv: how it is called; a :class:`~pathlib.Path` is one of the host.
    :param binds: what a container must see for it.
    :param demo: it is the scripted agent, not claude.
    :param version_source: the file whose change means another version; ``None``: each
        container's system has its own.
    """

    argv: tuple[Path | str, ...]
    binds: tuple[Bind, ...]
    demo: bool
    version_source: Path | None

    def command(self, inside: Callable[[Path], str]) -> tuple[str, ...]:
        """How it is called inside a container.

        :param inside: how a path of the host is called there.
        """
        return tuple(inside(one) if isinstance(one, Path) else one for one in self.argv)


def resolve(settings: Settings, own_system: bool = False) -> Executable:
    """Find the executable that the settings name.

    :param own_system: whether containers are systems of their own, with their own claude.
    :raises NoClaude: if it isn't there or can't be executed.
    """
    if settings.demo:
        return _demo()
    return _in_system(settings.claude) if own_system else _claude(settings.claude)


def environment(settings: Settings, environ: Mapping[str, str]) -> dict[str, str]:
    """What of the settings and the daemon's environment claude gets: keys, proxies.

    :param environ: the daemon's environment.
    """
    inherited = {name: environ[name] for name in INHERITED if environ.get(name)}
    return inherited | dict(settings.claude_env)


def _claude(named: str) -> Executable:
    found = shutil.which(os.path.expanduser(named))
    if found is None:
        raise NoClaude(
            f"There is no executable {named!r}: install claude (npm install -g "
            "@anthropic-ai/claude-code), name it with --claude PATH, or try the hive "
            "without it with --demo."
        )
    path = Path(found).resolve()
    return Executable((path,), _binds(path), demo=False, version_source=path)


def _in_system(named: str) -> Executable:
    """What was approved and built is what runs: the host's claude is no part of that."""
    if "/" not in named:
        return Executable((str(PROGRAMS / named),), (), False, version_source=None)
    path = Path(named).resolve()
    if not path.is_relative_to(_STORE):
        raise NoClaude(
            f"Containers of NixOS don't see {named!r}: leave out --claude to run the one "
            f"of each agent's system, or name one under {_STORE}."
        )
    return Executable((str(path),), (), False, version_source=path)


def _binds(path: Path) -> tuple[Bind, ...]:
    if path.is_relative_to(_SYSTEM):
        return ()
    package = _package(path) if _is_script(path) else None
    if package is not None:
        return (Bind(package, PACKAGE_INSIDE),)
    return (Bind(path, CLAUDE_INSIDE),)


def _is_script(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(2) == b"#!"
    except OSError:
        return False  # a script that can't be read could not be run either


def _package(script: Path) -> Path | None:
    """The npm package that a script needs beside it.

    Nothing else is taken for one: the folder of some script may be a person's home.
    """
    for folder in script.parents[:_PACKAGE_DEPTH]:
        if (folder / "package.json").is_file():
            return folder
    return None


def _demo() -> Executable:
    script = Path(__file__).resolve().parent.parent / "demo" / "agent.py"
    prefix = Path(sys.base_prefix)
    python = prefix / "bin" / f"python3.{sys.version_info.minor}"
    if not os.access(python, os.X_OK):
        raise NoClaude(f"The scripted agent needs {python}, which is not there.")
    binds = [Bind(script, DEMO_INSIDE)]
    start: tuple[Path | str, ...] = (python,)
    if not prefix.is_relative_to(_SYSTEM):
        binds.append(Bind(prefix, PYTHON_INSIDE))
        start = _moved(prefix, python)
    # Without the user's site and the environment: it is to find nothing but itself.
    return Executable(
        (*start, "-I", "-S", script), tuple(binds), demo=True, version_source=script
    )


def _moved(prefix: Path, python: Path) -> tuple[Path | str, ...]:
    """How a python is called that has another place inside.

    One that was built with a shared library looks for it where it was built, and
    would take the system's, of another version, if there is one.
    """
    if not sysconfig.get_config_var("Py_ENABLE_SHARED"):
        return (python,)
    script = 'LD_LIBRARY_PATH=$0 exec "$@"'
    return ("/bin/sh", "-c", script, prefix / "lib", python)
