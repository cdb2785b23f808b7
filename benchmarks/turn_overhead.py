"""What the hive adds to a turn of claude: ``python -m benchmarks.turn_overhead``.

Two hives and a shell run the same claude in turns, with the same flags and prompt, each
with a session and a folder of its own, all with the hive's tools over ``socat``, against
the stand-in for the Messages API, which answers at once. One hive's claude is in a
bubblewrap sandbox; the other's is not, as the shell's, which shows what the sandbox costs.

``claude`` is a script of two lines that writes the time (bash's ``EPOCHREALTIME``) and
executes the real one; it is the same for all of them. Measured are

start: from before the message is given to the admin socket, or the shell is started, to
    that time;
end: from claude's ``result`` line, as it is read from the event stream or from the pipe,
    to the event that the message is done, or to the shell's exit;
whole: both and what lies between.

The overhead is the difference of a hive's run and the shell's of the same round; who is
first changes from round to round.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections import deque
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from attrs import asdict, frozen

from benchmarks.results import keep, machine
from benchmarks.stamped import LOGIN, executed, stamped
from hyperhive.agents import prompts
from hyperhive.agents.claude import (
    Capabilities,
    turn_command,
    write_turn_files,
)
from hyperhive.agents.config import AgentConfig
from hyperhive.agents.executable import Executable
from hyperhive.messages.interfaces import Message, MessageState, Turn
from hyperhive.settings import Layout
from hyperhive.testing.claude_cli import VERSION
from tests.daemon import LIMIT, Daemon
from tests.e2e.stand_in import StandIn

BODY = "[[say Good morning.]]"
#: Runs of each before the first that counts: caches, sessions, the probe of the flags.
WARM_UP = 2
MODEL = "haiku"
DRIVERS = ("bubblewrap", "process")


@frozen
class Sample:
    """One turn; seconds."""

    start: float
    end: float
    whole: float


class Hive:
    """The way of a hive with one of the drivers."""

    def __init__(self, claude: Path, api: StandIn, driver: str) -> None:
        self.daemon = Daemon(
            *("--containers", driver, "--claude", str(claude)),
            *("--model", MODEL),
            environment={"ANTHROPIC_BASE_URL": api.url, **LOGIN},
        ).start()
        for name in ("bob", "bare"):
            self.daemon.do(cmd="spawn", name=name)
        self._events = self.daemon.events("message", "turn", "stream")
        layout = Layout(self.daemon.state, self.daemon.run)
        self._home = layout.home("bob")
        #: The socket of an agent that has no turns.
        self.free_socket = layout.mcp_socket("bare")

    def run(self) -> Sample:
        """One turn."""
        begun = time.time()
        number = self.daemon.send("bob", BODY)
        self._events.until(
            lambda event: (
                event["kind"] == "stream" and event["event"].get("type") == "result"
            )
        )
        said = time.time()
        self._events.until(
            lambda event: event["kind"] == "message_done" and event["id"] == number
        )
        done = time.time()
        end = self._events.until(lambda event: event["kind"] == "turn_end")
        assert end["outcome"] == "ok", end
        return Sample(executed(self._home) - begun, done - said, done - begun)


class Shell:
    """The bare way."""

    def __init__(self, claude: Path, api: StandIn, folder: Path, socket: Path) -> None:
        layout = Layout(folder, folder / "run")
        for path in (
            *(layout.home("bare"), layout.claude("bare")),
            *(layout.notes("bare"), layout.socket_dir("bare")),
        ):
            path.mkdir(parents=True)
        text = subprocess.run(
            [claude, "--help"],
            env={"PATH": os.environ["PATH"], "HOME": str(folder)},
            capture_output=True,
            text=True,
            check=True,
            timeout=LIMIT,
        )
        message = Message(1, "operator", "bob", BODY, 0.0, MessageState.LEASED)
        temporary = layout.home("bare") / "tmp"
        temporary.mkdir()
        words = prompts.system_prompt(
            "agent", "bob", "/state", 60.0, "", "", "agent.toml"
        )
        self._command = turn_command(
            Executable((claude,), (), demo=False, version_source=claude),
            Capabilities.from_help(text.stdout),
            layout=layout,
            name="bare",
            role="agent",
            model=MODEL,
            prompt=prompts.wake(Turn(1, "bob", 0.0, message, 0), 0.0),
            fresh=False,
            files=write_turn_files(layout.socket_dir("bare"), words, str(socket), {}),
            environment={"ANTHROPIC_BASE_URL": api.url, **LOGIN},
            temporary=str(temporary),
            inside=str,
            config=AgentConfig(),
        )
        self._home = layout.home("bare")

    def run(self) -> Sample:
        """One turn."""
        command = self._command
        begun = time.time()
        process = subprocess.Popen(
            ["/bin/sh", "-c", 'exec "$@"', "sh", *command.argv],
            env=dict(command.environment),
            cwd=command.directory,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(command.stdin)
        process.stdin.close()
        said = 0.0
        with process.stdout as lines:
            for line in lines:
                event = json.loads(line)
                if event["type"] == "result":
                    said = time.time()
                    assert not event["is_error"], event
        assert process.wait(LIMIT) == 0
        done = time.time()
        assert said, "claude said no result"
        return Sample(executed(self._home) - begun, done - said, done - begun)


def measure(claude: Path, rounds: int, folder: Path) -> dict[str, list[Sample]]:
    """Run all in turns. No way follows itself: what it left to do is done by then."""
    with ExitStack() as stack:
        api = stack.enter_context(StandIn())
        ways: dict[str, Hive | Shell] = {}
        for driver in DRIVERS:
            hive = Hive(claude, api, driver)
            stack.callback(hive.daemon.remove)
            ways[driver] = hive
        ways["bare"] = Shell(claude, api, folder, hive.free_socket)
        samples: dict[str, list[Sample]] = {name: [] for name in ways}
        order = deque(ways)
        for number in range(WARM_UP + rounds):
            for name in order:
                sample = ways[name].run()
                if number >= WARM_UP:
                    samples[name].append(sample)
            order.rotate(-1)
    return samples


def summarise(samples: dict[str, list[Sample]]) -> list[dict[str, Any]]:
    """Medians and spreads in milliseconds, and the ratio of the medians."""
    rows = []
    for driver in DRIVERS:
        for part in ("start", "end", "whole"):
            hive, bare = (
                [1000 * getattr(one, part) for one in samples[way]]
                for way in (driver, "bare")
            )
            added = sorted(a - b for a, b in zip(hive, bare, strict=True))
            rows.append(
                {
                    "containers": driver,
                    "part": part,
                    "hive_p50": statistics.median(hive),
                    "bare_p50": statistics.median(bare),
                    "added_p50": statistics.median(added),
                    "added_min": added[0],
                    "added_max": added[-1],
                    "ratio": statistics.median(hive) / statistics.median(bare),
                }
            )
    return rows


def table(rows: list[dict[str, Any]], count: int) -> str:
    """The figures in Markdown."""
    lines = [
        "| containers | part | hive p50 | bare p50 | added p50 | added, least to most | ratio |",
        "|---|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {row['containers']} | {row['part']} "
        f"| {row['hive_p50']:.1f} ms | {row['bare_p50']:.1f} ms "
        f"| {row['added_p50']:.1f} ms | {row['added_min']:.1f} to {row['added_max']:.1f} ms "
        f"| {row['ratio']:.3f} |"
        for row in rows
    ]
    return "\n".join([*lines, "", f"{count} turns each."])


def programs() -> dict[str, str]:
    """The versions of what is measured."""
    bubblewrap = subprocess.run(
        ["bwrap", "--version"], capture_output=True, text=True, check=True
    )
    return {"claude": VERSION, "bubblewrap": bubblewrap.stdout.split()[-1]}


def main(arguments: list[str]) -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description="What the hive adds to a turn.")
    parser.add_argument("--rounds", type=int, default=20)
    options = parser.parse_args(arguments)
    where = machine() | programs()
    with stamped() as claude, tempfile.TemporaryDirectory(prefix="bare-") as folder:
        samples = measure(claude, options.rounds, Path(folder))
    rows = summarise(samples)
    raw = {way: [asdict(one) for one in found] for way, found in samples.items()}
    keep("turn_overhead", where, {"milliseconds": rows, "samples_seconds": raw})
    print(table(rows, options.rounds))


if __name__ == "__main__":
    main(sys.argv[1:])
