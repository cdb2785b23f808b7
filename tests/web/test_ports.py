"""Ports of agents' pages: the planner alone, then the listeners."""

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IListeningPort
from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from hyperhive.agents.interfaces import IAgentSurface
from hyperhive.settings import Layout, PortRange
from hyperhive.web.notices import Notices
from hyperhive.web.pages import PAUSE, TRIES, AgentPages
from hyperhive.web.ports import NoFreePort, parse_port, plan_port, preferred_port

ALL = PortRange(8100, 8999)
FEW = PortRange(9000, 9002)


class PlanTests(SynchronousTestCase):
    """Which port."""

    def test_hash(self) -> None:
        """A fresh agent gets the port of its name."""
        self.assertEqual(plan_port("test", None, frozenset(), ALL), 8945)

    def test_kept(self) -> None:
        """What the file says stays, also outside of the range."""
        self.assertEqual(plan_port("test", 8111, {8945}, ALL), 8111)
        self.assertEqual(plan_port("test", 4000, frozenset(), ALL), 4000)

    def test_kept_by_two(self) -> None:
        """A port that somebody else has too is given up."""
        self.assertEqual(plan_port("test", 8111, {8111}, ALL), 8945)

    def test_probes_forward(self) -> None:
        """A fresh agent goes past every port that is claimed, round the range's end."""
        self.assertEqual(plan_port("test", None, {8945, 8946}, ALL), 8947)
        self.assertEqual(plan_port("test", None, set(range(8945, 9000)), ALL), 8100)

    def test_full(self) -> None:
        """A full range is refused with what to do."""
        error = self.assertRaises(
            NoFreePort, plan_port, "test", None, {9000, 9001, 9002}, FEW
        )
        self.assertIn("9000 to 9002", str(error))
        self.assertIn("--agent-ports", str(error))

    @given(
        st.from_regex(r"[a-z][a-z0-9]{0,8}", fullmatch=True),
        st.sets(st.integers(9000, 9002), max_size=2),
    )
    def test_always_free(self, name: str, claimed: set[int]) -> None:
        """Whatever is claimed, the choice is free and in the range."""
        port = plan_port(name, None, claimed, FEW)
        self.assertNotIn(port, claimed)
        self.assertTrue(FEW.first <= port <= FEW.last)
        if not claimed:
            self.assertEqual(port, preferred_port(name, FEW))

    def test_file(self) -> None:
        """A file holds a port, or none."""
        for text, port in (
            ("8100\n", 8100),
            (" 1 ", 1),
            ("", None),
            ("0", None),
            ("65536", None),
            ("-1", None),
            ("8100 8101", None),
            ("²", None),
            ("9" * 5000, None),
        ):
            self.assertEqual(parse_port(text), port)


class BusyReactor(MemoryReactorClock):
    """Where some ports are taken by somebody else."""

    def __init__(self) -> None:
        super().__init__()
        self.busy: set[int] = set()

    def listenTCP(
        self, port: int, factory: object, backlog: int = 50, interface: str = ""
    ) -> IListeningPort:
        """See IReactorTCP."""
        if port in self.busy:
            raise CannotListenError(interface, port, OSError(98, "Address in use"))
        return super().listenTCP(port, factory, backlog, interface)


