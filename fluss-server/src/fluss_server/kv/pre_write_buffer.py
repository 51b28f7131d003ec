"""The pre-write buffer: rows that are merged and in the log, but not committed yet. No I/O.

Merging sees them, lookups do not (docs/architecture.md). A batch enters the buffer whole, after its
changelog was appended; a batch that fails or turns out to be a duplicate never enters it, so there is nothing to roll
back. Entries leave in log order.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection
from dataclasses import dataclass, field

from fluss_server.formats.log_batch import ChangeType

_INSERT = int(ChangeType.INSERT)
_UPDATE_BEFORE = int(ChangeType.UPDATE_BEFORE)
_DELETE = int(ChangeType.DELETE)


@dataclass(eq=False, slots=True)
class PendingBatch:
    """The changes of one log batch.

    Attributes:
        change_types: one :class:`ChangeType` byte per row of the changelog.
        keys: key of each entry; rows of type -U have no entry, all others have one, in order.
        values: new value of each entry, None = deleted.
        newest: last value of every key of the batch.
        size_bytes: what the entries weigh, for bounds.
        base_offset: log offset of its first row; set when the batch enters the buffer.
        next_offset: log offset after its last row; at least ``base_offset + 1``.
        committed: entries at the front that were committed already.
    """

    change_types: bytes
    keys: list[bytes]
    values: list[bytes | None]
    newest: dict[bytes, bytes | None] = field(init=False)
    size_bytes: int = field(init=False)
    base_offset: int = field(init=False, default=-1)
    next_offset: int = field(init=False, default=-1)
    committed: int = field(init=False, default=0)

    def __post_init__(self) -> None:
        self.newest = dict(zip(self.keys, self.values, strict=True))
        self.size_bytes = sum(map(len, self.keys)) + sum(map(len, filter(None, self.values)))

    def entries_below(self, offset: int) -> int:
        """How many entries have a log offset below ``offset``."""
        types = self.change_types[: max(0, offset - self.base_offset)]
        return len(types) - types.count(_UPDATE_BEFORE)


@dataclass(frozen=True, slots=True)
class Committable:
    """What a commit has to do.

    Attributes:
        rows: last value of every key that changes, None = deleted.
        row_count_change: rows inserted minus rows deleted.
        size_bytes: about what ``rows`` weigh.
    """

    rows: dict[bytes, bytes | None]
    row_count_change: int
    size_bytes: int


class PreWriteBuffer:
    """Pending batches in log order. One thread."""

    def __init__(self) -> None:
        self._batches: deque[PendingBatch] = deque()
        self._holder: dict[bytes, PendingBatch] = {}  # batch that has the newest entry of a key
        self.size_bytes = 0

    def __len__(self) -> int:
        return len(self._batches)

    def read(self, keys: Collection[bytes]) -> dict[bytes, bytes | None]:
        """Newest pending values of those of ``keys`` that have one; None = deleted."""
        holder = self._holder
        if not holder or holder.keys().isdisjoint(keys):
            return {}
        return {key: holder[key].newest[key] for key in keys if key in holder}

    def add(self, batch: PendingBatch, base_offset: int, next_offset: int) -> None:
        """Take in the changes of a batch that was just appended to the log, with its offsets there."""
        assert not self._batches or self._batches[-1].next_offset <= base_offset, "offsets must increase"
        batch.base_offset, batch.next_offset = base_offset, next_offset
        self._batches.append(batch)
        self._holder.update(dict.fromkeys(batch.newest, batch))
        self.size_bytes += batch.size_bytes

    def committable(self, offset: int) -> Committable:
        """Entries with log offsets below ``offset``, which may lie inside a batch. The buffer does not change."""
        rows: dict[bytes, bytes | None] = {}
        change = 0
        size = 0
        for batch in self._batches:
            if batch.base_offset >= offset:
                break
            if batch.next_offset <= offset and batch.committed == 0:
                if rows:
                    rows.update(batch.newest)
                else:
                    rows = batch.newest.copy()
                size += batch.size_bytes
                change += _row_count_change(batch.change_types)
            else:
                end = batch.entries_below(offset)
                rows.update(zip(batch.keys[batch.committed : end], batch.values[batch.committed : end], strict=True))
                size += batch.size_bytes * (end - batch.committed) // max(1, len(batch.keys))
                change += _row_count_change(_types_of(batch, batch.committed, end))
        return Committable(rows, change, size)

    def drop(self, offset: int) -> int:
        """Forget entries with log offsets below ``offset``: they are committed.

        Returns:
            By how much :attr:`size_bytes` fell.
        """
        before = self.size_bytes
        while self._batches and self._batches[0].next_offset <= offset:
            batch = self._batches.popleft()
            self.size_bytes -= batch.size_bytes
            if not self._batches:
                self._holder.clear()
                break
            holder = self._holder
            for key in batch.newest:
                if holder.get(key) is batch:
                    del holder[key]
        if self._batches:
            first = self._batches[0]
            # Their keys may stay readable here until the whole batch goes: the value is the committed one.
            first.committed = max(first.committed, first.entries_below(offset))
        return before - self.size_bytes


def _row_count_change(change_types: bytes) -> int:
    return change_types.count(_INSERT) - change_types.count(_DELETE)


def _types_of(batch: PendingBatch, start: int, end: int) -> bytes:
    """Change types of the entries ``start`` to ``end``."""
    return batch.change_types.replace(bytes([_UPDATE_BEFORE]), b"")[start:end]
