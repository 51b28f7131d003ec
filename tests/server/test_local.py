"""``fluss local`` as a process: start, stop, restart, refusals."""

from __future__ import annotations

import asyncio
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import fluss
import pyarrow as pa
import pytest

from clients.pyfluss_support import connection, new_table, read_changes
from fluss_server import __version__
from fluss_server.api import messages as pb
from fluss_server.api.keys import ApiKey
from fluss_server.coordinator.fencing import COORDINATOR_EPOCH
from fluss_server.grpc_server.client import GrpcClient
from fluss_server.metadata.embedded import EmbeddedMetadataStore
from fluss_server.metadata.records import TABLE_ASSIGNMENTS
from fluss_server.metadata.store import Delete, deletions_below
from fluss_server.runtime.runtime import system_runtime
from fluss_server.testing import LocalCluster
from free_ports import free_ports

SCHEMA = pa.schema([pa.field("id", pa.int64(), nullable=False), pa.field("v", pa.string())])


def fluss_local(*arguments: str, stdin: int | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "fluss_server", "local", *arguments],
        stdin=stdin,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_it_says_where_it_is_and_how_to_connect(tmp_path: Path) -> None:
    with LocalCluster(tmp_path) as cluster:
        assert f"Fluss is ready: bootstrap.servers=127.0.0.1:{cluster.port}" in cluster.log
        cluster.stop()
        assert f"'bootstrap.servers' = '127.0.0.1:{cluster.port}'" in cluster.log
        assert "CREATE CATALOG" in cluster.log


PARENT = """
import sys
from fluss_server.testing import LocalCluster
cluster = LocalCluster(sys.argv[1]).start()
print(cluster.pid, cluster.port, flush=True)
sys.stdin.read()
"""


def test_the_server_of_a_test_that_is_killed_stops(tmp_path: Path) -> None:
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert parent.stdout is not None
    with parent:
        pid, port = map(int, parent.stdout.readline().split())
        with socket.create_connection(("127.0.0.1", port), timeout=30) as client:
            parent.kill()
            parent.wait()
            while client.recv(4096):  # the server closes its connections when it stops; it may tell why
                pass
        deadline = time.monotonic() + 30
        while is_running(pid):
            assert time.monotonic() < deadline, "the server outlived its parent"
            time.sleep(0.01)
    with LocalCluster(tmp_path) as cluster:  # its directory is free
        assert cluster.pid != pid


def is_running(pid: int) -> bool:
    """Whether there is such a process; one that has ended and that nobody has waited for is none."""
    found = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False).stdout
    return bool(found.strip()) and not found.startswith("Z")


def test_without_the_option_the_end_of_input_means_nothing(tmp_path: Path) -> None:
    async def databases(servers: str) -> list[str]:
        async with connection(servers) as connected:
            return list(await connected.get_admin().list_databases())

    command = [sys.executable, "-m", "fluss_server", "local", "--port", "0", "--grpc-port", "none"]
    with subprocess.Popen(
        [*command, "--data-dir", str(tmp_path)], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True
    ) as server:
        assert server.stdout is not None
        servers = server.stdout.readline().strip().partition("bootstrap.servers=")[2]
        assert asyncio.run(databases(servers)) == ["fluss"]
        assert server.poll() is None
        server.terminate()
        assert server.wait(30) == 0


def test_input_that_has_no_end_to_wait_for_is_refused(tmp_path: Path) -> None:
    ended = fluss_local("--port", "0", "--data-dir", str(tmp_path), "--stop-at-end-of-input", stdin=subprocess.DEVNULL)
    assert ended.returncode == 1
    assert "INVALID_CONFIG_EXCEPTION: --stop-at-end-of-input: standard input cannot be watched" in ended.stderr
    assert "hint: give the server a pipe" in ended.stderr


@pytest.mark.parametrize("how", ["stop", "kill"])
def test_a_restart_on_the_same_directory_has_everything(tmp_path: Path, how: str) -> None:
    async def write(servers: str) -> None:
        async with connection(servers) as connected:
            await connected.get_admin().create_database("shop", None, False)
            log = await new_table(connected, "log", SCHEMA, database="shop", bucket_count=2, comment="all clicks")
            keyed = await new_table(connected, "keyed", SCHEMA, database="shop", primary_keys=["id"])
            append, upsert = log.new_append().create_writer(), keyed.new_upsert().create_writer()
            for value in range(500):
                append.append([value, f"v{value}"])
                upsert.upsert([value % 50, f"v{value}"])
            await append.flush()
            await upsert.flush()

    async def check(servers: str) -> None:
        async with connection(servers) as connected:
            admin = connected.get_admin()
            assert sorted(await admin.list_databases()) == ["fluss", "shop"]
            assert sorted(await admin.list_tables("shop")) == ["keyed", "log"]
            log = await connected.get_table(fluss.TablePath("shop", "log"))
            assert log.get_table_info().comment == "all clicks"
            assert sorted(row["id"] for *_, row in await read_changes(connected, log)) == list(range(500))
            keyed = await connected.get_table(fluss.TablePath("shop", "keyed"))
            lookuper = keyed.new_lookup().create_lookuper()
            assert await lookuper.lookup([7]) == {"id": 7, "v": "v457"}
            assert len(await read_changes(connected, keyed)) == 50 + 2 * 450

    with LocalCluster(tmp_path) as cluster:
        asyncio.run(write(cluster.bootstrap_servers))
        assert getattr(cluster, how)() == (0 if how == "stop" else -9)
        cluster.start()
        asyncio.run(check(cluster.bootstrap_servers))


