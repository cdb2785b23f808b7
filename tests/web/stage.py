"""Serve the pages over an invented swarm, to look at them.

``python -m tests.web.stage`` prints a login link and plays on until interrupted.
"""

import argparse
import itertools
import json
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from twisted.internet import asyncioreactor

if "twisted.internet.reactor" not in sys.modules:
    asyncioreactor.install()

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import LoopingCall, react

from hyperhive.agents.interfaces import Tombstone
from hyperhive.deferreds import deferred
from hyperhive.deploy.interfaces import Deployed
from hyperhive.messages.interfaces import Outcome, TurnEnd, TurnRecord, Usage
from hyperhive.settings import PortRange
from hyperhive.times import rfc3339
from tests.web.crowd import gather
from tests.web.past import remember
from tests.web.support import Hive

Event = dict[str, Any]

_ALICE_TASK = (
    "The nightly import fails since yesterday. Find out why, fix it, and tell bob "
    "what changed in the schema. Logs are in /state/logs."
)
_FINDING = """The import stopped at row 48,213: `price` came with a comma as the decimal mark.

- cause: the supplier switched its export to a German locale on 29 January
- fix: `parse_price` now accepts both marks and refuses what is ambiguous
- tests: 14 new cases; all 212 pass"""


_DIFF = """\
diff --git a/agent.toml b/agent.toml
--- a/agent.toml
+++ b/agent.toml
@@ -1,3 +1,6 @@
-model = "haiku"
+model = "sonnet"

 [tools]
+bash = ["git *", "python -m pytest *"]
"""
_LOG = (
    "fetching 0 of 3 paths from the cache",
    "building '/nix/store/9y1…-agent-config.drv'…",
    "these 2 derivations will be built:",
    "  /nix/store/1sk…-python3-3.11.9-env.drv",
    "  /nix/store/hq2…-nixos-system-carol.drv",
    "building '/nix/store/1sk…-python3-3.11.9-env.drv'…",
)
_JOBS: tuple[Event, ...] = (
    {"kind": "create", "agent": "alice", "state": "done"},
    {
        "kind": "rebuild",
        "agent": "bob",
        "state": "failed",
        "note": "agent.toml, line 3: modle is not a key; there are environment, limits, model.",
    },
    {
        "kind": "rebuild",
        "agent": "carol",
        "state": "running",
        "step": "builds",
        "cancellable": True,
    },
)


def _assistant(*blocks: Event) -> Event:
    return {"type": "assistant", "message": {"role": "assistant", "content": blocks}}


def _tool(call: str, name: str, **fields: Any) -> Event:
    return _assistant({"type": "tool_use", "id": call, "name": name, "input": fields})


def _result(call: str, text: str, error: bool = False) -> Event:
    block = {
        "type": "tool_result",
        "tool_use_id": call,
        "content": text,
        "is_error": error,
    }
    return {"type": "user", "message": {"role": "user", "content": [block]}}


def _text(text: str) -> Event:
    return _assistant({"type": "text", "text": text})


