"""Turn slots."""

from twisted.trial.unittest import SynchronousTestCase

from hyperhive.agents.scheduler import TurnSlots


class TurnSlotsTests(SynchronousTestCase):
    """Who gets a slot, and when."""

    def setUp(self) -> None:
        """Two slots, and a record of who was served."""
        self.slots = TurnSlots(2)
        self.served: list[str] = []

    def ask(self, name: str) -> None:
        """Ask for a slot by a name."""
        self.slots.ask(lambda: self.served.append(name))

    def test_serves_up_to_the_limit(self) -> None:
        """No more than the limit are served before one gives back."""
        for name in "abc":
            self.ask(name)
        self.assertEqual(self.served, ["a", "b"])
        self.slots.give_back()
        self.assertEqual(self.served, ["a", "b", "c"])

    def test_first_asked_first_served(self) -> None:
        """Who asks again stands behind those who wait."""
        for name in ("a", "b", "c", "d"):
            self.ask(name)
        self.slots.give_back()
        self.ask("a")
        self.slots.give_back()
        self.slots.give_back()
        self.assertEqual(self.served, ["a", "b", "c", "d", "a"])

    def test_leaving_the_line(self) -> None:
        """Who withdrew is passed over."""
        self.ask("a")
        self.ask("b")
        leaver = lambda: self.served.append("leaver")  # noqa: E731  # it needs an identity
        self.slots.ask(leaver)
        self.ask("c")
        self.slots.withdraw(leaver)
        self.slots.give_back()
        self.assertEqual(self.served, ["a", "b", "c"])
