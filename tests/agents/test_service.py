"""The swarm in memory: real broker and store, containers and claude in memory."""

import json
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer
from zope.interface.verify import verifyObject

from hyperhive.agents.claude_login import LoginPlan
from hyperhive.agents.config import configuration
from hyperhive.agents.history import History
from hyperhive.agents.interfaces import (
    AgentExists,
    Deployment,
    IAgents,
    IAgentSurface,
    InvalidModel,
    NoSuchAgent,
    NothingRunning,
    NotTheManager,
)
from hyperhive.agents.jobs import JobCancelled, JobQueue, ShuttingDown
from hyperhive.agents.launcher import ILauncher
from hyperhive.agents.service import Agents
from hyperhive.bus import Event, EventBus
from hyperhive.containers.interfaces import (
    Command,
    ContainerSpec,
    DriverError,
    IContainerProcess,
    IProcessObserver,
    Limits,
    Lost,
    TimedOut,
)
from hyperhive.deferreds import deferred
from hyperhive.messages.broker import Broker
from hyperhive.messages.interfaces import Message, MessageState
from hyperhive.names import InvalidName, container_name
from hyperhive.settings import Settings
from hyperhive.store.agents import AgentRow
from hyperhive.store.database import Database
from hyperhive.store.migrations import BROKER, EVENTS
from hyperhive.testing.containers import MemoryDriver, MemoryProcess

#: The hyperhive that runs.
REVISION = "1"
RESULT = {"type": "result", "subtype": "success", "is_error": False, "result": "hi"}
INIT = {
    "type": "system",
    "subtype": "init",
    "session_id": "s-1",
    "model": "m-1",
    "mcp_servers": [{"name": "hyperhive", "status": "connected"}],
}
FULL = {
    "type": "assistant",
    "message": {
        "id": "m",
        "content": [],
        "usage": {"input_tokens": 10, "cache_read_input_tokens": 900_000},
    },
}


@implementer(ILauncher)
class StubLauncher:
    """Runs ``claude PROMPT`` in the agent's container."""

    #: Whose login is another one than that which was refused.
    already_newer: frozenset[str] | set[str] = frozenset()

    def __init__(self, driver: MemoryDriver) -> None:
        self.driver = driver
        self.logged_out: set[str] = set()
        self.fresh: list[bool] = []

    def prepare(self, name: str) -> None:
        """See :class:`ILauncher`."""

    def spec(self, row: AgentRow) -> ContainerSpec:
        """See :class:`ILauncher`."""
        limits = configuration(row).limits.container
        return ContainerSpec(container_name(row.name), limits=limits)

    @deferred
    async def launch(
        self, row: AgentRow, model: str, prompt: str, observer: IProcessObserver
    ) -> IContainerProcess:
        """See :class:`ILauncher`."""
        self.fresh.append(row.fresh_session)
        command = Command(("claude", model), {}, "/", prompt.encode())
        return self.driver.run(container_name(row.name), command, observer)

    def logged_in(self, name: str) -> bool:
        """See :class:`ILauncher`."""
        return name not in self.logged_out

    def login_is_newer(self, name: str, moment: float) -> bool:
        """See :class:`ILauncher`."""
        return name in self.already_newer

    def login_remedy(self, name: str) -> str:
        """See :class:`ILauncher`."""
        return f"Log {name} in."

    def login_plan(self, row: AgentRow) -> LoginPlan:
        """See :class:`ILauncher`."""
        return LoginPlan(
            container_name(row.name),
            Command(("claude", "auth", "login"), {}, "/", keep_stdin=True),
            Command(("claude", "auth", "status"), {}, "/"),
            lambda: row.name not in self.logged_out,
        )