def _scene() -> Iterator[Event]:
    """What alice's stream says in the turn that the pictures show."""
    yield {
        "type": "system",
        "subtype": "init",
        "session_id": "7c1e9a52-90d3-4a55-8f0a-2b7f1f9d1c11",
        "model": "claude-sonnet-4-5",
        "mcp_servers": [{"name": "hyperhive", "status": "connected"}],
    }
    yield _assistant(
        {
            "type": "thinking",
            "thinking": "The failure began yesterday, so something in the input "
            "changed. First the log, then the last rows that were read.",
        }
    )
    yield _text("I'll look at the log first, then at the row where it stopped.")
    yield _tool("t1", "Bash", command="tail -n 40 /state/logs/import-0130.log")
    yield _result(
        "t1",
        "02:00:01 begin import of 61,004 rows\n02:00:09 row 48213: ValueError: could "
        "not convert string to float: '1.299,00'\n02:00:09 rolled back\n",
    )
    yield _tool("t2", "Grep", pattern="def parse_price", path="/state/shop")
    yield _result("t2", "/state/shop/prices.py:31")
    yield _tool("t3", "Read", file_path="/state/shop/prices.py", offset=20, limit=40)
    yield _result("t3", "def parse_price(text):\n    return float(text)\n" * 8)
    yield {
        "type": "system",
        "subtype": "api_retry",
        "attempt": 1,
        "max_retries": 3,
        "retry_delay_ms": 1130,
        "error_status": 529,
        "error": "overloaded",
    }
    yield _tool(
        "t4",
        "Edit",
        file_path="/state/shop/prices.py",
        old_string="def parse_price(text):\n    return float(text)",
        new_string="def parse_price(text: str) -> Decimal:\n"
        '    """A price with either decimal mark."""\n'
        "    return Decimal(_with_point(text))",
    )
    yield _result("t4", "The file /state/shop/prices.py has been updated.")
    yield _tool(
        "t5", "Bash", command="python -m pytest -q", description="run the tests"
    )
    yield _result(
        "t5", "." * 72 + "\n" + "." * 72 + "\n" + "." * 68 + "\n212 passed in 4.18s"
    )
    yield _text(_FINDING)
    yield _tool(
        "t6",
        "mcp__hyperhive__send",
        to="bob",
        body="prices.amount is a NUMERIC(12,2) now, no longer a REAL. Your report "
        "reads it in weekly.sql: please check the rounding there.",
    )
    yield _result("t6", "sent as 21")
    yield _tool("t7", "Bash", command="git -C /state/shop push origin fix-prices")
    yield _result("t7", "fatal: unable to access 'origin': no credentials", error=True)


