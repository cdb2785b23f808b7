"""A fake of what the nixos driver asks of systemd, for hosts without one: units that are real processes.

It is a program: ``systemctl``, ``systemd-run`` and ``journalctl`` by the name that it is
called with, over the files of a :class:`~hyperhive.testing.nixos_container.World`. A
container is four processes deep, as with systemd: a keeper, which has systemd's part of
restarting what died; ``nspawn``; ``init``, which listens on a socket; and what it was
told to run. Nothing is isolated. As with the real ones a dead container's unit is active
for some moments, a client whose container went away exits with 0, and a killed nspawn
leaves something behind that the next ones trip over.

In the world's ``control`` folder a file ``version`` says which systemd this claims to be,
and ``template`` which file configures containers' units: empty if there are no such units.
"""

import contextlib
import ctypes
import errno
import fcntl
import json
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

#: How long systemd takes to notice a death (seconds).
UNNOTICED = 0.1
#: What a killed nspawn leaves.
STALE = "Mount point '/run/systemd/nspawn/unix-export/{}' exists already, refusing."
#: The signals by which an init is told to power off and to reboot.
POWEROFF, REBOOT = signal.SIGRTMIN + 3, signal.SIGRTMIN + 5
#: What a unit is when nothing happens to it any more.
AT_REST = ("inactive", "failed")
#: Its exit statuses for them.
OFF, AGAIN = 0, 133
#: Where a container finds the system that it runs.
CURRENT = "/run/current-system"
#: The mark of a container's processes, and of a unit's: systemd sets this variable too.
MARK = "INVOCATION_ID"

_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER = 1, 36


def prctl(option: int, value: int) -> None:
    """Set an attribute of this process."""
    ctypes.CDLL(None).prctl(option, value, 0, 0, 0)


def marked(mark: str) -> list[int]:
    """The processes that have a mark that begins so, zombies not among them."""
    found = []
    for name in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError):
            environment = b"\0" + Path(f"/proc/{name}/environ").read_bytes()
            if f"\0{MARK}={mark}".encode() in environment:
                found.append(int(name))
    return found


def send(pids: list[int], number: int) -> None:
    """Send processes a signal; some may be gone."""
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)


def exterminate(mark: str) -> None:
    """Leave none of the marked processes."""
    while pids := marked(mark):
        send(pids, signal.SIGKILL)
        reap()
        time.sleep(0.002)


def reap() -> dict[int, int]:
    """The children that have ended, and their wait statuses."""
    ended = {}
    with contextlib.suppress(ChildProcessError):
        while (pair := os.waitpid(-1, os.WNOHANG))[0]:
            ended[pair[0]] = pair[1]
    return ended


