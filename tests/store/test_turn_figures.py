"""Sums over turns, against sums made by hand."""

import sqlite3
from typing import Any

from hyperhive.store.migrations import BROKER
from hyperhive.store.turn_figures import DaySums, TurnFigures, TurnSums
from hyperhive.store.turns import TurnEnding, TurnTable
from tests.store.test_tables import TableCase


class TurnFiguresTests(TableCase):
    """Each statement."""

    def turn(
        self,
        agent: str,
        ended_at: float,
        took: float = 1.0,
        outcome: str = "ok",
        waited: float | None = None,
        **figures: Any,
    ) -> int:
        """Store a turn."""
        row = TurnTable.begin(self.connection, agent, "message", ended_at - took)
        if waited is not None:
            TurnTable.waited(self.connection, row.id, waited)
        ending = TurnEnding(ended_at=ended_at, outcome=outcome, **figures)
        TurnTable.end(self.connection, row.id, ending)
        return row.id

    def test_sums(self) -> None:
        """Tokens and costs are added by agent and outcome."""
        self.turn("bob", 10.0, input_tokens=1, output_tokens=2, cost_usd=0.25)
        self.turn("bob", 11.0, cache_read_tokens=3, cache_write_tokens=4, cost_usd=0.5)
        self.turn("bob", 12.0, outcome="failed", output_tokens=7)
        self.turn("amy", 13.0, input_tokens=9, cost_usd=0.0)
        self.assertEqual(
            sorted(TurnFigures.sums(self.connection, 0.0, 100.0), key=repr),
            [
                TurnSums("amy", "ok", 1, 9, 0, 0, 0, 0.0),
                TurnSums("bob", "failed", 1, 0, 7, 0, 0, None),
                TurnSums("bob", "ok", 2, 1, 2, 3, 4, 0.75),
            ],
        )

    def test_unknown_costs(self) -> None:
        """A cost that is not known adds nothing; none known at all is none."""
        self.turn("bob", 10.0, cost_usd=0.5)
        self.turn("bob", 10.0)
        self.turn("amy", 10.0)
        costs = {
            one.agent: one.cost_usd
            for one in TurnFigures.sums(self.connection, 0.0, 100.0)
        }
        self.assertEqual(costs, {"bob": 0.5, "amy": None})

    def test_edges(self) -> None:
        """A turn belongs to the stretch in which it ends: from its start on, before its end."""
        for at in (9.999, 10.0, 19.999, 20.0):
            self.turn("bob", at, took=15.0)
        [sums] = TurnFigures.sums(self.connection, 10.0, 20.0)
        self.assertEqual(sums.turns, 2)
        self.assertEqual(
            TurnFigures.took(self.connection, 10.0, 20.0, None), [(15_000, 2)]
        )

    def test_running(self) -> None:
        """A turn that runs counts nowhere but among those that run."""
        TurnTable.begin(self.connection, "bob", "message", 5.0)
        span = (0.0, 1e12)
        self.assertEqual(TurnFigures.sums(self.connection, *span), [])
        self.assertEqual(TurnFigures.took(self.connection, *span, None), [])
        self.assertEqual(TurnFigures.took_by_agent(self.connection, *span), [])
        self.assertEqual(TurnFigures.by_agent(self.connection, 0.0), [])
        self.assertEqual(TurnFigures.running(self.connection), ["bob"])

    def test_lengths(self) -> None:
        """Lengths of time are counted to two significant figures, in milliseconds."""
        for number, (seconds, expected) in enumerate(
            (
                (0.0, 0),
                (0.099, 99),
                (0.104, 100),
                (0.106, 110),
                (0.994, 990),
                (0.996, 1000),
                (1.26, 1300),
                (12.4, 12_000),
                (754.0, 750_000),
                (21_600.0, 22_000_000),
                (864_000.0, 860_000_000),
                (-3.0, 0),
            )
        ):
            self.turn("bob", 100.0 + number, took=seconds, waited=seconds)
            span = (100.0 + number, 100.5 + number)
            for lengths in (TurnFigures.took, TurnFigures.waited):
                self.assertEqual(
                    lengths(self.connection, *span, None), [(expected, 1)], seconds
                )

    def test_lengths_are_counted(self) -> None:
        """Equal ones are one row; a wait that is not known is none."""
        for took in (2.01, 2.04, 2.2):
            self.turn("bob", 10.0, took)
        self.turn("amy", 10.0, 2.0, waited=0.5)
        span = (0.0, 100.0)
        self.assertEqual(
            TurnFigures.took_by_agent(self.connection, *span),
            [("amy", 2000, 1), ("bob", 2000, 2), ("bob", 2200, 1)],
        )
        self.assertEqual(
            TurnFigures.waited_by_agent(self.connection, *span), [("amy", 500, 1)]
        )
        for whose, expected in (
            (None, [(2000, 3), (2200, 1)]),
            ("bob", [(2000, 2), (2200, 1)]),
            ("zed", []),
        ):
            self.assertEqual(TurnFigures.took(self.connection, *span, whose), expected)
        self.assertEqual(TurnFigures.waited(self.connection, *span, "bob"), [])

    def test_by_agent(self) -> None:
        """All of an agent's turns since a moment, whatever became of them."""
        self.turn("bob", 9.0, cost_usd=1.0)
        self.turn("bob", 10.0, cost_usd=2.0)
        self.turn("bob", 11.0, outcome="failed")
        self.turn("amy", 11.0)
        self.assertEqual(
            sorted(TurnFigures.by_agent(self.connection, 10.0), key=repr),
            [DaySums("amy", 1, None), DaySums("bob", 2, 2.0)],
        )

    def test_prune(self) -> None:
        """What ended before a time goes, but what runs and an agent's newest turn stay."""
        gone = [self.turn("bob", at) for at in (1.0, 2.0)]
        kept = [self.turn("bob", 50.0), self.turn("amy", 3.0)]
        kept.append(TurnTable.begin(self.connection, "zoe", "message", 1.0).id)
        self.assertEqual(TurnFigures.prune(self.connection, 10.0), 2)
        self.assertEqual(TurnFigures.prune(self.connection, 10.0), 0)
        rows = self.connection.execute("SELECT id FROM turns ORDER BY id")
        self.assertEqual([id for (id,) in rows], sorted(kept))
        self.assertTrue(set(gone).isdisjoint(kept))

    def test_migrated(self) -> None:
        """Turns of an earlier hyperhive have their lengths, too."""
        before = sqlite3.connect(":memory:", isolation_level=None)
        self.addCleanup(before.close)
        number = next(
            number for number, script in enumerate(BROKER) if "took_ms" in script
        )
        for script in BROKER[:number]:
            before.executescript(script)
        before.execute(
            "INSERT INTO turns (agent, kind, started_at, ended_at, outcome) "
            "VALUES ('bob', 'message', 10, 22.34, 'ok'), "
            "('bob', 'message', 30, NULL, NULL)"
        )
        for script in BROKER[number:]:
            before.executescript(script)
        self.assertEqual(TurnFigures.took(before, 0.0, 100.0, None), [(12_000, 1)])

    def test_known(self) -> None:
        """Whether anything is kept of an agent."""
        self.turn("bob", 1.0)
        self.assertTrue(TurnFigures.known(self.connection, "bob"))
        self.assertFalse(TurnFigures.known(self.connection, "amy"))

    def test_indexed(self) -> None:
        """Everything is read from the index alone; nothing goes through the table."""
        span = (0.0, 1.0)
        for covered in (
            lambda connection: TurnFigures.sums(connection, *span),
            lambda connection: TurnFigures.took(connection, *span, None),
            lambda connection: TurnFigures.waited(connection, *span, "bob"),
            lambda connection: TurnFigures.took_by_agent(connection, *span),
            lambda connection: TurnFigures.waited_by_agent(connection, *span),
        ):
            plans = self.plans(covered)
            self.assertIn("USING COVERING INDEX turns_ended", plans[0])
        for one in (
            lambda connection: TurnFigures.by_agent(connection, 0.0),
            TurnFigures.running,
            lambda connection: TurnFigures.known(connection, "bob"),
            lambda connection: TurnFigures.prune(connection, 0.0),
        ):
            self.assert_indexed(one)
