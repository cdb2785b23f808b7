"""The command line's client: which hive it asks, and what it says where there is none."""

import contextlib
import errno
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from io import StringIO
from pathlib import Path
from threading import Thread

from twisted.trial.unittest import SynchronousTestCase

from hyperhive.admin import client
from hyperhive.admin.cli import run
from hyperhive.admin.client import Hive, NoHive, Refused, find_socket
from tests.admin.terminal import console, printed, said

#: How long any wait may take before the test fails (seconds).
LIMIT = 60.0
ANSWER = b'{"version":1,"ok":true,"agents":["hm1nd"]}\n'
PROGRAM = (sys.executable, "-c", "from hyperhive.admin.cli import *; sys.exit(main())")


class Stub(Thread):
    """Something that listens, takes one request and says what it was told to.

    :param pieces: what it says, in so many writes.
    :param stays: it does not close before the client does.
    :ivar asked: what it was asked.
    """

    def __init__(self, path: Path, *pieces: bytes, stays: bool = False) -> None:
        super().__init__(daemon=True)
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.settimeout(LIMIT)
        self._listener.bind(str(path))
        self._listener.listen()
        self._pieces = pieces
        self._stays = stays
        self.asked = b""
        self.start()

    def run(self) -> None:
        """Serve one client."""
        with self._listener, self._listener.accept()[0] as connection:
            connection.settimeout(LIMIT)
            while not self.asked.endswith(b"\n"):
                self.asked += connection.recv(65536)
            with contextlib.suppress(BrokenPipeError):  # the client may have had enough
                for piece in self._pieces:
                    connection.sendall(piece)
            if self._stays:
                connection.recv(1)


class ClientCase(SynchronousTestCase):
    """A folder with room for a socket."""

    def setUp(self) -> None:
        """Make it, with a short path."""
        self.folder = Path(tempfile.mkdtemp(prefix="hive-"))
        self.addCleanup(shutil.rmtree, self.folder)
        self.path = self.folder / "host.sock"

    def stub(self, *pieces: bytes, stays: bool = False) -> Stub:
        """Listen with a stub."""
        stub = Stub(self.path, *pieces, stays=stays)
        self.addCleanup(stub.join, LIMIT)
        return stub

    def no_hive(self) -> str:
        """Ask; there must be no hive. What is said of that."""
        one = console()
        self.assertEqual(run(["--socket", str(self.path), "list"], one), 3)
        self.assertEqual(printed(one), "")
        return said(one)


class AskTests(ClientCase):
    """One request and its answer."""

    def test_bytes(self) -> None:
        """A request is a line; its answer may come in pieces."""
        stub = self.stub(ANSWER[:5], ANSWER[5:])
        answer = Hive(self.path).ask("set_paused", {"name": "bob", "paused": True})
        self.assertEqual(answer.line + b"\n", ANSWER)
        self.assertEqual(answer.members["agents"], ["hm1nd"])
        stub.join(LIMIT)
        self.assertEqual(
            stub.asked, b'{"cmd": "set_paused", "name": "bob", "paused": true}\n'
        )

    def test_refused(self) -> None:
        """An error is raised with its sentence and its line."""
        line = b'{"version":1,"ok":false,"error":"No, since."}'
        self.stub(line + b"\n")
        error = self.assertRaises(Refused, Hive(self.path).ask, "list", {})
        self.assertEqual(
            (str(error), error.line, error.status), ("No, since.", line, 1)
        )

    def test_old_version(self) -> None:
        """A hive that gives no version is an old one."""
        self.stub(b'{"ok":true}\n')
        self.assertEqual(Hive(self.path).ask("list", {}).members, {"ok": True})

    def test_newer_version(self) -> None:
        """A hive with a newer protocol is not guessed at, whatever it answers."""
        self.stub(b'{"version":2,"ok":false,"error":"x"}\n')
        self.assertIn("version 2", self.no_hive())

    def test_request_is_too_long(self) -> None:
        """A hive that closes while it is written to is still heard."""
        line = b'{"version":1,"ok":false,"error":"too long"}\n'
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        listener.bind(str(self.path))
        listener.listen()

        def serve() -> None:
            with listener, listener.accept()[0] as connection:
                connection.sendall(line)

        thread = Thread(target=serve, daemon=True)
        thread.start()
        error = self.assertRaises(
            Refused, Hive(self.path).ask, "send", {"body": "x" * 3_000_000}
        )
        thread.join(LIMIT)
        self.assertEqual(str(error), "too long")


