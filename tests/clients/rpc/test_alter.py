"""ALTER_TABLE and ALTER_DATABASE through the clients that have them, and what every client sees of a changed table."""

from __future__ import annotations

import pytest

from clients.rpc.client import JAVA, JAVA_1_0, Client, ClientError, code_of, columns
from fluss_server.api.keys import ApiKey
from fluss_server.errors import ErrorCode

COLUMNS = columns("id INT NOT NULL, v STRING")
NEW_COLUMN = {"name": "n", "type": "BIGINT"}


class TestAlterTable:
    API = ApiKey.ALTER_TABLE
    CLIENTS = JAVA

    def test_options_and_own_properties(self, client: Client, name: str) -> None:
        client.create_table(name, COLUMNS, custom_properties={"a": "1", "b": "2"})
        client.alter_table(name, set_options={"table.log.ttl": "1 d", "c": "3"}, reset=["a"])
        info = client.table_info(name)
        assert info["properties"]["table.log.ttl"] == "1 d"
        assert info["custom_properties"] == {"b": "2", "c": "3"}
        assert info["modified_time"] > info["created_time"]
        client.alter_table(name, reset=["table.log.ttl"])
        assert "table.log.ttl" not in client.table_info(name)["properties"]

    def test_an_option_that_must_stay(self, client: Client, name: str) -> None:
        client.create_table(name, COLUMNS)
        with pytest.raises(ClientError) as error:
            client.alter_table(name, set_options={"table.log.format": "INDEXED"})
        assert code_of(error) is ErrorCode.INVALID_ALTER_TABLE_EXCEPTION

    def test_a_column_at_the_end(self, client: Client, name: str) -> None:
        client.create_table(name, COLUMNS)
        client.append(name, [[1, "old"]])
        client.alter_table(name, add_columns=[NEW_COLUMN])
        client.append(name, [[2, "new", 7]])
        info = client.table_info(name)
        assert (info["schema_id"], info["columns"][2]) == (2, ["n", "BIGINT", 2])
        assert client.table_schema(name, schema_id=1)["columns"] == [["id", "INT NOT NULL", 0], ["v", "STRING", 1]]
        assert [record["row"] for record in client.scan(name, 2)] == [[1, "old", None], [2, "new", 7]]
        assert [record["row"] for record in client.scan(name, 2, columns=["n", "id"])] == [[None, 1], [7, 2]]
        assert client.limit_scan(name, 10) == [[1, "old", None], [2, "new", 7]]

    def test_rows_of_before_in_a_primary_key_table(self, client: Client, name: str) -> None:
        client.create_table(name, COLUMNS, primary_key=["id"])
        client.upsert(name, [[1, "old"], [2, "old"]])
        client.alter_table(name, add_columns=[NEW_COLUMN])
        assert client.lookup(name, [[1]]) == [[[1, "old", None]]]
        client.upsert(name, [[1, None, 7]], columns=["id", "n"])
        assert client.lookup(name, [[1], [2]]) == [[[1, "old", 7]], [[2, "old", None]]]
        assert [(record["change"], record["row"]) for record in client.scan(name, 4)] == [
            ("+I", [1, "old", None]),
            ("+I", [2, "old", None]),
            ("-U", [1, "old", None]),
            ("+U", [1, "old", 7]),
        ]

    def test_writers_and_readers_of_before_go_on(self, client: Client, name: str) -> None:
        client.create_table(name, COLUMNS, primary_key=["id"])
        client.hold_table(name, "old")
        client.alter_table(name, add_columns=[NEW_COLUMN])
        client.upsert(name, [[1, "new", 7]])
        client.upsert(name, [[2, "old"]], handle="old")
        assert client.lookup(name, [[1], [2]]) == [[[1, "new", 7]], [[2, "old", None]]]
        assert [record["row"] for record in client.scan(name, 2, handle="old")] == [[1, "new"], [2, "old"]]
        assert client.lookup(name, [[1]], handle="old") == [[[1, "new"]]]

    def test_columns_that_cannot_be_added(self, client: Client, name: str) -> None:
        client.create_table(name, COLUMNS)
        with pytest.raises(ClientError) as exists:
            client.alter_table(name, add_columns=[{"name": "v", "type": "INT"}])
        with pytest.raises(ClientError) as required:
            client.alter_table(name, add_columns=[{"name": "x", "type": "INT NOT NULL"}])
        with pytest.raises(ClientError, match="Unsupported ColumnPositionType"):
            client.alter_table(name, add_columns=[{"name": "x", "type": "INT", "position": "first"}])
        assert code_of(exists) is code_of(required) is ErrorCode.INVALID_ALTER_TABLE_EXCEPTION
        assert client.table_info(name)["schema_id"] == 1

    def test_columns_stay_as_they_are(self, client: Client, name: str) -> None:
        client.create_table(name, COLUMNS)
        with pytest.raises(ClientError) as dropped:
            client.alter_table(name, drop_columns=["v"])
        with pytest.raises(ClientError) as renamed:
            client.alter_table(name, rename_columns={"v": "w"})
        assert code_of(dropped) is code_of(renamed) is ErrorCode.INVALID_ALTER_TABLE_EXCEPTION
        assert [column[0] for column in client.table_info(name)["columns"]] == ["id", "v"]

    def test_options_and_columns_at_once(self, client: Client, name: str) -> None:
        client.create_table(name, COLUMNS)
        with pytest.raises(ClientError) as error:
            client.alter_table(name, set_options={"table.log.ttl": "1 d"}, add_columns=[NEW_COLUMN])
        assert code_of(error) is ErrorCode.INVALID_ALTER_TABLE_EXCEPTION

    def test_a_missing_table(self, client: Client, name: str) -> None:
        client.alter_table(name, set_options={"a": "1"}, ignore_if_not_exists=True)
        with pytest.raises(ClientError) as error:
            client.alter_table(name, set_options={"a": "1"})
        assert code_of(error) is ErrorCode.TABLE_NOT_EXIST


class TestAlterDatabase:
    API = ApiKey.ALTER_DATABASE
    CLIENTS = (JAVA_1_0,)

    def test_comment_and_properties(self, client: Client, name: str) -> None:
        client.create_database(name, comment="before", properties={"a": "1", "b": "2"})
        client.alter_database(name, set_properties={"b": "3", "c": "4"}, reset=["a"], comment="after")
        info = client.database_info(name)
        assert (info["comment"], info["properties"]) == ("after", {"b": "3", "c": "4"})

    def test_a_missing_one(self, client: Client, name: str) -> None:
        client.alter_database(name, comment="x", ignore_if_not_exists=True)
        with pytest.raises(ClientError) as error:
            client.alter_database(name, comment="x")
        assert code_of(error) is ErrorCode.DATABASE_NOT_EXIST
