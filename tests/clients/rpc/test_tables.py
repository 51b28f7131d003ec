"""RPCs about tables through every official client."""

from __future__ import annotations

import time

import pytest

from clients.rpc.client import ALL, JAVA, Client, ClientError, Column, code_of, columns
from fluss_server.api.keys import ApiKey
from fluss_server.errors import ErrorCode
from official.recording_cluster import RecordingCluster

PLAIN = columns("a INT NOT NULL, b STRING")


class TestCreateTable:
    API = ApiKey.CREATE_TABLE
    CLIENTS = ALL

    def test_everything_that_a_table_may_have(
        self, client: Client, name: str, recording_cluster: RecordingCluster
    ) -> None:
        client.create_table(
            name,
            columns("id BIGINT NOT NULL, day STRING NOT NULL, v DOUBLE"),
            primary_key=["id", "day"],
            bucket_key=["id"],
            buckets=3,
            properties={"table.log.ttl": "3 d"},
            custom_properties={"owner": "ada"},
            comment="a table",
        )
        info = client.table_info(name)
        assert info["columns"] == [
            ["id", "BIGINT NOT NULL", 0],
            ["day", "STRING NOT NULL", 1],
            ["v", "DOUBLE", 2],
        ]
        assert (info["primary_key"], info["bucket_key"], info["buckets"]) == (["id", "day"], ["id"], 3)
        assert (info["custom_properties"], info["comment"]) == ({"owner": "ada"}, "a table")
        assert info["properties"] == {
            "table.kv.format-version": "2",
            "table.kv.standby-replica.enabled": "true",
            "table.log.ttl": "3 d",
            "table.replication.factor": str(recording_cluster.replication_factor),
        }

    def test_what_is_left_out_gets_the_defaults(
        self, client: Client, name: str, recording_cluster: RecordingCluster
    ) -> None:
        client.create_table(name, PLAIN, buckets=None)
        info = client.table_info(name)
        assert (info["buckets"], info["bucket_key"], info["primary_key"]) == (1, [], [])
        assert info["properties"] == {"table.replication.factor": str(recording_cluster.replication_factor)}
        assert info["comment"] is None

    def test_twice_is_refused_unless_ignored(self, client: Client, name: str) -> None:
        client.create_table(name, PLAIN)
        client.create_table(name, columns("z INT"), ignore_if_exists=True)
        with pytest.raises(ClientError) as error:
            client.create_table(name, PLAIN)
        assert code_of(error) is ErrorCode.TABLE_ALREADY_EXIST
        assert [column[0] for column in client.table_info(name)["columns"]] == ["a", "b"]

    def test_a_missing_database(self, client: Client, name: str) -> None:
        with pytest.raises(ClientError) as error:
            client.create_table(name, PLAIN, database="no_such_database")
        assert code_of(error) is ErrorCode.DATABASE_NOT_EXIST

    def test_an_unknown_option(self, client: Client, name: str) -> None:
        with pytest.raises(ClientError) as error:
            client.create_table(name, PLAIN, properties={"table.log.tll": "1 d"})
        assert code_of(error) is ErrorCode.INVALID_CONFIG_EXCEPTION
        assert "table.log.ttl" in error.value.message, "the nearest option is named"

    def test_too_many_buckets(self, client: Client, name: str) -> None:
        with pytest.raises(ClientError) as error:
            client.create_table(name, PLAIN, buckets=4097)
        assert code_of(error) is ErrorCode.BUCKET_MAX_NUM_EXCEPTION

    def test_too_many_replicas(self, client: Client, name: str, recording_cluster: RecordingCluster) -> None:
        too_many = str(recording_cluster.tablet_servers + 1)
        with pytest.raises(ClientError) as error:
            client.create_table(name, PLAIN, properties={"table.replication.factor": too_many})
        assert code_of(error) is ErrorCode.INVALID_REPLICATION_FACTOR

    def test_a_reserved_column(self, client: Client, name: str) -> None:
        with pytest.raises(ClientError) as error:
            client.create_table(name, columns("__offset INT"))
        assert code_of(error) is ErrorCode.INVALID_TABLE_EXCEPTION


