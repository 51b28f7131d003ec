"""Keys in the encodings of data lakes, as ``pyfluss`` chooses them: upserts, lookups, and the same after a crash."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import fluss
import pyarrow as pa

from clients.pyfluss_support import connection, new_table
from fluss_server.testing import LocalCluster

SCHEMA = pa.schema(
    [
        pa.field("region", pa.string(), nullable=False),
        pa.field("id", pa.int64(), nullable=False),
        pa.field("v", pa.string()),
    ]
)
ROWS = [{"region": region, "id": number, "v": f"{region}{number}"} for region in ("eu", "us") for number in (1, 200)]
ONE_KEY = pa.schema([pa.field("id", pa.int32(), nullable=False), pa.field("v", pa.string())])

# name, schema, primary key, options of new_table
TABLES: list[tuple[str, pa.Schema, list[str], dict[str, Any]]] = [
    (f"{lake}_{version}", SCHEMA, ["region", "id"], {"lake": lake, "version": version})
    for lake in ("paimon", "lance")
    for version in (1, 2)
]
TABLES += [(f"iceberg_{version}", ONE_KEY, ["id"], {"lake": "iceberg", "version": version}) for version in (1, 2)]
TABLES.append(("prefix", SCHEMA, ["region", "id"], {"lake": "paimon", "version": 2, "bucket_keys": ["region"]}))


def rows_of(schema: pa.Schema) -> list[dict[str, Any]]:
    return ROWS if schema is SCHEMA else [{"id": number, "v": str(number)} for number in (1, -1, 200)]


def test_keys_of_lakes() -> None:
    async def write(connected: fluss.FlussConnection) -> None:
        for name, schema, key, options in TABLES:
            properties = {
                "table.datalake.format": options["lake"],
                "table.kv.format-version": str(options["version"]),
            }
            more = {"bucket_keys": options["bucket_keys"]} if "bucket_keys" in options else {}
            table = await new_table(
                connected, name, schema, primary_keys=key, properties=properties, bucket_count=1, **more
            )
            writer = table.new_upsert().create_writer()
            for row in rows_of(schema):
                writer.upsert({**row, "v": "old"})
                writer.upsert(row)
            await writer.flush()

    async def read(connected: fluss.FlussConnection) -> None:
        for name, schema, key, options in TABLES:
            table = await connected.get_table(fluss.TablePath("fluss", name))
            lookuper = table.new_lookup().create_lookuper()
            for row in rows_of(schema):
                assert await lookuper.lookup({column: row[column] for column in key}) == row, name
            first = rows_of(schema)[0]
            assert await lookuper.lookup({**{column: first[column] for column in key}, "id": 77}) is None, name
            if "bucket_keys" in options:
                prefix = table.new_lookup().lookup_by(["region"]).create_lookuper()
                assert await prefix.lookup({"region": "eu"}) == ROWS[:2]

    async def run(servers: str, *steps: Callable[[fluss.FlussConnection], Awaitable[None]]) -> None:
        async with connection(servers) as connected:
            for step in steps:
                await step(connected)

    with LocalCluster() as cluster:
        asyncio.run(run(cluster.bootstrap_servers, write, read))
        cluster.kill()
        cluster.start()  # keys are computed again from the rows of the changelog
        asyncio.run(run(cluster.bootstrap_servers, read))
