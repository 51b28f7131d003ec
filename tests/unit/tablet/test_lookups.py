"""Lookups of one turn of the loop are read together, within bounds."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest

from fluss_server.errors import ErrorCode, FlussError
from fluss_server.tablet import lookups
from fluss_server.tablet.lookups import MAX_READ_KEYS, LookupBatcher
from rpc_support import async_test


class Store:
    """Answers every key with itself, and remembers what was read together."""

    def __init__(self) -> None:
        self.reads: list[int] = []
        self.error: Exception | None = None

    def lookup(self, keys: list[bytes]) -> list[bytes | None]:
        self.reads.append(len(keys))
        if self.error is not None:
            raise self.error
        return [None if key == b"missing" else key for key in keys]


def keys(count: int, first: int = 0) -> list[bytes]:
    return [b"%d" % number for number in range(first, first + count)]


@async_test
async def test_lookups_of_a_turn_are_read_together() -> None:
    store, batcher = Store(), LookupBatcher()
    kv = cast("Any", store)
    futures = [batcher.lookup(kv, keys(3)), batcher.lookup(kv, [b"missing"]), batcher.lookup(kv, keys(2, 7))]
    assert await asyncio.gather(*futures) == [keys(3), [None], keys(2, 7)]
    assert store.reads == [6]


@async_test
async def test_many_keys_are_read_in_parts() -> None:
    store, batcher = Store(), LookupBatcher()
    kv = cast("Any", store)
    half = MAX_READ_KEYS // 2
    counts = [half, half, 1, 3 * MAX_READ_KEYS, 5]
    answers = await asyncio.gather(*[batcher.lookup(kv, keys(count)) for count in counts])
    assert answers == [keys(count) for count in counts]
    assert store.reads == [MAX_READ_KEYS, 1, *[MAX_READ_KEYS] * 3, 5]


@async_test
async def test_values_of_a_request_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lookups, "MAX_VALUES_BYTES", 1_500_000)
    store, batcher = Store(), LookupBatcher()
    kv = cast("Any", store)
    large, small = batcher.lookup(kv, [bytes(1000)] * 100_000), batcher.lookup(kv, [b"a"])
    with pytest.raises(FlussError) as raised:
        await large
    assert raised.value.code is ErrorCode.RECORD_TOO_LARGE_EXCEPTION
    assert await small == [b"a"]
    assert store.reads == [MAX_READ_KEYS] * 2 + [1], "it stops when it knows"


@async_test
async def test_errors_reach_those_who_asked() -> None:
    store, batcher = Store(), LookupBatcher()
    store.error = RuntimeError("broken")
    future = batcher.lookup(cast("Any", store), [b"a"])
    with pytest.raises(FlussError, match="broken") as raised:
        await future
    assert raised.value.code is ErrorCode.KV_STORAGE_EXCEPTION
