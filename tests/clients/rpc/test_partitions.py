"""RPCs about partitions through every official client."""

from __future__ import annotations

import pytest

from clients.rpc.client import ALL, Client, ClientError, code_of, columns
from fluss_server.api.keys import ApiKey
from fluss_server.errors import ErrorCode

PLAIN = columns("a INT NOT NULL, day STRING NOT NULL")


class TestCreatePartition:
    API = ApiKey.CREATE_PARTITION
    CLIENTS = ALL

    def test_of_a_table_without_partitions(self, client: Client, name: str) -> None:
        client.create_table(name, PLAIN)
        with pytest.raises(ClientError) as error:
            client.create_partition(name, {"day": "1"})
        assert code_of(error) is ErrorCode.TABLE_NOT_PARTITIONED_EXCEPTION


class TestDropPartition:
    API = ApiKey.DROP_PARTITION
    CLIENTS = ALL

    def test_of_a_table_without_partitions(self, client: Client, name: str) -> None:
        client.create_table(name, PLAIN)
        with pytest.raises(ClientError) as error:
            client.drop_partition(name, {"day": "1"})
        assert code_of(error) is ErrorCode.TABLE_NOT_PARTITIONED_EXCEPTION


class TestListPartitionInfos:
    API = ApiKey.LIST_PARTITION_INFOS
    CLIENTS = ALL

    def test_of_a_table_without_partitions(self, client: Client, name: str) -> None:
        client.create_table(name, PLAIN)
        with pytest.raises(ClientError) as error:
            client.list_partitions(name)
        assert code_of(error) is ErrorCode.TABLE_NOT_PARTITIONED_EXCEPTION