class Files:
    """What is on disk of a container's unit."""

    def __init__(self, root: Path, control: Path, name: str) -> None:
        self.control = control
        self.name = name
        self.conf = root / f"etc/nixos-containers/{name}.conf"
        self.root = root / f"var/lib/nixos-containers/{name}"
        self.units = root / "run/systemd/system"
        folder = control / "units"
        folder.mkdir(exist_ok=True)
        self.socket = folder / f"{name}.sock"
        self.stopping = folder / f"{name}.stop"
        self.stale = folder / f"{name}.stale"
        self._state = folder / f"{name}.json"
        self._journal = folder / f"{name}.log"
        self._lock = folder / f"{name}.lock"

    def state(self) -> dict[str, Any]:
        """Of the unit."""
        forgotten = {
            "active": "inactive",
            "sub": "dead",
            "result": "success",
            "pid": 0,
            "since": 0,
            "restarts": 0,
        }
        with contextlib.suppress(FileNotFoundError):
            forgotten.update(json.loads(self._state.read_text()))
        return forgotten

    def put(self, unless: tuple[str, ...] = (), **changes: Any) -> None:
        """Change the unit's state.

        :param unless: it is one of these by now.
        """
        with self._locked():
            state = self.state()
            if state["active"] not in unless:
                draft = self._state.with_suffix(f".{os.getpid()}")
                draft.write_text(
                    json.dumps({**state, **changes, "since": int(time.time())})
                )
                draft.replace(self._state)

    def forget(self) -> None:
        """As systemd does with a unit that nothing is wrong with."""
        with self._locked():
            self._state.unlink(missing_ok=True)

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        with self._lock.open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def say(self, text: str) -> None:
        """Into its journal."""
        with self._journal.open("a") as file:
            file.write(f"{text}\n")

    def said(self) -> str:
        """All of its journal."""
        return self._journal.read_text() if self._journal.exists() else ""

    def before_start(self) -> None:
        """What its drop-ins have run before it, if systemd has read them; or don't start."""
        reloaded = self.control / "reloaded"
        for file in self.units.glob(f"container@{self.name}.service.d/*.conf"):
            if not reloaded.exists() or file.stat().st_mtime > reloaded.stat().st_mtime:
                continue
            for line in file.read_text().splitlines():
                command = line.partition("ExecStartPre=")[2].replace("%i", self.name)
                if command:
                    words = shlex.split(command.replace("$$", "$"))
                    done = subprocess.run(words, capture_output=True, check=False)
                    self.say(done.stderr.decode().rstrip())
                    if done.returncode:
                        os._exit(1)

    def variables(self) -> dict[str, str]:
        """What its configuration sets."""
        pairs = (line.partition("=") for line in self.conf.read_text().splitlines())
        return {key: " ".join(shlex.split(value)) for key, _, value in pairs}


class Keeper:
    """Keeps a container as its unit says: starts it again when it died."""

    def __init__(self, files: Files) -> None:
        self.files = files

    def keep(self) -> NoReturn:
        """Until it is at rest."""
        prctl(_PR_SET_CHILD_SUBREAPER, 1)
        tries: list[float] = []
        while True:
            tries = [*tries, time.monotonic()][-6:]
            if len(tries) > 5 and tries[-1] - tries[0] < 10:
                self.files.put(active="failed", sub="failed", pid=0)
                os._exit(0)
            status = self.once()
            if self.files.stopping.exists():
                self.files.stopping.unlink()
                self.files.forget()
                os._exit(0)
            if status == OFF:
                self.files.put(active="inactive", sub="dead", pid=0, result="success")
                self.files.forget()
                os._exit(0)
            result = "success" if status == AGAIN else "exit-code"
            if status < 0:
                result = "signal"
                self.files.stale.write_text("6")
            self.files.put(
                active="activating", sub="auto-restart", pid=0, result=result
            )
            time.sleep(0.1)
            if self.files.stopping.exists():
                self.files.stopping.unlink()
                self.files.put(active="failed", sub="failed", pid=0)
                os._exit(0)

    def once(self) -> int:
        """Run it to its end."""
        self.files.put(active="activating", sub="start")
        mark = os.urandom(8).hex()
        ready, tell = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.close(ready)
            nspawn(self.files, mark, tell)
        os.close(tell)
        self.files.put(active="activating", sub="start", pid=pid)
        if os.read(ready, 1):
            self.files.put(active="active", sub="running", result="success")
        os.close(ready)
        while (ended := reap().get(pid)) is None:
            time.sleep(0.005)
        status = os.waitstatus_to_exitcode(ended)
        if self.files.state()["active"] == "active":
            time.sleep(UNNOTICED)
        exterminate(mark)
        return status


