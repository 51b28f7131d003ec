"""Reads everything that a server has and compares it with what it must hold."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pyarrow as pa

from fluss_server.api import messages as pb
from fluss_server.api.keys import ApiKey
from fluss_server.errors import ErrorCode, FlussError
from fluss_server.formats.arrow_batch import decode_batch
from fluss_server.formats.log_batch import ChangeType, iter_batches
from kv_support import replay_changes
from torture.client import Client
from torture.load import ARROW_SCHEMAS, KEYED_SCHEMA, KEYS, LOG_TABLE, PARTITIONED_TABLE, ROWS, Expected
from torture.model import Row

_CHANGE_NAMES = {
    ChangeType.INSERT: "+I",
    ChangeType.UPDATE_BEFORE: "-U",
    ChangeType.UPDATE_AFTER: "+U",
    ChangeType.DELETE: "-D",
}


class Check:
    """One look at everything.

    Args:
        client: for single attempts.
        expected: what there must be.
        lossy: buckets that are reported as damaged, as ``table/bucket`` or ``table/partition/bucket``.

    Attributes:
        problems: what is wrong.
        errors: codes of buckets that cannot be read, with the bucket.
        damaged: buckets whose log returned CORRUPT_MESSAGE.
    """

    def __init__(self, client: Client, expected: Expected, lossy: frozenset[str] = frozenset()) -> None:
        self._client = client
        self._expected = expected
        self._lossy = lossy
        self.problems: list[str] = []
        self.errors: dict[str, ErrorCode] = {}
        self.damaged: set[str] = set()

    async def run(self, *, with_definitions: bool = True) -> Check:
        """Read and compare.

        Args:
            with_definitions: also which tables and partitions there are.
        """
        if with_definitions:
            await self._check_definitions()
        for (table, partition, bucket), model in list(self._expected.logs.items()):
            present = self._expected.partitions if partition else self._expected.tables
            if not present.is_present(partition or table):
                continue
            name = "/".join(filter(None, (table, partition, str(bucket))))
            changes, complete = await self._read_log(name, table, partition, bucket)
            rows = [row[:2] for _, row in changes]
            self._add(name, model.check(rows, complete=complete))
        for (table, bucket), keyed in list(self._expected.keyed.items()):
            name = f"{table}/{bucket}"
            changes, complete = await self._read_log(name, table, "", bucket)
            rows_by_key = await self._look_up(name, table, bucket, keyed.keys())
            if rows_by_key is not None:
                self._add(name, keyed.check(rows_by_key, complete=name not in self._lossy))
                await self._check_count(name, table, bucket, len(rows_by_key))
            if complete and rows_by_key is not None:
                self._check_replay(name, changes, rows_by_key)
        return self

    async def read_some(self, table: str, bucket: int) -> None:
        """Read the log of one bucket while others write to it: all that was acknowledged before is there."""
        model = self._expected.log(table, bucket)
        acknowledged = {writer: sent.acknowledged for writer, sent in model.writers.items()}
        changes, complete = await self._read_log(f"{table}/{bucket}", table, "", bucket, growing=True)
        rows = [row[:2] for _, row in changes]
        self._add(f"{table}/{bucket}", model.check(rows, complete=complete, acknowledged=acknowledged))

    def _add(self, name: str, problems: list[str]) -> None:
        self.problems += [f"{name}: {problem}" for problem in problems]

    def _note(self, name: str, error: FlussError) -> None:
        if error.code is ErrorCode.UNKNOWN_SERVER_ERROR:
            self.problems.append(f"{name}: code -1: {error}")
        self.errors[name] = error.code
        if error.code is ErrorCode.CORRUPT_MESSAGE:
            self.damaged.add(name)

    async def _check_definitions(self) -> None:
        tables = await self._client.call_once(
            ApiKey.LIST_TABLES, pb.ListTablesRequest(database_name=self._expected.database)
        )
        self._add("tables", self._expected.tables.check(tables.table_name))
        for name in list(self._expected.ids):
            if "/" not in name and self._expected.tables.is_present(name) and name in tables.table_name:
                request = pb.GetTableInfoRequest(table_path=self._expected.path(name))
                info = await self._client.call_once(ApiKey.GET_TABLE_INFO, request)
                if info.table_id != self._expected.ids[name]:
                    self.problems.append(f"{name} has the id {info.table_id}, not {self._expected.ids[name]}")
        if PARTITIONED_TABLE not in tables.table_name:
            return
        listed = await self._client.call_once(
            ApiKey.LIST_PARTITION_INFOS, pb.ListPartitionInfosRequest(table_path=self._expected.path(PARTITIONED_TABLE))
        )
        names = [info.partition_spec.partition_key_values[0].value for info in listed.partitions_info]
        self._add("partitions", self._expected.partitions.check(names))

    async def _read_log(
        self, name: str, table: str, partition: str, bucket: int, *, growing: bool = False
    ) -> tuple[list[tuple[str, Row]], bool]:
        """Changes from the start to the end, or to the first error; False if not all of them must be there."""
        table_id = self._expected.ids[table]
        partition_id = self._expected.ids[f"/{partition}"] if partition else None
        schema = ARROW_SCHEMAS.get(table, ARROW_SCHEMAS[LOG_TABLE])
        changes: list[tuple[str, Row]] = []
        offset = 0
        while True:
            request = pb.FetchLogRequest(follower_server_id=-1, max_bytes=4 << 20)
            wanted = request.tables_req.add(table_id=table_id, projection_pushdown_enabled=False)
            part = wanted.buckets_req.add(bucket_id=bucket, fetch_offset=offset, max_fetch_bytes=4 << 20)
            if partition_id is not None:
                part.partition_id = partition_id
            try:
                found = await self._client.call_once(
                    ApiKey.FETCH_LOG, request, lambda response: response.tables_resp[0].buckets_resp[0]
                )
            except FlussError as error:
                self._note(name, error)
                return changes, False
            before = offset
            for position, header in iter_batches(found.records):
                if header.base_offset != offset:
                    self.problems.append(f"{name}: offset {header.base_offset} follows {offset}")
                offset = header.next_offset
                changes += _decode(memoryview(found.records)[position:], header, schema)
            if offset == before:
                if found.high_watermark != offset and not growing:
                    self.problems.append(f"{name}: ends at {offset}, its high watermark is {found.high_watermark}")
                return changes, name not in self._lossy

    async def _look_up(self, name: str, table: str, bucket: int, keys: list[int]) -> dict[int, Row] | None:
        request = pb.LookupRequest(table_id=self._expected.ids[table])
        request.buckets_req.add(bucket_id=bucket, keys=[KEYS.encode((key,)) for key in keys])
        try:
            response = await self._client.call_once(ApiKey.LOOKUP, request, lambda response: response.buckets_resp[0])
        except FlussError as error:
            self._note(name, error)
            return None
        found: dict[int, Row] = {}
        for key, value in zip(keys, response.values, strict=True):
            if value.HasField("values"):
                found[key] = ROWS.decode(value.values[2:])
        return found

    async def _check_count(self, name: str, table: str, bucket: int, rows: int) -> None:
        request = pb.GetTableStatsRequest(table_id=self._expected.ids[table])
        request.buckets_req.add(bucket_id=bucket)
        try:
            found = await self._client.call_once(
                ApiKey.GET_TABLE_STATS, request, lambda response: response.buckets_resp[0]
            )
        except FlussError as error:
            self._note(name, error)
            return
        if found.row_count != rows:
            self.problems.append(f"{name}: {rows} rows, but the table's count is {found.row_count}")

    def _check_replay(self, name: str, changes: list[tuple[str, Row]], rows: Mapping[int, Row]) -> None:
        try:
            replayed = replay_changes(KEYED_SCHEMA, changes)
        except (AssertionError, KeyError) as error:
            self.problems.append(f"{name}: the changelog contradicts itself: {error}")
            return
        if {key: row for (key,), row in replayed.items()} != rows:
            self.problems.append(f"{name}: the changelog does not define the rows of the table")


def _decode(batch: memoryview, header: Any, schema: pa.Schema) -> list[tuple[str, Row]]:
    if not header.record_count:
        return []
    types, rows = decode_batch(batch, header, schema)
    values = zip(*(column.to_pylist() for column in rows.columns), strict=True)
    if types is None:
        return [("+A", row) for row in values]
    return [(_CHANGE_NAMES[ChangeType(int(kind))], row) for kind, row in zip(types, values, strict=True)]
