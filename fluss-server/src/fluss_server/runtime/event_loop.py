"""The event loop of a server process: uvloop where it is installed, else asyncio's own."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

_T = TypeVar("_T")


def run(main: Coroutine[Any, Any, _T]) -> _T:
    """Run ``main`` to its end, as ``asyncio.run`` does.

    Its loop's clock may stand still while a callback runs: measure durations with ``time.monotonic``, which both loops
    count from.
    """
    try:
        import uvloop
    except ImportError:  # there is none for Windows and for other interpreters
        return asyncio.run(main)
    return uvloop.run(main)