class Stage:
    """An invented swarm that goes on living.

    :param folder: an empty folder.
    """

    def __init__(
        self, clock: Any, folder: Path, demo: bool = False, ports: bool = True
    ) -> None:
        self.clock = clock
        self.began = time.time()
        #: When what is set up happens; ``None``: now.
        self.moment: float | None = None
        self.hive = Hive(
            clock,
            folder,
            lambda: time.time() if self.moment is None else self.moment,
            demo=demo,
            isolated=not demo,
            dashboard="tcp:0:interface=127.0.0.1",
            manager_port=0,
            agent_ports=PortRange(20000, 60000) if ports else None,
            public_url="http://localhost/",
        )
        self._numbers = itertools.count(1)

    @deferred
    async def open(self) -> None:
        """Listen, with everybody on the stage."""
        await self.hive.web.start()
        self._cast()
        await self.hive.database.write(
            lambda connection: remember(connection, self.began)
        )
        await self._letters()
        await self._decisions()
        await self.hive.today.load()
        self.hive.today.stop()
        for name in self.hive.agents.names():
            self._past(name)
            if tally := self.hive.today.of(name):
                self.hive.agents.change(
                    name,
                    turns_today=tally.turns,
                    cost_today=tally.cost_usd,
                    state=self.hive.agents.status(name).state,
                )
            await self.hive.web.pages.agent_added(name, self.hive.agents.role(name))
            self.hive.agents.change(
                name,
                url=self.hive.web.pages.url(name),
                state=self.hive.agents.status(name).state,
            )

    async def _decisions(self) -> None:
        """What waits for the operator, and what is done about it."""
        decisions = self.hive.decisions
        decisions.deployer.text = _DIFF
        await decisions.approvals.request_apply_commit(
            "alice",
            "4f1c9e2ab7",
            "manager",
            "alice reads German price lists now: a bigger model, and only the commands "
            "that the import needs. A cheaper way was tried first: bob has no room.",
        )
        await decisions.questions.ask(
            "bob",
            "Two suppliers send the same article under different numbers. Which one "
            "counts?",
            ("the older", "the cheaper"),
            ttl_seconds=7200,
        )
        for age, row in enumerate(_JOBS):
            at = rfc3339(self.began - 60 * (len(_JOBS) - age))
            row = {**row, "id": age + 1, "by": "operator", "queued_at": at}
            ended = row["state"] != "running"
            times = {"started_at": at, **({"ended_at": at} if ended else {})}
            self.hive.deploys.rows.insert(0, {**row, **times})
        self.hive.deploys.deployed["alice"] = [
            Deployed(9, "4f1c9e2ab7" * 4, self.began - 4000, True),
            Deployed(4, "c07d61ee90" * 4, self.began - 90_000, False),
        ]
        self.hive.deploys.logs = dict.fromkeys((1, 2, 3), _LOG)
        self.hive.agents.kept["erin"] = Tombstone(
            "erin", 48_213_000, self.began - 86_400, True
        )

    async def link(self, kind: str, id: int) -> str:
        """The address of a one-time link."""
        assert self.hive.links is not None
        path = (await self.hive.links.make(kind, id)).removeprefix("http://localhost/")
        return f"{self.hive.web.url}{path}"

    def play(self) -> LoopingCall:
        """Let bob work, one step every two seconds."""
        steps = itertools.cycle(_scene())
        playing = LoopingCall(lambda: self.stream("bob", next(steps)))
        playing.clock = self.clock
        playing.start(2.0, now=False)
        return playing

    def stream(self, name: str, event: Event) -> None:
        """Let an agent's claude say something now."""
        self.hive.bus.publish("stream", {"event": event}, name)

    def _cast(self) -> None:
        agents, now = self.hive.agents, self.began
        agents.change(
            "hm1nd",
            model="opus",
            context=61_200,
            state="idle",
            state_since=now - 340,
            status_text="waiting for alice's finding",
            last_turn=self._turn("hm1nd", 340, 48.2, 0.21),
        )
        agents.add(
            "alice",
            model="sonnet",
            working=True,
            state="working",
            state_since=now - 134,
            tool="Bash",
            unread=2,
            context=118_400,
            status_text="fixing the nightly import",
            last_turn=self._turn("alice", 1290, 212, 0.84),
        )
        agents.add(
            "bob",
            state="working",
            working=True,
            state_since=now - 21,
            context=23_900,
            last_turn=self._turn("bob", 2420, 31, 0.03),
        )
        agents.add(
            "carol",
            state="parked",
            state_since=now - 1500,
            state_until=now + 3100,
            parked_until=now + 3100,
            state_note="Anthropic's usage limit is reached; it goes on by itself.",
            unread=1,
            context=171_000,
            model="opus",
            last_turn=self._turn("carol", 1500, 9, 0.02, Outcome.RATE_LIMITED),
        )
        agents.add(
            "dora",
            needs_login=True,
            state="needs login",
            state_since=now - 7400,
            state_note="Log its claude in on the dashboard, or on the host with: hive-c0re login dora",
            context=None,
        )
        agents.add("eve", paused=True, state="paused", state_since=now - 86_400 * 2)
        agents.add("zed", running=False, state="stopped", state_since=now - 5000)

    async def _letters(self) -> None:
        """An hour of messages; what is handed out to a turn is dealt with by it."""
        await self._say(
            3600, "operator", "manager", "Good morning. What is everybody doing?"
        )
        await self._turn_of("hm1nd", 3590, 48)
        await self._say(
            3545, "manager", "*", "Status round: one sentence each, please."
        )
        for name, ago in (
            ("alice", 3500),
            ("bob", 3490),
            ("dora", 3480),
            ("zed", 3470),
        ):
            await self._turn_of(name, ago, 12)
        for ago in (3300, 3000, 2700, 2400, 2100):
            await self._turn_of("carol", ago, 20, Outcome.FAILED)
        await self._say(
            2420,
            "bob",
            "operator",
            "The weekly report is in /state/report/2026-w05.md. Two figures need your "
            "eye: refunds doubled, and the warehouse has no data for Tuesday.\n\nShall "
            "I ask the warehouse's agent, or leave the gap and say so?",
        )
        await self._say(
            2300, "system", "operator", "dora has no valid login for claude."
        )
        await self._say(1502, "operator", "alice", "Which suppliers send no VAT id?")
        await self._turn_of("alice", 1500, 212)
        await self._say(1280, "alice", "operator", "Three do: Nord, Halm and Brandt.")
        await self._say(136, "operator", "alice", _ALICE_TASK)
        self.moment = self.began - 134
        await self.hive.broker.begin_turn("alice")
        await self._say(
            75, "alice", "manager", "Found it: a decimal comma in the file."
        )
        await self._turn_of("hm1nd", 70, 9)
        await self._say(
            58, "manager", "operator", "alice has found why the import fails."
        )
        await self._say(22, "alice", "bob", "prices.amount is a NUMERIC(12,2) now.")
        self.moment = self.began - 21
        await self.hive.broker.begin_turn("bob")
        await self._say(
            14, "operator", "alice", "Thanks! Please add a test with a real file."
        )
        await self._say(
            6,
            "carol",
            "operator",
            "<script>alert('this is text')</script> is what the form sent. I escaped it.",
        )
        first = [message.id for message in await self.hive.broker.inbox("operator")][:3]
        await self.hive.broker.mark_read(tuple(first))
        self.moment = None

    async def _say(self, ago: float, sender: str, to: str, body: str) -> None:
        self.moment = self.began - ago
        await self.hive.broker.send(sender, to, body)

    async def _turn_of(
        self, name: str, ago: float, seconds: float, outcome: Outcome = Outcome.OK
    ) -> None:
        broker = self.hive.broker
        self.moment = self.began - ago
        turn = await broker.begin_turn(name)
        if turn is not None:
            self.moment += seconds
            usage = Usage(120, 24 * int(seconds), 18_000, 400, 18_520, seconds / 300)
            await broker.end_turn(turn.id, TurnEnd(outcome, usage=usage))

    def _turn(
        self,
        name: str,
        ago: float,
        seconds: float,
        cost: float,
        outcome: Outcome = Outcome.OK,
    ) -> TurnRecord:
        end = self.began - ago
        usage = Usage(1200, 3400, 88_000, 4000, 92_000, cost)
        return TurnRecord(
            7, name, "message", end - seconds, end, outcome, None, "sonnet", usage
        )

    def _past(self, name: str) -> None:
        """What is stored of an agent's stream. The manager has a long past."""
        events = self.hive.agents.events[name]
        if name == "hm1nd":
            for number in range(300):
                self._store(name, "note", 5000 - number, text=f"note {number}")
        if name not in ("alice", "hm1nd", "bob"):
            return
        sender = "operator" if name == "alice" else "manager"
        self._store(
            name, "turn_start", 900, **{"from": sender}, body="Good morning.", unread=0
        )
        self._store(name, "stream", 3495, event=_text("Good morning. Nothing is open."))
        self._store(
            name,
            "turn_end",
            3488,
            outcome="ok",
            duration_ms=4210,
            tokens={"input": 12, "output": 31, "cache_read": 18_220},
            ctx_tokens=18_400,
            cost_usd=0.0071,
        )
        self._store(
            name,
            "turn_start",
            134,
            **{"from": "operator"},
            body=_ALICE_TASK,
            unread=2,
        )
        for number, event in enumerate(_scene()):
            if name == "alice" or number < 4:
                self._store(name, "stream", 130 - 6 * number, event=event)
        assert events

    def _store(self, name: str, kind: str, ago: float, **fields: Any) -> None:
        stored = self.hive.agents.events[name]
        own = {
            "seq": len(stored) + 1,
            "kind": kind,
            "agent": name,
            "at": rfc3339(self.began - ago),
        }
        stored.append(json.dumps({**own, **fields}).encode())


def main(arguments: list[str]) -> None:
    """Run the stage."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--demo", action="store_true")
    parser.add_argument("--crowd", type=int, default=0, help="so many more agents")
    options = parser.parse_args(arguments)

    @deferred
    async def run(clock: Any) -> None:
        with tempfile.TemporaryDirectory() as folder:
            stage = Stage(clock, Path(folder), options.demo)
            await stage.open()
            gather(stage.hive, options.crowd, stage.began)
            print(stage.hive.web.login_url(), flush=True)
            stage.play()
            await Deferred()

    react(run, (), reactor)


if __name__ == "__main__":
    main(sys.argv[1:])
