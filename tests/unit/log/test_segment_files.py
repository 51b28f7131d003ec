"""Files of a segment, byte for byte those of an official server."""

from __future__ import annotations

from pathlib import Path

import vectors_loader as vectors
from fluss_server.formats.log_batch import iter_batches
from fluss_server.runtime.clock import ManualClock
from log_support import all_batches, open_log

CASE = vectors.load("segment_files")["case"]
FILES = {name: bytes.fromhex(text) for name, text in CASE["files_after_roll_and_close"].items()}
BASE = CASE["segment_base_offset"]
(LOG_NAME,) = (name for name in FILES if name.endswith(".log"))
SETTINGS = {"index_interval_bytes": CASE["index_interval_bytes"], "index_max_bytes": CASE["index_file_bytes"]}


def test_appending_makes_the_official_files(tmp_path: Path) -> None:
    (tmp_path / LOG_NAME).touch()  # a log that begins where the official one did
    clock = ManualClock(0)
    log = open_log(tmp_path, clock, **SETTINGS)
    assert log.start_offset == log.end_offset == BASE
    for (position, header), expected in zip(iter_batches(FILES[LOG_NAME]), CASE["batches"], strict=True):
        sent = bytearray(FILES[LOG_NAME][position : position + header.size])
        sent[0:8] = bytes(8)  # as a client sends it
        sent[13:21] = bytes(8)
        clock.advance(expected["commit_timestamp"] - clock.now_ms())
        result = log.append(sent)
        assert (result.base_offset, result.last_offset) == (expected["base_offset"], expected["last_offset"])
    log.close()
    for name, data in FILES.items():
        assert (tmp_path / name).read_bytes() == data, name


def test_official_files_are_opened(tmp_path: Path) -> None:
    for name, data in FILES.items():
        (tmp_path / name).write_bytes(data)
    for name, size in CASE["file_sizes_while_active"].items():  # preallocated, as after a crash
        with open(tmp_path / name, "r+b") as file:
            file.truncate(size)
    for _ in range(2):
        log = open_log(tmp_path, **SETTINGS)
        assert (log.start_offset, log.end_offset) == (BASE, CASE["batches"][-1]["last_offset"] + 1)
        assert [
            (header.base_offset, header.last_offset, header.commit_timestamp, header.size)
            for header, _ in all_batches(log)
        ] == [
            (batch["base_offset"], batch["last_offset"], batch["commit_timestamp"], batch["size"])
            for batch in CASE["batches"]
        ]
        log.close()
        for name, data in FILES.items():
            assert (tmp_path / name).read_bytes() == data, name