def nspawn(files: Files, mark: str, tell: int) -> NoReturn:
    """Run an init, hand on what it is told by TERM, and end after it."""
    if files.stale.exists():
        left = int(files.stale.read_text()) - 1
        files.say(STALE.format(files.name))
        if left:
            files.stale.write_text(str(left))
        else:
            files.stale.unlink()
        os._exit(1)
    files.before_start()
    variables = files.variables()
    for flag in variables.get("EXTRA_NSPAWN_FLAGS", "").split():
        option, _, value = flag.partition("=")
        source = value.partition(":")[0]
        if option in ("--bind", "--bind-ro") and not os.path.exists(source):
            files.say(f"Failed to stat {source}: No such file or directory")
            os._exit(1)
    if not os.access(variables.get("SYSTEM_PATH", "") + "/init", os.X_OK):
        files.say("execv(/nix/var/nix/profiles/system/init, ...) failed: No such file")
        os._exit(1)
    (files.root / "root").mkdir(parents=True, exist_ok=True)
    prctl(_PR_SET_CHILD_SUBREAPER, 1)
    parent = os.getpid()
    init = os.fork()
    if init == 0:
        prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(1)
        Init(files, mark).serve(tell)
    os.close(tell)
    signal.signal(signal.SIGTERM, lambda *_: send([init], POWEROFF))
    while True:
        ended = reap()
        if init in ended:
            break
        time.sleep(0.005)
    exterminate(mark)
    status = os.waitstatus_to_exitcode(ended[init])
    os._exit(status if status >= 0 else 1)


class Unit:
    """A process of a container, with all that it started."""

    def __init__(self, pid: int, mark: str, client: socket.socket) -> None:
        self.pid = pid
        self.mark = mark
        self.client = client
        self.wait_status: int | None = None
        self.grace: float | None = None
        self.over = False

    @property
    def ended(self) -> tuple[int, int]:
        """As ``ExecMainCode`` and ``ExecMainStatus``."""
        if self.wait_status is None:
            return 0, 0
        status = os.waitstatus_to_exitcode(self.wait_status)
        return (1, status) if status >= 0 else (2, -status)

    def stop(self) -> None:
        """TERM all of it, and later KILL what is left."""
        if self.grace is None:
            self.grace = time.monotonic() + 5
            send(marked(self.mark), signal.SIGTERM)

    def look(self) -> None:
        """See whether it is over, and tell the client."""
        if self.over or self.grace is None:
            return
        left = marked(self.mark)
        if left and time.monotonic() > self.grace:
            send(left, signal.SIGKILL)
        if left or self.wait_status is None:
            return
        self.over = True
        code, status = self.ended
        with contextlib.suppress(OSError):
            self.client.sendall(json.dumps(status if code == 1 else 255).encode())
        self.client.close()


