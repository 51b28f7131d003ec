"""Reading, checking and finding batches in a file."""

from __future__ import annotations

from pathlib import Path

import pytest

from fluss_server.errors import ErrorCode, FlussError
from fluss_server.formats.log_batch import parse_header, stamp
from fluss_server.log import batch_reader
from fluss_server.log.batch_reader import find_intact_batch, read_batches
from fluss_server.runtime.system_disk import SystemFile
from log_support import make_batch


def stamped(*sizes: int, first: int = 0) -> bytes:
    data = b""
    for offset, size in enumerate(sizes, first):
        batch = bytearray(make_batch(size=size))
        stamp(batch, 0, parse_header(batch), offset, 1)
        data += batch
    return data


def file_of(tmp_path: Path, data: bytes) -> SystemFile:
    (tmp_path / "x.log").write_bytes(data)
    return SystemFile(tmp_path / "x.log")


def read(file: SystemFile, position: int, end: int) -> list[tuple[int, int, bytes]]:
    return [(at, header.base_offset, bytes(data)) for at, header, data in read_batches(file, position, end)]


@pytest.mark.parametrize("chunk", [64, 100, 199, 200, 201, 1 << 20])
def test_any_chunk_size_reads_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, chunk: int) -> None:
    monkeypatch.setattr(batch_reader, "CHUNK_BYTES", chunk)
    sizes = [48, 60, 200, 51, 900, 48, 48, 300]
    data = stamped(*sizes)
    positions = [sum(sizes[:count]) for count in range(len(sizes))]
    file = file_of(tmp_path, data)
    expected = [(at, n, data[at : at + size]) for n, (at, size) in enumerate(zip(positions, sizes, strict=True))]
    assert read(file, 0, len(data)) == expected
    assert read(file, positions[3], len(data)) == expected[3:]
    assert read(file, 0, positions[5]) == expected[:5]
    assert read(file, len(data), len(data)) == []


def test_every_cut_and_every_flipped_bit_is_noticed(tmp_path: Path) -> None:
    data = stamped(60, 70)
    for end in range(61, len(data)):
        with pytest.raises(FlussError, match="position 60") as caught:
            read(file_of(tmp_path, data[:end]), 0, end)
        assert caught.value.code is ErrorCode.CORRUPT_RECORD_EXCEPTION
        with pytest.raises(FlussError):
            read(file_of(tmp_path, data[:end]), 0, len(data))  # shorter than believed
    unchecked = {*range(60, 68), *range(60 + 13, 60 + 21)}  # offset and timestamp, which the CRC does not cover
    for at in sorted(set(range(60, len(data))) - unchecked):
        for bit in range(8):
            damaged = data[:at] + bytes([data[at] ^ 1 << bit]) + data[at + 1 :]
            with pytest.raises(FlussError):
                read(file_of(tmp_path, damaged), 0, len(damaged))


def test_an_absurd_length_needs_no_memory(tmp_path: Path) -> None:
    data = bytearray(stamped(100))
    data[8:12] = (2**31 - 13).to_bytes(4, "little")
    with pytest.raises(FlussError, match="2147483647"):
        read(file_of(tmp_path, bytes(data)), 0, len(data))


def test_finding_an_intact_batch_behind_damage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = bytearray(stamped(100, 150, 100, first=7))
    data[8:12] = b"\xff\xff\xff\x7f"
    file = file_of(tmp_path, bytes(data))
    for chunk in (48, 64, 100, 101, 4 << 20):
        monkeypatch.setattr(batch_reader, "_SEARCH_CHUNK_BYTES", chunk)
        assert find_intact_batch(file, 0, 350, 7) == 100
        assert find_intact_batch(file, 0, 350, 9) == 250
        assert find_intact_batch(file, 0, 349, 9) is None
        assert find_intact_batch(file, 0, 350, 10) is None
        assert find_intact_batch(file, 251, 350, 7) is None
    assert find_intact_batch(file_of(tmp_path, bytes(1000)), 0, 1000, 0) is None
    assert find_intact_batch(file_of(tmp_path, b""), 0, 0, 0) is None