class SwarmTestCase(SynchronousTestCase):
    """A recovered hive with its manager."""

    def setUp(self) -> None:
        """Start it."""
        self.clock = Clock()
        self.clock.advance(1_000_000)
        self.settings = Settings(
            state_dir=Path(self.mktemp()), run_dir=Path(self.mktemp()), max_turns=2
        )
        self.database = Database.in_memory(BROKER)
        self.events_database = Database.in_memory(EVENTS)
        self.driver = MemoryDriver(self.clock)
        self.launch()

    def launch(self) -> None:
        """Start a daemon on the stores and containers that there are."""
        self.bus = EventBus(self.clock, 1)
        self.seen: list[dict[str, Any]] = []
        subscription = self.bus.subscribe(self.see, lambda: None)
        assert subscription is not None
        subscription.resume()
        self.broker = Broker(
            self.clock, self.database, self.bus, 60.0, self.clock.seconds
        )
        self.history = History(
            self.clock, self.events_database, self.bus, self.clock.seconds
        )
        self.history.start()
        self.launcher = StubLauncher(self.driver)
        self.jobs = JobQueue(self.database, self.broker, self.bus, self.clock.seconds)
        self.agents = Agents(
            self.clock,
            self.settings,
            self.database,
            self.broker,
            self.bus,
            self.driver,
            self.launcher,
            self.history,
            self.jobs,
            REVISION,
            self.clock.seconds,
        )
        self.successResultOf(self.agents.recover())
        # It is told of much: its turns would be in the way of the others'.
        self.do(self.agents.set_paused("hm1nd", True))

    def die(self) -> None:
        """End the daemon as kill -9 does; stores and containers stay."""
        for call in self.clock.getDelayedCalls():
            call.cancel()
        self.driver = self.driver.die()

    def see(self, event: Event) -> None:
        """Record an event."""
        self.seen.append(json.loads(event.json))

    def of_kind(self, kind: str) -> list[dict[str, Any]]:
        """The events of one kind so far."""
        return [event for event in self.seen if event["kind"] == kind]

    def do(self, asked: "Deferred[None]") -> None:
        """What is asked for is done at once here."""
        self.successResultOf(asked)

    def send(self, body: str, to: str = "bob") -> int:
        """A message from the operator, and the reactor's next turn."""
        [message] = self.successResultOf(self.broker.send("operator", to, body))
        self.clock.advance(0)
        return message

    def claude(self) -> MemoryProcess:
        """The newest claude, which must be running."""
        process = self.driver.processes[-1]
        self.assertTrue(process.running)
        return process

    def say(self, *events: dict[str, Any], exit: bool = True) -> None:
        """Let claude print events and, as it does after its result, exit."""
        process = self.claude()
        for event in events:
            process.says(json.dumps(event).encode() + b"\n")
        if exit:
            process.exits(0)
        self.clock.advance(0)

    def fail(self, error: str, **others: Any) -> None:  # type: ignore[override]  # this is what claude does
        """Let claude report an API failure."""
        self.say(
            INIT,
            {
                "type": "assistant",
                "error": error,
                "message": {"model": "<synthetic>", "content": []},
                **others,
            },
            {**RESULT, "is_error": True},
        )

    def told(self) -> list[dict[str, Any]]:
        """What the manager was told, in order."""
        rows = self.successResultOf(self.broker.inbox("manager"))
        return [json.loads(row.body) for row in rows]

    def message(self, id: int, box: str = "bob") -> Message:
        """A message as it is now."""
        rows = self.successResultOf(self.broker.inbox(box, 100))
        return next(row for row in rows if row.id == id)

    def state(self, name: str = "bob") -> str:
        """An agent's label."""
        return self.agents.status(name).state


