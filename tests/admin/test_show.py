"""What a person is shown of the hive's answers."""

import time
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from hyperhive.admin import show
from hyperhive.admin.words import clock, count, duration, plural, seconds_since, took
from hyperhive.times import rfc3339
from tests.admin.terminal import console, printed, said

NOW = 1769860800.0


def row(name: str = "bob", **changes: Any) -> dict[str, Any]:
    """A row of an agent that is idle for two minutes."""
    return {
        "name": name,
        "role": "agent",
        "unread": 0,
        "model": "haiku",
        "state": "idle",
        "state_since": rfc3339(NOW - 125),
        **changes,
    }


class ShowCase(SynchronousTestCase):
    """It is always the same moment."""

    def setUp(self) -> None:
        """Stop the clock."""
        self.patch(time, "time", lambda: NOW)
        self.console = console()

    def lines(self) -> list[str]:
        """What was printed."""
        return printed(self.console).splitlines()


class AgentsTests(ShowCase):
    """The table of agents, and one of them."""

    def test_table(self) -> None:
        """A row an agent; columns are as wide as they must be."""
        turn = {"outcome": "rate_limited", "duration_ms": 61_000}
        turn["ended_at"] = rfc3339(NOW - 3 * 3600)
        show.agents(
            self.console,
            [
                row("hm1nd", ctx_tokens=50_000, ctx_window=200_000, last_turn=turn),
                row(unread=12, status_text="読む 本", model="claude-sonnet-4-5"),
            ],
        )
        self.assertEqual(
            self.lines(),
            [
                "NAME   STATE    UNREAD  MODEL              CONTEXT      "
                "LAST TURN                      SAYS",
                "hm1nd  idle 2m  0       haiku              50.0k (25%)  "
                "rate limited 1m01s, 3h00m ago",
                "bob    idle 2m  12      claude-sonnet-4-5  -            "
                "-                              読む 本",
            ],
        )

    def test_empty(self) -> None:
        """Nobody is a table with a head."""
        show.agents(self.console, [])
        self.assertEqual(len(self.lines()), 1)

    def test_until(self) -> None:
        """One that waits for a time is shown with that time, not with its age."""
        until = rfc3339(NOW + 3600)
        show.agents(self.console, [row(state="parked", state_until=until)])
        self.assertIn(f"parked until {clock(until, NOW)}", self.lines()[1])

    def test_colours(self) -> None:
        """On a terminal the state has a colour, and columns still line up."""
        self.console = console(terminal=True)
        show.agents(self.console, [row(state="working"), row(state="needs login")])
        _, working, login = self.lines()
        self.assertIn("\x1b[32mworking 2m", working)
        self.assertIn("\x1b[31mneeds login 2m", login)
        self.assertEqual(working.index("0  "), login.index("0  "))

    def test_no_control(self) -> None:
        """What an agent says of itself is not obeyed."""
        show.agents(self.console, [row(status_text="\x1b[2J", model="\x9b")])
        for line in self.lines():
            self.assertTrue(line.isprintable(), repr(line))

    def test_one(self) -> None:
        """One agent is shown with all that is known of it, a fact a line."""
        show.agent(
            self.console,
            row(
                state="needs login",
                state_note="log in with: claude auth login",
                last_turn={"outcome": "auth_failed", "note": "401"},
                url="http://127.0.0.1:8100/",
            ),
        )
        self.assertEqual(
            self.lines(),
            [
                "name       bob (agent)",
                "state      needs login 2m",
                "why        log in with: claude auth login",
                "unread     0",
                "model      haiku",
                "context    -",
                "last turn  auth failed",
                "           401",
                "page       http://127.0.0.1:8100/",
            ],
        )


