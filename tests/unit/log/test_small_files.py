"""Recovery point, flush checkpoint, file names, settings."""

from __future__ import annotations

import dataclasses
import struct
from pathlib import Path

import pytest

from fluss_server.errors import ErrorCode, FlussError
from fluss_server.log.file_names import LOG, TIME_INDEX, offset_of, offsets_in, path_of
from fluss_server.log.flush_checkpoint import FlushCheckpoint
from fluss_server.log.log_config import LogConfig
from fluss_server.log.recovery_point import RecoveryPoint
from fluss_server.runtime.system_disk import SystemDisk

DISK = SystemDisk()
POINT = RecoveryPoint(1, 2, 3, 4, 5, 6, 7, 8, 9)


def test_recovery_point(tmp_path: Path) -> None:
    assert RecoveryPoint.read(tmp_path, DISK) is None
    POINT.write(tmp_path, DISK)
    assert RecoveryPoint.read(tmp_path, DISK) == POINT
    image = (tmp_path / "recovery-point").read_bytes()
    assert image[:68] == struct.pack("<8sqqqqqqIII", b"FlussRP1", 1, 2, 3, 4, 5, 6, 7, 8, 9)
    assert len(image) == 72


def test_damaged_recovery_points_do_not_count() -> None:
    image = POINT.encode()
    assert RecoveryPoint.decode(image) == POINT
    assert all(RecoveryPoint.decode(image[:end]) is None for end in range(len(image)))
    assert RecoveryPoint.decode(image + b"\0") is None
    for bit in range(8 * len(image)):
        damaged = bytearray(image)
        damaged[bit // 8] ^= 1 << bit % 8
        assert RecoveryPoint.decode(bytes(damaged)) is None


def test_flush_checkpoint(tmp_path: Path) -> None:
    checkpoint = FlushCheckpoint(tmp_path, DISK)
    assert checkpoint.read() is None
    checkpoint.advance(17)
    assert checkpoint.read() == 17
    checkpoint.advance(1 << 40)
    assert checkpoint.read() == 1 << 40
    path = tmp_path / "flushed-offset"
    image = path.read_bytes()
    assert len(image) == 20
    for end in range(len(image)):
        path.write_bytes(image[:end])
        assert checkpoint.read() is None
    for at in range(len(image)):
        path.write_bytes(image[:at] + bytes([image[at] ^ 128]) + image[at + 1 :])
        assert checkpoint.read() is None


def test_file_names(tmp_path: Path) -> None:
    path = path_of(tmp_path, 1021, LOG)
    assert path.name == "00000000000000001021.log"
    assert offset_of(path.name, LOG) == 1021
    assert offset_of(path.name, TIME_INDEX) is None
    for name in ("1021.log", "0000000000000000102x.log", "00000000000000001021.log.tmp", ".log", "x"):
        assert offset_of(name, LOG) is None
        (tmp_path / name).touch()
    Path(path).touch()
    Path(path_of(tmp_path, 3, LOG)).touch()
    assert offsets_in(DISK, tmp_path, LOG) == [3, 1021]


@pytest.mark.parametrize("name", [field.name for field in dataclasses.fields(LogConfig)])
def test_settings_are_checked(name: str) -> None:
    for value in (-1, 2**63):
        with pytest.raises(FlussError, match=name) as caught:
            LogConfig(**{name: value})
        assert caught.value.code is ErrorCode.INVALID_CONFIG_EXCEPTION
