"""A real daemon for tests: started, asked, killed. It blocks, as the tests that use it do.

Nothing here sleeps: waits are reads, of the daemon's output or of its event stream,
each with a limit after which the test fails.
"""

import json
import os
import selectors
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any, Self

from tests.web.contract import contracts

#: How long any one wait may take before the test fails (seconds).
LIMIT = 60.0


class TooLong(AssertionError):
    """What a test waited for did not come."""


class EventStream:
    """The daemon's events as the admin socket's ``subscribe`` gives them."""

    def __init__(self, path: Path, kinds: list[str], since: int | None) -> None:
        self._socket = connect(path)
        self._buffer = b""
        request: dict[str, Any] = {"cmd": "subscribe", "kinds": kinds}
        if since is not None:
            request["since"] = since
        self._socket.sendall(json.dumps(request).encode() + b"\n")
        answer = self.next()
        assert answer["ok"], answer

    def next(self, limit: float = LIMIT) -> dict[str, Any]:
        """The next event."""
        self._socket.settimeout(limit)
        while b"\n" not in self._buffer:
            try:
                data = self._socket.recv(65536)
            except TimeoutError:
                raise TooLong(f"no event within {limit:g} s") from None
            if not data:
                raise EOFError("the daemon closed the stream")
            self._buffer += data
        line, _, self._buffer = self._buffer.partition(b"\n")
        return self._checked(json.loads(line))

    def _checked(self, event: dict[str, Any]) -> dict[str, Any]:
        """The same: what is no answer is an event as the API's document has it."""
        problem = contracts()[0].event_problem(event) if "kind" in event else None
        assert problem is None, (problem, event)
        return event

    def until(
        self, wanted: Callable[[dict[str, Any]], bool], limit: float = LIMIT
    ) -> dict[str, Any]:
        """The first event that is wanted; others are passed over."""
        seen: list[str] = []
        while True:
            try:
                event = self.next(limit)
            except TooLong as error:
                raise TooLong(f"{error}; before that came {seen[-20:]}") from None
            if wanted(event):
                return event
            seen.append(json.dumps(event)[:300])

    def close(self) -> None:
        """End the subscription."""
        self._socket.close()


