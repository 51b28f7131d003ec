"""Which error a call ends with."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest

from fluss_server.errors import ErrorCode, FlussError


def code_of(action: Callable[[], object]) -> ErrorCode:
    """The code of the error that ``action`` raises, which also says something."""
    with pytest.raises(FlussError) as caught:
        action()
    assert caught.value.message
    return caught.value.code


async def refused(call: Awaitable[object]) -> ErrorCode:
    """The code of the error that an awaited call raises, which also says something."""
    with pytest.raises(FlussError) as caught:
        await call
    assert caught.value.message
    return caught.value.code


def assert_no_traceback(log: str) -> None:
    """A server's log has none; the first one with what is around it otherwise."""
    before, found, after = log.partition("Traceback")
    assert not found, before[-500:] + found + after[:3_000]