class TurnTests(SwarmTestCase):
    """Messages and turns."""

    def setUp(self) -> None:
        """With bob."""
        super().setUp()
        self.do(self.agents.spawn("bob"))

    def test_interface(self) -> None:
        """It is what the surfaces are given."""
        verifyObject(IAgents, self.agents)

    def test_message_begins_a_turn(self) -> None:
        """The send wakes the agent; a good turn makes the message done."""
        message = self.send("hello")
        self.assertEqual(self.state(), "working")
        self.assertIn(b"hello", self.claude().command.stdin)
        self.say(INIT, RESULT)
        self.assertEqual(self.message(message).state, MessageState.DONE)
        self.assertEqual(self.state(), "idle")

    def test_events(self) -> None:
        """What a page shows: the start with its message, each line, the end."""
        self.send("hello")
        self.say(INIT, RESULT)
        [start] = self.of_kind("turn_start")
        self.assertEqual((start["from"], start["body"]), ("operator", "hello"))
        self.assertEqual(
            [event["event"]["type"] for event in self.of_kind("stream")],
            ["system", "result"],
        )
        [end] = self.of_kind("turn_end")
        self.assertEqual((end["turn"], end["outcome"]), (start["turn"], "ok"))
        self.assertEqual(end["agent"], "bob")

    def test_today(self) -> None:
        """What its turns cost today is in its status at their end, and after a restart."""
        used = {"inputTokens": 1, "outputTokens": 2, "costUSD": 0.25}
        costly = {**RESULT, "model_usage_since_last_result": {"m-1": used}}
        status = self.agents.status("bob")
        self.assertEqual((status.turns_today, status.cost_today), (0, 0.0))
        for _ in range(2):
            self.send("hello")
            self.say(INIT, costly)
        status = self.agents.status("bob")
        self.assertEqual((status.turns_today, status.cost_today), (2, 0.5))
        self.clock.advance(1)
        row = [one for one in self.of_kind("agent_state") if one["name"] == "bob"][-1]
        self.assertEqual((row["turns_today"], row["cost_today"]), (2, 0.5))
        self.launch()
        status = self.agents.status("bob")
        self.assertEqual((status.turns_today, status.cost_today), (2, 0.5))
        self.clock.advance(86_400)
        status = self.agents.status("bob")
        self.assertEqual((status.turns_today, status.cost_today), (0, 0.0))

    def test_history(self) -> None:
        """What was shown is stored, and comes back in pages."""
        self.send("hello")
        self.say(INIT, RESULT)
        self.clock.advance(1)
        page = self.successResultOf(self.agents.history("bob", limit=2))
        self.assertEqual(
            [json.loads(one)["kind"] for one in page.events], ["stream", "turn_end"]
        )
        page = self.successResultOf(self.agents.history("bob", page.before, limit=10))
        self.assertEqual(
            [json.loads(one)["kind"] for one in page.events], ["turn_start", "stream"]
        )
        self.assertIsNone(page.before)

    def test_journal(self) -> None:
        """The newest lines of its container's journal, where there is one."""
        self.assertIsNone(self.successResultOf(self.agents.journal("bob", 10)))
        self.driver.journals = {"h-bob": ("one", "two", "three")}
        self.assertEqual(
            self.successResultOf(self.agents.journal("bob", 2)), ("two", "three")
        )

    def test_one_turn_at_a_time(self) -> None:
        """A second message waits for its own turn, in order."""
        self.send("first")
        self.send("second")
        self.assertEqual(len(self.driver.processes), 1)
        self.say(INIT, RESULT)
        self.assertEqual(len(self.driver.processes), 2)
        self.assertIn(b"second", self.claude().command.stdin)

    def test_slots_are_shared(self) -> None:
        """Over max_turns an agent waits, is shown so, and gets the next free slot."""
        for name in ("carol", "dave"):
            self.do(self.agents.spawn(name))
            self.send("x", name)
        self.send("x", "bob")
        self.assertEqual(self.state(), "waiting")
        self.driver.processes[0].says(json.dumps(RESULT).encode() + b"\n")
        self.driver.processes[0].exits(0)
        self.clock.advance(0)
        self.assertEqual(self.state(), "working")

    def test_failed_turn_is_tried_again(self) -> None:
        """After a pause, marked; until then the agent is shown as crashed."""
        message = self.send("hello")
        self.claude().complains(b"boom")
        self.claude().exits(1)
        self.clock.advance(0)
        self.assertEqual(self.state(), "crashed")
        self.assertTrue(self.message(message).redelivered)
        self.clock.advance(1)
        self.clock.advance(0)
        self.assertIn(b"redelivered", self.claude().command.stdin)
        self.say(INIT, RESULT)
        self.assertEqual(self.message(message).state, MessageState.DONE)

    def test_dead_after_five(self) -> None:
        """Five failures, and the message is dead: the operator is told, the agent goes on."""
        message = self.send("poison")
        for _ in range(5):
            self.claude().exits(1)
            self.clock.advance(0)
            self.clock.advance(60)
            self.clock.advance(0)
        self.assertEqual(self.message(message).state, MessageState.DEAD)
        [notice] = self.successResultOf(self.broker.inbox("operator"))
        self.assertIn(f"Message {message} from operator to bob is dead", notice.body)
        self.assertEqual(self.state(), "idle")
        self.successResultOf(self.broker.requeue(message))
        self.clock.advance(0)
        self.say(INIT, RESULT)
        self.assertEqual(self.message(message).state, MessageState.DONE)

    def test_limit(self) -> None:
        """A limit with a reset time parks until then; then the same message begins a turn."""
        message = self.send("hello")
        info = {"status": "rejected", "resetsAt": 1_003_600}
        self.claude().says(
            json.dumps({"type": "rate_limit_event", "rate_limit_info": info}).encode()
            + b"\n"
        )
        self.fail("rate_limit")
        status = self.agents.status("bob")
        self.assertEqual((status.state, status.parked_until), ("parked", 1_003_605.0))
        self.assertEqual(self.message(message).attempts, 0)
        self.clock.advance(3_604)
        self.assertEqual(len(self.driver.processes), 1)
        self.clock.advance(1)
        self.clock.advance(0)
        self.say(INIT, RESULT)
        self.assertEqual(self.message(message).state, MessageState.DONE)

    def test_overload_kills_no_message(self) -> None:
        """A night of overload uses up no attempt."""
        message = self.send("hello")
        for _ in range(20):
            self.fail("server_error")
            self.clock.advance(1800)
            self.clock.advance(0)
        self.say(INIT, RESULT)
        self.assertEqual(self.message(message).state, MessageState.DONE)

    def test_login(self) -> None:
        """A refused login stops dispatch and is told once; a new one goes on."""
        self.send("hello")
        self.fail("authentication_failed")
        self.send("more")
        self.clock.advance(7200)
        self.assertEqual(self.state(), "needs login")
        self.assertEqual(len(self.driver.processes), 1)
        [notice] = self.successResultOf(self.broker.inbox("operator"))
        self.assertIn("Log bob in.", notice.body)
        self.agents.login_changed("bob")
        self.clock.advance(0)
        self.assertEqual(self.state(), "working")
        # Of a login that nothing waits for, nobody is told.
        self.agents.login_changed("bob")
        self.assertEqual(
            self.told()[-2:],
            [
                {"event": "needs_login", "agent": "bob"},
                {"event": "logged_in", "agent": "bob"},
            ],
        )

    def test_login_that_changes_twice(self) -> None:
        """Two changes of a login in a row are one login to the manager."""
        self.send("hello")
        self.fail("authentication_failed")
        held: list[tuple[Any, Any, Deferred[Any]]] = []

        def later(act: Any, notices: Any) -> Deferred[Any]:
            held.append((act, notices, Deferred()))
            return held[-1][2]

        tell = self.broker.tell
        self.patch(self.broker, "tell", later)
        for _ in range(2):
            self.agents.login_changed("bob")
        for act, notices, told in held:
            tell(act, notices).chainDeferred(told)
        self.assertEqual(self.told()[-1], {"event": "logged_in", "agent": "bob"})
        self.assertEqual(self.told()[-2], {"event": "needs_login", "agent": "bob"})
        self.clock.advance(0)
        self.assertEqual(self.state(), "working")

    def test_login_that_comes_in_a_failing_turn(self) -> None:
        """It is tried once, after a pause, before the agent is said to need one."""
        message = self.send("hello")
        self.agents.login_changed("bob")
        self.fail("authentication_failed")
        self.assertEqual(self.state(), "crashed")
        self.clock.advance(5)
        self.clock.advance(0)
        self.assertEqual(self.state(), "working")
        self.agents.login_changed("bob")
        self.fail("authentication_failed")
        self.assertEqual(self.state(), "needs login")
        self.assertEqual(self.message(message).attempts, 0)
        self.agents.login_changed("bob")
        self.clock.advance(0)
        self.say(INIT, RESULT)
        self.assertEqual(self.message(message).state, MessageState.DONE)

    def test_no_login_yet(self) -> None:
        """An agent without any login is given nothing."""
        self.launcher.logged_out.add("bob")
        self.send("hello")
        self.assertEqual((self.state(), self.driver.processes), ("needs login", []))

    def test_too_long(self) -> None:
        """The session is compacted once and the turn tried once more."""
        self.send("hello")
        self.say(INIT, RESULT)
        message = self.send("long")
        too_long = {**RESULT, "is_error": True, "terminal_reason": "prompt_too_long"}
        self.say(INIT, too_long)
        self.assertEqual(self.claude().command.stdin, b"/compact")
        self.assertEqual(self.state(), "compacting")
        self.say(INIT, RESULT)
        self.assertIn(b"long", self.claude().command.stdin)
        self.say(INIT, too_long)
        self.assertEqual(self.message(message).attempts, 1)
        self.assertEqual(self.state(), "crashed")

    def test_full_context(self) -> None:
        """Over 75 % of the window, the next turn is preceded by a compaction, once."""
        self.send("hello")
        self.say(INIT, FULL, RESULT)
        self.assertEqual(self.agents.status("bob").context, 900_010)
        self.send("next")
        self.assertEqual(self.claude().command.stdin, b"/compact")
        self.say(INIT, RESULT)
        self.assertIn(b"next", self.claude().command.stdin)

    def test_asked_compaction(self) -> None:
        """The operator's compaction runs at once if the agent is idle and has a session."""
        self.do(self.agents.compact("bob"))
        self.clock.advance(0)
        self.assertEqual(self.driver.processes, [])
        self.send("hello")
        self.say(INIT, RESULT)
        self.do(self.agents.compact("bob"))
        self.clock.advance(0)
        self.assertEqual(self.claude().command.stdin, b"/compact")

    def test_cancel(self) -> None:
        """A cancelled turn's message is done."""
        message = self.send("hello")
        cancelled = self.agents.cancel_turn("bob")
        self.assertNoResult(cancelled)
        self.clock.advance(0)
        self.successResultOf(cancelled)
        self.assertEqual(self.message(message).state, MessageState.DONE)
        self.assertRaises(NothingRunning, self.agents.cancel_turn, "bob")

    def test_pause(self) -> None:
        """A paused agent ends its turn and begins no other, until it goes on."""
        self.send("first")
        self.do(self.agents.set_paused("bob", True))
        self.send("second")
        self.assertEqual(self.state(), "working")
        self.say(INIT, RESULT)
        self.assertEqual(self.state(), "paused")
        self.do(self.agents.set_paused("bob", False))
        self.clock.advance(0)
        self.assertEqual(self.state(), "working")

    def test_model(self) -> None:
        """A chosen model is used from the next turn on; an empty one follows the hive."""
        self.do(self.agents.set_model("bob", "opus"))
        self.send("hello")
        self.assertEqual(self.claude().command.argv[1], "opus")
        self.say(INIT, RESULT)
        self.do(self.agents.set_model("bob", ""))
        self.assertEqual(self.agents.status("bob").model, "haiku")
        self.failureResultOf(self.agents.set_model("bob", "--dangerous"), InvalidModel)

    def test_compaction_that_can_not_begin(self) -> None:
        """A store that refuses it for now does not forget that it was asked for."""
        self.send("hello")
        self.say(INIT, RESULT)
        refused: Deferred[None] = fail(OSError("no disk"))
        begin = self.broker.begin_turn
        self.patch(self.broker, "begin_turn", lambda *_: refused)
        self.do(self.agents.compact("bob"))
        self.assertEqual(len(self.flushLoggedErrors(OSError)), 1)
        self.patch(self.broker, "begin_turn", begin)
        self.clock.advance(5)
        self.clock.advance(0)
        self.assertEqual(self.claude().command.stdin, b"/compact")

    def test_new_session(self) -> None:
        """The next turn is fresh, the one after it goes on."""
        self.do(self.agents.new_session("bob"))
        for _ in range(2):
            self.send("hello")
            self.say(INIT, RESULT)
        self.assertEqual(self.launcher.fresh, [True, False])

    def test_new_session_in_a_turn(self) -> None:
        """A turn that runs when it is asked for does not take it back at its end."""
        self.send("one")
        self.say(INIT, exit=False)
        self.do(self.agents.new_session("bob"))
        self.say(FULL, RESULT)
        self.assertIsNone(self.agents.status("bob").context)
        for _ in range(2):
            self.send("more")
            self.say(INIT, RESULT)
        self.assertEqual(self.launcher.fresh, [False, True, False])

    def test_claude_without_tools(self) -> None:
        """A claude that has no connection to the hive is ended: it can answer nobody."""
        self.send("hello")
        servers = [{"name": "hyperhive", "status": "failed"}]
        self.say({**INIT, "mcp_servers": servers}, exit=False)
        self.clock.advance(0)
        [end] = self.of_kind("turn_end")
        self.assertEqual(end["outcome"], "failed")
        self.assertIn("tools", end["note"])

    def test_container_crash(self) -> None:
        """A container that dies under a turn is shown, and the message is kept."""
        message = self.send("hello")
        self.driver.crash("h-bob", "out of memory")
        self.clock.advance(0)
        status = self.agents.status("bob")
        self.assertEqual((status.state, status.state_note), ("failed", "out of memory"))
        self.assertEqual(self.message(message).state, MessageState.QUEUED)
        [end] = self.of_kind("turn_end")
        self.assertEqual(end["outcome"], "vanished")
        self.assertEqual(
            self.told()[-1],
            {"event": "container_crash", "agent": "bob", "note": "out of memory"},
        )
        self.clock.advance(3600)
        self.do(self.agents.start("bob", "operator"))
        self.clock.advance(0)
        self.say(INIT, RESULT)
        self.assertEqual(self.message(message).state, MessageState.DONE)

    def test_lost_before_it_ran(self) -> None:
        """A claude that can't be run is a failed turn with the driver's words."""
        self.driver.failures["run"] = DriverError("bubblewrap is gone")
        self.send("hello")
        [end] = self.of_kind("turn_end")
        self.assertEqual(
            (end["outcome"], end["note"]), ("failed", "bubblewrap is gone")
        )

    def test_states_are_published(self) -> None:
        """Each change of what is shown is told once, with the whole row."""
        self.send("hello")
        self.clock.advance(1)
        self.say(INIT, RESULT)
        self.clock.advance(1)
        states = [
            event["state"]
            for event in self.of_kind("agent_state")
            if event["name"] == "bob"
        ]
        self.assertEqual(states[-2:], ["working", "idle"])


