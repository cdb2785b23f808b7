"""The room as a whole, over a stand-in for ntfy: from the fact to the phone."""

import json
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from treq.testing import StubTreq
from twisted.internet.task import Clock
from twisted.logger import globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from hyperhive.agents.launcher import Launcher
from hyperhive.errors import Conflict
from hyperhive.names import MANAGER
from hyperhive.notify.interfaces import NotTold
from hyperhive.notify.links import Links
from hyperhive.notify.sender import GATHER_SECONDS
from hyperhive.notify.service import Notifier
from hyperhive.notify_settings import NotifySettings, NtfyTarget
from hyperhive.settings import Settings
from hyperhive.store.agents import AgentRow
from hyperhive.store.outbox import OutboxTable
from hyperhive.testing.agents import NOW
from hyperhive.testing.ntfy import FakeNtfy
from tests.notify.support import HOME, Notices, NotifyCase

NTFY = NtfyTarget("https://ntfy.example", "hive-topic", "tk_secret")


class ServiceCase(NotifyCase):
    """A hive that tells ntfy."""

    targets = ()
    settings = NotifySettings(public_url=HOME, links=True, ntfy=NTFY)

    def setUp(self) -> None:
        """Start it."""
        super().setUp()
        self.ntfy = FakeNtfy("tk_secret")
        self.client = StubTreq(self.ntfy)
        self.notices = Notices()
        self.links = Links(
            self.database,
            self.approvals,
            self.questions,
            b"k" * 32,
            HOME,
            3600.0,
            self.clock.seconds,
        )
        self.notifier = self.started()

    def started(self) -> Notifier:
        """A notifier, as a daemon starts it."""
        notifier = self.opened()
        notifier.start()
        return notifier

    def opened(self) -> Notifier:
        """A notifier that only notes so far."""
        notifier = Notifier(
            self.clock,
            self.settings,
            self.database,
            self.bus,
            self.agents,
            self.links,
            self.notices,
            self.clock.seconds,
            self.client,
        )
        self.successResultOf(notifier.open())
        return notifier

    def after(self, seconds: float) -> list[str]:
        """The titles of what is published within so long."""
        self.ntfy.published.clear()
        for _ in range(int(seconds * 2)):
            self.clock.advance(0.5)
            self.client.flush()
        return [one["title"] for one in self.ntfy.published]