def test_a_second_server_on_the_directory_is_refused(tmp_path: Path) -> None:
    with LocalCluster(tmp_path):
        second = fluss_local("--port", "0", "--data-dir", str(tmp_path))
        assert second.returncode == 1
        assert "another" in second.stderr
        assert "hint:" in second.stderr


def test_a_used_port_is_refused_with_a_clear_error(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        result = fluss_local("--port", str(port), "--data-dir", str(tmp_path))
    assert result.returncode == 1
    assert str(port) in result.stderr
    assert "Traceback" not in result.stderr


def test_an_unknown_option_names_the_nearest_one(tmp_path: Path) -> None:
    result = fluss_local("--port", "0", "--data-dir", str(tmp_path), "--set", "log.segment.file-siz=1mb")
    assert result.returncode == 2
    assert "log.segment.file-size" in result.stderr


def test_data_without_its_metadata_is_not_touched(tmp_path: Path) -> None:
    async def write(servers: str) -> None:
        async with connection(servers) as connected:
            table = await new_table(connected, "precious", SCHEMA)
            writer = table.new_append().create_writer()
            writer.append([1, "x"])
            await writer.flush()

    with LocalCluster(tmp_path) as cluster:
        asyncio.run(write(cluster.bootstrap_servers))
    before = {path: path.stat().st_size for path in (tmp_path / "fluss").rglob("*") if path.is_file()}
    (tmp_path / "metadata.journal").unlink()
    result = fluss_local("--port", "0", "--data-dir", str(tmp_path))
    assert result.returncode == 1
    assert "metadata" in result.stderr
    after = {path: path.stat().st_size for path in (tmp_path / "fluss").rglob("*") if path.is_file()}
    assert after == before


def test_dropping_a_table_removes_its_files_and_its_name_can_be_used_again(tmp_path: Path) -> None:
    async def run(servers: str) -> None:
        async with connection(servers) as connected:
            path = fluss.TablePath("fluss", "again")
            first = await new_table(connected, "again", SCHEMA, primary_keys=["id"])
            writer = first.new_upsert().create_writer()
            writer.upsert([1, "old"])
            await writer.flush()
            await connected.get_admin().drop_table(path, False)
            assert not list((tmp_path / "fluss").iterdir())
            second = await new_table(connected, "again", SCHEMA, primary_keys=["id"])
            assert second.get_table_info().table_id != first.get_table_info().table_id
            assert await second.new_lookup().create_lookuper().lookup([1]) is None

    with LocalCluster(tmp_path) as cluster:
        asyncio.run(run(cluster.bootstrap_servers))


def test_a_listener_that_may_be_reached_from_elsewhere_is_warned_about(tmp_path: Path) -> None:
    # 2130706433 is a way to write 127.0.0.1 that only the resolver understands, so nothing is exposed here.
    exposed = {"bind.listeners": "FLUSS://2130706433:0"}
    with LocalCluster(tmp_path / "open", options=exposed) as cluster:
        cluster.stop()
        assert "WARNING" in cluster.log
        assert "NO AUTHENTICATION: listener FLUSS on 2130706433" in cluster.log
    intercepted = {**exposed, "security.protocol.map": "FLUSS:SASL", "security.sasl.plain.credentials": "bob:bob-pass"}
    with LocalCluster(tmp_path / "guarded", options=intercepted) as cluster:
        cluster.stop()
        assert "NO AUTHENTICATION" not in cluster.log


def started(*arguments: str, directory: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "fluss_server", "local", *arguments],
        cwd=directory,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def printed_until_ready(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    lines = ""
    for line in process.stdout:
        lines += line
        if "CREATE CATALOG" in line:
            return lines
    raise AssertionError(lines)


def test_a_configuration_file_and_the_life_of_a_server_in_its_log(tmp_path: Path) -> None:
    (tmp_path / "server.yaml").write_text(
        "# as in the official distribution\n"
        "data.dir: my-data\n"
        "bind.listeners: INTERNAL://127.0.0.1:0, CLIENT://localhost:0  # two\n"
        "security.protocol.map: CLIENT:SASL\n"
        "default.bucket.number: 7\n"
    )
    arguments = ["--config", "server.yaml", "--set", "default.bucket.number=3", "--log-level", "info"]
    with started(*arguments, directory=tmp_path) as process:
        try:
            text = printed_until_ready(process)
            assert "Listener CLIENT: bootstrap.servers=localhost:" in text
            address = re.search(r"gRPC.*: (127\.0\.0\.1:\d+)", text)
            assert address is not None
            with GrpcClient(address[1]) as client:
                configs = client.call(ApiKey.DESCRIBE_CLUSTER_CONFIGS, pb.DescribeClusterConfigsRequest()).configs
            assert {entry.config_key: entry.config_value for entry in configs}["default.bucket.number"] == "3"
            assert f"data directory {tmp_path / 'my-data'}" in text
            assert f"fluss-server {__version__} starts" in text
            process.send_signal(signal.SIGHUP)
            assert process.stdout is not None
            log = ""
            while "SIGHUP changes nothing" not in log:
                line = process.stdout.readline()
                assert line, f"it ended: {log}"
                log += line
            process.terminate()
            log += process.stdout.read()
            assert process.wait(30) == 0
            assert "ready: INTERNAL 127.0.0.1:" in log
            assert "stopping: SIGTERM" in log
            assert log.rstrip().endswith("stopped")
        finally:
            process.kill()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("kv.scanner.ttl: 5 min\nkv.scanner.tll: 1 min", "server.yaml, line 2: unknown option 'kv.scanner.tll'"),
        ("kv.scanner.ttl: soon", "server.yaml, line 1: kv.scanner.ttl: 'soon' is not a whole number with a unit"),
        ("kv:\n  ttl: 1", "server.yaml, line 1: kv has no value"),
    ],
)
def test_a_bad_configuration_file_names_the_line(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "server.yaml").write_text(text)
    result = fluss_local("--port", "0", "--data-dir", str(tmp_path / "d"), "--config", str(tmp_path / "server.yaml"))
    assert result.returncode == 2
    assert message in result.stderr


