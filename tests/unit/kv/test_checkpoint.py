"""The record of the flushed offset, and when a store is not trusted."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from fluss_server.kv.checkpoint import (
    CHECKPOINT_FILE,
    UNKNOWN_BOOT,
    KvCheckpoint,
    boot_id,
    invalidate,
    read_checkpoint,
    write_checkpoint,
)
from fluss_server.runtime import system_runtime

DISK = system_runtime().disk
STATE = KvCheckpoint(1000, 400, 5000, bytes(range(16)))


def test_round_trip(tmp_path: Path) -> None:
    assert read_checkpoint(tmp_path, DISK) is None
    write_checkpoint(tmp_path, STATE, DISK)
    assert read_checkpoint(tmp_path, DISK) == STATE
    state = KvCheckpoint(2**62, 0, 7, boot_id(DISK), may_exceed_log=True)
    write_checkpoint(tmp_path, state, DISK)
    assert read_checkpoint(tmp_path, DISK) == state
    assert [path.name for path in tmp_path.iterdir()] == [CHECKPOINT_FILE]


def test_a_damaged_file_counts_as_none(tmp_path: Path) -> None:
    data = STATE.encode()
    assert len(data) == 57
    for size in range(len(data)):
        assert KvCheckpoint.decode(data[:size]) is None
    for position in range(len(data)):
        assert KvCheckpoint.decode(data[:position] + bytes([data[position] ^ 4]) + data[position + 1 :]) is None
    assert KvCheckpoint.decode(data + b"\0") is None
    (tmp_path / CHECKPOINT_FILE).mkdir()
    assert read_checkpoint(tmp_path, DISK) is None


def test_the_boot_id_is_stable() -> None:
    assert boot_id(DISK) == boot_id(DISK)
    assert len(boot_id(DISK)) == 16


NORMAL: dict[str, Any] = {
    "boot": STATE.boot_id,
    "log_start": 0,
    "log_end": 2000,
    "log_was_cut": False,
    "log_lost_durable": False,
}


@pytest.mark.parametrize(
    ("state", "sequence", "changes", "trusted"),
    [
        ({}, 5000, {}, True),
        ({}, 5000, {"log_end": 1000}, True),
        ({}, 5000, {"log_end": 999}, False),  # the log lost what the store has
        ({}, 5000, {"log_start": 1000}, True),
        ({}, 5000, {"log_start": 1001}, False),  # a gap between store and log
        ({}, 4999, {}, False),  # the store lost what was durable
        ({}, 6000, {}, True),  # RocksDB wrote a memtable by itself
        ({}, 6000, {"log_was_cut": True}, True),  # a torn append that was never committed
        ({}, 6000, {"log_lost_durable": True}, False),
        ({}, 5000, {"log_lost_durable": True}, True),  # the store holds nothing behind its offset
        ({}, 6000, {"boot": bytes(16)}, True),  # the machine went down, but the log was always ahead
        ({"may_exceed_log": True}, 6000, {}, True),  # only the process died
        ({"may_exceed_log": True}, 6000, {"log_was_cut": True}, False),
        ({"may_exceed_log": True}, 6000, {"boot": bytes(range(1, 17))}, False),
        ({"may_exceed_log": True}, 5000, {"boot": bytes(range(1, 17))}, True),
        ({"may_exceed_log": True, "boot_id": UNKNOWN_BOOT}, 6000, {"boot": UNKNOWN_BOOT}, False),
    ],
)
def test_distrust(state: dict[str, Any], sequence: int, changes: dict[str, Any], trusted: bool) -> None:
    found = KvCheckpoint(STATE.offset, STATE.row_count, STATE.sequence, **({"boot_id": STATE.boot_id} | state))
    reason = invalidate(found, sequence, **(NORMAL | changes))
    assert (reason is None) == trusted, reason
