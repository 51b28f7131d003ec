"""Leader epochs: which part of a log was written in which, and where two logs of a bucket diverge."""

from __future__ import annotations

import logging
import struct
from collections.abc import Sequence
from itertools import pairwise
from pathlib import PurePath
from typing import NamedTuple

from fluss_server.errors import ErrorCode, FlussError
from fluss_server.formats.crc import crc32c
from fluss_server.log.file_names import LEADER_EPOCHS
from fluss_server.runtime.disk import Disk

logger = logging.getLogger(__name__)

UNKNOWN_EPOCH = -1
"""Epoch of records whose leader epoch is not known; two logs never have it in common."""

MAX_EPOCHS = 4096
"""Most entries of a history; of a longer one the oldest are forgotten."""

_MAGIC = b"FlussLE1"
_HEAD = struct.Struct("<8sI")
_ENTRY = struct.Struct("<iq")
_CRC = struct.Struct("<I")


class EpochStart(NamedTuple):
    """An entry of a history: the records from ``start_offset`` on, up to the next entry, are of ``epoch``."""

    epoch: int
    start_offset: int


def divergence(own: Sequence[EpochStart], own_end: int, leaders: Sequence[EpochStart], leader_end: int) -> int | None:
    """Up to where a follower's log is known to be equal to its leader's.

    That is the end, in both logs, of the newest epoch that both have with the same first offset. A leader writes each
    offset of its epoch once, so that two logs with such an entry are equal up to the smaller of these ends. Nothing
    that was acknowledged is lost: the leader has all of it.

    Args:
        own: history of the follower's log, see :attr:`LogTablet.epochs`; empty if it has never held a record.
        own_end: end offset of the follower's log.
        leaders: history of the leader's log.
        leader_end: end offset of the leader's log.

    Returns:
        the offset to truncate the follower's log to, at most both ends; ``own_end`` if nothing is to be truncated. None
        if no part of the logs is known to be equal. The result may lie below the start of one of the logs. In both
        cases the follower keeps nothing and begins at the leader's log start.
    """
    theirs = {entry.epoch: index for index, entry in enumerate(leaders)}
    for index in range(len(own) - 1, -1, -1):
        entry = own[index]
        other = theirs.get(entry.epoch)
        if entry.epoch == UNKNOWN_EPOCH or other is None or leaders[other] != entry:
            continue
        return min(_end_of(own, index, own_end), _end_of(leaders, other, leader_end))
    return None


def _end_of(entries: Sequence[EpochStart], index: int, log_end: int) -> int:
    return min(entries[index + 1].start_offset, log_end) if index + 1 < len(entries) else log_end


