"""A LogTablet against a list of batches, through kills, losses of power, restarts and truncations."""

from __future__ import annotations

import random
import shutil
from dataclasses import dataclass

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from example_support import examples
from fluss_server.errors import ErrorCode, FlussError
from fluss_server.formats.log_batch import iter_batches, parse_header, stamp
from fluss_server.log.file_names import LEADER_EPOCHS, RECOVERY_POINT, WRITER_SNAPSHOT
from fluss_server.log.leader_epochs import EpochStart
from fluss_server.log.log_segment import LogSegment
from fluss_server.log.log_tablet import LogTablet
from fluss_server.runtime.clock import ManualClock
from log_support import WatchedDisk, all_batches, make_batch, open_log, read_all
from scratch_support import scratch_directory

WRITERS = 3


@dataclass(frozen=True)
class Batch:
    """What the model knows of a batch in the log."""

    base_offset: int
    rows: int
    body: bytes  # of the batch behind what the leader stamps
    timestamp: int
    writer_id: int
    sequence: int
    epoch: int

    @property
    def next_offset(self) -> int:
        return self.base_offset + max(self.rows, 1)


class LogMachine(RuleBasedStateMachine):
    """Rules are what can happen to a log; after each of them the log must equal the model."""

    def __init__(self) -> None:
        super().__init__()
        self.home = scratch_directory()
        self.patches = pytest.MonkeyPatch()
        self.disk = WatchedDisk(self.patches)
        self.directory = self.home / "0"
        self.clock = ManualClock(1000)
        self.batches: list[Batch] = []
        self.deleted: list[Batch] = []
        self.start = 0
        self.empty_at = 0  # where the log ends when it has no batches
        self.flushed = 0
        self.number = 0
        self.epoch = -1
        self.leads = False
        self.small_files_were_damaged = False

    @initialize(segment_bytes=st.sampled_from([300, 1500, 1 << 30]), point_bytes=st.sampled_from([1, 1000, 1 << 30]))
    def create(self, segment_bytes: int, point_bytes: int) -> None:
        self.settings = {
            "segment_bytes": segment_bytes,
            "index_interval_bytes": 150,
            "recovery_point_bytes": point_bytes,
        }
        self.log = self.open()
        repair = LogSegment.rebuild_indexes

        def rebuild_indexes(segment: LogSegment) -> None:
            assert self.small_files_were_damaged, "an index file lies, although nobody has touched it"
            repair(segment)

        self.patches.setattr(LogSegment, "rebuild_indexes", rebuild_indexes)

    def teardown(self) -> None:
        self.patches.undo()
        shutil.rmtree(self.home)

    def open(self) -> LogTablet:
        return open_log(self.directory, self.clock, **self.settings)

    @property
    def end(self) -> int:
        return self.batches[-1].next_offset if self.batches else self.empty_at

    def of_writer(self, writer_id: int) -> list[Batch]:
        """Its batches, those that retention has deleted too: a writer outlives them."""
        return [batch for batch in self.deleted + self.batches if batch.writer_id == writer_id]

    # ---------------------------------------------------------------- writing

    def lead(self) -> None:
        """Begin an epoch, unless the last one goes on."""
        if not self.leads:
            self.epoch += 1
            self.leads = True
        self.log.begin_epoch(self.epoch)

    @rule(sizes=st.lists(st.tuples(st.integers(0, 4), st.integers(48, 400)), min_size=1, max_size=4))
    def append(self, sizes: list[tuple[int, int]]) -> None:
        self.number += 1
        fill = bytes([self.number % 256])
        sent = [make_batch(rows, size, fill=fill) for rows, size in sizes]
        self.lead()
        result = self.log.append(b"".join(sent))
        assert (result.base_offset, result.duplicate, result.batches) == (self.end, False, len(sent))
        for (rows, _), data in zip(sizes, sent, strict=True):
            self.batches.append(Batch(self.end, rows, data[25:], self.clock.now_ms(), -1, -1, self.epoch))
        assert result.last_offset == self.end - 1

    @rule(writer_id=st.integers(0, WRITERS - 1), count=st.integers(1, 7))
    def append_idempotent(self, writer_id: int, count: int) -> None:
        known = self.of_writer(writer_id)
        first = known[-1].sequence + 1 if known else 0
        self.lead()
        for sequence in range(first, first + count):
            data = make_batch(2, 90, writer_id, sequence)
            assert self.log.append(data).base_offset == self.end
            self.batches.append(Batch(self.end, 2, data[25:], self.clock.now_ms(), writer_id, sequence, self.epoch))

    @rule(writer_id=st.integers(0, WRITERS - 1), back=st.integers(-2, 7))
    def append_out_of_turn(self, writer_id: int, back: int) -> None:
        """Repeat one of the last five batches, or send one that is neither a repetition nor the next."""
        known = self.of_writer(writer_id)
        sequence = (known[-1].sequence if known else -1) - back
        if back == -1 or sequence < 0:
            return
        original = next((batch for batch in known[-5:] if batch.sequence == sequence), None)
        data = make_batch(2, 90, writer_id, sequence)
        if original is not None:
            result = self.log.append(data)
            assert (result.base_offset, result.last_offset) == (original.base_offset, original.next_offset - 1)
            assert result.duplicate
        elif known and sequence < known[-1].sequence:
            result = self.log.append(data)
            assert result.duplicate
            assert result.last_offset >= next(batch.next_offset - 1 for batch in known if batch.sequence == sequence)
        else:
            with pytest.raises(FlussError) as caught:
                self.log.append(data)
            assert caught.value.code is ErrorCode.OUT_OF_ORDER_SEQUENCE_EXCEPTION

    @rule(
        batches=st.lists(st.tuples(st.integers(-1, WRITERS - 1), st.integers(60, 400), st.integers(0, 2)), min_size=1)
    )
    def append_replica(self, batches: list[tuple[int, int, int]]) -> None:
        """Follow a leader that has several epochs since the end of the log."""
        self.leads = False
        history = self.history()
        data = b""
        for writer_id, size, epochs in batches:
            if epochs or not history:
                self.epoch += max(epochs, 1)
                history.append(EpochStart(self.epoch, self.end))
            sent = self.of_writer(writer_id) if writer_id >= 0 else []
            sequence = (sent[-1].sequence + 1 if sent else 0) if writer_id >= 0 else -1
            batch = bytearray(make_batch(2, size, writer_id, sequence, bytes([self.number % 256])))
            stamp(batch, 0, parse_header(batch), self.end, self.clock.now_ms())
            data += batch
            epoch = history[-1].epoch
            added = Batch(self.end, 2, bytes(batch[25:]), self.clock.now_ms(), writer_id, sequence, epoch)
            self.batches.append(added)
        self.number += 1
        result = self.log.append_replica(data, history)
        assert (result.last_offset, result.batches) == (self.end - 1, len(batches))

    def history(self) -> list[EpochStart]:
        """Of the batches, those that retention has deleted too."""
        entries: list[EpochStart] = []
        for batch in self.deleted + self.batches:
            if not entries or entries[-1].epoch < batch.epoch:
                entries.append(EpochStart(batch.epoch, batch.base_offset))
        return entries

    @rule()
    def flush(self) -> None:
        assert self.log.flush() == self.end
        self.flushed = self.end

    @rule(milliseconds=st.sampled_from([1, 10, 60_000]))
    def time_passes(self, milliseconds: int) -> None:
        self.clock.advance(milliseconds)

    @rule(ttl_ms=st.sampled_from([0, 1, 10, 60_000]), limit=st.floats(0.3, 1), roll_active=st.booleans())
    def delete_expired(self, ttl_ms: int, limit: float, roll_active: bool) -> None:
        oldest = self.clock.now_ms() - ttl_ms
        offset = self.start + round(limit * (self.end - self.start))
        needed = [b for b in self.batches if ttl_ms == 0 or b.timestamp >= oldest or b.next_offset > offset]
        first_needed = needed[0].base_offset if needed else self.end
        bases = sorted(int(path.stem) for path in self.directory.glob("*.log"))
        rolled = roll_active and first_needed == self.end and self.batches
        expected = max([base for base in [*bases, *([self.end] if rolled else [])] if base <= first_needed])
        if offset == self.end and not rolled:
            assert self.log.expired_until(ttl_ms, roll_active=roll_active) == expected
        count = self.log.delete_expired(ttl_ms, offset, roll_active=roll_active)
        assert self.log.start_offset == expected
        assert count == sum(1 for base in bases if base < expected)
        assert sorted(int(path.stem) for path in self.directory.glob("*.log"))[0] == expected
        self.begin_at(expected)
        if rolled:
            self.flushed = self.end

    def begin_at(self, start: int) -> None:
        """The log begins at ``start`` now."""
        self.empty_at = self.end
        self.deleted += [batch for batch in self.batches if batch.next_offset <= start]
        self.batches = [batch for batch in self.batches if batch.next_offset > start]
        self.start = start

    @precondition(lambda self: self.batches and not self.deleted)  # see LogTablet.truncate
    @rule(where=st.floats(0, 1))
    def truncate(self, where: float) -> None:
        offset = self.start + round(where * (self.end - self.start))
        self.empty_at = self.start
        self.batches = [batch for batch in self.batches if batch.next_offset <= offset]
        self.leads = False
        assert self.log.truncate(offset) == self.end
        self.flushed = min(self.flushed, self.end)

    @rule(where=st.floats(0, 1.5))
    def restart_at(self, where: float) -> None:
        offset = round(where * self.end)
        self.log.restart_at(offset)
        self.batches, self.deleted = [], []
        self.start = self.empty_at = self.flushed = offset
        self.leads = False
        assert self.log.writer_count == 0

    # ---------------------------------------------------------------- reading

    @rule(where=st.floats(0, 1), max_bytes=st.integers(0, 2000), limit=st.floats(0, 1.1), at_least_one=st.booleans())
    def read(self, where: float, max_bytes: int, limit: float, at_least_one: bool) -> None:
        offset, max_offset = self.start + round(where * (self.end - self.start)), round(limit * self.end)
        piece = self.log.read(offset, max_bytes, max_offset, at_least_one=at_least_one)
        candidates = [b for b in self.batches if b.next_offset > offset and b.next_offset <= max_offset]
        if offset >= min(max_offset, self.end) or not candidates or candidates[0].base_offset > offset:
            assert piece is None
        elif piece is None:
            assert len(candidates[0].body) + 25 > max_bytes
            assert not at_least_one
        else:
            headers = [header for _, header in iter_batches(piece.region.read())]
            bases = [header.base_offset for header in headers]
            assert bases == [batch.base_offset for batch in candidates[: len(bases)]]
            assert (piece.first_offset, piece.next_offset) == (bases[0], headers[-1].next_offset)
            assert piece.region.length <= max_bytes or (at_least_one and len(bases) == 1)
            if len(bases) < len(candidates):  # it stopped at a limit or at the end of a segment
                following = candidates[len(bases)]
                name = f"{following.base_offset:020d}.log"
                assert piece.region.length + len(following.body) + 25 > max_bytes or (self.directory / name).exists()

    @rule(where=st.floats(-0.1, 1.1))
    def search_by_time(self, where: float) -> None:
        timestamp = 1000 + round(where * (self.clock.now_ms() - 1000))
        expected = next((batch.base_offset for batch in self.batches if batch.timestamp >= timestamp), None)
        assert self.log.offset_for_timestamp(timestamp) == expected

    # ---------------------------------------------------------------- endings

    @rule()
    def restart(self) -> None:
        self.log.close()
        self.log = self.open()
        self.leads = False
        assert not self.log.recovery.changed or self.small_files_were_damaged
        assert self.log.recovery.scanned_bytes == 0
        self.flushed = self.end

    @rule()
    def kill(self) -> None:
        """The process dies; whatever it has written is there."""
        self.log = self.open()
        self.leads = False
        assert self.log.recovery.cut_reason is None
        self.flushed = self.end

    @rule(choice=st.integers(0, 1 << 32))
    def kill_and_lose_small_files(self, choice: int) -> None:
        """The process dies, and files go that can be made anew.

        When batches have been deleted, nothing else knows where the log began and what their writers had sent.
        """
        self.small_files_were_damaged = True
        choose = random.Random(choice)
        self.leads = False
        irreplaceable = (RECOVERY_POINT, WRITER_SNAPSHOT) if self.deleted else ()
        for path in sorted(self.directory.iterdir()):
            if path.name.endswith((".log", LEADER_EPOCHS, *irreplaceable)):
                continue
            if choose.random() < 0.5:
                if choose.random() < 0.5:
                    path.unlink()
                else:
                    path.write_bytes(path.read_bytes()[: choose.randrange(40)] + choose.randbytes(choose.randrange(9)))
        self.log = self.open()
        assert self.log.recovery.cut_reason is None
        self.flushed = self.end

    @rule(choice=st.integers(0, 1 << 32))
    def lose_power(self, choice: int) -> None:
        """Whatever was not fsynced is there, not there, or something else."""
        image = self.home / str(int(self.directory.name) + 1)
        self.disk.lose_power(self.directory, image, random.Random(choice))
        del self.log
        self.leads = False
        shutil.rmtree(self.directory)
        self.directory = image
        self.log = self.open()
        assert self.log.end_offset >= self.flushed
        assert not self.log.recovery.lost_acknowledged
        self.empty_at = self.start
        self.batches = [batch for batch in self.batches if batch.next_offset <= self.log.end_offset]
        # No checksum covers a timestamp, so that one of a torn batch may be anything; the model takes it over.
        headers = [header for header, _ in all_batches(self.log)]
        for number, (batch, header) in enumerate(zip(self.batches, headers, strict=True)):
            if batch.timestamp != header.commit_timestamp:
                assert batch.next_offset > self.flushed
                self.batches = self.batches[:number]
                self.log.truncate(self.end)
                break
        self.flushed = self.end

    # ---------------------------------------------------------------- always

    @invariant()
    def equals_the_model(self) -> None:
        if not hasattr(self, "log"):
            return
        assert self.log.end_offset == self.end
        assert self.flushed <= self.log.flushed_offset <= self.end
        assert self.log.start_offset == self.start
        found = all_batches(self.log)
        assert [
            Batch(
                h.base_offset,
                h.record_count,
                data[25:],
                h.commit_timestamp,
                h.writer_id,
                h.batch_sequence,
                [epoch for epoch, first in self.log.epochs if first <= h.base_offset][-1],
            )
            for h, data in found
        ] == self.batches
        assert self.log.size_bytes == sum(len(data) for _, data in found)
        if self.batches:
            assert self.log.max_timestamp == max(batch.timestamp for batch in self.batches)
        else:
            assert self.log.max_timestamp in {-1, *(batch.timestamp for batch in self.deleted)}
        assert read_all(self.log, 700) == b"".join(data for _, data in found)


def test_log_tablet_against_a_list() -> None:
    run_state_machine_as_test(
        LogMachine,
        settings=settings(
            max_examples=examples(30),
            stateful_step_count=25,
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
        ),
    )
