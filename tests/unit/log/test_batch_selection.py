"""Some of the batches of a log."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from example_support import examples
from fluss_server.errors import ErrorCode, FlussError
from fluss_server.formats.buffer import Buffer
from fluss_server.formats.log_batch import BatchHeader, iter_batches
from fluss_server.log.batch_selection import Selection, select_batches
from fluss_server.log.log_tablet import LogTablet
from log_support import all_batches, directory_of, make_batch, open_log, with_statistics


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> LogTablet:
    """20 batches of 1 to 3 rows, of all layouts, some with long statistics, some larger than a read, in segments."""
    tablet = open_log(tmp_path_factory.mktemp("log"), segment_bytes=8_000, index_interval_bytes=2_000)
    for number in range(20):
        batch = make_batch(number % 3 + 1, 5000 if number % 7 == 3 else 60 + number, fill=bytes([number]))
        if number % 3:
            batch = with_statistics(batch, bytes([number]) * (6000 if number % 5 == 4 else number), number % 3)
        tablet.append(batch)
    assert len(list(directory_of(tablet).glob("*.log"))) > 3
    return tablet


def select(
    log: LogTablet, wanted: set[int], offset: int = 0, max_bytes: int = 1 << 20, **limits: int
) -> tuple[Selection, list[int]]:
    """Keeps the batches with these base offsets; also returns the base offsets that were asked about."""
    asked: list[int] = []
    numbers = {each.base_offset: number for number, (each, _) in enumerate(all_batches(log))}

    def keep(header: BatchHeader, statistics: Buffer) -> bool:
        asked.append(header.base_offset)
        number = numbers[header.base_offset]
        size = (6000 if number % 5 == 4 else number) if number % 3 else 0
        assert bytes(statistics) == bytes([number]) * size
        return header.base_offset in wanted

    found = select_batches(
        log,
        offset,
        max_bytes,
        limits.get("max_offset", log.end_offset),
        keep,
        at_least_one=bool(limits.get("at_least_one", True)),
        max_examined=limits.get("max_examined", 1000),
    )
    return found, asked


def bytes_of(selection: Selection) -> bytes:
    data = b"".join(region.read() for region in selection.regions)
    assert len(data) == selection.size_bytes
    return data


@settings(max_examples=examples(30))
@given(st.sets(st.integers(0, 19)), st.integers(0, 19))
def test_exactly_what_is_wanted_comes_in_order(log: LogTablet, wanted: set[int], first: int) -> None:
    batches = all_batches(log)
    start = batches[first][0].base_offset
    found, asked = select(log, {batches[number][0].base_offset for number in wanted}, start)
    kept = [number for number in sorted(wanted) if number >= first]
    assert bytes_of(found) == b"".join(batches[number][1] for number in kept)
    assert asked == [header.base_offset for header, _ in batches[first:]]
    assert found.next_offset == log.end_offset
    assert found.kept_until == (batches[kept[-1]][0].next_offset if kept else start)
    assert found.examined == len(asked)


def test_neighbours_share_a_region(log: LogTablet) -> None:
    everything = {header.base_offset for header, _ in all_batches(log)}
    found, _ = select(log, everything)
    assert len(found.regions) == len(list(directory_of(log).glob("*.log")))


def test_limits_of_bytes(log: LogTablet) -> None:
    batches = all_batches(log)
    everything = {header.base_offset for header, _ in batches}
    two = batches[0][0].size + batches[1][0].size
    for max_bytes, count in ((two, 2), (two - 1, 1), (1, 1), (0, 1)):
        found, _ = select(log, everything, max_bytes=max_bytes)
        assert bytes_of(found) == b"".join(data for _, data in batches[:count])
        assert found.next_offset == found.kept_until == batches[count][0].base_offset
    found, _ = select(log, everything, max_bytes=1, at_least_one=0)
    assert (found.regions, found.next_offset, found.kept_until) == ([], 0, 0)
    last = batches[-1][0].base_offset
    found, _ = select(log, {last}, max_bytes=1, at_least_one=0)
    assert (found.regions, found.next_offset, found.kept_until) == ([], last, 0)  # the others are known to go


def test_other_limits(log: LogTablet) -> None:
    batches = all_batches(log)
    found, asked = select(log, set(), max_examined=3)
    assert (found.next_offset, len(asked)) == (batches[3][0].base_offset, 3)
    found, asked = select(log, set(), max_offset=batches[5][0].base_offset)
    assert (found.next_offset, len(asked)) == (batches[5][0].base_offset, 5)
    found, asked = select(log, set(), offset=log.end_offset)
    assert (found.next_offset, asked) == (log.end_offset, [])
    with pytest.raises(FlussError) as caught:
        select(log, set(), offset=log.end_offset + 1, max_offset=log.end_offset + 2)
    assert caught.value.code is ErrorCode.LOG_OFFSET_OUT_OF_RANGE_EXCEPTION


def test_batches_that_are_not_wanted_are_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = open_log(tmp_path)
    for _ in range(10):
        log.append(make_batch(size=1 << 20))
    log.flush()
    read = 0
    pread = os.pread

    def counted(fd: int, length: int, position: int) -> bytes:
        nonlocal read
        data = pread(fd, length, position)
        read += len(data)
        return data

    monkeypatch.setattr(os, "pread", counted)
    found = select_batches(log, 0, 1 << 30, 10, lambda *_: False, at_least_one=True, max_examined=100)
    assert found.next_offset == 10
    assert read < 60_000


def test_offsets_inside_a_batch(log: LogTablet) -> None:
    header = next(header for header, _ in all_batches(log) if header.record_count == 3)
    found, asked = select(log, {header.base_offset}, header.base_offset + 1)
    assert asked[0] == header.base_offset
    assert [each.base_offset for _, each in iter_batches(bytes_of(found))] == [header.base_offset]
