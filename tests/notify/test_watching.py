"""Agents that need a login, or crash, are noted once."""

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from hyperhive.bus import EventBus
from hyperhive.notify.watching import QUIET_SECONDS, Watching
from hyperhive.testing.agents import FakeAgents


class WatchingTests(SynchronousTestCase):
    """A watch over alice, who needs a login already, and bob."""

    def setUp(self) -> None:
        """Start it."""
        self.clock = Clock()
        self.bus = EventBus(self.clock, 1)
        self.agents = FakeAgents()
        self.agents.add("alice", needs_login=True, state="needs login")
        self.agents.add("bob")
        self.noted: list[tuple[str, str]] = []
        self.looks = 0
        self.watching = Watching(
            self.bus, self.agents, self.look, self.note, self.clock.seconds
        )
        self.watching.start()

    def look(self) -> None:
        """The outbox may hold something."""
        self.looks += 1

    def note(self, kind: str, name: str) -> None:
        """Something is to be told."""
        self.noted.append((kind, name))

    def change(self, name: str, **changes: object) -> None:
        """Let an agent change."""
        status = self.agents.change(name, **changes)
        self.bus.publish("agent_state", status.as_wire(), name)

    def test_login(self) -> None:
        """It is noted when the need arises, and when it arises again, not at once."""
        self.change("bob", needs_login=True)
        self.change("bob", needs_login=True, paused=True)
        self.assertEqual(self.noted, [("login", "bob")])
        self.change("bob", needs_login=False)
        self.change("bob", needs_login=True)
        self.assertEqual(self.noted, [("login", "bob")])
        self.clock.advance(QUIET_SECONDS)
        self.change("bob", needs_login=False)
        self.change("bob", needs_login=True)
        self.assertEqual(self.noted, [("login", "bob")] * 2)

    def test_known(self) -> None:
        """What was so at the start is no news."""
        self.change("alice", paused=True)
        self.assertEqual(self.noted, [])

    def test_not_started(self) -> None:
        """An agent that this daemon could not start is news, once; a crash of old is not."""
        self.watching.stop()
        self.agents.add("carol", failed=True, state="failed")
        self.agents.add("dave", state="crashed")
        self.watching.start()
        self.change("carol", unread=1)
        self.change("dave", unread=1)
        self.assertEqual(self.noted, [("crash", "carol")])

    def test_new_agent(self) -> None:
        """A new agent without a login is."""
        status = self.agents.add("carol", needs_login=True)
        self.bus.publish("agent_state", status.as_wire(), "carol")
        self.assertEqual(self.noted, [("login", "carol")])

    def test_crash(self) -> None:
        """A turn that failed and a container that ended are crashes."""
        self.change("bob", state="crashed")
        self.assertEqual(self.noted, [("crash", "bob")])
        status = self.agents.add("carol", state="failed")
        self.bus.publish("agent_state", status.as_wire(), "carol")
        self.assertEqual(self.noted[1:], [("crash", "carol")])

    def test_crash_loop(self) -> None:
        """An agent that crashes again and again is noted every quarter of an hour."""
        for _ in range(30):
            self.change("bob", state="crashed")
            self.change("bob", state="working")
            self.clock.advance(60)
        self.assertEqual(len(self.noted), 30 * 60 / QUIET_SECONDS)

    def test_gone(self) -> None:
        """Nothing is remembered of an agent that is gone."""
        self.change("bob", state="crashed", needs_login=True)
        self.bus.publish("agent_state", {"name": "bob", "gone": True}, "bob")
        self.change("bob", state="crashed", needs_login=True)
        self.assertEqual(len(self.noted), 4)

    def test_looks(self) -> None:
        """It is said when the outbox notes something by itself."""
        for kind in ("approval_added", "question_added", "message_dead"):
            self.bus.publish(kind, {})
        for kind in ("approval_resolved", "message_sent", "stream"):
            self.bus.publish(kind, {})
        self.assertEqual(self.looks, 3)

    def test_stop(self) -> None:
        """After its end nothing is noted."""
        self.watching.stop()
        self.change("bob", needs_login=True)
        self.bus.publish("approval_added", {})
        self.assertEqual((self.noted, self.looks), ([], 0))
