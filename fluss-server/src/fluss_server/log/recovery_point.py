"""The recovery point: up to where a log needs no checking when it is opened."""

from __future__ import annotations

import struct
from pathlib import PurePath
from typing import NamedTuple

from fluss_server.formats.crc import crc32c
from fluss_server.log.file_names import RECOVERY_POINT
from fluss_server.runtime.disk import Disk

_MAGIC = b"FlussRP1"
_BODY = struct.Struct("<8sqqqqqqIII")
_CRC = struct.Struct("<I")


class RecoveryPoint(NamedTuple):
    """A state of a log of which everything is known to be durable.

    All batches below :attr:`offset` were fsynced and undamaged, with the index entries that describe them and the
    writer state after them. A log is opened by checking what lies after the recovery point; what lies before it
    is trusted, except that segments must begin and end where they should.

    File format (``recovery-point``, 72 bytes, little-endian, replaced atomically and durably):

    ======  ====  =========================================================
    offset  size  field
    ======  ====  =========================================================
    0       8     ``FlussRP1``
    8       8     log start offset
    16      8     recovery offset
    24      8     base offset of the segment that was active
    32      8     size of that segment's ``.log`` file, bytes
    40      8     largest commit timestamp in that segment, -1 if it was empty
    48      8     base offset of the first batch of that segment with that timestamp
    56      4     entries of that segment's offset index, uint32
    60      4     entries of that segment's time index, uint32
    64      4     CRC-32C of the writer snapshot of the recovery offset
    68      4     CRC-32C of bytes 0 to 67
    ======  ====  =========================================================

    Official servers keep recovery offsets in one text file for all buckets, without the rest.
    """

    log_start_offset: int
    offset: int
    segment_base: int
    segment_size: int
    max_timestamp: int
    max_timestamp_offset: int
    offset_entries: int
    time_entries: int
    snapshot_crc: int

    def encode(self) -> bytes:
        """The file image."""
        body = _BODY.pack(
            _MAGIC,
            self.log_start_offset,
            self.offset,
            self.segment_base,
            self.segment_size,
            self.max_timestamp,
            self.max_timestamp_offset,
            self.offset_entries,
            self.time_entries,
            self.snapshot_crc,
        )
        return body + _CRC.pack(crc32c(body))

    @classmethod
    def decode(cls, data: bytes) -> RecoveryPoint | None:
        """The recovery point in a file image; None if the image is damaged."""
        if len(data) != _BODY.size + _CRC.size or _CRC.unpack_from(data, _BODY.size)[0] != crc32c(data[: _BODY.size]):
            return None
        magic, *fields = _BODY.unpack_from(data)
        return cls(*fields) if magic == _MAGIC else None

    def write(self, directory: PurePath, disk: Disk) -> None:
        """Replace the recovery point of a log directory, durably.

        Raises:
            OSError: the old one is still there.
        """
        disk.replace_file(directory / RECOVERY_POINT, self.encode())

    @classmethod
    def read(cls, directory: PurePath, disk: Disk) -> RecoveryPoint | None:
        """The recovery point of a log directory; None if there is none, or a damaged one.

        Raises:
            OSError: the file is there and cannot be read.
        """
        try:
            return cls.decode(disk.read_file(directory / RECOVERY_POINT))
        except FileNotFoundError:
            return None
