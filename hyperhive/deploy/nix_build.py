"""Build an agent's NixOS system with nix, as a child process that can be ended."""

import errno
import os
import re
import secrets
import shutil
import signal
import stat
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from twisted.internet.defer import CancelledError
from zope.interface import implementer

from hyperhive.agents.config import AgentConfig, ConfigError
from hyperhive.containers.groups import GroupProcess
from hyperhive.containers.happenings import Happening
from hyperhive.containers.interfaces import (
    DriverMissing,
    Exited,
    IProcessObserver,
    ProcessEnd,
    SetupFailed,
    TimedOut,
)
from hyperhive.containers.local import tool
from hyperhive.deferreds import deferred
from hyperhive.deploy.flake import (
    AGENT_FOLDER,
    ENTRY,
    agent_flake,
    agent_nix,
    attribute_path,
    host_platform,
)
from hyperhive.deploy.interfaces import (
    BuilderMissing,
    BuildFailed,
    BuildTimedOut,
    Built,
    EvalError,
    IBuilder,
    NoSpace,
)
from hyperhive.deploy.nix_errors import explain, readable
from hyperhive.deploy.trees import SourceTree, write_files
from hyperhive.deploy.waiting import in_thread
from hyperhive.lines import LineSplitter, LineTooLong
from hyperhive.names import check_agent_name

#: How long a build may take unless another limit is given (seconds).
LIMIT = 3600.0
#: How long nix may take to end its builders before it is killed (seconds).
GRACE = 10.0
#: The longest line that is passed on (bytes), and how many lines of a build are.
MAX_LINE = 2000
MAX_LINES = 20_000
#: How much of the end of what nix says is searched for its error (bytes).
TAIL = 65536
#: The longest log of one package, after which nix gives its build up (bytes).
MAX_BUILDER_LOG = 64 * 1024**2
#: The longest configuration that is read from a built system (bytes).
MAX_CONFIG = 1024**2
#: Where a built system has it.
CONFIG = "etc/hyperhive/agent.json"

#: A path that every nix takes in a URL as it is. Old ones know no other way.
_PLAIN_PATH = re.compile(r"[A-Za-z0-9/._+-]+")

#: What of the daemon's own environment nix gets.
INHERITED = (
    *("HOME", "PATH", "TMPDIR", "USER"),
    *("NIX_CONF_DIR", "NIX_LOG_DIR", "NIX_REMOTE", "NIX_STATE_DIR", "NIX_STORE_DIR"),
    *("NIX_SSL_CERT_FILE", "SSL_CERT_FILE"),
    *("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY"),
    *("http_proxy", "https_proxy", "no_proxy"),
)


@implementer(IBuilder)
class NixBuilder:
    """Evaluates and builds with the host's nix.

    An agent's module is not trusted. It is evaluated in nix's pure mode, which reads
    nothing but the flake, and built as the host's nix isolates builds; the result is
    read only where it leads into the store.

    :param reactor: ``IReactorProcess``, ``IReactorTime`` and ``IReactorThreads``.
    :param folder: the builder's own: what is being built, nix's caches, and one link
        for each agent, which keeps nix from collecting what was built.
    :param hive: the URL of the hive's own flake.
    :param environ: the daemon's environment, of which nix gets a fixed few.
    :param limit: how long a build may take (seconds).
    :param arguments: more arguments of ``nix build``.
    """

    entry = ENTRY

    def __init__(
        self,
        reactor: Any,
        folder: Path,
        hive: str,
        environ: Mapping[str, str],
        *,
        limit: float = LIMIT,
        arguments: Sequence[str] = (),
    ) -> None:
        self._reactor = reactor
        self._folder = folder
        self._hive = hive
        self._environment = {
            **{one: environ[one] for one in INHERITED if environ.get(one)},
            "LC_ALL": "C.UTF-8",
            "XDG_CACHE_HOME": str(folder / "cache"),
        }
        self._limit = limit
        self._arguments = tuple(arguments)
        self._tidied = False

    def template(self, name: str) -> Mapping[str, bytes]:
        """See :class:`IBuilder`."""
        return {ENTRY: agent_nix(check_agent_name(name)).encode()}

    @deferred
    async def build(
        self,
        name: str,
        role: str,
        tree: SourceTree,
        log: Callable[[str], None],
    ) -> Built:
        """See :class:`IBuilder`."""
        check_agent_name(name)
        if not _PLAIN_PATH.fullmatch(str(self._folder)):
            raise BuildFailed(
                f"nix can't build in {str(self._folder)!r}: choose a state folder whose "
                "path has only letters, digits and / . _ + - in it."
            )
        if ENTRY not in tree.contents:
            raise EvalError(f"There is no file {ENTRY}.", ENTRY)
        flake = agent_flake(name, role, self._hive, host_platform())
        folder = self._folder / "work" / f"{name}-{secrets.token_hex(8)}"
        try:
            await in_thread(self._reactor, self._prepare, folder, flake, tree)
            await self._run(self._command(folder, name), log)
        finally:
            await in_thread(self._reactor, shutil.rmtree, folder, True)
        return await in_thread(self._reactor, read_built, self._link(name))

    @deferred
    async def release(self, name: str) -> None:
        """See :class:`IBuilder`."""
        self._link(check_agent_name(name)).unlink(missing_ok=True)

    def _link(self, name: str) -> Path:
        """Leads to the system that was built last, and keeps it on disk."""
        return self._folder / "built" / name

    def _prepare(self, folder: Path, flake: str, tree: SourceTree) -> None:
        """Write what is to be built. Blocks: for a thread."""
        try:
            if not self._tidied:
                # What a daemon left that died while it built.
                shutil.rmtree(self._folder / "work", ignore_errors=True)
                self._tidied = True
            (self._folder / "built").mkdir(mode=0o700, parents=True, exist_ok=True)
            folder.mkdir(mode=0o700, parents=True)
            (folder / "flake.nix").write_text(flake, "utf-8")
            write_files(folder / AGENT_FOLDER, tree)
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise NoSpace(f"{self._folder}: {error.strerror}.") from None
            raise BuildFailed(f"The files can't be written: {error}.") from None

    def _command(self, folder: Path, name: str) -> list[str]:
        nix = shutil.which("nix", path=self._environment.get("PATH"))
        if nix is None:
            raise BuilderMissing(
                "nix is not installed. On Debian and Ubuntu: apt install nix-bin"
            )
        try:
            setpriv = tool("setpriv", "util-linux")
        except DriverMissing as error:
            raise BuilderMissing(str(error)) from None
        return [
            # A build that nobody waits for any more must not go on.
            *(setpriv, "--pdeathsig", "TERM", "--"),
            *(nix, "build", "--extra-experimental-features", "nix-command flakes"),
            # The flake is new each time. What it is locked to is in the hive's own.
            *("--no-write-lock-file", "--option", "use-registries", "false"),
            *("--option", "max-build-log-size", str(MAX_BUILDER_LOG)),
            *("--print-build-logs", "--out-link", str(self._link(name))),
            *self._arguments,
            f"path:{folder}#{attribute_path(name)}",
        ]

    async def _run(self, argv: Sequence[str], log: Callable[[str], None]) -> None:
        """Run nix to its end, which is ours if it is cancelled or takes too long."""
        listener = _Listener(log)
        process = GroupProcess(self._reactor, listener)
        process.spawn(argv, self._environment, b"")
        try:
            await listener.ended.wait_within(self._reactor, self._limit, "No end")
        except TimedOut:
            await process.end((signal.SIGTERM,), GRACE, listener.ended)
            raise BuildTimedOut(
                f"The build took longer than {self._limit:g} s and was ended."
            ) from None
        except CancelledError:
            await process.end((signal.SIGTERM,), GRACE, listener.ended)
            raise
        listener.check()


