"""The notice of limits that are set and not kept."""

from pathlib import Path

from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase

from hyperhive.agents.interfaces import Deployment
from hyperhive.web.unkept import UnkeptLimits
from tests.web.support import Hive

LIMITED = Deployment("a" * 40, config='{"limits": {"memory": "2G"}}')
TIMED = Deployment("b" * 40, config='{"limits": {"turn_timeout": 60}}')
UNREADABLE = Deployment("c" * 40, config='{"limits": {"gold": 1}}')


class UnkeptLimitsTests(SynchronousTestCase):
    """What is shown while agents come, change and go."""

    def setUp(self) -> None:
        reactor = MemoryReactorClock()
        self.hive = Hive(reactor, Path(self.mktemp()), reactor.seconds)
        self.agents = self.hive.agents
        self.unkept = UnkeptLimits(self.hive.bus, self.agents, self.hive.notices)

    def deploy(self, name: str, deployment: Deployment) -> None:
        """Let an agent run with something else."""
        self.agents.deployments[name] = deployment
        self.agents.change(name, deployed_sha=deployment.sha)

    def shown(self) -> str:
        """What is shown."""
        return " ".join(self.hive.notices.all())

    def test_at_the_start(self) -> None:
        """Agents that are there already are looked at; limits of turns are kept everywhere."""
        for name, deployment in (("bob", LIMITED), ("carol", TIMED), ("dan", None)):
            self.agents.add(name)
            if deployment is not None:
                self.agents.deployments[name] = deployment
        self.unkept.start()
        self.assertIn("Limits are set for bob and not enforced", self.shown())
        self.assertIn("Delegate=yes", self.shown())

    def test_changes(self) -> None:
        """It comes with a deployment, names all, and goes with the last of them."""
        for name in ("bob", "carol"):
            self.agents.add(name)
        self.unkept.start()
        self.assertEqual(self.shown(), "")
        self.deploy("carol", LIMITED)
        self.deploy("bob", LIMITED)
        self.assertEqual(len(self.hive.notices.all()), 1)
        self.assertIn("for bob, carol and not", self.shown())
        self.deploy("bob", UNREADABLE)
        self.assertIn("for carol and not", self.shown())
        self.successResultOf(self.agents.destroy("carol"))
        self.assertEqual(self.shown(), "")

    def test_many(self) -> None:
        """With many it stays short."""
        names = [f"a{number}" for number in range(8)]
        for name in names:
            self.agents.add(name)
            self.agents.deployments[name] = LIMITED
        self.unkept.start()
        self.assertIn("for a0, a1, a2, a3, a4 and 3 more and not", self.shown())

    def test_stop(self) -> None:
        """Stopped, it follows nothing."""
        self.agents.add("bob")
        self.unkept.start()
        self.unkept.stop()
        self.unkept.stop()
        self.deploy("bob", LIMITED)
        self.assertEqual(self.shown(), "")
