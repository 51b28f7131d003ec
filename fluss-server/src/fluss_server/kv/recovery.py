"""Replay: the changelog behind what is durable in RocksDB, applied again."""

from __future__ import annotations

import logging
import time

from fluss_server.formats.log_batch import BatchHeader
from fluss_server.kv.changelog import ChangelogReader
from fluss_server.kv.committed_rows import CommittedRows
from fluss_server.log.log_tablet import LogTablet

logger = logging.getLogger(__name__)

_CHUNK_ROWS = 20_000  # converted and applied together: keys that change often are then written once
_CHUNK_BYTES = 16 << 20
_NOTEWORTHY_OFFSETS = 1_000
_PROGRESS_INTERVAL_S = 10.0


def replay(rows: CommittedRows, log: LogTablet, reader: ChangelogReader, name: str) -> None:
    """Bring ``rows`` from its offset to the end of the log. Memory is bounded: some batches at a time.

    Args:
        rows: the store.
        log: its changelog; everything in it counts as committed.
        reader: of the table's changelog.
        name: of the tablet, for messages.

    Raises:
        FlussError: ``KV_STORAGE_EXCEPTION``, ``LOG_STORAGE_EXCEPTION``, ``CORRUPT_RECORD_EXCEPTION``.
    """
    first, end = rows.offset, log.end_offset
    begun = reported = time.monotonic()
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
        if time.monotonic() - reported >= _PROGRESS_INTERVAL_S:
            reported = time.monotonic()
            logger.info("%s: replayed the changelog to offset %d of %d", name, rows.offset, end)
    if end - first >= _NOTEWORTHY_OFFSETS:
        logger.info("%s: replayed offsets %d to %d in %.1f s", name, first, end, time.monotonic() - begun)
