"""The checkpoint of a KvTablet: how much of the changelog is durably in RocksDB, and whether a store is still valid.

The log is the write-ahead log of the store. RocksDB runs without its own, so that after a crash it holds *at least*
the rows up to the last :class:`KvCheckpoint` and perhaps more, because it writes memtables to disk when it likes.
Replaying the changelog from the flushed offset gives the right rows all the same: every change carries the whole row,
and later ones win. Only rows that the log itself has lost could survive in the store wrongly; :func:`invalidate`
finds that out.

File ``kv-checkpoint`` beside the database, 57 bytes, little-endian, replaced atomically. Older programs called it
``flushed-offset``; it is read under that name, and removed when the next one is written.

======  ====  ===========================================================================
offset  size  field
======  ====  ===========================================================================
0       8     ``FlussKV1``
8       8     changelog offset: entries below are durably in RocksDB
16      8     number of rows at that offset
24      8     RocksDB sequence number at that offset
32      16    boot id of the machine when it was written (zeros = unknown)
48      1     1 = RocksDB may have been given changes that were not durable in the log
49      4     length of this record, 57
53      4     CRC-32C of bytes 0 to 52
======  ====  ===========================================================================
"""

from __future__ import annotations

import struct
import uuid
from dataclasses import dataclass
from pathlib import PurePath

from fluss_server.errors import ErrorCode, FlussError
from fluss_server.formats.crc import crc32c
from fluss_server.runtime import Disk

CHECKPOINT_FILE = "kv-checkpoint"
OLD_CHECKPOINT_FILE = "flushed-offset"
UNKNOWN_BOOT = bytes(16)

_MAGIC = b"FlussKV1"
_BODY = struct.Struct("<8sqqq16s?i")
_CRC = struct.Struct("<I")
_SIZE = _BODY.size + _CRC.size
_BOOT_ID = PurePath("/proc/sys/kernel/random/boot_id")


@dataclass(frozen=True, slots=True)
class KvCheckpoint:
    """A state of the store that is durable.

    Attributes:
        offset: changelog offset; entries below it are in RocksDB, on disk.
        row_count: rows at that offset.
        sequence: RocksDB sequence number at that offset.
        boot_id: which run of the machine wrote this.
        may_exceed_log: whether RocksDB may since have been given changes that were not durable in the log.
    """

    offset: int
    row_count: int
    sequence: int
    boot_id: bytes = UNKNOWN_BOOT
    may_exceed_log: bool = False

    def encode(self) -> bytes:
        """Content of the file."""
        body = _BODY.pack(_MAGIC, self.offset, self.row_count, self.sequence, self.boot_id, self.may_exceed_log, _SIZE)
        return body + _CRC.pack(crc32c(body))

    @classmethod
    def decode(cls, data: bytes) -> KvCheckpoint | None:
        """Read the content of the file; None if it is damaged."""
        if len(data) != _SIZE or _CRC.unpack_from(data, _BODY.size)[0] != crc32c(data[: _BODY.size]):
            return None
        magic, offset, row_count, sequence, boot_id, may_exceed_log, _ = _BODY.unpack_from(data)
        return cls(offset, row_count, sequence, boot_id, may_exceed_log) if magic == _MAGIC else None


def read_checkpoint(directory: PurePath, disk: Disk) -> KvCheckpoint | None:
    """The checkpoint in a KvTablet's directory; None if there is none or it is damaged.

    Raises:
        OSError: the file is there and cannot be read.
    """
    for name in (CHECKPOINT_FILE, OLD_CHECKPOINT_FILE):
        try:
            return KvCheckpoint.decode(disk.read_file(directory / name))
        except (FileNotFoundError, IsADirectoryError):
            continue
    return None


def write_checkpoint(directory: PurePath, checkpoint: KvCheckpoint, disk: Disk) -> None:
    """Replace the checkpoint durably.

    Raises:
        OSError: the old one is still there.
    """
    disk.replace_file(directory / CHECKPOINT_FILE, checkpoint.encode())
    disk.remove(directory / OLD_CHECKPOINT_FILE, missing_ok=True)


def remove_checkpoint(directory: PurePath, disk: Disk) -> None:
    """Remove the checkpoint durably, so that the store counts for nothing.

    Raises:
        OSError: it may still be there.
    """
    for name in (CHECKPOINT_FILE, OLD_CHECKPOINT_FILE):
        if disk.is_directory(directory / name):
            disk.remove_tree(directory / name)
        else:
            disk.remove(directory / name, missing_ok=True)
    disk.sync_directory(directory)


def checkpoint_exists(directory: PurePath, disk: Disk) -> bool:
    """Whether there is a checkpoint file, damaged or not."""
    return any(disk.exists(directory / name) for name in (CHECKPOINT_FILE, OLD_CHECKPOINT_FILE))


def boot_id(disk: Disk) -> bytes:
    """16 bytes that change when the machine starts again; zeros where the system does not tell."""
    try:
        return uuid.UUID(disk.read_file(_BOOT_ID).decode().strip()).bytes
    except (OSError, ValueError):
        return UNKNOWN_BOOT


def invalidate(
    state: KvCheckpoint,
    sequence: int,
    *,
    boot: bytes,
    log_start: int,
    log_end: int,
    log_was_cut: bool,
    log_lost_durable: bool,
) -> str | None:
    """Why the store must be built again from the log; None if replaying from ``state.offset`` gives the right rows.

    Args:
        state: what was recorded.
        sequence: RocksDB sequence number found after opening.
        boot: present boot id.
        log_start: first offset of the log.
        log_end: next offset of the log.
        log_was_cut: whether opening the log removed a torn tail or whole batches.
        log_lost_durable: whether batches that had been durable are gone from the log.
    """
    if state.offset > log_end:
        return f"it contains changes up to offset {state.offset}, the log ends at {log_end}"
    if state.offset < log_start:
        return f"it contains changes up to offset {state.offset}, the log begins at {log_start}"
    if sequence < state.sequence:
        return f"it lost {state.sequence - sequence} changes that were durable"
    if sequence > state.sequence:  # it holds changes after the checkpoint: are all of them in the log?
        if log_lost_durable or (state.may_exceed_log and log_was_cut):
            return "it may contain changes that are gone from the log"
        if state.may_exceed_log and (boot != state.boot_id or boot == UNKNOWN_BOOT):
            return "it may contain changes that the log lost with the power"
    return None


def check_replayable(directory: PurePath, log_start: int, disk: Disk) -> None:
    """Refuse a changelog that does not reach back to the rows that are durable in a KvTablet's directory.

    Args:
        directory: of the KvTablet; may be missing.
        log_start: where the changelog begins.
        disk: of the directory.

    Raises:
        FlussError: ``KV_STORAGE_EXCEPTION``.
        OSError: the checkpoint cannot be read.
    """
    if log_start == 0:
        return
    checkpoint = read_checkpoint(directory, disk)
    offset = 0 if checkpoint is None else checkpoint.offset
    if offset < log_start:
        raise FlussError(
            ErrorCode.KV_STORAGE_EXCEPTION,
            f"{directory} has the rows up to changelog offset {offset}, and the changelog begins at {log_start}",
            hint="another replica has to lead the bucket",
        )