class MessagesTests(ShowCase):
    """A mailbox."""

    def test_rows(self) -> None:
        """Each message has a head with its marks, and its body indented."""
        sent = rfc3339(NOW - 60)
        show.messages(
            self.console,
            [
                {"id": 1, "from": "bob", "to": "operator", "body": "one\n\ntwo"}
                | {"sent_at": sent, "state": "queued", "read": False},
                {"id": 2, "from": "bob", "to": "operator", "body": "\x1b[2J"}
                | {"sent_at": sent, "state": "dead", "redelivered": True}
                | {"in_reply_to": 1, "read": True},
            ],
            left_out=0,
        )
        at = clock(sent, NOW)
        self.assertEqual(
            self.lines(),
            [
                f"#1  bob → operator  {at}  queued, unread",
                "    one",
                "    ",
                "    two",
                f"#2  bob → operator  {at}  dead, redelivered, answers #1",
                "    \\x1b[2J",
            ],
        )

    def test_nothing(self) -> None:
        """That there is none is said beside the list, which stays empty."""
        show.messages(self.console, [], left_out=0)
        self.assertEqual(self.lines(), [])
        self.assertEqual(said(self.console), "(no messages)\n")

    def test_left_out(self) -> None:
        """How many were left out is said."""
        show.messages(self.console, [{"id": 9, "body": ""}], left_out=3)
        self.assertIn("3 older ones are left out", said(self.console))


class FactsTests(ShowCase):
    """Facts by their names."""

    def test_targets(self) -> None:
        """How it goes with each target of notifications."""
        target = {"target": "ntfy", "host": "ntfy.sh", "waiting": 0}
        failing = {"waiting": 2, "problem": "it is\x1b down"}
        show.information(self.console, {"notify": [target, {**target, **failing}]})
        first, second = self.lines()
        self.assertEqual(first.split(None, 1), ["notify", "ntfy (ntfy.sh)"])
        self.assertEqual(second.strip(), "ntfy (ntfy.sh), 2 waiting: it is\\x1b down")

    def test_information(self) -> None:
        """Whatever the hive says of itself, a line each, lists below one another."""
        show.information(
            self.console,
            {"uptime_s": 3725.5, "demo": True, "weaknesses": ["a", "b"], "pid": 7},
        )
        self.assertEqual(
            self.lines(),
            [
                "uptime      1h02m",
                "demo        yes",
                "weaknesses  a",
                "            b",
                "pid         7",
            ],
        )

    def test_nothing(self) -> None:
        """What has nothing to say is left out."""
        show.information(self.console, {"weaknesses": [], "notify": []})
        self.assertEqual(self.lines(), [])

    def test_links(self) -> None:
        """Pages and where they are."""
        show.links(self.console, {"home": "http://h:1/", "bob": "http://h:2/"})
        self.assertEqual(self.lines(), ["home  http://h:1/", "bob   http://h:2/"])


class WordsTests(SynchronousTestCase):
    """Figures and moments."""

    def test_durations(self) -> None:
        """The two largest units that matter."""
        seconds = (-5, 0, 59.9, 60, 3599, 3600, 7500, 86399, 86400, 900_000)
        self.assertEqual(
            [duration(one) for one in seconds],
            ["0s", "0s", "59s", "1m", "59m", "1h00m", "2h05m", "23h59m", "1d", "10d"],
        )

    def test_took(self) -> None:
        """Milliseconds, seconds, minutes."""
        self.assertEqual(
            [took(one) for one in (0, 999, 1000, 59_900, 60_000, 3_725_000)],
            ["0 ms", "999 ms", "1.0 s", "59.9 s", "1m00s", "62m05s"],
        )

    def test_count(self) -> None:
        """Large figures are rounded."""
        self.assertEqual(
            [count(one) for one in (0, 999, 1000, 99_949, 100_000, 1_500_000)],
            ["0", "999", "1.0k", "99.9k", "100k", "1.5M"],
        )

    def test_plural(self) -> None:
        """One is one."""
        self.assertEqual(
            [plural(one, "line") for one in (0, 1, 2)], ["0 lines", "1 line", "2 lines"]
        )

    def test_clock(self) -> None:
        """Today is only the time; another day has its date; what is no time is marked."""
        self.assertRegex(clock(rfc3339(NOW), NOW), r"^\d\d:\d\d$")
        self.assertRegex(
            clock(rfc3339(NOW - 5 * 86400), NOW), r"^\w+ \d{1,2} \d\d:\d\d$"
        )
        self.assertEqual(clock("yesterday", NOW), "?")
        self.assertEqual(clock(None, NOW), "?")

    def test_since(self) -> None:
        """Seconds since a moment; none for what is no moment."""
        self.assertEqual(seconds_since(rfc3339(NOW - 2.5), NOW), 2.5)
        self.assertIsNone(seconds_since("soon", NOW))
