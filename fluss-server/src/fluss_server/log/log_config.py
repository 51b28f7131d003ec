"""Settings of a LogTablet."""

from __future__ import annotations

from dataclasses import dataclass

from fluss_server.errors import ErrorCode, FlussError

MAX_SEGMENT_BYTES = 2**31 - 1
"""Positions in a segment are stored as signed 32-bit numbers."""


@dataclass(frozen=True, slots=True)
class LogConfig:
    """Settings of a LogTablet; the server options they come from are named ``log.*`` and ``server.writer-id.*``.

    Attributes:
        segment_bytes: a segment is closed before it grows past this; one batch may be larger and then has its own.
        index_interval_bytes: an index entry is written when more than this was appended since the last one.
        index_max_bytes: largest size of one index file; a segment whose index is full is closed.
        writer_expiration_ms: after this time without a batch only the last batch of a writer is remembered.
        max_writers: most writers remembered; the one unused for the longest time is forgotten first.
        max_batch_bytes: largest batch accepted.
        recovery_point_bytes: the recovery point moves after this many appended bytes,
        recovery_point_interval_ms: or at the first flush after this time.

    Raises:
        FlussError: ``INVALID_CONFIG_EXCEPTION`` for a value out of range.
    """

    segment_bytes: int = 1 << 30
    index_interval_bytes: int = 4096
    index_max_bytes: int = 10 << 20
    writer_expiration_ms: int = 12 * 3600 * 1000
    max_writers: int = 5000
    max_batch_bytes: int = 100 << 20
    recovery_point_bytes: int = 32 << 20
    recovery_point_interval_ms: int = 60_000

    def __post_init__(self) -> None:
        ranges = {
            "segment_bytes": (1, MAX_SEGMENT_BYTES),
            "index_interval_bytes": (0, MAX_SEGMENT_BYTES),
            "index_max_bytes": (24, MAX_SEGMENT_BYTES),  # two time entries: one is kept free for closing the segment
            "writer_expiration_ms": (1, 2**63 - 1),
            "max_writers": (1, 2**31 - 1),
            "max_batch_bytes": (1, MAX_SEGMENT_BYTES),
            "recovery_point_bytes": (1, 2**63 - 1),
            "recovery_point_interval_ms": (1, 2**63 - 1),
        }
        for name, (low, high) in ranges.items():
            value = getattr(self, name)
            if not low <= value <= high:
                raise FlussError(
                    ErrorCode.INVALID_CONFIG_EXCEPTION, f"log setting {name} is {value}, allowed are {low} to {high}"
                )
