"""A KvTablet whose RocksDB has found the disk full, on a standby replica and on its way to lead."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from error_support import code_of
from fluss_server.errors import ErrorCode
from fluss_server.kv.kv_tablet import KvTablet
from fluss_server.kv.resources import KvResources
from fluss_server.kv.rocks import RocksStore
from fluss_server.runtime import ManualClock, system_runtime
from kv_support import Bucket, open_bucket

FULL = ErrorCode.DISK_WRITE_LOCKED


@contextmanager
def full_disk(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """RocksDB finds no space for what it is given to write."""

    def no_space(store: RocksStore, keys: Sequence[bytes], values: Sequence[bytes | None]) -> None:
        raise store._error("cannot write to RocksDB", Exception("IO error: No space left on device"))

    with monkeypatch.context() as patched:
        patched.setattr(RocksStore, "write", no_space)
        yield


class Standby:
    """A leader's bucket, and a standby replica's KvTablet over the same log.

    Attributes:
        leader: its KvTablet only makes the changelog.
        kv: the standby replica's.
        own: the standby replica's rows, to be read and written once it leads.
    """

    def __init__(self, directory: Path) -> None:
        self.leader = open_bucket(directory)
        self.clock = ManualClock()
        resources = KvResources(system_runtime(clock=self.clock))
        table, log = self.leader.table, self.leader.log
        self.kv = KvTablet.open_standby(directory / "standby", table, {1: table.schema}.__getitem__, log, resources)
        self.own = Bucket(directory, table, log, self.kv)

    def follow(self) -> None:
        """Apply everything."""
        while self.kv.apply_changelog(self.leader.log.end_offset):
            pass

    def recover(self) -> None:
        self.clock.advance(2_000)
        self.kv.recover()


@pytest.fixture
def standby(tmp_path: Path) -> Iterator[Standby]:
    standby = Standby(tmp_path)
    yield standby
    standby.kv.close()
    standby.leader.close()


def test_rows_applied_after_a_recovery_replace_those_that_it_has_read(
    standby: Standby, monkeypatch: pytest.MonkeyPatch
) -> None:
    standby.leader.write([(1, "first", None), (2, "first", None)])
    standby.follow()
    standby.leader.write([(3, "first", None)])
    with full_disk(monkeypatch):
        assert code_of(standby.follow) is FULL
    standby.recover()
    standby.leader.write([(1, "second", None)], [(2,)])
    standby.follow()
    standby.kv.lead()
    assert [standby.own.get(key) for key in (1, 2, 3)] == [(1, "second", None), None, (3, "first", None)]
    assert standby.own.write([(1, "third", None)]) == [("-U", (1, "second", None)), ("+U", (1, "third", None))]


def test_a_leader_without_space_shows_no_rows_from_before_the_acknowledged_end(
    standby: Standby, monkeypatch: pytest.MonkeyPatch
) -> None:
    standby.leader.write([(1, "first", None)])
    standby.follow()
    standby.leader.write([(1, "second", None)])
    with full_disk(monkeypatch):
        assert code_of(standby.follow) is FULL
    assert standby.own.get(1) == (1, "first", None), "of a standby replica, which says how far it is"
    standby.kv.lead()
    key = standby.own.key(1)
    for read in (
        lambda: standby.kv.lookup([key]),
        lambda: standby.kv.prefix_lookup(key),
        lambda: standby.kv.limit_scan(5),
        standby.kv.open_scan,
        lambda: standby.kv.row_count,
        standby.kv.persist,
    ):
        assert code_of(read) is FULL
    standby.recover()
    assert standby.own.rows() == {(1,): (1, "second", None)}
    standby.own.write([(2, "new", None)])
    assert standby.own.get(2) == (2, "new", None)


def test_a_leader_that_finds_the_disk_full_on_its_way_shows_no_rows(
    standby: Standby, monkeypatch: pytest.MonkeyPatch
) -> None:
    standby.leader.write([(1, "first", None)])
    standby.follow()
    standby.leader.write([(1, "second", None)])
    with full_disk(monkeypatch):
        assert code_of(standby.kv.lead) is FULL
    assert code_of(lambda: standby.own.get(1)) is FULL
    standby.recover()
    assert standby.own.get(1) == (1, "second", None)


def test_a_leader_whose_disk_fills_up_keeps_its_rows_readable(
    standby: Standby, monkeypatch: pytest.MonkeyPatch
) -> None:
    standby.leader.write([(1, "first", None)])
    standby.kv.lead()
    with full_disk(monkeypatch):
        assert code_of(lambda: standby.own.write([(1, "second", None)])) is FULL
    assert standby.own.get(1) == (1, "first", None)
    standby.recover()
    assert standby.own.write([(2, "new", None)]) == [("+I", (2, "new", None))]
