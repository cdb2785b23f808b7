"""Where windows are cut, by several clocks on the wall."""

from datetime import datetime, tzinfo
from itertools import pairwise
from zoneinfo import ZoneInfo

from twisted.trial.unittest import SynchronousTestCase

from hyperhive.agents.windows import UnknownWindow, today, window

UTC = ZoneInfo("UTC")
BERLIN = ZoneInfo("Europe/Berlin")
KOLKATA = ZoneInfo("Asia/Kolkata")


def at(zone: tzinfo, *when: int) -> float:
    """A moment by a clock on the wall."""
    return datetime(*when, tzinfo=zone).timestamp()


class WindowTests(SynchronousTestCase):
    """The buckets of each window."""

    def edges(self, name: str, now: float, zone: tzinfo) -> list[float]:
        """Where buckets meet; each begins where the one before ends."""
        buckets = window(name).buckets(now, zone)
        for one, other in pairwise(buckets):
            self.assertEqual(one.end, other.start)
        self.assertLessEqual(buckets[-1].start, now)
        self.assertLess(now, buckets[-1].end)
        return [buckets[0].start, *(bucket.end for bucket in buckets)]

    def test_hours(self) -> None:
        """24 full hours, the last of which runs."""
        edges = self.edges("24h", at(UTC, 2026, 1, 31, 12, 30, 5), UTC)
        self.assertEqual(len(edges), 25)
        self.assertEqual(edges[0], at(UTC, 2026, 1, 30, 13))
        self.assertEqual(edges[-1], at(UTC, 2026, 1, 31, 13))

    def test_full_hour(self) -> None:
        """At a full hour the next bucket begins."""
        edges = self.edges("24h", at(UTC, 2026, 1, 31, 12), UTC)
        self.assertEqual(edges[-2], at(UTC, 2026, 1, 31, 12))

    def test_half_hours(self) -> None:
        """Hours are those of the host, also where they are not the world's."""
        edges = self.edges("24h", at(KOLKATA, 2026, 1, 31, 12, 10), KOLKATA)
        self.assertEqual(edges[-2], at(KOLKATA, 2026, 1, 31, 12))

    def test_quarters_of_days(self) -> None:
        """28 stretches of six hours, cut at midnight, 6, 12 and 18."""
        edges = self.edges("7d", at(BERLIN, 2026, 1, 31, 17, 59), BERLIN)
        self.assertEqual(len(edges), 29)
        self.assertEqual(edges[0], at(BERLIN, 2026, 1, 24, 18))
        self.assertEqual(edges[-1], at(BERLIN, 2026, 1, 31, 18))

    def test_days(self) -> None:
        """30 days, cut at the host's midnights."""
        edges = self.edges("30d", at(BERLIN, 2026, 1, 31, 17, 59), BERLIN)
        self.assertEqual(len(edges), 31)
        self.assertEqual(edges[0], at(BERLIN, 2026, 1, 2))
        self.assertEqual(edges[-1], at(BERLIN, 2026, 2, 1))

    def test_clocks_change(self) -> None:
        """A day on which clocks change has 23 or 25 hours, and so has its first quarter."""
        for month, day, hours in ((3, 29, 23), (10, 25, 25)):
            now = at(BERLIN, 2026, month, day + 1, 12)
            edges = self.edges("30d", now, BERLIN)
            self.assertEqual(edges[-2] - edges[-3], hours * 3600)
            quarters = self.edges("7d", now, BERLIN)
            start = quarters.index(at(BERLIN, 2026, month, day))
            self.assertEqual(quarters[start + 1] - quarters[start], (hours - 18) * 3600)
            self.assertEqual(quarters[start + 2] - quarters[start + 1], 6 * 3600)

    def test_clocks_change_within_hours(self) -> None:
        """Hours stay hours while clocks change: none is empty, none counts twice."""
        now = at(BERLIN, 2026, 10, 25, 12)
        edges = self.edges("24h", now, BERLIN)
        self.assertEqual({b - a for a, b in pairwise(edges)}, {3600})

    def test_today(self) -> None:
        """A day is from midnight to midnight, however long that is."""
        day = today(at(BERLIN, 2026, 3, 29, 12), BERLIN)
        self.assertEqual(day.start, at(BERLIN, 2026, 3, 29))
        self.assertEqual(day.end - day.start, 23 * 3600)
        self.assertEqual(today(day.start, BERLIN), day)
        self.assertEqual(today(day.end, BERLIN).start, day.end)

    def test_host(self) -> None:
        """Without a zone it is the host's own."""
        day = today(at(UTC, 2026, 1, 31, 12))
        self.assertEqual(datetime.fromtimestamp(day.start).hour, 0)

    def test_unknown(self) -> None:
        """Another window is refused, with those that there are."""
        error = self.assertRaises(UnknownWindow, window, "1y")
        self.assertIn("24h, 7d, 30d", str(error))
