"""The cache of committed rows."""

from __future__ import annotations

from fluss_server.kv.row_cache import UNKNOWN, RowCache


def test_values_absences_and_the_unknown() -> None:
    cache = RowCache()
    cache.update({b"x": b"1", b"y": None}, 3, 10_000)
    assert cache.get([b"x", b"y", b"z"]) == [b"1", None, UNKNOWN]
    assert cache.read([b"x", b"y", b"z"]) == ({b"x": b"1", b"y": None}, [b"z"])
    cache.clear()
    assert cache.get([b"x"]) == [UNKNOWN]


def test_a_newer_value_hides_the_old_generation() -> None:
    cache = RowCache()
    cache.update({b"x": b"1", b"y": b"1"}, 4, 1)  # more than half of the limit: becomes the old generation
    cache.update({b"x": None}, 1, 10_000)
    assert cache.get([b"x", b"y"]) == [None, b"1"]
    assert cache.read([b"x", b"y"]) == ({b"x": None, b"y": b"1"}, [])


def test_size_is_bounded_and_hot_keys_stay() -> None:
    cache = RowCache()
    for number in range(10_000):
        cache.update({b"hot": b"%d" % number, b"%d" % number: bytes(100)}, 110, 100_000)
    kept = len(cache._young) + len(cache._old)
    assert 100 < kept < 400
    assert cache.get([b"hot", b"0"]) == [b"9999", UNKNOWN]
