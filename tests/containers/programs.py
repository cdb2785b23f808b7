"""The programs that the behaviour suite runs: as shell commands, and for the fake as functions."""

import signal
from collections.abc import Callable

from attrs import frozen

from hyperhive.testing.containers import MemoryProcess


@frozen
class TestProgram:
    """One program, said twice.

    :param argv: the real one.
    :param fake: what it does in the fake.
    """

    argv: tuple[str, ...]
    fake: Callable[[MemoryProcess], None]


def _sh(script: str) -> tuple[str, ...]:
    return ("sh", "-c", script)


def _cat(process: MemoryProcess) -> None:
    process.says(process.command.stdin)
    process.exits()


def _arguments(process: MemoryProcess) -> None:
    for argument in process.command.argv[2:]:
        process.says(f"<{argument}>\n".encode())
    process.exits()


def _environment(process: MemoryProcess) -> None:
    for key, value in process.command.environment.items():
        process.says(f"{key}={value}\0".encode())
    process.exits()


def _directory(process: MemoryProcess) -> None:
    process.says(f"{process.command.directory}\n".encode())
    process.exits()


def _both(process: MemoryProcess) -> None:
    process.says(b"out\n")
    process.complains(b"err\n")
    process.exits()


def _much(process: MemoryProcess) -> None:
    for _ in range(100):
        process.says(bytes(10_000))
    process.exits()


def _ready(process: MemoryProcess) -> None:
    process.says(b"ready\n")


def _deaf(process: MemoryProcess) -> None:
    for number in (signal.SIGINT, signal.SIGTERM):
        process.handlers[number] = lambda number=number: process.says(
            f"{signal.Signals(number).name[3:]}\n".encode()
        )
    process.says(b"ready\n")


def _alone(process: MemoryProcess) -> None:
    def told() -> None:
        process.says(b"parent\n")
        process.exits(3)

    process.handlers[signal.SIGTERM] = process.handlers[signal.SIGINT] = told
    process.says(b"ready\n")


def _family(process: MemoryProcess) -> None:
    process.descendants = 3
    process.says(b"ready\n")


def _leaver(process: MemoryProcess) -> None:
    process.descendants = 1
    process.says(b"ready\n")
    process.exits(4)


def _replies(process: MemoryProcess) -> None:
    def read(line: bytes) -> None:
        process.says(b"<%s>\n" % line.strip())
        if b"two" in line:
            process.exits(3)

    process.reader = read
    process.says(b"ready\n")


CAT = TestProgram(("cat",), _cat)
#: Prints each of its arguments in angle brackets, on lines.
ARGUMENTS = TestProgram(("printf", "<%s>\\n"), _arguments)
ENVIRONMENT = TestProgram(("env", "-0"), _environment)
DIRECTORY = TestProgram(("pwd",), _directory)
TRUE = TestProgram(("true",), lambda process: process.exits())
#: Says each of two lines that it reads, in angle brackets.
REPLIES = TestProgram(
    _sh('echo ready; read a; echo "<$a>"; read b; echo "<$b>"; exit 3'), _replies
)
SEVEN = TestProgram(_sh("exit 7"), lambda process: process.exits(7))
HIGHEST = TestProgram(_sh("exit 255"), lambda process: process.exits(255))
SUICIDE = TestProgram(_sh("kill -TERM $$"), lambda process: process.terminate())
#: Says "out" and "err" where they belong.
BOTH = TestProgram(_sh("echo out; echo err >&2"), _both)
#: Says a million zero bytes.
MUCH = TestProgram(("head", "-c", "1000000", "/dev/zero"), _much)
#: Says "ready" and stays.
STAYS = TestProgram(_sh("echo ready; exec sleep 1000000"), _ready)
#: Stays, and says nothing.
SILENT = TestProgram(("sleep", "1000000"), lambda process: None)
#: Stays, and says by which signal it was to be ended.
DEAF = TestProgram(
    _sh(
        "trap 'echo INT' INT; trap 'echo TERM' TERM; echo ready; "
        "while :; do sleep 0.01; done"
    ),
    _deaf,
)
#: Says "parent" at a signal, and "child" if what it waits for got it too.
ALONE = TestProgram(
    _sh(
        "trap 'echo parent' INT TERM; "
        "sh -c 'trap \"echo child\" INT TERM; echo ready; sleep 0.3'; exit 3"
    ),
    _alone,
)
#: Stays, with children: one deaf, one in a session of its own, one whose parent is gone.
FAMILY = TestProgram(
    _sh(
        "sh -c 'trap \"\" INT TERM HUP; sleep 1000000' & "
        "setsid sleep 1000000 & "
        "(setsid sh -c 'sleep 1000000 & sleep 1000000' &) ; "
        "echo ready; wait"
    ),
    _family,
)
#: Ends, and leaves a child behind that holds its streams.
LEAVER = TestProgram(_sh("sleep 1000000 & echo ready; exit 4"), _leaver)
