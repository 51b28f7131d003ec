"""One segment of a log: a ``.log`` file and its two indexes."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from pathlib import PurePath

from fluss_server.formats.buffer import Buffer
from fluss_server.formats.log_batch import HEADER_SIZE_V0, LENGTH_OVERHEAD, BatchHeader
from fluss_server.log.batch_reader import NoBatchError, read_batches
from fluss_server.log.damage import UNKNOWN_OFFSET, BatchDamagedError
from fluss_server.log.file_names import LOG, OFFSET_INDEX, TIME_INDEX, path_of
from fluss_server.log.index_file import IndexFile
from fluss_server.log.log_config import MAX_SEGMENT_BYTES, LogConfig
from fluss_server.log.offset_index import OffsetIndex
from fluss_server.log.segment_checks import SegmentChecks
from fluss_server.log.tail_positions import TailPositions
from fluss_server.log.time_index import TimeIndex
from fluss_server.runtime.disk import DiskFile
from fluss_server.runtime.runtime import Runtime

_WALK_BYTES = 8192
"""Read at a time when walking from header to header; covers the stretch between two index entries and a header."""

_MAX_UNINDEXED_BYTES = 1 << 20
"""More than this after the last entry of an offset index means that entries are missing."""

_FRAME = struct.Struct("<qi")  # base offset, length
_DELTA = struct.Struct("<i")
_TIMED_FRAME = struct.Struct("<qibq")  # base offset, length, magic, commit timestamp
_DELTA_POSITION = (28, 28, 32)  # of the last offset delta, by magic


class IndexDamagedError(Exception):
    """An index contradicts its ``.log`` file; the tablet then calls :meth:`LogSegment.rebuild_indexes`.

    Attributes:
        segment: whose index it is.
    """

    def __init__(self, segment: LogSegment, message: str) -> None:
        super().__init__(message)
        self.segment = segment


class LogSegment:
    """A contiguous part of a log, in one file.

    Segments are appended to by one thread while they are active, and never changed once they are sealed (except by
    truncation, which unseals the last one left). Readers in other threads pass the size and the end offset they are
    allowed to see, which the appending thread publishes after the bytes are written.

    The indexes of the active segment live in memory and reach their files when a recovery point is written; those of a
    sealed segment are loaded when a reader needs them and dropped by :meth:`release`, with the file descriptor.


    Attributes:
        base_offset: offset of the first batch.
        size: bytes of whole batches in the ``.log`` file.
        next_offset: offset after the last batch.
        max_timestamp: largest commit timestamp of the segment, -1 while it is empty.
        max_timestamp_offset: base offset of the first batch with that timestamp.
        sealed: whether another segment follows.
        synced: whether all bytes of the sealed segment are durable.
        indexes_durable: whether the index files of the sealed segment are complete and durable.
        checks: which batches are known to be undamaged.
    """

    def __init__(self, directory: PurePath, base_offset: int, config: LogConfig, runtime: Runtime) -> None:
        self.base_offset = base_offset
        self.size = 0
        self.next_offset = base_offset
        self.max_timestamp = -1
        self.max_timestamp_offset = base_offset
        self.sealed = False
        self.synced = False
        self.indexes_durable = False
        self.path = path_of(directory, base_offset, LOG)
        disk = runtime.disk
        self.offset_index_file = IndexFile(path_of(directory, base_offset, OFFSET_INDEX), OffsetIndex.ENTRY_BYTES, disk)
        self.time_index_file = IndexFile(path_of(directory, base_offset, TIME_INDEX), TimeIndex.ENTRY_BYTES, disk)
        self._config = config
        self._runtime = runtime
        self._disk = disk
        self._file: DiskFile | None = None
        self._indexes: tuple[OffsetIndex, TimeIndex] | None = None
        self._tail: TailPositions | None = None
        self._load_lock = runtime.workers.lock()
        self.checks = SegmentChecks(runtime.workers.lock())

    @classmethod
    def create(cls, directory: PurePath, base_offset: int, config: LogConfig, runtime: Runtime) -> LogSegment:
        """Make an empty active segment.

        Raises:
            OSError: there is no such segment; an empty file may be left.
        """
        segment = cls(directory, base_offset, config, runtime)
        segment._file = file = runtime.disk.open(segment.path, create=True)
        if file.size():
            raise FileExistsError(f"{segment.path} has data although the log ends before it")
        segment.start_indexes()
        return segment

    # ------------------------------------------------------------------ resources

    @property
    def file(self) -> DiskFile:
        """The open ``.log`` file.

        Raises:
            OSError: it cannot be opened.
        """
        file = self._file
        if file is None:
            with self._load_lock:
                file = self._file
                if file is None:
                    self._file = file = self._disk.open(self.path)
        return file

    @property
    def indexes(self) -> tuple[OffsetIndex, TimeIndex]:
        """The two indexes, loaded from their files if necessary.

        Raises:
            IndexDamagedError: a file is missing or cannot be true.
        """
        indexes = self._indexes
        if indexes is None:
            with self._load_lock:
                indexes = self._indexes
                if indexes is None:
                    self._indexes = indexes = self._load_indexes(None, None, self.size, self.next_offset)
        return indexes

    @property
    def is_loaded(self) -> bool:
        """Whether the segment holds a file descriptor or indexes."""
        return self._file is not None or self._indexes is not None

    def start_indexes(self) -> None:
        """Begin with empty indexes, for a segment that is going to be appended to or scanned from its start."""
        self._indexes = (
            OffsetIndex(self.base_offset, self._config.index_max_bytes),
            TimeIndex(self.base_offset, self._config.index_max_bytes),
        )
        self._tail = TailPositions()
        self.checks.appended_from = 0
        for index_file in (self.offset_index_file, self.time_index_file):
            index_file.assume_written(0)

    def resume_indexes(self, offset_entries: int, time_entries: int, size: int, next_offset: int) -> None:
        """Begin with the first entries of the index files, which describe ``size`` bytes up to ``next_offset``.

        Raises:
            IndexDamagedError: a file is missing or too short, or cannot be true.
        """
        self._indexes = self._load_indexes(offset_entries, time_entries, size, next_offset)
        self._tail = TailPositions()
        self.checks.appended_from = size
        self.offset_index_file.assume_written(offset_entries)
        self.time_index_file.assume_written(time_entries)

    def _load_indexes(
        self, offset_entries: int | None, time_entries: int | None, size: int, next_offset: int
    ) -> tuple[OffsetIndex, TimeIndex]:
        offset_index = OffsetIndex(self.base_offset, self._config.index_max_bytes)
        time_index = TimeIndex(self.base_offset, self._config.index_max_bytes)
        offset_data = self.offset_index_file.read(offset_entries)
        time_data = self.time_index_file.read(time_entries)
        if offset_data is None or not offset_index.load(offset_data, size, next_offset):
            raise IndexDamagedError(self, f"{self.offset_index_file.path} is missing or damaged")
        if time_data is None or not time_index.load(time_data, next_offset):
            raise IndexDamagedError(self, f"{self.time_index_file.path} is missing or damaged")
        return offset_index, time_index

    def release(self) -> None:
        """Let go of the file descriptor and the indexes of a sealed, durable segment; they come back when needed."""
        self._file = None
        self._indexes = None
        self._tail = None
        self.checks.forget()

    # ------------------------------------------------------------------ appending

    def has_capacity(self, size: int, last_offset: int) -> bool:
        """Whether ``size`` more bytes up to ``last_offset`` may go into this segment."""
        if self.size == 0:
            return True
        offset_index, time_index = self.indexes
        return (
            self.size + size <= self._config.segment_bytes
            and last_offset - self.base_offset <= MAX_SEGMENT_BYTES
            and not offset_index.is_full
            and not time_index.is_full
        )

    def count_fitting(self, headers: Sequence[BatchHeader]) -> int:
        """How many of these batches, from the first on, may be written here at once.

        As many as if each were appended by itself, except that it is fewer when an index may become full meanwhile.
        """
        if not self.has_capacity(headers[0].size, headers[0].last_offset):
            return 0
        entries = min(index.free_entries for index in self.indexes)
        size, count = self.size + headers[0].size, 1
        for header in headers[1:]:
            size += header.size
            if (
                size > self._config.segment_bytes
                or header.last_offset - self.base_offset > MAX_SEGMENT_BYTES
                or count >= entries
            ):
                break
            count += 1
        return count

    def append(self, pieces: Sequence[Buffer], headers: Sequence[BatchHeader]) -> None:
        """Write whole, stamped batches after the others.

        Raises:
            OSError: bytes may lie after :attr:`size` in the file, see :meth:`restore`.
        """
        self.file.write(pieces, self.size)
        for header in headers:
            self.note_batch(header)

    def restore(self, size: int, next_offset: int) -> None:
        """Undo a failed append: ``size`` and ``next_offset`` are what they were before it.

        Raises:
            OSError: bytes of the failed append may still lie after ``size``.
        """
        if self.size == size:
            self.file.truncate(size)
        else:
            self.truncate(size, next_offset)

    def note_batch(self, header: BatchHeader) -> None:
        """Add a batch that lies in the file at :attr:`size`."""
        position = self.size
        offset_index, time_index = self.indexes
        if header.commit_timestamp > self.max_timestamp:
            self.max_timestamp = header.commit_timestamp
            self.max_timestamp_offset = header.base_offset
        if position - offset_index.last_position > self._config.index_interval_bytes:
            offset_index.add(header.last_offset, position)
            time_index.add(self.max_timestamp, self.max_timestamp_offset)
        if self._tail is not None:
            self._tail.add(header.base_offset, position)
        self.size = position + header.size
        self.next_offset = header.next_offset

    def complete_time_index(self) -> None:
        """Add the entry that makes the time index end with the newest timestamp."""
        if self.size:
            self.indexes[1].add(self.max_timestamp, self.max_timestamp_offset)

    def seal(self) -> None:
        """Close the segment for appends because another one follows."""
        self.complete_time_index()
        self._tail = None
        self.checks.forget()
        self.sealed = True

    # ------------------------------------------------------------------ durability

    def sync(self) -> None:
        """Make all bytes written so far durable.

        Raises:
            OSError: what is durable is unknown.
        """
        sealed = self.sealed
        self.file.sync()
        if sealed:
            self.synced = True

    def write_indexes(self, offset_entries: int, time_entries: int) -> None:
        """Make that many entries of the indexes durable; their batches must be.

        Raises:
            OSError: the index files are not to be trusted.
        """
        sealed = self.sealed
        offset_index, time_index = self.indexes
        self.offset_index_file.write(offset_index, offset_entries)
        self.time_index_file.write(time_index, time_entries)
        if sealed and offset_entries == len(offset_index) and time_entries == len(time_index):
            self.indexes_durable = True

    # ------------------------------------------------------------------ searching

    def offsets_at(self, position: int) -> tuple[int, int]:
        """(base offset, last offset) of the batch at ``position`` according to its header.

        Raises:
            BatchDamagedError: the file ends before.
            OSError.
        """
        head = self.file.read(HEADER_SIZE_V0, position)
        if len(head) < HEADER_SIZE_V0:
            raise self.damaged(position, "the file is too short")
        return _FRAME.unpack_from(head)[0], _last_offset(head)

    def position_of(self, offset: int, size: int) -> tuple[int, int, int]:
        """(position, base offset) of the batch that holds ``offset``, which is in the first ``size`` bytes.

        The third number is the position of the batch from which on headers were followed: after it, damage may have
        misled the search.

        Raises:
            IndexDamagedError, OSError.
            BatchDamagedError: the batches themselves are damaged.
        """
        tail = self._tail
        if tail is not None:
            near = tail.at_or_before(offset)
            if near is not None:
                return near[1], near[0], near[1]
        start = self._check_entry(self.indexes[0].at_or_before(offset))
        found = None
        for position, base_offset in self._walk(start, size):
            if base_offset > offset:
                break
            found = (position, base_offset, start)
        if found is None:
            raise self.damaged(start, f"no batch holds offset {offset}")
        return found

    def boundary(
        self, start: int, start_offset: int, max_position: int, max_offset: int, size: int, end_offset: int
    ) -> tuple[int, int]:
        """(position, offset) of the last end of a batch at or before ``max_position`` and ``max_offset``.

        Args:
            start: position of a batch; the result is not before it.
            start_offset: its base offset.
            max_position: at least ``start``.
            max_offset: at least ``start_offset``.
            size: visible bytes of the segment.
            end_offset: offset at ``size``.

        Raises:
            As :meth:`position_of`.
        """
        if size <= max_position and end_offset <= max_offset:
            return size, end_offset
        tail = self._tail
        if tail is not None:
            near = tail.within(max_position, max_offset)
            if near is not None and near[1] >= start:
                return near[1], near[0]
        position = max(start, self._check_entry(self.indexes[0].within(max_position, max_offset)))
        found = (start, start_offset)
        for at, base_offset in self._walk(position, size):
            if at > max_position or base_offset > max_offset:
                break
            found = (at, base_offset)
        else:
            if size <= max_position and end_offset <= max_offset:
                found = (size, end_offset)
        return found

    def end_of_batch(self, position: int) -> tuple[int, int]:
        """(position, offset) of the end of the batch at ``position``.

        Raises:
            As :meth:`position_of`.
        """
        head = self.file.read(HEADER_SIZE_V0, position)
        if len(head) < HEADER_SIZE_V0:
            raise self.damaged(position, "the file is too short")
        return position + _FRAME.unpack_from(head)[1] + LENGTH_OVERHEAD, _last_offset(head) + 1

    def first_batch_at_or_after(self, timestamp: int, size: int, end_offset: int) -> int | None:
        """Base offset of the first visible batch whose commit timestamp is not before ``timestamp``.

        Args:
            timestamp: epoch milliseconds.
            size: visible bytes of the segment.
            end_offset: offset at ``size``.

        Raises:
            As :meth:`position_of`.
        """
        entry = self.indexes[1].at_or_before(timestamp)
        start = 0
        if entry is not None:
            if entry[1] >= end_offset:
                return None  # of a batch that is being appended; all visible ones are older
            start, base_offset, _ = self.position_of(entry[1], size)
            if base_offset != entry[1] or next(self._walk_times(start, size))[1] != entry[0]:
                raise IndexDamagedError(self, f"{self.time_index_file.path} contradicts its log")
        for base_offset, commit_timestamp in self._walk_times(start, size):
            if commit_timestamp >= timestamp:
                return base_offset
        return None

    def check_end(self, next_offset: int) -> None:
        """Verify, from the files of a sealed segment, that its batches end with the file and at ``next_offset``.

        Sets :attr:`size`, :attr:`next_offset` and :attr:`max_timestamp`. Reads a few kilobytes.

        Raises:
            IndexDamagedError: an index is not that of a whole segment.
            BatchDamagedError: the segment is damaged or does not end there.
            OSError.
        """
        offset_entry = self.offset_index_file.read_last()
        time_entry = self.time_index_file.read_last()
        if offset_entry is None or time_entry is None:
            raise IndexDamagedError(self, f"an index file of {self.path} is missing or damaged")
        self.size = self.file.size()
        offset_index = OffsetIndex(self.base_offset, self._config.index_max_bytes)
        time_index = TimeIndex(self.base_offset, self._config.index_max_bytes)
        if not offset_index.load(offset_entry, self.size, next_offset) or not time_index.load(time_entry, next_offset):
            raise IndexDamagedError(self, f"an index of {self.path} cannot be true")
        start = self._check_entry(offset_index.at_or_before(next_offset))
        last_position = start
        for last_position, _ in self._walk(start, self.size):
            if last_position - start > self._config.index_interval_bytes + _MAX_UNINDEXED_BYTES:
                raise IndexDamagedError(self, f"{self.offset_index_file.path} ends too early")
        head = self.file.read(HEADER_SIZE_V0, last_position)
        end = last_position + _FRAME.unpack_from(head)[1] + LENGTH_OVERHEAD if len(head) == HEADER_SIZE_V0 else -1
        if end != self.size or _last_offset(head) + 1 != next_offset:
            raise self.damaged(last_position, f"the segment does not end with offset {next_offset - 1}")
        self.next_offset = next_offset
        self.max_timestamp = _TIMED_FRAME.unpack_from(head)[3]
        newest = time_index.last
        if newest is None or newest[0] < self.max_timestamp:
            raise IndexDamagedError(self, f"{self.time_index_file.path} ends too early")
        self.max_timestamp, self.max_timestamp_offset = newest
        self.sealed = self.synced = self.indexes_durable = True

    def _check_entry(self, entry: tuple[int, int] | None) -> int:
        """Position of an index entry (0 for None), after checking that its batch is there."""
        if entry is None:
            return 0
        last_offset, position = entry
        head = self.file.read(HEADER_SIZE_V0, position)
        if len(head) < HEADER_SIZE_V0 or _last_offset(head) != last_offset:
            raise IndexDamagedError(self, f"{self.offset_index_file.path} contradicts its log at position {position}")
        return position

    def _walk(self, position: int, size: int) -> Iterator[tuple[int, int]]:
        """(position, base offset) of every batch from the one at ``position`` to the end of the visible bytes."""
        file = self.file
        while position < size:
            chunk = file.read(min(_WALK_BYTES, size - position), position)
            at, last = 0, len(chunk) - LENGTH_OVERHEAD
            if last < 0:
                raise self.damaged(position, "the file is too short")
            while at <= last:
                base_offset, length = _FRAME.unpack_from(chunk, at)
                if length < HEADER_SIZE_V0 - LENGTH_OVERHEAD:
                    raise self.damaged(position + at, f"a batch cannot have length {length}")
                yield position + at, base_offset
                at += length + LENGTH_OVERHEAD
            position += at

    def _walk_times(self, position: int, size: int) -> Iterator[tuple[int, int]]:
        """(base offset, commit timestamp) of every batch from the one at ``position`` on."""
        file = self.file
        while position < size:
            chunk = file.read(min(_WALK_BYTES, size - position), position)
            at, last = 0, len(chunk) - _TIMED_FRAME.size
            if last < 0:
                raise self.damaged(position, "the file is too short")
            while at <= last:
                base_offset, length, _, timestamp = _TIMED_FRAME.unpack_from(chunk, at)
                if length < HEADER_SIZE_V0 - LENGTH_OVERHEAD:
                    raise self.damaged(position + at, f"a batch cannot have length {length}")
                yield base_offset, timestamp
                at += length + LENGTH_OVERHEAD
            position += at

    def damaged(self, position: int, reason: str, offset: int = UNKNOWN_OFFSET) -> BatchDamagedError:
        """The error of a batch of this segment."""
        return BatchDamagedError(self.path, self.base_offset, position, offset, reason)

    # ------------------------------------------------------------------ repair

    def rebuild_indexes(self) -> None:
        """Build both indexes again from the batches, of which every one is checked.

        Nothing may be appended meanwhile; readers may continue.

        Raises:
            BatchDamagedError, OSError.
        """
        fresh = LogSegment(self.path.parent, self.base_offset, self._config, self._runtime)
        fresh.start_indexes()
        fresh._tail = None
        try:
            for _, header, _ in read_batches(self.file, 0, self.size):
                if header.base_offset != fresh.next_offset:
                    reason = f"it has offset {header.base_offset} instead of {fresh.next_offset}"
                    raise self.damaged(fresh.size, reason, fresh.next_offset)
                fresh.note_batch(header)
        except NoBatchError as error:
            raise self.damaged(fresh.size, error.reason, fresh.next_offset) from error
        if self.sealed:
            fresh.complete_time_index()
        self.indexes_durable = False
        for index_file in (self.offset_index_file, self.time_index_file):
            index_file.assume_written(0)
        self._indexes = fresh.indexes
        self.next_offset = fresh.next_offset
        self.max_timestamp = fresh.max_timestamp
        self.max_timestamp_offset = fresh.max_timestamp_offset

    def truncate(self, size: int, next_offset: int) -> None:
        """Drop all batches from position ``size`` on, whose first offset is ``next_offset``; become active.

        Raises:
            OSError: the file may have its old or its new size.
        """
        offset_index, time_index = self.indexes
        self.file.truncate(size)
        offset_index.truncate(size)
        time_index.truncate(next_offset)
        self.offset_index_file.limit_written(len(offset_index))
        self.time_index_file.limit_written(len(time_index))
        if self._tail is None:
            self._tail = TailPositions()
        else:
            self._tail.truncate(size)
        self.size, self.next_offset = size, next_offset
        self.checks.cut(size)
        self.sealed = self.synced = self.indexes_durable = False
        self.max_timestamp, self.max_timestamp_offset = self._newest_timestamp()

    def _newest_timestamp(self) -> tuple[int, int]:
        """(timestamp, offset) of the largest timestamp, from the time index and the batches after its last entry."""
        entry = self.indexes[1].last
        start, newest = 0, (-1, self.base_offset)
        if entry is not None:
            start, newest = self.position_of(entry[1], self.size)[0], entry
        for base_offset, timestamp in self._walk_times(start, self.size):
            if timestamp > newest[0]:
                newest = (timestamp, base_offset)
        return newest

    def delete(self) -> None:
        """Remove the files; open regions of the ``.log`` file stay valid.

        Raises:
            OSError.
        """
        self._disk.remove(self.path, missing_ok=True)
        self.delete_indexes()

    def delete_indexes(self) -> None:
        """Remove the index files.

        Raises:
            OSError.
        """
        self.offset_index_file.delete()
        self.time_index_file.delete()


def _last_offset(head: bytes) -> int:
    """Last offset of the batch with these first 48 bytes; -1 if they are none."""
    magic = head[12]
    if magic >= len(_DELTA_POSITION):
        return -1
    base_offset, _ = _FRAME.unpack_from(head)
    delta: int = _DELTA.unpack_from(head, _DELTA_POSITION[magic])[0]
    return int(base_offset) + delta
