"""The timer: when it looks, what it does after a failure, when it rests."""

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from hyperhive.approvals.expiry import AFTER_FAILURE, LONGEST, Expiry


class ExpiryTests(SynchronousTestCase):
    """Two kinds of things that end."""

    def setUp(self) -> None:
        """Nothing ends yet."""
        self.clock = Clock()
        self.offset = 1000.0
        self.expiry = Expiry(self.clock, lambda: self.offset + self.clock.seconds())
        self.moments: dict[str, list[float]] = {"a": [], "b": []}
        self.ended: list[str] = []
        self.results: list[Deferred[None]] = []
        for kind in self.moments:
            self.add(kind)

    def add(self, kind: str) -> None:
        """One kind, whose due moments go when they are ended."""

        def end() -> Deferred[None]:
            self.ended.append(kind)
            if self.results:
                return self.results.pop(0)
            now = self.offset + self.clock.seconds()
            self.moments[kind] = [one for one in self.moments[kind] if one > now]
            return succeed(None)

        self.expiry.add(lambda: min(self.moments[kind], default=None), end)

    def sleeps(self) -> list[float]:
        """When the timer fires, from now."""
        return [
            call.getTime() - self.clock.seconds()
            for call in self.clock.getDelayedCalls()
        ]

    def test_rests(self) -> None:
        """Where nothing ends there is no timer; nor before the start."""
        self.moments["a"] = [1010.0]
        self.expiry.look()
        self.assertEqual(self.sleeps(), [])
        self.moments["a"] = []
        self.expiry.start()
        self.assertEqual(self.sleeps(), [])

    def test_the_earliest_of_all(self) -> None:
        """One timer, for the next of either kind."""
        self.moments = {"a": [1010.0, 1020.0], "b": [1005.0]}
        self.expiry.start()
        self.assertEqual(self.sleeps(), [5.0])
        self.clock.advance(5)
        self.assertEqual((self.ended, self.sleeps()), (["b"], [5.0]))
        self.clock.advance(5)
        self.clock.advance(10)
        self.assertEqual((self.ended, self.sleeps()), (["b", "a", "a"], []))

    def test_something_earlier_comes(self) -> None:
        """The timer is set anew."""
        self.moments["a"] = [1010.0]
        self.expiry.start()
        self.moments["b"] = [1003.0]
        self.expiry.look()
        self.assertEqual(self.sleeps(), [3.0])

    def test_the_wall_clock_is_set(self) -> None:
        """However far the end is, it is looked at now and then."""
        self.moments["a"] = [1000.0 + 10 * LONGEST]
        self.expiry.start()
        self.assertEqual(self.sleeps(), [LONGEST])
        self.offset += 10 * LONGEST
        self.clock.advance(LONGEST)
        self.assertEqual((self.ended, self.sleeps()), (["a"], []))

    def test_a_failure(self) -> None:
        """It is logged, keeps the other kind from nothing, and is tried again."""
        self.moments = {"a": [1001.0], "b": [1001.0]}
        self.expiry.start()
        self.results.append(fail(ZeroDivisionError()))
        self.clock.advance(1)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.assertEqual((self.ended, self.sleeps()), (["a", "b"], [AFTER_FAILURE]))
        self.clock.advance(AFTER_FAILURE)
        self.assertEqual((self.ended, self.sleeps()), (["a", "b", "a"], []))

    def test_what_comes_while_it_ends_something(self) -> None:
        """It is not ended twice at once, and what came is seen after that."""
        slow: Deferred[None] = Deferred()
        self.results.append(slow)
        self.moments["a"] = [1001.0]
        self.expiry.start()
        self.clock.advance(1)
        self.moments["b"] = [1002.0]
        self.expiry.look()
        self.assertEqual(self.sleeps(), [])
        self.moments["a"] = []
        slow.callback(None)
        self.assertEqual(self.sleeps(), [1.0])

    def test_stop(self) -> None:
        """Nothing is ended any more, also by what was under way."""
        slow: Deferred[None] = Deferred()
        self.results.append(slow)
        self.moments["a"] = [1001.0]
        self.expiry.start()
        self.clock.advance(1)
        self.expiry.stop()
        slow.callback(None)
        self.expiry.look()
        self.assertEqual(self.sleeps(), [])
