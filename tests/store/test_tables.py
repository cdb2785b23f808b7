"""The tables: each statement of each, and that it reads by an index."""

import sqlite3
from collections.abc import Callable
from typing import Any

import attrs
from twisted.trial.unittest import SynchronousTestCase

from hyperhive.store.agents import AgentRow, AgentTable
from hyperhive.store.events import PRUNE_BITE, EventRow, EventTable
from hyperhive.store.messages import MessageRow, MessageTable, MovedMessage
from hyperhive.store.migrations import BROKER, EVENTS
from hyperhive.store.turns import TurnEnding, TurnRow, TurnTable


class TableCase(SynchronousTestCase):
    """A connection to a fresh schema."""

    migrations = BROKER

    def setUp(self) -> None:
        """Make the tables."""
        self.connection = sqlite3.connect(":memory:", isolation_level=None)
        self.addCleanup(self.connection.close)
        for script in self.migrations:
            self.connection.executescript(script)

    def plans(self, work: Callable[[sqlite3.Connection], object]) -> list[str]:
        """How SQLite goes about each statement of ``work``."""
        statements: list[str] = []
        self.connection.set_trace_callback(statements.append)
        work(self.connection)
        self.connection.set_trace_callback(None)
        return [
            row[3]
            for statement in statements
            for row in self.connection.execute(f"EXPLAIN QUERY PLAN {statement}")
        ]

    def assert_indexed(self, work: Callable[[sqlite3.Connection], object]) -> None:
        """No statement of ``work`` goes through a whole table."""
        for plan in self.plans(work):
            scans = plan.startswith("SCAN") and "INDEX" not in plan
            derived = plan.startswith(("SCAN (subquery", "SCAN CONSTANT", "SCAN (join"))
            self.assertFalse(scans and not derived, plan)


class AgentTableTests(TableCase):
    """Agents."""

    full = AgentRow(
        "bob",
        "agent",
        1.5,
        wanted=False,
        paused=True,
        model="opus",
        status_text="busy",
        status_set_at=2.5,
        session_id="s",
        fresh_session=True,
        context=3,
        parked_until=4.5,
        parked_for="rate_limited",
        setbacks=2,
        login_needed_since=5.5,
    )

    def test_rows_come_back(self) -> None:
        """Every column survives, defaults too; booleans are booleans."""
        for row in (self.full, AgentRow("al", "agent", 1.0)):
            AgentTable.insert(self.connection, row)
            stored = AgentTable.get(self.connection, row.name)
            self.assertEqual(stored, row)
            self.assertIs(stored.paused, row.paused)
        self.assertIsNone(AgentTable.get(self.connection, "eve"))

    def test_the_manager_is_first(self) -> None:
        """All agents, the manager first, then by name."""
        for name in ("bob", "hm1nd", "al"):
            role = "manager" if name == "hm1nd" else "agent"
            AgentTable.insert(self.connection, AgentRow(name, role, 0.0))
        names = [row.name for row in AgentTable.all(self.connection)]
        self.assertEqual(names, ["hm1nd", "al", "bob"])

    def test_update_and_delete(self) -> None:
        """A row is written as a whole; another's stays."""
        other = AgentRow("al", "agent", 1.0)
        AgentTable.insert(self.connection, other)
        AgentTable.insert(self.connection, AgentRow("bob", "agent", 9.0))
        AgentTable.update(self.connection, self.full)
        self.assertEqual(AgentTable.all(self.connection), [other, self.full])
        AgentTable.delete(self.connection, "bob")
        self.assertEqual(AgentTable.all(self.connection), [other])

    def test_names_are_taken_once(self) -> None:
        """A second agent of a name is refused by the table."""
        AgentTable.insert(self.connection, self.full)
        self.assertRaises(
            sqlite3.IntegrityError, AgentTable.insert, self.connection, self.full
        )


