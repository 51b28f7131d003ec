"""Details in which clients of Apache Fluss expect what its servers do."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from fluss_server.api import messages as pb
from fluss_server.api.keys import ApiKey
from fluss_server.errors import ErrorCode, FlussError
from fluss_server.rpc.client import RpcClient
from fluss_server.testing import LocalCluster
from table_rpc import COLUMNS, create_from, descriptor, log_batch, produce, table_path, with_client


def test_a_table_without_columns(fluss_cluster: Any) -> None:
    async def body(client: RpcClient) -> None:
        schema = {"version": 1, "columns": [], "highest_field_id": -1}
        table_id = await create_from(client, "no_columns", descriptor(schema=schema))
        path = table_path("no_columns")
        stored = await client.call(ApiKey.GET_TABLE_SCHEMA, pb.GetTableSchemaRequest(table_path=path))
        assert json.loads(stored.schema_json)["columns"] == []
        assert (await produce(client, table_id, log_batch(0, 1))).error_code == ErrorCode.INVALID_TABLE_EXCEPTION
        added = pb.PbAddColumn(column_name="a", data_type_json=b'{"type":"INTEGER"}', column_position_type=0)
        alter = pb.AlterTableRequest(table_path=path, ignore_if_not_exists=False, add_columns=[added])
        await client.call(ApiKey.ALTER_TABLE, alter)
        stored = await client.call(ApiKey.GET_TABLE_SCHEMA, pb.GetTableSchemaRequest(table_path=path))
        assert [column["id"] for column in json.loads(stored.schema_json)["columns"]] == [0]

    with_client(fluss_cluster.port, body)


def test_the_sentences_of_partitions(tmp_path: Path) -> None:
    day = {"name": "p", "data_type": {"type": "STRING"}, "id": 2}
    daily = descriptor(schema={"version": 1, "columns": [*COLUMNS, day], "highest_field_id": 2}, partition_key=["p"])

    def spec(value: str) -> pb.PbPartitionSpec:
        return pb.PbPartitionSpec(partition_key_values=[pb.PbKeyValue(key="p", value=value)])

    async def body(client: RpcClient) -> None:
        await create_from(client, "daily", daily)
        path = table_path("daily")
        drop = pb.DropPartitionRequest(table_path=path, partition_spec=spec("x"), ignore_if_not_exists=False)
        with pytest.raises(FlussError, match=r"^Partition 'p=x' does not exist for table fluss\.daily") as refused:
            await client.call(ApiKey.DROP_PARTITION, drop)
        assert refused.value.code is ErrorCode.PARTITION_NOT_EXISTS
        metadata = pb.MetadataRequest()
        metadata.partitions_path.add(database_name="fluss", table_name="daily", partition_name="x")
        with pytest.raises(FlussError, match=r"^Partition 'x' does not exist for table fluss\.daily") as refused:
            await client.call(ApiKey.GET_METADATA, metadata)
        assert refused.value.code is ErrorCode.PARTITION_NOT_EXISTS
        for value in "ab":
            create = pb.CreatePartitionRequest(table_path=path, partition_spec=spec(value), ignore_if_not_exists=False)
            await client.call(ApiKey.CREATE_PARTITION, create)
        create = pb.CreatePartitionRequest(table_path=path, partition_spec=spec("c"), ignore_if_not_exists=False)
        sentence = r"^Exceed the maximum number of partitions for table fluss\.daily, only allow 2 partitions\."
        with pytest.raises(FlussError, match=sentence) as refused:
            await client.call(ApiKey.CREATE_PARTITION, create)
        assert refused.value.code is ErrorCode.PARTITION_MAX_NUM_EXCEPTION

    options = {"max.partition.num": "2", "zookeeper.address": "zk:2181", "datalake.format": "paimon"}
    with LocalCluster(tmp_path, options=options) as cluster:
        with_client(cluster.port, body)
        assert "2 options of Apache Fluss have no effect on this server" in cluster.log
