"""RPCs about partitions, and reading and writing in them, through every official client."""

from __future__ import annotations

import datetime as dt

import pytest

from clients.rpc.client import ALL, JAVA, JAVA_1_0, Client, ClientError, Start, code_of, columns
from fluss_server.api.keys import ApiKey
from fluss_server.errors import ErrorCode

PLAIN = columns("a INT NOT NULL, day STRING NOT NULL")
PARTITIONED = columns("a INT NOT NULL, day STRING NOT NULL, region STRING NOT NULL")


class TestCreatePartition:
    API = ApiKey.CREATE_PARTITION
    CLIENTS = ALL

    def test_each_has_buckets_of_its_own(self, client: Client, name: str) -> None:
        client.create_table(name, PLAIN, partitioned_by=["day"], buckets=2, bucket_key=["a"])
        client.create_partition(name, {"day": "2026-01-01"})
        client.create_partition(name, {"day": "2026-01-02"})
        ids = client.list_partitions(name)
        client.append(name, [[1, "2026-01-01"], [2, "2026-01-02"], [3, "2026-01-01"]])
        starts = [Start(bucket, partition_id=ids["2026-01-01"]) for bucket in range(2)]
        records = client.scan(name, 2, starts=starts)
        assert sorted(record["row"] for record in records) == [[1, "2026-01-01"], [3, "2026-01-01"]]
        assert {record["partition_id"] for record in records} == {ids["2026-01-01"]}
        assert sum(client.list_offsets(name, "latest", buckets=[0, 1], partition="2026-01-02").values()) == 1

    def test_twice_is_refused_unless_ignored(self, client: Client, name: str) -> None:
        client.create_table(name, PLAIN, partitioned_by=["day"])
        client.create_partition(name, {"day": "1"})
        client.create_partition(name, {"day": "1"}, ignore_if_exists=True)
        with pytest.raises(ClientError) as error:
            client.create_partition(name, {"day": "1"})
        assert code_of(error) is ErrorCode.PARTITION_ALREADY_EXISTS

    def test_a_spec_that_does_not_fit(self, client: Client, name: str) -> None:
        client.create_table(name, PARTITIONED, partitioned_by=["day", "region"])
        for spec in ({"day": "1"}, {"day": "1", "a": "2"}, {"day": "1", "region": "a/b"}):
            with pytest.raises(ClientError) as error:
                client.create_partition(name, spec)
            assert code_of(error) is ErrorCode.PARTITION_SPEC_INVALID_EXCEPTION

    def test_of_a_table_without_partitions(self, client: Client, name: str) -> None:
        client.create_table(name, PLAIN)
        with pytest.raises(ClientError) as error:
            client.create_partition(name, {"day": "1"})
        assert code_of(error) is ErrorCode.TABLE_NOT_PARTITIONED_EXCEPTION

    def test_an_expired_one(self, client: Client, name: str) -> None:
        options = {"table.auto-partition.enabled": "true", "table.auto-partition.time-unit": "YEAR"}
        client.create_table(name, PLAIN, partitioned_by=["day"], properties=options)
        with pytest.raises(ClientError) as error:
            client.create_partition(name, {"day": "1999"})
        assert code_of(error) is ErrorCode.PARTITION_SPEC_INVALID_EXCEPTION


class TestDropPartition:
    API = ApiKey.DROP_PARTITION
    CLIENTS = ALL

    def test_rows_go_with_it(self, client: Client, name: str) -> None:
        client.create_table(name, PLAIN, partitioned_by=["day"])
        client.create_partition(name, {"day": "1"})
        client.append(name, [[1, "1"]])
        first = client.list_partitions(name)["1"]
        client.drop_partition(name, {"day": "1"})
        assert client.list_partitions(name) == {}
        client.create_partition(name, {"day": "1"})
        assert client.list_partitions(name)["1"] > first
        assert client.list_offsets(name, "latest", partition="1") == {0: 0}

    def test_a_missing_one_is_refused_unless_ignored(self, client: Client, name: str) -> None:
        client.create_table(name, PLAIN, partitioned_by=["day"])
        client.drop_partition(name, {"day": "1"}, ignore_if_not_exists=True)
        with pytest.raises(ClientError) as error:
            client.drop_partition(name, {"day": "1"})
        assert code_of(error) is ErrorCode.PARTITION_NOT_EXISTS

    def test_of_a_table_without_partitions(self, client: Client, name: str) -> None:
        client.create_table(name, PLAIN)
        with pytest.raises(ClientError) as error:
            client.drop_partition(name, {"day": "1"})
        assert code_of(error) is ErrorCode.TABLE_NOT_PARTITIONED_EXCEPTION


