"""Committed rows that were written or read lately, as Python objects.

A read from here costs a tenth of one from RocksDB.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import Enum
from itertools import repeat
from typing import Final

from fluss_server.runtime import Lock

_ROW_OVERHEAD_BYTES = 150  # two bytes objects and a place in a dict


class Unknown(Enum):
    """Type of :data:`UNKNOWN`."""

    UNKNOWN = 0


UNKNOWN: Final = Unknown.UNKNOWN
"""Stands for a key the cache knows nothing about; None stands for a key that is known to be absent."""


class RowCacheMemory:
    """What the caches of all tablets may take together.

    There are two generations: rows enter the young one; when those of all caches have half of the allowed size, they
    become the old ones, and what was old is dropped. Keys that are used again and again stay, neither reads nor writes
    have to keep an order, and a tablet that nobody uses holds nothing after a while.

    Args:
        limit_bytes: allowed size.
        lock: held while caches change.
    """

    def __init__(self, limit_bytes: int, lock: Lock) -> None:
        self._limit_bytes = limit_bytes
        self._young_bytes = 0
        self._filled: set[RowCache] = set()
        self.lock = lock

    def grow(self, cache: RowCache, size_bytes: int) -> None:
        """Rows of ``size_bytes`` were added to ``cache``. With the lock held."""
        self._filled.add(cache)
        self._young_bytes += size_bytes
        if 2 * self._young_bytes > self._limit_bytes:
            self._young_bytes = 0
            self._filled = {filled for filled in self._filled if filled.start_generation()}

    def forget(self, cache: RowCache) -> None:
        """``cache`` is empty. With the lock held."""
        self._filled.discard(cache)


class RowCache:
    """Newest committed values of the keys that were used last, of one tablet.

    One thread changes rows: it announces that with :meth:`begin_change` before RocksDB changes, and ends with
    :meth:`update` or :meth:`forget`. Others may call :meth:`get` at the same time: they see a value that is or was
    just committed, never one that a commit finished before the call has replaced. What they read from RocksDB they may
    :meth:`learn`, which does nothing if a change began meanwhile.

    Args:
        memory: shared with other caches.
    """

    def __init__(self, memory: RowCacheMemory) -> None:
        self._memory = memory
        self._lock = memory.lock
        self._young: dict[bytes, bytes | None] = {}
        self._old: dict[bytes, bytes | None] = {}
        self._changes = 0
        self._changing = False

    def get_recent(self, keys: Sequence[bytes]) -> list[bytes | None] | None:
        """Value or None (absent) of each key if all were used lately; None when :meth:`get` has to be called."""
        try:
            return list(map(self._young.__getitem__, keys))
        except KeyError:
            return None

    def get(self, keys: Sequence[bytes]) -> list[bytes | Unknown | None]:
        """Value, None (absent) or :data:`UNKNOWN` of each key."""
        young = self._young  # before the old generation: it becomes that one, never the other way round
        old = self._old
        return [old.get(key, UNKNOWN) if (value := young.get(key, UNKNOWN)) is UNKNOWN else value for key in keys]

    def read(self, keys: Sequence[bytes]) -> tuple[list[bytes | Unknown | None], Sequence[int]]:
        """As :meth:`get`, and the positions of the unknown ones; fastest when all are known or all unknown."""
        young, old = self._young, self._old  # in this order, as above
        count = len(keys)
        values: list[bytes | Unknown | None] = [UNKNOWN] * count
        missing: Sequence[int] = range(count)
        # Keys are looked up in the order in which they came: often it is the one in which they were written, whose
        # memory lies together.
        for generation in (young, old):
            if not missing:
                break
            wanted = keys if len(missing) == count else [keys[index] for index in missing]
            if generation.keys().isdisjoint(wanted):
                continue
            found = list(map(generation.get, wanted, repeat(UNKNOWN)))
            if len(missing) == count:
                values = found
            else:
                for index, value in zip(missing, found, strict=True):
                    values[index] = value
            missing = [index for index, value in zip(missing, found, strict=True) if value is UNKNOWN]
        return values, missing

    def begin_change(self) -> None:
        """Rows in RocksDB are going to change."""
        with self._lock:
            self._changing = True
            self._changes += 1

    def update(self, rows: Mapping[bytes, bytes | None], size_bytes: int) -> None:
        """Take in rows that are now committed: the change is over.

        Args:
            rows: None = deleted.
            size_bytes: what keys and values weigh.
        """
        with self._lock:
            self._young.update(rows)
            self._changing = False
            self._memory.grow(self, size_bytes + _ROW_OVERHEAD_BYTES * len(rows))

    def forget(self) -> None:
        """Rows are committed that are not to be taken in: what is here may be outdated by them. The change is over."""
        with self._lock:
            self._old = {}  # before the young one: whoever reads meanwhile must not see what that one hides
            self._young = {}
            self._changing = False
            self._memory.forget(self)

    @property
    def state(self) -> int:
        """For :meth:`learn`, to be read before RocksDB is."""
        return self._changes

    def learn(self, keys: Sequence[bytes], values: Sequence[bytes | None], state: int) -> None:
        """Take in rows that were read from RocksDB, unless they may be outdated.

        Args:
            keys: whose values were read.
            values: None = absent.
            state: :attr:`state` before they were read.
        """
        with self._lock:
            if self._changing or self._changes != state:
                return
            self._young.update(zip(keys, values, strict=True))
            size_bytes = sum(map(len, keys)) + sum(map(len, filter(None, values)))
            self._memory.grow(self, size_bytes + _ROW_OVERHEAD_BYTES * len(keys))

    def start_generation(self) -> bool:
        """Make the young generation the old one. Returns whether anything is left."""
        self._old = self._young
        self._young = {}
        return bool(self._old)

    def clear(self) -> None:
        """Forget everything, for good."""
        with self._lock:
            self._changing = True
            self._young, self._old = {}, {}
            self._memory.forget(self)