class TestCreateTableOfJava:
    API = ApiKey.CREATE_TABLE
    CLIENTS = JAVA

    def test_comments_of_columns_and_types_that_arrow_lacks(self, client: Client, name: str) -> None:
        client.create_table(name, [Column("a", "CHAR(3)", comment="three"), Column("b", "TIMESTAMP(2)")])
        assert client.table_info(name)["columns"] == [["a", "CHAR(3)", 0], ["b", "TIMESTAMP(2)", 1]]


class TestDropTable:
    API = ApiKey.DROP_TABLE
    CLIENTS = ALL

    def test_dropped_and_made_again_it_is_another_table(self, client: Client, name: str) -> None:
        client.create_table(name, PLAIN)
        client.append(name, [[1, "x"]])
        first = client.table_info(name)["table_id"]
        client.drop_table(name)
        assert client.table_exists(name) is False
        client.create_table(name, PLAIN)
        assert client.table_info(name)["table_id"] > first
        assert client.list_offsets(name, "latest") == {0: 0}

    def test_a_missing_one_is_refused_unless_ignored(self, client: Client, name: str) -> None:
        client.drop_table(name, ignore_if_not_exists=True)
        with pytest.raises(ClientError) as error:
            client.drop_table(name)
        assert code_of(error) is ErrorCode.TABLE_NOT_EXIST


class TestGetTableInfo:
    API = ApiKey.GET_TABLE_INFO
    CLIENTS = ALL

    def test_ids_and_times(self, client: Client, name: str) -> None:
        before = int(time.time() * 1000)
        client.create_table(name, PLAIN)
        info = client.table_info(name)
        assert info["table_id"] >= 0
        assert info["schema_id"] == 1
        assert before <= info["created_time"] == info["modified_time"] <= int(time.time() * 1000)

    def test_a_missing_table(self, client: Client, name: str) -> None:
        with pytest.raises(ClientError) as error:
            client.table_info(name)
        assert code_of(error) is ErrorCode.TABLE_NOT_EXIST

    def test_a_missing_database(self, client: Client, name: str) -> None:
        with pytest.raises(ClientError) as error:
            client.table_info(name, database="no_such_database")
        assert code_of(error) is ErrorCode.TABLE_NOT_EXIST


class TestListTables:
    API = ApiKey.LIST_TABLES
    CLIENTS = ALL

    def test_names(self, client: Client, name: str) -> None:
        client.create_database(name)
        assert client.list_tables(name) == []
        client.create_table("b", PLAIN, database=name)
        client.create_table("a", PLAIN, database=name)
        assert sorted(client.list_tables(name)) == ["a", "b"]

    def test_a_missing_database(self, client: Client, name: str) -> None:
        with pytest.raises(ClientError) as error:
            client.list_tables(name)
        assert code_of(error) is ErrorCode.DATABASE_NOT_EXIST


class TestTableExists:
    API = ApiKey.TABLE_EXISTS
    CLIENTS = ALL

    def test_it_does_or_not(self, client: Client, name: str) -> None:
        assert client.table_exists(name) is False
        assert client.table_exists(name, database="no_such_database") is False
        client.create_table(name, PLAIN)
        assert client.table_exists(name) is True


class TestGetTableSchema:
    API = ApiKey.GET_TABLE_SCHEMA
    CLIENTS = JAVA

    def test_newest_and_by_id(self, client: Client, name: str) -> None:
        client.create_table(name, PLAIN)
        expected = {"schema_id": 1, "columns": [["a", "INT NOT NULL", 0], ["b", "STRING", 1]]}
        assert client.table_schema(name) == expected
        assert client.table_schema(name, schema_id=1) == expected

    def test_an_unknown_id(self, client: Client, name: str) -> None:
        client.create_table(name, PLAIN)
        with pytest.raises(ClientError) as error:
            client.table_schema(name, schema_id=2)
        assert code_of(error) is ErrorCode.SCHEMA_NOT_EXIST

    def test_a_missing_table(self, client: Client, name: str) -> None:
        with pytest.raises(ClientError) as error:
            client.table_schema(name)
        assert code_of(error) is ErrorCode.SCHEMA_NOT_EXIST  # as the official servers
