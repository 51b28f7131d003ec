"""Idempotent writers: what each has written last, and whether its next batch is new, repeated or out of order."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from fluss_server.errors import ErrorCode, FlussError
from fluss_server.formats.log_batch import NO_WRITER_ID, BatchHeader

REMEMBERED_BATCHES = 5
"""Batches remembered per writer; clients keep at most this many in flight per bucket."""

_MAX_SEQUENCE = 2**31 - 1
_MAX_GAP = 2**30
"""A sequence so much smaller than another one is the later one: sequences begin again at 0."""


class WrittenBatch(NamedTuple):
    """A batch that a writer has written.

    Attributes:
        sequence: its sequence number.
        last_offset: offset of its last record.
        offset_delta: last offset minus base offset.
        timestamp: commit timestamp, epoch milliseconds.
    """

    sequence: int
    last_offset: int
    offset_delta: int
    timestamp: int

    @property
    def base_offset(self) -> int:
        """Offset of its first record."""
        return self.last_offset - self.offset_delta


class WriterEntry(NamedTuple):
    """One writer and its newest batches, oldest first; never empty."""

    writer_id: int
    batches: tuple[WrittenBatch, ...]


class WriterStates:
    """The writers of one log.

    Rules (a batch with writer id -1 follows none):

    * A batch with the sequence of one of the writer's last five batches is a duplicate; so is one with a smaller
      sequence, because the later ones were only taken after it. Of that one the offsets are not remembered. Official
      servers return OUT_OF_ORDER_SEQUENCE for it, and clients of 0.9 then repeat it indefinitely.
    * Otherwise its sequence must be the last one plus 1 (0 follows 2^31 - 1), and 0 for an unknown writer.
    * A writer without a batch for the expiration time is remembered by its last batch only. It stays known, so that a
      client which was silent for that long continues where it stopped; official servers forget it and return
      OUT_OF_ORDER_SEQUENCE.
    * There are never more than ``max_writers``: the one unused for the longest time is forgotten first. If it still
      lives, its next batch is refused with OUT_OF_ORDER_SEQUENCE, on which clients take a new writer id and begin at 0.

    Pure state: no I/O, no clock, no lock.
    """

    def __init__(self, max_writers: int, expiration_ms: int) -> None:
        self._max_writers = max_writers
        self._expiration_ms = expiration_ms
        self._writers: dict[int, list[WrittenBatch]] = {}  # least recently used writer first

    def __len__(self) -> int:
        return len(self._writers)

    @property
    def largest_writer_id(self) -> int:
        """The largest id of a writer that is remembered; -1 without any."""
        return max(self._writers, default=NO_WRITER_ID)

    def find_duplicate(self, writer_id: int, sequence: int) -> WrittenBatch | None:
        """The batch of that writer with that sequence, if it is in the log.

        Of a batch before those that are remembered, the offsets are a guess: it lies at or before them.
        """
        batches = self._writers.get(writer_id)
        if batches is None:
            return None
        for batch in batches:
            if batch.sequence == sequence:
                return batch
        oldest = batches[0]
        if max(0, oldest.sequence - _MAX_GAP) <= sequence < oldest.sequence:
            return WrittenBatch(sequence, max(0, oldest.base_offset - 1), 0, oldest.timestamp)
        return None

    def check(self, headers: Sequence[BatchHeader]) -> WrittenBatch | None:
        """Evaluate the batches of one append, in order.

        Returns:
            None if all are new; if all are duplicates the span from the first to the last original.

        Raises:
            FlussError: ``OUT_OF_ORDER_SEQUENCE_EXCEPTION``, also for duplicates and new batches in one append. Official
                servers take that for a duplicate, and acknowledge new batches that they do not store.
        """
        last_sequences: dict[int, int] = {}
        originals: list[WrittenBatch] = []
        for header in headers:
            writer_id, sequence = header.writer_id, header.batch_sequence
            if writer_id == NO_WRITER_ID:
                continue
            original = self.find_duplicate(writer_id, sequence)
            if original is not None:
                originals.append(original)
                continue
            last = last_sequences.get(writer_id)
            if last is None:
                known = self._writers.get(writer_id)
                last = known[-1].sequence if known else None
            expected = 0 if last is None or last == _MAX_SEQUENCE else last + 1
            if sequence != expected:
                raise FlussError(
                    ErrorCode.OUT_OF_ORDER_SEQUENCE_EXCEPTION,
                    f"writer {writer_id} sent batch sequence {sequence}, "
                    + (f"its last one is {last}" if last is not None else "it is unknown here and has to begin with 0"),
                    hint="a batch was lost, or the writer was idle for too long; begin again with a new writer id",
                )
            last_sequences[writer_id] = sequence
        if not originals:
            return None
        if len(originals) < len(headers):
            raise FlussError(
                ErrorCode.OUT_OF_ORDER_SEQUENCE_EXCEPTION,
                f"{len(originals)} of {len(headers)} batches of one append are in the log already",
                hint="send the others again by themselves",
            )
        newest = max(originals, key=lambda batch: batch.last_offset)
        return newest._replace(offset_delta=newest.last_offset - min(batch.base_offset for batch in originals))

    def record(self, header: BatchHeader) -> None:
        """Take note of a batch that is in the log. It is not evaluated: what is in the log is right."""
        writer_id = header.writer_id
        if writer_id == NO_WRITER_ID:
            return
        batches = self._writers.pop(writer_id, None)
        if batches is None:
            batches = []
            if len(self._writers) >= self._max_writers:
                del self._writers[next(iter(self._writers))]
        elif len(batches) >= REMEMBERED_BATCHES:
            del batches[0]
        delta = header.last_offset_delta
        batches.append(WrittenBatch(header.batch_sequence, header.base_offset + delta, delta, header.commit_timestamp))
        self._writers[writer_id] = batches

    def expire(self, now_ms: int) -> None:
        """Reduce writers that are idle for longer than the expiration time to their last batch."""
        oldest = now_ms - self._expiration_ms
        for batches in self._writers.values():
            if batches[-1].timestamp >= oldest:
                return  # ordered by use, and timestamps of a log never decrease
            del batches[:-1]

    def entries(self) -> list[WriterEntry]:
        """A copy of everything, least recently used writer first."""
        return [WriterEntry(writer_id, tuple(batches)) for writer_id, batches in self._writers.items()]

    def restore(self, entries: Iterable[WriterEntry]) -> None:
        """Replace everything by a copy made before."""
        kept = list(entries)[-self._max_writers :]
        self._writers = {entry.writer_id: list(entry.batches[-REMEMBERED_BATCHES:]) for entry in kept}