class NoHiveTests(ClientCase):
    """What is said where no hive answers: what is wrong, and what to do. Status 3."""

    def test_missing(self) -> None:
        """No socket: no hive was started there."""
        text = self.no_hive()
        self.assertIn(f"{self.path} is missing", text)
        self.assertIn("hive-c0re serve", text)

    def test_dead(self) -> None:
        """A socket that nobody listens on: the hive has died."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
            listener.bind(str(self.path))
        text = self.no_hive()
        self.assertIn("refused", text)
        self.assertIn("Start it again", text)

    def test_not_permitted(self) -> None:
        """A socket that one may not use: whom it is for."""

        def refuse(one: socket.socket, path: str) -> None:
            raise PermissionError(errno.EACCES, "Permission denied")

        self.patch(socket.socket, "connect", refuse)
        text = self.no_hive()
        self.assertIn("Not permitted", text)
        self.assertIn("hive-admin", text)

    def test_path_too_long(self) -> None:
        """A path that no socket can have."""
        self.path = self.folder / ("x" * 200)
        self.assertIn("too long", self.no_hive())

    def test_goes_away(self) -> None:
        """A hive that closes without an answer."""
        self.stub()
        self.assertIn("went away", self.no_hive())

    def test_half_an_answer(self) -> None:
        """Half of an answer is none."""
        self.stub(ANSWER[:-1])
        self.assertIn("went away", self.no_hive())

    def test_another_program(self) -> None:
        """What does not speak the protocol is no hive."""
        for number, line in enumerate((b"HTTP/1.1 400 Bad Request\r\n", b"[]\n")):
            self.path = self.folder / f"{number}.sock"
            self.stub(line)
            self.assertIn("no hive", self.no_hive())

    def test_silent(self) -> None:
        """A wait for what should come at once is bounded."""
        self.patch(client, "QUICK_SECONDS", 0.0)
        self.stub(stays=True)
        self.assertIn("has not answered", self.no_hive())

    def test_too_much(self) -> None:
        """An answer is bounded too."""
        self.patch(client, "MAX_ANSWER", 100)
        self.stub(b"x" * 200)
        self.assertIn("too much", self.no_hive())

    def test_stream_ends(self) -> None:
        """A stream ends with the hive, or with its word that one reads too slowly."""
        self.stub(b'{"version":1,"ok":true,"seq":7}\n{"seq":8,"kind":"note"}\n')
        events = Hive(self.path).follow({})
        self.assertEqual(next(events).members["seq"], 8)
        self.assertRaises(NoHive, next, events)
        self.path = self.folder / "other.sock"
        self.stub(ANSWER + b'{"version":1,"ok":false,"error":"too slow"}\n')
        self.assertRaises(Refused, next, Hive(self.path).follow({}))


class SocketTests(ClientCase):
    """Which socket is meant."""

    def setUp(self) -> None:
        """Work in a folder of its own."""
        super().setUp()
        before = Path.cwd()
        self.addCleanup(os.chdir, before)
        os.chdir(self.folder)

    def test_order(self) -> None:
        """The flag, the environment, ``./.hive``, the default."""
        run_dir = "/run" if os.geteuid() == 0 else str(self.folder)
        self.patch(os, "environ", {**os.environ, "XDG_RUNTIME_DIR": run_dir})
        default = Path(run_dir) / "hyperhive" / "host.sock"
        self.assertEqual(find_socket(None, {}), default)
        here = Path(".hive/run/host.sock")
        here.parent.mkdir(parents=True)
        here.touch()
        self.assertEqual(find_socket(None, {}), here)
        environ = {"HYPERHIVE_SOCKET": "/e"}
        self.assertEqual(find_socket(None, environ), Path("/e"))
        self.assertEqual(find_socket("/f", environ), Path("/f"))
        self.assertEqual(find_socket("~/f", {}), Path.home() / "f")


class UsageTests(SynchronousTestCase):
    """What is typed wrongly is status 2, and nothing is asked."""

    def run_on(self, *words: str) -> tuple[int, str, str]:
        """Run a command; its status and what argparse printed."""
        out, err = StringIO(), StringIO()
        self.patch(sys, "stdout", out)
        self.patch(sys, "stderr", err)
        return run(words, console()), out.getvalue(), err.getvalue()

    def test_wrong(self) -> None:
        """The error names what is wrong."""
        for words, said_of_it in (
            ((), "COMMAND"),
            (("frobnicate",), "'frobnicate'"),
            (("spawn",), "NAME"),
            (("spawn", "a", "b"), "b"),
            (("requeue", "x"), "'x'"),
            (("start",), "NAME"),
            (("completion", "tcsh"), "'tcsh'"),
            (("list", "--frob"), "--frob"),
        ):
            status, out, err = self.run_on(*words)
            self.assertEqual((status, out), (2, ""), words)
            self.assertIn(said_of_it, err.splitlines()[-1])

    def test_help(self) -> None:
        """Help is for everything, with an example."""
        status, out, err = self.run_on("--help")
        self.assertEqual((status, err), (0, ""))
        self.assertIn("hive-c0re send bob", out)
        for words in (("send", "--help"), ("serve", "--help"), ("doctor", "-h")):
            status, out, err = self.run_on(*words)
            self.assertEqual((status, err), (0, ""))
            self.assertIn("example: hive-c0re ", out)

    def test_settings(self) -> None:
        """The daemon's settings are flags of serve, with their help."""
        _, out, _ = self.run_on("serve", "--help")
        self.assertIn("--state-dir DIR", out)
        self.assertIn("--demo", out)


