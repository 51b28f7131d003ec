"""What the tests that use the real ``pyfluss`` share: tables of every type, their rows, and reading a whole table."""

from __future__ import annotations

import datetime as dt
import decimal
import math
import time
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Any

import fluss
import pyarrow as pa

UTC = dt.timezone.utc

# name, Arrow type, values: extremes, unicode, empty, ordinary. Every column also gets nulls.
SCALARS: list[tuple[str, pa.DataType, list[Any]]] = [
    ("c_boolean", pa.bool_(), [True, False, True, False]),
    ("c_tinyint", pa.int8(), [-128, 127, 0, -1]),
    ("c_smallint", pa.int16(), [-(2**15), 2**15 - 1, 0, 7]),
    ("c_int", pa.int32(), [-(2**31), 2**31 - 1, 0, 128]),
    ("c_bigint", pa.int64(), [-(2**63), 2**63 - 1, 0, -1]),
    ("c_float", pa.float32(), [math.inf, -math.inf, 0.0, 1.5]),
    ("c_double", pa.float64(), [1.7976931348623157e308, 5e-324, -0.0, 2.25]),
    ("c_string", pa.string(), ["", "Grüße, 世界 🚀", "x" * 5000, "a\x00b"]),
    ("c_bytes", pa.binary(), [b"", b"\x00\xff", bytes(range(256)), b"z"]),
    ("c_binary", pa.binary(4), [b"\x00\x00\x00\x00", b"\xff\xff\xff\xff", b"abcd", b"\x01\x02\x03\x00"]),
    (
        "c_decimal",
        pa.decimal128(10, 2),
        [
            decimal.Decimal("99999999.99"),
            decimal.Decimal("-99999999.99"),
            decimal.Decimal("0.00"),
            decimal.Decimal("1.20"),
        ],
    ),
    (
        "c_wide_decimal",
        pa.decimal128(38, 10),
        [
            decimal.Decimal("9" * 28 + "." + "9" * 10),
            decimal.Decimal("-" + "9" * 28 + "." + "9" * 10),
            decimal.Decimal("0E-10"),
            decimal.Decimal("1.0000000001"),
        ],
    ),
    ("c_date", pa.date32(), [dt.date(1, 1, 1), dt.date(9999, 12, 31), dt.date(1970, 1, 1), dt.date(1969, 12, 31)]),
    ("c_time_s", pa.time32("s"), [dt.time(0, 0, 0), dt.time(23, 59, 59), dt.time(12, 0, 1), dt.time(1, 2, 3)]),
    (
        "c_time_ms",
        pa.time32("ms"),
        [dt.time(0, 0, 0, 1000), dt.time(23, 59, 59, 999000), dt.time(12), dt.time(1, 2, 3, 4000)],
    ),
    (
        "c_ts_s",
        pa.timestamp("s"),
        [
            dt.datetime(1970, 1, 1),
            dt.datetime(2300, 1, 1, 12),
            dt.datetime(1900, 5, 17),
            dt.datetime(2026, 11, 24, 1, 2, 3),
        ],
    ),
    (
        "c_ts_us",
        pa.timestamp("us"),
        [
            dt.datetime(1970, 1, 1, 0, 0, 0, 1),
            dt.datetime(2300, 1, 1, 12, 0, 0, 999999),
            dt.datetime(1900, 5, 17),
            dt.datetime(2026, 11, 24, 1, 2, 3, 456789),
        ],
    ),
    (
        "c_ltz_ms",
        pa.timestamp("ms", tz="UTC"),
        [
            dt.datetime(1970, 1, 1, tzinfo=UTC),
            dt.datetime(2300, 1, 1, 12, 0, 0, 999000, tzinfo=UTC),
            dt.datetime(1900, 5, 17, tzinfo=UTC),
            dt.datetime(2026, 11, 24, 1, 2, 3, 456000, tzinfo=UTC),
        ],
    ),
]


