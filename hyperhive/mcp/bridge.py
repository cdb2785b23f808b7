"""The only place where Deferreds and asyncio's futures meet.

The daemon runs on Twisted's asyncio reactor, so that both share one loop. A
coroutine belongs to one side: what runs under the SDK awaits asyncio's
awaitables, and a Deferred only through :func:`awaited` or :func:`outlasting`.
"""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from hyperhive.errors import PublicError

T = TypeVar("T")

_log = Logger()


def started(coroutine: Coroutine[Any, Any, T]) -> Deferred[T]:
    """Run an asyncio coroutine as a task of the running loop.

    Cancelling the Deferred cancels the task; it fails, when the task has ended,
    with Twisted's ``CancelledError``.
    """
    task = asyncio.get_running_loop().create_task(coroutine)
    return Deferred.fromFuture(task).addErrback(_in_twisted_terms)


def _in_twisted_terms(failure: Failure) -> Failure:
    if failure.check(asyncio.CancelledError) is None:
        return failure
    return Failure(CancelledError())


async def awaited(waiting: Deferred[T]) -> T:
    """Await a Deferred under asyncio; to be cancelled is to cancel it."""
    return await waiting.asFuture(asyncio.get_running_loop())


async def outlasting(operation: Deferred[T]) -> T:
    """Await a Deferred that goes on when whoever awaits it is cancelled.

    What then goes wrong unexpectedly is logged: there is nobody else to tell.
    """
    future: asyncio.Future[T] = asyncio.get_running_loop().create_future()

    def succeeded(result: T) -> None:
        if not future.done():
            future.set_result(result)

    def failed(failure: Failure) -> None:
        if not future.done():
            assert failure.value is not None  # only a cleaned one has none
            future.set_exception(failure.value)
        elif failure.check(PublicError, CancelledError) is None:
            _log.failure("An operation failed after its caller had left", failure)

    operation.addCallbacks(succeeded, failed)
    return await future
