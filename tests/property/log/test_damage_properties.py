"""One flipped bit anywhere in a sealed segment: readers get what was written, or an error, never anything else."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from example_support import examples
from fluss_server.errors import ErrorCode, FlussError
from fluss_server.formats.log_batch import MAGIC_OFFSET, BatchHeader, iter_batches
from fluss_server.log.batch_selection import select_batches
from fluss_server.log.damage import BatchDamagedError
from fluss_server.log.log_tablet import LogTablet
from log_support import copy_directory, make_batch, open_log, segment_files, with_statistics
from scratch_support import scratch_directory

BATCHES = 24
TIMESTAMPS = range(13, 21)
"""Bytes of a batch that no checksum covers and that do not follow from the batches around: its commit timestamp."""

UNCHECKED = {1: range(12, 21), 2: range(13, 25)}
"""And its leader epoch, where the layout has one; and with magic 1 the magic, which turns into 0."""

SETTINGS: dict[str, Any] = {"segment_bytes": 1 << 20, "recovery_point_bytes": 1}


class Original:
    """A closed log of two segments, the first of which is going to be damaged."""

    def __init__(self, index_interval_bytes: int) -> None:
        self.settings = {**SETTINGS, "index_interval_bytes": index_interval_bytes}
        self.directory = scratch_directory()
        log = open_log(self.directory, **self.settings)
        for number in range(BATCHES):
            batch = make_batch(number % 3, 60 + number * 7 % 50, fill=bytes([65 + number]))
            log.append(with_statistics(batch, bytes([number] * (number % 5)), number % 2 + 1) if number % 4 else batch)
        log._appender.roll()
        log.append(make_batch(5, 70))
        log.close()
        self.data = segment_files(self.directory)[0].read_bytes()
        self.headers = [(position, header) for position, header in iter_batches(self.data)]

    def batches_from(self, offset: int) -> list[tuple[int, BatchHeader]]:
        return [(position, header) for position, header in self.headers if header.next_offset > offset]


ORIGINALS: dict[int, Original] = {}


def damaged(original: Original, position: int, bit: int) -> LogTablet | None:
    """The log with one flipped bit; None if that is noticed when it is opened, at the end of the segment."""
    directory = copy_directory(original.directory, original.directory.with_name(original.directory.name + "-damaged"))
    path = segment_files(directory)[0]
    data = bytearray(path.read_bytes())
    data[position] ^= 1 << bit
    path.write_bytes(data)
    near_end = len(original.data) - position <= original.settings["index_interval_bytes"] + 300
    with contextlib.suppress(*([FlussError] if near_end else [])):
        return open_log(directory, **original.settings)
    return None


def batch_at(original: Original, position: int) -> tuple[int, BatchHeader]:
    return max(entry for entry in original.headers if entry[0] <= position)


@settings(max_examples=examples(300))
@given(
    interval=st.sampled_from([0, 200, 4096]),
    where=st.floats(0, 1, exclude_max=True),
    bit=st.integers(0, 7),
    start=st.floats(0, 1, exclude_max=True),
    max_bytes=st.sampled_from([0, 150, 700, 1 << 20]),
    limit=st.floats(0, 1),
)
def test_readers_get_what_was_written_or_an_error(
    interval: int, where: float, bit: int, start: float, max_bytes: int, limit: float
) -> None:
    original = ORIGINALS.setdefault(interval, Original(interval))
    position = int(where * len(original.data))
    at, victim = batch_at(original, position)
    covered = position - at not in UNCHECKED.get(victim.magic, TIMESTAMPS)
    log = damaged(original, position, bit)
    if log is None:
        return
    end = original.headers[-1][1].next_offset
    offset, max_offset = int(start * end), max(int(limit * end), 1)
    expected = [entry for entry in original.batches_from(offset) if entry[1].next_offset <= max_offset]
    found, refused = None, None
    try:
        found = log.read(offset, max_bytes, max_offset, at_least_one=True)
    except BatchDamagedError as error:
        refused = error
    if refused is not None:
        assert covered or position - at == MAGIC_OFFSET
        assert log.damage == [refused]
        assert log.damage_count == 1
        assert (refused.position, refused.offset) == (at, victim.base_offset)
        return
    if found is None:
        assert not expected or expected[0][1].base_offset > offset
        return
    first, last = found.region.position, found.region.position + found.region.length
    if covered:
        assert found.region.read() == original.data[first:last]
        assert not first <= at < last
        if found.next_offset == victim.base_offset and log.damage:
            assert log.damage[0].offset == victim.base_offset
    assert (first, found.first_offset) == (expected[0][0], expected[0][1].base_offset)
    assert found.next_offset == next(
        header.next_offset for position, header in original.headers if position + header.size == last
    )
    assert found.next_offset <= max_offset


@settings(max_examples=examples(300))
@given(interval=st.sampled_from([0, 200, 4096]), where=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
def test_a_whole_scan_a_replay_and_a_filter_stop_at_the_damage(interval: int, where: float, bit: int) -> None:
    original = ORIGINALS.setdefault(interval, Original(interval))
    position = int(where * len(original.data))
    at, victim = batch_at(original, position)
    if position - at in UNCHECKED.get(victim.magic, TIMESTAMPS):
        return
    end = original.headers[-1][1].next_offset

    def scan(log: LogTablet) -> list[int]:
        offsets, offset = [], 0
        while offset < end:
            piece = log.read(offset, 200, end, at_least_one=True)
            assert piece is not None
            offsets += [header.base_offset for _, header in iter_batches(piece.region.read())]
            offset = piece.next_offset
        return offsets

    def replay(log: LogTablet) -> list[int]:
        offsets = []
        for header, data in log.batches(0, end):
            assert data in original.data
            offsets.append(header.base_offset)
        return offsets

    def select(log: LogTablet) -> list[int]:
        offset, offsets = 0, []
        while offset < end:
            found = select_batches(log, offset, 200, end, lambda *_: True, at_least_one=True, max_examined=7)
            for region in found.regions:
                offsets += [header.base_offset for _, header in iter_batches(region.read())]
            assert found.next_offset > offset
            offset = found.next_offset
        return offsets

    for read in (scan, replay, select):
        log = damaged(original, position, bit)
        if log is None:
            return
        with pytest.raises(FlussError) as caught:
            read(log)
        assert caught.value.code is ErrorCode.CORRUPT_MESSAGE
        assert [each.offset for each in log.damage] == [victim.base_offset]
        assert log.damage_count == 1
        assert Path(str(segment_files(Path(log._directory))[0])).name in caught.value.message
