"""Committed rows that were written lately, as Python objects: a read from here costs a tenth of one from RocksDB."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from enum import Enum
from itertools import repeat
from typing import Final

_ROW_OVERHEAD_BYTES = 200  # two bytes objects and a place in a dict


class Unknown(Enum):
    """Type of :data:`UNKNOWN`."""

    UNKNOWN = 0


UNKNOWN: Final = Unknown.UNKNOWN
"""Stands for a key the cache knows nothing about; None stands for a key that is known to be absent."""


class RowCache:
    """Newest committed values of the keys written last.

    Two generations: writes go into the young one; when it has half of the allowed size it becomes the old one, and
    what was old is dropped. Keys that are written again and again stay, and neither reads nor writes have to keep an
    order.

    One thread writes. Others may call :meth:`get` at the same time: they see a value that is or was just committed,
    never one that a commit finished before the call has replaced.
    """

    def __init__(self) -> None:
        self._young: dict[bytes, bytes | None] = {}
        self._old: dict[bytes, bytes | None] = {}
        self._young_bytes = 0

    def get(self, keys: Sequence[bytes]) -> list[bytes | Unknown | None]:
        """Value, None (absent) or :data:`UNKNOWN` of each key."""
        young = self._young  # before the old generation: it becomes that one, never the other way round
        old = self._old
        return [old.get(key, UNKNOWN) if (value := young.get(key, UNKNOWN)) is UNKNOWN else value for key in keys]

    def read(self, keys: Iterable[bytes]) -> tuple[dict[bytes, bytes | None], list[bytes]]:
        """Values of those of ``keys`` that are known, and the other keys. Writing thread only."""
        found: dict[bytes, bytes | None] = {}
        unknown = list(keys)
        for generation in (self._young, self._old):
            if generation and unknown:
                values = list(map(generation.get, unknown, repeat(UNKNOWN)))
                found.update((key, value) for key, value in zip(unknown, values, strict=True) if value is not UNKNOWN)
                unknown = [key for key, value in zip(unknown, values, strict=True) if value is UNKNOWN]
        return found, unknown

    def update(self, rows: Mapping[bytes, bytes | None], size_bytes: int, limit_bytes: int) -> None:
        """Take in rows that are now committed.

        Args:
            rows: None = deleted.
            size_bytes: what keys and values weigh.
            limit_bytes: allowed size of the cache.
        """
        self._young.update(rows)
        self._young_bytes += size_bytes + _ROW_OVERHEAD_BYTES * len(rows)
        if 2 * self._young_bytes > limit_bytes:
            self._old = self._young
            self._young = {}
            self._young_bytes = 0

    def clear(self) -> None:
        """Forget everything."""
        self._young, self._old, self._young_bytes = {}, {}, 0
