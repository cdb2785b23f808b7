"""Wait for what can't be ended: a cancel is heeded after its end, not before."""

from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

from twisted.internet.defer import CancelledError
from twisted.internet.threads import deferToThreadPool
from twisted.python.failure import Failure

from hyperhive.containers.happenings import Happening
from hyperhive.deferreds import deferred

P = ParamSpec("P")
T = TypeVar("T")


@deferred
async def see_through(ended: Happening) -> None:
    """Wait for it also when that is cancelled, and be cancelled after it."""
    cancelled: CancelledError | None = None
    while not ended.happened:
        try:
            await ended.wait()
        except CancelledError as error:
            cancelled = error
    if cancelled is not None:
        raise cancelled


async def in_thread(
    reactor: Any, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs
) -> T:
    """Call what blocks in a thread.

    :param reactor: ``IReactorThreads``.
    """
    ended = Happening()
    results: list[T | Failure] = []

    def keep(result: T | Failure) -> None:
        results.append(result)
        ended.happen()

    pool = reactor.getThreadPool()
    deferToThreadPool(reactor, pool, function, *args, **kwargs).addBoth(keep)
    await see_through(ended)
    [result] = results
    if isinstance(result, Failure):
        result.raiseException()
    return result
