"""How a start learns how the process before it ended."""

from __future__ import annotations

import errno
from pathlib import Path, PurePath

import pytest

from error_support import code_of
from fluss_server.errors import ErrorCode
from fluss_server.runtime.system_disk import SystemDisk
from fluss_server.tablet.stop_marker import STATE_FILE, LastStop, StopMarker

DISK = SystemDisk()


def run(directory: Path, *, durable: bool = True, registers: bool = True, stops: bool = True) -> LastStop:
    """One process: what it finds, and as far as it comes."""
    marker = StopMarker(directory, DISK, durable=durable)
    found = marker.begin()
    if registers:
        marker.registered()
    if stops:
        marker.stopped()
    return found


def test_nothing_is_known_at_the_first_start(tmp_path: Path) -> None:
    assert run(tmp_path) == LastStop(stopped=False, durable=False)


@pytest.mark.parametrize("durable", [True, False])
def test_an_orderly_stop_counts_whatever_the_flush_policy(durable: bool, tmp_path: Path) -> None:
    run(tmp_path, durable=durable)
    assert run(tmp_path) == LastStop(stopped=True, durable=True)


@pytest.mark.parametrize("durable", [True, False])
def test_after_a_crash_the_flush_policy_of_that_process_counts(durable: bool, tmp_path: Path) -> None:
    run(tmp_path)
    run(tmp_path, durable=durable, stops=False)
    assert run(tmp_path, durable=not durable) == LastStop(stopped=False, durable=durable)


def test_a_running_process_has_no_mark_of_an_orderly_stop(tmp_path: Path) -> None:
    run(tmp_path)
    StopMarker(tmp_path, DISK, durable=True).begin()
    assert StopMarker(tmp_path, DISK, durable=True).begin().stopped is False


@pytest.mark.parametrize("stops", [True, False])
def test_a_loss_is_remembered_until_a_coordinator_has_heard_of_it(stops: bool, tmp_path: Path) -> None:
    run(tmp_path, durable=False, stops=False)
    assert run(tmp_path, registers=False, stops=stops) == LastStop()
    assert run(tmp_path, stops=False) == LastStop(), "nobody was told"
    assert run(tmp_path) == LastStop(stopped=False, durable=True)


def test_a_process_that_never_registered_leaves_an_orderly_stop_as_it_was(tmp_path: Path) -> None:
    run(tmp_path)
    run(tmp_path, registers=False)
    assert run(tmp_path) == LastStop(stopped=True, durable=True)


@pytest.mark.parametrize("content", [b"", b"\0" * 40, b'{"version":2,"stopped":true,"durable":true}', b"[]"])
def test_what_cannot_be_read_counts_as_a_crash(content: bytes, tmp_path: Path) -> None:
    (tmp_path / STATE_FILE).write_bytes(content)
    assert run(tmp_path) == LastStop()


def test_on_a_full_disk_the_mark_is_removed(tmp_path: Path) -> None:
    run(tmp_path)

    class Full(SystemDisk):
        def replace_file(self, path: PurePath, data: object, *, mode: int = 0o644) -> None:
            raise OSError(errno.ENOSPC, "no space")

    assert StopMarker(tmp_path, Full(), durable=True).begin().stopped
    assert not (tmp_path / STATE_FILE).exists()


def test_a_mark_that_stays_is_refused(tmp_path: Path) -> None:
    run(tmp_path)

    class ReadOnly(SystemDisk):
        def replace_file(self, path: PurePath, data: object, *, mode: int = 0o644) -> None:
            raise OSError(errno.EROFS, "read-only")

        def remove(self, path: PurePath, *, missing_ok: bool = False) -> None:
            raise OSError(errno.EROFS, "read-only")

    assert code_of(StopMarker(tmp_path, ReadOnly(), durable=True).begin) is ErrorCode.STORAGE_EXCEPTION
