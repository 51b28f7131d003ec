"""A scripted sequence on a cluster of real processes: every node of the tree is what official servers write there.

The sequence: databases, tables and a partition are created, a server dies, which leads buckets, the coordinator is
replaced, the server comes back, replicas move to a new one, everything is dropped. After each step the whole tree is
compared with the vectors, byte by byte. What differs by nature is put into the vectors, as servers told it to clients:

* times, of databases and tables; of registrations from the node itself, within the time of the test;
* the id of the coordinator and of a rebalance, addresses of listeners;
* which servers have, lead and follow a bucket, and the epochs of its leader and its ISR;
* names, columns and options of tables that no vector has.

Every node that holds something is compared, but :data:`OF_THIS_PROJECT`, which official servers do not have. What our
servers do not write, or in another form, is in :data:`NOT_WRITTEN`.
"""

from __future__ import annotations

import asyncio
import json
import re
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from cluster.test_permissions import OPTIONS
from cluster_support import ClusterServer, ProcessCluster
from fluss_server.api import messages as pb
from fluss_server.api.keys import ApiKey
from fluss_server.api.own_messages import message_class
from fluss_server.errors import FlussError
from fluss_server.formats.keys import key_encoder
from fluss_server.model.types import DataType, TypeRoot
from fluss_server.rpc.client import RpcClient
from official_tree import LEFT_OUT, Tree, official, raw_tree, vector
from rpc_support import async_test
from vectors_loader import load
from zookeeper_support import ZooKeeperServer

pytestmark = pytest.mark.java

NOT_WRITTEN = {
    # Tables have no files in remote storage yet.
    "BucketSnapshotIdZNode",
    "BucketSnapshotSequenceIdZNode (counter)",
    "BucketRemoteLogsZNode",
    "LakeTableZNode v2",
    "LakeTableZNode v1 (legacy)",
    "KvSnapshotLeaseZNode",
    # It points at a file in remote storage; ours has the offsets themselves.
    "ProducerIdZNode",
    # Our servers are told of changes by the coordinator, and not by nodes that they watch.
    "AclChangeNotificationNode (persistent sequential)",
    "ConfigEntityChangeNotificationSequenceZNode (persistent sequential, empty)",
}
OF_THIS_PROJECT = ("/commits/", "/coordinators/lease-grantor")
WAIT_S = 40.0
OLD_EPOCH = 2
ROLL = "log.retention.roll-active-segment.enabled"
SCHEMA = json.loads(vector("SchemaZNode")[1])
PLAIN_COLUMNS = [{"name": "a", "data_type": {"type": "INTEGER"}, "id": 0}]
NUMBERED_COLUMNS = [
    {"name": "name", "data_type": {"type": "STRING", "nullable": False}, "id": 0},
    {"name": "uid", "data_type": {"type": "BIGINT"}, "id": 1},
]


