"""Messages and turns of a swarm, from one end to the other."""

import json
from typing import Any

from twisted.internet.defer import Deferred, fail
from zope.interface.verify import verifyObject

from hyperhive.agents.interfaces import (
    IAgents,
    InvalidModel,
    NothingRunning,
)
from hyperhive.containers.interfaces import (
    DriverError,
)
from hyperhive.messages.interfaces import MessageState
from tests.agents.swarm import FULL, INIT, RESULT, SwarmTestCase


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
        self.fail_turn("rate_limit")
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
            self.fail_turn("server_error")
            self.clock.advance(1800)
            self.clock.advance(0)
        self.say(INIT, RESULT)
        self.assertEqual(self.message(message).state, MessageState.DONE)

    def test_login(self) -> None:
        """A refused login stops dispatch and is told once; a new one goes on."""
        self.send("hello")
        self.fail_turn("authentication_failed")
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
        self.fail_turn("authentication_failed")
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
        self.fail_turn("authentication_failed")
        self.assertEqual(self.state(), "crashed")
        self.clock.advance(5)
        self.clock.advance(0)
        self.assertEqual(self.state(), "working")
        self.agents.login_changed("bob")
        self.fail_turn("authentication_failed")
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