class PagesTests(SynchronousTestCase):
    """Who listens where."""

    def setUp(self) -> None:
        """A reactor and a folder."""
        self.reactor = BusyReactor()
        self.layout = Layout(Path(self.mktemp()), Path(self.mktemp()))
        self.notices = Notices()
        self.pages = self.make()

    def make(
        self, ports: PortRange | None = ALL, interface: str = "127.0.0.1"
    ) -> AgentPages:
        """Pages, as a daemon makes them."""
        return AgentPages(
            self.reactor,
            self.layout,
            interface,
            8000,
            ports,
            self.notices,
            lambda name: f"site of {name}",  # never asked
        )

    def add(self, *names: str, pages: AgentPages | None = None) -> None:
        """Agents come."""
        for name in names:
            role = "manager" if name == "hm1nd" else "agent"
            self.successResultOf((pages or self.pages).agent_added(name, role))

    def listening(self) -> dict[str, int]:
        """What listens, by whose site it is."""
        return {
            server[1].removeprefix("site of "): server[0]
            for server in self.reactor.tcpServers
        }

    def test_interface(self) -> None:
        """It is what the swarm tells of agents."""
        verifyObject(IAgentSurface, self.pages)

    def test_opens(self) -> None:
        """The manager has its own port, agents theirs, on the address that was set."""
        self.add("hm1nd", "test")
        self.assertEqual(self.listening(), {"hm1nd": 8000, "test": 8945})
        self.assertEqual(
            {server[3] for server in self.reactor.tcpServers}, {"127.0.0.1"}
        )
        self.assertEqual(self.layout.port("test").read_text(), "8945\n")
        self.assertFalse(self.layout.port("hm1nd").exists())

    def test_added_twice(self) -> None:
        """Being told again of an agent changes nothing."""
        self.add("test", "test")
        self.assertEqual(len(self.reactor.tcpServers), 1)

    def test_file_says(self) -> None:
        """A port that was chosen stays, whatever the range is now."""
        self.layout.port("test").parent.mkdir(parents=True)
        self.layout.port("test").write_text("4711\n")
        self.add("test")
        self.assertEqual(self.listening(), {"test": 4711})

    def test_claims_of_the_gone(self) -> None:
        """Ports of agents that are gone, and the manager's, are not given to another."""
        for name, port in (("gone", 8945), ("away", 8946)):
            self.layout.port(name).parent.mkdir(parents=True)
            self.layout.port(name).write_text(f"{port}\n")
        (self.layout.agents / "no name!").mkdir()
        (self.layout.agents / "no name!" / "port").write_text("8947\n")
        self.add("test")
        self.assertEqual(self.listening(), {"test": 8947})

    def test_broken_file(self) -> None:
        """A file that holds no port is written anew."""
        self.layout.port("test").parent.mkdir(parents=True)
        self.layout.port("test").write_text("what?")
        self.add("test")
        self.assertEqual(self.layout.port("test").read_text(), "8945\n")

    def test_full(self) -> None:
        """With a full range an agent has no page of its own, and a notice says so."""
        pages = self.make(PortRange(9000, 9000))
        self.add("one", "two", pages=pages)
        self.assertEqual(self.listening(), {"one": 9000})
        [notice] = self.notices.all()
        self.assertIn("two has no page of its own", notice)
        self.successResultOf(pages.agent_removed("two"))
        self.assertEqual(self.notices.all(), ())

    def test_busy_for_a_while(self) -> None:
        """A busy port is tried again, and taken when it is free."""
        self.reactor.busy = {8945}
        self.add("test")
        self.assertIsNone(self.pages.url("test"))
        self.reactor.advance(PAUSE)
        self.reactor.busy = set()
        self.assertEqual(self.listening(), {})
        self.reactor.advance(PAUSE)
        self.assertEqual(self.listening(), {"test": 8945})
        self.assertEqual(self.notices.all(), ())

    def test_busy_for_good(self) -> None:
        """A port that stays busy is a notice, not an end; the choice stays."""
        self.reactor.busy = {8945}
        self.add("test", "alice")
        self.reactor.pump([PAUSE] * (TRIES - 1))
        [notice] = self.notices.all()
        self.assertIn("test", notice)
        self.assertIn("8945: Address in use", notice)
        self.assertEqual(list(self.listening()), ["alice"])
        self.assertEqual(self.reactor.getDelayedCalls(), [])
        self.assertEqual(self.layout.port("test").read_text(), "8945\n")

    def test_removed_while_busy(self) -> None:
        """An agent that goes is not tried again."""
        self.reactor.busy = {8945}
        self.add("test")
        self.successResultOf(self.pages.agent_removed("test"))
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def test_removed(self) -> None:
        """An agent that is gone has no address; when it returns it has its own again."""
        self.add("test")
        self.successResultOf(self.pages.agent_removed("test"))
        self.assertIsNone(self.pages.url("test"))
        self.add("test")
        self.assertEqual(self.listening(), {"test": 8945})

    def test_off(self) -> None:
        """Without a range nobody listens, the manager neither."""
        self.add("hm1nd", "test", pages=self.make(None))
        self.assertEqual(self.listening(), {})

    def test_ipv6(self) -> None:
        """An IPv6 address works as well."""
        self.add("test", pages=self.make(interface="::1"))
        self.assertEqual(self.reactor.tcpServers[0][3], "::1")


class NoticesTests(SynchronousTestCase):
    """What the dashboard should say."""

    def test_life(self) -> None:
        """Sentences are shown once, oldest first, until removed; each change is told."""
        told: list[tuple[str, ...]] = []
        notices = Notices()
        notices.watch(told.append)
        for sentence in ("one", "two", "one"):
            notices.add(sentence)
        notices.remove("one")
        notices.remove("one")
        self.assertEqual(told, [("one",), ("one", "two"), ("two",)])
        self.assertEqual(notices.all(), ("two",))

    def test_bounded(self) -> None:
        """The oldest of too many goes."""
        notices = Notices()
        for number in range(100):
            notices.add(str(number))
        self.assertEqual(notices.all(), tuple(str(number) for number in range(80, 100)))
