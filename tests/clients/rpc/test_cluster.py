"""RPCs about the cluster through every official client."""

from __future__ import annotations

from typing import Any, ClassVar

import pytest

from clients.rpc.client import ALL, JAVA, JAVA_1_0, Client, ClientError, code_of, columns
from fluss_server.api.keys import ApiKey
from fluss_server.errors import ErrorCode
from official.recording_cluster import RecordingCluster
from waiting import wait_until

DEADLINE_S = 30.0


def start_rebalance(client: Client) -> Any:
    """Start a rebalance, after an earlier one; returns its id. On one server there is nothing to move."""
    started: list[Any] = []

    def begun() -> bool:
        try:
            started.append(client.run("rebalance", {}))
        except ClientError as error:
            if ErrorCode(error.code) is not ErrorCode.REBALANCE_FAILURE_EXCEPTION:
                raise
        return bool(started)

    wait_until(begun, "the rebalance before ends", DEADLINE_S)
    return started[0]


class TestApiVersions:
    API = ApiKey.API_VERSIONS
    CLIENTS = ALL

    def test_the_first_request_of_a_connection(self, client: Client) -> None:
        with client.fresh() as fresh:
            assert "fluss" in fresh.list_databases()


class TestGetMetadata:
    API = ApiKey.GET_METADATA
    CLIENTS = ALL

    def test_the_servers_and_their_roles(self, client: Client, recording_cluster: RecordingCluster) -> None:
        address = ["127.0.0.1", recording_cluster.port]
        coordinator, *servers = client.server_nodes()
        assert coordinator == ["COORDINATOR", 0, *address]
        if recording_cluster.tablet_servers == 1:
            assert servers == [["TABLET_SERVER", 0, *address]]
        else:
            roles = [["TABLET_SERVER", number] for number in range(recording_cluster.tablet_servers)]
            assert sorted(server[:2] for server in servers) == roles


class TestGetFilesystemSecurityToken:
    API = ApiKey.GET_FILESYSTEM_SECURITY_TOKEN
    CLIENTS = ALL

    def test_scanners_ask_and_go_on(self, client: Client, name: str) -> None:
        client.create_table(name, columns("a INT"))
        client.append(name, [[1]])
        with client.fresh() as fresh:
            assert [record["row"] for record in fresh.scan(name, 1)] == [[1]]


class TestGetLakeSnapshot:
    API = ApiKey.GET_LAKE_SNAPSHOT
    CLIENTS = ALL

    def test_there_is_none(self, client: Client, name: str) -> None:
        client.create_table(name, columns("a INT"))
        with pytest.raises(ClientError) as error:
            client.lake_snapshot(name)
        assert code_of(error) is ErrorCode.LAKE_SNAPSHOT_NOT_EXIST


class TestDescribeClusterConfigs:
    API = ApiKey.DESCRIBE_CLUSTER_CONFIGS
    CLIENTS = JAVA
    SERVER_OPTIONS: ClassVar = {"default.bucket.number": "2"}

    def test_what_was_set_at_the_start(self, client: Client) -> None:
        assert client.describe_cluster_configs()["default.bucket.number"] == ["2", "INITIAL_SERVER_CONFIG"]


class TestAlterClusterConfigs:
    API = ApiKey.ALTER_CLUSTER_CONFIGS
    CLIENTS = JAVA

    def test_set_and_delete(self, client: Client) -> None:
        key = "log.retention.roll-active-segment.enabled"
        client.alter_cluster_configs([{"key": key, "value": "true", "operation": "SET"}])
        assert client.describe_cluster_configs()[key] == ["true", "DYNAMIC_SERVER_CONFIG"]
        client.alter_cluster_configs([{"key": key, "value": None, "operation": "DELETE"}])
        assert client.describe_cluster_configs()[key] == ["false", "INITIAL_SERVER_CONFIG"], "the default"

    def test_what_cannot_be_changed(self, client: Client) -> None:
        for key, value in (("default.bucket.number", "3"), ("no.such.option", "1")):
            with pytest.raises(ClientError) as error:
                client.alter_cluster_configs([{"key": key, "value": value, "operation": "SET"}])
            # 0.9.1 does not know the code 64 yet.
            assert code_of(error) in (ErrorCode.CONFIG_EXCEPTION, ErrorCode.UNKNOWN_SERVER_ERROR)


