"""The cache of committed rows."""

from __future__ import annotations

import threading

from fluss_server.kv.row_cache import UNKNOWN, RowCache, RowCacheMemory


def kept(cache: RowCache) -> int:
    return len(cache._young) + len(cache._old)


def test_values_absences_and_the_unknown() -> None:
    cache = RowCache(RowCacheMemory(10_000, threading.Lock()))
    cache.update({b"x": b"1", b"y": None}, 3)
    assert cache.get([b"x", b"y", b"z"]) == [b"1", None, UNKNOWN]
    assert cache.read([b"y", b"z", b"x"]) == ([None, UNKNOWN, b"1"], [1])
    assert cache.read([b"x", b"y"]) == ([b"1", None], [])
    assert cache.read([b"z", b"u"]) == ([UNKNOWN, UNKNOWN], range(2))
    cache.clear()
    assert cache.get([b"x"]) == [UNKNOWN]


def test_a_newer_value_hides_the_old_generation() -> None:
    cache = RowCache(RowCacheMemory(650, threading.Lock()))
    cache.update({b"x": b"1", b"y": b"1", b"z": b"1"}, 6)  # more than half of the limit: becomes the old generation
    cache.update({b"x": None}, 1)
    assert cache.get([b"x", b"y"]) == [None, b"1"]
    assert cache.get_recent([b"x", b"x"]) == [None, None]
    assert cache.get_recent([b"x", b"y"]) is None
    assert cache.read([b"u", b"y", b"x"]) == ([UNKNOWN, b"1", None], [0])
    assert cache.read([b"y", b"z"]) == ([b"1", b"1"], [])


def test_after_a_change_that_it_does_not_take_in_it_learns_again() -> None:
    cache = RowCache(RowCacheMemory(10_000, threading.Lock()))
    cache.update({b"x": b"1"}, 2)
    before = cache.state
    cache.begin_change()
    cache.forget()
    cache.learn([b"x"], [b"1"], before)
    assert cache.get([b"x"]) == [UNKNOWN], "it was read before the change"
    cache.learn([b"x"], [b"2"], cache.state)
    assert cache.get([b"x"]) == [b"2"]


def test_a_row_that_is_forgotten_does_not_uncover_an_older_one() -> None:
    class Watched(RowCache):
        """Is read in every state in which another thread may meet it."""

        def __setattr__(self, name: str, value: object) -> None:
            super().__setattr__(name, value)
            seen.extend(self.get([b"x"]) if watching else [])

    watching, seen = False, list[object]()
    cache = Watched(RowCacheMemory(10_000, threading.Lock()))
    cache.update({b"x": b"1"}, 2)
    cache.start_generation()
    cache.update({b"x": b"2"}, 2)
    watching = True
    cache.begin_change()
    cache.forget()
    assert set(seen) == {b"2", UNKNOWN}


def test_size_is_bounded_and_hot_keys_stay() -> None:
    cache = RowCache(RowCacheMemory(100_000, threading.Lock()))
    for number in range(10_000):
        cache.update({b"hot": b"%d" % number, b"%d" % number: bytes(100)}, 110)
    assert 100 < kept(cache) < 400
    assert cache.get([b"hot", b"0"]) == [b"9999", UNKNOWN]


def test_tablets_share_the_memory_and_idle_ones_give_it_up() -> None:
    memory = RowCacheMemory(100_000, threading.Lock())
    idle, busy = RowCache(memory), RowCache(memory)
    idle.update({b"%d" % number: bytes(100) for number in range(150)}, 15_000)
    assert kept(idle) == 150
    for number in range(1_000):
        busy.update({b"%d" % number: bytes(100)}, 110)
    assert kept(idle) == 0
    assert 100 < kept(busy) < 400


def test_rows_that_were_read_are_learnt() -> None:
    memory = RowCacheMemory(100_000, threading.Lock())
    cache = RowCache(memory)
    cache.learn([b"x", b"y"], [b"1", None], cache.state)
    assert cache.get([b"x", b"y"]) == [b"1", None]
    for number in range(10_000):
        cache.learn([b"%d" % number], [bytes(100)], cache.state)
    assert 100 < kept(cache) < 800


def test_nothing_is_learnt_that_a_change_may_have_replaced() -> None:
    cache = RowCache(RowCacheMemory(100_000, threading.Lock()))
    before = cache.state
    cache.begin_change()
    cache.learn([b"x", b"y"], [b"old", b"1"], before)
    cache.learn([b"x", b"y"], [b"old", b"1"], cache.state)  # a change is going on
    assert cache.get([b"x", b"y"]) == [UNKNOWN, UNKNOWN]
    cache.update({b"x": b"new"}, 4)
    cache.learn([b"x", b"y"], [b"old", b"1"], before)
    assert cache.get([b"x", b"y"]) == [b"new", UNKNOWN]
    cache.learn([b"y"], [b"1"], cache.state)
    assert cache.get([b"y"]) == [b"1"]


def test_a_cleared_cache_stays_empty() -> None:
    cache = RowCache(RowCacheMemory(100_000, threading.Lock()))
    state = cache.state
    cache.clear()
    cache.learn([b"x"], [b"1"], state)
    assert cache.get([b"x"]) == [UNKNOWN]
