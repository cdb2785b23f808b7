"""Get commits out of a proposed repo by running git inside the manager's container.

A proposed repo is what its writer makes of it: its configuration, hooks, ``.git`` and
links lead wherever they want. Git follows them in the container that has written them,
so that they lead to nothing that it could not read anyway. What comes back are bytes
that nothing is believed of: a name of a commit, and a pack.
"""

import posixpath
import re
from collections.abc import Callable

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from zope.interface import implementer

from hyperhive.containers.interfaces import (
    Command,
    ContainerSpec,
    DriverError,
    Exited,
    IContainerDriver,
    IContainerProcess,
    IProcessObserver,
    Lost,
    ProcessEnd,
    SetupFailed,
    Signalled,
)
from hyperhive.deferreds import deferred
from hyperhive.deploy.git import ENVIRONMENT, SETTINGS, settings_arguments
from hyperhive.deploy.visible import decoded, last_words
from hyperhive.errors import BadRequest, NotFound, PublicError, TooLarge
from hyperhive.settings import Layout

#: The largest pack that is taken (bytes), and how long git may take for it (seconds).
MAX_PACK = 64 * 1024**2
PACK_LIMIT = 120.0
#: How much git may print when it is asked a question (bytes), and how long it may take.
MAX_ANSWER = 4096
ANSWER_LIMIT = 30.0
#: How much of its standard error is kept (bytes).
MAX_ERROR = 8192
#: Where programs are in a container, NixOS's own included.
PATH = "/run/current-system/sw/bin:/usr/local/bin:/usr/bin:/bin"
#: The exit status of a shell, or of what stands for one, that finds no program.
NOT_FOUND = 127

#: How commits are named. Nothing else gets into a command line.
_REF = re.compile(r"[0-9a-fA-F]{7,40}")
_SHA = re.compile(rb"([0-9a-f]{40})\n")


class UnknownCommit(NotFound):
    """The proposed repo has no such commit, or can't be read; the text says why."""


class FetchFailed(PublicError):
    """What was proposed could not be read out of its repo; the text says why."""


def check_commit_ref(ref: str) -> str:
    """Answer a commit's name in lower case, if it can be one.

    :raises BadRequest: otherwise.
    """
    if not _REF.fullmatch(ref):
        raise BadRequest(
            f"{ref[:60]!r} does not name a commit: use the 7 to 40 hexadecimal digits "
            "that git rev-parse HEAD prints."
        )
    return ref.lower()


