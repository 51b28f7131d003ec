"""The rows of a LOOKUP are read within bounds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import pytest

from fluss_server.errors import ErrorCode, FlussError
from fluss_server.tablet import lookups
from fluss_server.tablet.lookups import MAX_READ_KEYS, read_values


class Store:
    """Answers every key with itself, and remembers what was read together."""

    def __init__(self) -> None:
        self.reads: list[int] = []

    def lookup(self, keys: Sequence[bytes]) -> list[bytes | None]:
        self.reads.append(len(keys))
        return [None if key == b"missing" else key for key in keys]


def keys(count: int) -> list[bytes]:
    return [b"%d" % number for number in range(count)]


def test_values_have_the_order_of_their_keys() -> None:
    store = Store()
    assert read_values(cast("Any", store), [b"b", b"missing", b"a"]) == [b"b", None, b"a"]
    assert store.reads == [3]


@pytest.mark.parametrize(("count", "reads"), [(0, [0]), (MAX_READ_KEYS, [1024]), (MAX_READ_KEYS + 5, [1024, 5])])
def test_many_keys_are_read_in_parts(count: int, reads: list[int]) -> None:
    store = Store()
    assert read_values(cast("Any", store), keys(count)) == keys(count)
    assert store.reads == reads


def test_values_of_a_request_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lookups, "MAX_VALUES_BYTES", 1_500_000)
    store = Store()
    with pytest.raises(FlussError) as raised:
        read_values(cast("Any", store), [bytes(1000)] * 100_000)
    assert raised.value.code is ErrorCode.RECORD_TOO_LARGE_EXCEPTION
    assert store.reads == [MAX_READ_KEYS] * 2, "it stops when it knows"


def test_other_buckets_of_the_request_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lookups, "MAX_VALUES_BYTES", 1_500)
    store = cast("Any", Store())
    assert read_values(store, [bytes(1000)], 1_500) == [bytes(1000)], "one more while the sum is not above"
    with pytest.raises(FlussError) as raised:
        read_values(store, [b"a"], 1_501)
    assert raised.value.code is ErrorCode.RECORD_TOO_LARGE_EXCEPTION
