"""Which sealed segments of a log keep their file descriptors and indexes."""

from __future__ import annotations

from collections import OrderedDict

from fluss_server.log.log_segment import LogSegment
from fluss_server.runtime.workers import Lock

MAX_OPEN = 4


class OpenSegments:
    """The sealed segments of one log that were used last, at most :data:`MAX_OPEN`; thread-safe.

    Args:
        lock: of its own.

    The one that has been unused for the longest time releases its descriptor and indexes, if they are on the disk; its
    next use loads them again.
    """

    def __init__(self, lock: Lock) -> None:
        self._segments: OrderedDict[int, LogSegment] = OrderedDict()
        self._start = 0
        self._lock = lock

    def note_use(self, segment: LogSegment) -> None:
        """Note that a sealed segment was used, and let another one go for it."""
        with self._lock:
            if segment.base_offset < self._start:
                return  # deleted meanwhile
            self._segments[segment.base_offset] = segment
            self._segments.move_to_end(segment.base_offset)
            while len(self._segments) > MAX_OPEN:
                _, unused = self._segments.popitem(last=False)
                if unused.sealed and unused.synced and unused.indexes_durable:
                    unused.release()

    def forget_below(self, start: int) -> None:
        """The log begins at offset ``start`` from now on."""
        with self._lock:
            self._start = start
            for base in [base for base in self._segments if base < start]:
                del self._segments[base]

    def forget_from(self, end: int) -> None:
        """The segments that begin at offset ``end`` or later are truncated or deleted."""
        with self._lock:
            for base in [base for base in self._segments if base >= end]:
                del self._segments[base]

    def restart_at(self, start: int) -> None:
        """All segments are gone; new ones begin at offset ``start``."""
        with self._lock:
            self._start = start
            self._segments.clear()
