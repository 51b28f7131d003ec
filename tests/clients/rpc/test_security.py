"""Logging in, and the rights of those who have, through official clients."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

import pytest

from clients.rpc.client import ALL, JAVA, Client, ClientError, code_of, columns
from fluss_server.api.keys import ApiKey
from fluss_server.errors import ErrorCode


def authentication(user: str, password: str) -> dict[str, str]:
    """Options of a client that logs in."""
    return {
        "security.protocol": "SASL",
        "security.sasl.mechanism": "PLAIN",
        "security.sasl.username": user,
        "security.sasl.password": password,
    }


class TestAuthenticate:
    API = ApiKey.AUTHENTICATE
    CLIENTS = ALL
    SERVER_OPTIONS: ClassVar = {
        "security.protocol.map": "FLUSS:SASL",
        "security.sasl.plain.credentials": "admin:admin-pass,bob:bob-pass",
    }
    CLIENT_OPTIONS: ClassVar = authentication("admin", "admin-pass")

    def test_the_right_password(self, client: Client, name: str) -> None:
        with client.fresh(**authentication("bob", "bob-pass")) as bob:
            bob.create_table(name, columns("a INT NOT NULL"), primary_key=["a"])
            bob.upsert(name, [[1]])
            assert bob.lookup(name, [[1]]) == [[[1]]]
            assert [record["row"] for record in bob.scan(name, 1)] == [[1]]

    def test_a_wrong_password(self, client: Client) -> None:
        with pytest.raises(ClientError) as error, client.fresh(**authentication("bob", "no")) as bob:
            bob.list_databases()
        assert code_of(error) is ErrorCode.AUTHENTICATE_EXCEPTION
        assert "Invalid username or password" in error.value.message

    @pytest.mark.no_call
    def test_none_at_all(self, client: Client) -> None:
        with pytest.raises(ClientError) as error, client.fresh() as nobody:
            nobody.list_databases()
        assert code_of(error) is ErrorCode.AUTHENTICATE_EXCEPTION


class AclTests:
    """A server that checks rights, and a client that may do everything."""

    SERVER_OPTIONS: ClassVar = {
        **TestAuthenticate.SERVER_OPTIONS,
        "authorizer.enabled": "true",
        "super.users": "User:admin",
    }
    CLIENT_OPTIONS: ClassVar = TestAuthenticate.CLIENT_OPTIONS
    CLIENTS = JAVA


def denied(call: Callable[[], object]) -> bool:
    """Check that a call is refused for want of rights."""
    with pytest.raises(ClientError) as error:
        call()
    return code_of(error) is ErrorCode.AUTHORIZATION_EXCEPTION


class TestCreateAcls(AclTests):
    API = ApiKey.CREATE_ACLS

    def test_rights_on_a_table(self, client: Client, name: str) -> None:
        client.create_table(name, columns("a INT"))
        with client.fresh(**authentication("bob", "bob-pass")) as bob:
            assert denied(lambda: bob.table_info(name))
            table = {"principal": "bob", "type": "TABLE", "resource": f"fluss.{name}"}
            client.create_acls([{**table, "operation": "WRITE"}])
            bob.append(name, [[1]])
            assert denied(lambda: bob.limit_scan(name, 1))
            client.create_acls([{**table, "operation": "READ"}])
            assert bob.limit_scan(name, 1) == [[1]]
            assert denied(lambda: bob.drop_table(name))

    def test_rights_on_a_database_hold_for_its_tables(self, client: Client, name: str) -> None:
        client.create_database(name)
        with client.fresh(**authentication("bob", "bob-pass")) as bob:
            assert name not in bob.list_databases()
            assert denied(lambda: bob.create_table("t", columns("a INT"), database=name))
            client.create_acls([{"principal": "bob", "operation": "ALL", "type": "DATABASE", "resource": name}])
            assert name in bob.list_databases()
            bob.create_table("t", columns("a INT"), database=name)
            assert bob.list_tables(name) == ["t"]
            bob.drop_table("t", database=name)

    def test_only_who_may_do_everything_gives_rights(self, client: Client, name: str) -> None:
        client.create_table(name, columns("a INT"))
        grant = {"principal": "bob", "operation": "READ", "type": "TABLE", "resource": f"fluss.{name}"}
        client.create_acls([grant])
        with client.fresh(**authentication("bob", "bob-pass")) as bob:
            assert denied(lambda: bob.create_acls([{**grant, "operation": "WRITE"}]))


class TestListAcls(AclTests):
    API = ApiKey.LIST_ACLS

    def test_all_and_by_filter(self, client: Client, name: str) -> None:
        resource = f"fluss.{name}"
        acl = {"principal": "carol", "type": "TABLE", "resource": resource}
        client.create_acls([{**acl, "operation": "READ"}, {**acl, "operation": "WRITE", "host": "10.0.0.1"}])
        expected = [["carol", "*", "READ", "TABLE", resource], ["carol", "10.0.0.1", "WRITE", "TABLE", resource]]
        assert sorted(entry for entry in client.list_acls() if entry[4] == resource) == sorted(expected)
        assert client.list_acls({"type": "TABLE", "resource": resource, "operation": "READ"}) == expected[:1]
        assert client.list_acls({"type": "TABLE", "resource": resource, "principal": "dave"}) == []


class TestDropAcls(AclTests):
    API = ApiKey.DROP_ACLS

    def test_by_filter(self, client: Client, name: str) -> None:
        client.create_table(name, columns("a INT"))
        acl = {"principal": "bob", "type": "TABLE", "resource": f"fluss.{name}"}
        client.create_acls([{**acl, "operation": "READ"}, {**acl, "operation": "WRITE"}])
        with client.fresh(**authentication("bob", "bob-pass")) as bob:
            bob.append(name, [[1]])
            dropped = client.drop_acls({"type": "TABLE", "resource": f"fluss.{name}", "operation": "WRITE"})
            assert dropped == [["bob", "*", "WRITE", "TABLE", f"fluss.{name}"]]
            assert denied(lambda: bob.append(name, [[2]]))
            assert bob.limit_scan(name, 10) == [[1]]


class TestSecurityDisabled:
    API = ApiKey.LIST_ACLS
    CLIENTS = JAVA

    def test_without_an_authorizer(self, client: Client) -> None:
        with pytest.raises(ClientError) as error:
            client.list_acls()
        assert code_of(error) is ErrorCode.SECURITY_DISABLED_EXCEPTION
