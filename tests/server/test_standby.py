"""A standby replica keeps the rows of a primary-key bucket, and serves them at once when its leader is gone."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import pytest

from fluss_server.api import messages as pb
from fluss_server.api.keys import ApiKey
from fluss_server.errors import ErrorCode, FlussError
from fluss_server.formats.kv_batch import build_kv_batch
from fluss_server.formats.row_codec import row_codec
from fluss_server.kv.kv_tablet import KvTablet
from fluss_server.model.identifiers import TableBucket
from fluss_server.model.table import KvFormat
from fluss_server.replica.follower_rows import FollowerRows
from kv_support import INT, STRING, encode_key, make_schema, make_table
from replicated_cluster import ALL, Cluster, cluster, figures, until
from rpc_support import async_test

KEYED = make_schema({"id": INT, "v": STRING}, ["id"])
ROWS = row_codec(KEYED.types, KvFormat.COMPACTED)


class Table:
    """A table with one bucket, and what was written to it."""

    def __init__(self, running: Cluster, table_id: int) -> None:
        self._running = running
        self._table_id = table_id
        self.bucket = TableBucket(table_id, None, 0)
        self.expected: dict[int, str] = {}

    async def put(self, rows: dict[int, str | None]) -> None:
        """Upsert rows and delete those that are None; returns when that is acknowledged."""
        records = [
            (encode_key(make_table(KEYED), (key,)), None if value is None else ROWS.encode((key, value)))
            for key, value in rows.items()
        ]
        request = pb.PutKvRequest(acks=-1, table_id=self._table_id, timeout_ms=10_000)
        request.buckets_req.add(bucket_id=0, records=build_kv_batch(1, records))
        response = await self._running.call_leader(self.bucket, ApiKey.PUT_KV, request)
        assert not response.buckets_resp[0].HasField("error_code"), response
        for key, value in rows.items():
            if value is None:
                self.expected.pop(key, None)
            else:
                self.expected[key] = value

    async def check(self) -> None:
        """Lookups see what was written."""
        keys = range(max(self.expected) + 2)
        request = pb.LookupRequest(table_id=self._table_id)
        request.buckets_req.add(bucket_id=0, keys=[encode_key(make_table(KEYED), (key,)) for key in keys])
        found = (await self._running.call_leader(self.bucket, ApiKey.LOOKUP, request)).buckets_resp[0]
        assert not found.HasField("error_code"), found
        rows: dict[int, Any] = {}
        for key, value in zip(keys, found.values, strict=True):
            if value.HasField("values"):
                rows[key] = ROWS.decode(value.values[2:])[1]
        assert rows == self.expected

    def standbys(self) -> tuple[int, ...]:
        record = self._running.coordinator.server.controller.queue.state.buckets[self.bucket].record
        return () if record is None else record.standby_replicas

    def rows_of(self, server_id: int) -> FollowerRows:
        rows = self._running.follower(server_id, self.bucket).rows
        assert rows is not None, "the table has a primary key"
        return rows

    async def until_applied(self, server_id: int) -> None:
        """A standby replica has everything that is acknowledged."""
        leader = self._running.tablets[self._running.leader_of(self.bucket)].server.replicas.replica(self.bucket)
        await until(lambda: self.rows_of(server_id).applied_offset == leader.log.end_offset)


@async_test
async def test_a_promoted_standby_goes_on_with_the_rows_that_it_has(tmp_path: Path) -> None:
    async with cluster(tmp_path, min_in_sync_replicas_number="2") as running:
        table = Table(running, await running.create("k", KEYED))
        await table.put({key: f"first {key}" for key in range(20)})
        await table.put({3: None, 4: "second"})
        leader = running.leader_of(table.bucket)
        (standby,) = table.standbys()
        (plain,) = set(ALL) - {leader, standby}
        await table.until_applied(standby)
        assert table.rows_of(plain).kv is None, "the other follower has the log only"
        assert figures(running, standby)["server_standbyReplicaCount"] == 1
        assert figures(running, standby)["server_standbyMaxLag"] == 0
        assert figures(running, plain)["server_standbyReplicaCount"] == 0
        open_tablet = table.rows_of(standby).kv

        await running.lose_server(leader)
        await until(partial(running.has_other_leader, table.bucket, leader))
        assert running.leader_of(table.bucket) == standby
        assert running.tablets[standby].server.replicas.replica(table.bucket).kv is open_tablet, "nothing was opened"
        await table.check()
        await table.put({4: None, 5: "third"})
        await table.check()

        assert table.standbys() == (plain,)
        await table.until_applied(plain)
        await running.start_server(leader)
        await until(lambda: running.isr_of(table.bucket) == set(ALL))
        assert table.standbys() == (plain,)
        await running.lose_server(standby)
        await until(partial(running.has_other_leader, table.bucket, standby))
        assert running.leader_of(table.bucket) == plain
        await table.check()


@async_test
async def test_another_replica_leads_when_the_rows_cannot_be_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The leadership was confirmed before the rows are opened, so the coordinator has to be told."""
    async with cluster(tmp_path) as running:
        table = Table(running, await running.create("k", KEYED))
        await table.put({key: f"first {key}" for key in range(20)})
        leader = running.leader_of(table.bucket)
        (standby,) = table.standbys()
        (plain,) = set(ALL) - {leader, standby}
        await table.until_applied(standby)
        broken = table.rows_of(standby).kv
        lead = KvTablet.lead

        def fail(self: KvTablet) -> None:
            if self is broken:
                raise FlussError(ErrorCode.KV_STORAGE_EXCEPTION, "a block is damaged")
            lead(self)

        monkeypatch.setattr(KvTablet, "lead", fail)
        await running.lose_server(leader)
        await until(partial(running.has_other_leader, table.bucket, leader))
        assert running.leader_of(table.bucket) == plain
        await table.check()
        await table.put({1: "second"})
        await until(lambda: running.isr_of(table.bucket) == {standby, plain})
        assert table.standbys() == (), "it is not trusted before it is tried again"


@async_test
async def test_another_replica_leads_when_the_log_of_the_leader_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with cluster(tmp_path) as running:
        table = Table(running, await running.create("k", KEYED))
        await table.put({1: "first"})
        leader = running.leader_of(table.bucket)
        log = running.log_of(leader, table.bucket)

        def fail() -> int:
            raise FlussError(ErrorCode.STORAGE_EXCEPTION, "the disk is broken")

        monkeypatch.setattr(log, "flush", fail)
        with pytest.raises(AssertionError, match="the disk is broken"):
            await table.put({2: "not acknowledged"})
        await until(partial(running.has_other_leader, table.bucket, leader))
        await table.put({2: "second"})
        await table.check()
        assert leader not in running.isr_of(table.bucket)
