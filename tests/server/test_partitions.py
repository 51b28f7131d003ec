"""Files of partitions: where they are, what a start removes, and what it refuses to touch."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
import sys
import time
from pathlib import Path

import fluss
import pyarrow as pa

from clients.pyfluss_support import connection, new_table
from fluss_server.testing import LocalCluster

SCHEMA = pa.schema([pa.field("id", pa.int64(), nullable=False), pa.field("day", pa.string(), nullable=False)])


async def create(servers: str, names: list[str], *, table: bool = False) -> None:
    """Create partitions of a primary-key table with two buckets, each with a row, after the table if that is wanted."""
    async with connection(servers) as connected:
        path = fluss.TablePath("fluss", "t")
        if table:
            await new_table(connected, "t", SCHEMA, primary_keys=["id", "day"], partition_keys=["day"], bucket_count=2)
        opened = await connected.get_table(path)
        writer = opened.new_upsert().create_writer()
        for name in names:
            await connected.get_admin().create_partition(path, {"day": name})
            writer.upsert({"id": 1, "day": name})
        if names:
            await writer.flush()


async def drop(servers: str, names: list[str]) -> None:
    async with connection(servers) as connected:
        for name in names:
            await connected.get_admin().drop_partition(fluss.TablePath("fluss", "t"), {"day": name})


async def partitions(servers: str) -> dict[str, int]:
    async with connection(servers) as connected:
        infos = await connected.get_admin().list_partition_infos(fluss.TablePath("fluss", "t"))
        return {info.partition_name: info.partition_id for info in infos}


def files(directory: Path) -> dict[Path, int]:
    return {path: path.stat().st_size for path in directory.rglob("*") if path.is_file()}


def test_a_start_removes_what_dropped_partitions_left_and_nothing_else(tmp_path: Path) -> None:
    with LocalCluster(tmp_path) as cluster:
        asyncio.run(create(cluster.bootstrap_servers, ["a", "b", "c", "d"], table=True))
        asyncio.run(drop(cluster.bootstrap_servers, ["c", "d"]))
        directory = tmp_path / "fluss" / "t-0"
        assert sorted(path.name for path in directory.iterdir()) == ["a-p0", "b-p1"]
        assert sorted(path.name for path in (directory / "a-p0").iterdir()) == ["kv-0", "kv-1", "log-0", "log-1"]
        cluster.stop()
        # As a crash leaves them: before a removed directory is renamed, and after.
        shutil.copytree(directory / "a-p0", directory / "c-p2")
        shutil.copytree(directory / "a-p0", directory / "d-p3.deleted")
        (directory / "notes").mkdir()
        cluster.start()
        assert sorted(path.name for path in directory.iterdir()) == ["a-p0", "b-p1", "notes"]
        assert asyncio.run(partitions(cluster.bootstrap_servers)) == {"a": 0, "b": 1}
        asyncio.run(create(cluster.bootstrap_servers, ["c"]))
        assert asyncio.run(partitions(cluster.bootstrap_servers)) == {"a": 0, "b": 1, "c": 4}


def test_dropping_removes_the_files(tmp_path: Path) -> None:
    async def drop_table(servers: str) -> None:
        async with connection(servers) as connected:
            await connected.get_admin().drop_table(fluss.TablePath("fluss", "t"))

    with LocalCluster(tmp_path) as cluster:
        asyncio.run(create(cluster.bootstrap_servers, ["a", "b"], table=True))
        asyncio.run(drop(cluster.bootstrap_servers, ["a"]))
        assert [entry.name for entry in (tmp_path / "fluss" / "t-0").iterdir()] == ["b-p1"]
        asyncio.run(drop_table(cluster.bootstrap_servers))
        assert list((tmp_path / "fluss").iterdir()) == []


def test_partitions_that_are_newer_than_the_metadata_are_not_touched(tmp_path: Path) -> None:
    with LocalCluster(tmp_path) as cluster:
        asyncio.run(create(cluster.bootstrap_servers, ["a"], table=True))
        cluster.stop()
        shutil.copy(tmp_path / "metadata.journal", tmp_path / "backup")
        cluster.start()
        asyncio.run(create(cluster.bootstrap_servers, ["b"]))
    shutil.copy(tmp_path / "backup", tmp_path / "metadata.journal")
    (tmp_path / "metadata.checkpoint").unlink()  # as the error about the older copy suggests
    before = files(tmp_path / "fluss")
    result = subprocess.run(
        [sys.executable, "-m", "fluss_server", "local", "--port", "0", "--data-dir", str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert result.returncode == 1
    assert "b-p1 holds a table or partition that the metadata does not know" in result.stderr
    assert files(tmp_path / "fluss") == before


def test_a_table_with_hundreds_of_partitions(tmp_path: Path) -> None:
    schema = pa.schema([pa.field("n", pa.int64()), pa.field("day", pa.string())])
    names = [f"d{number:03}" for number in range(300)]

    async def fill(servers: str) -> None:
        async with connection(servers) as connected:
            table = await new_table(connected, "t", schema, partition_keys=["day"])
            admin, path = connected.get_admin(), table.get_table_path()
            await asyncio.gather(*(admin.create_partition(path, {"day": name}) for name in names))
            writer = table.new_append().create_writer()
            for number, name in enumerate(names):
                writer.append({"n": number, "day": name})
            await writer.flush()

    async def check(servers: str) -> None:
        assert sorted(await partitions(servers)) == names
        async with connection(servers) as connected:
            admin, path = connected.get_admin(), fluss.TablePath("fluss", "t")
            for name in names:  # not at once: then pyfluss loses some of the metadata that it gets
                assert await admin.list_partition_offsets(path, name, [0], fluss.OffsetSpec.latest()) == {0: 1}

    with LocalCluster(tmp_path) as cluster:
        asyncio.run(fill(cluster.bootstrap_servers))
        cluster.kill()
        started = time.monotonic()
        cluster.start()
        assert time.monotonic() - started < 20  # about 1 s on an idle machine
        asyncio.run(check(cluster.bootstrap_servers))
