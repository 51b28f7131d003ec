"""Files of writer state."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import PurePath
from typing import Any

from fluss_server.formats.crc import crc32c
from fluss_server.log.file_names import WRITER_SNAPSHOT, offsets_in, path_of
from fluss_server.log.writer_state import WriterEntry, WrittenBatch
from fluss_server.runtime.disk import Disk

_VERSION = 1


class WriterSnapshots:
    """The ``{end:020d}.writer_snapshot`` files of a log directory: writer state as of offset ``end`` (exclusive).

    File format, that of official servers: UTF-8 JSON without spaces ::

        {"version":1,"writer_id_entries":[{"writer_id":5,"last_batch_sequence":12,"last_batch_base_offset":120,
         "offset_delta":9,"last_batch_timestamp":1700000000000}]}

    ``last_batch_base_offset`` holds the *last* offset of the last batch, in spite of its name. Official servers keep
    that one batch only, and after a restart refuse a repetition of the four batches before it. Ours add, for a writer
    with more batches, the member ``"earlier_batches":[[sequence,last offset,offset delta,timestamp],...]``, oldest
    first; official servers ignore unknown members.

    A snapshot is never the only source: it is a function of the log before it. Its CRC is kept with the recovery
    point, because the format has no place for one.

    Args:
        directory: of the log.
        disk: holds it.
    """

    def __init__(self, directory: PurePath, disk: Disk) -> None:
        self._directory = directory
        self._disk = disk

    def offsets(self) -> list[int]:
        """Offsets for which there is a file, ascending."""
        return offsets_in(self._disk, self._directory, WRITER_SNAPSHOT)

    def write(self, offset: int, entries: Sequence[WriterEntry]) -> int:
        """Write a snapshot durably; returns its CRC.

        Raises:
            OSError: the snapshot was not written; an older one of that offset is still there.
        """
        data = encode_snapshot(entries)
        self._disk.replace_file(path_of(self._directory, offset, WRITER_SNAPSHOT), data)
        return crc32c(data)

    def read(self, offset: int, crc: int | None = None) -> list[WriterEntry] | None:
        """Read a snapshot; None if it is missing, damaged or does not have the CRC.

        Raises:
            OSError: the file is there and cannot be read.
        """
        try:
            data = self._disk.read_file(path_of(self._directory, offset, WRITER_SNAPSHOT))
        except FileNotFoundError:
            return None
        if crc is not None and crc32c(data) != crc:
            return None
        return decode_snapshot(data)

    def delete(self, offset: int) -> None:
        """Remove a snapshot."""
        self._disk.remove(path_of(self._directory, offset, WRITER_SNAPSHOT), missing_ok=True)


def encode_snapshot(entries: Sequence[WriterEntry]) -> bytes:
    """The file image of a snapshot."""
    documents = []
    for writer_id, batches in entries:
        last = batches[-1]
        document: dict[str, Any] = {
            "writer_id": writer_id,
            "last_batch_sequence": last.sequence,
            "last_batch_base_offset": last.last_offset,
            "offset_delta": last.offset_delta,
            "last_batch_timestamp": last.timestamp,
        }
        if len(batches) > 1:
            document["earlier_batches"] = batches[:-1]
        documents.append(document)
    return json.dumps({"version": _VERSION, "writer_id_entries": documents}, separators=(",", ":")).encode()


def decode_snapshot(data: bytes) -> list[WriterEntry] | None:
    """The entries in a file image; None if it is not a whole snapshot."""
    try:
        document = json.loads(data)
        return [_entry(item) for item in document["writer_id_entries"]]
    except (ValueError, KeyError, TypeError):
        return None


def _entry(item: dict[str, Any]) -> WriterEntry:
    batches = [WrittenBatch(*map(_integer, batch)) for batch in item.get("earlier_batches", [])]
    batches.append(
        WrittenBatch(
            _integer(item["last_batch_sequence"]),
            _integer(item["last_batch_base_offset"]),
            _integer(item["offset_delta"]),
            _integer(item["last_batch_timestamp"]),
        )
    )
    return WriterEntry(_integer(item["writer_id"]), tuple(batches))


def _integer(value: object) -> int:
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    raise ValueError(f"{value!r} is not an integer")
