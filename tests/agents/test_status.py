"""What is shown of an agent, from facts."""

import attrs
from twisted.trial.unittest import SynchronousTestCase

from hyperhive.agents.status import Facts, RunningTurn, derive, dispatchable
from hyperhive.containers.interfaces import ContainerState, ContainerStatus
from hyperhive.messages.interfaces import Outcome, TurnRecord, Usage
from hyperhive.store.agents import AgentRow

NOW = 1000.0
RUNNING = ContainerStatus("h-bob", ContainerState.RUNNING, since=100.0)
TURN = RunningTurn("message", 900.0, 950.0, quiet=False, ends_at=1850.0, tool="Bash")
LAST = TurnRecord(
    7, "bob", "message", 500.0, 600.0, Outcome.FAILED, "it broke", "m", Usage()
)


def facts(row: AgentRow | None = None, **others: object) -> Facts:
    """An idle agent's facts, and what differs."""
    idle = Facts(
        row=row or AgentRow("bob", "agent", created_at=50.0),
        container=RUNNING,
        unread=0,
        model="haiku",
        window=200_000,
        logged_in=True,
        login_remedy="Log in.",
        now=NOW,
    )
    return attrs.evolve(idle, **others)  # the tests name fields


class DeriveTests(SynchronousTestCase):
    """The label, since when, until when, and why."""

    def check(
        self,
        given: Facts,
        state: str,
        since: float,
        until: float | None = None,
        note: str | None = None,
    ) -> None:
        """Compare the whole label."""
        status = derive(given)
        self.assertEqual(
            (status.state, status.state_since, status.state_until, status.state_note),
            (state, since, until, note),
        )

    def test_idle(self) -> None:
        """Idle since its container runs, or since its last turn."""
        self.check(facts(), "idle", 100.0)
        self.check(facts(last_turn=LAST), "idle", 600.0)

    def test_working(self) -> None:
        """Working since the turn began, with the tool that runs."""
        self.check(facts(turn=TURN), "working", 900.0)
        self.assertEqual(derive(facts(turn=TURN)).tool, "Bash")
        self.check(facts(turn=attrs.evolve(TURN, kind="compact")), "compacting", 900.0)

    def test_stuck(self) -> None:
        """A claude that hangs is stuck since it was last heard, until it is ended."""
        status = derive(facts(turn=attrs.evolve(TURN, quiet=True)))
        self.assertEqual(
            (status.state, status.state_since, status.state_until),
            ("stuck", 950.0, 1850.0),
        )

    def test_retrying(self) -> None:
        """What claude says of an API that doesn't answer is shown at once."""
        turn = attrs.evolve(TURN, retrying="the API answered 529")
        self.check(facts(turn=turn), "working", 900.0, note="the API answered 529")

    def test_parked(self) -> None:
        """A limit parks until its time; after that the agent is idle by itself."""
        row = AgentRow(
            "bob", "agent", 50.0, parked_until=2000.0, parked_for="rate_limited"
        )
        status = derive(facts(row))
        self.assertEqual(
            (status.state, status.state_until, status.parked_until),
            ("parked", 2000.0, 2000.0),
        )
        self.assertIn("usage limit", status.state_note or "")
        later = derive(facts(row, now=2001.0))
        self.assertEqual((later.state, later.parked_until), ("idle", None))

    def test_crashed(self) -> None:
        """After a failed turn it is crashed until the next try, with the reason."""
        row = AgentRow("bob", "agent", 50.0, parked_until=1005.0, parked_for="failed")
        status = derive(facts(row, last_turn=LAST))
        self.assertEqual(
            (status.state, status.state_since, status.state_until),
            ("crashed", 600.0, 1005.0),
        )
        self.assertIn("it broke", status.state_note or "")

    def test_needs_login(self) -> None:
        """Without a login, or with one that was refused, it says what to do."""
        row = AgentRow("bob", "agent", 50.0, login_needed_since=700.0)
        self.check(facts(row), "needs login", 700.0, note="Log in.")
        self.check(facts(logged_in=False), "needs login", 100.0, note="Log in.")

    def test_paused_stopped_failed_moving(self) -> None:
        """The container's facts, and what the operator did."""
        self.check(facts(AgentRow("bob", "agent", 50.0, paused=True)), "paused", 100.0)
        stopped = ContainerStatus("h-bob", ContainerState.STOPPED, since=800.0)
        self.check(facts(container=stopped), "stopped", 800.0)
        self.check(facts(container=None), "stopped", 50.0)
        failed = ContainerStatus("h-bob", ContainerState.FAILED, 800.0, "no disk")
        self.check(facts(container=failed), "failed", 800.0, note="no disk")
        moving = facts(container=stopped, moving="starting", moving_since=990.0)
        self.check(moving, "starting", 990.0)

    def test_waiting_for_a_slot(self) -> None:
        """It waits because others run."""
        self.check(
            facts(waiting_since=980.0),
            "waiting",
            980.0,
            note="all turn slots are taken",
        )

    def test_wire_leaves_out_what_is_absent(self) -> None:
        """The row has every promised key, and none that is null."""
        row = derive(facts()).as_wire()
        promised = {
            *("name", "running", "failed", "needs_update", "needs_login", "paused"),
            *("working", "unread", "model"),
        }
        self.assertEqual(promised - set(row), set())
        self.assertNotIn(None, row.values())
        self.assertNotIn("parked_until", row)


class DispatchableTests(SynchronousTestCase):
    """Whether a turn may begin."""

    def test_only_when_nothing_hinders(self) -> None:
        """Each hindrance alone is enough."""
        self.assertTrue(dispatchable(facts()))
        stopped = ContainerStatus("h-bob", ContainerState.STOPPED)
        hindered = [
            facts(AgentRow("bob", "agent", 50.0, paused=True)),
            facts(AgentRow("bob", "agent", 50.0, wanted=False)),
            facts(AgentRow("bob", "agent", 50.0, parked_until=NOW + 1)),
            facts(AgentRow("bob", "agent", 50.0, login_needed_since=1.0)),
            facts(logged_in=False),
            facts(container=None),
            facts(container=stopped),
            facts(moving="stopping"),
        ]
        self.assertEqual([dispatchable(one) for one in hindered], [False] * 8)
