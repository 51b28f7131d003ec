"""Names of the files of a log directory.

============================  =====================================================================
``{base:020d}.log``           batches of the segment that starts at offset ``base``
``{base:020d}.index``         its offset index
``{base:020d}.timeindex``     its time index
``{end:020d}.writer_snapshot``  writer state as of the end of offset ``end`` (exclusive)
``recovery-point``            :mod:`fluss_server.log.recovery_point`
``flushed-offset``            :mod:`fluss_server.log.flush_checkpoint`
``leader-epochs``             :mod:`fluss_server.log.leader_epochs`
``*.tmp``                     an unfinished replacement of one of the above
============================  =====================================================================

The first four are those of an official tablet server, which keeps its recovery points one level higher, in one file for
all buckets.
"""

from __future__ import annotations

from pathlib import PurePath

from fluss_server.runtime.disk import Disk

LOG = ".log"
OFFSET_INDEX = ".index"
TIME_INDEX = ".timeindex"
WRITER_SNAPSHOT = ".writer_snapshot"
TEMPORARY = ".tmp"
RECOVERY_POINT = "recovery-point"
FLUSH_CHECKPOINT = "flushed-offset"
LEADER_EPOCHS = "leader-epochs"

_DIGITS = 20


def path_of(directory: PurePath, offset: int, suffix: str) -> PurePath:
    """Path of the file of ``offset`` with that suffix."""
    return directory / f"{offset:0{_DIGITS}d}{suffix}"


def offset_of(name: str, suffix: str) -> int | None:
    """Offset in a file name, or None if the name is not of that kind."""
    digits = name[: -len(suffix)]
    if name.endswith(suffix) and len(digits) == _DIGITS and digits.isascii() and digits.isdigit():
        return int(digits)
    return None


def offsets_in(disk: Disk, directory: PurePath, suffix: str) -> list[int]:
    """Offsets of all files of that kind in the directory, ascending."""
    return sorted(offset for name in disk.list(directory) if (offset := offset_of(name, suffix)) is not None)