class Init:
    """The systemd of a container."""

    def __init__(self, files: Files, mark: str) -> None:
        self.files = files
        self.mark = mark
        self.units: dict[str, Unit] = {}
        self.ending: int | None = None

    def serve(self, tell: int) -> NoReturn:
        """Until it is told to end."""
        prctl(_PR_SET_CHILD_SUBREAPER, 1)
        for number, status in ((POWEROFF, OFF), (REBOOT, AGAIN)):
            signal.signal(number, lambda *_, status=status: self.end(status))
        self.files.socket.unlink(missing_ok=True)
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(str(self.files.socket))
        listener.listen(50)
        listener.settimeout(0.005)
        os.write(tell, b"r")
        os.close(tell)
        while self.ending is None or any(not one.over for one in self.units.values()):
            with contextlib.suppress(TimeoutError):
                client, _ = listener.accept()
                self.answer(client)
            ended = reap()
            for unit in self.units.values():
                if unit.pid in ended:
                    unit.wait_status = ended[unit.pid]
                    unit.stop()
                unit.look()
        os._exit(self.ending)

    def end(self, status: int) -> None:
        """Power off, or reboot."""
        self.ending = status
        for unit in self.units.values():
            unit.stop()

    def answer(self, client: socket.socket) -> None:
        """One request, some with three descriptors."""
        client.settimeout(5)
        data, descriptors, _, _ = socket.recv_fds(client, 4 * 1024 * 1024, 3)
        while not data.endswith(b"\n"):
            data += client.recv(65536)
        request = json.loads(data)
        if request["do"] == "run":
            self.run(client, request, descriptors)
            return
        reply = getattr(self, f"do_{request['do'].replace('-', '_')}")(request)
        client.sendall(json.dumps(reply).encode())
        client.close()

    def run(
        self, client: socket.socket, request: dict[str, Any], descriptors: list[int]
    ) -> None:
        """Start a unit; the client hears of its end."""
        mark = self.mark + os.urandom(8).hex()
        # Python's own handlers would lose what comes before the program is there.
        held = {signal.SIGINT, signal.SIGTERM}
        signal.pthread_sigmask(signal.SIG_BLOCK, held)
        pid = os.fork()
        if pid == 0:
            for one in held:
                signal.signal(one, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, held)
        if pid == 0:
            os.setsid()
            for number, descriptor in enumerate(descriptors):
                os.dup2(descriptor, number)
            os.closerange(3, 1000)
            self.execute(request, mark)
        for descriptor in descriptors:
            os.close(descriptor)
        self.units[request["unit"]] = Unit(pid, mark, client)

    def execute(self, request: dict[str, Any], mark: str) -> NoReturn:
        """Become the program."""
        environment = {**request["environment"], MARK: mark}
        with contextlib.suppress(OSError):
            os.chdir("/")
        try:
            os.chdir(request["directory"])
        except OSError:
            os._exit(200)
        program, search = request["argv"][0], request["search"]
        candidates = (
            [program]
            if "/" in program
            else [f"{folder}/{program}" for folder in search.split(":")]
        )
        system = self.files.variables().get("SYSTEM_PATH", "")
        for candidate in candidates:
            # The one folder that is a container's own although nothing is isolated.
            if candidate.startswith(f"{CURRENT}/"):
                candidate = system + candidate.removeprefix(CURRENT)
            with contextlib.suppress(OSError):
                os.execve(candidate, request["argv"], environment)  # no shell is wanted
        os._exit(203)

    def do_kill(self, request: dict[str, Any]) -> list[Any]:
        """Signal its main process, or all of it."""
        unit = self.units.get(request["unit"])
        if request["whom"] == "main":
            if unit is None or unit.wait_status is not None:
                return [1, f"Failed to kill unit {request['unit']}: No main process"]
            send([unit.pid], request["signal"])
        elif unit is not None:
            send(marked(unit.mark), request["signal"])
        return [0, ""]

    def do_stop(self, request: dict[str, Any]) -> list[Any]:
        """Begin to end a unit."""
        unit = self.units.get(request["unit"])
        if unit is not None:
            unit.stop()
        return [0, ""]

    def do_show(self, request: dict[str, Any]) -> list[Any]:
        """What is known of a unit: nothing once it has ended well."""
        unit = self.units.get(request["unit"])
        code, status = unit.ended if unit else (0, 0)
        known = unit is not None and not (unit.over and (code, status) == (1, 0))
        active = "inactive"
        if unit and known:
            active = "failed" if unit.over else "activating"
        fields = {
            "LoadState": "loaded" if known else "not-found",
            "ActiveState": active,
            "Result": "signal" if code == 2 else "exit-code",
            "ExecMainCode": code if known else 0,
            "ExecMainStatus": status if known else 0,
        }
        return [0, "".join(f"{key}={value}\n" for key, value in fields.items())]

    def do_reset_failed(self, request: dict[str, Any]) -> list[Any]:
        """Forget a failure."""
        unit = self.units.get(request["unit"])
        if unit is not None and unit.over:
            del self.units[request["unit"]]
        return [0, ""]

    def do_list_units(self, request: dict[str, Any]) -> list[Any]:
        """All units, whatever their names."""
        rows = (f"{name} loaded activating start {name}\n" for name in self.units)
        return [0, "".join(rows)]