def table_document(kind: str, schema: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """What a client sends for CREATE TABLE, from the node of a table."""
    document = json.loads(vector(kind)[1])
    sent = {"version": 1, "schema": schema, "partition_key": [], "bucket_key": []}
    names = ("comment", "partition_key", "bucket_key", "bucket_count", "properties", "custom_properties")
    return sent | {name: document[name] for name in names if name in document} | changes


def plain_schema() -> dict[str, Any]:
    return {"version": 1, "columns": PLAIN_COLUMNS, "highest_field_id": 0}


PARTITIONED, LOG = "TableZNode", "TableZNode (log table without keys or comment)"
REPLICATED = {"table.replication.factor": "3"}
T1_PROPERTIES = json.loads(vector(PARTITIONED)[1])["properties"] | {"table.kv.standby-replica.enabled": "false"}
NUMBERED = {
    "version": 1,
    "columns": NUMBERED_COLUMNS,
    "primary_key": ["name"],
    "auto_increment_column": ["uid"],
    "highest_field_id": 1,
}
TABLES: dict[str, dict[str, Any]] = {
    "t1": table_document(PARTITIONED, SCHEMA, properties=T1_PROPERTIES),
    "plain": table_document(LOG, plain_schema(), bucket_count=2, properties=REPLICATED),
    "log": table_document(LOG, plain_schema()),
    "numbered": table_document(LOG, NUMBERED, bucket_key=["name"], properties=REPLICATED),
    "single": table_document(LOG, plain_schema(), bucket_count=3, properties={"table.replication.factor": "1"}),
}
IDS = {"t1": 7, "plain": 8, "log": 9, "numbered": 10, "single": 11}
PARTITION, PARTITION_ID = "2024-01-01", 31


class Expectation:
    """What the tree must hold now, as far as it is not empty.

    Args:
        tree: only for what differs by nature.
        cluster: whose tree it is.
        began: the test, in milliseconds since 1970-01-01 UTC.

    Attributes:
        epoch: of the coordinator.
        isr_epochs: by table, the epoch of the coordinator that created its buckets or accepted the last change of
            an ISR that a leader asked for.
        tables: that exist.
        running: tablet servers.
        has_partition: whether :data:`PARTITION` exists.
        next_ids: of a table, and of a partition.
        others: further nodes that must be there, by path.
    """

    def __init__(self, tree: Tree, cluster: ProcessCluster, began: int) -> None:
        self._tree = tree
        self._cluster = cluster
        self._began = began
        self.epoch = OLD_EPOCH + 1
        self.isr_epochs = dict.fromkeys(TABLES, self.epoch)
        self.tables: list[str] = []
        self.running: list[ClusterServer] = []
        self.has_partition = False
        self.next_ids = (IDS["t1"], PARTITION_ID)
        self.others: dict[str, bytes] = {"/metadata/writer_id": counter(0)}

    async def nodes(self, client: RpcClient) -> dict[str, bytes]:
        found = dict(self.others)
        found |= self._registrations()
        found |= self._counters()
        for database in ("fluss", "mydb"):
            found |= await self._database(client, database)
        for table in self.tables:
            found |= await self._table(client, table)
        return found | self._of_ours()

    def _registrations(self) -> dict[str, bytes]:
        found = {}
        active = json.loads(self._tree.value("/coordinators/active"))
        coordinator = str(uuid.UUID(active["id"]))
        listeners = f"FLUSS://{self._cluster.coordinators[0].address}"
        for path in ("/coordinators/active", f"/coordinators/ids/{coordinator}"):
            found[path] = official("CoordinatorZNode", id=coordinator, listeners=listeners)
        found["/coordinators/epoch"] = str(self.epoch).encode()
        for server in self.running:
            number = self._cluster.servers.index(server)
            path = f"/tabletservers/ids/{number}"
            registered = json.loads(self._tree.value(path))["register_timestamp"]
            assert self._began <= registered <= time.time() * 1000
            kind = "ServerIdZNode" if number == 3 else "ServerIdZNode (no rack)"
            found[path] = official(kind, listeners=f"FLUSS://{server.address}", register_timestamp=registered)
        return found

    def _counters(self) -> dict[str, bytes]:
        tables, partitions = self.next_ids
        return {"/metadata/table_seqid": counter(tables), "/metadata/partition_seqid": counter(partitions)}

    async def _database(self, client: RpcClient, name: str) -> dict[str, bytes]:
        try:
            info = await client.call(ApiKey.GET_DATABASE_INFO, pb.GetDatabaseInfoRequest(database_name=name))
        except FlussError:
            return {}
        fields: dict[str, Any] = {"created_time": info.created_time, "modified_time": info.modified_time}
        if name == "fluss":
            fields |= {"comment": LEFT_OUT, "custom_properties": {}}
        return {f"/metadata/databases/{name}": official("DatabaseZNode", **fields)}

    async def _table(self, client: RpcClient, name: str) -> dict[str, bytes]:
        path, document = f"/metadata/databases/mydb/tables/{name}", TABLES[name]
        info = await client.call(ApiKey.GET_TABLE_INFO, pb.GetTableInfoRequest(table_path=table_path(name)))
        assert info.table_id == IDS[name]
        fields: dict[str, Any] = {"created_time": info.created_time, "modified_time": info.modified_time}
        if name == "t1":
            assert info.created_time == info.modified_time
            table = official(PARTITIONED, properties=T1_PROPERTIES, **fields)
            schema = vector("SchemaZNode")[1]
        elif name == "log":
            table = official(LOG, **fields)
            schema = schema_node(document["schema"])
        else:
            properties = dict(document["properties"])
            if name == "numbered":
                properties |= {"table.kv.format-version": "2", "table.kv.standby-replica.enabled": "true"}
            fields |= {"table_id": IDS[name], "bucket_count": document["bucket_count"], "properties": properties}
            if document["bucket_key"]:
                fields |= {"comment": LEFT_OUT, "partition_key": LEFT_OUT, "bucket_key": document["bucket_key"]}
                table = official(PARTITIONED, custom_properties={}, **fields)
            else:
                table = official(LOG, **fields)
            schema = schema_node(document["schema"])
        found = {path: table, f"{path}/schemas/1": schema}
        request = message_class("DescribeBucketsRequest")(database_name="mydb", table_name=name)
        buckets = list((await client.call(ApiKey.DESCRIBE_BUCKETS, request)).buckets)
        assignment = {str(bucket.bucket_id): list(bucket.replicas) for bucket in buckets}
        if name != "t1":
            owner = f"/tabletservers/tables/{IDS[name]}"
            found[owner] = official("TableIdZNode", buckets=assignment)
        elif self.has_partition:
            found[f"{path}/partitions/{PARTITION}"] = vector("PartitionZNode")[1]
            owner = f"/tabletservers/partitions/{PARTITION_ID}"
            found[owner] = official("PartitionIdZNode", table_id=IDS[name], buckets=assignment)
        for bucket in buckets:
            kind = "LeaderAndIsrZNode (partition bucket)" if name == "t1" else "LeaderAndIsrZNode"
            standby = list(bucket.standby)
            found[f"{owner}/buckets/{bucket.bucket_id}/leader_isr"] = official(
                kind,
                {"standby_replicas": standby} if standby else None,
                version=2 if standby else 1,
                leader=bucket.leader,
                leader_epoch=bucket.leader_epoch,
                isr=list(bucket.isr),
                coordinator_epoch=self.isr_epochs[name],
                bucket_epoch=bucket.bucket_epoch,
            )
        return found

    def _of_ours(self) -> dict[str, bytes]:
        """The election, whose nodes carry the id of a participant."""
        found = {}
        coordinator = json.loads(self._tree.value("/coordinators/active"))["id"]
        for path in self._tree.paths():
            if re.fullmatch(r"/coordinators/election/_c_[-0-9a-f]{36}-latch-\d{10}", path):
                found[path] = coordinator.encode()
        return found


def counter(value: int) -> bytes:
    return value.to_bytes(8, "big")


def shape(path: str) -> str:
    """A path without the names of tables and without numbers."""
    return re.sub(r"(?<=/tables/)[^/]+|(?<=/)\d+(?=/|$)", "*", path)


def schema_node(schema: dict[str, Any]) -> bytes:
    fields = {name: schema.get(name, LEFT_OUT) for name in ("columns", "primary_key", "highest_field_id")}
    if "auto_increment_column" not in schema:
        return official("SchemaZNode", **fields)
    # No vector of a node has this field; those of schemas have it between these two (metadata_json.json).
    known = json.loads(official("SchemaZNode", **fields))
    end = known.pop("highest_field_id")
    known |= {"auto_increment_column": schema["auto_increment_column"], "highest_field_id": end}
    return json.dumps(known, separators=(",", ":")).encode()


def table_path(name: str) -> pb.PbTablePath:
    return pb.PbTablePath(database_name="mydb", table_name=name)


class Script:
    """The steps; see the module.

    Attributes:
        compared: shapes of the paths of all nodes that were compared.
    """

    def __init__(self, cluster: ProcessCluster, tree: Tree, began: int) -> None:
        self._cluster = cluster
        self._tree = tree
        self.expectation = Expectation(tree, cluster, began)
        self.expectation.running = list(cluster.servers)
        self.compared: set[str] = set()

    async def call(self, key: ApiKey, request: Any, server: ClusterServer | None = None) -> Any:
        """A call as the administrator, of the coordinator when nobody else is given; again while it starts."""
        deadline = time.monotonic() + WAIT_S
        while True:
            try:
                async with await self.connect(server or self._cluster.coordinators[0]) as client:
                    return await client.call(key, request)
            except FlussError as error:
                if not error.retriable or time.monotonic() > deadline:
                    raise
            await asyncio.sleep(0.1)

    async def connect(self, server: ClusterServer) -> RpcClient:
        return await RpcClient.connect("127.0.0.1", server.port, authentication=("admin", "admin-secret"))

    async def compare(self, step: str) -> None:
        """The whole tree is what it must be, within a bounded time."""
        deadline = time.monotonic() + WAIT_S
        while True:
            async with await self.connect(self._cluster.coordinators[0]) as client:
                expected = await self.expectation.nodes(client)
            values = self._tree.values()
            # Markers of commits, one for each session, have changing numbers.
            written = {path: value for path, value in values.items() if value and not path.startswith(OF_THIS_PROJECT)}
            if written == expected or time.monotonic() > deadline:
                break
            await asyncio.sleep(0.1)
        assert written == expected, step
        self.compared |= {shape(path) for path in expected}
        parents = {path[:end] for path in expected for end in range(len(path)) if path[end] == "/"}
        for path in {path for path, value in values.items() if not value} - parents:
            assert path.rsplit("/", 1)[1] in EMPTY, f"{step}: {path} is empty"

    async def buckets(self, *tables: str) -> list[Any]:
        found: list[Any] = []
        for table in tables:
            request = message_class("DescribeBucketsRequest")(database_name="mydb", table_name=table)
            found += (await self.call(ApiKey.DESCRIBE_BUCKETS, request)).buckets
        return found

    async def until(self, condition: Callable[[Any], bool], *tables: str) -> list[Any]:
        """Wait until something holds for every bucket of the tables; returns the buckets."""
        deadline = time.monotonic() + WAIT_S
        while True:
            found = await self.buckets(*tables)
            if all(map(condition, found)):
                return found
            assert time.monotonic() < deadline, found
            await asyncio.sleep(0.1)

    # ------------------------------------------------------------------ steps

    async def create(self) -> None:
        database = {"version": 1, "comment": "another", "custom_properties": {"k": "another"}}
        request = pb.CreateDatabaseRequest(
            database_name="mydb", ignore_if_exists=False, database_json=json.dumps(database).encode()
        )
        await self.call(ApiKey.CREATE_DATABASE, request)
        change = pb.AlterDatabaseRequest(database_name="mydb", ignore_if_not_exists=False, comment="c")
        change.config_changes.add(config_key="k", config_value="v", op_type=0)
        await self.call(ApiKey.ALTER_DATABASE, change, self._cluster.servers[0])
        for table, document in TABLES.items():
            creation = pb.CreateTableRequest(
                table_path=table_path(table), table_json=json.dumps(document).encode(), ignore_if_exists=False
            )
            await self.call(ApiKey.CREATE_TABLE, creation, self._cluster.servers[1])
            self.expectation.tables.append(table)
        partition = pb.CreatePartitionRequest(table_path=table_path("t1"), ignore_if_not_exists=False)
        partition.partition_spec.partition_key_values.add(key="dt", value=PARTITION)
        await self.call(ApiKey.CREATE_PARTITION, partition)
        self.expectation.has_partition = True
        self.expectation.next_ids = (IDS["t1"] + len(TABLES), PARTITION_ID + 1)
        for bucket in await self.buckets("t1", "plain", "log", "numbered"):
            assert (bucket.leader, bucket.leader_epoch, bucket.bucket_epoch) == (bucket.replicas[0], 0, 0)
            assert list(bucket.isr) == list(bucket.replicas)

    async def use(self) -> None:
        """What is not about tables and their buckets; and ids."""
        writer = pb.InitWriterRequest(table_path=[table_path("plain")])
        assert (await self.call(ApiKey.INIT_WRITER, writer, self._cluster.servers[0])).writer_id == 0
        reserved = self._tree.value("/metadata/writer_id")
        assert len(reserved) == 8
        assert int.from_bytes(reserved, "big") > 0
        self.expectation.others["/metadata/writer_id"] = reserved  # as many as a server reserves at a time
        [bucket] = await self.until(lambda bucket: bucket.active, "numbered")
        request = pb.LookupRequest(table_id=IDS["numbered"], insert_if_not_exists=True, acks=-1, timeout_ms=10_000)
        keys = key_encoder((DataType(TypeRoot.STRING, nullable=False),))
        request.buckets_req.add(bucket_id=0, keys=[keys.encode(["one"])])
        [found] = (await self.call(ApiKey.LOOKUP, request, self._cluster.servers[bucket.leader])).buckets_resp
        assert not found.HasField("error_code"), found.error_message
        [path] = [path for path in self._tree.paths() if path.endswith("/auto_inc/col_1")]
        assert path == "/metadata/databases/mydb/tables/numbered/auto_inc/col_1"
        self.expectation.others[path] = counter(100_000)  # table.auto-increment.cache-size

        acl = pb.PbAclInfo(
            resource_type=4,
            resource_name="mydb.t1",
            principal_type="User",
            principal_name="alice",
            host="*",
            operation_type=3,
            permission_type=2,
        )
        await self.call(ApiKey.CREATE_ACLS, pb.CreateAclsRequest(acl=[acl]))
        change = pb.AlterClusterConfigsRequest()
        change.alter_configs.add(config_key=ROLL, config_value="true", op_type=0)
        await self.call(ApiKey.ALTER_CLUSTER_CONFIGS, change)
        await self.call(ApiKey.ADD_SERVER_TAG, pb.AddServerTagRequest(server_ids=[2], server_tag=1))
        for kind, fields in (
            ("ResourceAclNode", {}),
            ("ConfigEntityZNode", {"configs": {ROLL: "true"}}),
            ("ServerTagsZNode", {}),
        ):
            self.expectation.others[vector(kind)[0]] = official(kind, **fields)

    async def untag(self) -> None:
        await self.call(ApiKey.REMOVE_SERVER_TAG, pb.RemoveServerTagRequest(server_ids=[2], server_tag=1))
        del self.expectation.others[vector("ServerTagsZNode")[0]]

    async def shrink(self, server: int) -> None:
        """A server dies: it leaves every ISR, and what it leads gets another leader, if there is one."""
        before = await self.buckets(*TABLES)
        self._cluster.servers[server].kill()
        self.expectation.running.remove(self._cluster.servers[server])
        after = await self.until(lambda bucket: server not in bucket.isr or list(bucket.replicas) == [server], *TABLES)
        after = await self.until(lambda bucket: bucket.leader != server, *TABLES)
        for old, new in zip(before, after, strict=True):
            if list(old.replicas) == [server]:
                assert (new.leader, list(new.isr)) == (-1, [server])
                assert (new.leader_epoch, new.bucket_epoch) == (old.leader_epoch + 1, old.bucket_epoch + 1)
            elif server in old.replicas:
                assert list(new.isr) == [member for member in old.isr if member != server]
                # To none, and to the next one.
                assert new.leader_epoch == old.leader_epoch + 2 * (old.leader == server)
                assert new.bucket_epoch > old.bucket_epoch
        assert any(bucket.leader == -1 for bucket in after)

    async def replace_coordinator(self) -> None:
        self._cluster.coordinators[0].kill()
        self._cluster.coordinators[0].start()
        self.expectation.epoch += 1

    async def expand(self, server: int) -> None:
        """It comes back, and its replicas into the ISR: leaders ask for that."""
        self._cluster.servers[server].start()
        self.expectation.running.append(self._cluster.servers[server])
        await self.until(lambda bucket: len(bucket.isr) == len(bucket.replicas) and bucket.leader >= 0, *TABLES)
        for table in TABLES:
            if table != "single":
                self.expectation.isr_epochs[table] = self.expectation.epoch

    async def reassign(self) -> None:
        """Another server comes, and replicas move there."""
        self._cluster.add_server({"tablet-server.rack": "rack-a"})
        self.expectation.running.append(self._cluster.servers[3])
        request = pb.RebalanceRequest(goals=[0])
        rebalance = (await self.call(ApiKey.REBALANCE, request)).rebalance_id
        deadline = time.monotonic() + WAIT_S
        while True:
            found = await self.call(ApiKey.LIST_REBALANCE_PROGRESS, pb.ListRebalanceProgressRequest())
            if found.rebalance_status == 3:
                break
            assert time.monotonic() < deadline, found
            await asyncio.sleep(0.1)
        assert found.rebalance_id == rebalance
        template = json.loads(vector("RebalanceZNode")[1])["rebalance_plan"]
        plan: dict[tuple[int, int], dict[str, Any]] = {}
        for table in found.table_progress:
            for entry in table.buckets_progress:
                move = entry.rebalance_plan
                of_partition = move.HasField("partition_id")
                names = template[1 if of_partition else 0]
                values = {"table_id": table.table_id, "partition_id": move.partition_id, "buckets": []}
                group = plan.setdefault((of_partition, table.table_id), {name: values[name] for name in names})
                values = {
                    "bucket_id": move.bucket_id,
                    "original_leader": move.original_leader,
                    "new_leader": move.new_leader,
                    "origin_replicas": list(move.original_replicas),
                    "new_replicas": list(move.new_replicas),
                }
                group["buckets"].append({name: values[name] for name in names["buckets"][0]})
        assert plan, "something has moved"
        plans = [plan[key] for key in sorted(plan)]
        path = vector("RebalanceZNode")[0]
        self.expectation.others[path] = official(
            "RebalanceZNode", rebalance_id=rebalance, rebalance_status=3, rebalance_plan=plans
        )
        buckets = await self.buckets(*TABLES)
        assert any(3 in bucket.replicas for bucket in buckets)
        assert all(sorted(bucket.replicas) == sorted(bucket.isr) for bucket in buckets), "nothing between old and new"

    async def drop(self) -> None:
        partition = pb.DropPartitionRequest(table_path=table_path("t1"), ignore_if_not_exists=False)
        partition.partition_spec.partition_key_values.add(key="dt", value=PARTITION)
        await self.call(ApiKey.DROP_PARTITION, partition)
        request = pb.DropTableRequest(table_path=table_path("plain"), ignore_if_not_exists=False)
        await self.call(ApiKey.DROP_TABLE, request)
        everything = pb.DropDatabaseRequest(database_name="mydb", ignore_if_not_exists=False, cascade=True)
        await self.call(ApiKey.DROP_DATABASE, everything)
        self.expectation.tables = []
        others = self.expectation.others
        self.expectation.others = {path: value for path, value in others.items() if "/auto_inc/" not in path}


EMPTY = {"cluster", "commits", "partitions", "tables"}
"""Nodes that other nodes are below, now and then."""


@pytest.fixture(scope="module")
def zookeeper() -> Iterator[ZooKeeperServer]:
    with ZooKeeperServer() as server:
        yield server


@async_test
async def test_every_node_is_the_official_one(tmp_path: Path, zookeeper: ZooKeeperServer) -> None:
    root, began = "/fluss", int(time.time() * 1000)
    with raw_tree(zookeeper, root) as tree:
        # A cluster that has had tables, partitions and coordinators before.
        tree.create("/metadata/table_seqid", counter(IDS["t1"]))
        tree.create("/metadata/partition_seqid", counter(PARTITION_ID))
        tree.create("/coordinators/epoch", str(OLD_EPOCH).encode())
        options = {**OPTIONS, "zookeeper.path.root": root, "log.replica.min-in-sync-replicas-number": "1"}
        with ProcessCluster(tmp_path, zookeeper=zookeeper.address, options=options) as cluster:
            script = Script(cluster, tree, began)
            await script.compare("start")
            await script.create()
            await script.compare("create")
            await script.use()
            await script.compare("use")
            await script.untag()
            await script.shrink(0)
            await script.compare("shrink and elect")
            await script.replace_coordinator()
            await script.expand(0)
            await script.compare("expand")
            await script.reassign()
            await script.compare("reassign")
            await script.drop()
            await script.compare("drop")
    written = {node["node"] for node in load("zookeeper")["nodes"] if shape(node["path"]) in script.compared}
    assert written == {node["node"] for node in load("zookeeper")["nodes"]} - NOT_WRITTEN, "all others were compared"
