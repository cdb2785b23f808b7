"""Share out the turn slots of the hive, in the order in which they were asked for."""

from collections import deque
from collections.abc import Callable


class TurnSlots:
    """At most ``limit`` turns at a time, first asked, first served.

    An agent asks for one slot at a time and goes to the end of the line for its
    next turn, so that a busy agent can't keep the others from theirs.
    """

    def __init__(self, limit: int) -> None:
        self._free = limit
        self._line: deque[Callable[[], None]] = deque()

    def ask(self, granted: Callable[[], None]) -> None:
        """Call ``granted`` when there is a slot, perhaps at once."""
        self._line.append(granted)
        self._serve()

    def withdraw(self, granted: Callable[[], None]) -> None:
        """Leave the line. Whoever was served already gives its slot back instead."""
        self._line.remove(granted)

    def give_back(self) -> None:
        """A turn is over: its slot is free."""
        self._free += 1
        self._serve()

    def _serve(self) -> None:
        while self._free and self._line:
            self._free -= 1
            self._line.popleft()()