def every_type_batch() -> pa.RecordBatch:
    """Rows 0-3 with the values of ``SCALARS``, row 4 all null, and an ``id`` column 0-4."""
    fields = [pa.field("id", pa.int32(), nullable=False)]
    arrays = [pa.array(range(5), pa.int32())]
    for name, data_type, values in SCALARS:
        fields.append(pa.field(name, data_type))
        arrays.append(pa.array([*values, None], data_type))
    return pa.RecordBatch.from_arrays(arrays, schema=pa.schema(fields))


@asynccontextmanager
async def connection(bootstrap_servers: str, **options: str) -> AsyncIterator[fluss.FlussConnection]:
    """A pyfluss connection with enough writer memory that its known deadlock cannot occur."""
    properties = {"bootstrap.servers": bootstrap_servers, "writer.buffer.memory-size": str(1 << 30), **options}
    connected = await fluss.FlussConnection.create(fluss.Config(properties))
    try:
        yield connected
    finally:
        await connected.close()


async def new_table(
    connected: fluss.FlussConnection,
    name: str,
    schema: pa.Schema,
    *,
    primary_keys: list[str] | None = None,
    database: str = "fluss",
    **options: Any,
) -> fluss.FlussTable:
    """Create a table and open it."""
    path = fluss.TablePath(database, name)
    admin = connected.get_admin()
    descriptor = fluss.TableDescriptor(fluss.Schema(schema, primary_keys=primary_keys), **options)
    await admin.create_table(path, descriptor, False)
    return await connected.get_table(path)


async def end_offsets(connected: fluss.FlussConnection, table: fluss.FlussTable) -> dict[int, int]:
    """Latest offset of every bucket."""
    buckets = list(range(table.get_table_info().num_buckets))
    offsets: dict[int, int] = await connected.get_admin().list_offsets(
        table.get_table_path(), buckets, fluss.OffsetSpec.latest()
    )
    return offsets


async def read_changes(
    connected: fluss.FlussConnection,
    table: fluss.FlussTable,
    *,
    start: dict[int, int] | None = None,
    fixed_schema: bool = False,
    deadline_s: float = 60.0,
) -> list[tuple[int, int, str, dict[str, Any]]]:
    """All records up to the latest offsets as ``(bucket, offset, change type, row)``, in order per bucket.

    ``fixed_schema`` is for logs with batches of several schemas, which pyfluss cannot read without it.

    Batches without rows use up an offset and are never seen: the end is reached when the reader has passed it or
    nothing more arrives once every bucket was polled beyond its last visible row.
    """
    ends = await end_offsets(connected, table)
    scanner = await table.new_scan().with_fixed_schema(fixed_schema).create_log_scanner()
    starts = {bucket: (start or {}).get(bucket, fluss.EARLIEST_OFFSET) for bucket in ends}
    scanner.subscribe_buckets(starts)
    found: list[tuple[int, int, str, dict[str, Any]]] = []
    reached = dict.fromkeys(ends, 0)
    deadline = time.monotonic() + deadline_s
    quiet = 0
    while any(reached[bucket] < end for bucket, end in ends.items()) and quiet < 6:
        assert time.monotonic() < deadline, f"reached {reached} of {ends}"
        records = await scanner.poll(500)
        quiet = 0 if records.count() else quiet + 1
        for bucket, entries in records.items():
            for record in entries:
                found.append((bucket.bucket_id, record.offset, record.change_type.short_string(), record.row))
                reached[bucket.bucket_id] = max(reached[bucket.bucket_id], record.offset + 1)
    return found


def replay(changes: Iterable[tuple[int, int, str, dict[str, Any]]], key: str) -> dict[Any, dict[str, Any]]:
    """The table that a changelog describes, by key; checks that every before image is the row it replaces."""
    state: dict[Any, dict[str, Any]] = {}
    for _, offset, kind, row in changes:
        if kind == "+I":
            assert row[key] not in state, f"offset {offset}: +I of a key that exists"
            state[row[key]] = row
        elif kind in ("-U", "-D"):
            assert state[row[key]] == row, f"offset {offset}: {kind} does not hold the row before"
            if kind == "-D":
                del state[row[key]]
        else:
            assert kind == "+U", kind
            assert row[key] in state, f"offset {offset}: +U of a key that does not exist"
            state[row[key]] = row
    return state