class ProcessTests(ClientCase):
    """The program as a process."""

    def start(self, *words: str) -> "subprocess.Popen[bytes]":
        """Start it against our socket.

        Whoever runs the tests in the background of a shell ignores INT, and so would
        every child: ``env`` gives it back.
        """
        process = subprocess.Popen(
            [
                *("env", "--default-signal=INT", *PROGRAM),
                *("--socket", str(self.path), *words),
            ],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        self.addCleanup(process.communicate)
        self.addCleanup(process.kill)
        return process

    def lines(self, process: "subprocess.Popen[bytes]") -> Iterator[bytes]:
        """What it prints."""
        assert process.stdout is not None
        return iter(process.stdout)

    def test_interrupt(self) -> None:
        """Ctrl-C ends it without a word, with 130."""
        self.stub(ANSWER, b'{"seq":8,"kind":"note","text":"x"}\n', stays=True)
        process = self.start("events")
        next(self.lines(process))
        process.send_signal(signal.SIGINT)
        self.assertEqual(process.communicate(timeout=LIMIT), (b"", b""))
        self.assertEqual(process.returncode, 130)

    def test_nobody_reads(self) -> None:
        """A reader that has had enough ends it without a word."""
        event = b'{"seq":8,"kind":"note","text":"x"}\n'
        self.stub(ANSWER, event * 100_000)
        process = self.start("events")
        next(self.lines(process))
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        self.assertEqual(process.stderr.read(), b"")
        self.assertEqual(process.wait(LIMIT), 141)

    def test_quick(self) -> None:
        """What takes long to import is not needed to ask."""
        done = subprocess.run(
            [
                sys.executable,
                "-c",
                "import sys; from hyperhive.admin.cli import main\n"
                f"main(['--socket', {str(self.path)!r}, 'list'])\n"
                "print(*sorted(sys.modules))",
            ],
            capture_output=True,
            text=True,
            timeout=LIMIT,
            check=True,
        )
        for module in ("twisted", "zope.interface", "hyperhive.settings", "asyncio"):
            self.assertNotIn(module, done.stdout.split())
