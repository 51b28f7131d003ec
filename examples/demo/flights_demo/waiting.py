"""Deadlines: nothing in the demo waits for ever, and nothing waits for time to pass instead of for a state."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class DemoError(Exception):
    """The demo cannot go on; the message is for the person at the terminal."""


class _Expired(BaseException):
    """Not an Exception: py4j would take one for a network failure and hide it."""


@contextmanager
def deadline(seconds: float, what: str) -> Iterator[None]:
    """Ends the block with a DemoError when it takes longer; for the main thread only, and not nested.

    It works by a signal because the calls it guards block inside a socket to the Java process and take no timeout.
    """

    def expired(_signal: int, _frame: FrameType | None) -> None:
        raise _Expired

    previous = signal.signal(signal.SIGALRM, expired)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    except _Expired:
        raise DemoError(f"{what} did not finish within {seconds:.0f} s") from None
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)