class TestListPartitionInfos:
    API = ApiKey.LIST_PARTITION_INFOS
    CLIENTS = ALL

    def test_all_and_by_some_of_the_keys(self, client: Client, name: str) -> None:
        client.create_table(name, PARTITIONED, partitioned_by=["day", "region"])
        assert client.list_partitions(name) == {}
        for day, region in (("1", "eu"), ("1", "us"), ("2", "eu")):
            client.create_partition(name, {"day": day, "region": region})
        assert list(client.list_partitions(name)) == ["1$eu", "1$us", "2$eu"]
        assert list(client.list_partitions(name, {"region": "eu"})) == ["1$eu", "2$eu"]
        assert list(client.list_partitions(name, {"day": "1", "region": "us"})) == ["1$us"]
        assert client.list_partitions(name, {"day": "3"}) == {}

    def test_partitions_by_time_are_there_ahead(self, client: Client, name: str) -> None:
        options = {
            "table.auto-partition.enabled": "true",
            "table.auto-partition.time-unit": "YEAR",
            "table.auto-partition.time-zone": "UTC",
            "table.auto-partition.num-precreate": "3",
        }
        before = dt.datetime.now(dt.timezone.utc).year
        client.create_table(name, PLAIN, partitioned_by=["day"], properties=options)
        found = sorted(client.list_partitions(name))
        after = dt.datetime.now(dt.timezone.utc).year
        assert found in [[str(year + ahead) for ahead in range(3)] for year in (before, after)]

    def test_of_a_table_without_partitions(self, client: Client, name: str) -> None:
        client.create_table(name, PLAIN)
        with pytest.raises(ClientError) as error:
            client.list_partitions(name)
        assert code_of(error) is ErrorCode.TABLE_NOT_PARTITIONED_EXCEPTION


LOG = columns("n INT, day STRING, region STRING")
KEYED = columns("id INT NOT NULL, sub INT NOT NULL, day STRING NOT NULL, v STRING")
KEY = ["id", "sub", "day"]


