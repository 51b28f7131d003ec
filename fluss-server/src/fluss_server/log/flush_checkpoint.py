"""The flush checkpoint: a cheap record of how far a log is durable."""

from __future__ import annotations

import struct
from pathlib import PurePath

from fluss_server.formats.crc import crc32c
from fluss_server.log.file_names import FLUSH_CHECKPOINT
from fluss_server.runtime.disk import Disk

_MAGIC = b"FlussFO1"
_BODY = struct.Struct("<8sq")
_CRC = struct.Struct("<I")


class FlushCheckpoint:
    """The offset up to which a log was durable at its last flush.

    The recovery point moves rarely; between it and the end of the log recovery could not tell a torn tail, which was
    never acknowledged, from damage to acknowledged batches. This file can: it is written after every flush, without
    fsync, so that it is exact after the death of the process and some seconds old after a loss of power, but never
    ahead of the truth.

    File format (``flushed-offset``, 20 bytes, little-endian, overwritten in place):

    ======  ====  ============================================
    offset  size  field
    ======  ====  ============================================
    0       8     ``FlussFO1``
    8       8     every batch below this offset was durable
    16      4     CRC-32C of bytes 0 to 15
    ======  ====  ============================================
    """

    def __init__(self, directory: PurePath, disk: Disk) -> None:
        self._path = directory / FLUSH_CHECKPOINT
        self._disk = disk

    def read(self) -> int | None:
        """The offset; None if there is no file, or a damaged one.

        Raises:
            OSError: the file is there and cannot be read.
        """
        try:
            data = self._disk.read_file(self._path)
        except FileNotFoundError:
            return None
        if len(data) != _BODY.size + _CRC.size or _CRC.unpack_from(data, _BODY.size)[0] != crc32c(data[: _BODY.size]):
            return None
        magic, offset = _BODY.unpack_from(data)
        return int(offset) if magic == _MAGIC else None

    def advance(self, offset: int) -> None:
        """Overwrite the offset, not durably.

        Raises:
            OSError: the file holds the old offset, or is damaged.
        """
        file = self._disk.open(self._path, create=True)
        try:
            file.write((_encode(offset),), 0)
        finally:
            file.close()


def _encode(offset: int) -> bytes:
    body = _BODY.pack(_MAGIC, offset)
    return body + _CRC.pack(crc32c(body))