@implementer(IProcessObserver)
class _Listener:
    """Passes nix's words on line by line, and keeps their end."""

    def __init__(self, log: Callable[[str], None]) -> None:
        self._log = log
        self._lines = LineSplitter(MAX_LINE)
        self._left = MAX_LINES
        self._tail = b""
        self._end: ProcessEnd | None = None
        self.ended = Happening()

    def check(self) -> None:
        """Raise what it failed of, if it did."""
        if self._end == Exited(0):
            return
        if isinstance(self._end, SetupFailed):
            raise BuildFailed(f"nix did not run: {self._end.reason}")
        if isinstance(self._end, Exited):
            raise explain(self._tail.decode("utf-8", "replace"))
        raise BuildFailed(f"nix did not end by itself: {self._end}.")

    def stdout_received(self, data: bytes) -> None:
        """See :class:`IProcessObserver`. The link says what it would."""

    def stderr_received(self, data: bytes) -> None:
        """See :class:`IProcessObserver`."""
        self._tail = (self._tail + data)[-TAIL:]
        lines = self._lines.feed(data)
        while True:
            try:
                for line in lines:
                    self._say(line.decode("utf-8", "replace"))
            except LineTooLong:
                self._say(f"(a line of more than {MAX_LINE} bytes)")
                lines = self._lines.skip()
            else:
                return

    def process_ended(self, end: ProcessEnd) -> None:
        """See :class:`IProcessObserver`."""
        rest = self._lines.finish()
        if rest:
            self._say(rest.decode("utf-8", "replace"))
        self._end = end
        self.ended.happen()

    def _say(self, line: str) -> None:
        self._left -= 1
        if self._left > 0:
            self._log(readable(line))
        elif self._left == 0:
            self._log(f"(more than {MAX_LINES} lines: the rest is not shown)")


def read_built(link: Path) -> Built:
    """What a link to a built system leads to.

    The system is made by its agent's own module: a link in it that leads out of the
    store would have us read what the agent may not.

    :raises EvalError: if its configuration is missing, or wrong.
    """
    try:
        system = Path(os.readlink(link))
        store = os.path.realpath(system.parent)
        file = Path(os.path.realpath(system / CONFIG))
        if not file.is_relative_to(store):
            raise EvalError(f"/{CONFIG} of the system leads out of the store.")
        if not stat.S_ISREG(file.stat().st_mode):
            raise EvalError(f"/{CONFIG} of the system is not a file.")
        with file.open("rb") as opened:
            data = opened.read(MAX_CONFIG + 1)
    except OSError:
        raise EvalError(
            f"The system has no /{CONFIG}; the hive's module makes it, unless another "
            "undoes that."
        ) from None
    if len(data) > MAX_CONFIG:
        raise EvalError(f"/{CONFIG} of the system is larger than {MAX_CONFIG} bytes.")
    try:
        config = AgentConfig.from_json(data.decode("utf-8", "replace"), f"/{CONFIG}")
    except ConfigError as error:
        raise EvalError(str(error), ENTRY) from None
    return Built(system, config.to_json())
