"""RPCs about databases through every official client."""

from __future__ import annotations

import time

import pytest

from clients.rpc.client import ALL, JAVA, Client, ClientError, code_of, columns
from fluss_server.api.keys import ApiKey
from fluss_server.errors import ErrorCode


class TestCreateDatabase:
    API = ApiKey.CREATE_DATABASE
    CLIENTS = ALL

    def test_comment_and_properties_are_kept(self, client: Client, name: str) -> None:
        before = int(time.time() * 1000)
        client.create_database(name, comment="Grüße", properties={"owner": "ada", "": "x"})
        info = client.database_info(name)
        assert (info["name"], info["comment"], info["properties"]) == (name, "Grüße", {"owner": "ada", "": "x"})
        assert before <= info["created_time"] == info["modified_time"] <= int(time.time() * 1000)

    def test_twice_is_refused_unless_ignored(self, client: Client, name: str) -> None:
        client.create_database(name, comment="first")
        client.create_database(name, comment="second", ignore_if_exists=True)
        with pytest.raises(ClientError) as error:
            client.create_database(name)
        assert code_of(error) is ErrorCode.DATABASE_ALREADY_EXIST
        assert client.database_info(name)["comment"] == "first"


class TestDropDatabase:
    API = ApiKey.DROP_DATABASE
    CLIENTS = ALL

    def test_an_empty_one_goes(self, client: Client, name: str) -> None:
        client.create_database(name)
        client.drop_database(name)
        assert client.database_exists(name) is False

    def test_one_with_tables_needs_cascade(self, client: Client, name: str) -> None:
        client.create_database(name)
        client.create_table("t", columns("a INT"), database=name)
        with pytest.raises(ClientError) as error:
            client.drop_database(name)
        assert code_of(error) is ErrorCode.DATABASE_NOT_EMPTY
        assert client.table_exists("t", database=name) is True
        client.drop_database(name, cascade=True)
        assert client.database_exists(name) is False
        assert client.table_exists("t", database=name) is False

    def test_a_missing_one_is_refused_unless_ignored(self, client: Client, name: str) -> None:
        client.drop_database(name, ignore_if_not_exists=True)
        with pytest.raises(ClientError) as error:
            client.drop_database(name)
        assert code_of(error) is ErrorCode.DATABASE_NOT_EXIST


class TestListDatabases:
    API = ApiKey.LIST_DATABASES
    CLIENTS = ALL

    def test_names(self, client: Client, name: str) -> None:
        client.create_database(name)
        listed = client.list_databases()
        assert {name, "fluss"} <= set(listed)
        assert len(listed) == len(set(listed))


class TestListDatabaseSummaries:
    API = ApiKey.LIST_DATABASES
    CLIENTS = JAVA

    def test_tables_are_counted(self, client: Client, name: str) -> None:
        client.create_database(name)
        client.create_table("a", columns("a INT"), database=name)
        client.create_table("b", columns("a INT"), database=name)
        assert client.list_database_summaries()[name] == 2


class TestDatabaseExists:
    API = ApiKey.DATABASE_EXISTS
    CLIENTS = ALL

    def test_it_does_or_not(self, client: Client, name: str) -> None:
        assert client.database_exists(name) is False
        client.create_database(name)
        assert client.database_exists(name) is True
        assert client.database_exists("fluss") is True


class TestGetDatabaseInfo:
    API = ApiKey.GET_DATABASE_INFO
    CLIENTS = ALL

    def test_the_default_database(self, client: Client, name: str) -> None:
        info = client.database_info("fluss")
        assert (info["name"], info["comment"], info["properties"]) == ("fluss", None, {})

    def test_a_missing_one(self, client: Client, name: str) -> None:
        with pytest.raises(ClientError) as error:
            client.database_info(name)
        assert code_of(error) is ErrorCode.DATABASE_NOT_EXIST
