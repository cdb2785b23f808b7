"""Call what blocks in a thread, which can't be ended: a cancel is heeded after its end."""

from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

from twisted.internet.threads import deferToThreadPool
from twisted.python.failure import Failure

from hyperhive.containers.happenings import Happening

P = ParamSpec("P")
T = TypeVar("T")


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
    await ended.seen_through()
    [result] = results
    if isinstance(result, Failure):
        result.raiseException()
    return result