class LeaderEpochs:
    """The history of one log and its file.

    Entries ascend, strictly, in both fields. An entry reaches the disk before the first record of its epoch is written,
    and disappears from it after the last of them was truncated; so a record is never taken for one of an older epoch,
    whenever a crash comes. Entries at or after the log end have no record; the next epoch replaces them. Of entries
    at or below the log start only the newest is kept, with its real first offset.

    File format (``leader-epochs``, little-endian, replaced atomically and durably):

    ======  ====  =========================================================
    offset  size  field
    ======  ====  =========================================================
    0       8     ``FlussLE1``
    8       4     number of entries, uint32
    12      12 n  entries: epoch, int32; first offset, int64
    ...     4     CRC-32C of everything before
    ======  ====  =========================================================

    A file that is missing or damaged although the log has records: the log was written before there were such files, or
    somebody has changed the directory (a crash does neither). The records then count as of :data:`UNKNOWN_EPOCH`, which
    is never equal to that of another log: a follower fetches everything again instead of keeping something that its
    leader may not have. Opening is not refused, because a bucket with one replica needs no history.

    Not thread-safe but for :attr:`entries`: changes come with the lock for appends.

    Args:
        directory: of the log.
        disk: holds it.
    """

    def __init__(self, directory: PurePath, disk: Disk) -> None:
        self._path = directory / LEADER_EPOCHS
        self._disk = disk
        self._saved: tuple[EpochStart, ...] | None = ()
        self._newest = UNKNOWN_EPOCH  # that this log has ever had, as far as is known
        self._begun: int | None = None  # by this object
        self.entries: tuple[EpochStart, ...] = ()
        """The history, oldest first. Replaced as a whole."""
        self.is_stale = False
        """Whether the file has entries that are dropped; it must be saved before anything is appended."""

    @property
    def is_saved(self) -> bool:
        """Whether the file has exactly the entries."""
        return self.entries is self._saved

    def load(self, start: int, end: int) -> None:
        """Read the file of a log that holds the offsets from ``start`` to ``end``.

        Entries after the end are dropped: a crash has taken their records, or came before they were written.

        Raises:
            OSError: the file is there and cannot be read.
        """
        try:
            found = decode_epochs(self._disk.read_file(self._path))
            if found is None:
                logger.error("%s is damaged: the leader epochs of offsets below %d are unknown", self._path, end)
        except FileNotFoundError:
            found = ()
        self._saved = found
        self._newest = found[-1].epoch if found else UNKNOWN_EPOCH
        self.entries = found or ()
        kept = tuple(entry for entry in self.known(start, end) if entry.start_offset <= end)
        self.entries = found if kept == found else kept
        self.is_stale = found is not None and found[-1:] > kept[-1:]

    def known(self, start: int, end: int) -> tuple[EpochStart, ...]:
        """The history of a log that has the offsets from ``start`` to ``end``; never empty if that is any."""
        entries = self.entries
        count = sum(1 for entry in entries[1:] if entry.start_offset <= start)
        kept = entries[count:] if count else entries
        if start < end and not (kept and kept[0].start_offset < end):
            return (EpochStart(UNKNOWN_EPOCH, start), *kept)
        return kept

    def begin(self, epoch: int, start: int, end: int, *, may_continue: bool) -> None:
        """See :meth:`LogTablet.begin_epoch`; the log holds the offsets from ``start`` to ``end``."""
        if epoch == self._begun == self._newest:
            return
        if epoch < self._newest or (epoch == self._newest and not may_continue):
            raise FlussError(
                ErrorCode.FENCED_LEADER_EPOCH_EXCEPTION,
                f"leader epoch {epoch} cannot begin at offset {end}: the log has epoch {self._newest} already",
                hint="an epoch is never continued after the log was opened again: a loss of power may have taken"
                " records that followers have; the bucket needs a new leader epoch",
            )
        entries = [entry for entry in self.known(start, end) if entry.start_offset < end]
        if not entries or entries[-1].epoch < epoch:
            entries.append(EpochStart(epoch, end))
        self._replace(tuple(entries))
        self._begun = self._newest = epoch

    def follow(self, leaders: Sequence[EpochStart], start: int, bases: Sequence[int], end: int) -> None:
        """Take over, durably, what a leader's history says about batches that are to be appended.

        Args:
            leaders: the history of the leader's log.
            start: where the log begins.
            bases: base offsets of the batches; the first is the end of the log.
            end: offset after the batches.

        Raises:
            FlussError: ``FENCED_LEADER_EPOCH_EXCEPTION``: the leader's history does not continue that of the log.
            OSError: the file may hold the entries before.
        """
        log_end = bases[0]
        newest = leaders[-1] if leaders else None
        if newest and self.entries[-1:] == (newest,) and newest.start_offset < log_end > start and self.is_saved:
            return  # nothing new, as nearly always
        own = [entry for entry in self.known(start, log_end) if entry.start_offset < log_end]
        before = [entry for entry in leaders if entry.start_offset < log_end]
        added = [entry for entry in leaders if log_end <= entry.start_offset < end]
        if start == log_end:
            own = before[-1:]  # there is no record of what the entries say
        continues = own[-1:] == before[-1:] if before else added[:1] and added[0].start_offset == log_end
        if not continues or not is_history(leaders) or any(entry.start_offset not in bases for entry in added):
            raise FlussError(
                ErrorCode.FENCED_LEADER_EPOCH_EXCEPTION,
                f"the leader's epochs {_text(leaders)} do not continue those of the log, {_text(self.entries)}, at"
                f" offset {log_end}",
                hint="the logs must be compared, and this one truncated, before it can follow the leader",
            )
        self._replace((*own, *added))
        self._newest = max(self._newest, leaders[-1].epoch)

    def truncate(self, start: int, end: int) -> None:
        """The log has the offsets from ``start`` to ``end`` now, durably; forget epochs of which it has no record."""
        self.entries = tuple(entry for entry in self.entries if start < end and entry.start_offset < end)
        self.is_stale = self.entries != self._saved

    def save(self) -> None:
        """Make the file hold the entries, durably.

        Raises:
            OSError: it may hold the ones before.
        """
        self._replace(self.entries)

    def _replace(self, entries: tuple[EpochStart, ...]) -> None:
        entries = entries[-MAX_EPOCHS:]
        if entries != self._saved:
            self._disk.replace_file(self._path, encode_epochs(entries))
        self.entries = self._saved = entries
        self.is_stale = False

    def delete(self) -> None:
        """Remove the file."""
        self._disk.remove(self._path, missing_ok=True)
        self._saved, self.entries, self.is_stale = (), (), False


def has_epoch(entries: Sequence[EpochStart], epoch: int) -> bool:
    """Whether the log of a history is known to have reached a leader epoch: its leader has begun it then."""
    return bool(entries) and entries[-1].epoch >= epoch


def _text(entries: Sequence[EpochStart]) -> str:
    shown = ", ".join(f"{entry.epoch} from {entry.start_offset}" for entry in entries[-3:])
    return f"[{'..., ' if len(entries) > 3 else ''}{shown}]"


def encode_epochs(entries: Sequence[EpochStart]) -> bytes:
    """The file image of a history."""
    body = _HEAD.pack(_MAGIC, len(entries)) + b"".join(_ENTRY.pack(*entry) for entry in entries)
    return body + _CRC.pack(crc32c(body))


def decode_epochs(data: bytes) -> tuple[EpochStart, ...] | None:
    """The history in a file image; None if the image is damaged."""
    end = len(data) - _CRC.size
    if end < _HEAD.size or _CRC.unpack_from(data, end)[0] != crc32c(data[:end]):
        return None
    magic, count = _HEAD.unpack_from(data)
    if magic != _MAGIC or end != _HEAD.size + count * _ENTRY.size:
        return None
    entries = tuple(EpochStart(*fields) for fields in _ENTRY.iter_unpack(data[_HEAD.size : end]))
    return entries if is_history(entries) else None


def is_history(entries: Sequence[EpochStart]) -> bool:
    """Whether the entries ascend strictly in both fields and none is negative, but for :data:`UNKNOWN_EPOCH`."""
    if not entries:
        return True
    first = entries[0]
    return (
        first.epoch >= UNKNOWN_EPOCH
        and first.start_offset >= 0
        and all(a.epoch < b.epoch and a.start_offset < b.start_offset for a, b in pairwise(entries))
    )