class TestGetClusterHealth:
    API = ApiKey.GET_CLUSTER_HEALTH
    CLIENTS = (JAVA_1_0,)

    def test_green(self, client: Client, name: str, recording_cluster: RecordingCluster) -> None:
        client.create_table(name, columns("a INT"), buckets=3)
        health = client.cluster_health()
        assert health["status"] == "GREEN"
        assert health["leaders"] == health["active_leaders"] >= 3
        assert health["replicas"] == health["in_sync"] == health["leaders"] * recording_cluster.replication_factor


class TestAddServerTag:
    API = ApiKey.ADD_SERVER_TAG
    CLIENTS = JAVA

    def test_a_tag_is_set_once(self, client: Client) -> None:
        client.run("add_server_tag", {"servers": [0], "tag": "TEMPORARY_OFFLINE"})
        with pytest.raises(ClientError) as error:
            client.run("add_server_tag", {"servers": [0], "tag": "PERMANENT_OFFLINE"})
        assert code_of(error) is ErrorCode.SEVER_TAG_ALREADY_EXIST_EXCEPTION
        client.run("remove_server_tag", {"servers": [0], "tag": "TEMPORARY_OFFLINE"})


class TestRemoveServerTag:
    API = ApiKey.REMOVE_SERVER_TAG
    CLIENTS = JAVA

    def test_there_is_none(self, client: Client) -> None:
        with pytest.raises(ClientError) as error:
            client.run("remove_server_tag", {"servers": [0], "tag": "TEMPORARY_OFFLINE"})
        assert code_of(error) is ErrorCode.SEVER_TAG_NOT_EXIST_EXCEPTION


class TestAddServerTagByRack:
    API = ApiKey.ADD_SERVER_TAG_BY_RACK
    CLIENTS = (JAVA_1_0,)

    def test_no_server_is_in_that_rack(self, client: Client) -> None:
        with pytest.raises(ClientError) as error:
            client.run("add_server_tag_by_rack", {"racks": ["r1"], "tag": "TEMPORARY_OFFLINE"})
        assert code_of(error) is ErrorCode.SERVER_NOT_EXIST_EXCEPTION


class TestRemoveServerTagByRack:
    API = ApiKey.REMOVE_SERVER_TAG_BY_RACK
    CLIENTS = (JAVA_1_0,)

    def test_no_server_is_in_that_rack(self, client: Client) -> None:
        with pytest.raises(ClientError) as error:
            client.run("remove_server_tag_by_rack", {"racks": ["r1"], "tag": "TEMPORARY_OFFLINE"})
        assert code_of(error) is ErrorCode.SERVER_NOT_EXIST_EXCEPTION


class TestRebalance:
    API = ApiKey.REBALANCE
    CLIENTS = JAVA

    def test_it_has_an_id(self, client: Client) -> None:
        assert start_rebalance(client)


class TestListRebalanceProgress:
    API = ApiKey.LIST_REBALANCE_PROGRESS
    CLIENTS = JAVA

    def test_a_rebalance_completes(self, client: Client) -> None:
        started = start_rebalance(client)

        def complete() -> bool:
            return bool(client.run("list_rebalance_progress", {"id": started}) == "COMPLETED")

        wait_until(complete, "the rebalance ends, at once when nothing moves", DEADLINE_S)
        with pytest.raises(ClientError) as error:
            client.run("list_rebalance_progress", {"id": "another"})
        assert code_of(error) is ErrorCode.NO_REBALANCE_IN_PROGRESS_EXCEPTION


class TestCancelRebalance:
    API = ApiKey.CANCEL_REBALANCE
    CLIENTS = JAVA

    def test_nothing_is_under_way(self, client: Client) -> None:
        started = start_rebalance(client)
        client.run("cancel_rebalance", {"id": started})
        with pytest.raises(ClientError) as error:
            client.run("cancel_rebalance", {"id": "another"})
        assert code_of(error) is ErrorCode.NO_REBALANCE_IN_PROGRESS_EXCEPTION
