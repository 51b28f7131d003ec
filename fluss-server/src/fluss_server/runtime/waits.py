"""Waiting for a limited time, so that a cancellation of whoever waits is never lost.

``asyncio.wait_for`` of Python 3.10 and 3.11 loses a cancellation that comes together with the end of what it waits for:
it returns the result, or raises the failure, as if nothing had happened. A task that waits in a loop goes on then, and
whoever cancelled it and waits for its end waits indefinitely.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import TypeVar

_T = TypeVar("_T")


async def wait_at_most(
    awaitable: Awaitable[_T], limit_s: float | None, *, discard: Callable[[_T], object] | None = None
) -> _T:
    """The result of ``awaitable``, which is cancelled when it takes too long or the caller is cancelled.

    Returns when it has ended, as ``asyncio.wait_for`` does.

    Args:
        awaitable: a coroutine, which becomes a task, or a future.
        limit_s: seconds; None = no limit.
        discard: called with a result that the caller does not get, because it was cancelled at the same time.

    Raises:
        asyncio.TimeoutError: the limit is over, and there is no result.
        asyncio.CancelledError: the caller is cancelled, whatever has become of ``awaitable``.
    """
    future = asyncio.ensure_future(awaitable)
    try:
        await asyncio.wait((future,), timeout=limit_s)
        if future.done():
            return future.result()
        future.cancel()
        await asyncio.wait((future,))
    except asyncio.CancelledError:
        if future.cancel():
            future.add_done_callback(partial(_unwanted, discard=discard))
            await asyncio.wait((future,))
        else:
            _unwanted(future, discard=discard)
        raise
    if future.cancelled():
        raise asyncio.TimeoutError
    return future.result()


def _unwanted(future: asyncio.Future[_T], *, discard: Callable[[_T], object] | None) -> None:
    """Nobody gets the result or the failure; taking it keeps asyncio from reporting it."""
    if not future.cancelled() and future.exception() is None and discard is not None:
        discard(future.result())
