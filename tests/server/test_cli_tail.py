"""``fluss head`` and ``fluss tail``: the first and the last rows, and what comes after."""

from __future__ import annotations

import json
import queue
import signal
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from fluss_server.testing import LocalCluster
from server.cli_support import Fluss, read_until


@pytest.fixture(scope="module")
def cluster() -> Iterator[LocalCluster]:
    with LocalCluster(grpc=True) as running:
        yield running


@pytest.fixture
def fluss(cluster: LocalCluster, tmp_path: Path) -> Fluss:
    return Fluss(cluster, tmp_path)


def put(fluss: Fluss, table: str, numbers: range, **others: object) -> None:
    lines = "".join(json.dumps({"n": number, **others}) + "\n" for number in numbers)
    fluss("put", table, "-", stdin=lines.encode())


def numbers(fluss: Fluss, *arguments: str) -> list[object]:
    return [row["n"] for row in fluss.rows(*arguments)]


def test_head_has_the_first_and_tail_the_last_rows(fluss: Fluss) -> None:
    fluss("create-table", "CREATE TABLE one (n INT)")
    assert numbers(fluss, "head", "one") == numbers(fluss, "tail", "one") == []
    for start in range(0, 30, 6):
        put(fluss, "one", range(start, start + 6))
    assert numbers(fluss, "head", "one") == list(range(10))
    assert numbers(fluss, "head", "one", "-n", "3") == [0, 1, 2]
    assert numbers(fluss, "tail", "one") == list(range(20, 30))
    assert numbers(fluss, "tail", "one", "-n", "1") == [29]
    assert numbers(fluss, "tail", "one", "-n", "99") == list(range(30))
    assert numbers(fluss, "tail", "one", "--from", "earliest") == list(range(30))
    assert numbers(fluss, "tail", "one", "--from", "27") == [27, 28, 29]
    assert numbers(fluss, "tail", "one", "--from", "3", "-n", "2") == [3, 4]
    assert numbers(fluss, "tail", "one", "--from", "latest") == []
    assert list(fluss.rows("head", "one")[0]) == ["n"]


def test_a_start_beyond_the_end_is_an_error(fluss: Fluss) -> None:
    fluss("create-table", "CREATE TABLE short (n INT)")
    put(fluss, "short", range(5))
    message = fluss("tail", "short", "--from", "99999", code=1)
    assert "error 19 LOG_OFFSET_OUT_OF_RANGE_EXCEPTION: offset 99999 is beyond the end of bucket 0" in message
    assert "its rows have the offsets 0 to 4" in message
    assert "there is no row yet" in fluss.remark("tail", "short", "--from", "5")
    (row, *_) = fluss.rows("tail", "short")
    later = f"{row['_commit_timestamp']!s}"
    assert later.isdecimal()
    assert "lies in the future" in fluss("tail", "short", "--from", "2999-01-01", code=1)


def test_rows_of_all_buckets_come_as_they_were_written(fluss: Fluss) -> None:
    fluss("create-table", "CREATE TABLE several (n INT) DISTRIBUTED INTO 3 BUCKETS")
    for start in range(0, 10, 2):
        put(fluss, "several", range(start, start + 2))
    assert {row["_bucket"] for row in fluss.rows("tail", "several")} == {0}, "every put begins with bucket 0"
    fluss("create-table", "CREATE TABLE hashed (n INT) DISTRIBUTED BY (n) INTO 3 BUCKETS")
    for start in range(0, 20, 2):
        put(fluss, "hashed", range(start, start + 2))
    assert sorted(map(str, numbers(fluss, "head", "hashed", "-n", "8"))) == sorted(map(str, range(8)))
    assert sorted(map(str, numbers(fluss, "tail", "hashed", "-n", "6"))) == sorted(map(str, range(14, 20)))
    everything = fluss.rows("tail", "hashed", "--from", "earliest")
    assert [row["_commit_timestamp"] for row in everything] == sorted(
        int(str(row["_commit_timestamp"])) for row in everything
    )
    assert len(everything) == 20
    one = fluss.rows("tail", "hashed", "--bucket", "1", "--from", "2", "-n", "1")
    assert [(row["_bucket"], row["_log_offset"]) for row in one] == [(1, 2)]
    assert "choose one with --bucket" in fluss("tail", "hashed", "--from", "2", code=2)


def test_a_changelog_has_a_tail(fluss: Fluss) -> None:
    fluss("create-table", "CREATE TABLE keyed (n INT PRIMARY KEY, v STRING)")
    put(fluss, "keyed", range(3), v="a")
    put(fluss, "keyed", range(1), v="b")
    fluss("delete", "keyed", "n=2")
    shown = [(row["_change_type"], row["n"], row["v"]) for row in fluss.rows("tail", "keyed", "-n", "3")]
    assert shown == [("-U", 0, "a"), ("+U", 0, "b"), ("-D", 2, "a")]
    assert [list(row) for row in fluss.rows("tail", "keyed", "-n", "1", "--columns", "v")] == [
        ["_change_type", "_log_offset", "_commit_timestamp", "_bucket", "v"]
    ]


class Followed:
    """Lines that a following process prints."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._lines: queue.Queue[str] = queue.Queue()
        threading.Thread(target=self._read, args=(process,), daemon=True).start()

    def _read(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        for line in process.stdout:
            self._lines.put(line)

    def next(self, count: int) -> list[object]:
        return [json.loads(self._lines.get(timeout=60))["n"] for _ in range(count)]


@contextmanager
def following(fluss: Fluss, *arguments: str) -> Iterator[tuple[subprocess.Popen[str], Followed]]:
    process = fluss.start("tail", *arguments, "--follow", "-o", "json")
    try:
        yield process, Followed(process)
    finally:
        process.kill()
        process.communicate()


def test_follow_prints_the_last_rows_and_what_comes_until_ctrl_c(fluss: Fluss) -> None:
    fluss("create-table", "CREATE TABLE followed (n INT)")
    put(fluss, "followed", range(5))
    with following(fluss, "followed", "-n", "2") as (process, printed):
        assert printed.next(2) == [3, 4]
        put(fluss, "followed", range(5, 8))
        assert printed.next(3) == [5, 6, 7]
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 0


def test_follow_sees_new_partitions_and_the_end_of_the_table(fluss: Fluss) -> None:
    fluss("create-table", "CREATE TABLE growing (n INT, day STRING) PARTITIONED BY (day)")
    with following(fluss, "growing") as (process, printed):
        put(fluss, "growing", range(2), day="1")
        assert printed.next(2) == [0, 1]
        put(fluss, "growing", range(2, 3), day="2")
        assert printed.next(1) == [2]
        fluss("drop-partition", "growing", "day=1")
        put(fluss, "growing", range(3, 4), day="2")
        assert printed.next(1) == [3]
        fluss("drop-table", "growing")
        assert process.wait(60) == 1
        assert process.stderr is not None
        assert "TABLE_NOT_EXIST" in process.stderr.read()


def test_follow_goes_on_after_a_restart_of_the_server(tmp_path: Path) -> None:
    with LocalCluster(tmp_path / "data", grpc=True) as own:
        fluss = Fluss(own, tmp_path)
        fluss("create-table", "CREATE TABLE kept (n INT)")
        put(fluss, "kept", range(3))
        with following(fluss, "kept") as (process, printed):
            assert printed.next(3) == [0, 1, 2]
            own.kill()
            read_until(process, lambda line: "trying again for 10 minutes" in line)
            own.start()
            read_until(process, lambda line: "the server is back" in line)
            put(fluss, "kept", range(3, 5))
            assert printed.next(2) == [3, 4]
            assert process.poll() is None
