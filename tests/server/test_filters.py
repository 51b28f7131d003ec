"""FETCH_LOG with a filter, alone and together with everything else that a fetch may ask for."""

from __future__ import annotations

import asyncio
import struct
import time
from typing import Any

import pytest

from fluss_server.api import messages as pb
from fluss_server.errors import FlussError
from fluss_server.formats.crc import crc32c
from fluss_server.formats.log_batch import iter_batches
from fluss_server.formats.predicate import LeafFunction as F
from fluss_server.formats.statistics import ColumnStatistics, StatisticsCodec
from fluss_server.model.schema import Schema
from fluss_server.rpc.client import RpcClient
from fluss_server.testing import LocalCluster
from kv_support import DOUBLE, INT, STRING, make_schema
from table_rpc import arrow_log_batch, create_table, fetch, produce, with_client

SCHEMA = Schema(make_schema({"n": INT, "s": STRING, "x": DOUBLE}, []).columns, (), highest_field_id=2)
STATISTICS = {"table.statistics.columns": "n,s"}


def batch(values: list[int | None], *, statistics: bool = True, magic: int = 1) -> bytes:
    """Rows ``(n, "s<n>", n / 2)``, with statistics of n and s."""
    plain = arrow_log_batch(
        SCHEMA,
        [values, [None if n is None else f"s{n}" for n in values], [None if n is None else n / 2 for n in values]],
    )
    if not statistics:
        return plain
    present = [n for n in values if n is not None]
    texts = [f"s{n}" for n in present]
    nulls = len(values) - len(present)
    encoded = StatisticsCodec(SCHEMA.types).encode(
        {
            0: ColumnStatistics(nulls, min(present, default=None), max(present, default=None)),
            1: ColumnStatistics(nulls, min(texts, default=None), max(texts, default=None)),
        }
    )
    data = bytearray(plain[:48] + struct.pack("<i", len(encoded)) + encoded + plain[48:])
    data[8:13] = struct.pack("<ib", len(data) - 12, magic)
    data[21:25] = struct.pack("<I", crc32c(data[25:]))
    return bytes(data)


def leaf(function: F, value: Any = None, field_id: int = 0, literal_type: int = 3) -> pb.PbPredicate:
    predicate = pb.PbPredicate(type=0)
    predicate.leaf.function, predicate.leaf.field_id = int(function), field_id
    if value is not None:
        literal = predicate.leaf.literals.add(literal_type=literal_type, is_null=False)
        if isinstance(value, str):
            literal.string_value = value
        else:
            literal.int_value = value
    return predicate


def bases(response: Any) -> list[int]:
    return [header.base_offset for _, header in iter_batches(response.records)]


def end(response: Any) -> int | None:
    return int(response.filtered_end_offset) if response.HasField("filtered_end_offset") else None


async def filled(client: RpcClient, name: str) -> int:
    """Batches of ten rows: 0-9, 10-19, 20-29 without statistics, 30-39, nulls only, 40-49 at offset 50."""
    table_id = await create_table(client, name, SCHEMA, properties=STATISTICS)
    for records in (
        batch(list(range(10))),
        batch(list(range(10, 20))),
        batch(list(range(20, 30)), statistics=False),
        batch(list(range(30, 40))),
        batch([None] * 10),
        batch(list(range(40, 50))),
    ):
        response = await produce(client, table_id, records)
        assert not response.HasField("error_code"), response
    return table_id


@pytest.mark.parametrize(
    ("predicate", "expected", "filtered_end"),
    [
        (leaf(F.EQUAL, 15), [10, 20], 60),
        (leaf(F.GREATER_OR_EQUAL, 35), [20, 30, 50], None),
        (leaf(F.LESS_THAN, 0), [20], 60),
        (leaf(F.IS_NULL), [20, 40], 60),
        (leaf(F.IS_NOT_NULL), [0, 10, 20, 30, 50], None),
        (leaf(F.STARTS_WITH, "s3", 1, 8), [0, 20, 30], 60),
        (leaf(F.EQUAL, 15, literal_type=4), [0, 10, 20, 30, 40, 50], None),  # not the type of the column
        (leaf(F.EQUAL, 15, field_id=9), [0, 10, 20, 30, 40, 50], None),  # no such column
        (leaf(F.IS_NULL, field_id=2), [0, 10, 20, 30, 40, 50], None),  # a column without statistics
        (pb.PbPredicate(type=7), [0, 10, 20, 30, 40, 50], None),
    ],
)
def test_batches_that_cannot_match_are_left_out(
    fluss_cluster: LocalCluster, predicate: pb.PbPredicate, expected: list[int], filtered_end: int | None
) -> None:
    async def body(client: RpcClient) -> None:
        table_id = await table_of(client, fluss_cluster)
        response = await fetch(client, table_id, predicate=predicate)
        assert (bases(response), end(response)) == (expected, filtered_end)
        assert (response.high_watermark, response.log_start_offset) == (60, 0)
        for fields in ([0], [1, 2]):
            projected = await fetch(client, table_id, predicate=predicate, fields=fields)
            assert (bases(projected), end(projected)) == (expected, filtered_end)
            assert len(projected.records) < len(response.records)

    with_client(fluss_cluster.port, body)