class MessageTableTests(TableCase):
    """Messages. Rows 1 to 4 are for bob, al, bob, bob."""

    def setUp(self) -> None:
        """Queue four."""
        super().setUp()
        self.rows = [
            MessageTable.insert(self.connection, "eve", to, f"body {n}", 10.0 + n)
            for n, to in enumerate(("bob", "al", "bob", "bob"), 1)
        ]

    def get(self, id: int) -> MessageRow:
        """A row as it is."""
        row = MessageTable.get(self.connection, id)
        assert row is not None
        return row

    def lease(
        self, count: int = 2, turn: int | None = 7, holder: str | None = None
    ) -> None:
        """Lease bob's oldest."""
        MessageTable.lease(self.connection, "bob", count, turn, holder)

    def states(self) -> list[str]:
        """All states by id."""
        return [self.get(row.id).state for row in self.rows]

    def ids(self, moved: list[MovedMessage], state: str) -> list[int]:
        """Which were moved; all of them into ``state``, as the file says."""
        for message in moved:
            row = self.get(message.id)
            self.assertEqual(
                message,
                MovedMessage(row.id, row.sender, row.recipient, state, row.turn),
            )
            self.assertEqual(row.state, state)
        return [message.id for message in moved]

    def test_insert(self) -> None:
        """A message is queued under an id of its own; ids grow, also after deletions."""
        self.assertEqual([row.id for row in self.rows], [1, 2, 3, 4])
        self.assertEqual(
            self.get(2), MessageRow(2, "eve", "al", "body 2", 12.0, "queued")
        )
        self.connection.execute("DELETE FROM messages")
        row = MessageTable.insert(self.connection, "a", "b", "c", 1.0, in_reply_to=4)
        self.assertEqual((row.id, row.in_reply_to), (5, 4))
        self.assertEqual(self.get(5), row)
        self.assertIsNone(MessageTable.get(self.connection, 4))

    def test_numbers_that_are_no_ids(self) -> None:
        """Who asks may name any number: none of them is an error."""
        for number in (0, -1, -(10**30), 2**63, 10**30):
            self.assertIsNone(MessageTable.get(self.connection, number))
            marked = MessageTable.mark_read(self.connection, [number], "bob", 1.0)
            self.assertEqual(marked, [])
        page = MessageTable.page(self.connection, None, 10**30, 9)
        self.assertEqual(page, self.rows)
        self.assertEqual(MessageTable.page(self.connection, "bob", -(10**30), 9), [])

    def test_lease(self) -> None:
        """The oldest queued messages of one mailbox, in order, as they are now."""
        leased = MessageTable.lease(self.connection, "bob", 2, 7, None)
        self.assertEqual(
            leased,
            [
                attrs.evolve(self.rows[0], state="leased", turn=7),
                attrs.evolve(self.rows[2], state="leased", turn=7),
            ],
        )
        self.assertIsInstance(leased[0].sent_at, float)
        self.assertEqual(leased, [self.get(1), self.get(3)])
        rest = MessageTable.lease(self.connection, "bob", 9, None, "c")
        self.assertEqual(
            [(row.id, row.turn, row.connection) for row in rest], [(4, None, "c")]
        )
        self.assertEqual(MessageTable.lease(self.connection, "bob", 9, 8, None), [])
        self.assertEqual(self.states(), ["leased", "queued", "leased", "leased"])

    def test_any_queued(self) -> None:
        """Whether a mailbox has something queued."""
        self.assertTrue(MessageTable.any_queued(self.connection, "al"))
        MessageTable.lease(self.connection, "al", 1, 7, None)
        self.assertFalse(MessageTable.any_queued(self.connection, "al"))
        self.assertFalse(MessageTable.any_queued(self.connection, "eve"))

    def test_finish_turn(self) -> None:
        """What the turn has is done, with the time; nothing else."""
        self.lease(1)
        self.lease(1, turn=8)
        moved = MessageTable.finish_turn(self.connection, 7, 99.0)
        self.assertEqual(self.ids(moved, "done"), [1])
        self.assertEqual(self.get(1).done_at, 99.0)
        self.assertEqual(self.states(), ["done", "queued", "leased", "queued"])

    def test_give_back_turn(self) -> None:
        """What the turn has is queued, marked, with attempts counted."""
        self.lease()
        moved = MessageTable.give_back_turn(self.connection, 7, 1)
        self.assertEqual(self.ids(moved, "queued"), [1, 3])
        self.assertEqual((self.get(1).attempts, self.get(1).redelivered), (1, True))
        self.assertEqual((self.get(4).attempts, self.get(4).redelivered), (0, False))

    def test_kill_exhausted(self) -> None:
        """Dead is what has no attempt left after this one."""
        self.connection.execute("UPDATE messages SET attempts = 4 WHERE id IN (1, 4)")
        self.lease()
        moved = MessageTable.kill_exhausted(self.connection, 7, 5)
        self.assertEqual(self.ids(moved, "dead"), [1])
        self.assertEqual((self.get(1).attempts, self.get(1).redelivered), (5, True))
        self.assertEqual(self.states(), ["dead", "queued", "leased", "queued"])

    def test_finish_held(self) -> None:
        """Only what this connection has of the ids is done."""
        self.lease(2, None, "c")
        MessageTable.lease(self.connection, "al", 1, None, "d")
        moved = MessageTable.finish_held(self.connection, [1, 2, 4], "c", 99.0)
        self.assertEqual(self.ids(moved, "done"), [1])
        self.assertEqual((self.get(1).done_at, self.get(1).connection), (99.0, None))
        self.assertEqual(self.states(), ["done", "leased", "leased", "queued"])

    def test_give_back(self) -> None:
        """Only what is leased as said is queued, and marked only if it was handed out."""
        self.lease(2, None, "c")
        for turn, holder in ((7, None), (None, "d"), (7, "c")):
            self.assertEqual(
                MessageTable.give_back(
                    self.connection, [1, 2, 3, 4], turn, holder, True
                ),
                [],
            )
        moved = MessageTable.give_back(self.connection, [1, 2], None, "c", False)
        self.assertEqual(self.ids(moved, "queued"), [1])
        self.assertEqual(
            (self.get(1).redelivered, self.get(1).connection), (False, None)
        )
        MessageTable.give_back(self.connection, [3], None, "c", True)
        self.assertTrue(self.get(3).redelivered)
        self.lease(2, 7)
        MessageTable.give_back(self.connection, [1, 3], 7, None, False)
        self.assertEqual(self.states(), ["queued"] * 4)
        self.assertTrue(self.get(3).redelivered, "a mark stays")

    def test_give_back_all(self) -> None:
        """All that is leased, but not to connections of the name's beginning."""
        self.lease(1)
        self.lease(1, None, "old:1")
        self.lease(1, None, "new:1")
        moved = MessageTable.give_back_all(self.connection, but="new:")
        self.assertEqual(self.ids(moved, "queued"), [1, 3])
        self.assertEqual(self.states(), ["queued", "queued", "queued", "leased"])
        self.assertTrue(self.get(3).redelivered)
        self.assertFalse(self.get(2).redelivered)

    def test_kill(self) -> None:
        """Queued and leased messages of one mailbox are dead; what somebody had is marked."""
        self.lease(1)
        queued = MessageTable.kill_queued(self.connection, "bob")
        leased = MessageTable.kill_leased(self.connection, "bob")
        self.assertEqual(self.ids(queued, "dead"), [3, 4])
        self.assertEqual(self.ids(leased, "dead"), [1])
        self.assertEqual(
            (self.get(1).redelivered, self.get(3).redelivered), (True, False)
        )
        self.assertEqual(self.states(), ["dead", "queued", "dead", "dead"])

    def test_revive(self) -> None:
        """A dead message is queued with no attempts; another stays as it is."""
        MessageTable.kill_queued(self.connection, "al")
        self.connection.execute("UPDATE messages SET attempts = 5")
        self.assertEqual(
            self.ids(MessageTable.revive(self.connection, 2), "queued"), [2]
        )
        self.assertEqual(MessageTable.revive(self.connection, 1), [])
        self.assertEqual((self.get(2).attempts, self.get(1).attempts), (0, 5))

    def test_mark_read(self) -> None:
        """Queued rows of the mailbox are read and done, once."""
        moved = MessageTable.mark_read(self.connection, [1, 2, 99], "bob", 99.0)
        self.assertEqual(self.ids(moved, "done"), [1])
        self.assertEqual((self.get(1).done_at, self.get(1).read_at), (99.0, 99.0))
        self.assertEqual(MessageTable.mark_read(self.connection, [1], "bob", 100.0), [])
        self.assertEqual(self.get(1).read_at, 99.0)

    def test_queued(self) -> None:
        """The queued messages of each mailbox, counted."""
        self.lease(1)
        self.assertEqual(MessageTable.queued(self.connection), {"al": 1, "bob": 2})

    def test_inbox(self) -> None:
        """The newest of a mailbox, oldest first."""
        rows = MessageTable.inbox(self.connection, "bob", 2)
        self.assertEqual(rows, [self.rows[2], self.rows[3]])

    def test_page(self) -> None:
        """To or from a mailbox, or all; under an id; the newest, oldest first."""
        sent = MessageTable.insert(self.connection, "bob", "al", "re", 20.0)
        own = MessageTable.insert(self.connection, "bob", "bob", "note", 21.0)

        def ids(mailbox: str | None, before: int | None, limit: int) -> list[int]:
            return [
                row.id
                for row in MessageTable.page(self.connection, mailbox, before, limit)
            ]

        self.assertEqual(ids(None, None, 9), [1, 2, 3, 4, 5, 6])
        self.assertEqual(ids("bob", None, 3), [4, sent.id, own.id])
        self.assertEqual(ids("bob", 4, 9), [1, 3])
        self.assertEqual(ids(None, 4, 2), [2, 3])
        self.assertEqual(ids("nobody", None, 9), [])

    def test_prune(self) -> None:
        """Only what is done goes, only what was done before the time, few at once."""
        self.lease(2)
        MessageTable.finish_turn(self.connection, 7, 50.0)
        MessageTable.kill_queued(self.connection, "al")
        self.lease(1, 8)
        MessageTable.finish_turn(self.connection, 8, 60.0)
        self.assertEqual(MessageTable.prune(self.connection, 60.0, 1), 1)
        self.assertEqual(MessageTable.prune(self.connection, 60.0, 5), 1)
        self.assertEqual(MessageTable.prune(self.connection, 60.0, 5), 0)
        left = MessageTable.page(self.connection, None, None, 9)
        self.assertEqual(
            [(row.id, row.state) for row in left], [(2, "dead"), (4, "done")]
        )

    def test_no_statement_scans(self) -> None:
        """With a million messages each question still looks at few."""
        for work in (
            lambda c: MessageTable.get(c, 1),
            lambda c: MessageTable.any_queued(c, "bob"),
            lambda c: MessageTable.lease(c, "bob", 2, 7, None),
            lambda c: MessageTable.kill_exhausted(c, 7, 5),
            lambda c: MessageTable.give_back_turn(c, 7, 1),
            lambda c: MessageTable.finish_turn(c, 7, 1.0),
            lambda c: MessageTable.finish_held(c, [1], "c", 1.0),
            lambda c: MessageTable.give_back(c, [1], 7, None, True),
            lambda c: MessageTable.give_back_all(c, "x"),
            lambda c: MessageTable.kill_queued(c, "bob"),
            lambda c: MessageTable.kill_leased(c, "bob"),
            lambda c: MessageTable.revive(c, 1),
            lambda c: MessageTable.mark_read(c, [1], "bob", 1.0),
            lambda c: MessageTable.queued(c),
            lambda c: MessageTable.inbox(c, "bob", 5),
            lambda c: MessageTable.page(c, "bob", 5, 5),
            lambda c: MessageTable.page(c, None, 5, 5),
            lambda c: MessageTable.prune(c, 1.0, 5),
        ):
            self.assert_indexed(work)

    def test_states_are_looked_up_by_their_own_index(self) -> None:
        """What is queued, leased or long done is found without reading what is done."""
        for index, work in (
            ("messages_queued", lambda c: MessageTable.lease(c, "bob", 2, 7, None)),
            ("messages_queued", lambda c: MessageTable.any_queued(c, "bob")),
            ("messages_queued", lambda c: MessageTable.queued(c)),
            ("messages_queued", lambda c: MessageTable.kill_queued(c, "bob")),
            ("messages_leased", lambda c: MessageTable.finish_turn(c, 7, 1.0)),
            ("messages_leased", lambda c: MessageTable.give_back_all(c, "x")),
            ("messages_leased", lambda c: MessageTable.kill_leased(c, "bob")),
            ("messages_done", lambda c: MessageTable.prune(c, 1.0, 5)),
        ):
            plans = self.plans(work)
            self.assertTrue(any(index in plan for plan in plans), (index, plans))


