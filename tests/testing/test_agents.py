"""The fake swarm is honest: what it shows follows from what it was asked."""

from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from hyperhive.agents.interfaces import (
    AgentExists,
    IAgents,
    InvalidModel,
    NoSuchAgent,
    NothingRunning,
    NotTheManager,
)
from hyperhive.messages.interfaces import Outcome
from hyperhive.names import InvalidName
from hyperhive.testing.agents import Call, FakeAgents


class FakeAgentsTests(SynchronousTestCase):
    """:class:`FakeAgents` keeps the interface's promises."""

    def setUp(self) -> None:
        """A manager, alice and bob."""
        self.agents = FakeAgents("bob", "alice")

    def test_interface(self) -> None:
        """It has every method with the right signature."""
        verifyObject(IAgents, self.agents)

    def test_manager_first(self) -> None:
        """Agents are listed with the manager first, then by name."""
        self.assertEqual(self.agents.names(), ("hm1nd", "alice", "bob"))
        self.assertEqual(
            [status.role for status in self.agents.statuses()],
            ["manager", "agent", "agent"],
        )

    def test_names_are_checked(self) -> None:
        """A malformed name and an unknown one are two errors; the latter lists who exists."""
        self.assertRaises(InvalidName, self.agents.status, "Bob!")
        error = self.assertRaises(NoSuchAgent, self.agents.status, "carol")
        self.assertIn("hm1nd, alice, bob", str(error))
        self.failureResultOf(self.agents.start("carol", "operator"), NoSuchAgent)
        self.failureResultOf(self.agents.spawn("manager"), InvalidName)
        self.assertEqual(self.agents.calls, [])

    def test_life(self) -> None:
        """An agent is spawned, stopped, started and destroyed, and shown accordingly."""
        self.successResultOf(self.agents.spawn("carol"))
        self.failureResultOf(self.agents.spawn("carol"), AgentExists)
        self.successResultOf(self.agents.stop("carol", "manager", graceful=False))
        self.assertEqual(self.agents.status("carol").state, "stopped")
        self.successResultOf(self.agents.start("carol", "operator"))
        self.assertTrue(self.agents.status("carol").running)
        self.successResultOf(self.agents.destroy("carol"))
        self.assertNotIn("carol", self.agents.names())
        self.failureResultOf(self.agents.destroy("hm1nd"), NotTheManager)
        self.assertEqual(
            self.agents.calls,
            [
                Call("spawn", {"name": "carol"}),
                Call("stop", {"name": "carol", "by": "manager", "graceful": False}),
                Call("start", {"name": "carol", "by": "operator"}),
                Call("destroy", {"name": "carol", "purge": False}),
            ],
        )

    def test_turn(self) -> None:
        """A turn can be cancelled while it runs, and only then."""
        self.failureResultOf(self.agents.cancel_turn("bob"), NothingRunning)
        self.agents.work("bob", tool="Bash")
        self.assertEqual(self.agents.status("bob").as_wire()["tool"], "Bash")
        self.successResultOf(self.agents.cancel_turn("bob"))
        status = self.agents.status("bob")
        self.assertEqual(status.state, "idle")
        assert status.last_turn is not None
        self.assertEqual(status.last_turn.outcome, Outcome.CANCELLED)

    def test_choices(self) -> None:
        """Pause, model, status and session are shown once they are set."""
        self.successResultOf(self.agents.set_paused("bob", True))
        self.successResultOf(self.agents.set_model("bob", "opus"))
        self.failureResultOf(self.agents.set_model("bob", "--help"), InvalidModel)
        self.successResultOf(self.agents.set_status("bob", "reading"))
        self.successResultOf(self.agents.new_session("bob"))
        self.successResultOf(self.agents.compact("bob"))
        status = self.agents.status("bob")
        self.assertEqual(
            (status.state, status.model, status.status_text, status.context),
            ("paused", "opus", "reading", None),
        )
        self.successResultOf(self.agents.set_model("bob", ""))
        self.assertEqual(self.agents.status("bob").model, "haiku")

    def test_held(self) -> None:
        """A held operation changes nothing before it is finished, and may then fail."""
        self.agents.hold("spawn")
        first = self.agents.spawn("carol")
        second = self.agents.spawn("dave")
        self.assertNoResult(first)
        self.assertEqual(self.agents.held("spawn"), 2)
        self.assertNotIn("carol", self.agents.names())
        self.agents.finish("spawn")
        self.agents.finish("spawn", ValueError("no room"))
        self.successResultOf(first)
        self.failureResultOf(second, ValueError)
        self.assertEqual(self.agents.names(), ("hm1nd", "alice", "bob", "carol"))

    def test_failures(self) -> None:
        """A method that was told to fail fails, and its call is recorded."""
        self.agents.failures["restart"] = RuntimeError("defect")
        self.failureResultOf(self.agents.restart("bob", "operator"), RuntimeError)
        self.assertEqual(self.agents.calls[-1].method, "restart")

    def test_history(self) -> None:
        """Events are paged from the newest back to the first."""
        self.agents.events["bob"] = [b"1", b"2", b"3"]
        page = self.successResultOf(self.agents.history("bob", limit=2))
        self.assertEqual((page.events, page.before), ((b"2", b"3"), 2))
        page = self.successResultOf(self.agents.history("bob", before=page.before))
        self.assertEqual((page.events, page.before), ((b"1",), None))
