"""``fluss local --tablet-servers N``: its processes, their ends, their data, and who may call them."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import fluss
import pyarrow as pa
import pytest

from clients.pyfluss_support import connection, new_table, read_changes
from clients.test_pyfluss_sasl import authentication
from fluss_server.api import messages as pb
from fluss_server.api.keys import ApiKey
from fluss_server.api.own_messages import message_class
from fluss_server.cluster.messages import RegisterServer, ServerNode
from fluss_server.cluster.server_codecs import encode_register_server
from fluss_server.errors import FlussError
from fluss_server.grpc_server.client import GrpcClient
from fluss_server.rpc.client import RpcClient
from fluss_server.rpc.endpoints import Endpoint
from fluss_server.testing import LocalCluster
from rpc_support import async_test
from waiting import wait_until

SCHEMA = pa.schema([pa.field("id", pa.int64(), nullable=False), pa.field("name", pa.string())])
REPLICATED = {"table.replication.factor": "2"}


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalCluster]:
    with LocalCluster(tmp_path_factory.mktemp("cluster"), tablet_servers=2) as running:
        yield running


def wait_until_gone(pid: int) -> None:
    def gone() -> bool:
        try:
            return Path(f"/proc/{pid}/stat").read_text().rsplit(") ", 1)[1][0] == "Z"
        except OSError:
            return True

    wait_until(gone, f"process {pid} ends", 20)


async def write_and_read(cluster: LocalCluster, name: str, first: int, *, create: bool) -> None:
    """Append 100 rows to a table with a replica of every bucket on both servers, and read all that were appended."""
    async with connection(cluster.bootstrap_servers) as connected:
        if create:
            table = await new_table(connected, name, SCHEMA, bucket_count=4, properties=REPLICATED)
        else:
            table = await connected.get_table(fluss.TablePath("fluss", name))
        writer = table.new_append().create_writer()
        for number in range(first, first + 100):
            writer.append([number, "x"])
        await writer.flush()
        found = [row["id"] for _, _, _, row in await read_changes(connected, table)]
        assert sorted(found) == list(range(first + 100))


@async_test
async def test_clients_begin_with_the_coordinator_and_find_the_tablet_servers(cluster: LocalCluster) -> None:
    assert sorted(cluster.tablet_server_pids) == [0, 1]
    await write_and_read(cluster, "people", 0, create=True)
    async with await RpcClient.connect("127.0.0.1", cluster.port) as client:
        seen = await client.call(ApiKey.GET_METADATA, pb.MetadataRequest())
    assert sorted(node.node_id for node in seen.tablet_servers) == [0, 1]
    assert {node.host for node in seen.tablet_servers} == {"127.0.0.1"}


@async_test
async def test_a_tablet_server_that_ends_is_started_again_on_its_port(cluster: LocalCluster) -> None:
    await write_and_read(cluster, "survivors", 0, create=True)
    killed = cluster.tablet_server_pids[1]
    os.kill(killed, signal.SIGKILL)
    deadline = time.monotonic() + 20
    while cluster.tablet_server_pids[1] == killed:
        assert time.monotonic() < deadline, cluster.log
        await asyncio.sleep(0.02)
    assert "tablet server 1, process" in cluster.log
    assert "was ended by SIGKILL; it is started again" in cluster.log
    addresses = [line.split()[3] for line in cluster.log.splitlines() if line.startswith("Tablet server 1: ")]
    assert len(set(addresses)) == 1, "clients that know the address find it again"
    await write_and_read(cluster, "survivors", 100, create=False)


@async_test
async def test_the_data_is_there_after_a_stop_and_after_a_crash(tmp_path: Path) -> None:
    cluster = LocalCluster(tmp_path, tablet_servers=2).start()
    try:
        await write_and_read(cluster, "kept", 0, create=True)
        pids = [cluster.pid, *cluster.tablet_server_pids.values()]
        assert cluster.stop() == 0
        for pid in pids:
            wait_until_gone(pid)
        assert not [name for name in os.listdir(tmp_path) if name.endswith(".yaml")], (
            "the passwords of the servers are gone with them"
        )
        cluster.start()
        await write_and_read(cluster, "kept", 100, create=False)
        cluster.kill()
        cluster.start()
        await write_and_read(cluster, "kept", 200, create=False)
    finally:
        cluster.stop()


def test_tablet_servers_end_with_the_command(tmp_path: Path) -> None:
    cluster = LocalCluster(tmp_path, tablet_servers=2).start()
    pids = list(cluster.tablet_server_pids.values())
    os.kill(cluster.pid, signal.SIGKILL)
    LocalCluster(tmp_path, tablet_servers=2).start().stop()  # it waits for them
    for pid in pids:
        wait_until_gone(pid)
    cluster.kill()


def test_ctrl_c_in_a_terminal_stops_everything(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "fluss_server", "local", "--port", "0", "--data-dir", str(tmp_path)]
    process = subprocess.Popen(
        [*command, "--tablet-servers", "2"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    assert process.stdout is not None
    servers = []
    for line in process.stdout:
        if line.startswith("Tablet server "):
            servers.append(int(line.split()[-1]))
        if line.startswith("In Flink SQL"):
            break
    os.killpg(process.pid, signal.SIGINT)
    rest = process.stdout.read()
    assert process.wait(30) == 0, rest
    assert "Traceback" not in rest
    for pid in servers:
        wait_until_gone(pid)


def test_data_of_one_process_and_of_several_are_not_mixed(tmp_path: Path) -> None:
    one, several = tmp_path / "one", tmp_path / "several"
    LocalCluster(one, tablet_servers=1).start().stop()
    with pytest.raises(RuntimeError, match="has the data of fluss local in one process"):
        LocalCluster(one, tablet_servers=2).start()
    LocalCluster(several, tablet_servers=3).start().stop()
    with pytest.raises(RuntimeError, match="hint: start with --tablet-servers 3"):
        LocalCluster(several, tablet_servers=1).start()
    with pytest.raises(RuntimeError, match="has the data of 3 tablet servers, not of 2"):
        LocalCluster(several, tablet_servers=2).start()


def test_the_coordinator_serves_grpc(tmp_path: Path) -> None:
    with (
        LocalCluster(tmp_path, tablet_servers=2, grpc=True) as cluster,
        GrpcClient(f"127.0.0.1:{cluster.grpc_port}") as client,
    ):
        found = client.call(ApiKey.DESCRIBE_SERVERS, message_class("DescribeServersRequest")())
        assert [(server.server_id, server.state) for server in found.servers] == [(0, "live"), (1, "live")]


def test_a_server_that_cannot_start_ends_the_command(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = int(taken.getsockname()[1])
        with pytest.raises(RuntimeError) as caught:
            LocalCluster(tmp_path, tablet_servers=2, arguments=["--tablet-server-port", str(port)]).start()
    assert f"cannot listen on 127.0.0.1:{port}" in str(caught.value)
    assert "tablet server 0 ended with exit code 1 before it was ready" in str(caught.value)


@async_test
async def test_only_the_servers_themselves_get_into_the_internal_listener(cluster: LocalCluster) -> None:
    intruder = RegisterServer(ServerNode(0, (Endpoint("INTERNAL", "127.0.0.1", 1),)), "intruder")
    refusals = set()
    for pid in (cluster.pid, *cluster.tablet_server_pids.values()):
        for port in listening_ports(pid):
            async with await RpcClient.connect("127.0.0.1", port) as client:
                with pytest.raises(FlussError) as caught:
                    await client.call(ApiKey.REGISTER_SERVER, encode_register_server(intruder))
                refusals.add(caught.value.name)
    assert refusals == {"AUTHENTICATE_EXCEPTION", "UNSUPPORTED_VERSION"}, "of the internal and of the client listeners"


@async_test
async def test_users_and_permissions_are_those_of_every_server(tmp_path: Path) -> None:
    options = {
        "security.protocol.map": "FLUSS:SASL",
        "security.sasl.plain.credentials": "root:root-pass,bob:bob-pass",
        "authorizer.enabled": "true",
        "super.users": "User:root",
    }
    with LocalCluster(tmp_path, tablet_servers=2, options=options) as cluster:
        async with connection(cluster.bootstrap_servers, **authentication("root", "root-pass")) as connected:
            table = await new_table(connected, "secret", SCHEMA, bucket_count=2, properties=REPLICATED)
            writer = table.new_append().create_writer()
            writer.append([1, "x"])
            await writer.flush()
            assert len(await read_changes(connected, table)) == 1
        async with connection(cluster.bootstrap_servers, **authentication("bob", "bob-pass")) as connected:
            with pytest.raises(fluss.FlussError, match="not found"):
                await connected.get_table(fluss.TablePath("fluss", "secret"))


def listening_ports(pid: int) -> list[int]:
    """Ports on which a process listens."""
    inodes = set()
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        target = os.readlink(entry)
        if target.startswith("socket:["):
            inodes.add(target[8:-1])
    found = []
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        fields = line.split()
        if fields[3] == "0A" and fields[9] in inodes:
            found.append(int(fields[1].rpartition(":")[2], 16))
    assert len(found) >= 2
    return found