class TurnTableTests(TableCase):
    """Turns."""

    ending = TurnEnding(
        ended_at=20.0,
        outcome="ok",
        note="n",
        session_id="s",
        model="m",
        input_tokens=1,
        output_tokens=2,
        cache_read_tokens=3,
        cache_write_tokens=4,
        context=5,
        cost_usd=0.5,
    )

    def test_begin_and_end(self) -> None:
        """A turn is stored when it begins, and what it came to when it ends, once."""
        begun = TurnTable.begin(self.connection, "bob", "message", 10.0)
        self.assertEqual(begun, TurnRow(1, "bob", "message", 10.0))
        self.assertEqual(TurnTable.newest(self.connection, "bob", 1), [begun])
        self.assertTrue(TurnTable.end(self.connection, 1, self.ending))
        self.assertFalse(TurnTable.end(self.connection, 1, self.ending))
        self.assertFalse(TurnTable.end(self.connection, 2, self.ending))
        ended = attrs.evolve(begun, **attrs.asdict(self.ending))
        self.assertEqual(TurnTable.newest(self.connection, "bob", 1), [ended])

    def test_one_at_a_time(self) -> None:
        """A second running turn of an agent is refused by the table; another's is not."""
        self.assertFalse(TurnTable.runs(self.connection, "bob"))
        TurnTable.begin(self.connection, "bob", "message", 10.0)
        self.assertTrue(TurnTable.runs(self.connection, "bob"))
        self.assertFalse(TurnTable.runs(self.connection, "al"))
        TurnTable.begin(self.connection, "al", "message", 10.0)
        with self.assertRaises(sqlite3.IntegrityError):
            TurnTable.begin(self.connection, "bob", "compact", 11.0)
        TurnTable.end(self.connection, 1, self.ending)
        self.assertFalse(TurnTable.runs(self.connection, "bob"))
        self.assertEqual(TurnTable.begin(self.connection, "bob", "compact", 12.0).id, 3)

    def test_end_all(self) -> None:
        """Every turn that runs is ended; those that had ended stay as they are."""
        for name in ("al", "bob", "eve"):
            TurnTable.begin(self.connection, name, "message", 10.0)
        TurnTable.end(self.connection, 2, self.ending)
        self.assertEqual(TurnTable.end_all(self.connection, 30.0, "drained", "died"), 2)
        (al,) = TurnTable.newest(self.connection, "al", 9)
        (bob,) = TurnTable.newest(self.connection, "bob", 9)
        self.assertEqual((al.ended_at, al.outcome, al.note), (30.0, "drained", "died"))
        self.assertEqual((bob.ended_at, bob.outcome), (20.0, "ok"))

    def test_newest(self) -> None:
        """The newest turns of one agent, newest first."""
        for number in range(5):
            turn = TurnTable.begin(self.connection, "bob", "message", number)
            TurnTable.end(self.connection, turn.id, self.ending)
            TurnTable.begin(self.connection, f"x{number}", "message", number)
        turns = TurnTable.newest(self.connection, "bob", 2)
        self.assertEqual([turn.started_at for turn in turns], [4.0, 3.0])

    def test_no_statement_scans(self) -> None:
        """Each is found by an index."""
        for work in (
            lambda c: TurnTable.runs(c, "bob"),
            lambda c: TurnTable.begin(c, "bob", "message", 1.0),
            lambda c: TurnTable.end(c, 1, self.ending),
            lambda c: TurnTable.end_all(c, 1.0, "x", "y"),
            lambda c: TurnTable.newest(c, "bob", 5),
        ):
            self.assert_indexed(work)