class Daemon:
    """One hive in a folder of its own under ``/tmp``, whose paths are short enough for sockets.

    :param flags: flags of ``twistd hyperhive`` beyond its folders and ports.
    :param environment: added to what the daemon gets.
    """

    def __init__(
        self, *flags: str, environment: Mapping[str, str] | None = None
    ) -> None:
        self.base = Path(tempfile.mkdtemp(prefix="hive-"))
        self.state = self.base / "s"
        self.run = self.base / "r"
        self.flags = flags
        self.environment = dict(environment or {})
        self._process: subprocess.Popen[bytes] | None = None
        self._said = b""

    @property
    def socket(self) -> Path:
        """The admin socket."""
        return self.run / "host.sock"

    @property
    def pid(self) -> int:
        """The daemon's process."""
        assert self._process is not None
        return self._process.pid

    def command(self) -> list[str]:
        """What is executed."""
        return [
            str(Path(sys.executable).with_name("twistd")),
            *("--nodaemon", "--pidfile=", "--reactor=asyncio"),
            f"--logfile={self.base / 'log'}",
            *("hyperhive", "--print-login"),
            *("--state-dir", str(self.state), "--run-dir", str(self.run)),
            *("--dashboard", "tcp:0:interface=127.0.0.1", "--agent-ports", "0"),
            *self.flags,
        ]

    def start(self) -> Self:
        """Start it and wait until everything listens."""
        self._said = b""
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.base),
            "LANG": "C.UTF-8",
            **self.environment,
        }
        self._process = subprocess.Popen(
            self.command(),
            env=environment,
            cwd=self.base,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        self._read_until(b"login?ticket=")
        return self

    def kill(self) -> None:
        """kill -9, without a word."""
        assert self._process is not None
        self._process.kill()
        self._process.wait(LIMIT)
        self._close()

    def end(self) -> None:
        """Wait until it has ended by itself, if it has not."""
        assert self._process is not None
        self._process.wait(LIMIT)
        self._close()

    def stop(self) -> int:
        """TERM, and its exit status."""
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)
        status = self._process.wait(LIMIT)
        self._close()
        return status

    def remove(self) -> None:
        """End it if it runs, and remove its folders."""
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.wait(LIMIT)
        if self._process is not None:
            self._close()
        shutil.rmtree(self.base, ignore_errors=True)

    def ask(self, **request: Any) -> dict[str, Any]:
        """One request and its answer."""
        with connect(self.socket) as connection:
            connection.settimeout(LIMIT)
            connection.sendall(json.dumps(request).encode() + b"\n")
            with connection.makefile("rb") as lines:
                answer = json.loads(lines.readline() or b"{}")
        return dict(answer)

    def do(self, **request: Any) -> dict[str, Any]:
        """One request that must succeed."""
        answer = self.ask(**request)
        assert answer.get("ok"), (request, answer)
        return answer

    def send(self, to: str, body: str) -> int:
        """A message from the operator; its id."""
        return int(self.do(cmd="send", to=to, body=body)["id"])

    def inbox(self, name: str = "operator", limit: int = 200) -> list[dict[str, Any]]:
        """A mailbox."""
        return list(self.do(cmd="inbox", name=name, limit=limit)["messages"])

    def status(self, name: str) -> dict[str, Any]:
        """An agent's row."""
        rows = self.do(cmd="agent_status")["agent_statuses"]
        return next(dict(row) for row in rows if row["name"] == name)

    def quiet(self) -> None:
        """Pause the manager, for its turns on what it is told would come between."""
        with closing(self.events("agent_state")) as events:
            if "hm1nd" not in self.do(cmd="list")["agents"]:
                events.until(lambda event: event.get("agent") == "hm1nd")
        self.do(cmd="set_paused", name="hm1nd", paused=True)

    def events(self, *kinds: str, since: int | None = None) -> EventStream:
        """The event stream from now on."""
        return EventStream(self.socket, list(kinds), since)

    def cli(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        """``hive-c0re`` against this daemon."""
        return subprocess.run(
            [
                str(Path(sys.executable).with_name("hive-c0re")),
                *("--socket", str(self.socket)),
                *arguments,
            ],
            capture_output=True,
            text=True,
            timeout=LIMIT,
            check=False,
        )

    def facts(self) -> dict[str, Any]:
        """``daemon.json``."""
        return dict(json.loads((self.run / "daemon.json").read_text()))

    def token(self) -> str:
        """The operator's token."""
        return (self.state / "operator-token").read_text().strip()

    def _read_until(self, mark: bytes) -> None:
        assert self._process is not None
        assert self._process.stdout is not None
        with selectors.DefaultSelector() as selector:
            selector.register(self._process.stdout, selectors.EVENT_READ)
            while mark not in self._said:
                if not selector.select(LIMIT):
                    raise TooLong(f"the daemon is not up:\n{self.text()}")
                data = os.read(self._process.stdout.fileno(), 65536)
                if not data:
                    raise AssertionError(f"the daemon ended:\n{self.text()}")
                self._said += data

    def text(self) -> str:
        """What it printed, and its log."""
        log = self.base / "log"
        logged = log.read_bytes() if log.exists() else b""
        return (self._said + logged).decode("utf-8", "replace")

    def _close(self) -> None:
        assert self._process is not None
        if self._process.stdout is not None:
            self._process.stdout.close()


def connect(path: Path) -> socket.socket:
    """A connection to a UNIX socket."""
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.settimeout(LIMIT)
    connection.connect(str(path))
    return connection


def processes_with(text: str, argument: str = "") -> list[int]:
    """Living processes with ``text`` in their command line, environment or mounts.

    The mounts of what runs in a sandbox name the folders outside that it was given.
    Their command line or environment also has ``argument`` in it.
    """
    return sorted(_living(text.encode(), argument.encode()))


def _living(text: bytes, argument: bytes) -> Iterator[int]:
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit() or int(folder.name) == os.getpid():
            continue
        try:
            given = (folder / "cmdline").read_bytes() + (
                folder / "environ"
            ).read_bytes()
            mounts = (folder / "mountinfo").read_bytes()
            state = (folder / "stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            continue
        if argument in given and text in given + mounts and state != "Z":
            yield int(folder.name)
