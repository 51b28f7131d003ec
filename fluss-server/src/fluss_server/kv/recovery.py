"""Replay: the changelog behind what is durable in RocksDB, applied again."""

from __future__ import annotations

import logging
from collections.abc import Callable

from fluss_server.formats.log_batch import BatchHeader
from fluss_server.kv.changelog import ChangelogReader
from fluss_server.kv.committed_rows import CommittedRows
from fluss_server.log.log_tablet import LogTablet

logger = logging.getLogger(__name__)

_CHUNK_ROWS = 20_000  # converted and applied together: keys that change often are then written once
_CHUNK_BYTES = 16 << 20
_NOTEWORTHY_OFFSETS = 1_000
_PROGRESS_INTERVAL_S = 10.0


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
    batches: list[tuple[BatchHeader, bytes]] = []
    count = size_bytes = 0
    for header, data in log.batches(first, end):
        batches.append((header, data))
        count += header.record_count
        size_bytes += header.size
        if count < _CHUNK_ROWS and size_bytes < _CHUNK_BYTES and header.next_offset < end:
            continue
        changes = reader.read(batches, rows.offset)
        rows.apply(changes.rows, changes.row_count_change, header.next_offset, changes.size_bytes)
        batches.clear()
        count = size_bytes = 0
        if monotonic() - reported >= _PROGRESS_INTERVAL_S:
            reported = monotonic()
            logger.info("%s: replayed the changelog to offset %d of %d", name, rows.offset, end)
    if end - first >= _NOTEWORTHY_OFFSETS:
        logger.info("%s: replayed offsets %d to %d in %.1f s", name, first, end, monotonic() - begun)