class EventTableTests(TableCase):
    """Events."""

    migrations = EVENTS

    def append(self, agent: str | None, seqs: range, at: float | None = None) -> None:
        """Store events whose time is their number, if not said otherwise."""
        rows = [
            EventRow(
                seq, agent, "note", float(seq) if at is None else at, f'{{"n":{seq}}}'
            )
            for seq in seqs
        ]
        EventTable.append(self.connection, rows)

    def seqs(self, agent: str, *more: Any) -> list[int]:
        """The numbers on a page."""
        before, limit = more or (None, 100_000)
        return [
            row.seq for row in EventTable.page(self.connection, agent, before, limit)
        ]

    def prune(self, oldest: float, per_agent: int) -> list[int]:
        """Prune until nothing is left to do; the sizes of the bites."""
        bites = []
        while bite := EventTable.prune(self.connection, oldest, per_agent):
            bites.append(bite)
        return bites

    def test_newest(self) -> None:
        """The newest number, 0 in an empty store."""
        self.assertEqual(EventTable.newest(self.connection), 0)
        self.append("bob", range(5, 8))
        self.assertEqual(EventTable.newest(self.connection), 7)

    def test_rows_come_back(self) -> None:
        """Every column survives."""
        rows = [EventRow(1, "bob", "note", 1.5, '{"a":"é"}')]
        EventTable.append(self.connection, [*rows, EventRow(2, None, "k", 2.5, "{}")])
        self.assertEqual(EventTable.page(self.connection, "bob", None, 9), rows)

    def test_pages(self) -> None:
        """The newest events of an agent under a number, oldest first."""
        self.append("bob", range(1, 6))
        self.append("al", range(6, 9))
        self.assertEqual(self.seqs("bob", None, 2), [4, 5])
        self.assertEqual(self.seqs("bob", 4, 2), [2, 3])
        self.assertEqual(self.seqs("bob", 1, 2), [])
        self.assertEqual(self.seqs("bob", -(10**30), 2), [])
        self.assertEqual(self.seqs("bob", 10**30, 2), [4, 5])
        self.assertEqual(self.seqs("al"), [6, 7, 8])

    def test_prunes_by_age(self) -> None:
        """What is older than the time goes, of everybody and of nobody."""
        self.append("bob", range(1, 6))
        self.append(None, range(6, 8), at=2.0)
        self.assertEqual(self.prune(4.0, 100), [5])
        self.assertEqual(self.seqs("bob"), [4, 5])
        (count,) = self.connection.execute("SELECT COUNT(*) FROM events").fetchone()
        self.assertEqual(count, 2)

    def test_prunes_by_count(self) -> None:
        """Each agent keeps its newest; one that has fewer loses none."""
        self.append("al", range(1, 11))
        self.append("bob", range(11, 14))
        self.append("eve", range(14, 20))
        self.assertEqual(self.prune(0.0, 3), [10])
        self.assertEqual(self.seqs("al"), [8, 9, 10])
        self.assertEqual(self.seqs("bob"), [11, 12, 13])
        self.assertEqual(self.seqs("eve"), [17, 18, 19])

    def test_prunes_in_bites(self) -> None:
        """However much there is, one call deletes a bounded number of rows."""
        self.append("al", range(1, 2 * PRUNE_BITE + 1))
        self.append("bob", range(10_000, 10_000 + PRUNE_BITE))
        bites = self.prune(float(PRUNE_BITE // 2), 10)
        self.assertEqual(max(bites), PRUNE_BITE)
        self.assertEqual(sum(bites), 3 * PRUNE_BITE - 20)
        self.assertEqual((len(self.seqs("al")), len(self.seqs("bob"))), (10, 10))

    def test_no_statement_scans(self) -> None:
        """With a million events each question still looks at few."""
        self.append("bob", range(1, 9))
        for work in (
            lambda c: EventTable.newest(c),
            lambda c: EventTable.page(c, "bob", 5, 5),
            lambda c: EventTable.prune(c, 3.0, 2),
        ):
            self.assert_indexed(work)
