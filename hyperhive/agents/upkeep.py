"""Do now and then what must be done some time: forget what is past its retention."""

from collections.abc import Callable, Sequence
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall
from twisted.logger import Logger

from hyperhive.deferreds import deferred

#: How often (seconds).
EVERY = 3600.0


class Upkeep:
    """Runs chores once an hour, the first time an hour after the start.

    A chore that fails is logged and tried again at the next time.
    """

    _log = Logger()

    def __init__(
        self, clock: IReactorTime, chores: Sequence[Callable[[], Deferred[Any]]]
    ) -> None:
        self._chores = chores
        self._loop = LoopingCall(self._run)
        self._loop.clock = clock

    def start(self) -> None:
        """Begin."""
        self._loop.start(EVERY, now=False)

    def stop(self) -> None:
        """Run no more."""
        if self._loop.running:
            self._loop.stop()

    @deferred
    async def _run(self) -> None:
        for chore in self._chores:
            try:
                await chore()
            except Exception:
                self._log.failure("upkeep failed and is tried again in an hour")
