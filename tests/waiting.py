"""Waiting for a state, within a bound."""

from __future__ import annotations

import time
from collections.abc import Callable

DEADLINE_S = 120.0
_POLL_S = 0.02


def wait_until(condition: Callable[[], object], what: str, deadline_s: float = DEADLINE_S) -> None:
    """Try again until ``condition`` holds; what it raises ends the wait.

    Raises:
        AssertionError: it did not hold in time.
    """
    deadline = time.monotonic() + deadline_s
    while not condition():
        assert time.monotonic() < deadline, f"not within {deadline_s} s: {what}"
        time.sleep(_POLL_S)