class ContainerGit:
    """Runs git in proposed repos, inside the manager's container.

    All methods raise :class:`DriverError` if that does not run.

    :param spec: what the manager's container is.
    :param max_pack: the largest pack that is taken (bytes).
    """

    _log = Logger()

    def __init__(
        self,
        clock: IReactorTime,
        driver: IContainerDriver,
        spec: Callable[[], ContainerSpec],
        layout: Layout,
        *,
        max_pack: int = MAX_PACK,
    ) -> None:
        self._clock = clock
        self._driver = driver
        self._spec = spec
        self._layout = layout
        self._max_pack = max_pack

    def proposed(self, name: str) -> str:
        """Where the manager finds an agent's proposed repo."""
        # The repo itself may be a link by now: only the folder that has it is asked for.
        folder = self._driver.path_inside(self._spec(), self._layout.proposed)
        return posixpath.join(folder, name)

    def applied(self, name: str) -> str:
        """Where the manager finds an agent's applied repo, to read it."""
        folder = self._driver.path_inside(self._spec(), self._layout.applied)
        return posixpath.join(folder, self._layout.applied_repo(name).name)

    @deferred
    async def resolve(self, name: str, ref: str) -> str:
        """The full name of the commit that ``ref`` abbreviates.

        :raises BadRequest: if ``ref`` is not 7 to 40 hexadecimal digits.
        :raises UnknownCommit: if there is none.
        """
        ref = check_commit_ref(ref)
        where = self.proposed(name)
        asked = ("rev-parse", "--verify", "--end-of-options", f"{ref}^{{commit}}")
        answer = await self._ask(name, *asked)
        if answer.end != Exited(0):
            raise UnknownCommit(
                f"There is no commit {ref} in {where}: {answer.why('git rev-parse')}"
            )
        match = _SHA.fullmatch(answer.stdout)
        if match is None:
            raise UnknownCommit(
                f"git in {where} names no commit for {ref} but "
                f"{decoded(answer.stdout[:80])!r}."
            )
        sha = match[1].decode()
        if not sha.startswith(ref):
            # So it is with a branch that is called like the beginning of a commit.
            raise UnknownCommit(
                f"{ref} is a name for the commit {sha} in {where}, not the beginning of "
                "it: name the commit itself."
            )
        return sha

    @deferred
    async def follows(self, name: str, main: str, sha: str) -> bool:
        """Whether git there says that ``sha`` comes after ``main``.

        Where ``main`` was never fetched it says no.
        """
        answer = await self._ask(name, "merge-base", "--is-ancestor", main, sha)
        return answer.end == Exited(0)

    @deferred
    async def pack(
        self, name: str, sha: str, without: str, write: Callable[[bytes], object]
    ) -> None:
        """Get a pack of what is reachable from ``sha`` and not from ``without``.

        :param write: called with each part of it.
        :raises TooLarge: if it is larger than the limit.
        :raises FetchFailed: if git fails, or takes too long.
        """
        answer = await self._run(
            name,
            ("pack-objects", "--revs", "--stdout", "--delta-base-offset", "-q"),
            f"{sha}\n^{without}\n".encode(),
            _Listener(self._max_pack, write),
            PACK_LIMIT,
        )
        if answer.full:
            raise TooLarge(
                f"What leads to {sha[:12]} is larger than {self._max_pack} bytes "
                "packed, which is the most that is taken: keep large files out of the "
                "repo, and out of its history."
            )
        if answer.end != Exited(0):
            raise FetchFailed(
                f"{sha[:12]} can't be read out of {self.proposed(name)}: "
                f"{answer.why('git pack-objects')}"
            )

    async def _ask(self, name: str, *arguments: str) -> "_Listener":
        parts: list[bytes] = []
        listener = _Listener(MAX_ANSWER, parts.append)
        await self._run(name, arguments, b"", listener, ANSWER_LIMIT)
        listener.stdout = b"".join(parts)
        return listener

    async def _run(
        self,
        name: str,
        arguments: tuple[str, ...],
        stdin: bytes,
        listener: "_Listener",
        seconds: float,
    ) -> "_Listener":
        where = self.proposed(name)
        # Inside, who owns a folder says nothing of who may write it.
        settings = {**SETTINGS, "safe.directory": "*"}
        argv = ("git", "-C", where, "--no-pager", *settings_arguments(settings))
        environment = {
            "PATH": PATH,
            **ENVIRONMENT,
            # A repo that is not there must not be looked for further up.
            "GIT_CEILING_DIRECTORIES": posixpath.dirname(where),
        }
        command = Command((*argv, *arguments), environment, "/", stdin)
        process = self._driver.run(self._spec().name, command, listener)
        late = self._clock.callLater(
            seconds, listener.give_up, f"it takes more than {seconds:g} s"
        )
        try:
            await listener.ended
        except CancelledError:
            await self._end(process)
            raise
        finally:
            if late.active():
                late.cancel()
        if listener.end is None:
            await self._end(process)
        if listener.error is not None:
            raise FetchFailed(
                f"What git says in {where} can't be written down: "
                f"{listener.error.strerror}."
            )
        return listener

    async def _end(self, process: IContainerProcess) -> None:
        """Leave nothing of it, also where it does not want to end."""
        try:
            await process.destroy()
        except DriverError as error:
            self._log.error(
                "a git in the manager's container: {error}", error=str(error)
            )


@implementer(IProcessObserver)
class _Listener:
    """Passes on what git prints, up to its end or until it is enough.

    :ivar stdout: for who has asked a question: all of it.
    :ivar ended: fires when it has ended, or is no longer waited for.
    :ivar end: how it ended; ``None`` if it was not waited for.
    :ivar full: it printed more than the limit.
    :ivar error: why its words could not be passed on.
    """

    def __init__(self, limit: int, write: Callable[[bytes], object]) -> None:
        self._left = limit
        self._limit = limit
        self._write = write
        self._stderr = b""
        self._given_up = ""
        self.stdout = b""
        self.ended: Deferred[None] = Deferred()
        self.end: ProcessEnd | None = None
        self.full = False
        self.error: OSError | None = None

    def stdout_received(self, data: bytes) -> None:
        """See :class:`IProcessObserver`."""
        if self.ended.called:
            return
        self._left -= len(data)
        if self._left < 0:
            self.full = True
            self.give_up(f"it prints more than {self._limit} bytes")
            return
        try:
            self._write(data)
        except OSError as error:
            self.error = error
            self.give_up("its words can't be written down")

    def stderr_received(self, data: bytes) -> None:
        """See :class:`IProcessObserver`."""
        self._stderr = (self._stderr + data)[-MAX_ERROR:]

    def process_ended(self, end: ProcessEnd) -> None:
        """See :class:`IProcessObserver`."""
        if not self.ended.called:
            self.end = end
            self.ended.callback(None)

    def give_up(self, why: str) -> None:
        """Wait no longer, and take nothing more."""
        if not self.ended.called:
            self._given_up = why
            self.ended.callback(None)

    def why(self, what: str) -> str:
        """Why it is no answer, as the end of a sentence."""
        said = last_words(self._stderr)
        match self.end:
            case None:
                return f"{what} was ended: {self._given_up}."
            case Exited(status) if status == NOT_FOUND:
                return f"there seems to be no git in the container. {said}".rstrip()
            case Exited(status):
                return said or f"{what} ended with status {status}."
            case Signalled(number):
                return f"{what} was ended by signal {number}."
            case Lost(reason) | SetupFailed(reason):
                return reason[:500]