_TABLES: dict[int, int] = {}


async def table_of(client: RpcClient, cluster: LocalCluster) -> int:
    """One filled table for all tests that only read."""
    if cluster.pid not in _TABLES:
        _TABLES[cluster.pid] = await filled(client, "shared")
    return _TABLES[cluster.pid]


def compound(function: int, *children: pb.PbPredicate) -> pb.PbPredicate:
    predicate = pb.PbPredicate(type=1)
    predicate.compound.function = function
    predicate.compound.children.extend(children)
    return predicate


def test_compounds(fluss_cluster: LocalCluster) -> None:
    async def body(client: RpcClient) -> None:
        table_id = await table_of(client, fluss_cluster)
        both = compound(0, leaf(F.GREATER_THAN, 8), leaf(F.LESS_THAN, 10))
        either = compound(1, leaf(F.EQUAL, 8), leaf(F.EQUAL, 33))
        assert bases(await fetch(client, table_id, predicate=both)) == [0, 20]
        assert bases(await fetch(client, table_id, predicate=either)) == [0, 20, 30]
        assert bases(await fetch(client, table_id, predicate=compound(0, both, either))) == [0, 20]
        huge = compound(1, *[leaf(F.EQUAL, 1000)] * 2000)
        assert bases(await fetch(client, table_id, predicate=huge)) == [0, 10, 20, 30, 40, 50]  # not worth it

    with_client(fluss_cluster.port, body)


def test_limits_hold_with_a_filter(fluss_cluster: LocalCluster) -> None:
    async def body(client: RpcClient) -> None:
        table_id = await table_of(client, fluss_cluster)
        wanted = leaf(F.GREATER_OR_EQUAL, 35)
        one = await fetch(client, table_id, predicate=wanted, bucket_bytes=1)
        assert (bases(one), end(one)) == ([20], None)
        one = await fetch(client, table_id, 30, predicate=wanted, max_bytes=1, fields=[0])
        assert (bases(one), end(one)) == ([30], 50)  # the nulls behind it are known to go
        none = await fetch(client, table_id, 60, predicate=wanted)
        assert (none.records, end(none)) == (b"", None)
        inside = await fetch(client, table_id, 55, predicate=wanted)
        assert (bases(inside), end(inside)) == ([50], None)

    with_client(fluss_cluster.port, body)


def test_a_reader_gets_ahead_and_then_waits(fluss_cluster: LocalCluster) -> None:
    async def body(client: RpcClient) -> None:
        table_id = await create_table(client, "waiting", SCHEMA, properties=STATISTICS)
        for first in range(0, 6000, 10):
            await produce(client, table_id, batch(list(range(first, first + 10))))
        wanted = leaf(F.EQUAL, 10_000)
        begun, offset, responses = time.monotonic(), 0, 0
        while offset < 6000:
            response = await fetch(client, table_id, offset, predicate=wanted, min_bytes=1, wait_ms=20_000)
            assert response.records == b""
            offset, responses = response.filtered_end_offset, responses + 1
        assert time.monotonic() - begun < 10
        assert responses == 2  # a fetch looks at 500 batches
        waiting = asyncio.create_task(fetch(client, table_id, 6000, predicate=wanted, min_bytes=1, wait_ms=20_000))
        await asyncio.sleep(0.05)
        assert not waiting.done()
        async with await RpcClient.connect("127.0.0.1", fluss_cluster.port) as other:
            await produce(other, table_id, batch([10_000]))
        assert bases(await waiting) == [6000]

    with_client(fluss_cluster.port, body)


def test_a_filter_without_its_schema_is_refused(fluss_cluster: LocalCluster) -> None:
    async def body(client: RpcClient) -> None:
        table_id = await table_of(client, fluss_cluster)
        request = leaf(F.EQUAL, 1)
        with pytest.raises(FlussError, match="names no schema"):
            await fetch(client, table_id, predicate=request, schema_id=None)
        assert len(bases(await fetch(client, table_id, predicate=request, schema_id=99))) == 6

    with_client(fluss_cluster.port, body)


def test_magic_1_of_fluss_0_9_is_refused(fluss_cluster: LocalCluster) -> None:
    """It has a leader epoch where 1.0 has the CRC."""

    async def body(client: RpcClient) -> None:
        table_id = await create_table(client, "old", SCHEMA, properties=STATISTICS)
        plain = arrow_log_batch(SCHEMA, [[1], ["a"], [0.5]])
        old = bytearray(plain[:12] + b"\x01" + plain[13:21] + b"\xff" * 4 + plain[21:])
        old[8:12] = struct.pack("<i", len(old) - 12)
        response = await produce(client, table_id, bytes(old))
        assert response.HasField("error_code")
        assert (await fetch(client, table_id)).high_watermark == 0

    with_client(fluss_cluster.port, body)
