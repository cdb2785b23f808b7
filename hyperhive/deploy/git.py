"""Run git as a child process that heeds nothing of its surroundings, bounded in every way."""

import os
import signal
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from attrs import frozen
from twisted.internet.defer import CancelledError
from zope.interface import implementer

from hyperhive.containers.groups import GIVE_UP, GroupProcess
from hyperhive.containers.happenings import Happening
from hyperhive.containers.interfaces import (
    DriverMissing,
    Exited,
    IProcessObserver,
    ProcessEnd,
    SetupFailed,
    Signalled,
    TimedOut,
)
from hyperhive.containers.local import tool
from hyperhive.deferreds import deferred
from hyperhive.deploy.visible import last_words
from hyperhive.errors import PublicError

#: How long a git may take unless another limit is given (seconds).
LIMIT = 60.0
#: How much it may print unless another limit is given (bytes).
MAX_OUTPUT = 1024 * 1024
#: How much of the end of its standard error is kept (bytes).
MAX_ERROR = 8192
#: It may clean up after INT for so long (seconds), and again after TERM.
POLITE = (signal.SIGINT, signal.SIGTERM)
GRACE = 2.0
#: What one git may have of memory, and write into one file (bytes). A few bytes of a
#: pack can ask for any amount of either.
MAX_MEMORY = 2 * 1024**3
MAX_FILE = 512 * 1024**2
#: The empty tree, which every git knows: where attributes are read from.
NO_ATTRIBUTES = "4b825dc642cb6eb9a060e54bf8d69288fbee4904"

#: Everything of git's environment. There is no HOME: what git finds there, such as a
#: configuration, are programs to run.
ENVIRONMENT: Mapping[str, str] = {
    "GIT_ASKPASS": "false",
    "GIT_ATTR_NOSYSTEM": "1",
    "GIT_ATTR_SOURCE": NO_ATTRIBUTES,
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_EDITOR": "false",
    "GIT_LITERAL_PATHSPECS": "1",
    "GIT_NO_LAZY_FETCH": "1",
    "GIT_NO_REPLACE_OBJECTS": "1",
    "GIT_OPTIONAL_LOCKS": "0",
    "GIT_PAGER": "cat",
    "GIT_SSH_COMMAND": "false",
    "GIT_TERMINAL_PROMPT": "0",
    "LC_ALL": "C.UTF-8",
    "TZ": "UTC",
}
#: Settings that win over those of a repo.
SETTINGS: Mapping[str, str] = {
    "core.attributesFile": "/dev/null",
    # Larger ones are looked at in parts.
    "core.bigFileThreshold": "16m",
    "core.excludesFile": "/dev/null",
    "core.fsmonitor": "false",
    # What a tag or a branch names must not be lost before the name is.
    "core.fsync": "committed,reference",
    "core.hooksPath": "/dev/null",
    "core.quotePath": "false",
    "credential.helper": "",
    "gc.auto": "0",
    "maintenance.auto": "false",
    "pack.threads": "1",
    "protocol.allow": "never",
}


def settings_arguments(settings: Mapping[str, str] = SETTINGS) -> list[str]:
    """Settings as arguments of git, before its command."""
    return [
        word for key, value in settings.items() for word in ("-c", f"{key}={value}")
    ]


class GitError(PublicError):
    """git did not do what it was asked for; the text ends with its last words."""


class GitMissing(GitError):
    """git, or what it is started with, is not installed; the text says what to install."""


class GitTimedOut(GitError):
    """git took longer than its limit and was ended."""


class GitSaidTooMuch(GitError):
    """git printed more than its limit and was ended."""


@frozen
class Output:
    """What a git that ended well has said.

    :param status: its exit status, one of those that were expected.
    :param truncated: there would have been more; :attr:`stdout` is its beginning.
    """

    status: int
    stdout: bytes
    truncated: bool = False


