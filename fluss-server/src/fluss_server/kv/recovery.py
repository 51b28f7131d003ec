"""Replay: the changelog behind what is durable in RocksDB, applied again."""

from __future__ import annotations

import logging
import time

from fluss_server.kv.changelog import ChangelogReader
from fluss_server.kv.committed_rows import CommittedRows
from fluss_server.log.log_tablet import LogTablet

logger = logging.getLogger(__name__)

_CHUNK_ROWS = 20_000  # applied together: keys that change often are then written once
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
    changed: dict[bytes, bytes | None] = {}
    row_count_change = size_bytes = 0
    for header, batch in log.batches(first, end):
        replayed = reader.read(batch, header, rows.offset)
        changed.update(replayed.rows)
        row_count_change += replayed.row_count_change
        size_bytes += replayed.size_bytes
        if len(changed) >= _CHUNK_ROWS or header.next_offset >= end:
            rows.apply(changed, row_count_change, header.next_offset, size_bytes)
            changed, row_count_change, size_bytes = {}, 0, 0
            if time.monotonic() - reported >= _PROGRESS_INTERVAL_S:
                reported = time.monotonic()
                logger.info("%s: replayed the changelog to offset %d of %d", name, rows.offset, end)
    if end - first >= _NOTEWORTHY_OFFSETS:
        logger.info("%s: replayed offsets %d to %d in %.1f s", name, first, end, time.monotonic() - begun)