class LifeTests(SwarmTestCase):
    """Spawn, stop, start, destroy, and the daemon's own restart."""

    def test_manager_is_made(self) -> None:
        """The first start makes the manager, and only the first."""
        self.assertEqual(self.agents.names(), ("hm1nd",))
        self.assertEqual(self.agents.role("manager"), "manager")
        self.launch()
        self.assertEqual(self.agents.names(), ("hm1nd",))

    def test_names_are_checked(self) -> None:
        """Wrong, taken and unknown names are refused with who exists."""
        self.failureResultOf(self.agents.spawn("../etc"), InvalidName)
        self.failureResultOf(self.agents.spawn("manager"), InvalidName)
        self.do(self.agents.spawn("bob"))
        self.failureResultOf(self.agents.spawn("bob"), AgentExists)
        with self.assertRaises(NoSuchAgent) as raised:
            self.agents.status("carol")
        self.assertIn("hm1nd, bob", str(raised.exception))

    def test_new_agent_is_not_woken(self) -> None:
        """It has nothing to resume."""
        self.do(self.agents.spawn("bob"))
        self.clock.advance(0)
        self.assertEqual((self.state(), self.driver.processes), ("idle", []))

    def test_spawn_that_fails(self) -> None:
        """The error is told, the agent is shown as failed, and a start mends it."""
        self.driver.failures["start"] = DriverError("no disk")
        self.failureResultOf(self.agents.spawn("bob"), DriverError)
        status = self.agents.status("bob")
        self.assertEqual((status.state, status.state_note), ("failed", "no disk"))
        del self.driver.failures["start"]
        self.do(self.agents.start("bob", "operator"))
        self.assertTrue(self.agents.status("bob").running)

    def test_graceful_stop(self) -> None:
        """The turn may end; then the container stops, and its messages wait."""
        self.do(self.agents.spawn("bob"))
        message = self.send("hello")
        stopped = self.agents.stop("bob", "operator")
        self.assertEqual(self.state(), "stopping")
        self.clock.advance(300)
        self.assertNoResult(stopped)
        self.say(INIT, RESULT)
        self.successResultOf(stopped)
        self.assertEqual(self.state(), "stopped")
        self.assertEqual(self.message(message).state, MessageState.DONE)
        self.send("later")
        self.assertEqual(len(self.driver.processes), 1)

    def test_stop_interrupts_in_the_end(self) -> None:
        """After drain_timeout the turn is interrupted and its message given back."""
        self.do(self.agents.spawn("bob"))
        message = self.send("hello")
        stopped = self.agents.stop("bob", "operator")
        for _ in range(5):
            self.clock.advance(100)
            self.claude().says(b'{"type":"tool_progress"}\n')
        self.assertNoResult(stopped)
        self.clock.advance(100)
        self.clock.advance(0)
        self.successResultOf(stopped)
        row = self.message(message)
        self.assertEqual(
            (row.state, row.redelivered, row.attempts), (MessageState.QUEUED, True, 0)
        )

    def test_kill_overtakes_a_graceful_stop(self) -> None:
        """Whoever can't wait doesn't."""
        self.do(self.agents.spawn("bob"))
        self.send("hello")
        slow = self.agents.stop("bob", "operator")
        quick = self.agents.stop("bob", "operator", graceful=False)
        self.clock.advance(0)
        self.successResultOf(slow)
        self.successResultOf(quick)
        self.assertTrue(self.driver.processes[0].destroyed)

    def test_start_wakes(self) -> None:
        """A started agent is told so, by whom; one that runs already is not."""
        self.do(self.agents.spawn("bob"))
        self.do(self.agents.start("bob", "operator"))
        self.assertEqual(self.broker.unread("bob"), 0)
        self.do(self.agents.stop("bob", "operator"))
        self.do(self.agents.start("bob", "manager"))
        self.clock.advance(0)
        self.assertIn(
            b'{"event": "started", "by": "manager"}', self.claude().command.stdin
        )

    def test_crash_of_the_manager(self) -> None:
        """Of its own crash the operator is told."""
        self.driver.crash("hm1nd", "out of memory")
        [notice] = self.successResultOf(self.broker.inbox("operator"))
        self.assertIn("out of memory", notice.body)

    def test_what_the_manager_is_told(self) -> None:
        """Of each agent that comes, goes or is killed by somebody else."""
        self.do(self.agents.spawn("bob"))
        self.do(self.agents.set_paused("bob", True))
        self.do(self.agents.stop("bob", "manager", graceful=False))
        self.do(self.agents.start("bob", "manager"))
        self.do(self.agents.stop("bob", "operator", graceful=False))
        self.do(self.agents.destroy("bob"))
        self.assertEqual(
            self.told(),
            [
                {"event": "spawned", "agent": "bob", "ok": True},
                {"event": "killed", "agent": "bob"},
                {"event": "destroyed", "agent": "bob"},
            ],
        )

    def test_deployment(self) -> None:
        """Another configuration: the turn ends first, the agent is shown so, and told."""
        self.do(self.agents.spawn("bob"))
        self.send("hello")
        new = Deployment("c" * 40, "deployed/7", "{}", None, REVISION)
        done = self.deploy(new)
        self.assertNoResult(done)
        self.assertEqual(self.state(), "rebuilding")
        self.assertIsNone(self.agents.deployment("bob").sha)
        self.say(INIT, RESULT)
        self.successResultOf(done)
        self.assertEqual(self.agents.deployment("bob"), new)
        status = self.agents.status("bob")
        self.assertEqual(
            (status.deployed_sha, status.needs_update, status.running),
            ("c" * 40, False, True),
        )

    def test_deployment_that_does_not_start(self) -> None:
        """The agent goes on with what it had, and who asked hears why."""
        self.do(self.agents.spawn("bob"))
        first = Deployment("a" * 40, "deployed/1", "{}", None, REVISION)
        self.successResultOf(self.deploy(first))
        start, errors = self.driver.start, [DriverError("no such bind")]
        self.patch(
            self.driver,
            "start",
            lambda name: fail(errors.pop()) if errors else start(name),
        )
        failed = self.deploy(Deployment("b" * 40, "deployed/2", "{}", None, REVISION))
        self.assertIn("no such bind", str(self.failureResultOf(failed).value))
        self.assertEqual(self.agents.deployment("bob"), first)
        self.assertTrue(self.agents.status("bob").running)
        self.send("hello")
        self.assertEqual(self.state(), "working")

    def test_out_of_date(self) -> None:
        """What another hyperhive has built is shown to need an update."""
        self.do(self.agents.spawn("bob"))
        self.successResultOf(
            self.deploy(Deployment("a" * 40, "deployed/1", "{}", None, "0"))
        )
        self.assertTrue(self.agents.status("bob").needs_update)

    @deferred
    async def deploy(self, deployment: Deployment) -> None:
        """Let bob run with something else."""
        async with self.jobs.job("rebuild", "bob", "operator") as job:
            await self.agents.lifecycle.deploy("bob", deployment, job)

    def test_restart(self) -> None:
        """Stopped, started, and told."""
        self.do(self.agents.spawn("bob"))
        self.do(self.agents.restart("bob", "operator"))
        self.clock.advance(0)
        self.assertIn(b'"restarted"', self.claude().command.stdin)

    def test_destroy(self) -> None:
        """Turn, container and row go; who wrote is told that its message is dead."""
        for name in ("alice", "bob"):
            self.do(self.agents.spawn(name))
        self.successResultOf(self.broker.send("alice", "bob", "hello"))
        self.clock.advance(0)
        destroyed = self.agents.destroy("bob")
        self.clock.advance(0)
        self.successResultOf(destroyed)
        self.assertEqual(self.agents.names(), ("hm1nd", "alice"))
        self.assertNotIn("h-bob", self.successResultOf(self.driver.statuses()))
        self.assertIn(b"message_dead", self.claude().command.stdin)
        self.clock.advance(1)
        gone = [e for e in self.of_kind("agent_state") if e.get("gone")]
        self.assertEqual([event["name"] for event in gone], ["bob"])

    def test_destroy_with_a_broken_surface(self) -> None:
        """Its container goes, whatever can't be closed."""

        @implementer(IAgentSurface)
        class Broken:
            def agent_added(self, name: str, role: str) -> Deferred[None]:
                return succeed(None)

            def agent_removed(self, name: str) -> Deferred[None]:
                raise KeyError(name)

        self.agents.add_surface(Broken())
        self.do(self.agents.spawn("bob"))
        self.do(self.agents.destroy("bob"))
        self.assertNotIn("h-bob", self.successResultOf(self.driver.statuses()))
        self.assertEqual(len(self.flushLoggedErrors(KeyError)), 1)

    def test_destroy_with_a_turn_that_can_not_be_ended(self) -> None:
        """When that ends at last, its slot is free again and nothing is tried for ever."""
        self.do(self.agents.spawn("bob"))
        self.send("hello")
        process = self.claude()
        self.patch(process, "_signal", lambda number: None)
        self.patch(process, "destroy", lambda: succeed(None))
        destroyed = self.agents.destroy("bob")
        self.clock.pump([1] * 30)
        self.successResultOf(destroyed)
        process.exits(1)
        self.clock.advance(0)
        [end] = self.of_kind("turn_end")
        self.assertEqual((end["agent"], end["outcome"]), ("bob", "drained"))
        for name in ("alice", "carol"):
            self.do(self.agents.spawn(name))
            self.send("hello", name)
            self.assertEqual(self.state(name), "working")

    def test_manager_is_not_destroyed(self) -> None:
        """There is always a manager."""
        self.failureResultOf(self.agents.destroy("hm1nd"), NotTheManager)

    def test_shutdown(self) -> None:
        """Turns may end for shutdown_timeout; then they are interrupted, messages kept."""
        self.do(self.agents.spawn("bob"))
        message = self.send("hello")
        drained = self.agents.drain()
        self.clock.advance(29)
        self.assertNoResult(drained)
        self.clock.advance(1)
        self.clock.advance(0)
        self.successResultOf(drained)
        self.assertEqual(self.message(message).state, MessageState.QUEUED)

    def test_no_turn_begins_in_a_shutdown(self) -> None:
        """An operation that ends meanwhile lets no turn begin; a new one is refused."""
        for name in ("alice", "bob"):
            self.do(self.agents.spawn(name))
            self.send("hello", name)
        restarted = self.agents.restart("bob", "operator")
        self.jobs.close()
        drained = self.agents.drain()
        self.failureResultOf(restarted, JobCancelled)
        self.send("more")
        self.say(INIT, RESULT)
        self.failureResultOf(self.agents.start("bob", "manager"), ShuttingDown)
        self.driver.processes[0].exits(0)
        self.clock.advance(0)
        self.successResultOf(drained)
        self.assertEqual(len(self.driver.processes), 2)

    def test_agent_that_comes_in_a_shutdown(self) -> None:
        """One that is just being made waits for the next daemon with its first turn."""
        added: Deferred[None] = Deferred()

        @implementer(IAgentSurface)
        class Surface:
            def agent_added(self, name: str, role: str) -> Deferred[None]:
                return added

            def agent_removed(self, name: str) -> Deferred[None]:
                return succeed(None)

        self.agents.add_surface(Surface())
        spawned = self.agents.spawn("bob")
        self.send("hello")
        self.jobs.close()
        self.successResultOf(self.agents.drain())
        added.callback(None)
        self.successResultOf(spawned)
        self.clock.advance(0)
        self.assertEqual(self.driver.processes, [])

    def test_container_that_does_not_stop(self) -> None:
        """It is shown as what it is, and given no message that could only fail."""
        self.do(self.agents.spawn("bob"))

        def stop(name: str) -> Deferred[None]:
            self.driver.crash(name, "it does not stop")
            return fail(TimedOut("it does not stop"))

        # What is not asked for is told of by a watch, which records have not.
        self.patch(self.driver, "_callbacks", [])
        self.patch(self.driver, "stop", stop)
        self.failureResultOf(self.agents.restart("bob", "operator"), TimedOut)
        self.assertEqual(self.state(), "failed")
        message = self.send("hello")
        self.assertEqual(self.message(message).attempts, 0)

    def test_shutdown_with_a_turn_that_can_not_be_ended(self) -> None:
        """It does not keep the daemon for ever."""
        self.do(self.agents.spawn("bob"))
        self.send("hello")
        process = self.claude()
        self.patch(process, "_signal", lambda number: None)
        self.patch(process, "destroy", lambda: succeed(None))
        drained = self.agents.drain()
        self.clock.pump([1] * 59)
        self.assertNoResult(drained)
        self.clock.advance(1)
        self.successResultOf(drained)

    def test_restart_of_the_daemon(self) -> None:
        """What ran goes on running, unwoken; the lost turn's message comes back, marked."""
        self.do(self.agents.spawn("bob"))
        message = self.send("hello")
        self.die()
        self.launch()
        self.clock.advance(0)
        self.assertEqual(self.state(), "working")
        self.assertEqual(self.driver.alive, 1)
        row = self.message(message)
        self.assertEqual((row.redelivered, row.attempts), (True, 0))
        self.say(INIT, RESULT)
        self.assertEqual(self.broker.unread("bob"), 0)

    def test_restart_with_another_claude(self) -> None:
        """A container that went on running sees what this daemon's claude needs."""
        self.do(self.agents.spawn("bob"))
        limits = Limits(tasks=7)
        self.die()
        self.patch(
            StubLauncher,
            "spec",
            lambda _, row: ContainerSpec(container_name(row.name), limits=limits),
        )
        self.launch()
        self.assertEqual(self.driver.spec("h-bob").limits, limits)
        self.assertTrue(self.agents.status("bob").running)

    def test_restart_of_the_host(self) -> None:
        """Agents that were to run are started and told; stopped ones stay stopped."""
        for name in ("alice", "bob"):
            self.do(self.agents.spawn(name))
        self.do(self.agents.stop("alice", "operator"))
        self.driver = MemoryDriver(self.clock)
        self.launch()
        self.clock.advance(0)
        self.assertEqual(self.state("alice"), "stopped")
        [process] = self.driver.processes
        self.assertIn(b'"started"', process.command.stdin)
        told = self.successResultOf(self.broker.inbox("manager"))
        self.assertEqual(json.loads(told[-1].body)["event"], "started")

    def test_parking_survives_a_restart(self) -> None:
        """A parked agent is still parked after a restart, and still resumes by itself."""
        self.do(self.agents.spawn("bob"))
        self.send("hello")
        self.fail("rate_limit")
        self.die()
        self.launch()
        self.clock.advance(0)
        self.assertEqual(self.state(), "parked")
        self.clock.advance(60)
        self.clock.advance(0)
        self.assertEqual(self.state(), "working")

    def test_login_while_no_daemon_ran(self) -> None:
        """A login that came meanwhile is taken up at the start; an old one is not."""
        for name in ("alice", "bob"):
            self.do(self.agents.spawn(name))
            self.send("hello", name)
            self.fail("authentication_failed")
        self.die()
        StubLauncher.already_newer = {"bob"}
        self.addCleanup(setattr, StubLauncher, "already_newer", frozenset())
        self.launch()
        self.clock.advance(0)
        self.assertEqual(
            (self.state("alice"), self.state("bob")), ("needs login", "working")
        )

    def test_what_fails_after_the_end_was_written(self) -> None:
        """A turn's end is written once, whatever goes wrong in telling of it."""
        self.do(self.agents.spawn("bob"))
        message = self.send("hello")
        self.patch(self.bus, "publish", self.refuse_once("turn_end", self.bus.publish))
        self.say(INIT, RESULT)
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)
        self.clock.advance(5)
        self.assertEqual(self.message(message).state, MessageState.DONE)
        self.assertEqual(self.state(), "idle")

    def refuse_once(self, kind: str, publish: Any) -> Any:
        """A publish that fails at the first event of a kind."""
        refused: list[str] = []

        def instead(this: str, *others: Any, **named: Any) -> Any:
            if this == kind and not refused:
                refused.append(this)
                raise RuntimeError("not now")
            return publish(this, *others, **named)

        return instead

    def test_left_over_container(self) -> None:
        """A container that belongs to no agent is what a destroy left: it goes."""
        self.do(self.agents.spawn("bob"))
        self.die()
        self.database.write(lambda connection: connection.execute("DELETE FROM agents"))
        self.launch()
        self.assertEqual(list(self.successResultOf(self.driver.statuses())), ["hm1nd"])

    def test_left_over_container_that_stays(self) -> None:
        """It does not keep the hive from starting."""
        self.do(self.agents.spawn("bob"))
        self.die()
        self.database.write(lambda connection: connection.execute("DELETE FROM agents"))
        self.driver.failures["destroy"] = TimedOut("it does not end")
        self.launch()
        self.assertEqual(self.agents.names(), ("hm1nd",))

    def test_one_broken_agent(self) -> None:
        """An agent that can't be recovered keeps none of the others."""
        for name in ("alice", "bob"):
            self.do(self.agents.spawn(name))
        self.driver = MemoryDriver(self.clock)
        self.driver.failures["create"] = DriverError("no disk")
        self.launch()
        self.assertEqual(len(self.flushLoggedErrors(DriverError)), 3)
        self.assertEqual(self.state("bob"), "failed")

    def test_lost_process(self) -> None:
        """A process that went away in a running container is a vanished turn."""
        self.do(self.agents.spawn("bob"))
        self.send("hello")
        self.claude().ends(Lost("gone"))
        self.clock.advance(0)
        [end] = self.of_kind("turn_end")
        self.assertEqual(end["outcome"], "vanished")
