"""The rows of a LOOKUP are read within bounds."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, cast

import pytest

from fluss_server.errors import ErrorCode, FlussError
from fluss_server.tablet import lookups
from fluss_server.tablet.lookups import (
    MAX_INLINE_KEYS,
    MAX_LOOKUP_KEYS,
    MAX_READ_BYTES,
    MAX_READ_KEYS,
    LookupReader,
    Values,
    check_key_count,
    read_all,
)


class Store:
    """Answers every key with itself, and remembers what was read together."""

    def __init__(self, value_bytes: int = 0) -> None:
        self.reads: list[int] = []
        self._value_bytes = value_bytes

    def lookup(self, keys: Sequence[bytes]) -> list[bytes | None]:
        self.reads.append(len(keys))
        return [None if key == b"missing" else key.ljust(self._value_bytes) for key in keys]


@contextmanager
def too_large() -> Iterator[None]:
    with pytest.raises(FlussError) as raised:
        yield
    assert raised.value.code is ErrorCode.RECORD_TOO_LARGE_EXCEPTION


def keys(count: int) -> list[bytes]:
    return [b"%d" % number for number in range(count)]


def read(store: Store, wanted: list[bytes], size_bytes: int = 0) -> tuple[Values, int]:
    """The values, and how many parts a worker read."""
    parts = 0

    async def run(part: Any) -> None:
        nonlocal parts
        parts += 1
        part()

    reader = LookupReader(cast("Any", store), wanted, size_bytes)
    asyncio.run(read_all(reader, run))
    return reader.take_values(), parts


def test_values_have_the_order_of_their_keys() -> None:
    store = Store()
    assert read(store, [b"b", b"missing", b"a"]) == ([b"b", None, b"a"], 0)
    assert store.reads == [3]


def test_many_keys_are_read_in_parts_by_a_worker() -> None:
    store = Store()
    count = MAX_INLINE_KEYS + MAX_READ_KEYS + 5
    assert read(store, keys(count)) == (keys(count), 3)
    assert store.reads == [MAX_INLINE_KEYS, MAX_READ_KEYS, 5]


def test_large_values_are_read_in_small_parts() -> None:
    store = Store(MAX_READ_BYTES // 10)
    read(store, keys(MAX_INLINE_KEYS + 25))
    assert store.reads == [MAX_INLINE_KEYS, 10, 10, 5]


def test_a_repeated_key_is_read_once() -> None:
    store = Store()
    values, parts = read(store, [b"a", b"b"] * 5_000)
    assert values == [b"a", b"b"] * 5_000
    assert sum(store.reads) == 2
    assert parts > 5, "a worker gives others a chance between the parts"


def test_the_event_loop_does_not_take_many_keys_out_of_their_request() -> None:
    class Keys(Sequence[bytes]):
        """As protobuf's containers: to make objects of all keys takes 50 ms for 100,000."""

        taken = 0

        def __len__(self) -> int:
            return 5_000

        def __getitem__(self, index: Any) -> Any:
            assert in_worker, "keys are taken on the event loop"
            self.taken += 1
            return [b"%d" % number for number in range(*index.indices(5_000))]

    in_worker = False
    wanted = Keys()

    async def run(part: Any) -> None:
        nonlocal in_worker
        in_worker = True
        part()
        in_worker = False

    reader = LookupReader(cast("Any", Store()), wanted)
    asyncio.run(read_all(reader, run))
    assert reader.take_values() == keys(5_000)
    assert wanted.taken == 6


def test_values_of_a_request_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lookups, "MAX_VALUES_BYTES", 1_000_000)
    store = Store(1_000)
    with too_large():
        read(store, keys(100_000))
    assert sum(store.reads) < 3_000, "it stops when it knows"
    with too_large():
        read(store, [b"a"] * 1_001)


def test_other_buckets_of_the_request_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lookups, "MAX_VALUES_BYTES", 1_500)
    assert read(Store(), [bytes(1000)], 500)[0] == [bytes(1000)]
    with too_large():
        read(Store(), [bytes(1000)], 501)


def test_keys_of_a_request_are_bounded() -> None:
    check_key_count(MAX_LOOKUP_KEYS)
    with too_large():
        check_key_count(MAX_LOOKUP_KEYS + 1)