class Client:
    """One call of ``systemctl``, ``systemd-run`` or ``journalctl``."""

    def __init__(self, root: Path, control: Path, words: list[str]) -> None:
        self.root = root
        self.control = control
        self.options: dict[str, str] = {}
        self.properties: dict[str, str] = {}
        self.environment: dict[str, str] = {}
        self.words: list[str] = []
        rest = iter(words)
        for word in rest:
            if word == "--":
                self.words += rest
            elif word == "-p":
                key, _, value = next(rest).partition("=")
                before = self.properties.get(key)
                self.properties[key] = f"{before}:{value}" if before else value
            elif word == "-E":
                key, given, value = next(rest).partition("=")
                self.environment[key] = value if given else os.environ[key]
            elif word in ("--unit", "--lines"):
                self.options[word] = next(rest)
            elif word.startswith("-"):
                key, _, value = word.partition("=")
                self.options[key] = value
            else:
                self.words.append(word)

    def files(self, unit: str) -> Files:
        """The files of a container's unit."""
        match = re.fullmatch(r"container@([a-z0-9-]+)(?:\.service)?", unit)
        if match is None:
            sys.exit(f"Invalid unit name {unit}")
        return Files(self.root, self.control, match[1])

    @property
    def version(self) -> int:
        """Which systemd it claims to be."""
        file = self.control / "version"
        return int(file.read_text()) if file.exists() else 257

    # systemctl

    def systemctl(self) -> None:
        """Do what is asked of the host's units, or of a container's."""
        if "--version" in self.options:
            print(f"systemd {self.version} (fake)")
            return
        action, *units = self.words
        if "--machine" in self.options:
            self.inside(action, units)
            return
        if action == "show":
            print("\n".join(self.shown(unit) for unit in units), end="")
        elif action == "start":
            self.start(self.files(units[0]))
        elif action == "stop":
            self.stop(self.files(units[0]))
        elif action == "kill":
            self.kill(self.files(units[0]))
        elif action == "reset-failed":
            self.reset(self.files(units[0]))
        elif action == "daemon-reload":
            (self.control / "reloaded").touch()
        else:
            sys.exit(f"Unknown command verb {action}.")

    def shown(self, unit: str) -> str:
        """The properties of a unit."""
        files = self.files(unit)
        state = files.state()
        template = self.control / "template"
        file = template.read_text() if template.exists() else str(files.conf)
        fields = {
            "Id": f"container@{files.name}.service",
            "LoadState": "loaded" if file else "not-found",
            "ActiveState": state["active"],
            "SubState": state["sub"],
            "Result": state["result"],
            "MainPID": state["pid"],
            "EnvironmentFiles": f"{file} (ignore_errors=yes)" if file else "",
            "StateChangeTimestamp": f"@{state['since']}" if state["since"] else "",
        }
        asked = self.properties or fields
        return "".join(f"{key}={fields[key]}\n" for key in fields if key in asked)

    def start(self, files: Files) -> None:
        """Start a container and wait until it is ready, or has failed once."""
        state = files.state()
        if state["active"] == "active":
            return
        if state["active"] != "activating":
            files.put(active="activating", sub="start")
            if os.fork() == 0:
                detach()
                Keeper(files).keep()
        while (state := files.state())["active"] == "activating":
            if state["sub"] == "auto-restart":
                break
            time.sleep(0.01)
        if state["active"] != "active":
            sys.exit(
                f"Job for container@{files.name}.service failed because the control "
                "process exited with error code."
            )

    def stop(self, files: Files) -> None:
        """Have a container end, and wait."""
        state = files.state()
        if state["active"] in AT_REST:
            return
        files.stopping.touch()
        told = 0
        while (state := files.state())["active"] not in AT_REST:
            if state["pid"] and state["pid"] != told:
                told = state["pid"]
                files.put(AT_REST, active="deactivating", sub="stop-sigterm")
                send([told], signal.SIGTERM)
            time.sleep(0.01)

    def kill(self, files: Files) -> None:
        """Kill its nspawn, with which all the rest goes."""
        pid = files.state()["pid"]
        if pid:
            send([pid], signal.SIGKILL)

    def reset(self, files: Files) -> None:
        """Forget that it failed."""
        if files.state()["active"] != "failed":
            sys.exit(f"Failed to reset failed state of unit {files.name}: not loaded.")
        files.forget()
        if files.stale.exists():
            # Even then the first start trips over it.
            files.stale.write_text("1")

    def inside(self, action: str, units: list[str]) -> None:
        """Have it done by the init of a container."""
        name = self.options["--machine"]
        number = self.options.get("--signal", "TERM")
        for unit in units:
            reply = self.ask(
                name,
                {
                    "do": action,
                    "unit": unit,
                    "whom": self.options.get("--kill-whom", "all"),
                    "signal": int(number)
                    if number.isdigit()
                    else int(signal.Signals[f"SIG{number}"]),
                },
            )
            if reply is None:
                sys.exit("Failed to connect to bus: Host is down")
            status, text = json.loads(reply)
            print(text, end="", file=sys.stderr if status else sys.stdout)
            if action == "stop":
                self.wait_for_end(name, unit)
            if status:
                sys.exit(status)

    def wait_for_end(self, name: str, unit: str) -> None:
        """As a stop does."""
        while reply := self.ask(name, {"do": "show", "unit": unit}):
            if b"=activating" not in reply:
                return
            time.sleep(0.01)

    def ask(
        self, name: str, request: dict[str, Any], descriptors: tuple[int, ...] = ()
    ) -> bytes | None:
        """What an init answers; none if there is none that could, empty if it died."""
        asked = socket.socket(socket.AF_UNIX)
        try:
            asked.connect(str(self.control / f"units/{name}.sock"))
            data = json.dumps(request).encode() + b"\n"
            sent = socket.send_fds(asked, [data], descriptors)
            if data[sent:]:
                asked.sendall(data[sent:])
            return asked.recv(1024 * 1024)
        except OSError as error:
            if error.errno in (errno.ECONNRESET, errno.EPIPE):
                return b""
            return None

    # systemd-run

    def systemd_run(self) -> None:
        """Run a command, in a container as a unit."""
        if "--machine" not in self.options:
            os.execvp(self.words[0], self.words)  # no shell is wanted
        argv = self.words
        if "--expand-environment" in self.options and self.version < 254:
            sys.exit("systemd-run: unrecognized option '--expand-environment=no'")
        if self.options.get("--expand-environment") != "no":
            argv = [argv[0], *(self.expanded(word) for word in argv[1:])]
        search = self.properties.get("ExecSearchPath", "/usr/bin:/bin")
        reply = self.ask(
            self.options["--machine"],
            {
                "do": "run",
                "unit": self.options["--unit"],
                "argv": argv,
                "environment": self.environment,
                "search": search,
                "directory": self.options["--working-directory"],
            },
            (0, 1, 2),
        )
        if reply is None:
            sys.exit("Failed to connect to bus: Host is down")
        if not reply:
            # That is how the real one takes it.
            sys.exit(0)
        sys.exit(json.loads(reply))

    def expanded(self, word: str) -> str:
        """As systemd expands an argument."""
        return re.sub(
            r"\$(?:\$|(\w+)|\{(\w+)\})",
            lambda match: (
                "$"
                if match[0] == "$$"
                else self.environment.get(match[1] or match[2], "")
            ),
            word,
        )

    def journalctl(self) -> None:
        """The end of what a unit has said; of a machine, what its container has."""
        machine = self.options.get("--machine")
        unit = (
            self.options["--unit"]
            if machine is None
            else f"container@{machine}.service"
        )
        lines = self.files(unit).said().splitlines()[-int(self.options["--lines"]) :]
        print("\n".join(lines if machine is None else lines[::-1]))


def detach() -> None:
    """Be nobody's child, with nobody's streams."""
    os.setsid()
    if os.fork():
        os._exit(0)
    null = os.open(os.devnull, os.O_RDWR)
    for number in range(3):
        os.dup2(null, number)
    os.closerange(3, 1000)


def main(root: str, control: str, program: str, *words: str) -> None:
    """Be one of the three programs."""
    client = Client(Path(root), Path(control), list(words))
    getattr(client, program.replace("-", "_"))()