class TestPartitions:
    """Without an API of its own: the calls of the others, on tables that have partitions."""

    CLIENTS = ALL

    def test_create_list_and_drop(self, client: Client, name: str) -> None:
        client.create_table(name, LOG, partitioned_by=["day", "region"])
        assert client.table_info(name)["partitioned_by"] == ["day", "region"]
        assert client.list_partitions(name) == {}
        for day, region in (("1", "eu"), ("1", "us"), ("2", "eu")):
            client.create_partition(name, {"day": day, "region": region})
        assert sorted(client.list_partitions(name)) == ["1$eu", "1$us", "2$eu"]
        assert sorted(client.list_partitions(name, {"region": "eu"})) == ["1$eu", "2$eu"]
        assert sorted(client.list_partitions(name, {"region": "us", "day": "2"})) == []
        with pytest.raises(ClientError) as error:
            client.create_partition(name, {"day": "1", "region": "eu"})
        assert code_of(error) is ErrorCode.PARTITION_ALREADY_EXISTS
        client.create_partition(name, {"day": "1", "region": "eu"}, ignore_if_exists=True)
        client.drop_partition(name, {"day": "1", "region": "eu"})
        with pytest.raises(ClientError) as error:
            client.drop_partition(name, {"day": "1", "region": "eu"})
        assert code_of(error) is ErrorCode.PARTITION_NOT_EXISTS
        client.drop_partition(name, {"day": "1", "region": "eu"}, ignore_if_not_exists=True)
        assert sorted(client.list_partitions(name)) == ["1$us", "2$eu"]

    @pytest.mark.parametrize("values", [{"day": "1"}, {"day": "1", "region": "a b"}, {"day": "1", "region": "__x"}])
    def test_refused_partitions(self, client: Client, name: str, values: dict[str, str]) -> None:
        client.create_table(name, LOG, partitioned_by=["day", "region"], ignore_if_exists=True)
        with pytest.raises(ClientError) as error:
            client.create_partition(name, values)
        assert code_of(error) is ErrorCode.PARTITION_SPEC_INVALID_EXCEPTION

    def test_a_log_table(self, client: Client, name: str) -> None:
        client.create_table(name, LOG, partitioned_by=["day", "region"], buckets=2)
        for region in ("eu", "us"):
            client.create_partition(name, {"day": "1", "region": region})
        client.append(name, [[n, "1", ("eu", "us")[n % 2]] for n in range(20)])
        for partition, partition_id in client.list_partitions(name).items():
            offsets = client.list_offsets(name, "latest", buckets=[0, 1], partition=partition)
            assert sum(offsets.values()) == 10
            starts = [Start(bucket, partition_id=partition_id) for bucket in (0, 1)]
            records = client.scan(name, 10, starts=starts)
            rest = 0 if partition == "1$eu" else 1
            assert sorted(record["row"][0] for record in records) == [n for n in range(20) if n % 2 == rest]
            assert {record["partition_id"] for record in records} == {partition_id}

    def test_a_primary_key_table(self, client: Client, name: str) -> None:
        client.create_table(name, KEYED, primary_key=KEY, partitioned_by=["day"], bucket_key=["id"], buckets=2)
        for day in ("a", "b"):
            client.create_partition(name, {"day": day})
        client.upsert(name, [[n // 3, n % 3, day, f"{day}{n}"] for n in range(9) for day in ("a", "b")])
        client.upsert(name, [[1, 1, "a", "new"]])
        client.delete(name, [[1, 2, "a", None]])
        found = client.lookup(name, [[1, 1, "a"], [1, 1, "b"], [1, 2, "a"], [1, 1, "never"]])
        assert found == [[[1, 1, "a", "new"]], [[1, 1, "b", "b4"]], [], []]
        by_prefix = client.lookup(name, [[1, "a"], [7, "a"]], by=["id", "day"])
        assert by_prefix == [[[1, 0, "a", "a3"], [1, 1, "a", "new"]], []]
        partition_id = client.list_partitions(name)["a"]
        rows = [
            row for bucket in (0, 1) for row in client.limit_scan(name, 100, bucket=bucket, partition_id=partition_id)
        ]
        assert sorted(row[:2] for row in rows) == [[0, 0], [0, 1], [0, 2], [1, 0], [1, 1], [2, 0], [2, 1], [2, 2]]
        starts = [Start(bucket, partition_id=partition_id) for bucket in (0, 1)]
        kinds = [record["change"] for record in client.scan(name, 12, starts=starts)]
        assert sorted(kinds) == sorted(["+I"] * 9 + ["-U", "+U", "-D"])

    def test_a_name_that_is_used_again_is_empty(self, client: Client, name: str) -> None:
        client.create_table(name, KEYED, primary_key=KEY, partitioned_by=["day"])
        client.create_partition(name, {"day": "a"})
        client.upsert(name, [[1, 1, "a", "old"]])
        before = client.list_partitions(name)["a"]
        client.drop_partition(name, {"day": "a"})
        client.create_partition(name, {"day": "a"})
        assert client.list_partitions(name)["a"] > before
        with client.fresh() as fresh:
            assert fresh.lookup(name, [[1, 1, "a"]]) == [[]]

    def test_expired_and_misformed_times(self, client: Client, name: str) -> None:
        properties = {"table.auto-partition.enabled": "true", "table.auto-partition.time-unit": "year"}
        client.create_table(name, LOG, partitioned_by=["day"], properties=properties)
        assert len(client.list_partitions(name)) == 2
        for value in ("1999", "2026-01"):
            with pytest.raises(ClientError) as error:
                client.create_partition(name, {"day": value})
            assert code_of(error) is ErrorCode.PARTITION_SPEC_INVALID_EXCEPTION


class TestWhatOnlyJavaDoes:
    """pyfluss creates no partitions, and has no call for snapshots."""

    CLIENTS = JAVA

    def test_writers_create_the_partitions_of_their_rows(self, client: Client, name: str) -> None:
        client.create_table(name, LOG, partitioned_by=["region", "day"])
        client.append(name, [[n, str(n % 4), "eu"] for n in range(20)])
        partitions = client.list_partitions(name)
        assert sorted(partitions) == ["eu$0", "eu$1", "eu$2", "eu$3"]
        for partition, partition_id in partitions.items():
            records = client.scan(name, 5, starts=[Start(partition_id=partition_id)])
            assert [record["row"][0] for record in records] == list(range(int(partition[-1]), 20, 4))

    def test_upserts_create_partitions_too(self, client: Client, name: str) -> None:
        client.create_table(name, KEYED, primary_key=KEY, partitioned_by=["day"])
        client.upsert(name, [[1, 1, "a", "x"], [1, 1, "b", "y"]])
        assert client.lookup(name, [[1, 1, "a"], [1, 1, "b"]]) == [[[1, 1, "a", "x"]], [[1, 1, "b", "y"]]]

    def test_snapshots_of_a_partition(self, client: Client, name: str) -> None:
        client.create_table(name, KEYED, primary_key=KEY, partitioned_by=["day"], buckets=2)
        client.create_partition(name, {"day": "a"})
        assert client.latest_kv_snapshots(name, partition="a") == {0: None, 1: None}
        with pytest.raises(ClientError) as error:
            client.latest_kv_snapshots(name, partition="b")
        assert code_of(error) is ErrorCode.PARTITION_NOT_EXISTS


class TestGetTableStatsOfPartitions:
    API = ApiKey.GET_TABLE_STATS
    CLIENTS = JAVA

    def test_rows_of_all_partitions_are_counted(self, client: Client, name: str) -> None:
        client.create_table(name, KEYED, partitioned_by=["day"], primary_key=KEY, buckets=2)
        client.upsert(name, [[key, 0, day, "x"] for key in range(5) for day in ("a", "b")])
        assert client.table_stats(name) == 10


class TestWhatOnlyJava100Does:
    """The writer of 0.9.1 asks for a refused partition for ever if the refusal comes before the row is buffered."""

    CLIENTS = (JAVA_1_0,)

    def test_rows_of_expired_partitions_are_refused(self, client: Client, name: str) -> None:
        properties = {"table.auto-partition.enabled": "true", "table.auto-partition.time-unit": "year"}
        client.create_table(name, LOG, partitioned_by=["day"], properties=properties)
        with client.fresh() as fresh, pytest.raises(ClientError) as error:
            fresh.append(name, [[1, "1999", "eu"]])
        assert "1999" in str(error.value)
