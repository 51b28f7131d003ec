"""Replay: the changelog behind what is in RocksDB, applied again.

A restart replays all of it at once; a standby replica, and a leader that was none, take one slice at a time
(:func:`replay_slice`), so that other tablets of the same worker thread are served in between.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator

from fluss_server.formats.log_batch import BatchHeader
from fluss_server.kv.changelog import ChangelogReader
from fluss_server.kv.committed_rows import CommittedRows
from fluss_server.log.log_tablet import LogTablet

logger = logging.getLogger(__name__)

_CHUNK_ROWS = 20_000  # converted and applied together: keys that change often are then written once
_CHUNK_BYTES = 16 << 20
SLICE_ROWS = 4_000
SLICE_BYTES = 1 << 20
"""Of a slice: some 10 ms of the worker thread."""

_NOTEWORTHY_OFFSETS = 1_000
_PROGRESS_INTERVAL_S = 10.0

Batches = list[tuple[BatchHeader, bytes]]


def replay(
    rows: CommittedRows, log: LogTablet, reader: ChangelogReader, name: str, end: int, monotonic: Callable[[], float]
) -> None:
    """Bring ``rows`` from its offset to the offset ``end``. Memory is bounded: some batches at a time.

    Args:
        rows: the store.
        log: its changelog.
        reader: of the table's changelog.
        name: of the tablet, for messages.
        end: where a batch ends; everything before it counts as committed.
        monotonic: a clock for messages, seconds.

    Raises:
        FlussError: ``KV_STORAGE_EXCEPTION``, ``LOG_STORAGE_EXCEPTION``, ``CORRUPT_RECORD_EXCEPTION``.
    """
    first = rows.offset
    begun = reported = monotonic()
    for batches in _chunks(log, first, end, _CHUNK_ROWS, _CHUNK_BYTES):
        _apply(rows, reader, batches, cached=True)
        if monotonic() - reported >= _PROGRESS_INTERVAL_S:
            reported = monotonic()
            logger.info("%s: replayed the changelog to offset %d of %d", name, rows.offset, end)
    if end - first >= _NOTEWORTHY_OFFSETS:
        logger.info("%s: replayed offsets %d to %d in %.1f s", name, first, end, monotonic() - begun)


def replay_slice(rows: CommittedRows, log: LogTablet, reader: ChangelogReader, end: int) -> bool:
    """Apply some of the batches that end at or before ``end``: one at least, about :data:`SLICE_ROWS` rows.

    The rows do not enter the cache, which is for what clients use.

    Returns:
        whether there may be more of them.

    Raises:
        FlussError: as :func:`replay`.
    """
    for batches in _chunks(log, rows.offset, end, SLICE_ROWS, SLICE_BYTES):
        _apply(rows, reader, batches, cached=False)
        return rows.offset < end
    return False


def _chunks(log: LogTablet, first: int, end: int, max_rows: int, max_bytes: int) -> Iterator[Batches]:
    """Batches from the one that holds ``first`` on that end at or before ``end``, in groups of about that size."""
    if first >= end:
        return
    batches: Batches = []
    count = size_bytes = 0
    for header, data in log.batches(first, end):
        if header.next_offset > end:
            break
        batches.append((header, data))
        count += header.record_count
        size_bytes += header.size
        if count >= max_rows or size_bytes >= max_bytes:
            yield batches
            batches = []
            count = size_bytes = 0
    if batches:
        yield batches


def _apply(rows: CommittedRows, reader: ChangelogReader, batches: Batches, *, cached: bool) -> None:
    changes = reader.read(batches, rows.offset)
    rows.apply(changes.rows, changes.row_count_change, batches[-1][0].next_offset, changes.size_bytes, cached=cached)