class Git:
    """Runs git in repos that only the daemon writes.

    What lies *in* such a repo's objects is untrusted all the same; no command that
    runs what it finds there is ever used.

    :param reactor: ``IReactorProcess`` and ``IReactorTime``.
    """

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor

    @deferred
    async def run(
        self,
        repo: Path | None,
        *arguments: str,
        stdin: bytes | int = b"",
        environment: Mapping[str, str] | None = None,
        statuses: Collection[int] = (0,),
        limit: int = MAX_OUTPUT,
        cut: bool = False,
        seconds: float = LIMIT,
    ) -> Output:
        """Run one command to its end. To cancel the Deferred ends git first.

        :param repo: the repo itself, of a work tree its ``.git``; ``None`` for what
            needs none.
        :param arguments: the command and its arguments.
        :param stdin: what it reads, or a descriptor of it, which stays open.
        :param environment: more variables.
        :param statuses: exit statuses that are answers.
        :param limit: how much it may print (bytes).
        :param cut: to print more is no failure: the rest is cut off.
        :param seconds: how long it may take.
        :raises GitError: one of its kinds.
        """
        process = GroupProcess(self._reactor, listener := _Listener(limit))
        listener.child = process
        fed, handed = (stdin, None) if isinstance(stdin, bytes) else (b"", {0: stdin})
        variables = {"PATH": os.defpath, **ENVIRONMENT, **(environment or {})}
        process.spawn(_command(repo, arguments), variables, fed, handed)
        try:
            await listener.ended.wait_within(self._reactor, seconds, "No end")
        except TimedOut:
            await process.end(POLITE, GRACE, listener.ended)
            raise GitTimedOut(
                f"git {arguments[0]} took longer than {seconds:g} s and was ended."
            ) from None
        except CancelledError:
            await process.end(POLITE, GRACE, listener.ended)
            raise
        return listener.output(arguments[0], statuses, cut)


def _command(repo: Path | None, arguments: Collection[str]) -> list[str]:
    try:
        git = tool("git", "git")
        setpriv, prlimit = tool("setpriv", "util-linux"), tool("prlimit", "util-linux")
    except DriverMissing as error:
        raise GitMissing(str(error)) from None
    return [
        # What a daemon that died was about must not go on beside the next one.
        *(setpriv, "--pdeathsig", "KILL", "--"),
        *(prlimit, f"--as={MAX_MEMORY}", f"--fsize={MAX_FILE}", "--core=0", "--"),
        *(git, "-C", "/", "--no-pager", *settings_arguments()),
        *(() if repo is None else (f"--git-dir={repo}",)),
        *arguments,
    ]


@implementer(IProcessObserver)
class _Listener:
    """Keeps what git says, up to a limit."""

    child: GroupProcess

    def __init__(self, limit: int) -> None:
        self._left = limit
        self._limit = limit
        self._stdout: list[bytes] = []
        self._stderr = b""
        self._full = False
        self._end: ProcessEnd | None = None
        self.ended = Happening()

    def output(self, command: str, statuses: Collection[int], cut: bool) -> Output:
        """What came of it."""
        stdout = b"".join(self._stdout)
        if self._full and not cut:
            raise GitSaidTooMuch(
                f"git {command} prints more than {self._limit} bytes and was ended."
            )
        if self._full:
            return Output(0, stdout, True)
        if isinstance(self._end, Exited) and self._end.status in statuses:
            return Output(self._end.status, stdout)
        raise GitError(f"git {command} {self._why()}")

    def _why(self) -> str:
        said = last_words(self._stderr)
        match self._end:
            case Exited(status):
                return f"failed: {said or f'it ended with status {status}.'}"
            case Signalled(number):
                return f"was ended by signal {number}. {said}".rstrip()
            case SetupFailed(reason):
                return f"could not be started: {reason}"
            case _:
                return f"could not be ended within {GIVE_UP:g} s."

    def stdout_received(self, data: bytes) -> None:
        """See :class:`IProcessObserver`."""
        if self._full:
            return
        self._stdout.append(data[: self._left])
        self._left -= len(data)
        if self._left < 0:
            self._full = True
            self.child.signal_child(signal.SIGKILL)

    def stderr_received(self, data: bytes) -> None:
        """See :class:`IProcessObserver`."""
        self._stderr = (self._stderr + data)[-MAX_ERROR:]

    def process_ended(self, end: ProcessEnd) -> None:
        """See :class:`IProcessObserver`."""
        self._end = end
        self.ended.happen()