class TellingTests(ServiceCase):
    """From the fact to the phone."""

    def test_approval(self) -> None:
        """A proposal is on the phone within a moment, with the link that decides it."""
        id = self.commit_asked()
        [title] = self.after(GATHER_SECONDS)
        self.assertIn("a new configuration for bob", title)
        [published] = self.ntfy.published
        token = urlsplit(published["click"]).path.rpartition("/")[2]
        shown = self.successResultOf(self.links.look(token))
        assert shown.approval is not None
        self.assertEqual(shown.approval.id, id)

    def test_every_kind(self) -> None:
        """Each of the five."""
        self.commit_asked()
        self.asked()
        self.dead_message()
        for name, changes in (
            ("alice", {"needs_login": True}),
            ("bob", {"state": "failed"}),
        ):
            status = self.agents.change(name, **changes)
            self.bus.publish("agent_state", status.as_wire(), name)
        titles = " ".join(self.after(GATHER_SECONDS + 1))
        for part in ("asks for", "asks you", "is dead", "needs a login", "has crashed"):
            self.assertIn(part, titles)
        self.assertEqual(self.after(3600), [])

    def test_restart(self) -> None:
        """What could not be told before the end is told after the next start."""
        self.ntfy.failing = [503] * 100
        self.asked()
        self.assertEqual(self.after(30), [])
        self.successResultOf(self.notifier.stop())
        self.ntfy.failing.clear()
        self.assertEqual(self.after(3600), [])
        self.notifier = self.started()
        self.assertEqual(len(self.after(GATHER_SECONDS)), 1)

    def test_while_the_hive_starts(self) -> None:
        """What is asked while the hive recovers is told when it has."""
        self.successResultOf(self.notifier.stop())
        notifier = self.opened()
        self.asked()
        self.assertEqual(self.after(60), [])
        notifier.start()
        self.assertEqual(len(self.after(GATHER_SECONDS)), 1)

    def test_other_targets(self) -> None:
        """What was noted for a target that is no longer set is forgotten at the start."""
        self.database.write(
            lambda connection: OutboxTable.add(connection, ("webhook",), "dead", "1")
        )
        self.opened()
        self.assertEqual(self.noted("webhook"), [])

    def test_status(self) -> None:
        """How it goes, and nothing of an address but its host."""
        self.assertEqual(
            self.notifier.status(),
            [{"target": "ntfy", "host": "ntfy.example", "waiting": 0}],
        )
        self.ntfy.failing = [403]
        self.asked()
        self.after(GATHER_SECONDS)
        [status] = self.notifier.status()
        self.assertEqual(status["waiting"], 1)
        self.assertIn("403", status["problem"])

    def test_test(self) -> None:
        """A test is told at once; who could not be told is named, with the reason."""
        self.ntfy.failing = [500]
        testing = self.notifier.test()
        self.client.flush()
        self.assertEqual(
            self.failureResultOf(testing, NotTold).getErrorMessage(),
            "ntfy (ntfy.example) could not be told: it answers 500.",
        )
        testing = self.notifier.test()
        self.client.flush()
        told = self.successResultOf(testing)
        self.assertEqual(told, [{"target": "ntfy", "host": "ntfy.example"}])

    def test_no_secrets(self) -> None:
        """Tokens, topics and links are in no log, no event, and nothing that is shown."""
        said: list[str] = []

        def observe(event: Any) -> None:
            said.append(repr(event))

        globalLogPublisher.addObserver(observe)
        self.addCleanup(globalLogPublisher.removeObserver, observe)
        listening = self.bus.subscribe(
            lambda event: said.append(event.json.decode()), self.fail
        )
        assert listening is not None
        listening.resume()
        self.ntfy.failing = [500, 403]
        self.commit_asked()
        self.after(60)
        [published] = self.ntfy.published
        said += [*self.notices.shown, json.dumps(self.notifier.status())]
        self.assertIn("it answers 403", "".join(said))
        token = published["click"].rpartition(".")[2]
        self.assertEqual(len(token), 43)
        for secret in (token, "tk_secret", "hive-topic"):
            self.assertNotIn(secret, "".join(said))


class MutedTests(ServiceCase):
    """A hive that is muted."""

    settings = NotifySettings(mute=True, ntfy=NTFY)

    def test_muted(self) -> None:
        """Nothing is told, nor noted for later; a test is told all the same."""
        self.asked()
        self.commit_asked()
        self.assertEqual(self.after(3600), [])
        self.assertEqual(self.noted(), [])
        testing = self.notifier.test()
        self.client.flush()
        self.assertEqual(len(self.successResultOf(testing)), 1)


class NobodyTests(ServiceCase):
    """A hive without targets, which is how one begins."""

    settings = NotifySettings()

    def test_nobody(self) -> None:
        """Nothing is noted, nothing runs, and a test says what to set."""
        self.asked()
        self.assertEqual(self.noted(), [])
        self.assertEqual(self.notifier.status(), [])
        error = self.failureResultOf(self.notifier.test(), Conflict)
        self.assertIn("[notify.ntfy]", error.getErrorMessage())
        self.successResultOf(self.notifier.stop())


class SomeKindsTests(ServiceCase):
    """A hive that tells of some kinds only."""

    settings = NotifySettings(kinds=frozenset({"question"}), ntfy=NTFY)

    def test_kinds(self) -> None:
        """Others are not told, whether they come from the store or from the bus."""
        self.commit_asked()
        status = self.agents.change("alice", needs_login=True)
        self.bus.publish("agent_state", status.as_wire(), "alice")
        self.asked()
        self.assertEqual(self.after(60), ["bob asks you something (question 1)"])


class OutOfReachTests(SynchronousTestCase):
    """What agents see of the host."""

    def test_key(self) -> None:
        """No container sees the key of links, or a folder that it is in."""
        settings = Settings(state_dir=Path("/s"), run_dir=Path("/r"))
        executable: Any = type("Executable", (), {"binds": ()})()
        driver: Any = None
        launcher = Launcher(Clock(), settings, driver, executable, {}, "agent.toml")
        for name in (MANAGER, "bob"):
            spec = launcher.spec(AgentRow(name, "agent", NOW))
            self.assertTrue(spec.binds)
            for bind in spec.binds:
                self.assertFalse(settings.layout.link_key.is_relative_to(bind.source))
