"""Our connector on an official server 0.9.1-incubating: aggregation tables of every function, logs that were cut."""

from __future__ import annotations

import asyncio
import importlib.util
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from aggregation_model import COLUMNS, ORDERED_SESSION, AggregationModel
from flink.sql import changes, environment, insert, rows
from flink.standalone_flink import StandaloneFlink, use_small_gateway
from fluss_server.api import messages as pb
from fluss_server.api.keys import ApiKey
from fluss_server.rpc.client import RpcClient
from waiting import wait_until

pytestmark = [pytest.mark.flink, pytest.mark.slow]

_BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"
_CUT_EARLY = {
    "log.segment.file-size": "2kb",
    "remote.log.task-interval-duration": "1s",
    "kv.snapshot.interval": "1s",
}
"""A segment is deleted when it is in remote storage, has expired there, and a snapshot of the rows covers it."""


def _official_cluster(directory: Path) -> Any:
    """The cluster of the benchmarks; their module has the name of this package."""
    spec = importlib.util.spec_from_file_location("official_cluster", _BENCHMARKS / "official.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.OfficialCluster(directory, _CUT_EARLY)


@dataclass(frozen=True)
class Sessions:
    """Sessions whose INSERTs keep the order of their rows, and the server that they use."""

    bootstrap_servers: str
    batch: Any
    stream: Any


@pytest.fixture(scope="module")
def sessions(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sessions]:
    use_small_gateway()
    directory = tmp_path_factory.mktemp("official")
    with (
        _official_cluster(directory / "fluss") as official,
        StandaloneFlink(directory / "flink", slots=4) as flink,
    ):
        batch, stream = (
            environment(flink, official.bootstrap_servers, ORDERED_SESSION, batch=batch) for batch in (True, False)
        )
        yield Sessions(official.bootstrap_servers, batch, stream)


@pytest.fixture(scope="module")
def session(sessions: Sessions) -> Any:
    """The batch session."""
    return sessions.batch


def test_every_function_equals_the_model(session: Any) -> None:
    model = AggregationModel("every_function", seed=3)
    session.execute_sql(model.create())
    insert(session, model.insert(12))
    insert(session, model.insert(6, share=0.5))
    insert(session, model.insert(12))
    model.compare(rows(session, model.select()))


def test_functions_are_shown_and_copied(session: Any) -> None:
    shown = AggregationModel("shown")
    session.execute_sql(shown.create())
    [(text,)] = rows(session, "SHOW CREATE TABLE shown")
    for column in COLUMNS:
        if column.function:
            function = column.function.lower().replace("-", "_")
            assert f"'fields.{column.name}.agg' = '{function}'" in text
    session.execute_sql("CREATE TABLE copied LIKE shown")
    copied = AggregationModel("copied", seed=7)
    insert(session, copied.insert(12))
    copied.compare(rows(session, copied.select()))


def test_an_auto_increment_column(session: Any) -> None:
    session.execute_sql(
        "CREATE TABLE numbered (name STRING, number BIGINT, PRIMARY KEY (name) NOT ENFORCED)"
        " WITH ('auto-increment.fields' = 'number')"
    )
    # Flink would make a source of every row after INSERT INTO numbered (name) VALUES, and their order is free.
    insert(session, "INSERT INTO numbered (name) SELECT * FROM (VALUES ('a'), ('b'), ('a')) AS written (name)")
    found = dict(rows(session, "SELECT * FROM numbered LIMIT 10"))
    assert found == {"a": 1, "b": 2}


def _earliest_offset(bootstrap_servers: str, table: str) -> int:
    """Of bucket 0."""

    async def find() -> int:
        path = pb.PbTablePath(database_name="fluss", table_name=table)
        host, port = bootstrap_servers.split(":")
        async with await RpcClient.connect(host, int(port)) as client:
            info = await client.call(ApiKey.GET_TABLE_INFO, pb.GetTableInfoRequest(table_path=path))
            seen = await client.call(ApiKey.GET_METADATA, pb.MetadataRequest(table_path=[path]))
        [server] = seen.tablet_servers
        request = pb.ListOffsetsRequest(follower_server_id=-1, offset_type=0, table_id=info.table_id, bucket_id=[0])
        async with await RpcClient.connect(server.host, server.port) as client:
            [bucket] = (await client.call(ApiKey.LIST_OFFSETS, request)).buckets_resp
        assert not bucket.HasField("error_code"), bucket
        return int(bucket.offset)

    return asyncio.run(find())


def test_rows_that_the_changelog_no_longer_has_are_not_left_out(sessions: Sessions) -> None:
    """The server cannot scan the rows; the changelog stands in for them while it begins at offset 0."""
    for table, ttl in (("kept", "7 d"), ("cut", "1 s")):
        sessions.batch.execute_sql(
            f"CREATE TABLE {table} (id INT, v STRING, PRIMARY KEY (id) NOT ENFORCED) WITH ("
            f" 'bucket.num' = '1', 'table.log.ttl' = '{ttl}', 'table.log.tiered.local-segments' = '1',"
            " 'table.log.arrow.compression.type' = 'NONE')"
        )
    batches = 4
    for batch in range(batches):  # each is a segment of its own
        made = ", ".join(f"({batch * 10 + row}, '{'x' * 300}')" for row in range(8))
        insert(sessions.batch, f"INSERT INTO cut VALUES {made}")
    insert(sessions.batch, "INSERT INTO kept VALUES (1, 'a'), (2, 'b')")
    last = 8 * (batches - 1)
    wait_until(lambda: _earliest_offset(sessions.bootstrap_servers, "cut") == last, "the log is cut", 60)

    assert changes(sessions.stream, "SELECT id FROM kept", 2) == [("+I", (1,)), ("+I", (2,))]
    with pytest.raises(Exception, match=rf"cannot be read in full.* changelog of bucket 0 begins at offset {last}"):
        changes(sessions.stream, "SELECT id FROM cut", 1)
    left = changes(sessions.stream, "SELECT id FROM cut /*+ OPTIONS('scan.startup.mode' = 'earliest') */", 8)
    assert left == [("+I", ((batches - 1) * 10 + row,)) for row in range(8)]