def test_grpc_listens_on_the_port_after_the_first_and_the_others(tmp_path: Path) -> None:
    port = free_ports(3)[0]
    listeners = f"bind.listeners=INTERNAL://127.0.0.1:{port},CLIENT://127.0.0.1:{port + 1}"
    arguments = ["--set", listeners, "--set", "security.protocol.map=CLIENT:SASL", "--data-dir", "d"]
    with started(*arguments, directory=tmp_path) as process:
        try:
            text = printed_until_ready(process)
        finally:
            process.terminate()
    assert f"Listener CLIENT: bootstrap.servers=127.0.0.1:{port + 1}" in text
    assert f"health probes: 127.0.0.1:{port + 2}" in text


def test_a_taken_grpc_port_is_one_error_and_nothing_else(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        result = fluss_local("--port", "0", "--grpc-port", port, "--data-dir", str(tmp_path))
    assert result.returncode == 1
    error, hint = result.stderr.splitlines()
    assert error == (
        f"fluss: error 1 NETWORK_EXCEPTION: the gRPC server cannot listen on 127.0.0.1:{port}: "
        f"Failed to bind to address 127.0.0.1:{port}"
    )
    assert "--grpc-port" in hint


def test_a_data_directory_without_leaders_opens_and_gets_them(tmp_path: Path) -> None:
    """Directories of versions before leaders and ISRs were stored."""

    async def write(servers: str) -> None:
        async with connection(servers) as connected:
            for name, keys in (("log", None), ("keyed", ["id"])):
                table = await new_table(connected, name, SCHEMA, primary_keys=keys, bucket_count=3)
                writer: Any = (table.new_upsert() if keys else table.new_append()).create_writer()
                for value in range(30):
                    (writer.upsert if keys else writer.append)([value, "x"])
                await writer.flush()

    async def forget_leaders() -> set[str]:
        store = EmbeddedMetadataStore.open(tmp_path / "metadata.journal", system_runtime())
        forgotten = set()
        for table in await store.children(TABLE_ASSIGNMENTS):
            path = f"{TABLE_ASSIGNMENTS}/{table}/buckets"
            operations = await deletions_below(store, path)
            forgotten |= {operation.path for operation in operations if operation.path.endswith("leader_isr")}
            await store.commit(operations)
        await store.commit([Delete(COORDINATOR_EPOCH)])
        await store.close()
        return forgotten

    async def read(servers: str) -> None:
        async with connection(servers) as connected:
            for name in ("log", "keyed"):
                table = await connected.get_table(fluss.TablePath("fluss", name))
                assert sorted(row["id"] for *_, row in await read_changes(connected, table)) == list(range(30))

    async def leaders(paths: set[str]) -> list[bytes]:
        store = EmbeddedMetadataStore.open(tmp_path / "metadata.journal", system_runtime())
        nodes = [await store.get(path) for path in paths]
        await store.close()
        return [node.value for node in nodes if node is not None]

    with LocalCluster(tmp_path) as cluster:
        asyncio.run(write(cluster.bootstrap_servers))
    forgotten = asyncio.run(forget_leaders())
    assert len(forgotten) == 6
    for _ in range(2):
        with LocalCluster(tmp_path) as cluster:
            asyncio.run(read(cluster.bootstrap_servers))
        record = b'{"version":1,"leader":0,"leader_epoch":0,"isr":[0],"coordinator_epoch":0,"bucket_epoch":0}'
        assert asyncio.run(leaders(forgotten)) == [record] * 6
