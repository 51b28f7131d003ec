"""Appends to a log table whose schema has changed: writers of every version so far, none of a later one."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pytest

from fluss_server.errors import ErrorCode, FlussError
from fluss_server.formats.arrow_batch import encode_payload
from fluss_server.formats.arrow_types import arrow_schema
from fluss_server.formats.log_batch import build_batch
from fluss_server.log.log_tablet import LogConfig, LogTablet
from fluss_server.model.identifiers import TableBucket, TablePath
from fluss_server.model.schema import Schema
from fluss_server.model.table import ArrowCompression, TableDescriptor, TableInfo
from fluss_server.replica.replica import Replica
from fluss_server.runtime import InlineWorkers, ManualClock, system_runtime

A = {"name": "a", "data_type": {"type": "INTEGER"}}
B = {"name": "b", "data_type": {"type": "STRING"}}
SCHEMAS = {1: Schema.from_json({"columns": [A]}), 2: Schema.from_json({"columns": [A, B]})}


def table(schema_id: int) -> TableInfo:
    return TableInfo(TablePath("d", "t"), 1, schema_id, TableDescriptor(SCHEMAS[schema_id], bucket_count=1), 0, 0)


def batch(named_schema: int, columns: int) -> memoryview:
    """Two rows of the first ``columns`` columns that claim to be of a schema."""
    schema = SCHEMAS[columns]
    values: list[list[int | str]] = [[1, 2], ["x", "y"]]
    rows = pa.RecordBatch.from_arrays(
        [pa.array(column, field.type) for column, field in zip(values, arrow_schema(schema), strict=False)],
        schema=arrow_schema(schema),
    )
    payload = encode_payload(rows, ArrowCompression.NONE)
    data = build_batch(
        named_schema, change_types=None, payload=payload, record_count=2, writer_id=-1, batch_sequence=-1
    )
    return memoryview(data)


def with_replica(directory: Path, scenario: Callable[[Replica], Awaitable[None]]) -> None:
    async def run() -> None:
        runtime = system_runtime(clock=ManualClock(), workers=InlineWorkers())
        log = LogTablet.open(directory, LogConfig(), runtime)
        replica = Replica(
            TableBucket(1, None, 0),
            table(1),
            log,
            None,
            schemas=SCHEMAS.__getitem__,
            clock=runtime.clock,
            flush_pool=runtime.workers.pool("io", 1),
            read_pool=runtime.workers.pool("io", 1),
            kv_worker=runtime.workers.pool("kv", 1),
        )
        await scenario(replica)
        await replica.close()

    asyncio.run(run())


def refusal(replica: Replica, records: memoryview) -> ErrorCode:
    with pytest.raises(FlussError) as caught:
        replica.append(records)
    return caught.value.code


def test_writers_of_every_schema_so_far(tmp_path: Path) -> None:
    async def scenario(replica: Replica) -> None:
        replica.append(batch(1, 1))
        assert refusal(replica, batch(2, 2)) is ErrorCode.SCHEMA_NOT_EXIST
        await replica.update_table(table(2))
        assert replica.table.schema_id == 2
        replica.append(batch(2, 2))
        replica.append(batch(1, 1))
        assert replica.log.end_offset == 6
        for unknown in (-1, 0, 3):
            assert refusal(replica, batch(unknown, 2)) is ErrorCode.SCHEMA_NOT_EXIST

    with_replica(tmp_path, scenario)


def test_a_batch_must_have_the_columns_of_the_schema_it_names(tmp_path: Path) -> None:
    async def scenario(replica: Replica) -> None:
        await replica.update_table(table(2))
        assert refusal(replica, batch(1, 2)) is ErrorCode.INVALID_TABLE_EXCEPTION
        assert refusal(replica, batch(2, 1)) is ErrorCode.INVALID_TABLE_EXCEPTION
        assert replica.log.end_offset == 0

    with_replica(tmp_path, scenario)


def test_a_new_definition_without_a_new_schema(tmp_path: Path) -> None:
    async def scenario(replica: Replica) -> None:
        other = replace(table(1), descriptor=table(1).descriptor.with_properties({"table.log.ttl": "1 d"}))
        await replica.update_table(other)
        assert replica.table is other
        replica.append(batch(1, 1))

    with_replica(tmp_path, scenario)
