"""Idempotent writers: rules and snapshots."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import vectors_loader as vectors
from fluss_server.errors import ErrorCode, FlussError
from fluss_server.formats.log_batch import BatchHeader, parse_header, stamp
from fluss_server.log.writer_snapshot import WriterSnapshots, decode_snapshot, encode_snapshot
from fluss_server.log.writer_state import WriterEntry, WriterStates, WrittenBatch
from fluss_server.runtime.system_disk import SystemDisk
from log_support import make_batch

DAY_MS = 24 * 3600 * 1000
MAX_SEQUENCE = 2**31 - 1


def header(writer_id: int, sequence: int, base_offset: int = 0, rows: int = 1, timestamp: int = 0) -> BatchHeader:
    batch = bytearray(make_batch(rows, writer_id=writer_id, sequence=sequence))
    parsed = parse_header(batch)
    stamp(batch, 0, parsed, base_offset, timestamp)
    return parsed


def states(*batches: BatchHeader, max_writers: int = 10) -> WriterStates:
    writers = WriterStates(max_writers, 7 * DAY_MS)
    for batch in batches:
        writers.record(batch)
    return writers


def assert_out_of_order(writers: WriterStates, *batches: BatchHeader) -> None:
    with pytest.raises(FlussError) as caught:
        writers.check(batches)
    assert caught.value.code is ErrorCode.OUT_OF_ORDER_SEQUENCE_EXCEPTION


def test_an_unknown_writer_begins_with_0() -> None:
    assert states().check([header(1, 0)]) is None
    assert_out_of_order(states(), header(1, 1))
    assert_out_of_order(states(), header(1, -1))


def test_the_next_sequence_is_the_last_one_plus_1() -> None:
    writers = states(header(1, 0), header(2, 0), header(1, 1))
    assert writers.check([header(1, 2)]) is None
    assert writers.check([header(2, 1)]) is None
    assert_out_of_order(writers, header(1, 3))
    assert_out_of_order(writers, header(2, 2))


def test_batches_without_a_writer_follow_no_rule() -> None:
    writers = states(header(-1, -1), header(-1, -1))
    assert len(writers) == 0
    assert writers.check([header(-1, -1), header(-1, 7)]) is None


def test_sequences_wrap() -> None:
    writers = states(header(1, MAX_SEQUENCE - 1), header(1, MAX_SEQUENCE))
    assert_out_of_order(writers, header(1, 1))
    assert writers.check([header(1, 0), header(1, 1)]) is None
    writers.record(header(1, 0, 5))
    assert writers.check([header(1, MAX_SEQUENCE)]) == WrittenBatch(MAX_SEQUENCE, 0, 0, 0)


def test_the_last_five_batches_are_recognised() -> None:
    writers = states(*(header(1, sequence, sequence * 10, rows=10, timestamp=sequence) for sequence in range(7)))
    for sequence in range(2, 7):
        original = writers.check([header(1, sequence)])
        assert original == WrittenBatch(sequence, sequence * 10 + 9, 9, sequence)
        assert original is not None
        assert original.base_offset == sequence * 10
    assert writers.find_duplicate(1, 7) is None
    assert writers.find_duplicate(2, 6) is None


def test_an_older_batch_is_in_the_log_too() -> None:
    """Clients of 0.9 repeat such a batch indefinitely when they are told OUT_OF_ORDER_SEQUENCE."""
    writers = states(*(header(1, sequence, 2 * sequence, rows=2) for sequence in range(7)))
    for sequence in (0, 1):
        assert writers.check([header(1, sequence)]) == WrittenBatch(sequence, 3, 0, 0)  # sequence 2 has offsets 4 and 5
    assert writers.check([header(1, 1), header(1, 2)]) == WrittenBatch(2, 5, 2, 0)
    # With a new batch in the same append nothing may be taken for written.
    assert_out_of_order(writers, header(1, 1), header(1, 7))
    assert_out_of_order(writers, header(1, 7), header(1, 1))
    assert_out_of_order(writers, header(1, -1))
    assert_out_of_order(states(), header(1, 1), header(1, 0))
    wrapped = states(header(1, MAX_SEQUENCE), *(header(1, sequence) for sequence in range(7)))
    assert wrapped.check([header(1, 1)]) is not None
    assert wrapped.check([header(1, 7)]) is None
    assert_out_of_order(wrapped, header(1, 8))
    assert_out_of_order(wrapped, header(1, MAX_SEQUENCE))  # it could be far ahead as well
    around = states(header(1, MAX_SEQUENCE), header(1, 0))
    assert around.check([header(1, MAX_SEQUENCE - 1)]) is not None
    assert around.check([header(1, 1)]) is None
    assert_out_of_order(around, header(1, 2))


def test_an_append_is_a_duplicate_as_a_whole_or_not_at_all() -> None:
    writers = states(header(1, 0, 0, rows=5), header(1, 1, 5, rows=5), header(2, 0, 10))
    assert writers.check([header(1, 0), header(1, 1)]) == WrittenBatch(1, 9, 9, 0)
    assert writers.check([header(2, 0), header(1, 0)]) == WrittenBatch(0, 10, 10, 0)
    # Taking these for duplicates would acknowledge a batch that is not stored.
    assert_out_of_order(writers, header(2, 1), header(1, 1))
    assert_out_of_order(writers, header(1, 1), header(2, 1))
    assert_out_of_order(writers, header(2, 7), header(1, 1))


def test_sequences_within_one_append() -> None:
    writers = states()
    assert writers.check([header(1, 0), header(2, 0), header(1, 1)]) is None
    assert_out_of_order(writers, header(1, 0), header(1, 0))
    assert_out_of_order(writers, header(1, 0), header(1, 2))
    assert len(writers) == 0


def test_an_expired_writer_goes_on_where_it_stopped() -> None:
    writers = states(header(1, 0, 0, timestamp=0), header(1, 1, 1, timestamp=0), header(2, 0, 2, timestamp=DAY_MS))
    writers.record(header(2, 1, 3, timestamp=DAY_MS))
    writers.expire(7 * DAY_MS)
    assert writers.find_duplicate(1, 0) is not None
    writers.expire(7 * DAY_MS + 1)
    assert [len(entry.batches) for entry in writers.entries()] == [1, 2]
    assert writers.find_duplicate(1, 1) is not None
    assert writers.find_duplicate(2, 0) is not None
    assert writers.check([header(1, 0)]) is not None
    assert writers.check([header(1, 2)]) is None
    assert_out_of_order(writers, header(1, 3))


def test_the_number_of_writers_is_bounded() -> None:
    writers = states(header(1, 0), header(2, 0), header(3, 0), header(1, 1), header(4, 0), max_writers=3)
    assert len(writers) == 3
    assert_out_of_order(writers, header(2, 1))  # unused for the longest time
    assert writers.check([header(1, 2), header(3, 1), header(4, 1)]) is None
    writers.restore([WriterEntry(n, (WrittenBatch(0, 0, 0, 0),)) for n in range(5)])
    assert [entry.writer_id for entry in writers.entries()] == [2, 3, 4]


def test_snapshot_of_the_vector() -> None:
    ((name, text),) = vectors.load("segment_files")["case"]["writer_snapshot"].items()
    entries = [WriterEntry(5, (WrittenBatch(12, 120, 9, 1_700_000_000_000),))]
    assert decode_snapshot(text.encode()) == entries
    assert encode_snapshot(entries) == text.encode()
    assert name == "00000000000000000121.writer_snapshot"


def test_snapshots_keep_all_five_batches(tmp_path: Path) -> None:
    writers = states(*(header(1, n, n, timestamp=n) for n in range(8)), header(9, 0, 8))
    snapshots = WriterSnapshots(tmp_path, SystemDisk())
    crc = snapshots.write(9, writers.entries())
    assert snapshots.offsets() == [9]
    assert (tmp_path / f"{9:020d}.writer_snapshot").exists()
    restored = states()
    entries = snapshots.read(9, crc)
    assert entries is not None
    restored.restore(entries)
    assert restored.entries() == writers.entries()
    assert restored.find_duplicate(1, 3) is not None
    document = json.loads((tmp_path / f"{9:020d}.writer_snapshot").read_text())
    assert document["writer_id_entries"][0]["last_batch_sequence"] == 7  # what an official server reads
    snapshots.delete(9)
    assert snapshots.offsets() == []
    assert snapshots.read(9) is None


def test_damaged_snapshots_are_not_read(tmp_path: Path) -> None:
    snapshots = WriterSnapshots(tmp_path, SystemDisk())
    crc = snapshots.write(3, states(header(1, 0), header(1, 1), header(2, 0)).entries())
    path = tmp_path / f"{3:020d}.writer_snapshot"
    image = path.read_bytes()
    for end in range(len(image)):
        path.write_bytes(image[:end])
        assert snapshots.read(3) is None
    for at in range(len(image)):
        path.write_bytes(image[:at] + bytes([image[at] ^ 1]) + image[at + 1 :])
        assert snapshots.read(3, crc) is None
    for text in ("[]", "null", "7", '{"writer_id_entries":[{}]}', '{"writer_id_entries":[{"writer_id":"x"}]}'):
        path.write_text(text)
        assert snapshots.read(3) is None
